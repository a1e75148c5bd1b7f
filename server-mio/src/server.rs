//! [`Server`]: binds, starts the loops, watches over them, and ends.

use std::any::Any;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use gateway_spec::{Application, ServerInfo};

use crate::Config;
use crate::clock::Clock;
use crate::gateway::panicked;
use crate::handoff::{Doze, Summons};
use crate::hooks::Stats;
use crate::inbox::{Inbox, Message};
use crate::lane::Lane;
use crate::transport::{Listener, LocalAddr};

/// How often the monitor looks whether an application blocks.
const TICK: Duration = Duration::from_millis(1);
/// How often it looks when none has blocked for a while. To look costs as much as some requests.
const CALM_TICK: Duration = Duration::from_millis(4);
/// After how many ticks without a hand-off that is.
const CALM_TICKS: u32 = 250;
/// Up to how many tickets, two for each connection that is driven, from one look to the next mean that applications take a
/// millisecond or more.
const SLOW_TICKETS: u64 = 8;
/// How often it looks while several applications block, so that a loop stands still for a shorter time.
const FAST_TICK: Duration = Duration::from_micros(100);
/// For how many ticks after a hand-off it looks more often, and after how many quiet ones it sleeps.
const FAST_TICKS: u32 = 100;
const QUIET_TICKS: u32 = 50;
/// For how long it sleeps while an application blocks that was left to itself.
const SLUMBER: Duration = Duration::from_millis(50);

/// For how long the end of threads is waited for that have only to notice that they should.
const GRACE: Duration = Duration::from_millis(100);

/// A server that is bound, and serves when it is told to.
///
/// ```no_run
/// use gateway_spec::{Environ, Error, StartResponse, Status};
///
/// fn app(_: &mut Environ, start_response: &mut dyn StartResponse) -> Result<&'static str, Error> {
///     start_response.start(Status::OK, &[("Content-Type", "text/plain")])?;
///     Ok("Hello, World!")
/// }
///
/// server_mio::Server::bind("127.0.0.1:8000")?.serve(app)
/// # ; Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Server {
    listener: Listener,
    address: LocalAddr,
    config: Config,
    handle: Handle,
}

/// Stops a server, and asks how it is. Any number of them, in any thread.
#[derive(Clone, Debug)]
pub struct Handle(Arc<Control>);

/// What a handle and the server share.
#[derive(Debug, Default)]
struct Control {
    state: Arc<AtomicU8>,
    /// When it was first asked to end.
    ended: OnceLock<Instant>,
    /// Handles do not keep the application, which ends with the last thread of the server.
    running: OnceLock<(Arc<Counts>, Vec<Weak<Lane>>)>,
}

/// How far a server is from its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum State {
    Running,
    /// What has begun is finished.
    Draining,
    /// What has begun is cut.
    Stopping,
}

/// What all loops and threads of a server share.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) info: ServerInfo,
    pub(crate) app: Box<dyn Application>,
    pub(crate) clock: Arc<Clock>,
    pub(crate) counts: Arc<Counts>,
    pub(crate) doze: Doze,
    /// Of all loops, so that each can reach the others.
    pub(crate) inboxes: OnceLock<Vec<Arc<Inbox>>>,
    state: Arc<AtomicU8>,
}

/// Counts for [`Stats`].
#[derive(Debug)]
pub(crate) struct Counts {
    pub(crate) accepted: AtomicU64,
    pub(crate) open: AtomicUsize,
    pub(crate) refused: AtomicU64,
    /// Connections that are told that there is no place for them. They take none.
    pub(crate) turned_away: AtomicUsize,
    /// New connections that wait for a place.
    pub(crate) newcomers: AtomicUsize,
    pub(crate) requests: Requests,
}

/// How many requests there were: each thread counts its own.
#[derive(Debug, Default)]
pub(crate) struct Requests(Mutex<RequestCounts>);

#[derive(Debug, Default)]
struct RequestCounts {
    /// Of threads that have ended.
    ended: u64,
    threads: Vec<Arc<AtomicU64>>,
}

impl Requests {
    fn lock(&self) -> MutexGuard<'_, RequestCounts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new thread's count.
    pub(crate) fn join(&self) -> Arc<AtomicU64> {
        let count = Arc::new(AtomicU64::new(0));
        self.lock().threads.push(Arc::clone(&count));
        count
    }

    /// The thread has ended.
    pub(crate) fn leave(&self, count: &Arc<AtomicU64>) {
        let mut counts = self.lock();
        counts.threads.retain(|other| !Arc::ptr_eq(other, count));
        counts.ended += count.load(Ordering::Relaxed);
    }

    fn total(&self) -> u64 {
        let counts = self.lock();
        counts.ended + counts.threads.iter().map(|count| count.load(Ordering::Relaxed)).sum::<u64>()
    }
}

impl Counts {
    /// Counts one more open connection, unless there are `most`.
    pub(crate) fn open_one(&self, most: usize) -> bool {
        one_more(&self.open, most)
    }

