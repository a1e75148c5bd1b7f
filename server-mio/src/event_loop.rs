//! [`Core`]: what the leader of a loop works on: the poll, the connections at home, the listener and the timers.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use gateway_spec::Peer;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Registry, Token};

use crate::clock::millis;
use crate::connection::{Connection, LAST_CALL, Next, Ready};
use crate::h1::Reject;
use crate::h1::date::Date;
use crate::h1::response;
use crate::hooks::VerifyPeer;
use crate::inbox::{Inbox, Message};
use crate::lane::Waiting;
use crate::server::{Shared, State};
use crate::socket::Socket;
use crate::timers::{Timer, Wheel};
use crate::transport::{LoopListener, Stream};

pub(crate) const WAKER: Token = Token(usize::MAX);
const LISTENER: Token = Token(usize::MAX - 1);
/// How many connections are accepted before others have their turn.
const ACCEPTS: usize = 64;
/// How long nothing is accepted after the descriptors ran out.
const BACK_OFF: u64 = 50;
/// How many clients at once are told that there is no place for them, if not even as many may wait for one.
const TURNED_AWAY: usize = 64;
/// After how many milliseconds a new connection that says nothing counts as idle, and may be closed for another one.
const FRESH: u64 = 500;
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
    wheel: Wheel,
    due: Vec<(u64, usize)>,
    inbox: Arc<Inbox>,
    messages: Vec<Message>,
    listener: Option<LoopListener>,
    /// Whether there may be somebody to accept.
    acceptable: bool,
    /// When to accept again, after the descriptors ran out.
    accept_at: u64,
    /// A descriptor to be given up when there are no others, so that somebody can be told.
    reserve: Option<File>,
    /// New connections that wait for a place.
    newcomers: VecDeque<(Stream, Peer, u64)>,
    /// Connections to be told that there are too many.
    refused: VecDeque<Box<Connection>>,
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
    timer: Timer,
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
            wheel: Wheel::new(shared.clock.now()),
            due: Vec::new(),
            inbox,
            messages: Vec::new(),
            listener: Some(listener),
            // Somebody may have come before the loop began.
            acceptable: true,
            accept_at: 0,
            reserve: File::open("/dev/null").ok(),
            newcomers: VecDeque::new(),
            refused: VecDeque::new(),
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
            if let Some(connection) = self.refused.pop_front() {
                return Some(Job::Overload(connection));
            }
            if let Some((token, ready)) = self.ready.pop_front() {
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
            if self.stopped || (self.listener.is_none() && self.is_done(waiting)) {
                return None;
            }
            if !self.acceptable {
                self.turn(waiting);
                continue;
            }
            let listened = self.listener.is_some();
            self.accept(self.shared.clock.now());
            // Whoever has stopped listening may have nothing more to wait for.
            if self.refused.is_empty() && self.ready.is_empty() && listened == self.listener.is_some() {
                self.turn(waiting);
            }
        }
    }

    /// Takes all connections that are at home, at the end.
    pub(crate) fn clear(&mut self) -> VecDeque<Box<Connection>> {
        self.listener = None;
        self.newcomers.clear();
        let mut connections = std::mem::take(&mut self.refused);
        for slot in &mut self.slots {
            match std::mem::replace(&mut slot.place, Place::Free) {
                Place::Home(connection) => connections.push_back(connection),
                // The thread that has it may be anywhere in the application: it finds the connection cut.
                Place::Away => {
                    if let Some(socket) = slot.socket.upgrade() {
                        socket.stream.cut();
                    }
                    slot.place = Place::Away;
                }
                Place::Free => {}
            }
        }
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
                slot.idle_since = 0;
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
        slot.place = Place::Home(connection);
        slot.idle_since = if idle { now } else { 0 };
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
    fn vacate(&mut self, token: usize) {
        let index = token & ((1 << HALF) - 1);
        let slot = &mut self.slots[index];
        slot.place = Place::Free;
        slot.generation = (slot.generation + 1) & ((1 << (HALF - 1)) - 1);
        slot.missed = Ready::NONE;
        slot.idle_since = 0;
        slot.timer = Timer::new();
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
        if let Err(error) = self.poll.poll(&mut self.events, timeout)
            && error.kind() != io::ErrorKind::Interrupted
        {
            // It cannot fail for a reason that goes away by itself; to spin on it would be worse than to say so.
            self.shared.config.errors.write(&format!("server-mio: the poll has failed: {error}\n"));
            std::thread::sleep(Duration::from_millis(BACK_OFF));
        }
        let now = self.shared.clock.advance();
        let mut woken = false;
        for event in &self.events {
            match event.token() {
                WAKER => woken = true,
                LISTENER => self.acceptable = true,
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
        self.expire(now);
    }

    /// How long nothing is to be done, unless something happens; for ever if `None`.
    fn patience(&self, waiting: &Waiting) -> Option<Duration> {
        let now = self.shared.clock.now();
        if !self.later.is_empty() || (self.acceptable && self.accept_at <= now) {
            return Some(Duration::ZERO);
        }
        let mut until = self.wheel.next().unwrap_or(u64::MAX).min(self.stop_at);
        if self.acceptable && self.listener.is_some() {
            until = until.min(self.accept_at);
        }
        if let Some((_, _, since)) = self.newcomers.front() {
            until = until.min(since + millis(self.shared.config.pending_timeout)).min(now + FRESH / 4);
        }
        if let Some(next) = waiting.next() {
            until = until.min(next);
        }
        (until != u64::MAX).then(|| Duration::from_millis(until.saturating_sub(now)))
    }

    fn read_messages(&mut self, waiting: &Waiting, now: u64) {
        let mut messages = std::mem::take(&mut self.messages);
        self.inbox.take(&mut messages);
        for message in messages.drain(..) {
            match message {
                Message::Returned(token, connection, next) => self.settle(token, connection, next, waiting),
                Message::Woken(token) => self.ready.push_back((token, Ready::NONE)),
                Message::Look => self.let_in(),
                Message::Shed => {
                    self.shed(now);
                }
                Message::Shutdown => self.shut_down(now),
            }
        }
        self.messages = messages;
    }

    /// What is due: connections, newcomers, the end of a shutdown.
    fn expire(&mut self, now: u64) {
        let mut due = std::mem::take(&mut self.due);
        self.wheel.advance(now, &mut due);
        for (tick, token) in due.drain(..) {
            let index = token & ((1 << HALF) - 1);
            if let Some(slot) = self.slots.get_mut(index).filter(|slot| slot.generation == token >> HALF)
                && self.wheel.is_due(&mut slot.timer, (tick, token), now)
                && matches!(slot.place, Place::Home(_))
            {
                self.ready.push_back((token, Ready::DEADLINE));
            }
        }
        self.due = due;
        self.stopped |= self.stop_at <= now;
        if self.newcomers.is_empty() {
            return;
        }
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

    // ---- Accepting

    fn accept(&mut self, now: u64) {
        if !self.acceptable || self.accept_at > now {
            return;
        }
        for _ in 0..ACCEPTS {
            let Some(listener) = &self.listener else { return };
            match listener.accept() {
                Ok((stream, peer)) => self.admit(stream, peer, now),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.acceptable = false;
                    if self.shared.is_draining() {
                        // All who had come were let in.
                        self.listener = None;
                    }
                    return;
                }
                // Who idles between requests makes room; of those who have not asked yet, none is better than the others.
                Err(error) if is_exhaustion(&error) && self.shed_if(now, Connection::has_asked) => {}
                Err(error) if is_exhaustion(&error) => {
                    self.shared.tell_others(&self.inbox, || Message::Shed);
                    self.turn_one_away();
                    self.accept_at = now + BACK_OFF;
                    return;
                }
                Err(error) if is_passing(&error) => {}
                Err(error) => {
                    // Whatever it is, asking again at once would be to spin on it.
                    self.shared.config.errors.write(&format!("server-mio: accept has failed: {error}\n"));
                    self.accept_at = now + BACK_OFF;
                    return;
                }
            }
        }
    }

    /// There are no descriptors left: one that was kept for this lets somebody be told.
    fn turn_one_away(&mut self) {
        self.reserve = None;
        if let Some(Ok((stream, _))) = self.listener.as_ref().map(LoopListener::accept) {
            self.shared.counts.accepted.fetch_add(1, Ordering::Relaxed);
            self.dismiss(&stream);
        }
        self.reserve = File::open("/dev/null").ok();
    }

    /// Tells somebody without keeping the connection.
    fn dismiss(&self, stream: &Stream) {
        self.shared.counts.refused.fetch_add(1, Ordering::Relaxed);
        let server = self.shared.config.server_header.as_deref();
        let mut out = Vec::new();
        response::reject(&mut out, Reject::Overload, false, server, &mut Date::new(), self.shared.clock.second());
        // What has come is read first, because data that is not would make the close a reset. All best effort.
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write(&out);
        let _ = stream.shutdown_write();
    }

    fn admit(&mut self, stream: Stream, peer: Peer, now: u64) {
        let shared = self.shared.clone();
        let config = &shared.config;
        self.shared.counts.accepted.fetch_add(1, Ordering::Relaxed);
        // A hook that panics has not said yes.
        let verify = |hook: &VerifyPeer| catch_unwind(AssertUnwindSafe(|| hook(&peer))).unwrap_or(false);
        if !config.verify_peer.as_ref().is_none_or(verify) {
            self.shared.counts.refused.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let counts = &shared.counts;
        let has_place = || counts.open_one(config.max_connections);
        if self.newcomers.is_empty() && (has_place() || (self.shed(now) && has_place())) {
            self.enter(stream, peer);
        } else if counts.newcomers.load(Ordering::SeqCst) < config.max_pending {
            self.newcomers.push_back((stream, peer, now));
            shared.counts.newcomers.fetch_add(1, Ordering::SeqCst);
            if !self.shed(now) {
                // Perhaps somebody idles in another loop.
                shared.tell_others(&self.inbox, || Message::Shed);
            }
            self.let_in();
        } else {
            self.refuse(stream, peer);
            // Perhaps somebody idles in another loop, and leaves a place for the next one.
            shared.tell_others(&self.inbox, || Message::Shed);
        }
    }

    /// Lets newcomers in while there are places.
    fn let_in(&mut self) {
        while !self.newcomers.is_empty() && self.shared.counts.open_one(self.shared.config.max_connections) {
            if let Some((stream, peer)) = self.next_newcomer() {
                self.enter(stream, peer);
            }
        }
    }

    fn next_newcomer(&mut self) -> Option<(Stream, Peer)> {
        let (stream, peer, _) = self.newcomers.pop_front()?;
        self.shared.counts.newcomers.fetch_sub(1, Ordering::SeqCst);
        Some((stream, peer))
    }

    /// Closes the connection that has been idle for longest, if one is idle.
    fn shed(&mut self, now: u64) -> bool {
        self.shed_if(now, |_| true)
    }

    /// As [`shed`](Self::shed), among some connections.
    fn shed_if(&mut self, now: u64, may_go: impl Fn(&Connection) -> bool) -> bool {
        let idle = self.slots.iter().enumerate().filter(|(_, slot)| match &slot.place {
            Place::Home(connection) => (1..=now).contains(&slot.idle_since) && !slot.turned_away && may_go(connection),
            _ => false,
        });
        let Some((index, slot)) = idle.min_by_key(|(_, slot)| slot.idle_since) else { return false };
        let token = slot.generation << HALF | index;
        // An idle connection has no response, so that nothing of the application is dropped here.
        if self.take(token, Ready::NONE).is_some_and(|connection| !connection.is_lingering()) {
            self.shared.counts.refused.fetch_add(1, Ordering::Relaxed);
        }
        self.vacate(token);
        true
    }

    /// A new connection, which was counted, gets a place.
    fn enter(&mut self, stream: Stream, peer: Peer) {
        let Some(connection) = self.place(stream, peer, false) else { return };
        let now = self.shared.clock.now();
        let timeout = if self.shared.is_draining() { LAST_CALL } else { millis(self.shared.config.head_timeout) };
        let token = connection.token;
        let slot = &mut self.slots[token & ((1 << HALF) - 1)];
        slot.place = Place::Home(connection);
        // It has just come, and is not idle yet.
        slot.idle_since = now + FRESH;
        self.wheel.set(&mut slot.timer, token, now + timeout);
    }

    /// There is no place for a new connection: it gets one for as long as it takes to tell it so.
    fn refuse(&mut self, stream: Stream, peer: Peer) {
        let most = self.shared.config.max_pending.max(TURNED_AWAY);
        if !self.shared.counts.turn_away_one(most) {
            self.dismiss(&stream);
        } else if let Some(connection) = self.place(stream, peer, true) {
            self.shared.counts.refused.fetch_add(1, Ordering::Relaxed);
            self.refused.push_back(connection);
        }
    }

    /// Makes a connection, which was counted.
    fn place(&mut self, stream: Stream, peer: Peer, turned_away: bool) -> Option<Box<Connection>> {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot {
                generation: 0,
                place: Place::Free,
                missed: Ready::NONE,
                idle_since: 0,
                timer: Timer::new(),
                socket: Weak::new(),
                turned_away: false,
            });
            self.slots.len() - 1
        });
        let token = self.slots[index].generation << HALF | index;
        let fd = stream.as_fd().as_raw_fd();
        if let Err(error) = self.poll.registry().register(&mut SourceFd(&fd), Token(token), Interest::READABLE) {
            if let Some(on_error) = &self.shared.config.on_error {
                // Its panic is its own, and not the loop's end.
                let _ = catch_unwind(AssertUnwindSafe(|| on_error(&peer, &error)));
            }
            self.free.push(index);
            let counts = &self.shared.counts;
            let count = if turned_away { &counts.turned_away } else { &counts.open };
            count.fetch_sub(1, Ordering::SeqCst);
            return None;
        }
        let socket = Arc::new(Socket::new(stream, self.shared.clock.clone()));
        let slot = &mut self.slots[index];
        (slot.place, slot.turned_away, slot.socket) = (Place::Away, turned_away, Arc::downgrade(&socket));
        Some(Box::new(Connection::new(token, socket, peer)))
    }

    // ---- Shutting down

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
        // Each connection looks whether a request has come, and closes if none has.
        for (index, slot) in self.slots.iter().enumerate() {
            if matches!(slot.place, Place::Home(_)) {
                self.ready.push_back((slot.generation << HALF | index, Ready::READ));
            }
        }
    }
}

/// Whether somebody has come and gone: no fault of the listener, and the next may be there.
fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}

/// Whether accepting failed for want of something that others may give back.
fn is_exhaustion(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let exhausted = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    error.raw_os_error().is_some_and(|code| exhausted.iter().any(|errno| errno.raw_os_error() == code))
}
