//! The body of a request: where it comes from, where it breaks, and what the application did with it.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gateway_spec::{Bytes, Input, Source};

/// The body of a request as a test gives it.
pub(super) enum RequestBody {
    None,
    Block(Bytes),
    Reader(Box<dyn Read + Send>),
}

/// The server's end of an [`Input`]: it knows how reading went, also when the application has moved the input away.
pub(super) struct Watched(Mutex<State>);

struct State {
    reader: Box<dyn Read + Send>,
    /// How many bytes may still come, and what happens when there are more.
    allowed: u64,
    breaks: Option<io::ErrorKind>,
    asked: bool,
    failed: Option<io::ErrorKind>,
}

impl Watched {
    /// A body that fails with `breaks` after so many bytes, or with `FileTooLarge` after `max_body`.
    pub(super) fn new(body: RequestBody, breaks: Option<(u64, io::ErrorKind)>, max_body: u64) -> Arc<Self> {
        let reader: Box<dyn Read + Send> = match body {
            RequestBody::None => Box::new(io::empty()),
            RequestBody::Block(block) => Box::new(io::Cursor::new(block)),
            RequestBody::Reader(reader) => reader,
        };
        let (allowed, breaks) = match breaks {
            Some((after, kind)) if after <= max_body => (after, Some(kind)),
            _ => (max_body, None),
        };
        Arc::new(Self(Mutex::new(State { reader, allowed, breaks, asked: false, failed: None })))
    }

    pub(super) fn input(self: &Arc<Self>) -> Input {
        Input::new(Arc::<Self>::clone(self))
    }

    /// Whether the application has asked for the body: when a server would have sent 100 (Continue) (GW-EXP-03).
    pub(super) fn was_asked(&self) -> bool {
        self.state().asked
    }

    /// Why reading failed, if it did.
    pub(super) fn failure(&self) -> Option<io::ErrorKind> {
        self.state().failed
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source for Watched {
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = self.state();
        state.asked = true;
        let result = state.read(buffer);
        if let Err(error) = &result
            && error.kind() != io::ErrorKind::Interrupted
        {
            state.failed = Some(error.kind());
        }
        result
    }
}

impl State {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(kind) = self.failed {
            return Err(kind.into());
        }
        if self.allowed == 0 {
            return match self.breaks {
                Some(kind) => Err(kind.into()),
                // Exactly at the limit: only one more byte is too much.
                None if self.reader.read(&mut [0])? == 0 => Ok(0),
                None => Err(io::ErrorKind::FileTooLarge.into()),
            };
        }
        let room = usize::try_from(self.allowed).map_or(buffer.len(), |allowed| allowed.min(buffer.len()));
        let n = self.reader.read(&mut buffer[..room])?;
        self.allowed -= n as u64;
        if n == 0 && !buffer.is_empty() && self.breaks.is_some() {
            // The body ended before the place where it was to break: it breaks here.
            self.allowed = 0;
            return self.read(buffer);
        }
        Ok(n)
    }
}
