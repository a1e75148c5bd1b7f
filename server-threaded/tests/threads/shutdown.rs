//! Ends: graceful, hard, at once; nobody's answer is cut who need not be.

use std::io::{self, Read};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use gateway_spec::{Application, Body, Bytes, Error, Status, app_fn};
use server::{LocalAddr, Server};

use crate::client::{Client, End};
use crate::support::{GET, Gate, PATIENCE, Site, config, hello, ms, wait_until};

fn held(gate: &Gate) -> impl Application + use<> {
    let gate = gate.clone();
    app_fn(move |environ, start_response| {
        if environ.raw_path() == "/held" {
            gate.pass();
        }
        let length = io::copy(environ.input(), &mut io::sink())?;
        start_response.start(Status::OK, &[])?;
        Ok::<_, Error>(length.to_string())
    })
}

const HELD: &str = "GET /held HTTP/1.1\r\nHost: a\r\n\r\n";

fn tcp(addr: &LocalAddr) -> std::net::SocketAddr {
    match addr {
        LocalAddr::Tcp(addr) => *addr,
        LocalAddr::Unix(_) => unreachable!(),
    }
}

#[test]
fn what_is_in_flight_is_finished() {
    let gate = Gate::default();
    let mut site = Site::new(config(), held(&gate));
    let mut idle = site.connect();
    idle.ask(GET).is(200, "0");
    let mut busy = site.connect();
    busy.send(HELD);
    gate.wait_for(1);
    let mut upload = site.connect();
    upload.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello");
    let mut head = site.connect();
    head.send("GET / HTTP/1.1\r\n");
    site.wait_for("all to be there", |stats| stats.open == 4 && stats.requests == 3);

    site.handle.shutdown();
    // Who idles has nothing to wait for.
    idle.must_end();
    // Nobody new gets in.
    wait_until(
        || TcpStream::connect(tcp(&site.addr)).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused),
        || "the port is still open".into(),
    );
    site.wait_for("the others", |stats| stats.open == 3);
    // Who is in the middle of something gets to its end, and is told that it is the last thing.
    upload.send("world");
    head.send("Host: a\r\n\r\n");
    for (client, answer) in [(&mut upload, "10"), (&mut head, "0")] {
        let reply = client.reply();
        reply.is(200, answer);
        assert!(reply.closes(), "{reply:?}");
        client.must_end();
    }
    gate.open(1);
    let reply = busy.reply();
    reply.is(200, "0");
    assert!(reply.closes(), "{reply:?}");
    busy.must_end();
    site.join().unwrap();
}

/// Connections that the system has taken, and the server has not, are served before it goes.
#[test]
fn the_queue_of_the_system_is_served() {
    let server = config().bind("127.0.0.1:0").unwrap();
    let mut clients: Vec<Client> = (0..50)
        .map(|_| {
            let mut client = Client::connect(server.local_addr()).unwrap();
            client.send(GET);
            client
        })
        .collect();
    server.handle().shutdown();
    let mut site = Site::of(server, hello);
    for client in &mut clients {
        let reply = client.reply();
        reply.is(200, "hello");
        assert!(reply.closes(), "{reply:?}");
    }
    drop(clients);
    site.join().unwrap();
    assert_eq!(site.handle.stats().requests, 50);
}

/// A body without an end, and without a pause.
fn endless() -> impl Application {
    app_fn(|_, start_response| {
        start_response.start(Status::OK, &[])?;
        Ok::<_, Error>(Body::late(|_| {
            thread::sleep(ms(1));
            Some(Ok(Bytes::from_static(b"tick\n")))
        }))
    })
}

#[test]
fn what_does_not_end_is_cut() {
    let mut config = config();
    config.shutdown_timeout = ms(300);
    let mut site = Site::new(config, endless());
    let mut client = site.connect();
    client.send(GET);
    assert_ne!(client.read(&mut [0; 100]).unwrap(), 0);
    let start = Instant::now();
    site.handle.shutdown();
    site.join().unwrap();
    assert!(start.elapsed() >= ms(300), "cut before its time");
    let (received, end) = client.read_to_the_end();
    assert_ne!(end, End::Never);
    assert!(!received.ends_with(b"0\r\n\r\n"), "an answer that was cut looks whole");
}

/// HTTP/1.0 without a length: the end of the connection would be the end of the body.
#[test]
fn what_is_cut_does_not_look_whole_to_http_1_0() {
    for at_once in [true, false] {
        let mut config = config();
        config.shutdown_timeout = ms(100);
        let mut site = Site::new(config, endless());
        let mut client = site.connect();
        client.send("GET / HTTP/1.0\r\n\r\n");
        assert_ne!(client.read(&mut [0; 100]).unwrap(), 0);
        if at_once {
            site.handle.stop()
        } else {
            site.handle.shutdown()
        }
        site.join().unwrap();
        assert_eq!(client.read_to_the_end().1, End::Reset, "{at_once}");
    }
}

