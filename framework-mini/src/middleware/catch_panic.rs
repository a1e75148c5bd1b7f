//! [`CatchPanic`]: a panic is an error of one request.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;

use gateway_spec::{Application, Blocks, Body, Bytes, Environ, Error, Errors, StartResponse, Status};

use super::printable;

/// Answers 500 when an application panics, in its call or in its body, so that the layers around it see a response.
///
/// Servers survive a panic by themselves, but their 500 has no request id, no CORS headers and no log line of yours.
///
/// ```
/// use framework_mini::middleware::{AccessLog, CatchPanic, RequestIds};
/// use gateway_spec::{Environ, Error, StartResponse};
///
/// fn buggy(environ: &mut Environ, _: &mut dyn StartResponse) -> Result<&'static str, Error> {
///     panic!("nobody has thought of {}", environ.path_info().to_string_lossy())
/// }
///
/// let application = RequestIds::new(AccessLog::new(CatchPanic::new(buggy)));
/// ```
#[derive(Clone, Debug)]
pub struct CatchPanic<A>(A);

impl<A> CatchPanic<A> {
    /// Around an application.
    pub const fn new(application: A) -> Self {
        Self(application)
    }
}

/// The text with which something panicked.
#[derive(Debug)]
struct Panicked(String);

impl Panicked {
    fn new(panic: &(dyn Any + Send)) -> Self {
        let text = panic.downcast_ref::<&str>().copied();
        Self(text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("(no text)").to_owned())
    }
}

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "panicked: {}", self.0)
    }
}

impl std::error::Error for Panicked {}

/// Writes the panic to the log and a 500 to the client, if that is still possible; else gives the panic back.
fn answer(panic: Panicked, errors: &Errors, start_response: &mut dyn StartResponse) -> Result<Bytes, Error> {
    errors.write(&format!("{}\n", printable(&panic.to_string(), 4096)));
    start_response.restart(Status::INTERNAL_SERVER_ERROR, &[("Content-Type", "text/plain")], panic.into())?;
    Ok(Bytes::from_static(b"500 Internal Server Error\n"))
}

impl<A: Application> Application for CatchPanic<A> {
    fn call(&self, environ: &mut Environ<'_>, start_response: &mut dyn StartResponse) -> Result<Body, Error> {
        // An application that panics leaves nothing behind but what is behind locks, which know.
        let called = catch_unwind(AssertUnwindSafe(|| self.0.call(environ, start_response)));
        let errors = environ.errors();
        let body = match called {
            Ok(body) => body?,
            Err(panic) => return answer(Panicked::new(&*panic), errors, start_response).map(Into::into),
        };
        // What is at hand cannot panic any more.
        match body.into_block() {
            Ok(block) => Ok(block.into()),
            Err(body) => match body.into_file() {
                Ok(file) => Ok(file.into()),
                Err(body) => Ok(Body::from_blocks(Caught { body: Some(body), errors: errors.clone() })),
            },
        }
    }
}

struct Caught {
    body: Option<Body>,
    errors: Errors,
}

impl Blocks for Caught {
    fn next(&mut self, start_response: &mut dyn StartResponse) -> Option<Result<Bytes, Error>> {
        let body = self.body.as_mut()?;
        match catch_unwind(AssertUnwindSafe(|| body.next(start_response))) {
            Ok(block) => block,
            Err(panic) => {
                // Dropping it may panic once more, and that would be in nobody's hands.
                let body = self.body.take();
                let _ = catch_unwind(AssertUnwindSafe(|| drop(body)));
                Some(answer(Panicked::new(&*panic), &self.errors, start_response))
            }
        }
    }

    fn remaining(&self) -> Option<u64> {
        self.body.as_ref().and_then(Body::len)
    }

    fn set_waker(&mut self, waker: &Waker) {
        if let Some(body) = &mut self.body {
            body.set_waker(waker);
        }
    }
}
