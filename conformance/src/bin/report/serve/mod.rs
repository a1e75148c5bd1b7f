//! `serve NAME ADDRESS`: one server in this process, controlled through a pipe.

mod fixed;
mod gateway;
mod limit_epoll;
mod limit_threaded;
mod ours;
#[cfg(feature = "peers")]
mod peers;
mod site;

use std::io::{self, BufRead, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread;

use conformance::load::{Scenario, pin};
use rustix::time::{ClockId, clock_gettime};

/// What every server is started with.
pub(crate) struct Settings {
    /// Where to listen; port 0 picks one.
    pub(crate) address: SocketAddr,
    /// How many threads serve, where the server lets that be chosen.
    pub(crate) threads: usize,
    /// What will be asked. Only the bare loops look at it.
    pub(crate) scenario: Scenario,
}

/// Serves until the process ends. It must call [`announce`] once it listens.
type Serve = fn(&Settings) -> io::Result<()>;

/// A server that can be measured.
pub(crate) struct Server {
    /// What it is called on the command line and in tables.
    pub(crate) name: &'static str,
    /// One line about it.
    pub(crate) about: &'static str,
    serve: Serve,
}

/// Every server of this build.
pub(crate) fn servers() -> impl Iterator<Item = &'static Server> {
    #[cfg(feature = "peers")]
    const PEERS: &[Server] = &peers::PEERS;
    #[cfg(not(feature = "peers"))]
    const PEERS: &[Server] = &[];
    SERVERS.iter().chain(PEERS)
}

const SERVERS: &[Server] = &[
    Server {
        name: "limit-epoll",
        about: "the price of the kernel: an event loop that only finds blank lines",
        serve: limit_epoll::serve,
    },
    Server {
        name: "limit-threaded",
        about: "the price of the kernel with a thread per connection",
        serve: limit_threaded::serve,
    },
    Server { name: "server-mio", about: "a Gateway server: event loops that may block", serve: ours::mio },
    Server { name: "server-threaded", about: "a Gateway server: one thread, one connection", serve: ours::threaded },
];

/// The server of that name.
pub(crate) fn named(name: &str) -> Option<&'static Server> {
    servers().find(|server| server.name == name)
}

impl Server {
    /// Serves in this process, on the given processors (all when empty), until the process ends.
    pub(crate) fn run(&self, settings: &Settings, cpus: &[usize], control: bool) -> io::Result<()> {
        conformance::load::raise_descriptor_limit()?;
        pin(cpus)?;
        if control {
            thread::Builder::new().name("control".into()).spawn(obey)?;
        }
        (self.serve)(settings)
    }
}

/// Says where the server listens: `listening ADDRESS PID`.
fn announce(address: SocketAddr) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "listening {address} {}", std::process::id())?;
    out.flush()
}

/// Binds the address and says so.
fn listen(settings: &Settings) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(settings.address)?;
    announce(listener.local_addr()?)?;
    Ok(listener)
}

/// Answers `cpu` with the processor time of the process in nanoseconds; ends the process when the
/// orders end. Waiting for them costs nothing.
fn obey() {
    for order in io::stdin().lock().lines() {
        match order.as_deref() {
            Ok("cpu") => {
                let time = clock_gettime(ClockId::ProcessCPUTime);
                let nanos = i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec);
                println!("{nanos}");
            }
            Ok(other) => eprintln!("unknown order {other:?}"),
            Err(_) => break,
        }
    }
    std::process::exit(0);
}
