//! Under construction.

mod pattern;
pub mod router;
