//! The time, asked once a turn of a loop and shared by all.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A clock of milliseconds that somebody has to move, so that asking it costs no call: the loops when they wake up, the
/// monitor while applications run, and a thread that comes back from one that has blocked.
#[derive(Debug)]
pub(crate) struct Clock {
    start: Instant,
    /// Milliseconds since `start`, plus one: zero is no time.
    now: AtomicU64,
    /// The wall clock at `start`, in milliseconds since 1970; corrected once a second.
    start_of_wall: AtomicU64,
}

impl Clock {
    pub(crate) fn new() -> Self {
        let clock = Self { start: Instant::now(), now: AtomicU64::new(1), start_of_wall: AtomicU64::new(0) };
        clock.set_wall(1);
        clock
    }

    /// Asks the system for the time. It never goes back.
    pub(crate) fn advance(&self) -> u64 {
        let elapsed = self.start.elapsed();
        let now = elapsed.as_secs() * 1000 + u64::from(elapsed.subsec_millis()) + 1;
        let before = self.now.fetch_max(now, Ordering::Relaxed);
        if before / 1000 != now / 1000 {
            self.set_wall(now);
        }
        now.max(before)
    }

    #[cold]
    fn set_wall(&self, now: u64) {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis);
        self.start_of_wall.store(wall.saturating_sub(now), Ordering::Relaxed);
    }

    /// The time at the last turn, in milliseconds.
    #[inline]
    pub(crate) fn now(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    /// The second since 1970 at the last turn.
    #[inline]
    pub(crate) fn second(&self) -> u64 {
        (self.start_of_wall.load(Ordering::Relaxed) + self.now()) / 1000
    }

    /// The instant that is `millis` on this clock.
    pub(crate) fn instant(&self, millis: u64) -> Instant {
        self.start + Duration::from_millis(millis)
    }
}

/// A duration in whole milliseconds, rounded up, so that a deadline is never early.
pub(crate) fn millis(duration: Duration) -> u64 {
    // Half of the range is left, so that it can be added to any time.
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).map_or(u64::MAX / 2, |millis| millis.min(u64::MAX / 2))
}

/// How a peer keeps up: a deadline that moves with its progress.
///
/// It may pause for a while, and after some grace it must have reached a minimum rate on average: so a byte now and then
/// does not hold a connection for ever (L01).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    begun: u64,
    last: u64,
    bytes: u64,
}

/// What a [`Pace`] is measured against, in milliseconds and bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    pub(crate) pause: u64,
    pub(crate) grace: u64,
    /// Bytes per second.
    pub(crate) rate: u64,
}

impl Pace {
    pub(crate) const fn new(now: u64) -> Self {
        Self { begun: now, last: now, bytes: 0 }
    }

    /// Notes that the peer has moved `bytes`.
    pub(crate) const fn progress(&mut self, now: u64, bytes: usize) {
        self.last = now;
        self.bytes += bytes as u64;
    }

    /// The same, begun so many milliseconds later.
    pub(crate) const fn later(self, by: u64) -> Self {
        Self { begun: self.begun + by, last: self.last + by, ..self }
    }

    /// The time of the last progress.
    pub(crate) const fn last(&self) -> u64 {
        self.last
    }

    /// The time that is `after` the beginning.
    pub(crate) const fn deadline_after(&self, after: u64) -> u64 {
        self.begun.saturating_add(after)
    }

    /// The time at which patience ends, unless there is progress before.
    pub(crate) const fn deadline(&self, patience: Patience) -> u64 {
        let pause = self.last.saturating_add(patience.pause);
        let earned = match self.bytes.saturating_mul(1000).checked_div(patience.rate) {
            Some(earned) => earned,
            None => return pause,
        };
        let rate = self.begun.saturating_add(patience.grace).saturating_add(earned);
        if pause < rate { pause } else { rate }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_goes_on() {
        let clock = Clock::new();
        let before = clock.now();
        assert!(clock.advance() >= before);
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        assert!(clock.second().abs_diff(wall) <= 1);
    }

    #[test]
    fn durations_round_up() {
        assert_eq!(millis(Duration::from_nanos(1)), 1);
        assert_eq!(millis(Duration::from_millis(5)), 5);
        assert_eq!(millis(Duration::ZERO), 0);
        for forever in [Duration::MAX, Duration::from_millis(u64::MAX)] {
            assert_eq!(millis(forever), u64::MAX / 2);
        }
    }

    #[test]
    fn patience_ends_with_a_pause_or_a_drip() {
        let patience = Patience { pause: 300, grace: 1000, rate: 500 };
        let mut pace = Pace::new(100);
        assert_eq!(pace.deadline(patience), 400);
        pace.progress(350, 1);
        assert_eq!(pace.deadline(patience), 650, "a pause is counted from the last byte");
        for now in (600..).step_by(100).take(6) {
            pace.progress(now, 1);
        }
        assert_eq!(pace.deadline(patience), 1100 + 14, "seven bytes are worth 14 ms beyond the grace");
        pace.progress(1100, 500);
        assert_eq!(pace.deadline(patience), 1400);
        assert_eq!(pace.deadline(Patience { rate: 0, ..patience }), 1400, "no rate, no drip");
    }
}
