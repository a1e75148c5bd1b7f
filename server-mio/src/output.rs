//! [`Output`]: what is to be sent, and was not taken by the connection yet.

use std::io::{self, IoSlice};
use std::sync::Arc;

use gateway_spec::Bytes;

use crate::h1::response::chunk_size;
use crate::lock::lock;
use crate::socket::Socket;
use crate::transport::Stream;

/// Blocks up to this size are copied behind what waits before them; a larger one is sent from its own memory.
pub(crate) const COPY: usize = 16 * 1024;

/// Bytes to be sent: heads and small blocks in one buffer, then at most one large block, then what ends it.
///
/// It never grows beyond that: nobody asks a body for the next block, and no request is answered, while a large block
/// or a full buffer waits (see [`is_full`](Self::is_full)).
#[derive(Debug, Default)]
pub(crate) struct Output {
    pub(crate) front: Vec<u8>,
    /// How much of `front` was sent.
    sent: usize,
    block: Bytes,
    back: &'static [u8],
    /// How many bytes were sent ever.
    pub(crate) total: u64,
    /// Whole responses of a pipelined batch, where others can send them while the application works on the next; and the
    /// head of one whose large block waits behind them.
    stash: Option<Arc<Stash>>,
    /// How much was put there.
    stashed: usize,
}

/// Responses that wait for the rest of their batch, to go out in one write. Should the application block meanwhile,
/// whoever takes over the loop sends them (GW-BUF-03).
#[derive(Debug)]
pub(crate) struct Stash {
    socket: Arc<Socket>,
    bytes: spin::Mutex<Vec<u8>>,
}

impl Stash {
    #[cold]
    fn new(socket: &Arc<Socket>) -> Arc<Self> {
        Arc::new(Self { socket: socket.clone(), bytes: spin::Mutex::new(Vec::new()) })
    }

    fn lock(&self) -> spin::MutexGuard<'_, Vec<u8>> {
        lock(&self.bytes)
    }

    pub(crate) fn is_of(&self, socket: &Arc<Socket>) -> bool {
        Arc::ptr_eq(&self.socket, socket)
    }

    /// Sends what is there, as much as the connection takes now. The owner finds the rest, or the connection's error.
    pub(crate) fn send(&self) {
        let mut bytes = self.lock();
        while !bytes.is_empty() {
            match self.socket.stream.write(&bytes) {
                Ok(n) => drop(bytes.drain(..n)),
                Err(_) => return,
            }
        }
    }
}

impl Output {
    /// Whether nothing waits.
    pub(crate) const fn is_empty(&self) -> bool {
        self.sent == self.front.len() && self.block.is_empty() && self.back.is_empty() && self.stashed == 0
    }

    /// Whether a large block waits.
    pub(crate) const fn has_large(&self) -> bool {
        !self.block.is_empty() || !self.back.is_empty()
    }

    /// Whether it shares the socket.
    pub(crate) const fn has_stash(&self) -> bool {
        self.stash.is_some()
    }

    /// Whether what waits should be sent before more is made (the high-water mark).
    pub(crate) const fn is_full(&self) -> bool {
        !self.block.is_empty() || !self.back.is_empty() || self.front.len() - self.sent + self.stashed >= 2 * COPY
    }

    /// Puts whole responses where others can send them; only if nothing large waits. Returns the place if it is to be made
    /// known.
    pub(crate) fn stash(&mut self, socket: &Arc<Socket>) -> Option<Arc<Stash>> {
        let first = self.stashed == 0;
        let stash = self.stash.get_or_insert_with(|| Stash::new(socket));
        let mut bytes = stash.lock();
        self.stashed += self.front.len() - self.sent;
        if bytes.is_empty() && self.sent == 0 {
            std::mem::swap(&mut *bytes, &mut self.front);
        } else {
            bytes.extend_from_slice(&self.front[self.sent..]);
            self.front.clear();
            self.sent = 0;
        }
        drop(bytes);
        first.then(|| stash.clone())
    }

    /// Whether all that waits is [stashed](Self::stash), so that what comes next is best put there at once.
    #[inline]
    pub(crate) const fn is_stashed(&self) -> bool {
        self.stashed > 0 && self.sent == self.front.len() && !self.has_large()
    }

    /// The stash, if the next bytes go there; the front, where they go otherwise; and the count of those in the stash.
    #[inline(always)]
    pub(crate) fn open(&mut self) -> (Option<spin::MutexGuard<'_, Vec<u8>>>, &mut Vec<u8>, &mut usize) {
        let is_stashed = self.is_stashed();
        let stash = self.stash.as_ref().filter(|_| is_stashed).map(|stash| stash.lock());
        (stash, &mut self.front, &mut self.stashed)
    }

