//! One connection, seen from both ends while the application is at work: who has gone, what was held back, who still
//! reads.

use std::io::{self, ErrorKind, Read};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use gateway_spec::{Body, Bytes, Connection, Environ, Error, Input, StartResponse, Status, app_fn};

use crate::client::{Client, End};
use crate::support::{GET, Gate, LAST_GET, Notes, PATIENCE, Scratch, Site, config, hello, ms, wait_until};

/// Asks until the client has gone; three times more after that, as an answer that changes its mind would be useless.
fn wait_for_departure(gone: impl Fn() -> bool) -> Vec<bool> {
    let end = Instant::now() + PATIENCE;
    while !gone() && Instant::now() < end {
        thread::sleep(ms(2));
    }
    (0..3).map(|_| gone()).collect()
}

/// Sends what the application has found out.
type Found<T> = Arc<Mutex<mpsc::Sender<T>>>;

fn found<T>() -> (Found<T>, mpsc::Receiver<T>) {
    let (sender, receiver) = mpsc::channel();
    (Arc::new(Mutex::new(sender)), receiver)
}

/// In `call` where the path is `/call`, in the body where it is `/body`.
fn departures(
    found: Found<(Vec<bool>, Option<ErrorKind>)>,
) -> impl Fn(&mut Environ<'_>, &mut dyn StartResponse) -> Result<Body, Error> {
    app_fn(move |environ, start_response| {
        if environ.raw_path() == "/call" {
            let answers = wait_for_departure(|| environ.client_gone());
            let writer = start_response.start(Status::OK, &[])?;
            // The system may take a write or two before it says no.
            let error = (0..100).find_map(|_| writer.write_all(&[0; 1000]).err());
            found.lock().unwrap().send((answers, error.as_ref().map(io::Error::kind)))?;
            return Err(error.map_or("no error".into(), Into::into));
        }
        let connection = environ.connection().ok_or("no connection")?;
        start_response.start(Status::OK, &[])?;
        let found = Arc::clone(&found);
        Ok(Body::late(move |_| {
            let answers = wait_for_departure(|| connection.client_gone());
            found.lock().unwrap().send((answers, None)).ok()?;
            Some(Ok(Bytes::from_static(b"for nobody")))
        }))
    })
}

#[test]
fn a_client_that_has_gone_is_noticed() {
    let (sender, receiver) = found();
    let mut config = config();
    let notes = Notes::of(&mut config);
    let site = Site::new(config, departures(sender));
    for (count, path) in [(1, "/call"), (2, "/body")] {
        let mut client = site.connect();
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        site.wait_for("the request", |stats| stats.requests == count);
        client.reset();
        let (answers, error) = receiver.recv_timeout(2 * PATIENCE).unwrap();
        assert_eq!(answers, [true; 3], "{path}");
        if path == "/call" {
            assert!(matches!(error, Some(ErrorKind::BrokenPipe | ErrorKind::ConnectionReset)), "{error:?}");
        }
        site.wait_for("the end", |stats| stats.open == 0);
    }
    assert_eq!(notes.errors().len(), 2, "{:?}", notes.errors());
    assert!(notes.wait_for(2).iter().all(|seen| seen.aborted));
}

#[test]
fn a_client_that_has_gone_is_noticed_on_a_unix_socket() {
    let scratch = Scratch::new();
    let (sender, receiver) = found();
    let address = format!("unix:{}", scratch.0.join("socket").display());
    let site = Site::of(config().bind(&address).unwrap(), departures(sender));
    let mut client = site.connect();
    client.send("GET /call HTTP/1.1\r\nHost: a\r\n\r\n");
    site.wait_for("the request", |stats| stats.requests > 0);
    drop(client);
    let (answers, error) = receiver.recv_timeout(2 * PATIENCE).unwrap();
    assert_eq!((answers, error), (vec![true; 3], Some(ErrorKind::BrokenPipe)));
}

/// A client that has only finished sending still reads.
#[test]
fn a_client_that_has_finished_sending_has_not_gone() {
    let app = app_fn(|environ, start_response| {
        let gone = (0..20).any(|_| {
            thread::sleep(ms(2));
            environ.client_gone()
        });
        start_response.start(Status::OK, &[])?;
        Ok::<_, Error>(if gone { "gone" } else { "here" })
    });
    let site = Site::new(config(), app);
    let mut client = site.connect();
    client.send(GET);
    client.finish();
    client.reply().is(200, "here");
    client.must_end();
    // Nor has one that has sent more already.
    let mut client = site.connect();
    client.send([GET, GET].concat());
    client.reply().is(200, "here");
    client.reply().is(200, "here");
}

