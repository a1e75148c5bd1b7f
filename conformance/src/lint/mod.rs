//! [`Lint`]: a middleware that watches an application and its server, and says which rule of the contract was broken.
//!
//! It makes the checks of `wsgiref.validate` (GW-VAL) and those of `Rack::Lint` (GW-RACK) that types have not made
//! impossible already, and some of HTTP's. Each message begins with the id of its rule and tells what was seen. It
//! changes nothing: what the application does reaches the server as it is, lengths and files included (GW-VAL-40).
//!
//! In the tests of an application, every breach can be a panic:
//!
//! ```
//! use conformance::inprocess::Client;
//! use conformance::lint::Lint;
//! use gateway_spec::{Environ, Error, StartResponse, Status};
//!
//! fn app(_: &mut Environ, start_response: &mut dyn StartResponse) -> Result<&'static str, Error> {
//!     start_response.start(Status::OK, &[("Content-Length", "10")])?;
//!     Ok("too short")
//! }
//!
//! let (app, reports) = Lint::collecting(app);
//! Client::new(app).get("/").send();
//! let findings = reports.take();
//! let expected = "GW-RACK-32 (error of the application): the body has 9 bytes and the Content-Length is 10";
//! assert_eq!(findings[0].to_string(), expected);
//! ```
//!
//! In front of a real one, findings go to the errors stream: `server.serve(Lint::new(app))`.
//!
//! Not checked, because no program that compiles can break it: the number and types of arguments and results (GW-VAL-01,
//! 02, 04 to 14 in part, 17, 21, 22, 24, 32, 39), the form of a status (GW-VAL-30, 31), the scheme (GW-VAL-23), and what
//! Rack has and this contract has not (sessions, hijacking, lower-case names).
//!
//! Around a middleware, two of them also watch what it does to blocks, writes and closing (GW-MW):
//! `Lint::new(middleware(Lint::new(app)))`.

mod body;
mod environ;
mod exchange;
mod head;
mod input;
mod report;
mod start;
mod tally;

use gateway_spec::{Application, Body, Environ, Error, StartResponse};

use exchange::Exchange;
pub use report::{Finding, Party, Reports, Severity};
use report::{Reporter, To};
use start::LintStart;

/// Watches an application; see the [module](self).
pub struct Lint<A> {
    app: A,
    up_to: Severity,
    to: To,
}

impl<A: Application> Lint<A> {
    /// Reports errors and warnings to the errors stream of each request.
    pub const fn new(app: A) -> Self {
        Self { app, up_to: Severity::Warning, to: To::ErrorsStream }
    }

    /// Panics at errors, where they happen; the server makes a 500 of it or cuts the response. Warnings go to the errors
    /// stream.
    pub const fn panicking(app: A) -> Self {
        Self { app, up_to: Severity::Warning, to: To::Panic }
    }

    /// Collects what it finds, remarks too, for a test to look at.
    pub fn collecting(app: A) -> (Self, Reports) {
        let reports = Reports::default();
        (Self { app, up_to: Severity::Remark, to: To::Reports(reports.clone()) }, reports)
    }

    /// Reports findings up to this severity only.
    #[must_use]
    pub const fn up_to(mut self, severity: Severity) -> Self {
        self.up_to = severity;
        self
    }

    /// The application.
    pub const fn app(&self) -> &A {
        &self.app
    }
}

impl<A: Application> Application for Lint<A> {
    fn call(&self, environ: &mut Environ<'_>, start_response: &mut dyn StartResponse) -> Result<Body, Error> {
        let reporter = Reporter::new(self.up_to, self.to.clone(), environ.errors().clone());
        environ::check(environ, &reporter);
        let mut exchange = Exchange::new(environ, reporter);
        input::watch(environ, &mut exchange);
        let result = self.app.call(environ, &mut LintStart::new(start_response, &mut exchange));
        exchange.called(environ);
        result.map(|body| body::watch(body, exchange))
    }
}
