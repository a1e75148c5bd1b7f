//! [`Sessions`]: what is remembered of a visitor, in a cookie that cannot be forged.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gateway_spec::{Application, Body, Environ, Error, Scheme, StartResponse, percent_encode_path};
use hmac::{Hmac, KeyInit, Mac};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::Sha256;

use super::{Content, Filter, Interest, ResponseHead, filter};
use crate::cookie::{Cookie, Cookies, MAX_COOKIE};

/// A key to sign sessions with: at least 32 octets that nobody else knows.
#[derive(Clone)]
pub struct SessionKey(Hmac<Sha256>);

impl SessionKey {
    /// A key of these octets, such as the output of `head -c 32 /dev/urandom`.
    ///
    /// # Errors
    /// [`SessionError::ShortKey`] under 32 octets.
    pub fn new(octets: &[u8]) -> Result<Self, SessionError> {
        match Hmac::new_from_slice(octets) {
            Ok(mac) if octets.len() >= 32 => Ok(Self(mac)),
            _ => Err(SessionError::ShortKey { octets: octets.len() }),
        }
    }

    fn mac(&self, name: &str, payload: &str) -> Hmac<Sha256> {
        // The name is signed too: a cookie of one name is never taken for another's.
        let mut mac = self.0.clone();
        mac.update(name.as_bytes());
        mac.update(b"=");
        mac.update(payload.as_bytes());
        mac
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKey(…)")
    }
}

/// What can be wrong with sessions.
#[derive(Debug)]
#[non_exhaustive]
pub enum SessionError {
    /// A key has fewer than 32 octets.
    ShortKey {
        /// How many it has.
        octets: usize,
    },
    /// The session would not fit into a cookie. It is as it was before.
    TooLarge {
        /// The octets of the cookie.
        size: usize,
    },
    /// A value has no form in JSON.
    Value(serde_json::Error),
}

impl fmt::Display for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ShortKey { octets } => write!(f, "a session key has at least 32 octets, not {octets}"),
            Self::TooLarge { size } => {
                write!(f, "the session would need a cookie of {size} octets; browsers keep no more than {MAX_COOKIE}")
            }
            Self::Value(_) => f.write_str("a value cannot be kept in a session"),
        }
    }
}

impl std::error::Error for SessionError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Value(error) => Some(error),
            _ => None,
        }
    }
}

/// Gives each request a [`Session`], kept in a cookie that is signed with HMAC-SHA256.
///
/// The visitor can read it and not change it: a cookie that is forged, cut or too old is no session. The cookie is
/// `HttpOnly` and `SameSite=Lax`, `Secure` under https, for the paths where the application is mounted, and for 14 days
/// since it was set last. Nothing is kept at the server, so a copy of an old cookie is valid until it ends: keep a
/// user's id in it and not their rights.
///
/// ```
/// use framework_mini::{App, Error, Redirect, Session};
/// use framework_mini::middleware::{SessionKey, Sessions};
///
/// fn log_in(session: Session) -> Result<Redirect, Error> {
///     session.clear(); // nothing of before
///     session.set("user", 7)?;
///     session.flash("Welcome back.")?;
///     Ok(Redirect::to("/"))
/// }
/// fn home(session: Session) -> String {
///     let user: Option<u64> = session.get("user");
///     format!("{user:?} {:?}", session.take_flashes())
/// }
///
/// let site = App::new(()).get("/", home).post("/login", log_in).build().unwrap();
/// let site = Sessions::new(site, SessionKey::new(&[7; 32]).unwrap()); // from the environment, in earnest
/// ```
#[derive(Clone, Debug)]
pub struct Sessions<A> {
    application: A,
    keys: Vec<SessionKey>,
    name: String,
    max_age: Duration,
}

impl<A> Sessions<A> {
    /// With a key.
    pub fn new(application: A, key: SessionKey) -> Self {
        Self { application, keys: vec![key], name: "session".to_owned(), max_age: Duration::from_secs(14 * 86_400) }
    }

    /// With an old key too, whose sessions are still valid and are signed anew when they change.
    #[must_use]
    pub fn old_key(mut self, key: SessionKey) -> Self {
        self.keys.push(key);
        self
    }

