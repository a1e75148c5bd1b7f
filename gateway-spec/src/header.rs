//! [`Head`]: a status and headers that were checked, and [`Field`]: a header of a request.

use std::borrow::Cow;

use crate::text::{digits, first_not_latin1_text, is_printable_ascii, is_token, latin1};
use crate::{Misuse, Status};

/// One field line of a request, as it was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'r> {
    /// The name, in the letter case of the client: a token.
    pub name: &'r str,
    /// The value, without blanks at its ends: octets, of no charset (H1-FLD-10).
    pub value: &'r [u8],
}

impl Field<'_> {
    /// A place to be filled: servers keep arrays of these.
    pub const EMPTY: Self = Self { name: "", value: b"" };
}

/// The head of a response after [`Calls::start`](crate::Calls::start) has checked it.
///
/// Only the contract can make one. So whatever reaches a server in this type has a valid status, header names that are
/// tokens and not hop-by-hop, values without CR, LF, NUL or other controls but HTAB, and at most one `Content-Length`,
/// of digits only: response splitting (H1-SEC-01) and foreign framing end here.
#[derive(Clone, Copy, Debug)]
pub struct Head<'h> {
    status: &'h Status,
    headers: &'h [(&'h str, &'h str)],
    facts: Facts,
}

/// What the check of a head finds besides misuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) content_length: Option<u64>,
    has_date: bool,
    has_server: bool,
    /// Whether the values are their own octets.
    is_ascii: bool,
}

impl<'h> Head<'h> {
    /// Checks in this order: names and values from first to last (GW-VAL-03; the status is valid by its type).
    pub(crate) fn check(status: &'h Status, headers: &'h [(&'h str, &'h str)]) -> Result<Self, Misuse> {
        let mut facts = Facts { content_length: None, has_date: false, has_server: false, is_ascii: true };
        for &(name, value) in headers {
            facts.is_ascii &= check(name, value)?;
            // By length first: most names are done after one comparison of numbers.
            match name.len() {
                4 => facts.has_date |= name.eq_ignore_ascii_case("date"),
                6 => facts.has_server |= name.eq_ignore_ascii_case("server"),
                14 if name.eq_ignore_ascii_case("content-length") => match digits(value.as_bytes()) {
                    Some(length) if facts.content_length.is_none() => facts.content_length = Some(length),
                    _ => return Err(Misuse::BadContentLength { value: value.to_owned() }),
                },
                _ => {}
            }
        }
        Ok(Self { status, headers, facts })
    }

    pub(crate) const fn facts(&self) -> Facts {
        self.facts
    }

    /// The status.
    #[must_use]
    pub const fn status(&self) -> &'h Status {
        self.status
    }

    /// The headers in the order given, values as octets and without blanks at their ends, which are not part of a value
    /// (H1-SYN-04).
    pub fn headers(&self) -> impl Iterator<Item = (&'h str, Cow<'h, [u8]>)> + use<'h> {
        // The check has seen that no character is above U+00FF, so nothing is lost here.
        let octets = |value: &'h str| latin1(value).unwrap_or_default();
        let is_ascii = self.facts.is_ascii;
        self.headers.iter().map(move |&(name, value)| {
            let value = trim_blanks(value);
            (name, if is_ascii { value.as_bytes().into() } else { octets(value) })
        })
    }

    /// The `Content-Length` that the application declared, in bytes.
    #[must_use]
    pub const fn content_length(&self) -> Option<u64> {
        self.facts.content_length
    }

    /// Whether the application sent a `Date` of its own, so that the server adds none (GW-HDR-05).
    #[must_use]
    pub const fn has_date(&self) -> bool {
        self.facts.has_date
    }

    /// Whether the application sent a `Server` of its own.
    #[must_use]
    pub const fn has_server(&self) -> bool {
        self.facts.has_server
    }
}

/// The value of a header without the blanks at its ends, SP and HTAB (H1-SYN-04).
///
/// [`Head::headers`] does so already. This is for values that go out by another way, such as early hints.
#[must_use]
pub fn trim_blanks(value: &str) -> &str {
    match value.as_bytes() {
        [b' ' | b'\t', ..] | [.., b' ' | b'\t'] => value.trim_matches([' ', '\t']),
        _ => value, // nearly always
    }
}

/// Checks one header that an application wants to send.
///
/// For parts of a server that take headers by another way than [`Calls::start`](crate::Calls::start), such as early
/// hints.
///
/// # Errors
/// [`Misuse::BadHeaderName`], [`Misuse::HopByHop`] or [`Misuse::BadHeaderValue`].
pub fn check_header(name: &str, value: &str) -> Result<(), Misuse> {
    check(name, value).map(drop)
}

/// As [`check_header`]; also tells whether the value is printable ASCII, as nearly every one is.
fn check(name: &str, value: &str) -> Result<bool, Misuse> {
    if !is_token(name.as_bytes()) {
        return Err(Misuse::BadHeaderName { name: name.to_owned() });
    }
    if is_hop_by_hop(name) {
        return Err(Misuse::HopByHop { name: name.to_owned() });
    }
    if is_printable_ascii(value) {
        return Ok(true);
    }
    match first_not_latin1_text(value) {
        Some(character) => Err(Misuse::BadHeaderValue { name: name.to_owned(), character }),
        None => Ok(false),
    }
}

