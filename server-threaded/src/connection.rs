//! One connection, from its first byte to its end. The program counter is the state.

use std::io;
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use gateway_spec::{Application, Connection, Environ, Field, Input, Request, ServerInfo, Source, Version};

use crate::clock::milliseconds;
use crate::gateway::{Asked, Outcome, Response};
use crate::h1::Reject;
use crate::h1::date::Add;
use crate::h1::framing::Framing;
use crate::h1::head::{self, Fields, Head, Limits};
use crate::h1::response::{Own, write_reject};
use crate::h1::scan::LastHead;
use crate::head_cache::HeadCache;
use crate::hooks::Exchange;
use crate::input::{BodySource, Remainder};
use crate::watch::Wait;
use crate::wire::Wire;

/// How much is read at once, and the size that the buffer has at least.
const READ: usize = 8 * 1024;

/// What a thread keeps from one connection to the next.
pub(crate) struct Buffers {
    /// Bytes received; those from `start` to `end` are not taken yet.
    input: Vec<u8>,
    start: usize,
    end: usize,
    output: Vec<u8>,
    heads: HeadCache,
    last: LastHead,
}

impl Buffers {
    pub(crate) fn new() -> Self {
        Self {
            input: vec![0; READ],
            start: 0,
            end: 0,
            output: Vec::with_capacity(1024),
            heads: HeadCache::new(),
            last: LastHead::default(),
        }
    }

    /// Begins anew with what has arrived of the next request.
    fn restart(&mut self, next: &[u8]) {
        if self.input.len() < next.len() {
            self.input.resize(next.len() + READ, 0);
        }
        self.input[..next.len()].copy_from_slice(next);
        (self.start, self.end) = (0, next.len());
    }

    /// Makes room for more behind what was received.
    fn room(&mut self) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.input.len() - self.end < READ / 4 {
            self.input.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            if self.input.len() - self.end < READ / 4 {
                // Bounded: a head that is larger than allowed is refused before this goes on.
                self.input.resize(self.input.len() * 2, 0);
            }
        }
        &mut self.input[self.end..]
    }
}

/// What all connections of a server share.
pub(crate) struct Service<'s> {
    pub(crate) application: &'s dyn Application,
    pub(crate) info: &'s ServerInfo,
    /// Whether others wait for this connection's thread, or the server stops: no reason to linger here.
    pub(crate) is_wanted: &'s dyn Fn() -> bool,
}

/// Serves a connection until it ends.
///
/// # Errors
/// What went wrong with the connection, for the `on_error` hook. A client that closes between requests is no error.
pub(crate) fn serve(wire: &Arc<Wire>, service: &Service<'_>, buffers: &mut Buffers) -> io::Result<End> {
    (buffers.start, buffers.end) = (0, 0);
    buffers.last.clear();
    let mut connection = Link {
        wire,
        service,
        buffers,
        source: Arc::new(BodySource::new(Arc::clone(wire))),
        // A pointer of another type to the same wire; made once, as environs borrow it.
        questions: Arc::clone(wire) as Arc<dyn Connection>,
        served: 0,
        fields: Fields::default(),
        head_until: None,
    };
    let result = connection.run();
    if !matches!(result, Ok(End::Parting)) {
        wire.end();
    }
    result
}

struct Link<'c> {
    wire: &'c Arc<Wire>,
    service: &'c Service<'c>,
    buffers: &'c mut Buffers,
    source: Arc<BodySource>,
    questions: Arc<dyn Connection>,
    served: u64,
    fields: Fields,
    /// When the head that has begun must be whole, by the coarse clock.
    head_until: Option<u64>,
}

/// How a connection has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Over,
    /// All is said, and the sending direction closed. Nothing more is expected of the client but its own end.
    Parting,
}

/// Whether to go on with the connection.
enum Next {
    Request,
    /// Close at once, with a reset: nothing else tells the client that something is missing.
    Close,
    /// Close, but read on for a moment: the client is still sending.
    Linger,
    /// Close; the client has sent its last request and nothing behind it.
    Part,
}

