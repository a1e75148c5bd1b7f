//! [`Admission`]: who has a place, who waits for one, and who gets none.
//!
//! At most `max_connections` have a place. At the limit, the connection that has idled for longest makes room; if none
//! idles, a newcomer waits in a bounded queue, and gets 503 when that is full or the wait too long.

use std::collections::VecDeque;
use std::mem;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Thread;
use std::time::{Duration, Instant};

use gateway_spec::Peer;

use crate::Config;
use crate::clock::{Clock, after, milliseconds};
use crate::guard::guarded_call;
use crate::hooks::{Exchange, Stats};
use crate::parting::{Parting, Partings};
use crate::transport::Stream;
use crate::watch::Wait;
use crate::watchdog::Refused;
use crate::wire::{LINGER_PAUSE, Wire};

/// How many connections that are answered wait without a thread for their clients to close them.
const PARTINGS: usize = 64;

/// How many refusals may wait for the hook to be told of them: a hook that blocks must not fill the memory.
const MOST_UNTOLD: usize = 1024;

/// The places of a server.
pub(crate) struct Admission {
    config: Arc<Config>,
    clock: Arc<Clock>,
    pool: Mutex<Pool>,
    /// Signalled when something has ended while the server stops.
    changed: Condvar,
    /// How many connections wait for a place; read without the lock by those that have one.
    pending: AtomicUsize,
    turned_away: AtomicU64,
    refused: Refused,
    untold: Mutex<Untold>,
    /// Connections that were answered for the last time, and have no place any more.
    partings: Partings,
    watchdog: OnceLock<Thread>,
}

#[derive(Default)]
struct Pool {
    wires: Vec<Arc<Wire>>,
    /// Waiting for a place, since when.
    pending: VecDeque<(Stream, Peer, u64)>,
    /// Connections that have a place.
    open: usize,
    /// Threads at the door: they wait there, or are on their way, or have to do with somebody who gets no place.
    at_door: usize,
    /// Requests of connections that have ended.
    requests: u64,
    /// Whether the watchdog sleeps until it is woken.
    unwatched: bool,
}

/// Refusals by the watchdog, which must not wait for a hook.
#[derive(Default)]
struct Untold {
    refusals: VecDeque<(Peer, Option<u64>)>,
    /// Whether a thread tells the hook of them.
    is_being_told: bool,
}

