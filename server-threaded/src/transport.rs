//! The seam to the operating system: listeners and streams. TLS will be one more kind of stream here.

use std::fmt;
use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use gateway_spec::Peer;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags};

/// What a server accepts connections from; from a listener of the standard library.
#[derive(Debug)]
pub struct Listener {
    kind: Kind,
    /// Whether its connections inherit that nothing waits for more to come.
    nodelay: bool,
    /// The socket file made by [`bind`](Self::bind), with device and inode: removed at the end if it is still the same.
    made: Option<(PathBuf, u64, u64)>,
}

#[derive(Debug)]
enum Kind {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LocalAddr {
    /// An IP address and a port.
    Tcp(SocketAddr),
    /// The path of a Unix socket, or nothing for one without a path.
    Unix(Option<PathBuf>),
}

impl fmt::Display for LocalAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(addr) => addr.fmt(f),
            Self::Unix(Some(path)) => write!(f, "unix:{}", path.display()),
            Self::Unix(None) => f.write_str("unix:"),
        }
    }
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        Self { kind: Kind::Tcp(listener), nodelay: false, made: None }
    }
}

impl From<UnixListener> for Listener {
    fn from(listener: UnixListener) -> Self {
        Self { kind: Kind::Unix(listener), nodelay: false, made: None }
    }
}

/// How many clients may wait to be accepted, unless the system allows fewer. The standard library asks for few.
const QUEUE: i32 = 4096;

impl Listener {
    pub(crate) fn bind(address: &str) -> io::Result<Self> {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"));
        match address.strip_prefix("unix:") {
            Some(path) => Self::bind_unix(Path::new(path)).map_err(named),
            None => {
                let addrs: Vec<_> = address.to_socket_addrs().map_err(named)?.collect();
                let listener = TcpListener::bind(&*addrs).map_err(named)?;
                // Inherited by every connection, which saves a call for each. Not so with a listener that was given:
                // who has come before may be waiting in its queue.
                rustix::net::sockopt::set_tcp_nodelay(&listener, true).map_err(io::Error::from).map_err(named)?;
                rustix::net::listen(&listener, QUEUE).map_err(io::Error::from).map_err(named)?;
                Ok(Self { kind: Kind::Tcp(listener), nodelay: true, made: None })
            }
        }
    }

