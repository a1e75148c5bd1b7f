//! [`HeadCache`]: the response head that a connection sent last.
//!
//! Most answers on a connection have the head of the one before: the same status and headers, the same length, within
//! the same second. Such a head is compared instead of checked, and copied instead of written.

use gateway_spec::{Calls, Error, Head, LastHead, Status, Version};

use crate::h1::date::{Add, DateCache};
use crate::h1::response::{Ending, Facts, Framing, finish_head, write_head};

/// The last response head, and the lines that are the same for a second.
pub(crate) struct HeadCache {
    last: LastHead,
    /// The head as it goes out: up to `own` what the application gave, behind it what was made for `ended`.
    octets: Vec<u8>,
    own: usize,
    started: Started,
    /// Which of the server's lines the application has not given itself.
    add: Add,
    ended: Ended,
    /// What was chosen for it.
    framing: Framing,
    pub(crate) date: DateCache,
}

/// What the end of a head is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ended {
    seconds: u64,
    facts: Facts,
    keep: bool,
}

impl Ended {
    /// What no head is made from.
    const NOTHING: Self = {
        let facts = Facts { version: Version::Http11, head_request: false, code: 0, declared: None, known: None };
        Self { seconds: u64::MAX, facts, keep: false }
    };
}

/// What the server has to know of the head that an application gave.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Started {
    pub(crate) code: u16,
    /// The `Content-Length`, if there is one.
    pub(crate) declared: Option<u64>,
}

impl Started {
    /// The application has not begun to answer.
    pub(crate) const NOTHING: Self = Self { code: 0, declared: None };
}

impl HeadCache {
    pub(crate) const fn new() -> Self {
        Self {
            last: LastHead::new(),
            octets: Vec::new(),
            own: 0,
            started: Started::NOTHING,
            add: Add::BOTH,
            ended: Ended::NOTHING,
            framing: Framing::Chunked,
            date: DateCache::new(),
        }
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
        if let Some(head) = calls.start_after(&mut self.last, status, headers, exc_info)? {
            self.keep(&head);
        }
        Ok(self.started)
    }

    #[inline(never)]
    fn keep(&mut self, head: &Head<'_>) {
        self.octets.clear();
        write_head(&mut self.octets, head);
        self.own = self.octets.len();
        self.started = Started { code: head.status().code(), declared: head.content_length() };
        self.add = Add { date: !head.has_date(), server: !head.has_server() };
        self.ended = Ended::NOTHING;
    }

    /// Chooses the framing, and makes the whole head that was started last, at this second since 1970. `keep` says whether
    /// the connection is to be kept, if the framing lets it.
    #[inline]
    pub(crate) fn end(&mut self, facts: Facts, keep: bool, seconds: u64, server: Option<&str>) -> (Framing, &[u8]) {
        let ended = Ended { seconds, facts, keep };
        if self.ended != ended {
            self.ended = ended;
            self.end_anew(server);
        }
        (self.framing, &self.octets)
    }

    #[inline(never)]
    fn end_anew(&mut self, server: Option<&str>) {
        let Ended { seconds, facts, keep } = self.ended;
        self.framing = Framing::choose(&facts);
        let keep = keep && self.framing != Framing::Close;
        let ending = Ending { framing: self.framing, version: facts.version, keep };
        self.octets.truncate(self.own);
        finish_head(&mut self.octets, &ending, self.date.lines(seconds, server, self.add));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn facts(length: u64, version: Version) -> Facts {
        // Of no known length if there is none, so that the framing differs as well.
        let known = (length > 0).then_some(length);
        Facts { version, head_request: false, code: 200, declared: None, known }
    }

    /// The head of one response; `None` if the application's headers are refused.
    fn head(
        cache: &mut HeadCache,
        headers: &[(&str, &str)],
        facts: Facts,
        keep: bool,
        seconds: u64,
    ) -> Option<(Framing, String)> {
        cache.start(&mut Calls::new(), &Status::OK, headers, None).ok()?;
        let (framing, octets) = cache.end(facts, keep, seconds, Some("x"));
        Some((framing, String::from_utf8(octets.to_vec()).unwrap()))
    }

    #[test]
    fn a_head_is_whole() {
        let mut cache = HeadCache::new();
        for _ in 0..2 {
            assert_eq!(
                head(&mut cache, &[("A", "b")], facts(5, Version::Http11), true, 0).unwrap().1,
                "HTTP/1.1 200 OK\r\nA: b\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nServer: x\r\nContent-Length: 5\r\n\r\n"
            );
        }
    }

    proptest! {
        /// Whatever went before, a head is that of a cache that has seen nothing.
        #[test]
        fn nothing_of_other_responses_is_left(heads in proptest::collection::vec(
            ("(A|Date|Server|Te)", "(b|c)", 0usize..3, 0u64..3, any::<bool>(), any::<bool>(), 0u64..3), 1..20)) {
            let mut cache = HeadCache::new();
            for (name, value, count, length, keep, is_old, seconds) in heads {
                let facts = facts(length, if is_old { Version::Http10 } else { Version::Http11 });
                let headers = vec![(name.as_str(), value.as_str()); count];
                let alone = head(&mut HeadCache::new(), &headers, facts, keep, seconds);
                prop_assert_eq!(head(&mut cache, &headers, facts, keep, seconds), alone);
            }
        }
    }
}
