//! Other servers, answering the same requests with the same bytes and the same number of threads.
//!
//! Each is written as its own documentation shows it. Blocking work (`/slow`, `/file`) goes where
//! that documentation sends it: to a blocking pool, to a coroutine's sleep, or nowhere.

mod actix;
mod astra;
mod axum;
mod guests;
mod hyper;
mod may;
mod ntex;
mod rouille;
mod tiny;

use std::io;
use std::net::TcpListener;

use conformance::load::{Shape, download};
use tokio::runtime::{Builder, Runtime};

use super::{Kind, Serve, Server, Settings, listen, server, site};

/// All of them.
pub(super) const PEERS: [Server; 8] = [
    peer("hyper", "hyper on tokio; blocking work to its pool", hyper::serve),
    Server {
        declines: everything,
        ..peer("axum", "axum on hyper; blocking work to tokio's pool, the guest book by rusqlite and r2d2", axum::serve)
    },
    Server {
        declines: everything,
        ..peer("actix-web", "actix-web; blocking work to its pool, the guest book by rusqlite and r2d2", actix::serve)
    },
    peer("ntex", "ntex on tokio; blocking work to its pool", ntex::serve),
    peer("may", "may_minihttp; sleeps as a coroutine", may::serve),
    peer("tiny_http", "tiny_http; threads that take requests", tiny::serve),
    Server {
        declines: rouille::declines,
        ..peer("rouille", "rouille on tiny_http; a thread per request", rouille::serve)
    },
    peer("astra", "astra on hyper; a worker thread per connection", astra::serve),
];

const fn peer(name: &'static str, about: &'static str, serve: Serve) -> Server {
    server(name, about, Kind::Peer, serve)
}

/// Takes part in every scenario.
const fn everything(_: Shape) -> Option<&'static str> {
    None
}

/// A runtime of as many threads, and the listener for it.
fn tokio_listener(settings: &Settings) -> io::Result<(Runtime, TcpListener)> {
    let runtime = match settings.threads {
        1 => Builder::new_current_thread().enable_all().build()?,
        threads => Builder::new_multi_thread().worker_threads(threads).enable_all().build()?,
    };
    let listener = listen(settings)?;
    listener.set_nonblocking(true)?;
    Ok((runtime, listener))
}

/// The download as the kind of bytes that asynchronous servers share without copying.
fn shared_download() -> ::bytes::Bytes {
    ::bytes::Bytes::from_owner(download())
}

fn read_file() -> io::Result<Vec<u8>> {
    std::fs::read(site::file()?)
}

/// Errors of any kind as those that `main` reports.
fn other(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::other(error)
}
