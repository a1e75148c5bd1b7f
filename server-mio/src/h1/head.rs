//! The head of a request: what its parts mean is decided here.
//!
//! The parts themselves come from [`scan`] if the head is a usual one, else from the grammar, of which httparse reads the
//! fields. httparse 1.10 lets through what these rules refuse: lone LF as line end, any number of blank lines before the
//! request, targets of no form, and it knows versions 1.0 and 1.1 only. So the request line is read here, and the line
//! ends of the fields are looked at again.

use gateway_spec::{Field, Version, is_token};

use super::framing::{Controls, Framing};
use super::host::{has_port, is_authority, is_escape};
use super::{Reject, scan};

/// How many empty lines are skipped before a request line (H1-PARSE-05): old clients send one after a body.
const BLANK_LINES: u8 = 4;

/// What a head is measured against.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Longest request line in bytes, without its end.
    pub(crate) request_line: usize,
    /// Longest head in bytes, with all line ends.
    pub(crate) head: usize,
    /// Most field lines.
    pub(crate) fields: usize,
    /// Longest body in bytes.
    pub(crate) body: u64,
    /// Whether `https` targets may come over this connection: the scheme is configured to be https.
    pub(crate) https: bool,
}

/// A request head: slices of the bytes it was read from.
#[derive(Debug)]
pub(crate) struct Head<'b, 'f> {
    pub(crate) method: &'b str,
    pub(crate) target: &'b str,
    pub(crate) path: &'b str,
    pub(crate) query: &'b str,
    pub(crate) version: Version,
    pub(crate) host: Option<&'b str>,
    pub(crate) fields: &'f [Field<'b>],
    pub(crate) framing: Framing,
    pub(crate) keep_alive: bool,
    pub(crate) expect_continue: bool,
    /// How many bytes the head took.
    pub(crate) length: usize,
}

/// Reads a head that begins at the first byte (blank lines were skipped), if it is [usual](scan) and `fields` has places
/// enough for it. `known_host` is a host that is known to be valid, or empty.
///
/// # Errors
/// The refusal, which is that of [`parse`].
#[inline(always)]
pub(crate) fn parse_usual<'b, 'f>(
    bytes: &'b [u8],
    fields: &'f mut [Field<'b>],
    limits: &Limits,
    known_host: &'b str,
) -> Result<Option<Head<'b, 'f>>, Reject> {
    // Nothing behind the limit has a say, so that the verdict does not depend on how much was read at once.
    let bytes = &bytes[..bytes.len().min(limits.head)];
    match scan::usual(bytes, fields) {
        Some((line, count, length)) if line.length - 2 <= limits.request_line && count <= limits.fields => {
            Head::new(&line, &fields[..count], length, limits, known_host).map(Some)
        }
        _ => Ok(None),
    }
}

/// How many fields these bytes can have at most: a name, a colon and a line end each.
pub(crate) fn places(bytes: &[u8], limits: &Limits) -> usize {
    limits.fields.min(bytes.len() / 3)
}

/// Reads any head that begins at the first byte (blank lines were skipped); `None` if the bytes end before it does.
///
/// `fields` and `scratch` are places for as many fields as are allowed.
///
/// # Errors
/// The refusal; nothing after it may be parsed.
pub(crate) fn parse<'b, 'f>(
    bytes: &'b [u8],
    fields: &'f mut [Field<'b>],
    scratch: &mut [httparse::Header<'b>],
    limits: &Limits,
) -> Result<Option<Head<'b, 'f>>, Reject> {
    const TOO_LARGE: Reject = Reject::HeadTooLarge("the head of the request is too large");
    let bytes = &bytes[..bytes.len().min(limits.head)];
    let Some(line) = RequestLine::read(bytes, limits)? else { return Ok(None) };
    let section = &bytes[line.length..];
    let (length, headers) = match httparse::parse_headers(section, scratch) {
        Ok(httparse::Status::Complete(complete)) => complete,
        Ok(httparse::Status::Partial) if bytes.len() == limits.head => return Err(TOO_LARGE),
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(refused(error)),
    };
    check_line_ends(&section[..length], headers)?;
    let count = headers.len();
    for (field, header) in fields.iter_mut().zip(headers) {
        *field = Field { name: header.name, value: header.value };
    }
    Head::new(&line, &fields[..count], line.length + length, limits, "").map(Some)
}

