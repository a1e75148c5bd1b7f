//! Applications that block stall nobody else: the loop is handed on, wherever they block.

mod support;

use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use gateway_spec::{Body, Environ, Error, StartResponse, Status};
use support::{Door, Site};

fn ok(start_response: &mut dyn StartResponse) -> Result<(), Error> {
    start_response.start(Status::OK, &[("Content-Type", "text/plain")]).map(drop)
}

/// Blocks at the door in the place that the path names; all other paths are answered at once.
fn app(door: Arc<Door>) -> impl gateway_spec::Application {
    move |environ: &mut Environ<'_>, start_response: &mut dyn StartResponse| -> Result<Body, Error> {
        let door = door.clone();
        match environ.raw_path() {
            "/call" => door.pass(),
            "/iterate" => {
                ok(start_response)?;
                let mut blocks = ["one", "two"].into_iter();
                return Ok(Body::late(move |_| {
                    let block = blocks.next()?;
                    if block == "two" {
                        door.pass();
                    }
                    Some(Ok(block.into()))
                }));
            }
            "/read" => {
                let mut body = String::new();
                environ.input().read_to_string(&mut body)?;
                ok(start_response)?;
                return Ok(format!("read {}", body.len()).into());
            }
            "/write" => {
                let writer = start_response.start(Status::OK, &[("Content-Type", "text/plain")])?;
                writer.write_all(&vec![b'x'; 10 << 20])?;
                return Ok(Body::empty());
            }
            "/drop" => {
                struct Late(Arc<Door>);
                impl Drop for Late {
                    fn drop(&mut self) {
                        self.0.pass();
                    }
                }
                let (late, mut blocks) = (Late(door), ["one"].into_iter());
                ok(start_response)?;
                return Ok(Body::late(move |_| {
                    let _ = &late;
                    blocks.next().map(|block| Ok(block.into()))
                }));
            }
            _ => {}
        }
        ok(start_response)?;
        Ok("done".into())
    }
}

fn site() -> (Site, Arc<Door>) {
    let door = Arc::new(Door::new());
    (Site::new(app(door.clone())), door)
}

#[test]
fn in_the_call() {
    let (site, door) = site();
    let mut blocked = site.connect();
    blocked.send("GET /call HTTP/1.1\r\nHost: a\r\n\r\n");
    door.until(1);
    for _ in 0..3 {
        assert!(site.get("/").ends_with("done"));
    }
    door.open();
    assert!(blocked.response().ends_with("done"));
    // The connection is at home again.
    blocked.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(blocked.response().ends_with("done"));
}

#[test]
fn in_the_body() {
    let (site, door) = site();
    let mut blocked = site.connect();
    blocked.send("GET /iterate HTTP/1.1\r\nHost: a\r\n\r\n");
    blocked.until("3\r\none\r\n");
    door.until(1);
    assert!(site.get("/").ends_with("done"));
    door.open();
    assert_eq!(blocked.until("0\r\n\r\n"), "3\r\ntwo\r\n0\r\n\r\n");
}

/// Clients that wait to be told to send their bodies take the threads of nobody, however many they are (GW-EXP-02).
#[test]
fn in_reading_what_was_not_asked_for_yet() {
    let door = Arc::new(Door::new());
    let site = Site::with(|config| config.max_threads = 8, app(door));
    let mut clients: Vec<_> = (0..20).map(|_| site.connect()).collect();
    for client in &mut clients {
        client.send("POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
        client.until("HTTP/1.1 100 Continue\r\n\r\n");
    }
    for _ in 0..10 {
        assert!(site.get("/").ends_with("done"));
    }
    for client in &mut clients {
        client.send("body");
        assert!(client.response().ends_with("read 4"));
    }
}

#[test]
fn in_the_close_of_the_body() {
    let (site, door) = site();
    let mut blocked = site.connect();
    blocked.send("GET /drop HTTP/1.1\r\nHost: a\r\n\r\n");
    door.until(1);
    assert!(site.get("/").ends_with("done"));
    door.open();
    blocked.until("0\r\n\r\n");
}

#[test]
fn in_reading_the_request() {
    let (site, _) = site();
    let mut slow = site.connect();
    // More than is collected, so that the application waits for the rest.
    slow.send("POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n");
    slow.send(&"x".repeat(100_000));
    site.until("called", |stats| stats.requests == 1);
    assert!(site.get("/").ends_with("done"));
    slow.send(&"x".repeat(100_000));
    assert!(slow.response().ends_with("read 200000"));
}

#[test]
fn in_write() {
    let (site, _) = site();
    let mut slow = site.connect();
    slow.send("GET /write HTTP/1.1\r\nHost: a\r\n\r\n");
    site.until("called", |stats| stats.requests == 1);
    assert!(site.get("/").ends_with("done"));
    slow.until("\r\n0\r\n\r\n");
}

/// A client that waits for an answer in the middle of its request gets it, although a body so small is collected first.
#[test]
fn who_pauses_within_a_small_body_is_answered() {
    let app = |environ: &mut Environ<'_>, start_response: &mut dyn StartResponse| -> Result<Body, Error> {
        let mut input = environ.take_input();
        ok(start_response)?;
        let mut left = 2;
        Ok(Body::late(move |_| {
            if left == 0 {
                return None;
            }
            left -= 1;
            let mut word = [0; 5];
            Some(input.read_exact(&mut word).map(|()| word.to_vec().into()).map_err(Into::into))
        }))
    };
    let site = Site::new(app);
    let mut client = site.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello");
    client.until("hello");
    assert!(site.get("/").contains(" 500 "), "a request without a body goes on meanwhile, and has nothing to read");
    client.send("world");
    client.until("world");
}

