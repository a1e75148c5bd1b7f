//! [`Multipart`]: forms with files (`multipart/form-data`, RFC 7578), read as a stream.

mod disposition;
mod parser;

use std::io::{self, BufRead, Read};

use gateway_spec::Status;

use self::disposition::Disposition;
use self::parser::Parser;
use crate::{BodyReader, Error, FromRequest, Needs, Request};

/// How many parts a form may have, unless it is set.
const MAX_PARTS: usize = 1000;
/// How long a field may be that is read as text, in bytes, unless it is set.
const MAX_TEXT: u64 = 64 * 1024;

/// A form with files: its parts one after the other, as they arrive. Nothing is kept in memory but 32 KiB.
///
/// ```
/// use std::{fs, io, path::Path};
/// use framework_mini::{App, Error, Multipart};
///
/// /// Files go to disk as they arrive, however large they are.
/// fn upload(mut form: Multipart) -> Result<String, Error> {
///     let mut saved = Vec::new();
///     while let Some(mut part) = form.next_part()? {
///         let Some(name) = part.safe_file_name() else {
///             saved.push(format!("{}: {}", part.name().to_owned(), part.text()?));
///             continue;
///         };
///         let path = Path::new("uploads").join(&name);
///         // Nothing that is there is overwritten, and what did not arrive whole does not stay.
///         let mut file = fs::File::create_new(&path).map_err(|error| Error::conflict("This is there.").because(error))?;
///         match io::copy(&mut part, &mut file) {
///             Ok(length) => saved.push(format!("{name}: {length} bytes")),
///             Err(error) => {
///                 fs::remove_file(&path)?;
///                 return Err(error.into());
///             }
///         }
///     }
///     Ok(saved.join("\n"))
/// }
/// let site = App::new(()).post("/upload", upload).stream_limit(2 << 30).build().unwrap();
/// ```
///
/// The server has a limit of its own for request bodies: both have to allow what is to come.
///
/// # Limits
/// The whole body by [`App::stream_limit`](crate::App::stream_limit), 1000 parts, 16 KiB of headers for each part, 8 KiB
/// before the first, 64 KiB of text for each [`Part::text`]. Over a limit is 413, what is no such form 400, another media
/// type 415. The work is linear in the length of the body.
#[derive(Debug)]
pub struct Multipart {
    parser: Parser<BodyReader>,
    max_parts: usize,
    max_text: u64,
    parts: usize,
}

impl Multipart {
    /// With another limit than 1000 parts.
    #[must_use]
    pub const fn max_parts(mut self, parts: usize) -> Self {
        self.max_parts = parts;
        self
    }

    /// With another limit of [`Part::text`] than 64 KiB.
    #[must_use]
    pub const fn max_text(mut self, bytes: u64) -> Self {
        self.max_text = bytes;
        self
    }

    /// The next part, or `None` at the end. What was not read of the part before is passed over.
    ///
    /// # Errors
    /// 400 for what is no such form or ends too early, 413 over a limit.
    pub fn next_part(&mut self) -> Result<Option<Part<'_>>, Error> {
        let Some(headers) = self.parser.next_part()? else { return Ok(None) };
        self.parts += 1;
        if self.parts > self.max_parts {
            let message = format!("The form has more than the {} parts allowed (max_parts).", self.max_parts);
            return Err(Error::new(Status::CONTENT_TOO_LARGE, message));
        }
        let (disposition, content_type) = disposition::of_headers(&headers)?;
        Ok(Some(Part { disposition, content_type, max_text: self.max_text, parser: &mut self.parser }))
    }
}

impl<S> FromRequest<S> for Multipart {
    const NEEDS: Needs = Needs::BODY;

    fn from_request(request: &mut Request<S>) -> Result<Self, Error> {
        if !request.is_type("multipart/form-data") {
            let message = "Send a form: Content-Type: multipart/form-data.";
            return Err(Error::new(Status::UNSUPPORTED_MEDIA_TYPE, message));
        }
        let content_type = request.environ().content_type().unwrap_or_default();
        let boundary = disposition::boundary(&content_type.to_string_lossy());
        let boundary = boundary.ok_or_else(|| Error::bad_request("The form has no valid boundary."))?;
        let parser = Parser::new(request.body_reader()?, &boundary);
        Ok(Self { parser, max_parts: MAX_PARTS, max_text: MAX_TEXT, parts: 0 })
    }
}

/// A part of a form: a field or a file. Its content is read from it.
#[derive(Debug)]
pub struct Part<'m> {
    disposition: Disposition,
    content_type: Option<String>,
    max_text: u64,
    parser: &'m mut Parser<BodyReader>,
}

impl Part<'_> {
    /// The name of the field.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.disposition.name
    }

    /// The name of the file as the client sent it, if this is one. Never a path to write to: see
    /// [`safe_file_name`](Self::safe_file_name).
    #[must_use]
    pub fn file_name(&self) -> Option<&str> {
        self.disposition.file_name.as_deref()
    }

    /// The name of the file as [`safe_file_name`] makes it; `None` if this is no file, or none was chosen.
    #[must_use]
    pub fn safe_file_name(&self) -> Option<String> {
        self.file_name().filter(|name| !name.is_empty()).map(disposition::safe)
    }

    /// The media type as the client sent it. It is a claim; a file can be anything.
    #[must_use]
    pub fn content_type(&self) -> Option<&str> {
        self.content_type.as_deref()
    }

    /// The content as text.
    ///
    /// # Errors
    /// 413 over the limit of [`Multipart::max_text`], 400 if it is not UTF-8 or ends too early.
    pub fn text(&mut self) -> Result<String, Error> {
        let limit = self.max_text;
        let bytes = self.bytes(limit)?;
        String::from_utf8(bytes).map_err(|error| Error::bad_request("A field is not UTF-8.").because(error))
    }

    /// The content in memory.
    ///
    /// # Errors
    /// 413 if there are more than `limit` bytes, 400 if it ends too early.
    pub fn bytes(&mut self, limit: u64) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        self.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(Error::of_input)?;
        if bytes.len() as u64 > limit {
            let message = format!("The field `{}` is larger than the {limit} bytes allowed.", self.name());
            return Err(Error::new(Status::CONTENT_TOO_LARGE, message));
        }
        Ok(bytes)
    }
}

/// The name of a file that a client chose as a name that can be written to in a folder: without folders, drives, controls
/// and what some system does not allow, not beginning with a dot, of at most 201 bytes. `file` if nothing is left.
///
/// ```
/// assert_eq!(framework_mini::safe_file_name("../../Käse.txt"), "Käse.txt");
/// assert_eq!(framework_mini::safe_file_name("C:\\.."), "file");
/// ```
#[must_use]
pub fn safe_file_name(name: &str) -> String {
    disposition::safe(name)
}

impl Read for Part<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}

impl BufRead for Part<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.parser.content()
    }

    fn consume(&mut self, amount: usize) {
        self.parser.consume(amount);
    }
}
