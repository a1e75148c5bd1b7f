//! [`Core`]: what the leader of a loop works on: the poll, the connections at home, the listener and the timers.

mod accept;

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use gateway_spec::Peer;
use mio::{Events, Poll, Registry, Token};

use crate::clock::millis;
use crate::connection::{Connection, Next, Ready};
use crate::inbox::{Inbox, Message};
use crate::lane::Waiting;
use crate::server::{Shared, State};
use crate::socket::Socket;
use crate::timers::{Timer, Wheel};
use crate::transport::{LoopListener, Stream};

pub(crate) const WAKER: Token = Token(usize::MAX);
const LISTENER: Token = Token(usize::MAX - 1);
/// How long nothing is accepted after the descriptors ran out.
const BACK_OFF: u64 = 50;
/// After how many milliseconds a new connection that says nothing counts as idle, and may be closed for another one.
const FRESH: u64 = 500;
/// After how many milliseconds it is looked whether a client that was told all has closed its side, without an event.
const MOMENT: u64 = 2;
/// Half of a token tells the place of a connection, the other half makes it different from others that had the place.
const HALF: u32 = usize::BITS / 2;

/// The state of a loop. Whoever has it is the leader.
#[derive(Debug)]
pub(crate) struct Core {
    poll: Poll,
    events: Events,
    slots: Vec<Slot>,
    free: Vec<usize>,
    /// What happened and was not looked at.
    ready: VecDeque<(usize, Ready)>,
    /// Connections that had their turn and want another.
    later: Vec<usize>,
    /// Connections without events, that are over in a moment, and since when.
    soon: VecDeque<(usize, u64)>,
    wheel: Wheel,
    due: Vec<(u64, usize)>,
    inbox: Arc<Inbox>,
    messages: Vec<Message>,
    listener: Option<LoopListener>,
    /// Whether there may be somebody to accept.
    acceptable: bool,
    /// When to accept again, after the descriptors ran out.
    accept_at: u64,
    /// Whether it has failed last time, and that was said.
    accept_fails: bool,
    /// A descriptor to be given up when there are no others, so that somebody can be told.
    reserve: Option<File>,
    /// New connections that wait for a place.
    newcomers: VecDeque<(Stream, Peer, u64)>,
    /// Connections to be told that there are too many.
    refused: VecDeque<Box<Connection>>,
    /// How many connections were driven and wait.
    settled: u64,
    /// When a shutdown stops to be graceful.
    stop_at: u64,
    stopped: bool,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Slot {
    generation: usize,
    place: Place,
    /// What happened while the connection was away.
    missed: Ready,
    /// Since when it has been idle; zero if it is not.
    idle_since: u64,
    /// Which of those that began to idle in the same millisecond was first.
    idle_order: u64,
    timer: Timer,
    /// Whether its deadline has passed, and it was not driven since.
    is_late: bool,
    /// To cut the connection of an application that does not return.
    socket: Weak<Socket>,
    /// Whether its client is only told that there is no place.
    turned_away: bool,
}

#[derive(Debug)]
enum Place {
    Free,
    Home(Box<Connection>),
    /// Driven by some thread.
    Away,
}

/// What the leader does next.
#[derive(Debug)]
pub(crate) enum Job {
    Drive(Box<Connection>, Ready),
    Overload(Box<Connection>),
}

impl Core {
    pub(crate) fn new(
        poll: Poll,
        mut listener: LoopListener,
        inbox: Arc<Inbox>,
        shared: Arc<Shared>,
    ) -> io::Result<Self> {
        listener.register(poll.registry(), LISTENER)?;
        Ok(Self {
            poll,
            events: Events::with_capacity(512),
            slots: Vec::new(),
            free: Vec::new(),
            ready: VecDeque::new(),
            later: Vec::new(),
            soon: VecDeque::new(),
            wheel: Wheel::new(shared.clock.now()),
            due: Vec::new(),
            inbox,
            messages: Vec::new(),
            listener: Some(listener),
            // Somebody may have come before the loop began.
            acceptable: true,
            accept_at: 0,
            accept_fails: false,
            reserve: File::open("/dev/null").ok(),
            newcomers: VecDeque::new(),
            refused: VecDeque::new(),
            settled: 0,
            stop_at: u64::MAX,
            stopped: false,
            shared,
        })
    }

