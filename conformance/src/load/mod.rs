//! The measuring tools: a load generator, the scenarios, and servers in processes of their own.
//!
//! Nothing has to be installed. [`Load`] is one thread with an event queue that keeps many
//! connections busy and checks every answer; [`Scenario`] names the loads that are compared;
//! [`ServerProcess`] starts a server of the `report` program on loopback and asks it for the
//! processor time it used. The `report` program and `cargo bench` are made of these.
//!
//! Requests per second say little near the limit, because then the generator is what saturates.
//! **Processor time per request**, as a ratio to a bare socket loop that parses nothing, is the
//! figure to compare; it is taken over a run in which every request that was sent was answered.

mod book;
mod client;
mod exchange;
mod histogram;
mod process;
mod reader;
mod scenario;

pub use book::{book, guests};
pub use client::{Load, Measured, Until, Workload};
pub use exchange::Exchange;
pub use histogram::Histogram;
pub use process::{Memory, ServerOptions, ServerProcess, compared, pin, placement, raise_descriptor_limit};
pub use scenario::{HELLO, JSON, QUERY, SCENARIOS, SLOW, Scenario, Shape, download, upload};
