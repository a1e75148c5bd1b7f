//! The same tests on every server: how an application is started, asked and stopped, with sockets and without.
#![allow(dead_code, reason = "each test program uses its part")]

mod in_process;
mod socket;

use std::any::Any;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use conformance::fixtures::PATIENCE;
use gateway_spec::{Application, Errors};

pub(crate) use in_process::InProcess;
#[allow(unused_imports, reason = "used by the macro below")]
pub(crate) use socket::{Running, Sockets};

/// Makes a module of tests for each server, named as the server: one line each.
macro_rules! on_every_server {
    ($($case:ident)*) => {
        on_server! { in_process: $crate::support::InProcess, $($case)* }
        on_server! { server_threaded: $crate::support::socket_server!(server_threaded), $($case)* }
        on_server! { server_mio: $crate::support::socket_server!(server_mio), $($case)* }
    };
}

/// The tests of one server.
macro_rules! on_server {
    ($name:ident: $server:expr, $($case:ident)*) => {
        mod $name {
            $(#[test] fn $case() { super::$case(&$server) })*
        }
    };
}

/// A server of the workspace on a socket: their APIs have the same names.
macro_rules! socket_server {
    ($name:ident) => {
        $crate::support::Sockets(|app, errors, responses| {
            let mut config = $name::Server::builder();
            config.errors = errors;
            config.on_response = Some(std::sync::Arc::new(move |exchange: &$name::Exchange<'_>| {
                let line = format!("{} {} {}", exchange.method, exchange.target, exchange.status);
                responses.add(&format!("{line} {} {}\n", exchange.bytes, exchange.aborted));
            }));
            config.shutdown_timeout = std::time::Duration::from_secs(1);
            let server = config.bind("127.0.0.1:0").unwrap();
            let handle = server.handle();
            let address = server.local_addr().to_string();
            let thread = std::thread::spawn(move || server.serve(app).unwrap());
            $crate::support::Running::new(&address, move || handle.stop(), thread)
        })
    };
}

#[allow(unused_imports, reason = "used by the macro")]
pub(crate) use socket_server;
pub(crate) use {on_every_server, on_server};

/// A server that can be given an application.
pub(crate) trait Server {
    fn start(&self, app: Arc<dyn Application>) -> Box<dyn Site>;
}

/// An application on a server. Dropping it stops the server and waits for it.
pub(crate) trait Site: Sync {
    fn connect(&self) -> Box<dyn Connection>;

    /// What the application and the server have logged by now.
    fn log(&self) -> String;

    /// Lines of method, target, status, bytes and whether it was cut, one for each response; `None` if the server has no
    /// access log.
    fn responses(&self) -> Option<String>;

    /// Asks on a connection of its own.
    fn ask(&self, ask: &Ask) -> Answer {
        self.connect().ask(ask)
    }

