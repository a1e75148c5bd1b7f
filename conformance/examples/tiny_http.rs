//! The suite against tiny_http: an adapter from the contract, on a thread for each request.
//!
//! ```text
//! cargo run --release -p conformance --example tiny_http --features third-party [-- --whole] [word …]
//! ```
//!
//! tiny_http takes a response as something to read from, and the request's body ends when the response begins. So what is
//! written is kept until the application returns, and a body that streams its input gets it as a whole.

use std::io::{self, Cursor, Read, Write};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use bytes::Bytes;
use conformance::comparison;
use conformance::harness::{Harness, Limits, Running};
use gateway_spec::{
    Application, Body, Calls, Environ, Error, Field, Input, Peer, Scheme, ServerInfo, StartResponse, Status, Version,
};
use tiny_http::{Header, Response, Server, StatusCode};

fn main() -> ExitCode {
    comparison::main(&TinyHttp)
}

struct TinyHttp;

struct Serving {
    server: Arc<Server>,
    address: SocketAddr,
    thread: Option<thread::JoinHandle<()>>,
}

impl Running for Serving {
    fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.server.unblock();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Harness for TinyHttp {
    fn name(&self) -> &'static str {
        "tiny_http"
    }

    /// It has no limits and no deadlines to set.
    fn start(&self, app: Arc<dyn Application>, _: &Limits) -> io::Result<Box<dyn Running>> {
        let server = Arc::new(Server::http("127.0.0.1:0").map_err(io::Error::other)?);
        let address = server.server_addr().to_ip().ok_or_else(|| io::Error::other("not a TCP address"))?;
        let mut info = ServerInfo::new(address.ip().to_string(), address.port().to_string(), "tiny_http");
        info.errors = gateway_spec::Errors::new(|_: &str| {});
        let info = Arc::new(info);
        let incoming = Arc::clone(&server);
        let thread = thread::spawn(move || {
            for request in incoming.incoming_requests() {
                let (app, info) = (Arc::clone(&app), Arc::clone(&info));
                thread::spawn(move || answer(&*app, &info, request));
            }
        });
        Ok(Box::new(Serving { server, address, thread: Some(thread) }))
    }
}

/// Where the body of the request is: still in the request, or in memory.
enum Source {
    Request(Box<tiny_http::Request>),
    Memory(Cursor<Vec<u8>>),
}

#[derive(Clone)]
struct Shared(Arc<Mutex<Source>>);

impl Read for Shared {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Source::Request(request) => request.as_reader().read(buffer),
            Source::Memory(memory) => memory.read(buffer),
        }
    }
}

impl Shared {
    /// Takes the request, to answer it; whoever still has the input gets what is left of it from memory.
    fn take_request(&self) -> Option<tiny_http::Request> {
        let is_held = Arc::strong_count(&self.0) > 1;
        let mut source = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rest = Vec::new();
        if let (Source::Request(request), true) = (&mut *source, is_held) {
            // A body that is cut is seen by its reader as too short.
            let _ = request.as_reader().read_to_end(&mut rest);
        }
        match std::mem::replace(&mut *source, Source::Memory(Cursor::new(rest))) {
            Source::Request(request) => Some(*request),
            Source::Memory(_) => None,
        }
    }
}

