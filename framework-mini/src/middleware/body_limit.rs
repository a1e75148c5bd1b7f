//! [`BodyLimit`]: no request body larger than this, for applications that do not look.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::Waker;

use gateway_spec::{Application, Blocks, Body, Bytes, Environ, Error, Input, StartResponse, Status};

/// Refuses request bodies over a limit with 413: at once if the client tells the length, else when it is passed.
///
/// Without a length the application reads at most up to the limit, and then an error. If it gives that back, as `?` does, and
/// nothing was sent yet, the answer is 413; an answer of its own stands.
///
/// ```
/// use framework_mini::middleware::BodyLimit;
/// use gateway_spec::{Environ, Error, StartResponse, Status};
///
/// fn count(environ: &mut Environ, start_response: &mut dyn StartResponse) -> Result<String, Error> {
///     let bytes = std::io::copy(&mut environ.input(), &mut std::io::sink())?;
///     start_response.start(Status::OK, &[("Content-Type", "text/plain")])?;
///     Ok(bytes.to_string())
/// }
///
/// let application = BodyLimit::new(count, 64 * 1024);
/// ```
#[derive(Clone, Debug)]
pub struct BodyLimit<A> {
    application: A,
    limit: u64,
}

impl<A> BodyLimit<A> {
    /// With a limit in bytes.
    pub const fn new(application: A, limit: u64) -> Self {
        Self { application, limit }
    }
}

impl<A: Application> Application for BodyLimit<A> {
    fn call(&self, environ: &mut Environ<'_>, start_response: &mut dyn StartResponse) -> Result<Body, Error> {
        match environ.content_length() {
            Some(length) if length > self.limit => {
                start_response.start(Status::CONTENT_TOO_LARGE, PLAIN)?;
                Ok(explanation(self.limit).into())
            }
            Some(_) => self.application.call(environ, start_response),
            None => {
                let (input, passed) = (environ.take_input(), Arc::new(AtomicBool::new(false)));
                let guard = Guard { limit: self.limit, passed: Arc::clone(&passed) };
                environ.set_input(Input::from_reader(Limited { input, left: self.limit, passed }));
                match self.application.call(environ, start_response) {
                    // Only blocks may still read the request's body.
                    Ok(body) => match body.into_block() {
                        Ok(block) => Ok(block.into()),
                        Err(body) => Ok(match body.into_file() {
                            Ok(file) => file.into(),
                            Err(inner) => Body::from_blocks(Guarded { inner, guard }),
                        }),
                    },
                    Err(error) => guard.answer(error, start_response).map(Body::from),
                }
            }
        }
    }
}

const PLAIN: &[(&str, &str)] = &[("Content-Type", "text/plain")];

fn explanation(limit: u64) -> String {
    format!("The request body is larger than the {limit} bytes allowed.\n")
}

/// Knows whether a request has passed its limit. The server cannot: its own input has not failed.
struct Guard {
    limit: u64,
    passed: Arc<AtomicBool>,
}

impl Guard {
    /// 413 in place of an error of the application, if the limit is the reason and nothing was sent; else the error.
    fn answer(&self, error: Error, start_response: &mut dyn StartResponse) -> Result<Bytes, Error> {
        if !self.passed.load(Relaxed) {
            return Err(error);
        }
        start_response.restart(Status::CONTENT_TOO_LARGE, PLAIN, error)?;
        Ok(explanation(self.limit).into())
    }
}

/// The body of an application that may still read.
struct Guarded {
    inner: Body,
    guard: Guard,
}

impl Blocks for Guarded {
    fn next(&mut self, start_response: &mut dyn StartResponse) -> Option<Result<Bytes, Error>> {
        match self.inner.next(start_response)? {
            Ok(block) => Some(Ok(block)),
            Err(error) => {
                self.inner = Body::empty();
                Some(self.guard.answer(error, start_response))
            }
        }
    }

    fn remaining(&self) -> Option<u64> {
        self.inner.len()
    }

    fn set_waker(&mut self, waker: &Waker) {
        self.inner.set_waker(waker);
    }
}

/// A reader that fails when there is more than allowed, and says so.
struct Limited {
    input: Input,
    left: u64,
    passed: Arc<AtomicBool>,
}

impl Read for Limited {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // For good: an application that reads on after the error gets no more.
        if self.passed.load(Relaxed) {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let read = self.input.read(buffer)?;
        let Some(left) = self.left.checked_sub(read as u64) else {
            self.passed.store(true, Relaxed);
            return Err(io::ErrorKind::FileTooLarge.into());
        };
        self.left = left;
        Ok(read)
    }
}
