//! [`Config`]: every limit, deadline and hook, with its default and the reason for it.

use std::fmt;
use std::io;
use std::time::Duration;

use gateway_spec::{Errors, Scheme};

use crate::Server;
use crate::hooks::{OnError, OnResponse, VerifyPeer};
use crate::transport::Listener;

/// A thread that outgrows its stack takes the process with it.
const SMALLEST_STACK: usize = 64 * 1024;

/// What is more was meant as something else; near the end of the range, making a thread would panic.
const LARGEST_STACK: usize = 1 << 30;

/// How a server listens, what it allows and how long it waits; made by [`Server::builder`].
///
/// Every buffer that a peer can make grow and every phase that a peer can draw out has a limit here, and all are on by
/// default. The names are the same in every Gateway server.
///
/// ```no_run
/// use gateway_spec::{Body, Environ, Error, StartResponse, Status};
/// use server_threaded::Server;
///
/// fn app(_: &mut Environ, start_response: &mut dyn StartResponse) -> Result<Body, Error> {
///     start_response.start(Status::NO_CONTENT, &[])?;
///     Ok(Body::empty())
/// }
///
/// let mut config = Server::builder();
/// config.max_body = 1 << 30;
/// config.bind("127.0.0.1:8000")?.serve(app)
/// # ; Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct Config {
    /// `SERVER_NAME`; by default the address bound, or `localhost` where that names no host.
    pub server_name: Option<String>,
    /// `SERVER_PORT`; by default the port bound, or that of the scheme for a Unix socket.
    pub server_port: Option<String>,
    /// The `Server` header, and `SERVER_SOFTWARE`. None by default: it helps nobody but who looks for holes (H1-SEC-09).
    pub server_header: Option<String>,
    /// The scheme through which applications are reached (GW-EWV-02). `http` by default.
    pub url_scheme: Scheme,
    /// Variables to add to every environ (GW-CFG-03). None by default.
    pub variables: Vec<(String, String)>,
    /// Where errors go (GW-EWV-08): standard error by default.
    pub errors: Errors,

    /// Longest request line in bytes, else 414. 8 KiB: RFC 9112 asks for 8,000 at least (H1-LINE-05).
    pub max_request_line: usize,
    /// Longest head in bytes, request line included, else 431. 32 KiB: what browsers with many cookies send, doubled.
    pub max_head: usize,
    /// Most field lines in a head, and in trailers, else 431. 100, as the field has it.
    pub max_headers: usize,
    /// Longest request body in bytes, else 413. 16 MiB: an application that reads all of it stays alive.
    pub max_body: u64,
    /// Most bytes of chunk extensions in one body, else 400. 16 KiB: nobody uses them (H1-CHK-06).
    pub max_chunk_extensions: usize,
    /// How much of a body that the application left unread is read to keep the connection. 64 KiB: cheaper than a new
    /// one.
    pub max_drain: u64,
    /// How many requests one connection may send. No limit by default: shedding keeps it fair.
    pub max_requests_per_connection: Option<u64>,
    /// Most connections at once. 1,024: at 21 KiB of memory for an idle one, that is 21 MiB. At the limit, the connection
    /// idle for longest makes room for a new one.
    pub max_connections: usize,
    /// How many new connections wait when all others are busy; one more gets 503. 128.
    pub max_pending: usize,
    /// How long a new connection waits before it gets 503. 1 s: who waits longer has gone elsewhere.
    pub pending_timeout: Duration,

    /// Time for a head to arrive, from its first byte or from the beginning of the connection, else 408. 10 s: a minute
    /// of patience would be a minute for an attacker.
    pub head_timeout: Duration,
    /// How long a connection may idle between requests. 15 s: longer than a person takes for a click.
    pub keep_alive_timeout: Duration,
    /// How long a body may pause, else 408. 30 s.
    pub body_timeout: Duration,
    /// How many bytes a second a body, or the reading of an answer, must reach on average after
    /// [`rate_grace`](Self::rate_grace). 500: below every real line, above every drip.
    pub min_body_rate: u64,
    /// How long a body may take in any case before [`min_body_rate`](Self::min_body_rate) applies. 10 s.
    pub rate_grace: Duration,
    /// How long a client may take nothing of an answer. 30 s.
    pub write_timeout: Duration,
    /// How long the server goes on reading after it has refused a request and closed its side, so that the client can
    /// read the answer (H1-CON-11). 2 s.
    pub linger_timeout: Duration,
    /// How much it reads and throws away meanwhile. 1 MiB.
    pub max_linger: u64,
    /// How long a graceful shutdown may take before what is left is cut. 30 s, as most supervisors allow.
    pub shutdown_timeout: Duration,
    /// What `environ.deadline()` says: the time for an application to answer, counted from its call. None by default.
    /// Nothing is cut at this time: a thread cannot be stopped from outside.
    pub app_deadline: Option<Duration>,
    /// The stack of a connection's thread in bytes. 512 KiB: touched pages only cost memory.
    pub stack_size: usize,

    /// Asked before a new connection gets a place, and before anything is read from it; `false` closes it without a word.
    /// The thread that asks would else accept the next connection, so a hook that takes long delays newcomers.
    pub verify_peer: Option<VerifyPeer>,
    /// Told of what went wrong on a connection. It never stops the server, whatever it is.
    pub on_error: Option<OnError>,
    /// Told of each response when it is over, the server's own refusals included: for access logs. A 503 for want of a
    /// place is told of by a thread that would else accept the next connection, so a hook that takes long delays newcomers. A
    /// 503 for who has waited too long is told of by a thread of its own; while 1,024 of these wait for the hook, it is told
    /// of no more.
    pub on_response: Option<OnResponse>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            server_name: None,
            server_port: None,
            server_header: None,
            url_scheme: Scheme::Http,
            variables: Vec::new(),
            errors: Errors::stderr(),
            max_request_line: 8 * 1024,
            max_head: 32 * 1024,
            max_headers: 100,
            max_body: 16 << 20,
            max_chunk_extensions: 16 * 1024,
            max_drain: 64 * 1024,
            max_requests_per_connection: None,
            max_connections: 1024,
            max_pending: 128,
            pending_timeout: Duration::from_secs(1),
            head_timeout: Duration::from_secs(10),
            keep_alive_timeout: Duration::from_secs(15),
            body_timeout: Duration::from_secs(30),
            min_body_rate: 500,
            rate_grace: Duration::from_secs(10),
            write_timeout: Duration::from_secs(30),
            linger_timeout: Duration::from_secs(2),
            max_linger: 1 << 20,
            shutdown_timeout: Duration::from_secs(30),
            app_deadline: None,
            stack_size: 512 * 1024,
            verify_peer: None,
            on_error: None,
            on_response: None,
        }
    }
}

