//! [`Server`]: the listener, admission, the cache of threads, shutdown.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use gateway_spec::{Application, Peer, ServerInfo};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::Config;
use crate::clock::{Clock, milliseconds};
use crate::connection::{self, Buffers, Service};
use crate::hooks::{Exchange, Stats};
use crate::transport::{Listener, LocalAddr, Stream};
use crate::watchdog::{self, Refused};
use crate::wire::{Wait, Wire};

/// The product that this server is, for `SERVER_SOFTWARE`.
const SOFTWARE: &str =
    concat!("server-threaded/", env!("CARGO_PKG_VERSION_MAJOR"), ".", env!("CARGO_PKG_VERSION_MINOR"));

/// How long a thread without a connection waits for one before it ends.
const THREAD_IDLE: Duration = Duration::from_secs(10);

/// How long accepting pauses when the system has no descriptors left: not long for a person, long for a processor.
const OUT_OF_DESCRIPTORS: Duration = Duration::from_millis(50);

/// How many are told so before each pause: what piles up in the system's queue would wait for nothing.
const MOST_REFUSED: usize = 64;

/// How long the pause is if a connection was ended to make room: it takes a moment until its descriptor is free.
const SHEDDING: Duration = Duration::from_millis(2);

/// A server that listens and does not serve yet.
///
/// ```no_run
/// # use gateway_spec::{Body, Environ, Error, StartResponse, Status};
/// # fn app(_: &mut Environ, _: &mut dyn StartResponse) -> Result<Body, Error> { Ok(Body::empty()) }
/// let server = server_threaded::Server::bind("127.0.0.1:8000")?;
/// println!("http://{}", server.local_addr());
/// server.serve(app)
/// # ; Ok::<(), std::io::Error>(())
/// ```
pub struct Server {
    listener: Listener,
    local_addr: LocalAddr,
    info: ServerInfo,
    state: Arc<State>,
    /// Readable when the handle wants something.
    wake: UnixStream,
}

impl Server {
    /// All settings at their defaults, to be changed.
    #[must_use]
    pub fn builder() -> Config {
        Config::default()
    }

    /// Listens on an address with default settings; see [`Config::bind`].
    ///
    /// # Errors
    /// As [`Config::bind`].
    pub fn bind(address: &str) -> io::Result<Self> {
        Self::builder().bind(address)
    }

    /// Uses a listener that is there already, with default settings.
    ///
    /// # Errors
    /// As [`Config::from_listener`].
    pub fn from_listener(listener: impl Into<Listener>) -> io::Result<Self> {
        Self::builder().from_listener(listener)
    }

    pub(crate) fn new(listener: Listener, config: Config) -> io::Result<Self> {
        listener.set_nonblocking()?;
        let local_addr = listener.local_addr()?;
        let (name, port) = match &local_addr {
            LocalAddr::Tcp(addr) if addr.ip().is_unspecified() => ("localhost".to_owned(), addr.port().to_string()),
            LocalAddr::Tcp(addr) if addr.is_ipv6() => (format!("[{}]", addr.ip()), addr.port().to_string()),
            LocalAddr::Tcp(addr) => (addr.ip().to_string(), addr.port().to_string()),
            LocalAddr::Unix(_) => ("localhost".to_owned(), config.url_scheme.default_port().to_owned()),
        };
        let mut info = ServerInfo::new(
            config.server_name.clone().unwrap_or(name),
            config.server_port.clone().unwrap_or(port),
            SOFTWARE,
        );
        info.url_scheme = config.url_scheme;
        info.multithread = config.max_connections > 1;
        info.variables.clone_from(&config.variables);
        info.errors = config.errors.clone();
        let (wake, waker) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        waker.set_nonblocking(true)?;
        let state = Arc::new(State::new(config, waker));
        Ok(Self { listener, local_addr, info, state, wake })
    }

    /// Where the server listens; tells the port if it was left to the system.
    #[must_use]
    pub const fn local_addr(&self) -> &LocalAddr {
        &self.local_addr
    }

