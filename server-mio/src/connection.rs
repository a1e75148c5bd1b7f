//! [`Connection`]: one client, from its first byte to its last.
//!
//! ```text
//!            ┌──────────────────────────── keep-alive ────────────────────────────┐
//!            ▼                                                                    │
//!          Head ── a head is whole ──► Body ── whole, or enough ──► (call) ──► Drain
//!            │                           │                            │  ▲        ▲
//!            │ refused                   │ nothing to collect         │  │ ready  │ all is sent
//!            │                           └────────────────────────────┤  │        │
//!            ▼                                                        ▼  │        │
//!         Closing ◄──────────── refused, failed, or to be closed ── Response ─────┘
//!            │ all is sent
//!            ▼
//!         Linger ── the client is done, or took too long ──► closed
//! ```
//!
//! [`drive`](Connection::drive) moves a connection as far as it can get without waiting, except for what the application
//! itself waits for. It runs without the loop's lock, on whichever thread has the connection. The steps are in [`head`],
//! [`body`], [`response`] and [`end`], in the order of a request.

mod body;
mod end;
mod head;
mod response;

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use gateway_spec::{Peer, Request};

use crate::clock::Pace;
use crate::gateway::{Content, Exchange, Progress};
use crate::h1::Reject;
use crate::h1::framing::Framing;
use crate::h1::head::{Head, Scan};
use crate::h1::response::Facts;
use crate::input::RequestBody;
use crate::log::Record;
use crate::output::Output;
use crate::park::Alarm;
use crate::server::Shared;
use crate::socket::Socket;
use crate::worker::{BUFFER, Worker};

/// How many milliseconds a shutdown leaves who was accepted just before it to begin a request, and who has its last answer to
/// close its side.
pub(crate) const LAST_CALL: u64 = 250;
/// How many requests of one client are answered before others have their turn.
const TURN: u32 = 64;
/// For how many milliseconds a client may pause within a small body before the application is called, which may have an
/// answer for it already.
const PAUSE: u64 = 100;

/// What happened to a connection since it was last driven.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ready(u8);

impl Ready {
    pub(crate) const NONE: Self = Self(0);
    /// There may be something to read.
    pub(crate) const READ: Self = Self(1);
    /// It takes more.
    pub(crate) const WRITE: Self = Self(2);
    /// The client has finished sending.
    pub(crate) const FINISHED: Self = Self(4);
    /// The client has gone.
    pub(crate) const GONE: Self = Self(8);
    /// A deadline has passed.
    pub(crate) const DEADLINE: Self = Self(16);
    /// The body has something.
    pub(crate) const WOKEN: Self = Self(32);

    pub(crate) const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(crate) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Its client, until a deadline.
    Wait(u64),
    /// Its next request, until a deadline. It may be shed, as may who has sent nothing for a while after it came.
    Idle(u64),
    /// As idle, but it has asked for no events yet: to be driven again in a moment.
    Soon(u64),
    /// Its turn.
    Again,
    /// A thread that may block: it cannot go on without the application. `fresh` if it may be refused instead.
    Thread { fresh: bool },
    /// Nothing: it is over.
    Close,
}

#[derive(Debug)]
enum Phase {
    /// Reading a head, or idle before one.
    Head,
    /// The head is whole and stays in the buffer while the body is collected.
    Body(Framing),
    /// The application has answered; the response is not at its end.
    Response(Box<(Exchange, Content)>),
    /// The response is over; what was left of the request's body is read.
    Drain {
        left: u64,
    },
    /// Nothing more is read but what is thrown away; what is queued is sent first.
    Closing,
    Linger {
        left: u64,
    },
}

