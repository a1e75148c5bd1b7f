//! Listeners and streams: TCP and Unix sockets behind one face, none of them blocking.

use std::fmt;
use std::io::{self, IoSlice, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream as StdUnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use gateway_spec::Peer;
use mio::{Interest, Registry, Token};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::retry_on_intr;
use rustix::net::{RecvFlags, SendFlags, recv, send, sockopt};

/// How many clients may wait to be accepted, unless the system allows fewer. The standard library asks for few.
const QUEUE: i32 = 4096;

/// A socket that is listened on.
#[derive(Debug)]
pub struct Listener {
    kind: Kind,
    /// Whether the address was bound here, so that further sockets can share it.
    own: bool,
    /// The file of a Unix socket that was made here; it is removed when this is dropped.
    file: Option<SocketFile>,
}

#[derive(Debug)]
enum Kind {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LocalAddr {
    /// An IP address and port.
    Tcp(SocketAddr),
    /// The path of a Unix socket, if it has one.
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
        Self { kind: Kind::Tcp(listener), own: false, file: None }
    }
}

impl From<UnixListener> for Listener {
    fn from(listener: UnixListener) -> Self {
        Self { kind: Kind::Unix(listener), own: false, file: None }
    }
}

impl Listener {
    /// Listens on an address; see [`Config::bind`](crate::Config::bind).
    pub(crate) fn bind(address: &str) -> io::Result<Self> {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"));
        if let Some(path) = address.strip_prefix("unix:") {
            if path.is_empty() {
                return Err(named(io::Error::new(io::ErrorKind::InvalidInput, "a Unix socket needs a path")));
            }
            let (listener, file) = bind_unix(Path::new(path)).map_err(named)?;
            return Ok(Self { kind: Kind::Unix(listener), own: true, file: Some(file) });
        }
        let mut result = Err(io::ErrorKind::AddrNotAvailable.into());
        for addr in address.to_socket_addrs().map_err(named)? {
            // Bound without SO_REUSEPORT, so that an address that is taken is an error and not shared by accident.
            // Inherited by every connection, which saves a call for each. One answer is one write, so there is nothing that
            // Nagle's algorithm could merge; it would only wait.
            result = TcpListener::bind(addr).and_then(|listener| {
                sockopt::set_tcp_nodelay(&listener, true)?;
                rustix::net::listen(&listener, QUEUE)?;
                Ok(listener)
            });
            if result.is_ok() {
                break;
            }
        }
        Ok(Self { kind: Kind::Tcp(result.map_err(named)?), own: true, file: None })
    }

    /// Where it listens.
    pub(crate) fn local_addr(&self) -> io::Result<LocalAddr> {
        match &self.kind {
            Kind::Tcp(listener) => listener.local_addr().map(LocalAddr::Tcp),
            Kind::Unix(listener) => {
                listener.local_addr().map(|addr| LocalAddr::Unix(addr.as_pathname().map(Path::to_path_buf)))
            }
        }
    }

    /// A listener for each of `count` event loops. A TCP address that was bound here gets a socket for each, among which
    /// the kernel spreads the connections; any other socket is shared. The end of the loops is the end of listening, unless
    /// somebody else has the socket; the file is to be kept for as long.
    pub(crate) fn split(self, count: usize) -> io::Result<(Vec<LoopListener>, Option<SocketFile>)> {
        let mut listeners = Vec::with_capacity(count);
        for index in 0..count {
            listeners.push(match &self.kind {
                Kind::Tcp(listener) => {
                    let listener = if index > 0 && self.own {
                        share_port(listener)?
                    } else {
                        let listener = listener.try_clone()?;
                        if count > 1 && self.own {
                            sockopt::set_socket_reuseport(&listener, true)?;
                        }
                        listener
                    };
                    listener.set_nonblocking(true)?;
                    let listener = mio::net::TcpListener::from_std(listener);
                    if self.own { LoopListener::Tcp(listener) } else { LoopListener::Given(listener) }
                }
                Kind::Unix(listener) => {
                    let listener = listener.try_clone()?;
                    listener.set_nonblocking(true)?;
                    LoopListener::Unix(mio::net::UnixListener::from_std(listener))
                }
            });
        }
        Ok((listeners, self.file))
    }
}

/// One more socket that listens on the same port, by SO_REUSEPORT.
fn share_port(first: &TcpListener) -> io::Result<TcpListener> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with};
    let addr = first.local_addr()?;
    let family = if addr.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    if addr.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, sockopt::ipv6_v6only(first)?)?;
    }
    sockopt::set_socket_reuseaddr(&socket, true)?;
    sockopt::set_socket_reuseport(&socket, true)?;
    sockopt::set_tcp_nodelay(&socket, true)?;
    bind(&socket, &addr)?;
    listen(&socket, QUEUE)?;
    Ok(socket.into())
}

/// The file of a Unix socket; removed when dropped, if it is still the same.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

