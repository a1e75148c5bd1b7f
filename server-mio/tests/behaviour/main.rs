//! The tests of `server-threaded` again, on this server: what a client and an operator see is the same.
//!
//! The word `server` below is all that differs; the sources are shared.

extern crate server_mio as server;

#[path = "../../../server-threaded/tests/threads/addresses.rs"]
mod addresses;
#[path = "../../../server-threaded/tests/threads/bodies.rs"]
mod bodies;
#[path = "../../../server-threaded/tests/threads/client.rs"]
mod client;
#[path = "../../../server-threaded/tests/threads/connections.rs"]
mod connections;
#[cfg(target_os = "linux")]
#[path = "../../../server-threaded/tests/threads/descriptors.rs"]
mod descriptors;
#[path = "../../../server-threaded/tests/threads/drips.rs"]
mod drips;
#[path = "../../../server-threaded/tests/threads/endings.rs"]
mod endings;
#[path = "../../../server-threaded/tests/threads/full_house.rs"]
mod full_house;
#[path = "../../../server-threaded/tests/threads/hooks.rs"]
mod hooks;
#[path = "../../../server-threaded/tests/threads/kept.rs"]
mod kept;
#[path = "../../../server-threaded/tests/threads/panics.rs"]
mod panics;
#[path = "../../../server-threaded/tests/threads/repeated.rs"]
mod repeated;
#[path = "../../../server-threaded/tests/threads/settings.rs"]
mod settings;
#[path = "../../../server-threaded/tests/threads/shutdown.rs"]
mod shutdown;
#[path = "../../../server-threaded/tests/threads/support.rs"]
mod support;

/// Whether this is how many threads there may be for so many connections that ask: two for each loop, and two for each
/// connection: one in the application, which seemed to block, and one that has come back and does not stand by yet.
fn has_threads_for(connections: usize, threads: usize) -> bool {
    let loops = server::Server::builder().threads;
    (1..=2 * (loops + connections)).contains(&threads)
}

/// Settings with which all clients are in one queue: each loop makes room among its own connections first.
fn one_house(mut config: server::Config) -> server::Config {
    config.threads = 1;
    config
}

/// A setting that this server alone has, and a value that makes no sense.
const OWN_SETTING: (&str, fn(&mut server::Config)) = ("threads", |config| config.threads = 0);

/// The numbers and times that this server alone has.
const OWN_ENDS: &[settings::Ends] = settings::ends! {
    threads: Refused, Refused;
    max_threads: Serves, Serves;
    body_buffer: Serves, Serves;
};
