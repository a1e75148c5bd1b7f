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