impl<'b, 'f> Head<'b, 'f> {
    /// Decides what the request line and the fields mean.
    #[inline(always)]
    fn new(
        line: &RequestLine<'b>,
        fields: &'f [Field<'b>],
        length: usize,
        limits: &Limits,
        known_host: &'b str,
    ) -> Result<Self, Reject> {
        let mut host = None;
        let mut controls = Controls::default();
        for &Field { name, value } in fields {
            // By length first: most names are done after one comparison of numbers.
            match name.len() {
                4 if name.eq_ignore_ascii_case("host") => {
                    if host.is_some() {
                        return Err(Reject::Host("there is more than one Host"));
                    }
                    host = Some(value);
                }
                6 if name.eq_ignore_ascii_case("expect") => controls.expect(value),
                10 if name.eq_ignore_ascii_case("connection") => controls.connection(value),
                14 if name.eq_ignore_ascii_case("content-length") => controls.content_length(value),
                17 if name.eq_ignore_ascii_case("transfer-encoding") => controls.transfer_encoding(value),
                _ => {}
            }
        }
        let version = line.version;
        let host = check_host(host, version, known_host)?;
        let target = if line.plain && line.target.starts_with('/') && line.method != "CONNECT" {
            Target { path: line.target, query: "", authority: None }
        } else {
            Target::read(line.method, line.target, limits.https)?
        };
        Ok(Self {
            method: line.method,
            target: line.target,
            path: target.path,
            query: target.query,
            version,
            host: target.authority.or(host),
            fields,
            framing: controls.framing(version, limits.body)?,
            keep_alive: controls.persists(version),
            expect_continue: controls.expects_continue(version)?,
            length,
        })
    }
}

const fn refused(error: httparse::Error) -> Reject {
    match error {
        httparse::Error::TooManyHeaders => Reject::HeadTooLarge("there are too many header fields"),
        httparse::Error::HeaderName => Reject::Malformed("a header field has no valid name"),
        httparse::Error::HeaderValue => Reject::Malformed("a header field has a control character in its value"),
        _ => Reject::Malformed("the request head is malformed"),
    }
}

/// Every line of the section ends in CR LF (H1-PARSE-02): the parser takes lone LFs, so the two octets before each name
/// and at the end of the section are looked at again. (A lone CR the parser refuses.)
fn check_line_ends(section: &[u8], headers: &[httparse::Header<'_>]) -> Result<(), Reject> {
    const BARE_LF: Reject = Reject::Malformed("a line does not end in CR LF");
    let start = section.as_ptr() as usize;
    for header in headers.get(1..).unwrap_or_default() {
        let name = header.name.as_ptr() as usize - start;
        if name < 2 || section[name - 2] != b'\r' {
            return Err(BARE_LF);
        }
    }
    let whole = if headers.is_empty() { section == b"\r\n" } else { section.ends_with(b"\r\n\r\n") };
    if whole { Ok(()) } else { Err(BARE_LF) }
}

/// The `Host` field: there in HTTP/1.1 (H1-HOST-01), and valid (H1-HOST-03). Empty is valid only for a target without an
/// authority, which no request has that is served here (H1-TGT-06).
#[inline]
fn check_host<'b>(host: Option<&'b [u8]>, version: Version, known: &'b str) -> Result<Option<&'b str>, Reject> {
    match host {
        Some(value) if value == known.as_bytes() && !known.is_empty() => Ok(Some(known)),
        None if version == Version::Http10 => Ok(None),
        None => Err(Reject::Host("there is no Host")),
        Some(value) if is_authority(value) => Ok(str::from_utf8(value).ok()),
        Some(_) => Err(Reject::Host("Host is not valid")),
    }
}

/// `method SP request-target SP HTTP-version CRLF` (H1-LINE-01).
#[derive(Debug)]
pub(super) struct RequestLine<'b> {
    pub(super) method: &'b str,
    pub(super) target: &'b str,
    pub(super) version: Version,
    /// With the line end.
    pub(super) length: usize,
    /// Whether the target is known to have neither `?` nor `%`, so that it is its own path.
    pub(super) plain: bool,
}