    pub(crate) fn registry(&self) -> io::Result<Registry> {
        self.poll.registry().try_clone()
    }

    /// The next thing to do, waiting for it; `None` when the loop has ended. `may_block` says whether a request that
    /// waits for a thread could have this one.
    pub(crate) fn next(&mut self, waiting: &Waiting, may_block: impl Fn() -> bool) -> Option<Job> {
        loop {
            if self.stopped || (self.listener.is_none() && self.is_done(waiting)) {
                return None;
            }
            if let Some(connection) = self.refused.pop_front() {
                return Some(Job::Overload(connection));
            }
            if let Some((token, ready)) = self.ready.pop_front() {
                // What came in the same turn was looked at first, and the deadline may have been that of it.
                if ready.has(Ready::DEADLINE) && !self.slot(token).is_some_and(|slot| slot.is_late) {
                    continue;
                }
                match self.take(token, ready) {
                    Some(connection) => return Some(Job::Drive(connection, ready)),
                    None => continue,
                }
            }
            if !waiting.is_empty() {
                if let Some(connection) = waiting.expired(self.shared.clock.now()) {
                    return Some(Job::Overload(connection));
                }
                if may_block()
                    && let Some(connection) = waiting.pop()
                {
                    return Some(Job::Drive(connection, Ready::NONE));
                }
            }
            if !self.acceptable {
                self.turn(waiting);
                continue;
            }
            let listened = self.listener.is_some();
            self.accept(self.shared.clock.now());
            // Whoever has stopped listening may have nothing more to wait for. Who has just come is looked at next, but not
            // again and again before those who wait for an event.
            let idle = self.refused.is_empty() && self.ready.is_empty();
            if (idle || self.acceptable) && listened == self.listener.is_some() {
                self.turn(waiting);
            }
        }
    }

    /// Takes all connections that no thread has, at the end, and those that come back. They do not count any more.
    pub(crate) fn clear(&mut self, waiting: &Waiting) -> VecDeque<Box<Connection>> {
        self.listen_no_more();
        self.read_messages(waiting, self.shared.clock.now());
        self.shared.counts.newcomers.fetch_sub(self.newcomers.len(), Ordering::SeqCst);
        self.newcomers.clear();
        let mut connections = std::mem::take(&mut self.refused);
        connections.extend(std::iter::from_fn(|| waiting.pop()));
        for slot in &mut self.slots {
            match std::mem::replace(&mut slot.place, Place::Free) {
                Place::Home(connection) => connections.push_back(connection),
                // The thread that has it may be anywhere in the application: it finds the connection cut.
                Place::Away => {
                    if let Some(socket) = slot.socket.upgrade() {
                        socket.cut();
                    }
                    slot.place = Place::Away;
                }
                Place::Free => {}
            }
        }
        connections.iter().for_each(|connection| self.vacate(connection.token));
        connections
    }

    /// Whether a shutdown has nothing more to wait for.
    fn is_done(&self, waiting: &Waiting) -> bool {
        self.free.len() == self.slots.len()
            && self.newcomers.is_empty()
            && self.refused.is_empty()
            && waiting.is_empty()
    }

    /// Takes a connection out to be driven.
    fn take(&mut self, token: usize, ready: Ready) -> Option<Box<Connection>> {
        let slot = self.slot(token)?;
        match std::mem::replace(&mut slot.place, Place::Away) {
            Place::Home(connection) => {
                (slot.idle_since, slot.is_late) = (0, false);
                Some(connection)
            }
            Place::Away => {
                slot.missed = slot.missed.with(ready);
                None
            }
            Place::Free => {
                slot.place = Place::Free;
                None
            }
        }
    }

    fn slot(&mut self, token: usize) -> Option<&mut Slot> {
        self.slots.get_mut(token & ((1 << HALF) - 1)).filter(|slot| slot.generation == token >> HALF)
    }

