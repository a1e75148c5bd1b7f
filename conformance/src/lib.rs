//! Under construction.

pub mod agreement;
pub mod case;
pub mod client;
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
