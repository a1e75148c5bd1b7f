//! What only threads make true: admission, deadlines, panics, descriptors, shutdown.
//!
//! Through the public API, with clients that speak bytes. Deadlines of the servers are short, so that tests wait for
//! them; a wait of a test ([`support::PATIENCE`]) is long, so that no verdict depends on how busy the machine is.
//!
//! `server-mio` runs the same files (its `tests/behaviour`): the word `server` is all that differs.

extern crate server_threaded as server;

mod addresses;
mod bodies;
mod client;
mod connections;
#[cfg(target_os = "linux")]
mod descriptors;
mod drips;
mod endings;
mod full_house;
mod hooks;
mod kept;
mod listener;
mod panics;
mod repeated;
mod settings;
mod shutdown;
mod support;
#[cfg(target_os = "linux")]
mod wanting;

/// Whether this is how many threads there may be when so many connections are open.
fn has_threads_for(connections: usize, threads: usize) -> bool {
    threads == connections + 1 // one waits at the door
}

/// Settings with which all clients are in one queue: any, on this server.
fn one_house(config: server::Config) -> server::Config {
    config
}

/// A setting that this server alone has, and a value that makes no sense.
const OWN_SETTING: (&str, fn(&mut server::Config)) = ("stack_size", |config| config.stack_size = 1000);

/// The numbers and times that this server alone has.
const OWN_ENDS: &[settings::Ends] = settings::ends! {
    stack_size: Refused, Refused;
};
