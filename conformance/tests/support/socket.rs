//! A server on a socket, asked with bytes.

use std::any::Any;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;

use conformance::case::{Framing as Told, To};
use conformance::fixtures::PATIENCE;
use conformance::reply::{Ending, Octets, Outcome, Reply, ending_of};
use gateway_spec::{Application, Errors};

use super::{Answer, Ask, AskBody, Connection, Framing, Log, Opened, Server, Site};

/// A request body of more bytes is written beside reading the response.
const LARGE: usize = 64 * 1024;

/// A server that listens on a socket: how it is started.
pub(crate) struct Sockets(pub(crate) fn(Arc<dyn Application>, Errors, Log) -> Running);

/// A server that runs.
pub(crate) struct Running {
    address: SocketAddr,
    stop: Option<Box<dyn FnOnce() + Send + Sync>>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    pub(crate) fn new(address: &str, stop: impl FnOnce() + Send + Sync + 'static, thread: JoinHandle<()>) -> Self {
        Self { address: address.parse().unwrap(), stop: Some(Box::new(stop)), thread: Some(thread) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.take().unwrap()();
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || std::thread::panicking(), "the server has panicked");
    }
}

impl Server for Sockets {
    fn start(&self, app: Arc<dyn Application>) -> Box<dyn Site> {
        let log = Log::default();
        let responses = Log::default();
        let running = self.0(app, log.errors(), responses.clone());
        Box::new(Remote { running, log, responses })
    }
}

struct Remote {
    running: Running,
    log: Log,
    responses: Log,
}

impl Site for Remote {
    fn connect(&self) -> Box<dyn Connection> {
        let stream = TcpStream::connect(self.running.address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(2 * PATIENCE)).unwrap();
        Box::new(Wire { stream, buffer: Vec::new() })
    }

    fn log(&self) -> String {
        self.log.text()
    }

    fn responses(&self) -> Option<String> {
        Some(self.responses.text())
    }
}

struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// The connection while it is watched.
struct Watched<'w> {
    wire: &'w mut Wire,
    seen: Vec<u8>,
    watch: &'w mut (dyn FnMut(&[u8]) + Send),
}

impl Octets for Watched<'_> {
    fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.wire.buffer
    }

    fn receive(&mut self) -> Result<(), Ending> {
        let mut part = [0; 16 * 1024];
        match interrupted(|| self.wire.stream.read(&mut part)) {
            Ok(0) => Err(Ending::Fin),
            Ok(n) => {
                self.wire.buffer.extend_from_slice(&part[..n]);
                self.seen.extend_from_slice(&part[..n]);
                (self.watch)(&self.seen);
                Ok(())
            }
            Err(error) => Err(ending_of(&error)),
        }
    }
}

/// Reads again when a signal came between, as one does when a child of this process ends: a socket with a timeout is not
/// read on by the system.
fn interrupted(mut read: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match read() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

impl Wire {
    /// Sends a request; a server that has closed meanwhile shows when it is read from. Gives what is to be sent when the
    /// server says 100.
    fn send(&mut self, ask: &Ask) -> Option<Vec<u8>> {
        let version = if ask.http10 { "1.0" } else { "1.1" };
        let mut octets = format!("{} {} HTTP/{version}\r\n", ask.method, ask.target);
        if !ask.http10 && !ask.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            octets += "Host: localhost\r\n";
        }
        for (name, value) in &ask.headers {
            octets += &format!("{name}: {value}\r\n");
        }
        let mut octets = octets.into_bytes();
        let mut later = None;
        match &ask.body {
            AskBody::None => octets.extend_from_slice(b"\r\n"),
            AskBody::Block(body) => {
                octets.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
                octets.extend_from_slice(body);
            }
            AskBody::Short(body, missing) => {
                octets.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len() + missing).as_bytes());
                octets.extend_from_slice(body);
            }
            AskBody::Expect(body) => {
                let head = format!("Expect: 100-continue\r\nContent-Length: {}\r\n\r\n", body.len());
                octets.extend_from_slice(head.as_bytes());
                later = Some(body.clone());
            }
            AskBody::Chunked(body) | AskBody::Pieces(body, _) => {
                octets.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
                let at = if let AskBody::Pieces(_, at) = ask.body { at } else { body.len() / 2 };
                let (first, second) = body.split_at(at);
                for chunk in [first, second].into_iter().filter(|chunk| !chunk.is_empty()) {
                    octets.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                    octets.extend_from_slice(chunk);
                    octets.extend_from_slice(b"\r\n");
                }
                octets.extend_from_slice(b"0\r\n\r\n");
            }
        }
        let finishes = matches!(ask.body, AskBody::Short(..));
        let mut stream = self.stream.try_clone().unwrap();
        let mut write = move || {
            let _ = stream.write_all(&octets);
            if finishes {
                let _ = stream.shutdown(Shutdown::Write);
            }
        };
        if let AskBody::Block(body) | AskBody::Chunked(body) = &ask.body
            && body.len() > LARGE
        {
            // The server may answer while it reads, and wait to be read from.
            std::thread::spawn(write);
        } else {
            write();
        }
        later
    }
}

