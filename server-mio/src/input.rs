//! [`RequestBody`]: the body of a request, collected by the loop and read by the application.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use crate::Config;
use crate::clock::{Pace, Patience, millis};
use crate::h1::Reject;
use crate::h1::chunked::Decoder;
use crate::h1::framing::Framing;
use crate::socket::Socket;
use crate::transport::Direction;

/// How much is read at once when the application reads a chunked body from the connection.
const PIECE: usize = 16 * 1024;

/// The interim response that asks for the body.
pub(crate) const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// The body of one request after the other on a connection: the source behind [`Input`](gateway_spec::Input).
///
/// The loop collects a body in it ([`push`](Body::push)) until the body is whole or the buffer full, and only then calls
/// the application; what is longer the application reads from the connection, waiting for it. One source serves all
/// requests of a connection, so that none is allocated for each; a request that leaves its input to somebody else takes
/// the source away with it, [closed](Self::close).
#[derive(Debug)]
pub(crate) struct RequestBody {
    socket: Arc<Socket>,
    pub(crate) continues: Continue,
    body: Mutex<Body>,
    /// The request is over, and not all of its body was read: whoever still reads gets an error, never bytes of another
    /// request, and never an end that is none (GW-DEF-04).
    closed: AtomicBool,
    patience: Patience,
}

/// The 100 that a client may wait for. It goes out before the head of the answer or never, whatever threads they are who
/// read and who answer (H1-CONT-05).
#[derive(Debug, Default)]
pub(crate) struct Continue(AtomicU8);

impl Continue {
    const NONE: u8 = 0;
    const OWED: u8 = 1;
    const SENDING: u8 = 2;

    /// Whether the client of a new request waits for one.
    pub(crate) fn begin(&self, is_owed: bool) {
        self.0.store(if is_owed { Self::OWED } else { Self::NONE }, Ordering::Release);
    }

    pub(crate) fn is_owed(&self) -> bool {
        self.0.load(Ordering::Acquire) == Self::OWED
    }

    /// Sends it, if it is owed.
    fn send<E>(&self, send: impl FnOnce() -> Result<(), E>) -> Option<Result<(), E>> {
        self.0.compare_exchange(Self::OWED, Self::SENDING, Ordering::AcqRel, Ordering::Acquire).ok()?;
        let result = send();
        self.0.store(Self::NONE, Ordering::Release);
        Some(result)
    }

    /// The answer begins: none may follow. Whether one was owed; if it is being sent at this moment, waits for that.
    pub(crate) fn forget(&self) -> bool {
        loop {
            match self.0.compare_exchange(Self::OWED, Self::NONE, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return true,
                Err(Self::SENDING) => std::thread::yield_now(),
                Err(_) => return false,
            }
        }
    }
}

/// How far a body has come.
#[derive(Debug)]
pub(crate) struct Body {
    framing: Progress,
    /// Decoded bytes from `start`.
    ready: Vec<u8>,
    start: usize,
    /// Bytes read past what was decoded, from `raw_start`; after the end of the body, of the next request.
    raw: Vec<u8>,
    raw_start: usize,
    /// Why there is nothing behind `ready`.
    fault: Option<Reject>,
    pace: Pace,
}

#[derive(Debug)]
enum Progress {
    /// This many bytes have not arrived.
    Length(u64),
    Chunked(Decoder),
}

impl RequestBody {
    pub(crate) fn new(socket: Arc<Socket>, config: &Config) -> Self {
        let patience = patience(config, config.body_timeout);
        let body = Body {
            framing: Progress::Length(0),
            ready: Vec::new(),
            start: 0,
            raw: Vec::new(),
            raw_start: 0,
            fault: None,
            pace: Pace::new(0),
        };
        Self {
            socket,
            continues: Continue::default(),
            body: Mutex::new(body),
            closed: AtomicBool::new(false),
            patience,
        }
    }

