//! In steady state, a server allocates nothing for a request: not for a small one, not for a browser's, not for
//! pipelined ones, not for a body, not for an answer that was serialised for it. What the application allocates is its
//! own affair; but for the serialised text, these applications allocate nothing.
//!
//! The allocator of this process counts, so the client here must not allocate either, and the tests take turns.

use std::alloc::System;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use conformance::load::Exchange;
use gateway_spec::{Body, Environ, Error, StartResponse, Status};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Batches before counting: buffers grow to their size, threads start, dates are formatted for the first time.
const WARM_UP: usize = 50;
/// Batches in each window that is counted, and windows. What other parts of the process do now and then (a clock, the
/// test harness) cannot fall into all of them; what a request costs falls into each.
const WINDOW: usize = 100;
const WINDOWS: usize = 8;

const GREETING: &str = "Hello, World!";

/// Answers a greeting, after reading the whole input into a buffer of its own.
fn app(environ: &mut Environ<'_>, start_response: &mut dyn StartResponse) -> Result<&'static str, Error> {
    let mut buffer = [0; 512];
    while environ.input().read(&mut buffer)? > 0 {}
    start_response.start(Status::OK, &[("Content-Type", "text/plain")])?;
    Ok(GREETING)
}

/// An answer as JSON, serialised for each request. The text is all that is allocated.
fn serialised() -> Result<Body, Error> {
    #[derive(serde::Serialize)]
    struct Message {
        message: &'static str,
    }
    Ok(serde_json::to_vec(&Message { message: GREETING })?.into())
}

fn json(_: &mut Environ<'_>, start_response: &mut dyn StartResponse) -> Result<Body, Error> {
    let body = serialised()?;
    start_response.start(Status::OK, &[("Content-Type", "application/json")])?;
    Ok(body)
}

/// An application that allocates: shows that the counting counts.
fn wasteful(_: &mut Environ<'_>, start_response: &mut dyn StartResponse) -> Result<String, Error> {
    start_response.start(Status::OK, &[("Content-Type", "text/plain")])?;
    Ok(GREETING.to_owned())
}

/// Only one test counts at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sends `depth` requests at once and reads as many answers, without allocating.
fn batch(stream: &mut TcpStream, requests: &[u8], depth: usize, buffer: &mut [u8]) -> io::Result<()> {
    stream.write_all(requests)?;
    let (mut filled, mut answers) = (0, 0);
    while answers < depth {
        let count = stream.read(&mut buffer[filled..])?;
        assert!(count > 0, "the server closed the connection");
        filled += count;
        let greetings = buffer[..filled].windows(GREETING.len()).filter(|bytes| *bytes == GREETING.as_bytes());
        answers = greetings.count();
    }
    let heads = buffer[..filled].windows(16).filter(|bytes| *bytes == b"HTTP/1.1 200 OK\r").count();
    assert_eq!(heads, depth, "answers of another kind");
    Ok(())
}

/// The fewest allocations of a window, each request counted.
fn allocations(address: SocketAddr, request: &Exchange, depth: usize) -> io::Result<usize> {
    let requests = request.request.repeat(depth);
    let mut buffer = vec![0; 64 * 1024];
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    for _ in 0..WARM_UP {
        batch(&mut stream, &requests, depth, &mut buffer)?;
    }
    let mut fewest = usize::MAX;
    for _ in 0..WINDOWS {
        let region = Region::new(ALLOCATOR);
        for _ in 0..WINDOW {
            batch(&mut stream, &requests, depth, &mut buffer)?;
        }
        let change = region.change();
        fewest = fewest.min(change.allocations + change.reallocations);
    }
    Ok(fewest)
}

macro_rules! on_server {
    ($server:ident) => {
        mod $server {
            use super::*;

            /// Runs an application on the server for as long as `client` takes.
            fn serve<A: gateway_spec::Application + 'static>(app: A, client: impl FnOnce(SocketAddr)) {
                let server = ::$server::Server::bind("127.0.0.1:0").expect("a free port");
                let address = server.local_addr().to_string().parse().expect("an address");
                let handle = server.handle();
                let thread = thread::spawn(move || server.serve(app));
                client(address);
                handle.stop();
                thread.join().expect("no panic").expect("served");
            }

            fn none(request: &Exchange, depth: usize) {
                let _alone = alone();
                serve(app, |address| {
                    let count = allocations(address, request, depth).expect("answers");
                    assert_eq!(count, 0, "allocations for {} requests", WINDOW * depth);
                });
            }

            #[test]
            fn plaintext_allocates_nothing() {
                none(&Exchange::get("/plaintext", *b""), 1);
            }

            #[test]
            fn a_browsers_head_allocates_nothing() {
                none(&Exchange::browser("/plaintext", *b""), 1);
            }

            #[test]
            fn pipelined_requests_allocate_nothing() {
                none(&Exchange::get("/plaintext", *b""), 16);
            }

            #[test]
            fn a_body_of_1_kib_allocates_nothing() {
                none(&Exchange::post("/echo", &[b'x'; 1024], *b""), 1);
            }

            #[test]
            fn json_allocates_what_its_serialisation_does() {
                let _alone = alone();
                // The fewest of several, as below: another thread may allocate meanwhile.
                let once = || {
                    let region = Region::new(ALLOCATOR);
                    let body = serialised().expect("JSON");
                    let change = region.change();
                    drop(body);
                    change.allocations + change.reallocations
                };
                let own = (0..100).map(|_| once()).min().unwrap_or(0);
                assert!(own > 0, "serialising allocates");
                serve(json, |address| {
                    let count = allocations(address, &Exchange::get("/json", *b""), 1).expect("answers");
                    assert_eq!(count, own * WINDOW, "allocations for {WINDOW} requests, each of them {own} by itself");
                });
            }

            #[test]
            fn what_the_application_allocates_is_counted() {
                let _alone = alone();
                serve(wasteful, |address| {
                    let request = Exchange::get("/plaintext", *b"");
                    let count = allocations(address, &request, 1).expect("answers");
                    assert!(count >= WINDOW, "{count} allocations for {WINDOW} requests");
                });
            }
        }
    };
}

on_server!(server_mio);
on_server!(server_threaded);
