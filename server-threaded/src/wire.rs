//! [`Wire`]: what the threads of a server know of one connection.
//!
//! The connection's own thread reads and writes. The watchdog looks on: what the thread waits for, and until when, is
//! published in one atomic number ([`Watch`]), and a wait that lasts too long is ended by shutting the socket down. So a
//! deadline costs two atomic operations and no system call.

use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use gateway_spec::{Connection, Peer};
use rustix::event::{PollFd, PollFlags, poll};

use crate::Config;
use crate::clock::{Clock, after, milliseconds};
use crate::pace::Pace;
use crate::transport::Stream;
use crate::watch::{Ended, Wait, Waiting, Watch};

/// How often a writer that waits tries again, to see a client that reads slowly: the system reports room late.
const WRITE_RETRY: Duration = Duration::from_millis(500);

/// How long a client that was answered for the last time may send nothing if others want its place: longer than a
/// packet is on its way.
pub(crate) const LINGER_PAUSE: Duration = Duration::from_millis(100);

/// For how many such pauses a client may send nothing after a wait was cut: its own end cannot be seen then.
const QUIET_PAUSES: u32 = 3;

/// How many blocks go into one call; answers have no more.
const MOST_BLOCKS: usize = 3;

/// One connection.
pub(crate) struct Wire {
    pub(crate) stream: Stream,
    pub(crate) peer: Peer,
    pub(crate) config: Arc<Config>,
    pub(crate) clock: Arc<Clock>,
    pub(crate) watch: Watch,
    /// What goes out next: finished answers to pipelined requests, kept back to be sent with the next one, and behind them
    /// the answer in hand. The watchdog sends it if the next answer takes its time (GW-BUF-05).
    output: spin::Mutex<Vec<u8>>,
    /// Whether something is kept back.
    holds: AtomicBool,
    /// Requests that reached the application; written by the connection's thread only.
    pub(crate) requests: AtomicU64,
    /// When the application has to be done, by the coarse clock; 0 for never.
    app_deadline: AtomicU64,
    /// Bytes sent since the application began to answer, and microseconds waited for the client to take them: the
    /// minimum rate is that of a whole response, however small its blocks are.
    sent: AtomicU64,
    waited: AtomicU64,
    /// Whether the connection closes after the response in hand: it was chosen to make room, or the server stops.
    closing: AtomicBool,
    /// Whether a wait was cut: nobody can wait for bytes any more, or see the client's end.
    was_cut: AtomicBool,
    /// Whether the server has cut the connection for good.
    stopped: AtomicBool,
    /// Whether the connection ends in a reset.
    resets: AtomicBool,
    /// Whether the end of the connection would be the end of the response in hand.
    tells_end: AtomicBool,
}

impl Wire {
    /// `output` is empty memory that may have served another connection.
    pub(crate) fn new(stream: Stream, peer: Peer, config: Arc<Config>, clock: Arc<Clock>, output: Vec<u8>) -> Self {
        Self {
            stream,
            peer,
            config,
            clock,
            watch: Watch::new(),
            output: spin::Mutex::new(output),
            holds: AtomicBool::new(false),
            requests: AtomicU64::new(0),
            app_deadline: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            waited: AtomicU64::new(0),
            closing: AtomicBool::new(false),
            was_cut: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            resets: AtomicBool::new(false),
            tells_end: AtomicBool::new(false),
        }
    }

    /// Ends the wait that was seen, unless it has ended by itself meanwhile. It is the last wait of this connection,
    /// so that it does not matter when the rest of this happens.
    pub(crate) fn cut(&self, seen: Waiting) -> bool {
        let cut = self.watch.cut(seen);
        if cut {
            self.closing.store(true, Ordering::Relaxed);
            // Wakes the reader and still lets it answer.
            self.stream.shutdown(Shutdown::Read);
        }
        cut
    }

