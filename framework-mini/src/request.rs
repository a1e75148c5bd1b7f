//! [`Request`]: what extractors and guards look at.

use std::io::{self, BufRead, Read};
use std::sync::Arc;

use gateway_spec::{Bytes, EnvStr, Environ, Input, Status};

use crate::app::Route;
use crate::context::Context;
use crate::error::InputFailed;
use crate::site::Site;
use crate::{Cookies, Error, Urls, negotiate};

/// A request on its way to a handler: an [`Environ`], the parameters of the route and the state of the application.
///
/// Handlers take what they need as arguments. A request is what a [`FromRequest`](crate::FromRequest) of your own is
/// given:
///
/// ```
/// use framework_mini::{App, Error, FromRequest, Request, Status};
///
/// struct User(String);
///
/// impl<S> FromRequest<S> for User {
///     fn from_request(request: &mut Request<S>) -> Result<Self, Error> {
///         let name = request.cookies().get("user").map(str::to_owned);
///         name.map(User).ok_or_else(|| Error::new(Status::UNAUTHORIZED, "Please log in."))
///     }
/// }
///
/// fn greet(User(name): User) -> String {
///     format!("Hello, {name}!")
/// }
///
/// let site = App::new(()).get("/", greet).build().unwrap();
/// ```
pub struct Request<'a, 'r, S> {
    pub(crate) context: Context<'a, 'r>,
    pub(crate) site: &'a Site<S>,
    pub(crate) route: Option<&'a Route<S>>,
    /// The parameters of the route, decoded.
    pub(crate) params: Vec<Vec<u8>>,
    /// The next parameter that a [`Path`](crate::Path) takes.
    pub(crate) next_param: usize,
}

impl<'r, S> Request<'_, 'r, S> {
    /// The method.
    #[must_use]
    pub fn method(&self) -> &str {
        self.environ().method()
    }

    /// The path below the mount, decoded; U+FFFD stands for what is not UTF-8.
    #[must_use]
    pub fn path(&self) -> String {
        self.environ().path_info().to_string_lossy().into_owned()
    }

    /// The query string, encoded.
    #[must_use]
    pub fn query(&self) -> &str {
        self.environ().query_string()
    }

    /// The value of a header, by its name in any letter case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<EnvStr<'_>> {
        self.environ().header(name)
    }

    /// The cookies.
    #[must_use]
    pub fn cookies(&self) -> Cookies {
        Cookies::of(self.environ())
    }

    /// A parameter of the route, decoded, if it is UTF-8; only with [`PathBytes`](crate::PathBytes) it may be something else.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&str> {
        let index = self.route?.pattern.names().position(|known| known == name)?;
        str::from_utf8(self.params.get(index)?).ok()
    }

    /// The pattern of the route.
    #[must_use]
    pub fn pattern(&self) -> Option<&str> {
        Some(self.route?.pattern.as_str())
    }

    /// The next one that no argument has taken.
    ///
    /// # Errors
    /// `build` refuses a handler that wants more than there are; a guard that does not say what it needs can still get here.
    pub(crate) fn take_param(&mut self) -> Result<&[u8], Error> {
        self.next_param += 1;
        let param = self.params.get(self.next_param - 1).map(Vec::as_slice);
        param.ok_or_else(|| Error::internal("the pattern of the route has no parameter left"))
    }

    /// The state of the application.
    #[must_use]
    pub fn state(&self) -> &Arc<S> {
        &self.site.state
    }

    /// The environ.
    #[must_use]
    pub fn environ(&self) -> &Environ<'r> {
        self.context.environ
    }

    /// The environ, to change it.
    pub fn environ_mut(&mut self) -> &mut Environ<'r> {
        self.context.environ
    }

    /// The URLs of this application.
    #[must_use]
    pub fn urls(&self) -> Urls {
        self.context.urls()
    }

    /// The one of these media types that the client likes best; see [`prefers`](crate::prefers).
    #[must_use]
    pub fn prefers<'t>(&self, types: &[&'t str]) -> Option<&'t str> {
        negotiate::prefers(self.environ(), types)
    }

    /// Whether the request has a body of this media type, by the essence of `Content-Type`.
    #[must_use]
    pub fn is_type(&self, essence: &str) -> bool {
        let Some(content_type) = self.environ().content_type() else { return false };
        let content_type = content_type.to_string_lossy();
        content_type.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(essence)
    }

    /// The whole body, in memory.
    ///
    /// # Errors
    /// 413 over the limit of the route, known before the first read if the client told the length: then no 100 is sent.
    /// What reading says otherwise: 400, 408.
    pub fn body(&mut self) -> Result<Bytes, Error> {
        let limit = self.body_limit();
        let too_large = || {
            let message = format!("The request body is larger than the {limit} bytes allowed (body_limit).");
            Error::new(Status::CONTENT_TOO_LARGE, message)
        };
        let known = self.environ().content_length();
        if known.is_some_and(|length| length > limit) {
            return Err(too_large());
        }
        // What a client says is no reason to set aside much memory for it.
        let likely = known.map_or(0, |length| length.min(1 << 20));
        let mut body = Vec::with_capacity(usize::try_from(likely).unwrap_or(0));
        let input = self.context.environ.input();
        input.take(limit.saturating_add(1)).read_to_end(&mut body).map_err(Error::of_input)?;
        if body.len() as u64 > limit { Err(too_large()) } else { Ok(body.into()) }
    }

    /// The body as a stream that is yours, up to the limit of streams.
    ///
    /// # Errors
    /// 413 if the client told a length over the limit.
    pub fn body_reader(&mut self) -> Result<BodyReader, Error> {
        let limit = self.site.stream_limit;
        if self.environ().content_length().is_some_and(|length| length > limit) {
            let message = format!("The request body is larger than the {limit} bytes allowed (stream_limit).");
            return Err(Error::new(Status::CONTENT_TOO_LARGE, message));
        }
        Ok(BodyReader { input: self.context.environ.take_input(), left: limit, failed: None })
    }

    fn body_limit(&self) -> u64 {
        self.route.and_then(|route| route.body_limit).unwrap_or(self.site.body_limit)
    }

    pub(crate) const fn field_limit(&self) -> usize {
        self.site.field_limit
    }
}