    /// Begins the body of a request, with a buffer to collect it in.
    pub(crate) fn begin(&self, framing: Framing, expects_continue: bool, buffer: Vec<u8>, config: &Config) {
        let mut body = self.lock();
        self.closed.store(false, Ordering::Relaxed);
        body.framing = match framing {
            Framing::Empty => Progress::Length(0),
            Framing::Length(length) => Progress::Length(length),
            Framing::Chunked => Progress::Chunked(Decoder::new(
                config.max_body,
                config.max_chunk_extensions,
                config.max_headers,
                config.max_head,
            )),
        };
        body.ready = buffer;
        body.ready.clear();
        body.start = 0;
        body.raw_start = body.raw.len();
        body.fault = None;
        self.continues.begin(expects_continue);
        body.pace = Pace::new(self.socket.clock.now());
    }

    /// The state, for the loop; the application is not reading.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Body> {
        self.body.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state, unless somebody is reading at this moment.
    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, Body>> {
        match self.body.try_lock() {
            Ok(body) => Some(body),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// When the client has been too slow with the body, if it does not go on.
    pub(crate) fn deadline(&self, body: &Body) -> u64 {
        body.pace.deadline(self.patience)
    }

    /// The request is over: ends what is left of the body for whoever still holds an input. One that was read to its end
    /// stays at its end (GW-IN-06).
    pub(crate) fn close(&self, body: &Body) {
        if !body.is_whole() || body.collected() > 0 {
            self.cancel();
        }
    }

    /// As [`close`](Self::close), while somebody is reading.
    pub(crate) fn cancel(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// Reads more from the connection, waiting for it.
    fn receive(&self, body: &mut Body, buffer: &mut [u8]) -> Result<usize, Reject> {
        // What was queued before the response was written, and the response has not begun: so this is in its place.
        let sent = self.continues.send(|| self.send_all(CONTINUE, &body.pace));
        sent.unwrap_or(Ok(()))?;
        loop {
            match self.socket.stream.read(buffer) {
                Ok(0) => return Err(Reject::Incomplete),
                Ok(n) => {
                    body.pace.progress(self.socket.clock.now(), n);
                    return Ok(n);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.socket.wait(Direction::Read, &body.pace, self.patience).map_err(because)?;
                }
                Err(_) => return Err(Reject::Incomplete),
            }
            if self.closed.load(Ordering::Acquire) {
                return Err(Reject::Incomplete);
            }
        }
    }

    fn send_all(&self, mut bytes: &[u8], pace: &Pace) -> Result<(), Reject> {
        while !bytes.is_empty() {
            match self.socket.stream.write(bytes) {
                Ok(n) => bytes = &bytes[n..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.socket.wait(Direction::Write, pace, self.patience).map_err(because)?;
                }
                Err(_) => return Err(Reject::Incomplete),
            }
        }
        Ok(())
    }

    fn read_body(&self, body: &mut Body, buffer: &mut [u8]) -> Result<usize, Reject> {
        loop {
            let n = body.take(buffer);
            if n > 0 || buffer.is_empty() {
                return Ok(n);
            }
            if let Some(fault) = body.fault {
                return Err(fault);
            }
            let n = body.decode_raw(buffer)?;
            if n > 0 || body.is_whole() {
                return Ok(n);
            }
            if let Progress::Length(left) = body.framing {
                // Straight into the caller's buffer, and never a byte of the next request.
                let room = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
                let n = self.receive(body, &mut buffer[..room])?;
                body.framing = Progress::Length(left - n as u64);
                return Ok(n);
            }
            let mut raw = std::mem::take(&mut body.raw);
            raw.clear();
            raw.resize(PIECE, 0);
            let result = self.receive(body, &mut raw);
            raw.truncate(*result.as_ref().unwrap_or(&0));
            (body.raw, body.raw_start) = (raw, 0);
            result?;
        }
    }
}

impl gateway_spec::Source for RequestBody {
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut body = self.lock();
        if self.closed.load(Ordering::Acquire) {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the request is over"));
        }
        self.read_body(&mut body, buffer).map_err(|reject| {
            body.fault = Some(reject);
            io::Error::new(reject.kind(), reject.text())
        })
    }
}

impl Body {
    /// Takes what has arrived, and says how much of it belongs to this body. Decodes all of it, whatever its length: the
    /// caller stops reading when [`collected`](Self::collected) is enough.
    pub(crate) fn push(&mut self, now: u64, bytes: &[u8]) -> usize {
        let mut consumed = 0;
        self.pace.progress(now, bytes.len());
        while consumed < bytes.len() && !self.is_whole() && self.fault.is_none() {
            match self.framing.decode(&bytes[consumed..], usize::MAX) {
                Ok((n, data)) => {
                    self.ready.extend_from_slice(data);
                    consumed += n;
                }
                Err(reject) => self.fault = Some(reject),
            }
        }
        consumed
    }

    /// Takes as much as has arrived and is left of a body that nobody reads; says how much was thrown away.
    pub(crate) fn discard(&mut self) -> u64 {
        let mut discarded = (self.ready.len() - self.start) as u64;
        self.start = self.ready.len();
        let mut sink = [0; 1024];
        while !self.is_whole() && self.fault.is_none() && self.raw_start < self.raw.len() {
            match self.decode_raw(&mut sink) {
                Ok(n) => discarded += n as u64,
                Err(reject) => self.fault = Some(reject),
            }
        }
        discarded
    }

    /// The client has ended, or took too long: an error for whoever reads on.
    pub(crate) fn fail(&mut self, reject: Reject) {
        if !self.is_whole() {
            self.fault.get_or_insert(reject);
        }
    }

    pub(crate) const fn fault(&self) -> Option<Reject> {
        self.fault
    }

    /// Whether the end of the body has arrived.
    pub(crate) const fn is_whole(&self) -> bool {
        match &self.framing {
            Progress::Length(left) => *left == 0,
            Progress::Chunked(decoder) => decoder.is_done(),
        }
    }

    /// When something has arrived last.
    pub(crate) const fn last_progress(&self) -> u64 {
        self.pace.last()
    }

    /// How many bytes are there for the application.
    pub(crate) const fn collected(&self) -> usize {
        self.ready.len() - self.start
    }

    /// How much of the body is still to come, or to be read by the application, if that is known.
    pub(crate) const fn remaining(&self) -> Option<u64> {
        match &self.framing {
            Progress::Length(left) => Some(*left + self.collected() as u64),
            Progress::Chunked(decoder) if decoder.is_done() => Some(self.collected() as u64),
            Progress::Chunked(_) => None,
        }
    }

    /// After the body: the bytes that were read past its end, and the buffer.
    pub(crate) fn end(&mut self) -> (&[u8], Vec<u8>) {
        let start = std::mem::replace(&mut self.raw_start, self.raw.len());
        self.start = 0;
        (&self.raw[start..], std::mem::take(&mut self.ready))
    }

    /// Gives up the memory for reading ahead, when the connection idles.
    pub(crate) fn rest(&mut self) {
        self.raw = Vec::new();
        self.raw_start = 0;
    }

    fn take(&mut self, buffer: &mut [u8]) -> usize {
        let n = self.collected().min(buffer.len());
        buffer[..n].copy_from_slice(&self.ready[self.start..][..n]);
        self.start += n;
        n
    }

    fn decode_raw(&mut self, buffer: &mut [u8]) -> Result<usize, Reject> {
        while self.raw_start < self.raw.len() && !self.is_whole() {
            let (consumed, data) = self.framing.decode(&self.raw[self.raw_start..], buffer.len())?;
            self.raw_start += consumed;
            if !data.is_empty() {
                buffer[..data.len()].copy_from_slice(data);
                return Ok(data.len());
            }
        }
        Ok(0)
    }
}

impl Progress {
    /// Decodes a piece: how much of the input it took, and the data in it, at most `room` bytes.
    fn decode<'i>(&mut self, input: &'i [u8], room: usize) -> Result<(usize, &'i [u8]), Reject> {
        match self {
            Self::Length(left) => {
                let n = usize::try_from(*left).map_or(input.len(), |left| left.min(input.len())).min(room);
                *left -= n as u64;
                Ok((n, &input[..n]))
            }
            Self::Chunked(decoder) => decoder.decode(input, room).map(|step| (step.consumed, step.data)),
        }
    }
}

/// What one phase of a connection is measured against.
pub(crate) fn patience(config: &Config, pause: std::time::Duration) -> Patience {
    Patience { pause: millis(pause), grace: millis(config.rate_grace), rate: config.min_body_rate }
}

fn because(error: io::Error) -> Reject {
    if error.kind() == io::ErrorKind::TimedOut { Reject::Timeout } else { Reject::Incomplete }
}