impl Connection for Wire {
    fn ask_watched(&mut self, ask: &Ask, watch: &mut (dyn FnMut(&[u8]) + Send)) -> Answer {
        let mut later = self.send(ask);
        let mut continued = false;
        let to = match ask.method.as_str() {
            "HEAD" => To::Head,
            "CONNECT" => To::Connect,
            _ => To::Other,
        };
        let mut octets = Watched { wire: self, seen: Vec::new(), watch };
        let reply = loop {
            match Reply::read(&mut octets, to) {
                Outcome::Reply(reply) if reply.status < 200 => {
                    continued |= reply.status == 100;
                    let body = later.take().unwrap_or_default();
                    // A server that has closed meanwhile shows when it is read from.
                    let _ = octets.wire.stream.write_all(&body);
                }
                Outcome::Reply(reply) => break *reply,
                Outcome::Nothing(Ending::Silence) => panic!("no answer to {ask:?}"),
                Outcome::Nothing(_) => return Answer::default(),
                Outcome::Broken(what) => panic!("{what}, in answer to {ask:?}"),
            }
        };
        assert_eq!(reply.problems, [""; 0], "in answer to {ask:?}");
        Answer {
            status: reply.status,
            headers: reply
                .fields
                .into_iter()
                .map(|(name, value)| (name, value.iter().map(|&b| char::from(b)).collect()))
                .collect(),
            body: reply.body,
            framing: match reply.framing {
                None | Some(Told::None) => Framing::Empty,
                Some(Told::Length) => Framing::Length,
                Some(Told::Chunked) => Framing::Chunked,
                Some(Told::Close) => Framing::Close,
            },
            complete: reply.complete,
            continued,
        }
    }

    fn hold(mut self: Box<Self>, ask: &Ask) -> Box<dyn Any> {
        self.send(ask);
        self
    }

    fn open(mut self: Box<Self>, ask: &Ask) -> Box<dyn Opened> {
        self.send(ask);
        let mut opened = Reading { wire: *self, seen: Vec::new() };
        opened.until("\r\n\r\n");
        Box::new(opened)
    }

    fn leave_after(mut self: Box<Self>, ask: &Ask, text: &str) {
        self.send(ask);
        // One byte at a time, so that some are unread when the socket is closed: then the system sends a reset.
        let mut byte = [0; 1];
        while !self.buffer.ends_with(text.as_bytes()) {
            assert_eq!(interrupted(|| self.stream.read(&mut byte)).unwrap(), 1, "the response ended before {text:?}");
            self.buffer.push(byte[0]);
        }
    }
}

struct Reading {
    wire: Wire,
    seen: Vec<u8>,
}

impl Opened for Reading {
    fn seen(&mut self) -> &mut Vec<u8> {
        &mut self.seen
    }

    fn more(&mut self) -> bool {
        let mut part = [0; 16 * 1024];
        let read = self.wire.stream.read(&mut part).expect("more of the response, or its end");
        self.seen.extend_from_slice(&part[..read]);
        read > 0
    }

    fn ends(mut self: Box<Self>) -> bool {
        // What was read already may have the end in it.
        while !self.seen.ends_with(b"\r\n0\r\n\r\n") {
            if !self.more() {
                return false;
            }
        }
        true
    }
}
