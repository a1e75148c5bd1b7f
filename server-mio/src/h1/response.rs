//! The head of a response and its framing (RFC 9112 sections 4, 6 and 9).

use gateway_spec::{Head, Status, Version};

use super::Reject;
use super::date::Date;

/// How the end of the content is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delimiter {
    /// No content: by the method, the status, or because there is none.
    Nothing,
    /// A declared number of bytes.
    Length,
    /// Chunks (H1-RFR-08).
    Chunked,
    /// The end of the connection, for HTTP/1.0 (H1-RFR-05).
    Close,
}

/// What decides the framing of a response besides its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    /// HEAD: the head as for GET, and no content (H1-NOB-01).
    pub(crate) head_only: bool,
    pub(crate) version: Version,
    pub(crate) code: u16,
}

impl Facts {
    /// Whether content of the application is dropped: HEAD, 204, 304 (H1-RFR-09), and 205 (H1-NOB-07).
    pub(crate) const fn drops_content(self) -> bool {
        self.head_only || matches!(self.code, 204 | 205 | 304)
    }
}

/// The framing of a response whose length is known, or not.
pub(crate) const fn delimiter(facts: Facts, length: Option<u64>) -> Delimiter {
    if facts.drops_content() {
        return Delimiter::Nothing;
    }
    match (length, facts.version) {
        (Some(_), _) => Delimiter::Length,
        (None, Version::Http11) => Delimiter::Chunked,
        (None, Version::Http10) => Delimiter::Close,
    }
}

/// Writes the status line and the headers of the application, all but its `Content-Length`, which is decided later.
pub(crate) fn begin(out: &mut Vec<u8>, head: &Head<'_>) {
    if *head.status() == Status::OK {
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    } else {
        status_line(out, head.status());
    }
    for (name, value) in head.headers() {
        if name.len() == 14 && name.eq_ignore_ascii_case("content-length") {
            continue;
        }
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(&value);
        out.extend_from_slice(b"\r\n");
    }
}

/// The space after the code stands even when there is no phrase (H1-STAT-01).
fn status_line(out: &mut Vec<u8>, status: &Status) {
    out.extend_from_slice(b"HTTP/1.1 ");
    decimal(out, u64::from(status.code()));
    out.push(b' ');
    // ISO-8859-1 by its type (GW-STR-03).
    out.extend_from_slice(&gateway_spec::latin1(status.reason()).unwrap_or_default());
    out.extend_from_slice(b"\r\n");
}

/// What is known when the head goes out: what its [`End`] is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lengths {
    pub(crate) facts: Facts,
    /// By the application.
    pub(crate) declared: Option<u64>,
    /// That of the content, if it is known.
    pub(crate) total: Option<u64>,
    /// Whether the connection can go on, as far as it does not depend on the framing.
    pub(crate) keep_alive: bool,
}

impl Lengths {
    /// Chooses the framing.
    pub(crate) fn end(self) -> End {
        let Self { facts, declared, total, keep_alive } = self;
        let length = match declared.or(total) {
            // Not invented: of content that is dropped only what the application said, or showed (H1-NOB-03, H1-NOB-04).
            None | Some(0) if declared.is_none() && facts.head_only => None,
            _ if facts.code == 304 => declared,
            length => length,
        };
        let delimiter = delimiter(facts, length);
        End { facts, length, delimiter, keep_alive: keep_alive && delimiter != Delimiter::Close }
    }
}

/// What decides the end of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) facts: Facts,
    /// The declared or counted length; for HEAD and 304 only what the application declared (H1-NOB-03, H1-NOB-04).
    pub(crate) length: Option<u64>,
    pub(crate) delimiter: Delimiter,
    /// Whether the connection goes on.
    pub(crate) keep_alive: bool,
}

/// Writes the headers of the server and the empty line. `lines` are the `Server` and `Date` lines, without those that the
/// application sent itself (GW-HDR-05).
pub(crate) fn end(out: &mut Vec<u8>, end: End, lines: &[u8]) {
    match (end.delimiter, end.length) {
        // Never in a 204 (H1-NOB-05, H1-RFR-03).
        _ if end.facts.code == 204 => {}
        // 205 is framed by a length of zero (C-H15).
        _ if end.facts.code == 205 => out.extend_from_slice(b"Content-Length: 0\r\n"),
        (Delimiter::Length | Delimiter::Nothing, Some(length)) => {
            out.extend_from_slice(b"Content-Length: ");
            decimal(out, length);
            out.extend_from_slice(b"\r\n");
        }
        (Delimiter::Chunked, _) => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        _ => {}
    }
    out.extend_from_slice(lines);
    match (end.keep_alive, end.facts.version) {
        (true, Version::Http11) => out.extend_from_slice(b"\r\n"),
        // Said to HTTP/1.0 clients that asked (H1-CON-20).
        (true, Version::Http10) => out.extend_from_slice(b"Connection: keep-alive\r\n\r\n"),
        (false, _) => out.extend_from_slice(b"Connection: close\r\n\r\n"),
    }
}