    /// A connection was driven, and waits for something; without one it is over.
    pub(crate) fn settle(&mut self, token: usize, connection: Option<Box<Connection>>, next: Next, waiting: &Waiting) {
        let now = self.shared.clock.now();
        let Some(connection) = connection.filter(|_| next != Next::Close) else {
            self.vacate(token);
            return;
        };
        let index = token & ((1 << HALF) - 1);
        let slot = &mut self.slots[index];
        let (deadline, idle) = match next {
            Next::Wait(deadline) => (deadline, false),
            Next::Idle(deadline) => (deadline, true),
            Next::Soon(deadline) => {
                self.soon.push_back((token, now));
                (deadline, true)
            }
            Next::Thread { fresh } => {
                if let Err(connection) = waiting.push(connection, fresh, now) {
                    self.refused.push_back(connection);
                }
                return;
            }
            Next::Again | Next::Close => {
                self.later.push(token);
                (u64::MAX, false)
            }
        };
        slot.idle_since = match idle {
            true => now,
            // It has just come, and is not idle yet.
            false if connection.is_silent() => now + FRESH,
            false => 0,
        };
        slot.idle_order = self.settled;
        self.settled += 1;
        slot.place = Place::Home(connection);
        self.wheel.set(&mut slot.timer, token, deadline);
        let missed = std::mem::replace(&mut slot.missed, Ready::NONE);
        if missed != Ready::NONE {
            self.ready.push_back((token, missed));
        } else if idle && self.shared.counts.newcomers.load(Ordering::Relaxed) > 0 {
            // Somebody waits for a place, here or in another loop.
            self.shed(now);
        }
    }

    /// A place is free; who waits for one gets it.
    #[inline(never)]
    fn vacate(&mut self, token: usize) {
        let index = token & ((1 << HALF) - 1);
        let slot = &mut self.slots[index];
        slot.place = Place::Free;
        slot.generation = (slot.generation + 1) & ((1 << (HALF - 1)) - 1);
        slot.missed = Ready::NONE;
        slot.idle_since = 0;
        (slot.timer, slot.is_late) = (Timer::new(), false);
        slot.socket = Weak::new();
        self.free.push(index);
        if std::mem::take(&mut slot.turned_away) {
            self.shared.counts.turned_away.fetch_sub(1, Ordering::SeqCst);
            return;
        }
        self.shared.counts.open.fetch_sub(1, Ordering::SeqCst);
        if !self.newcomers.is_empty() {
            self.let_in();
        } else if self.shared.counts.newcomers.load(Ordering::SeqCst) > 0 {
            self.shared.tell_others(&self.inbox, || Message::Look);
        }
    }

    /// Waits for events, deadlines and messages.
    fn turn(&mut self, waiting: &Waiting) {
        let timeout = self.patience(waiting);
        if let Err(error) = self.poll.poll(&mut self.events, timeout) {
            self.bear(&error);
        }
        let now = self.shared.clock.advance();
        let mut woken = false;
        for event in &self.events {
            match event.token() {
                WAKER => woken = true,
                // One that came before the end of listening may be seen after it.
                LISTENER => self.acceptable |= self.listener.is_some(),
                Token(token) => {
                    let mut ready = Ready::NONE;
                    if event.is_readable() {
                        ready = ready.with(Ready::READ);
                    }
                    if event.is_writable() {
                        ready = ready.with(Ready::WRITE);
                    }
                    if event.is_read_closed() {
                        ready = ready.with(Ready::FINISHED);
                    }
                    if event.is_error() || (event.is_write_closed() && event.is_read_closed()) {
                        ready = ready.with(Ready::GONE);
                    }
                    self.ready.push_back((token, ready));
                }
            }
        }
        if woken {
            self.read_messages(waiting, now);
        }
        if !self.later.is_empty() {
            self.ready.extend(self.later.drain(..).map(|token| (token, Ready::NONE)));
        }
        while self.soon.front().is_some_and(|(_, since)| since + MOMENT <= now) {
            self.ready.extend(self.soon.pop_front().map(|(token, _)| (token, Ready::READ)));
        }
        self.expire(now);
    }

    /// The poll has failed.
    #[cold]
    fn bear(&self, error: &io::Error) {
        if error.kind() != io::ErrorKind::Interrupted {
            // It cannot fail for a reason that goes away by itself; to spin on it would be worse than to say so.
            self.shared.config.errors.write(&format!("server-mio: the poll has failed: {error}\n"));
            std::thread::sleep(Duration::from_millis(BACK_OFF));
        }
    }

