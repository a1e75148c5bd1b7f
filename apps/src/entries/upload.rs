//! `upload`: where, how much.

use crate::values::size;
use crate::{Entry, Given, Made, Opt};

#[rustfmt::skip] // one line each, as a table
pub(crate) const ENTRY: Entry = Entry {
    name: "upload",
    summary: "uploads of any size, and downloads that can be resumed",
    options: &[
        Opt { name: "folder", value: "FOLDER", default: "uploads", help: "where the files are; made if it is not there", positional: true },
        Opt { name: "max-size", value: "SIZE", default: "10GiB", help: "what can be sent at once, else 413", positional: false },
    ],
    // The application has the limit, and a page that explains it. A browser that is refused is read from for a while, so that
    // it gets to see that page.
    defaults: &[("max-body", "16TiB"), ("max-linger", "64MiB"), ("linger-timeout", "5s")],
    make,
    within: |folder| Given::default().with("folder", folder.join("uploads")),
};

fn make(given: &Given) -> Result<Made, String> {
    let folder = given.path("folder").unwrap_or_else(|| "uploads".into());
    let mut config = upload::Config::new(&folder);
    config.max_size = given.value("max-size", size)?.unwrap_or(config.max_size);
    let app = upload::app(config).map_err(|error| match error.chain().into_iter().next() {
        Some(why) => format!("--folder: {why}"),
        None => error.to_string(),
    })?;
    let place = folder.canonicalize().unwrap_or(folder);
    Ok(Made::new(app).note(format!("files are kept in {}", place.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_in_the_help_are_those_of_the_application() {
        assert_eq!(ENTRY.options[1].default, "10GiB");
        assert_eq!(size(ENTRY.options[1].default), Ok(upload::Config::new("").max_size));
    }

    #[test]
    fn a_folder_that_cannot_be_is_told() {
        let why = make(&Given::default().with("folder", "/dev/null")).err().expect("no folder");
        assert!(why.starts_with("--folder: /dev/null: "), "{why}");
    }
}
