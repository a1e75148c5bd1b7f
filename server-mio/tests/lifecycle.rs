//! Deadlines, failures of applications, parked streams, shutting down, and what runs the server: one loop, many fates.

mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::time::Duration;

use gateway_spec::{Blocks, Body, Bytes, Environ, Error, Errors, StartResponse, Status};
use server_mio::{LocalAddr, Server};
use support::{Client, Door, PATIENCE, Site};

fn ok(start_response: &mut dyn StartResponse) -> Result<(), Error> {
    start_response.start(Status::OK, &[("Content-Type", "text/plain")]).map(drop)
}

fn hello(_: &mut Environ<'_>, start_response: &mut dyn StartResponse) -> Result<&'static str, Error> {
    ok(start_response)?;
    Ok("hello")
}

fn echo(environ: &mut Environ<'_>, start_response: &mut dyn StartResponse) -> Result<Body, Error> {
    let mut body = Vec::new();
    environ.input().read_to_end(&mut body)?;
    ok(start_response)?;
    Ok(body.into())
}

fn short(config: &mut server_mio::Config) {
    // Long enough for a client that does not mean to be late, on a busy machine too.
    let timeout = Duration::from_millis(500);
    config.head_timeout = timeout;
    config.keep_alive_timeout = timeout;
    config.body_timeout = timeout;
    config.write_timeout = timeout;
    config.rate_grace = timeout;
    config.linger_timeout = timeout;
}

#[test]
fn silence_ends_each_phase() {
    let site = Site::with(short, echo);
    assert_eq!(site.connect().rest(), "", "nothing was said: nothing is answered");
    let mut client = site.connect();
    client.send("GET / HTTP/1.1\r\nHo");
    assert!(client.rest().starts_with("HTTP/1.1 408 "));
    let mut client = site.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.response();
    assert_eq!(client.rest(), "", "an idle connection is closed without a word");
    let mut client = site.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello");
    assert!(client.rest().starts_with("HTTP/1.1 408 "));
    site.until("closed", |stats| stats.open == 0);
}

/// Also after a batch whose last answer sent what waited before it, so that nothing did at its end.
#[test]
fn an_idle_connection_ends_after_a_batch_too() {
    let writes = |environ: &mut Environ<'_>, start_response: &mut dyn StartResponse| -> Result<Body, Error> {
        if environ.raw_path() != "/write" {
            return hello(environ, start_response).map(Body::from);
        }
        start_response.start(Status::OK, &[("Content-Length", "5")])?.write_all(b"hello")?;
        Ok(Body::empty())
    };
    let site = Site::with(
        |config| {
            short(config);
            config.threads = 1;
        },
        writes,
    );
    let mut client = site.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /write HTTP/1.1\r\nHost: a\r\n\r\n");
    for _ in 0..2 {
        assert!(client.response().ends_with("hello"));
    }
    assert_eq!(client.rest(), "", "closed without a word");
}

/// Requests with the same head, of which many are answered in a row: each has its own answer, and what bounds a connection
/// bounds them too.
#[test]
fn a_batch_of_one_head_is_many_requests() {
    let calls = AtomicUsize::new(0);
    let numbered = move |_: &mut Environ<'_>, start_response: &mut dyn StartResponse| -> Result<Body, Error> {
        ok(start_response)?;
        Ok(format!("{:1024}", calls.fetch_add(1, Ordering::SeqCst)).into())
    };
    let site = Site::with(|config| config.max_requests_per_connection = Some(100), numbered);
    let mut client = site.connect();
    // More than fit into the output, than have their turn at once, and than the connection may have.
    client.send(&"GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(103));
    for call in 0..100 {
        let response = client.response();
        assert!(response.ends_with(&format!("\r\n\r\n{call:1024}")), "{call}");
        assert_eq!(response.contains("Connection: close\r\n"), call == 99, "{call}");
    }
    assert_eq!(client.rest(), "");
}

/// Who has come and says nothing makes room after a while, as who idles between requests does at once.
#[test]
fn who_says_nothing_keeps_nobody_out() {
    let long = |config: &mut server_mio::Config| {
        (config.threads, config.max_connections) = (1, 2);
        config.head_timeout = 4 * PATIENCE;
        config.pending_timeout = 4 * PATIENCE;
    };
    let site = Site::with(long, hello);
    let _silent = [site.connect(), site.connect()];
    site.until("let in", |stats| stats.open == 2);
    assert!(site.get("/").ends_with("hello"));
}

