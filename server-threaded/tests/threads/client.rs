//! Clients that speak bytes, and what they receive.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use server::LocalAddr;

use crate::support::PATIENCE;

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

    /// Ends the sending direction.
    pub(crate) fn finish(&mut self) {
        self.tcp.as_ref().unwrap().shutdown(Shutdown::Write).unwrap();
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
