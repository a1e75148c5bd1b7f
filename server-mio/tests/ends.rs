//! How connections and servers end: whatever an application is doing, a client gets its end, one that tells the truth, and
//! who stops a server gets it stopped.

mod support;

use std::io::{self, ErrorKind, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use gateway_spec::{Application, Blocks, Body, Bytes, Environ, Error, Errors, StartResponse, Status};
use rustix::net::sockopt;
use server_mio::{Config, Handle, Server};
use support::{Client, Door, PATIENCE, Site, later};

fn ok(start_response: &mut dyn StartResponse) -> Result<(), Error> {
    start_response.start(Status::OK, &[("Content-Type", "text/plain")]).map(drop)
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

/// A body that has nothing, or has it again and again, and stops at a door when it is dropped.
struct Kept {
    block: Bytes,
    door: Arc<Door>,
}

impl Blocks for Kept {
    fn next(&mut self, _: &mut dyn StartResponse) -> Option<Result<Bytes, Error>> {
        Some(Ok(self.block.clone()))
    }

    fn set_waker(&mut self, waker: &Waker) {
        // Kept for ever, by nobody who would use it.
        std::mem::forget(waker.clone());
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.door.pass();
    }
}

/// `/call` stops at the first door; `/silent` never has anything, `/endless` always, and both stop at the second door when
/// they are dropped; `/broken` fails behind its first block.
fn app(doors: [Arc<Door>; 2]) -> impl Application {
    move |environ: &mut Environ<'_>, start_response: &mut dyn StartResponse| -> Result<Body, Error> {
        let kept = |block: Bytes| Body::from_blocks(Kept { block, door: doors[1].clone() });
        if environ.raw_path() == "/call" {
            doors[0].pass();
        }
        ok(start_response)?;
        Ok(match environ.raw_path() {
            "/silent" => kept(Bytes::new()),
            "/endless" => kept(vec![b'x'; 100_000].into()),
            "/broken" => {
                let mut blocks = [Ok("some".into()), Err("broken".into())].into_iter();
                Body::late(move |_| blocks.next())
            }
            _ => "done".into(),
        })
    }
}

fn site(configure: impl FnOnce(&mut Config)) -> (Site, [Arc<Door>; 2]) {
    let doors = [(); 2].map(|()| Arc::new(Door::new()));
    (Site::with(configure, app(doors.clone())), doors)
}

/// The time that an application takes is not the client's: not what it may idle for, either.
#[test]
fn a_slow_application_leaves_its_client_all_its_time() {
    let (site, [door, _]) = site(|config| config.keep_alive_timeout = Duration::from_secs(1));
    let mut client = site.connect();
    client.send(&get("/call"));
    door.until(1);
    // Nothing else happens meanwhile, so that nobody has to look at the time.
    thread::sleep(Duration::from_millis(1300));
    door.open();
    assert!(client.response().ends_with("done"));
    thread::sleep(Duration::from_millis(200));
    client.send(&get("/"));
    assert!(client.response().ends_with("done"));
}

/// An answer that was held back for its batch does not hold the connection when that is over.
#[test]
fn a_batch_ends_as_a_single_request_does() {
    let (site, [_, door]) = site(|config| config.write_timeout = Duration::from_millis(300));
    door.open();
    for (before, requests) in [("", 2), ("GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n", 6)] {
        let mut client = site.connect();
        client.send(&format!("{before}GET /broken HTTP/1.0\r\nHost: a\r\n\r\n"));
        let mut received = Vec::new();
        let end = client.stream.read_to_end(&mut received).map_err(|error| error.kind());
        assert_eq!(end, Err(ErrorKind::ConnectionReset), "what is broken does not look whole");
        let mut client = site.connect();
        client.send(&format!("{}{}", before.replace("1.0", "1.1"), get("/endless")));
        site.until("given up", |stats| stats.requests == requests && stats.open == 0);
        client.rest();
    }
}

/// Blocks of a body that knows its end only when it has come to it.
struct Countdown(usize);

impl Blocks for Countdown {
    fn next(&mut self, _: &mut dyn StartResponse) -> Option<Result<Bytes, Error>> {
        self.0 = self.0.checked_sub(1)?;
        Some(Ok(vec![b'x'; BLOCK].into()))
    }

    fn remaining(&self) -> Option<u64> {
        (self.0 == 0).then_some(0)
    }
}

const BLOCK: usize = 2048;

/// However much of a response without a length is still to be sent when its client is given up, it does not look whole.
#[test]
fn a_tail_that_was_not_sent_is_missed() {
    let configure = |config: &mut Config| config.write_timeout = Duration::from_millis(300);
    let app = |environ: &mut Environ<'_>, start_response: &mut dyn StartResponse| -> Result<Body, Error> {
        ok(start_response)?;
        Ok(Body::from_blocks(Countdown(environ.raw_path()[1..].parse().unwrap())))
    };
    let (address, handle, thread) = serve_narrowly(configure, app);
    let mut clients: Vec<_> = (1..60)
        .map(|blocks| {
            let mut client = connect_narrow(address);
            client.send(&format!("GET /{blocks} HTTP/1.0\r\nHost: a\r\n\r\n"));
            client
        })
        .collect();
    let deadline = Instant::now() + PATIENCE;
    while handle.stats().requests < 59 || handle.stats().open > 0 {
        assert!(Instant::now() < deadline, "they are not given up: {:?}", handle.stats());
        thread::sleep(Duration::from_millis(5));
    }
    let (mut whole, mut cut) = (0, 0);
    for (client, blocks) in clients.iter_mut().zip(1..) {
        let mut received = Vec::new();
        match client.stream.read_to_end(&mut received) {
            Ok(_) => {
                let head = received.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
                assert_eq!(received.len() - head, blocks * BLOCK, "a part that looks whole");
                whole += 1;
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::ConnectionReset);
                cut += 1;
            }
        }
    }
    assert!(whole > 0 && cut > 0, "{whole} whole, {cut} cut: the sizes are not around what fits");
    handle.stop();
    thread.join().unwrap().unwrap();
}

