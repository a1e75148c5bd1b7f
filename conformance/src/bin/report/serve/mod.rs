//! `serve NAME ADDRESS`: one server in this process, controlled through a pipe.

mod book;
mod external;
mod fixed;
mod framework;
mod gateway;
mod limit_accept;
mod limit_epoll;
mod limit_threaded;
mod ours;
#[cfg(feature = "peers")]
mod peers;
mod site;

use std::io::{self, BufRead, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::Duration;

use conformance::load::{Scenario, Shape, pin};
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
    /// What it is to the others.
    pub(crate) kind: Kind,
    /// Why it takes no part in a scenario; `None` if it does.
    pub(crate) declines: fn(Shape) -> Option<&'static str>,
    /// Whether this machine has it.
    pub(crate) present: fn() -> bool,
    serve: Serve,
}

/// What a server is to the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A bare loop.
    Limit,
    /// A Gateway server with an application on the contract.
    Gateway,
    /// A Gateway server with an application by framework-mini.
    Framework,
    /// Another server, in this program.
    #[cfg_attr(not(feature = "peers"), allow(dead_code, reason = "known to tables and pictures"))]
    Peer,
    /// Another program.
    External,
}

/// Every server of this build, whether this machine has it or not.
pub(crate) fn servers() -> impl Iterator<Item = &'static Server> {
    #[cfg(feature = "peers")]
    const PEERS: &[Server] = &peers::PEERS;
    #[cfg(not(feature = "peers"))]
    const PEERS: &[Server] = &[];
    SERVERS.iter().chain(PEERS).chain(external::EXTERNAL)
}

const SERVERS: &[Server] = &[
    limit("limit-epoll", "the price of the kernel: an event loop that only finds blank lines", limit_epoll::serve),
    limit("limit-threaded", "the price of the kernel with a thread per connection", limit_threaded::serve),
    Server {
        declines: not_fresh,
        ..limit("limit-accept", "the price of the kernel with a connection per request", limit_accept::serve)
    },
    server("server-mio", "a Gateway server: event loops that may block", Kind::Gateway, ours::mio),
    server("server-threaded", "a Gateway server: one thread, one connection", Kind::Gateway, ours::threaded),
    framework("framework-mio", "framework-mini on server-mio", ours::framework_mio),
    framework("framework-threaded", "framework-mini on server-threaded", ours::framework_threaded),
];

/// For how long a connection may idle, where a server asks: longer than it takes to open many, or than others are measured.
const IDLE: Duration = Duration::from_secs(600);

/// Why the bare loop that closes each connection takes no part in anything else.
const fn not_fresh(shape: Shape) -> Option<&'static str> {
    match shape {
        Shape::Fresh => None,
        _ => Some("serves one request per connection"),
    }
}

/// Why most servers take no part in `book`.
const NO_BOOK: &str = "compared between frameworks only";

/// A server for everything but the guest book.
const fn server(name: &'static str, about: &'static str, kind: Kind, serve: Serve) -> Server {
    const fn declines(shape: Shape) -> Option<&'static str> {
        match shape {
            Shape::Book => Some(NO_BOOK),
            _ => None,
        }
    }
    Server { name, about, kind, declines, present: || true, serve }
}

const fn limit(name: &'static str, about: &'static str, serve: Serve) -> Server {
    Server { declines: |_| None, ..server(name, about, Kind::Limit, serve) }
}

const fn framework(name: &'static str, about: &'static str, serve: Serve) -> Server {
    Server { declines: |_| None, ..server(name, about, Kind::Framework, serve) }
}

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
                let own = i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec);
                let answer = match external::cpu_time() {
                    Ok(other) => (own + other.as_nanos() as i128).to_string(),
                    Err(error) => format!("unknown: {error}"),
                };
                if writeln!(io::stdout(), "{answer}").is_err() {
                    break; // nobody reads it any more
                }
            }
            Ok(other) => eprintln!("unknown order {other:?}"),
            Err(_) => break,
        }
    }
    for leftover in [external::stop(), book::remove()] {
        if let Err(error) = leftover {
            eprintln!("at the end: {error}");
        }
    }
    std::process::exit(0);
}
