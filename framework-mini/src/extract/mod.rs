//! [`FromRequest`]: the arguments of handlers.

mod fields;
#[cfg(any(feature = "forms", feature = "json"))]
mod typed;

use std::any::TypeId;
use std::num::{ParseFloatError, ParseIntError};
use std::ops::Deref;
use std::str::FromStr;
use std::sync::Arc;

use gateway_spec::Bytes;

pub use self::fields::{FieldErrors, Fields};
#[cfg(feature = "json")]
pub use self::typed::Json;
#[cfg(feature = "forms")]
pub use self::typed::{Form, Query};
use crate::{BodyReader, Cookies, Error, Needs, Request, Urls};

/// What can be an argument of a handler: it is taken from the request, or the request is answered by its error.
///
/// | argument | what it is | if it cannot be had |
/// |---|---|---|
/// | [`Path<T>`](Path) | the next parameter of the pattern | 404 |
/// | [`PathBytes`] | the same as octets, which need not be UTF-8 | |
/// | [`Query<T>`](crate::Query) | the query string as a type of yours | 400 |
/// | [`Form<T>`](crate::Form), [`Fields`] | a form as a type of yours, as names and values | 415, 422, 413 |
/// | [`Json<T>`](crate::Json) | a JSON document as a type of yours | 415, 400, 422, 413 |
/// | `String`, `Vec<u8>`, [`Bytes`] | the body | 400, 413 |
/// | [`BodyReader`], `Multipart` (feature `multipart`) | the body as a stream | 413, 415 |
/// | [`State<S>`](State) | the state of the application | does not compile |
/// | [`Cookies`], [`Headers`], [`Urls`] | see there | |
/// | `Session` (feature `sessions`) | what is remembered of the visitor | 500 without the middleware |
/// | `Result<T, Error>` | any of these, or why it cannot be had | |
///
/// A type of yours can be one too: see [`Request`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument of a handler",
    label = "this handler has an argument that is not an extractor",
    note = "path parameter: `Path<{Self}>`; query string: `Query<_>`; request body: `Form<_>`, `Json<_>`, `String`, `Vec<u8>`; shared state: `State<_>`",
    note = "or implement `FromRequest<{S}>` for `{Self}`"
)]
pub trait FromRequest<S>: Sized {
    /// What it takes from the route, so that a handler that wants more than there is, is found by
    /// [`App::build`](crate::App::build).
    const NEEDS: Needs = Needs::NOTHING;

    /// Takes it.
    ///
    /// # Errors
    /// The answer to the request, if it cannot be had.
    fn from_request(request: &mut Request<S>) -> Result<Self, Error>;
}

/// An argument whose failure the handler wants to see, to show a form again for example.
impl<S, T: FromRequest<S>> FromRequest<S> for Result<T, Error> {
    const NEEDS: Needs = T::NEEDS;

    fn from_request(request: &mut Request<S>) -> Result<Self, Error> {
        Ok(T::from_request(request))
    }
}

/// The next parameter of the pattern: the first `Path` of a handler is the first parameter, and so on.
///
/// A parameter that is no `T` is a page that does not exist: 404. So is one that begins with `+`, if `T` is a number: the
/// standard library would read it, and one thing would have two addresses. For other types, such as `String`, it is a
/// character like any other.
///
/// ```
/// use framework_mini::{App, Path};
///
/// fn day(Path(year): Path<u16>, Path(month): Path<u8>) -> String {
///     format!("{year}-{month:02}")
/// }
/// let site = App::new(()).get("/{year}/{month}", day).build().unwrap();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path<T>(pub T);

impl<S, T: FromStr + 'static> FromRequest<S> for Path<T> {
    const NEEDS: Needs = Needs::PARAM;

    fn from_request(request: &mut Request<S>) -> Result<Self, Error> {
        let text = str::from_utf8(request.take_param()?).map_err(|_| not_utf8())?;
        if text.starts_with('+') && is_number::<T>() {
            return Err(Error::not_found());
        }
        text.parse().map(Path).map_err(|_| Error::not_found())
    }
}

/// Whether a type is read as the numbers of the standard library are: by the error of it, so that a type of yours around a
/// number is one too.
fn is_number<T: FromStr + 'static>() -> bool {
    let error = TypeId::of::<T::Err>();
    error == TypeId::of::<ParseIntError>() || error == TypeId::of::<ParseFloatError>()
}

