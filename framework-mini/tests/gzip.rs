//! Compression: for whom, of what, and what it says about it.
#![cfg(feature = "gzip")]

#[path = "../src/testing.rs"]
mod testing;

use std::io::Read;

use flate2::read::GzDecoder;
use framework_mini::middleware::{ConditionalGet, Gzip};
use framework_mini::{App, Event, IntoResponse, Response, Site, Sse, Status, Stream};
use gateway_spec::{Body, Environ, StartResponse};
use testing::{TestRequest, TestResponse};

fn text() -> String {
    "all work and no play ".repeat(200)
}

fn noise() -> Vec<u8> {
    // A generator of pseudo-random octets: nothing gets smaller.
    let mut state = 1u64;
    let next = move |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        u8::try_from(state >> 56).unwrap()
    };
    (0..4096).map(next).collect()
}

fn with_type(body: impl IntoResponse, content_type: &'static str) -> Response {
    body.into_response().with_header("Content-Type", content_type)
}

fn with_lines(name: &'static str, one: &'static str, two: &'static str) -> Response {
    text().into_response().with_added_header(name, one).with_added_header(name, two)
}

fn site() -> Gzip<Site<()>> {
    let site = App::new(())
        .get("/text", || text().into_response().with_header("ETag", "\"v1\""))
        .get("/small", || "small")
        .get("/noise", || with_type(noise(), "text/plain"))
        .get("/image", || with_type(vec![0u8; 4096], "image/png"))
        .get("/svg", || with_type(vec![b' '; 4096], "image/svg+xml; charset=utf-8"))
        .get("/done", || text().into_response().with_header("Content-Encoding", "br"))
        .get("/fixed", || text().into_response().with_header("Cache-Control", "no-transform, max-age=1"))
        .get("/vary", || text().into_response().with_header("Vary", "Cookie"))
        .get("/vary-lines", || with_lines("Vary", "Cookie", "Accept"))
        .get("/fixed-lines", || with_lines("Cache-Control", "max-age=1", "no-transform"))
        .get("/star", || text().into_response().with_header("Vary", "*"))
        .get("/part", || (Status::PARTIAL_CONTENT, text()))
        .get("/not", || Status::NOT_MODIFIED.into_response().with_header("ETag", "\"v1\""))
        .get("/stream", || with_type(Stream((0..100).map(|n| format!("line {n}\n"))), "text/csv"))
        .get("/events", || Sse([Event::data("1"), Event::data("2"), Event::data("3")]))
        .build()
        .unwrap();
    Gzip::new(site)
}

fn get(path: &str, encoding: &str) -> TestResponse {
    TestRequest::get(path).header("Accept-Encoding", encoding).send(&site())
}

fn unpacked(response: &TestResponse) -> String {
    let mut text = String::new();
    GzDecoder::new(&*response.bytes()).read_to_string(&mut text).unwrap();
    text
}

#[test]
fn what_is_compressed() {
    let response = get("/text", "gzip");
    assert_eq!(unpacked(&response), text());
    for (name, value) in [
        ("Content-Encoding", Some("gzip")),
        ("Vary", Some("Accept-Encoding")),
        ("ETag", Some("W/\"v1\"")),
        ("Content-Length", Some(&*response.bytes().len().to_string())),
    ] {
        assert_eq!(response.header(name), value, "{name}");
    }
    assert_eq!(get("/svg", "gzip").header("Content-Encoding"), Some("gzip"));
    // For whom it is not: the same variants, so the same Vary.
    for encoding in ["", "br", "gzip;q=0", "identity"] {
        let plain = get("/text", encoding);
        assert_eq!((plain.text(), plain.header("Content-Encoding")), (text(), None), "{encoding}");
        assert_eq!((plain.header("Vary"), plain.header("ETag")), (Some("Accept-Encoding"), Some("\"v1\"")));
    }
    assert_eq!(get("/vary", "gzip").all("Vary"), ["Cookie, Accept-Encoding"]);
    assert_eq!(get("/vary-lines", "gzip").all("Vary"), ["Cookie, Accept, Accept-Encoding"]);
    assert_eq!(get("/star", "gzip").all("Vary"), ["*"]);
    let not = get("/not", "gzip");
    assert_eq!((not.header("Vary"), not.header("ETag")), (Some("Accept-Encoding"), Some("W/\"v1\"")));
}

