//! `cargo bench -p conformance --bench contract`: what applications pay for asking.
//!
//! No sockets: an environ over the fields of a browser's request, and the checks of what an application says.

use std::hint::black_box;
use std::net::SocketAddr;

use conformance::load::Exchange;
use criterion::{Criterion, criterion_group, criterion_main};
use gateway_spec::{
    Calls, Environ, Field, Input, Peer, Request, ServerInfo, Status, check_header, percent_decode, percent_encode_path,
};

const HEADERS: [(&str, &str); 4] = [
    ("Content-Type", "text/html; charset=utf-8"),
    ("Content-Length", "13"),
    ("Cache-Control", "no-cache"),
    ("Set-Cookie", "session=8f14e45fceea167a5a36dedd4bea2543; HttpOnly; Path=/"),
];

/// The field lines of a browser's request, as a server would have found them.
fn fields(head: &str) -> Vec<Field<'_>> {
    let lines = head.split("\r\n").skip(1).take_while(|line| !line.is_empty());
    let pairs = lines.filter_map(|line| line.split_once(": "));
    pairs.map(|(name, value)| Field { name, value: value.as_bytes() }).collect()
}

fn environ(criterion: &mut Criterion) {
    let exchange = Exchange::browser("/a/path", *b"");
    let head = String::from_utf8(exchange.request).expect("ASCII");
    let fields = fields(&head);
    assert_eq!(fields.len(), 12);
    let info = ServerInfo::new("localhost", "8000", "bench");
    let peer = Peer::tcp(SocketAddr::from(([127, 0, 0, 1], 50_000)));
    let mut request = Request::new(&info, &peer);
    (request.target, request.path, request.headers) = ("/a/path", "/a/path", &fields);
    let environ = Environ::new(&request, Input::empty());
    assert_eq!(environ.path_info(), "/a/path");
    assert_eq!(environ.get("HTTP_ACCEPT_LANGUAGE"), environ.header("accept-language"));

    let mut group = criterion.benchmark_group("environ");
    group.bench_function("new", |bencher| bencher.iter(|| Environ::new(black_box(&request), Input::empty())));
    group.bench_function("path_info", |bencher| bencher.iter(|| black_box(&environ).path_info()));
    group.bench_function("header", |bencher| bencher.iter(|| black_box(&environ).header("accept-language")));
    group.bench_function("get", |bencher| bencher.iter(|| black_box(&environ).get("HTTP_ACCEPT_LANGUAGE")));
    group.bench_function("get nothing", |bencher| bencher.iter(|| black_box(&environ).get("HTTP_X_NOT_SENT")));
    group.bench_function("vars", |bencher| bencher.iter(|| black_box(&environ).vars()));
    group.bench_function("url", |bencher| bencher.iter(|| black_box(&environ).url()));
    group.finish();
}

fn answer(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("answer");
    group.bench_function("check_header", |bencher| {
        bencher.iter(|| HEADERS.iter().try_for_each(|(name, value)| check_header(black_box(name), black_box(value))));
    });
    group.bench_function("order of calls", |bencher| {
        bencher.iter(|| {
            let mut calls = Calls::new();
            calls.start(&Status::OK, black_box(&HEADERS), None).expect("a valid head");
            calls.yielded(13).expect("in order");
            calls.end().expect("complete");
            calls
        });
    });
    group.finish();
}

fn paths(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("paths");
    for (name, path) in [("plain", "/articles/2026/11/a-path-of-words"), ("escaped", "/caf%C3%A9/%E2%82%AC/a%20b")] {
        let decoded = percent_decode(path).expect("valid escapes");
        group.bench_function(format!("decode {name}"), |bencher| bencher.iter(|| percent_decode(black_box(path))));
        group.bench_function(format!("encode {name}"), |bencher| {
            bencher.iter(|| percent_encode_path(black_box(&decoded)).len());
        });
    }
    group.finish();
}

criterion_group!(benches, environ, answer, paths);
criterion_main!(benches);