    /// Takes back what is left of the stash, in front of what has come since.
    #[inline(never)]
    fn reclaim(&mut self) {
        self.stashed = 0;
        if let Some(stash) = &self.stash {
            let mut bytes = stash.lock();
            bytes.extend_from_slice(&self.front[self.sent..]);
            std::mem::swap(&mut *bytes, &mut self.front);
            bytes.clear();
            self.sent = 0;
        }
    }

    /// Gives up the buffers, when nothing waits.
    pub(crate) fn take_buffers(&mut self, mut take: impl FnMut(Vec<u8>)) {
        take(std::mem::take(&mut self.front));
        if let Some(stash) = &self.stash {
            take(std::mem::take(&mut *stash.lock()));
        }
    }

    /// Queues a block of the body, as a chunk or as it is. Only if nothing large waits.
    #[inline(always)]
    pub(crate) fn block(&mut self, block: Bytes, chunked: bool, last: bool) {
        debug_assert!(self.block.is_empty() && self.back.is_empty(), "one large block at a time");
        if chunked {
            chunk_size(&mut self.front, block.len());
        }
        let back: &[u8] = match (chunked, last) {
            (true, true) => b"\r\n0\r\n\r\n",
            (true, false) => b"\r\n",
            (false, _) => b"",
        };
        if block.len() <= COPY {
            self.front.extend_from_slice(&block);
            if chunked {
                self.front.extend_from_slice(back);
            }
        } else {
            self.block = block;
            self.back = back;
        }
    }

    /// As [`block`](Self::block), of bytes that are only borrowed.
    pub(crate) fn copy(&mut self, block: &[u8], chunked: bool) {
        debug_assert!(self.block.is_empty() && self.back.is_empty(), "one large block at a time");
        if chunked {
            chunk_size(&mut self.front, block.len());
        }
        self.front.extend_from_slice(block);
        if chunked {
            self.front.extend_from_slice(b"\r\n");
        }
    }

    /// Sends until all is sent or the connection takes no more: how much it took, and whether that was all.
    ///
    /// # Errors
    /// Those of the connection, but not that it would block.
    pub(crate) fn flush(&mut self, stream: &Stream) -> io::Result<(usize, bool)> {
        self.flush_inline(stream)
    }

