//! Runs CGI scripts (RFC 3875), any program that reads its environment and writes an answer, without trusting it further
//! than it must.
//!
//! ```no_run
//! # fn main() -> std::io::Result<()> {
//! let app = cgi::app(cgi::Config::new("cgi-bin"))?;
//! // server_mio::Server::bind("127.0.0.1:8000")?.serve(app); GET /cgi-bin/hello.sh/extra/path?query
//! # drop(app); Ok(()) }
//! ```
//!
//! # A request
//! 1. The path is looked up below the folder of scripts, whose names are never given to a shell.
//! 2. The body is spooled to a file without a name. So a slow client holds no script, `CONTENT_LENGTH` is true for chunked
//!    bodies too, and a body that breaks starts nothing.
//! 3. The script runs in its folder, in a process group of its own, with the variables of the request and nothing else of
//!    the server's environment but [`Config::inherit`]. What it writes to standard error goes to the log.
//! 4. Its header decides: a document is streamed as it comes; a local redirect is answered here; a broken header is a 502.
//! 5. When the client goes, or time is up, the whole group is terminated, and half a second later killed.
//!
//! # Where RFC 3875 leaves a choice
//! Scripts that speak HTTP themselves (`nph-`) are not run (501): an application here has no raw connection to give away.
//! A query without `=` does not become command-line arguments: scripts have been taken over that way. An absent
//! `Content-Type` is not guessed. `Authorization` is not passed on, and a request header `Proxy` never becomes a variable.

mod head;
mod index;
mod log;
mod minder;
mod output;
mod run;
mod script;
mod spool;
mod variables;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use framework_mini::{Error, IntoResponse, Response, Status};
use gateway_spec::{Application, Body, Environ, Input, StartResponse, percent_decode};

use head::{Document, Reply};
use log::Log;
use run::Run;
use script::{Script, Target};

/// What to run, and within which limits. Made with [`Config::new`], then field by field.
#[derive(Clone)]
#[non_exhaustive]
pub struct Config {
    /// The folder of scripts. Those in folders below it are run too; no link leads out of it.
    pub scripts: PathBuf,
    /// The path of the folder in URLs, below where the application is mounted. Default: `/cgi-bin`.
    pub prefix: String,
    /// `DOCUMENT_ROOT`, and where `PATH_TRANSLATED` points below. Default: none, and neither is set.
    pub document_root: Option<PathBuf>,
    /// What answers all other paths. Default: a page at `/` that names the scripts, and 404.
    pub otherwise: Option<Arc<dyn Application>>,
    /// Variables of the server's own environment that scripts get. Default: `PATH`.
    pub inherit: Vec<String>,
    /// Variables that scripts get in addition. Those of the request go over them.
    pub env: Vec<(String, String)>,
    /// How many scripts run at once; more requests get 503. Default: 32.
    pub max_scripts: usize,
    /// How long a script may be silent while its output is waited for, and run on after that has ended. Default: 30 s.
    pub timeout: Duration,
    /// How long a script may run, whatever it does. Default: 10 minutes.
    pub lifetime: Duration,
    /// The longest request body, which is kept on disk while the script runs; 413 beyond. Default: 64 MiB.
    pub max_body: u64,
}

/// How many local redirects may follow one another.
const MAX_REDIRECTS: usize = 10;
/// The longest header of a script, in bytes.
const MAX_HEAD: usize = 64 * 1024;

impl Config {
    /// A folder of scripts, and the defaults.
    pub fn new(scripts: impl Into<PathBuf>) -> Self {
        Self {
            scripts: scripts.into(),
            prefix: "/cgi-bin".to_owned(),
            document_root: None,
            otherwise: None,
            inherit: vec!["PATH".to_owned()],
            env: Vec::new(),
            max_scripts: 32,
            timeout: Duration::from_secs(30),
            lifetime: Duration::from_secs(600),
            max_body: 64 << 20,
        }
    }
}

/// The scripts that come with this crate, to try and to copy from. They are in its source folder.
#[must_use]
pub fn samples() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/cgi-bin"))
}