/// One client.
pub(crate) struct Connection {
    pub(crate) token: usize,
    pub(crate) socket: Arc<Socket>,
    who: Arc<Who>,
    phase: Phase,
    /// Received bytes: those from `start` to `end` are not done with.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// The length of the head at `start`, and of what was collected of the body behind it.
    taken: usize,
    scan: Scan,
    body: Option<Arc<RequestBody>>,
    out: Output,
    alarm: Option<Arc<Alarm>>,
    /// Whether a read may give something.
    readable: bool,
    finished: bool,
    /// Whether the client has gone, or was given up. The event is told once, and no thread may be free to act on it then.
    is_gone: bool,
    /// Whether there are events of it: not before it has to wait for the first.
    is_watched: bool,
    /// Whether its end was awaited without events.
    is_left: bool,
    writes_are_watched: bool,
    /// Whether something waits for the client to take it; `pace` is then the client's.
    writing: bool,
    /// Whether the loop knows of whole responses in the output.
    batching: bool,
    /// Whether the request has a body, whose state is in `body`.
    has_body: bool,
    /// Whether the application is to be called although not enough of the body is there.
    is_impatient: bool,
    /// Whether it was told that something went wrong on the connection.
    has_failed: bool,
    requests: u64,
    /// When the present phase began, and how it goes.
    pace: Pace,
    record: Record,
}

/// What requests of a connection have in common. Shared, so that a request can borrow from it while the connection goes on.
struct Who {
    peer: Peer,
    link: Arc<dyn gateway_spec::Connection>,
    shared: Arc<Shared>,
}

/// A request for the application, and what its head says about the answer. It serves for all of a batch that have that head.
struct Asked<'r> {
    request: Request<'r>,
    facts: Facts,
    keep_alive: bool,
}

impl<'r> Asked<'r> {
    fn new(who: &'r Who, head: &'r Head<'_, '_>) -> Self {
        let mut request = Request::new(&who.shared.info, &who.peer);
        request.method = head.method;
        request.target = head.target;
        request.path = head.path;
        request.query_string = head.query;
        request.version = head.version;
        request.headers = head.fields;
        request.host = head.host;
        if let Framing::Length(length) = head.framing {
            request.content_length = Some(length);
        }
        request.connection = Some(&who.link);
        let facts = Facts { head_only: head.method == "HEAD", version: head.version, code: 0 };
        Self { request, facts, keep_alive: head.keep_alive }
    }
}

impl Connection {
    pub(crate) fn new(token: usize, socket: Arc<Socket>, peer: Peer, shared: Arc<Shared>) -> Self {
        let pace = Pace::new(socket.clock.now());
        Self {
            token,
            who: Arc::new(Who { peer, link: socket.clone(), shared }),
            socket,
            phase: Phase::Head,
            buffer: Vec::new(),
            start: 0,
            end: 0,
            taken: 0,
            scan: Scan::new(),
            body: None,
            out: Output::default(),
            alarm: None,
            readable: false,
            finished: false,
            is_gone: false,
            is_watched: false,
            is_left: false,
            writes_are_watched: false,
            writing: false,
            batching: false,
            has_body: false,
            is_impatient: false,
            has_failed: false,
            requests: 0,
            pace,
            record: Record::default(),
        }
    }

    /// Goes as far as possible. `may_block` says whether the application may be called.
    #[inline(always)]
    pub(crate) fn drive(&mut self, worker: &mut Worker, ready: Ready, may_block: bool) -> Next {
        let next = self.advance(worker, ready, may_block);
        if next == Next::Close {
            // The next connection need not clear new ones.
            worker.buffers.put(std::mem::take(&mut self.buffer));
            if self.out.is_empty() {
                self.out.take_buffers(|buffer| worker.outs.put(buffer));
            }
        }
        match next {
            _ if self.is_watched => next,
            // The end of a client that has its answer mostly comes within a moment.
            Next::Idle(deadline) if self.is_lingering() && !std::mem::replace(&mut self.is_left, true) => {
                Next::Soon(deadline)
            }
            Next::Wait(_) | Next::Idle(_) => self.watch(worker, false).unwrap_or(next),
            _ => next,
        }
    }

    /// Asks for events, which tell also of what has come before: if that fails, what becomes of the connection.
    fn watch(&mut self, worker: &Worker, writes: bool) -> Step {
        let error =
            worker.watch(&self.socket, self.token, writes, std::mem::replace(&mut self.is_watched, true)).err()?;
        self.report(worker, &error);
        Some(Next::Close)
    }

