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
//! itself waits for. It runs without the loop's lock, on whichever thread has the connection.

use std::fmt;
use std::io;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use gateway_spec::{Environ, Error, Field, Input, Peer, Request};

use crate::clock::{Pace, millis};
use crate::gateway::{Content, Exchange, Progress, Responder, panicked};
use crate::h1::Reject;
use crate::h1::framing::Framing;
use crate::h1::head::{Head, Scan, parse, parse_usual};
use crate::h1::response::{self, Facts};
use crate::input::RequestBody;
use crate::log::Record;
use crate::output::Output;
use crate::park::Alarm;
use crate::socket::Socket;
use crate::worker::{BUFFER, Worker};

/// How many milliseconds a connection that was accepted just before a shutdown may take to begin its request.
pub(crate) const LAST_CALL: u64 = 250;
/// How many requests of one client are answered before others have their turn.
const TURN: u32 = 64;
/// How many fields are read without allocating: more than browsers send.
const FIELDS: usize = 24;
/// How many bytes can hardly have more than four fields.
const SMALL_HEAD: usize = 100;
/// For how many milliseconds a client may pause within a small body before the application is called, which may have an
/// answer for it already.
const PAUSE: u64 = 100;
/// After how many milliseconds a body that has nothing yet, and does not wake the server, is asked again.
const ASK_AGAIN: u64 = 10;

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
    /// Its next request, until a deadline; the only state in which it may be shed.
    Idle(u64),
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
    link: Arc<dyn gateway_spec::Connection>,
    pub(crate) peer: Peer,
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