/// A server whose connections take little at a time: they inherit that from the listener.
fn serve_narrowly(
    configure: impl FnOnce(&mut Config),
    app: impl Application + 'static,
) -> (SocketAddr, Handle, JoinHandle<io::Result<()>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    sockopt::set_socket_send_buffer_size(&listener, 4096).unwrap();
    let address = listener.local_addr().unwrap();
    let mut config = Server::builder();
    configure(&mut config);
    let server = config.from_listener(listener).unwrap();
    let handle = server.handle();
    (address, handle, thread::spawn(move || server.serve(app)))
}

/// A client that takes little at a time.
fn connect_narrow(address: SocketAddr) -> Client {
    use rustix::net::{AddressFamily, SocketType, connect, socket};
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    sockopt::set_socket_recv_buffer_size(&socket, 4096).unwrap();
    connect(&socket, &address).unwrap();
    Client::new(TcpStream::from(socket))
}

/// The time that a body takes between its blocks does not make its client a slow one.
#[test]
fn a_slow_body_has_no_slow_client() {
    let configure = |config: &mut Config| {
        config.rate_grace = Duration::from_millis(300);
        // 75 ms for a block.
        config.min_body_rate = 400_000;
    };
    let app = |_: &mut Environ<'_>, start_response: &mut dyn StartResponse| -> Result<Body, Error> {
        ok(start_response)?;
        let mut left = 8;
        Ok(Body::late(move |_| {
            left = u32::checked_sub(left, 1)?;
            thread::sleep(Duration::from_millis(150));
            Some(Ok(vec![b'x'; 30_000].into()))
        }))
    };
    let (address, handle, thread) = serve_narrowly(configure, app);
    let mut client = connect_narrow(address);
    client.send(&get("/"));
    // Not at once, but faster than it has to be.
    let (mut received, mut piece) = (Vec::new(), [0; 4096]);
    while !received.ends_with(b"\r\n0\r\n\r\n") {
        let n = client.stream.read(&mut piece).unwrap();
        assert!(n > 0, "it was cut");
        received.extend_from_slice(&piece[..n]);
        thread::sleep(Duration::from_millis(2));
    }
    handle.stop();
    thread.join().unwrap().unwrap();
}

/// Wake-ups count also while the body is being asked, by a thread that has lost its loop over that.
#[test]
fn a_body_may_wake_while_it_is_asked() {
    struct Hasty(Option<Waker>, u32);
    impl Blocks for Hasty {
        fn next(&mut self, _: &mut dyn StartResponse) -> Option<Result<Bytes, Error>> {
            self.1 += 1;
            if self.1 % 2 == 1 {
                return (self.1 < 80).then(|| Ok("x".into()));
            }
            if let Some(waker) = &self.0 {
                waker.wake_by_ref();
                // Long enough for another thread to lead, and to hear of it.
                thread::sleep(Duration::from_millis(30));
            }
            Some(Ok(Bytes::new()))
        }

        fn set_waker(&mut self, waker: &Waker) {
            self.0 = Some(waker.clone());
        }
    }
    let app = |_: &mut Environ<'_>, start_response: &mut dyn StartResponse| -> Result<Body, Error> {
        ok(start_response)?;
        Ok(Body::from_blocks(Hasty(None, 1)))
    };
    let site = Site::new(app);
    let mut client = site.connect();
    client.send(&get("/"));
    // A second for each that is lost is more than the patience of this client.
    let start = Instant::now();
    client.until("\r\n0\r\n\r\n");
    assert!(start.elapsed() < PATIENCE, "wake-ups were lost");
}

