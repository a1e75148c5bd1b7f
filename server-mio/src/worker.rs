//! [`Worker`]: what a thread brings along to drive connections.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gateway_spec::{Peer, Request};
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};

use crate::clock::{Patience, millis};
use crate::forecast::{Expectation, Forecast, Kind, Stopwatch};
use crate::h1::head::Limits;
use crate::h1::heads::Heads;
use crate::h1::known::Known;
use crate::handoff::{Handoff, Ticket};
use crate::inbox::Inbox;
use crate::input::patience;
use crate::lane::Lane;
use crate::output::Stash;
use crate::server::Shared;
use crate::socket::Socket;

/// The size of a read buffer.
pub(crate) const BUFFER: usize = 16 * 1024;
/// How many buffers of a kind a thread keeps for connections to come, and one more.
const KEPT: usize = 64;
/// How many connections can each have their last head known by a thread; more of them share the places.
const KNOWN: usize = 16;

/// The responses that the leader's thread holds back, to be sent by who takes over from it.
#[derive(Debug, Default)]
pub(crate) struct Batch(Mutex<Option<Arc<Stash>>>);

impl Batch {
    fn lock(&self) -> MutexGuard<'_, Option<Arc<Stash>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set(&self, stash: Arc<Stash>) {
        let before = self.lock().replace(stash);
        if let Some(before) = before {
            // Of a leader that came in between, and relies on this.
            before.send();
        }
    }

    /// The owner sends them itself. Another loop leader's may be there by now.
    pub(crate) fn clear(&self, owner: &Arc<Socket>) {
        self.take_of(owner);
    }

    /// The owner has come to its end without sending them.
    pub(crate) fn send_of(&self, owner: &Arc<Socket>) {
        if let Some(stash) = self.take_of(owner) {
            stash.send();
        }
    }

    fn take_of(&self, owner: &Arc<Socket>) -> Option<Arc<Stash>> {
        self.lock().take_if(|stash| stash.is_of(owner))
    }

    pub(crate) fn send(&self) {
        let stash = self.lock().take();
        if let Some(stash) = stash {
            stash.send();
        }
    }
}

/// Buffers for connections to come.
#[derive(Debug)]
pub(crate) struct Spares {
    /// The one that was used last, apart from the others: on a loop that has one connection after the other, it goes to
    /// and fro.
    last: Vec<u8>,
    more: Vec<Vec<u8>>,
    /// One that had to grow beyond this is not kept.
    largest: usize,
}

impl Spares {
    const fn new(largest: usize) -> Self {
        Self { last: Vec::new(), more: Vec::new(), largest }
    }

    /// A buffer, empty or with anything in it.
    #[inline]
    pub(crate) fn take(&mut self) -> Vec<u8> {
        let last = std::mem::take(&mut self.last);
        if last.capacity() > 0 { last } else { self.more.pop().unwrap_or_default() }
    }

    /// Takes a buffer that is not needed any more.
    #[inline]
    pub(crate) fn put(&mut self, buffer: Vec<u8>) {
        if (1..=self.largest).contains(&buffer.capacity()) {
            if self.last.capacity() == 0 {
                self.last = buffer;
            } else if self.more.len() < KEPT {
                self.more.push(buffer);
            }
        }
    }
}

/// A thread's date, buffers and settings. Buffers live here while connections idle, so that a busy loop uses the same few,
/// and those are in the cache.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    pub(crate) inbox: Arc<Inbox>,
    registry: Arc<Registry>,
    pub(crate) batch: Arc<Batch>,
    /// The ticket with which this thread drives, if it has left the lead for it.
    pub(crate) ticket: Option<Ticket>,
    handoff: Arc<Handoff>,
    forecast: Arc<Forecast>,
    /// To summon another leader.
    lane: Arc<Lane>,
    pub(crate) limits: Limits,
    /// In milliseconds.
    pub(crate) head_timeout: u64,
    pub(crate) keep_alive_timeout: u64,
    pub(crate) write_patience: Patience,
    pub(crate) heads: Heads,
    /// A valid host: that of the last request.
    pub(crate) host: String,
    /// How many requests it has passed on: its own, so that counting takes no locked instruction.
    requests: Arc<AtomicU64>,
    /// The last heads of requests, each shared by connections; away while it is in use.
    known: [Option<Box<Known>>; KNOWN],
    /// For reading.
    pub(crate) buffers: Spares,
    /// For collecting bodies of requests.
    pub(crate) bodies: Spares,
    /// For writing.
    pub(crate) outs: Spares,
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.shared.counts.requests.leave(&self.requests);
    }
}

