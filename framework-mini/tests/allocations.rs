//! What a request allocates in the framework: a ceiling for each kind, so that it does not creep up unseen.
//!
//! The allocator of this process counts, so there is one test, and the least of several rounds is what a request costs.
#![cfg(feature = "json")]

use std::alloc::System;
use std::io::{self, Write};

use framework_mini::middleware::{AccessLog, ConditionalGet, RequestIds, SecurityHeaders};
use framework_mini::{App, Fields, Json, Path, Redirect, Site, State};
use gateway_spec::{
    Application, Bytes, Environ, Error, Field, Input, Peer, Request, ServerInfo, StartResponse, Status,
};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// A server that takes everything and keeps nothing.
#[derive(Default)]
struct Sink {
    code: u16,
}

impl StartResponse for Sink {
    fn start_response(
        &mut self,
        status: Status,
        _: &[(&str, &str)],
        _: Option<Error>,
    ) -> Result<&mut dyn Write, Error> {
        self.code = status.code();
        Ok(self)
    }

    fn writer(&mut self) -> &mut dyn Write {
        self
    }
}

impl Write for Sink {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The least that a request has allocated, and its status.
fn allocations(application: &dyn Application, method: &str, path: &str, body: &'static str) -> (usize, u16) {
    let (server, peer) = (ServerInfo::new("localhost", "80", "test/1"), Peer::tcp(([127, 0, 0, 1], 40_000).into()));
    let headers = [
        Field { name: "Host", value: b"localhost" },
        Field { name: "User-Agent", value: b"test" },
        Field { name: "Content-Type", value: b"application/x-www-form-urlencoded" },
    ];
    let mut request = Request::new(&server, &peer);
    (request.method, request.target, request.path) = (method, path, path);
    request.headers = &headers;
    request.content_length = (!body.is_empty()).then_some(body.len() as u64);
    let mut sink = Sink::default();
    let mut once = || {
        let region = Region::new(ALLOCATOR);
        let mut environ = Environ::new(&request, Input::from(Bytes::from_static(body.as_bytes())));
        let mut content = application.call(&mut environ, &mut sink).unwrap();
        while let Some(block) = content.next(&mut sink) {
            block.unwrap();
        }
        drop((content, environ));
        let change = region.change();
        change.allocations + change.reallocations
    };
    // The first ones make what is made once.
    let least = (0..20).map(|_| once()).min().unwrap_or_default();
    (least, sink.code)
}

#[derive(serde::Serialize)]
struct Message {
    id: u64,
    text: &'static str,
}

fn site() -> Site<u64> {
    App::new(1)
        .get("/", || "Hello!")
        .get("/count", |State(n): State<u64>| n.to_string())
        .get("/users/{id}", |Path(_): Path<u64>| "user")
        .get("/json/{id}", |Path(id): Path<u64>| Json(Message { id, text: "Hello!" }))
        .post("/notes", |_: Fields| Redirect::to("/"))
        .build()
        .unwrap()
}

#[test]
fn what_a_request_allocates() {
    let log = |_: &str| {};
    let layers = AccessLog::new(RequestIds::new(SecurityHeaders::new(ConditionalGet::new(site())))).to(log);
    let site = site();
    // Of a text it is the list of headers; of what is made, also the text and what shares it.
    for (what, application, method, path, body, code, most) in [
        ("text", &site as &dyn Application, "GET", "/", "", 200, 1),
        ("text that is made", &site, "GET", "/count", "", 200, 3),
        ("a parameter", &site, "GET", "/users/7", "", 200, 4),
        ("JSON", &site, "GET", "/json/7", "", 200, 6),
        ("a form", &site, "POST", "/notes", "a=b&c=d", 303, 12),
        ("404", &site, "GET", "/nowhere", "", 404, 11),
        ("four layers", &layers, "GET", "/", "", 200, 30),
    ] {
        let (least, got) = allocations(application, method, path, body);
        assert_eq!(got, code, "{what}");
        assert!(least <= most, "{what}: {least} allocations, {most} at most");
        println!("{what}: {least}");
    }
    // And it counts.
    assert!(allocations(&site, "GET", "/count", "").0 > 0);
}
