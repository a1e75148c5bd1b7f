//! The chunked decoder of server-mio against a naive one.
#![no_main]

use conformance_fuzz::{Decoded, pieces};
use libfuzzer_sys::fuzz_target;

#[allow(dead_code, unreachable_pub)]
#[path = "../../../server-mio/src/h1/mod.rs"]
mod h1;

use h1::chunked::Decoder;

const MOST: u64 = 2000;

fuzz_target!(|data: &[u8]| {
    let Some((size, octets)) = pieces(data) else { return };
    let mut decoder = Decoder::new(MOST, 1 << 20, 1 << 20, 1 << 20);
    let (mut body, mut taken) = (Vec::new(), 0);
    let mut failed = false;
    'pieces: for piece in octets.chunks(size.min(octets.len().max(1))) {
        let mut at = 0;
        while at < piece.len() && !decoder.is_done() {
            match decoder.decode(&piece[at..], 7) {
                Ok(step) => {
                    assert!(step.consumed > 0 && step.data.len() <= 7);
                    body.extend_from_slice(step.data);
                    at += step.consumed;
                    taken += step.consumed;
                }
                Err(_) => {
                    failed = true;
                    break 'pieces;
                }
            }
        }
    }
    let done = decoder.is_done();
    Decoded { body, taken, done, failed }.check(octets, MOST);
});
