//! [`Client`]: calls an application as a server would, for a test.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gateway_spec::{Application, Scheme};

use super::cookies::Jar;
use super::request::RequestBuilder;

/// Calls an application without a socket; see the [module](super).
///
/// It can be shared by threads as far as the application can. With [`cookies`](Self::cookies) they share those too.
pub struct Client<A> {
    app: A,
    pub(super) settings: Settings,
}

/// What holds for all requests of a client.
#[derive(Clone)]
pub(super) struct Settings {
    pub(super) prefix: String,
    pub(super) scheme: Scheme,
    pub(super) variables: Vec<(String, String)>,
    pub(super) max_body: u64,
    pub(super) patience: Duration,
    pub(super) redirects: usize,
    pub(super) jar: Option<Arc<Mutex<Jar>>>,
    pub(super) multithread: bool,
}

impl<A: Application> Client<A> {
    /// A client of this application: at the root, over `http`, keeping no cookies and following no redirects.
    pub const fn new(app: A) -> Self {
        let settings = Settings {
            prefix: String::new(),
            scheme: Scheme::Http,
            variables: Vec::new(),
            max_body: 16 << 20,
            patience: Duration::from_secs(30),
            redirects: 0,
            jar: None,
            multithread: true,
        };
        Self { app, settings }
    }

    /// Mounts the application under a decoded prefix such as `/x/y`. Targets are still given from the application's
    /// point of view: `get("/a")` asks for `/x/y/a`.
    #[must_use]
    pub fn mounted(mut self, prefix: &str) -> Self {
        self.settings.prefix = prefix.trim_end_matches('/').to_owned();
        self
    }

    /// Keeps cookies from one request to the next, as a browser does.
    #[must_use]
    pub fn cookies(mut self) -> Self {
        self.settings.jar = Some(Arc::default());
        self
    }

    /// Follows up to so many redirects that stay with the application.
    #[must_use]
    pub const fn redirects(mut self, most: usize) -> Self {
        self.settings.redirects = most;
        self
    }

    /// The scheme through which the application is reached.
    #[must_use]
    pub const fn scheme(mut self, scheme: Scheme) -> Self {
        self.settings.scheme = scheme;
        self
    }

    /// Adds a variable to each environ, as whoever runs a server can (GW-CFG-03).
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.settings.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The longest request body in bytes; a longer one is an error of the input, and 413. 16 MiB unless set.
    #[must_use]
    pub const fn max_body(mut self, bytes: u64) -> Self {
        self.settings.max_body = bytes;
        self
    }

    /// How long to wait for a body that says *nothing yet* before leaving. 30 seconds unless set.
    #[must_use]
    pub const fn patience(mut self, patience: Duration) -> Self {
        self.settings.patience = patience;
        self
    }

    /// Says in the environ that only one thread calls the application (GW-EWV-10), and leaves it to the test to keep to
    /// it.
    #[must_use]
    pub const fn single_thread(mut self) -> Self {
        self.settings.multithread = false;
        self
    }

    /// The value of a cookie that is kept.
    #[must_use]
    pub fn cookie(&self, name: &str) -> Option<String> {
        let jar = self.settings.jar.as_ref()?;
        jar.lock().unwrap_or_else(PoisonError::into_inner).value(name)
    }

    /// The application.
    pub const fn app(&self) -> &A {
        &self.app
    }

    /// Begins a request of any method.
    ///
    /// The target is a path below the mount with an optional query, still encoded, or `*` for OPTIONS. As on a wire,
    /// what is not valid in a target is answered 400 and does not reach the application.
    pub fn request(&self, method: &str, target: &str) -> RequestBuilder<'_> {
        RequestBuilder::new(&self.app, &self.settings, method, target)
    }

    /// Begins a GET.
    pub fn get(&self, target: &str) -> RequestBuilder<'_> {
        self.request("GET", target)
    }

    /// Begins a HEAD.
    pub fn head(&self, target: &str) -> RequestBuilder<'_> {
        self.request("HEAD", target)
    }

    /// Begins a POST.
    pub fn post(&self, target: &str) -> RequestBuilder<'_> {
        self.request("POST", target)
    }

    /// Begins a PUT.
    pub fn put(&self, target: &str) -> RequestBuilder<'_> {
        self.request("PUT", target)
    }

    /// Begins a PATCH.
    pub fn patch(&self, target: &str) -> RequestBuilder<'_> {
        self.request("PATCH", target)
    }

    /// Begins a DELETE.
    pub fn delete(&self, target: &str) -> RequestBuilder<'_> {
        self.request("DELETE", target)
    }

    /// Begins an OPTIONS.
    pub fn options(&self, target: &str) -> RequestBuilder<'_> {
        self.request("OPTIONS", target)
    }
}
