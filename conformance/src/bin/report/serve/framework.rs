//! The bench application by framework-mini.

use std::io;
use std::sync::LazyLock;
use std::thread;

use bytes::Bytes;
use conformance::load::{Shape, download};
use framework_mini::{App, Body, Error, File, Json, Page, Response, Sqlite, State, Templates, context};
use gateway_spec::Application;

use super::{Settings, book, site};

/// The application; with a database only where one will be asked for.
pub(super) fn app(settings: &Settings) -> io::Result<impl Application + use<>> {
    build(settings).map_err(|error| io::Error::other(error.to_string()))
}

fn build(settings: &Settings) -> Result<impl Application + use<>, Error> {
    let db = match settings.scenario.shape {
        Shape::Book => book::database()?,
        _ => Sqlite::memory()?,
    };
    let templates = Templates::embedded([(book::NAME, book::TEMPLATE)])?;
    let site = App::new(db)
        .templates(templates)
        .get("/plaintext", || "Hello, World!")
        .get("/json", || Json(site::Message::HELLO))
        .post("/echo", |body: Bytes| binary(body))
        .get("/download", || {
            static DOWNLOAD: LazyLock<Bytes> = LazyLock::new(|| Bytes::from_owner(download()));
            binary(DOWNLOAD.clone())
        })
        .get("/file", || File::open(site::file()?))
        .get("/query", || {
            thread::sleep(site::QUERY);
            "Hello, World!"
        })
        .get("/slow", || {
            thread::sleep(site::SLOW);
            "Hello, World!"
        })
        .get("/book", show)
        .build()?;
    Ok(site)
}

fn show(State(db): State<Sqlite>) -> Result<Page, Error> {
    let entries: Vec<(String, String)> = db.all(book::NEWEST, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(Page::new(book::NAME, context! { entries }))
}

fn binary(body: impl Into<Body>) -> Response {
    Response::new(body).with_header("Content-Type", "application/octet-stream")
}
