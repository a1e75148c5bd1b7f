//! Servers in threads, and what their applications and hooks share with a test.

use std::env;
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use gateway_spec::{Application, Environ, Error, Errors, StartResponse, Status, app_fn};
use server::{Config, Exchange, Handle, LocalAddr, Server, Stats};

use crate::client::{Client, Reply};

/// How long a test waits for what must happen. Long: it only ends tests that would hang.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A request that keeps the connection.
pub(crate) const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// A request that does not.
pub(crate) const LAST_GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

pub(crate) const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Settings whose errors stream is silent.
pub(crate) fn config() -> Config {
    let mut config = Server::builder();
    config.errors = Errors::new(|_: &str| {});
    config
}

/// Answers `hello`.
pub(crate) fn hello(_: &mut Environ<'_>, start_response: &mut dyn StartResponse) -> Result<&'static str, Error> {
    start_response.start(Status::OK, &[("Content-Type", "text/plain")])?;
    Ok("hello")
}

/// A server in a thread. It is stopped when this is dropped.
pub(crate) struct Site {
    pub(crate) addr: LocalAddr,
    pub(crate) handle: Handle,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Site {
    pub(crate) fn new(config: Config, app: impl Application + 'static) -> Self {
        Self::of(config.bind("127.0.0.1:0").unwrap(), app)
    }

    pub(crate) fn of(server: Server, app: impl Application + 'static) -> Self {
        let (addr, handle) = (server.local_addr().clone(), server.handle());
        let thread = thread::Builder::new().name("site".into()).spawn(move || server.serve(app)).unwrap();
        Self { addr, handle, thread: Some(thread) }
    }

    pub(crate) fn connect(&self) -> Client {
        Client::connect(&self.addr).unwrap()
    }

    /// One request on a connection of its own.
    pub(crate) fn get(&self) -> Reply {
        self.connect().ask(LAST_GET)
    }

    /// Waits until the statistics are as wished.
    #[track_caller]
    pub(crate) fn wait_for(&self, what: &str, wish: impl Fn(Stats) -> bool) {
        wait_until(|| wish(self.handle.stats()), || format!("{what}: {:?}", self.handle.stats()));
    }

    /// Waits until the server has ended.
    #[track_caller]
    pub(crate) fn join(&mut self) -> io::Result<()> {
        let thread = self.thread.take().unwrap();
        wait_until(|| thread.is_finished(), || format!("serve() does not return: {:?}", self.handle));
        thread.join().unwrap()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.handle.stop();
        if let Some(thread) = self.thread.take()
            && !thread::panicking()
        {
            wait_until(|| thread.is_finished(), || format!("serve() does not return: {:?}", self.handle));
            thread.join().unwrap().unwrap();
        }
    }
}

/// Set in a process that is limited, to the name of its test.
const LIMITED: &str = "SERVER_TEST_LIMITED";

/// A server in a process of its own: this same program again, with one test only, and with less of something than others.
pub(crate) struct Limited {
    pub(crate) child: Child,
    pub(crate) addr: LocalAddr,
}

impl Limited {
    /// `limit` is for the shell's `ulimit`, and `test` serves by [`serve_if_limited`].
    pub(crate) fn new(limit: &str, test: &str) -> Self {
        let mut child = Command::new("sh")
            .args(["-c", &format!("ulimit {limit}; exec \"$0\" --exact {test} --nocapture")])
            .arg(env::current_exe().unwrap())
            .env(LIMITED, test)
            .env("RUST_TEST_THREADS", "1")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut lines = output.lines().map(Result::unwrap);
        let addr = lines.find_map(|line| line.strip_prefix("listening on ")?.parse().ok()).unwrap();
        Self { child, addr: LocalAddr::Tcp(addr) }
    }

    pub(crate) fn connect(&self) -> Client {
        Client::connect(&self.addr).unwrap()
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Serves `hello` if this is the process of [`Limited`] for this test.
pub(crate) fn serve_if_limited(test: &str, config: impl FnOnce() -> Config) {
    if env::var_os(LIMITED).is_some_and(|limited| limited == test) {
        let server = config().bind("127.0.0.1:0").unwrap();
        println!("\nlistening on {}", server.local_addr());
        server.serve(hello).unwrap();
    }
}

#[track_caller]
pub(crate) fn wait_until(wish: impl Fn() -> bool, what: impl Fn() -> String) {
    let end = Instant::now() + PATIENCE;
    while !wish() {
        assert!(Instant::now() < end, "waited in vain. {}", what());
        thread::sleep(ms(2));
    }
}

/// Holds applications until it is opened.
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<(Mutex<Passes>, Condvar)>);

#[derive(Default)]
struct Passes {
    waiting: usize,
    left: usize,
}

impl Gate {
    /// Waits for a pass.
    pub(crate) fn pass(&self) {
        let (passes, changed) = &*self.0;
        let mut passes = passes.lock().unwrap_or_else(PoisonError::into_inner);
        passes.waiting += 1;
        passes = changed.wait_while(passes, |passes| passes.left == 0).unwrap_or_else(PoisonError::into_inner);
        passes.waiting -= 1;
        passes.left -= 1;
    }

    /// Lets so many through, whether they are here already or not.
    pub(crate) fn open(&self, count: usize) {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).left += count;
        self.0.1.notify_all();
    }

    /// Waits until so many are held.
    #[track_caller]
    pub(crate) fn wait_for(&self, count: usize) {
        let waiting = || self.0.0.lock().unwrap_or_else(PoisonError::into_inner).waiting;
        wait_until(|| waiting() == count, || format!("{} at the gate, not {count}", waiting()));
    }
}

/// Answers when the gate lets it, but at once where the path is `/free`.
pub(crate) fn held(gate: &Gate) -> impl Application + use<> {
    let gate = gate.clone();
    app_fn(move |environ, start_response| {
        if environ.raw_path() != "/free" {
            gate.pass();
        }
        start_response.start(Status::OK, &[])?;
        Ok::<_, Error>("held")
    })
}

/// What `on_response` was told of one response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) status: u16,
    pub(crate) bytes: u64,
    pub(crate) aborted: bool,
}

/// Writes down what hooks are told.
#[derive(Clone, Default)]
pub(crate) struct Notes {
    seen: Arc<Mutex<Vec<Seen>>>,
    errors: Arc<Mutex<Vec<io::ErrorKind>>>,
}

impl Notes {
    pub(crate) fn of(config: &mut Config) -> Self {
        let notes = Self::default();
        let (seen, errors) = (Arc::clone(&notes.seen), Arc::clone(&notes.errors));
        config.on_response = Some(Arc::new(move |exchange: &Exchange<'_>| {
            seen.lock().unwrap().push(Seen {
                method: exchange.method.to_owned(),
                target: exchange.target.to_owned(),
                status: exchange.status,
                bytes: exchange.bytes,
                aborted: exchange.aborted,
            });
        }));
        config.on_error = Some(Arc::new(move |_, error| errors.lock().unwrap().push(error.kind())));
        notes
    }

    /// Waits until there were so many responses.
    #[track_caller]
    pub(crate) fn wait_for(&self, count: usize) -> Vec<Seen> {
        let seen = || self.seen.lock().unwrap().clone();
        wait_until(|| seen().len() >= count, || format!("{:?}", seen()));
        seen()
    }

    pub(crate) fn errors(&self) -> Vec<io::ErrorKind> {
        self.errors.lock().unwrap().clone()
    }
}

/// A directory of its own for a test, removed with all that is in it.
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("server-threaded-{}-{}", std::process::id(), COUNT.fetch_add(1, SeqCst));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn file(&self, content: &[u8]) -> PathBuf {
        let path = self.0.join("file");
        fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