/// Makes a Unix socket. A file that is left of a server that has gone is replaced; one that answers is not.
fn bind_unix(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    let stale = path.symlink_metadata().is_ok_and(|file| file.file_type().is_socket())
        && StdUnixStream::connect(path).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
    if stale {
        std::fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    let file = path.symlink_metadata()?;
    Ok((listener, SocketFile { path: path.to_path_buf(), device: file.dev(), inode: file.ino() }))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let same = |file: std::fs::Metadata| file.dev() == self.device && file.ino() == self.inode;
        if self.path.symlink_metadata().is_ok_and(same) {
            // If it cannot be removed, the next server replaces it.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// The listener of one event loop.
#[derive(Debug)]
pub(crate) enum LoopListener {
    Tcp(mio::net::TcpListener),
    /// Not made here: those who have come before may be waiting in its queue, and have inherited nothing.
    Given(mio::net::TcpListener),
    Unix(mio::net::UnixListener),
}

impl LoopListener {
    pub(crate) fn accept(&self) -> io::Result<(Stream, Peer)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, addr) = listener.accept()?;
                Ok((Stream::Tcp(stream), Peer::tcp(addr)))
            }
            Self::Given(listener) => {
                let (stream, addr) = listener.accept()?;
                // It fails only on a connection that is over.
                let _ = stream.set_nodelay(true);
                Ok((Stream::Tcp(stream), Peer::tcp(addr)))
            }
            Self::Unix(listener) => Ok((Stream::Unix(listener.accept()?.0), Peer::unix())),
        }
    }

    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        match self {
            Self::Tcp(listener) | Self::Given(listener) => registry.register(listener, token, Interest::READABLE),
            Self::Unix(listener) => registry.register(listener, token, Interest::READABLE),
        }
    }

    /// No more events of it. To close it is not enough, as others may have the same socket.
    pub(crate) fn deregister(&mut self, registry: &Registry) {
        // It fails only if it was not registered.
        let _ = match self {
            Self::Tcp(listener) | Self::Given(listener) => registry.deregister(listener),
            Self::Unix(listener) => registry.deregister(listener),
        };
    }
}

/// A connection.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(mio::net::TcpStream),
    Unix(mio::net::UnixStream),
}

/// What to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Read,
    Write,
}

macro_rules! either {
    ($self:expr, $stream:ident => $body:expr) => {
        match $self {
            Stream::Tcp($stream) => $body,
            Stream::Unix($stream) => $body,
        }
    };
}

impl Stream {
    // These two are the calls of every request. By way of the C library each would have two locked instructions more, for
    // a thread that may be cancelled in it, and none is here.
    //
    // And on the usual way of a request they are inlined, all the way to the loop: after a call into the kernel a processor
    // has forgotten where functions return to, so that each return from one that made the call is foretold wrongly.

    #[inline(always)]
    pub(crate) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(retry_on_intr(|| recv(self, &mut *buffer, RecvFlags::empty()))?.0)
    }

    #[inline(always)]
    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        Ok(retry_on_intr(|| send(self, bytes, SendFlags::NOSIGNAL))?)
    }

    /// As [`write`](Self::write), of what [`shutdown_write`](Self::shutdown_write) follows at once: what is less than a
    /// segment is kept for it, so that the last bytes and the end are one segment, and the client wakes up once.
    pub(crate) fn write_last(&self, bytes: &[u8]) -> io::Result<usize> {
        Ok(retry_on_intr(|| send(self, bytes, SendFlags::MORE | SendFlags::NOSIGNAL))?)
    }

    pub(crate) fn write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        uninterrupted(|| either!(self, stream => (&mut &*stream).write_vectored(slices)))
    }

    /// Tells the client that nothing more comes.
    pub(crate) fn shutdown_write(&self) -> io::Result<()> {
        either!(self, stream => stream.shutdown(Shutdown::Write))
    }

    /// Ends both directions, whoever has the stream.
    pub(crate) fn cut(&self) {
        // One that has ended already is cut already.
        let _ = either!(self, stream => stream.shutdown(Shutdown::Both));
    }

    /// Ends reading, for a thread that may be waiting for it.
    pub(crate) fn shutdown_read(&self) {
        let _ = either!(self, stream => stream.shutdown(Shutdown::Read));
    }

    /// Makes the close a reset: for a response without a length that must not look complete.
    pub(crate) fn reset_on_close(&self) {
        // Without it the client merely does not see the difference.
        let _ = sockopt::set_socket_linger(self, Some(Duration::ZERO));
    }

    /// Ends the connection in a reset, at once: also if others have it.
    pub(crate) fn reset(&self) {
        // Unix sockets know no reset.
        if let Self::Tcp(stream) = self {
            let _ = rustix::net::connect_unspec(stream);
        }
    }

    /// Waits until the connection is ready, for threads that may block; false if that took longer than `timeout`.
    pub(crate) fn wait(&self, direction: Direction, timeout: Duration) -> io::Result<bool> {
        let flags = match direction {
            Direction::Read => PollFlags::IN,
            Direction::Write => PollFlags::OUT,
        };
        let timeout = Timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        };
        match rustix::event::poll(&mut [PollFd::new(self, flags)], Some(&timeout)) {
            Ok(ready) => Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => Ok(true),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Whether the client has closed both directions or reset the connection (GW-DEF-12). One that has only finished
    /// sending has not gone (H1-CON-12).
    pub(crate) fn is_gone(&self) -> bool {
        let mut fds = [PollFd::new(self, PollFlags::empty())];
        // The two flags are reported whether asked for or not.
        rustix::event::poll(&mut fds, Some(&Timespec::default())).is_ok()
            && fds[0].revents().intersects(PollFlags::HUP | PollFlags::ERR)
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        either!(self, stream => stream.as_fd())
    }
}

fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    /// No part of an answer waits for the acknowledgement of another, also not for who has connected before the server serves.
    #[test]
    fn connections_send_at_once() {
        let given = Listener::from(TcpListener::bind("127.0.0.1:0").unwrap());
        for listener in [Listener::bind("127.0.0.1:0").unwrap(), given] {
            let LocalAddr::Tcp(addr) = listener.local_addr().unwrap() else { panic!("not TCP") };
            let _early = TcpStream::connect(addr).unwrap();
            let (listeners, _) = listener.split(1).unwrap();
            let _late = TcpStream::connect(addr).unwrap();
            for _ in 0..2 {
                let (stream, _) = listeners[0].accept().unwrap();
                assert!(sockopt::tcp_nodelay(&stream).unwrap());
            }
        }
    }
}
