//! Serves a folder: what `python -m http.server` is used for, done so that it may stand on a network.
//!
//! ```no_run
//! # fn main() -> std::io::Result<()> {
//! let app = files::app(files::Config::new("."))?;
//! // server_mio::Server::bind("127.0.0.1:8000")?.serve(app)
//! # drop(app); Ok(()) }
//! ```
//!
//! | request | answer |
//! |---|---|
//! | a file | it, with type, validators, conditions, ranges, and `.br` or `.gz` siblings |
//! | a folder with a slash at its end | its `index.html` or `index.htm`, else a listing |
//! | a folder without it, or a path with empty segments | 301 to the path as it should be, on this host |
//! | anything else there is (a FIFO, a device), and what there is not | 404; nothing is opened |
//! | a name that begins with a dot, a link that leads out of the folder | 404, unless [`Config`] says otherwise |
//! | another method than `GET`, `HEAD`, `OPTIONS` | 405, or 501 if nobody knows it |

mod display;
mod folder;
mod listing;
mod path;

use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use framework_mini::{Error, File, IntoResponse, Response, Status};
use gateway_spec::{Application, Body, Environ, StartResponse, percent_encode_path};

pub use folder::Links;
use folder::{Folder, Found};
use path::Path;

/// What to serve, and how. Made with [`Config::new`], then field by field.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// The folder. A relative path is taken from the working directory at the start; a link is followed at every
    /// request, so that a deployment may swap it.
    pub root: PathBuf,
    /// Whether names that begin with a dot are served and listed. Default: no.
    pub hidden: bool,
    /// Which symbolic links are followed. Default: those that stay inside the folder.
    pub links: Links,
    /// What is sent for a folder, if it is there; the first one counts. Default: `index.html`, `index.htm`.
    pub index: Vec<String>,
    /// Whether folders without an index are listed; else they are a 404. Default: yes.
    pub listing: bool,
    /// Whether a sibling `name.br` or `name.gz` is sent in place of a file to who accepts it. Default: yes.
    pub precompressed: bool,
    /// The header `Cache-Control`, if any. Default: `no-cache`, so that clients ask each time, and are told 304 while
    /// nothing has changed.
    pub cache_control: Option<String>,
}

impl Config {
    /// A folder, and the defaults.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            hidden: false,
            links: Links::Inside,
            index: vec!["index.html".to_owned(), "index.htm".to_owned()],
            listing: true,
            precompressed: true,
            cache_control: Some("no-cache".to_owned()),
        }
    }
}

/// The application.
///
/// # Errors
/// If the folder does not exist, is none, or cannot be read; if [`Config::cache_control`] cannot be a header, or a name
/// of [`Config::index`] is no plain name.
pub fn app(config: Config) -> io::Result<impl Application + 'static> {
    let invalid = |what: String| io::Error::new(io::ErrorKind::InvalidInput, what);
    if let Some(value) = &config.cache_control {
        gateway_spec::check_header("Cache-Control", value).map_err(|error| invalid(error.to_string()))?;
    }
    if let Some(name) = config.index.iter().find(|name| !path::is_plain(name.as_bytes())) {
        return Err(invalid(format!("{name:?} cannot be the name of an index file")));
    }
    let folder = Arc::new(Folder::new(&config.root, config.hidden, config.links)?);
    Ok(Files { folder, config })
}

struct Files {
    folder: Arc<Folder>,
    config: Config,
}

/// Methods that are known and not allowed here (H1-METH-03); others are not even known (H1-METH-02).
const OTHER_METHODS: [&str; 6] = ["POST", "PUT", "DELETE", "PATCH", "CONNECT", "TRACE"];
const ALLOWED: &str = "GET, HEAD, OPTIONS";

impl Application for Files {
    fn call(
        &self,
        environ: &mut Environ<'_>,
        start_response: &mut dyn StartResponse,
    ) -> Result<Body, gateway_spec::Error> {
        let response = match environ.method() {
            "GET" | "HEAD" => self.find(environ).unwrap_or_else(IntoResponse::into_response),
            "OPTIONS" => Status::NO_CONTENT.into_response().with_header("Allow", ALLOWED),
            method if OTHER_METHODS.contains(&method) => {
                let error = Error::new(Status::METHOD_NOT_ALLOWED, "Files can be read here, and nothing else.");
                error.with_header("Allow", ALLOWED).into_response()
            }
            _ => Error::new(Status::NOT_IMPLEMENTED, "This method is unknown here.").into_response(),
        };
        response.answer(environ, start_response, |error, environ| {
            error.page(environ).with_header("X-Content-Type-Options", "nosniff")
        })
    }
}

