//! `files`: `apps files DIR`, as people use `python -m http.server`.

use std::ffi::OsString;
use std::path::Path;

use files::{Config, Links};

use crate::{Entry, Given, Made, Opt};

pub(crate) const ENTRY: Entry = Entry {
    name: "files",
    summary: "a folder: listings, ranges, conditional requests",
    options: OPTIONS,
    // Who serves a folder wants to see who takes what.
    defaults: &[("access-log", "common")],
    make,
    within: |folder: &Path| Given::default().with("dir", folder),
};

#[rustfmt::skip] // one line each, as a table
const OPTIONS: &[Opt] = &[
    Opt { name: "dir", value: "DIR", default: ".", help: "the folder to serve", positional: true },
    Opt { name: "hidden", value: "", default: "", help: "serve and list names that begin with a dot", positional: false },
    Opt { name: "links", value: "WHICH", default: "inside", help: "symbolic links to follow: never, inside, everywhere", positional: false },
    Opt { name: "index", value: "NAMES", default: "index.html,index.htm", help: "what is sent for a folder, the first there is; or none", positional: false },
    Opt { name: "no-listing", value: "", default: "", help: "answer 404 for a folder without an index", positional: false },
    Opt { name: "no-precompressed", value: "", default: "", help: "do not send NAME.br or NAME.gz in place of NAME", positional: false },
    Opt { name: "cache-control", value: "VALUE", default: "no-cache", help: "the header Cache-Control of what is found; or none", positional: false },
];

fn make(given: &Given) -> Result<Made, String> {
    let root = given.raw("dir").map_or_else(|| OsString::from("."), ToOwned::to_owned);
    let mut config = Config::new(root);
    config.hidden = given.switch("hidden")?;
    config.listing = !given.switch("no-listing")?;
    config.precompressed = !given.switch("no-precompressed")?;
    if let Some(links) = given.value("links", links)? {
        config.links = links;
    }
    if let Some(names) = given.text("index")? {
        let names = names.split(',').map(str::trim).filter(|name| !name.is_empty());
        config.index = names.filter(|name| *name != "none").map(str::to_owned).collect();
    }
    if let Some(value) = given.text("cache-control")? {
        config.cache_control = (value != "none").then_some(value);
    }
    let root = config.root.clone();
    let app = files::app(config).map_err(|error| error.to_string())?;
    let shown = root.canonicalize().unwrap_or(root);
    Ok(Made::new(app).note(format!("serving {}", shown.display())))
}

fn links(text: &str) -> Result<Links, String> {
    match text {
        "never" => Ok(Links::Never),
        "inside" => Ok(Links::Inside),
        "everywhere" => Ok(Links::Everywhere),
        _ => Err(format!("{text:?} is not never, inside or everywhere")),
    }
}