    /// Whether `most` connections are open.
    pub(crate) fn is_full(&self, most: usize) -> bool {
        self.open.load(Ordering::SeqCst) >= most
    }

    /// Counts one more connection that is turned away, unless there are `most`.
    pub(crate) fn turn_away_one(&self, most: usize) -> bool {
        one_more(&self.turned_away, most)
    }
}

fn one_more(count: &AtomicUsize, most: usize) -> bool {
    count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |count| (count < most).then_some(count + 1)).is_ok()
}

impl Shared {
    /// Says something to all loops but one.
    pub(crate) fn tell_others(&self, me: &Arc<Inbox>, message: impl Fn() -> Message) {
        let inboxes = self.inboxes.get().map_or(&[][..], Vec::as_slice);
        inboxes.iter().filter(|inbox| !Arc::ptr_eq(inbox, me)).for_each(|inbox| inbox.send(message()));
    }

    /// A hook has panicked: that is its own affair, and said.
    pub(crate) fn complain(&self, panic: Box<dyn Any + Send>) {
        self.config.errors.write(&format!("server-mio: in a hook: {}\n", panicked(panic)));
    }

    pub(crate) fn state(&self) -> State {
        match self.state.load(Ordering::Relaxed) {
            0 => State::Running,
            1 => State::Draining,
            _ => State::Stopping,
        }
    }

    /// Whether connections should not be kept.
    #[inline]
    pub(crate) fn is_draining(&self) -> bool {
        self.state() != State::Running
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("config", &self.config).field("counts", &self.counts).finish_non_exhaustive()
    }
}

impl Server {
    /// Listens on an address, with the defaults of [`Config`].
    ///
    /// # Errors
    /// As [`Config::bind`].
    pub fn bind(address: &str) -> io::Result<Self> {
        Config::default().bind(address)
    }

    /// Uses a listener that is there already, with the defaults of [`Config`].
    ///
    /// # Errors
    /// As [`Config::from_listener`].
    pub fn from_listener(listener: impl Into<Listener>) -> io::Result<Self> {
        Config::default().from_listener(listener)
    }

    /// The defaults, to be changed before binding.
    #[must_use]
    pub fn builder() -> Config {
        Config::default()
    }

    pub(crate) fn new(listener: Listener, config: Config) -> io::Result<Self> {
        let address = listener.local_addr()?;
        Ok(Self { listener, address, config, handle: Handle(Arc::default()) })
    }

    /// Where it listens: with the port that was chosen, if port 0 was asked for.
    #[must_use]
    pub const fn local_addr(&self) -> &LocalAddr {
        &self.address
    }

    /// A handle to stop it with.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Serves an application until it is [shut down](Handle::shutdown).
    ///
    /// # Errors
    /// Those of the system when the loops are made. What goes wrong on a connection is not one.
    pub fn serve(self, app: impl Application + 'static) -> io::Result<()> {
        let Self { listener, address, config, handle } = self;
        let (listeners, file) = listener.split(config.threads)?;
        let threads = config.max_threads.div_ceil(config.threads);
        let counts = Arc::new(Counts {
            accepted: AtomicU64::new(0),
            open: AtomicUsize::new(0),
            refused: AtomicU64::new(0),
            turned_away: AtomicUsize::new(0),
            newcomers: AtomicUsize::new(0),
            requests: Requests::default(),
        });
        let shared = Arc::new(Shared {
            info: server_info(&config, &address),
            app: Box::new(app),
            clock: Arc::new(Clock::new()),
            counts: counts.clone(),
            doze: Doze::default(),
            inboxes: OnceLock::new(),
            state: handle.0.state.clone(),
            config,
        });
        let lanes = listeners.into_iter().enumerate();
        let lanes = lanes.map(|(index, listener)| Lane::new(index, listener, threads, shared.clone()));
        let lanes = lanes.collect::<io::Result<Vec<_>>>()?;
        // Set once, before anybody asks.
        let _ = shared.inboxes.set(lanes.iter().map(|lane| lane.inbox.clone()).collect());
        // A handle may be asked as soon as somebody has been served.
        let _ = handle.0.running.set((counts, lanes.iter().map(Arc::downgrade).collect()));
        for lane in &lanes {
            // To lead; the next is made when this one blocks.
            lane.summon();
            if lane.handoff.count() == 0 && !lane.handoff.has_ended() {
                handle.stop();
                return Err(io::Error::other("no threads could be made"));
            }
        }
        if shared.is_draining() {
            // It was used before: the loops have to know.
            handle.notify();
        }
        watch(&shared, &lanes);
        // Threads that are in the application have as long as a shutdown may take, and are left alone then.
        let (start, begun) = (Instant::now(), *handle.0.ended.get_or_init(Instant::now));
        let is_patient = || shared.state() != State::Stopping && begun.elapsed() < shared.config.shutdown_timeout;
        for lane in &lanes {
            while !lane.handoff.wait_until_empty(GRACE / 2) && (is_patient() || start.elapsed() < GRACE) {}
        }
        drop(file);
        Ok(())
    }
}

