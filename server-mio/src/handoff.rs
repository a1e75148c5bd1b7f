//! [`Handoff`]: one loop, several threads, and at most one of them in it.
//!
//! The thread that has a loop's lock is its *leader*. It waits for events and drives connections, which means that it
//! calls the application. Before it drives one it notes a *ticket* and lets go of the lock; afterwards it takes the lock
//! again and goes on, as if nothing had happened. That is the usual course, and costs a few atomic instructions.
//!
//! If the application blocks, the *monitor* sees the same ticket at two looks, and summons a thread that *stands
//! by*; where that was to be expected ([`forecast`](crate::forecast)), the leader has done so. It takes the lock, which
//! is free, and is the leader now. The thread that comes back finds the lock taken: it is *detached*, sends its connection
//! to the loop's inbox, helps with requests that wait for a thread, and stands by.
//!
//! What holds, and what the model in the tests shows for every interleaving:
//!
//! 1. At most one leader: only who has the lock acts on the loop.
//! 2. Only threads that are ready to lead try to take the lock, and never wait for it, until the loop has ended. So a
//!    failed attempt means that there is a leader, who will see the inbox.
//! 3. No connection is lost: who drives it either settles it under the lock or puts it into the inbox.
//! 4. No wake-up is lost: a message that finds the inbox empty wakes the poll, whoever polls or will poll next.
//! 5. The loop never stands still, as long as threads can be made: the last that could lead does not call the application;
//!    requests wait then.

use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long a thread stands by before it ends, if another one stands by too.
const RETIRE: Duration = Duration::from_secs(10);

/// How many blocked applications make it likely that the next one blocks soon.
const CROWD: isize = 4;

/// Who leads a loop, and who could.
#[derive(Debug)]
pub(crate) struct Handoff {
    /// Counts the changes of who does what; odd while a connection is driven. Written with the lock held only.
    ticket: AtomicU64,
    /// The last ticket that the monitor has met in the application.
    seen: AtomicU64,
    /// Threads that drive a connection and have lost the lock.
    detached: AtomicIsize,
    threads: Mutex<Threads>,
    wake: Condvar,
    /// Most threads of this loop.
    cap: usize,
}

#[derive(Debug, Default)]
struct Threads {
    total: usize,
    standing_by: usize,
    /// Somebody should take the lock.
    summoned: bool,
    ended: bool,
}

/// What a summons came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Summons {
    /// A thread was woken.
    Woken,
    /// A new one has to be made; it is counted already.
    Spawn,
    /// There are as many threads as there may be.
    Full,
}

/// The ticket of a thread that drives a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket(u64);

impl Handoff {
    /// For at most `cap` threads, and not less than two: one to block, one to lead.
    pub(crate) fn new(cap: usize) -> Self {
        Self {
            ticket: AtomicU64::new(0),
            seen: AtomicU64::new(0),
            detached: AtomicIsize::new(0),
            threads: Mutex::default(),
            wake: Condvar::new(),
            // Below what a count of threads can hold.
            cap: cap.clamp(2, i32::MAX as usize),
        }
    }

    /// The leader is about to drive a connection. With the lock held.
    pub(crate) fn depart(&self) -> Ticket {
        let ticket = self.ticket.load(Ordering::Relaxed) + 1;
        // In one order with the monitor's flag, so that it cannot fall asleep over this ticket.
        self.ticket.store(ticket, Ordering::SeqCst);
        Ticket(ticket)
    }

    /// Whether nobody has taken over since.
    pub(crate) fn is_current(&self, ticket: Ticket) -> bool {
        self.ticket.load(Ordering::Acquire) == ticket.0
    }

    /// Whether the monitor has met it since, or somebody has taken over.
    #[inline]
    pub(crate) fn was_seen(&self, ticket: Ticket) -> bool {
        self.seen.load(Ordering::Relaxed) == ticket.0 || !self.is_current(ticket)
    }

