//! [`Server`]: the listener, the threads, shutdown.

use std::fs::File;
use std::io;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, Thread};
use std::time::Duration;

use gateway_spec::{Application, Peer, ServerInfo};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::Config;
use crate::admission::Admission;
use crate::clock::Clock;
use crate::connection::{self, Buffers, End, Service};
use crate::hooks::Stats;
use crate::transport::{Listener, LocalAddr, Stream};
use crate::watchdog;
use crate::wire::Wire;

/// The product that this server is, for `SERVER_SOFTWARE` where the settings say nothing else.
const SOFTWARE: &str = concat!("server-threaded/", env!("CARGO_PKG_VERSION"));

/// How long accepting pauses when the system has no descriptors left: not long for a person, long for a processor.
const OUT_OF_DESCRIPTORS: Duration = Duration::from_millis(50);

/// How many are told so before each pause: what piles up in the system's queue would wait for nothing.
const MOST_REFUSED: usize = 64;

/// How long a server that stops waits for threads after their connections were cut.
const LEFT_BEHIND: Duration = Duration::from_millis(500);

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
            config.server_header.as_deref().unwrap_or(SOFTWARE),
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
        self.0.admission.each_wire(Wire::stop);
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
    pub(crate) admission: Admission,
    stopping: AtomicBool,
    cut_all: AtomicBool,
    ended: AtomicBool,
    accepted: AtomicU64,
    watchdog: Mutex<Option<Thread>>,
    waker: UnixStream,
}

impl State {
    fn new(config: Config, waker: UnixStream) -> Self {
        let (config, clock) = (Arc::new(config), Arc::new(Clock::new()));
        Self {
            admission: Admission::new(Arc::clone(&config), Arc::clone(&clock)),
            config,
            clock,
            stopping: AtomicBool::new(false),
            cut_all: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            accepted: AtomicU64::new(0),
            watchdog: Mutex::new(None),
            waker,
        }
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    fn wake_watchdog(&self) {
        if let Some(thread) = &*self.watchdog.lock().unwrap_or_else(PoisonError::into_inner) {
            thread.unpark();
        }
    }

    fn begin_stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        // Answers whose head is still to be sent say that they are the last.
        self.admission.each_wire(Wire::close_soon);
        // If the pipe is full, there is a wake-up in it.
        let _ = io::Write::write(&mut &self.waker, b"s");
        self.wake_watchdog();
    }

    fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
        self.admission.wake_all();
        self.wake_watchdog();
    }

    /// Waits until all connections have ended, and cuts them when it has been long enough.
    fn wait_for_end(&self) {
        self.admission.wait_until_empty(self.config.shutdown_timeout, || self.cut_all.load(Ordering::SeqCst));
        self.admission.drop_pending();
        self.admission.each_wire(Wire::stop);
        // A thread whose socket is gone ends at once, unless the application keeps it; then it is left behind.
        self.admission.wait_until_empty(LEFT_BEHIND, || false);
    }

    fn stats(&self) -> Stats {
        Stats { accepted: self.accepted.load(Ordering::Relaxed), ..self.admission.stats() }
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
                if state.admission.enter(stream, peer, || spawn(shared)) {
                    state.wake_watchdog();
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if stopping {
                    return Ok(());
                }
                wait_for(&mut [PollFd::new(listener, PollFlags::IN), PollFd::new(wake, PollFlags::IN)], None)?;
                state.clock.update();
            }
            Err(error) if is_exhaustion(&error) && state.admission.end_partings() => {}
            Err(error) if is_exhaustion(&error) => {
                let pause = if state.admission.shed_one() {
                    SHEDDING
                } else {
                    drop(reserve.take());
                    for (stream, peer) in (0..MOST_REFUSED).map_while(|_| listener.accept().ok()) {
                        state.admission.refuse_at_once(stream, &peer);
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
                | Errno::TIMEDOUT
        )
    )
}

fn spawn(shared: &Arc<Shared>) -> io::Result<()> {
    let thread = Arc::clone(shared);
    thread::Builder::new()
        .name("connection".into())
        .stack_size(shared.state.config.stack_size)
        .spawn(move || thread.serve_connections())
        .map(drop)
}

impl Shared {
    /// A thread's life: connections, one after the other.
    fn serve_connections(&self) {
        let state = &*self.state;
        let mut buffers = Buffers::new();
        while let Some((stream, peer)) = state.admission.next(|| state.has_ended()) {
            // What the application panics with is caught where it happens. This is for what is ours, so that the count
            // of connections stays right whatever happens.
            let served = catch_unwind(AssertUnwindSafe(|| {
                self.serve_connection(stream, peer, &mut buffers);
            }));
            if served.is_err() {
                buffers = Buffers::new();
            }
            state.admission.leave();
            if state.is_stopping() {
                state.admission.wake_all();
            }
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
        let output = std::mem::take(&mut buffers.output);
        let wire = Arc::new(Wire::new(stream, peer, Arc::clone(config), Arc::clone(&state.clock), output));
        let registered = state.admission.register(&wire);
        if state.cut_all.load(Ordering::SeqCst) {
            wire.stop(); // the list was cut before this one was in it
        }
        let is_wanted = || state.is_stopping() || state.admission.has_pending();
        let service = Service { application: &*self.application, info: &self.info, is_wanted: &is_wanted };
        let end = connection::serve(&wire, &service, buffers);
        buffers.output = wire.take_output();
        match end {
            Ok(End::Over) => {}
            Ok(End::Parting) => {
                drop(registered);
                if let Err(wire) = state.admission.part(wire) {
                    wire.linger(&is_wanted);
                    wire.end();
                }
            }
            Err(error) => {
                if let Some(hook) = &config.on_error {
                    hook(&wire.peer, &error);
                }
            }
        }
    }
}