impl Worker {
    pub(crate) fn new(lane: Arc<Lane>) -> Self {
        let shared = lane.shared.clone();
        let config = &shared.config;
        Self {
            requests: shared.counts.requests.join(),
            limits: config.head_limits(),
            head_timeout: millis(config.head_timeout),
            keep_alive_timeout: millis(config.keep_alive_timeout),
            write_patience: patience(config, config.write_timeout),
            heads: Heads::new(),
            host: String::new(),
            known: Default::default(),
            buffers: Spares::new(2 * BUFFER),
            bodies: Spares::new(4 * BUFFER),
            outs: Spares::new(4 * BUFFER),
            shared,
            inbox: lane.inbox.clone(),
            registry: lane.registry.clone(),
            batch: lane.batch.clone(),
            ticket: None,
            handoff: lane.handoff.clone(),
            forecast: lane.forecast.clone(),
            lane,
        }
    }

    /// The place for the last head of a connection.
    #[inline]
    pub(crate) const fn known(&mut self, token: usize) -> &mut Option<Box<Known>> {
        &mut self.known[token % KNOWN]
    }

    /// Whether nobody has taken over the loop: then somebody will, if this thread blocks.
    pub(crate) fn is_leading(&self) -> bool {
        self.ticket.is_some_and(|ticket| self.handoff.is_current(ticket))
    }

    /// Before the application is called: hands the loop on if the call is expected to block. With a watch, it is to be
    /// [learnt](Self::learn) from.
    #[inline(always)]
    pub(crate) fn look_ahead(&self, request: &Request<'_>) -> Option<Stopwatch> {
        if self.forecast.is_empty() { None } else { self.consult(request) }
    }

    #[inline(never)]
    fn consult(&self, request: &Request<'_>) -> Option<Stopwatch> {
        let expectation = self.forecast.expects(Kind::new(request.method, request.path));
        if expectation == Expectation::Nothing || !self.is_leading() {
            return None;
        }
        if expectation == Expectation::Blocks {
            // If there is nobody who could come, it is called all the same, and the monitor asks again.
            self.lane.summon();
        }
        Some(Stopwatch::start())
    }

    /// After the application was called.
    #[inline(always)]
    pub(crate) fn look_back(&mut self, request: &Request<'_>, watch: Option<Stopwatch>) {
        if watch.is_some() || self.ticket.is_some_and(|ticket| self.handoff.was_seen(ticket)) {
            self.learn(request, watch);
        }
    }

    #[inline(never)]
    fn learn(&mut self, request: &Request<'_>, watch: Option<Stopwatch>) {
        let kind = Kind::new(request.method, request.path);
        match watch {
            Some(watch) => self.forecast.learn(kind, watch.has_blocked()),
            // The loop had to be taken from it.
            None if !self.is_leading() => self.forecast.learn(kind, true),
            None => self.forecast.suspect(kind),
        }
        if !self.is_leading() {
            // What comes after it in the same drive has nothing to do with that.
            self.ticket = None;
            self.shared.clock.advance();
        }
    }

    /// Whether there are threads enough for an application to wait with its client for the rest of a request. Others
    /// have to wait for the application, and must not want for threads because some clients are slow.
    pub(crate) fn may_wait_with_client(&self) -> bool {
        self.handoff.has_plenty()
    }

    #[inline]
    pub(crate) fn count_request(&self) {
        self.requests.store(self.requests.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// Asks for events when a connection has something to read, or also when it takes more, which most never need. Not
    /// the first time if it `is_watched`.
    pub(crate) fn watch(&self, socket: &Socket, token: usize, writes: bool, is_watched: bool) -> io::Result<()> {
        let fd = socket.stream.as_fd().as_raw_fd();
        let (fd, token) = (&mut SourceFd(&fd), Token(token));
        let interest = if writes { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
        if is_watched {
            self.registry.reregister(fd, token, interest)
        } else {
            self.registry.register(fd, token, interest)
        }
    }

    /// Tells whoever runs the server of what went wrong on a connection.
    pub(crate) fn report(&self, peer: &Peer, error: &io::Error) {
        if let Some(on_error) = &self.shared.config.on_error
            && let Err(panic) = catch_unwind(AssertUnwindSafe(|| on_error(peer, error)))
        {
            self.shared.complain(panic);
        }
    }
}
