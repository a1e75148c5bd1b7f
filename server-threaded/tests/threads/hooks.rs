//! Hooks and statistics: what whoever runs the server is asked and told.

use std::io::{ErrorKind, Read};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gateway_spec::{Body, Environ, Error, Peer, StartResponse, Status, app_fn};
use server::Exchange;

use crate::client::{Client, End};
use crate::panics::{Bomb, silence};
use crate::support::{GET, Gate, LAST_GET, Notes, PATIENCE, Seen, Site, config, held, hello, ms};

fn seen(method: &str, target: &str, status: u16, bytes: usize) -> Seen {
    Seen { method: method.into(), target: target.into(), status, bytes: bytes as u64, aborted: false }
}

#[test]
fn verify_peer_is_asked_before_anything_is_read() {
    let mut config = config();
    let notes = Notes::of(&mut config);
    let (asked, count) = (Arc::new(Mutex::new(vec![])), Arc::new(AtomicUsize::new(0)));
    let (asked_hook, count_hook) = (Arc::clone(&asked), Arc::clone(&count));
    // Every second one may come in.
    config.verify_peer = Some(Arc::new(move |peer: &Peer| {
        asked_hook.lock().unwrap().push(peer.clone());
        count_hook.fetch_add(1, SeqCst) % 2 == 1
    }));
    let site = Site::new(config, hello);
    let mut refused = site.connect();
    refused.must_end();
    let mut welcome = site.connect();
    welcome.ask(GET).is(200, "hello");
    welcome.ask(GET).is(200, "hello");
    let peers: Vec<_> = asked.lock().unwrap().iter().map(|peer| peer.addr().unwrap()).collect();
    let clients = [&refused, &welcome].map(|client| client.tcp.as_ref().unwrap().local_addr().unwrap());
    assert_eq!(peers, clients, "once for each connection, with its address");
    assert_eq!(notes.wait_for(2), [seen("GET", "/", 200, 5), seen("GET", "/", 200, 5)]);
    assert_eq!(notes.errors(), []);
}

/// Echoes the body, or goes wrong as the path says.
fn app(environ: &mut Environ<'_>, start_response: &mut dyn StartResponse) -> Result<Body, Error> {
    let mut body = String::new();
    environ.input().read_to_string(&mut body)?;
    if environ.raw_path() == "/error" {
        return Err("on purpose".into());
    }
    start_response.start(Status::OK, &[])?;
    Ok(match environ.raw_path() {
        "/cut" => Body::try_blocks([Ok("block"), Err("on purpose")]),
        _ => body.into(),
    })
}

#[test]
fn on_response_sees_every_response() {
    let mut config = config();
    config.max_body = 100;
    config.body_timeout = ms(200);
    // For whole heads it is long: they are sent in one piece as soon as there is a connection.
    config.head_timeout = ms(2000);
    let notes = Notes::of(&mut config);
    let site = Site::new(config, app);
    let post = |path: &str, rest: &str| format!("POST {path} HTTP/1.1\r\nHost: a\r\n{rest}");
    let of_server = |method: &str, target: &str, status: u16| Seen {
        bytes: 0, // their length is not of interest here
        ..seen(method, target, status, 0)
    };
    let cases = [
        (post("/a?b", "Content-Length: 5\r\n\r\nhello"), seen("POST", "/a?b", 200, 5)),
        ("HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n".into(), seen("HEAD", "/x", 200, 0)),
        (post("/error", "\r\n"), of_server("POST", "/error", 500)),
        (post("/cut", "\r\n"), Seen { aborted: true, ..seen("POST", "/cut", 200, 5) }),
        // Of a request that could not be read there is no more to tell than how it begins.
        ("\r\n@ /z\r\n\r\n".into(), of_server("@", "/z", 400)),
        ("BAD\r\n\r\n".into(), of_server("BAD", "", 400)),
        ("GET /x?y HTTP/1.1\r\nHost: a b\r\n\r\n".into(), of_server("GET", "/x?y", 400)),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: ".into(), of_server("GET", "/", 408)),
        (post("/", "Content-Length: 101\r\n\r\n"), of_server("POST", "/", 413)),
        (post("/late", "Content-Length: 5\r\n\r\n"), of_server("POST", "/late", 408)),
        (post("/long", "Transfer-Encoding: chunked\r\n\r\n65\r\n"), of_server("POST", "/long", 413)),
        (post("/bad", "Transfer-Encoding: chunked\r\n\r\nx\r\n"), of_server("POST", "/bad", 400)),
    ];
    for (i, (request, expected)) in cases.iter().enumerate() {
        let mut client = site.connect();
        client.send(request);
        let mut told = notes.wait_for(i + 1);
        assert_eq!(told.len(), i + 1, "{request:?}");
        if told[i].status >= 400 {
            assert!(told[i].bytes > 0, "{:?}", told[i]);
            told[i].bytes = 0;
        }
        assert_eq!(&told[i], expected, "{request:?}");
    }
}

