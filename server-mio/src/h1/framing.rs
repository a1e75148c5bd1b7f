//! Where the body of a request ends, and whether the connection goes on (RFC 9112 sections 6.3 and 9.3).

use gateway_spec::{Version, digits, is_token};

use super::Reject;

/// How the body of a request is delimited. It is never delimited by the end of the connection (H1-FRM-17).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// No body (H1-FRM-01).
    Empty,
    /// This many bytes.
    Length(u64),
    /// Chunks.
    Chunked,
}

/// What the fields that steer framing and connection said, gathered in one pass over the head.
#[derive(Debug, Default)]
pub(crate) struct Controls<'b> {
    content_length: Option<&'b [u8]>,
    repeated_length: bool,
    coding: Coding,
    close: bool,
    keep_alive: bool,
    expect: Expect,
}

/// What the `Transfer-Encoding` lines come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Coding {
    #[default]
    Absent,
    /// `chunked` and nothing else.
    Chunked,
    /// Only other codings so far: if it ends so, the end of the body cannot be found (H1-FRM-05).
    Unknown,
    /// Other codings, and then `chunked` (H1-FRM-04).
    UnknownChunked,
    /// No list of codings, or chunked not at its end, or twice (H1-FRM-06), or with parameters (H1-CHK-03).
    Malformed,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Expect {
    #[default]
    Nothing,
    Continue,
    Unknown,
}

impl<'b> Controls<'b> {
    /// A `Content-Length` line.
    pub(crate) const fn content_length(&mut self, value: &'b [u8]) {
        self.repeated_length = self.content_length.is_some();
        self.content_length = Some(value);
    }

    /// A `Transfer-Encoding` line. Several lines are one list (H1-FRM-06).
    pub(crate) fn transfer_encoding(&mut self, value: &[u8]) {
        for element in value.split(|&b| b == b',') {
            let element = element.trim_ascii();
            let (name, parameters) = match element.iter().position(|&b| b == b';') {
                Some(semicolon) => (element[..semicolon].trim_ascii_end(), Some(&element[semicolon + 1..])),
                None => (element, None),
            };
            let chunked = name.eq_ignore_ascii_case(b"chunked");
            self.coding = match self.coding {
                // An empty element is tolerated in other lists; here it is how smuggling begins (C-H5).
                _ if !is_token(name) || parameters.is_some_and(|p| p.trim_ascii().is_empty()) => Coding::Malformed,
                _ if chunked && parameters.is_some() => Coding::Malformed,
                Coding::Malformed | Coding::Chunked | Coding::UnknownChunked => Coding::Malformed,
                Coding::Absent if chunked => Coding::Chunked,
                Coding::Unknown if chunked => Coding::UnknownChunked,
                Coding::Absent | Coding::Unknown => Coding::Unknown,
            };
        }
    }

