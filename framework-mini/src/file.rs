//! [`File`]: a file as a response, with all that HTTP has for files.

use std::collections::VecDeque;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::fs;
use std::hash::BuildHasher;
use std::io;
use std::ops::Range;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, SystemTime};

use gateway_spec::{Blocks, Body, Bytes, StartResponse, Status, percent_encode_path};

use crate::context::Context;
use crate::negotiate::coding;
use crate::range::{self, Ranges};
use crate::{Conditions, ETag, Error, IntoResponse, Response, Validators, media_type};

/// A file as a response.
///
/// It sends type, length, `ETag` and `Last-Modified`; answers conditional requests in the order of RFC 9110 section
/// 13.2.2 and ranges by section 14, several as `multipart/byteranges`; a server may send it without copying. `POST` and
/// its like get it whole.
///
/// ```
/// use framework_mini::{App, Error, File, Path};
///
/// fn asset(Path(path): Path<String>) -> Result<File, Error> {
///     Ok(File::within("static", &path)?.precompressed())
/// }
/// fn report() -> Result<File, Error> {
///     Ok(File::open("reports/2026.pdf")?.download("Report 2026.pdf"))
/// }
/// let site = App::new(()).get("/static/{*path}", asset).get("/report", report).build().unwrap();
/// ```
#[derive(Debug)]
pub struct File {
    file: fs::File,
    metadata: fs::Metadata,
    /// Where it was opened; not known of a file that came open.
    path: Option<PathBuf>,
    /// The folder that nothing may lead out of.
    folder: Option<PathBuf>,
    content_type: String,
    disposition: Option<String>,
    siblings: Option<Siblings>,
}

/// Opens the sibling of a file whose name has this extension in addition.
struct Siblings(Open);

type Open = Box<dyn Fn(&str) -> Option<fs::File> + Send>;

impl fmt::Debug for Siblings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Siblings")
    }
}

