//! `links`: where its database is, and who may log in.

use std::error::Error;

use crate::{Entry, Given, Made, Opt};

use super::PLAIN;

const OPTIONS: &[Opt] = &[
    Opt {
        name: "database",
        value: "FILE",
        default: "~/.local/share/gateway-links/links.db",
        help: "the database; made if there is none",
        positional: false,
    },
    Opt {
        name: "login",
        value: "NAME",
        default: "team, if there is none",
        help: "a login; the password of a new one is printed",
        positional: false,
    },
    Opt {
        name: "password",
        value: "TEXT",
        default: "",
        help: "its password from now on; as a variable, no list of processes shows it",
        positional: false,
    },
];

pub(crate) const ENTRY: Entry = Entry {
    name: "links",
    summary: "short links for a team, with pages, search, CSV and JSON",
    options: OPTIONS,
    make,
    within: |folder| {
        let database = folder.join("links.db");
        Given::default().with("database", database).with("password", "in a test only")
    },
    ..PLAIN
};

fn make(given: &Given) -> Result<Made, String> {
    let database = given.path("database").or_else(links::default_database);
    let database = database.ok_or("there is no HOME for the database: say where by --database FILE")?;
    let config = links::Config::new(&database).login(given.text("login")?, given.text("password")?);
    let app = links::app(config).map_err(|error| match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    })?;
    let told = given.raw("password").is_some();
    let login = app.new_login().map(|login| match told {
        true => format!("log in as {} with the password given", login.name),
        false => format!("log in as {} with the password {} (printed this once)", login.name, login.password),
    });
    let made = Made::new(app).note(format!("database: {}", database.display()));
    Ok(match login {
        Some(login) => made.note(login),
        None => made,
    })
}
