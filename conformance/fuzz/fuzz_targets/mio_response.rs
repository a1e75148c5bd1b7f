//! The response writer of server-mio, read back by the suite's strict reader.
#![no_main]

use conformance::case::To;
use conformance_fuzz::{Given, check_reply};
use gateway_spec::{Calls, Status, Version};
use libfuzzer_sys::fuzz_target;

#[allow(dead_code, unreachable_pub)]
#[path = "../../../server-mio/src/h1/mod.rs"]
mod h1;

use h1::response::{Delimiter, End, Facts, begin, chunk_size, delimiter, end};

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
    let facts = Facts { head_only: flag(2), version, code: status.code() };
    let known = (flag(4) && !facts.drops_content()).then_some(given.body.len() as u64);
    let length = head.content_length().or(known);
    let delimiter = delimiter(facts, length);
    let keep_alive = !flag(8) && delimiter != Delimiter::Close;
    let mut out = Vec::new();
    begin(&mut out, &head);
    let lines = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
    end(&mut out, End { facts, length, delimiter, keep_alive }, lines);
    match delimiter {
        Delimiter::Nothing => {}
        Delimiter::Length => match length {
            // As much as was promised, as the gateway sees to it.
            Some(length) if length <= 10_000 => out.extend(vec![b'x'; usize::try_from(length).unwrap()]),
            _ => return,
        },
        Delimiter::Chunked => {
            for block in given.body.split(|&b| b == b'|').filter(|block| !block.is_empty()) {
                chunk_size(&mut out, block.len());
                out.extend_from_slice(block);
                out.extend_from_slice(b"\r\n");
            }
            out.extend_from_slice(b"0\r\n\r\n");
        }
        Delimiter::Close => out.extend_from_slice(&given.body),
    }
    let reply = check_reply(out, to);
    assert_eq!(reply.status, status.code());
    for (name, value) in &given.headers {
        let octets: Vec<u8> = gateway_spec::trim_blanks(value).chars().map(|c| c as u8).collect();
        assert!(name.eq_ignore_ascii_case("content-length") || reply.values(name).any(|value| value == octets), "{name}");
    }
    assert_eq!(reply.announces_close(), !keep_alive);
});
