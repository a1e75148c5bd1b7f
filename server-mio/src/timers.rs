//! Deadlines of many connections: a wheel of coarse ticks.
//!
//! A deadline that moves further away costs nothing: the entry stays where it is, and when its tick comes the owner says
//! that it is not yet time. So a busy keep-alive connection touches the wheel once in its timeout, not once a request.

/// Milliseconds of one tick.
const TICK: u64 = 8;
/// Ticks of one turn of the wheel, some sixteen seconds; what is due later is looked at once a turn.
const SLOTS: usize = 2048;

/// One deadline in the wheel, kept by its owner.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timer {
    /// When it is due, in milliseconds; never if the maximum.
    deadline: u64,
    /// The tick of its entry in the wheel, or zero.
    entry: u64,
}

impl Timer {
    pub(crate) const fn new() -> Self {
        Self { deadline: u64::MAX, entry: 0 }
    }
}

/// The wheel. Keys are given back when their tick has come.
#[derive(Debug)]
pub(crate) struct Wheel {
    slots: Vec<Vec<(u64, usize)>>,
    /// All ticks before this one are over.
    tick: u64,
    /// No entry is before this tick.
    earliest: u64,
}

impl Wheel {
    pub(crate) fn new(now: u64) -> Self {
        Self { slots: vec![Vec::new(); SLOTS], tick: now / TICK, earliest: u64::MAX }
    }

    /// Sets the deadline of a timer, in milliseconds; the maximum means never.
    #[inline]
    pub(crate) fn set(&mut self, timer: &mut Timer, key: usize, deadline: u64) {
        timer.deadline = deadline;
        // The usual case: what is entered comes early enough, or never has to.
        if timer.entry == 0 || deadline / TICK + 1 < timer.entry {
            self.enter(timer, key, deadline);
        }
    }

    #[inline(never)]
    fn enter(&mut self, timer: &mut Timer, key: usize, deadline: u64) {
        if deadline == u64::MAX {
            return;
        }
        // The tick after the deadline, so that it is over when the tick comes.
        let due = (deadline / TICK + 1).clamp(self.tick + 1, self.tick + SLOTS as u64 - 1);
        if timer.entry == 0 || due < timer.entry {
            timer.entry = due;
            self.slots[slot(due)].push((due, key));
            self.earliest = self.earliest.min(due);
        }
    }

    /// When to look at the wheel again, in milliseconds, if ever.
    pub(crate) const fn next(&self) -> Option<u64> {
        if self.earliest == u64::MAX { None } else { Some(self.earliest * TICK) }
    }

    /// Goes on to `now` if nothing is due by then, else says that [`advance`](Self::advance) is to do it.
    #[inline]
    pub(crate) fn pass(&mut self, now: u64) -> bool {
        let is_due = now / TICK >= self.earliest;
        if !is_due {
            self.tick = self.tick.max(now / TICK);
        }
        is_due
    }

    /// Puts the keys whose ticks have come into `due`, if [`pass`](Self::pass) has said that there are some. For each of them
    /// the owner asks [`is_due`](Self::is_due).
    pub(crate) fn advance(&mut self, now: u64, due: &mut Vec<(u64, usize)>) {
        let now = now / TICK;
        // A turn of the wheel looks at every slot; more turns would see the same.
        let first = self.earliest.max(now.saturating_sub(SLOTS as u64 - 1));
        for tick in first..=now {
            due.append(&mut self.slots[slot(tick)]);
        }
        self.tick = now;
        self.earliest =
            (now + 1..now + SLOTS as u64).find(|&tick| !self.slots[slot(tick)].is_empty()).unwrap_or(u64::MAX);
    }

    /// Whether the timer of an entry that was given back is due. If it is not, and wants to be later, it is entered again.
    pub(crate) fn is_due(&mut self, timer: &mut Timer, entry: (u64, usize), now: u64) -> bool {
        let (tick, key) = entry;
        if timer.entry != tick {
            return false; // moved to an earlier tick, and was given back there
        }
        timer.entry = 0;
        if timer.deadline <= now {
            timer.deadline = u64::MAX;
            return true;
        }
        self.set(timer, key, timer.deadline);
        false
    }
}

const fn slot(tick: u64) -> usize {
    (tick % SLOTS as u64) as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Moves the wheel to `now` and says who is due.
    fn fire(wheel: &mut Wheel, timers: &mut [Timer], now: u64) -> Vec<usize> {
        let mut due = Vec::new();
        if wheel.pass(now) {
            wheel.advance(now, &mut due);
        }
        due.into_iter().filter(|&entry| wheel.is_due(&mut timers[entry.1], entry, now)).map(|(_, key)| key).collect()
    }

    #[test]
    fn later_deadlines_leave_the_wheel_alone() {
        let mut wheel = Wheel::new(0);
        let mut timers = [Timer::new()];
        for now in 0..1000 {
            wheel.set(&mut timers[0], 0, now + 15_000);
        }
        assert_eq!(wheel.slots.iter().map(Vec::len).sum::<usize>(), 1);
        assert!(fire(&mut wheel, &mut timers, 15_008).is_empty());
        assert_eq!(fire(&mut wheel, &mut timers, 16_007), [0]);
        assert_eq!(wheel.next(), None);
    }

    proptest! {
        /// Against a list: nobody is early, nobody is more than two ticks late, nobody is forgotten.
        #[test]
        fn agrees_with_a_list(
            steps in proptest::collection::vec((0u64..400, 0usize..6, prop_oneof![0u64..300, 0u64..60_000, Just(u64::MAX)]), 1..60)
        ) {
            let mut wheel = Wheel::new(5);
            let mut timers = [Timer::new(); 6];
            let mut list = [u64::MAX; 6];
            let mut now = 5u64;
            for (pause, key, after) in steps {
                wheel.set(&mut timers[key], key, now.saturating_add(after));
                list[key] = now.saturating_add(after);
                let until = now + pause;
                while now < until {
                    // As the loop does it: asleep until the wheel wants to be looked at.
                    now = wheel.next().unwrap_or(until).clamp(now + 1, until);
                    for key in fire(&mut wheel, &mut timers, now) {
                        prop_assert!(list[key] <= now, "early");
                        list[key] = u64::MAX;
                    }
                    for deadline in list {
                        prop_assert!(deadline.saturating_add(2 * TICK) > now, "late");
                    }
                }
            }
        }
    }
}
