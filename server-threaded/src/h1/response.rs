//! Response heads and chunks (RFC 9112 sections 4, 6 and 7).

use std::io::Write;

use gateway_spec::{Head, Status, Version, trim_blanks};

use super::Reject;

/// How the end of a response body is told (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// There is no content: the response is to HEAD, or is a 204 or 304 (H1-RFR-09). The length that is told is that of the
    /// content there would be, if it is known (H1-NOB-03).
    NoContent(Option<u64>),
    /// `Content-Length`, whoever declared it.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
    /// The end of the connection.
    Close,
}

/// What is known when a head goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) version: Version,
    pub(crate) head_request: bool,
    pub(crate) code: u16,
    /// Declared by the application.
    pub(crate) declared: Option<u64>,
    /// The length of the body, if the server knows it.
    pub(crate) known: Option<u64>,
}

impl Framing {
    /// Chooses; self-delimited if possible (H1-RFR-08), never chunked for HTTP/1.0 (H1-RFR-05).
    pub(crate) fn choose(facts: &Facts) -> Self {
        if facts.code == 204 {
            Self::NoContent(None) // H1-NOB-05
        } else if facts.code == 304 {
            Self::NoContent(facts.declared)
        } else if facts.code == 205 {
            Self::Length(0) // H1-NOB-07, and to a HEAD as well (H1-NOB-03)
        } else if facts.head_request {
            Self::NoContent(facts.declared.or(facts.known))
        } else if let Some(length) = facts.declared.or(facts.known) {
            Self::Length(length)
        } else if facts.version == Version::Http11 {
            Self::Chunked
        } else {
            Self::Close
        }
    }
}

/// Writes the status line and the application's headers, but for `Content-Length`, which [`finish_head`] writes.
pub(crate) fn write_head(out: &mut Vec<u8>, head: &Head<'_>) {
    write_status_line(out, head.status());
    for (name, value) in head.headers() {
        // Once for the line, and nothing to check for each part of it.
        out.reserve(name.len() + value.len() + 4);
        // Length 14 first: most names are done after one comparison of numbers.
        if name.len() == 14 && name.eq_ignore_ascii_case("content-length") {
            continue;
        }
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(&value);
        out.extend_from_slice(b"\r\n");
    }
}

