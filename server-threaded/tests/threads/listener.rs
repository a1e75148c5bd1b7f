//! A listener that listens no more, or never did.

use std::io::ErrorKind;
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::thread;

use server_threaded::Server;

use crate::support::{PATIENCE, Site, config, hello, ms};

/// To ask it again and again would be to spin: it is the end of the server, and said.
#[test]
fn it_is_the_end() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let holder = listener.try_clone().unwrap();
    let server = Server::from_listener(listener).unwrap();
    let running = thread::spawn(move || server.serve(hello));
    TcpStream::from(OwnedFd::from(holder)).shutdown(Shutdown::Both).unwrap();
    assert_eq!(running.join().unwrap().unwrap_err().kind(), ErrorKind::InvalidInput);
}

/// Whoever asks again and again who cannot be let in at all would spin, and hear of no stop.
#[test]
fn a_listener_that_lets_nobody_in_can_be_stopped() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = socket.local_addr().unwrap();
    // What comes here wakes the server, and cannot be accepted: EOPNOTSUPP, as of one connection.
    let mut config = config();
    config.shutdown_timeout = 10 * PATIENCE;
    let server = config.from_listener(TcpListener::from(OwnedFd::from(socket))).unwrap();
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    sender.send_to(b"x", addr).unwrap();
    let mut site = Site::of(server, hello);
    thread::sleep(ms(20)); // until it has noticed, mostly
    site.handle.shutdown();
    site.join().unwrap();
    assert_eq!(site.handle.stats().accepted, 0);
}