/// Whoever has gone has gone, also if no thread is free to tell the application at that moment.
#[test]
fn who_has_gone_while_all_are_busy_is_not_forgotten() {
    let (site, [door, end]) = site(|config| config.max_threads = 2);
    let mut silent = site.connect();
    silent.send(&get("/silent"));
    site.until("asked", |stats| stats.requests == 1);
    let mut blocked = site.connect();
    blocked.send(&get("/call"));
    door.until(1);
    // A reset: both directions are over.
    sockopt::set_socket_linger(&silent.stream, Some(Duration::ZERO)).unwrap();
    drop(silent);
    // The loop has seen it when it has answered this.
    let mut bad = site.connect();
    bad.send("GARBAGE\r\n\r\n");
    assert!(bad.response().starts_with("HTTP/1.1 400 "));
    door.open();
    end.until(1);
    end.open();
    assert!(blocked.response().ends_with("done"));
}

/// The last thread, which leads, leaves also the end of a body to another one.
#[test]
fn the_last_thread_drops_no_body() {
    let (site, [door, end]) = site(|config| {
        config.max_threads = 2;
        config.write_timeout = Duration::from_millis(200);
    });
    let mut stalled = site.connect();
    stalled.send(&get("/endless"));
    site.until("asked", |stats| stats.requests == 1);
    let mut blocked = site.connect();
    blocked.send(&get("/call"));
    door.until(1);
    // Until after the client's time is over.
    thread::sleep(Duration::from_millis(400));
    let mut bad = site.connect();
    bad.send("GARBAGE\r\n\r\n");
    // Less than the door's patience.
    bad.stream.set_read_timeout(Some(PATIENCE / 4)).unwrap();
    assert!(bad.response().starts_with("HTTP/1.1 400 "), "the loop goes on");
    door.open();
    end.until(1);
    end.open();
    assert!(blocked.response().ends_with("done"));
}

#[test]
fn the_application_ends_with_its_server() {
    struct Ends(Arc<AtomicUsize>);
    impl Drop for Ends {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let ended = Arc::new(AtomicUsize::new(0));
    let ends = Ends(ended.clone());
    let site = Site::new(move |_: &mut Environ<'_>, start_response: &mut dyn StartResponse| -> Result<Body, Error> {
        let _ = &ends;
        ok(start_response)?;
        Ok("done".into())
    });
    assert!(site.get("/").ends_with("done"));
    let handle = site.handle.clone();
    handle.shutdown();
    site.join();
    let deadline = Instant::now() + PATIENCE;
    while ended.load(Ordering::SeqCst) == 0 {
        assert!(Instant::now() < deadline, "it is kept");
        thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(handle.stats().requests, 1, "what it has done can still be asked");
}

/// The end of a graceful shutdown is the end of waiting for the application, too.
#[test]
fn a_shutdown_takes_its_time_once() {
    const TIMEOUT: Duration = Duration::from_secs(2);
    let (site, [door, _]) = site(|config| config.shutdown_timeout = TIMEOUT);
    let mut blocked = site.connect();
    blocked.send(&get("/call"));
    door.until(1);
    let start = Instant::now();
    site.handle.shutdown();
    site.join();
    // Twice as long would be to wait for the loop, and then for its threads.
    assert!((TIMEOUT..2 * TIMEOUT).contains(&start.elapsed()), "{:?}", start.elapsed());
    door.open();
}

/// Nor does a body that does not come to its end keep a server from its own.
#[test]
fn a_stop_does_not_wait_for_bodies() {
    let (site, [_, end]) = site(|_| {});
    let mut clients: Vec<_> = (0..3).map(|_| site.connect()).collect();
    for client in &mut clients {
        client.send(&get("/silent"));
    }
    site.until("asked", |stats| stats.requests == 3);
    site.handle.stop();
    let joined = later(move || site.join());
    joined.recv_timeout(PATIENCE / 2).expect("the server has not ended");
    end.open();
}

/// A write that fails because the client has gone is no news, even if the application passes it on.
#[test]
fn a_failed_write_is_not_logged() {
    let (lines, calls) = (Arc::new(Mutex::new(String::new())), Arc::new(AtomicUsize::new(0)));
    let (log, counter) = (lines.clone(), calls.clone());
    let app = move |_: &mut Environ<'_>, start_response: &mut dyn StartResponse| -> Result<Body, Error> {
        let writer = start_response.start(Status::OK, &[("Content-Type", "text/plain")])?;
        let written = writer.write_all(&vec![b'x'; 10 << 20]);
        counter.fetch_add(1, Ordering::SeqCst);
        Ok(written.map(|()| Body::empty())?)
    };
    let configure = move |config: &mut Config| {
        config.errors = Errors::new(move |line: &str| log.lock().unwrap().push_str(line));
    };
    let site = Site::with(configure, app);
    let mut client = site.connect();
    client.send(&get("/"));
    client.until("\r\n\r\n");
    sockopt::set_socket_linger(&client.stream, Some(Duration::ZERO)).unwrap();
    drop(client);
    site.until("noticed", |stats| calls.load(Ordering::SeqCst) == 1 && stats.open == 0);
    site.handle.shutdown();
    site.join();
    assert_eq!(*lines.lock().unwrap(), "");
}
