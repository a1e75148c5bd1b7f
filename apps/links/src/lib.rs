//! A Gateway application: short links for a team. `/wiki` leads to a long address, and everybody can say it aloud.
//!
//! Pages for people, which need no scripts, a JSON interface for programs, and a SQLite database behind both. Who follows a
//! link needs no login; who makes or changes one does.
//!
//! ```
//! let app = links::app(links::Config::in_memory()).unwrap();
//! let login = app.new_login().expect("the first start makes one");
//! println!("log in as {} with {}", login.name, login.password);
//! ```

mod access;
mod account;
mod api;
mod config;
mod export;
mod link;
mod pages;
mod password;
mod store;
mod visits;

use std::fmt;

use framework_mini::middleware::{CrossOriginCheck, SecurityHeaders, SessionKey, Sessions};
use framework_mini::{App, Asset, Error, Templates};
use gateway_spec::{Application, Body, Environ, StartResponse};

pub use config::{Config, NewLogin, StartError, default_database};

use config::Opened;
use password::{Gate, Refused};
use store::Store;
use visits::Visits;

/// What the handlers share.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) store: Store,
    pub(crate) gate: Gate,
    pub(crate) visits: Visits,
}

impl Site {
    pub(crate) fn new(store: Store) -> Self {
        Self { store, gate: Gate::default(), visits: Visits::default() }
    }

    /// The version of the password of a login, if that is its password.
    pub(crate) fn authenticate(
        &self,
        client: &str,
        name: &str,
        password: &str,
    ) -> Result<Result<Option<i64>, Refused>, Error> {
        let login = self.store.login(name)?;
        let matches = self.gate.matches(client, password, login.as_ref().map(|login| (name, login.hash.as_str())));
        Ok(matches.map(|matches| login.filter(|_| matches).map(|login| login.version)))
    }
}

/// The application; made by [`app`].
pub struct Links {
    application: Box<dyn Application>,
    new_login: Option<NewLogin>,
}

impl Links {
    /// The login that was made or changed at this start, whose password nobody can read again.
    #[must_use]
    pub const fn new_login(&self) -> Option<&NewLogin> {
        self.new_login.as_ref()
    }
}

impl Application for Links {
    fn call(
        &self,
        environ: &mut Environ<'_>,
        start_response: &mut dyn StartResponse,
    ) -> Result<Body, gateway_spec::Error> {
        self.application.call(environ, start_response)
    }
}

impl fmt::Debug for Links {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Links").field("new_login", &self.new_login).finish_non_exhaustive()
    }
}

/// No form here is larger: a request body beyond is 413.
const MAX_BODY: u64 = 64 * 1024;

/// The pages load their own style and pictures, send their forms here, and do nothing else.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; \
                                       base-uri 'none'; frame-ancestors 'none'";

/// The application of a configuration. Its database is made if there is none.
///
/// # Errors
/// [`StartError`], if the database cannot be used or the login is none.
pub fn app(config: Config) -> Result<Links, StartError> {
    let Opened { site, key, new_login } = config.open()?;
    let application = build(site, key).map_err(|error| StartError::Program(format!("{error:?}")))?;
    Ok(Links { application, new_login })
}

fn build(site: Site, key: SessionKey) -> Result<Box<dyn Application>, Error> {
    let site = App::new(site)
        .templates(templates()?)
        .default_body_limit(MAX_BODY)
        .on_error(pages::error)
        .get("/", pages::home)
        .name("home")
        .post("/links", pages::create)
        .name("create")
        .get("/links", || framework_mini::Redirect::to("/"))
        .get("/links/{slug}", pages::show)
        .name("link")
        .post("/links/{slug}", pages::update)
        .get("/links/{slug}/edit", pages::edit)
        .name("edit")
        .post("/links/{slug}/delete", pages::delete)
        .name("delete")
        .get("/{slug}", pages::follow)
        .name("follow")
        .route("HEAD", "/{slug}", pages::peek)
        .get("/login", account::login_page)
        .name("login")
        .post("/login", account::submit)
        .post("/logout", account::log_out)
        .name("logout")
        .get("/account", account::page)
        .name("account")
        .post("/account", account::change_password)
        .get("/export.csv", export::csv)
        .name("export")
        .get("/api/links", api::list)
        .post("/api/links", api::create)
        .get("/api/links/{slug}", api::show)
        .name("api-link")
        .patch("/api/links/{slug}", api::update)
        .delete("/api/links/{slug}", api::delete)
        .get("/static/style.css", || Asset::new("style.css", include_bytes!("../static/style.css")))
        .get("/static/icon.svg", || Asset::new("icon.svg", include_bytes!("../static/icon.svg")))
        .build()?;
    let site = SecurityHeaders::new(CrossOriginCheck::new(Sessions::new(site, key).cookie_name("links-session")));
    let site = site.with("Content-Security-Policy", CONTENT_SECURITY_POLICY).with("Cache-Control", "no-store");
    Ok(Box::new(site))
}

fn templates() -> Result<Templates, Error> {
    let templates = Templates::embedded([
        ("base.html", include_str!("../templates/base.html")),
        ("fields.html", include_str!("../templates/fields.html")),
        ("home.html", include_str!("../templates/home.html")),
        ("link.html", include_str!("../templates/link.html")),
        ("edit.html", include_str!("../templates/edit.html")),
        ("missing.html", include_str!("../templates/missing.html")),
        ("login.html", include_str!("../templates/login.html")),
        ("account.html", include_str!("../templates/account.html")),
        ("error.html", include_str!("../templates/error.html")),
    ])?;
    Ok(templates.with(|environment| {
        // An address as people read it: nobody says the scheme.
        environment.add_filter("bare", |url: String| {
            let bare = url.trim_start_matches("https://").trim_start_matches("http://");
            bare.strip_suffix('/').unwrap_or(bare).to_owned()
        });
        // A number with its noun.
        environment.add_filter("count", |number: i64, noun: String| match number {
            1 => format!("1 {noun}"),
            n => format!("{n} {noun}s"),
        });
    }))
}
