//! The response writer of server-threaded, read back by the suite's strict reader.
#![no_main]

use conformance::case::To;
use conformance_fuzz::{Given, check_reply};
use gateway_spec::{Calls, Status, Version};
use libfuzzer_sys::fuzz_target;

#[allow(dead_code, unreachable_pub)]
#[path = "../../../server-threaded/src/h1/mod.rs"]
mod h1;

use h1::response::{Ending, Facts, Framing, LAST_CHUNK, finish_head, write_chunk_size, write_head};

fuzz_target!(|data: &[u8]| {
    let Some(given) = Given::read(data) else { return };
    let Ok(status) = Status::new(given.code, given.reason.clone()) else { return };
    let headers = given.borrowed();
    let mut calls = Calls::new();
    let Ok(head) = calls.start(&status, &headers, None) else { return };
    if given.is_own_fault() {
        return;
    }
    let flag = |bit: u8| given.flags & bit != 0;
    let version = if flag(1) { Version::Http10 } else { Version::Http11 };
    let to = if flag(2) { To::Head } else { To::Other };
    let declared = head.content_length();
    let known = flag(4).then_some(given.body.len() as u64);
    let framing = Framing::choose(&Facts { version, head_request: flag(2), code: status.code(), declared, known });
    let mut out = Vec::new();
    write_head(&mut out, &head);
    let lines = b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
    let keep = !flag(8) && framing != Framing::Close;
    finish_head(&mut out, &Ending { framing, described: declared, code: status.code(), version, keep }, lines);
    let body = match framing {
        Framing::NoContent => Vec::new(),
        // As much as was promised, as the gateway sees to it.
        Framing::Length(length) if length > 10_000 => return,
        Framing::Length(length) => vec![b'x'; usize::try_from(length).unwrap()],
        Framing::Chunked => {
            for block in given.body.split(|&b| b == b'|').filter(|block| !block.is_empty()) {
                write_chunk_size(&mut out, block.len());
                out.extend_from_slice(block);
                out.extend_from_slice(b"\r\n");
            }
            out.extend_from_slice(LAST_CHUNK);
            Vec::new()
        }
        Framing::Close => given.body.clone(),
    };
    out.extend_from_slice(&body);
    let reply = check_reply(out, to);
    assert_eq!(reply.status, status.code());
    for (name, value) in &given.headers {
        let octets: Vec<u8> = value.chars().map(|c| c as u8).collect();
        assert!(name.eq_ignore_ascii_case("content-length") || reply.values(name).any(|value| value == octets), "{name}");
    }
    assert_eq!(reply.announces_close(), !keep);
});
