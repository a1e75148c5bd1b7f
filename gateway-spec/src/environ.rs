//! [`Environ`]: a request as an application sees it.

mod place;

use std::borrow::Cow;
use std::fmt;
use std::mem;
use std::sync::Arc;
use std::time::Instant;

use crate::rare::Rare;
use crate::{
    Connection, EnvStr, Errors, Extensions, Input, Request, Scheme, Version, digits, is_hop_by_hop, percent_decode,
    percent_encode_path,
};

/// The version of this interface, as `wsgi.version` (GW-EWV-01).
pub const VERSION: (u8, u8) = (1, 0);

/// A request as an application sees it: the dictionary of PEP 3333, computed when asked.
///
/// It borrows from the server's read buffer. `PATH_INFO` is decoded, a header becomes an `HTTP_` variable, repeated
/// headers are joined, each at the moment it is asked for: a variable that nobody reads costs nothing.
///
/// ```
/// use gateway_spec::{Environ, Field, Input, Peer, Request, ServerInfo};
///
/// let server = ServerInfo::new("localhost", "8000", "example/1");
/// let peer = Peer::tcp(([127, 0, 0, 1], 40000).into());
/// let mut request = Request::new(&server, &peer);
/// request.target = "/blog/caf%C3%A9?page=2";
/// request.path = "/blog/caf%C3%A9";
/// request.query_string = "page=2";
/// request.headers = &[Field { name: "Accept", value: b"text/html" }, Field { name: "accept", value: b"*/*" }];
///
/// let mut environ = Environ::new(&request, Input::empty());
/// assert_eq!(environ.path_info(), "/blog/café");
/// assert_eq!(environ.get("HTTP_ACCEPT").unwrap(), "text/html, */*");
/// assert!(environ.mount("/blog"));
/// assert_eq!((environ.script_name(), environ.path_info()), ("/blog".into(), "/café".into()));
/// assert_eq!(environ.url(), "http://localhost:8000/blog/caf%C3%A9?page=2");
/// ```
///
/// # Variables
/// [`get`](Self::get) and [`vars`](Self::vars) know these (GW-ENV-17); all others come from
/// [`ServerInfo::variables`](crate::ServerInfo::variables) or [`set`](Self::set).
///
/// | name | value | present |
/// |---|---|---|
/// | `REQUEST_METHOD` | the method as received | always |
/// | `SCRIPT_NAME` | where the application is mounted, decoded; `""` at the root, never ends in `/` | always |
/// | `PATH_INFO` | the rest of the path, decoded; `""` only below a mount and for `OPTIONS *` | always |
/// | `QUERY_STRING` | what follows the first `?`, undecoded | always |
/// | `REQUEST_URI` | the request target as received | always |
/// | `CONTENT_TYPE` | the field's value | if sent |
/// | `CONTENT_LENGTH` | digits | if sent; not with chunked coding |
/// | `SERVER_NAME`, `SERVER_PORT` | configured or bound | always |
/// | `SERVER_PROTOCOL` | `HTTP/1.0` or `HTTP/1.1` | always |
/// | `SERVER_SOFTWARE` | product and version | always |
/// | `GATEWAY_INTERFACE` | `CGI/1.1` | always |
/// | `REMOTE_ADDR`, `REMOTE_PORT` | the immediate peer; `unix:` and nothing for a Unix socket | always |
/// | `HTTP_HOST` | the authority of the target URI | if known |
/// | `HTTP_*` | the field's value; several are joined by `, `, of `Cookie` by `; ` | if sent |
///
/// Fields never become variables if they are hop-by-hop (CGI-HDR-10), if they are `Proxy` (CGI-HDR-13), or if their
/// names have other characters than letters, digits and `-`, because two names could then mean one variable
/// (CGI-HDR-11, CGI-HDR-12). [`headers`](Self::headers) has them all.
pub struct Environ<'r> {
    request: &'r Request<'r>,
    /// `SCRIPT_NAME` is the encoded path up to here, `PATH_INFO` the rest.
    mounted: usize,
    url_scheme: Scheme,
    input: Input,
    /// What most requests never have, and need not drop.
    added: Rare<Added>,
}

/// What middleware has put into an environ.
#[derive(Default)]
struct Added {
    /// What was set or, with `None`, removed. Few entries.
    changed: Vec<(String, Option<Vec<u8>>)>,
    extensions: Extensions,
}

impl<'r> Environ<'r> {
    /// Made by servers, from a request and its body.
    #[must_use]
    pub const fn new(request: &'r Request<'r>, input: Input) -> Self {
        Self { request, mounted: 0, url_scheme: request.server.url_scheme, input, added: Rare::NONE }
    }

