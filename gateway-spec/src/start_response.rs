//! [`StartResponse`]: how an application begins its answer.

use std::io::Write;

use crate::{Error, Status};

/// What a server hands to an application to begin an answer; implemented by servers, and by middleware around it.
///
/// # Applications
/// Call it once, before the first non-empty block of the body (GW-SR-03), from [`Application::call`] or as late as the
/// first iteration of the body (GW-SR-04). Call it again only to replace an answer by an error page, with the error as
/// `exc_info` (GW-SR-09). If that fails, nothing can be replaced any more: return the error (GW-SR-17).
///
/// Nothing is sent by the call itself: the head goes out with the first non-empty block or `write`, or with the end of
/// the body (GW-SR-06, GW-SR-07).
///
/// The writer that is returned is for applications that cannot be turned inside out; a body is better (GW-WR-03). All
/// that is written comes before all that the body yields (GW-WR-08). It borrows from the call, so it cannot be moved
/// into the body (GW-WR-07):
///
/// ```compile_fail
/// use gateway_spec::{Body, Environ, Error, StartResponse, Status};
///
/// fn app(_: &mut Environ, start_response: &mut dyn StartResponse) -> Result<Body, Error> {
///     let writer = start_response.start(Status::OK, &[])?;
///     Ok(Body::late(move |_| { writer.write_all(b"late").ok()?; None }))
/// }
/// ```
///
/// # Servers
/// Keep a [`Calls`](crate::Calls), which knows the order of calls and checks the head, and store what it returns.
///
/// # Middleware
/// A wrapper changes what passes through it, for an application that starts early, late, or only writes. State for one
/// response begins anew at each call (GW-MW-09).
///
/// ```
/// use std::io::Write;
/// use gateway_spec::{Error, StartResponse, Status};
///
/// struct AddHeader<'a>(&'a mut dyn StartResponse);
///
/// impl StartResponse for AddHeader<'_> {
///     fn start_response(
///         &mut self, status: Status, headers: &[(&str, &str)], exc_info: Option<Error>,
///     ) -> Result<&mut dyn Write, Error> {
///         let mut headers = headers.to_vec();
///         headers.push(("X-Added", "1"));
///         self.0.start_response(status, &headers, exc_info)
///     }
///
///     fn writer(&mut self) -> &mut dyn Write {
///         self.0.writer()
///     }
/// }
/// ```
///
/// One that changes what is written returns itself as the writer and writes to [`writer`](Self::writer) of the inner
/// one: it cannot keep what the inner call returned, because a later call may replace the answer (GW-SR-09).
///
/// [`Application::call`]: crate::Application::call
pub trait StartResponse {
    /// Begins the answer, or replaces it while nothing was sent.
    ///
    /// Headers are names and values in order; two `Set-Cookie` stay two. Values are ISO-8859-1 text as in PEP 3333: one
    /// octet for each character (GW-STR-03). A value in another charset is given as its octets, each as a character.
    ///
    /// # Errors
    /// - a [`Misuse`](crate::Misuse): a header is not valid, or this is the second call without `exc_info`. The answer
    ///   is then a 500, unless a call with `exc_info` replaces it (GW-SR-11);
    /// - `exc_info` itself, if part of the answer was sent already (GW-SR-13, GW-SR-14).
    fn start_response(
        &mut self,
        status: Status,
        headers: &[(&str, &str)],
        exc_info: Option<Error>,
    ) -> Result<&mut dyn Write, Error>;

    /// The writer that [`start_response`](Self::start_response) has returned, again: for middleware with a writer of its
    /// own, which passes on only what its application has written (GW-MW-07).
    ///
    /// # Servers
    /// Return what `start_response` returns. Before it was called, a write is an error (GW-WR-09).
    fn writer(&mut self) -> &mut dyn Write;

    /// [`start_response`](Self::start_response) without `exc_info`.
    ///
    /// # Errors
    /// As [`start_response`](Self::start_response).
    fn start(&mut self, status: Status, headers: &[(&str, &str)]) -> Result<&mut dyn Write, Error> {
        self.start_response(status, headers, None)
    }

    /// [`start_response`](Self::start_response) from an error handler.
    ///
    /// # Errors
    /// As [`start_response`](Self::start_response); `exc_info` comes back if it is too late.
    fn restart(&mut self, status: Status, headers: &[(&str, &str)], exc_info: Error) -> Result<&mut dyn Write, Error> {
        self.start_response(status, headers, Some(exc_info))
    }

    /// Sends headers ahead of the answer, as 103 Early Hints (RFC 8297).
    ///
    /// Does nothing where it cannot help: the head was sent, the client speaks HTTP/1.0 (H1-NOB-08), the server does
    /// not know how. A server that knows how sends them at once; a middleware passes them on.
    ///
    /// # Errors
    /// A [`Misuse`](crate::Misuse) for a header that is not valid.
    fn early_hints(&mut self, headers: &[(&str, &str)]) -> Result<(), Error> {
        let _ = headers;
        Ok(())
    }
}

impl<S: StartResponse + ?Sized> StartResponse for &mut S {
    #[deny(unconditional_recursion)]
    fn start_response(
        &mut self,
        status: Status,
        headers: &[(&str, &str)],
        exc_info: Option<Error>,
    ) -> Result<&mut dyn Write, Error> {
        (**self).start_response(status, headers, exc_info)
    }

    #[deny(unconditional_recursion)]
    fn writer(&mut self) -> &mut dyn Write {
        (**self).writer()
    }

    #[deny(unconditional_recursion)]
    fn early_hints(&mut self, headers: &[(&str, &str)]) -> Result<(), Error> {
        (**self).early_hints(headers)
    }
}