impl Connection {
    pub(crate) fn new(token: usize, socket: Arc<Socket>, peer: Peer) -> Self {
        let pace = Pace::new(socket.clock.now());
        Self {
            token,
            link: socket.clone(),
            socket,
            peer,
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
    pub(crate) fn drive(&mut self, worker: &mut Worker, ready: Ready, may_block: bool) -> Next {
        self.readable |= ready.has(Ready::READ);
        self.finished |= ready.has(Ready::FINISHED);
        if ready.has(Ready::GONE) {
            // Whatever is left to send, nobody reads it. What is left to read may still be there.
            if !matches!(self.phase, Phase::Head | Phase::Body(_)) {
                if !may_block && matches!(self.phase, Phase::Response(_)) {
                    return Next::Thread { fresh: false };
                }
                self.give_up(worker);
                return Next::Close;
            }
            self.readable = true;
        }
        if ready.has(Ready::DEADLINE)
            && let Some(next) = self.expire(worker)
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

    /// Whether it had a request.
    pub(crate) const fn has_asked(&self) -> bool {
        self.requests > 0
    }

    /// Whether all is said, and the client only has not closed its side.
    pub(crate) const fn is_lingering(&self) -> bool {
        matches!(self.phase, Phase::Linger { .. })
    }

    /// A request that waited too long for a thread, or too many wait: 503.
    pub(crate) fn overload(&mut self, worker: &mut Worker) -> Next {
        self.refuse(worker, Reject::Overload);
        self.drive(worker, Ready::NONE, false)
    }

    // ---- Head

    fn head(&mut self, worker: &mut Worker, may_block: bool, turn: &mut u32) -> Step {
        if self.out.is_full()
            && let Some(next) = self.send(worker)
        {
            return Some(next);
        }
        if self.end > self.start {
            match self.scan.skip_blank(&self.buffer[self.start..self.end]) {
                Err(reject) => return self.refuse(worker, reject),
                Ok((skipped, begins)) => {
                    self.start += skipped;
                    if begins {
                        match self.try_head(worker, may_block, *turn) {
                            Tried::Partial => {}
                            Tried::Step(step) => return step,
                            Tried::Refused(reject) => return self.refuse(worker, reject),
                            Tried::Done => {
                                *turn -= 1;
                                self.next_request(worker);
                                return None;
                            }
                            Tried::Answered(response, progress) => {
                                *turn -= 1;
                                return self.proceed(worker, response, progress);
                            }
                        }
                    }
                }
            }
        }
        // All requests that are here are answered: their answers go out in one write.
        if let Some(next) = self.send(worker) {
            return Some(next);
        }
        if !self.readable {
            return Some(self.wait_for_head(worker));
        }
        match self.receive(worker) {
            Received::Some => None,
            Received::Nothing => Some(self.wait_for_head(worker)),
            // Half a head and then the end: nobody waits for an answer to it (H1-INC-01).
            Received::End => Some(Next::Close),
        }
    }

    /// Reads the head at the start of the buffer, if it is whole, and goes on with its request.
    fn try_head(&mut self, worker: &mut Worker, may_block: bool, turn: u32) -> Tried {
        const TOO_LARGE: Reject = Reject::HeadTooLarge("the head of the request is too large");
        let limits = worker.limits;
        let first = self.scan.is_fresh();
        if !first && !self.scan.find_end(&self.buffer[self.start..self.end], &limits) {
            return Tried::Partial;
        }
        // Out of `self` while the head borrows from it.
        let buffer = std::mem::take(&mut self.buffer);
        let mut host = std::mem::take(&mut worker.host);
        let bytes = &buffer[self.start..self.end];
        // Fewer places to clear for the small heads of programs than for those of browsers.
        let (tried, new_host) = if bytes.len() < SMALL_HEAD {
            self.parse_head::<4>(worker, bytes, &host, may_block, turn)
        } else {
            self.parse_head::<FIELDS>(worker, bytes, &host, may_block, turn)
        };
        if let Some(new_host) = new_host {
            host.clear();
            host.push_str(bytes.get(new_host).and_then(|host| str::from_utf8(host).ok()).unwrap_or_default());
        }
        worker.host = host;
        self.buffer = buffer;
        match tried {
            // The search had found an end that the parser does not see, or the limit.
            Tried::Partial if !first || self.scan.find_end(&self.buffer[self.start..self.end], &limits) => {
                Tried::Refused(TOO_LARGE)
            }
            tried => tried,
        }
    }

    /// Goes on with the request whose head is at the beginning. Says also where its host is, if that is not the known one.
    #[inline]
    fn parse_head<const N: usize>(
        &mut self,
        worker: &mut Worker,
        bytes: &[u8],
        known_host: &str,
        may_block: bool,
        turn: u32,
    ) -> (Tried, Option<Range<usize>>) {
        let mut fields = [Field::EMPTY; N];
        match parse_usual(bytes, &mut fields, &worker.limits, known_host) {
            Ok(Some(head)) => {
                let tried = self.request(worker, &head, &bytes[head.length..], may_block, turn);
                let new_host = head.host.filter(|host| !std::ptr::eq(*host, known_host));
                let start = |host: &str| host.as_ptr() as usize - bytes.as_ptr() as usize;
                (tried, new_host.map(|host| start(host)..start(host) + host.len()))
            }
            Ok(None) => (self.parse_unusual_head(worker, bytes, may_block, turn), None),
            Err(reject) => (Tried::Refused(reject), None),
        }
    }

    #[cold]
    fn parse_unusual_head(&mut self, worker: &mut Worker, bytes: &[u8], may_block: bool, turn: u32) -> Tried {
        let limits = worker.limits;
        let mut scratch = vec![httparse::EMPTY_HEADER; limits.fields];
        let mut fields = vec![Field::EMPTY; limits.fields];
        match parse(bytes, &mut fields, &mut scratch, &limits) {
            Ok(Some(head)) => self.request(worker, &head, &bytes[head.length..], may_block, turn),
            Ok(None) => Tried::Partial,
            Err(reject) => Tried::Refused(reject),
        }
    }

    /// A head is whole: its request is answered at once, or its body collected first.
    fn request(&mut self, worker: &mut Worker, head: &Head<'_, '_>, rest: &[u8], may_block: bool, turn: u32) -> Tried {
        // Should the request have to wait, it is read again.
        self.scan = Scan::new();
        if turn == 0 {
            return Tried::Step(self.send(worker).or(Some(Next::Again)));
        }
        if matches!(head.framing, Framing::Empty) {
            self.taken = head.length;
            if !may_block {
                return Tried::Step(self.send(worker).or(Some(Next::Thread { fresh: true })));
            }
            return self.call(worker, head, None);
        }
        let config = &worker.shared.config;
        let body = match &self.body {
            Some(body) => body,
            None => self.body.insert(Arc::new(RequestBody::new(self.socket.clone(), config))),
        };
        let expects_continue = head.expect_continue && rest.is_empty();
        self.has_body = true;
        body.begin(head.framing, expects_continue, worker.bodies.take(), config);
        let mut state = body.lock();
        let taken = state.push(self.socket.clock.now(), rest);
        let whole = state.is_whole() || state.fault().is_some();
        if whole {
            // There is nothing to be continued (H1-CONT-03).
            state.forget_continue();
        }
        drop(state);
        self.taken = head.length + taken;
        self.phase = Phase::Body(head.framing);
        if !whole {
            // All of it was taken, so the buffer has the head only.
            self.end = self.start + head.length;
            self.taken = head.length;
        }
        if whole && may_block {
            let body = self.body.clone();
            return self.call(worker, head, body);
        }
        Tried::Step(None)
    }

    fn wait_for_head(&mut self, worker: &mut Worker) -> Next {
        if self.end > self.start {
            return Next::Wait(self.pace.deadline_after(worker.head_timeout));
        }
        self.give_back(worker);
        if worker.shared.is_draining() {
            // Who has just been let in may still say what it came for.
            let last_call = self.pace.deadline_after(LAST_CALL);
            let newcomer = self.requests == 0 && last_call > self.socket.clock.now();
            return if newcomer { Next::Idle(last_call) } else { Next::Close };
        }
        if self.requests == 0 {
            return Next::Wait(self.pace.deadline_after(worker.head_timeout));
        }
        Next::Idle(self.pace.deadline_after(worker.keep_alive_timeout))
    }

    /// An idle connection keeps no buffers: the next one that is busy uses them.
    fn give_back(&mut self, worker: &mut Worker) {
        (self.start, self.end) = (0, 0);
        worker.buffers.put(std::mem::take(&mut self.buffer));
        self.out.take_buffers(|buffer| worker.outs.put(buffer));
        if let Some(body) = &self.body {
            body.lock().rest();
        }
    }

    // ---- Body

    /// Collects the body of the request, until it is whole or there is enough of it.
    fn collect(&mut self, worker: &mut Worker, framing: Framing, may_block: bool) -> Step {
        let Some(body) = self.body.clone() else { return Some(Next::Close) };
        loop {
            let state = body.lock();
            let enough = self.is_impatient
                || state.is_whole()
                || state.fault().is_some()
                || state.expects_continue()
                || state.collected() >= worker.shared.config.body_buffer;
            if enough {
                drop(state);
                // The application may wait for the rest of the body: nothing may wait for it meanwhile.
                if let Some(next) = self.send(worker) {
                    return Some(next);
                }
                return if may_block { self.call_again(worker, body) } else { Some(Next::Thread { fresh: true }) };
            }
            if !self.readable {
                let deadline = body.deadline(&state).min(state.last_progress() + PAUSE);
                drop(state);
                return Some(self.send(worker).unwrap_or(Next::Wait(deadline)));
            }
            drop(state);
            match self.receive(worker) {
                Received::Some => {
                    let head = self.start + self.taken;
                    let mut state = body.lock();
                    let taken = state.push(self.socket.clock.now(), &self.buffer[head..self.end]);
                    if state.is_whole() || state.fault().is_some() {
                        self.taken += taken;
                    } else {
                        self.end = head;
                    }
                }
                Received::Nothing => {}
                Received::End => body.lock().fail(Reject::Incomplete),
            }
            self.phase = Phase::Body(framing);
        }
    }

    /// The body is there: the head is read again, as nothing of it was kept, and the application called.
    fn call_again(&mut self, worker: &mut Worker, body: Arc<RequestBody>) -> Step {
        let buffer = std::mem::take(&mut self.buffer);
        let limits = worker.limits;
        let mut scratch = vec![httparse::EMPTY_HEADER; limits.fields];
        let mut fields = vec![Field::EMPTY; limits.fields];
        let tried = match parse(&buffer[self.start..self.end], &mut fields, &mut scratch, &limits) {
            Ok(Some(head)) => self.call(worker, &head, Some(body)),
            // It was valid before.
            Ok(None) => Tried::Step(Some(Next::Close)),
            Err(reject) => Tried::Refused(reject),
        };
        self.buffer = buffer;
        match tried {
            Tried::Answered(response, progress) => self.proceed(worker, response, progress),
            Tried::Refused(reject) => self.refuse(worker, reject),
            Tried::Step(step) => step,
            Tried::Done => {
                self.next_request(worker);
                None
            }
            Tried::Partial => None,
        }
    }

    // ---- Response

    /// Calls the application.
    fn call(&mut self, worker: &mut Worker, head: &Head<'_, '_>, body: Option<Arc<RequestBody>>) -> Tried {
        if !self.out.is_empty() {
            // Of a batch: should the application block, they are sent all the same.
            if worker.is_leading() {
                if let Some(stash) = self.out.stash(&self.socket, || worker.outs.take()) {
                    worker.batch.set(stash);
                    self.batching = true;
                }
            } else if let Some(next) = self.send(worker) {
                return Tried::Step(Some(next));
            }
        }
        self.requests += 1;
        worker.count_request();
        if self.out.front.capacity() == 0 {
            self.out.front = worker.outs.take();
            self.out.front.reserve(BUFFER / 4);
        }
        let shared = &*worker.shared;
        let last = shared.config.max_requests_per_connection.is_some_and(|most| self.requests >= most);
        if let Some(deadline) = shared.config.app_deadline {
            self.socket.set_deadline(self.socket.clock.now() + millis(deadline));
        }
        if shared.config.on_response.is_some() {
            self.record = Record::begin();
        }
        let request = {
            let mut request = Request::new(&shared.info, &self.peer);
            request.method = head.method;
            request.target = head.target;
            request.path = head.path;
            request.query_string = head.query;
            request.version = head.version;
            request.headers = head.fields;
            request.host = head.host;
            request.content_length = match head.framing {
                Framing::Length(length) => Some(length),
                Framing::Empty | Framing::Chunked => None,
            };
            request.connection = Some(&self.link);
            request
        };
        let input = body.clone().map_or_else(Input::empty, |body| Input::new(body));
        let facts = Facts { head_only: head.method == "HEAD", version: head.version, code: 0 };
        let mut exchange = Exchange::new(facts, head.keep_alive && !last, body);
        let mut content = Content::Nothing;
        let mut responder = Responder {
            exchange: &mut exchange,
            out: &mut self.out,
            socket: &self.socket,
            shared,
            heads: &mut worker.heads,
        };
        let returned = catch_unwind(AssertUnwindSafe(|| {
            let mut environ = Environ::new(&request, input);
            shared.app.call(&mut environ, &mut responder)
        }));
        let returned = returned.unwrap_or_else(|panic| Err(Error::from(panicked(&*panic))));
        let progress = responder.begin(returned, &mut content);
        if progress == Progress::Over
            && exchange.keep_alive
            && shared.config.on_response.is_none()
            && (!self.has_body || self.rest_of_body() == Rest::Nothing)
        {
            // The usual end, without moving the exchange about.
            return Tried::Done;
        }
        Tried::Answered(Box::new((exchange, content)), progress)
    }

    /// Goes on with a response that had to wait.
    fn respond(&mut self, worker: &mut Worker) -> Step {
        let Phase::Response(mut response) = std::mem::replace(&mut self.phase, Phase::Head) else { return None };
        let (exchange, content) = &mut *response;
        if exchange.has_paused
            && let Content::Body(body) = content
        {
            // Before the question, so that no wake-up falls between question and waker.
            self.alarm(worker).watch(body);
        }
        let sent = self.out.total;
        let progress = self.responder(worker, exchange).go_on(content);
        let sent = self.out.total - sent;
        if sent > 0 {
            self.pace.progress(self.socket.clock.now(), usize::try_from(sent).unwrap_or(usize::MAX));
        }
        self.proceed(worker, response, progress)
    }

    /// After the application has done what it could.
    fn proceed(&mut self, worker: &mut Worker, mut response: Box<(Exchange, Content)>, mut progress: Progress) -> Step {
        let (exchange, content) = &mut *response;
        if progress == Progress::Nothing && !exchange.has_paused {
            exchange.has_paused = true;
            if let Content::Body(body) = content {
                self.alarm(worker).watch(body);
            }
            progress = self.responder(worker, exchange).go_on(content);
        }
        if progress == Progress::Over && !exchange.aborted && self.out.has_large() {
            // It is over when it is sent: only then can be told how it went.
            progress = self.responder(worker, exchange).go_on(content);
        }
        let next = match progress {
            Progress::Over => return self.over(worker, response.0),
            Progress::Yield => Next::Again,
            Progress::Blocked => self.blocked(worker),
            Progress::Nothing => {
                self.writing = false;
                exchange.pauses = exchange.pauses.saturating_add(1);
                let kept = self.alarm.as_ref().is_some_and(|alarm| alarm.is_kept());
                let pause = if kept { ASK_AGAIN * 100 } else { ASK_AGAIN * u64::from(exchange.pauses.min(10)) };
                Next::Wait(self.socket.clock.now() + pause)
            }
        };
        if progress != Progress::Nothing {
            exchange.pauses = 0;
        }
        self.responder(worker, exchange).pause();
        self.phase = Phase::Response(response);
        Some(next)
    }

    /// The response is at its end; some of it may wait in the output.
    fn over(&mut self, worker: &mut Worker, mut exchange: Exchange) -> Step {
        self.writing = false;
        if let Some(error) = exchange.error.take() {
            self.report(worker, &error);
        }
        self.log(worker, exchange.code(), exchange.content, exchange.aborted);
        let reset = self.responder(worker, &mut exchange).looks_complete();
        let keep_alive = exchange.keep_alive;
        // With it goes its hold on the body, which is needed for the next request.
        drop(exchange);
        if reset {
            // Nothing else can tell an HTTP/1.0 client that there should have been more. What was queued before the
            // failure may still go out; if it cannot, the client sees the same.
            let _ = self.out.flush(&self.socket.stream);
            self.leave_body(worker);
            self.socket.stream.reset_on_close();
            return Some(Next::Close);
        }
        let rest = self.rest_of_body();
        if !keep_alive || rest == Rest::Broken {
            self.leave_body(worker);
            self.phase = Phase::Closing;
        } else if rest == Rest::Some {
            // What was received of it is in the body, so the buffer has nothing but the head.
            (self.start, self.end, self.taken) = (0, 0, 0);
            self.pace = Pace::new(self.socket.clock.now());
            self.phase = Phase::Drain { left: worker.shared.config.max_drain };
        } else {
            self.next_request(worker);
        }
        None
    }

    /// The request is done with: what follows it is the next.
    fn next_request(&mut self, worker: &mut Worker) {
        self.start += self.taken;
        self.taken = 0;
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        self.leave_body(worker);
        self.pace = Pace::new(self.socket.clock.now());
        self.phase = Phase::Head;
    }

    /// What is left of the body of the request, after throwing away what has arrived of it.
    fn rest_of_body(&self) -> Rest {
        let Some(body) = self.body.as_ref().filter(|_| self.has_body) else { return Rest::Nothing };
        // Whoever reads it at this moment is not this connection any more.
        let Some(mut body) = body.try_lock() else { return Rest::Broken };
        body.discard();
        match body.fault() {
            Some(_) => Rest::Broken,
            None if body.is_whole() => Rest::Nothing,
            None => Rest::Some,
        }
    }

    /// Ends the body of the request: what was read past its end is the next request's.
    fn leave_body(&mut self, worker: &mut Worker) {
        if !std::mem::take(&mut self.has_body) {
            return;
        }
        self.is_impatient = false;
        let Some(body) = &mut self.body else { return };
        match Arc::get_mut(body) {
            Some(body) => {
                let mut body = body.lock();
                let (rest, collected) = body.end();
                if !rest.is_empty() {
                    reserve(&mut self.buffer, self.end + rest.len());
                    self.buffer[self.end..][..rest.len()].copy_from_slice(rest);
                    self.end += rest.len();
                }
                worker.bodies.put(collected);
            }
            // The application has kept the input: it may keep it, but nothing comes out of it any more.
            None => {
                body.close();
                self.body = None;
            }
        }
    }

    /// Reads past what the application has left of the body, within bounds (H1-CON-04).
    fn drain(&mut self, worker: &mut Worker, mut left: u64) -> Step {
        if let Some(next) = self.send(worker) {
            return Some(next);
        }
        let Some(body) = self.body.clone() else { return Some(Next::Close) };
        loop {
            let mut state = body.lock();
            if self.end > 0 {
                let taken = state.push(self.socket.clock.now(), &self.buffer[..self.end]);
                left = left.saturating_sub(taken as u64);
                state.discard();
                self.start = taken;
            }
            if state.fault().is_some() || left == 0 {
                drop(state);
                drop(body);
                self.leave_body(worker);
                self.phase = Phase::Closing;
                return None;
            }
            if state.is_whole() {
                drop(state);
                drop(body);
                self.next_request(worker);
                return None;
            }
            (self.start, self.end) = (0, 0);
            self.phase = Phase::Drain { left };
            if !self.readable {
                return Some(Next::Wait(body.deadline(&state)));
            }
            drop(state);
            if matches!(self.receive(worker), Received::End) {
                return Some(Next::Close);
            }
        }
    }

    // ---- The end

    /// Refuses a request: an answer, and then nothing more is read but to be thrown away (H1-CON-10).
    fn refuse(&mut self, worker: &mut Worker, reject: Reject) -> Step {
        if worker.shared.config.on_response.is_some() {
            self.record = Record::begin();
        }
        let head_only = self.buffer[self.start..self.end].starts_with(b"HEAD ");
        if self.out.front.capacity() == 0 {
            self.out.front = worker.outs.take();
        }
        let second = self.socket.clock.second();
        let server = worker.shared.config.server_header.as_deref();
        response::reject(&mut self.out.front, reject, head_only, server, &mut worker.heads.date, second);
        let content = if head_only { 0 } else { reject.text().len() as u64 + 1 };
        self.log(worker, reject.status().code(), content, false);
        self.leave_body(worker);
        self.phase = Phase::Closing;
        None
    }

    /// Sends what is left, closes the sending direction, and lets the client read it: what a client sends meanwhile, even
    /// if it has asked for the close, would make a plain close a reset, which takes the response with it (H1-CON-11).
    fn closing(&mut self, worker: &mut Worker) -> Step {
        if let Some(next) = self.send(worker) {
            return Some(next);
        }
        if self.socket.stream.shutdown_write().is_err() {
            return Some(Next::Close);
        }
        self.pace = Pace::new(self.socket.clock.now());
        self.readable = true;
        self.phase = Phase::Linger { left: worker.shared.config.max_linger };
        None
    }

    fn linger(&mut self, worker: &mut Worker, mut left: u64) -> Step {
        loop {
            if !self.readable {
                self.give_back(worker);
                // As good as idle: a newcomer may have its place.
                return Some(Next::Idle(self.pace.deadline_after(millis(worker.shared.config.linger_timeout))));
            }
            (self.start, self.end) = (0, 0);
            match self.receive(worker) {
                Received::Some => left = left.saturating_sub(self.end as u64),
                Received::Nothing => {}
                Received::End => return Some(Next::Close),
            }
            if left == 0 {
                return Some(Next::Close);
            }
            self.phase = Phase::Linger { left };
        }
    }

    /// A deadline has passed: what that means now.
    fn expire(&mut self, worker: &mut Worker) -> Step {
        let now = self.socket.clock.now();
        let refusable = match &self.phase {
            // Between requests: no error, and nobody to tell.
            Phase::Head if self.end == self.start && (self.requests > 0 || !self.scan.has_blanks()) => {
                return Some(Next::Close);
            }
            Phase::Head if self.out.is_empty() => true,
            Phase::Body(_) => {
                let Some(body) = &self.body else { return Some(Next::Close) };
                let mut state = body.lock();
                if body.deadline(&state) <= now {
                    // The application is told, as it would be if it had been reading (GW-DEF-04).
                    state.fail(Reject::Timeout);
                } else if !worker.may_wait_with_client() {
                    // Another pause, then.
                    return Some(Next::Wait(body.deadline(&state).min(now + PAUSE)));
                } else {
                    self.is_impatient = true;
                }
                return None;
            }
            // Nothing yet: to be asked again.
            Phase::Response(_) if !self.writing => return None,
            // A deadline from before the last progress.
            _ if self.writing && self.pace.deadline(worker.write_patience) > now => return None,
            _ => false,
        };
        if refusable {
            return self.refuse(worker, Reject::Timeout);
        }
        self.give_up(worker);
        Some(Next::Close)
    }

    /// The client has gone or does not read: nothing more can be sent. The body is dropped, which is its `close()`.
    pub(crate) fn give_up(&mut self, worker: &mut Worker) {
        if let Phase::Response(response) = std::mem::replace(&mut self.phase, Phase::Closing) {
            let (mut exchange, mut content) = *response;
            self.responder(worker, &mut exchange).close(&mut content);
            self.log(worker, exchange.code(), exchange.content, true);
        }
        self.leave_body(worker);
    }

    // ---- Sending and receiving

    /// Sends what waits: `None` if all of it is sent.
    fn send(&mut self, worker: &mut Worker) -> Step {
        if self.out.is_empty() {
            return None;
        }
        if std::mem::take(&mut self.batching) {
            worker.batch.clear(&self.socket);
        }
        match self.out.flush(&self.socket.stream) {
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
            if let Err(error) = worker.watch_writes(&self.socket, self.token) {
                self.report(worker, &error);
                return Next::Close;
            }
        }
        Next::Wait(self.pace.deadline(worker.write_patience))
    }

    /// Reads once. A read that does not fill the buffer has emptied the socket; there will be an event when there is more.
    fn receive(&mut self, worker: &mut Worker) -> Received {
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
                self.readable = false;
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
                self.readable = false;
                // Who resets a connection between requests has only left.
                if self.end > self.start || !matches!(self.phase, Phase::Head | Phase::Linger { .. }) {
                    self.report(worker, &error);
                }
                Received::End
            }
        }
    }

    // ---- Small things

    fn responder<'a>(&'a mut self, worker: &'a mut Worker, exchange: &'a mut Exchange) -> Responder<'a> {
        Responder {
            exchange,
            out: &mut self.out,
            socket: &self.socket,
            shared: &worker.shared,
            heads: &mut worker.heads,
        }
    }

    fn alarm(&mut self, worker: &Worker) -> &Arc<Alarm> {
        let token = self.token;
        self.alarm.get_or_insert_with(|| Arc::new(Alarm::new(worker.inbox.clone(), token)))
    }

    /// Tells what went wrong, once: the rest is the same misfortune.
    fn report(&mut self, worker: &Worker, error: &io::Error) {
        if !std::mem::replace(&mut self.has_failed, true) {
            worker.report(&self.peer, error);
        }
    }

    fn log(&self, worker: &Worker, status: u16, content: u64, aborted: bool) {
        if let Some(on_response) = &worker.shared.config.on_response {
            let head = &self.buffer[self.start.min(self.buffer.len())..self.end.min(self.buffer.len())];
            let told = || self.record.write(&**on_response, &self.peer, head, worker.limits, status, content, aborted);
            if let Err(panic) = catch_unwind(AssertUnwindSafe(told)) {
                worker.complain(&*panic);
            }
        }
    }
}

impl Drop for Connection {
    /// What an application has kept of a connection does not keep the connection.
    fn drop(&mut self) {
        let own = 2 + usize::from(self.body.is_some()) + usize::from(self.out.has_stash());
        if Arc::strong_count(&self.socket) > own {
            self.socket.stream.cut();
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("peer", &self.peer).field("phase", &self.phase).finish_non_exhaustive()
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