    /// Whether anything would be dropped with it: a body, or what middleware has added.
    ///
    /// # Servers
    /// One that would not can be forgotten. To ask is cheaper than to drop all that might be there.
    #[must_use]
    #[inline]
    pub fn needs_drop(&self) -> bool {
        self.input.needs_drop() || self.added.is_some()
    }

    /// The request method (GW-ENV-05), case-sensitive.
    #[must_use]
    pub fn method(&self) -> &str {
        self.text("REQUEST_METHOD", self.request.method)
    }

    /// Where the application is mounted (GW-ENV-06), decoded: empty at the root, and never ending in `/`.
    #[must_use]
    pub fn script_name(&self) -> EnvStr<'_> {
        self.changed("SCRIPT_NAME").unwrap_or_else(|| decoded(&self.request.path[..self.mounted]))
    }

    /// The path below the mount (GW-ENV-07), decoded: empty, or beginning with `/`.
    #[must_use]
    #[inline]
    pub fn path_info(&self) -> EnvStr<'_> {
        self.changed("PATH_INFO").unwrap_or_else(|| decoded(&self.request.path[self.mounted..]))
    }

    /// The path below the mount as the client encoded it, for routers: cut first, decode after, so that `%2F` is not a
    /// separator (CGI-PATH-06).
    #[must_use]
    pub fn raw_path_info(&self) -> Cow<'_, str> {
        match self.changed("PATH_INFO") {
            Some(path) => Cow::Owned(percent_encode_path(path.as_bytes()).into_owned()),
            None => Cow::Borrowed(&self.request.path[self.mounted..]),
        }
    }

    /// The whole path as the client encoded it, whatever was mounted or set since.
    #[must_use]
    pub const fn raw_path(&self) -> &'r str {
        self.request.path
    }

    /// The request target as received: `/path?query`, `http://host/path` or `*`.
    #[must_use]
    pub const fn request_uri(&self) -> &'r str {
        self.request.target
    }

    /// What follows the first `?` of the target (GW-ENV-08), still encoded; empty if there is none.
    #[must_use]
    pub fn query_string(&self) -> &str {
        self.text("QUERY_STRING", self.request.query_string)
    }

    /// The media type of the request's body, if the client told it.
    #[must_use]
    pub fn content_type(&self) -> Option<EnvStr<'_>> {
        self.get("CONTENT_TYPE")
    }

    /// The length of the request's body in bytes, if the client told it. A chunked body has none and ends by itself.
    #[must_use]
    pub fn content_length(&self) -> Option<u64> {
        match self.change("CONTENT_LENGTH") {
            Some(change) => change.and_then(digits),
            None => self.request.content_length,
        }
    }

    /// The value of a header, by its name in any letter case: several joined by `, `, of `Cookie` by `; `.
    ///
    /// `Host` is the authority of the target URI (H1-TGT-02). Unlike `HTTP_` variables, any name can be asked for.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<EnvStr<'_>> {
        if let Some(added) = &*self.added
            && let Some((_, value)) = added.changed.iter().rev().find(|(key, _)| variable_is_of(key, name))
        {
            return value.as_deref().map(EnvStr::from);
        }
        if name.eq_ignore_ascii_case("host") {
            return self.request.host.map(EnvStr::from);
        }
        self.joined(|field| field.eq_ignore_ascii_case(name))
    }

    /// The field lines as they were received, whatever was set since.
    pub fn headers(&self) -> impl ExactSizeIterator<Item = (&'r str, &'r [u8])> + use<'r> {
        self.request.headers.iter().map(|field| (field.name, field.value))
    }

    /// The version the client uses (GW-ENV-12).
    #[must_use]
    pub const fn version(&self) -> Version {
        self.request.version
    }

    /// The address of the client; of the last proxy, unless a trusted layer has put another one here (CGI-NET-04).
    #[must_use]
    pub fn remote_addr(&self) -> &str {
        self.text("REMOTE_ADDR", self.request.peer.remote_addr())
    }

    /// The socket address of the immediate peer, whatever was set since; `None` for a Unix socket.
    #[must_use]
    pub const fn peer_addr(&self) -> Option<std::net::SocketAddr> {
        self.request.peer.addr()
    }

    /// The name of the server, never empty (GW-ENV-11). URLs are made with [`host`](Self::host).
    #[must_use]
    pub fn server_name(&self) -> &str {
        self.text("SERVER_NAME", &self.request.server.server_name)
    }

    /// The port of the server, digits, never empty.
    #[must_use]
    pub fn server_port(&self) -> &str {
        self.text("SERVER_PORT", &self.request.server.server_port)
    }

    /// The scheme through which the application is reached (GW-EWV-02).
    #[must_use]
    pub const fn url_scheme(&self) -> Scheme {
        self.url_scheme
    }

    /// Changes the scheme: for layers that know a proxy they trust (C-10).
    pub const fn set_url_scheme(&mut self, scheme: Scheme) {
        self.url_scheme = scheme;
    }

    /// Whether the application may be called by several threads at once (GW-EWV-10).
    #[must_use]
    pub const fn multithread(&self) -> bool {
        self.request.server.multithread
    }

    /// Whether another process may call the same application at the same time (GW-EWV-11).
    #[must_use]
    pub const fn multiprocess(&self) -> bool {
        self.request.server.multiprocess
    }

    /// Whether this may be the only request of the process (GW-EWV-12). No promise (GW-EWV-13).
    #[must_use]
    pub const fn run_once(&self) -> bool {
        self.request.server.run_once
    }

    /// The body of the request.
    pub const fn input(&mut self) -> &mut Input {
        &mut self.input
    }

    /// Moves the body of the request out, for a response that streams it; an empty one stays.
    pub const fn take_input(&mut self) -> Input {
        mem::replace(&mut self.input, Input::empty())
    }

    /// Replaces the body of the request: for layers that decode, limit or watch it.
    pub fn set_input(&mut self, input: Input) {
        self.input = input;
    }

    /// The errors stream (GW-EWV-05).
    #[must_use]
    pub const fn errors(&self) -> &'r Errors {
        &self.request.server.errors
    }

    /// Whether the client is known to have gone. For a body that wants to ask, see [`connection`](Self::connection).
    #[must_use]
    pub fn client_gone(&self) -> bool {
        self.request.connection.is_some_and(|connection| connection.client_gone())
    }

    /// When the server will give up waiting for the application, if ever.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.request.connection?.deadline()
    }

    /// The connection, to ask [`client_gone`](Self::client_gone) and [`deadline`](Self::deadline) later; `None` where
    /// there is none, as in tests.
    #[must_use]
    pub fn connection(&self) -> Option<Arc<dyn Connection>> {
        self.request.connection.cloned()
    }

    /// What middleware and servers have added.
    #[must_use]
    pub fn extensions(&self) -> &Extensions {
        static NONE: Extensions = Extensions::new();
        self.added.as_ref().map_or(&NONE, |added| &added.extensions)
    }

    /// What middleware and servers have added, to add more.
    pub fn extensions_mut(&mut self) -> &mut Extensions {
        &mut self.added.get_or_insert_default().extensions
    }

    /// A variable by its name.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<EnvStr<'_>> {
        if let Some(change) = self.change(key) {
            return change.map(EnvStr::from);
        }
        let request = self.request;
        Some(match key {
            "REQUEST_METHOD" => request.method.into(),
            "SCRIPT_NAME" => self.script_name(),
            "PATH_INFO" => self.path_info(),
            "QUERY_STRING" => request.query_string.into(),
            "REQUEST_URI" => request.target.into(),
            "CONTENT_LENGTH" => request.content_length?.to_string().into_bytes().into(),
            "CONTENT_TYPE" => return self.joined(|field| field.eq_ignore_ascii_case("content-type")),
            "SERVER_NAME" => request.server.server_name.as_str().into(),
            "SERVER_PORT" => request.server.server_port.as_str().into(),
            "SERVER_PROTOCOL" => request.version.as_str().into(),
            "SERVER_SOFTWARE" => request.server.server_software.as_str().into(),
            "GATEWAY_INTERFACE" => "CGI/1.1".into(),
            "REMOTE_ADDR" => request.peer.remote_addr().into(),
            "REMOTE_PORT" => request.peer.remote_port().into(),
            "HTTP_HOST" => request.host?.into(),
            // Also when absent: a configured variable never stands in for a header.
            _ if key.starts_with("HTTP_") => return self.joined(|field| variable_is_of(key, field)),
            _ => {
                let (_, value) = request.server.variables.iter().find(|(name, _)| name == key)?;
                value.as_str().into()
            }
        })
    }

    /// Sets a variable, for the application and the layers below (GW-ENV-02). The typed getters follow it.
    ///
    /// A getter that returns text is empty while the variable is not UTF-8.
    pub fn set(&mut self, key: impl Into<String>, value: impl Into<Vec<u8>>) {
        self.put(key.into(), Some(value.into()));
    }

    /// Removes a variable. The path and the method are then empty.
    pub fn remove(&mut self, key: impl Into<String>) {
        self.put(key.into(), None);
    }

    /// Every variable with its value: the dictionary of PEP 3333 (GW-ENV-03).
    #[must_use]
    pub fn vars(&self) -> Vec<(Cow<'_, str>, EnvStr<'_>)> {
        const FIXED: [&str; 14] = [
            "REQUEST_METHOD",
            "SCRIPT_NAME",
            "PATH_INFO",
            "QUERY_STRING",
            "REQUEST_URI",
            "CONTENT_TYPE",
            "CONTENT_LENGTH",
            "SERVER_NAME",
            "SERVER_PORT",
            "SERVER_PROTOCOL",
            "SERVER_SOFTWARE",
            "GATEWAY_INTERFACE",
            "REMOTE_ADDR",
            "REMOTE_PORT",
        ];
        let mut names: Vec<Cow<'_, str>> = FIXED.iter().map(|&name| name.into()).collect();
        if self.request.host.is_some() {
            names.push("HTTP_HOST".into());
        }
        names.extend(self.request.headers.iter().filter_map(|field| variable_of(field.name)).map(Cow::Owned));
        names.extend(self.request.server.variables.iter().map(|(name, _)| name.as_str().into()));
        let changed = self.added.iter().flat_map(|added| &added.changed);
        names.extend(changed.map(|(name, _)| name.as_str().into()));
        let mut vars: Vec<(Cow<'_, str>, EnvStr<'_>)> = Vec::with_capacity(names.len());
        for name in names {
            if vars.iter().all(|(known, _)| *known != name)
                && let Some(value) = self.get(&name)
            {
                vars.push((name, value));
            }
        }
        vars
    }

    /// The header fields for which `matches` holds, as one value.
    fn joined(&self, matches: impl Fn(&str) -> bool) -> Option<EnvStr<'r>> {
        let mut fields = self.request.headers.iter().filter(|field| matches(field.name));
        let first = fields.next()?;
        let mut value = Cow::Borrowed(first.value);
        for field in fields {
            let separator: &[u8] = if first.name.eq_ignore_ascii_case("cookie") { b"; " } else { b", " };
            let value = value.to_mut();
            value.extend_from_slice(separator);
            value.extend_from_slice(field.value);
        }
        Some(value.into())
    }

    /// What was set (`Some(Some)`) or removed (`Some(None)`).
    #[inline]
    fn change(&self, key: &str) -> Option<Option<&[u8]>> {
        self.added.as_ref()?.change(key)
    }

    #[inline]
    fn changed(&self, key: &str) -> Option<EnvStr<'_>> {
        self.change(key).map(|value| value.unwrap_or_default().into())
    }

    fn text<'s>(&'s self, key: &str, received: &'s str) -> &'s str {
        match self.change(key) {
            Some(value) => value.and_then(|octets| str::from_utf8(octets).ok()).unwrap_or_default(),
            None => received,
        }
    }

    fn put(&mut self, key: String, value: Option<Vec<u8>>) {
        let changed = &mut self.added.get_or_insert_default().changed;
        match changed.iter_mut().find(|(name, _)| *name == key) {
            Some((_, old)) => *old = value,
            None => changed.push((key, value)),
        }
    }
}