    #[inline(always)]
    fn advance(&mut self, worker: &mut Worker, ready: Ready, may_block: bool) -> Next {
        self.readable |= ready.has(Ready::READ);
        self.finished |= ready.has(Ready::FINISHED);
        self.is_gone |= ready.has(Ready::GONE);
        if self.is_gone
            && let Some(next) = self.gone(worker, may_block)
        {
            return next;
        }
        if ready.has(Ready::DEADLINE)
            && let Some(next) = self.expire(worker, may_block)
        {
            return next;
        }
        let mut turn = TURN;
        loop {
            let step = match &mut self.phase {
                Phase::Head => self.head(worker, may_block, &mut turn),
                Phase::Body(framing) => {
                    let framing = *framing;
                    self.collect(worker, framing, may_block)
                }
                Phase::Response(_) if may_block => self.respond(worker),
                Phase::Response(_) => Some(Next::Thread { fresh: false }),
                Phase::Drain { left } => {
                    let left = *left;
                    self.drain(worker, left)
                }
                Phase::Closing => self.closing(worker),
                Phase::Linger { left } => {
                    let left = *left;
                    self.linger(worker, left)
                }
            };
            if let Some(next) = step {
                return next;
            }
        }
    }

    /// The client has gone.
    #[cold]
    fn gone(&mut self, worker: &mut Worker, may_block: bool) -> Step {
        // Whatever is left to send, nobody reads it. What is left to read may still be there. And to linger is to have
        // closed one direction: a client that closes the other is not gone, and may still be reading what it was sent.
        if !matches!(self.phase, Phase::Head | Phase::Body(_) | Phase::Linger { .. }) {
            if !may_block && matches!(self.phase, Phase::Response(_)) {
                return Some(Next::Thread { fresh: false });
            }
            if matches!(self.phase, Phase::Response(_)) {
                self.report(worker, &io::ErrorKind::ConnectionReset.into());
            }
            self.give_up(worker);
            return Some(Next::Close);
        }
        self.readable = true;
        None
    }

    /// Whether its client has sent nothing yet, but for empty lines.
    pub(crate) const fn is_silent(&self) -> bool {
        self.requests == 0 && self.end == self.start && matches!(self.phase, Phase::Head)
    }

    /// Whether it had a request.
    pub(crate) const fn has_asked(&self) -> bool {
        self.requests > 0
    }

    /// Sends what waits: `None` if all of it is sent.
    #[inline]
    fn send(&mut self, worker: &mut Worker) -> Step {
        if self.out.is_empty() && !self.batching { None } else { self.send_out(worker) }
    }

    fn send_out(&mut self, worker: &mut Worker) -> Step {
        if std::mem::take(&mut self.batching) {
            worker.batch.clear(&self.socket);
        }
        let last = matches!(self.phase, Phase::Closing);
        let stream = &self.socket.stream;
        let sent = if last { self.out.flush_last(stream) } else { self.out.flush(stream) };
        self.sent(worker, sent)
    }

    /// At the end, whatever brought it: nothing of the loop keeps the connection.
    #[inline]
    pub(crate) fn leave(&mut self, worker: &Worker) {
        if std::mem::take(&mut self.batching) {
            worker.batch.send_of(&self.socket);
        }
    }

    /// As [`send`](Self::send) where it is not the last that is sent: for the one place where most answers are.
    #[inline(always)]
    fn send_inline(&mut self, worker: &mut Worker) -> Step {
        if self.out.is_empty() && !self.batching {
            return None;
        }
        if std::mem::take(&mut self.batching) {
            worker.batch.clear(&self.socket);
        }
        match self.out.flush_inline(&self.socket.stream) {
            Ok((_, true)) => {
                self.writing = false;
                None
            }
            other => self.sent(worker, other),
        }
    }

    /// How far an answer was sent.
    #[inline(never)]
    fn sent(&mut self, worker: &mut Worker, sent: io::Result<(usize, bool)>) -> Step {
        match sent {
            Ok((_, true)) => {
                self.writing = false;
                None
            }
            Ok((sent, false)) => {
                if self.writing && sent > 0 {
                    self.pace.progress(self.socket.clock.now(), sent);
                }
                Some(self.blocked(worker))
            }
            Err(error) => {
                self.report(worker, &error);
                Some(Next::Close)
            }
        }
    }

