//! [`Forecast`]: which requests have blocked before, and will again.
//!
//! The monitor sees that an application blocks only after a while, in which the loop stands still; and calls that block for
//! less than its ticks, one after the other, it never sees as what they are. But what has blocked once mostly blocks again.
//! So the loop remembers by method and path what did, and hands itself on *before* the next such call.
//!
//! Each look of the monitor makes the request that it meets in the application a *suspect*: long calls are met more often
//! than short ones. The next call of a suspect is timed. If it blocks, the one after that is expected to; if it does not, it
//! is forgotten. All of this is a guess, and a wrong one costs a wake-up.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// How many requests are remembered; others take their places.
const PLACES: usize = 64;
/// How much of a path counts.
const LONGEST: usize = 64;
/// Away from the processor for this long, a call has blocked: a few times what it costs to hand the loop on.
const AWAY: Duration = Duration::from_micros(100);
/// Who takes this long keeps others waiting, whatever it does.
const LONG: Duration = Duration::from_millis(1);

/// The bits of a place that say what is known of a request; the others tell requests apart.
const SUSPECT: u32 = 1;
const BLOCKS: u32 = 2;
const STATE: u32 = 3;

/// What is known of the requests of one loop. All of its threads write to it, in no order: it decides about speed only.
#[derive(Debug)]
pub(crate) struct Forecast {
    places: [AtomicU32; PLACES],
    /// How many of them are taken.
    taken: AtomicUsize,
}

/// Requests that are alike in this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind(u32);

impl Kind {
    /// Numbers in a path mostly say which of many things of a kind is asked for.
    pub(crate) fn new(method: &str, path: &str) -> Self {
        let path = path.bytes().take(LONGEST).filter(|byte| !byte.is_ascii_digit());
        // FNV-1a.
        let hash = method
            .bytes()
            .chain(path)
            .fold(0x811C_9DC5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        Self(hash)
    }

    const fn place(self) -> usize {
        // The lowest bits are not in what is stored.
        self.0 as usize % PLACES
    }

    const fn with(self, state: u32) -> u32 {
        self.0 & !STATE | state
    }
}

/// What is to be expected of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expectation {
    /// Nothing is known.
    Nothing,
    /// It should be timed.
    Suspect,
    /// It blocks.
    Blocks,
}

impl Forecast {
    pub(crate) const fn new() -> Self {
        Self { places: [const { AtomicU32::new(0) }; PLACES], taken: AtomicUsize::new(0) }
    }