    /// Takes the place of a socket file that nobody listens on any more, and of no other file.
    fn bind_unix(path: &Path) -> io::Result<Self> {
        if path.as_os_str().is_empty() {
            // The system would choose a name that nobody knows.
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "there is no path"));
        }
        if let Ok(found) = path.symlink_metadata()
            && found.file_type().is_socket()
            && UnixStream::connect(path).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
        {
            std::fs::remove_file(path)?;
        }
        let listener = UnixListener::bind(path)?;
        let made = path.metadata().map(|made| (path.to_owned(), made.dev(), made.ino())).ok();
        Ok(Self { kind: Kind::Unix(listener), nodelay: false, made })
    }

    pub(crate) fn local_addr(&self) -> io::Result<LocalAddr> {
        Ok(match &self.kind {
            Kind::Tcp(listener) => LocalAddr::Tcp(listener.local_addr()?),
            Kind::Unix(listener) => LocalAddr::Unix(listener.local_addr()?.as_pathname().map(Path::to_owned)),
        })
    }

    pub(crate) fn set_nonblocking(&self) -> io::Result<()> {
        match &self.kind {
            Kind::Tcp(listener) => listener.set_nonblocking(true),
            Kind::Unix(listener) => listener.set_nonblocking(true),
        }
    }

    pub(crate) fn accept(&self) -> io::Result<(Stream, Peer)> {
        match &self.kind {
            Kind::Tcp(listener) => {
                let (stream, addr) = listener.accept()?;
                // An answer is written whole; waiting for more to come would only delay its last packet.
                if !self.nodelay {
                    stream.set_nodelay(true)?;
                }
                Ok((Stream::Tcp(stream), Peer::tcp(addr)))
            }
            Kind::Unix(listener) => Ok((Stream::Unix(listener.accept()?.0), Peer::unix())),
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.kind {
            Kind::Tcp(listener) => listener.as_fd(),
            Kind::Unix(listener) => listener.as_fd(),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some((path, dev, ino)) = &self.made
            && path.metadata().is_ok_and(|found| (found.dev(), found.ino()) == (*dev, *ino))
        {
            // The next server would remove it as well; failing to is no harm.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// One connection's stream of bytes. Blocking; both directions may be used from any thread.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    /// Reads what is there, waiting for at least one byte; 0 is the end.
    #[inline(always)]
    pub(crate) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        // Not by the standard library: its calls are points at which a thread could be cancelled, which takes two locked
        // instructions for each of them.
        retry(|| Ok(rustix::net::recv(self, &mut *buffer, RecvFlags::empty())?.1))
    }

    /// Reads what is there, without waiting: [`WouldBlock`](io::ErrorKind::WouldBlock) if nothing is.
    pub(crate) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        retry(|| Ok(rustix::net::recv(self, &mut *buffer, RecvFlags::DONTWAIT)?.1))
    }

    /// Sends as much as there is room for, without waiting: 0 if there is none.
    #[inline(always)]
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        as_progress(rustix::net::send(self, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL))
    }

    /// As [`try_write`](Self::try_write), of what the end of the stream follows at once: what is less than a segment is
    /// kept for it, so that the last bytes and the end are one segment, and the client wakes up once.
    pub(crate) fn try_write_last(&self, bytes: &[u8]) -> io::Result<usize> {
        as_progress(rustix::net::send(self, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL | SendFlags::MORE))
    }

    /// Sends as much of the blocks as there is room for, without waiting: 0 if there is none.
    pub(crate) fn try_write_vectored(&self, blocks: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut control = SendAncillaryBuffer::default();
        as_progress(rustix::net::sendmsg(self, blocks, &mut control, SendFlags::DONTWAIT | SendFlags::NOSIGNAL))
    }

    /// Sends up to `length` bytes of a file from `offset` without copying them through this process.
    ///
    /// The one call that cannot be told to raise no signal. Programs of Rust ignore SIGPIPE unless they say otherwise; then a
    /// client that goes during a file ends the process.
    pub(crate) fn send_file(&self, file: &std::fs::File, offset: u64, length: usize) -> io::Result<usize> {
        let mut offset = offset;
        retry(|| rustix::fs::sendfile(self, file, Some(&mut offset), length).map_err(Into::into))
    }

    pub(crate) fn shutdown(&self, how: Shutdown) {
        // The peer may have gone already; then there is nothing to shut down.
        let _ = match self {
            Self::Tcp(stream) => stream.shutdown(how),
            Self::Unix(stream) => stream.shutdown(how),
        };
    }

    pub(crate) fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_nonblocking(nonblocking),
            Self::Unix(stream) => stream.set_nonblocking(nonblocking),
        }
    }

    /// Makes the connection end in a reset instead of a proper end.
    pub(crate) fn reset_on_close(&self) {
        // Not for Unix sockets; there is nothing better to do then.
        let _ = rustix::net::sockopt::set_socket_linger(self, Some(std::time::Duration::ZERO));
    }

    /// Ends the connection in a reset, at once: also if others hold on to its descriptor.
    pub(crate) fn reset(&self) {
        // Not for Unix sockets. Where the system knows no such thing, the reset comes with the last descriptor.
        if let Self::Tcp(stream) = self {
            let _ = rustix::net::connect_unspec(stream);
        }
    }

    /// Whether both directions are closed, without waiting. A peer that has only finished sending still reads.
    pub(crate) fn is_cut(&self) -> bool {
        // These are reported without being asked for, again and again; the error of a socket only once.
        let mut fds = [PollFd::new(self, PollFlags::empty())];
        let found = rustix::event::poll(&mut fds, Some(&Timespec::default()));
        found.is_ok() && fds[0].revents().intersects(PollFlags::HUP | PollFlags::ERR)
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }
}

/// A signal is no reason to give up (GW-REF-17).
fn retry<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// A full send buffer is no error, but no progress either.
fn as_progress(result: rustix::io::Result<usize>) -> io::Result<usize> {
    match result {
        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(0),
        result => result.map_err(Into::into),
    }
}