impl Link<'_> {
    fn run(&mut self) -> io::Result<End> {
        let config = &self.wire.config;
        let limits = Limits {
            request_line: config.max_request_line,
            head: config.max_head,
            fields: config.max_headers,
            body: config.max_body,
        };
        loop {
            let mut fields = self.fields.take();
            let arrived = self.buffers.start..self.buffers.end;
            let next = match head::parse(&self.buffers.input, arrived, &limits, &mut self.buffers.last, &mut fields) {
                Ok(Some(head)) => {
                    // The borrow of the buffer ends with the request; what is needed later is copied.
                    let taken = head.length;
                    let next = exchange(
                        self.wire,
                        self.service,
                        &mut self.source,
                        &self.questions,
                        Parts {
                            head: &head,
                            fields: &fields,
                            rest: &self.buffers.input[self.buffers.start + taken..self.buffers.end],
                            output: &mut self.buffers.output,
                            heads: &mut self.buffers.heads,
                            last: config.max_requests_per_connection.is_some_and(|most| self.served + 1 >= most),
                        },
                    )?;
                    self.fields.put_back(fields);
                    self.served += 1;
                    self.head_until = None;
                    self.take(taken, next.1);
                    next.0
                }
                Ok(None) => {
                    self.fields.put_back(fields);
                    if !self.receive()? {
                        return Ok(End::Over);
                    }
                    continue;
                }
                Err(reject) => self.refuse(reject)?,
            };
            match next {
                Next::Request => {}
                Next::Close => return self.wire.flush().map(|()| End::Over),
                Next::Linger => {
                    self.wire.flush()?;
                    self.wire.linger(self.service.is_wanted);
                    return Ok(End::Over);
                }
                Next::Part => {
                    self.wire.flush()?;
                    self.wire.stream.shutdown(Shutdown::Write);
                    return Ok(End::Parting);
                }
            }
        }
    }

    /// Moves on to the next request: behind the head, or to what the body has read of it.
    fn take(&mut self, head: usize, body: bool) {
        if !body {
            self.buffers.start += head;
        } else if !self.source.end(|next| self.buffers.restart(next)) {
            // Another thread is reading from this connection: nothing can follow.
            self.buffers.restart(&[]);
            self.wire.stop();
        }
    }

    /// Waits for more of a head, at least for the end of a line; `false` if there will be no request.
    fn receive(&mut self) -> io::Result<bool> {
        self.wire.flush()?;
        let config = &self.wire.config;
        loop {
            let now = self.wire.clock.now();
            let begun = self.buffers.start < self.buffers.end;
            let (wait, limit) = match (begun, self.served) {
                (false, 0) => (Wait::First, config.head_timeout),
                (false, _) => (Wait::Request, config.keep_alive_timeout),
                // The head as a whole has to be there in time, not each line of it.
                (true, _) => {
                    let until = *self.head_until.get_or_insert(now + milliseconds(config.head_timeout));
                    (Wait::More, Duration::from_millis(until.saturating_sub(now)))
                }
            };
            let result = match limit {
                Duration::ZERO => Err(io::ErrorKind::TimedOut.into()),
                limit => self.wire.read(self.buffers.room(), wait, limit),
            };
            match result {
                Ok(0) => return Ok(false),
                Ok(n) => {
                    let new = self.buffers.end..self.buffers.end + n;
                    self.buffers.end += n;
                    // Before a line is whole nothing changes, except that it may have become too long.
                    let longest = self.buffers.end - self.buffers.start > config.max_request_line;
                    let new = &self.buffers.input[new];
                    if longest || new.ends_with(b"\n") || new.contains(&b'\n') {
                        return Ok(true);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    if begun {
                        self.refuse(Reject::TIMEOUT)?;
                    }
                    return Ok(false);
                }
                // Between requests a client may go as it likes.
                Err(_) if !begun => return Ok(false),
                Err(error) => return Err(error),
            }
        }
    }

    /// Answers what could not be understood; nothing after it is read as a request (H1-CON-10).
    fn refuse(&mut self, reject: Reject) -> io::Result<Next> {
        let arrived = &self.buffers.input[self.buffers.start..self.buffers.end];
        let blank = arrived.iter().take_while(|&&b| b == b'\r' || b == b'\n').count();
        let head_request = arrived[blank..].starts_with(b"HEAD ");
        let started = Instant::now();
        let server = self.wire.config.server_header.as_deref();
        let lines = self.buffers.heads.date.lines(self.wire.clock.unix(), server, Add::BOTH);
        let own = Own { head_request, version: Version::Http11, keep: false, lines };
        self.buffers.output.clear();
        let bytes = write_reject(&mut self.buffers.output, reject, &own);
        let result = self.wire.write(&[&self.buffers.output]);
        let outcome = Outcome { code: reject.code, bytes, aborted: result.is_err() };
        report(self.wire, &Told::refused(arrived), started, outcome);
        result.map(|()| Next::Linger)
    }
}

/// What one exchange works on.
struct Parts<'p, 'b> {
    head: &'p Head<'b>,
    fields: &'p [Field<'b>],
    /// What has arrived behind the head.
    rest: &'p [u8],
    output: &'p mut Vec<u8>,
    heads: &'p mut HeadCache,
    /// Whether this is the last request that the connection may send.
    last: bool,
}

