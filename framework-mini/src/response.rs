//! [`Response`] and [`IntoResponse`]: what a handler returns.

use std::borrow::Cow;
use std::convert::Infallible;
use std::fmt;

use gateway_spec::{Body, Bytes, Environ, StartResponse, Status, check_header};

use crate::context::Context;
use crate::middleware::{join_lines, merge_vary};
use crate::{Cookie, Error};

/// What can be returned from a handler.
///
/// | type | response |
/// |---|---|
/// | `&str`, `String` | text |
/// | [`Html`](crate::Html), [`Json`](crate::Json) | a page, JSON |
/// | `Vec<u8>`, [`Bytes`], [`Body`] | octets |
/// | [`Status`], `()` | no content: that status, 200 |
/// | [`Redirect`](crate::Redirect), [`File`](crate::File), [`Stream`](crate::Stream), [`Sse`](crate::Sse) | see there |
/// | `(Status, T)`, `([(name, value); N], T)`, `(Status, [(name, value); N], T)` | `T`, changed |
/// | `Result<T, E>` | `T`, or the error |
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not something a handler can return",
    label = "this handler returns `{Self}`",
    note = "return text (`&str`, `String`), `Html<_>`, `Json<_>`, `Redirect`, `File`, `Status`, `Response`, a pair `(Status, _)` of a status and one of them, or a `Result` of one of them and `Error`",
    note = "if this one is `async fn`, remove `async`: handlers are plain functions, the server calls them on many threads",
    note = "or implement `IntoResponse` for `{Self}`"
)]
pub trait IntoResponse {
    /// The response.
    fn into_response(self) -> Response;
}

/// A status, headers and a body.
///
/// ```
/// use framework_mini::{IntoResponse, Response, Status};
///
/// let response = "created".into_response().with_status(Status::CREATED).with_header("Location", "/notes/7");
/// assert_eq!(response.header("location"), Some("/notes/7"));
/// ```
pub struct Response {
    pub(crate) status: Status,
    pub(crate) headers: Vec<(Cow<'static, str>, Cow<'static, str>)>,
    pub(crate) cookies: Vec<Cookie>,
    pub(crate) content: Content,
}

pub(crate) enum Content {
    Body(Body),
    /// What only the request can tell: a range of a file, the URL of a route, a page by its template.
    Deferred(Deferred),
    Error(Error),
}

pub(crate) type Deferred = Box<dyn FnOnce(Response, &mut Context<'_, '_>) -> Response + Send>;

impl Response {
    /// 200 with a body.
    pub fn new(body: impl Into<Body>) -> Self {
        Self { status: Status::OK, headers: Vec::new(), cookies: Vec::new(), content: Content::Body(body.into()) }
    }

    /// 201 with the place of what was created (H1-METH-06).
    pub fn created(location: impl Into<Cow<'static, str>>, content: impl IntoResponse) -> Self {
        content.into_response().with_status(Status::CREATED).with_header("Location", location)
    }

    /// A response that is finished when the request is at hand; it is given the one built so far.
    pub(crate) fn deferred(finish: impl FnOnce(Self, &mut Context<'_, '_>) -> Self + Send + 'static) -> Self {
        Self { content: Content::Deferred(Box::new(finish)), ..Self::new(Body::empty()) }
    }

    /// With another status.
    #[must_use]
    pub fn with_status(mut self, status: Status) -> Self {
        self.status = status;
        self
    }

