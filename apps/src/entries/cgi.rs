//! `cgi`: `apps cgi DIR` runs the scripts of a folder; without one, those that come with the application.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cgi::Config;

use crate::{Entry, Given, Made, Opt, values};

pub(crate) const ENTRY: Entry = Entry {
    name: "cgi",
    summary: "CGI scripts: any program that reads its environment and writes",
    options: OPTIONS,
    defaults: &[("access-log", "common")],
    make,
    within: |folder: &Path| Given::default().with("scripts", folder),
};

#[rustfmt::skip] // one line each, as a table
const OPTIONS: &[Opt] = &[
    Opt { name: "scripts", value: "DIR", default: "the samples", help: "the folder of scripts, for /cgi-bin/", positional: true },
    Opt { name: "documents", value: "DIR", default: "", help: "a folder whose files are served beside them", positional: false },
    Opt { name: "max-scripts", value: "N", default: "32", help: "scripts that run at once, else 503", positional: false },
    Opt { name: "timeout", value: "TIME", default: "30s", help: "how long a script may be silent, else 504 or cut", positional: false },
    Opt { name: "lifetime", value: "TIME", default: "10m", help: "how long a script may run in all", positional: false },
    Opt { name: "max-spool", value: "SIZE", default: "64MiB", help: "longest request body for a script, else 413", positional: false },
    Opt { name: "inherit", value: "NAMES", default: "PATH", help: "variables of the server that scripts get; or none", positional: false },
];

fn make(given: &Given) -> Result<Made, String> {
    let mut config = Config::new(given.path("scripts").unwrap_or_else(cgi::samples));
    if let Some(documents) = given.path("documents") {
        let served = files::app(files::Config::new(&documents)).map_err(|error| error.to_string())?;
        config.otherwise = Some(Arc::new(served));
        config.document_root = Some(documents);
    }
    if let Some(max) = given.value("max-scripts", values::count)? {
        config.max_scripts = max;
    }
    if let Some(timeout) = given.value("timeout", values::duration)? {
        config.timeout = timeout;
    }
    if let Some(lifetime) = given.value("lifetime", values::duration)? {
        config.lifetime = lifetime;
    }
    if let Some(max) = given.value("max-spool", values::size)? {
        config.max_body = max;
    }
    if let Some(names) = given.text("inherit")? {
        let names = names.split(',').map(str::trim).filter(|name| !name.is_empty() && *name != "none");
        config.inherit = names.map(str::to_owned).collect();
    }
    let scripts = config.scripts.clone();
    let app = cgi::app(config).map_err(|error| error.to_string())?;
    let shown: PathBuf = scripts.canonicalize().unwrap_or(scripts);
    Ok(Made::new(app).note(format!("running the scripts of {}", shown.display())))
}