    /// Cuts the connection, whatever it is doing.
    pub(crate) fn stop(&self) {
        // In one order with `set_tells_end` and the look at `stopped` behind it: one of the two sees the other.
        self.stopped.store(true, Ordering::SeqCst);
        self.closing.store(true, Ordering::Relaxed);
        // In this order: who has failed resets first, and then tells no end.
        if self.tells_end.load(Ordering::SeqCst) || self.will_reset() {
            // A proper end would make the response look whole: its thread finds that it was stopped, and ends it.
            self.reset_on_close();
            self.stream.shutdown(Shutdown::Read);
        } else {
            self.stream.shutdown(Shutdown::Both);
        }
    }

    /// Notes whether the end of the connection would be the end of the response in hand.
    pub(crate) fn set_tells_end(&self, tells_end: bool) {
        self.tells_end.store(tells_end, Ordering::SeqCst);
    }

    /// Nothing more is sent once the connection was cut.
    fn check_stopped(&self) -> io::Result<()> {
        if self.stopped.load(Ordering::SeqCst) { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
    }

    /// Ends the connection, also if the application still holds on to it: whoever asks is told, and the client as well.
    pub(crate) fn end(&self) {
        self.stop();
        if self.will_reset() {
            self.stream.reset(); // not only when the descriptor is closed
        }
    }

    pub(crate) fn will_reset(&self) -> bool {
        self.resets.load(Ordering::Relaxed)
    }

    /// Makes the connection end in a reset instead of a proper end.
    pub(crate) fn reset_on_close(&self) {
        self.resets.store(true, Ordering::Relaxed);
        self.stream.reset_on_close();
    }

    /// Asks the connection to close after the response in hand.
    pub(crate) fn close_soon(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    /// Whether this connection can have no further request.
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    /// Waits for bytes of what `wait` says, at most `limit` long.
    ///
    /// # Errors
    /// [`TimedOut`](io::ErrorKind::TimedOut) if the watchdog has ended the wait, else what the system says.
    pub(crate) fn read(&self, buffer: &mut [u8], wait: Wait, limit: Duration) -> io::Result<usize> {
        self.read_inline(buffer, wait, limit)
    }

    /// As [`read`](Self::read), for the one place where requests are read.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    #[inline(always)]
    pub(crate) fn read_inline(&self, buffer: &mut [u8], wait: Wait, limit: Duration) -> io::Result<usize> {
        self.watch.begin(wait, self.clock.now() + milliseconds(limit));
        let result = loop {
            match self.stream.read(buffer) {
                // Only while a file is being sent from another thread.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.wait_for(PollFlags::IN, Duration::from_secs(1))?;
                }
                result => break result,
            }
        };
        match self.watch.end() {
            Ended::InTime => result,
            Ended::Late => self.too_late(result),
        }
    }

    /// The wait was cut. 0 is the shutdown that came with it. Bytes that came in the same moment are too late, a request as
    /// well: reading ends now or in a moment, maybe in the middle of what follows them. A client repeats what it has no
    /// answer to on a connection that it has used before (RFC 9112 section 9.3.1).
    #[cold]
    fn too_late(&self, result: io::Result<usize>) -> io::Result<usize> {
        self.was_cut.store(true, Ordering::Relaxed);
        result.and(Err(io::ErrorKind::TimedOut.into()))
    }

    /// What goes out next. Whoever adds to it sends it, or says that it is to be [held](Self::hold).
    ///
    /// A lock of the standard library is given back by a locked instruction, which waits until all that was written before
    /// is out of the processor's hands: most of what it costs, for each answer of a batch.
    #[inline]
    pub(crate) fn output(&self) -> spin::MutexGuard<'_, Vec<u8>> {
        self.output.try_lock().unwrap_or_else(|| self.wait_for_output())
    }

