//! One connection, from its first byte to its end. The program counter is the state.

use std::io;
use std::mem;
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use gateway_spec::{Application, Connection, Field, Input, Request, ServerInfo, Source, Version};

use crate::clock::milliseconds;
use crate::gateway::{Asked, Outcome, Response};
use crate::guard::guarded_call;
use crate::h1::Reject;
use crate::h1::date::Add;
use crate::h1::framing::Framing;
use crate::h1::head::{self, Fields, Head, Limits};
use crate::h1::response::{Own, write_reject};
use crate::h1::scan::LastHead;
use crate::head_cache::HeadCache;
use crate::hooks::Exchange;
use crate::input::{BodySource, Remainder};
use crate::received::Received;
use crate::watch::Wait;
use crate::wire::Wire;

/// What a thread keeps from one connection to the next.
pub(crate) struct Buffers {
    received: Received,
    pub(crate) output: Vec<u8>,
    heads: HeadCache,
    last: LastHead,
}

impl Buffers {
    pub(crate) fn new() -> Self {
        Self {
            received: Received::new(),
            output: Vec::with_capacity(1024),
            heads: HeadCache::new(),
            last: LastHead::default(),
        }
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
    let _unwinding = EndIfPanicking(wire);
    buffers.received.clear();
    buffers.last.clear();
    let config = &wire.config;
    let mut connection = Link {
        wire,
        service,
        received: &mut buffers.received,
        heads: &mut buffers.heads,
        source: Arc::new(BodySource::new(Arc::clone(wire))),
        // A pointer of another type to the same wire; made once, as environs borrow it.
        questions: &(Arc::clone(wire) as Arc<dyn Connection>),
        limits: Limits {
            request_line: config.max_request_line,
            head: config.max_head,
            fields: config.max_headers,
            body: config.max_body,
        },
        served: 0,
        head_until: None,
    };
    let result = connection.run(&mut buffers.last);
    if !matches!(result, Ok(End::Parting)) {
        wire.end();
    }
    result
}

/// What is the application's may panic where only the connection is lost by that, such as an error when it is shown. The
/// client has to see that something is missing, also if the application holds on to the connection.
struct EndIfPanicking<'w>(&'w Wire);

impl Drop for EndIfPanicking<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.end();
        }
    }
}

struct Link<'c> {
    wire: &'c Arc<Wire>,
    service: &'c Service<'c>,
    received: &'c mut Received,
    heads: &'c mut HeadCache,
    source: Arc<BodySource>,
    questions: &'c Arc<dyn Connection>,
    limits: Limits,
    served: u64,
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
    /// The client has ended it, or was told that it is over.
    End,
    /// Close at once, with a reset: nothing else tells the client that something is missing.
    Close,
    /// Close, but read on for a moment: the client is still sending.
    Linger,
    /// Close; the client has sent its last request and nothing behind it.
    Part,
}

impl<'c> Link<'c> {
    fn run(&mut self, last: &mut LastHead) -> io::Result<End> {
        let mut memory = Fields::default();
        loop {
            let mut fields = memory.take();
            let received = &*self.received;
            let found = head::usual(&received.octets, received.range(), &self.limits, last, &mut fields);
            let next = match found {
                Ok(Some(head)) => Some(self.serve_repeated(&head, &fields)),
                Ok(None) => None,
                Err(reject) => Some(self.refuse(reject)),
            };
            memory.put_back(fields);
            match next.unwrap_or_else(|| self.serve_unusual(&mut memory))? {
                Next::Request => {}
                Next::End => return Ok(End::Over),
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

    /// Serves a request, and those that follow it as long as their heads are the same: what was read and made of the
    /// first serves for all.
    fn serve_repeated(&mut self, head: &Head<'_>, fields: &[Field<'_>]) -> io::Result<Next> {
        let request = self.request(head, fields);
        let has_body = head.framing != Framing::None;
        let mut length = head.length;
        loop {
            let rest = &self.received.arrived()[length..];
            let is_last = rest.is_empty();
            if has_body {
                begin_body(self.wire, &mut self.source, head, rest);
            }
            let next = match has_body {
                false => self.exchange_inline::<false>(head, &request, is_last)?,
                true => self.exchange(head, &request, is_last)?,
            };
            self.take(length, has_body);
            if !matches!(next, Next::Request) {
                return Ok(next);
            }
            if !has_body && self.received.repeats(length) {
                continue;
            }
            if self.received.is_empty() {
                match self.receive_inline()? {
                    Next::Request => {}
                    next => return Ok(next),
                }
            }
            match head.repeated(self.received.arrived()) {
                Some(repeated) => length = repeated,
                None => return Ok(Next::Request),
            }
        }
    }

    /// Serves a request whose head is not usual, refuses it, or waits for more of it.
    #[cold]
    fn serve_unusual(&mut self, memory: &mut Fields) -> io::Result<Next> {
        // The head borrows from octets that the connection may change; so it gets them back only afterwards.
        let range = self.received.range();
        let octets = mem::take(&mut self.received.octets);
        let mut fields = memory.take();
        let served = match head::parse(&octets[range.clone()], &self.limits, &mut fields) {
            Ok(Some(head)) => {
                let request = self.request(&head, &fields);
                let rest = &octets[range][head.length..];
                let has_body = head.framing != Framing::None;
                if has_body {
                    begin_body(self.wire, &mut self.source, &head, rest);
                }
                let next = self.exchange(&head, &request, rest.is_empty());
                Ok(Some((next, head.length, has_body)))
            }
            Ok(None) => Ok(None),
            Err(reject) => Err(reject),
        };
        memory.put_back(fields);
        self.received.octets = octets;
        match served {
            Ok(Some((next, length, has_body))) => {
                self.take(length, has_body);
                next
            }
            Ok(None) => self.receive(),
            Err(reject) => self.refuse(reject),
        }
    }

    /// The request of a head, but for its body.
    fn request<'r>(&self, head: &Head<'r>, fields: &'r [Field<'r>]) -> Request<'r>
    where
        'c: 'r,
    {
        let mut request = Request::new(self.service.info, &self.wire.peer);
        request.method = head.method;
        request.target = head.target;
        request.path = head.path;
        request.query_string = head.query_string;
        request.version = head.version;
        request.headers = fields;
        request.host = head.host;
        request.connection = Some(self.questions);
        if let Framing::Length(length) = head.framing {
            request.content_length = Some(length);
        }
        request
    }

