//! The `Date` field: formatted once a second and copied (H1-DATE-02).

use std::fmt::Write as _;
use std::time::{Duration, UNIX_EPOCH};

/// The date of one second as an IMF-fixdate, kept until another second is asked for.
#[derive(Debug)]
pub(crate) struct Date {
    second: u64,
    text: String,
    /// The lines that end almost every head: `Server`, if there is one, and `Date`.
    lines: Vec<u8>,
}

impl Date {
    /// Nothing formatted yet.
    pub(crate) const fn new() -> Self {
        Self { second: u64::MAX, text: String::new(), lines: Vec::new() }
    }

    /// The `Server` and `Date` lines at a second since 1970. `server` is the same in all calls.
    #[inline]
    pub(crate) fn lines(&mut self, second: u64, server: Option<&str>) -> &[u8] {
        if self.second != second || self.lines.is_empty() {
            let date = self.at(second).len();
            self.lines.clear();
            if let Some(server) = server {
                server_line(&mut self.lines, server);
            }
            date_line(&mut self.lines, &self.text[..date]);
        }
        &self.lines
    }

    /// The date of a second since 1970, of exactly 29 characters (H1-SYN-13, H1-SYN-14).
    #[inline]
    pub(crate) fn at(&mut self, second: u64) -> &str {
        if self.second != second {
            self.format(second);
        }
        &self.text
    }

    #[cold]
    fn format(&mut self, second: u64) {
        // The last second the format can write; a clock beyond it is wrong anyway.
        let last = 253_402_300_799;
        self.text.clear();
        let time = UNIX_EPOCH + Duration::from_secs(second.min(last));
        // Writing to a String does not fail.
        let _ = write!(self.text, "{}", httpdate::HttpDate::from(time));
        self.second = second;
        self.lines.clear();
    }
}

/// Writes a `Server` line. The value is ISO-8859-1, like that of every other field (GW-STR-03): so it was checked when the
/// server was bound.
pub(crate) fn server_line(out: &mut Vec<u8>, server: &str) {
    out.extend_from_slice(b"Server: ");
    out.extend_from_slice(&gateway_spec::latin1(server).unwrap_or_default());
    out.extend_from_slice(b"\r\n");
}

/// Writes a `Date` line.
pub(crate) fn date_line(out: &mut Vec<u8>, date: &str) {
    out.extend_from_slice(b"Date: ");
    out.extend_from_slice(date.as_bytes());
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_preferred_form() {
        let mut date = Date::new();
        assert_eq!(date.at(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(date.at(784_111_778), "Sun, 06 Nov 1994 08:49:38 GMT");
        assert_eq!(date.lines(784_111_777, Some("x")), b"Server: x\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n");
        assert_eq!(date.at(784_111_778), "Sun, 06 Nov 1994 08:49:38 GMT");
        assert_eq!(date.lines(784_111_778, None), b"Date: Sun, 06 Nov 1994 08:49:38 GMT\r\n");
        assert_eq!(date.at(0), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(date.at(u64::MAX - 1).len(), 29);
    }
}