/// One parameter of the path as it is, for names that need not be text, such as those of files.
///
/// Elsewhere a path that is not UTF-8 once it is decoded is refused, 400.
///
/// ```
/// use framework_mini::{App, PathBytes};
///
/// fn show(PathBytes(name): PathBytes) -> String {
///     format!("{} octets: {}", name.len(), name.escape_ascii())
/// }
/// let site = App::new(()).get("/{*name}", show).build().unwrap();
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathBytes(pub Vec<u8>);

impl<S> FromRequest<S> for PathBytes {
    const NEEDS: Needs = Needs::OCTETS;

    fn from_request(request: &mut Request<S>) -> Result<Self, Error> {
        request.take_param().map(|octets| Self(octets.to_owned()))
    }
}

/// The answer to a path that has to be text.
pub(crate) fn not_utf8() -> Error {
    Error::bad_request("The path is not UTF-8.")
}

/// The state of the application, as given to [`App::new`](crate::App::new).
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use framework_mini::{App, State};
///
/// fn count(State(visits): State<AtomicU64>) -> String {
///     format!("visitor {}", visits.fetch_add(1, Ordering::Relaxed) + 1)
/// }
/// let site = App::new(AtomicU64::new(0)).get("/", count).build().unwrap();
/// ```
#[derive(Debug)]
pub struct State<S>(pub Arc<S>);

impl<S> FromRequest<S> for State<S> {
    fn from_request(request: &mut Request<S>) -> Result<Self, Error> {
        Ok(Self(Arc::clone(request.state())))
    }
}

impl<S> Deref for State<S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.0
    }
}

/// The header fields of the request.
///
/// ```
/// use framework_mini::{App, Headers};
///
/// let site = App::new(())
///     .get("/", |headers: Headers| headers.get("User-Agent").unwrap_or("somebody").to_owned())
///     .build()
///     .unwrap();
/// ```
#[derive(Clone, Debug, Default)]
pub struct Headers(Vec<(String, Vec<u8>)>);

impl Headers {
    /// The first field of a name, in any letter case, if it is UTF-8.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.all(name).find_map(|value| str::from_utf8(value).ok())
    }

    /// All fields of a name, in the order received.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.0.iter().filter(move |(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_slice())
    }

    /// All fields, in the order received.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_slice()))
    }
}

impl<S> FromRequest<S> for Headers {
    fn from_request(request: &mut Request<S>) -> Result<Self, Error> {
        let fields = request.environ().headers();
        Ok(Self(fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()))
    }
}

impl<S> FromRequest<S> for Cookies {
    fn from_request(request: &mut Request<S>) -> Result<Self, Error> {
        Ok(request.cookies())
    }
}

impl<S> FromRequest<S> for Urls {
    fn from_request(request: &mut Request<S>) -> Result<Self, Error> {
        Ok(request.urls())
    }
}

#[cfg(feature = "sessions")]
impl<S> FromRequest<S> for crate::Session {
    fn from_request(request: &mut Request<S>) -> Result<Self, Error> {
        let session = request.environ().extensions().get::<Self>().cloned();
        session.ok_or_else(|| Error::internal("there is no session: put middleware::Sessions around the application"))
    }
}

impl<S> FromRequest<S> for BodyReader {
    const NEEDS: Needs = Needs::BODY;

    fn from_request(request: &mut Request<S>) -> Result<Self, Error> {
        request.body_reader()
    }
}

impl<S> FromRequest<S> for Bytes {
    const NEEDS: Needs = Needs::BODY;

    fn from_request(request: &mut Request<S>) -> Result<Self, Error> {
        request.body()
    }
}

impl<S> FromRequest<S> for Vec<u8> {
    const NEEDS: Needs = Needs::BODY;

    fn from_request(request: &mut Request<S>) -> Result<Self, Error> {
        Ok(request.body()?.into())
    }
}

impl<S> FromRequest<S> for String {
    const NEEDS: Needs = Needs::BODY;

    fn from_request(request: &mut Request<S>) -> Result<Self, Error> {
        let body: Vec<u8> = request.body()?.into();
        Self::from_utf8(body).map_err(|error| Error::bad_request("The request body is not UTF-8.").because(error))
    }
}

impl<S> FromRequest<S> for () {
    fn from_request(_: &mut Request<S>) -> Result<Self, Error> {
        Ok(())
    }
}