/// The application.
///
/// # Errors
/// If the folder of scripts does not exist or is none; if the prefix does not begin with `/`; if [`Config::env`] has what
/// cannot be a variable.
pub fn app(config: Config) -> io::Result<impl Application + 'static> {
    let invalid = |what: String| io::Error::new(io::ErrorKind::InvalidInput, what);
    let explain =
        |error: io::Error| io::Error::new(error.kind(), format!("cannot run scripts of {:?}: {error}", config.scripts));
    let scripts = config.scripts.canonicalize().map_err(explain)?;
    if !scripts.is_dir() {
        return Err(explain(io::ErrorKind::NotADirectory.into()));
    }
    let prefix = config.prefix.trim_end_matches('/').to_owned();
    if !prefix.is_empty() && !prefix.starts_with('/') {
        return Err(invalid(format!("the prefix {prefix:?} does not begin with /")));
    }
    if let Some((name, _)) = config.env.iter().find(|(name, value)| !variables::is_sound(name, value.as_bytes())) {
        return Err(invalid(format!("{name:?} cannot be a variable")));
    }
    let document_root = config.document_root.as_ref().map(std::path::absolute).transpose()?;
    let config = Config { scripts, prefix, document_root, ..config };
    let places = Arc::new(Places { taken: Mutex::new(0), freed: Condvar::new(), max: config.max_scripts });
    Ok(Cgi { config, places })
}

struct Cgi {
    config: Config,
    places: Arc<Places>,
}

/// What a script was asked for, and what came of it.
enum Outcome {
    Body(Body),
    /// The path and query to go on with.
    Redirect(String),
}

impl Application for Cgi {
    fn call(
        &self,
        environ: &mut Environ<'_>,
        start_response: &mut dyn StartResponse,
    ) -> Result<Body, gateway_spec::Error> {
        let mount = environ.script_name().to_string_lossy().into_owned();
        for _ in 0..=MAX_REDIRECTS {
            let script = match script::find(&self.config, &environ.raw_path_info()) {
                _ if matches!(environ.method(), "CONNECT" | "TRACE") => {
                    let error = Error::new(Status::METHOD_NOT_ALLOWED, "Scripts are not asked in this way.");
                    let error = error.with_header("Allow", "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT");
                    return page(error, environ, start_response);
                }
                Target::Script(script) => script,
                Target::Elsewhere => return self.otherwise(environ, start_response),
                Target::Missing => return page(Error::not_found(), environ, start_response),
                Target::Refused(status, why) => return page(Error::new(status, why), environ, start_response),
            };
            let location = match self.run(&script, environ, start_response) {
                Ok(Outcome::Body(body)) => return Ok(body),
                Ok(Outcome::Redirect(location)) => location,
                Err(Failure::Answer(error)) => return page(error, environ, start_response),
                Err(Failure::Pass(error)) => return Err(error),
            };
            if !redirect(environ, &mount, &location)? {
                // Another application's place: only the client can go there. It stays on this host.
                let location = format!("/{}", location.trim_start_matches(['/', '\\']));
                let response = Status::FOUND.into_response().with_header("Location", location);
                return response.answer(environ, start_response, Error::page);
            }
        }
        let error = Error::new(Status::BAD_GATEWAY, "The scripts send each other round in circles.")
            .because(format!("more than {MAX_REDIRECTS} local redirects"));
        page(error, environ, start_response)
    }
}

/// Why there is no body.
enum Failure {
    /// It is to be answered with a page.
    Answer(Error),
    /// It is the server's to answer, or nobody waits for an answer.
    Pass(gateway_spec::Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Answer(error)
    }
}

impl Cgi {
    fn run(
        &self,
        script: &Script,
        environ: &mut Environ<'_>,
        start_response: &mut dyn StartResponse,
    ) -> Result<Outcome, Failure> {
        let log = Log::new(environ.errors(), script);
        // A first look, so that nobody uploads for nothing; the place is taken when the body is there.
        drop(self.places.wait().ok_or_else(busy)?);
        let body = spool::spool(environ, self.config.max_body)?;
        let variables = variables::of(environ, &self.config, script, body.as_ref().map(|(_, length)| *length))?;
        let place = self.places.take().ok_or_else(busy)?;
        let stdin = body.map(|(file, _)| file);
        // Nobody waits for the answer after that.
        let end = environ.deadline();
        let mut run = Run::start(&self.config, script, variables, stdin, end, place, log.clone())
            .map_err(|error| Error::internal(format!("{}: {error}", script.file.display())))?;

        let (head, rest) = run.read_head(|| environ.client_gone())?;
        let reply = head::parse(&head).map_err(|why| broken(script, &why))?;
        match reply {
            Reply::Redirect { location, dropped } => {
                if dropped > 0 {
                    log.line("a local redirect has other fields; they are not sent");
                }
                run.finish();
                Ok(Outcome::Redirect(location))
            }
            Reply::Document(Document { status, headers }) => {
                let no_content = environ.method() == "HEAD" || status.forbids_content();
                let headers: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
                let declared = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
                let declared = declared.and_then(|(_, value)| gateway_spec::digits(value.as_bytes()));
                start_response.start(status, &headers).map_err(Failure::Pass)?;
                if no_content || declared == Some(0) {
                    // Nobody would ask such a body for a block, and so it would not know that nothing is missing. The script
                    // may go on with its work; what it writes is read and thrown away (CGI-METH-04, CGI-RSP-34).
                    run.release();
                    return Ok(Outcome::Body(Body::empty()));
                }
                Ok(Outcome::Body(output::body(run, rest, declared)))
            }
        }
    }