    /// How long nothing is to be done, unless something happens; for ever if `None`.
    fn patience(&self, waiting: &Waiting) -> Option<Duration> {
        let now = self.shared.clock.now();
        if !self.ready.is_empty() || !self.later.is_empty() || (self.acceptable && self.accept_at <= now) {
            return Some(Duration::ZERO);
        }
        let mut until = self.wheel.next().unwrap_or(u64::MAX).min(self.stop_at);
        if self.acceptable && self.listener.is_some() {
            until = until.min(self.accept_at);
        }
        if let Some((_, since)) = self.soon.front() {
            until = until.min(since + MOMENT);
        }
        if let Some((_, _, since)) = self.newcomers.front() {
            until = until.min(since + millis(self.shared.config.pending_timeout)).min(now + FRESH / 4);
        }
        if let Some(next) = waiting.next() {
            until = until.min(next);
        }
        (until != u64::MAX).then(|| Duration::from_millis(until.saturating_sub(now)))
    }

    #[inline(never)]
    fn read_messages(&mut self, waiting: &Waiting, now: u64) {
        let mut messages = std::mem::take(&mut self.messages);
        self.inbox.take(&mut messages);
        for message in messages.drain(..) {
            match message {
                Message::Returned(token, connection, next) => self.settle(token, connection, next, waiting),
                Message::Woken(token) => self.ready.push_back((token, Ready::WOKEN)),
                Message::Look => self.let_in(),
                Message::Shed => {
                    self.shed(now);
                }
                // Another loop may have made room meanwhile.
                Message::MakeRoom if self.shared.counts.is_full(self.shared.config.max_connections) => {
                    self.shed(now);
                }
                Message::MakeRoom => {}
                Message::Shutdown => self.shut_down(now),
            }
        }
        self.messages = messages;
    }

    /// What is due: connections, newcomers, the end of a shutdown.
    #[inline]
    fn expire(&mut self, now: u64) {
        if self.wheel.pass(now) {
            self.expire_connections(now);
        }
        self.stopped |= self.stop_at <= now;
        if !self.newcomers.is_empty() {
            self.expire_newcomers(now);
        }
    }

    #[inline(never)]
    fn expire_connections(&mut self, now: u64) {
        let mut due = std::mem::take(&mut self.due);
        self.wheel.advance(now, &mut due);
        for (tick, token) in due.drain(..) {
            let index = token & ((1 << HALF) - 1);
            if let Some(slot) = self.slots.get_mut(index).filter(|slot| slot.generation == token >> HALF)
                && self.wheel.is_due(&mut slot.timer, (tick, token), now)
                && matches!(slot.place, Place::Home(_))
            {
                slot.is_late = true;
                self.ready.push_back((token, Ready::DEADLINE));
            }
        }
        self.due = due;
    }

    #[inline(never)]
    fn expire_newcomers(&mut self, now: u64) {
        let patience = millis(self.shared.config.pending_timeout);
        while self.newcomers.front().is_some_and(|(_, _, since)| since + patience <= now) {
            if let Some((stream, peer)) = self.next_newcomer() {
                self.refuse(stream, peer);
            }
        }
        if !self.newcomers.is_empty() {
            // Others may have become idle, or have gone, meanwhile.
            self.shed(now);
        }
    }

    fn shut_down(&mut self, now: u64) {
        if self.shared.state() == State::Stopping {
            self.stopped = true;
            return;
        }
        if self.stop_at != u64::MAX {
            return;
        }
        self.stop_at = now + millis(self.shared.config.shutdown_timeout);
        // Those who have connected are let in; then nobody any more.
        self.acceptable = true;
        self.accept_at = 0;
        // Each connection looks whether a request has come, and closes if none has; those that are away, when they come back.
        for (index, slot) in self.slots.iter_mut().enumerate() {
            match slot.place {
                Place::Home(_) => self.ready.push_back((slot.generation << HALF | index, Ready::READ)),
                Place::Away => slot.missed = slot.missed.with(Ready::READ),
                Place::Free => {}
            }
        }
    }
}