/// However many clients are slow with their bodies, most threads are there for others.
#[test]
fn slow_uploads_hold_few_threads() {
    let site = Site::with(|config| config.max_threads = 16, app(Arc::new(Door::new())));
    let mut slow: Vec<_> = (0..40).map(|_| site.connect()).collect();
    for client in &mut slow {
        client.send("POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello");
    }
    site.until("accepted", |stats| stats.accepted == 40);
    assert!(site.get("/").ends_with("done"));
    site.until("some applications wait with their clients", |stats| stats.requests >= 2);
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(site.get("/").ends_with("done"));
    let stats = site.handle.stats();
    assert!(stats.requests <= 2 + 5 && stats.threads <= 2 + 5, "a quarter of the threads, and no more: {stats:?}");
    for client in &mut slow {
        client.send("world");
        assert!(client.response().ends_with("read 10"));
    }
}

#[test]
fn many_at_once() {
    let (site, door) = site();
    let mut blocked: Vec<_> = (0..50).map(|_| site.connect()).collect();
    for client in &mut blocked {
        client.send("GET /call HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    door.until(50);
    assert!(site.get("/").ends_with("done"));
    door.open();
    for client in &mut blocked {
        assert!(client.response().ends_with("done"));
    }
    assert!(site.get("/").ends_with("done"));
}

#[test]
fn a_batch_does_not_wait_for_who_blocks() {
    let (site, door) = site();
    let mut client = site.connect();
    client.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\nGET /call HTTP/1.1\r\nHost: a\r\n\r\nGET /c HTTP/1.1\r\nHost: a\r\n\r\n");
    for _ in 0..2 {
        assert!(client.response().ends_with("done"));
    }
    door.until(1);
    door.open();
    for _ in 0..2 {
        assert!(client.response().ends_with("done"));
    }
}

/// As above, for requests that have the same head: by count the third blocks. Their answers are put behind each other at
/// once, also behind one with a block that is sent from its own memory.
#[test]
fn a_batch_of_one_head_does_not_wait_for_who_blocks() {
    for large in [None, Some(3), Some(4)] {
        let (door, calls) = (Arc::new(Door::new()), AtomicUsize::new(0));
        let (entrance, sizes) = (door.clone(), move |call| if large == Some(call) { 20_000 } else { 10 + call });
        let site =
            Site::new(move |_: &mut Environ<'_>, start_response: &mut dyn StartResponse| -> Result<Body, Error> {
                let call = calls.fetch_add(1, Ordering::SeqCst) + 1;
                if call % 5 == 3 {
                    entrance.pass();
                }
                ok(start_response)?;
                Ok(call.to_string().repeat(sizes(call)).into())
            });
        let mut client = site.connect();
        client.send(&"GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(5));
        let is_of = |call: usize, response: &str| {
            response.ends_with(&format!("\r\n\r\n{}", call.to_string().repeat(sizes(call))))
        };
        for call in 1..=2 {
            assert!(is_of(call, &client.response()), "{call}");
        }
        door.until(1);
        door.open();
        for call in 3..=5 {
            assert!(is_of(call, &client.response()), "{call}, {large:?}");
        }
    }
}

#[test]
fn the_last_thread_leads_and_requests_wait() {
    let door = Arc::new(Door::new());
    let configure = |config: &mut server_mio::Config| {
        config.max_threads = 2;
        config.max_pending = 1;
        config.pending_timeout = support::PATIENCE;
    };
    let site = Site::with(configure, app(door.clone()));
    let mut blocked = site.connect();
    blocked.send("GET /call HTTP/1.1\r\nHost: a\r\n\r\n");
    door.until(1);
    // The other thread leads, and may not block: one request waits.
    let mut waiting = site.connect();
    let mut refused = site.connect();
    waiting.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    site.until("here", |stats| stats.accepted == 3);
    refused.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    // Which of the two was first is the loop's business; one of them is refused, at once.
    let (sender, receiver) = std::sync::mpsc::channel();
    for mut client in [waiting, refused] {
        let sender = sender.clone();
        std::thread::spawn(move || sender.send(client.response()));
    }
    let response = receiver.recv_timeout(support::PATIENCE).unwrap();
    assert!(response.starts_with("HTTP/1.1 503 ") && response.contains("Retry-After: 1\r\n"), "{response}");
    assert_eq!(site.handle.stats().refused, 1);
    // What does not need the application is done meanwhile.
    let mut bad = site.connect();
    bad.send("GARBAGE\r\n\r\n");
    assert!(bad.response().starts_with("HTTP/1.1 400 "));
    door.open();
    assert!(receiver.recv_timeout(support::PATIENCE).unwrap().ends_with("done"));
    assert!(blocked.response().ends_with("done"));
}

#[test]
fn who_waits_too_long_for_a_thread_is_told() {
    let door = Arc::new(Door::new());
    let configure = |config: &mut server_mio::Config| {
        config.max_threads = 2;
        config.pending_timeout = std::time::Duration::from_millis(50);
    };
    let site = Site::with(configure, app(door.clone()));
    let mut blocked = site.connect();
    blocked.send("GET /call HTTP/1.1\r\nHost: a\r\n\r\n");
    door.until(1);
    assert!(site.get("/").starts_with("HTTP/1.1 503 "));
    assert_eq!(site.handle.stats().refused, 1);
    door.open();
    assert!(blocked.response().ends_with("done"));
    assert!(site.get("/").ends_with("done"));
}

/// Many clients, some of whose requests block for a little: every answer comes, in its place.
#[test]
fn nothing_is_lost_under_load() {
    let app = |environ: &mut Environ<'_>, start_response: &mut dyn StartResponse| -> Result<Body, Error> {
        let path = environ.raw_path().to_owned();
        if path.ends_with('7') {
            std::thread::sleep(std::time::Duration::from_millis(4));
        }
        ok(start_response)?;
        Ok(path.into())
    };
    let site = Site::with(|config| config.threads = 2, app);
    let clients: Vec<_> = (0..16)
        .map(|client| {
            let mut connection = site.connect();
            support::later(move || {
                for request in 0..120 {
                    let pair = [request, request + 1000];
                    for number in pair {
                        connection.send(&format!("GET /{client}-{number} HTTP/1.1\r\nHost: a\r\n\r\n"));
                    }
                    for number in pair {
                        let response = connection.response();
                        assert!(response.ends_with(&format!("\r\n\r\n/{client}-{number}")), "{response}");
                    }
                }
            })
        })
        .collect();
    for client in clients {
        client.recv_timeout(support::PATIENCE * 3).expect("a client has not come to its end");
    }
    assert_eq!(site.handle.stats().requests, 16 * 240);
}

/// A deadline that passes in the same turn of the loop in which its client goes on says nothing any more. The hook holds
/// the loop, so that both are seen in one turn.
#[test]
fn a_deadline_that_was_met_at_the_last_moment_is_none() {
    let door = Arc::new(Door::new());
    let verify = door.clone();
    let first = std::sync::atomic::AtomicBool::new(true);
    let configure = move |config: &mut server_mio::Config| {
        config.verify_peer = Some(Arc::new(move |_| {
            if !first.swap(false, std::sync::atomic::Ordering::SeqCst) {
                verify.pass();
            }
            true
        }));
    };
    let site = Site::with(configure, app(door.clone()));
    let mut client = site.connect();
    // The answer to the first request says that the rest of the second one is waited for.
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\nPOST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n1");
    assert!(client.response().ends_with("done"));
    let _other = site.connect();
    door.until(1);
    // Longer than a pause within a body may be.
    std::thread::sleep(std::time::Duration::from_millis(200));
    client.send("2");
    door.open();
    assert!(client.response().ends_with("read 2"));
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(client.response().ends_with("done"));
}

/// An application that sleeps for requests to `/short`, and how many of them were in it at most at the same time.
fn sleeper(sleep: Duration) -> (Site, impl Fn() -> usize + Sync) {
    let inside = Arc::new((AtomicUsize::new(0), AtomicUsize::new(0)));
    let counts = inside.clone();
    let app = move |environ: &mut Environ<'_>, start_response: &mut dyn StartResponse| -> Result<&'static str, Error> {
        if environ.raw_path() == "/short" {
            let (now, most) = &*counts;
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            thread::sleep(sleep);
            now.fetch_sub(1, Ordering::SeqCst);
        }
        ok(start_response)?;
        Ok("done")
    };
    (Site::new(app), move || inside.1.load(Ordering::SeqCst))
}

/// Asks for a path again and again, until this is so.
fn ask(site: &Site, path: &str, until: impl Fn() -> bool) {
    let mut client = site.connect();
    let deadline = Instant::now() + support::PATIENCE;
    while !until() {
        assert!(Instant::now() < deadline, "never");
        client.send(&format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert!(client.response().ends_with("done"));
    }
}

/// Calls that are short, but not too short to be served side by side, are: also when none has blocked for a while, and the
/// monitor looks less often.
#[test]
fn short_calls_after_a_lull() {
    let (site, most) = sleeper(Duration::from_millis(2));
    let lull = Instant::now();
    ask(&site, "/", || lull.elapsed() > Duration::from_millis(600));
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| ask(&site, "/short", || most() > 1));
        }
    });
}

/// Calls that are too short to be met twice by the monitor are known after a few of them, and served side by side.
#[test]
fn calls_too_short_to_be_met_twice() {
    let (site, most) = sleeper(Duration::from_micros(400));
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| ask(&site, "/short", || most() > 5));
        }
    });
}