#[test]
fn the_deadline_is_told() {
    let app = app_fn(|environ, start_response| {
        let left = environ.deadline().map(|deadline| deadline.saturating_duration_since(Instant::now()));
        start_response.start(Status::OK, &[])?;
        Ok::<_, Error>(match left {
            None => "none",
            Some(left) if left <= Duration::from_secs(60) && left > Duration::from_secs(40) => "soon",
            Some(_) => "wrong",
        })
    });
    Site::new(config(), app).get().is(200, "none");
    let mut config = config();
    config.app_deadline = Some(Duration::from_secs(60));
    let site = Site::new(config, app);
    let mut client = site.connect();
    (0..3).for_each(|_| client.ask(GET).is(200, "soon"));
}

#[test]
fn early_hints_come_early() {
    let gate = Gate::default();
    let site = Site::new(config(), {
        let gate = gate.clone();
        app_fn(move |_, start_response| {
            start_response.early_hints(&[("Content-Length", "4"), ("Link", "</style.css>; rel=preload")])?;
            gate.pass();
            start_response.start(Status::OK, &[])?;
            Ok::<_, Error>("page")
        })
    });
    let mut client = site.connect();
    let hints = client.ask(GET); // while the application is at work
    assert_eq!((hints.code, hints.header("Link")), (103, Some("</style.css>; rel=preload")));
    assert_eq!(hints.header("Content-Length"), None, "H1-NOB-05");
    gate.open(1);
    client.reply().is(200, "page");
    // HTTP/1.0 knows no interim responses.
    gate.open(1);
    client.ask("GET / HTTP/1.0\r\n\r\n").is(200, "page");
}

/// An answer that was kept back to go out with the next one does not wait for a next one that takes its time.
#[test]
fn held_answers_are_sent_when_the_next_one_is_slow() {
    let gate = Gate::default();
    let site = Site::new(config(), {
        let gate = gate.clone();
        app_fn(move |environ, start_response| {
            if environ.raw_path() == "/slow" {
                gate.pass();
            }
            start_response.start(Status::OK, &[])?;
            Ok::<_, Error>(environ.raw_path().to_owned())
        })
    });
    let mut client = site.connect();
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    client.send([get("/1"), get("/2"), get("/slow"), get("/3")].concat());
    client.reply().is(200, "/1");
    client.reply().is(200, "/2");
    gate.wait_for(1);
    gate.open(1);
    client.reply().is(200, "/slow");
    client.reply().is(200, "/3");
    // The same where the next request is not whole.
    client.send(get("/4") + "GET /5");
    client.reply().is(200, "/4");
    client.send(" HTTP/1.1\r\nHost: a\r\n\r\n");
    client.reply().is(200, "/5");
}

