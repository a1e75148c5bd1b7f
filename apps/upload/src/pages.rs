//! What is answered at which path.

use std::io::{BufRead, ErrorKind, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use framework_mini::{
    App, Asset, BodyReader, Error, File, FromRequest, IntoResponse, Json, Multipart, Page, Path, PathBytes, Query,
    Redirect, Request, Response, Site, State, Status, Templates, Urls, safe_file_name,
};

use crate::size;
use crate::store::{Arrived, Entry, Store};

/// The page's own style and script, and nothing else: whatever gets into the page otherwise has no effect.
pub(crate) const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; \
     form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// For files: should a browser show one all the same, then without scripts and as from nowhere.
const SANDBOX: &str = "sandbox; default-src 'none'";

/// How many files the page shows.
const SHOWN: usize = 1000;

/// What all handlers share.
pub(crate) struct Shared {
    store: Store,
    max_size: u64,
}

pub(crate) fn site(store: Store, max_size: u64) -> Result<Site<Shared>, Error> {
    let templates = Templates::embedded([
        ("base.html", include_str!("../assets/base.html")),
        ("page.html", include_str!("../assets/page.html")),
        ("error.html", include_str!("../assets/error.html")),
    ])?;
    let app = App::new(Shared { store, max_size })
        .templates(templates)
        .stream_limit(max_size)
        .on_error(error)
        .get("/", page)
        .name("page")
        .post("/upload", upload)
        .name("upload")
        .put("/raw/{*name}", put)
        .get("/files/{name}", file)
        .name("file")
        .delete("/files/{name}", delete)
        .post("/files/{name}/delete", delete)
        .name("delete")
        .get("/upload.css", || Asset::new("upload.css", include_bytes!("../assets/upload.css")))
        .get("/upload.js", || Asset::new("upload.js", include_bytes!("../assets/upload.js")));
    Ok(app.build()?)
}

/// What has just happened, for the page: numbers only, so that no link can put words into its mouth.
#[derive(serde::Deserialize)]
struct Done {
    added: Option<u32>,
    deleted: Option<u32>,
}

/// What the template shows.
#[derive(serde::Serialize)]
struct Values {
    files: Vec<Shown>,
    count: usize,
    /// How many of them, the first, are new.
    added: u32,
    deleted: u32,
    total: String,
    max_size: u64,
    max_text: String,
    base: String,
}

#[derive(serde::Serialize)]
struct Shown {
    name: String,
    size: String,
    bytes: u64,
    /// As HTTP writes it, which scripts read, and the part of it that people do.
    date: Option<String>,
    short_date: Option<String>,
}

impl From<Entry> for Shown {
    fn from(Entry { name, size, modified }: Entry) -> Self {
        let date = date(modified);
        let short_date = date.as_ref().map(|date| format!("{}, {}", &date[5..16], &date[17..22]));
        Self { name, size: size::text(size), bytes: size, date, short_date }
    }
}

/// A time as HTTP writes it; `None` before 1970 and from the year 10000 on, for which HTTP has no date, though a file may.
fn date(time: SystemTime) -> Option<String> {
    const YEAR_10_000: Duration = Duration::from_secs(253_402_300_800);
    time.duration_since(UNIX_EPOCH).ok().filter(|since| *since < YEAR_10_000)?;
    Some(httpdate::fmt_http_date(time))
}

fn page(State(shared): State<Shared>, Base(base): Base, Query(done): Query<Done>) -> Result<Response, Error> {
    let files = shared.store.list()?;
    let values = Values {
        count: files.len(),
        added: done.added.unwrap_or(0),
        deleted: done.deleted.unwrap_or(0),
        total: size::text(files.iter().map(|file| file.size).sum()),
        files: files.into_iter().take(SHOWN).map(Shown::from).collect(),
        max_size: shared.max_size,
        max_text: size::text(shared.max_size),
        base,
    };
    Ok(Page::new("page.html", values).into_response().with_header("Cache-Control", "no-store"))
}

/// The URL of this application, without a slash at its end.
struct Base(String);

impl<S> FromRequest<S> for Base {
    fn from_request(request: &mut Request<S>) -> Result<Self, Error> {
        Ok(Self(request.environ().application_url().trim_end_matches('/').to_owned()))
    }
}

/// Whether the client is a browser that shows what it gets, rather than a program.
fn wants_page<S>(request: &Request<S>) -> bool {
    request.prefers(&["application/json", "text/html"]) == Some("text/html")
}

struct WantsPage(bool);

impl<S> FromRequest<S> for WantsPage {
    fn from_request(request: &mut Request<S>) -> Result<Self, Error> {
        Ok(Self(wants_page(request)))
    }
}

/// A file that was stored, as programs are told.
#[derive(serde::Serialize)]
struct Stored {
    name: String,
    size: u64,
    url: String,
}

/// All files of a form, or none: what is there when one of them is cut is not stored, so that the form can be sent again.
fn upload(
    State(shared): State<Shared>,
    WantsPage(page): WantsPage,
    urls: Urls,
    mut form: Multipart,
) -> Result<Response, Error> {
    let mut arrived = Vec::new();
    while let Some(mut part) = form.next_part()? {
        // Fields that are no files mean nothing here, and neither does the field of a form in which no file was chosen.
        if let Some(name) = part.safe_file_name() {
            arrived.push((receive(&shared.store, &mut part)?, name));
        }
    }
    if arrived.is_empty() {
        return Err(Error::unprocessable("There is no file in the form: choose one, or more."));
    }
    let stored = keep(&shared.store, arrived, &urls)?;
    if page {
        return Ok(Redirect::route("page", &[("added", &stored.len())]).into_response());
    }
    let first = stored[0].url.clone();
    Ok(Response::created(first, Json(stored)))
}

/// The request body as a file of this name.
fn put(
    State(shared): State<Shared>,
    PathBytes(name): PathBytes,
    urls: Urls,
    mut body: BodyReader,
) -> Result<Response, Error> {
    let arrived = receive(&shared.store, &mut body)?;
    let stored = keep(&shared.store, vec![(arrived, safe_file_name(&String::from_utf8_lossy(&name)))], &urls)?;
    Ok(Response::created(stored[0].url.clone(), Json(stored)))
}

/// Writes down what arrives.
fn receive(store: &Store, body: &mut impl BufRead) -> Result<Arrived, Error> {
    let mut incoming = store.receive().map_err(not_stored)?;
    loop {
        let block = body.fill_buf()?;
        if block.is_empty() {
            return Ok(incoming.complete());
        }
        let length = block.len();
        incoming.write_all(block).map_err(not_stored)?;
        body.consume(length);
    }
}

/// Gives all their names, or none.
fn keep(store: &Store, arrived: Vec<(Arrived, String)>, urls: &Urls) -> Result<Vec<Stored>, Error> {
    let mut stored: Vec<Stored> = Vec::new();
    for (arrived, name) in arrived {
        let size = arrived.size();
        match store.keep(arrived, &name) {
            Ok(name) => {
                let url = urls.url_for("file", &[("name", &name)])?.to_string();
                stored.push(Stored { name, size, url });
            }
            Err(error) => {
                // What cannot be removed again is there, and was not asked for; it is in the list.
                stored.iter().for_each(|stored| drop(store.remove(&stored.name)));
                return Err(not_stored(error));
            }
        }
    }
    Ok(stored)
}

/// An error of our own files, as far as the client is told.
fn not_stored(error: std::io::Error) -> Error {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            Error::new(Status::INSUFFICIENT_STORAGE, "There is no room left for it.").because(error)
        }
        _ => error.into(),
    }
}

