//! The runner: `cargo run --release -p apps -- inspect --server threaded`.
//!
//! Exit codes: 0 after a graceful stop; 1 if what was in flight was cut by a second signal or at the end of
//! `--shutdown-timeout`, or the server failed; 2 if it could not start.

mod access_log;
mod args;
mod inherited;
mod servers;
mod settings;
mod signals;

use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use args::Wish;
use conformance::lint::Lint;
use servers::Server;
use settings::Settings;

/// The exit code when nothing was served.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let wish = args::parse(std::env::args_os().skip(1), |name| std::env::var_os(name));
    let result = wish.and_then(|wish| match wish {
        Wish::Print(text) => {
            // Whoever asked may have read enough and gone, as `head` does.
            let _ = std::io::stdout().write_all(text.as_bytes());
            Ok(ExitCode::SUCCESS)
        }
        Wish::Serve(settings) => serve(&settings),
    });
    result.unwrap_or_else(|error| {
        say(&error);
        ExitCode::from(USAGE)
    })
}

/// Serves until a signal.
fn serve(settings: &Settings) -> Result<ExitCode, String> {
    let app = apps::find(&settings.app).ok_or_else(|| {
        let names = apps::all().iter().map(|app| app.name);
        unknown("application", &settings.app, names)
    })?;
    let server = servers::find(settings.server.as_deref()).ok_or_else(|| {
        let names = servers::ALL.iter().map(|server| server.name);
        unknown("server", settings.server.as_deref().unwrap_or_default(), names)
    })?;
    let mount = settings.mount.as_deref().unwrap_or_default();
    let made = (app.make)(&settings.given)?;
    let bound = (server.bind)(settings).map_err(|error| {
        // What is told only once, such as a new password, is told now or never.
        made.notes.iter().for_each(|note| say(note));
        error.to_string()
    })?;
    let (shutdown, on_stop) = (bound.shutdown, made.on_stop);
    let stopping_since = Arc::new(OnceLock::new());
    let noted = Arc::clone(&stopping_since);
    let finish = move || {
        noted.get_or_init(Instant::now);
        // In this order: whoever's stream ends may come back at once, and is not let in any more.
        shutdown();
        on_stop.into_iter().for_each(|stop| stop());
    };
    let cut = signals::watch(finish, bound.stop).map_err(|error| format!("cannot watch signals: {error}"))?;
    say(&format!("{} on {}", app.name, place(server, &bound.address, mount)));
    made.notes.iter().for_each(|note| say(note));
    let mut application = made.app;
    if !mount.is_empty() {
        application = Arc::new(apps::mounted(mount, application));
    }
    if let Some(proxies) = settings.trusted_proxies.clone() {
        application = Arc::new(proxies.around(application));
    }
    if let Some(severity) = settings.lint {
        application = Arc::new(Lint::new(application).up_to(severity));
    }
    let result = (bound.serve)(application);
    // A server that needs all of the time it has cuts what is left then. Without any, nothing was promised.
    let time = bound.shutdown_timeout;
    let was_late = !time.is_zero() && stopping_since.get().is_some_and(|since| since.elapsed() >= time);
    Ok(match result {
        Ok(()) if was_late || cut.load(Ordering::SeqCst) => ExitCode::from(signals::CUT),
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("the server failed: {error}"));
            ExitCode::FAILURE
        }
    })
}

/// Where to point a browser.
fn place(server: &Server, address: &str, mount: &str) -> String {
    let path = gateway_spec::percent_encode_path(mount.as_bytes());
    let url = match address.parse::<SocketAddr>() {
        Ok(address) if address.ip().is_unspecified() => {
            format!("http://localhost:{}{path}/ and every other address of this machine", address.port())
        }
        Ok(address) => format!("http://{address}{path}/"),
        Err(_) => format!("{address} (curl --unix-socket {} http://localhost{path}/)", &address["unix:".len()..]),
    };
    format!("server-{}: {url}", server.name)
}

fn unknown<'n>(what: &str, name: &str, names: impl Iterator<Item = &'n str>) -> String {
    format!("there is no {what} {name:?}, but there is {}", names.collect::<Vec<_>>().join(", "))
}

/// Tells the person who runs this; on standard error, because standard output is the access log's.
fn say(text: &str) {
    // If nobody listens, there is nobody to tell.
    let _ = writeln!(std::io::stderr().lock(), "apps: {text}");
}
