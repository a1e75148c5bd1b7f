//! The response writer of server-threaded, read back by the suite's strict reader.
#![no_main]

use conformance_fuzz::{LINES, Written, check_writer};
use libfuzzer_sys::fuzz_target;

#[allow(dead_code, unreachable_pub)]
#[path = "../../../server-threaded/src/h1/mod.rs"]
mod h1;

use h1::response::{Ending, Facts, Framing, finish_head, write_chunk_size, write_head};

fuzz_target!(|data: &[u8]| check_writer(data, write_chunk_size, |given, head| {
    let (version, code, declared) = (given.version, head.status().code(), head.content_length());
    let facts = Facts { version, head_request: given.head_only, code, declared, known: given.known };
    let framing = Framing::choose(&facts);
    let keep = given.keep && framing != Framing::Close;
    let mut out = Vec::new();
    write_head(&mut out, head);
    finish_head(&mut out, &Ending { framing, version, keep }, LINES.as_bytes());
    let framing = match framing {
        Framing::NoContent(_) => conformance_fuzz::Framing::Nothing,
        Framing::Length(length) => conformance_fuzz::Framing::Length(length),
        Framing::Chunked => conformance_fuzz::Framing::Chunked,
        Framing::Close => conformance_fuzz::Framing::Close,
    };
    Written { out, framing, keep }
}));