impl File {
    /// A file by its path. Never of a path that a client chose; for that there is [`within`](Self::within).
    ///
    /// # Errors
    /// 404 if there is none, if it is none that can be read, or no plain file: a directory, a device, a FIFO, which is
    /// not even opened. 500 for what the system says otherwise.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        Ok(Self { path: Some(path.to_owned()), ..Self::opened(open_plain(path)?, path_name(path))? })
    }

    /// A file that is open already, with the media type that goes with this name.
    ///
    /// # Errors
    /// 404 if it is no plain file; 500 for what the system says.
    pub fn opened(file: fs::File, name: &str) -> Result<Self, Error> {
        // Of the file that is open, not of what has the name now (H1-VAL-02).
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(Error::not_found());
        }
        let content_type = media_type::of_name(name).to_owned();
        Ok(Self { file, metadata, path: None, folder: None, content_type, disposition: None, siblings: None })
    }

    /// A file below a folder, by a path that a client chose.
    ///
    /// # Errors
    /// 404 as [`open`](Self::open), and for whatever leads out of the folder: `..`, absolute paths, `\`, drive letters,
    /// NUL, links; and for names that begin with a dot (F01, F02).
    pub fn within(folder: impl AsRef<Path>, path: &str) -> Result<Self, Error> {
        let plain =
            |segment: &str| !segment.is_empty() && !segment.starts_with('.') && !segment.contains(['\\', ':', '\0']);
        if !path.split('/').all(plain) {
            return Err(Error::not_found());
        }
        // Once more by the system's own rules, whatever they are.
        let relative = Path::new(path);
        if !relative.components().all(|component| matches!(component, Component::Normal(_))) {
            return Err(Error::not_found());
        }
        let folder = folder.as_ref().canonicalize()?;
        let path = folder.join(relative).canonicalize().map_err(absent)?;
        if !path.starts_with(&folder) {
            return Err(Error::not_found());
        }
        let content_type = media_type::of_name(path_name(relative));
        let file = Self::open(path)?.content_type(content_type);
        Ok(Self { folder: Some(folder), ..file })
    }

    /// With this media type, in place of the one that goes with the name.
    #[must_use]
    pub fn content_type(mut self, content_type: impl Into<String>) -> Self {
        self.content_type = content_type.into();
        self
    }

    /// To be saved under this name rather than shown.
    #[must_use]
    pub fn download(mut self, name: &str) -> Self {
        // RFC 6266: a plain name for old clients, the real one encoded.
        let plain: String = name
            .chars()
            .map(|c| if matches!(c, ' '..='~') && !matches!(c, '"' | '\\' | '%') { c } else { '_' })
            .collect();
        let encoded = percent_encode_path(name.as_bytes())
            .replace('/', "%2F")
            .replace(';', "%3B")
            .replace('=', "%3D")
            .replace(',', "%2C");
        self.disposition = Some(format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}"));
        self
    }

    /// If there is a sibling `name.br` or `name.gz` that is not older, it may be sent in place of the file, as the client
    /// likes it. `Vary` says so in any case.
    ///
    /// The siblings of a file that came open are not known: see [`siblings`](Self::siblings).
    #[must_use]
    pub fn precompressed(mut self) -> Self {
        let (path, folder) = (self.path.take(), self.folder.take());
        self.siblings(move |extension| {
            let mut sibling = path.clone()?.into_os_string();
            sibling.push(".");
            sibling.push(extension);
            let sibling = PathBuf::from(sibling).canonicalize().ok()?;
            // As for the file itself, a link does not lead out.
            let is_inside = folder.as_ref().is_none_or(|folder| sibling.starts_with(folder));
            is_inside.then(|| open_plain(&sibling).ok())?
        })
    }

    /// As [`precompressed`](Self::precompressed), with siblings that `open` opens: it is given `br` or `gz`, and gives
    /// the file, if there is one, whose name has that extension in addition.
    #[must_use]
    pub fn siblings(mut self, open: impl Fn(&str) -> Option<fs::File> + Send + 'static) -> Self {
        self.siblings = Some(Siblings(Box::new(open)));
        self
    }

    /// The sibling that the client would like, opened.
    fn sibling(&self, context: &Context<'_, '_>) -> Option<(&'static str, fs::File, fs::Metadata)> {
        let Siblings(open) = self.siblings.as_ref()?;
        context.environ.header("accept-encoding")?; // and nothing need be opened
        let candidates = [("br", "br"), ("gzip", "gz")].into_iter().filter_map(|(coding, extension)| {
            let file = open(extension)?;
            let metadata = file.metadata().ok().filter(fs::Metadata::is_file)?;
            (metadata.modified().ok()? >= self.metadata.modified().ok()?).then_some((coding, file, metadata))
        });
        let candidates: Vec<_> = candidates.collect();
        let codings: Vec<&'static str> = candidates.iter().map(|(coding, ..)| *coding).collect();
        let chosen = coding(context.environ, &codings)?;
        candidates.into_iter().find(|(coding, ..)| *coding == chosen)
    }

    fn finish(self, mut response: Response, context: &Context<'_, '_>) -> Result<Response, Error> {
        let now = SystemTime::now();
        let sibling = self.sibling(context);
        let varies = self.siblings.is_some();
        let content_type = self.content_type;
        let (coding, file, metadata) = match sibling {
            Some((coding, file, metadata)) => (Some(coding), file, metadata),
            None => (None, self.file, self.metadata),
        };
        let (length, mut validators) = (metadata.len(), validators(&metadata, now));
        // A tag of the handler's own is the one that counts. A sibling has other octets under it (H1-VAL-12).
        if let Some(own) = response.header("ETag").and_then(ETag::parse) {
            let own = if coding.is_some() { own.into_weak() } else { own };
            response = response.with_header("ETag", own.to_string());
            validators.etag = Some(own);
        }
        if varies {
            response = response.with_vary("Accept-Encoding");
        }
        if let Some(etag) = &validators.etag {
            response = response.with_default_header("ETag", etag.to_string());
        }
        let environ = &*context.environ;
        let read = matches!(environ.method(), "GET" | "HEAD");
        if read && response.status == Status::OK {
            match validators.evaluate(environ) {
                Conditions::Hold => {}
                // What guides caches stays: ETag, Vary, and what the handler has set (H1-COND-27, H1-COND-28).
                Conditions::NotModified => return Ok(response.with_status(Status::NOT_MODIFIED)),
                Conditions::Failed => {
                    return Err(Error::new(Status::PRECONDITION_FAILED, "It is not what the request says it is."));
                }
            }
        }
        let conditional_range = environ.header("if-range").is_some();
        let ranges = match environ.header("range") {
            Some(range) if environ.method() == "GET" && response.status == Status::OK => {
                match validators.allow_range(environ, now) {
                    true => range::parse(&range.to_latin1(), length),
                    false => Ranges::Whole,
                }
            }
            _ => Ranges::Whole,
        };
        response = response
            .with_default_header("Accept-Ranges", "bytes")
            .with_default_header("X-Content-Type-Options", "nosniff");
        if let Ranges::Unsatisfiable = ranges {
            let error = Error::new(Status::RANGE_NOT_SATISFIABLE, "There is no such part.");
            return Err(error.with_header("Content-Range", format!("bytes */{length}")));
        }
        let partial = matches!(ranges, Ranges::Parts(_));
        if let (Some(modified), false) = (validators.last_modified, partial && conditional_range) {
            response = response.with_default_header("Last-Modified", httpdate::fmt_http_date(modified));
        }
        if let Some(coding) = coding {
            response = response.with_header("Content-Encoding", coding);
        }
        if let Some(disposition) = self.disposition {
            response = response.with_default_header("Content-Disposition", disposition);
        }
        if partial {
            response = response.with_status(Status::PARTIAL_CONTENT);
        }
        let whole = response.header("Content-Type").map_or(content_type, str::to_owned);
        Ok(match ranges {
            Ranges::Parts(parts) if parts.len() > 1 => {
                let parts = Parts::new(file, &parts, length, &whole);
                let content_type = format!("multipart/byteranges; boundary={}", parts.boundary);
                response.with_header("Content-Type", content_type).with_body(Body::from_blocks(parts))
            }
            Ranges::Parts(parts) => {
                let part = parts.into_iter().next().unwrap_or(0..length);
                response
                    .with_header("Content-Type", whole)
                    .with_header("Content-Range", content_range(&part, length))
                    .with_body(Body::file(file, part.start, part.end - part.start))
            }
            Ranges::Whole | Ranges::Unsatisfiable => {
                response.with_header("Content-Type", whole).with_body(Body::file(file, 0, length))
            }
        })
    }
}

