//! [`Site`]: a framework application that is built, and how a request goes through it.

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use gateway_spec::{Application, Body, Environ, StartResponse, Status, percent_decode, percent_encode_path};

use crate::app::{OnError, Route};
use crate::context::{Context, Shared};
use crate::error_page;
use crate::extract::not_utf8;
use crate::response::Content;
use crate::router::{Found, Router};
use crate::{Error, IntoResponse, Request, Response};

/// An application that [`App::build`](crate::App::build) found nothing wrong with.
pub struct Site<S> {
    pub(crate) state: Arc<S>,
    pub(crate) router: Router<Destination>,
    pub(crate) routes: Vec<Route<S>>,
    pub(crate) mounts: Vec<(Box<str>, Arc<dyn Application>)>,
    pub(crate) shared: Shared,
    pub(crate) on_error: Option<OnError<S>>,
    pub(crate) body_limit: u64,
    pub(crate) stream_limit: u64,
    pub(crate) field_limit: usize,
}

/// Where the router leads: an index.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Destination {
    Route(usize),
    Mount(usize),
}

/// What is to be done with a request.
enum Plan {
    /// Call the handler of a route, with its parameters.
    Handle(usize, Vec<Vec<u8>>),
    /// Give it to a mounted application.
    Pass(usize),
    /// Answer without either.
    Answer(Response),
}

/// Methods that are known, whether an application has them or not (H1-METH-02).
const METHODS: [&str; 9] = ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"];

impl<S: Send + Sync + 'static> Application for Site<S> {
    fn call(
        &self,
        environ: &mut Environ<'_>,
        start_response: &mut dyn StartResponse,
    ) -> Result<Body, gateway_spec::Error> {
        let (route, params, answer) = match self.plan(environ) {
            Plan::Pass(index) => {
                let (prefix, application) = &self.mounts[index];
                environ.mount(prefix);
                return application.call(environ, start_response);
            }
            Plan::Handle(index, params) => (Some(&self.routes[index]), params, None),
            Plan::Answer(response) => (None, Vec::new(), Some(response)),
        };
        let context = Context { environ, shared: &self.shared };
        let mut request = Request { context, site: self, route, params, next_param: 0 };
        let response = match (answer, route) {
            (None, Some(route)) => guarded(|| (route.handler)(&mut request)),
            (answer, _) => answer.unwrap_or_else(|| Error::not_found().into_response()),
        };
        let response = self.resolve(response, &mut request);
        response.send(&mut request.context, start_response)
    }
}