    /// A handle to stop the server and to look at it from elsewhere.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle(Arc::clone(&self.state))
    }

    /// Serves until a [`Handle`] stops it.
    ///
    /// # Errors
    /// If the listener itself fails, or the first thread cannot be made. What happens on a connection is never an error
    /// here.
    pub fn serve(self, application: impl Application + 'static) -> io::Result<()> {
        let Self { listener, info, state, wake, .. } = self;
        let shared = Arc::new(Shared { application: Box::new(application), info, state: Arc::clone(&state) });
        let watched = Arc::clone(&state);
        let watchdog = thread::Builder::new().name("watchdog".into()).spawn(move || watchdog::run(&watched))?;
        state.watchdog.lock().unwrap_or_else(PoisonError::into_inner).replace(watchdog.thread().clone());
        let result = accept_until_stopped(&listener, &shared, &wake);
        state.begin_stop();
        drop(listener);
        state.wait_for_end();
        state.end();
        // It ends at its next look; it holds nothing that anybody waits for.
        let _ = watchdog.join();
        result
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("local_addr", &self.local_addr).finish_non_exhaustive()
    }
}

/// Stops a server, and tells how it does. Cheap to clone.
#[derive(Clone)]
pub struct Handle(Arc<State>);

impl Handle {
    /// Stops gracefully and returns at once; [`Server::serve`] returns when it is done.
    ///
    /// Who is in the system's queue is still served, what is in flight is finished and says `Connection: close`,
    /// connections that idle are closed at once, and after
    /// [`shutdown_timeout`](Config::shutdown_timeout) what is left is cut.
    pub fn shutdown(&self) {
        self.0.begin_stop();
    }

    /// Stops now: cuts every connection.
    pub fn stop(&self) {
        self.0.cut_all.store(true, Ordering::SeqCst);
        self.0.begin_stop();
        self.0.cut_wires();
    }

    /// How the server does.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.0.stats()
    }
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Handle").field(&self.stats()).finish()
    }
}

/// What the threads of connections share.
struct Shared {
    application: Box<dyn Application>,
    info: ServerInfo,
    state: Arc<State>,
}

/// The state of a server that all its threads see.
pub(crate) struct State {
    config: Arc<Config>,
    pub(crate) clock: Arc<Clock>,
    pub(crate) refused: Refused,
    pool: Mutex<Pool>,
    /// Signalled when a thread has something to take, or everything has ended.
    changed: Condvar,
    /// How many connections wait for a place; read without the lock by those that have one.
    pending: AtomicUsize,
    stopping: AtomicBool,
    cut_all: AtomicBool,
    ended: AtomicBool,
    accepted: AtomicU64,
    turned_away: AtomicU64,
    watchdog: Mutex<Option<Thread>>,
    waker: UnixStream,
}

#[derive(Default)]
struct Pool {
    wires: Vec<Arc<Wire>>,
    /// Handed to a thread that has not come for it yet.
    ready: VecDeque<(Stream, Peer)>,
    /// Waiting for a place, since when.
    pending: VecDeque<(Stream, Peer, u64)>,
    /// Connections that have a place.
    open: usize,
    threads: usize,
    idle_threads: usize,
    /// Requests of connections that have ended.
    requests: u64,
}

impl State {
    fn new(config: Config, waker: UnixStream) -> Self {
        Self {
            config: Arc::new(config),
            clock: Arc::new(Clock::new()),
            refused: Refused::default(),
            pool: Mutex::default(),
            changed: Condvar::new(),
            pending: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
            cut_all: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            accepted: AtomicU64::new(0),
            turned_away: AtomicU64::new(0),
            watchdog: Mutex::new(None),
            waker,
        }
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    /// All connections that are being served.
    fn wires(&self) -> Vec<Arc<Wire>> {
        self.pool().wires.clone()
    }

    /// The same, into a vector that the watchdog keeps: what it does 20 times a second allocates nothing either.
    pub(crate) fn list_wires(&self, wires: &mut Vec<Arc<Wire>>) {
        wires.extend(self.pool().wires.iter().cloned());
    }

    /// Whether there is nothing for the watchdog to watch.
    pub(crate) fn is_quiet(&self) -> bool {
        let pool = self.pool();
        pool.open == 0 && pool.pending.is_empty() && self.refused.is_empty() && !self.has_ended()
    }

    fn wake_watchdog(&self) {
        if let Some(thread) = &*self.watchdog.lock().unwrap_or_else(PoisonError::into_inner) {
            thread.unpark();
        }
    }

    fn begin_stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        // Answers whose head is still to be sent say that they are the last.
        self.wires().iter().for_each(|wire| wire.close_soon());
        // If the pipe is full, there is a wake-up in it.
        let _ = io::Write::write(&mut &self.waker, b"s");
        self.wake_watchdog();
    }

    fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
        self.changed.notify_all();
        self.wake_watchdog();
    }

    fn cut_wires(&self) {
        for wire in self.wires() {
            wire.stop();
        }
    }

    /// Waits until all connections have ended, and cuts them when it has been long enough.
    fn wait_for_end(&self) {
        let deadline = Instant::now() + self.config.shutdown_timeout;
        let mut pool = self.pool();
        while pool.open > 0 || !pool.pending.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || self.cut_all.load(Ordering::SeqCst) {
                break;
            }
            // In steps, as `stop` may be called meanwhile.
            pool = self
                .changed
                .wait_timeout(pool, left.min(Duration::from_millis(50)))
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        pool.pending.clear();
        self.pending.store(0, Ordering::Relaxed);
        drop(pool);
        self.cut_wires();
        // A thread whose socket is gone ends at once, unless the application keeps it; then it is left behind.
        let deadline = Instant::now() + Duration::from_millis(500);
        let mut pool = self.pool();
        while pool.open > 0 && Instant::now() < deadline {
            pool = self.changed.wait_timeout(pool, Duration::from_millis(10)).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn stats(&self) -> Stats {
        let pool = self.pool();
        let running: u64 = pool.wires.iter().map(|wire| wire.requests.load(Ordering::Relaxed)).sum();
        Stats {
            accepted: self.accepted.load(Ordering::Relaxed),
            open: pool.open,
            requests: pool.requests + running,
            refused: self.turned_away.load(Ordering::Relaxed),
            threads: pool.threads,
        }
    }

    /// Lets idle connections make room for who waits: all were busy when they came, some may not be any more.
    pub(crate) fn make_room(&self) {
        if self.pending.load(Ordering::Relaxed) == 0 {
            return;
        }
        let pool = self.pool();
        for _ in 0..pool.pending.len() {
            if !self.shed_one(&pool) {
                break;
            }
        }
    }

    /// Says no to who has waited too long for a place.
    pub(crate) fn refuse_late(&self, now: u64) {
        if self.pending.load(Ordering::Relaxed) == 0 {
            return;
        }
        let limit = milliseconds(self.config.pending_timeout);
        let mut late = Vec::new();
        let mut pool = self.pool();
        while pool.pending.front().is_some_and(|(_, _, since)| since + limit <= now) {
            late.extend(pool.pending.pop_front());
        }
        self.pending.store(pool.pending.len(), Ordering::Relaxed);
        drop(pool);
        late.into_iter().for_each(|(stream, peer, _)| self.refuse(stream, &peer));
    }

    fn refuse(&self, stream: Stream, peer: &Peer) {
        self.turned_away.fetch_add(1, Ordering::Relaxed);
        let config = &self.config;
        let server = config.server_header.as_deref();
        let sent = self.refused.add(stream, &self.clock, server, config.linger_timeout, config.max_pending);
        self.report_refusal(peer, sent);
        self.wake_watchdog();
    }

    /// Tells the `on_response` hook of a 503 with so many bytes of content; of none if the client has gone before.
    fn report_refusal(&self, peer: &Peer, sent: Option<u64>) {
        let Some(hook) = &self.config.on_response else { return };
        let exchange = Exchange {
            peer,
            method: "",
            target: "",
            version: "",
            status: 503,
            bytes: sent.unwrap_or(0),
            aborted: sent.is_none(),
            duration: Duration::ZERO,
            referer: None,
            user_agent: None,
        };
        // On the thread that accepts, or on the watchdog: a panic must not end them.
        let _ = catch_unwind(AssertUnwindSafe(|| hook(&exchange)));
    }

    /// Ends the connection that has idled for longest; `false` if none idles.
    fn shed_one(&self, pool: &Pool) -> bool {
        loop {
            let idle = pool.wires.iter().filter_map(|wire| Some((wire.watch.until(&[Wait::Request])?, wire)));
            // All idle for the same time at most, so who must end first has begun first.
            let Some(((_, seen), wire)) = idle.min_by_key(|((until, _), _)| *until) else { return false };
            if wire.cut(seen) {
                self.turned_away.fetch_add(1, Ordering::Relaxed);
                return true;
            }
            // It got a request in this moment; look again.
        }
    }
}

/// Accepts until the server stops, and then who is in the system's queue already.
fn accept_until_stopped(listener: &Listener, shared: &Arc<Shared>, wake: &UnixStream) -> io::Result<()> {
    let state = &*shared.state;
    // Kept to have one descriptor when all others are taken: to say no with.
    let mut reserve = File::open("/dev/null").ok();
    loop {
        let stopping = state.is_stopping();
        match listener.accept() {
            Ok((stream, peer)) => {
                state.accepted.fetch_add(1, Ordering::Relaxed);
                admit(shared, stream, peer);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if stopping {
                    return Ok(());
                }
                wait_for(&mut [PollFd::new(listener, PollFlags::IN), PollFd::new(wake, PollFlags::IN)], None)?;
                state.clock.update();
            }
            Err(error) if is_exhaustion(&error) => {
                let pause = if state.shed_one(&state.pool()) {
                    SHEDDING
                } else {
                    drop(reserve.take());
                    for (stream, peer) in (0..MOST_REFUSED).map_while(|_| listener.accept().ok()) {
                        state.refuse_at_once(stream, &peer);
                    }
                    reserve = File::open("/dev/null").ok();
                    OUT_OF_DESCRIPTORS
                };
                if stopping {
                    return Ok(());
                }
                let pause = Timespec::try_from(pause).ok();
                wait_for(&mut [PollFd::new(wake, PollFlags::IN)], pause.as_ref())?;
            }
            // The peer has gone between its arrival and now, or a firewall says no: the next one may be fine.
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => return Err(error),
        }
    }
}

fn wait_for(fds: &mut [PollFd<'_>], timeout: Option<&Timespec>) -> io::Result<()> {
    match poll(fds, timeout) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn is_exhaustion(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM))
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use rustix::io::Errno;
    // Linux passes pending network errors of the new socket on (accept(2)).
    matches!(
        Errno::from_io_error(error),
        Some(
            Errno::CONNABORTED
                | Errno::INTR
                | Errno::PROTO
                | Errno::PERM
                | Errno::NETDOWN
                | Errno::NETUNREACH
                | Errno::HOSTUNREACH
                | Errno::HOSTDOWN
                | Errno::NOPROTOOPT
                | Errno::OPNOTSUPP
                | Errno::CONNRESET
                | Errno::INVAL
                | Errno::TIMEDOUT
        )
    )
}

impl State {
    /// Says no and closes, for want of a descriptor to wait with.
    fn refuse_at_once(&self, stream: Stream, peer: &Peer) {
        self.turned_away.fetch_add(1, Ordering::Relaxed);
        // Room for none: the stream is closed when it is pushed out again.
        let alone = Refused::default();
        let sent = alone.add(stream, &self.clock, self.config.server_header.as_deref(), Duration::ZERO, 1);
        self.report_refusal(peer, sent);
    }
}

/// Gives a new connection a place, or a place in the queue, or a no.
fn admit(shared: &Arc<Shared>, stream: Stream, peer: Peer) {
    let state = &*shared.state;
    let mut pool = state.pool();
    let was_quiet = pool.open == 0;
    // Who is shed ends in a moment; until then there is one more than allowed.
    if pool.open < state.config.max_connections || state.shed_one(&pool) {
        pool.open += 1;
        pool.ready.push_back((stream, peer));
        if pool.idle_threads >= pool.ready.len() {
            state.changed.notify_one();
        } else if spawn(shared, &mut pool).is_err() {
            // No thread to be had. One that is there may come for it later; if there is none, say no.
            if pool.threads == 0
                && let Some((stream, peer)) = pool.ready.pop_back()
            {
                pool.open -= 1;
                drop(pool);
                state.refuse(stream, &peer);
                return;
            }
        }
        drop(pool);
        if was_quiet {
            state.wake_watchdog();
        }
    } else if pool.pending.len() < state.config.max_pending {
        pool.pending.push_back((stream, peer, state.clock.now()));
        state.pending.store(pool.pending.len(), Ordering::Relaxed);
    } else {
        drop(pool);
        state.refuse(stream, &peer);
    }
}

fn spawn(shared: &Arc<Shared>, pool: &mut Pool) -> io::Result<()> {
    let thread = Arc::clone(shared);
    thread::Builder::new()
        .name("connection".into())
        .stack_size(shared.state.config.stack_size)
        .spawn(move || thread.serve_connections())?;
    pool.threads += 1;
    Ok(())
}

impl Shared {
    /// A thread's life: connections, one after the other.
    fn serve_connections(&self) {
        let mut buffers = Buffers::new();
        while let Some((stream, peer)) = self.next_connection() {
            // What the application panics with is caught where it happens. This is for what is ours, so that the count
            // of connections stays right whatever happens.
            let served = catch_unwind(AssertUnwindSafe(|| {
                self.serve_connection(stream, peer, &mut buffers);
            }));
            if served.is_err() {
                buffers = Buffers::new();
            }
            let mut pool = self.state.pool();
            pool.open -= 1;
            // A place has become free.
            if pool.open < self.state.config.max_connections
                && let Some((stream, peer, _)) = pool.pending.pop_front()
            {
                self.state.pending.store(pool.pending.len(), Ordering::Relaxed);
                pool.open += 1;
                pool.ready.push_back((stream, peer));
            }
            if self.state.is_stopping() {
                self.state.changed.notify_all();
            }
        }
    }

    /// Waits for a connection; `None` if none comes for a while.
    fn next_connection(&self) -> Option<(Stream, Peer)> {
        let state = &*self.state;
        let mut pool = state.pool();
        let deadline = Instant::now() + THREAD_IDLE;
        loop {
            if let Some(next) = pool.ready.pop_front() {
                return Some(next);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || state.has_ended() {
                pool.threads -= 1;
                return None;
            }
            pool.idle_threads += 1;
            pool = state.changed.wait_timeout(pool, left).unwrap_or_else(PoisonError::into_inner).0;
            pool.idle_threads -= 1;
        }
    }

    fn serve_connection(&self, stream: Stream, peer: Peer, buffers: &mut Buffers) {
        let state = &*self.state;
        let config = &state.config;
        if let Some(verify) = &config.verify_peer
            && !verify(&peer)
        {
            return;
        }
        let wire = Arc::new(Wire::new(stream, peer, Arc::clone(config), Arc::clone(&state.clock)));
        let _registered = Registered::new(state, &wire);
        let is_wanted = || state.is_stopping() || state.pending.load(Ordering::Relaxed) > 0;
        let service = Service { application: &*self.application, info: &self.info, is_wanted: &is_wanted };
        if let Err(error) = connection::serve(&wire, &service, buffers)
            && let Some(hook) = &config.on_error
        {
            hook(&wire.peer, &error);
        }
    }
}

/// A connection is in the list while this lives.
struct Registered<'s> {
    state: &'s State,
    wire: &'s Arc<Wire>,
}

impl<'s> Registered<'s> {
    fn new(state: &'s State, wire: &'s Arc<Wire>) -> Self {
        state.pool().wires.push(Arc::clone(wire));
        if state.cut_all.load(Ordering::SeqCst) {
            wire.stop(); // the list was cut before this one was in it
        }
        Self { state, wire }
    }
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        let mut pool = self.state.pool();
        if let Some(index) = pool.wires.iter().position(|wire| Arc::ptr_eq(wire, self.wire)) {
            pool.wires.swap_remove(index);
        }
        pool.requests += self.wire.requests.load(Ordering::Relaxed);
    }
}
