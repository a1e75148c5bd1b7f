//! [`CrossOriginCheck`]: other sites cannot make a browser change anything here.

use gateway_spec::{Application, Body, Environ, Error, StartResponse};

use crate::IntoResponse;

/// Refuses requests that change something and that another site has made a browser send (403). Forms need no token then.
///
/// `GET`, `HEAD`, `OPTIONS` and `TRACE` always pass, since they change nothing. For the others `Sec-Fetch-Site`, which
/// all current browsers send and scripts cannot forge, must be `same-origin` or `none`; without it, `Origin` must name
/// this host. A request with neither comes from no browser, and has no cookies that are not its own. The refusal is a page,
/// problem details or text, as the client likes it.
///
/// ```
/// use framework_mini::App;
/// use framework_mini::middleware::CrossOriginCheck;
///
/// let site = App::new(()).post("/transfer", || "done").build().unwrap();
/// let site = CrossOriginCheck::new(site).trust("https://partner.example");
/// ```
#[derive(Clone, Debug)]
pub struct CrossOriginCheck<A> {
    application: A,
    trusted: Vec<String>,
}

impl<A> CrossOriginCheck<A> {
    /// Around an application.
    pub const fn new(application: A) -> Self {
        Self { application, trusted: Vec::new() }
    }

    /// Trusts an origin: scheme, host and port as browsers write them.
    #[must_use]
    pub fn trust(mut self, origin: &str) -> Self {
        self.trusted.push(origin.trim_end_matches('/').to_owned());
        self
    }

    fn passes(&self, environ: &Environ<'_>) -> bool {
        if matches!(environ.method(), "GET" | "HEAD" | "OPTIONS" | "TRACE") {
            return true;
        }
        let origin = environ.header("origin").map(|origin| origin.to_latin1().into_owned());
        if origin.as_ref().is_some_and(|origin| self.trusted.contains(origin)) {
            return true;
        }
        if let Some(site) = environ.header("sec-fetch-site") {
            return site == "same-origin" || site == "none";
        }
        let Some(origin) = origin else { return true };
        // The scheme cannot be compared: behind a proxy that ends TLS it is not known for sure. The host can.
        match origin.split_once("://") {
            Some((scheme, host)) => {
                let default = if scheme == "https" { ":443" } else { ":80" };
                let bare = |host: &str| host.strip_suffix(default).unwrap_or(host).to_ascii_lowercase();
                matches!(scheme, "http" | "https") && bare(host) == bare(&environ.host())
            }
            None => false, // `null`
        }
    }
}

impl<A: Application> Application for CrossOriginCheck<A> {
    fn call(&self, environ: &mut Environ<'_>, start_response: &mut dyn StartResponse) -> Result<Body, Error> {
        if self.passes(environ) {
            return self.application.call(environ, start_response);
        }
        let error = crate::Error::forbidden("This request was made by another site.");
        error.into_response().answer(environ, start_response, crate::Error::page)
    }
}
