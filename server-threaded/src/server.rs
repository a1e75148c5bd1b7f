//! [`Server`]: from `bind` to the end of a shutdown.

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use gateway_spec::{Application, ServerInfo};

use crate::Config;
use crate::admission::Admission;
use crate::clock::{Clock, after};
use crate::door::Door;
use crate::hooks::Stats;
use crate::threads::Shared;
use crate::transport::{Listener, LocalAddr};
use crate::watchdog;
use crate::wire::Wire;

/// The product that this server is, for `SERVER_SOFTWARE` where the settings say nothing else.
const SOFTWARE: &str = concat!("server-threaded/", env!("CARGO_PKG_VERSION"));

/// How long a server that stops waits for threads after their connections were cut, and for the watchdog at the end.
const LEFT_BEHIND: Duration = Duration::from_millis(500);

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
        let shared = Arc::new(Shared::new(Box::new(application), info, Arc::clone(&state), door));
        let watched = Arc::clone(&shared);
        let watch = move || {
            watchdog::run(&watched.state, || {
                watched.attend();
                watched.tell_refusals();
            });
        };
        let watchdog = thread::Builder::new().name("watchdog".into()).spawn(watch)?;
        state.admission.set_watchdog(watchdog.thread());
        let started = shared.start().inspect_err(|_| state.admission.go());
        let result = started.and_then(|()| shared.door.wait_for_stop(None));
        state.begin_stop();
        // If all are busy, somebody has to let in who is in the system's queue.
        shared.attend();
        state.wait_for_end(&shared.door);
        state.end();
        // It ends at its next look, unless the errors stream keeps it, which is not the server's.
        let limit = after(LEFT_BEHIND);
        while !watchdog.is_finished() && Instant::now() < limit {
            thread::sleep(Duration::from_millis(1));
        }
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

/// The state of a server that all its threads see.
pub(crate) struct State {
    pub(crate) config: Arc<Config>,
    pub(crate) clock: Arc<Clock>,
    pub(crate) admission: Admission,
    stopping: AtomicBool,
    pub(crate) cut_all: AtomicBool,
    ended: AtomicBool,
    pub(crate) accepted: AtomicU64,
    /// Those of connections, and those that wait for one.
    pub(crate) threads: AtomicUsize,
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
    pub(crate) fn fail(&self, error: io::Error) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        self.begin_stop();
    }

    fn take_failure(&self) -> io::Result<()> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take().map_or(Ok(()), Err)
    }

    /// Waits until all connections have ended, and cuts them when it has been long enough.
    fn wait_for_end(&self, door: &Door) {
        self.admission.wait_until_empty(self.config.shutdown_timeout, || self.cut_all.load(Ordering::SeqCst));
        // In this order, so that who was let in at the last moment is cut as well, by the thread that serves it if not here.
        self.cut_all.store(true, Ordering::SeqCst);
        door.close();
        self.admission.drop_pending();
        self.admission.each_wire(Wire::stop);
        // A thread whose socket is gone ends at once, unless the application keeps it; then it is left behind.
        self.admission.wait_until_empty(LEFT_BEHIND, || false);
        self.admission.drop_pending();
    }

    fn stats(&self) -> Stats {
        Stats {
            accepted: self.accepted.load(Ordering::Relaxed),
            threads: self.threads.load(Ordering::Relaxed),
            ..self.admission.stats()
        }
    }
}
