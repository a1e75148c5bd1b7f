//! [`Watch`]: what a connection waits for, as the watchdog sees it.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a connection's thread waits for, and until when: one number that it and the watchdog exchange.
#[derive(Debug)]
pub(crate) struct Watch(AtomicU64);

/// What a thread waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// The first request of a connection.
    First,
    /// Another request: an idle connection, which may be closed to make room.
    Request,
    /// The rest of something that has begun.
    More,
}

/// A wait as it was seen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    pub(crate) wait: Wait,
    /// When it will have been too long.
    pub(crate) until: u64,
    value: u64,
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    InTime,
    Late,
}

impl Watch {
    const NOTHING: u64 = 0;
    const LATE: u64 = u64::MAX;

    pub(crate) const fn new() -> Self {
        Self(AtomicU64::new(Self::NOTHING))
    }

    pub(crate) fn begin(&self, wait: Wait, until: u64) {
        let kind = match wait {
            Wait::More => 1,
            Wait::Request => 2,
            Wait::First => 3,
        };
        // Acquire and release order what the two threads did to the socket.
        self.0.store(until << 2 | kind, Ordering::Release);
    }

    pub(crate) fn end(&self) -> Ended {
        if self.0.swap(Self::NOTHING, Ordering::AcqRel) == Self::LATE { Ended::Late } else { Ended::InTime }
    }

    /// The wait that lasts, if one does.
    pub(crate) fn now(&self) -> Option<Waiting> {
        let value = self.0.load(Ordering::Acquire);
        let wait = match value & 3 {
            _ if value == Self::LATE => return None,
            1 => Wait::More,
            2 => Wait::Request,
            3 => Wait::First,
            _ => return None,
        };
        Some(Waiting { wait, until: value >> 2, value })
    }

    /// Marks the wait that [`now`](Self::now) saw as too long, unless it has ended by itself meanwhile.
    pub(crate) fn cut(&self, seen: Waiting) -> bool {
        self.0.compare_exchange(seen.value, Self::LATE, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_cut_once_and_only_while_it_lasts() {
        let watch = Watch::new();
        assert!(watch.now().is_none());
        watch.begin(Wait::Request, 5);
        let seen = watch.now().unwrap();
        assert_eq!((seen.wait, seen.until), (Wait::Request, 5));
        assert_eq!(watch.end(), Ended::InTime);
        assert!(!watch.cut(seen));
        watch.begin(Wait::More, 7);
        let seen = watch.now().unwrap();
        assert!(watch.cut(seen));
        assert!(!watch.cut(seen) && watch.now().is_none());
        assert_eq!(watch.end(), Ended::Late);
        assert_eq!(watch.end(), Ended::InTime);
    }
}
