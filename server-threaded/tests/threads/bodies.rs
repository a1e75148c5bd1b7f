//! Response bodies on a real socket: files, large ones, ones that wait, ones that fail.

use std::fs::File;
use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::thread;
use std::time::Instant;

use gateway_spec::{Blocks, Body, Bytes, Error, Errors, StartResponse, Status, app_fn};

use crate::client::{Client, End, find};
use crate::support::{GET, Gate, Notes, PATIENCE, Scratch, Site, config, ms, wait_until};

/// Bytes that tell where they belong.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i * 7 + i / 251) as u8).collect()
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

/// A file body from `offset`, said to be `length` long.
fn file_site(scratch: &Scratch, content: &[u8], offset: u64, length: u64, config: server::Config) -> Site {
    let path = scratch.file(content);
    let app = app_fn(move |environ, start_response| {
        let writer = start_response.start(Status::OK, &[])?;
        if environ.raw_path() == "/behind" {
            writer.write_all(b"before ")?; // then the length is not known
        }
        Ok::<_, Error>(Body::file(File::open(&path)?, offset, length))
    });
    Site::new(config, app)
}

#[test]
fn files() {
    const LENGTH: usize = 300_000;
    let content = pattern(LENGTH);
    for (offset, length) in [(0, LENGTH), (1000, 5), (0, 0), (100_000, 150_000), (LENGTH - 1, 1)] {
        let scratch = Scratch::new();
        let mut config = config();
        let notes = Notes::of(&mut config);
        let site = file_site(&scratch, &content, offset as u64, length as u64, config);
        let expected = &content[offset..offset + length];
        let mut client = site.connect();
        for _ in 0..2 {
            let reply = client.ask(get("/"));
            assert_eq!(reply.header("Content-Length"), Some(length.to_string().as_str()));
            assert!(reply.body == expected, "{offset} {length}");
            let reply = client.ask(get("/behind"));
            assert_eq!(reply.header("Content-Length"), None);
            assert!(reply.body.strip_prefix(b"before ") == Some(expected), "{offset} {length}");
        }
        // The stream is as it was: reading from it waits.
        client.send(&get("/")[..10]);
        thread::sleep(ms(5));
        client.send(&get("/")[10..]);
        assert!(client.reply().body == expected);
        assert_eq!(notes.wait_for(5)[0].bytes, length as u64);
    }
}

#[test]
fn a_file_that_has_become_shorter_is_cut() {
    for missing in [1, 100_000] {
        let scratch = Scratch::new();
        let content = pattern(200_000);
        let mut config = config();
        let notes = Notes::of(&mut config);
        let site = file_site(&scratch, &content, 0, 200_000 + missing, config);
        for path in ["/", "/behind"] {
            let mut client = site.connect();
            client.send(get(path));
            let broken = client.next().unwrap_err();
            assert_ne!(broken.end, End::Never);
            assert!(!broken.received.ends_with(b"0\r\n\r\n"));
        }
        assert!(notes.wait_for(2).iter().all(|seen| seen.aborted && seen.status == 200));
    }
}

/// A body that has said something before it reads the request's: no 100 may follow the head (H1-CONT-05).
#[test]
fn no_100_within_a_response() {
    let app = app_fn(|environ, start_response| {
        start_response.start(Status::OK, &[])?;
        let mut input = environ.take_input();
        let mut blocks = 0;
        Ok::<_, Error>(Body::late(move |_| {
            blocks += 1;
            let mut block = vec![];
            match blocks {
                1 => block.extend_from_slice(b"first "),
                2 => block = input.read_to_end(&mut block).map(|_| block).unwrap_or_default(),
                _ => return None,
            }
            Some(Ok(block.into()))
        }))
    });
    let site = Site::new(config(), app);
    let mut client = site.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    let mut received = vec![];
    while find(&received, b"first ").is_none() {
        let mut more = vec![0; 1000];
        let n = client.read(&mut more).unwrap();
        assert_ne!(n, 0);
        received.extend_from_slice(&more[..n]);
    }
    client.send("hello");
    let (rest, end) = client.read_to_the_end();
    let text = [received, rest].concat().escape_ascii().to_string();
    assert!(!text.contains("100 Continue"), "{text}");
    assert!(text.ends_with("6\\r\\nfirst \\r\\n5\\r\\nhello\\r\\n0\\r\\n\\r\\n"), "{text}");
    assert_eq!(end, End::Clean);
}

