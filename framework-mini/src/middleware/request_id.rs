//! [`RequestIds`]: a name for each request, for logs and for those who ask.

use std::collections::hash_map::RandomState;
use std::fmt::Write as _;
use std::hash::BuildHasher;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use gateway_spec::{Application, Body, Environ, Error, StartResponse};

use super::{Content, Filter, Interest, ResponseHead, filter};

/// The name of a request: an extension of the environ, and the header `X-Request-Id` of the response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(pub String);

/// Gives each request a [`RequestId`].
///
/// ```
/// use framework_mini::middleware::{RequestId, RequestIds};
/// use framework_mini::{App, Error, FromRequest, Request};
///
/// struct Id(String);
///
/// impl<S> FromRequest<S> for Id {
///     fn from_request(request: &mut Request<S>) -> Result<Self, Error> {
///         let id = request.environ().extensions().get().map(|RequestId(id)| id.clone());
///         Ok(Self(id.unwrap_or_default()))
///     }
/// }
///
/// let site = App::new(()).get("/", |Id(id): Id| format!("If you call us, tell us {id}.")).build().unwrap();
/// let site = RequestIds::new(site);
/// ```
#[derive(Clone, Debug)]
pub struct RequestIds<A> {
    application: A,
    trusted: bool,
}

impl<A> RequestIds<A> {
    /// Makes a new one for each request, whatever the client sends.
    pub const fn new(application: A) -> Self {
        Self { application, trusted: false }
    }

    /// Takes the `X-Request-Id` of the request, if it is 8 to 64 letters, digits, `-` and `_`: behind a proxy that sets it.
    #[must_use]
    pub const fn trust_client(mut self) -> Self {
        self.trusted = true;
        self
    }
}

impl<A: Application> Application for RequestIds<A> {
    fn call(&self, environ: &mut Environ<'_>, start_response: &mut dyn StartResponse) -> Result<Body, Error> {
        let sent = environ.header("x-request-id").filter(|_| self.trusted);
        let sent = sent.and_then(|id| id.to_str().ok().filter(|id| is_id(id)).map(str::to_owned));
        let id = RequestId(sent.unwrap_or_else(new_id));
        environ.extensions_mut().insert(id.clone());
        filter(&self.application, environ, start_response, id)
    }
}

impl Filter for RequestId {
    fn head(&mut self, head: &mut ResponseHead, _: &Content<'_>) -> Result<Interest, Error> {
        head.set("X-Request-Id", &self.0);
        Ok(Interest::Head)
    }
}

fn is_id(id: &str) -> bool {
    (8..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

/// A number of the process that cannot be foreseen, and a count: different within the process for sure, between
/// processes by chance of one in 2^64. It is a name and no secret.
fn new_id() -> String {
    static PROCESS: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one("request id"));
    static COUNT: AtomicU64 = AtomicU64::new(0);
    // With room for both: a number that begins with zeros would make it grow once more than others.
    let mut id = String::with_capacity(16 + 1 + 16);
    let _ = write!(id, "{:016x}-{:x}", *PROCESS, COUNT.fetch_add(1, Ordering::Relaxed));
    id
}
