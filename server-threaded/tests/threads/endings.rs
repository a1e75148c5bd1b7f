//! Ends of connections and of waits, in the cases in which something goes wrong.

use std::fmt;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;

use gateway_spec::{Body, Bytes, Connection, Error, Errors, Status, app_fn};
use server::Config;

use crate::client::{Client, End};
use crate::panics::silence;
use crate::support::{GET, Gate, LAST_GET, Notes, PATIENCE, Site, config, held, hello, ms};

/// One block, and then this error.
fn failing(error: impl Fn() -> Error + Send + 'static) -> Body {
    let mut blocks = 0;
    Body::late(move |_| {
        blocks += 1;
        Some(if blocks == 1 { Ok(Bytes::from_static(b"block")) } else { Err(error()) })
    })
}

/// The end of the connection would be the end of the body: so it must be no proper one (SPEC 6.3).
#[track_caller]
fn is_seen_to_be_cut(client: &mut Client) {
    let (received, end) = client.read_to_the_end();
    // A block whose memory panics may take with it what was to be sent together with it.
    assert!(received.is_empty() || received.ends_with(b"\r\n\r\nblock"), "{}", received.escape_ascii());
    assert_eq!(end, End::Reset);
}

#[test]
fn a_body_that_fails_while_a_thread_reads_the_request_looks_cut() {
    let site = Site::new(
        config(),
        app_fn(|environ, start_response| {
            let mut input = environ.take_input();
            let (sender, begun) = channel();
            thread::spawn(move || {
                let mut buffer = [0; 10];
                let _ = input.read(&mut buffer);
                sender.send(()).unwrap();
                let _ = input.read(&mut buffer);
            });
            start_response.start(Status::OK, &[])?;
            begun.recv()?;
            thread::sleep(ms(20)); // until it waits for the rest
            Ok::<_, Error>(failing(|| "on purpose".into()))
        }),
    );
    let mut client = site.connect();
    client.send("POST / HTTP/1.0\r\nContent-Length: 10\r\n\r\nhello");
    is_seen_to_be_cut(&mut client);
}

#[test]
fn a_body_that_has_failed_looks_cut_if_the_server_stops_then() {
    let gate = Gate::default();
    let mut config = config();
    let hook = gate.clone();
    config.on_response = Some(Arc::new(move |_| hook.pass()));
    let site = Site::new(
        config,
        app_fn(|_, start_response| {
            start_response.start(Status::OK, &[])?;
            Ok::<_, Error>(failing(|| "on purpose".into()))
        }),
    );
    let mut client = site.connect();
    client.send("GET / HTTP/1.0\r\n\r\n");
    gate.wait_for(1);
    site.handle.stop();
    gate.open(1);
    is_seen_to_be_cut(&mut client);
}

#[derive(Debug)]
struct Unspeakable;

impl fmt::Display for Unspeakable {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("in Display");
    }
}

impl std::error::Error for Unspeakable {}

#[derive(Debug)]
struct PanicsInDrop;

impl Drop for PanicsInDrop {
    fn drop(&mut self) {
        panic!("in Drop");
    }
}

impl fmt::Display for PanicsInDrop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("on purpose")
    }
}

impl std::error::Error for PanicsInDrop {}

impl AsRef<[u8]> for PanicsInDrop {
    fn as_ref(&self) -> &[u8] {
        b"block"
    }
}

/// Whatever of a body fails or panics, the client sees that something is missing, also if the application holds on to the
/// connection.
#[test]
fn a_body_that_panics_in_odd_places_looks_cut() {
    silence();
    let kept: Arc<Mutex<Vec<Arc<dyn Connection>>>> = Arc::default();
    let keeper = Arc::clone(&kept);
    let site = Site::new(
        config(),
        app_fn(move |environ, start_response| {
            keeper.lock().unwrap().push(environ.connection().ok_or("no connection")?);
            start_response.start(Status::OK, &[])?;
            Ok::<_, Error>(match environ.raw_path() {
                "/display" => failing(|| Unspeakable.into()),
                "/drop" => failing(|| PanicsInDrop.into()),
                "/owner" => Body::late(|_| Some(Ok(Bytes::from_owner(PanicsInDrop)))),
                _ => failing(|| "on purpose".into()),
            })
        }),
    );
    for path in ["/error", "/display", "/drop", "/owner"] {
        let mut client = site.connect();
        client.send(format!("GET {path} HTTP/1.0\r\n\r\n"));
        is_seen_to_be_cut(&mut client);
        let mut client = site.connect();
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_ne!(client.next().unwrap_err().end, End::Never, "{path}");
    }
    assert_eq!(kept.lock().unwrap().len(), 8);
}

/// Settings whose errors stream can be read.
fn with_errors() -> (Config, Arc<Mutex<String>>) {
    let (mut config, text) = (config(), Arc::new(Mutex::new(String::new())));
    let stream = Arc::clone(&text);
    config.errors = Errors::new(move |more: &str| stream.lock().unwrap().push_str(more));
    (config, text)
}

/// GW-FILE-01: the system sends no file of this kind by itself, but it can be read.
#[test]
fn a_file_that_can_only_be_read() {
    const PATH: &str = "/proc/self/cmdline";
    let content = fs::read(PATH).unwrap();
    let length = content.len() as u64;
    let site = Site::new(
        config(),
        app_fn(move |_, start_response| {
            start_response.start(Status::OK, &[])?;
            Ok::<_, Error>(Body::file(File::open(PATH)?, 1, length - 1))
        }),
    );
    let mut client = site.connect();
    for _ in 0..2 {
        assert!(client.ask(GET).body == content[1..]);
    }
}

