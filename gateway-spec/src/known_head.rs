//! [`KnownHead`]: the head of an earlier response, so that the same one need not be checked again.

use crate::Status;
use crate::header::{Facts, Head};

/// How many bytes of names and values are remembered at most; a larger head is checked each time.
const MOST: usize = 4096;

/// The head of an earlier response, checked and copied.
///
/// Most responses of an application begin as the one before. A server that keeps one of these for each of its threads
/// and starts with [`Calls::start_known`](crate::Calls::start_known) finds such a head by comparing it, which is cheaper
/// than to check it, and may send again what it has written for it.
#[derive(Debug, Default)]
pub struct KnownHead {
    status: Option<Status>,
    /// Names and values, one after the other.
    text: Vec<u8>,
    /// The lengths of names and values.
    lengths: Vec<(usize, usize)>,
    facts: Facts,
}

impl KnownHead {
    /// The head, if it is this one.
    #[inline]
    pub(crate) fn find<'h>(&self, status: &'h Status, headers: &'h [(&'h str, &'h str)]) -> Option<Head<'h>> {
        if headers.len() != self.lengths.len() || self.status.as_ref()? != status {
            return None;
        }
        let mut rest = self.text.as_slice();
        for ((name, value), lengths) in headers.iter().zip(&self.lengths) {
            if (name.len(), value.len()) != *lengths {
                return None;
            }
            rest = rest.strip_prefix(name.as_bytes())?.strip_prefix(value.as_bytes())?;
        }
        Some(Head::of_facts(status, headers, self.facts))
    }

    /// Remembers a head that was checked, unless it is too large.
    pub(crate) fn learn(&mut self, head: &Head<'_>) -> Known {
        let (status, headers) = (head.status(), head.pairs());
        if headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() > MOST {
            return Known::TooLarge;
        }
        self.text.clear();
        self.lengths.clear();
        for (name, value) in headers {
            self.text.extend_from_slice(name.as_bytes());
            self.text.extend_from_slice(value.as_bytes());
            self.lengths.push((name.len(), value.len()));
        }
        if self.status.as_ref() != Some(status) {
            self.status = Some(status.clone());
        }
        self.facts = head.facts();
        Known::Learned
    }
}

/// What [`Calls::start_known`](crate::Calls::start_known) makes of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// It is the head that was remembered.
    Same,
    /// It is another one, which is remembered from now on.
    Learned,
    /// It is too large to be remembered; the one before still is.
    TooLarge,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Calls;

    proptest! {
        /// Whatever was remembered, a head comes to what a check says of it, and is the same only if it is.
        #[test]
        fn what_is_known_is_what_a_check_says(
            heads in proptest::collection::vec((200u16..203, proptest::collection::vec(
                ("[aX]{0,2}|Date|server|Content-Length", "[1a\u{e9}\n]{0,2}"), 0..3)), 1..12)
        ) {
            let mut known = KnownHead::default();
            let mut last = None;
            for (code, headers) in heads {
                let status = Status::from_code(code).unwrap();
                let pairs: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
                let checked = Calls::new().start(&status, &pairs, None).map(|head| format!("{head:?}"));
                let found = Calls::new().start_known(&status, &pairs, None, &mut known);
                let this = (code, headers.clone());
                match (checked, found) {
                    (Ok(checked), Ok((head, what))) => {
                        prop_assert_eq!(checked, format!("{head:?}"));
                        prop_assert_eq!(what == Known::Same, last.as_ref() == Some(&this));
                        last = Some(this);
                    }
                    (Err(one), Err(other)) => prop_assert_eq!(one.to_string(), other.to_string()),
                    (one, other) => prop_assert!(false, "{one:?} {other:?}"),
                }
            }
        }
    }

    #[test]
    fn large_heads_are_not_remembered() {
        let mut known = KnownHead::default();
        let mut start = |value: &str| {
            let headers = [("X", value)];
            Calls::new().start_known(&Status::OK, &headers, None, &mut known).map(|(_, known)| known).unwrap()
        };
        assert_eq!(start("a"), Known::Learned);
        assert_eq!(start(&"a".repeat(MOST)), Known::TooLarge);
        assert_eq!(start("a"), Known::Same);
    }
}
