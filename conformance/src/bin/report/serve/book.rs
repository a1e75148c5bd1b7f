//! The guest book of `/book`: the table, the question and the template that all its servers share.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use conformance::load::guests;
use framework_mini::{Error, Sqlite};

/// How many connections to the database a server keeps.
#[cfg(feature = "peers")]
pub(super) const CONNECTIONS: u32 = 8;
/// The newest entries.
pub(super) const NEWEST: &str = "SELECT name, text FROM entry ORDER BY id DESC LIMIT 20";
/// What the template is called: the end of the name turns escaping on.
pub(super) const NAME: &str = "book.html";
/// The page.
pub(super) const TEMPLATE: &str = "\
<!doctype html>
<html lang=\"en\">
<meta charset=\"utf-8\">
<title>Guest book</title>
<h1>Guest book</h1>
<form method=\"post\" action=\"book\">
<p><label>Name <input name=\"name\"></label></p>
<p><label>Text <textarea name=\"text\"></textarea></label></p>
<button>Sign</button>
</form>
{% for name, text in entries %}<p><b>{{ name }}</b>: {{ text }}</p>
{% endfor %}</html>";

static FOLDER: OnceLock<PathBuf> = OnceLock::new();

/// Makes a database of this process, with all guests in it.
pub(super) fn database() -> Result<Sqlite, Error> {
    let folder = std::env::temp_dir().join(format!("gateway-book-{}", std::process::id()));
    std::fs::create_dir(&folder)?;
    let folder = FOLDER.get_or_init(|| folder);
    let table = "CREATE TABLE entry (id INTEGER PRIMARY KEY, name TEXT NOT NULL, text TEXT NOT NULL)";
    let db = Sqlite::open(path(folder))?.migrate(&[table])?;
    db.write(|db| {
        let mut insert = db.prepare("INSERT INTO entry (name, text) VALUES (?, ?)")?;
        for guest in guests() {
            insert.execute(guest)?;
        }
        Ok(())
    })?;
    Ok(db)
}

/// The same for servers that open it themselves.
#[cfg(feature = "peers")]
pub(super) fn database_file() -> io::Result<PathBuf> {
    drop(database().map_err(|error| io::Error::other(error.to_string()))?);
    FOLDER.get().map(|folder| path(folder)).ok_or_else(|| io::Error::other("no database"))
}

fn path(folder: &Path) -> PathBuf {
    folder.join("guests.db")
}

/// Removes the database, before the process ends.
pub(super) fn remove() -> io::Result<()> {
    FOLDER.get().map_or(Ok(()), std::fs::remove_dir_all)
}