/// Whether a header belongs to one connection and therefore to the server (GW-HDR-07), in any letter case.
///
/// ```
/// use gateway_spec::is_hop_by_hop;
///
/// assert!(is_hop_by_hop("transfer-ENCODING"));
/// assert!(!is_hop_by_hop("content-length"));
/// ```
#[must_use]
pub fn is_hop_by_hop(name: &str) -> bool {
    let is = |hop: &str| name.eq_ignore_ascii_case(hop);
    match name.len() {
        2 => is("te"),
        7 => is("trailer") || is("upgrade"),
        // A slip of RFC 2616 that became practice; refused like the real name.
        8 => is("trailers"),
        10 => is("connection") || is("keep-alive"),
        16 => is("proxy-connection"),
        17 => is("transfer-encoding"),
        18 => is("proxy-authenticate"),
        19 => is("proxy-authorization"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check<'h>(headers: &'h [(&'h str, &'h str)]) -> Result<Head<'h>, Misuse> {
        static OK: Status = Status::OK;
        Head::check(&OK, headers)
    }

    #[test]
    fn names_are_tokens() {
        for name in ["", "A B", "A:", "A\r\nB", "Ä", "A\0", "(A", "a\tb", "a/b"] {
            assert_eq!(check(&[(name, "x")]).unwrap_err(), Misuse::BadHeaderName { name: name.into() });
        }
        for name in ["X-1", "1X", "X.Y", "x_y", "!#$%&'*+-.^_`|~"] {
            assert!(check(&[(name, "x")]).is_ok());
        }
    }

    #[test]
    fn values_have_no_controls() {
        for (value, character) in
            [("a\r\nb", '\r'), ("a\n", '\n'), ("a\0", '\0'), ("a\x1f", '\x1f'), ("\x7f", '\x7f'), ("é€", '€')]
        {
            let name = "X".to_owned();
            assert_eq!(check(&[("X", value)]).unwrap_err(), Misuse::BadHeaderValue { name, character });
        }
        for value in ["", "a\tb", "a b", "\u{e9}\u{80}\u{ff}"] {
            assert!(check(&[("X", value)]).is_ok(), "{value:?}");
        }
        for (value, octets) in [(" \ta b\t ", "a b"), (" ", ""), ("\t\u{a0}", "\u{a0}")] {
            let octets = latin1(octets).unwrap();
            assert_eq!(check(&[("X", value)]).unwrap().headers().next().unwrap().1, octets, "{value:?}");
        }
        let octets: Vec<_> = check(&[("X", "\u{e9}")]).unwrap().headers().map(|(_, v)| v.into_owned()).collect();
        assert_eq!(octets, [b"\xe9"]);
    }

    #[test]
    fn connection_headers_are_refused_in_any_case() {
        for name in [
            "Connection",
            "KEEP-alive",
            "Proxy-Authenticate",
            "proxy-authorization",
            "Proxy-Connection",
            "TE",
            "Trailer",
            "Trailers",
            "Transfer-Encoding",
            "upgrade",
        ] {
            assert_eq!(check(&[(name, "x")]).unwrap_err(), Misuse::HopByHop { name: name.into() });
        }
    }

    #[test]
    fn one_content_length_of_digits() {
        for value in ["", "abc", "-1", "+5", " 5", "5, 5", "0x5", "18446744073709551616"] {
            let error = Misuse::BadContentLength { value: value.into() };
            assert_eq!(check(&[("content-LENGTH", value)]).unwrap_err(), error);
        }
        assert!(check(&[("Content-Length", "5"), ("content-length", "5")]).is_err());
        assert_eq!(check(&[("X", "y"), ("cOnTeNt-LeNgTh", "5")]).unwrap().content_length(), Some(5));
    }

    #[test]
    fn date_and_server_are_noticed() {
        let head = check(&[("dAtE", "x"), ("SERVER", "y")]).unwrap();
        assert!(head.has_date() && head.has_server());
        let head = check(&[("Dated", "x")]).unwrap();
        assert!(!head.has_date() && !head.has_server());
    }

    proptest! {
        /// Whatever passes can be written as a line, and reads back as the same name and octets.
        #[test]
        fn what_passes_is_one_line(name in "[\u{0}-\u{7f}]{0,8}|[A-Za-z-]{1,20}", value in "[\u{0}-\u{120}]{0,20}") {
            let headers = [(name.as_str(), value.as_str())];
            if let Ok(head) = check(&headers) {
                for (name, value) in head.headers() {
                    prop_assert!(!name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && b != b':'));
                    prop_assert!(!value.iter().any(|&b| (b < 0x20 && b != b'\t') || b == 0x7f));
                }
            } else {
                let control = value.chars().any(|c| c.is_ascii_control() && c != '\t');
                let wide = value.chars().any(|c| c > '\u{ff}');
                prop_assert!(control || wide || !is_token(name.as_bytes()) || is_hop_by_hop(&name));
            }
        }
    }
}