fn answer(app: &dyn Application, info: &ServerInfo, request: tiny_http::Request) {
    let method = request.method().to_string();
    let target = request.url().to_owned();
    let version = if request.http_version().1 == 0 { Version::Http10 } else { Version::Http11 };
    let lines: Vec<(String, String)> =
        request.headers().iter().map(|h| (h.field.to_string(), h.value.to_string())).collect();
    let peer = request.remote_addr().map_or_else(Peer::unix, |address| Peer::tcp(*address));
    let shared = Shared(Arc::new(Mutex::new(Source::Request(Box::new(request)))));
    let mut out = Responder { calls: Calls::new(), head: None, written: Vec::new() };

    let fields: Vec<Field<'_>> = lines.iter().map(|(name, value)| Field { name, value: value.as_bytes() }).collect();
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let mut asked = gateway_spec::Request::new(info, &peer);
    asked.method = &method;
    asked.target = &target;
    asked.path = if path == "*" { "" } else { path };
    asked.query_string = query;
    asked.version = version;
    asked.headers = &fields;
    asked.host = lines.iter().find(|(name, _)| name.eq_ignore_ascii_case("host")).map(|(_, value)| value.as_str());
    let length = lines.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    asked.content_length = length.and_then(|(_, value)| gateway_spec::digits(value.as_bytes()));

    let begun = guarded(|| {
        let mut environ = Environ::new(&asked, Input::from_reader(shared.clone()));
        environ.set_url_scheme(Scheme::Http);
        let mut body = app.call(&mut environ, &mut out)?;
        drop(environ);
        let first = next_block(&mut body, &mut out)?;
        Ok((body, first))
    });
    let Some(request) = shared.take_request() else { return };
    // A client that has gone is nothing to tell.
    let _ = match (begun, out.head.take()) {
        (Ok((body, first)), Some((status, headers, declared))) => {
            let rest = body.len().and_then(|rest| usize::try_from(rest).ok());
            let known = rest.map(|rest| rest + out.written.len() + first.len());
            let length = declared.and_then(|length| usize::try_from(length).ok()).or(known);
            let written = Bytes::from(std::mem::take(&mut out.written));
            let reader = Blocks { body, out, ready: [first, written].into() };
            request.respond(Response::new(StatusCode(status.code()), headers, reader, length, None))
        }
        (begun, _) => {
            let error = begun.err().and_then(|error| error.downcast_ref::<io::Error>().map(io::Error::kind));
            let status = match error {
                Some(io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput) => 400,
                _ => 500,
            };
            request.respond(Response::from_string("failed\n").with_status_code(status))
        }
    };
}

fn guarded<T>(part: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(part)).unwrap_or_else(|_| Err("panic".into()))
}

/// The next block that is not empty, as far as the declared length allows; empty at the end.
fn next_block(body: &mut Body, out: &mut Responder) -> Result<Bytes, Error> {
    while !out.calls.is_complete()
        && let Some(block) = body.next(out)
    {
        let block = block?;
        let allowed = out.calls.yielded(block.len())?;
        if allowed > 0 {
            return Ok(block.slice(..allowed));
        }
    }
    out.calls.end()?;
    Ok(Bytes::new())
}

/// The response as tiny_http wants it.
struct Blocks {
    body: Body,
    out: Responder,
    /// What comes next, the last first.
    ready: Vec<Bytes>,
}

impl Read for Blocks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.ready.last().is_some_and(Bytes::is_empty) {
            self.ready.pop();
        }
        if self.ready.is_empty() {
            let (body, out) = (&mut self.body, &mut self.out);
            let block = guarded(|| next_block(body, out)).map_err(io::Error::other)?;
            self.ready.push(block);
        }
        let Some(block) = self.ready.last_mut() else { return Ok(0) };
        let n = block.len().min(buffer.len());
        buffer[..n].copy_from_slice(&block.split_to(n));
        Ok(n)
    }
}

/// The head, and what was written before the application returned.
struct Responder {
    calls: Calls,
    head: Option<(Status, Vec<Header>, Option<u64>)>,
    written: Vec<u8>,
}

impl StartResponse for Responder {
    fn start_response(
        &mut self,
        status: Status,
        headers: &[(&str, &str)],
        exc_info: Option<Error>,
    ) -> Result<&mut dyn Write, Error> {
        let head = self.calls.start(&status, headers, exc_info)?;
        let declared = head.content_length();
        let headers = head.headers().map(|(name, value)| Header::from_bytes(name, &*value));
        let headers = headers.collect::<Result<Vec<_>, ()>>().map_err(|()| "tiny_http cannot send this header")?;
        self.head = Some((status, headers, declared));
        Ok(self)
    }

    fn writer(&mut self) -> &mut dyn Write {
        self
    }
}

impl Write for Responder {
    fn write(&mut self, block: &[u8]) -> io::Result<usize> {
        self.calls.written(block.len()).map_err(io::Error::other)?;
        self.written.extend_from_slice(block);
        Ok(block.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
