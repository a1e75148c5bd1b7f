//! The contract, from the server's side: applications that misbehave on purpose, on every server. Verdicts come from
//! the clauses named at each test, never from what a server did.

#[path = "../support/mod.rs"]
mod support;

mod bodies;
mod calls;
mod files;
mod heads;
mod input;
mod lengths;
mod order;
mod scripts;

/// What the tests share.
mod prelude {
    pub(crate) use std::sync::Arc;
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
    pub(crate) use std::thread;
    pub(crate) use std::time::{Duration, Instant};

    pub(crate) use conformance::fixtures::{
        Counter, PATIENCE, Script, Step, fail, forever, gone_probe, input_probe, meeting, panics, restart,
        restart_with, start, start_with, wiping, writes, yields,
    };
    pub(crate) use gateway_spec::{Application, Body, Environ, Error, StartResponse, Status, app_fn};

    pub(crate) use crate::support::{Answer, Ask, Framing, InProcess, Server, Site, on_every_server, on_server};
    pub(crate) use crate::{fails, is_cut, site};
}

use prelude::*;

pub(crate) fn site(server: &dyn Server, app: impl Application + 'static) -> Box<dyn Site> {
    server.start(Arc::new(app))
}

/// A script that breaks the contract before anything was sent: 500, the rule in the log, and the next request is served,
/// by the same answer (GW-REF-05).
#[track_caller]
pub(crate) fn fails(server: &dyn Server, script: Script, rule: &str) {
    let (returned, closed) = (script.returned(), script.closed());
    let site = site(server, script);
    let first = site.ask(&Ask::get("/")).is_failure(500).clone();
    site.must_log(rule);
    let second = site.ask(&Ask::get("/")).is_failure(500).clone();
    let names = |answer: &Answer| answer.headers.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!((names(&first), first.body), (names(&second), second.body));
    drop(site);
    assert_eq!(closed.count(), returned.count(), "close() exactly once for each body (GW-ITER-09)");
}

/// A script that fails after it has sent `text`: the answer is cut, the message is in the log, the body is closed once.
#[track_caller]
pub(crate) fn is_cut(server: &dyn Server, script: Script, text: &str, message: &str) {
    let (returned, closed) = (script.returned(), script.closed());
    let site = site(server, script);
    site.ask(&Ask::get("/")).is_cut(200, text);
    site.must_log(message);
    drop(site);
    assert_eq!(closed.count(), returned.count(), "close() exactly once for each body (GW-ITER-08)");
}
