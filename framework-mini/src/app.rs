//! [`App`]: the routes of an application, and [`App::build`], which finds every mistake in them at once.

use std::fmt;
use std::panic::Location;
use std::sync::Arc;

use gateway_spec::{Application, is_token};

use crate::build_errors::{BuildErrors, Place, Problem};
use crate::context::Shared;
use crate::handler::{Callable, Handler};
use crate::router::{Method, Pattern, Router};
use crate::site::{Destination, Site};
use crate::{Error, IntoResponse, Needs, Request, Response};

pub(crate) type BoxedHandler<S> = Box<dyn Fn(&mut Request<S>) -> Response + Send + Sync>;
pub(crate) type OnError<S> = Box<dyn Fn(&mut Request<S>, Error) -> Response + Send + Sync>;

/// The routes of an application and what its handlers share.
///
/// ```
/// use framework_mini::{App, Html, Path, State, escape};
///
/// struct Greeting(&'static str);
///
/// fn greet(Path(name): Path<String>, State(greeting): State<Greeting>) -> Html<String> {
///     Html(format!("<h1>{}, {}!</h1>", greeting.0, escape(&name)))
/// }
///
/// let site = App::new(Greeting("Hello"))
///     .get("/", || "Try /world.")
///     .get("/{name}", greet)
///     .build()
///     .unwrap();
/// // `site` is an application: `Server::bind("127.0.0.1:8000")?.serve(site)`.
/// ```
///
/// # Routes
/// A pattern is text, `{parameters}` that fill a segment, and at most one last `{*parameter}` that takes the rest,
/// slashes and all. The most specific pattern that has the method wins, in whatever order they are written. Slashes at
/// the end count; for `GET` and `HEAD` the other spelling, if only that exists, is answered by a redirect (308).
///
/// `HEAD` is answered by the handler of `GET`, `OPTIONS` by the list of methods, a method that no matching pattern has by
/// 405 with that list, and one that nobody knows by 501.
///
/// [`name`](Self::name) and [`body_limit`](Self::body_limit) are about the route before them.
pub struct App<S> {
    state: Arc<S>,
    routes: Vec<Route<S>>,
    mounts: Vec<Mount>,
    prefix: String,
    problems: Vec<Problem>,
    shared: Shared,
    on_error: Option<OnError<S>>,
    body_limit: u64,
    stream_limit: u64,
    field_limit: usize,
}

/// A route: what is called for which requests, and where in the program it was added.
pub(crate) struct Route<S> {
    pub(crate) pattern: Pattern,
    pub(crate) method: Method,
    pub(crate) handler: BoxedHandler<S>,
    pub(crate) body_limit: Option<u64>,
    pub(crate) place: Place,
    pub(crate) needs: Needs,
    name: Option<String>,
}

struct Mount {
    prefix: Pattern,
    application: Arc<dyn Application>,
    place: Place,
}

macro_rules! methods {
    ($($name:ident $method:literal $doc:literal),*) => {
        $(
            #[doc = $doc]
            #[track_caller]
            #[must_use]
            pub fn $name<F, Args>(self, pattern: &str, handler: F) -> Self
            where
                F: Callable<Args> + Handler<S, Args>,
            {
                self.route($method, pattern, handler)
            }
        )*
    };
}

