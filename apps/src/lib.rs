//! The registry of the applications of this workspace. The program of the same name serves them: see its `--help`.
//!
//! ```
//! let entry = apps::find("hello").unwrap();
//! let made = (entry.make)(&apps::Given::default()).unwrap();
//! let mounted = apps::mounted("/x/y", made.app);
//! ```
//!
//! It needs no runner to serve an application: a `main` of one line does, and another server is another word.
//!
//! ```no_run
//! fn main() -> std::io::Result<()> {
//!     server_threaded::Server::bind("127.0.0.1:8000")?.serve(hello::app)
//! }
//! ```

mod entries;
mod entry;
mod mount;
pub mod values;

pub use entry::{Entry, Given, Made, Opt};
pub use mount::{Mount, mounted};

/// The README's code is compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

#[cfg(doctest)]
#[doc = include_str!("../../docs/deployment.md")]
struct Deployment;

/// All applications.
#[must_use]
pub const fn all() -> &'static [Entry] {
    entries::ALL
}

/// The application of a name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Entry> {
    all().iter().find(|entry| entry.name == name)
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

    #[test]
    fn at_most_one_option_stands_alone() {
        for entry in all() {
            let alone = entry.options.iter().filter(|option| option.positional);
            assert!(
                alone.clone().count() <= 1 && alone.clone().all(|option| !option.value.is_empty()),
                "{}",
                entry.name
            );
        }
    }
}
