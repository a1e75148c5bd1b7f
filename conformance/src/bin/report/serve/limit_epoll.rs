//! The bare event loop: one read, one write, and a wait that many connections share.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, accept_with, sockopt};

use super::fixed::{Counted, Fixed};
use super::{Settings, announce};

/// Stands for the listener among the numbers of connections.
const LISTENER: u64 = u64::MAX;
const BACKLOG: i32 = 4096;

pub(super) fn serve(settings: &Settings) -> io::Result<()> {
    let fixed = Arc::new(Fixed::new(&settings.scenario));
    let first = reusable_listener(settings.address)?;
    let address = first.local_addr()?;
    for _ in 1..settings.threads {
        let (listener, fixed) = (reusable_listener(address)?, Arc::clone(&fixed));
        thread::Builder::new().spawn(move || {
            if let Err(error) = event_loop(listener, &fixed) {
                eprintln!("limit-epoll: {error}");
            }
        })?;
    }
    announce(address)?;
    event_loop(first, &fixed)
}

/// A listener that shares its port with those of the other loops.
fn reusable_listener(address: SocketAddr) -> io::Result<TcpListener> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    sockopt::set_socket_reuseport(&socket, true)?;
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(TcpListener::from(socket))
}

struct Connection {
    stream: TcpStream,
    /// The start of a request that did not arrive whole.
    partial: Vec<u8>,
    /// Bytes of answers that the socket did not take yet.
    owed: usize,
}

fn event_loop(listener: TcpListener, fixed: &Fixed) -> io::Result<()> {
    let queue = epoll::create(CreateFlags::CLOEXEC)?;
    let mut events: Vec<Event> = Vec::with_capacity(1024);
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut free: Vec<usize> = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    epoll::add(&queue, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
    loop {
        events.clear();
        match epoll::wait(&queue, spare_capacity(&mut events), None) {
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        for event in &events {
            let (data, flags) = (event.data, event.flags);
            if data.u64() == LISTENER {
                accept(&listener, &queue, &mut connections, &mut free)?;
                continue;
            }
            let index = data.u64() as usize;
            let Some(connection) = connections.get_mut(index).and_then(Option::as_mut) else {
                continue;
            };
            // An announced end needs the read that sees it; a short read needs no second one.
            let ends = flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
            if !matches!(connection.ready(fixed, &mut buffer, ends), Ok(true)) {
                connections[index] = None;
                free.push(index);
            }
        }
    }
}

fn accept(
    listener: &TcpListener,
    queue: &OwnedFd,
    connections: &mut Vec<Option<Connection>>,
    free: &mut Vec<usize>,
) -> io::Result<()> {
    loop {
        let stream = match accept_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
            Err(Errno::WOULDBLOCK) => return Ok(()),
            other => TcpStream::from(other?),
        };
        stream.set_nodelay(true)?;
        let index = free.pop().unwrap_or_else(|| {
            connections.push(None);
            connections.len() - 1
        });
        let interest = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(queue, &stream, EventData::new_u64(index as u64), interest)?;
        connections[index] = Some(Connection { stream, partial: Vec::new(), owed: 0 });
    }
}

impl Connection {
    /// Handles readiness; false when the client is done.
    fn ready(&mut self, fixed: &Fixed, buffer: &mut [u8], ends: bool) -> io::Result<bool> {
        self.write(fixed)?;
        loop {
            let count = match self.stream.read(buffer) {
                Ok(0) => return Ok(false),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let requests = if self.partial.is_empty() {
                let Counted { requests, consumed } = fixed.count(&buffer[..count]);
                self.partial.extend_from_slice(&buffer[consumed..count]);
                requests
            } else {
                self.partial.extend_from_slice(&buffer[..count]);
                let Counted { requests, consumed } = fixed.count(&self.partial);
                self.partial.drain(..consumed);
                requests
            };
            self.owed += fixed.length(requests);
            self.write(fixed)?;
            if count < buffer.len() && !ends {
                return Ok(true);
            }
        }
    }

    fn write(&mut self, fixed: &Fixed) -> io::Result<()> {
        while self.owed > 0 {
            match self.stream.write(fixed.rest(self.owed)) {
                Ok(count) => self.owed -= count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
