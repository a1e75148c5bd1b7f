//! Applications that panic: the client sees a 500 or a cut, the server keeps its threads.

use std::panic::{self, PanicHookInfo};
use std::sync::{Arc, Once};
use std::task::Waker;
use std::thread;

use gateway_spec::{Blocks, Body, Bytes, Environ, Error, Errors, StartResponse, Status, app_fn};

use crate::client::{Client, End};
use crate::support::{GET, Site, config};

/// Panics on the threads of servers are on purpose, and would fill the screen.
pub(crate) fn silence() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let hook = panic::take_hook();
        panic::set_hook(Box::new(move |info: &PanicHookInfo<'_>| {
            let thread = thread::current();
            let name = thread.name().unwrap_or_default();
            if !matches!(name, "connection" | "refusals" | "site" | "watchdog") && !name.starts_with("server-mio ") {
                hook(info);
            }
        }));
    });
}

/// A payload of a panic that panics itself.
pub(crate) struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("the payload of a panic");
    }
}

struct PanicsInDrop(&'static [&'static str]);

impl Iterator for PanicsInDrop {
    type Item = &'static str;

    fn next(&mut self) -> Option<&'static str> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }
}

impl Drop for PanicsInDrop {
    fn drop(&mut self) {
        panic!("in Drop");
    }
}

/// Panics where the path says.
fn panicking(environ: &mut Environ<'_>, start_response: &mut dyn StartResponse) -> Result<Body, Error> {
    let blocks = |count: usize| {
        Body::blocks((0..).map(move |i| {
            assert!(i < count, "in the iterator");
            "block"
        }))
    };
    let path = environ.raw_path();
    if path == "/call" {
        panic!("in call");
    }
    let writer = start_response.start(Status::OK, &[])?;
    match path {
        "/started" => panic!("with a {}", "message"),
        "/any" => panic::panic_any(5),
        "/written" => {
            writer.write_all(b"block")?;
            panic!("after a write");
        }
        "/first" => Ok(blocks(0)),
        "/second" => Ok(blocks(1)),
        "/drop" => Ok(Body::blocks(PanicsInDrop(&["block"]))),
        "/drop-empty" => Ok(Body::blocks(PanicsInDrop(&[]))),
        "/declared" => {
            start_response.restart(Status::OK, &[("Content-Length", "5")], "again".into())?;
            Ok(Body::blocks(PanicsInDrop(&["block", "more"])))
        }
        "/hints" => {
            start_response.early_hints(&[("Link", "</style.css>")])?;
            panic!("after early hints");
        }
        _ => Ok("fine".into()),
    }
}

fn request(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

#[test]
fn ten_thousand_panics() {
    silence();
    let site = Site::new(config(), panicking);
    let site = &site;
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(move || {
                let mut client = site.connect();
                for i in 0..2_500 {
                    // Nothing was sent yet: a 500, and the connection lives.
                    let path = ["/call", "/started", "/any", "/first"][i % 4];
                    let reply = client.ask(request(path));
                    assert_eq!((reply.code, reply.closes()), (500, false), "{path}");
                }
                client.ask(GET).is(200, "fine");
            });
        }
    });
    let stats = site.handle.stats();
    assert_eq!((stats.accepted, stats.requests), (4, 10_004));
    assert!(crate::has_threads_for(4, stats.threads), "{stats:?}");
}

#[test]
fn a_panic_after_the_head_cuts_the_answer() {
    silence();
    let site = Site::new(config(), panicking);
    for _ in 0..50 {
        for path in ["/second", "/written"] {
            let mut client = site.connect();
            client.send(request(path));
            let broken = client.next().unwrap_err();
            let text = String::from_utf8(broken.received).unwrap();
            assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.ends_with("\r\n5\r\nblock\r\n"), "{path}: {text}");
        }
    }
    site.get().is(200, "fine");
    site.wait_for("all to end", |stats| stats.open == 0);
    // One that has not come back yet is not waited for; but a hundred lost ones would be here.
    assert!(site.handle.stats().threads < 50, "{:?}", site.handle);
}

/// The answer is whole already: a panic in `Drop` does not spoil it, nor the connection.
#[test]
fn a_panic_in_drop_is_too_late_to_harm() {
    silence();
    let site = Site::new(config(), panicking);
    let mut client = site.connect();
    for _ in 0..500 {
        client.ask(request("/drop")).is(200, "block");
        client.ask(request("/drop-empty")).is(200, "");
        client.ask(request("/declared")).is(200, "block");
    }
    client.ask(GET).is(200, "fine");
    assert_eq!(site.handle.stats().accepted, 1);
}

#[test]
fn a_panic_after_early_hints_is_a_500() {
    silence();
    let site = Site::new(config(), panicking);
    let mut client = site.connect();
    assert_eq!(client.ask(request("/hints")).code, 103);
    assert_eq!(client.reply().code, 500);
    client.ask(GET).is(200, "fine");
}

