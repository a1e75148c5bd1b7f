//! What is answered at which path.

use std::sync::Arc;

use framework_mini::{
    App, Asset, Error, FromRequest, Headers, IntoResponse, Json, Page, Query, Redirect, Request, Response, Site, State,
    Status, Templates,
};

use crate::hub::{Hub, Refused, Stats, Topics};
use crate::listener::Listener;
use crate::message::{Draft, Message};

/// The page's own style and script, and events from here: whatever gets into the page otherwise has no effect.
pub(crate) const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; \
     form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Longest request body besides the text: a name, and room.
const BODY: u64 = 8 * 1024;
/// What a character of the text may need: four bytes, each escaped as three.
const CHARACTER: u64 = 12;

pub(crate) fn site(hub: Arc<Hub>) -> Result<Site<Arc<Hub>>, Error> {
    let templates = Templates::embedded([("page.html", include_str!("../assets/page.html"))])?;
    let body_limit = BODY.saturating_add(CHARACTER.saturating_mul(hub.config.max_text as u64));
    let app = App::new(hub)
        .templates(templates)
        .default_body_limit(body_limit)
        .get("/", page)
        .name("page")
        .post("/say", say)
        .name("say")
        .get("/events", events)
        .name("events")
        .get("/clock", clock)
        .name("clock")
        .get("/stats", stats)
        .name("stats")
        .get("/live.css", || Asset::new("live.css", include_bytes!("../assets/live.css")))
        .get("/live.js", || Asset::new("live.js", include_bytes!("../assets/live.js")));
    Ok(app.build()?)
}

#[derive(serde::Deserialize)]
struct Visit {
    /// So that who has no script need not write the name again.
    #[serde(default)]
    name: String,
}

fn page(State(hub): State<Arc<Hub>>, Base(base): Base, Query(Visit { name }): Query<Visit>) -> Response {
    show(&hub, base, Draft { name, text: String::new() }, "")
}

/// What the template shows.
#[derive(serde::Serialize)]
struct Values<'p> {
    messages: Vec<Message>,
    /// The id of the last of them.
    last: String,
    draft: Draft,
    problem: &'p str,
    max_text: usize,
    /// Where this application is.
    base: String,
}

/// The page with a draft in the form, and what is wrong with it.
fn show(hub: &Hub, base: String, draft: Draft, problem: &str) -> Response {
    let (messages, last) = hub.recent();
    let values = Values { messages, last, draft, problem, max_text: hub.config.max_text, base };
    Page::new("page.html", values).into_response().with_header("Cache-Control", "no-store")
}

/// Whether the client is a browser that shows what it gets, rather than a program.
struct WantsPage(bool);

impl<S> FromRequest<S> for WantsPage {
    fn from_request(request: &mut Request<S>) -> Result<Self, Error> {
        Ok(Self(request.prefers(&["application/json", "text/html"]) == Some("text/html")))
    }
}

/// The URL of this application, without a slash at its end.
struct Base(String);

impl<S> FromRequest<S> for Base {
    fn from_request(request: &mut Request<S>) -> Result<Self, Error> {
        Ok(Self(request.environ().application_url().trim_end_matches('/').to_owned()))
    }
}

/// 204 to programs; a browser without scripts is shown the page again.
fn say(
    State(hub): State<Arc<Hub>>,
    WantsPage(page): WantsPage,
    Base(base): Base,
    draft: Draft,
) -> Result<Response, Error> {
    match draft.checked(hub.config.max_text) {
        Ok((name, text)) => {
            hub.say(name, text);
            let back = || Redirect::route("page", &[("name", &draft.name)]).into_response();
            Ok(if page { back() } else { Status::NO_CONTENT.into_response() })
        }
        Err(problem) if page => Ok(show(&hub, base, draft, &problem).with_status(Status::UNPROCESSABLE_CONTENT)),
        Err(problem) => Err(Error::unprocessable(problem)),
    }
}

#[derive(serde::Deserialize)]
struct Listen {
    /// The id of the last message seen; the header `Last-Event-ID`, which browsers send by themselves, goes before it.
    after: Option<String>,
    /// Whether the time is wanted as well: there if it is, whatever the value.
    #[serde(default)]
    clock: Vec<String>,
}

fn events(State(hub): State<Arc<Hub>>, headers: Headers, Query(listen): Query<Listen>) -> Result<Listener, Error> {
    let last = headers.get("last-event-id").map(str::to_owned).or(listen.after);
    enter(&hub, Topics { chat: true, clock: !listen.clock.is_empty() }, last.as_deref())
}

fn clock(State(hub): State<Arc<Hub>>) -> Result<Listener, Error> {
    enter(&hub, Topics { chat: false, clock: true }, None)
}

fn enter(hub: &Arc<Hub>, topics: Topics, last: Option<&str>) -> Result<Listener, Error> {
    let refused = |why: &'static str| Error::new(Status::SERVICE_UNAVAILABLE, why).with_header("Retry-After", "5");
    match hub.enter(topics, last) {
        Ok(place) => Ok(Listener::new(Arc::clone(hub), place)),
        Err(Refused::Full) => Err(refused("As many listen as can. Try again in a while.")),
        Err(Refused::Stopped) => Err(refused("The server is about to stop. Try again in a while.")),
    }
}

fn stats(State(hub): State<Arc<Hub>>) -> Response {
    Json::<Stats>(hub.stats()).into_response().with_header("Cache-Control", "no-store")
}