    /// With a header, in place of all of this name.
    ///
    /// A name or value that cannot be sent makes the response an [`Error`] (500): no CR, LF, NUL or hop-by-hop header
    /// comes through, whoever chose the value (GW-HDR-03, GW-HDR-04, GW-HDR-07). Text beyond ISO-8859-1 cannot be sent
    /// either; encode it.
    #[must_use]
    pub fn with_header(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Cow<'static, str>>) -> Self {
        let name = name.into();
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(&name));
        self.with_added_header(name, value)
    }

    /// With one more header; as [`with_header`](Self::with_header), but others of this name stay.
    #[must_use]
    pub fn with_added_header(
        mut self,
        name: impl Into<Cow<'static, str>>,
        value: impl Into<Cow<'static, str>>,
    ) -> Self {
        let (name, value) = (name.into(), value.into());
        match check_header(&name, &value) {
            Ok(()) => self.headers.push((name, value)),
            Err(misuse) => self.content = Content::Error(Error::internal(misuse)),
        }
        self
    }

    /// With a header unless there is one of this name.
    #[must_use]
    pub(crate) fn with_default_header(self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        if self.header(name).is_some() { self } else { self.with_added_header(name, value) }
    }

    /// With a cookie. Its path is where the application is mounted, unless it has one of its own.
    #[must_use]
    pub fn with_cookie(mut self, cookie: Cookie) -> Self {
        self.cookies.push(cookie);
        self
    }

    /// With another body; the headers stay. An error stays one.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Body>) -> Self {
        if !matches!(self.content, Content::Error(_)) {
            self.content = Content::Body(body.into());
        }
        self
    }

    /// With a field name in `Vary`, added to what is there (H1-VARY-02).
    #[must_use]
    pub fn with_vary(mut self, field: &'static str) -> Self {
        let lines = join_lines(self.headers.iter().map(|(name, value)| (&**name, &**value)), "Vary");
        let merged = merge_vary(Some(&lines), field);
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case("Vary"));
        self.headers.push(("Vary".into(), merged.into()));
        self
    }

    /// The status.
    #[must_use]
    pub const fn status(&self) -> &Status {
        &self.status
    }

    /// The first header of a name, in any letter case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| &**value)
    }

    /// Turns the cookies into headers, or the whole into an error if one cannot be sent.
    pub(crate) fn with_baked_cookies(mut self, environ: &Environ<'_>) -> Self {
        for cookie in std::mem::take(&mut self.cookies) {
            self = match cookie.to_header(environ) {
                Ok(value) => self.with_added_header("Set-Cookie", value),
                Err(error) => return Error::internal(error).into_response(),
            };
        }
        self
    }

    /// Begins the answer and gives its body.
    pub(crate) fn send(
        self,
        context: &mut Context<'_, '_>,
        start_response: &mut dyn StartResponse,
    ) -> Result<Body, gateway_spec::Error> {
        let mut body = match self.content {
            Content::Body(body) => body,
            // `Site` has resolved the others.
            Content::Deferred(_) | Content::Error(_) => return Err("a response that cannot be sent".into()),
        };
        if self.status.forbids_content() {
            body = Body::empty();
        }
        let mut digits = [0; 20];
        let has_length = self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        let length = match body.len() {
            Some(length) if !has_length && !self.status.forbids_content() => Some(decimal(length, &mut digits)),
            _ => None,
        };
        let headers = self.headers.iter().map(|(name, value)| (&**name, &**value));
        let headers = headers.chain(length.map(|length| ("Content-Length", length)));
        as_pairs(headers, |headers| start_response.start(self.status, headers).map(drop))?;
        if context.environ.method() == "HEAD" {
            // The head is that of the GET. What is at hand stays, for the middlewares that look at it (its tag, its size when
            // packed) and the server that sends none of it; what would be asked for is dropped instead (GW-RACK-31).
            return Ok(body.into_block().map_or_else(|_| Body::empty(), Body::from));
        }
        Ok(body)
    }
}

/// How many headers are handed over without a place of their own.
const FEW: usize = 16;

/// Hands headers over as the slice of pairs that the contract wants, without allocating if they are few.
pub(crate) fn as_pairs<'h, T>(
    headers: impl Iterator<Item = (&'h str, &'h str)>,
    start: impl FnOnce(&[(&str, &str)]) -> T,
) -> T {
    let mut few = [("", ""); FEW];
    let mut many = Vec::new();
    let mut count = 0;
    for header in headers {
        match few.get_mut(count) {
            Some(place) if many.is_empty() => {
                *place = header;
                count += 1;
            }
            _ => {
                if many.is_empty() {
                    many.extend_from_slice(&few);
                }
                many.push(header);
            }
        }
    }
    start(if many.is_empty() { &few[..count] } else { &many })
}