/// One request and its response. Also tells whether the request had a body, which then holds what arrived behind it.
fn exchange(
    wire: &Arc<Wire>,
    service: &Service<'_>,
    source: &mut Arc<BodySource>,
    questions: &Arc<dyn Connection>,
    parts: Parts<'_, '_>,
) -> io::Result<(Next, bool)> {
    let head = parts.head;
    let started = wire.config.on_response.is_some().then(Instant::now);
    let mut request = Request::new(service.info, &wire.peer);
    request.method = head.method;
    request.target = head.target;
    request.path = head.path;
    request.query_string = head.query_string;
    request.version = head.version;
    request.headers = parts.fields;
    request.host = head.host;
    request.connection = Some(questions);
    let has_body = head.framing != Framing::None;
    if has_body {
        begin_body(wire, source, head, parts.rest);
    }
    if let Framing::Length(length) = head.framing {
        request.content_length = Some(length);
    }
    // Somebody waits for this place, and this client has nothing more to say.
    let make_room = parts.rest.is_empty() && (service.is_wanted)();
    let keep = head.persistent && !parts.last && !make_room && !wire.is_closing();
    let asked = Asked {
        version: head.version,
        head_request: head.method == "HEAD",
        keep,
        // With a body, what follows it is known only when it has been read.
        more_to_come: !has_body && !parts.rest.is_empty(),
    };
    let input = if has_body { Input::new(Arc::clone(source) as Arc<dyn Source>) } else { Input::empty() };
    let mut environ = Environ::new(&request, input);
    // Only this thread writes it.
    wire.requests.store(wire.requests.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    wire.begin_app();
    let mut response = Response::new(wire, has_body.then_some(&*source), parts.heads, parts.output, asked);
    let result = response.call(service.application, &mut environ);
    drop(environ);
    let (outcome, keep, lost) = response.send(result);
    if let Some(started) = started {
        report(wire, &Told::of(&request), started, outcome);
    }
    if let Some(error) = lost {
        return Err(error);
    }
    let remainder = if has_body { source.remainder() } else { Remainder::None };
    let next = match remainder {
        _ if outcome.aborted && wire.will_reset() => Next::Close,
        // What is missing tells the client that this answer was cut. Those before it must arrive all the same.
        _ if outcome.aborted => Next::Linger,
        Remainder::None if keep => Next::Request,
        Remainder::Small if keep => {
            wire.flush()?;
            if source.drain() { Next::Request } else { Next::Linger }
        }
        Remainder::None if !has_body && parts.rest.is_empty() => Next::Part,
        // The client may be sending still: the rest of a body, or requests it has no answer to yet.
        _ => Next::Linger,
    };
    Ok((next, has_body))
}

/// Takes the connection's body source for this request, or a new one if the application still holds the old one.
fn begin_body(wire: &Arc<Wire>, source: &mut Arc<BodySource>, head: &Head<'_>, rest: &[u8]) {
    if Arc::get_mut(source).is_none() {
        *source = Arc::new(BodySource::new(Arc::clone(wire)));
    }
    if let Some(source) = Arc::get_mut(source) {
        source.begin(head.framing, rest, head.expects_continue);
    }
}

/// What the `on_response` hook is told of a request.
struct Told<'r> {
    method: &'r str,
    target: &'r str,
    version: &'r str,
    headers: &'r [Field<'r>],
}

impl<'r> Told<'r> {
    fn of(request: &Request<'r>) -> Self {
        let version = request.version.as_str();
        Self { method: request.method, target: request.target, version, headers: request.headers }
    }

    /// Of a request that was refused: the beginning of its request line is worth knowing all the same.
    fn refused(arrived: &'r [u8]) -> Self {
        let mut lines = arrived.split(|&b| b == b'\r' || b == b'\n');
        let line = lines.find(|line| !line.is_empty()).unwrap_or_default();
        let mut parts = str::from_utf8(line).unwrap_or_default().split(' ');
        let mut next = || parts.next().unwrap_or_default();
        Self { method: next(), target: next(), version: "", headers: &[] }
    }
}

/// Tells the `on_response` hook; a panic of it is caught like one of the application.
fn report(wire: &Wire, request: &Told<'_>, started: Instant, outcome: Outcome) {
    let Some(hook) = &wire.config.on_response else { return };
    let field = |name: &str| {
        request.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value)
    };
    let exchange = Exchange {
        peer: &wire.peer,
        method: request.method,
        target: request.target,
        version: request.version,
        status: outcome.code,
        bytes: outcome.bytes,
        aborted: outcome.aborted,
        duration: started.elapsed(),
        referer: field("referer"),
        user_agent: field("user-agent"),
    };
    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| hook(&exchange)));
}
