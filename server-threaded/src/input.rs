//! The request body: `Read` over what the framing allows.

use std::io;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::time::Instant;

use gateway_spec::Source;

use crate::h1::Reject;
use crate::h1::chunked::{self, Broken, Decoder, Step};
use crate::h1::framing::Framing;
use crate::h1::response::CONTINUE;
use crate::pace::Pace;
use crate::watch::Wait;
use crate::wire::Wire;

/// How much is read from the socket at once when the application's own buffer is not used.
const READ: usize = 8 * 1024;

/// The body of one request, shared with the [`Input`](gateway_spec::Input) of the application.
///
/// A connection uses one again for its next request unless the application still holds on to it.
pub(crate) struct BodySource {
    wire: Arc<Wire>,
    continues: Continue,
    state: Mutex<State>,
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

struct State {
    left: Left,
    /// Bytes that have arrived and are not taken; after the body those of the next request.
    buffer: Vec<u8>,
    start: usize,
    pace: Pace,
    failed: Option<Failure>,
}

enum Left {
    /// The request is over; whoever still reads gets nothing.
    Over,
    Length(u64),
    Chunked(Decoder),
}

impl Left {
    fn is_none(&self) -> bool {
        match self {
            Self::Over => true,
            Self::Length(left) => *left == 0,
            Self::Chunked(decoder) => decoder.is_done(),
        }
    }
}

/// Why a body could not be read whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    Gone,
    Malformed,
    TooLarge,
    Late,
}

impl Failure {
    /// What the server answers if the application does not (see [`Input`](gateway_spec::Input)).
    pub(crate) const fn reject(self) -> Reject {
        match self {
            Self::Gone => Reject::bad_request("The request body is incomplete."),
            Self::Malformed => Reject::bad_request("The chunked coding of the request body is malformed."),
            Self::TooLarge => Reject::new(413, "The request body is too large."),
            Self::Late => Reject::TIMEOUT,
        }
    }

    fn error(self) -> io::Error {
        let kind = match self {
            Self::Gone => io::ErrorKind::UnexpectedEof,
            Self::Malformed => io::ErrorKind::InvalidData,
            Self::TooLarge => io::ErrorKind::FileTooLarge,
            Self::Late => io::ErrorKind::TimedOut,
        };
        io::Error::new(kind, self.reject().why)
    }
}

/// How the body stands when the application has answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remainder {
    /// Nothing is left.
    None,
    /// It is worth reading what is left, to keep the connection.
    Small,
    /// The connection has to close: too much is left, or it is unknown how much, or where the next request begins.
    Unreadable,
}

impl BodySource {
    pub(crate) fn new(wire: Arc<Wire>) -> Self {
        let pace = Pace::of_reading(&wire.config);
        let state = State { left: Left::Over, buffer: Vec::new(), start: 0, pace, failed: None };
        Self { wire, continues: Continue::default(), state: Mutex::new(state) }
    }

    /// Begins a body, of which `arrived` is there already.
    pub(crate) fn begin(&mut self, framing: Framing, arrived: &[u8], expects_continue: bool) {
        let config = &self.wire.config;
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        state.left = match framing {
            Framing::None => Left::Over,
            Framing::Length(length) => Left::Length(length),
            Framing::Chunked => Left::Chunked(Decoder::new(chunked::Limits {
                data: config.max_body,
                extensions: config.max_chunk_extensions,
                trailers: config.max_head,
                trailer_fields: config.max_headers,
            })),
        };
        state.buffer.clear();
        state.buffer.extend_from_slice(arrived);
        state.start = 0;
        // A client that sends its body at once does not wait for a 100 (H1-CONT-03), nor does one whose body is empty.
        self.continues.begin(expects_continue && arrived.is_empty() && framing != Framing::Length(0));
        state.pace = Pace::of_reading(config);
        state.failed = None;
    }

    /// What is left of the body. Another thread that is reading it makes the connection unreadable.
    pub(crate) fn remainder(&self) -> Remainder {
        let state = match self.state.try_lock() {
            Ok(state) => state,
            Err(TryLockError::Poisoned(state)) => state.into_inner(),
            Err(TryLockError::WouldBlock) => return Remainder::Unreadable,
        };
        match &state.left {
            _ if state.failed.is_some() => Remainder::Unreadable,
            left if left.is_none() => Remainder::None,
            // The client waits for a 100 that will not come: it may send the body or not, nobody can tell.
            _ if self.continues.is_owed() => Remainder::Unreadable,
            Left::Length(left) if *left > self.wire.config.max_drain => Remainder::Unreadable,
            _ => Remainder::Small,
        }
    }

    /// Why the body could not be read, if it could not.
    pub(crate) fn failure(&self) -> Option<Failure> {
        self.state.try_lock().ok().and_then(|state| state.failed)
    }

    /// The final status is on its way: no 100 may follow (H1-CONT-05). Whether the client was owed one.
    pub(crate) fn forget_continue(&self) -> bool {
        self.continues.forget()
    }

