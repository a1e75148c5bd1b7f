//! All applications, one line each. An application that can be told something has a file of its own here, with its options
//! and how they become its configuration: `pub(crate) const ENTRY: Entry = Entry { name: …, ..PLAIN }`.

mod cgi;
mod files;
mod links;
mod live;
mod upload;

use crate::{Entry, Given, Made};

/// Nothing to be told, kept or said.
pub(crate) const PLAIN: Entry = Entry {
    name: "",
    summary: "",
    options: &[],
    defaults: &[],
    make: |_| Err(String::new()),
    within: |_| Given::default(),
};

#[rustfmt::skip] // a line each, as a table; those that can be told something have a file of their own
pub(crate) const ALL: &[Entry] = &[
    Entry { name: "hello", summary: "the contract in three forms: a function, a closure, a struct", make: |_| Ok(Made::new(hello::forms())), ..PLAIN },
    Entry { name: "inspect", summary: "the request as an application sees it, as page and as JSON", make: |_| Ok(Made::new(inspect::app())), ..PLAIN },
    Entry { name: "stream", summary: "every way a response can happen, the wrong ones too", make: |_| Ok(Made::new(stream::app())), ..PLAIN },
    files::ENTRY,
    cgi::ENTRY,
    links::ENTRY,
    live::ENTRY,
    upload::ENTRY,
];
