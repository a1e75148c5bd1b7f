//! [`RequestBuilder`]: one request, from its target to its response.

use std::borrow::Cow;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, PoisonError};
use std::time::{Instant, SystemTime};

use gateway_spec::{
    Application, Bytes, Connection, Environ, Field, Peer, Request, Scheme, ServerInfo, Version, is_token,
    percent_decode, percent_encode_path,
};

use super::client::Settings;
use super::exchange::{Exchange, Log};
use super::input::{RequestBody, Watched};
use super::reply::{Line, Observer, Reply};
use super::response::{Response, Stream};

/// A request that is being put together; made by [`Client`](super::Client).
#[must_use = "a request is sent by `send` or `stream`"]
pub struct RequestBuilder<'c> {
    app: &'c dyn Application,
    settings: &'c Settings,
    method: String,
    target: String,
    version: Version,
    headers: Vec<(String, Vec<u8>)>,
    body: RequestBody,
    breaks: Option<(u64, io::ErrorKind)>,
    observer: Option<Observer>,
    deadline: Option<Instant>,
    peer: SocketAddr,
}

impl<'c> RequestBuilder<'c> {
    pub(super) fn new(app: &'c dyn Application, settings: &'c Settings, method: &str, target: &str) -> Self {
        assert!(is_token(method.as_bytes()), "{method:?} is not a method");
        Self {
            app,
            settings,
            method: method.to_owned(),
            target: target.to_owned(),
            version: Version::Http11,
            headers: Vec::new(),
            body: RequestBody::None,
            breaks: None,
            observer: None,
            deadline: None,
            peer: SocketAddr::from(([127, 0, 0, 1], 40_000)),
        }
    }