impl Config {
    /// Listens on an address: `127.0.0.1:8000`, `[::1]:0`, `localhost:8000`, or `unix:/path/to/socket`.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for a setting that makes no sense, else what the system says; the
    /// message names the setting or the address.
    pub fn bind(self, address: &str) -> io::Result<Server> {
        self.check()?;
        Server::new(Listener::bind(address)?, self)
    }

    /// Uses a listener that is there already: a TCP or Unix listener of the standard library.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    pub fn from_listener(self, listener: impl Into<Listener>) -> io::Result<Server> {
        self.check()?;
        Server::new(listener.into(), self)
    }

    /// Says which setting makes no sense, and why.
    fn check(&self) -> io::Result<()> {
        let refuse = |why: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, why.to_owned()));
        if self.max_connections == 0 {
            return refuse("max_connections is 0: nobody could connect");
        }
        if self.max_head < self.max_request_line {
            return refuse("max_head is smaller than max_request_line, which it includes");
        }
        if self.max_request_line < 16 {
            return refuse("max_request_line is too small for any request");
        }
        if self.max_requests_per_connection == Some(0) {
            return refuse("max_requests_per_connection is 0: nobody could ask for anything");
        }
        if self.max_headers == 0 {
            return refuse("max_headers is 0: not even Host would be allowed");
        }
        for (name, time) in [
            ("head_timeout", self.head_timeout),
            ("body_timeout", self.body_timeout),
            ("write_timeout", self.write_timeout),
        ] {
            if time.is_zero() {
                return refuse(&format!("{name} is 0: nobody is that fast"));
            }
        }
        if self.rate_grace.is_zero() && self.min_body_rate > 0 {
            return refuse("rate_grace is 0: before the first byte, nobody has any rate");
        }
        if self.stack_size < SMALLEST_STACK {
            return refuse("stack_size is smaller than 64 KiB, which the server itself may need");
        }
        if self.stack_size > LARGEST_STACK {
            return refuse("stack_size is larger than 1 GiB, and each connection has one");
        }
        if let Some(header) = &self.server_header
            && let Err(misuse) = gateway_spec::check_header("Server", header)
        {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("server_header: {misuse}")));
        }
        for (name, value) in [("server_name", &self.server_name), ("server_port", &self.server_port)] {
            if value.as_ref().is_some_and(String::is_empty) {
                return refuse(&format!("{name} is empty; leave it out for the default"));
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("max_head", &self.max_head)
            .field("max_body", &self.max_body)
            .field("max_connections", &self.max_connections)
            .finish_non_exhaustive()
    }
}
