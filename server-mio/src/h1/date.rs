//! The `Date` field: formatted once a second and copied (H1-DATE-02).

use std::fmt::Write as _;
use std::time::{Duration, UNIX_EPOCH};

/// The date of one second as an IMF-fixdate, kept until another second is asked for.
#[derive(Debug)]
pub(crate) struct Date {
    second: u64,
    text: String,
}

impl Date {
    /// Nothing formatted yet.
    pub(crate) const fn new() -> Self {
        Self { second: u64::MAX, text: String::new() }
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
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_preferred_form() {
        let mut date = Date::new();
        assert_eq!(date.at(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(date.at(784_111_778), "Sun, 06 Nov 1994 08:49:38 GMT");
        assert_eq!(date.at(0), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(date.at(u64::MAX - 1).len(), 29);
    }
}