    /// Reads and drops what is left, up to the limit; whether the end was reached. Whoever still holds the input gets an
    /// error: that is not the end of what was sent (GW-DEF-04).
    pub(crate) fn drain(&self) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.failed = Some(Failure::Gone);
        let mut buffer = [0; 4096];
        let mut drained = 0;
        while drained <= self.wire.config.max_drain {
            match state.read(self, &mut buffer) {
                Ok(0) => return true,
                Ok(n) => drained += n as u64,
                Err(_) => return false,
            }
        }
        false
    }

    /// Ends the body for whoever still holds its input, and hands what has arrived of the next request to `next`.
    ///
    /// `false` if another thread is reading, so that nobody knows what arrives.
    pub(crate) fn end(&self, next: impl FnOnce(&[u8])) -> bool {
        let mut state = match self.state.try_lock() {
            Ok(state) => state,
            Err(TryLockError::Poisoned(state)) => state.into_inner(),
            Err(TryLockError::WouldBlock) => return false,
        };
        if !state.left.is_none() {
            state.failed = Some(Failure::Gone); // for whoever has not read it to its end
        }
        state.left = Left::Over;
        next(&state.buffer[state.start..]);
        state.buffer.clear();
        state.start = 0;
        true
    }
}

impl Source for BodySource {
    fn read(&self, out: &mut [u8]) -> io::Result<usize> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(failure) = state.failed {
            return Err(failure.error());
        }
        state.read(self, out).map_err(|failure| {
            state.failed = Some(failure);
            failure.error()
        })
    }
}

impl State {
    fn read(&mut self, source: &BodySource, out: &mut [u8]) -> Result<usize, Failure> {
        if out.is_empty() {
            return Ok(0);
        }
        loop {
            let arrived = &self.buffer[self.start..];
            match &mut self.left {
                Left::Over | Left::Length(0) => return Ok(0),
                Left::Length(left) => {
                    let most = usize::try_from(*left).unwrap_or(usize::MAX).min(out.len());
                    let n = self.take(source, &mut out[..most])?;
                    if let Left::Length(left) = &mut self.left {
                        *left -= n as u64;
                    }
                    return Ok(n);
                }
                Left::Chunked(decoder) => match decoder.step(arrived) {
                    Ok(Step::Skip(n)) => self.start += n,
                    Ok(Step::More) => self.fill(source)?,
                    Ok(Step::End) => return Ok(0),
                    Ok(Step::Data(left)) => {
                        let most = usize::try_from(left).unwrap_or(usize::MAX).min(out.len());
                        let n = self.take(source, &mut out[..most])?;
                        if let Left::Chunked(decoder) = &mut self.left {
                            decoder.took(n as u64);
                        }
                        return Ok(n);
                    }
                    Err(Broken::Malformed) => return Err(Failure::Malformed),
                    Err(Broken::TooLarge) => return Err(Failure::TooLarge),
                },
            }
        }
    }

    /// Takes what has arrived, or reads from the socket straight into `out`; never nothing.
    fn take(&mut self, source: &BodySource, out: &mut [u8]) -> Result<usize, Failure> {
        let arrived = &self.buffer[self.start..];
        if arrived.is_empty() {
            return self.receive(source, out);
        }
        let n = arrived.len().min(out.len());
        out[..n].copy_from_slice(&arrived[..n]);
        self.start += n;
        Ok(n)
    }

    /// Adds to what has arrived.
    fn fill(&mut self, source: &BodySource) -> Result<(), Failure> {
        self.buffer.drain(..self.start);
        self.start = 0;
        let length = self.buffer.len();
        self.buffer.resize(length + READ, 0);
        let mut buffer = std::mem::take(&mut self.buffer);
        let result = self.receive(source, &mut buffer[length..]);
        buffer.truncate(length + *result.as_ref().unwrap_or(&0));
        self.buffer = buffer;
        result.map(drop)
    }

    fn receive(&mut self, source: &BodySource, out: &mut [u8]) -> Result<usize, Failure> {
        // Whoever waits for this client must have all that was written for it, and the 100 it waits for.
        let wire = &source.wire;
        let mut told = None;
        if source.continues.is_owed() {
            // The lock comes first: who answers holds it, and waits for a 100 that is on its way.
            let mut output = wire.output();
            told = source.continues.send(|| wire.send(&mut output, [CONTINUE, b""]));
        }
        let told = told.unwrap_or_else(|| wire.flush());
        told.map_err(|_| Failure::Gone)?;
        let start = Instant::now();
        let result = wire.read(out, Wait::More, self.pace.left());
        self.pace.waited(start.elapsed());
        match result {
            Ok(0) => Err(Failure::Gone),
            Ok(n) => {
                self.pace.progress(n as u64);
                Ok(n)
            }
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Err(Failure::Late),
            Err(_) => Err(Failure::Gone),
        }
    }
}