/// A part of the answer is missing since a write took too long. Whatever the application makes of that, nothing follows.
#[test]
fn nothing_follows_a_write_that_has_failed() {
    const LENGTH: usize = 50 << 20;
    let (failed, gate) = (Arc::new(AtomicBool::new(false)), Gate::default());
    let mut config = config();
    config.write_timeout = ms(300);
    let site = Site::new(config, {
        let (failed, gate) = (Arc::clone(&failed), gate.clone());
        app_fn(move |environ, start_response| {
            let length = LENGTH.to_string();
            let headers = [("Content-Length", length.as_str())];
            let is_chunked = environ.raw_path() != "/";
            let writer = start_response.start(Status::OK, if is_chunked { &[] } else { &headers })?;
            if environ.raw_path() == "/late" {
                let (failed, gate) = (Arc::clone(&failed), gate.clone());
                let mut blocks = ["more"].into_iter();
                return Ok(Body::late(move |start_response| {
                    let block = blocks.next()?;
                    failed.store(start_response.writer().write_all(&vec![b'x'; LENGTH]).is_err(), SeqCst);
                    gate.pass();
                    Some(Ok(block.into()))
                }));
            }
            failed.store(writer.write_all(&vec![b'x'; LENGTH]).is_err(), SeqCst);
            gate.pass();
            Ok::<_, Error>(if is_chunked { Body::blocks(["more"]) } else { Body::empty() })
        })
    });
    for path in ["/", "/chunked", "/late"] {
        failed.store(false, SeqCst);
        let mut client = site.connect();
        client.send(get(path));
        gate.wait_for(1);
        assert!(failed.load(SeqCst), "sockets buffer all of it");
        gate.open(1);
        let broken = client.next().unwrap_err();
        assert_ne!(broken.end, End::Never, "{path}");
        assert!(find(&broken.received, b"more").is_none(), "{path}");
    }
}

/// Far more than sockets buffer, to a client that reads when the server has long been waiting for it.
#[test]
fn large_bodies_arrive_whole() {
    const LENGTH: usize = 12 << 20;
    let content = Arc::new(pattern(LENGTH));
    let app = {
        let content = Arc::clone(&content);
        app_fn(move |environ, start_response| {
            let writer = start_response.start(Status::OK, &[])?;
            let blocks = |size: usize| {
                let content = Arc::clone(&content);
                Body::blocks(
                    (0..LENGTH.div_ceil(size))
                        .map(move |i| Bytes::copy_from_slice(&content[i * size..((i + 1) * size).min(LENGTH)])),
                )
            };
            Ok::<_, Error>(match environ.raw_path() {
                "/block" => content.to_vec().into(),
                "/small" => blocks(9_999),
                "/large" => blocks(999_999),
                _ => {
                    for piece in content.chunks(77_777) {
                        writer.write_all(piece)?;
                    }
                    Body::empty()
                }
            })
        })
    };
    let site = Site::new(config(), app);
    let site = &site;
    thread::scope(|scope| {
        for path in ["/block", "/small", "/large", "/write"] {
            let content = &content;
            scope.spawn(move || {
                let mut client = site.connect();
                client.send(format!("GET {path} HTTP/1.0\r\n\r\n"));
                thread::sleep(ms(200));
                let (mut received, end) = client.read_to_the_end();
                assert_eq!(end, End::Clean);
                let body = received.split_off(received.len() - LENGTH);
                assert!(body == ***content, "{path}");
                assert!(received.ends_with(b"\r\n\r\n"), "{path}: {}", received.escape_ascii());
            });
        }
    });
}

/// HTTP/1.0 without a length: the end of the connection is the end of the body, so a failure must not look like one.
#[test]
fn a_body_that_ends_with_the_connection() {
    let app = app_fn(|environ, start_response| {
        start_response.start(Status::OK, &[])?;
        let end = match environ.raw_path() {
            "/fails" => Err("on purpose".into()),
            // Of another connection: nothing that the client did.
            "/fails-elsewhere" => Err(Error::from(io::Error::from(io::ErrorKind::ConnectionReset))),
            _ => Ok("end"),
        };
        Ok::<_, Error>(Body::try_blocks([Ok("block "), end]))
    });
    let site = Site::new(config(), app);
    for _ in 0..20 {
        for (path, expected) in [("/", End::Clean), ("/fails", End::Reset), ("/fails-elsewhere", End::Reset)] {
            let mut client = site.connect();
            client.send(format!("GET {path} HTTP/1.0\r\n\r\n"));
            let (received, end) = client.read_to_the_end();
            assert_eq!(end, expected, "{path}: {}", received.escape_ascii());
            if end == End::Clean {
                assert!(received.ends_with(b"\r\n\r\nblock end"));
            }
        }
    }
}