/// The body of a request as a stream: an argument of handlers.
///
/// Its errors become the right response by `?`: 413 over the limit, 400 for a body that is cut or broken, 408 for one
/// that does not come.
///
/// ```
/// use std::io::{BufRead, Read};
/// use framework_mini::{BodyReader, Error};
///
/// fn count_lines(body: BodyReader) -> Result<String, Error> {
///     let mut lines = 0;
///     for line in body.lines() {
///         line?;
///         lines += 1;
///     }
///     Ok(lines.to_string())
/// }
/// ```
#[derive(Debug)]
pub struct BodyReader {
    input: Input,
    left: u64,
    /// What went wrong; nothing is read after it.
    failed: Option<io::ErrorKind>,
}

impl BodyReader {
    /// Passes a result of reading on; nothing after an error, and nothing over the limit.
    fn check(&mut self, result: io::Result<usize>) -> io::Result<usize> {
        match result {
            Ok(read) if read as u64 > self.left => Err(self.fail(io::ErrorKind::FileTooLarge)),
            Ok(read) => Ok(read),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => Err(self.fail(error.kind())),
        }
    }

    fn fail(&mut self, kind: io::ErrorKind) -> io::Error {
        self.failed = Some(kind);
        io::Error::new(kind, InputFailed(kind))
    }

    fn not_failed(&mut self) -> io::Result<()> {
        self.failed.map_or(Ok(()), |kind| Err(self.fail(kind)))
    }
}

impl Read for BodyReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.not_failed()?;
        let read = self.input.read(buffer);
        let read = self.check(read)?;
        self.left -= read as u64;
        Ok(read)
    }
}

impl BufRead for BodyReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.not_failed()?;
        let available = self.input.fill_buf().map(<[u8]>::len);
        self.check(available)?;
        self.input.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.left = self.left.saturating_sub(amount as u64);
        self.input.consume(amount);
    }
}
