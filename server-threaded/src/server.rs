//! [`Server`]: the listener, the threads, shutdown.

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use gateway_spec::{Application, Peer, ServerInfo};

use crate::Config;
use crate::admission::{Admission, Entered};
use crate::clock::Clock;
use crate::connection::{self, Buffers, End, Service};
use crate::door::{Door, is_exhaustion};
use crate::guard::guarded;
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

/// As many as the system keeps in its queue.
const ALL: usize = 4096;

/// How long a thread without a connection waits for one before it ends, if others wait as well.
const THREAD_IDLE: Duration = Duration::from_secs(10);

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
    /// If the listener itself fails, or the system has no descriptor or thread to begin with. What happens on a connection is
    /// never an error here.
    pub fn serve(self, application: impl Application + 'static) -> io::Result<()> {
        let Self { listener, info, state, wake, .. } = self;
        let door = Door::new(listener, wake)?;
        let shared = Arc::new(Shared {
            application: Box::new(application),
            info,
            state: Arc::clone(&state),
            door,
            has_complained: AtomicBool::new(false),
        });
        let watched = Arc::clone(&shared);
        let watch = move || watchdog::run(&watched.state, || watched.attend());
        let watchdog = thread::Builder::new().name("watchdog".into()).spawn(watch)?;
        state.admission.set_watchdog(watchdog.thread());
        let started = shared.start().inspect_err(|_| state.admission.go());
        let result = started.and_then(|()| shared.door.wait_for_stop(None));
        state.begin_stop();
        // If all are busy, somebody has to let in who is in the system's queue.
        shared.attend();
        state.wait_for_end();
        shared.door.close(); // if it is not
        state.end();
        // It ends at its next look; it holds nothing that anybody waits for.
        let _ = watchdog.join();
        result.and_then(|()| state.take_failure())
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
    door: Door,
    /// Whether it was said that there are no threads.
    has_complained: AtomicBool,
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
    /// Those of connections, and those that wait for one.
    threads: AtomicUsize,
    /// What the listener has failed with.
    failure: Mutex<Option<io::Error>>,
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
            threads: AtomicUsize::new(0),
            failure: Mutex::new(None),
            waker,
        }
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    fn begin_stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        // Answers whose head is still to be sent say that they are the last.
        self.admission.each_wire(Wire::close_soon);
        // If the pipe is full, there is a wake-up in it.
        let _ = io::Write::write(&mut &self.waker, b"s");
        self.admission.wake_watchdog();
    }

    fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
        self.admission.wake_watchdog();
    }

    /// The listener has failed: the server stops.
    fn fail(&self, error: io::Error) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        self.begin_stop();
    }

    fn take_failure(&self) -> io::Result<()> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take().map_or(Ok(()), Err)
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
        Stats {
            accepted: self.accepted.load(Ordering::Relaxed),
            threads: self.threads.load(Ordering::Relaxed),
            ..self.admission.stats()
        }
    }
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

impl Shared {
    /// Starts a thread that waits at the door; it is counted there already.
    fn start(self: &Arc<Self>) -> io::Result<()> {
        self.state.threads.fetch_add(1, Ordering::Relaxed);
        let shared = Arc::clone(self);
        let started = thread::Builder::new()
            .name("connection".into())
            .stack_size(self.state.config.stack_size)
            .spawn(move || shared.serve_connections());
        if started.is_err() {
            self.state.threads.fetch_sub(1, Ordering::Relaxed);
        }
        started.map(drop)
    }

    /// Starts the thread that has to come to the door, and is counted there. If none is to be had, who idles for longest
    /// gives one back, and the watchdog tries again; or if the server stops, who comes is told so.
    fn call_another(self: &Arc<Self>) {
        let Err(error) = self.start() else { return };
        if !self.has_complained.swap(true, Ordering::Relaxed) {
            let errors = &self.state.config.errors;
            errors.write(&format!("server-threaded: no thread could be made for newcomers: {error}\n"));
        }
        if self.state.is_stopping() {
            self.turn_away(ALL);
            self.door.close();
        } else {
            self.state.admission.shed_one();
        }
        self.go();
    }