    /// With another name of the cookie than `session`. `__Host-session`, for applications that are only there by https, keeps
    /// hosts beside this one from setting it.
    #[must_use]
    pub fn cookie_name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// With another time than 14 days.
    #[must_use]
    pub const fn max_age(mut self, max_age: Duration) -> Self {
        self.max_age = max_age;
        self
    }

    /// The values of a cookie, if its signature holds and it is young enough, and when it was made.
    fn open(&self, cookie: &str, now: u64) -> Option<(BTreeMap<String, Value>, u64)> {
        let (payload, signature) = cookie.rsplit_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        // `verify_slice` compares in constant time.
        self.keys.iter().find(|key| key.mac(&self.name, payload).verify_slice(&signature).is_ok())?;
        let (made, values) = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
        (now.saturating_sub(made) < self.max_age.as_secs()).then_some((values, made))
    }
}

fn seal(key: &SessionKey, name: &str, values: &BTreeMap<String, Value>, now: u64) -> Result<String, SessionError> {
    let payload = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&(now, values)).map_err(SessionError::Value)?);
    let signature = URL_SAFE_NO_PAD.encode(key.mac(name, &payload).finalize().into_bytes());
    let cookie = format!("{payload}.{signature}");
    match name.len() + 1 + cookie.len() {
        size if size > MAX_COOKIE => Err(SessionError::TooLarge { size }),
        _ => Ok(cookie),
    }
}

impl<A: Application> Application for Sessions<A> {
    fn call(&self, environ: &mut Environ<'_>, start_response: &mut dyn StartResponse) -> Result<Body, Error> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        // A host beside this one may have planted another cookie of the name; it cannot sign it.
        let cookies = Cookies::of(environ);
        let mut named = cookies.iter().filter(|(name, _)| *name == self.name);
        let opened = named.find_map(|(_, cookie)| self.open(cookie, now));
        let had_one = opened.is_some();
        // Half of its time is over: a visitor who comes often stays.
        let (values, stale) = match opened {
            Some((values, made)) => (values, now.saturating_sub(made) > self.max_age.as_secs() / 2),
            None => (BTreeMap::new(), false),
        };
        let (key, name) = (self.keys[0].clone(), self.name.clone());
        let inner = Inner { values, changed: false, stale, seen: false, key, name, now };
        let session = Session(Arc::new(Mutex::new(inner)));
        environ.extensions_mut().insert(session.clone());
        let keep = Keep {
            session,
            had_one,
            max_age: self.max_age,
            mount: percent_encode_path(environ.script_name().as_bytes()).into_owned(),
            https: environ.url_scheme() == Scheme::Https,
        };
        filter(&self.application, environ, start_response, keep)
    }
}

/// What is remembered of a visitor: an argument of handlers, and an extension of the environ.
///
/// Changes count until the response begins; a stream that makes them later makes them for nobody.
#[derive(Clone, Debug)]
pub struct Session(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    values: BTreeMap<String, Value>,
    changed: bool,
    /// To be signed anew, if it is used at all.
    stale: bool,
    seen: bool,
    key: SessionKey,
    name: String,
    now: u64,
}

/// Under this name the messages of [`Session::flash`] are kept.
const FLASHES: &str = "_flashes";

impl Session {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic of another thread leaves the values as they were.
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.seen = true;
        inner
    }

    /// A value, if there is one of this name and type.
    #[must_use]
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        self.lock().values.get(name).and_then(|value| T::deserialize(value).ok())
    }

    /// Sets a value.
    ///
    /// # Errors
    /// [`SessionError::TooLarge`] if the session would not fit into a cookie any more; nothing is changed then.
    pub fn set<T: Serialize>(&self, name: &str, value: T) -> Result<(), SessionError> {
        let value = serde_json::to_value(value).map_err(SessionError::Value)?;
        let mut inner = self.lock();
        let old = inner.values.insert(name.to_owned(), value);
        if let Err(error) = seal(&inner.key, &inner.name, &inner.values, inner.now) {
            match old {
                Some(old) => inner.values.insert(name.to_owned(), old),
                None => inner.values.remove(name),
            };
            return Err(error);
        }
        inner.changed = true;
        Ok(())
    }

    /// Removes a value.
    pub fn remove(&self, name: &str) {
        let mut inner = self.lock();
        inner.changed |= inner.values.remove(name).is_some();
    }

    /// Removes everything: at log-out, and at log-in before the new user is set.
    pub fn clear(&self) {
        let mut inner = self.lock();
        inner.changed |= !inner.values.is_empty();
        inner.values.clear();
    }

    /// Keeps a message for the next page that asks.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub fn flash(&self, message: impl Into<String>) -> Result<(), SessionError> {
        let mut messages: Vec<String> = self.get(FLASHES).unwrap_or_default();
        messages.push(message.into());
        self.set(FLASHES, messages)
    }

    /// The messages of [`flash`](Self::flash), each once.
    #[must_use]
    pub fn take_flashes(&self) -> Vec<String> {
        let messages = self.get(FLASHES).unwrap_or_default();
        self.remove(FLASHES);
        messages
    }
}

