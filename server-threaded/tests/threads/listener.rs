//! A listener that listens no more.

use std::io::ErrorKind;
use std::net::{Shutdown, TcpListener};
use std::thread;

use server_threaded::Server;

use crate::support::hello;

/// To ask it again and again would be to spin: it is the end of the server, and said.
#[test]
fn it_is_the_end() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let holder = listener.try_clone().unwrap();
    let server = Server::from_listener(listener).unwrap();
    let running = thread::spawn(move || server.serve(hello));
    std::net::TcpStream::from(std::os::fd::OwnedFd::from(holder)).shutdown(Shutdown::Both).unwrap();
    assert_eq!(running.join().unwrap().unwrap_err().kind(), ErrorKind::InvalidInput);
}
