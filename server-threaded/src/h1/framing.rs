//! Lengths, codings, versions: where a request ends, and whether the connection lives on (RFC 9112 sections 6 and 9.3).

use gateway_spec::{Field, Version, digits};

use super::Reject;
use super::target::is_authority;

/// How the end of a request body is found (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// No `Content-Length` and no `Transfer-Encoding`: no body, whatever the method (H1-FRM-01).
    None,
    /// A `Content-Length`; 0 is a body too, of no bytes.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

/// What the few fields say that the server itself must understand, collected in one pass over all.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Framer {
    /// Which field is `Host`.
    host: Option<usize>,
    /// Which field is `Content-Length`.
    length: Option<usize>,
    coding: Option<Coding>,
    expectation: Option<Expectation>,
    close: bool,
    keep_alive: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    /// A single `chunked`.
    Chunked,
    /// A list of others before a final `chunked`.
    Unknown,
    /// A list that does not end in `chunked` so far: where the body ends cannot be known.
    Endless,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expectation {
    Continue,
    Other,
}

/// Which of the fields that the server itself must understand.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    None,
    Host,
    Expect,
    Connection,
    ContentLength,
    TransferEncoding,
}

impl Part {
    #[inline]
    fn of(name: &[u8]) -> Self {
        let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
        // By length first: most names are done after one comparison of numbers.
        match name.len() {
            4 if is(b"host") => Self::Host,
            6 if is(b"expect") => Self::Expect,
            10 if is(b"connection") => Self::Connection,
            14 if is(b"content-length") => Self::ContentLength,
            17 if is(b"transfer-encoding") => Self::TransferEncoding,
            _ => Self::None,
        }
    }
}

