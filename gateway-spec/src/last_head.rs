//! [`LastHead`]: a head that was found valid for one response need not be checked again for the next.

use crate::Status;
use crate::header::{Facts, Head};

/// How many bytes of names and values are kept at most; a larger head is checked each time.
const MOST: usize = 4096;
/// How much memory a name or a value keeps for the next in its place.
const KEPT: usize = 256;

/// The last head that was found valid, for [`Calls::start_after`](crate::Calls::start_after).
///
/// Most applications answer most requests with the same headers. A server that keeps one of these for each connection
/// compares a head with that of the response before, which is cheaper than to check it, and sends the same octets again
/// if it is that one.
///
/// ```
/// use gateway_spec::{Calls, LastHead, Status};
///
/// let mut last = LastHead::new();
/// let mut is_repeated = |headers: &[(&str, &str)]| {
///     Calls::new().start_after(&mut last, &Status::OK, headers, None).map(|head| head.is_none()).ok()
/// };
/// assert_eq!(is_repeated(&[("Content-Type", "text/plain")]), Some(false));
/// assert_eq!(is_repeated(&[("Content-Type", "text/plain")]), Some(true));
/// assert_eq!(is_repeated(&[("Connection", "close")]), None); // not valid: nothing was sent and nothing changes
/// assert_eq!(is_repeated(&[("Content-Type", "text/plain")]), Some(true));
/// ```
#[derive(Clone, Debug)]
pub struct LastHead {
    status: Status,
    /// Names and values.
    headers: Vec<(String, String)>,
    facts: Option<Facts>,
}

impl LastHead {
    /// That of no response.
    #[must_use]
    pub const fn new() -> Self {
        Self { status: Status::OK, headers: Vec::new(), facts: None }
    }

    /// What the check has found, if the head is this one.
    #[inline]
    pub(crate) fn facts(&self, status: &Status, headers: &[(&str, &str)]) -> Option<Facts> {
        let facts = self.facts?;
        // Nearly always the phrase is the same constant, and need not be compared.
        let same_phrase =
            std::ptr::eq(status.reason(), self.status.reason()) || status.reason() == self.status.reason();
        if headers.len() != self.headers.len() || status.code() != self.status.code() || !same_phrase {
            return None;
        }
        let mut pairs = headers.iter().zip(&self.headers);
        let is_same = pairs.all(|(&(name, value), (last_name, last_value))| {
            is_same_short(name.as_bytes(), last_name.as_bytes())
                && is_same_short(value.as_bytes(), last_value.as_bytes())
        });
        (is_same || self.has(headers)).then_some(facts)
    }

    /// Whether the headers are these, however long they are.
    #[inline(never)]
    fn has(&self, headers: &[(&str, &str)]) -> bool {
        let mut pairs = headers.iter().zip(&self.headers);
        pairs.all(|(&(name, value), (last_name, last_value))| name == last_name && value == last_value)
    }

    /// Keeps a head that was checked, unless it is too large.
    pub(crate) fn keep(&mut self, head: &Head<'_>, headers: &[(&str, &str)]) {
        if headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() > MOST {
            self.facts = None;
            return;
        }
        self.status.clone_from(head.status());
        self.headers.resize_with(headers.len(), Default::default);
        for text in self.headers.iter_mut().flat_map(|(name, value)| [name, value]) {
            text.clear();
            // What was once long in one place may be long in another next.
            text.shrink_to(KEPT);
        }
        for ((name, value), (last_name, last_value)) in headers.iter().zip(&mut self.headers) {
            (*name).clone_into(last_name);
            (*value).clone_into(last_value);
        }
        self.facts = Some(head.facts());
    }
}

/// Whether two texts are the same, and of eight to sixteen octets, as most names and many values are. Two words compare
/// them, which is done before a comparison made for long texts has begun, and does not call one.
#[inline]
fn is_same_short(one: &[u8], other: &[u8]) -> bool {
    let is_short = one.len() == other.len() && (8..=16).contains(&one.len());
    is_short && ends(one) == ends(other)
}

/// The first and the last eight octets; up to sixteen, they are all.
#[inline]
fn ends(text: &[u8]) -> Option<[u64; 2]> {
    Some([text.first_chunk()?, text.last_chunk()?].map(|octets| u64::from_ne_bytes(*octets)))
}

impl Default for LastHead {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Calls;

    #[test]
    fn large_heads_are_not_kept() {
        let mut last = LastHead::new();
        let mut is_repeated = |value: &str| {
            let headers = [("X", value)];
            Calls::new().start_after(&mut last, &Status::OK, &headers, None).map(|head| head.is_none()).unwrap()
        };
        let large = "a".repeat(MOST);
        let expected = [("a", false), (&large, false), (&large, false), ("a", false), ("a", true)];
        assert_eq!(expected.map(|(value, _)| (value, is_repeated(value))), expected);
    }

    proptest! {
        /// The short way to compare finds every difference.
        #[test]
        fn texts_are_compared_whole(
            text in proptest::collection::vec(any::<u8>(), 0..24),
            change in proptest::option::of((any::<proptest::sample::Index>(), any::<u8>())),
        ) {
            let mut other = text.clone();
            if let (Some((at, octet)), false) = (change, text.is_empty()) {
                other[at.index(text.len())] = octet;
            }
            prop_assert_eq!(is_same_short(&text, &other), text == other && (8..=16).contains(&text.len()));
            other.push(0);
            prop_assert!(!is_same_short(&text, &other));
        }

        /// A head is repeated exactly if it is the last valid one, and otherwise as if there had been none.
        #[test]
        fn a_head_is_checked_as_if_it_were_the_first(
            heads in proptest::collection::vec(
                (200u16..203, proptest::collection::vec(("(A|AB|Date|Content-Length|Content-Type|Te)", "(|1|b|B1|\u{e9}|\n|text/plain|text/plaim|text/plain; charset=utf-8)"), 0..3)), 0..12),
        ) {
            let mut last = LastHead::new();
            let mut valid: Option<&(u16, Vec<(String, String)>)> = None;
            for head in &heads {
                let status = Status::from_code(head.0).unwrap();
                let headers: Vec<_> = head.1.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                let alone = Calls::new().start(&status, &headers, None).map_err(|error| error.to_string());
                let after = Calls::new().start_after(&mut last, &status, &headers, None).map_err(|error| error.to_string());
                match (alone, after) {
                    (Ok(alone), Ok(after)) => {
                        prop_assert_eq!(after.is_none(), valid == Some(head));
                        prop_assert_eq!(last.facts(&status, &headers), Some(alone.facts()));
                        if let Some(after) = after {
                            prop_assert_eq!(alone.facts(), after.facts());
                            prop_assert_eq!(alone.headers().collect::<Vec<_>>(), after.headers().collect::<Vec<_>>());
                        }
                        valid = Some(head);
                    }
                    (Err(alone), Err(after)) => prop_assert_eq!(alone, after),
                    (alone, after) => panic!("{alone:?} and {after:?}"),
                }
            }
        }
    }
}
