//! The applications in a browser: headless Chromium against the real program, on every server. See `README.md`.

mod browser;
mod inspect;
mod links;
mod live;
#[path = "../runner/process.rs"]
#[allow(dead_code, reason = "the tests of the runner use more of it")]
mod process;
mod upload;
mod webdriver;

use process::{Runner, listed};

/// Serves an application with a server on a free port, with options of its own, and gives it with its URL, which ends in
/// a slash.
fn serve(app: &str, server: &str, options: &[&str]) -> (Runner, String) {
    let runner = Runner::start(&[&[app, "--server", server, "--bind", "127.0.0.1:0"], options].concat());
    let url = runner.greeting.split(": ").last().expect("a URL").to_owned();
    (runner, url)
}

/// The names of all servers.
fn servers() -> Vec<String> {
    let servers = listed("Servers:");
    assert!(!servers.is_empty());
    servers
}