fn write_status_line(out: &mut Vec<u8>, status: &Status) {
    match status.code() {
        200 if status.reason() == "OK" => out.extend_from_slice(b"HTTP/1.1 200 OK\r\n"),
        code => {
            out.extend_from_slice(b"HTTP/1.1 ");
            write_number(out, u64::from(code));
            out.push(b' '); // also without a phrase (H1-STAT-01)
            out.extend_from_slice(&gateway_spec::latin1(status.reason()).unwrap_or_default());
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// What decides what the server adds to a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ending {
    pub(crate) framing: Framing,
    pub(crate) version: Version,
    pub(crate) keep: bool,
}

/// Ends a head: `lines` (`Date` and `Server`), framing, persistence, the empty line.
pub(crate) fn finish_head(out: &mut Vec<u8>, ending: &Ending, lines: &[u8]) {
    out.extend_from_slice(lines);
    match ending.framing {
        Framing::Length(length) | Framing::NoContent(Some(length)) => {
            out.extend_from_slice(b"Content-Length: ");
            write_number(out, length);
            out.extend_from_slice(b"\r\n");
        }
        Framing::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        Framing::NoContent(None) | Framing::Close => {}
    }
    if !ending.keep {
        out.extend_from_slice(b"Connection: close\r\n");
    } else if ending.version == Version::Http10 {
        out.extend_from_slice(b"Connection: keep-alive\r\n"); // H1-CON-20
    }
    out.extend_from_slice(b"\r\n");
}

/// What goes with a response of the server's own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Own<'e> {
    pub(crate) head_request: bool,
    pub(crate) version: Version,
    pub(crate) keep: bool,
    /// `Date` and `Server`.
    pub(crate) lines: &'e [u8],
}

/// A whole response of the server's own: a sentence of plain text (H1-CODE-02). Returns the length of its content.
pub(crate) fn write_reject(out: &mut Vec<u8>, reject: Reject, own: &Own<'_>) -> u64 {
    write_status_line(out, &reject.status());
    out.extend_from_slice(b"Content-Type: text/plain; charset=utf-8\r\n");
    if reject.code == 503 {
        out.extend_from_slice(b"Retry-After: 1\r\n");
    }
    let length = reject.why.len() as u64 + 1;
    let framing = if own.head_request { Framing::NoContent(Some(length)) } else { Framing::Length(length) };
    let ending = Ending { framing, version: own.version, keep: own.keep };
    finish_head(out, &ending, own.lines);
    if own.head_request {
        return 0;
    }
    out.extend_from_slice(reject.why.as_bytes());
    out.push(b'\n');
    length
}

/// An interim response, which never has a `Content-Length` (H1-NOB-05).
pub(crate) fn write_early_hints(out: &mut Vec<u8>, headers: &[(&str, &str)]) {
    out.extend_from_slice(b"HTTP/1.1 103 Early Hints\r\n");
    for (name, value) in headers.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("content-length")) {
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(&gateway_spec::latin1(trim_blanks(value)).unwrap_or_default());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// The interim response that asks for the body.
pub(crate) const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// The end of a chunked body.
pub(crate) const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// The line before the data of a chunk that is not empty (an empty one would end the body: H1-CHK-09).
pub(crate) fn write_chunk_size(out: &mut Vec<u8>, length: usize) {
    debug_assert_ne!(length, 0);
    // Writing to a vector cannot fail.
    let _ = write!(out, "{length:X}\r\n");
}

fn write_number(out: &mut Vec<u8>, number: u64) {
    if number >= 10 {
        write_number(out, number / 10);
    }
    out.push(b'0' + (number % 10) as u8);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn facts(version: Version, head_request: bool, code: u16, declared: Option<u64>, known: Option<u64>) -> Framing {
        Framing::choose(&Facts { version, head_request, code, declared, known })
    }

    #[test]
    fn framings() {
        use Version::{Http10, Http11};
        assert_eq!(facts(Http11, false, 200, None, Some(5)), Framing::Length(5));
        assert_eq!(facts(Http11, false, 200, Some(4), Some(5)), Framing::Length(4));
        assert_eq!(facts(Http11, false, 200, None, None), Framing::Chunked);
        assert_eq!(facts(Http10, false, 200, None, None), Framing::Close);
        assert_eq!(facts(Http11, true, 200, None, None), Framing::NoContent(None));
        assert_eq!(facts(Http11, true, 200, None, Some(7)), Framing::NoContent(Some(7)));
        assert_eq!(facts(Http11, true, 200, Some(5), Some(7)), Framing::NoContent(Some(5)));
        assert_eq!(facts(Http11, false, 204, Some(5), Some(7)), Framing::NoContent(None));
        assert_eq!(facts(Http11, true, 204, Some(5), Some(7)), Framing::NoContent(None));
        assert_eq!(facts(Http11, false, 304, Some(5), Some(0)), Framing::NoContent(Some(5)));
        assert_eq!(facts(Http11, true, 304, None, Some(0)), Framing::NoContent(None));
        assert_eq!(facts(Http11, false, 205, Some(5), Some(5)), Framing::Length(0));
        assert_eq!(facts(Http11, true, 205, Some(5), Some(5)), Framing::Length(0));
    }

    fn ended(framing: Framing, version: Version, keep: bool) -> String {
        let mut out = vec![];
        finish_head(&mut out, &Ending { framing, version, keep }, b"");
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn endings() {
        use Version::{Http10, Http11};
        assert_eq!(ended(Framing::Length(5), Http11, true), "Content-Length: 5\r\n\r\n");
        assert_eq!(ended(Framing::Chunked, Http11, true), "Transfer-Encoding: chunked\r\n\r\n");
        assert_eq!(ended(Framing::NoContent(Some(7)), Http11, true), "Content-Length: 7\r\n\r\n");
        assert_eq!(ended(Framing::NoContent(None), Http11, true), "\r\n");
        assert_eq!(ended(Framing::Close, Http10, false), "Connection: close\r\n\r\n");
        assert_eq!(ended(Framing::NoContent(None), Http10, true), "Connection: keep-alive\r\n\r\n");
    }

    #[test]
    fn a_refusal_is_a_whole_response() {
        let mut out = vec![];
        let own = Own { head_request: false, version: Version::Http11, keep: false, lines: b"Date: now\r\n" };
        assert_eq!(write_reject(&mut out, Reject::BUSY, &own), 43);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\nRetry-After: 1\r\n\
             Date: now\r\nContent-Length: 43\r\nConnection: close\r\n\r\n\
             The server is busy. Try again in a moment.\n"
        );
    }

    proptest! {
        #[test]
        fn numbers_are_decimal(number: u64) {
            let mut out = vec![];
            write_number(&mut out, number);
            prop_assert_eq!(String::from_utf8(out).unwrap(), number.to_string());
        }
    }
}