/// Answers that are held back reach a client that reads late, in order and whole, however many they are.
#[test]
fn many_held_answers_arrive() {
    let app = app_fn(|environ, start_response| {
        start_response.start(Status::OK, &[])?;
        let size = environ.raw_path()[1..].parse::<usize>()?;
        if size == 13_000 {
            thread::sleep(ms(120)); // the watchdog comes by
        }
        Ok::<_, Error>(vec![b'x'; size])
    });
    let site = Site::new(config(), app);
    let mut client = site.connect();
    let mut sender = Client::tcp(client.tcp.as_ref().unwrap().try_clone().unwrap()).unwrap();
    thread::scope(|scope| {
        scope.spawn(move || {
            for i in 0..300 {
                sender.send(format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", i * 100));
            }
        });
        thread::sleep(ms(200));
        for i in 0..300 {
            assert_eq!(client.reply().body.len(), i * 100);
        }
    });
}

/// What was moved to another thread, and outlives its request, reads nothing of the next one.
#[test]
fn an_input_that_outlives_its_request_is_empty() {
    let kept: Arc<Mutex<Vec<Input>>> = Arc::default();
    let site = Site::new(config(), {
        let kept = Arc::clone(&kept);
        app_fn(move |environ, start_response| {
            let mut input = environ.take_input();
            let mut body = String::new();
            if environ.raw_path() == "/read" {
                input.read_to_string(&mut body)?;
            }
            kept.lock().unwrap().push(input);
            start_response.start(Status::OK, &[])?;
            Ok::<_, Error>(body)
        })
    });
    let mut client = site.connect();
    for framing in ["Content-Length: 4\r\n\r\nbody", "Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n"] {
        let post = |path: &str| format!("POST {path} HTTP/1.1\r\nHost: a\r\n{framing}");
        // The next request is there already when the old input is asked.
        client.send([post("/read"), post("/unread"), post("/read")].concat());
        client.reply().is(200, "body");
        client.reply().is(200, "");
        client.reply().is(200, "body");
        for mut input in kept.lock().unwrap().drain(..) {
            let mut rest = String::new();
            let _ = input.read_to_string(&mut rest);
            assert_eq!(rest, "");
        }
        client.ask(post("/read")).is(200, "body");
    }
}

/// A thread that is still reading when the answer is out: it may get the rest of its body, and nothing behind it.
#[test]
fn a_thread_that_reads_on_gets_no_other_request() {
    let (sender, receiver) = found();
    let site = Site::new(config(), {
        app_fn(move |environ, start_response| {
            let mut input = environ.take_input();
            let found = Arc::clone(&sender);
            thread::spawn(move || {
                let mut all = vec![];
                let _ = input.read_to_end(&mut all);
                let _ = found.lock().unwrap().send(all);
            });
            thread::sleep(ms(20)); // until it waits for the body
            start_response.start(Status::OK, &[])?;
            Ok::<_, Error>("answered")
        })
    });
    for rest in ["", "body", "bodyGET /stolen HTTP/1.1\r\nHost: a\r\n\r\n"] {
        let mut client = site.connect();
        client.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n").is(200, "answered");
        let _ = client.try_send(rest);
        drop(client);
        let read = receiver.recv_timeout(PATIENCE).unwrap();
        assert!(b"body".starts_with(&read[..]), "{}", read.escape_ascii());
    }
}

/// An application that keeps the connection's handle, or its input, does not keep the connection.
#[test]
fn what_the_application_keeps_does_not_keep_the_connection() {
    type Kept = (Arc<dyn Connection>, Input);
    let kept: Arc<Mutex<Vec<Kept>>> = Arc::default();
    let mut config = config();
    config.keep_alive_timeout = ms(100);
    let site = Site::new(config, {
        let kept = Arc::clone(&kept);
        app_fn(move |environ, start_response| {
            let connection = environ.connection().ok_or("no connection")?;
            kept.lock().unwrap().push((connection, environ.take_input()));
            start_response.start(Status::OK, &[])?;
            Ok::<_, Error>(Body::try_blocks([
                Ok("block"),
                if environ.raw_path() == "/cut" { Err("on purpose") } else { Ok("more") },
            ]))
        })
    });
    let mut idle = site.connect();
    idle.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody").is(200, "blockmore");
    idle.must_end();
    let mut last = site.connect();
    last.ask(LAST_GET).is(200, "blockmore");
    last.must_end();
    let mut cut = site.connect();
    cut.send("GET /cut HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_ne!(cut.next().unwrap_err().end, End::Never);
    drop((idle, last, cut));
    // Who asks later is told.
    let kept = kept.lock().unwrap();
    assert_eq!(kept.len(), 3);
    wait_until(|| kept.iter().all(|(connection, _)| connection.client_gone()), || "not told".into());
}

/// Threads serve one connection after the other: nothing of one is seen by the next.
#[test]
fn connections_leave_nothing_behind() {
    let site = Site::new(config(), hello);
    for remains in
        ["GET / HTTP/1.1\r\nHost: a\r\nX: ", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nGET /", "BAD"]
    {
        let mut client = site.connect();
        client.send(remains);
        thread::sleep(ms(10)); // until it was read
        drop(client);
        site.wait_for("the end", |stats| stats.open == 0);
        site.get().is(200, "hello");
        site.wait_for("the end", |stats| stats.open == 0);
    }
}

/// Clients that reset, or leave, after each single byte of a request.
#[test]
fn clients_that_leave_anywhere() {
    let mut config = config();
    config.max_connections = 4; // a place that is lost would be missed soon
    config.pending_timeout = 2 * PATIENCE;
    let site = Site::new(config, {
        app_fn(|environ, start_response| {
            io::copy(environ.input(), &mut io::sink())?;
            start_response.start(Status::OK, &[])?;
            Ok::<_, Error>("read")
        })
    });
    let request = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4;x=y\r\nbody\r\n0\r\nX: y\r\n\r\n";
    for length in 0..=request.len() {
        for resets in [true, false] {
            let mut client = site.connect();
            client.send(&request[..length]);
            if resets {
                client.reset();
            }
        }
    }
    let count = 2 * request.len() as u64 + 2;
    site.wait_for("all to come and go", |stats| stats.accepted == count && stats.open == 0);
    assert!(site.handle.stats().threads < 100, "{:?}", site.handle);
    site.get().is(200, "read");
}

#[test]
fn a_connection_may_have_a_last_request() {
    let mut config = config();
    config.max_requests_per_connection = Some(3);
    let site = Site::new(config, hello);
    let mut client = site.connect();
    client.send([GET; 4].concat());
    for last in [false, false, true] {
        let reply = client.reply();
        reply.is(200, "hello");
        assert_eq!(reply.closes(), last);
    }
    client.must_end();
    assert_eq!(site.handle.stats().requests, 3);
}

/// Who wants no deadline says so with the longest one.
#[test]
fn deadlines_may_be_never() {
    let mut config = config();
    for timeout in [
        &mut config.head_timeout,
        &mut config.keep_alive_timeout,
        &mut config.body_timeout,
        &mut config.write_timeout,
        &mut config.rate_grace,
        &mut config.linger_timeout,
        &mut config.pending_timeout,
        &mut config.shutdown_timeout,
    ] {
        *timeout = Duration::MAX;
    }
    config.app_deadline = Some(Duration::MAX);
    let mut site = Site::new(config, {
        app_fn(|environ, start_response| {
            let left = environ.deadline().map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let length = io::copy(environ.input(), &mut io::sink())?;
            start_response.start(Status::OK, &[])?;
            Ok::<_, Error>(vec![b'x'; if left > Some(Duration::from_secs(60)) { length as usize } else { 0 }])
        })
    });
    let mut client = site.connect();
    for pieces in [["POST / HTTP/1.1\r\nHost: a\r\n", "Content-Length: 4\r\n\r\nbo", "dy"]; 2] {
        for piece in pieces {
            thread::sleep(ms(120)); // some ticks of the coarse clock
            client.send(piece);
        }
        client.reply().is(200, "xxxx");
    }
    let length = 5 << 20; // more than sockets buffer
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"));
    client.send(vec![b'x'; length]);
    thread::sleep(ms(120));
    assert_eq!(client.reply().body.len(), length);
    assert_eq!(client.ask("BAD\r\n\r\n").code, 400);
    client.must_end();
    drop(client);
    site.handle.shutdown();
    site.join().unwrap();
}

/// The same for sizes.
#[test]
fn sizes_may_have_no_limit() {
    let mut config = config();
    (config.max_request_line, config.max_head, config.max_chunk_extensions) = (usize::MAX, usize::MAX, usize::MAX);
    (config.max_body, config.max_drain, config.max_linger) = (u64::MAX, u64::MAX, u64::MAX);
    let site = Site::new(config, {
        app_fn(|environ, start_response| {
            let length = if environ.method() == "PUT" { 0 } else { io::copy(environ.input(), &mut io::sink())? };
            start_response.start(Status::OK, &[])?;
            Ok::<_, Error>(length.to_string())
        })
    });
    let mut client = site.connect();
    for method in ["POST", "PUT"] {
        for line in ["HTTP/1.1", "HTTP/1.2"] {
            // In two pieces, so that there is a head that is not whole.
            client.send(format!("{method} /{} {line}", "a".repeat(20_000)));
            thread::sleep(ms(20));
            client.send(format!("\r\nHost: a\r\nX:{}\r\n", "x".repeat(20_000)));
            client.send("Transfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n");
            client.reply().is(200, if method == "PUT" { "0" } else { "5" });
        }
    }
    assert_eq!(client.ask("BAD\r\n\r\n").code, 400);
    client.must_end();
}