    /// As [`flush`](Self::flush), for the one place where most answers are sent.
    ///
    /// # Errors
    /// As those of [`flush`](Self::flush).
    #[inline(always)]
    pub(crate) fn flush_inline(&mut self, stream: &Stream) -> io::Result<(usize, bool)> {
        if self.is_empty() {
            return Ok((0, true));
        }
        if self.stashed > 0 {
            self.reclaim();
        }
        // The usual course: one small answer, or one batch of them, that the connection takes as a whole.
        if self.sent == 0 && self.block.is_empty() && self.back.is_empty() {
            match stream.write(&self.front) {
                Ok(n) if n == self.front.len() => {
                    self.total += n as u64;
                    self.front.clear();
                    return Ok((n, true));
                }
                Ok(n) => {
                    (self.sent, self.total) = (n, self.total + n as u64);
                    return self.flush_rest(stream, n);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok((0, false)),
                Err(error) => return Err(error),
            }
        }
        self.flush_rest(stream, 0)
    }

    /// As [`flush`](Self::flush), if the end of the stream follows at once.
    ///
    /// # Errors
    /// As those of [`flush`](Self::flush).
    pub(crate) fn flush_last(&mut self, stream: &Stream) -> io::Result<(usize, bool)> {
        if self.stashed > 0 || self.sent > 0 || self.has_large() || self.front.is_empty() {
            return self.flush(stream);
        }
        match stream.write_last(&self.front) {
            Ok(n) => {
                (self.sent, self.total) = (n, self.total + n as u64);
                self.flush_rest(stream, n)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok((0, false)),
            Err(error) => Err(error),
        }
    }

    /// As [`flush`](Self::flush); so much was taken already.
    #[inline(never)]
    fn flush_rest(&mut self, stream: &Stream, mut total: usize) -> io::Result<(usize, bool)> {
        while !self.is_empty() {
            let result = if self.block.is_empty() && self.back.is_empty() {
                stream.write(&self.front[self.sent..])
            } else {
                stream.write_vectored(&[
                    IoSlice::new(&self.front[self.sent..]),
                    IoSlice::new(&self.block),
                    IoSlice::new(self.back),
                ])
            };
            match result {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    total += n;
                    self.total += n as u64;
                    self.advance(n);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok((total, false)),
                Err(error) => return Err(error),
            }
        }
        self.front.clear();
        self.sent = 0;
        Ok((total, true))
    }

    fn advance(&mut self, sent: usize) {
        let front = sent.min(self.front.len() - self.sent);
        self.sent += front;
        let block = (sent - front).min(self.block.len());
        if block == self.block.len() {
            // Dropped as soon as it is sent: its memory may be the application's.
            self.block = Bytes::new();
        } else {
            self.block = self.block.split_off(block);
        }
        self.back = &self.back[sent - front - block..];
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// However the connection takes it, it gets every byte once and in order.
        #[test]
        fn every_byte_once(
            front in 0usize..50, size in prop_oneof![1usize..20, Just(COPY), Just(COPY + 1), Just(COPY + 99)],
            chunked in any::<bool>(), last in any::<bool>(), steps in proptest::collection::vec(1usize..9000, 1..40),
        ) {
            let mut output = Output { front: vec![b'f'; front], ..Output::default() };
            let block: Vec<u8> = (0..size).map(|i| i as u8).collect();
            output.block(block.clone().into(), chunked, last);
            let mut expected = vec![b'f'; front];
            if chunked {
                expected.extend_from_slice(format!("{size:x}\r\n").as_bytes());
            }
            expected.extend_from_slice(&block);
            match (chunked, last) {
                (true, true) => expected.extend_from_slice(b"\r\n0\r\n\r\n"),
                (true, false) => expected.extend_from_slice(b"\r\n"),
                _ => {}
            }
            let mut taken = Vec::new();
            for step in steps.into_iter().chain([usize::MAX]) {
                let waiting = [&output.front[output.sent..], &output.block, output.back].concat();
                let step = step.min(waiting.len());
                taken.extend_from_slice(&waiting[..step]);
                output.advance(step);
            }
            prop_assert!(output.is_empty());
            prop_assert_eq!(taken, expected);
        }
    }

    /// What happens to an output, in any order.
    #[derive(Clone, Debug)]
    enum Event {
        /// A whole answer, straight behind those that others can send.
        Open(usize),
        /// Anything else.
        Front(usize),
        /// A large block.
        Block(usize),
        /// Before the next call of a batch.
        Stash,
        /// Another thread sends what was stashed.
        Other,
        Flush,
        /// The client reads some.
        Read(usize),
    }

    proptest! {
        /// Whoever sends what, and however little the client takes at a time, it gets every byte once and in order.
        #[test]
        fn whoever_sends_them(events in proptest::collection::vec(prop_oneof![
            4 => (1usize..400).prop_map(Event::Open), 2 => (1usize..9000).prop_map(Event::Front),
            1 => (COPY + 1..400_000).prop_map(Event::Block), 4 => Just(Event::Stash), 2 => Just(Event::Other),
            2 => Just(Event::Flush), 2 => (1usize..300_000).prop_map(Event::Read),
        ], 0..60)) {
            let (ours, mut client) = std::os::unix::net::UnixStream::pair().unwrap();
            ours.set_nonblocking(true).unwrap();
            client.set_nonblocking(true).unwrap();
            let stream = Stream::Unix(mio::net::UnixStream::from_std(ours));
            let socket = Arc::new(Socket::new(stream, Arc::new(crate::clock::Clock::new())));
            let (mut output, mut written, mut read) = (Output::default(), Vec::new(), Vec::new());
            let mut take = |most: usize| {
                let before = read.len();
                let _ = std::io::Read::read_to_end(&mut std::io::Read::take(&mut client, most as u64), &mut read);
                read.len() > before
            };
            for event in events {
                let bytes = |size: usize| -> Vec<u8> { (written.len()..written.len() + size).map(|i| i as u8).collect() };
                match event {
                    Event::Open(size) if !output.is_full() => {
                        let (mut stash, front, stashed) = output.open();
                        let is_stashed = stash.is_some();
                        let place = stash.as_deref_mut().unwrap_or(front);
                        let (before, bytes) = (place.len(), bytes(size));
                        place.extend_from_slice(&bytes);
                        if is_stashed {
                            *stashed += place.len() - before;
                        }
                        written.extend_from_slice(&bytes);
                    }
                    Event::Front(size) if !output.is_full() => {
                        let bytes = bytes(size);
                        output.front.extend_from_slice(&bytes);
                        written.extend_from_slice(&bytes);
                    }
                    Event::Block(size) if !output.is_full() => {
                        let bytes = bytes(size);
                        written.extend_from_slice(&bytes);
                        output.block(bytes.into(), false, true);
                    }
                    Event::Stash if !output.is_empty() && !output.has_large() => drop(output.stash(&socket)),
                    Event::Other => {
                        if let Some(stash) = &output.stash {
                            stash.send();
                        }
                    }
                    Event::Flush => drop(output.flush(&socket.stream).unwrap()),
                    Event::Read(most) => drop(take(most)),
                    _ => {}
                }
            }
            while !output.flush(&socket.stream).unwrap().1 {
                prop_assert!(take(usize::MAX), "it can be sent");
            }
            while take(usize::MAX) {}
            prop_assert!(output.is_empty());
            prop_assert!(read == written, "{} of {}", read.len(), written.len());
        }
    }
}