impl Framer {
    /// Reads the field lines.
    pub(crate) fn read(fields: &[Field<'_>]) -> Result<Self, Reject> {
        let mut framer = Self::default();
        for (index, field) in fields.iter().enumerate() {
            framer.field(index, field)?;
        }
        Ok(framer)
    }

    /// Whether a field of this name says something of the request.
    pub(super) fn reads(name: &[u8]) -> bool {
        Part::of(name) != Part::None
    }

    fn field(&mut self, index: usize, field: &Field<'_>) -> Result<(), Reject> {
        match Part::of(field.name.as_bytes()) {
            Part::None if field.name.is_empty() => Err(Reject::bad_request("A field has no name.")),
            Part::None => Ok(()),
            // Every request that reaches this server is about an http URI, which has a host (H1-TGT-06).
            Part::Host if !is_authority(field.value) => {
                Err(Reject::bad_request("The Host field is not a host with a port."))
            }
            Part::Host => once(&mut self.host, index, "There are two Host fields."),
            Part::Expect => {
                // A list; empty elements are skipped (H1-SYN-02).
                for expectation in list(field.value).filter(|expectation| !expectation.is_empty()) {
                    let continues = expectation.eq_ignore_ascii_case(b"100-continue");
                    let fits = continues && self.expectation != Some(Expectation::Other);
                    self.expectation = Some(if fits { Expectation::Continue } else { Expectation::Other });
                }
                Ok(())
            }
            Part::Connection => {
                for option in list(field.value) {
                    self.close |= option.eq_ignore_ascii_case(b"close");
                    self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                }
                Ok(())
            }
            Part::ContentLength => once(&mut self.length, index, "There are two Content-Length fields."),
            Part::TransferEncoding => self.coding(field.value),
        }
    }

    /// One line of `Transfer-Encoding`; several are one list (H1-FRM-06).
    fn coding(&mut self, value: &[u8]) -> Result<(), Reject> {
        for coding in value.split(|&b| b == b',').map(trim) {
            let name = trim(coding.split(|&b| b == b';').next().unwrap_or_default());
            if !gateway_spec::is_token(name) {
                // Elsewhere an empty element is tolerated (H1-SYN-02); in framing it is refused.
                return Err(Reject::bad_request("Transfer-Encoding is malformed."));
            }
            let chunked = coding.eq_ignore_ascii_case(b"chunked"); // with parameters it is not (H1-CHK-03)
            self.coding = Some(match (self.coding, chunked) {
                (None, true) => Coding::Chunked,
                (None | Some(Coding::Endless), false) => Coding::Endless,
                (Some(Coding::Endless), true) => Coding::Unknown,
                (Some(Coding::Chunked | Coding::Unknown), _) => return Err(ENDLESS),
            });
        }
        Ok(())
    }

    /// Which field is `Host`, whose value is a host with a port (H1-HOST-01 to H1-HOST-03).
    pub(crate) fn host(&self, version: Version) -> Result<Option<usize>, Reject> {
        match self.host {
            None if version == Version::Http11 => Err(Reject::bad_request("The Host field is missing.")),
            host => Ok(host),
        }
    }

    /// Where the body ends; `fields` are those that were read.
    pub(crate) fn framing(&self, version: Version, max_body: u64, fields: &[Field<'_>]) -> Result<Framing, Reject> {
        match (self.coding, self.length.and_then(|index| fields.get(index)).map(|field| field.value)) {
            (Some(_), Some(_)) => {
                Err(Reject::bad_request("Content-Length and Transfer-Encoding exclude each other.")) // H1-FRM-07
            }
            (Some(_), None) if version == Version::Http10 => {
                Err(Reject::bad_request("HTTP/1.0 has no Transfer-Encoding.")) // H1-FRM-09
            }
            (Some(Coding::Chunked), None) => Ok(Framing::Chunked),
            (Some(Coding::Unknown), None) => Err(Reject::new(501, "This server knows no coding but chunked.")),
            (Some(Coding::Endless), None) => Err(ENDLESS),
            (None, None) => Ok(Framing::None),
            (None, Some(length)) => {
                if length.len() > 20 || !length.iter().all(u8::is_ascii_digit) || length.is_empty() {
                    return Err(Reject::bad_request("Content-Length is not a number.")); // H1-FRM-10
                }
                match digits(length) {
                    Some(length) if length <= max_body => Ok(Framing::Length(length)),
                    _ => Err(Reject::new(413, "The request body is too large.")),
                }
            }
        }
    }

    /// Whether the client wants to keep the connection (H1-CON-02).
    pub(crate) fn persistent(&self, version: Version) -> bool {
        !self.close && (version == Version::Http11 || self.keep_alive)
    }

    /// Whether the client waits for a 100 (H1-CONT-02: not with HTTP/1.0).
    pub(crate) fn expects_continue(&self, version: Version) -> Result<bool, Reject> {
        match self.expectation {
            _ if version == Version::Http10 => Ok(false),
            None => Ok(false),
            Some(Expectation::Continue) => Ok(true),
            Some(Expectation::Other) => {
                Err(Reject::new(417, "The only expectation this server knows is 100-continue."))
            }
        }
    }
}

const ENDLESS: Reject = Reject::bad_request("Transfer-Encoding must end in one chunked.");

fn once(place: &mut Option<usize>, index: usize, why: &'static str) -> Result<(), Reject> {
    match place.replace(index) {
        None => Ok(()),
        Some(_) => Err(Reject::bad_request(why)),
    }
}

/// The elements of a list, empty ones included.
fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&b| b == b',').map(trim)
}

