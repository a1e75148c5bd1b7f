//! [`Worker`]: what a thread brings along to drive connections.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gateway_spec::Peer;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};

use crate::clock::Patience;
use crate::h1::date::Date;
use crate::h1::head::Limits;
use crate::handoff::{Handoff, Ticket};
use crate::inbox::Inbox;
use crate::input::patience;
use crate::output::Stash;
use crate::server::Shared;
use crate::socket::Socket;

/// The size of a read buffer.
pub(crate) const BUFFER: usize = 16 * 1024;
/// How many buffers of a kind a thread keeps for connections to come.
const KEPT: usize = 64;

/// The responses that the leader's thread holds back, to be sent by who takes over from it.
#[derive(Debug, Default)]
pub(crate) struct Batch(Mutex<Option<Arc<Stash>>>);

impl Batch {
    fn lock(&self) -> MutexGuard<'_, Option<Arc<Stash>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set(&self, stash: Arc<Stash>) {
        *self.lock() = Some(stash);
    }

    /// The owner sends them itself. Another loop leader's may be there by now.
    pub(crate) fn clear(&self, owner: &Arc<Socket>) {
        self.lock().take_if(|stash| stash.is_of(owner));
    }

    pub(crate) fn send(&self) {
        let stash = self.lock().take();
        if let Some(stash) = stash {
            stash.send();
        }
    }
}

/// A thread's date, buffers and settings. Buffers live here while connections idle, so that a busy loop uses the same few,
/// and those are in the cache.
#[derive(Debug)]
pub(crate) struct Worker {
    lane: usize,
    pub(crate) shared: Arc<Shared>,
    pub(crate) inbox: Arc<Inbox>,
    registry: Arc<Registry>,
    pub(crate) batch: Arc<Batch>,
    /// The ticket with which this thread drives, if it has left the lead for it.
    pub(crate) ticket: Option<Ticket>,
    handoff: Arc<Handoff>,
    pub(crate) limits: Limits,
    pub(crate) write_patience: Patience,
    pub(crate) date: Date,
    /// For reading.
    pub(crate) buffers: Vec<Vec<u8>>,
    /// For collecting bodies of requests.
    pub(crate) bodies: Vec<Vec<u8>>,
    /// For writing.
    pub(crate) outs: Vec<Vec<u8>>,
    /// For heads that can still be replaced.
    pub(crate) heads: Vec<Vec<u8>>,
}

impl Worker {
    pub(crate) fn new(
        lane: usize,
        shared: Arc<Shared>,
        inbox: Arc<Inbox>,
        registry: Arc<Registry>,
        batch: Arc<Batch>,
        handoff: Arc<Handoff>,
    ) -> Self {
        let config = &shared.config;
        Self {
            lane,
            limits: config.head_limits(),
            write_patience: patience(config, config.write_timeout),
            date: Date::new(),
            buffers: Vec::new(),
            bodies: Vec::new(),
            outs: Vec::new(),
            heads: Vec::new(),
            shared,
            inbox,
            registry,
            batch,
            ticket: None,
            handoff,
        }
    }

    /// Whether nobody has taken over the loop: then somebody will, if this thread blocks.
    pub(crate) fn is_leading(&self) -> bool {
        self.ticket.is_some_and(|ticket| self.handoff.is_current(ticket))
    }

    /// Takes buffers that are not needed any more. One that had to grow is not kept.
    pub(crate) fn take_back(&mut self, buffer: Vec<u8>, out: Vec<u8>) {
        if (1..=2 * BUFFER).contains(&buffer.capacity()) && self.buffers.len() < KEPT {
            self.buffers.push(buffer);
        }
        if (1..=4 * BUFFER).contains(&out.capacity()) && self.outs.len() < KEPT {
            self.outs.push(out);
        }
    }

    /// Takes back what a body was collected in.
    pub(crate) fn take_body(&mut self, body: Vec<u8>) {
        if (1..=4 * BUFFER).contains(&body.capacity()) && self.bodies.len() < KEPT {
            self.bodies.push(body);
        }
    }

    pub(crate) fn count_request(&self) {
        self.shared.counts.requests[self.lane].0.fetch_add(1, Ordering::Relaxed);
    }

    /// Asks for events when a connection takes more. Most connections never need it.
    pub(crate) fn watch_writes(&self, socket: &Socket, token: usize) -> io::Result<()> {
        let fd = socket.stream.as_fd().as_raw_fd();
        self.registry.reregister(&mut SourceFd(&fd), Token(token), Interest::READABLE | Interest::WRITABLE)
    }

    /// Tells whoever runs the server of what went wrong on a connection.
    pub(crate) fn report(&self, peer: &Peer, error: &io::Error) {
        if let Some(on_error) = &self.shared.config.on_error {
            on_error(peer, error);
        }
    }
}