impl<'b> RequestLine<'b> {
    /// Reads the line, or says that it has not ended.
    fn read(bytes: &'b [u8], limits: &Limits) -> Result<Option<Self>, Reject> {
        const MALFORMED: Reject = Reject::Malformed("the request line is malformed");
        // One place more than the limit for the CR, one for the LF.
        let window = &bytes[..bytes.len().min(limits.request_line.saturating_add(2))];
        let Some(line_feed) = window.iter().position(|&b| b == b'\n') else {
            return match window.first() {
                // A greeting of another protocol need not be waited for.
                Some(first) if !is_token(&[*first]) => Err(MALFORMED),
                _ if window.len() == limits.request_line.saturating_add(2) => Err(Reject::LineTooLong),
                _ => Ok(None),
            };
        };
        let Some(line) = window[..line_feed].strip_suffix(b"\r") else {
            return Err(Reject::Malformed("a line does not end in CR LF"));
        };
        // The only place where a space may be: nothing is split at white space (H1-LINE-02).
        let method_end = line.iter().position(|&b| b == b' ').ok_or(MALFORMED)?;
        let version_start = line.len().checked_sub(8).filter(|&start| start > method_end + 1).ok_or(MALFORMED)?;
        let (method, rest) = (&line[..method_end], &line[method_end + 1..version_start]);
        let target = rest.strip_suffix(b" ").ok_or(MALFORMED)?;
        let version = version(&line[version_start..])?;
        if !is_token(method) || target.is_empty() || !target.iter().all(|&b| TARGET[usize::from(b)]) {
            return Err(MALFORMED);
        }
        // Both are ASCII by their tables.
        let (Ok(method), Ok(target)) = (str::from_utf8(method), str::from_utf8(target)) else { return Err(MALFORMED) };
        Ok(Some(Self { method, target, version, length: line_feed + 1, plain: false }))
    }
}

/// `HTTP/` DIGIT `.` DIGIT, case-sensitive (H1-VER-01). A higher minor version counts as 1.1 (H1-VER-04).
fn version(text: &[u8]) -> Result<Version, Reject> {
    match text {
        b"HTTP/1.1" => Ok(Version::Http11),
        b"HTTP/1.0" => Ok(Version::Http10),
        [b'H', b'T', b'T', b'P', b'/', major @ b'0'..=b'9', b'.', b'0'..=b'9'] => {
            if *major == b'1' {
                Ok(Version::Http11)
            } else {
                Err(Reject::Version)
            }
        }
        _ => Err(Reject::Malformed("the request line has no HTTP version")),
    }
}

/// Characters of a request target: visible ASCII without those that end or quote a URI elsewhere, and without `#`
/// (H1-LINE-09). RFC 3986 also excludes `\ ^ { | }` and the backquote, and brackets outside of a host; browsers send them
/// in queries, and they do no harm there.
pub(super) const TARGET: [bool; 256] = {
    let mut table = [false; 256];
    let mut b = 0x21;
    while b < 0x7f {
        table[b] = !matches!(b as u8, b'"' | b'<' | b'>' | b'#');
        b += 1;
    }
    table
};

/// The parts of a target in one of its four forms (RFC 9112 section 3.2).
#[derive(Debug)]
struct Target<'b> {
    path: &'b str,
    query: &'b str,
    authority: Option<&'b str>,
}