    fn otherwise(
        &self,
        environ: &mut Environ<'_>,
        start_response: &mut dyn StartResponse,
    ) -> Result<Body, gateway_spec::Error> {
        match &self.config.otherwise {
            Some(application) => application.call(environ, start_response),
            None => index::respond(environ, &self.config).answer(environ, start_response, Error::page),
        }
    }
}

fn page(
    error: Error,
    environ: &mut Environ<'_>,
    start_response: &mut dyn StartResponse,
) -> Result<Body, gateway_spec::Error> {
    error.into_response().answer(environ, start_response, |error, environ| -> Response {
        error.page(environ).with_header("Cache-Control", "no-store")
    })
}

fn busy() -> Error {
    Error::new(Status::SERVICE_UNAVAILABLE, "Too many scripts run at once. Please try again.")
        .with_header("Retry-After", "2")
}

/// 502: the script has answered, and nobody can tell what.
fn broken(script: &Script, why: &str) -> Error {
    Error::new(Status::BAD_GATEWAY, "The script gave no proper answer.")
        .because(format!("{}: {why}", script.file.display()))
}

/// Makes the request one for another path (CGI-RSP-18, CGI-RSP-19): a `GET` without a body. Whether it is ours.
fn redirect(environ: &mut Environ<'_>, mount: &str, location: &str) -> Result<bool, gateway_spec::Error> {
    let (path, query) = location.split_once('?').unwrap_or((location, ""));
    let path = percent_decode(path).ok_or("a local redirect with a broken escape")?.into_owned();
    if environ.method() != "HEAD" {
        environ.set("REQUEST_METHOD", "GET");
    }
    environ.remove("CONTENT_LENGTH");
    environ.remove("CONTENT_TYPE");
    environ.set_input(Input::empty());
    environ.set("QUERY_STRING", query);
    environ.set("SCRIPT_NAME", "");
    environ.set("PATH_INFO", path);
    Ok(environ.mount(mount))
}

/// The scripts that may run at once.
struct Places {
    taken: Mutex<usize>,
    freed: Condvar,
    max: usize,
}

/// One of the places, free again when dropped.
struct Place(Arc<Places>);

/// How long a request waits for a place: long enough for a script that has answered to end.
const WAIT: Duration = Duration::from_millis(250);

impl Places {
    /// Waits until a place is free, not for long; gives how many are taken, if so.
    fn wait(&self) -> Option<MutexGuard<'_, usize>> {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let (taken, _) = (self.freed.wait_timeout_while(taken, WAIT, |taken| *taken >= self.max))
            .unwrap_or_else(PoisonError::into_inner);
        (*taken < self.max).then_some(taken)
    }

    fn take(self: &Arc<Self>) -> Option<Place> {
        *self.wait()? += 1;
        Some(Place(Arc::clone(self)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        *self.0.taken.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
#[path = "../../testing.rs"]
mod testing;

#[cfg(test)]
mod tests {
    use super::testing::{Ask, ask, get};
    use super::*;

    /// No answer is missed, and it is no error that a server would tell of.
    #[test]
    fn a_client_that_has_gone_is_no_news() {
        let scripts = concat!(env!("CARGO_MANIFEST_DIR"), "/../../conformance/tests/apps/scripts");
        let app = app(Config::new(scripts)).unwrap();
        let answer = ask(&app, "/cgi-bin/silent.sh", &Ask { gone: true, ..Ask::default() });
        assert_eq!((answer.status, answer.header("Cache-Control")), (499, Some("no-store")));
        assert_eq!(answer.failed, None);
    }

    #[test]
    fn no_limit_is_a_limit_too() {
        let app = app(Config { timeout: Duration::MAX, lifetime: Duration::MAX, ..Config::new(samples()) }).unwrap();
        assert_eq!(get(&app, "/cgi-bin/hello.sh").text(), "Hello, World!\n");
    }
}
