//! A socket that listens already when the program starts: standard input, as inetd and systemd can hand it over.
//!
//! Whoever made the socket keeps it, so that those who connect while the program is started anew wait and are not refused.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};

/// What stands for it in place of an address.
pub(crate) const NAME: &str = "stdin";

/// A socket that listens.
pub(crate) enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Takes standard input as a socket.
///
/// # Errors
/// If it is none, or a connection.
pub(crate) fn socket() -> io::Result<Socket> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("cannot listen on {NAME}: {error}"));
    open(std::io::stdin().as_fd().try_clone_to_owned().map_err(named)?).map_err(named)
}

fn open(socket: OwnedFd) -> io::Result<Socket> {
    let tcp = TcpListener::from(socket);
    let (socket, connected) = if tcp.local_addr().is_ok() {
        let stream = TcpStream::from(OwnedFd::from(tcp.try_clone()?));
        (Socket::Tcp(tcp), stream.peer_addr().is_ok())
    } else {
        let unix = UnixListener::from(OwnedFd::from(tcp));
        unix.local_addr()?;
        let stream = UnixStream::from(OwnedFd::from(unix.try_clone()?));
        (Socket::Unix(unix), stream.peer_addr().is_ok())
    };
    // What inetd hands over for each client cannot accept any.
    if connected { Err(io::Error::new(io::ErrorKind::InvalidInput, "it is a connection")) } else { Ok(socket) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_listens_is_taken_and_nothing_else() {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = tcp.local_addr().unwrap();
        let connection = TcpStream::connect(address).unwrap();
        assert!(open(connection.into()).is_err_and(|error| error.to_string() == "it is a connection"));
        assert!(matches!(open(tcp.into()), Ok(Socket::Tcp(tcp)) if tcp.local_addr().unwrap() == address));

        let (one, _other) = UnixStream::pair().unwrap();
        assert!(open(one.into()).is_err_and(|error| error.to_string() == "it is a connection"));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let unix = UnixListener::bind(&path).unwrap();
        assert!(matches!(open(unix.into()), Ok(Socket::Unix(unix))
            if unix.local_addr().unwrap().as_pathname() == Some(path.as_path())));

        assert!(open(std::fs::File::open("/dev/null").unwrap().into()).is_err());
    }
}