/// Always to be saved: a page that a stranger has sent must not act in the name of this site.
fn file(State(shared): State<Shared>, Path(name): Path<String>) -> Result<Response, Error> {
    let file = File::within(shared.store.folder(), &name)?.download(&name);
    Ok(file.into_response().with_header("Content-Security-Policy", SANDBOX).with_header("Cache-Control", "no-cache"))
}

fn delete(
    State(shared): State<Shared>,
    WantsPage(page): WantsPage,
    Path(name): Path<String>,
) -> Result<Response, Error> {
    match shared.store.remove(&name) {
        Ok(()) if page => Ok(Redirect::route("page", &[("deleted", &1)]).into_response()),
        Ok(()) => Ok(Status::NO_CONTENT.into_response()),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(Error::not_found()),
        Err(error) => Err(error.into()),
    }
}

/// What the page of an error shows; programs get the same as JSON.
#[derive(serde::Serialize)]
struct Problem {
    title: String,
    status: u16,
    detail: String,
}

fn error(request: &mut Request<Shared>, error: &Error) -> Response {
    let (status, shared) = (error.status(), request.state());
    // A form can also have too many parts; of the body as a whole the framework tells the name of its own setting.
    let too_large = *status == Status::CONTENT_TOO_LARGE && error.message().starts_with("The request body");
    let detail = match too_large {
        true => format!("At most {} can be sent at once.", size::text(shared.max_size)),
        false => error.message().to_owned(),
    };
    let sent = matches!(request.pattern(), Some("/upload" | "/raw/{*name}"));
    let lost = sent && matches!(status.code(), 400 | 408 | 413 | 507);
    let detail = if lost { format!("{detail} Nothing of it was stored.") } else { detail };
    let problem = Problem { title: status.reason().to_owned(), status: status.code(), detail };
    let response = if wants_page(request) {
        Page::new("error.html", problem).into_response()
    } else if request.prefers(&["text/plain", "application/json", "application/problem+json"]) == Some("text/plain") {
        format!("{status}\n{}\n", problem.detail).into_response()
    } else {
        Json(problem).into_response().with_header("Content-Type", "application/problem+json")
    };
    response.with_header("Cache-Control", "no-store").with_vary("Accept")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_that_http_has() {
        let at = |seconds| date(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(784_111_777).as_deref(), Some("Sun, 06 Nov 1994 08:49:37 GMT"));
        assert_eq!(at(253_402_300_799).as_deref(), Some("Fri, 31 Dec 9999 23:59:59 GMT"));
        assert_eq!((at(253_402_300_800), date(UNIX_EPOCH - Duration::from_secs(1))), (None, None));
    }
}
