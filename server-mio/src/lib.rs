//! A Gateway server of event loops that do not care whether the application blocks.
//!
//! ```no_run
//! use gateway_spec::{Environ, Error, StartResponse, Status};
//!
//! fn app(_: &mut Environ, start_response: &mut dyn StartResponse) -> Result<&'static str, Error> {
//!     start_response.start(Status::OK, &[("Content-Type", "text/plain")])?;
//!     Ok("Hello, World!")
//! }
//!
//! fn main() -> std::io::Result<()> {
//!     server_mio::Server::bind("127.0.0.1:8000")?.serve(app)
//! }
//! ```
//!
//! One event loop for each core calls the application itself, which costs nothing while the application is fast. When it
//! blocks (in `call`, in the iterator of the body, in reading the request, in `write`), another thread takes over the
//! loop within a few milliseconds, and at once where a request like that has blocked before, so that ordinary blocking code
//! stalls nobody else.
//!
//! All limits and deadlines are on by default; see [`Config`].
//!
//! # Where to read
//! | file | what |
//! |---|---|
//! | `server.rs` | start, the monitor that sees who blocks, shutdown |
//! | `event_loop.rs`, `event_loop/accept.rs` | what the leader of a loop works on: events, places, deadlines; who comes in |
//! | `lane.rs`, `handoff.rs`, `inbox.rs` | a loop with its threads: who leads, who stands by, what others have to say to it |
//! | `forecast.rs` | which requests have blocked before, so that the loop is handed on in time |
//! | `connection.rs`, `connection/` | one connection as a state machine: head, body, response, end |
//! | `worker.rs` | what a thread brings along to drive connections |
//! | `gateway.rs`, `gateway/` | one response: `start_response`, the body, its framing; files |
//! | `input.rs`, `park.rs` | the request body; bodies that have nothing yet |
//! | `output.rs`, `socket.rs`, `transport.rs` | what is to be sent, the stream, listeners |
//! | `clock.rs`, `timers.rs` | coarse time, how slow a peer may be, deadlines of many connections |
//! | `lock.rs` | locks that are taken for each request |
//! | `log.rs` | what the hook for access logs is told |
//! | `h1/` | HTTP/1.1: rules as functions of bytes |

mod clock;
mod config;
mod connection;
mod event_loop;
mod forecast;
mod gateway;
mod h1;
mod handoff;
mod hooks;
mod inbox;
mod input;
mod lane;
mod lock;
mod log;
mod output;
mod park;
mod server;
mod socket;
mod timers;
mod transport;
mod worker;

pub use config::Config;
pub use hooks::{Exchange, OnError, OnResponse, Stats, VerifyPeer};
pub use server::{Handle, Server};
pub use transport::{Listener, LocalAddr};