#[test]
fn stop_does_not_wait() {
    let gate = Gate::default();
    let mut config = config();
    config.shutdown_timeout = 10 * PATIENCE;
    let mut site = Site::new(config, {
        let (endless, held) = (endless(), held(&gate));
        app_fn(move |environ, start_response| match environ.raw_path() {
            "/endless" => endless.call(environ, start_response),
            "/large" => {
                start_response.start(Status::OK, &[])?;
                Ok(vec![0; 50 << 20].into())
            }
            _ => held.call(environ, start_response),
        })
    });
    let requests = [
        "",
        "G",
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /endless HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /large HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello",
        "GET / HTTP/3.0\r\n\r\n",
    ];
    let mut clients: Vec<Client> = requests
        .iter()
        .map(|request| {
            let mut client = site.connect();
            client.send(request);
            client
        })
        .collect();
    site.wait_for("all to be there", |stats| stats.requests == 4);
    thread::sleep(ms(50)); // so that buffers are full
    site.handle.shutdown();
    site.handle.stop();
    site.join().unwrap();
    for client in &mut clients {
        assert_ne!(client.read_to_the_end().1, End::Never);
    }
    site.wait_for("nobody to be there", |stats| stats.open == 0);
}

/// An application that never returns cannot be stopped from outside, and does not stop the server from ending.
#[test]
fn an_application_that_hangs_is_left_behind() {
    let gate = Gate::default();
    let mut config = config();
    config.shutdown_timeout = ms(100);
    let mut site = Site::new(config, held(&gate));
    let mut client = site.connect();
    client.send(HELD);
    gate.wait_for(1);
    site.handle.shutdown();
    site.join().unwrap();
    assert_eq!(client.read_to_the_end(), (vec![], End::Clean));
    gate.open(1);
    site.wait_for("the last thread", |stats| stats.threads == 0);
}

/// Who was in the queue of the system when there was no time left is cut like the others, and not served for ever.
#[test]
fn who_comes_with_the_end_is_cut() {
    for _ in 0..20 {
        let gate = Gate::default();
        let mut config = config();
        config.shutdown_timeout = Duration::ZERO;
        let server = config.bind("127.0.0.1:0").unwrap();
        let mut client = Client::connect(server.local_addr()).unwrap();
        client.send(HELD);
        server.handle().shutdown();
        let mut site = Site::of(server, held(&gate));
        site.join().unwrap();
        let (received, end) = client.read_to_the_end();
        assert_eq!(received, b"", "nothing was answered");
        assert_ne!(end, End::Never);
        gate.open(1);
        site.wait_for("the last thread", |stats| stats.threads == 0);
    }
}

#[test]
fn shutdown_is_heard_at_any_time_and_once() {
    // Before it serves.
    let server = config().bind("127.0.0.1:0").unwrap();
    server.handle().shutdown();
    Site::of(server, hello).join().unwrap();
    let server = config().bind("127.0.0.1:0").unwrap();
    server.handle().stop();
    Site::of(server, hello).join().unwrap();
    // Many times, from many threads, and after the end.
    let mut site = Site::new(config(), hello);
    site.get().is(200, "hello");
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..100).for_each(|_| site.handle.clone().shutdown()));
        }
    });
    site.join().unwrap();
    site.handle.shutdown();
    site.handle.stop();
    site.wait_for("threads to end", |stats| (stats.open, stats.threads) == (0, 0));
}

/// A server that is dropped without having served closes its port.
#[test]
fn a_server_that_never_serves() {
    let server = Server::bind("127.0.0.1:0").unwrap();
    let addr = tcp(server.local_addr());
    drop(server);
    assert_eq!(TcpStream::connect(addr).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    TcpListener::bind(addr).unwrap();
}

/// Long enough to go out in several packets.
const PAGE: usize = 20_000;

/// Two hundred servers end under load: each answer that has begun is whole.
#[test]
fn no_answer_is_cut_by_a_shutdown() {
    let (whole, between) = (AtomicUsize::new(0), AtomicUsize::new(0));
    for round in 0..200 {
        let app = app_fn(|_, start_response| {
            start_response.start(Status::OK, &[])?;
            Ok::<_, Error>(vec![b'x'; PAGE])
        });
        let mut site = Site::new(config(), app);
        let (addr, going) = (site.addr.clone(), AtomicBool::new(true));
        thread::scope(|scope| {
            for _ in 0..16 {
                let (addr, going, whole, between) = (&addr, &going, &whole, &between);
                scope.spawn(move || {
                    while going.load(SeqCst) {
                        // Once the port is closed, this client has seen all there is to see.
                        let Ok(mut client) = Client::connect(addr) else { break };
                        while client.try_send(GET).is_ok() {
                            match client.next() {
                                Ok(reply) => {
                                    assert_eq!(reply.body.len(), PAGE);
                                    whole.fetch_add(1, SeqCst);
                                    if reply.closes() {
                                        break;
                                    }
                                }
                                Err(broken) => {
                                    assert_eq!(broken.received.len(), 0, "cut in the middle");
                                    assert_ne!(broken.end, End::Never);
                                    between.fetch_add(1, SeqCst);
                                    break;
                                }
                            }
                        }
                    }
                });
            }
            site.wait_for("load", |stats| stats.requests > 16);
            thread::sleep(Duration::from_micros(100 * (round % 20)));
            site.handle.shutdown();
            site.join().unwrap();
            going.store(false, SeqCst);
        });
    }
    println!("{} whole answers, {} connections that ended between two", whole.into_inner(), between.into_inner());
}