/// A byte now and then is no progress.
#[test]
fn drips_are_not_borne() {
    let site = Site::with(
        |config| {
            short(config);
            config.min_body_rate = 1000;
        },
        echo,
    );
    for (start, drop) in
        [("GET / HTTP/1.1\r\nX: ", "x"), ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n", "x")]
    {
        let client = site.connect();
        let mut drip = client.stream.try_clone().unwrap();
        let text = start.to_owned();
        let mut client = Client::new(client.stream);
        let dripping = support::later(move || {
            let mut sent = drip.write_all(text.as_bytes());
            while sent.is_ok() {
                std::thread::sleep(Duration::from_millis(20));
                sent = drip.write_all(drop.as_bytes());
            }
        });
        assert!(client.rest().starts_with("HTTP/1.1 408 "), "{start}");
        drop_client(client);
        dripping.recv_timeout(PATIENCE).expect("the drip goes on");
    }
}

fn drop_client(client: Client) {
    drop(client);
}

/// A client that does not read stops its own producer, and nobody else.
#[test]
fn who_does_not_read_is_not_written_to_for_ever() {
    let asked = Arc::new(AtomicUsize::new(0));
    let closed = Arc::new(AtomicUsize::new(0));
    let app = {
        let (asked, closed) = (asked.clone(), closed.clone());
        move |environ: &mut Environ<'_>, start_response: &mut dyn StartResponse| -> Result<Body, Error> {
            struct Closed(Arc<AtomicUsize>);
            impl Drop for Closed {
                fn drop(&mut self) {
                    self.0.fetch_add(1, Ordering::SeqCst);
                }
            }
            ok(start_response)?;
            if environ.raw_path() == "/" {
                return Ok("hello".into());
            }
            let (asked, closed) = (asked.clone(), Closed(closed.clone()));
            Ok(Body::late(move |_| {
                let _ = &closed;
                asked.fetch_add(1, Ordering::SeqCst);
                Some(Ok(vec![0; 64 * 1024].into()))
            }))
        }
    };
    let site = Site::with(short, app);
    let mut client = site.connect();
    client.send("GET /endless HTTP/1.1\r\nHost: a\r\n\r\n");
    site.until("called", |stats| stats.requests == 1);
    assert!(site.get("/").ends_with("hello"));
    site.until("given up", |stats| stats.open == 1 && closed.load(Ordering::SeqCst) == 1 || stats.open == 0);
    assert_eq!(closed.load(Ordering::SeqCst), 1, "the body is closed once");
    assert!(asked.load(Ordering::SeqCst) < 500, "the kernel's buffers, and one block");
    assert!(site.handle.stats().threads < 20);
}

#[test]
fn failures_are_answered_or_cut() {
    let app = |environ: &mut Environ<'_>, start_response: &mut dyn StartResponse| -> Result<Body, Error> {
        match environ.raw_path() {
            "/panic" => panic!("on purpose"),
            "/error" => return Err("on purpose".into()),
            "/panic-late" => {
                ok(start_response)?;
                let mut first = true;
                return Ok(Body::late(move |_| {
                    assert!(std::mem::take(&mut first), "on purpose");
                    Some(Ok("first".into()))
                }));
            }
            "/panic-drop" => {
                struct Loud;
                impl Drop for Loud {
                    fn drop(&mut self) {
                        panic!("on purpose");
                    }
                }
                ok(start_response)?;
                let loud = Loud;
                return Ok(Body::late(move |_| {
                    let _ = &loud;
                    None
                }));
            }
            _ => {}
        }
        ok(start_response)?;
        Ok("hello".into())
    };
    let log = Arc::new(Mutex::new(String::new()));
    let errors = {
        let log = log.clone();
        Errors::new(move |text: &str| log.lock().unwrap().push_str(text))
    };
    let site = Site::with(|config| config.errors = errors, app);
    for _ in 0..20 {
        assert!(site.get("/panic").starts_with("HTTP/1.1 500 "));
        assert!(site.get("/error").starts_with("HTTP/1.1 500 "));
    }
    let mut client = site.connect();
    client.send("GET /panic-late HTTP/1.1\r\nHost: a\r\n\r\n");
    let text = client.rest();
    assert!(text.ends_with("5\r\nfirst\r\n"), "no last chunk: {text}");
    assert!(site.get("/panic-drop").starts_with("HTTP/1.1 200 "));
    assert!(site.get("/").ends_with("hello"));
    assert!(log.lock().unwrap().contains("on purpose"));
    assert!(site.handle.stats().threads < 20);
}

/// A stream that says when it has something.
struct Feed(Arc<Mutex<FeedState>>);

#[derive(Default)]
struct FeedState {
    blocks: Vec<Bytes>,
    ended: bool,
    wakers: Vec<Waker>,
    asked: usize,
}