impl Added {
    fn change(&self, key: &str) -> Option<Option<&[u8]>> {
        self.changed.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_deref())
    }
}

impl fmt::Debug for Environ<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.vars()).finish()
    }
}

/// Decodes a path whose escapes the server has checked; what is not valid stays as it is.
#[inline]
fn decoded(raw: &str) -> EnvStr<'_> {
    percent_decode(raw).map_or_else(|| raw.into(), EnvStr::from)
}

/// The variable that a header becomes, if it becomes one.
fn variable_of(header: &str) -> Option<String> {
    let plain = header.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let is = |name: &str| header.eq_ignore_ascii_case(name);
    if !plain || is_hop_by_hop(header) || is("proxy") || is("content-type") || is("content-length") || is("host") {
        return None;
    }
    Some(format!("HTTP_{}", header.to_ascii_uppercase().replace('-', "_")))
}

/// Whether a header becomes this variable: [`variable_of`] without making it.
fn variable_is_of(key: &str, header: &str) -> bool {
    let Some(name) = key.strip_prefix("HTTP_") else { return false };
    name.len() == header.len()
        && name.bytes().zip(header.bytes()).all(|(k, h)| match h {
            b'-' => k == b'_',
            _ => h.is_ascii_alphanumeric() && k == h.to_ascii_uppercase(),
        })
        && !is_hop_by_hop(header)
        && !["PROXY", "CONTENT_TYPE", "CONTENT_LENGTH"].contains(&name)
}
