//! One suite for every Gateway server and application.
//!
//! # What is where
//! | part | what it is |
//! |---|---|
//! | `cases/*.md` | the wire cases: what is sent, octet by octet, and what has to come back; the one statement of the HTTP rules |
//! | [`case`], [`client`], [`reply`], [`verdict`] | reads the cases, sends them in pieces, reads responses strictly, compares |
//! | [`harness`], [`suite`], [`probe`] | the one trait of a server, the run with its report, the application behind the cases |
//! | [`comparison`] | the same for a server that is not ours: a program that prints a table of what differs |
//! | [`agreement`] | what a server makes of any octets, to be compared between servers |
//! | [`fixtures`] | applications that misbehave on purpose |
//! | [`lint`] | the validator middleware, for applications' own tests and for development |
//! | [`inprocess`] | the server without a socket, and the test client for applications |
//! | [`trace`] | every requirement of `docs/spec/`, and what shows it |
//!
//! # For servers that are not ours
//! Implement [`harness::Harness`] and call [`suite::run`]; `examples/hyper.rs` and `examples/tiny_http.rs` do it for two servers.
//!
//! ```no_run
//! use conformance::{case, harness::Harness, suite};
//!
//! fn check(server: &dyn Harness) -> Result<(), Box<dyn std::error::Error>> {
//!     let cases = case::read_folder(&case::folder())?;
//!     let report = suite::run(server, &cases, suite::Options::default())?;
//!     println!("{report}");
//!     Ok(())
//! }
//! ```

pub mod agreement;
pub mod case;
pub mod client;
pub mod comparison;
pub mod fixtures;
pub mod harness;
pub mod inprocess;
pub mod lint;
pub mod probe;
pub mod reply;
pub mod suite;
pub mod trace;
pub mod verdict;

#[cfg(feature = "bench")]
pub mod load;