    /// Adds a header. `Host` replaces the usual one.
    ///
    /// # Panics
    /// If it could not stand in a request: the name is not a token, the value has a CR, LF or NUL, or it is about the
    /// body, which [`body`](Self::body) and [`reader`](Self::reader) describe.
    #[track_caller]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let value = value.as_ref();
        assert!(is_token(name.as_bytes()), "{name:?} is not a header name");
        assert!(!value.iter().any(|b| b"\r\n\0".contains(b)), "the value of {name} has a CR, LF or NUL");
        let framing = ["content-length", "transfer-encoding"].iter().any(|framing| name.eq_ignore_ascii_case(framing));
        assert!(!framing, "{name} is set by `body` and `reader`");
        self.headers.push((name.to_owned(), value.trim_ascii().to_vec()));
        self
    }

    /// Adds a query, encoded as forms are.
    pub fn query(mut self, pairs: &[(&str, &str)]) -> Self {
        self.target.push(if self.target.contains('?') { '&' } else { '?' });
        self.target.push_str(&form(pairs));
        self
    }

    /// The body: bytes of known length.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = RequestBody::Block(body.into());
        self
    }

    /// The body: what a reader gives, of a length nobody knows, as with chunked coding.
    pub fn reader(mut self, body: impl Read + Send + 'static) -> Self {
        self.body = RequestBody::Reader(Box::new(body));
        self
    }

    /// The body: the fields of a form.
    pub fn form(self, pairs: &[(&str, &str)]) -> Self {
        let body = form(pairs);
        self.header("Content-Type", "application/x-www-form-urlencoded").body(body)
    }

    /// The body: JSON that is written already.
    pub fn json(self, body: impl Into<Bytes>) -> Self {
        self.header("Content-Type", "application/json").body(body)
    }

    /// Lets the body break after so many bytes: `UnexpectedEof` for a client that has gone, `InvalidData` for broken
    /// chunks, `TimedOut` for one that is too slow (GW-DEF-04).
    pub const fn breaks_after(mut self, bytes: u64, kind: io::ErrorKind) -> Self {
        self.breaks = Some((bytes, kind));
        self
    }

    /// Asks by HTTP/1.0, and names no host.
    pub const fn http10(mut self) -> Self {
        self.version = Version::Http10;
        self
    }

    /// The address of the client.
    pub const fn from_peer(mut self, peer: SocketAddr) -> Self {
        self.peer = peer;
        self
    }

    /// What `environ.deadline()` says.
    pub const fn deadline(mut self, deadline: Instant) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Is told of each block at the moment it is sent, so before the application goes on (GW-BUF-05).
    pub fn observe(mut self, observer: impl FnMut(&Bytes) + Send + 'static) -> Self {
        self.observer = Some(Box::new(observer));
        self
    }

    /// Sends the request and reads the whole response. Redirects are followed if the client does so.
    pub fn send(mut self) -> Response {
        let mut redirected_from = Vec::new();
        loop {
            let target = self.target.clone();
            let body = self.body.replay();
            let method = self.method.clone();
            let again = (self.app, self.settings, self.headers.clone(), self.version, self.peer);
            let mut response = self.stream().finish();
            let next = (redirected_from.len() < again.1.redirects)
                .then(|| redirect(again.1, &method, &target, &response, body.is_some()))
                .flatten();
            let Some((method, next_target)) = next else {
                response.redirected_from = redirected_from;
                return response;
            };
            redirected_from.push(target);
            let (app, settings, mut headers, version, peer) = again;
            let keeps_body = method != "GET" && method != "HEAD";
            if !keeps_body {
                headers.retain(|(name, _)| !name.to_ascii_lowercase().starts_with("content-"));
            }
            self = Self { headers, version, peer, ..Self::new(app, settings, &method, &next_target) };
            self.body = body.filter(|_| keeps_body).unwrap_or(RequestBody::None);
        }
    }

    /// Sends the request; the response is read block by block. Redirects are not followed.
    pub fn stream(self) -> Stream {
        let settings = self.settings;
        let log = Log::default();
        let line = Arc::new(Line { gone: AtomicBool::new(false), deadline: self.deadline });
        let mut reply = Reply::new(&self.method, self.version, Arc::clone(&line));
        reply.observer = self.observer;
        let content_length = match &self.body {
            RequestBody::Block(block) => Some(block.len() as u64),
            _ => None,
        };
        let target = if self.target == "*" {
            self.target.clone()
        } else {
            format!("{}{}", percent_encode_path(settings.prefix.as_bytes()), self.target)
        };
        let (path, query_string) = target.split_once('?').unwrap_or((&target, ""));
        let jar = settings.jar.as_ref().map(|jar| (Arc::clone(jar), path.to_owned()));
        let headers = head(&self.headers, &self.body, self.version, cookies(settings, path));
        let input = Watched::new(self.body, self.breaks, settings.max_body);
        if !is_valid_target(&self.method, &target) {
            return Stream::new(Exchange::refused(reply, 400, log, input), settings.patience, None);
        }
        if content_length.is_some_and(|length| length > settings.max_body) {
            return Stream::new(Exchange::refused(reply, 413, log, input), settings.patience, None);
        }

        let mut server = ServerInfo::new("localhost", settings.scheme.default_port(), "gateway-inprocess/0.1");
        server.url_scheme = settings.scheme;
        server.multithread = settings.multithread;
        server.variables.clone_from(&settings.variables);
        server.errors = log.errors();
        let peer = Peer::tcp(self.peer);
        let connection: Arc<dyn Connection> = line;
        let fields: Vec<Field<'_>> = headers.iter().map(|(name, value)| Field { name, value }).collect();
        let host = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("host"));
        let mut request = Request::new(&server, &peer);
        request.method = &self.method;
        request.target = &target;
        request.path = if target == "*" { "" } else { path };
        request.query_string = query_string;
        request.version = self.version;
        request.headers = &fields;
        request.host = host.and_then(|(_, value)| str::from_utf8(value).ok());
        request.content_length = content_length;
        request.connection = Some(&connection);
        let mut environ = Environ::new(&request, input.input());
        if target != "*" {
            environ.mount(&settings.prefix);
        }
        let exchange = Exchange::call(self.app, &mut environ, reply, log, input);
        Stream::new(exchange, settings.patience, jar)
    }
}