/// A number in decimal digits, written to the end of a buffer that is long enough for any.
fn decimal(mut number: u64, buffer: &mut [u8; 20]) -> &str {
    let mut start = buffer.len();
    loop {
        start -= 1;
        // A digit, so it fits.
        buffer[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return str::from_utf8(&buffer[start..]).unwrap_or_default();
        }
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response").field("status", &self.status).field("headers", &self.headers).finish_non_exhaustive()
    }
}

/// HTML, as `text/html`. Nothing is escaped here: escape what comes from elsewhere, with [`escape`](crate::escape) or
/// by templates.
///
/// ```
/// use framework_mini::{App, Html, Path, escape};
///
/// let greet = |Path(name): Path<String>| Html(format!("<h1>Hello, {}!</h1>", escape(&name)));
/// let site = App::new(()).get("/{name}", greet).build().unwrap();
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Html<T>(pub T);

const TEXT: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";

/// A body of a media type of ours, which needs no check.
pub(crate) fn of_type(content_type: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body);
    response.headers.push(("Content-Type".into(), content_type.into()));
    response
}

macro_rules! into_response {
    ($($type:ty => $content_type:expr),* $(,)?) => {
        $(impl IntoResponse for $type {
            fn into_response(self) -> Response {
                of_type($content_type, Bytes::from(self))
            }
        })*
    };
}

into_response! {
    &'static str => TEXT,
    String => TEXT,
    Vec<u8> => "application/octet-stream",
    &'static [u8] => "application/octet-stream",
    Bytes => "application/octet-stream",
}

impl IntoResponse for Cow<'static, str> {
    fn into_response(self) -> Response {
        match self {
            Cow::Borrowed(text) => text.into_response(),
            Cow::Owned(text) => text.into_response(),
        }
    }
}

impl<T: Into<Body>> IntoResponse for Html<T> {
    fn into_response(self) -> Response {
        of_type(HTML, self.0)
    }
}

impl IntoResponse for Body {
    fn into_response(self) -> Response {
        Response::new(self)
    }
}

impl IntoResponse for Response {
    fn into_response(self) -> Response {
        self
    }
}

impl IntoResponse for () {
    fn into_response(self) -> Response {
        Response::new(Body::empty())
    }
}

impl IntoResponse for Status {
    fn into_response(self) -> Response {
        ().into_response().with_status(self)
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        Response { content: Content::Error(self), ..Response::new(Body::empty()) }
    }
}

impl IntoResponse for Infallible {
    fn into_response(self) -> Response {
        match self {}
    }
}

impl<T: IntoResponse, E: IntoResponse> IntoResponse for Result<T, E> {
    fn into_response(self) -> Response {
        match self {
            Ok(response) => response.into_response(),
            Err(response) => response.into_response(),
        }
    }
}

impl<T: IntoResponse> IntoResponse for (Status, T) {
    fn into_response(self) -> Response {
        self.1.into_response().with_status(self.0)
    }
}

impl<N, V, T, const COUNT: usize> IntoResponse for ([(N, V); COUNT], T)
where
    N: Into<Cow<'static, str>>,
    V: Into<Cow<'static, str>>,
    T: IntoResponse,
{
    fn into_response(self) -> Response {
        self.0.into_iter().fold(self.1.into_response(), |response, (name, value)| response.with_header(name, value))
    }
}

impl<N, V, T, const COUNT: usize> IntoResponse for (Status, [(N, V); COUNT], T)
where
    N: Into<Cow<'static, str>>,
    V: Into<Cow<'static, str>>,
    T: IntoResponse,
{
    fn into_response(self) -> Response {
        (self.1, self.2).into_response().with_status(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        for number in [0, 1, 9, 10, 99, 100, 1_234_567_890, u64::MAX] {
            assert_eq!(decimal(number, &mut [0; 20]), number.to_string());
        }
    }

    #[test]
    fn pairs_few_and_many() {
        let names: Vec<String> = (0..40).map(|n| n.to_string()).collect();
        for count in [0, 1, 15, 16, 17, 18, 40] {
            let expected: Vec<(&str, &str)> = names[..count].iter().map(|name| (name.as_str(), "x")).collect();
            assert!(as_pairs(expected.iter().copied(), |pairs| pairs == expected), "{count}");
        }
    }
}
