//! What two [`Lint`](super::Lint)s, before and behind a middleware, tell each other.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// What happened behind the middleware: counted by the inner lint, read by the outer one.
///
/// It travels in the extensions of the environ. A middleware that calls something else, or nothing, leaves it at zero.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    blocks: AtomicU64,
    writes: AtomicU64,
    opened: AtomicU64,
    closed: AtomicU64,
}

impl Tally {
    pub(super) fn block(&self) {
        self.0.blocks.fetch_add(1, SeqCst);
    }

    pub(super) fn write(&self) {
        self.0.writes.fetch_add(1, SeqCst);
    }

    pub(super) fn open(&self) {
        self.0.opened.fetch_add(1, SeqCst);
    }

    pub(super) fn close(&self) {
        self.0.closed.fetch_add(1, SeqCst);
    }

    pub(super) fn blocks(&self) -> u64 {
        self.0.blocks.load(SeqCst)
    }

    pub(super) fn writes(&self) -> u64 {
        self.0.writes.load(SeqCst)
    }

    /// How many bodies behind the middleware are not closed.
    pub(super) fn open_bodies(&self) -> u64 {
        self.0.opened.load(SeqCst) - self.0.closed.load(SeqCst)
    }
}