/// What an application's own connections suffer is told like any other error, and is not the client's.
#[test]
fn an_error_of_another_connection_is_told() {
    let told = Arc::new(Mutex::new(String::new()));
    let mut config = config();
    let notes = Notes::of(&mut config);
    config.errors = Errors::new({
        let told = Arc::clone(&told);
        move |text: &str| told.lock().unwrap().push_str(text)
    });
    let app = app_fn(|environ, start_response| {
        let error = io::Error::new(io::ErrorKind::BrokenPipe, "the database has gone");
        if environ.raw_path() == "/early" {
            return Err(error.into());
        }
        start_response.start(Status::OK, &[])?;
        Ok::<_, Error>(Body::try_blocks([Ok("block"), Err(error)]))
    });
    let site = Site::new(config, app);
    for (count, path) in [(1, "/early"), (2, "/late")] {
        let mut client = site.connect();
        client.send(get(path));
        let _ = client.next();
        notes.wait_for(count);
        wait_until(|| told.lock().unwrap().matches("the database has gone").count() == count, || path.to_owned());
    }
    assert_eq!(notes.errors(), []);
}

/// A client cannot fill a log with bodies that are broken.
#[test]
fn a_broken_request_body_is_not_told() {
    let told = Arc::new(AtomicUsize::new(0));
    let mut config = config();
    config.errors = Errors::new({
        let told = Arc::clone(&told);
        move |_: &str| {
            told.fetch_add(1, SeqCst);
        }
    });
    let app = app_fn(|environ, start_response| {
        let mut body = vec![];
        environ.input().read_to_end(&mut body)?;
        start_response.start(Status::OK, &[])?;
        Ok::<_, Error>(body)
    });
    let site = Site::new(config, app);
    for (body, code) in [("x\r\n", 400), ("5\r\nhelloX", 400), ("FFFFFFFFFFFFFFFF\r\n", 413)] {
        let mut client = site.connect();
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}"));
        assert_eq!(client.reply().code, code);
        client.must_end();
    }
    assert_eq!(told.load(SeqCst), 0);
}

/// A cut is the end of one answer; a whole one before it arrives whole, although the client goes on sending.
#[test]
fn a_cut_spares_the_answers_before_it() {
    const LENGTH: usize = 1 << 20;
    let app = app_fn(|environ, start_response| {
        start_response.start(Status::OK, &[])?;
        Ok::<_, Error>(match environ.raw_path() {
            "/cut" => Body::try_blocks([Ok("block"), Err("on purpose")]),
            _ => vec![b'x'; LENGTH].into(),
        })
    });
    let site = Site::new(config(), app);
    for _ in 0..20 {
        let mut client = site.connect();
        client.send([get("/"), get("/cut"), get("/unread")].concat());
        thread::sleep(ms(5));
        client.send(get("/unread"));
        let whole = client.reply();
        assert_eq!(whole.body.len(), LENGTH);
        let broken = client.next().unwrap_err();
        assert!(broken.received.ends_with(b"\r\n5\r\nblock\r\n"), "{broken:?}");
        assert_eq!(broken.end, End::Clean);
    }
}

/// What a body says when it has nothing yet, and what another thread does with its waker.
#[derive(Default)]
struct Slot {
    block: Mutex<Option<&'static str>>,
    waker: Mutex<Option<Waker>>,
    asked: AtomicUsize,
    ended: AtomicBool,
    dropped: AtomicBool,
}

impl Slot {
    fn put(&self, block: &'static str) {
        *self.block.lock().unwrap() = Some(block);
        self.wake();
    }

    fn wake(&self) {
        if let Some(waker) = &*self.waker.lock().unwrap() {
            waker.wake_by_ref();
        }
    }
}