#[test]
fn what_is_left_alone() {
    for path in ["/small", "/image", "/done", "/fixed", "/fixed-lines", "/part"] {
        let (with, without) = (get(path, "gzip"), get(path, "identity"));
        assert_eq!((with.bytes(), with.headers), (without.bytes(), without.headers), "{path}");
    }
    let noise_ = get("/noise", "gzip");
    assert_eq!((noise_.bytes(), noise_.header("Content-Encoding")), (noise(), None));
}

/// The head of HEAD is that of GET, as far as it can be known.
#[test]
fn head() {
    for path in ["/text", "/small", "/noise", "/image", "/done", "/part", "/stream"] {
        let response = TestRequest::new("HEAD", path).header("Accept-Encoding", "gzip").send(&site());
        assert_eq!((response.headers, response.blocks.len()), (get(path, "gzip").headers, 0), "{path}");
    }
    // An application that makes no content for HEAD, and tells how long it would be.
    let none = |_: &mut Environ<'_>, start: &mut dyn StartResponse| -> Result<(), gateway_spec::Error> {
        start.start(Status::OK, &[("Content-Type", "text/plain"), ("Content-Length", "4096")]).map(drop)
    };
    let response = TestRequest::new("HEAD", "/").header("Accept-Encoding", "gzip").send(&Gzip::new(none));
    assert_eq!((response.header("Content-Encoding"), response.header("Content-Length")), (Some("gzip"), None));
}

/// Each block comes out before the next goes in.
#[test]
fn streams_are_not_held_back() {
    let response = get("/stream", "gzip");
    assert_eq!(unpacked(&response), (0..100).map(|n| format!("line {n}\n")).collect::<String>());
    assert_eq!(response.header("Content-Length"), None);
    assert_eq!(response.blocks.len(), 101);
    let events = get("/events", "gzip");
    assert_eq!(events.blocks.len(), 4);
    let mut first = Vec::new();
    // The decoder complains that it is not at the end, but it has the first event.
    GzDecoder::new(&*events.blocks[0]).read_to_end(&mut first).unwrap_err();
    assert_eq!(first, b"data: 1\n\n");
}

/// When all that was declared is there, all of the compressed body is, and the application is not asked for more.
#[test]
fn a_stream_ends_where_its_length_does() {
    let exact = |_: &mut Environ<'_>, start: &mut dyn StartResponse| {
        start.start(Status::OK, &[("Content-Type", "text/plain"), ("Content-Length", "2000")])?;
        let mut blocks = 0;
        Ok(Body::late(move |_| {
            blocks += 1;
            assert!(blocks <= 2, "it is asked for what nobody waits for");
            Some(Ok("x".repeat(1000).into()))
        }))
    };
    let response = TestRequest::get("/").header("Accept-Encoding", "gzip").send(&Gzip::new(exact));
    assert_eq!((unpacked(&response), response.blocks.len()), ("x".repeat(2000), 2));
    let long = |_: &mut Environ<'_>, start: &mut dyn StartResponse| {
        start.start(Status::OK, &[("Content-Type", "text/plain"), ("Content-Length", "2000")])?;
        Ok("x".repeat(3000))
    };
    let response = TestRequest::get("/").header("Accept-Encoding", "gzip").send(&Gzip::new(long));
    assert_eq!(unpacked(&response), "x".repeat(2000));
}

#[test]
fn conditional_inside_and_out() {
    let site = App::new(()).get("/", text).build().unwrap();
    let site = Gzip::new(ConditionalGet::new(site));
    let get =
        |etag: &str| TestRequest::get("/").header("Accept-Encoding", "gzip").header("If-None-Match", etag).send(&site);
    let etag = get("\"none\"").header("ETag").unwrap().to_owned();
    let again = get(&etag);
    assert_eq!(
        (again.code(), again.header("ETag"), again.header("Vary")),
        (304, Some(&*etag), Some("Accept-Encoding"))
    );
    assert_eq!(again.header("Content-Encoding"), None);
}
