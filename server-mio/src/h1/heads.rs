//! [`Heads`]: how a thread writes the heads of responses.
//!
//! Responses tend to have the head of the one before, but for the length and, once a second, the date. So the last head is
//! kept: the part that the application has given, and the whole.

use gateway_spec::{Calls, Error, Head, LastHead, Status, Version};

use super::date::{Date, date_line, server_line};
use super::response::{self, Delimiter, End, Facts, Lengths};

/// The last head, and the date.
#[derive(Debug)]
pub(crate) struct Heads {
    pub(crate) date: Date,
    checked: LastHead,
    /// Its status line and headers, and the length that it declares.
    begun: Vec<u8>,
    declared: Option<u64>,
    /// Which of the server's lines the application has given itself (GW-HDR-05).
    own: Own,
    /// The whole last head that began so, what its end was made from and when, and that end.
    whole: Vec<u8>,
    last: (Lengths, u64),
    end: End,
}

/// What a response keeps of its head, as long as it can be replaced.
#[derive(Debug)]
pub(crate) struct Begun {
    /// The length that the application has declared.
    pub(crate) declared: Option<u64>,
    /// Status line and headers, if they are not those of [`Heads`].
    lines: Option<Box<(Vec<u8>, Own)>>,
}

impl Begun {
    /// Nothing has begun.
    pub(crate) const NOTHING: Self = Self { declared: None, lines: None };

    /// Whether there is nothing to drop.
    pub(crate) const fn owns_nothing(&self) -> bool {
        self.lines.is_none()
    }
}

/// What no head is made from.
const NEVER: (Lengths, u64) = {
    let facts = Facts { head_only: false, version: Version::Http11, code: 0 };
    (Lengths { facts, declared: None, total: None, keep_alive: false }, u64::MAX)
};

/// Whether the application has sent these fields itself.
#[derive(Clone, Copy, Debug, Default)]
struct Own {
    date: bool,
    server: bool,
}

impl Heads {
    pub(crate) fn new() -> Self {
        Self {
            date: Date::new(),
            checked: LastHead::new(),
            begun: Vec::new(),
            declared: None,
            own: Own::default(),
            whole: Vec::new(),
            last: NEVER,
            end: NEVER.0.end(),
        }
    }

    /// Checks what an application has started with. What comes of it is to be kept ([`keep`](Self::keep)) if the response
    /// is not finished before another one begins.
    #[inline]
    pub(crate) fn begin(
        &mut self,
        calls: &mut Calls,
        status: &Status,
        headers: &[(&str, &str)],
        exc_info: Option<Error>,
    ) -> Result<Begun, Error> {
        if let Some(head) = calls.start_after(&mut self.checked, status, headers, exc_info)? {
            self.begin_another(&head);
        }
        Ok(Begun { declared: self.declared, lines: None })
    }

    #[inline(never)]
    fn begin_another(&mut self, head: &Head<'_>) {
        self.begun.clear();
        response::begin(&mut self.begun, head);
        self.declared = head.content_length();
        (self.own, self.last) = (Own { date: head.has_date(), server: head.has_server() }, NEVER);
    }

    /// Lets a response wait that has begun last: from now on it has its lines itself.
    pub(crate) fn keep(&self, begun: &mut Begun) {
        begun.lines.get_or_insert_with(|| Box::new((self.begun.clone(), self.own)));
    }

    /// Writes the whole head of a response that [has begun](Self::begin) last, or was [kept](Self::keep), and tells how its
    /// content ends, and at which length if the head says that.
    #[inline(always)]
    pub(crate) fn write(
        &mut self,
        out: &mut Vec<u8>,
        begun: &Begun,
        known: Lengths,
        second: u64,
        server: Option<&str>,
    ) -> (Delimiter, Option<u64>) {
        if let Some(lines) = &begun.lines {
            self.write_kept(out, lines, known, second, server);
            let end = known.end();
            return (end.delimiter, end.length);
        }
        if self.last != (known, second) {
            self.last = (known, second);
            self.make_whole(server);
        }
        out.extend_from_slice(&self.whole);
        (self.end.delimiter, self.end.length)
    }

    #[inline(never)]
    fn write_kept(
        &mut self,
        out: &mut Vec<u8>,
        (lines, own): &(Vec<u8>, Own),
        known: Lengths,
        second: u64,
        server: Option<&str>,
    ) {
        out.extend_from_slice(lines);
        self.write_end(out, *own, known.end(), second, server);
    }

    #[inline(never)]
    fn make_whole(&mut self, server: Option<&str>) {
        let (known, second) = self.last;
        self.end = known.end();
        let mut whole = std::mem::take(&mut self.whole);
        whole.clear();
        whole.extend_from_slice(&self.begun);
        self.write_end(&mut whole, self.own, self.end, second, server);
        self.whole = whole;
    }

    fn write_end(&mut self, out: &mut Vec<u8>, own: Own, end: End, second: u64, server: Option<&str>) {
        let mut lines = Vec::new();
        let lines = if own.date || own.server {
            if let Some(server) = server.filter(|_| !own.server) {
                server_line(&mut lines, server);
            }
            if !own.date {
                date_line(&mut lines, self.date.at(second));
            }
            &lines
        } else {
            self.date.lines(second, server)
        };
        response::end(out, end, lines);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever was written before, and however long a response waits, its head is its own.
        #[test]
        fn heads_are_written_as_if_for_the_first_time(
            steps in proptest::collection::vec((
                prop_oneof![Just(("X", "a")), Just(("X", "b")), Just(("Date", "a")), Just(("Server", "a"))],
                any::<bool>(), 0u64..3, 0u64..2, any::<bool>(),
            ), 1..20),
        ) {
            let mut heads = Heads::new();
            let mut waiting = Vec::new();
            for (header, large, length, second, waits) in steps {
                let value = header.1.repeat(if large { 5000 } else { 1 });
                let headers = [(header.0, value.as_str())];
                let facts = Facts { head_only: false, version: Version::Http11, code: 200 };
                // Of no known length if there is none, so that the end differs as well.
                let known = Lengths { facts, declared: None, total: (length > 0).then_some(length), keep_alive: true };
                let mut fresh = Heads::new();
                let begun = fresh.begin(&mut Calls::new(), &Status::OK, &headers, None).unwrap();
                let mut expected = Vec::new();
                let end = fresh.write(&mut expected, &begun, known, second, Some("s"));
                prop_assert_eq!(end, (known.end().delimiter, known.end().length));

                let mut begun = heads.begin(&mut Calls::new(), &Status::OK, &headers, None).unwrap();
                if waits {
                    heads.keep(&mut begun);
                    waiting.push((begun, known, second, expected));
                } else {
                    let mut out = Vec::new();
                    prop_assert_eq!(heads.write(&mut out, &begun, known, second, Some("s")), end);
                    prop_assert_eq!(String::from_utf8(out), String::from_utf8(expected));
                }
            }
            for (begun, known, second, expected) in waiting {
                let mut out = Vec::new();
                let end = (known.end().delimiter, known.end().length);
                prop_assert_eq!(heads.write(&mut out, &begun, known, second, Some("s")), end);
                prop_assert_eq!(String::from_utf8(out), String::from_utf8(expected));
            }
        }
    }
}
