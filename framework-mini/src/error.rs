//! [`Error`]: an answer that is not what the client hoped for.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::io;

use gateway_spec::Status;

/// Why a request is not answered as asked: a status, a message for the client, and what was behind it, for the log.
///
/// Any error of any library becomes one by `?`: a 500 whose message says nothing of the error. The error itself is
/// written to the errors stream, and shown on the debug page to whoever sits at the machine.
///
/// ```
/// use framework_mini::{Error, Html, Path, Status};
///
/// fn show(Path(name): Path<String>) -> Result<Html<String>, Error> {
///     if name.len() > 40 {
///         return Err(Error::new(Status::NOT_FOUND, "no name is that long"));
///     }
///     let text = std::fs::read_to_string("/nowhere/name.html")?; // 500, and the log says why
///     Ok(Html(text))
/// }
/// ```
///
/// It is not a [`std::error::Error`] itself, because only so can every such error become one. So what makes an application
/// returns this type too, up to `main`.
pub struct Error(Box<Inner>);

struct Inner {
    status: Status,
    message: Cow<'static, str>,
    source: Option<gateway_spec::Error>,
    headers: Vec<(&'static str, String)>,
}

impl Error {
    /// An error with a status and a message that the client will see.
    pub fn new(status: Status, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner { status, message: message.into(), source: None, headers: Vec::new() }))
    }

    /// 400: the request is not what it should be.
    pub fn bad_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Status::BAD_REQUEST, message)
    }

    /// 403: the client may not.
    pub fn forbidden(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Status::FORBIDDEN, message)
    }

    /// 404: there is no such thing.
    #[must_use]
    pub fn not_found() -> Self {
        Self::new(Status::NOT_FOUND, "There is nothing here.")
    }

    /// 409: it cannot be done as things are.
    pub fn conflict(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Status::CONFLICT, message)
    }

    /// 422: the content was understood and makes no sense.
    pub fn unprocessable(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Status::UNPROCESSABLE_CONTENT, message)
    }

    /// 500 because of an error, whose text the client does not see: what `?` does, for an error in a box.
    pub fn internal(source: impl Into<gateway_spec::Error>) -> Self {
        Self::new(Status::INTERNAL_SERVER_ERROR, "The server could not answer this request.").because(source)
    }

    /// Adds what was behind it, for the log and the debug page.
    #[must_use]
    pub fn because(mut self, source: impl Into<gateway_spec::Error>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Adds a header to the response, such as `Retry-After`.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.0.headers.push((name, value.into()));
        self
    }

    /// The status of the response.
    #[must_use]
    pub fn status(&self) -> &Status {
        &self.0.status
    }

    /// The message for the client.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What was behind it; never for the client.
    #[must_use]
    pub fn source(&self) -> Option<&(dyn StdError + Send + Sync + 'static)> {
        self.0.source.as_deref()
    }

    /// The headers of the response.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.headers.iter().map(|(name, value)| (*name, value.as_str()))
    }

    /// The error and what is behind it, from the outside to the inside.
    #[must_use]
    pub fn chain(&self) -> Vec<String> {
        let mut chain = Vec::new();
        let mut next = self.source().map(|source| source as &(dyn StdError + 'static));
        while let Some(error) = next {
            chain.push(error.to_string());
            next = error.source();
        }
        chain
    }

    /// An error of reading the request body, by its kind as [`Input`](gateway_spec::Input) lists them.
    pub(crate) fn of_input(error: io::Error) -> Self {
        if let Some(InputFailed(kind)) = error.get_ref().and_then(|inner| inner.downcast_ref()) {
            return Self::of_input_kind(*kind).because(error);
        }
        Self::of_input_kind(error.kind()).because(error)
    }

    fn of_input_kind(kind: io::ErrorKind) -> Self {
        match kind {
            io::ErrorKind::UnexpectedEof => Self::bad_request("The request body ended too early."),
            io::ErrorKind::InvalidData => Self::bad_request("The request body is broken."),
            io::ErrorKind::FileTooLarge => Self::new(Status::CONTENT_TOO_LARGE, "The request body is too large."),
            io::ErrorKind::TimedOut => Self::new(Status::REQUEST_TIMEOUT, "The request body did not arrive in time."),
            _ => Self::internal("the request body could not be read"),
        }
    }
}

/// Marks an [`io::Error`] as one of reading the request body, so that `?` in a handler finds the right status.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InputFailed(pub(crate) io::ErrorKind);

impl fmt::Display for InputFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the request body could not be read: {}", self.0)
    }
}

impl StdError for InputFailed {}

impl<E: StdError + Send + Sync + 'static> From<E> for Error {
    fn from(error: E) -> Self {
        let boxed: gateway_spec::Error = error.into();
        #[cfg(feature = "sqlite")]
        if crate::sqlite::is_busy(&boxed) {
            return crate::sqlite::busy(boxed);
        }
        match boxed.downcast::<io::Error>() {
            Ok(error) if error.get_ref().is_some_and(|inner| inner.is::<InputFailed>()) => Self::of_input(*error),
            Ok(error) => Self::internal(error),
            Err(error) => Self::internal(error),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.status, self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        self.chain().iter().try_for_each(|cause| write!(f, ": {cause}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn library_errors_say_nothing_to_the_client() {
        let error: Error = "secret.key: x".parse::<u8>().unwrap_err().into();
        assert_eq!((error.status(), error.message()), (&Status::INTERNAL_SERVER_ERROR, Error::internal("").message()));
        assert_eq!(error.chain(), ["invalid digit found in string"]);
    }

    #[test]
    fn only_the_request_body_blames_the_client() {
        let eof = io::ErrorKind::UnexpectedEof;
        // A file of ours that ends too early is not the client's fault.
        assert_eq!(Error::from(io::Error::from(eof)).status(), &Status::INTERNAL_SERVER_ERROR);
        assert_eq!(Error::from(io::Error::new(eof, InputFailed(eof))).status(), &Status::BAD_REQUEST);
        for (kind, status) in [
            (io::ErrorKind::InvalidData, 400),
            (io::ErrorKind::FileTooLarge, 413),
            (io::ErrorKind::TimedOut, 408),
            (io::ErrorKind::Other, 500),
        ] {
            assert_eq!(Error::of_input(kind.into()).status().code(), status);
        }
    }
}
