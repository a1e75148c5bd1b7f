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

/// Keeps the text of one second, so that it is made once and copied after.
#[derive(Debug)]
pub(crate) struct DateCache {
    seconds: u64,
    text: [u8; LENGTH],
}

impl DateCache {
    pub(crate) fn new() -> Self {
        Self { seconds: 0, text: imf_fixdate(0) }
    }

    pub(crate) fn at(&mut self, seconds: u64) -> &[u8; LENGTH] {
        if seconds != self.seconds {
            self.seconds = seconds;
            self.text = imf_fixdate(seconds);
        }
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_have_the_preferred_form() {
        assert_eq!(&imf_fixdate(784_111_777), b"Sun, 06 Nov 1994 08:49:37 GMT");
        let mut cache = DateCache::new();
        assert_eq!(cache.at(0), b"Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(cache.at(784_111_777), b"Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(cache.at(784_111_777), b"Sun, 06 Nov 1994 08:49:37 GMT");
    }
}
