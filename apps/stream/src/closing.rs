//! `close()`: a body is dropped exactly once, however its response ends (GW-ITER-08).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use gateway_spec::{Blocks, Body, Bytes, Error, StartResponse, Status};

use crate::sizes::Pattern;
use crate::{Call, OCTETS, TEXT};

/// How many bodies there were, shared with all of them.
#[derive(Clone, Default)]
pub(crate) struct Counts {
    opened: Arc<AtomicU64>,
    closed: Arc<AtomicU64>,
}

impl Counts {
    /// A body that is counted here as it opens and closes.
    fn count<B: Blocks>(&self, blocks: B) -> Counted<B> {
        self.opened.fetch_add(1, SeqCst);
        Counted { blocks, counts: self.clone() }
    }
}

struct Counted<B> {
    blocks: B,
    counts: Counts,
}

impl<B: Blocks> Blocks for Counted<B> {
    fn next(&mut self, start_response: &mut dyn StartResponse) -> Option<Result<Bytes, Error>> {
        self.blocks.next(start_response)
    }

    fn remaining(&self) -> Option<u64> {
        self.blocks.remaining()
    }
}

impl<B> Drop for Counted<B> {
    fn drop(&mut self) {
        self.counts.closed.fetch_add(1, SeqCst);
    }
}

/// Three short blocks of which the close is counted.
pub(crate) fn three_blocks(call: &mut Call<'_, '_>, start_response: &mut dyn StartResponse) -> Result<Body, Error> {
    struct Three(std::array::IntoIter<&'static str, 3>);
    impl Blocks for Three {
        fn next(&mut self, _: &mut dyn StartResponse) -> Option<Result<Bytes, Error>> {
            self.0.next().map(|block| Ok(block.into()))
        }
    }
    start_response.start(Status::OK, &[TEXT])?;
    Ok(Body::from_blocks(call.counts.count(Three(["one\n", "two\n", "three\n"].into_iter()))))
}

/// As many bytes as it takes to be cut off in the middle.
pub(crate) fn bytes(call: &mut Call<'_, '_>, start_response: &mut dyn StartResponse) -> Result<Body, Error> {
    start_response.start(Status::OK, &[OCTETS])?;
    Ok(Body::from_blocks(call.counts.count(Pattern::announced(call.number))))
}

/// What was counted so far.
pub(crate) fn counts(call: &mut Call<'_, '_>, start_response: &mut dyn StartResponse) -> Result<Body, Error> {
    // Closed before opened: so a body that opens meanwhile never shows as closed without having been opened.
    let closed = call.counts.closed.load(SeqCst);
    let opened = call.counts.opened.load(SeqCst);
    start_response.start(Status::OK, &[("Content-Type", "application/json"), ("Cache-Control", "no-store")])?;
    Ok(format!("{{\"opened\": {opened}, \"closed\": {closed}}}\n").into())
}

#[cfg(test)]
mod tests {
    use crate::app;
    use crate::testing::get;

    #[test]
    fn every_body_is_closed_once() {
        let app = app();
        assert_eq!(get(&app, "/closed.json").text(), "{\"opened\": 0, \"closed\": 0}\n");
        assert_eq!(get(&app, "/close").text(), "one\ntwo\nthree\n");
        assert_eq!(get(&app, "/close/100000").body.len(), 100_000);
        assert_eq!(get(&app, "/closed.json").text(), "{\"opened\": 2, \"closed\": 2}\n");
    }
}
