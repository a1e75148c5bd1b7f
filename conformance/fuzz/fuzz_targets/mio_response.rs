//! The response writer of server-mio, read back by the suite's strict reader.
#![no_main]

use conformance_fuzz::{Framing, LINES, Written, check_writer};
use libfuzzer_sys::fuzz_target;

#[allow(dead_code, unreachable_pub)]
#[path = "../../../server-mio/src/h1/mod.rs"]
mod h1;

use h1::response::{Delimiter, End, Facts, begin, chunk_size, delimiter, end};

fuzz_target!(|data: &[u8]| check_writer(data, chunk_size, |given, head| {
    let facts = Facts { head_only: given.head_only, version: given.version, code: head.status().code() };
    let length = head.content_length().or(given.known.filter(|_| !facts.drops_content()));
    let delimiter = delimiter(facts, length);
    let keep = given.keep && delimiter != Delimiter::Close;
    let mut out = Vec::new();
    begin(&mut out, head);
    end(&mut out, End { facts, length, delimiter, keep_alive: keep }, LINES.as_bytes());
    let framing = match (delimiter, length) {
        (Delimiter::Nothing, _) => Framing::Nothing,
        (Delimiter::Length, Some(length)) => Framing::Length(length),
        (Delimiter::Length, None) => panic!("a length that is not known"),
        (Delimiter::Chunked, _) => Framing::Chunked,
        (Delimiter::Close, _) => Framing::Close,
    };
    Written { out, framing, keep }
}));
