//! A clock and a chat, by server-sent events: streams that stay open for hours and mostly have nothing to say.
//!
//! | endpoint | |
//! |---|---|
//! | `GET /` | the page: what was said last, and a form; without scripts too |
//! | `GET /clock` | an event a second, with an id |
//! | `GET /events` | what is said; `Last-Event-ID`, or `?after=ID`, replays what was missed; `?clock` for both in one stream |
//! | `POST /say` | `text`, and `name` if one likes, as a form or as JSON: 204 |
//! | `GET /stats` | how many listen and what was said, as JSON |
//!
//! No listener has a queue of its own: there is one ring of what was said last ([`Config::queue`]), and a listener is a place
//! in it. Who reads so slowly that the ring has gone past their place gets `event: lagged` with how much they missed. A body
//! that has nothing to say yields an empty block and keeps the server's waker, so that it costs a server that can wait for
//! many things at once no thread.

mod hub;
mod iso;
mod listener;
mod message;
mod pages;
mod ticker;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use framework_mini::middleware::{CrossOriginCheck, SecurityHeaders};
use framework_mini::{Error, Site};
use gateway_spec::{Application, Body, Environ, StartResponse};

use hub::Hub;

/// What can be set.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Most listeners at once, one more gets 503. 1,000: below what every server of this workspace takes, so that there is
    /// always a connection left for the page.
    pub max_listeners: usize,
    /// How many messages a listener that comes back gets at most. 50.
    pub history: usize,
    /// How many messages are kept for listeners that read slowly; never fewer than [`history`](Self::history). 256.
    pub queue: usize,
    /// After which time without an event a comment is sent, which shows that the client has gone, and keeps proxies from
    /// thinking so. 15 s.
    pub heartbeat: Duration,
    /// Longest text in characters. 500.
    pub max_text: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { max_listeners: 1000, history: 50, queue: 256, heartbeat: Duration::from_secs(15), max_text: 500 }
    }
}

/// The application. A thread of its own drives the clock for as long as it is there.
pub struct Live {
    site: SecurityHeaders<CrossOriginCheck<Site<Arc<Hub>>>>,
    hub: Arc<Hub>,
}

/// The application, with nothing said yet.
///
/// # Errors
/// If there is no thread for the clock.
///
/// ```
/// let app = live::app(live::Config::default())?;
/// // server_mio::Server::bind("127.0.0.1:8000")?.serve(app)
/// # Ok::<(), framework_mini::Error>(())
/// ```
pub fn app(config: Config) -> Result<Live, Error> {
    // One without a pause would be nothing but heartbeats.
    let heartbeat = config.heartbeat.max(Duration::from_millis(1));
    let hub = Arc::new(Hub::new(config));
    ticker::start(&hub, heartbeat)?;
    let site = pages::site(Arc::clone(&hub))?;
    let site = SecurityHeaders::new(CrossOriginCheck::new(site)).with("Content-Security-Policy", pages::POLICY);
    Ok(Live { site, hub })
}

impl Live {
    /// What ends all streams when the server is about to stop: it would wait for them otherwise.
    ///
    /// What was said before is still sent. Who wants to listen afterwards gets 503.
    pub fn stopper(&self) -> impl Fn() + Send + Sync + 'static {
        let hub = Arc::downgrade(&self.hub);
        move || {
            if let Some(hub) = hub.upgrade() {
                hub.stop();
            }
        }
    }
}

impl Application for Live {
    fn call(
        &self,
        environ: &mut Environ<'_>,
        start_response: &mut dyn StartResponse,
    ) -> Result<Body, gateway_spec::Error> {
        self.site.call(environ, start_response)
    }
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").field("stats", &self.hub.stats()).finish()
    }
}