/// The monitor: has each loop handed on whose leader has been in the application for a tick.
fn watch(shared: &Shared, lanes: &[Arc<Lane>]) {
    shared.doze.register();
    let mut seen: Vec<(u64, bool)> = lanes.iter().map(|lane| lane.handoff.look()).collect();
    let (mut quiet, mut fast, mut calm) = (0, 0, 0u32);
    while !lanes.iter().all(|lane| lane.handoff.has_ended()) {
        shared.clock.advance();
        let (mut busy, mut drives) = (false, false);
        for (lane, seen) in lanes.iter().zip(&mut seen) {
            let now = lane.handoff.look();
            let driving = now.1;
            if driving {
                lane.handoff.meet(now.0);
            }
            // Few have been driven since: each takes its time, and others could be served meanwhile.
            if driving && now.0.wrapping_sub(seen.0) <= SLOW_TICKETS {
                calm = 0;
            }
            if driving && now == *seen && lane.summon() != Summons::Full {
                (fast, calm) = (FAST_TICKS, 0);
            }
            busy |= driving || now != *seen;
            drives |= driving;
            *seen = now;
        }
        quiet = if busy { 0 } else { quiet + 1 };
        if quiet > QUIET_TICKS {
            let same = || lanes.iter().zip(&seen).all(|(lane, seen)| lane.handoff.look() == *seen);
            // Who is in an application and not in a loop comes back to a clock that is right.
            let limit = lanes.iter().any(|lane| lane.handoff.has_detached()).then_some(SLUMBER);
            shared.doze.sleep(limit, || !same() || lanes.iter().all(|lane| lane.handoff.has_ended()));
            if same() {
                continue;
            }
            quiet = 0;
            // The first request after a while. That there were few says nothing about how long they take.
            lanes.iter().zip(&mut seen).for_each(|(lane, seen)| *seen = lane.handoff.look());
        }
        if fast > 0 && lanes.iter().any(|lane| lane.handoff.is_crowded()) {
            fast -= 1;
            // A tick costs as much as some requests. If nobody is in the application, none blocks for long yet.
            thread::park_timeout(if drives { FAST_TICK } else { 2 * FAST_TICK });
        } else if calm < CALM_TICKS {
            calm += 1;
            thread::park_timeout(TICK);
        } else {
            thread::park_timeout(CALM_TICK);
        }
    }
}

/// What is the same for all requests.
fn server_info(config: &Config, address: &LocalAddr) -> ServerInfo {
    let (name, port) = match address {
        // An address that stands for all of them names no host.
        LocalAddr::Tcp(addr) if addr.ip().is_unspecified() => ("localhost".to_owned(), addr.port().to_string()),
        LocalAddr::Tcp(addr) if addr.is_ipv6() => (format!("[{}]", addr.ip()), addr.port().to_string()),
        LocalAddr::Tcp(addr) => (addr.ip().to_string(), addr.port().to_string()),
        LocalAddr::Unix(_) => ("localhost".to_owned(), config.url_scheme.default_port().to_owned()),
    };
    let software = match &config.server_header {
        Some(header) => header.clone(),
        None => concat!("server-mio/", env!("CARGO_PKG_VERSION")).to_owned(),
    };
    let name = config.server_name.clone().unwrap_or(name);
    let port = config.server_port.clone().unwrap_or(port);
    let mut info = ServerInfo::new(name, port, software);
    info.url_scheme = config.url_scheme;
    // A connection is driven by one thread at a time.
    info.multithread = config.max_connections > 1;
    info.variables = config.variables.clone();
    info.errors = config.errors.clone();
    info
}

impl Handle {
    /// Ends the server gracefully: nobody is let in any more, idle connections are closed, requests that have begun are
    /// answered. What takes longer than [`shutdown_timeout`](Config::shutdown_timeout) is cut.
    pub fn shutdown(&self) {
        self.end(1);
    }

    /// Ends the server now: connections are cut. A thread that is in the application is left to itself.
    pub fn stop(&self) {
        self.end(2);
    }

    /// Counts since the server began.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let Some((counts, lanes)) = self.0.running.get() else { return Stats::default() };
        Stats {
            accepted: counts.accepted.load(Ordering::Relaxed),
            open: counts.open.load(Ordering::Relaxed),
            requests: counts.requests.total(),
            refused: counts.refused.load(Ordering::Relaxed),
            threads: lanes.iter().filter_map(Weak::upgrade).map(|lane| lane.handoff.count()).sum(),
        }
    }

    fn end(&self, state: u8) {
        self.0.ended.get_or_init(Instant::now);
        self.0.state.fetch_max(state, Ordering::SeqCst);
        self.notify();
    }

    fn notify(&self) {
        if let Some((_, lanes)) = self.0.running.get() {
            lanes.iter().filter_map(Weak::upgrade).for_each(|lane| lane.inbox.send(Message::Shutdown));
        }
    }
}
