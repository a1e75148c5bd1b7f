//! Applications around applications.

mod text;

pub use self::text::{merge_vary, printable};
