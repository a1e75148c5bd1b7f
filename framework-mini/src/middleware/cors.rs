//! [`Cors`]: which other sites' scripts may use an application (the Fetch standard).

use std::time::Duration;

use gateway_spec::{Application, Body, Environ, Error, StartResponse, Status};

use super::{Content, Filter, Interest, ResponseHead, filter};

/// Lets scripts of other sites use an application: answers preflight requests, and adds the headers to every response,
/// of errors too.
///
/// ```
/// use framework_mini::App;
/// use framework_mini::middleware::Cors;
///
/// let api = App::new(()).get("/", || "data").build().unwrap();
/// let api = Cors::new(api).origin("https://app.example").methods("GET, POST").credentials();
/// ```
#[derive(Clone, Debug)]
pub struct Cors<A> {
    application: A,
    origins: Vec<String>,
    any_origin: bool,
    methods: String,
    headers: Option<String>,
    expose: Option<String>,
    credentials: bool,
    max_age: Duration,
}

impl<A> Cors<A> {
    /// For no other site yet; `GET`, `HEAD` and `POST`, no credentials, preflights kept for ten minutes.
    pub fn new(application: A) -> Self {
        Self {
            application,
            origins: Vec::new(),
            any_origin: false,
            methods: "GET, HEAD, POST".to_owned(),
            headers: None,
            expose: None,
            credentials: false,
            max_age: Duration::from_secs(600),
        }
    }

    /// For this origin too: scheme, host and port as browsers write them.
    #[must_use]
    pub fn origin(mut self, origin: &str) -> Self {
        self.origins.push(origin.trim_end_matches('/').to_owned());
        self
    }

    /// For every site, without credentials whatever [`credentials`](Self::credentials) says: else any site could act as
    /// the user.
    #[must_use]
    pub const fn any_origin(mut self) -> Self {
        self.any_origin = true;
        self
    }

    /// With these methods, divided by commas.
    #[must_use]
    pub fn methods(mut self, methods: &str) -> Self {
        self.methods = methods.to_owned();
        self
    }

    /// With these request headers, divided by commas, beside those that are always allowed.
    #[must_use]
    pub fn headers(mut self, headers: &str) -> Self {
        self.headers = Some(headers.to_owned());
        self
    }

    /// Shows these response headers to scripts.
    #[must_use]
    pub fn expose(mut self, headers: &str) -> Self {
        self.expose = Some(headers.to_owned());
        self
    }

    /// Lets scripts send cookies.
    #[must_use]
    pub const fn credentials(mut self) -> Self {
        self.credentials = true;
        self
    }

    /// How long browsers may remember a preflight.
    #[must_use]
    pub const fn max_age(mut self, max_age: Duration) -> Self {
        self.max_age = max_age;
        self
    }

    /// The headers for an origin, if it is allowed.
    fn allowed(&self, origin: &str) -> Vec<(&'static str, String)> {
        let mut headers = Vec::new();
        if self.origins.iter().any(|known| known == origin) {
            headers.push(("Access-Control-Allow-Origin", origin.to_owned()));
            if self.credentials {
                headers.push(("Access-Control-Allow-Credentials", "true".to_owned()));
            }
        } else if self.any_origin {
            headers.push(("Access-Control-Allow-Origin", "*".to_owned()));
        }
        headers
    }
}

impl<A: Application> Application for Cors<A> {
    fn call(&self, environ: &mut Environ<'_>, start_response: &mut dyn StartResponse) -> Result<Body, Error> {
        let origin = environ.header("origin").map(|origin| origin.to_latin1().into_owned());
        let mut headers = origin.as_deref().map(|origin| self.allowed(origin)).unwrap_or_default();
        let allowed = !headers.is_empty();
        if environ.method() == "OPTIONS" && environ.header("access-control-request-method").is_some() && allowed {
            headers.push(("Access-Control-Allow-Methods", self.methods.clone()));
            headers.extend(self.headers.clone().map(|names| ("Access-Control-Allow-Headers", names)));
            headers.push(("Access-Control-Max-Age", self.max_age.as_secs().to_string()));
            headers.push(("Vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers".to_owned()));
            let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            start_response.start(Status::NO_CONTENT, &headers)?;
            return Ok(Body::empty());
        }
        if allowed {
            headers.extend(self.expose.clone().map(|names| ("Access-Control-Expose-Headers", names)));
        }
        filter(&self.application, environ, start_response, Allow(headers))
    }
}

struct Allow(Vec<(&'static str, String)>);

impl Filter for Allow {
    fn head(&mut self, head: &mut ResponseHead, _: &Content<'_>) -> Result<Interest, Error> {
        for (name, value) in self.0.drain(..) {
            head.set(name, value);
        }
        // Also where nothing is allowed: the answer to another origin would differ.
        head.add_vary("Origin");
        Ok(Interest::Head)
    }
}