    /// One request and its response, whose body has begun. `is_last` tells whether nothing has arrived behind it.
    #[inline(never)]
    fn exchange(&mut self, head: &Head<'_>, request: &Request<'_>, is_last: bool) -> io::Result<Next> {
        match head.framing {
            Framing::None => self.exchange_inline::<false>(head, request, is_last),
            _ => self.exchange_inline::<true>(head, request, is_last),
        }
    }

    /// As [`exchange`](Self::exchange). Most requests have no body: for them all that has to do with bodies is left out.
    #[inline(always)]
    fn exchange_inline<const HAS_BODY: bool>(
        &mut self,
        head: &Head<'_>,
        request: &Request<'_>,
        is_last: bool,
    ) -> io::Result<Next> {
        let wire = self.wire;
        let config = &wire.config;
        let started = config.on_response.is_some().then(Instant::now);
        self.served += 1;
        self.head_until = None;
        let may_follow = config.max_requests_per_connection.is_none_or(|most| self.served < most);
        // Somebody waits for this place, and this client has nothing more to say.
        let make_room = is_last && (self.service.is_wanted)();
        let asked = Asked {
            version: head.version,
            head_request: head.method == "HEAD",
            keep: head.persistent && may_follow && !make_room && !wire.is_closing(),
            // With a body, what follows it is known only when it has been read.
            more_to_come: !HAS_BODY && !is_last,
        };
        let input = if HAS_BODY { Input::new(Arc::clone(&self.source) as Arc<dyn Source>) } else { Input::empty() };
        // Only this thread writes it.
        wire.requests.store(self.served, Ordering::Relaxed);
        wire.begin_app();
        let mut response = Response::new(wire, HAS_BODY.then_some(&self.source), self.heads, asked);
        let result = response.call(self.service.application, request, input);
        response.send(result);
        let Response { outcome, keep, lost, .. } = response;
        if let Some(started) = started {
            report(wire, &Told::of(request), started, outcome);
        }
        if let Some(error) = lost {
            return Err(error);
        }
        let remainder = if HAS_BODY { self.source.remainder() } else { Remainder::None };
        Ok(match remainder {
            _ if outcome.aborted && wire.will_reset() => Next::Close,
            // What is missing tells the client that this answer was cut. Those before it must arrive all the same.
            _ if outcome.aborted => Next::Linger,
            Remainder::None if keep => Next::Request,
            Remainder::Small if keep => {
                wire.flush()?;
                if self.source.drain() { Next::Request } else { Next::Linger }
            }
            Remainder::None if !HAS_BODY && is_last => Next::Part,
            // The client may be sending still: the rest of a body, or requests it has no answer to yet.
            _ => Next::Linger,
        })
    }

    /// Moves on to the next request: behind the head, or to what the body has read of it.
    fn take(&mut self, head: usize, has_body: bool) {
        if has_body {
            self.take_body();
        } else {
            self.received.take(head);
        }
    }

    #[inline(never)]
    fn take_body(&mut self) {
        if !self.source.end(|next| self.received.restart(next)) {
            // Another thread is reading from this connection: nothing can follow.
            self.received.clear();
            self.wire.stop();
        }
    }

    /// Waits for more of a head, at least for the end of a line, if there will be a request.
    #[inline(never)]
    fn receive(&mut self) -> io::Result<Next> {
        self.receive_inline()
    }