    /// The connection takes no more: until when that is borne.
    fn blocked(&mut self, worker: &mut Worker) -> Next {
        if !self.writing {
            self.writing = true;
            self.pace = Pace::new(self.socket.clock.now());
        }
        if !self.writes_are_watched {
            self.writes_are_watched = true;
            if let Some(next) = self.watch(worker, true) {
                return next;
            }
        }
        Next::Wait(self.pace.deadline(worker.write_patience))
    }

    /// Reads once. A read that does not fill the buffer has emptied the socket; there will be an event when there is more.
    #[inline(never)]
    fn receive(&mut self, worker: &mut Worker) -> Received {
        self.receive_inline(worker)
    }

    /// As [`receive`](Self::receive), for the one place where most requests are read.
    #[inline(always)]
    fn receive_inline(&mut self, worker: &mut Worker) -> Received {
        if self.buffer.is_empty() {
            self.buffer = worker.buffers.take();
        }
        if self.start > 0 && self.buffer.len() - self.end < BUFFER / 2 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        reserve(&mut self.buffer, self.end + BUFFER / 2);
        let room = &mut self.buffer[self.end..];
        match self.socket.stream.read(room) {
            Ok(0) => {
                (self.readable, self.finished) = (false, true);
                Received::End
            }
            Ok(n) => {
                // What came with the end of the stream came with its event, too: the end is still to be read.
                self.readable = n == room.len() || self.finished;
                if self.start == self.end && self.requests > 0 && matches!(self.phase, Phase::Head) {
                    self.pace = Pace::new(self.socket.clock.now());
                }
                self.end += n;
                Received::Some
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.readable = false;
                Received::Nothing
            }
            Err(error) => {
                (self.readable, self.finished) = (false, true);
                // Who resets a connection between requests has only left.
                if self.end > self.start || !matches!(self.phase, Phase::Head | Phase::Linger { .. }) {
                    self.report(worker, &error);
                }
                Received::End
            }
        }
    }

    /// Tells what went wrong, once: the rest is the same misfortune.
    fn report(&mut self, worker: &Worker, error: &io::Error) {
        if !std::mem::replace(&mut self.has_failed, true) {
            worker.report(&self.who.peer, error);
        }
    }

    fn log(&self, worker: &Worker, status: u16, content: u64, aborted: bool) {
        if let Some(on_response) = &worker.shared.config.on_response {
            let head = &self.buffer[self.start.min(self.buffer.len())..self.end.min(self.buffer.len())];
            let told =
                || self.record.write(&**on_response, &self.who.peer, head, worker.limits, status, content, aborted);
            if let Err(panic) = catch_unwind(AssertUnwindSafe(told)) {
                worker.shared.complain(panic);
            }
        }
    }
}

impl Drop for Connection {
    /// What an application has kept of a connection does not keep the connection.
    fn drop(&mut self) {
        let own = 2 + usize::from(self.body.is_some()) + usize::from(self.out.has_stash());
        if Arc::strong_count(&self.socket) > own {
            self.socket.end();
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("peer", &self.who.peer).field("phase", &self.phase).finish_non_exhaustive()
    }
}

/// What a step of [`drive`](Connection::drive) came to: something to wait for, or another step.
type Step = Option<Next>;

/// What became of the bytes that might be a head.
enum Tried {
    /// There is no whole head.
    Partial,
    /// There was one, and this is what follows.
    Step(Step),
    Refused(Reject),
    /// The application has answered, and the next request can follow.
    Done,
    /// The application was called.
    Answered(Box<(Exchange, Content)>, Progress),
}

/// What is left of the body of a request that was answered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rest {
    Nothing,
    Some,
    /// Its end cannot be found.
    Broken,
}

enum Received {
    Some,
    Nothing,
    End,
}

/// Makes a buffer at least this long; it never shrinks.
fn reserve(buffer: &mut Vec<u8>, length: usize) {
    if buffer.len() < length {
        buffer.resize(length.next_power_of_two().max(BUFFER), 0);
    }
}
