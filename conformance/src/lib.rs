//! Under construction.

#[cfg(feature = "bench")]
pub mod load;
