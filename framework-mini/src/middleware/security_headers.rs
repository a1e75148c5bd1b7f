//! [`SecurityHeaders`]: what makes browsers more careful.

use std::sync::Arc;
use std::time::Duration;

use gateway_spec::{Application, Body, Environ, Error, Scheme, StartResponse};

use super::{Content, Filter, Interest, ResponseHead, filter};

/// Adds the headers that make browsers more careful, unless the application has set them by itself.
///
/// By default: `X-Content-Type-Options: nosniff`, `X-Frame-Options: DENY`, `Referrer-Policy: same-origin` and
/// `Cross-Origin-Opener-Policy: same-origin`.
///
/// ```
/// use std::time::Duration;
/// use framework_mini::App;
/// use framework_mini::middleware::SecurityHeaders;
///
/// let site = App::new(()).get("/", || "Hello!").build().unwrap();
/// let site = SecurityHeaders::new(site)
///     .with("Content-Security-Policy", "default-src 'self'")
///     .hsts(Duration::from_secs(3600));
/// ```
#[derive(Clone, Debug)]
pub struct SecurityHeaders<A> {
    application: A,
    headers: Headers,
    hsts: Option<String>,
}

/// The same for every request, so shared and not copied.
type Headers = Arc<Vec<(&'static str, String)>>;

impl<A> SecurityHeaders<A> {
    /// With the defaults.
    pub fn new(application: A) -> Self {
        let defaults = [
            ("X-Content-Type-Options", "nosniff"),
            ("X-Frame-Options", "DENY"),
            ("Referrer-Policy", "same-origin"),
            ("Cross-Origin-Opener-Policy", "same-origin"),
        ];
        let headers = defaults.into_iter().map(|(name, value)| (name, value.to_owned())).collect();
        Self { application, headers: Arc::new(headers), hsts: None }
    }

    /// With another value of a header, or one header more.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self = self.without(name);
        Arc::make_mut(&mut self.headers).push((name, value.into()));
        self
    }

    /// Without a header.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        Arc::make_mut(&mut self.headers).retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self
    }

    /// With `Strict-Transport-Security` on requests that came by https: for this time clients use nothing else for this
    /// host. There is no way back, so begin with an hour.
    #[must_use]
    pub fn hsts(mut self, max_age: Duration) -> Self {
        self.hsts = Some(format!("max-age={}", max_age.as_secs()));
        self
    }
}

impl<A: Application> Application for SecurityHeaders<A> {
    fn call(&self, environ: &mut Environ<'_>, start_response: &mut dyn StartResponse) -> Result<Body, Error> {
        let hsts = self.hsts.clone().filter(|_| environ.url_scheme() == Scheme::Https);
        filter(&self.application, environ, start_response, Defaults { headers: Arc::clone(&self.headers), hsts })
    }
}

struct Defaults {
    headers: Headers,
    hsts: Option<String>,
}

impl Filter for Defaults {
    fn head(&mut self, head: &mut ResponseHead, _: &Content<'_>) -> Result<Interest, Error> {
        for (name, value) in &*self.headers {
            head.add_default(name, value);
        }
        if let Some(hsts) = &self.hsts {
            head.add_default("Strict-Transport-Security", hsts);
        }
        Ok(Interest::Head)
    }
}