/// Who gets no place gets an answer, and that is a response as well.
#[test]
fn on_response_sees_who_is_turned_away() {
    let gate = Gate::default();
    let mut config = config();
    config.max_connections = 1;
    config.max_pending = 0;
    let notes = Notes::of(&mut config);
    let site = Site::new(config, held(&gate));
    let mut busy = site.connect();
    busy.send(LAST_GET);
    gate.wait_for(1);
    assert_eq!(site.connect().reply().code, 503);
    let told = notes.wait_for(1);
    assert_eq!((told[0].status, told[0].aborted), (503, false));
    gate.open(1);
    busy.reply();
    assert_eq!(notes.wait_for(2)[1], seen("GET", "/", 200, 4));
}

#[test]
fn on_response_has_what_access_logs_need() {
    let lines = Arc::new(Mutex::new(vec![]));
    let mut config = config();
    let hook = Arc::clone(&lines);
    config.on_response = Some(Arc::new(move |exchange: &Exchange<'_>| {
        let text = |field: Option<&[u8]>| field.map(|field| String::from_utf8_lossy(field).into_owned());
        assert!(exchange.duration < PATIENCE);
        hook.lock().unwrap().push(format!(
            "{} {} {} {:?} {:?}",
            exchange.peer.remote_addr(),
            exchange.version,
            exchange.status,
            text(exchange.referer),
            text(exchange.user_agent)
        ));
    }));
    let site = Site::new(config, hello);
    let mut client = site.connect();
    client.ask("GET / HTTP/1.1\r\nhost: a\r\nuser-agent: curl\r\nREFERER: /é\r\n\r\n");
    client.ask("GET / HTTP/1.0\r\n\r\n");
    drop(client);
    site.wait_for("the end", |stats| stats.open == 0);
    assert_eq!(
        *lines.lock().unwrap(),
        ["127.0.0.1 HTTP/1.1 200 Some(\"/é\") Some(\"curl\")", "127.0.0.1 HTTP/1.0 200 None None"]
    );
}

/// Each response is told of before the client sees the next one; none is told of twice.
#[test]
fn on_response_sees_pipelined_responses() {
    let mut config = config();
    let notes = Notes::of(&mut config);
    let site = Site::new(config, hello);
    let mut client = site.connect();
    let batch: String = (0..50).map(|i| format!("GET /{i} HTTP/1.1\r\nHost: a\r\n\r\n")).collect();
    client.send(batch);
    (0..50).for_each(|_| client.reply().is(200, "hello"));
    let expected: Vec<_> = (0..50).map(|i| seen("GET", &format!("/{i}"), 200, 5)).collect();
    assert_eq!(notes.wait_for(50), expected);
}

#[test]
fn on_error_sees_a_reset() {
    let gate = Gate::default();
    let mut config = config();
    let notes = Notes::of(&mut config);
    let site = Site::new(config, {
        let gate = gate.clone();
        app_fn(move |environ, start_response| {
            start_response.start(Status::OK, &[])?;
            if environ.raw_path() == "/small" {
                return Ok::<_, Error>(b"small".to_vec());
            }
            gate.pass();
            environ.input().read_to_end(&mut vec![])?;
            Ok(vec![b'x'; 50 << 20])
        })
    });
    // In the middle of a head. The line came with the request before it, so it was read when that is answered.
    let mut client = site.connect();
    client.send([&b"GET /small HTTP/1.1\r\nHost: a\r\n\r\n"[..], b"GET / HTTP/1.1\r\n"].concat());
    client.reply().is(200, "small");
    client.reset();
    site.wait_for("the end", |stats| stats.open == 0);
    assert_eq!(notes.errors(), [ErrorKind::ConnectionReset]);
    let small = notes.wait_for(1).len();
    // Before the answer.
    let mut client = site.connect();
    client.send(GET);
    gate.wait_for(1);
    client.reset();
    gate.open(1);
    site.wait_for("the end", |stats| stats.open == 0);
    assert_eq!(notes.errors().len(), 2, "{:?}", notes.errors());
    // In the middle of the answer: while the server is sending, or waits until it can.
    for (pause, count) in [(0, 3), (200, 4)] {
        let mut client = site.connect();
        client.send(GET);
        gate.open(1);
        assert_ne!(client.read(&mut [0; 100]).unwrap(), 0);
        std::thread::sleep(ms(pause));
        client.reset();
        site.wait_for("the end", |stats| stats.open == 0);
        assert_eq!(notes.errors().len(), count, "{:?}", notes.errors());
    }
    assert!(notes.wait_for(small + 3)[small..].iter().all(|seen| seen.aborted));
}