/// Without blanks, which are SP and HTAB only (H1-FLD-09).
fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list<'b>(fields: &[(&'b str, &'b str)]) -> Vec<Field<'b>> {
        fields.iter().map(|&(name, value)| Field { name, value: value.as_bytes() }).collect()
    }

    fn framer(fields: &[(&str, &str)]) -> Result<Framer, u16> {
        Framer::read(&list(fields)).map_err(|reject| reject.code)
    }

    fn framing(fields: &[(&str, &str)], version: Version) -> Result<Framing, u16> {
        framer(fields)?.framing(version, 1000, &list(fields)).map_err(|reject| reject.code)
    }

    #[test]
    fn codings() {
        let coding = |value| framing(&[("Transfer-Encoding", value)], Version::Http11);
        for value in ["chunked", "CHUNKED", " chunked\t"] {
            assert_eq!(coding(value), Ok(Framing::Chunked), "{value}");
        }
        for value in ["gzip, chunked", "foo;a=b,chunked", "identity, chunked", "a, b, chunked"] {
            assert_eq!(coding(value), Err(501), "{value}");
        }
        for value in [
            "",
            ",",
            "chunked,",
            ", chunked",
            "chunked, chunked",
            "chunked, gzip",
            "gzip",
            "xchunked",
            "chunked;a=b",
            "chunked;",
            "\"chunked\"",
            "chunked chunked",
            "gzip, chunked, chunked",
            "gzip, chunked, gzip",
        ] {
            assert_eq!(coding(value), Err(400), "{value}");
        }
        let lines = |a, b| framing(&[("Transfer-Encoding", a), ("transfer-encoding", b)], Version::Http11);
        assert_eq!(lines("gzip", "chunked"), Err(501));
        assert_eq!(lines("chunked", "chunked"), Err(400));
        assert_eq!(lines("chunked", "identity"), Err(400));
        assert_eq!(framing(&[("Transfer-Encoding", "chunked")], Version::Http10), Err(400));
        assert_eq!(framing(&[("Transfer-Encoding", "chunked"), ("Content-Length", "5")], Version::Http11), Err(400));
    }

    #[test]
    fn lengths() {
        let length = |value| framing(&[("Content-Length", value)], Version::Http11);
        assert_eq!(length("005"), Ok(Framing::Length(5)));
        assert_eq!(length("00000000000000000005"), Ok(Framing::Length(5)));
        assert_eq!(length("1000"), Ok(Framing::Length(1000)));
        for value in ["1001", "18446744073709551615", "18446744073709551616", "99999999999999999999"] {
            assert_eq!(length(value), Err(413), "{value}");
        }
        for value in ["", "+5", "-1", "5 5", "5,5", "0x5", "5_0", "000000000000000000005", "٥"] {
            assert_eq!(length(value), Err(400), "{value}");
        }
        assert_eq!(framing(&[("Content-Length", "5"), ("content-length", "5")], Version::Http11), Err(400));
    }

    #[test]
    fn persistence() {
        let persistent = |value, version| framer(&[("Connection", value)]).unwrap().persistent(version);
        for (value, http11, http10) in [
            ("", true, false),
            ("close", false, false),
            ("Keep-Alive, CLOSE", false, false),
            ("keep-alive", true, true),
            (", close ,", false, false),
            ("closed", true, false),
            ("foo,\tkeep-alive", true, true),
        ] {
            assert_eq!(persistent(value, Version::Http11), http11, "{value}");
            assert_eq!(persistent(value, Version::Http10), http10, "{value}");
        }
        let lines = framer(&[("Connection", "keep-alive"), ("connection", "close")]).unwrap();
        assert!(!lines.persistent(Version::Http11));
    }

    #[test]
    fn expectations() {
        let expects = |fields, version| framer(fields).unwrap().expects_continue(version).map_err(|reject| reject.code);
        assert_eq!(expects(&[("Expect", "100-Continue")], Version::Http11), Ok(true));
        assert_eq!(expects(&[("Expect", "100-continue")], Version::Http10), Ok(false));
        assert_eq!(expects(&[("Expect", "100-continue, foo")], Version::Http11), Err(417));
        assert_eq!(expects(&[("Expect", "100-continue"), ("Expect", "foo")], Version::Http11), Err(417));
        assert_eq!(expects(&[], Version::Http11), Ok(false));
    }
}
