//! The one thread that looks at all connections: ends waits that last too long, sends what was held back too long,
//! refuses who waits too long for a place, and moves the clock.

use std::net::Shutdown;
use std::thread;
use std::time::Duration;

use gateway_spec::Version;

use crate::clock::{Clock, milliseconds};
use crate::h1::Reject;
use crate::h1::date::{Add, DateCache};
use crate::h1::response::{Own, write_reject};
use crate::parting::{Parting, Partings};
use crate::server::State;
use crate::transport::Stream;
use crate::watch::Wait;

/// How often it looks. Deadlines are kept to within this time.
const TICK: Duration = Duration::from_millis(50);

/// For how long a new connection may still send its first request while the server stops.
const LAST_CHANCE: u64 = 500;

/// Runs until the server has ended. `attend` sees that a thread waits for newcomers.
pub(crate) fn run(state: &State, attend: impl Fn()) {
    let mut stopping_since = None;
    let mut wires = Vec::new();
    while !state.has_ended() {
        state.clock.update();
        let now = state.clock.now();
        if state.is_stopping() {
            stopping_since.get_or_insert(now);
            state.admission.hurry_partings();
        }
        state.admission.list_wires(&mut wires);
        for wire in wires.drain(..) {
            wire.flush_now();
            let Some(seen) = wire.watch.now() else { continue };
            // A server that stops closes connections that wait for another request, and soon those that are new.
            let at_most = match (stopping_since, seen.wait) {
                (Some(_), Wait::Request) => 0,
                (Some(since), Wait::First) => since + LAST_CHANCE,
                _ => u64::MAX,
            };
            if seen.until.min(at_most) <= now {
                wire.cut(seen);
            }
        }
        state.admission.tick(now);
        attend();
        if state.admission.may_sleep() && !state.has_ended() {
            // Nothing to watch: whoever brings something wakes this thread.
            thread::park();
        } else {
            thread::park_timeout(TICK);
        }
    }
}

/// Connections that got a 503 and are read from for a moment, so that they can see it.
#[derive(Default)]
pub(crate) struct Refused(Partings);

impl Refused {
    /// Says no to a connection, without waiting for it. Returns the length of the answer's content, if it was sent.
    pub(crate) fn add(
        &self,
        stream: Stream,
        clock: &Clock,
        server: Option<&str>,
        linger: Duration,
        most: usize,
    ) -> Option<u64> {
        let mut response = Vec::new();
        let mut date = DateCache::new();
        let lines = date.lines(clock.unix(), server, Add::BOTH);
        let own = Own { head_request: false, version: Version::Http11, keep: false, lines };
        let length = write_reject(&mut response, Reject::BUSY, &own);
        // A few hundred bytes fit into the buffer of a new socket; if not, the client has gone.
        if !stream.try_write(&response).is_ok_and(|sent| sent == response.len()) {
            return None;
        }
        stream.shutdown(Shutdown::Write);
        let until = clock.now() + milliseconds(linger);
        self.0.put(Parting { stream, until, room: u64::MAX }, most);
        Some(length)
    }

    /// Reads what these clients still send, and closes what has ended or was read from long enough.
    pub(crate) fn tick(&self, now: u64) {
        self.0.tick(now);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
