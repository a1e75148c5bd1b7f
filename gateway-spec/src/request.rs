//! [`Request`]: what a server knows of a request; it becomes an [`Environ`](crate::Environ).

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use crate::{Errors, Field};

/// A request as a server has read it: slices of its read buffer.
///
/// Made by servers, with [`Request::new`] and then field by field; fields may be added in later versions.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Request<'r> {
    /// The method: a token, in the letter case of the client.
    pub method: &'r str,
    /// The request target as it was received.
    pub target: &'r str,
    /// The path of the target, still encoded, with valid escapes only: begins with `/`, or is empty for `OPTIONS *`.
    pub path: &'r str,
    /// What follows the first `?` of the target, still encoded; empty if there is none.
    pub query_string: &'r str,
    /// The version the client uses.
    pub version: Version,
    /// The field lines in the order received. Obsolete line folding does not occur.
    pub headers: &'r [Field<'r>],
    /// The authority of the target URI: of an absolute-form target, else of the `Host` field (CGI-NET-08).
    pub host: Option<&'r str>,
    /// The `Content-Length`, for a request that has one and no transfer coding.
    pub content_length: Option<u64>,
    /// Who sent the request.
    pub peer: &'r Peer,
    /// What is the same for all requests of a server.
    pub server: &'r ServerInfo,
    /// The connection, for questions that are answered later.
    pub connection: Option<&'r Arc<dyn Connection>>,
}

impl<'r> Request<'r> {
    /// A `GET` of `/` with nothing else.
    #[must_use]
    pub fn new(server: &'r ServerInfo, peer: &'r Peer) -> Self {
        Self {
            method: "GET",
            target: "/",
            path: "/",
            query_string: "",
            version: Version::Http11,
            headers: &[],
            host: None,
            content_length: None,
            peer,
            server,
            connection: None,
        }
    }
}

impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("target", &self.target)
            .field("version", &self.version)
            .field("headers", &self.headers)
            .finish_non_exhaustive()
    }
}

/// The HTTP version of a request. A higher minor version counts as 1.1 (H1-VER-04).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
}

impl Version {
    /// The value of `SERVER_PROTOCOL`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http10 => "HTTP/1.0",
            Self::Http11 => "HTTP/1.1",
        }
    }
}

/// The scheme of a URL (GW-EWV-02).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Scheme {
    /// `http`
    #[default]
    Http,
    /// `https`
    Https,
}

impl Scheme {
    /// The scheme as it stands in a URL.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port that a URL of this scheme means when it names none.
    #[must_use]
    pub const fn default_port(self) -> &'static str {
        match self {
            Self::Http => "80",
            Self::Https => "443",
        }
    }
}

/// The other end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    addr: Option<SocketAddr>,
    remote_addr: String,
    remote_port: String,
}

impl Peer {
    /// A peer over TCP.
    #[must_use]
    pub fn tcp(addr: SocketAddr) -> Self {
        // An IPv4 client of a dual-stack listener is an IPv4 client.
        let ip = addr.ip().to_canonical();
        Self { addr: Some(addr), remote_addr: ip.to_string(), remote_port: addr.port().to_string() }
    }

    /// A peer over a Unix socket. Its `REMOTE_ADDR` is `unix:` and it has no port.
    #[must_use]
    pub fn unix() -> Self {
        Self { addr: None, remote_addr: "unix:".to_owned(), remote_port: String::new() }
    }

    /// The address, unless it is a Unix socket.
    #[must_use]
    pub const fn addr(&self) -> Option<SocketAddr> {
        self.addr
    }

    /// The value of `REMOTE_ADDR`: dotted, or IPv6 without brackets (CGI-NET-01).
    #[must_use]
    pub fn remote_addr(&self) -> &str {
        &self.remote_addr
    }

    /// The value of `REMOTE_PORT`: digits, or empty (CGI-NET-03).
    #[must_use]
    pub fn remote_port(&self) -> &str {
        &self.remote_port
    }
}

/// What is the same for all requests of a server.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServerInfo {
    /// `SERVER_NAME`: the configured name, or the address bound. Never empty (GW-ENV-11).
    pub server_name: String,
    /// `SERVER_PORT`: digits. Never empty, on a Unix socket that of the scheme (C-14).
    pub server_port: String,
    /// `SERVER_SOFTWARE`: product and version.
    pub server_software: String,
    /// The scheme through which applications are reached: that of the last hop (GW-RACK-11).
    pub url_scheme: Scheme,
    /// Whether the application may be called by several threads at once (GW-EWV-10).
    pub multithread: bool,
    /// Whether another process may call the same application at the same time (GW-EWV-11).
    pub multiprocess: bool,
    /// Whether this process expects to answer this request only (GW-EWV-12).
    pub run_once: bool,
    /// Variables that whoever runs the server adds to every environ (GW-CFG-03). The request's own have precedence.
    pub variables: Vec<(String, String)>,
    /// The errors stream.
    pub errors: Errors,
}

impl ServerInfo {
    /// A server of this name, port and software: `http`, several threads, errors to standard error.
    pub fn new(name: impl Into<String>, port: impl Into<String>, software: impl Into<String>) -> Self {
        Self {
            server_name: name.into(),
            server_port: port.into(),
            server_software: software.into(),
            url_scheme: Scheme::Http,
            multithread: true,
            multiprocess: false,
            run_once: false,
            variables: Vec::new(),
            errors: Errors::stderr(),
        }
    }
}

/// Questions about a connection that are answered when asked: implemented by servers.
pub trait Connection: Send + Sync {
    /// Whether the client is known to have gone, so that nobody will read the answer (GW-DEF-12).
    ///
    /// A client that has only finished sending has not gone (H1-CON-12).
    fn client_gone(&self) -> bool;

    /// When the server will give up waiting for the application, if ever.
    fn deadline(&self) -> Option<Instant> {
        None
    }
}
