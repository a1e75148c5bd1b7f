//! A server in a thread, and a client of raw bytes.
#![allow(dead_code, reason = "each test program uses its part")]

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use gateway_spec::{Application, Errors};
use server_mio::{Config, Handle, LocalAddr, Server};

/// Longer than anything takes, so that a test that waits in vain fails instead of hanging.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A server that runs; dropping it stops it.
pub(crate) struct Site {
    pub(crate) address: SocketAddr,
    pub(crate) handle: Handle,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Site {
    /// With one loop, so that whatever blocks it blocks all.
    pub(crate) fn new(app: impl Application + 'static) -> Self {
        Self::with(|_| {}, app)
    }

    pub(crate) fn with(configure: impl FnOnce(&mut Config), app: impl Application + 'static) -> Self {
        let mut config = Server::builder();
        config.threads = 1;
        config.errors = Errors::new(|_: &str| {});
        configure(&mut config);
        let server = config.bind("127.0.0.1:0").unwrap();
        let LocalAddr::Tcp(address) = *server.local_addr() else { panic!("not TCP") };
        let handle = server.handle();
        Self { address, handle, thread: Some(thread::spawn(move || server.serve(app))) }
    }

    pub(crate) fn connect(&self) -> Client {
        Client::new(TcpStream::connect(self.address).unwrap())
    }

    /// Asks for a path on a connection of its own.
    pub(crate) fn get(&self, path: &str) -> String {
        let mut client = self.connect();
        client.send(&format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        client.response()
    }

    /// Waits until this is so.
    pub(crate) fn until(&self, what: &str, so: impl Fn(&server_mio::Stats) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !so(&self.handle.stats()) {
            assert!(Instant::now() < deadline, "never {what}: {:?}", self.handle.stats());
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits for the end of the server.
    pub(crate) fn join(mut self) {
        self.thread.take().unwrap().join().unwrap().unwrap();
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.handle.stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A connection.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    received: Vec<u8>,
}

impl Client {
    pub(crate) fn new(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, received: Vec::new() }
    }

    pub(crate) fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).unwrap();
    }

    /// Reads until this text has come, and takes everything up to its end.
    #[track_caller]
    pub(crate) fn until(&mut self, text: &str) -> String {
        let mut searched = 0;
        loop {
            let new = &self.received[searched..];
            if let Some(place) = new.windows(text.len()).position(|window| window == text.as_bytes()) {
                let taken: Vec<u8> = self.received.drain(..searched + place + text.len()).collect();
                return String::from_utf8_lossy(&taken).into_owned();
            }
            searched = self.received.len().saturating_sub(text.len());
            let mut piece = [0; 65536];
            let n = self.stream.read(&mut piece).unwrap();
            let last = &self.received[self.received.len().saturating_sub(200)..];
            assert!(n > 0, "{text:?} never came, but {:?}", String::from_utf8_lossy(last));
            self.received.extend_from_slice(&piece[..n]);
        }
    }

    /// A response with a length: its head and content.
    #[track_caller]
    pub(crate) fn response(&mut self) -> String {
        let mut text = self.until("\r\n\r\n");
        let length =
            text.lines().find_map(|line| line.strip_prefix("Content-Length: ")).map_or(0, |l| l.parse().unwrap());
        while self.received.len() < length {
            let mut piece = [0; 4096];
            let n = self.stream.read(&mut piece).unwrap();
            assert!(n > 0, "the connection ended within a response");
            self.received.extend_from_slice(&piece[..n]);
        }
        text.push_str(&String::from_utf8_lossy(&self.received.drain(..length).collect::<Vec<_>>()));
        text
    }

    /// Everything up to the end of the connection, which has to come.
    pub(crate) fn rest(&mut self) -> String {
        // A reset after data is an end, too.
        let end = self.stream.read_to_end(&mut self.received).map_err(|error| error.kind());
        let is_late = matches!(end, Err(std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut));
        assert!(!is_late, "the end did not come");
        String::from_utf8_lossy(&std::mem::take(&mut self.received)).into_owned()
    }
}

/// A door that is closed until it is opened, and tells who has come to it.
pub(crate) struct Door {
    open: (std::sync::Mutex<bool>, std::sync::Condvar),
    waiting: std::sync::atomic::AtomicUsize,
}

impl Door {
    pub(crate) const fn new() -> Self {
        Self {
            open: (std::sync::Mutex::new(false), std::sync::Condvar::new()),
            waiting: std::sync::atomic::AtomicUsize::new(0),
        }
    }

    /// Blocks until it is open.
    pub(crate) fn pass(&self) {
        self.waiting.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let open = self.open.0.lock().unwrap();
        drop(self.open.1.wait_timeout_while(open, PATIENCE, |open| !*open).unwrap());
    }

    pub(crate) fn open(&self) {
        *self.open.0.lock().unwrap() = true;
        self.open.1.notify_all();
    }

    /// Waits until so many are or were before it.
    #[track_caller]
    pub(crate) fn until(&self, number: usize) {
        let deadline = Instant::now() + PATIENCE;
        while self.waiting.load(std::sync::atomic::Ordering::SeqCst) < number {
            assert!(Instant::now() < deadline, "nobody came to the door");
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Runs something in a thread, and hands over what it returns.
pub(crate) fn later<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Receiver<T> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let _ = sender.send(work());
    });
    receiver
}
