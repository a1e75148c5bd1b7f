//! The `Date` of responses (H1-DATE-01), formatted once a second.

use std::time::{Duration, UNIX_EPOCH};

/// An IMF-fixdate is always this long (H1-SYN-14).
pub(crate) const LENGTH: usize = 29;

/// The date of a second since 1970, as IMF-fixdate.
pub(crate) fn imf_fixdate(seconds: u64) -> [u8; LENGTH] {
    let text = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds));
    let mut date = [b' '; LENGTH];
    date.copy_from_slice(&text.as_bytes()[..LENGTH]);
    date
}

/// Keeps the field lines `Date` and `Server` of one second, so that they are made once and copied after.
#[derive(Debug)]
pub(crate) struct DateCache {
    seconds: u64,
    date: Vec<u8>,
    /// `date`, and the `Server` line if there is one.
    lines: Vec<u8>,
}

impl DateCache {
    pub(crate) const fn new() -> Self {
        Self { seconds: u64::MAX, date: Vec::new(), lines: Vec::new() }
    }

    /// The field lines that the application left out, at this second since 1970.
    pub(crate) fn lines(&mut self, seconds: u64, server: Option<&str>, add: Add) -> &[u8] {
        if seconds != self.seconds {
            self.seconds = seconds;
            self.date.clear();
            self.date.extend_from_slice(b"Date: ");
            self.date.extend_from_slice(&imf_fixdate(seconds));
            self.date.extend_from_slice(b"\r\n");
            self.lines.clone_from(&self.date);
            if let Some(server) = server {
                self.lines.extend_from_slice(b"Server: ");
                self.lines.extend_from_slice(&gateway_spec::latin1(server).unwrap_or_default());
                self.lines.extend_from_slice(b"\r\n");
            }
        }
        match (add.date, add.server) {
            (true, true) => &self.lines,
            (true, false) => &self.date,
            (false, true) => &self.lines[self.date.len()..],
            (false, false) => b"",
        }
    }
}

/// Which of the lines to add: those that the application has not given itself (GW-HDR-05).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Add {
    pub(crate) date: bool,
    pub(crate) server: bool,
}

impl Add {
    pub(crate) const BOTH: Self = Self { date: true, server: true };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_have_the_preferred_form() {
        assert_eq!(&imf_fixdate(784_111_777), b"Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(&imf_fixdate(0), b"Thu, 01 Jan 1970 00:00:00 GMT");
    }

    #[test]
    fn lines_follow_the_second_and_what_is_left_out() {
        let mut cache = DateCache::new();
        let date = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
        for seconds in [0, 784_111_777, 784_111_777] {
            cache.lines(seconds, Some("x/1"), Add::BOTH);
        }
        let mut lines = |date, server| {
            let lines = cache.lines(784_111_777, Some("x/1"), Add { date, server });
            String::from_utf8(lines.to_vec()).unwrap()
        };
        assert_eq!(lines(true, true), format!("{date}Server: x/1\r\n"));
        assert_eq!(lines(true, false), date);
        assert_eq!(lines(false, true), "Server: x/1\r\n");
        assert_eq!(lines(false, false), "");
    }
}