    /// Waits until the log has this text. Servers may log after the last byte was sent.
    #[track_caller]
    fn must_log(&self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.log().contains(text) {
            assert!(Instant::now() < deadline, "{text:?} is not in the log: {:?}", self.log());
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// A connection, on which one request can follow another.
pub(crate) trait Connection {
    /// Sends a request and reads the response. `watch` is shown what has come so far, after each piece.
    fn ask_watched(&mut self, ask: &Ask, watch: &mut (dyn FnMut(&[u8]) + Send)) -> Answer;

    /// Sends a request, reads until this text has come, and leaves, with bytes unread: the server can tell that from a
    /// client that has only finished sending.
    fn leave_after(self: Box<Self>, ask: &Ask, text: &str);

    /// Sends a request and reads nothing of the response, until what is returned is dropped.
    fn hold(self: Box<Self>, ask: &Ask) -> Box<dyn Any>;

    /// Sends a request and reads of the response what is asked for; dropping what is returned leaves.
    fn open(self: Box<Self>, ask: &Ask) -> Box<dyn Opened>;

    fn ask(&mut self, ask: &Ask) -> Answer {
        self.ask_watched(ask, &mut |_| {})
    }

    /// Whether the server goes on with the connection: asks for `/` once more. In process there is always a next time.
    fn is_kept(&mut self) -> bool {
        self.ask(&Ask::get("/")).status != 0
    }
}

/// A response that is read piece by piece.
pub(crate) trait Opened: Send {
    /// The content that was read and not taken yet, with its framing if it has one.
    fn seen(&mut self) -> &mut Vec<u8>;

    /// Reads another piece; `false` at the end.
    fn more(&mut self) -> bool;

    /// Reads to the end; whether the client can tell that it has all of it.
    fn ends(self: Box<Self>) -> bool;

    /// Reads until the content has this text, and gives what there was up to it and with it. What follows is for later.
    #[track_caller]
    fn until(&mut self, text: &str) -> String {
        loop {
            let seen = self.seen();
            if let Some(start) = seen.windows(text.len()).position(|window| window == text.as_bytes()) {
                let taken: Vec<u8> = seen.drain(..start + text.len()).collect();
                return String::from_utf8_lossy(&taken).into_owned();
            }
            assert!(self.more(), "the response ended before {text:?}");
        }
    }
}

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) http10: bool,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: AskBody,
}

/// The body of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AskBody {
    None,
    /// With `Content-Length`.
    Block(Vec<u8>),
    /// With chunked coding, in two chunks.
    Chunked(Vec<u8>),
    /// With chunked coding, in two chunks, of which the first has so many bytes.
    Pieces(Vec<u8>, usize),
    /// With `Content-Length` and `Expect: 100-continue`; nothing is sent before the server says so.
    Expect(Vec<u8>),
    /// With a `Content-Length` that is this much longer; then the client has finished.
    Short(Vec<u8>, usize),
}

impl Ask {
    pub(crate) fn new(method: &str, target: &str) -> Self {
        let (method, target) = (method.to_owned(), target.to_owned());
        Self { method, target, http10: false, headers: Vec::new(), body: AskBody::None }
    }

    pub(crate) fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    pub(crate) fn post(target: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { body: AskBody::Block(body.into()), ..Self::new("POST", target) }
    }

    pub(crate) fn chunked(target: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { body: AskBody::Chunked(body.into()), ..Self::new("POST", target) }
    }

    pub(crate) fn short(target: &str, body: impl Into<Vec<u8>>, missing: usize) -> Self {
        Self { body: AskBody::Short(body.into(), missing), ..Self::new("POST", target) }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn http10(mut self) -> Self {
        self.http10 = true;
        self
    }
}

/// A response as its client has seen it. `status` is 0 if there was none.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) framing: Framing,
    /// Whether the client can tell that it has all of it.
    pub(crate) complete: bool,
    /// Whether the server said 100 before.
    pub(crate) continued: bool,
}

/// How the end of the content was told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Framing {
    #[default]
    Empty,
    Length,
    Chunked,
    Close,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The value of a header that must be there once at most.
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "{name} more than once: {:?}", self.headers);
        value
    }

    /// A whole answer with this status and this text.
    #[track_caller]
    pub(crate) fn is(&self, status: u16, text: &str) -> &Self {
        assert_eq!((self.status, self.text().as_str(), self.complete), (status, text, true), "{:?}", self.headers);
        self
    }

    /// The server's own answer to a failure, which has nothing of the application's (GW-REF-02, GW-REF-04).
    #[track_caller]
    pub(crate) fn is_failure(&self, status: u16) -> &Self {
        assert_eq!((self.status, self.complete), (status, true), "{self:?}");
        assert_eq!(self.header("X-Script"), None, "{self:?}");
        assert!(!self.text().contains("script") && !self.text().contains("page"), "{self:?}");
        assert!(self.header("Content-Type").is_some_and(|value| value.starts_with("text/plain")), "{self:?}");
        self
    }

    /// An answer that began with this status and text, and whose client can tell that something is missing.
    #[track_caller]
    pub(crate) fn is_cut(&self, status: u16, text: &str) -> &Self {
        assert_eq!((self.status, self.text().as_str(), self.complete), (status, text, false), "{:?}", self.headers);
        self
    }
}

/// A log that is kept.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<String>>);

impl Log {
    pub(crate) fn errors(&self) -> Errors {
        let log = Arc::clone(&self.0);
        Errors::new(move |text: &str| log.lock().unwrap_or_else(PoisonError::into_inner).push_str(text))
    }

    pub(crate) fn add(&self, text: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push_str(text);
    }

    pub(crate) fn text(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