    /// As [`receive`](Self::receive), for requests that follow one with the same head.
    #[inline(always)]
    fn receive_inline(&mut self) -> io::Result<Next> {
        self.wire.flush()?;
        let config = &self.wire.config;
        loop {
            let now = self.wire.clock.now();
            let begun = !head::is_blank(self.received.arrived());
            let (wait, limit) = match (begun, self.served) {
                // Also behind an empty line. There are at most four, so that nobody idles for ever.
                (false, 1..) => (Wait::Request, config.keep_alive_timeout),
                // The head as a whole has to be there in time, not each line of it; nor empty lines before the first.
                _ => {
                    let until = *self.head_until.get_or_insert(now + milliseconds(config.head_timeout));
                    let wait = if begun { Wait::More } else { Wait::First };
                    (wait, Duration::from_millis(until.saturating_sub(now)))
                }
            };
            let result = match limit {
                Duration::ZERO => Err(io::ErrorKind::TimedOut.into()),
                limit => self.wire.read_inline(self.received.room(), wait, limit),
            };
            match result {
                Ok(0) => return Ok(Next::End),
                Ok(n) => {
                    // Before a line is whole nothing changes, except that it may have become too long.
                    let longest = self.received.len() + n > config.max_request_line;
                    let new = self.received.add(n);
                    if longest || new.ends_with(b"\n") || new.contains(&b'\n') {
                        return Ok(Next::Request);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    return if begun { self.refuse(Reject::TIMEOUT) } else { Ok(Next::End) };
                }
                // Between requests, and before the first, a client may go as it likes.
                Err(_) if !begun => return Ok(Next::End),
                Err(error) => return Err(error),
            }
        }
    }

    /// Answers what could not be understood; nothing after it is read as a request (H1-CON-10).
    fn refuse(&mut self, reject: Reject) -> io::Result<Next> {
        let arrived = self.received.arrived();
        let blank = arrived.iter().take_while(|&&b| b == b'\r' || b == b'\n').count();
        let head_request = arrived[blank..].starts_with(b"HEAD ");
        let started = Instant::now();
        let server = self.wire.config.server_header.as_deref();
        let lines = self.heads.date.lines(self.wire.clock.unix(), server, Add::BOTH);
        let own = Own { head_request, version: Version::Http11, keep: false, lines };
        let mut output = self.wire.output();
        let bytes = write_reject(&mut output, reject, &own);
        let result = self.wire.send(&mut output, [b""; 2]);
        drop(output);
        let outcome = Outcome { code: reject.code, bytes, aborted: result.is_err() };
        report(self.wire, &Told::refused(arrived), started, outcome);
        result.map(|()| Next::Linger)
    }
}

/// Begins the body of a request, in the connection's source, or in a new one if the application still holds the old one.
/// `rest` is what has arrived behind the head.
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
    let _ = guarded_call(|| hook(&exchange));
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::sync::atomic::AtomicUsize;

    use gateway_spec::{Status, app_fn};

    use super::*;
    use crate::wire::tests::{seen, wire};

    /// Serves a client while `watch` looks on, as the watchdog does. Returns how many requests were answered, and how often
    /// somebody was asked whether the place is wanted.
    fn watched(watch: impl FnOnce(&Wire, &mut TcpStream)) -> (usize, usize) {
        let (wire, mut client) = wire();
        let wire = Arc::new(wire);
        let (calls, looks) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let application = app_fn(|_, start_response| {
            start_response.start(Status::OK, &[])?;
            Ok::<_, gateway_spec::Error>("answer")
        });
        thread::scope(|scope| {
            scope.spawn(|| {
                let is_wanted = || {
                    looks.fetch_add(1, Ordering::SeqCst);
                    true
                };
                let info = ServerInfo::new("a", "80", "test");
                let service = Service { application: &application, info: &info, is_wanted: &is_wanted };
                let end = serve(&wire, &service, &mut Buffers::new());
                assert_eq!(end.unwrap(), End::Over);
                calls.store(wire.requests.load(Ordering::SeqCst) as usize, Ordering::SeqCst);
            });
            watch(&wire, &mut client);
        });
        (calls.into_inner(), looks.into_inner())
    }

    /// Whose wait was cut gets no other answer, whenever the request came and whenever the shutdown follows.
    #[test]
    fn who_was_cut_is_served_no_more() {
        let (calls, _) = watched(|wire, client| {
            // Not the last, so that it is not asked whether the place is wanted.
            client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n\r\n").unwrap();
            let waiting = seen(wire, Wait::Request);
            assert!(wire.watch.cut(waiting));
            client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
            let mut answers = String::new();
            client.read_to_string(&mut answers).expect("no reset");
            assert!(answers.ends_with("answer"), "{answers}");
        });
        assert_eq!(calls, 1);
    }

    /// A client that was late with its head may be sending the rest of it: 408 must not be lost to a reset (H1-CON-11).
    #[test]
    fn who_is_late_with_its_head_is_lingered_for() {
        let (calls, looks) = watched(|wire, client| {
            client.write_all(b"GET / HTTP/1.1\r\n").unwrap();
            assert!(wire.cut(seen(wire, Wait::More)));
            let mut answer = String::new();
            client.read_to_string(&mut answer).expect("no reset");
            assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        });
        assert_eq!((calls, looks), (0, 1), "the place is given up if others want it");
    }
}
