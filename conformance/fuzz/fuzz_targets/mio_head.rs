//! The head parser of server-mio: one verdict for every way to arrive, and invariants of what is accepted.
#![no_main]

use conformance_fuzz::{is_head, is_token};
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
    let grammar = parse(octets, &mut fields, &mut scratch, &LIMITS);
    // What is read in one pass is what the grammar says.
    let mut fields = [Field::EMPTY; 20];
    if let Ok(Some(usual)) = parse_usual(octets, &mut fields, &LIMITS, "a") {
        assert_eq!(format!("{usual:?}"), format!("{:?}", grammar.as_ref().ok().and_then(Option::as_ref).expect("a head")));
    }
    match grammar {
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

    let mut fields = [Field::EMPTY; 20];
    let mut scratch = [httparse::EMPTY_HEADER; 20];
    let Ok(Some(head)) = parse(octets, &mut fields, &mut scratch, &LIMITS) else { return };
    assert!(is_head(&octets[..head.length]));
    assert!(is_token(head.method.as_bytes()));
    for field in head.fields {
        assert!(is_token(field.name.as_bytes()));
        assert!(field.value.iter().all(|&b| b == b'\t' || (b >= b' ' && b != 0x7f)));
        assert_eq!(field.value.trim_ascii(), field.value);
    }
    check_target(head.method, head.target, head.path, head.query);
});

fn check_target(method: &str, target: &str, path: &str, query: &str) {
    assert!(target.bytes().all(|b| b.is_ascii_graphic()), "{target:?}");
    assert!(!target.contains('#'));
    assert!(path.starts_with('/') || (path.is_empty() && method == "OPTIONS" && target == "*"), "{method} {target} {path}");
    let decoded = gateway_spec::percent_decode(path).expect("escapes were checked");
    assert!(!decoded.contains(&0), "{path:?}");
    assert!(!path.contains('?'));
    assert!(target == "*" || target.ends_with(&format!("?{query}")) || query.is_empty());
}