impl<S: Send + Sync + 'static> Site<S> {
    fn plan(&self, environ: &Environ<'_>) -> Plan {
        let (method, raw) = (environ.method(), environ.raw_path_info());
        if raw.is_empty() && method == "OPTIONS" && environ.request_uri() == "*" {
            return Plan::Answer(self.options(self.routes.iter().filter_map(|route| route.method.as_str()).collect()));
        }
        match self.router.find(method, &raw) {
            Found::Route { value: Destination::Route(index), captured } => {
                let partial_put = method == "PUT" && environ.header("content-range").is_some();
                let text_only = !self.routes[*index].needs.octets;
                match captured.into_iter().map(|segment| decode(segment, text_only)).collect() {
                    // H1-RNG-33: a handler that does not look would store a part as the whole.
                    Some(_) if partial_put => {
                        Plan::Answer(Error::bad_request("A part cannot be put here.").into_response())
                    }
                    Some(params) => Plan::Handle(*index, params),
                    None => Plan::Answer(not_utf8().into_response()),
                }
            }
            Found::Route { value: Destination::Mount(index), .. } | Found::Mount(Destination::Mount(index)) => {
                Plan::Pass(*index)
            }
            Found::MethodNotAllowed(methods) if method == "OPTIONS" => Plan::Answer(self.options(methods)),
            _ if !self.knows(method) => {
                Plan::Answer(Error::new(Status::NOT_IMPLEMENTED, "This method is unknown here.").into_response())
            }
            Found::MethodNotAllowed(methods) => {
                let error = Error::new(Status::METHOD_NOT_ALLOWED, "This method is not allowed here.");
                Plan::Answer(error.with_header("Allow", allow(methods)).into_response())
            }
            Found::NotFound | Found::Mount(_) => {
                let response = self.other_slash(environ, &raw).unwrap_or_else(|| Error::not_found().into_response());
                Plan::Answer(response)
            }
        }
    }

    fn knows(&self, method: &str) -> bool {
        METHODS.contains(&method) || self.routes.iter().any(|route| route.method.as_str() == Some(method))
    }

    /// H1-METH-19.
    fn options(&self, methods: Vec<&str>) -> Response {
        Status::NO_CONTENT.into_response().with_header("Allow", allow(methods))
    }

    /// The redirect to the same path with or without a slash at its end, if only that exists.
    ///
    /// Path only, so that no proxy's scheme or host comes into it; and none that a client could read as another host.
    fn other_slash(&self, environ: &Environ<'_>, raw: &str) -> Option<Response> {
        if !matches!(environ.method(), "GET" | "HEAD") {
            return None;
        }
        let other = match raw.strip_suffix('/') {
            Some(other) => Cow::Borrowed(other),
            None => Cow::Owned(format!("{raw}/")),
        };
        let script_name = environ.script_name();
        let location = format!("{}{other}", percent_encode_path(script_name.as_bytes()));
        let inner = location.strip_prefix('/')?;
        let inner = inner.strip_suffix('/').unwrap_or(inner);
        let safe = inner.bytes().all(|b| b.is_ascii_graphic() && b != b'\\')
            && (inner.is_empty() || inner.split('/').all(|segment| !matches!(segment, "" | "." | "..")));
        if !safe || !matches!(self.router.find("GET", &other), Found::Route { .. }) {
            return None;
        }
        let query = environ.query_string();
        let mark = if query.is_empty() { "" } else { "?" };
        Some(Status::PERMANENT_REDIRECT.into_response().with_header("Location", format!("{location}{mark}{query}")))
    }

    /// Makes a response that can be sent: what was deferred is done, and an error becomes a page.
    fn resolve(&self, mut response: Response, request: &mut Request<S>) -> Response {
        let mut custom = self.on_error.as_ref();
        loop {
            response = match response.content {
                Content::Body(_) if response.cookies.is_empty() => return response,
                Content::Body(_) => response.with_baked_cookies(request.environ()),
                Content::Deferred(_) => finish(response, &mut request.context),
                Content::Error(error) => {
                    error_page::log(request.environ(), &error);
                    // The page of the application once; an error in it gets the plain one.
                    match custom.take() {
                        _ if error_page::may_debug(request) => error_page::debug(request, &error),
                        Some(answer) => guarded(|| answer(request, error)),
                        None => error_page::plain(request.environ(), &error),
                    }
                }
            };
        }
    }
}

pub(crate) fn finish(response: Response, context: &mut Context<'_, '_>) -> Response {
    let Content::Deferred(finish) = response.content else { return response };
    let rest = Response { content: Content::Body(Body::empty()), ..response };
    guarded(|| finish(rest, context))
}

/// A panic is an error like others: it is logged and answered, and takes nobody else with it.
fn guarded(answer: impl FnOnce() -> Response) -> Response {
    catch_unwind(AssertUnwindSafe(answer))
        .unwrap_or_else(|panic| Error::internal(format!("panicked: {}", panic_message(&*panic))).into_response())
}

/// The text with which something panicked.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("(no text)")
}

/// The list of methods for `Allow`, sorted (H1-ALW-01).
fn allow(mut methods: Vec<&str>) -> String {
    if methods.contains(&"GET") {
        methods.push("HEAD");
    }
    methods.push("OPTIONS");
    methods.sort_unstable();
    methods.dedup();
    methods.join(", ")
}

fn decode(segment: &str, text_only: bool) -> Option<Vec<u8>> {
    percent_decode(segment).filter(|octets| !text_only || str::from_utf8(octets).is_ok()).map(Cow::into_owned)
}

impl<S> fmt::Debug for Site<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.routes.iter().map(|route| format!("{} {}", route.method, route.pattern))).finish()
    }
}
