//! [`Recorder`]: what the calls of an application saw.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use gateway_spec::{Environ, Input};

/// How long the suite waits for calls that have not ended.
const PATIENCE: Duration = Duration::from_secs(10);

/// What one call of the application saw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// In which order the calls began, over all connections.
    pub number: u64,
    /// Every variable of the environ.
    pub variables: Vec<(String, Vec<u8>)>,
    /// The header list as received.
    pub fields: Vec<(String, Vec<u8>)>,
    /// The request target as received.
    pub target: Vec<u8>,
    /// The URL scheme.
    pub scheme: String,
    /// The body, as far as it was read.
    pub input: Vec<u8>,
    /// How reading the body ended; `None` if the application did not read to an end.
    pub input_end: Option<Result<(), ErrorKind>>,
    /// Whether the call, and what it keeps in its body, is over.
    pub done: bool,
}

impl Seen {
    /// A variable.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<&[u8]> {
        self.variables.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_slice())
    }
}

/// The word for an error of the input, as in the cases.
#[must_use]
pub const fn kind_name(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::UnexpectedEof => "unexpected-eof",
        ErrorKind::InvalidData => "invalid-data",
        ErrorKind::FileTooLarge => "too-large",
        ErrorKind::TimedOut => "timed-out",
        _ => "another kind of error",
    }
}

/// What all calls saw, by the port of their client.
#[derive(Default)]
pub struct Recorder {
    begun: AtomicU64,
    calls: Mutex<HashMap<u16, Vec<Seen>>>,
    changed: Condvar,
}

impl Recorder {
    fn lock(&self) -> MutexGuard<'_, HashMap<u16, Vec<Seen>>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what was recorded for these clients, in the order of the calls, and forgets it.
    ///
    /// Waits until so many calls have begun and all are over, but not for ever.
    pub fn take(&self, ports: &[u16], at_least: usize) -> Vec<Seen> {
        let begin = Instant::now();
        let mut calls = self.lock();
        loop {
            let of = |ports: &[u16]| {
                ports.iter().filter_map(|port| calls.get(port)).flatten().cloned().collect::<Vec<Seen>>()
            };
            let mut seen = of(ports);
            if (seen.len() >= at_least && seen.iter().all(|seen| seen.done)) || begin.elapsed() > PATIENCE {
                seen.sort_by_key(|seen| seen.number);
                calls.retain(|port, _| !ports.contains(port));
                return seen;
            }
            calls =
                self.changed.wait_timeout(calls, Duration::from_millis(100)).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Forgets what an earlier connection with this port has left.
    pub fn forget(&self, port: u16) {
        self.lock().remove(&port);
    }

    pub(super) fn begin(self: &Arc<Self>, environ: &Environ<'_>) -> Call {
        let port = environ.peer_addr().map_or(0, |addr| addr.port());
        let number = self.begun.fetch_add(1, Ordering::Relaxed);
        let seen = Seen {
            number,
            variables: environ
                .vars()
                .into_iter()
                .map(|(name, value)| (name.into_owned(), value.as_bytes().to_vec()))
                .collect(),
            fields: environ.headers().map(|(name, value)| (name.to_owned(), value.to_vec())).collect(),
            target: environ.request_uri().as_bytes().to_vec(),
            scheme: environ.url_scheme().as_str().to_owned(),
            ..Seen::default()
        };
        let mut calls = self.lock();
        calls.entry(port).or_default().push(seen);
        Call { recorder: Arc::clone(self), port, number }
    }
}

/// The record of one call; dropping it ends the call.
pub(super) struct Call {
    recorder: Arc<Recorder>,
    port: u16,
    number: u64,
}

impl Call {
    fn note(&self, note: impl FnOnce(&mut Seen)) {
        let mut calls = self.recorder.lock();
        // It is gone if the suite has forgotten this connection meanwhile.
        if let Some(seen) =
            calls.get_mut(&self.port).and_then(|calls| calls.iter_mut().find(|s| s.number == self.number))
        {
            note(seen);
        }
        drop(calls);
        self.recorder.changed.notify_all();
    }

    /// Reads once, and records what came of it.
    pub(super) fn read(&self, input: &mut Input, buffer: &mut [u8]) -> io::Result<usize> {
        let result = input.read(buffer);
        self.note(|seen| match &result {
            Ok(0) => seen.input_end = Some(Ok(())),
            Ok(n) => seen.input.extend_from_slice(&buffer[..*n]),
            Err(error) => seen.input_end = Some(Err(error.kind())),
        });
        result
    }

    /// Reads up to `most` octets.
    pub(super) fn read_up_to(&self, input: &mut Input, most: usize) -> io::Result<Vec<u8>> {
        let mut octets = Vec::new();
        let mut buffer = [0; 8 * 1024];
        while octets.len() < most {
            let part = (most - octets.len()).min(buffer.len());
            match self.read(input, &mut buffer[..part])? {
                0 => break,
                n => octets.extend_from_slice(&buffer[..n]),
            }
        }
        Ok(octets)
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.note(|seen| seen.done = true);
    }
}