/// Writes the size line of a chunk (H1-CHK-09). There is no chunk of no bytes: that would be the last one.
pub(crate) fn chunk_size(out: &mut Vec<u8>, size: usize) {
    debug_assert!(size > 0, "an empty block is no chunk");
    let digits = (usize::BITS - size.leading_zeros()).div_ceil(4);
    for digit in (0..digits).rev() {
        out.push(b"0123456789abcdef"[size >> (4 * digit) & 15]);
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes a number.
pub(crate) fn decimal(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

/// Writes a whole response of the server's own: a refusal, or a 500 for the application.
pub(crate) fn refusal(out: &mut Vec<u8>, status: &Status, text: &str, facts: Facts, keep_alive: bool, lines: &[u8]) {
    status_line(out, status);
    out.extend_from_slice(b"Content-Type: text/plain; charset=utf-8\r\n");
    if status.code() == 503 {
        // Whoever was turned away may come back in a second (H1-CODE-21).
        out.extend_from_slice(b"Retry-After: 1\r\n");
    }
    let length = Some(text.len() as u64 + 1);
    let delimiter = delimiter(facts, length);
    end(out, End { facts, length, delimiter, keep_alive }, lines);
    if !facts.head_only {
        out.extend_from_slice(text.as_bytes());
        out.push(b'\n');
    }
}

/// Writes a refusal of a request. It closes the connection.
pub(crate) fn reject(
    out: &mut Vec<u8>,
    reject: Reject,
    head_only: bool,
    server: Option<&str>,
    date: &mut Date,
    second: u64,
) {
    let status = reject.status();
    let facts = Facts { head_only, version: Version::Http11, code: status.code() };
    refusal(out, &status, reject.text(), facts, false, date.lines(second, server));
}

#[cfg(test)]
mod tests {
    use gateway_spec::Calls;
    use proptest::prelude::*;

    use super::*;

    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

    fn head(code: u16, version: Version, head_only: bool, keep_alive: bool, length: Option<u64>) -> String {
        let status = Status::from_code(code).unwrap();
        let mut calls = Calls::new();
        let headers = [("content-LENGTH", "7"), ("X-A", "\u{e9}")];
        let head = calls.start(&status, &headers, None).unwrap();
        let mut out = Vec::new();
        begin(&mut out, &head);
        let facts = Facts { head_only, version, code };
        let delimiter = delimiter(facts, length);
        let lines = format!("Date: {DATE}\r\n");
        end(&mut out, End { facts, length, delimiter, keep_alive }, lines.as_bytes());
        out.iter().map(|&b| char::from(b)).collect()
    }

    #[test]
    fn heads() {
        let date = format!("Date: {DATE}\r\n");
        assert_eq!(
            head(200, Version::Http11, false, true, Some(7)),
            format!("HTTP/1.1 200 OK\r\nX-A: \u{e9}\r\nContent-Length: 7\r\n{date}\r\n")
        );
        assert_eq!(
            head(200, Version::Http11, false, true, None),
            format!("HTTP/1.1 200 OK\r\nX-A: \u{e9}\r\nTransfer-Encoding: chunked\r\n{date}\r\n")
        );
        assert_eq!(
            head(299, Version::Http10, false, false, None),
            format!("HTTP/1.1 299 \r\nX-A: \u{e9}\r\n{date}Connection: close\r\n\r\n")
        );
        assert_eq!(
            head(200, Version::Http10, false, true, Some(0)),
            format!("HTTP/1.1 200 OK\r\nX-A: \u{e9}\r\nContent-Length: 0\r\n{date}Connection: keep-alive\r\n\r\n")
        );
    }

    #[test]
    fn content_that_may_not_be() {
        for code in [204, 205, 304] {
            assert_eq!(delimiter(Facts { head_only: false, version: Version::Http11, code }, None), Delimiter::Nothing);
        }
        assert!(!head(204, Version::Http11, false, true, Some(7)).contains("Content-Length"));
        assert!(head(205, Version::Http11, false, true, Some(7)).contains("Content-Length: 0\r\n"));
        assert!(head(304, Version::Http11, false, true, Some(7)).contains("Content-Length: 7\r\n"));
        assert!(!head(304, Version::Http11, false, true, None).contains("Content-Length"));
        assert!(!head(200, Version::Http11, true, true, None).contains("Content-Length"));
        assert!(head(200, Version::Http11, true, true, Some(7)).contains("Content-Length: 7\r\n"));
        for head_only in [false, true] {
            let text = head(204, Version::Http11, head_only, true, None);
            assert!(!text.contains("Transfer-Encoding"), "{text}");
        }
    }

    #[test]
    fn refusals_are_whole() {
        let mut out = Vec::new();
        reject(&mut out, Reject::Overload, false, Some("x"), &mut Date::new(), 784_111_777);
        let text = String::from_utf8(out).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{head}");
        for line in ["Retry-After: 1", "Connection: close", "Server: x", &format!("Date: {DATE}")] {
            assert!(head.lines().any(|l| l == line), "{line} in {head}");
        }
        assert!(head.contains(&format!("Content-Length: {}", body.len())));
        let mut out = Vec::new();
        reject(&mut out, Reject::Timeout, true, None, &mut Date::new(), 0);
        assert!(out.ends_with(b"\r\n\r\n"));
    }

    proptest! {
        #[test]
        fn numbers(number in any::<u64>(), size in 1usize..) {
            let mut out = Vec::new();
            decimal(&mut out, number);
            prop_assert_eq!(String::from_utf8(out).unwrap(), number.to_string());
            let mut out = Vec::new();
            chunk_size(&mut out, size);
            prop_assert_eq!(String::from_utf8(out).unwrap(), format!("{size:x}\r\n"));
        }
    }
}