impl<'b> Target<'b> {
    fn read(method: &str, target: &'b str, https: bool) -> Result<Self, Reject> {
        const MALFORMED: Reject = Reject::Malformed("the request target is not valid");
        if method == "CONNECT" {
            return Err(if has_port(target.as_bytes()) { Reject::Connect } else { MALFORMED });
        }
        if target.starts_with('/') {
            return Self::split(target, None);
        }
        if target == "*" {
            // No path: neither `*` nor `/` is one (CGI-PATH-17).
            let asterisk = Self { path: "", query: "", authority: None };
            return if method == "OPTIONS" { Ok(asterisk) } else { Err(MALFORMED) };
        }
        let (scheme, rest) = target.split_once("://").ok_or(MALFORMED)?;
        let http = scheme.eq_ignore_ascii_case("http");
        if !http && !scheme.eq_ignore_ascii_case("https") {
            return Err(MALFORMED);
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end);
        if !is_authority(authority.as_bytes()) {
            return Err(MALFORMED);
        }
        if !http && !https {
            return Err(Reject::Misdirected);
        }
        let mut parts = Self::split(rest, Some(authority))?;
        if parts.path.is_empty() && !(method == "OPTIONS" && rest.is_empty()) {
            parts.path = "/";
        }
        Ok(parts)
    }

    /// Splits at the first `?` (CGI-PATH-01) and checks the escapes of the path: two hexadecimal digits (CGI-PATH-04) that
    /// are not NUL (CGI-PATH-05). The query stays as it is.
    fn split(text: &'b str, authority: Option<&'b str>) -> Result<Self, Reject> {
        let (path, query) = text.split_once('?').unwrap_or((text, ""));
        let bytes = path.as_bytes();
        let mut start = 0;
        while let Some(escape) = bytes[start..].iter().position(|&b| b == b'%') {
            let escape = &bytes[start + escape..];
            if !is_escape(escape) || escape.starts_with(b"%00") {
                return Err(Reject::Malformed("the path has a percent sign that encodes nothing"));
            }
            start = bytes.len() - escape.len() + 3;
        }
        Ok(Self { path, query, authority })
    }
}

/// The search for the end of a head that arrives in pieces: each byte is looked at once, and the parser runs again only
/// when it can succeed or has to refuse.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scan {
    /// How many bytes from the start of the head were looked at.
    seen: usize,
    /// How many of them are in the line that has not ended.
    line: usize,
    /// Whether that is the request line.
    first_line: bool,
    /// Empty lines that were skipped before the head.
    blanks: u8,
}

impl Scan {
    /// Before the first byte.
    pub(crate) const fn new() -> Self {
        Self { seen: 0, line: 0, first_line: true, blanks: 0 }
    }

    /// How many bytes of blank lines to skip before a head, and whether a head begins behind them: not if nothing is
    /// left, or half a line end.
    ///
    /// # Errors
    /// Too many of them, or line ends that are none.
    #[inline]
    pub(crate) fn skip_blank(&mut self, bytes: &[u8]) -> Result<(usize, bool), Reject> {
        if self.seen > 0 || !matches!(bytes.first(), Some(b'\r' | b'\n')) {
            return Ok((0, !bytes.is_empty()));
        }
        let mut skipped = 0;
        loop {
            match &bytes[skipped..] {
                [b'\r', b'\n', ..] if self.blanks < BLANK_LINES => self.blanks += 1,
                [b'\r', b'\n', ..] => return Err(Reject::Malformed("there are blank lines instead of a request")),
                [b'\n', ..] | [b'\r', _, ..] => return Err(Reject::Malformed("a line does not end in CR LF")),
                rest => return Ok((skipped, !matches!(rest, [] | [b'\r']))),
            }
            skipped += 2;
        }
    }

    /// Whether the parser was never run on this head, so that it should be now.
    pub(crate) const fn is_fresh(&self) -> bool {
        self.seen == 0
    }

    /// Looks at the bytes that are new: whether the parser can say more now than when it was run last.
    ///
    /// That is at the first empty line, or at a limit. Nothing is refused here, so that a head comes to the same verdict
    /// in any pieces.
    pub(crate) fn find_end(&mut self, bytes: &[u8], limits: &Limits) -> bool {
        while let Some(&byte) = bytes.get(self.seen) {
            self.seen += 1;
            self.line += 1;
            if byte == b'\n' {
                let empty = self.line == 1 || (self.line == 2 && bytes[self.seen - 2] == b'\r');
                if empty {
                    return true;
                }
                self.line = 0;
                self.first_line = false;
            } else if self.first_line && self.line == limits.request_line.saturating_add(2) {
                return true;
            }
            if self.seen == limits.head {
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
#[path = "head_tests.rs"]
mod tests;
