//! [`Response::answer`]: the responses of this crate without its routes.

use gateway_spec::{Body, Environ, StartResponse};

use crate::context::{Context, Shared};
use crate::response::Content;
use crate::{Error, Response, error_page, site};

impl Response {
    /// Answers a request with this response, for an application that has no routes or routes of its own.
    ///
    /// An error goes to the log as with [`App`](crate::App), and becomes what `page` returns, with the status and the
    /// headers of the error. [`Error::page`] is the page that an `App` would send.
    ///
    /// ```
    /// use framework_mini::{Body, Error, File, IntoResponse};
    /// use gateway_spec::{Environ, StartResponse};
    ///
    /// fn app(environ: &mut Environ, start_response: &mut dyn StartResponse) -> Result<Body, gateway_spec::Error> {
    ///     let file = match environ.path_info() {
    ///         path if path == "/" => File::open("index.html"),
    ///         _ => Err(Error::not_found()),
    ///     };
    ///     file.into_response().answer(environ, start_response, Error::page)
    /// }
    /// ```
    ///
    /// # Errors
    /// Those of `start_response`.
    pub fn answer(
        self,
        environ: &mut Environ<'_>,
        start_response: &mut dyn StartResponse,
        page: impl FnOnce(&Error, &Environ<'_>) -> Self,
    ) -> Result<Body, gateway_spec::Error> {
        let shared = Shared::default();
        let mut context = Context { environ, shared: &shared };
        let mut page = Some(page);
        let mut response = self;
        loop {
            response = match response.content {
                Content::Body(_) if response.cookies.is_empty() => break,
                Content::Body(_) => response.with_baked_cookies(context.environ),
                Content::Deferred(_) => site::finish(response, &mut context),
                Content::Error(error) => {
                    error_page::log(context.environ, &error);
                    // An error in the page gets the plain one.
                    let answer = match page.take() {
                        Some(page) => page(&error, context.environ),
                        None => error.page(context.environ),
                    };
                    error_page::with_head_of(answer, &error)
                }
            };
        }
        response.send(&mut context, start_response)
    }
}

impl Error {
    /// The page that says so: HTML, problem details or text, as the client likes it.
    #[must_use]
    pub fn page(&self, environ: &Environ<'_>) -> Response {
        error_page::plain(environ, self)
    }
}