/// Even an error that panics when it is shown, and a panic with a payload that panics, cost no more than a connection.
#[test]
fn panics_within_panics() {
    #[derive(Debug)]
    struct Unspeakable;
    impl std::fmt::Display for Unspeakable {
        fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            panic!("in Display");
        }
    }
    impl std::error::Error for Unspeakable {}

    silence();
    let mut config = config();
    config.max_connections = 2; // a place that is lost would be missed soon
    config.max_pending = 0;
    let site = Site::new(
        config,
        app_fn(|environ, start_response| match environ.raw_path() {
            "/bomb" => panic::panic_any(Bomb),
            "/unspeakable" => Err(Unspeakable.into()),
            _ => {
                start_response.start(Status::OK, &[])?;
                Ok("fine")
            }
        }),
    );
    for path in ["/bomb", "/unspeakable"].repeat(5) {
        let mut client = site.connect();
        client.send(request(path));
        match client.next() {
            Ok(reply) => assert_eq!(reply.code, 500, "{path}"),
            Err(broken) => assert_ne!(broken.end, End::Never, "{path}"),
        }
        drop(client);
        site.wait_for("the connection to end", |stats| stats.open == 0);
        site.get().is(200, "fine");
        site.wait_for("the connection to end", |stats| stats.open == 0);
    }
}

/// The memory of a block may be the application's, and its drop as well: the connection is over, with or without a body of
/// the request.
#[test]
fn the_owner_of_a_block_panics() {
    struct Owner;
    impl AsRef<[u8]> for Owner {
        fn as_ref(&self) -> &[u8] {
            b"block"
        }
    }
    impl Drop for Owner {
        fn drop(&mut self) {
            panic!("the owner of a block");
        }
    }

    silence();
    let mut config = config();
    config.max_connections = 2; // a place that is lost would be missed soon
    config.max_pending = 0;
    let app = |_: &mut Environ<'_>, start_response: &mut dyn StartResponse| {
        start_response.start(Status::OK, &[])?;
        Ok::<_, Error>(Bytes::from_owner(Owner))
    };
    let site = Site::new(config, app_fn(app));
    for request in
        ["GET / HTTP/1.1\r\nHost: a\r\n\r\n", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"].repeat(3)
    {
        let mut client = site.connect();
        client.send(request);
        assert_ne!(client.read_to_the_end().1, End::Never, "{request}");
        site.wait_for("the connection to end", |stats| stats.open == 0);
    }
}

/// A body that panics when it is asked for its length, or given a waker.
struct PanicsAside(u8, u8);

impl Blocks for PanicsAside {
    fn next(&mut self, _: &mut dyn StartResponse) -> Option<Result<Bytes, Error>> {
        self.1 += 1;
        Some(Ok(if self.1 > self.0 { Bytes::new() } else { "block".into() }))
    }

    fn remaining(&self) -> Option<u64> {
        assert!(self.0 != 1, "in remaining");
        None
    }

    fn set_waker(&mut self, _: &Waker) {
        panic!("in set_waker");
    }
}

/// GW-ERH-05: whatever of an application panics, the answer is a 500, or is cut.
#[test]
fn panics_aside() {
    struct PanicsWithEnviron;
    impl Drop for PanicsWithEnviron {
        fn drop(&mut self) {
            panic!("with the environ");
        }
    }
    silence();
    let site = Site::new(
        config(),
        app_fn(|environ, start_response| {
            start_response.start(Status::OK, &[])?;
            Ok::<Body, Error>(match environ.raw_path() {
                "/extension" => {
                    environ.extensions_mut().insert(Arc::new(PanicsWithEnviron));
                    "fine".into()
                }
                "/waker" => Body::from_blocks(PanicsAside(0, 0)),
                "/length" => Body::from_blocks(PanicsAside(1, 0)),
                "/waker-later" => Body::from_blocks(PanicsAside(2, 0)),
                _ => "fine".into(),
            })
        }),
    );
    let mut client = site.connect();
    for path in ["/extension", "/waker", "/length"] {
        assert_eq!(client.ask(request(path)).code, 500, "{path}");
        client.ask(GET).is(200, "fine");
    }
    client.send(request("/waker-later"));
    let broken = client.next().unwrap_err();
    assert!(broken.received.ends_with(b"block\r\n"), "{broken:?}");
    assert_ne!(broken.end, End::Never);
    // No length tells where this one ends.
    let mut client = site.connect();
    client.send("GET /waker-later HTTP/1.0\r\n\r\n");
    assert_eq!(client.read_to_the_end().1, End::Reset);
    site.get().is(200, "fine");
}

/// GW-EWV-07: an errors stream that panics has not taken the text, and that is all.
#[test]
fn an_errors_stream_that_panics() {
    silence();
    let mut config = config();
    config.errors = Errors::new(|_: &str| panic!("nobody is there to read this"));
    let site = Site::new(config, panicking);
    let mut client = site.connect();
    for _ in 0..300 {
        assert_eq!(client.ask(request("/call")).code, 500);
    }
    for _ in 0..100 {
        let mut client = site.connect();
        client.send(request("/second"));
        client.next().unwrap_err();
    }
    site.get().is(200, "fine");
}

/// Threads without a connection wait for one, and a thread that has seen a panic is as good as any.
#[test]
fn threads_are_used_again() {
    silence();
    let site = Site::new(config(), panicking);
    for _ in 0..100 {
        let mut client: Client = site.connect();
        client.send(request("/call"));
        assert_eq!(client.reply().code, 500);
        drop(client);
        site.wait_for("the connection to end", |stats| stats.open == 0);
    }
    assert!(site.handle.stats().threads < 50, "{:?}", site.handle);
}