    /// The watchdog has it for a moment, or the connection's thread for as long as a client takes.
    #[cold]
    fn wait_for_output(&self) -> spin::MutexGuard<'_, Vec<u8>> {
        // Yields cover the moment of the watchdog; then it is a client, and takes ever longer.
        let (mut tries, mut pause) = (0, Duration::from_micros(50));
        loop {
            if let Some(output) = self.output.try_lock() {
                return output;
            }
            tries += 1;
            if tries < 100 {
                thread::yield_now();
            } else {
                thread::sleep(pause);
                pause = (2 * pause).min(Duration::from_millis(5));
            }
        }
    }

    /// Sends the output: what most answers need.
    ///
    /// Inlined, all the way to the connection's loop, as are the other calls of the usual request: after a call into the
    /// kernel a processor has forgotten where functions return to, so that each return from one that made the call is
    /// foretold wrongly.
    #[inline(always)]
    pub(crate) fn send_output(&self, output: &mut Vec<u8>) -> io::Result<()> {
        let sent = match self.check_stopped() {
            Ok(()) if output.is_empty() => Ok(0), // the watchdog has sent it all
            Ok(()) => self.stream.try_write(output),
            Err(error) => Err(error),
        };
        match sent {
            Ok(sent) if sent == output.len() => {
                self.count(sent as u64);
                output.clear();
                self.holds.store(false, Ordering::Relaxed);
                Ok(())
            }
            sent => self.send_rest(output, sent),
        }
    }

    /// So much was sent of the output, which was not all.
    #[cold]
    fn send_rest(&self, output: &mut Vec<u8>, sent: io::Result<usize>) -> io::Result<()> {
        let result = sent.and_then(|sent| {
            self.count(sent as u64);
            self.write_blocks(&[&output[sent..]])
        });
        output.clear();
        self.holds.store(false, Ordering::Relaxed);
        result
    }

    /// Sends the output, then `blocks`, in one call if the client takes it.
    ///
    /// The output comes from its [lock](Self::output), so that the watchdog does not write at the same time.
    pub(crate) fn send(&self, output: &mut Vec<u8>, blocks: [&[u8]; 2]) -> io::Result<()> {
        let [content, end] = blocks;
        if content.is_empty() && end.is_empty() {
            return self.send_output(output);
        }
        let result = self.write_blocks(&[output, content, end]);
        output.clear();
        self.holds.store(false, Ordering::Relaxed);
        result
    }

    /// As [`send`](Self::send), of the last that is sent: the end of the stream has to follow at once.
    pub(crate) fn send_last(&self, output: &mut Vec<u8>) -> io::Result<()> {
        let result = self.write_last(output);
        output.clear();
        self.holds.store(false, Ordering::Relaxed);
        result
    }

    fn write_last(&self, bytes: &[u8]) -> io::Result<()> {
        self.check_stopped()?;
        let sent = self.stream.try_write_last(bytes)?;
        self.count(sent as u64);
        if sent == bytes.len() { Ok(()) } else { self.write_blocks(&[&bytes[sent..]]) }
    }

    /// The memory of the output, emptied, when the connection has ended.
    pub(crate) fn take_output(&self) -> Vec<u8> {
        let mut output = std::mem::take(&mut *self.output());
        output.clear();
        self.holds.store(false, Ordering::Relaxed);
        output
    }

    /// Leaves the output where it is, to be sent with what comes next.
    pub(crate) fn hold(&self) {
        self.holds.store(true, Ordering::Relaxed);
    }

    /// Sends what is held back, then `bytes`.
    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<()> {
        self.send(&mut self.output(), [bytes, b""])
    }

    /// Sends what is held back.
    #[inline(always)]
    pub(crate) fn flush(&self) -> io::Result<()> {
        if self.holds.load(Ordering::Relaxed) { self.send_output(&mut self.output()) } else { Ok(()) }
    }

    /// For the watchdog: sends what is held back as far as that is possible without waiting.
    pub(crate) fn flush_now(&self) {
        if !self.holds.load(Ordering::Relaxed) {
            return;
        }
        let Some(mut output) = self.output.try_lock() else { return };
        // An error will be met by the connection's own thread as well.
        if let Ok(sent) = self.stream.try_write(&output) {
            output.drain(..sent);
        }
    }

    fn write_blocks(&self, blocks: &[&[u8]]) -> io::Result<()> {
        self.check_stopped()?;
        let total: usize = blocks.iter().map(|block| block.len()).sum();
        if total == 0 {
            return Ok(()); // the watchdog has sent it all
        }
        let mut sent = match *blocks {
            [block] => self.stream.try_write(block)?,
            _ => self.send_vectored(blocks, 0)?,
        };
        self.count(sent as u64);
        if sent == total {
            return Ok(());
        }
        let mut pause = Duration::ZERO;
        while sent < total {
            self.wait_to_write(&mut pause)?;
            let more = self.send_vectored(blocks, sent)?;
            sent += more;
            if more > 0 {
                pause = Duration::ZERO;
                self.count(more as u64);
            }
        }
        Ok(())
    }

    /// Sends `length` bytes of a file from `offset`, as far as the system does that by itself: not from every kind of file, and
    /// not what is not there. Counts in `sent`.
    ///
    /// # Errors
    /// Those of the connection.
    pub(crate) fn write_file(&self, file: &std::fs::File, offset: u64, length: u64, sent: &mut u64) -> io::Result<()> {
        const PIECE: u64 = 1 << 20;
        self.stream.set_nonblocking(true)?;
        let mut pause = Duration::ZERO;
        while *sent < length {
            let piece = usize::try_from((length - *sent).min(PIECE)).unwrap_or(usize::MAX);
            match self.stream.send_file(file, offset + *sent, piece) {
                Ok(0) => break,
                Ok(n) => {
                    *sent += n as u64;
                    pause = Duration::ZERO;
                    self.count(n as u64);
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => self.wait_to_write(&mut pause)?,
                    io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => return Err(error),
                    _ => break, // whose error it is tells who reads, and then writes
                },
            }
        }
        self.stream.set_nonblocking(false)
    }

    /// Waits for room, and gives up on a client that takes nothing, or too little. `pause` is for how long it has taken
    /// nothing.
    fn wait_to_write(&self, pause: &mut Duration) -> io::Result<()> {
        self.check_stopped()?;
        let waited = Duration::from_micros(self.waited.load(Ordering::Relaxed));
        let left = Pace::of_writing(&self.config, self.sent.load(Ordering::Relaxed), waited, *pause).left();
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let start = Instant::now();
        self.wait_for(PollFlags::OUT, left.min(WRITE_RETRY))?;
        let time = start.elapsed();
        *pause += time;
        let waited = u64::try_from((waited + time).as_micros()).unwrap_or(u64::MAX);
        self.waited.store(waited, Ordering::Relaxed);
        Ok(())
    }

    /// Counts bytes sent. Only the connection's thread writes, but for the 100 that another one may send.
    fn count(&self, bytes: u64) {
        self.sent.store(self.sent.load(Ordering::Relaxed) + bytes, Ordering::Relaxed);
    }

    fn wait_for(&self, what: PollFlags, limit: Duration) -> io::Result<()> {
        let timeout = rustix::event::Timespec::try_from(limit).map_err(|_| io::ErrorKind::InvalidInput)?;
        match poll(&mut [PollFd::new(&self.stream, what)], Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Sends the blocks without their first `skip` bytes.
    fn send_vectored(&self, blocks: &[&[u8]], mut skip: usize) -> io::Result<usize> {
        let mut slices = [IoSlice::new(&[]); MOST_BLOCKS];
        let mut count = 0;
        for block in blocks {
            let rest = &block[skip.min(block.len())..];
            skip -= block.len() - rest.len();
            if !rest.is_empty() && count < MOST_BLOCKS {
                slices[count] = IoSlice::new(rest);
                count += 1;
            }
        }
        self.stream.try_write_vectored(&slices[..count])
    }

    /// Sends the end of the stream, and goes on reading for a while: a client that is still sending would otherwise
    /// lose the answer to a reset (H1-CON-11). If others want the place, only for as long as it sends.
    pub(crate) fn linger(&self, is_wanted: &dyn Fn() -> bool) {
        if self.was_cut.load(Ordering::Relaxed) {
            return self.linger_after_cut(is_wanted);
        }
        self.stream.shutdown(Shutdown::Write);
        let end = after(self.config.linger_timeout);
        let (mut buffer, mut room) = ([0; 4096], self.config.max_linger);
        while room > 0 {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || self.wait_for(PollFlags::IN, left.min(LINGER_PAUSE)).is_err() {
                break;
            }
            match self.stream.try_read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => room = room.saturating_sub(n as u64),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && !is_wanted() => {}
                Err(_) => break,
            }
        }
    }

    /// As [`linger`](Self::linger), where reading was shut down: what arrives can still be read, but not waited for. The end of
    /// the stream comes last, as the system answers what it gets with a reset once both directions are shut down.
    #[cold]
    fn linger_after_cut(&self, is_wanted: &dyn Fn() -> bool) {
        let end = after(self.config.linger_timeout);
        let (mut buffer, mut room, mut quiet) = ([0; 4096], self.config.max_linger, 0);
        while room > 0 && quiet < QUIET_PAUSES {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            thread::sleep(left.min(LINGER_PAUSE));
            quiet += 1;
            while room > 0 {
                match self.stream.try_read(&mut buffer) {
                    Ok(n @ 1..) => (room, quiet) = (room.saturating_sub(n as u64), 0),
                    Err(error) if error.kind() != io::ErrorKind::WouldBlock => return,
                    _ => break,
                }
            }
            if quiet > 0 && is_wanted() {
                break;
            }
        }
    }

    /// Notes that the application begins to answer.
    pub(crate) fn begin_app(&self) {
        self.sent.store(0, Ordering::Relaxed);
        self.waited.store(0, Ordering::Relaxed);
        if let Some(limit) = self.config.app_deadline {
            self.app_deadline.store(self.clock.now() + milliseconds(limit), Ordering::Relaxed);
        }
    }
}