impl RequestBody {
    /// The same body once more, if it can be given twice.
    fn replay(&self) -> Option<Self> {
        match self {
            Self::None => Some(Self::None),
            Self::Block(block) => Some(Self::Block(block.clone())),
            Self::Reader(_) => None,
        }
    }
}

/// The field lines as a client would send them.
fn head(
    headers: &[(String, Vec<u8>)],
    body: &RequestBody,
    version: Version,
    cookies: Option<String>,
) -> Vec<(String, Vec<u8>)> {
    let mut head = Vec::with_capacity(headers.len() + 3);
    let names_host = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host"));
    if version == Version::Http11 && !names_host {
        head.push(("Host".to_owned(), b"localhost".to_vec()));
    }
    head.extend_from_slice(headers);
    head.extend(cookies.map(|cookies| ("Cookie".to_owned(), cookies.into_bytes())));
    match body {
        RequestBody::None => {}
        RequestBody::Block(block) => head.push(("Content-Length".to_owned(), block.len().to_string().into_bytes())),
        RequestBody::Reader(_) => head.push(("Transfer-Encoding".to_owned(), b"chunked".to_vec())),
    }
    head
}

fn cookies(settings: &Settings, path: &str) -> Option<String> {
    let jar = settings.jar.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
    jar.header(path, settings.scheme == Scheme::Https, SystemTime::now())
}

/// Whether a server would take this target (H1-TGT, CGI-PATH-04, CGI-PATH-05).
fn is_valid_target(method: &str, target: &str) -> bool {
    if target == "*" {
        return method == "OPTIONS";
    }
    let path = target.split('?').next().unwrap_or_default();
    let clean = target.bytes().all(|b| b.is_ascii_graphic() && !b"\"#<>\\^`{|}".contains(&b));
    path.starts_with('/') && clean && percent_decode(path).is_some_and(|octets| !octets.contains(&0))
}

/// The request that a redirect asks for, if it can be followed within the application.
fn redirect(
    settings: &Settings,
    method: &str,
    target: &str,
    response: &Response,
    body_again: bool,
) -> Option<(String, String)> {
    let method = match response.status {
        303 if method != "HEAD" => "GET",
        301 | 302 if method == "POST" => "GET",
        301..=303 => method,
        307 | 308 if body_again => method,
        _ => return None,
    };
    let location = response.header("location")?;
    let location = location.split('#').next().unwrap_or_default();
    let here = format!("{}://localhost", settings.scheme.as_str());
    let absolute = match location.strip_prefix(&here) {
        Some(rest) => rest,
        None if location.contains("://") || location.starts_with("//") => return None,
        None => location,
    };
    let prefix = percent_encode_path(settings.prefix.as_bytes());
    let path = target.split('?').next().unwrap_or_default();
    let next: Cow<'_, str> = if absolute.starts_with('/') {
        Cow::Borrowed(absolute.strip_prefix(prefix.as_ref())?)
    } else if let Some(query) = absolute.strip_prefix('?') {
        Cow::Owned(format!("{path}?{query}"))
    } else if absolute.is_empty() {
        Cow::Borrowed(target)
    } else {
        Cow::Owned(format!("{}{absolute}", &path[..=path.rfind('/')?]))
    };
    // "/x/yz" is not below "/x/y".
    (next.is_empty() || next.starts_with(['/', '?'])).then(|| (method.to_owned(), next.into_owned()))
}

/// Pairs as `application/x-www-form-urlencoded`.
fn form(pairs: &[(&str, &str)]) -> String {
    let encode = |text: &str| {
        let mut encoded = String::new();
        for b in text.bytes() {
            match b {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'*' | b'-' | b'.' | b'_' => encoded.push(char::from(b)),
                b' ' => encoded.push('+'),
                _ => encoded.push_str(&format!("%{b:02X}")),
            }
        }
        encoded
    };
    let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    pairs.join("&")
}
