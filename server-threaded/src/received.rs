//! [`Received`]: the octets of a connection that have arrived and are not taken yet.

use std::ops::Range;

/// How much is read at once, and the size that the buffer has at least.
const READ: usize = 8 * 1024;

/// What has arrived, in the middle of a buffer.
pub(crate) struct Received {
    /// All of the buffer: what is outside of the range is old, or nothing.
    pub(crate) octets: Vec<u8>,
    start: usize,
    end: usize,
}

impl Received {
    pub(crate) fn new() -> Self {
        Self { octets: vec![0; READ], start: 0, end: 0 }
    }

    pub(crate) fn clear(&mut self) {
        (self.start, self.end) = (0, 0);
    }

    /// Where in the buffer the octets are.
    pub(crate) const fn range(&self) -> Range<usize> {
        self.start..self.end
    }

    pub(crate) fn arrived(&self) -> &[u8] {
        &self.octets[self.start..self.end]
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.start == self.end
    }

    pub(crate) const fn len(&self) -> usize {
        self.end - self.start
    }

    /// What has been dealt with is taken from the beginning.
    pub(crate) const fn take(&mut self, length: usize) {
        self.start += length;
    }

    /// Whether the next `length` octets are those that were [taken](Self::take) last. Only to be asked after that; `false` if
    /// those are not there any more.
    ///
    /// What repeats is compared where it is, and that is in the cache.
    #[inline]
    pub(crate) fn repeats(&self, length: usize) -> bool {
        let last = self.start.checked_sub(length).and_then(|start| self.octets.get(start..self.start));
        last.is_some_and(|last| self.arrived().starts_with(last))
    }

    /// Begins anew with what has arrived of the next request.
    pub(crate) fn restart(&mut self, next: &[u8]) {
        if self.octets.len() < next.len() {
            self.octets.resize(next.len() + READ, 0);
        }
        self.octets[..next.len()].copy_from_slice(next);
        (self.start, self.end) = (0, next.len());
    }

    /// Makes room for more behind what was received.
    #[inline]
    pub(crate) fn room(&mut self) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.octets.len() - self.end < READ / 4 {
            self.make_room();
        }
        &mut self.octets[self.end..]
    }

    #[cold]
    fn make_room(&mut self) {
        self.octets.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        if self.octets.len() - self.end < READ / 4 {
            // Bounded: a head that is larger than allowed is refused before this goes on.
            self.octets.resize(self.octets.len() * 2, 0);
        }
    }

    /// So many octets were put into the [room](Self::room). They are returned.
    pub(crate) fn add(&mut self, length: usize) -> &[u8] {
        let start = self.end;
        self.end += length;
        &self.octets[start..self.end]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// What repeats is what was taken last, however the octets arrive.
        #[test]
        fn what_was_taken_last_repeats(
            pieces in proptest::collection::vec((proptest::collection::vec(0u8..2, 0..4), 0usize..4), 1..40),
        ) {
            let mut received = Received::new();
            for (piece, taken) in pieces {
                received.room()[..piece.len()].copy_from_slice(&piece);
                received.add(piece.len());
                if taken == 0 || taken > received.len() {
                    continue;
                }
                let last = received.arrived()[..taken].to_vec();
                received.take(taken);
                prop_assert_eq!(received.repeats(taken), received.arrived().starts_with(&last));
            }
        }
    }
}
