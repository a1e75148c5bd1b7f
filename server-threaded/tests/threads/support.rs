//! Servers in threads, clients that speak bytes, and a few small applications.

use std::fmt;
use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use gateway_spec::{Application, Environ, Error, Errors, StartResponse, Status};
use server_threaded::{Config, Exchange, Handle, LocalAddr, Server, Stats};

/// How long a test waits for what must happen. Long: it only ends tests that would hang.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

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

/// What a client reads from and writes to.
pub(crate) trait Stream: Read + Write + Send {}
impl<S: Read + Write + Send> Stream for S {}

/// A client.
pub(crate) struct Client {
    stream: Box<dyn Stream>,
    /// A second descriptor of the same socket, for what traits do not offer.
    pub(crate) tcp: Option<TcpStream>,
    received: Vec<u8>,
}

/// Reads past all parsing.
impl Read for Client {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.read(buffer)
    }
}

/// A whole response.
pub(crate) struct Reply {
    pub(crate) code: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The server has finished sending.
    Clean,
    /// The server has cut the connection.
    Reset,
    /// Not within the patience of a test.
    Never,
}

/// A response that is not whole.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Broken {
    pub(crate) received: Vec<u8>,
    pub(crate) end: End,
}

impl Client {
    pub(crate) fn connect(addr: &LocalAddr) -> io::Result<Self> {
        match addr {
            LocalAddr::Tcp(addr) => Self::tcp(TcpStream::connect_timeout(addr, PATIENCE)?),
            LocalAddr::Unix(path) => {
                let stream = UnixStream::connect(path.as_ref().unwrap())?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                Ok(Self { stream: Box::new(stream), tcp: None, received: vec![] })
            }
        }
    }

    pub(crate) fn tcp(stream: TcpStream) -> io::Result<Self> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self { tcp: Some(stream.try_clone()?), stream: Box::new(stream), received: vec![] })
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).unwrap();
    }

    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// Sends a request and waits for its answer.
    #[track_caller]
    pub(crate) fn ask(&mut self, request: impl AsRef<[u8]>) -> Reply {
        self.send(request);
        self.reply()
    }

    /// Sends pieces with pauses between, until something arrives, the connection ends, or the test is out of patience.
    pub(crate) fn drip<'p>(&mut self, pieces: impl IntoIterator<Item = &'p [u8]>, pause: Duration) {
        let tcp = self.tcp.as_ref().unwrap().try_clone().unwrap();
        let end = Instant::now() + PATIENCE;
        for piece in pieces {
            tcp.set_read_timeout(Some(pause)).unwrap();
            let quiet = tcp.peek(&mut [0]).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
            if !quiet || Instant::now() > end || self.try_send(piece).is_err() {
                break;
            }
        }
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
    }

    /// Waits for an answer, which must be whole.
    #[track_caller]
    pub(crate) fn reply(&mut self) -> Reply {
        match self.next() {
            Ok(reply) => reply,
            Err(broken) => panic!("{:?} after {:?}", broken.end, broken.received.escape_ascii().to_string()),
        }
    }

    /// Waits for an answer, interim ones included. It must tell its own end: see [`read_to_the_end`](Self::read_to_the_end) for others.
    pub(crate) fn next(&mut self) -> Result<Reply, Broken> {
        let head = self.receive_until(|bytes| Some(find(bytes, b"\r\n\r\n")? + 4))?;
        let text = String::from_utf8_lossy(&self.received[..head]).into_owned();
        let mut reply = Reply { code: 0, head: text, body: vec![] };
        reply.code = reply.head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        let length = reply.header("Content-Length").map(|length| length.parse::<usize>().unwrap());
        let chunked = reply.header("Transfer-Encoding").is_some();
        let end = self.receive_until(|bytes| match length {
            Some(length) => (bytes.len() >= head + length).then_some(head + length),
            None if chunked => Some(find(&bytes[head - 2..], b"\r\n0\r\n\r\n")? + head - 2 + 7),
            None => Some(head),
        })?;
        let rest = self.received.split_off(end);
        let content = std::mem::replace(&mut self.received, rest);
        reply.body = if chunked { unchunk(&content[head..]) } else { content[head..].to_vec() };
        Ok(reply)
    }

    /// Everything up to the end of the connection.
    pub(crate) fn read_to_the_end(&mut self) -> (Vec<u8>, End) {
        match self.receive_until(|_| None) {
            Ok(_) => unreachable!("nothing is enough"),
            Err(broken) => (broken.received, broken.end),
        }
    }

    /// The connection must end, without another byte.
    #[track_caller]
    pub(crate) fn must_end(&mut self) {
        let (received, end) = self.read_to_the_end();
        assert_eq!((received.escape_ascii().to_string().as_str(), end), ("", End::Clean));
    }

    /// Cuts the connection, so that the server sees a reset.
    pub(crate) fn reset(self) {
        let tcp = self.tcp.as_ref().unwrap();
        rustix::net::sockopt::set_socket_linger(tcp, Some(Duration::ZERO)).unwrap();
    }

    fn receive_until(&mut self, is_enough: impl Fn(&[u8]) -> Option<usize>) -> Result<usize, Broken> {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            if let Some(end) = is_enough(&self.received) {
                return Ok(end);
            }
            let end = match self.stream.read(&mut buffer) {
                Ok(0) => End::Clean,
                Ok(n) => {
                    self.received.extend_from_slice(&buffer[..n]);
                    continue;
                }
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => End::Never,
                Err(_) => End::Reset,
            };
            return Err(Broken { received: std::mem::take(&mut self.received), end });
        }
    }
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub(crate) fn closes(&self) -> bool {
        self.header("Connection") == Some("close")
    }

    #[track_caller]
    pub(crate) fn is(&self, code: u16, body: &str) {
        assert_eq!((self.code, String::from_utf8_lossy(&self.body).as_ref()), (code, body), "{self:?}");
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{} bytes]", self.head, self.body.len())
    }
}

pub(crate) fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

fn unchunk(mut bytes: &[u8]) -> Vec<u8> {
    let mut data = vec![];
    loop {
        let line = find(bytes, b"\r\n").unwrap();
        let size = usize::from_str_radix(str::from_utf8(&bytes[..line]).unwrap(), 16).unwrap();
        if size == 0 {
            return data;
        }
        data.extend_from_slice(&bytes[line + 2..line + 2 + size]);
        bytes = &bytes[line + 2 + size + 2..];
    }
}
