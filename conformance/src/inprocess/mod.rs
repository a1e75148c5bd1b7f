//! The in-process server: a server without sockets, and a test client for people who write applications.
//!
//! It keeps the whole contract (order of calls, lengths, closing, errors, panics) and leaves out the wire, so a test of
//! an application needs no port and no thread, and sees what no socket shows: the blocks as they were yielded, the log,
//! whether the body was closed.
//!
//! ```
//! use conformance::inprocess::Client;
//! use gateway_spec::{Environ, Error, StartResponse, Status};
//!
//! fn app(environ: &mut Environ, start_response: &mut dyn StartResponse) -> Result<String, Error> {
//!     let name = environ.header("X-Name").ok_or("no name")?.to_string_lossy().into_owned();
//!     start_response.start(Status::OK, &[("Content-Type", "text/plain")])?;
//!     Ok(format!("Hello, {name} of {}!", environ.path_info().to_str()?))
//! }
//!
//! let client = Client::new(app);
//! let response = client.get("/wonderland").header("X-Name", "Alice").send();
//! assert_eq!((response.status, response.text().as_str()), (200, "Hello, Alice of /wonderland!"));
//! assert_eq!(response.header("content-length"), Some("28"));
//!
//! let response = client.get("/").send();
//! assert_eq!(response.status, 500);
//! assert!(response.log.contains("no name"));
//! ```

mod client;
mod cookies;
mod exchange;
mod input;
mod reply;
mod request;
mod response;
#[cfg(test)]
mod tests;

pub use client::Client;
pub use request::RequestBuilder;
pub use response::{Framing, Pulled, Response, Stream};