/// A client that leaves between requests, or before the first, is no error.
#[test]
fn on_error_is_for_errors() {
    let mut config = config();
    config.keep_alive_timeout = ms(100);
    config.head_timeout = ms(100);
    let notes = Notes::of(&mut config);
    let site = Site::new(config, hello);
    drop(site.connect());
    let mut client = site.connect();
    client.ask(GET);
    drop(client);
    site.get();
    let mut idle = site.connect();
    idle.ask(GET);
    idle.must_end();
    site.connect().must_end();
    let mut reset = site.connect();
    reset.ask(GET);
    reset.reset();
    site.wait_for("the end", |stats| stats.open == 0 && stats.accepted == 6);
    assert_eq!(notes.errors(), []);
}

/// Hooks that panic: the connection is lost at most, and nothing else.
#[test]
fn hooks_that_panic() {
    silence();
    let mut config = config();
    config.max_connections = 2; // a place that is lost would be missed soon
    config.max_pending = 0;
    let count = AtomicUsize::new(0);
    config.verify_peer = Some(Arc::new(move |_| {
        assert!(count.fetch_add(1, SeqCst) % 2 == 1, "on purpose");
        true
    }));
    config.on_response = Some(Arc::new(|_| panic!("on purpose")));
    config.on_error = Some(Arc::new(|_, _| panic!("on purpose")));
    let site = Site::new(config, hello);
    for _ in 0..10 {
        site.wait_for("room", |stats| stats.open == 0);
        assert_ne!(site.connect().read_to_the_end().1, End::Never);
        site.wait_for("room", |stats| stats.open == 0);
        let mut client: Client = site.connect();
        client.ask(GET).is(200, "hello");
        client.ask(GET).is(200, "hello");
        client.send("G");
        std::thread::sleep(ms(5)); // until it was read
        client.reset();
    }
    site.wait_for("the end", |stats| stats.open == 0);
}

/// So does one that sees who is turned away: it runs where connections are accepted.
#[test]
fn hooks_that_panic_where_connections_are_accepted() {
    silence();
    let gate = Gate::default();
    let mut config = config();
    config.max_connections = 1;
    config.max_pending = 1;
    config.pending_timeout = Duration::from_millis(50);
    config.on_response = Some(Arc::new(|_| std::panic::panic_any(Bomb)));
    let site = Site::new(config, held(&gate));
    let mut busy = site.connect();
    busy.send(LAST_GET);
    gate.wait_for(1);
    let mut late: Vec<Client> = (0..5).map(|_| site.connect()).collect();
    late.iter_mut().for_each(|client| assert_eq!(client.reply().code, 503));
    gate.open(2);
    busy.reply().is(200, "held");
    drop(busy);
    site.wait_for("room", |stats| stats.open == 0);
    site.get().is(200, "held");
}

#[test]
fn statistics() {
    let site = Site::new(config(), hello);
    let stats = site.handle.stats();
    assert_eq!((stats.accepted, stats.open, stats.requests, stats.refused), (0, 0, 0, 0));
    let mut clients: Vec<Client> = (0..3).map(|_| site.connect()).collect();
    site.wait_for("clients", |stats| {
        stats.open == 3 && stats.accepted == 3 && crate::has_threads_for(3, stats.threads)
    });
    for (i, client) in clients.iter_mut().enumerate() {
        (0..=i).for_each(|_| drop(client.ask(GET)));
    }
    assert_eq!(site.handle.stats().requests, 6, "those of connections that are still open count");
    clients[0].send("BAD\r\n\r\n");
    assert_eq!(clients[0].reply().code, 400);
    assert_eq!(site.handle.stats().requests, 6, "what reaches no application does not");
    drop(clients);
    site.wait_for("the end", |stats| stats.open == 0);
    let stats = site.handle.stats();
    assert_eq!((stats.accepted, stats.requests, stats.refused), (3, 6, 0));
}
