//! The head parser of server-threaded: one verdict for every way to arrive, and invariants of what is accepted.
#![no_main]

use conformance_fuzz::Accepted;
use libfuzzer_sys::fuzz_target;

#[allow(dead_code, unreachable_pub)]
#[path = "../../../server-threaded/src/h1/mod.rs"]
mod h1;

use gateway_spec::Field;
use h1::Reject;
use h1::head::{Head, Limits, parse, usual};
use h1::scan::LastHead;

/// As a connection reads a head.
fn read<'b>(
    octets: &'b [u8],
    end: usize,
    limits: &Limits,
    last: &'b mut LastHead,
    fields: &mut Vec<Field<'b>>,
) -> Result<Option<Head<'b>>, Reject> {
    match usual(octets, 0..end, limits, last, fields)? {
        Some(head) => Ok(Some(head)),
        None => parse(&octets[..end], limits, fields),
    }
}

fuzz_target!(|octets: &[u8]| {
    let limits = Limits { request_line: 300, head: 1000, fields: 20, body: 1000 };
    let (mut last, mut fields) = (LastHead::default(), Vec::new());
    let whole = read(octets, octets.len(), &limits, &mut last, &mut fields);
    // The server parses again whenever a line has ended; the first verdict counts.
    let ends = octets.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(n, _)| n + 1);
    let first = ends.chain([octets.len()]).find_map(|end| {
        let (mut last, mut fields) = (LastHead::default(), Vec::new());
        match read(octets, end, &limits, &mut last, &mut fields) {
            Ok(None) => None,
            Ok(Some(head)) => Some(Ok(head.length)),
            Err(reject) => Some(Err(reject)),
        }
    });
    match (&whole, &first) {
        (Ok(None), None) => {}
        (Ok(Some(head)), Some(Ok(length))) => assert_eq!(head.length, *length),
        // What is wrong may be named differently, if more than one thing is.
        (Err(_), Some(Err(_))) => {}
        other => panic!("whole and in lines: {other:?}"),
    }
    let Ok(Some(head)) = whole else { return };
    assert!(fields.len() <= 20);
    let octets = &octets[..head.length];
    let h1::head::Head { method, target, path, query_string: query, .. } = head;
    Accepted { octets, method, target, path, query, fields: &fields }.check();
});