    /// A `Connection` line: a list of options, in any letter case (H1-CON-17). Empty elements are skipped (H1-SYN-02).
    pub(crate) fn connection(&mut self, value: &[u8]) {
        if value.eq_ignore_ascii_case(b"keep-alive") {
            self.keep_alive = true; // what most clients say, and nothing else
            return;
        }
        for option in value.split(|&b| b == b',') {
            let option = option.trim_ascii();
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }

    /// An `Expect` line (H1-CONT-08).
    pub(crate) fn expect(&mut self, value: &[u8]) {
        for expectation in value.split(|&b| b == b',').map(<[u8]>::trim_ascii).filter(|e| !e.is_empty()) {
            if !expectation.eq_ignore_ascii_case(b"100-continue") {
                self.expect = Expect::Unknown;
            } else if self.expect == Expect::Nothing {
                self.expect = Expect::Continue;
            }
        }
    }

    /// The framing of the body, by the rules in the order of RFC 9112 section 6.3 (H1-FRM-02).
    ///
    /// # Errors
    /// Both length and coding (H1-FRM-07, H1-FRM-08), a coding in HTTP/1.0 (H1-FRM-09), an unknown (H1-FRM-04) or
    /// broken one (H1-FRM-05), a length that is not one to twenty digits (H1-FRM-10, C-H13) or comes twice
    /// (H1-FRM-12), one over `max_body` (H1-CODE-14).
    pub(crate) fn framing(&self, version: Version, max_body: u64) -> Result<Framing, Reject> {
        match (self.coding, self.content_length) {
            (Coding::Absent, None) => Ok(Framing::Empty),
            (Coding::Absent, Some(_)) if self.repeated_length => {
                Err(Reject::Framing("there is more than one Content-Length"))
            }
            (Coding::Absent, Some(value)) => {
                let number = (1..=20).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
                match digits(value) {
                    _ if !number => Err(Reject::Framing("Content-Length is not a number")),
                    Some(length) if length <= max_body => Ok(Framing::Length(length)),
                    // Also a number that 64 bits do not hold: over any limit (H1-FRM-13).
                    _ => Err(Reject::BodyTooLarge),
                }
            }
            (_, Some(_)) => Err(Reject::Framing("there are both Transfer-Encoding and Content-Length")),
            _ if version == Version::Http10 => Err(Reject::Framing("HTTP/1.0 has no Transfer-Encoding")),
            (Coding::Chunked, None) => Ok(Framing::Chunked),
            (Coding::UnknownChunked, None) => Err(Reject::UnknownCoding),
            (Coding::Unknown, None) => Err(Reject::Framing("Transfer-Encoding does not end in chunked")),
            (Coding::Malformed, None) => Err(Reject::Framing("Transfer-Encoding is malformed")),
        }
    }

    /// Whether the connection goes on after this request (H1-CON-02).
    pub(crate) const fn persists(&self, version: Version) -> bool {
        match version {
            _ if self.close => false,
            Version::Http11 => true,
            Version::Http10 => self.keep_alive,
        }
    }

    /// Whether the client waits for `100 Continue` before it sends the body.
    ///
    /// # Errors
    /// Any other expectation (H1-CONT-01). HTTP/1.0 has no expectations (H1-CONT-02).
    pub(crate) const fn expects_continue(&self, version: Version) -> Result<bool, Reject> {
        match (version, self.expect) {
            (Version::Http10, _) | (_, Expect::Nothing) => Ok(false),
            (Version::Http11, Expect::Continue) => Ok(true),
            (Version::Http11, Expect::Unknown) => Err(Reject::Expectation),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framing(version: Version, lengths: &[&'static str], codings: &[&str]) -> Result<Framing, u16> {
        let mut controls = Controls::default();
        lengths.iter().for_each(|value| controls.content_length(value.as_bytes()));
        codings.iter().for_each(|value| controls.transfer_encoding(value.as_bytes()));
        controls.framing(version, 1000).map_err(|reject| reject.status().code())
    }

    fn length(value: &'static str) -> Result<Framing, u16> {
        framing(Version::Http11, &[value], &[])
    }

    fn coding(values: &[&str]) -> Result<Framing, u16> {
        framing(Version::Http11, &[], values)
    }

    #[test]
    fn lengths() {
        assert_eq!(framing(Version::Http11, &[], &[]), Ok(Framing::Empty));
        assert_eq!(length("0"), Ok(Framing::Length(0)));
        assert_eq!(length("005"), Ok(Framing::Length(5)));
        assert_eq!(length("1000"), Ok(Framing::Length(1000)));
        for large in ["1001", "9223372036854775808", "18446744073709551615", "18446744073709551616"] {
            assert_eq!(length(large), Err(413), "{large}");
        }
        for bad in ["", "+5", "-1", "5 5", "0x5", "5,5", "5, 5", "1e1", "5\0", "000000000000000000005"] {
            assert_eq!(length(bad), Err(400), "{bad:?}");
        }
        for second in ["5", "6", "", "05", "+5"] {
            assert_eq!(framing(Version::Http11, &["5", second], &[]), Err(400));
            assert_eq!(framing(Version::Http11, &["5", "5", second], &[]), Err(400));
        }
    }

    #[test]
    fn codings() {
        for good in ["chunked", "CHUNKED", " chunked\t"] {
            assert_eq!(coding(&[good]), Ok(Framing::Chunked));
        }
        for unknown in ["gzip, chunked", "foo;a=b, chunked", "gzip, br, chunked"] {
            assert_eq!(coding(&[unknown]), Err(501), "{unknown}");
        }
        for endless in ["gzip", "identity", "xchunked", "chunked, gzip", "gzip, chunked, gzip"] {
            assert_eq!(coding(&[endless]), Err(400), "{endless}");
        }
        for bad in [
            "",
            ",",
            ", chunked",
            "chunked,",
            "chunked, chunked",
            "\"chunked\"",
            "chunked chunked",
            "chunked/1",
            "chunked;",
            "chunked;a=b",
            "\u{b}chunked",
            "gzip,, chunked",
            ": chunked",
            "gzip;, chunked",
        ] {
            assert_eq!(coding(&[bad]), Err(400), "{bad:?}");
        }
        assert_eq!(coding(&["gzip", "chunked"]), Err(501));
        assert_eq!(coding(&["chunked", "chunked"]), Err(400));
        assert_eq!(coding(&["chunked", ""]), Err(400));
        assert_eq!(framing(Version::Http10, &[], &["chunked"]), Err(400));
        assert_eq!(framing(Version::Http11, &["5"], &["chunked"]), Err(400));
        assert_eq!(framing(Version::Http11, &["x"], &["gzip, chunked"]), Err(400));
    }

    #[test]
    fn persistence() {
        let persists = |version, values: &[&str]| {
            let mut controls = Controls::default();
            values.iter().for_each(|value| controls.connection(value.as_bytes()));
            controls.persists(version)
        };
        assert!(persists(Version::Http11, &[]));
        assert!(!persists(Version::Http11, &["Close"]));
        assert!(!persists(Version::Http11, &["Keep-Alive, CLOSE"]));
        assert!(!persists(Version::Http11, &["foo", ", close ,"]));
        assert!(persists(Version::Http11, &["closed, x-close"]));
        assert!(!persists(Version::Http10, &[]));
        assert!(persists(Version::Http10, &["foo, keep-alive"]));
        assert!(!persists(Version::Http10, &["keep-alive", "close"]));
    }

    #[test]
    fn expectations() {
        let expects = |version, values: &[&str]| {
            let mut controls = Controls::default();
            values.iter().for_each(|value| controls.expect(value.as_bytes()));
            controls.expects_continue(version).map_err(|reject| reject.status().code())
        };
        assert_eq!(expects(Version::Http11, &[]), Ok(false));
        assert_eq!(expects(Version::Http11, &["100-Continue"]), Ok(true));
        assert_eq!(expects(Version::Http11, &["foo"]), Err(417));
        assert_eq!(expects(Version::Http11, &["100-continue, foo"]), Err(417));
        assert_eq!(expects(Version::Http11, &["foo", "100-continue"]), Err(417));
        assert_eq!(expects(Version::Http10, &["100-continue"]), Ok(false));
    }
}