struct Late(Arc<Slot>);

impl Blocks for Late {
    fn next(&mut self, _: &mut dyn StartResponse) -> Option<Result<Bytes, Error>> {
        self.0.asked.fetch_add(1, SeqCst);
        match self.0.block.lock().unwrap().take() {
            Some(block) => Some(Ok(block.into())),
            None if self.0.ended.load(SeqCst) => None,
            None => Some(Ok(Bytes::new())),
        }
    }

    fn set_waker(&mut self, waker: &Waker) {
        *self.0.waker.lock().unwrap() = Some(waker.clone());
    }
}

impl Drop for Late {
    fn drop(&mut self) {
        self.0.dropped.store(true, SeqCst);
    }
}

fn late_site() -> (Site, Arc<Slot>) {
    let slot = Arc::new(Slot::default());
    let site = Site::new(config(), {
        let slot = Arc::clone(&slot);
        app_fn(move |_, start_response| {
            start_response.start(Status::OK, &[])?;
            Ok::<_, Error>(Body::from_blocks(Late(Arc::clone(&slot))))
        })
    });
    (site, slot)
}

/// Blocks that are put when the server has long had nothing arrive at once. One that only looks again, every 20 ms, would
/// be as quick with one in four; a busy machine gets many attempts.
#[test]
fn a_body_with_nothing_yet_is_woken() {
    let (site, slot) = late_site();
    let mut client = site.connect();
    client.send("GET / HTTP/1.0\r\n\r\n");
    wait_until(|| slot.waker.lock().unwrap().is_some(), || "no waker".into());
    slot.put("first");
    let mut head = vec![];
    while !head.ends_with(b"first") {
        let mut more = vec![0; 1000];
        let n = client.read(&mut more).unwrap();
        head.extend_from_slice(&more[..n]);
    }
    let mut is_quick = |attempt: u64| {
        thread::sleep(ms(35 + 3 * attempt % 20)); // in all phases of the pause
        let start = Instant::now();
        slot.put("block");
        let mut block = [0; 5];
        client.read_exact(&mut block).unwrap();
        assert_eq!(&block, b"block");
        start.elapsed() < ms(5)
    };
    let end = Instant::now() + PATIENCE;
    while (0..10).filter(|&attempt| is_quick(attempt)).count() < 8 {
        assert!(Instant::now() < end, "nobody is woken");
    }
    slot.ended.store(true, SeqCst);
    slot.wake();
    client.must_end();
    assert!(slot.dropped.load(SeqCst));
}

/// Waiting does not spin, and a client that leaves meanwhile ends it.
#[test]
fn a_body_with_nothing_yet_is_dropped_with_its_client() {
    let (site, slot) = late_site();
    let mut client = site.connect();
    client.send(GET);
    wait_until(|| slot.asked.load(SeqCst) > 0, || "not asked".into());
    let (before, start) = (slot.asked.load(SeqCst), Instant::now());
    thread::sleep(ms(400));
    let asked = slot.asked.load(SeqCst) - before;
    let time = start.elapsed();
    assert!((asked as u128) < time.as_millis() / 4, "asked {asked} times in {time:?}");
    client.reset();
    site.wait_for("the end", |stats| stats.open == 0);
    assert!(slot.dropped.load(SeqCst));
}

/// Each block is on its way before the next one is asked for.
#[test]
fn blocks_are_not_kept_back() {
    let gate = Gate::default();
    let site = Site::new(config(), {
        let gate = gate.clone();
        app_fn(move |_, start_response| {
            start_response.start(Status::OK, &[])?;
            let gate = gate.clone();
            let mut count = 0;
            Ok::<_, Error>(Body::late(move |_| {
                gate.pass();
                count += 1;
                (count <= 3).then(|| Ok(format!("block {count};").into()))
            }))
        })
    });
    let mut client: Client = site.connect();
    client.send("GET / HTTP/1.0\r\n\r\n");
    let mut text = String::new();
    for count in 1..=3 {
        gate.open(1);
        while !text.ends_with(&format!("block {count};")) {
            let mut more = [0; 1000];
            let n = client.read(&mut more).unwrap();
            assert_ne!(n, 0);
            text.push_str(str::from_utf8(&more[..n]).unwrap());
        }
        gate.wait_for(1);
    }
    gate.open(1);
    client.must_end();
}