impl Blocks for Feed {
    fn next(&mut self, _: &mut dyn StartResponse) -> Option<Result<Bytes, Error>> {
        let mut state = self.0.lock().unwrap();
        state.asked += 1;
        match state.blocks.is_empty() {
            false => Some(Ok(state.blocks.remove(0))),
            true if state.ended => None,
            true => Some(Ok(Bytes::new())),
        }
    }

    fn set_waker(&mut self, waker: &Waker) {
        self.0.lock().unwrap().wakers = vec![waker.clone()];
    }
}

#[test]
fn streams_that_pause_hold_no_thread() {
    let feeds: Arc<Mutex<Vec<Arc<Mutex<FeedState>>>>> = Arc::default();
    let app = {
        let feeds = feeds.clone();
        move |environ: &mut Environ<'_>, start_response: &mut dyn StartResponse| -> Result<Body, Error> {
            ok(start_response)?;
            if environ.raw_path() == "/" {
                return Ok("hello".into());
            }
            let feed = Arc::new(Mutex::new(FeedState::default()));
            feeds.lock().unwrap().push(feed.clone());
            Ok(Body::from_blocks(Feed(feed)))
        }
    };
    let site = Site::new(app);
    let mut clients: Vec<_> = (0..60).map(|_| site.connect()).collect();
    for client in &mut clients {
        client.send("GET /feed HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    site.until("called", |stats| stats.requests == 60);
    assert!(site.get("/").ends_with("hello"));
    assert!(site.handle.stats().threads < 20, "a busy machine may have needed a few, but not one for each");
    for (round, text) in ["one", "two"].into_iter().enumerate() {
        for feed in feeds.lock().unwrap().iter() {
            let mut state = feed.lock().unwrap();
            state.blocks.push(text.into());
            state.ended = round == 1;
            state.wakers.iter().for_each(Waker::wake_by_ref);
        }
        for client in &mut clients {
            client.until(&format!("3\r\n{text}\r\n"));
        }
    }
    for client in &mut clients {
        client.until("0\r\n\r\n");
    }
    let most = feeds.lock().unwrap().iter().map(|feed| feed.lock().unwrap().asked).max();
    assert!(most < Some(60), "a body that wakes the server is not asked all the time: {most:?}");
}

/// A body that has no waker is asked again.
#[test]
fn streams_without_a_waker_are_asked_again() {
    let ready = Arc::new(AtomicUsize::new(0));
    let app = {
        let ready = ready.clone();
        move |_: &mut Environ<'_>, start_response: &mut dyn StartResponse| -> Result<Body, Error> {
            ok(start_response)?;
            let ready = ready.clone();
            let mut given = 0;
            Ok(Body::late(move |_| match (given, ready.load(Ordering::SeqCst)) {
                (0, 0) => Some(Ok(Bytes::new())),
                (0, _) => {
                    given = 1;
                    Some(Ok("now".into()))
                }
                _ => None,
            }))
        }
    };
    let site = Site::new(app);
    let mut client = site.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    site.until("called", |stats| stats.requests == 1);
    ready.store(1, Ordering::SeqCst);
    client.until("3\r\nnow\r\n0\r\n\r\n");
}