/// Whether a `Cache-Control` keeps shared caches from keeping a response.
fn is_private(cache_control: &str) -> bool {
    let is = |name: &str| ["private", "no-store"].iter().any(|known| name.trim().eq_ignore_ascii_case(known));
    cache_control.split(',').any(is)
}

struct Keep {
    session: Session,
    had_one: bool,
    max_age: Duration,
    mount: String,
    https: bool,
}

impl Filter for Keep {
    fn head(&mut self, head: &mut ResponseHead, _: &Content<'_>) -> Result<Interest, Error> {
        let inner = self.session.0.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.seen {
            head.add_vary("Cookie");
        }
        // A page that does not look at the session may be kept by caches for everybody, so it renews none.
        let changed = inner.changed || (inner.stale && inner.seen);
        if changed && (self.had_one || !inner.values.is_empty()) {
            let cookie = match inner.values.is_empty() {
                true => Cookie::remove(&inner.name),
                false => Cookie::new(&inner.name, seal(&inner.key, &inner.name, &inner.values, inner.now)?)
                    .max_age(self.max_age),
            };
            head.add("Set-Cookie", cookie.render(&self.mount, self.https)?);
            // No cache may give it to somebody else, whatever the handler has thought of caches.
            if !head.get("Cache-Control").is_some_and(is_private) {
                head.set("Cache-Control", "no-store");
            }
        }
        Ok(Interest::Head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{TestRequest, TestResponse};
    use gateway_spec::Status;

    const DAY: u64 = 86_400;

    /// Sends a cookie that was signed so many days ago to an application that looks at its session or not.
    fn days_ago(days: u64, look: bool, cache_control: &'static str) -> TestResponse {
        let application = move |environ: &mut Environ<'_>, start: &mut dyn StartResponse| {
            let user =
                look.then(|| environ.extensions().get::<Session>().and_then(|session| session.get::<u64>("user")));
            start.start(Status::OK, &[("Cache-Control", cache_control)])?;
            Ok(format!("{user:?}"))
        };
        let key = SessionKey::new(&[7; 32]).unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let values = BTreeMap::from([("user".to_owned(), Value::from(7))]);
        let cookie = seal(&key, "session", &values, now - days * DAY).unwrap();
        // Another cookie of the name, planted by a neighbour, comes first.
        let cookies = format!("session=planted.x; session={cookie}");
        TestRequest::get("/").header("Cookie", cookies).send(&Sessions::new(application, key))
    }

    #[test]
    fn a_session_ends_unless_it_is_used() {
        for (days, look, text, renewed) in [
            (1, true, "Some(Some(7))", false),
            (8, true, "Some(Some(7))", true),
            (13, true, "Some(Some(7))", true),
            (14, true, "Some(None)", false),
            (8, false, "None", false), // a page for everybody renews nobody's
        ] {
            let response = days_ago(days, look, "max-age=9");
            assert_eq!(response.text(), text, "{days} days");
            assert_eq!(response.header("Set-Cookie").is_some(), renewed, "{days} days");
            assert_eq!(response.header("Vary"), look.then_some("Cookie"));
            assert_eq!(response.all("Cache-Control"), [if renewed { "no-store" } else { "max-age=9" }]);
        }
        assert_eq!(days_ago(8, true, "private, max-age=9").all("Cache-Control"), ["private, max-age=9"]);
    }
}
