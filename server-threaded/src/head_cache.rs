//! [`HeadCache`]: the response head that a connection sent last.
//!
//! Most answers on a connection have the head of the one before: the same status and headers, the same length, within
//! the same second. Such a head is compared instead of checked, and copied instead of written.

use gateway_spec::{Calls, Error, Head, LastHead, Status};

use crate::h1::date::{Add, DateCache};
use crate::h1::response::{Ending, finish_head, write_head};

/// The last response head, and the lines that are the same for a second.
pub(crate) struct HeadCache {
    last: LastHead,
    /// The head as it goes out: up to `own` what the application gave, behind it what was made for `ended`.
    octets: Vec<u8>,
    own: usize,
    ended: Option<(u64, Ending)>,
    pub(crate) date: DateCache,
}

/// What the server has to know of the head that an application gave.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Started {
    pub(crate) code: u16,
    /// The `Content-Length`, if there is one.
    pub(crate) declared: Option<u64>,
    pub(crate) add: Add,
}

impl HeadCache {
    pub(crate) const fn new() -> Self {
        Self { last: LastHead::new(), octets: Vec::new(), own: 0, ended: None, date: DateCache::new() }
    }

    /// `start_response` was called.
    ///
    /// # Errors
    /// Those of [`Calls::start`].
    #[inline]
    pub(crate) fn start(
        &mut self,
        calls: &mut Calls,
        status: &Status,
        headers: &[(&str, &str)],
        exc_info: Option<Error>,
    ) -> Result<Started, Error> {
        let head = calls.start_after(&mut self.last, status, headers, exc_info)?;
        if !head.is_repeated() {
            self.keep(&head);
        }
        let add = Add { date: !head.has_date(), server: !head.has_server() };
        Ok(Started { code: status.code(), declared: head.content_length(), add })
    }

    #[inline(never)]
    fn keep(&mut self, head: &Head<'_>) {
        self.octets.clear();
        write_head(&mut self.octets, head);
        self.own = self.octets.len();
        self.ended = None;
    }

    /// The whole head that was started last, at this second since 1970.
    #[inline]
    pub(crate) fn end(&mut self, ending: Ending, seconds: u64, server: Option<&str>, add: Add) -> &[u8] {
        if self.ended != Some((seconds, ending)) {
            self.end_anew(ending, seconds, server, add);
        }
        &self.octets
    }

    #[inline(never)]
    fn end_anew(&mut self, ending: Ending, seconds: u64, server: Option<&str>, add: Add) {
        self.octets.truncate(self.own);
        finish_head(&mut self.octets, &ending, self.date.lines(seconds, server, add));
        self.ended = Some((seconds, ending));
    }
}

#[cfg(test)]
mod tests {
    use gateway_spec::Version;
    use proptest::prelude::*;

    use super::*;
    use crate::h1::response::Framing;

    fn ending(length: u64, keep: bool) -> Ending {
        Ending { framing: Framing::Length(length), version: Version::Http11, keep }
    }

    /// The head of one response; `None` if the application's headers are refused.
    fn head(cache: &mut HeadCache, headers: &[(&str, &str)], length: u64, keep: bool, seconds: u64) -> Option<String> {
        let started = cache.start(&mut Calls::new(), &Status::OK, headers, None).ok()?;
        let octets = cache.end(ending(length, keep), seconds, Some("x"), started.add);
        Some(String::from_utf8(octets.to_vec()).unwrap())
    }

    #[test]
    fn a_head_is_whole() {
        let mut cache = HeadCache::new();
        for _ in 0..2 {
            assert_eq!(
                head(&mut cache, &[("A", "b")], 5, true, 0).unwrap(),
                "HTTP/1.1 200 OK\r\nA: b\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nServer: x\r\nContent-Length: 5\r\n\r\n"
            );
        }
    }

    proptest! {
        /// Whatever went before, a head is that of a cache that has seen nothing.
        #[test]
        fn nothing_of_other_responses_is_left(heads in proptest::collection::vec(
            ("(A|Date|Server|Te)", "(b|c)", 0usize..3, 0u64..3, any::<bool>(), 0u64..3), 1..20)) {
            let mut cache = HeadCache::new();
            for (name, value, count, length, keep, seconds) in heads {
                let headers = vec![(name.as_str(), value.as_str()); count];
                let alone = head(&mut HeadCache::new(), &headers, length, keep, seconds);
                prop_assert_eq!(head(&mut cache, &headers, length, keep, seconds), alone);
            }
        }
    }
}