impl Files {
    fn find(&self, environ: &Environ<'_>) -> Result<Response, Error> {
        let path = Path::parse(&environ.raw_path_info(), self.config.hidden).ok_or_else(Error::not_found)?;
        let found = self.folder.open(&path)?.ok_or_else(Error::not_found)?;
        let response = match found {
            // A file has nothing below it.
            Found::File(_) if path.is_folder => return Err(Error::not_found()),
            Found::File(_) if !path.is_canonical => moved(environ, &path),
            Found::File(file) => self.file(file, path)?,
            Found::Folder(_) if !path.is_folder || !path.is_canonical => {
                moved(environ, &Path { is_folder: true, ..path })
            }
            Found::Folder(folder) => match self.index(&path)? {
                Some(index) => index,
                None if self.config.listing => listing::respond(environ, &path, &self.folder.list(&folder, &path)?),
                None => return Err(Error::not_found()),
            },
        };
        Ok(match &self.config.cache_control {
            Some(value) => response.with_header("Cache-Control", value.clone()),
            None => response,
        })
    }

    fn index(&self, folder: &Path) -> Result<Option<Response>, Error> {
        for name in &self.config.index {
            let path = folder.join(name.as_bytes());
            if let Some(Found::File(file)) = self.folder.open(&path)? {
                return self.file(file, path).map(Some);
            }
        }
        Ok(None)
    }

    fn file(&self, file: std::fs::File, path: Path) -> Result<Response, Error> {
        let name = path.segments.last().map(|name| String::from_utf8_lossy(name)).unwrap_or_default();
        let tells_nothing = framework_mini::media_type(&name) == "application/octet-stream";
        let is_text = tells_nothing && is_text(&file);
        let mut response = File::opened(file, &name)?;
        if is_text {
            response = response.content_type("text/plain; charset=utf-8");
        }
        if self.config.precompressed {
            let folder = Arc::clone(&self.folder);
            response = response.siblings(move |extension| match folder.open(&path.with_extension(extension)) {
                Ok(Some(Found::File(sibling))) => Some(sibling),
                _ => None,
            });
        }
        Ok(response.into_response())
    }
}

/// 301 to a path of this application. It is of segments that are not empty, so no client can read a host in it
/// (CVE-2021-28861).
fn moved(environ: &Environ<'_>, path: &Path) -> Response {
    let script_name = environ.script_name();
    let mount = percent_encode_path(script_name.as_bytes());
    let mount = mount.trim_start_matches('/');
    let slash = if mount.is_empty() { "" } else { "/" };
    let query = environ.query_string();
    let mark = if query.is_empty() { "" } else { "?" };
    let location = format!("{slash}{mount}{}{mark}{query}", path.to_url());
    Status::MOVED_PERMANENTLY.into_response().with_header("Location", location)
}

/// Whether the first bytes are text in UTF-8: then a file whose name tells nothing, such as `LICENSE`, is shown and not
/// saved. As `text/plain` that is never to be sniffed, it is harmless whatever it is.
fn is_text(file: &std::fs::File) -> bool {
    let mut first = [0; 1024];
    let Ok(length) = file.read_at(&mut first, 0) else { return false };
    let text = match str::from_utf8(&first[..length]) {
        Ok(text) => text,
        // The last character may be cut.
        Err(error) if error.error_len().is_none() && length == first.len() => {
            str::from_utf8(&first[..error.valid_up_to()]).unwrap_or("\0")
        }
        Err(_) => return false,
    };
    !text.is_empty() && !text.chars().any(|c| c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\x0c' | '\x1b'))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use gateway_spec::{Field, Input, Peer, Request, ServerInfo};

    use super::*;

    struct Start;

    impl StartResponse for Start {
        fn start_response(
            &mut self,
            _: Status,
            _: &[(&str, &str)],
            _: Option<gateway_spec::Error>,
        ) -> Result<&mut dyn Write, gateway_spec::Error> {
            Ok(self)
        }

        fn writer(&mut self) -> &mut dyn Write {
            self
        }
    }

    impl Write for Start {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A server may send it without copying: whole, or the part that was asked for.
    #[test]
    fn files_are_handed_over_as_files() {
        let app = app(Config::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
        let (server, peer) = (ServerInfo::new("localhost", "80", "test"), Peer::unix());
        for (range, offset, length) in [(None, 0, None), (Some("bytes=3-9"), 3, Some(7))] {
            let headers: Vec<Field<'_>> =
                range.iter().map(|range: &&str| Field { name: "Range", value: range.as_bytes() }).collect();
            let mut request = Request::new(&server, &peer);
            (request.target, request.path, request.headers) = ("/Cargo.toml", "/Cargo.toml", &headers);
            let body = app.call(&mut Environ::new(&request, Input::empty()), &mut Start).unwrap();
            let file = body.into_file().expect("a file");
            let whole = file.file().metadata().unwrap().len();
            assert_eq!((file.offset(), file.remaining()), (offset, length.unwrap_or(whole)));
        }
    }
}