impl<S: Send + Sync + 'static> App<S> {
    /// An application without routes, and the state that its handlers share: see [`State`](crate::State).
    pub fn new(state: S) -> Self {
        Self {
            state: Arc::new(state),
            routes: Vec::new(),
            mounts: Vec::new(),
            prefix: String::new(),
            problems: Vec::new(),
            shared: Shared::default(),
            on_error: None,
            body_limit: 1 << 20,
            stream_limit: 64 << 20,
            field_limit: 1000,
        }
    }

    methods! {
        get "GET" "Adds a route for `GET`, and for `HEAD` unless that has a route of its own.",
        post "POST" "Adds a route for `POST`.",
        put "PUT" "Adds a route for `PUT`.",
        patch "PATCH" "Adds a route for `PATCH`.",
        delete "DELETE" "Adds a route for `DELETE`."
    }

    /// Adds a route for every method that has none of its own at this pattern.
    #[track_caller]
    #[must_use]
    pub fn any<F, Args>(self, pattern: &str, handler: F) -> Self
    where
        F: Callable<Args> + Handler<S, Args>,
    {
        self.route(Method::Any, pattern, handler)
    }

    /// Adds a route for a method.
    #[track_caller]
    #[must_use]
    pub fn route<F, Args>(mut self, method: impl Into<Method>, pattern: &str, handler: F) -> Self
    where
        F: Callable<Args> + Handler<S, Args>,
    {
        let (place, method) = (Location::caller(), method.into());
        if let Some(method) = method.as_str().filter(|method| !is_token(method.as_bytes())) {
            self.problems.push(Problem::BadMethod { method: method.to_owned(), place });
        }
        let text = format!("{}{pattern}", self.prefix);
        match Pattern::parse(&text) {
            Ok(pattern) => self.routes.push(Route {
                pattern,
                method,
                handler: Box::new(move |request| handler.handle(request)),
                body_limit: None,
                place,
                name: None,
                needs: <F as Handler<S, Args>>::NEEDS,
            }),
            Err(error) => self.problems.push(Problem::BadPattern { pattern: text, error, place }),
        }
        self
    }

    /// Names the route before, for [`Urls::url_for`](crate::Urls::url_for).
    #[track_caller]
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        let place = Location::caller();
        match self.routes.last_mut() {
            Some(route) => route.name = Some(name.to_owned()),
            // A bad pattern before it is a problem of its own.
            None if self.problems.is_empty() => self.problems.push(Problem::NoRoute { what: "name", place }),
            None => {}
        }
        self
    }

    /// Sets how many bytes of a request body the route before holds in memory at most, in place of that of
    /// [`default_body_limit`](Self::default_body_limit).
    #[track_caller]
    #[must_use]
    pub fn body_limit(mut self, bytes: u64) -> Self {
        let place = Location::caller();
        match self.routes.last_mut() {
            Some(route) => route.body_limit = Some(bytes),
            None if self.problems.is_empty() => self.problems.push(Problem::NoRoute { what: "body_limit", place }),
            None => {}
        }
        self
    }

    /// Adds routes below a prefix.
    ///
    /// ```
    /// # use framework_mini::App;
    /// fn admin(app: App<()>) -> App<()> {
    ///     app.get("/", || "users and settings").get("/users", || "users")
    /// }
    /// let site = App::new(()).nest("/admin", admin).build().unwrap(); // /admin/ and /admin/users
    /// ```
    #[must_use]
    pub fn nest(mut self, prefix: &str, routes: impl FnOnce(Self) -> Self) -> Self {
        let outside = self.prefix.len();
        self.prefix.push_str(prefix.trim_end_matches('/'));
        let mut inside = routes(self);
        inside.prefix.truncate(outside);
        inside
    }

    /// Gives every request at a prefix and below to another application, unless a route matches.
    ///
    /// The prefix moves from `PATH_INFO` to `SCRIPT_NAME`. Whole segments only: `/api` takes `/api` and `/api/x`, not
    /// `/apix`. It has no parameters.
    #[track_caller]
    #[must_use]
    pub fn mount(mut self, prefix: &str, application: impl Application + 'static) -> Self {
        let place = Location::caller();
        let text = format!("{}{}", self.prefix, prefix.trim_end_matches('/'));
        let parsed = match text.as_str() {
            "" => Ok(Pattern::root()),
            text => Pattern::parse(text),
        };
        match parsed {
            Ok(prefix) if prefix.names().next().is_some() => {
                self.problems.push(Problem::MountParameter { prefix: text, place });
            }
            Ok(prefix) => self.mounts.push(Mount { prefix, application: Arc::new(application), place }),
            Err(error) => self.problems.push(Problem::BadPattern { pattern: text, error, place }),
        }
        self
    }

    /// Answers errors in place of the page that is chosen by the client's `Accept`: those of handlers, extractors and
    /// panics, and 404, 405 and the like.
    ///
    /// The status and the headers of the error are set on what is returned, unless it has other ones.
    ///
    /// ```
    /// # use framework_mini::{App, Error, Html, Request, escape};
    /// let site = App::new(())
    ///     .on_error(|_, error: &Error| Html(format!("<h1>Oh no</h1><p>{}", escape(error.message()))))
    ///     .build()
    ///     .unwrap();
    /// ```
    #[must_use]
    pub fn on_error<R: IntoResponse>(
        mut self,
        answer: impl Fn(&mut Request<S>, &Error) -> R + Send + Sync + 'static,
    ) -> Self {
        self.on_error = Some(Box::new(move |request, error| {
            let response = answer(request, &error).into_response();
            let status = if response.status == gateway_spec::Status::OK {
                error.status().clone()
            } else {
                response.status.clone()
            };
            error.headers().fold(response.with_status(status), |response, (name, value)| {
                response.with_default_header(name, value.to_owned())
            })
        }));
        self
    }

    /// Shows errors with all that is behind them, to clients on this machine only. Off unless it is turned on.
    #[must_use]
    pub const fn debug(mut self, debug: bool) -> Self {
        self.shared.debug = debug;
        self
    }

    /// How many bytes of a request body are held in memory at most: 1 MiB unless it is set. A form or a JSON document is
    /// rarely larger; see [`body_limit`](Self::body_limit) for the route that is the exception.
    #[must_use]
    pub const fn default_body_limit(mut self, bytes: u64) -> Self {
        self.body_limit = bytes;
        self
    }

    /// How many bytes of a request body are streamed at most: 64 MiB unless it is set. The server has a limit of its own.
    #[must_use]
    pub const fn stream_limit(mut self, bytes: u64) -> Self {
        self.stream_limit = bytes;
        self
    }

    /// How many fields a query string or form may have: 1000 unless it is set.
    #[must_use]
    pub const fn field_limit(mut self, fields: usize) -> Self {
        self.field_limit = fields;
        self
    }

    /// Uses these templates: see [`Page`](crate::Page).
    #[cfg(feature = "templates")]
    #[must_use]
    pub fn templates(mut self, templates: crate::Templates) -> Self {
        self.shared.templates = Some(templates);
        self
    }

    /// The application, if nothing is wrong with it.
    ///
    /// # Errors
    /// Every mistake in the routes, each with its place in the program: patterns that are none, two routes for the same
    /// requests, handlers that want more parameters than the pattern has or the body twice, names that are used twice.
    ///
    /// ```
    /// # use framework_mini::{App, Path};
    /// let errors = App::new(())
    ///     .get("/users/{id}", || "by id")
    ///     .get("/users/{name}", || "by name")
    ///     .get("/users", |Path(_): Path<u64>| "one")
    ///     .build()
    ///     .err()
    ///     .unwrap();
    /// let text = errors.to_string();
    /// assert!(text.contains("the same requests already go to GET /users/{id}"));
    /// assert!(text.contains("the handler takes 1 parameter, the pattern has 0"));
    /// ```
    pub fn build(self) -> Result<Site<S>, BuildErrors> {
        let mut problems = self.problems;
        let mut names: Vec<(String, Pattern, Place)> = Vec::new();
        let mut router: Router<Destination> = Router::new();
        for (index, route) in self.routes.iter().enumerate() {
            let shown = || format!("{} {}", route.method, route.pattern);
            let inserted = router.insert(route.method.clone(), &route.pattern, Destination::Route(index));
            if let Err((Destination::Route(other), _)) = inserted {
                let other = &self.routes[*other];
                problems.push(Problem::Conflict {
                    new: shown(),
                    place: route.place,
                    old: format!("{} {}", other.method, other.pattern),
                    old_place: other.place,
                });
            }
            let (wanted, has) = (route.needs.params, route.pattern.names().count());
            if wanted > has {
                problems.push(Problem::MissingParams { route: shown(), wanted, has, place: route.place });
            }
            if route.needs.bodies > 1 {
                problems.push(Problem::TwoBodies { route: shown(), place: route.place });
            }
            if let Some(name) = &route.name {
                if let Some((_, _, old_place)) = names.iter().find(|(known, ..)| known == name) {
                    problems.push(Problem::SameName { name: name.clone(), place: route.place, old_place });
                }
                names.push((name.clone(), route.pattern.clone(), route.place));
            }
        }
        for (index, mount) in self.mounts.iter().enumerate() {
            if let Err((Destination::Mount(other), _)) = router.mount(&mount.prefix, Destination::Mount(index)) {
                let (new, old_place) = (format!("mount {}", mount.prefix), self.mounts[*other].place);
                problems.push(Problem::Conflict { old: new.clone(), new, place: mount.place, old_place });
            }
        }
        if !problems.is_empty() {
            return Err(BuildErrors(problems));
        }
        let names = names.into_iter().map(|(name, pattern, _)| (name, pattern)).collect();
        Ok(Site {
            state: self.state,
            router,
            routes: self.routes,
            mounts: (self.mounts.into_iter()).map(|mount| (mount.prefix.as_str().into(), mount.application)).collect(),
            shared: Shared { names: Arc::new(names), ..self.shared },
            on_error: self.on_error,
            body_limit: self.body_limit,
            stream_limit: self.stream_limit,
            field_limit: self.field_limit,
        })
    }
}

impl<S> fmt::Debug for App<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.routes.iter().map(|r| format!("{} {}", r.method, r.pattern))).finish()
    }
}
