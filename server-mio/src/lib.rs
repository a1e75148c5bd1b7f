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
//! loop within about a millisecond, so that ordinary blocking code stalls nobody else.
//!
//! All limits and deadlines are on by default; see [`Config`].

mod clock;
mod config;
mod connection;
mod event_loop;
mod gateway;
mod h1;
mod handoff;
mod hooks;
mod inbox;
mod input;
mod lane;
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