impl Admission {
    pub(crate) fn new(config: Arc<Config>, clock: Arc<Clock>) -> Self {
        Self {
            config,
            clock,
            // The first thread is on its way.
            pool: Mutex::new(Pool { at_door: 1, ..Pool::default() }),
            changed: Condvar::new(),
            pending: AtomicUsize::new(0),
            turned_away: AtomicU64::new(0),
            refused: Refused::default(),
            untold: Mutex::default(),
            partings: Partings::default(),
            watchdog: OnceLock::new(),
        }
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a new connection a place, or a place in the queue, or a no. Who got a place is to be served at once, by the
    /// thread that was at the door for it.
    pub(crate) fn enter(&self, stream: Stream, peer: Peer) -> Option<Entered> {
        let mut pool = self.pool();
        let mut unwatched = mem::take(&mut pool.unwatched);
        // Those who wait come first: no place is free while one of them does, and who idles makes room for them.
        // Who is shed ends in a moment; until then there is one more than allowed.
        let has_place = pool.open < self.config.max_connections || (pool.pending.is_empty() && self.shed(&pool));
        let entered = if has_place {
            pool.open += 1;
            // The last one stays in the count, for who is to come.
            let is_last = pool.at_door == 1;
            if !is_last {
                pool.at_door -= 1;
            }
            drop(pool);
            Some(Entered { stream, peer, is_last })
        } else if pool.pending.len() < self.config.max_pending {
            pool.pending.push_back((stream, peer, self.clock.now()));
            self.note_pending(&pool);
            None
        } else {
            drop(pool);
            let sent = self.refuse(stream);
            self.report_refusal(&peer, sent);
            unwatched = true;
            None
        };
        if unwatched {
            self.wake_watchdog();
        }
        entered
    }

    /// A connection has ended: its place becomes free, or that of who waits for one, and is served by its thread. If nobody
    /// does, the thread goes to the door.
    pub(crate) fn leave(&self) -> Option<(Stream, Peer)> {
        let mut pool = self.pool();
        pool.open -= 1;
        if pool.open < self.config.max_connections
            && let Some((stream, peer, _)) = pool.pending.pop_front()
        {
            self.note_pending(&pool);
            pool.open += 1;
            return Some((stream, peer));
        }
        pool.at_door += 1;
        None
    }

    /// A thread goes from the door, or could not be made.
    pub(crate) fn go(&self) {
        self.pool().at_door -= 1;
    }

    /// A thread goes from the door, unless it is the last one there; whether it does.
    pub(crate) fn go_unless_last(&self) -> bool {
        let mut pool = self.pool();
        let others = pool.at_door > 1;
        if others {
            pool.at_door -= 1;
        }
        others
    }

    /// Counts a thread that has to come to the door if nobody is there; whether it has to.
    pub(crate) fn call_if_unattended(&self) -> bool {
        let mut pool = self.pool();
        let unattended = pool.at_door == 0;
        if unattended {
            pool.at_door = 1;
        }
        unattended
    }

    /// Tells who waits for the end to look again.
    pub(crate) fn wake_all(&self) {
        self.changed.notify_all();
    }

    /// Names the thread that watches; once.
    pub(crate) fn set_watchdog(&self, watchdog: &Thread) {
        let _ = self.watchdog.set(watchdog.clone());
    }

    pub(crate) fn wake_watchdog(&self) {
        if let Some(thread) = self.watchdog.get() {
            thread.unpark();
        }
    }

    /// Puts a connection into the list of those that are being served, while what is returned lives.
    pub(crate) fn register<'a>(&'a self, wire: &'a Arc<Wire>) -> Registered<'a> {
        self.pool().wires.push(Arc::clone(wire));
        Registered { admission: self, wire }
    }

    /// Lets a connection go that was answered for the last time: its client will see the end and close it, and no thread
    /// waits for that. It comes back if it is shared, or if too many are here already.
    pub(crate) fn part(&self, wire: Arc<Wire>) -> Result<(), Arc<Wire>> {
        let now = self.clock.now();
        if !self.partings.has_room(PARTINGS, now) {
            return Err(wire);
        }
        let Wire { stream, .. } = Arc::try_unwrap(wire)?;
        let until = now + milliseconds(self.config.linger_timeout);
        self.partings.put(Parting { stream, until, room: self.config.max_linger }, usize::MAX);
        Ok(())
    }

    /// Closes connections that were let go, as far as they are over; whether any was.
    pub(crate) fn end_partings(&self) -> bool {
        self.partings.tick(self.clock.now())
    }

    /// The server stops: who was let go has a moment longer, and not more.
    pub(crate) fn hurry_partings(&self) {
        self.partings.hurry(self.clock.now() + milliseconds(LINGER_PAUSE));
    }

    /// Adds all connections that are being served to a list.
    pub(crate) fn list_wires(&self, wires: &mut Vec<Arc<Wire>>) {
        wires.extend(self.pool().wires.iter().cloned());
    }

    /// Does something to each connection that is being served.
    pub(crate) fn each_wire(&self, act: impl Fn(&Wire)) {
        let mut wires = Vec::new();
        self.list_wires(&mut wires);
        wires.iter().for_each(|wire| act(wire));
    }

    /// Whether somebody waits for a place.
    pub(crate) fn has_pending(&self) -> bool {
        self.pending.load(Ordering::Relaxed) > 0
    }

    /// Whether there is nothing for the watchdog to watch. Then it has to be woken for the next connection.
    pub(crate) fn may_sleep(&self) -> bool {
        let mut pool = self.pool();
        pool.unwatched = pool.open == 0
            && pool.pending.is_empty()
            && self.refused.is_empty()
            && self.partings.is_empty()
            && !self.has_untold();
        pool.unwatched
    }

    /// Waits until no connection is left, none waits and none can come, and hooks know of all, or for `limit`, or until
    /// `is_enough`. True if none is left.
    pub(crate) fn wait_until_empty(&self, limit: Duration, is_enough: impl Fn() -> bool) -> bool {
        let deadline = after(limit);
        let mut pool = self.pool();
        while pool.open > 0
            || pool.at_door > 0
            || !pool.pending.is_empty()
            || !self.partings.is_empty()
            || self.has_untold()
        {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || is_enough() {
                return false;
            }
            // In steps, as nobody is told that it is enough, or that a client has closed its side.
            let step = if self.partings.is_empty() { 50 } else { 5 };
            self.partings.tick(self.clock.now());
            let step = left.min(Duration::from_millis(step));
            pool = self.changed.wait_timeout(pool, step).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Closes the connections that wait for a place, or for nothing but their client.
    pub(crate) fn drop_pending(&self) {
        self.partings.clear();
        let mut pool = self.pool();
        pool.pending.clear();
        self.note_pending(&pool);
    }

    /// The counts of connections and requests.
    pub(crate) fn stats(&self) -> Stats {
        let pool = self.pool();
        let running: u64 = pool.wires.iter().map(|wire| wire.requests.load(Ordering::Relaxed)).sum();
        Stats {
            accepted: 0,
            open: pool.open,
            requests: pool.requests + running,
            refused: self.turned_away.load(Ordering::Relaxed),
            threads: 0,
        }
    }

    /// What has to be done now and then: room for who waits, a no for who has waited too long or was told so.
    pub(crate) fn tick(&self, now: u64) {
        if self.has_pending() {
            self.make_room();
            self.refuse_late(now);
        }
        self.refused.tick(now);
        self.partings.tick(now);
    }

    /// Lets idle connections make room for who waits: all were busy when they came, some may not be any more.
    fn make_room(&self) {
        let pool = self.pool();
        for _ in 0..pool.pending.len() {
            if !self.shed(&pool) {
                break;
            }
        }
    }

    /// Says no to who has waited too long for a place.
    fn refuse_late(&self, now: u64) {
        let limit = milliseconds(self.config.pending_timeout);
        let mut late = Vec::new();
        let mut pool = self.pool();
        while pool.pending.front().is_some_and(|(_, _, since)| since + limit <= now) {
            late.extend(pool.pending.pop_front());
        }
        self.note_pending(&pool);
        drop(pool);
        for (stream, peer, _) in late {
            let sent = self.refuse(stream);
            let mut untold = self.untold();
            if self.config.on_response.is_some() && untold.refusals.len() < MOST_UNTOLD {
                untold.refusals.push_back((peer, sent));
            }
        }
    }

    /// Says no, and keeps the connection for a moment so that the client can see it. Returns what was sent, to be
    /// [reported](Self::report_refusal).
    fn refuse(&self, stream: Stream) -> Option<u64> {
        self.turned_away.fetch_add(1, Ordering::Relaxed);
        let config = &self.config;
        let server = config.server_header.as_deref();
        self.refused.add(stream, &self.clock, server, config.linger_timeout, config.max_pending)
    }

    fn untold(&self) -> MutexGuard<'_, Untold> {
        self.untold.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the hook has to be told of a refusal, or is at this moment.
    fn has_untold(&self) -> bool {
        let untold = self.untold();
        untold.is_being_told || !untold.refusals.is_empty()
    }

    /// Whether there are refusals that no thread tells the hook of. If so, one is expected to
    /// [tell them](Self::tell_refusals).
    pub(crate) fn begin_to_tell(&self) -> bool {
        let mut untold = self.untold();
        let begins = !untold.is_being_told && !untold.refusals.is_empty();
        untold.is_being_told |= begins;
        begins
    }

    /// Nobody tells the hook after all.
    pub(crate) fn tell_later(&self) {
        self.untold().is_being_told = false;
    }

    /// Tells the hook of all refusals by the watchdog, on a thread that nobody waits for.
    pub(crate) fn tell_refusals(&self) {
        loop {
            let mut untold = self.untold();
            let Some((peer, sent)) = untold.refusals.pop_front() else {
                untold.is_being_told = false;
                return;
            };
            drop(untold);
            self.report_refusal(&peer, sent);
        }
    }

    /// Says no and closes, for want of a descriptor to wait with.
    pub(crate) fn refuse_at_once(&self, stream: Stream, peer: &Peer) {
        self.turned_away.fetch_add(1, Ordering::Relaxed);
        // Room for none: the stream is closed when it is pushed out again.
        let alone = Refused::default();
        let sent = alone.add(stream, &self.clock, self.config.server_header.as_deref(), Duration::ZERO, 1);
        self.report_refusal(peer, sent);
    }

    /// Tells the `on_response` hook of a 503 with so many bytes of content; of none if the client has gone before.
    fn report_refusal(&self, peer: &Peer, sent: Option<u64>) {
        let Some(hook) = &self.config.on_response else { return };
        let exchange = Exchange {
            peer,
            method: "",
            target: "",
            version: "",
            status: 503,
            bytes: sent.unwrap_or(0),
            aborted: sent.is_none(),
            duration: Duration::ZERO,
            referer: None,
            user_agent: None,
        };
        // At the door, mostly: a panic must not end its thread.
        let _ = guarded_call(|| hook(&exchange));
    }

    /// Ends the connection that has idled for longest; `false` if none idles.
    pub(crate) fn shed_one(&self) -> bool {
        self.shed(&self.pool())
    }

    fn shed(&self, pool: &Pool) -> bool {
        loop {
            let waiting = pool.wires.iter().filter_map(|wire| Some((wire.watch.now()?, wire)));
            let idle = waiting.filter(|(seen, _)| seen.wait == Wait::Request);
            // All idle for the same time at most, so who must end first has begun first.
            let Some((seen, wire)) = idle.min_by_key(|(seen, _)| seen.until) else { return false };
            if wire.cut(seen) {
                self.turned_away.fetch_add(1, Ordering::Relaxed);
                return true;
            }
            // It got a request in this moment; look again.
        }
    }

    fn note_pending(&self, pool: &Pool) {
        self.pending.store(pool.pending.len(), Ordering::Relaxed);
    }
}

/// Who got a place.
pub(crate) struct Entered {
    pub(crate) stream: Stream,
    pub(crate) peer: Peer,
    /// Whether its thread was the last one at the door, so that another has to come.
    pub(crate) is_last: bool,
}

/// A connection is in the list while this lives.
pub(crate) struct Registered<'a> {
    admission: &'a Admission,
    wire: &'a Arc<Wire>,
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        let mut pool = self.admission.pool();
        if let Some(index) = pool.wires.iter().position(|wire| Arc::ptr_eq(wire, self.wire)) {
            pool.wires.swap_remove(index);
        }
        pool.requests += self.wire.requests.load(Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    /// Those who wait are served in the order in which they came, also if somebody idles by now.
    #[test]
    fn newcomers_do_not_overtake_who_waits() {
        let config = Arc::new(Config { max_connections: 1, ..Config::default() });
        let clock = Arc::new(Clock::new());
        let admission = Admission::new(Arc::clone(&config), Arc::clone(&clock));
        let (mut peers, mut clients) = ((1..).map(|port| Peer::tcp(([127, 0, 0, 1], port).into())), vec![]);
        let mut comes = || {
            let (stream, client) = UnixStream::pair().unwrap();
            clients.push(client);
            admission.enter(Stream::Unix(stream), peers.next().unwrap())
        };
        let Entered { stream, peer, .. } = comes().unwrap();
        let wire = Arc::new(Wire::new(stream, peer, config, clock, Vec::new()));
        let registered = admission.register(&wire);
        assert!(comes().is_none(), "the first is busy");
        wire.watch.begin(Wait::Request, 100);
        assert!(comes().is_none(), "the second was there before");
        admission.tick(0);
        assert!(wire.is_closing(), "who idles makes room");
        drop(registered);
        let ports: Vec<_> = [admission.leave(), admission.leave()]
            .map(|next| next.and_then(|(_, peer)| peer.addr()).map(|addr| addr.port()))
            .into();
        assert_eq!(ports, [Some(2), Some(3)]);
        assert!(admission.leave().is_none());
    }
}
