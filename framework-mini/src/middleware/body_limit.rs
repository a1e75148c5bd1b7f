//! [`BodyLimit`]: no request body larger than this, for applications that do not look.

use std::io::{self, Read};

use gateway_spec::{Application, Body, Environ, Error, Input, StartResponse, Status};

/// Refuses request bodies over a limit with 413: at once if the client tells the length, else when it is passed.
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
                start_response.start(Status::CONTENT_TOO_LARGE, &[("Content-Type", "text/plain")])?;
                Ok(format!("The request body is larger than the {} bytes allowed.\n", self.limit).into())
            }
            Some(_) => self.application.call(environ, start_response),
            None => {
                let input = environ.take_input();
                environ.set_input(Input::from_reader(Limited { input, left: self.limit, passed: false }));
                self.application.call(environ, start_response)
            }
        }
    }
}

/// A reader that fails when there is more than allowed, with the kind that means 413.
struct Limited {
    input: Input,
    left: u64,
    passed: bool,
}

impl Read for Limited {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.passed {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let read = self.input.read(buffer)?;
        // For good: an application that reads on after the error gets no more.
        self.passed = read as u64 > self.left;
        self.left = self.left.saturating_sub(read as u64);
        if self.passed { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(read) }
    }
}
