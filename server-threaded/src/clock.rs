//! A clock that the watchdog moves, so that connections read the time without asking the system.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Coarse time: correct to within a tick of the watchdog while there are connections.
#[derive(Debug)]
pub(crate) struct Clock {
    start: Instant,
    /// Milliseconds since the start.
    now: AtomicU64,
    /// Seconds since 1970.
    unix: AtomicU64,
}

impl Clock {
    pub(crate) fn new() -> Self {
        let clock = Self { start: Instant::now(), now: AtomicU64::new(0), unix: AtomicU64::new(0) };
        clock.update();
        clock
    }

    /// Reads the system's clocks.
    pub(crate) fn update(&self) {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        // Relaxed everywhere: a reader that is a moment behind is what coarse means.
        self.unix.store(unix, Relaxed);
        self.now.store(milliseconds(self.start.elapsed()), Relaxed);
    }

    /// Milliseconds since the start of the server.
    pub(crate) fn now(&self) -> u64 {
        self.now.load(Relaxed)
    }

    /// Seconds since 1970, for the `Date`.
    pub(crate) fn unix(&self) -> u64 {
        self.unix.load(Relaxed)
    }
}

/// A hundred years: longer than any server runs, and short enough to be added to any time. A limit may be longer, to say
/// that there is none.
const NEVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

pub(crate) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.min(NEVER).as_millis()).unwrap_or(u64::MAX)
}

/// The instant that is so much later than now.
pub(crate) fn after(duration: Duration) -> Instant {
    Instant::now() + duration.min(NEVER)
}