    /// Whether nothing is known of any request.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.taken.load(Ordering::Relaxed) == 0
    }

    pub(crate) fn expects(&self, kind: Kind) -> Expectation {
        let place = self.places[kind.place()].load(Ordering::Relaxed);
        match place & STATE {
            BLOCKS if place == kind.with(BLOCKS) => Expectation::Blocks,
            SUSPECT if place == kind.with(SUSPECT) => Expectation::Suspect,
            _ => Expectation::Nothing,
        }
    }

    /// Such a request was met in the application by the monitor. It takes the place of another suspect, but not of one
    /// that is known to block.
    pub(crate) fn suspect(&self, kind: Kind) {
        let before = self.places[kind.place()].load(Ordering::Relaxed);
        if before & STATE != BLOCKS {
            self.replace(kind, before, kind.with(SUSPECT));
        }
    }

    /// How long a call of such a request was in the application.
    pub(crate) fn learn(&self, kind: Kind, blocked: bool) {
        let before = self.places[kind.place()].load(Ordering::Relaxed);
        let after = match (blocked, self.expects(kind)) {
            (true, _) => kind.with(BLOCKS),
            (false, Expectation::Blocks) => kind.with(SUSPECT),
            (false, Expectation::Suspect) => 0,
            (false, Expectation::Nothing) => return,
        };
        self.replace(kind, before, after);
    }

    fn replace(&self, kind: Kind, before: u32, after: u32) {
        // Who comes second has seen nothing that the first has not.
        let place = &self.places[kind.place()];
        if place.compare_exchange(before, after, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            return;
        }
        if before == 0 && after != 0 {
            self.taken.fetch_add(1, Ordering::Relaxed);
        } else if before != 0 && after == 0 {
            self.taken.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Tells working from waiting.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopwatch {
    since: Instant,
    /// What the thread had worked.
    worked: Duration,
}

impl Stopwatch {
    pub(crate) fn start() -> Self {
        let worked = worked();
        Self { since: Instant::now(), worked }
    }

    /// Whether a call that takes as long as this should be in no other's way.
    pub(crate) fn has_blocked(self) -> bool {
        let elapsed = self.since.elapsed();
        elapsed >= LONG || elapsed >= AWAY && elapsed.saturating_sub(worked().saturating_sub(self.worked)) >= AWAY
    }
}

/// The processor time of this thread.
fn worked() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_blocks_is_expected_to() {
        let (forecast, slow, fast) = (Forecast::new(), Kind::new("GET", "/slow"), Kind::new("GET", "/fast"));
        forecast.learn(slow, false);
        assert!(forecast.is_empty(), "nothing was asked about it");
        forecast.suspect(slow);
        assert_eq!([slow, fast].map(|kind| forecast.expects(kind)), [Expectation::Suspect, Expectation::Nothing]);
        forecast.learn(slow, true);
        forecast.suspect(slow);
        assert_eq!(forecast.expects(slow), Expectation::Blocks, "and stays so");
        forecast.learn(slow, false);
        assert_eq!(forecast.expects(slow), Expectation::Suspect, "it has another try");
        assert!(!forecast.is_empty());
        forecast.learn(slow, false);
        assert_eq!(forecast.expects(slow), Expectation::Nothing);
        assert!(forecast.is_empty());
    }

    #[test]
    fn numbers_make_no_difference() {
        assert_eq!(Kind::new("GET", "/users/17/posts/3"), Kind::new("GET", "/users/4/posts/1234"));
        assert_ne!(Kind::new("GET", "/users/1"), Kind::new("POST", "/users/1"));
        assert_ne!(Kind::new("GET", "/users/1"), Kind::new("GET", "/posts/1"));
    }

    #[test]
    fn waiting_is_told_from_working() {
        let watch = Stopwatch::start();
        std::thread::sleep(2 * AWAY);
        assert!(watch.has_blocked());
        let works = || {
            let watch = Stopwatch::start();
            while watch.since.elapsed() < 3 * AWAY {}
            !watch.has_blocked()
        };
        assert!((0..1000).any(|_| works()), "not each time is it kept from working");
    }

    #[test]
    fn who_takes_long_is_in_the_way_whatever_it_does() {
        let watch = Stopwatch::start();
        while watch.since.elapsed() < LONG {}
        assert!(watch.has_blocked());
    }

    proptest! {
        /// Whatever is learnt in whatever order: the count is that of the places, and nothing is expected of requests that
        /// nobody has seen.
        #[test]
        fn the_count_is_right(steps in proptest::collection::vec((0..200u32, 0..3), 0..400)) {
            let forecast = Forecast::new();
            for (kind, step) in steps {
                let kind = Kind(kind.wrapping_mul(0x9E37_79B9));
                match step {
                    0 => forecast.suspect(kind),
                    1 => forecast.learn(kind, true),
                    _ => forecast.learn(kind, false),
                }
                let taken = forecast.places.iter().filter(|place| place.load(Ordering::Relaxed) != 0).count();
                prop_assert_eq!(forecast.taken.load(Ordering::Relaxed), taken);
                prop_assert_eq!(forecast.is_empty(), taken == 0);
            }
            prop_assert_eq!(forecast.expects(Kind(0xFFFF_FFFF)), Expectation::Nothing);
        }
    }
}