    /// It is back and has the lock again. With the lock held.
    pub(crate) fn arrive(&self, ticket: Ticket) {
        let now = self.ticket.load(Ordering::Relaxed);
        if now == ticket.0 {
            self.ticket.store(now + 1, Ordering::Release);
        } else {
            // It was overtaken, and the one who overtook it is driving a connection in its turn: they change places.
            self.take_over();
            self.detached.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// A thread that stood by has taken the lock. With the lock held.
    pub(crate) fn take_over(&self) {
        let now = self.ticket.load(Ordering::Relaxed);
        if now & 1 == 1 {
            self.detached.fetch_add(1, Ordering::SeqCst);
            self.ticket.store(now + 1, Ordering::Release);
        } else {
            self.ticket.store(now + 2, Ordering::Release);
        }
    }

    /// A detached thread has nothing to do any more.
    pub(crate) fn rejoin(&self) {
        self.detached.fetch_sub(1, Ordering::SeqCst);
    }

    /// Whether nobody could take over from the leader, so that it must not block.
    pub(crate) fn is_last(&self) -> bool {
        self.detached.load(Ordering::SeqCst) >= self.cap as isize - 1
    }

    /// Whether most threads are still to be had.
    pub(crate) fn has_plenty(&self) -> bool {
        self.detached.load(Ordering::SeqCst) <= self.cap as isize / 4
    }

    /// For the monitor: whether some application blocks at this moment.
    pub(crate) fn has_detached(&self) -> bool {
        self.detached.load(Ordering::SeqCst) > 0
    }

    /// For the monitor: whether several applications block at this moment. A thread that was only not given a processor
    /// looks like one that blocks, but comes back soon.
    pub(crate) fn is_crowded(&self) -> bool {
        self.detached.load(Ordering::SeqCst) >= CROWD
    }

    /// For the monitor: the ticket, and whether it is that of a thread that drives a connection.
    pub(crate) fn look(&self) -> (u64, bool) {
        let ticket = self.ticket.load(Ordering::SeqCst);
        (ticket, ticket & 1 == 1)
    }

    /// For the monitor: it has met the thread with this ticket in the application.
    pub(crate) fn meet(&self, ticket: u64) {
        self.seen.store(ticket, Ordering::Relaxed);
    }

    fn threads(&self) -> MutexGuard<'_, Threads> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody should try to lead. Who asks too early, when the next one is on its way, has to ask again.
    pub(crate) fn summon(&self) -> Summons {
        let mut threads = self.threads();
        if threads.standing_by > 0 {
            threads.summoned = true;
            // It needs the lock as soon as it is awake.
            drop(threads);
            self.wake.notify_one();
            return Summons::Woken;
        }
        let busy = 1 + usize::try_from(self.detached.load(Ordering::SeqCst)).unwrap_or(0);
        if threads.summoned || threads.total > busy {
            // One that was made, or is done with its connection, has not come yet: on a busy machine that takes a while, and
            // no more are needed. It may also be taking the lead at this moment, so that it is not to be summoned again.
            return Summons::Woken;
        }
        if threads.total >= self.cap || threads.ended {
            return Summons::Full;
        }
        threads.total += 1;
        threads.summoned = true;
        Summons::Spawn
    }

    /// A thread waits to be summoned; false if it should end instead.
    pub(crate) fn stand_by(&self) -> bool {
        let mut threads = self.threads();
        threads.standing_by += 1;
        let mut bored = false;
        while !(threads.summoned || threads.ended || bored && threads.standing_by > 1) {
            if bored {
                // The last one stays, and need not wake up for that: who joins it looks after its own time.
                threads = self.wake.wait(threads).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let (guard, timeout) = self.wake.wait_timeout(threads, RETIRE).unwrap_or_else(PoisonError::into_inner);
            threads = guard;
            bored = timeout.timed_out();
        }
        threads.standing_by -= 1;
        let goes_on = !threads.ended && threads.summoned;
        if goes_on {
            threads.summoned = false;
        } else {
            threads.total -= 1;
            self.wake.notify_all();
        }
        goes_on
    }

    /// A thread that was counted could not be made, or has ended otherwise.
    pub(crate) fn leave(&self) {
        let mut threads = self.threads();
        threads.total -= 1;
        threads.summoned = false;
        drop(threads);
        self.wake.notify_all();
    }

    /// The loop has ended: so should its threads.
    pub(crate) fn end(&self) {
        self.threads().ended = true;
        self.wake.notify_all();
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.threads().ended
    }

    /// How many threads there are.
    pub(crate) fn count(&self) -> usize {
        self.threads().total
    }

    /// Waits until all threads have left, at most this long; says whether they have.
    pub(crate) fn wait_until_empty(&self, timeout: Duration) -> bool {
        let threads = self.threads();
        let left = self.wake.wait_timeout_while(threads, timeout, |threads| threads.total > 0);
        left.unwrap_or_else(PoisonError::into_inner).0.total == 0
    }
}

/// When the monitor sleeps, and how it is woken.
#[derive(Debug, Default)]
pub(crate) struct Doze {
    asleep: AtomicBool,
    thread: Mutex<Option<std::thread::Thread>>,
}

impl Doze {
    /// The thread that is the monitor.
    pub(crate) fn register(&self) {
        *self.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(std::thread::current());
    }

    /// Wakes the monitor if it sleeps. After a ticket was stored.
    #[inline]
    pub(crate) fn wake(&self) {
        if self.asleep.load(Ordering::SeqCst) {
            self.rouse();
        }
    }

    #[cold]
    fn rouse(&self) {
        if self.asleep.swap(false, Ordering::SeqCst)
            && let Some(thread) = &*self.thread.lock().unwrap_or_else(PoisonError::into_inner)
        {
            thread.unpark();
        }
    }

    /// Sleeps until woken, unless `busy` says that there is something to see after all; with a limit, for about so long.
    pub(crate) fn sleep(&self, limit: Option<Duration>, busy: impl Fn() -> bool) {
        self.asleep.store(true, Ordering::SeqCst);
        while self.asleep.load(Ordering::SeqCst) && !busy() {
            match limit {
                Some(limit) => {
                    std::thread::park_timeout(limit);
                    break;
                }
                None => std::thread::park(),
            }
        }
        self.asleep.store(false, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A thread leads and drives a connection.
    fn take_the_lead(handoff: &Handoff) -> Ticket {
        assert!(handoff.stand_by(), "it is summoned");
        handoff.take_over();
        handoff.depart()
    }

    /// A thread is made when all others are in an application, and not while one is on its way.
    #[test]
    fn no_more_threads_are_made_than_are_needed() {
        let handoff = Handoff::new(3);
        assert_eq!(handoff.summon(), Summons::Spawn);
        assert_eq!(handoff.summon(), Summons::Woken, "the first is on its way");
        let first = take_the_lead(&handoff);
        assert_eq!(handoff.summon(), Summons::Spawn);
        let second = take_the_lead(&handoff);
        assert!(!handoff.is_current(first) && handoff.is_current(second) && handoff.has_detached());
        // The first has come back and is going to stand by.
        handoff.rejoin();
        assert_eq!(handoff.summon(), Summons::Woken);
        assert_eq!(handoff.count(), 2);
    }

    /// A thread that is taking the lead is nobody who could be summoned: what is asked for then is asked for again.
    #[test]
    fn who_is_about_to_lead_is_not_summoned() {
        let handoff = Handoff::new(3);
        assert_eq!(handoff.summon(), Summons::Spawn);
        take_the_lead(&handoff);
        assert_eq!(handoff.summon(), Summons::Spawn);
        assert!(handoff.stand_by());
        assert_eq!(handoff.summon(), Summons::Woken);
        handoff.take_over();
        handoff.depart();
        assert_eq!(handoff.summon(), Summons::Spawn, "it blocks, too");
        take_the_lead(&handoff);
        assert!(handoff.is_last());
        assert_eq!(handoff.summon(), Summons::Full);
    }

    /// What the monitor has met is known until the next ticket.
    #[test]
    fn who_was_met_is_known() {
        let handoff = Handoff::new(2);
        handoff.summon();
        let ticket = take_the_lead(&handoff);
        assert!(!handoff.was_seen(ticket));
        assert_eq!(handoff.look(), (ticket.0, true));
        handoff.meet(ticket.0);
        assert!(handoff.was_seen(ticket));
        handoff.arrive(ticket);
        let ticket = handoff.depart();
        assert!(!handoff.was_seen(ticket));
    }
}
