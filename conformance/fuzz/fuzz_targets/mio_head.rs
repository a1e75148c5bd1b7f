//! The head parser of server-mio: one verdict for every way to arrive, and invariants of what is accepted.
#![no_main]

use conformance_fuzz::Accepted;
use gateway_spec::Field;
use libfuzzer_sys::fuzz_target;

#[allow(dead_code, unreachable_pub)]
#[path = "../../../server-mio/src/h1/mod.rs"]
mod h1;

use h1::head::{Limits, Scan, parse, parse_usual};

const LIMITS: Limits = Limits { request_line: 300, head: 1000, fields: 20, body: 1000, https: false };

/// The length of the head, or that it is refused; `None` if it goes on.
fn verdict(octets: &[u8]) -> Option<Result<usize, ()>> {
    let mut fields = [Field::EMPTY; 20];
    let mut scratch = [httparse::EMPTY_HEADER; 20];
    match parse(octets, &mut fields, &mut scratch, &LIMITS) {
        Ok(Some(head)) => Some(Ok(head.length)),
        Ok(None) => None,
        Err(_) => Some(Err(())),
    }
}

fuzz_target!(|octets: &[u8]| {
    let mut scan = Scan::new();
    let Ok((blank, true)) = scan.skip_blank(octets) else { return };
    let octets = &octets[blank..];
    let whole = verdict(octets);
    // As the server does: parse at once, then only when the scan says that there is more to say.
    let mut first = verdict(&octets[..1]);
    let mut scan = Scan::new();
    for end in 1..=octets.len() {
        if first.is_some() {
            break;
        }
        if scan.find_end(&octets[..end], &LIMITS) {
            first = verdict(&octets[..end]);
        }
    }
    match (whole, first) {
        (Some(Ok(whole)), Some(Ok(first))) => assert_eq!(whole, first),
        (Some(Err(())), Some(Err(()))) | (None, None) => {}
        // Refused before the end of the head was seen: in pieces the server waits for that end.
        (Some(Err(())), None) => {}
        other => panic!("whole and in pieces: {other:?}"),
    }

    let (mut fields, mut usual_fields) = ([Field::EMPTY; 20], [Field::EMPTY; 20]);
    let mut scratch = [httparse::EMPTY_HEADER; 20];
    let parsed = parse(octets, &mut fields, &mut scratch, &LIMITS);
    // The short way comes to the same, or says nothing.
    match (parse_usual(octets, &mut usual_fields, &LIMITS, ""), &parsed) {
        (Ok(None), _) => {}
        (Ok(Some(usual)), Ok(Some(head))) => assert_eq!(format!("{usual:?}"), format!("{head:?}")),
        (Err(_), Err(_)) => {}
        other => panic!("the short way and the long one: {other:?}"),
    }
    let Ok(Some(head)) = parsed else { return };
    let octets = &octets[..head.length];
    let h1::head::Head { method, target, path, query, fields, .. } = head;
    Accepted { octets, method, target, path, query, fields }.check();
});