impl Connection for Wire {
    fn client_gone(&self) -> bool {
        self.stopped.load(Ordering::Relaxed) || self.stream.is_cut()
    }

    fn deadline(&self) -> Option<Instant> {
        match self.app_deadline.load(Ordering::Relaxed) {
            0 => None,
            at => {
                let now = self.clock.now();
                Some(Instant::now() + Duration::from_millis(at.saturating_sub(now)))
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::Cell;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    /// A connection, and its client.
    pub(crate) fn wire() -> (Wire, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, addr) = listener.accept().unwrap();
        let (config, clock) = (Arc::new(Config::default()), Arc::new(Clock::new()));
        (Wire::new(Stream::Tcp(stream), Peer::tcp(addr), config, clock, Vec::new()), client)
    }

    const LONG: Duration = Duration::from_secs(60);

    /// Waits until a thread waits for this.
    pub(crate) fn seen(wire: &Wire, wait: Wait) -> Waiting {
        loop {
            match wire.watch.now() {
                Some(seen) if seen.wait == wait => return seen,
                _ => thread::yield_now(),
            }
        }
    }

    /// Whoever has cut the wait shuts the socket down now or later: nothing may be served on it.
    #[test]
    fn what_comes_when_the_wait_is_cut_is_too_late() {
        for wait in [Wait::First, Wait::Request, Wait::More] {
            let (wire, mut client) = wire();
            thread::scope(|scope| {
                let reading = scope.spawn(|| wire.read(&mut [0; 10], wait, LONG));
                // As `cut`, interrupted before its shutdown.
                assert!(wire.watch.cut(seen(&wire, wait)));
                client.write_all(b"request").unwrap();
                assert_eq!(reading.join().unwrap().unwrap_err().kind(), io::ErrorKind::TimedOut, "{wait:?}");
            });
        }
    }

    /// A client that is late may go on sending, and loses no answer by that.
    #[test]
    fn who_was_cut_is_lingered_for() {
        let (wire, mut client) = wire();
        thread::scope(|scope| {
            let reading = scope.spawn(|| wire.read(&mut [0; 10], Wait::More, LONG));
            assert!(wire.cut(seen(&wire, Wait::More)));
            reading.join().unwrap().unwrap_err();
        });
        wire.write(b"408").unwrap();
        let looks = Cell::new(0);
        wire.linger(&|| {
            looks.set(looks.get() + 1);
            if looks.get() == 1 {
                (&client).write_all(b"more").unwrap();
            }
            looks.get() > 1
        });
        assert_eq!(looks.get(), 2, "once when nothing had come, and once behind what came then");
        wire.end();
        drop(wire);
        let mut answer = String::new();
        client.read_to_string(&mut answer).expect("no reset");
        assert_eq!(answer, "408");
    }
}
