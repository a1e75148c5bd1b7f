//! A Gateway server: one thread, one connection.
//!
//! ```no_run
//! use gateway_spec::{Environ, Error, StartResponse, Status};
//!
//! fn hello(_environ: &mut Environ, start_response: &mut dyn StartResponse) -> Result<&'static str, Error> {
//!     start_response.start(Status::OK, &[("Content-Type", "text/plain")])?;
//!     Ok("Hello, World!")
//! }
//!
//! fn main() -> std::io::Result<()> {
//!     server_threaded::Server::bind("127.0.0.1:8000")?.serve(hello)
//! }
//! ```
//!
//! # How it works
//! Each connection has a thread, mostly the one that has accepted it, and blocking calls: two system calls for a request on a
//! kept connection, one that reads and one that writes. What a connection waits for is published in an atomic number,
//! and one watchdog thread ends waits that last too long. At `max_connections`, the connection that has idled for
//! longest makes room; if none idles, newcomers wait in a bounded queue and then get 503.
//!
//! Use it when requests take their time, or when connections are some hundreds. For thousands of idle ones, or the
//! last microsecond, change one word: `server_mio`.
//!
//! # Where to read
//! | file | what |
//! |---|---|
//! | `server.rs` | from `bind` to the end of a shutdown |
//! | `threads.rs`, `door.rs` | the threads, and where they wait for connections |
//! | `admission.rs`, `parting.rs` | who has a place, who waits for one, who gets none; who only has to close its side |
//! | `watchdog.rs`, `watch.rs`, `clock.rs` | deadlines, held-back answers, coarse time |
//! | `connection.rs` | one connection, from its first byte to its end |
//! | `gateway.rs`, `guard.rs` | one response: `start_response`, the body, its framing; panics |
//! | `head_cache.rs` | the response head that was sent last |
//! | `received.rs`, `input.rs` | what has arrived; the request body |
//! | `wire.rs`, `pace.rs`, `transport.rs` | reading and writing with deadlines; how slow a peer may be; sockets |
//! | `h1/` | HTTP/1.1: rules as functions of bytes |

mod admission;
mod clock;
mod config;
mod connection;
mod door;
mod gateway;
mod guard;
mod h1;
mod head_cache;
mod hooks;
mod input;
mod pace;
mod parting;
mod received;
mod server;
mod threads;
mod transport;
mod watch;
mod watchdog;
mod wire;

pub use config::Config;
pub use hooks::{Exchange, OnError, OnResponse, Stats, VerifyPeer};
pub use server::{Handle, Server};
pub use transport::{Listener, LocalAddr};
