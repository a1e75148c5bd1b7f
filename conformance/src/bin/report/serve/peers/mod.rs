//! Other servers, answering the same requests with the same bytes and the same number of threads.
//!
//! Each is written as its own documentation shows it. Blocking work (`/slow`, `/file`) goes where
//! that documentation sends it: to a blocking pool, to a coroutine's sleep, or nowhere.

mod actix;
mod axum;
mod hyper;
mod may;
mod rouille;
mod tiny;

use std::io;
use std::net::TcpListener;

use conformance::load::download;
use tokio::runtime::{Builder, Runtime};

use super::{Server, Settings, listen, site};

/// All of them.
pub(super) const PEERS: [Server; 6] = [
    Server { name: "hyper", about: "hyper on tokio; blocking work to its pool", serve: hyper::serve },
    Server { name: "axum", about: "axum on hyper; blocking work to tokio's pool", serve: axum::serve },
    Server { name: "actix-web", about: "actix-web; blocking work to its pool", serve: actix::serve },
    Server { name: "may", about: "may_minihttp; sleeps as a coroutine", serve: may::serve },
    Server { name: "tiny_http", about: "tiny_http; threads that take requests", serve: tiny::serve },
    Server { name: "rouille", about: "rouille on tiny_http; a thread per request", serve: rouille::serve },
];

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