impl IntoResponse for File {
    fn into_response(self) -> Response {
        Response::deferred(|response, context| match self.finish(response, context) {
            Ok(response) => response,
            Err(error) => error.into_response(),
        })
    }
}

/// Opens a plain file. Others are told by their metadata before they are opened: opening a FIFO would wait for a writer.
fn open_plain(path: &Path) -> Result<fs::File, Error> {
    if !fs::metadata(path).map_err(absent)?.is_file() {
        return Err(Error::not_found());
    }
    fs::File::open(path).map_err(absent)
}

fn absent(error: io::Error) -> Error {
    use io::ErrorKind as Kind;
    match error.kind() {
        Kind::NotFound | Kind::NotADirectory | Kind::PermissionDenied | Kind::InvalidInput | Kind::InvalidFilename => {
            Error::not_found()
        }
        _ => error.into(),
    }
}

fn path_name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

/// The validators of a file as it is now.
fn validators(metadata: &fs::Metadata, now: SystemTime) -> Validators {
    let Ok(modified) = metadata.modified() else { return Validators::default() };
    // Before 1970 there is no date to send, but still a difference to tell.
    let (sign, since) = match modified.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => ("", since),
        Err(before) => ("-", before.duration()),
    };
    let opaque = format!("{sign}{:x}-{:x}-{:x}", since.as_nanos(), metadata.len(), inode(metadata));
    // A file written twice within a tick of the clock would have the same time: weak until that has passed (H1-VAL-07).
    let settled = now.duration_since(modified).is_ok_and(|age| age >= Duration::from_secs(2));
    let etag = if settled { ETag::strong(&opaque) } else { ETag::weak(&opaque) };
    // Never later than the date of the message (H1-VAL-03, H1-VAL-04).
    let last_modified = sign.is_empty().then(|| modified.min(now));
    Validators { etag: Some(etag), last_modified }
}

#[cfg(unix)]
fn inode(metadata: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn inode(_: &fs::Metadata) -> u64 {
    0
}

fn content_range(part: &Range<u64>, length: u64) -> String {
    format!("bytes {}-{}/{length}", part.start, part.end - 1)
}

/// Several parts of a file, as `multipart/byteranges`.
struct Parts {
    boundary: String,
    file: fs::File,
    /// What is still to come: the head of each part and its place in the file; the last has no place.
    queue: VecDeque<(Bytes, Range<u64>)>,
    current: Body,
    remaining: u64,
}

impl Parts {
    fn new(file: fs::File, parts: &[Range<u64>], length: u64, content_type: &str) -> Self {
        // Not to be foreseen, so that no file can contain it on purpose.
        let boundary = format!("{:016x}{:016x}", RandomState::new().hash_one(1), RandomState::new().hash_one(2));
        let mut queue: VecDeque<(Bytes, Range<u64>)> = (parts.iter().enumerate())
            .map(|(index, part)| {
                let line = if index == 0 { "" } else { "\r\n" };
                let range = content_range(part, length);
                let head =
                    format!("{line}--{boundary}\r\nContent-Type: {content_type}\r\nContent-Range: {range}\r\n\r\n");
                (head.into(), part.clone())
            })
            .collect();
        queue.push_back((format!("\r\n--{boundary}--\r\n").into(), 0..0));
        let remaining = queue.iter().map(|(head, part)| head.len() as u64 + part.end - part.start).sum();
        Self { boundary, file, queue, current: Body::empty(), remaining }
    }
}

impl Blocks for Parts {
    fn next(&mut self, start_response: &mut dyn StartResponse) -> Option<Result<Bytes, gateway_spec::Error>> {
        let block = match self.current.next(start_response) {
            Some(block) => block,
            None => {
                let (head, part) = self.queue.pop_front()?;
                match self.file.try_clone() {
                    Ok(file) => self.current = Body::file(file, part.start, part.end - part.start),
                    Err(error) => return Some(Err(error.into())),
                }
                Ok(head)
            }
        };
        if let Ok(block) = &block {
            self.remaining -= block.len() as u64;
        }
        Some(block)
    }

    fn remaining(&self) -> Option<u64> {
        Some(self.remaining)
    }
}