#[test]
fn a_graceful_shutdown_finishes_what_has_begun() {
    let door = Arc::new(Door::new());
    let app = {
        let door = door.clone();
        move |environ: &mut Environ<'_>, start_response: &mut dyn StartResponse| -> Result<Body, Error> {
            if environ.raw_path() == "/slow" {
                door.pass();
            }
            ok(start_response)?;
            Ok("finished".into())
        }
    };
    let site = Site::new(app);
    let mut idle = site.connect();
    idle.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    idle.response();
    let mut busy = site.connect();
    busy.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    door.until(1);
    site.handle.shutdown();
    assert_eq!(idle.rest(), "");
    let address = site.address;
    let refused = support::later(move || {
        while TcpStream::connect(address).is_ok() {
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    refused.recv_timeout(PATIENCE).expect("new connections are still accepted");
    door.open();
    let response = busy.rest();
    assert!(response.contains("Connection: close\r\n") && response.ends_with("finished"), "{response}");
    site.join();
}

#[test]
fn a_stop_does_not_wait() {
    let door = Arc::new(Door::new());
    let app = {
        let door = door.clone();
        move |_: &mut Environ<'_>, start_response: &mut dyn StartResponse| -> Result<Body, Error> {
            door.pass();
            ok(start_response)?;
            Ok("never".into())
        }
    };
    let site = Site::new(app);
    let mut busy = site.connect();
    busy.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    door.until(1);
    site.handle.stop();
    // The application still has its thread; the server has ended without it.
    site.join();
    door.open();
}

#[test]
fn unix_sockets_and_given_listeners() {
    let folder = std::env::temp_dir().join(format!("server-mio-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("socket");
    for _ in 0..2 {
        // The second time over the file of the first, if that were left.
        let mut config = Server::builder();
        config.threads = 2;
        let server = config.bind(&format!("unix:{}", path.display())).unwrap();
        assert_eq!(*server.local_addr(), LocalAddr::Unix(Some(path.clone())));
        assert_eq!(
            Server::bind(&format!("unix:{}", path.display())).unwrap_err().kind(),
            std::io::ErrorKind::AddrInUse
        );
        let handle = server.handle();
        let thread = std::thread::spawn(move || server.serve(hello));
        let mut stream = UnixStream::connect(&path).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert!(text.ends_with("hello"), "{text}");
        handle.shutdown();
        thread.join().unwrap().unwrap();
        assert!(!path.exists(), "the file is removed");
    }
    let listener = UnixListener::bind(&path).unwrap();
    assert!(matches!(Server::from_listener(listener).unwrap().local_addr(), LocalAddr::Unix(_)));
    std::fs::remove_dir_all(&folder).unwrap();

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::from_listener(listener).unwrap();
    let handle = server.handle();
    let thread = std::thread::spawn(move || server.serve(hello));
    let mut client = Client::new(TcpStream::connect(address).unwrap());
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(client.response().ends_with("hello"));
    handle.shutdown();
    thread.join().unwrap().unwrap();
}

/// It is asked again now and then, and the log says it once.
#[test]
fn a_listener_that_listens_no_more() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let holder = listener.try_clone().unwrap();
    let lines = Arc::new(Mutex::new(Vec::new()));
    let mut config = Server::builder();
    let said = lines.clone();
    config.threads = 1;
    config.errors = Errors::new(move |line: &str| said.lock().unwrap().push(line.to_owned()));
    let server = config.from_listener(listener).unwrap();
    let handle = server.handle();
    let thread = std::thread::spawn(move || server.serve(hello));
    TcpStream::from(std::os::fd::OwnedFd::from(holder)).shutdown(std::net::Shutdown::Both).unwrap();
    while lines.lock().unwrap().is_empty() {
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(300)); // some tries
    handle.stop();
    thread.join().unwrap().unwrap();
    let lines = lines.lock().unwrap();
    assert!(lines.len() == 1 && lines[0].contains("accept has failed"), "{lines:?}");
}

#[test]
fn an_address_in_use_is_not_shared() {
    let site = Site::with(|config| config.threads = 4, hello);
    for _ in 0..8 {
        assert!(site.get("/").ends_with("hello"));
    }
    let error = Server::bind(&site.address.to_string()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    assert!(error.to_string().contains(&site.address.to_string()), "{error}");
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    for change in [
        (|config| config.threads = 0) as fn(&mut server_mio::Config),
        |config| config.max_connections = 0,
        |config| config.max_head = 100,
        |config| config.server_header = Some("a\nb".into()),
        |config| config.server_name = Some(String::new()),
    ] {
        let mut config = Server::builder();
        change(&mut config);
        assert_eq!(config.bind("127.0.0.1:0").unwrap_err().kind(), std::io::ErrorKind::InvalidInput);
    }
}

#[test]
fn hooks_are_told() {
    let log: Arc<Mutex<Vec<String>>> = Arc::default();
    let on_response = {
        let log = log.clone();
        move |exchange: &server_mio::Exchange<'_>| {
            let text = |field: Option<&[u8]>| field.map_or("-".into(), |f| String::from_utf8_lossy(f).into_owned());
            log.lock().unwrap().push(format!(
                "{} {} {} {} {} {} {} {}",
                exchange.peer.remote_addr(),
                exchange.method,
                exchange.target,
                exchange.version,
                exchange.status,
                exchange.bytes,
                exchange.aborted,
                text(exchange.user_agent),
            ));
        }
    };
    let site = Site::with(|config| config.on_response = Some(Arc::new(on_response)), echo);
    let mut client = site.connect();
    client.send("POST /a?b HTTP/1.1\r\nHost: a\r\nUser-Agent: x/1\r\nContent-Length: 3\r\n\r\nabc");
    client.response();
    client.send("BAD");
    client.send(" request\r\n\r\n");
    client.rest();
    assert_eq!(
        *log.lock().unwrap(),
        ["127.0.0.1 POST /a?b HTTP/1.1 200 3 false x/1", "127.0.0.1 BAD request  400 30 false -"]
    );
    let site = Site::with(|config| config.verify_peer = Some(Arc::new(|_: &gateway_spec::Peer| false)), hello);
    assert_eq!(site.connect().rest(), "");
    assert_eq!((site.handle.stats().accepted, site.handle.stats().requests), (1, 0));
}
