//! A socket that listens already when the program starts: standard input, as inetd and systemd can hand it over.
//!
//! Whoever made the socket keeps it, so that those who connect while the program is started anew wait and are not refused.

use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;

use rustix::net::{AddressFamily, sockopt};

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
/// If it is none, or does not listen: a connection, such as inetd hands over for each client.
pub(crate) fn socket() -> io::Result<Socket> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("cannot listen on {NAME}: {error}"));
    open(std::io::stdin().as_fd().try_clone_to_owned().map_err(named)?).map_err(named)
}

fn open(socket: OwnedFd) -> io::Result<Socket> {
    let refused = |why: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    if !sockopt::socket_acceptconn(&socket)? {
        return refused("it is a socket that does not listen");
    }
    match sockopt::socket_domain(&socket)? {
        AddressFamily::INET | AddressFamily::INET6 => Ok(Socket::Tcp(socket.into())),
        AddressFamily::UNIX => Ok(Socket::Unix(socket.into())),
        _ => refused("it is neither a TCP nor a Unix socket"),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn what_listens_is_taken_and_nothing_else() {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = tcp.local_addr().unwrap();
        let connection = TcpStream::connect(address).unwrap();
        assert!(matches!(open(tcp.into()), Ok(Socket::Tcp(tcp)) if tcp.local_addr().unwrap() == address));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let unix = UnixListener::bind(&path).unwrap();
        assert!(matches!(open(unix.into()), Ok(Socket::Unix(unix))
            if unix.local_addr().unwrap().as_pathname() == Some(path.as_path())));

        let (one, other) = UnixStream::pair().unwrap();
        let stopped = TcpListener::bind("127.0.0.1:0").unwrap();
        rustix::net::shutdown(&stopped, rustix::net::Shutdown::Both).unwrap();
        for silent in [OwnedFd::from(connection), one.into(), other.into(), stopped.into()] {
            assert!(open(silent).is_err_and(|error| error.to_string() == "it is a socket that does not listen"));
        }
        assert!(open(std::fs::File::open("/dev/null").unwrap().into()).is_err());
    }
}
