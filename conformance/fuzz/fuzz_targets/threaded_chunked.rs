//! The chunked decoder of server-threaded against a naive one.
#![no_main]

use conformance_fuzz::{Decoded, pieces};
use libfuzzer_sys::fuzz_target;

#[allow(dead_code, unreachable_pub)]
#[path = "../../../server-threaded/src/h1/mod.rs"]
mod h1;

use h1::chunked::{Decoder, Limits, Step};

const MOST: u64 = 2000;

fuzz_target!(|data: &[u8]| {
    let Some((size, octets)) = pieces(data) else { return };
    let limits = Limits { data: MOST, extensions: 1 << 20, trailers: 1 << 20, trailer_fields: 1 << 20 };
    let mut decoder = Decoder::new(limits);
    let (mut body, mut buffer, mut taken) = (Vec::new(), Vec::new(), 0);
    let mut failed = false;
    'pieces: for piece in octets.chunks(size.min(octets.len().max(1))) {
        buffer.extend_from_slice(piece);
        loop {
            match decoder.step(&buffer) {
                Ok(Step::Skip(n)) => {
                    assert!(n > 0 && n <= buffer.len());
                    buffer.drain(..n);
                    taken += n;
                }
                Ok(Step::Data(most)) => {
                    let n = buffer.len().min(usize::try_from(most).unwrap());
                    if n == 0 {
                        break;
                    }
                    body.extend(buffer.drain(..n));
                    taken += n;
                    decoder.took(n as u64);
                }
                Ok(Step::More) => break,
                Ok(Step::End) => break 'pieces,
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