    /// Sees that somebody is at the door.
    fn attend(self: &Arc<Self>) {
        if self.door.is_open() && self.state.admission.call_if_unattended() {
            self.call_another();
        }
    }

    /// A thread's life: connections, one after the other.
    fn serve_connections(self: &Arc<Self>) {
        let state = &*self.state;
        let mut buffers = Buffers::new();
        let mut next = self.next();
        while let Some((stream, peer)) = next {
            // What the application panics with is caught where it happens. This is for what is ours, so that the count
            // of connections stays right whatever happens.
            let served = guarded(|| {
                self.serve_connection(stream, peer, &mut buffers);
                Ok(())
            });
            if served.is_err() {
                buffers = Buffers::new();
            }
            next = state.admission.leave();
            if state.is_stopping() {
                state.admission.wake_all();
            }
            next = next.or_else(|| self.next());
        }
        state.threads.fetch_sub(1, Ordering::Relaxed);
    }

    /// Waits at the door for a connection. `None` if none comes for a while and others wait as well, or if the server stops
    /// and nobody is in the system's queue, or nobody can be let in: then the thread ends.
    fn next(self: &Arc<Self>) -> Option<(Stream, Peer)> {
        let state = &*self.state;
        loop {
            let stopping = state.is_stopping();
            if !stopping {
                match self.door.wait(THREAD_IDLE) {
                    Ok(true) => {}
                    Ok(false) if state.admission.go_unless_last() => return None,
                    Ok(false) => continue,
                    Err(error) => state.fail(error),
                }
            }
            state.clock.update();
            match self.accept(stopping) {
                Some((stream, peer)) => {
                    if let Some(Entered { stream, peer, is_last }) = state.admission.enter(stream, peer) {
                        if is_last {
                            self.call_another();
                        }
                        return Some((stream, peer));
                    }
                }
                None if stopping => {
                    self.go();
                    return None;
                }
                None => {}
            }
        }
    }

    /// A thread goes from the door, or does not come.
    fn go(&self) {
        self.state.admission.go();
        if self.state.is_stopping() {
            self.state.admission.wake_all();
        }
    }

    /// Who is next in the system's queue, if anybody is and can be let in. When nobody is, and the server was `stopping`
    /// before, the door is closed: all who had come were let in.
    fn accept(&self, stopping: bool) -> Option<(Stream, Peer)> {
        let state = &*self.state;
        loop {
            match self.door.accept() {
                Ok(newcomer) => {
                    state.accepted.fetch_add(1, Ordering::Relaxed);
                    return Some(newcomer);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if stopping {
                        self.door.close();
                    }
                }
                Err(error) if is_exhaustion(&error) && state.admission.end_partings() => continue,
                Err(error) if is_exhaustion(&error) => {
                    if let Err(error) = self.find_descriptors().and_then(|()| self.door.arm()) {
                        state.fail(error);
                    }
                }
                // The peer has gone between its arrival and now, or a firewall says no: the next one may be fine.
                Err(error) if is_of_one_connection(&error) => continue,
                Err(error) => state.fail(error),
            }
            return None;
        }
    }

    /// The system has no descriptors left: ends a connection that can be spared, or says no to who waits for one, and gives
    /// the system a moment.
    fn find_descriptors(&self) -> io::Result<()> {
        if self.state.admission.shed_one() {
            return self.door.wait_for_stop(Some(SHEDDING));
        }
        self.turn_away(MOST_REFUSED);
        self.door.wait_for_stop(Some(OUT_OF_DESCRIPTORS))
    }

    /// Says no to some of those in the system's queue, one after the other.
    fn turn_away(&self, most: usize) {
        self.door.turn_away(most, |stream, peer| self.state.admission.refuse_at_once(stream, peer));
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
