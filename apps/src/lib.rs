//! The registry of the applications of this workspace. The program of the same name serves them: see its `--help`.
//!
//! ```
//! let entry = apps::find("hello").unwrap();
//! let mounted = apps::mounted("/x/y", (entry.make)());
//! ```
//!
//! It needs no runner to serve an application: a `main` of one line does, and another server is another word.
//!
//! ```no_run
//! fn main() -> std::io::Result<()> {
//!     server_threaded::Server::bind("127.0.0.1:8000")?.serve(hello::app)
//! }
//! ```

mod mount;

use std::sync::Arc;

use gateway_spec::Application;

pub use mount::{Mount, mounted};

/// The README's code is compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

/// An application by its name.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// The name, also of its crate and folder.
    pub name: &'static str,
    /// What it is, in one line.
    pub summary: &'static str,
    /// A new one, with state of its own.
    pub make: fn() -> Arc<dyn Application>,
}

#[rustfmt::skip] // one line each, as a table
const ALL: &[Entry] = &[
    Entry { name: "hello", summary: "the contract in three forms: a function, a closure, a struct", make: || Arc::new(hello::forms()) },
    Entry { name: "inspect", summary: "the request as an application sees it, as page and as JSON", make: || Arc::new(inspect::app()) },
    Entry { name: "stream", summary: "every way a response can happen, the wrong ones too", make: || Arc::new(stream::app()) },
];

/// All applications.
#[must_use]
pub const fn all() -> &'static [Entry] {
    ALL
}

/// The application of a name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Entry> {
    ALL.iter().find(|entry| entry.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_summaries_fit_a_line() {
        for (i, entry) in all().iter().enumerate() {
            assert_eq!(find(entry.name).map(|found| found.summary), Some(entry.summary));
            assert!(all()[..i].iter().all(|other| other.name != entry.name), "{}", entry.name);
            assert!(entry.summary.len() <= 66 && !entry.summary.contains('\n'), "{}", entry.summary);
        }
    }
}
