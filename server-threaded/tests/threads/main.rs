//! What only threads make true: admission, deadlines, panics, descriptors, shutdown.
//!
//! Through the public API, with clients that speak bytes. Deadlines of the servers are short, so that tests wait for
//! them; a wait of a test ([`support::PATIENCE`]) is long, so that no verdict depends on how busy the machine is.

mod addresses;
mod bodies;
mod client;
mod connections;
#[cfg(target_os = "linux")]
mod descriptors;
mod drips;
mod full_house;
mod hooks;
mod panics;
mod shutdown;
mod support;