/// A file that cannot be read, or is too short, is the application's error; the connection has none.
#[test]
fn a_file_that_fails_is_said() {
    let (mut config, text) = with_errors();
    let notes = Notes::of(&mut config);
    let site = Site::new(
        config,
        app_fn(|environ, start_response| {
            start_response.start(Status::OK, &[])?;
            let path = if environ.raw_path() == "/short" { "/dev/null" } else { "/" };
            Ok::<_, Error>(Body::file(File::open(path)?, 0, 5))
        }),
    );
    for path in ["/short", "/directory"] {
        let mut client = site.connect();
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        match client.next() {
            // It was read before the head was sent.
            Ok(reply) => assert_eq!(reply.code, 500),
            Err(broken) => assert_ne!(broken.end, End::Never),
        }
    }
    assert!(notes.wait_for(2).iter().all(|seen| seen.aborted == (seen.status == 200)));
    assert_eq!(notes.errors(), []);
    assert_eq!(text.lock().unwrap().lines().count(), 2, "{}", text.lock().unwrap());
}

#[test]
fn a_file_longer_than_declared_is_said() {
    let (config, text) = with_errors();
    let site = Site::new(
        config,
        app_fn(|_, start_response| {
            start_response.start(Status::OK, &[("Content-Length", "1")])?;
            Ok::<_, Error>(Body::file(File::open("/proc/self/exe")?, 0, 4))
        }),
    );
    let mut client = site.connect();
    client.ask(GET).is(200, "\x7f");
    client.ask(LAST_GET).is(200, "\x7f");
    let text = text.lock().unwrap();
    assert_eq!(text.matches("GW-CL-01: the body goes past its length; 3 bytes were cut").count(), 2, "{text}");
}

/// Who has gone is told of as such, and is no error of the application (GW-REF-01).
#[test]
fn who_has_gone_before_the_head_was_not_answered() {
    let (mut config, text) = with_errors();
    let notes = Notes::of(&mut config);
    let gate = Gate::default();
    let held = gate.clone();
    let site = Site::new(
        config,
        app_fn(move |environ, start_response| {
            held.pass();
            match environ.raw_path() {
                "/error" => return Err("on purpose".into()),
                "/hints" => loop {
                    start_response.early_hints(&[("Link", "</style.css>")])?;
                },
                "/ignored" => while start_response.early_hints(&[("Link", "</style.css>")]).is_ok() {},
                _ => {}
            }
            start_response.start(Status::OK, &[])?;
            // Nothing yet, for ever.
            Ok::<_, Error>(Body::late(|_| Some(Ok(Bytes::new()))))
        }),
    );
    for path in ["/hints", "/ignored", "/nothing-yet", "/error"] {
        let mut client = site.connect();
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        gate.wait_for(1);
        client.reset();
        gate.open(1);
        site.wait_for("the end", |stats| stats.open == 0);
    }
    let seen = notes.wait_for(4);
    for seen in &seen[..3] {
        assert_eq!((seen.status, seen.bytes, seen.aborted), (0, 0, true), "{seen:?}");
    }
    assert_eq!((seen[3].status, seen[3].aborted), (500, true), "the answer did not reach anybody");
    assert_eq!(notes.errors().len(), 4);
    let text = text.lock().unwrap();
    assert!(text.lines().count() == 1 && text.ends_with(": on purpose\n"), "{text}");
}

/// Who takes nothing and is cut for that has gone as well.
#[test]
fn who_takes_too_long_is_no_error_of_the_application() {
    let (mut config, text) = with_errors();
    config.write_timeout = ms(100);
    let notes = Notes::of(&mut config);
    let site = Site::new(
        config,
        app_fn(|_, start_response| {
            start_response.start(Status::OK, &[])?;
            Ok::<_, Error>(Body::blocks((0..).map(|_| vec![0; 1 << 20])))
        }),
    );
    let mut client = site.connect();
    client.send(GET);
    site.wait_for("the end", |stats| stats.accepted == 1 && stats.open == 0);
    assert_eq!(notes.errors(), [ErrorKind::TimedOut]);
    assert_eq!(*text.lock().unwrap(), "");
}

/// Who is not welcome ends nobody's connection.
#[test]
fn who_is_refused_by_the_hook_takes_no_place() {
    let mut config = config();
    config.max_connections = 1;
    config.keep_alive_timeout = 2 * PATIENCE;
    let first = Mutex::new(true);
    config.verify_peer = Some(Arc::new(move |_| std::mem::replace(&mut first.lock().unwrap(), false)));
    let site = Site::new(config, hello);
    let mut client = site.connect();
    client.ask(GET).is(200, "hello");
    for _ in 0..10 {
        site.connect().must_end();
    }
    client.ask(GET).is(200, "hello");
    assert_eq!(site.handle.stats().refused, 0);
}

/// A hook that is told of who waited too long, and does not return, holds up neither deadlines nor the end.
#[test]
fn a_hook_that_blocks_stops_no_deadline() {
    let (gate, forever) = (Gate::default(), Gate::default());
    let mut config = config();
    config.max_connections = 1;
    config.pending_timeout = ms(50);
    config.shutdown_timeout = ms(100);
    let hook = forever.clone();
    config.on_response = Some(Arc::new(move |_| hook.pass()));
    let mut site = Site::new(config, held(&gate));
    let mut busy = site.connect();
    busy.send(LAST_GET);
    gate.wait_for(1);
    // The second is refused although the hook has not returned from the first.
    for _ in 0..2 {
        assert_eq!(site.connect().reply().code, 503);
    }
    site.handle.shutdown();
    site.join().unwrap();
    gate.open(1);
    forever.open(3);
}
