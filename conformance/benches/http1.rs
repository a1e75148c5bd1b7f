//! `cargo bench -p conformance --bench http1`: what HTTP/1.1 costs in each server, without sockets.
//!
//! Reading a head, decoding a chunked body and writing a response head, with the servers' own functions, in isolation
//! (routing is in `cargo bench -p framework-mini`). The two modules have their own shapes, and so have the calls here.

use std::hint::black_box;

use conformance::load::Exchange;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime};
use gateway_spec::{Calls, Head, Status};

#[allow(dead_code, unreachable_pub, unused_imports)]
#[path = "../../server-mio/src/h1/mod.rs"]
mod mio_h1;
#[allow(dead_code, unreachable_pub, unused_imports)]
#[path = "../../server-threaded/src/h1/mod.rs"]
mod threaded_h1;

const LINES: &str = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nServer: bench\r\n";
const HEADERS: [(&str, &str); 2] = [("Content-Type", "text/html; charset=utf-8"), ("Cache-Control", "no-cache")];

/// 1 KiB in chunks of 100 octets, and 64 KiB in chunks of 8 KiB.
fn chunked_bodies() -> [(&'static str, Vec<u8>, usize); 2] {
    let body = |chunk: usize, count: usize| {
        let one = [format!("{chunk:x}\r\n").into_bytes(), vec![b'x'; chunk], b"\r\n".to_vec()].concat();
        [one.repeat(count), b"0\r\n\r\n".to_vec()].concat()
    };
    [("chunked 11 × 100", body(100, 11), 1_100), ("chunked 8 × 8 KiB", body(8192, 8), 65_536)]
}

fn heads() -> [(&'static str, Vec<u8>); 2] {
    [
        ("head plain", Exchange::get("/plaintext", *b"").request),
        ("head of a browser", Exchange::browser("/plaintext", *b"").request),
    ]
}

/// Calls `run` with a head that an application gave, checked as servers do.
fn with_head(run: impl FnOnce(&Head<'_>)) {
    let mut calls = Calls::new();
    run(&calls.start(&Status::OK, &HEADERS, None).expect("a valid head"));
}

type Group<'c> = BenchmarkGroup<'c, WallTime>;

fn on_bytes(group: &mut Group<'_>, name: &str, bytes: usize, mut run: impl FnMut()) {
    group.throughput(Throughput::Bytes(bytes as u64));
    group.bench_function(name, |bencher| bencher.iter(&mut run));
}

mod threaded {
    use super::threaded_h1::chunked::{self, Decoder, Step};
    use super::threaded_h1::head::{Fields, Limits, usual};
    use super::threaded_h1::response::{Ending, Framing, finish_head, write_head};
    use super::threaded_h1::scan::LastHead;
    use super::*;
    use gateway_spec::Version;

    fn decode(octets: &[u8], body: &mut Vec<u8>) {
        let limits = chunked::Limits { data: 1 << 20, extensions: 1024, trailers: 16, trailer_fields: 4096 };
        let (mut decoder, mut at) = (Decoder::new(limits), 0);
        body.clear();
        loop {
            match decoder.step(&octets[at..]) {
                Ok(Step::Skip(count)) => at += count,
                Ok(Step::Data(most)) => {
                    let count = usize::try_from(most).map_or(octets.len() - at, |most| most.min(octets.len() - at));
                    body.extend_from_slice(&octets[at..at + count]);
                    decoder.took(count as u64);
                    at += count;
                }
                Ok(Step::End) => return,
                other => panic!("a valid body: {other:?}"),
            }
        }
    }

    pub(super) fn benches(criterion: &mut Criterion) {
        let mut group = criterion.benchmark_group("http1 of server-threaded");
        let limits = Limits { request_line: 8192, head: 65_536, fields: 100, body: 1 << 20 };
        for (name, octets) in heads() {
            // A head that is new, and one that is that of the request before (decision 0012).
            for (name, repeats) in [(name.to_owned(), false), (format!("{name}, again"), true)] {
                let (mut kept, mut last) = (Fields::default(), LastHead::default());
                on_bytes(&mut group, &name, octets.len(), || {
                    if !repeats {
                        last.clear();
                    }
                    let mut fields = kept.take();
                    let head = usual(black_box(&octets), 0..octets.len(), &limits, &mut last, &mut fields);
                    assert_eq!(head.map(|head| head.map(|head| head.length)), Ok(Some(octets.len())));
                    kept.put_back(fields);
                });
            }
        }
        for (name, octets, length) in chunked_bodies() {
            let mut body = Vec::with_capacity(length);
            on_bytes(&mut group, name, octets.len(), || decode(black_box(&octets), &mut body));
            assert_eq!(body.len(), length);
        }
        with_head(|head| {
            let mut out = Vec::with_capacity(1024);
            group.throughput(Throughput::Elements(1)).bench_function("response head", |bencher| {
                bencher.iter(|| {
                    out.clear();
                    write_head(&mut out, black_box(head));
                    let framing = Framing::Length(13);
                    let ending = Ending { framing, version: Version::Http11, keep: true };
                    finish_head(&mut out, &ending, LINES.as_bytes());
                });
            });
            assert!(out.ends_with(b"\r\n\r\n"));
        });
        group.finish();
    }
}

mod mio {
    use super::mio_h1::chunked::Decoder;
    use super::mio_h1::head::{Limits, parse_usual};
    use super::mio_h1::response::{Delimiter, End, Facts, begin, end};
    use super::*;
    use gateway_spec::{Field, Version};

    /// The length of the head.
    fn read(octets: &[u8], limits: &Limits) -> usize {
        let mut fields = [Field::EMPTY; 32];
        match parse_usual(octets, &mut fields, limits, "") {
            Ok(Some(head)) => head.length,
            other => panic!("a usual head: {other:?}"),
        }
    }

    fn decode(octets: &[u8], body: &mut Vec<u8>) {
        let (mut decoder, mut at) = (Decoder::new(1 << 20, 1024, 16, 4096), 0);
        body.clear();
        while !decoder.is_done() {
            let step = decoder.decode(&octets[at..], usize::MAX).expect("a valid body");
            body.extend_from_slice(step.data);
            at += step.consumed;
        }
    }

    pub(super) fn benches(criterion: &mut Criterion) {
        let mut group = criterion.benchmark_group("http1 of server-mio");
        let limits = Limits { request_line: 8192, head: 65_536, fields: 100, body: 1 << 20, https: false };
        for (name, octets) in heads() {
            on_bytes(&mut group, name, octets.len(), || {
                assert_eq!(read(black_box(&octets), &limits), octets.len());
            });
        }
        for (name, octets, length) in chunked_bodies() {
            let mut body = Vec::with_capacity(length);
            on_bytes(&mut group, name, octets.len(), || decode(black_box(&octets), &mut body));
            assert_eq!(body.len(), length);
        }
        with_head(|head| {
            let mut out = Vec::with_capacity(1024);
            group.throughput(Throughput::Elements(1)).bench_function("response head", |bencher| {
                bencher.iter(|| {
                    out.clear();
                    begin(&mut out, black_box(head));
                    let facts = Facts { head_only: false, version: Version::Http11, code: 200 };
                    let (length, delimiter) = (Some(13), Delimiter::Length);
                    end(&mut out, End { facts, length, delimiter, keep_alive: true }, LINES.as_bytes());
                });
            });
            assert!(out.ends_with(b"\r\n\r\n"));
        });
        group.finish();
    }
}

criterion_group!(benches, mio::benches, threaded::benches);
criterion_main!(benches);
