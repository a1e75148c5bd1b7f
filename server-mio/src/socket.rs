//! [`Socket`]: the part of a connection that others may hold: the stream, and the questions an application may ask.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use crate::clock::{Clock, Pace, Patience};
use crate::transport::{Direction, Stream};

/// A connection's stream, shared by the loop, the input of the request and whoever asks whether the client has gone.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) stream: Stream,
    pub(crate) clock: Arc<Clock>,
    /// When the application should have answered, in milliseconds; zero if never.
    deadline: AtomicU64,
    /// Whether the end of the connection would be the end of the response in hand.
    tells_end: AtomicBool,
    /// Whether it was cut.
    stopped: AtomicBool,
    /// Whether it ends in a reset.
    resets: AtomicBool,
}

impl Socket {
    pub(crate) const fn new(stream: Stream, clock: Arc<Clock>) -> Self {
        let [tells_end, stopped, resets] = [const { AtomicBool::new(false) }; 3];
        Self { stream, clock, deadline: AtomicU64::new(0), tells_end, stopped, resets }
    }

    /// Notes that the end of the connection will be the end of the response in hand.
    pub(crate) fn set_tells_end(&self) {
        self.tells_end.store(true, Ordering::SeqCst);
    }

    /// Whether the end of the connection is that of the response.
    pub(crate) fn tells_end(&self) -> bool {
        self.tells_end.load(Ordering::SeqCst)
    }

    /// Cuts the connection of a thread that may be anywhere in the application.
    pub(crate) fn cut(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        if self.tells_end() {
            // A proper end would make the response look whole: its thread finds that it was stopped, and resets.
            self.reset_on_close();
            self.stream.shutdown_read();
        } else {
            self.stream.cut();
        }
    }

    /// Makes it end in a reset, once nobody has it any more.
    pub(crate) fn reset_on_close(&self) {
        self.resets.store(true, Ordering::SeqCst);
        self.stream.reset_on_close();
    }

    /// Ends it, although others still have it.
    pub(crate) fn end(&self) {
        if self.resets.load(Ordering::SeqCst) {
            self.stream.reset();
        } else {
            self.stream.cut();
        }
    }

    /// Something has gone wrong in an unforeseen way: nothing looks complete that is not.
    pub(crate) fn spoil(&self) {
        if self.tells_end() {
            self.reset_on_close();
        }
    }

    /// Whether it was cut, so that nothing more is to be sent.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    /// Sets what [`deadline`](gateway_spec::Connection::deadline) says; zero is never.
    pub(crate) fn set_deadline(&self, deadline: u64) {
        self.deadline.store(deadline, Ordering::Relaxed);
    }

    /// Blocks until the stream is ready.
    ///
    /// # Errors
    /// [`TimedOut`](io::ErrorKind::TimedOut) when patience ends before.
    pub(crate) fn wait(&self, direction: Direction, pace: &Pace, patience: Patience) -> io::Result<()> {
        let deadline = pace.deadline(patience);
        let left = self.clock.instant(deadline).saturating_duration_since(Instant::now());
        if self.stream.wait(direction, left)? {
            self.clock.advance();
            return Ok(());
        }
        Err(io::ErrorKind::TimedOut.into())
    }
}

impl gateway_spec::Connection for Socket {
    fn client_gone(&self) -> bool {
        self.is_stopped() || self.stream.is_gone()
    }

    fn deadline(&self) -> Option<Instant> {
        match self.deadline.load(Ordering::Relaxed) {
            0 => None,
            // The clock is a millisecond ahead, so that it is never zero.
            deadline => Some(self.clock.instant(deadline - 1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::net::{TcpListener, TcpStream};

    use super::*;

    /// A reset is not spoilt by whoever else has the socket at that moment: an end before it would look like a proper one.
    #[test]
    fn who_else_has_it_does_not_make_a_reset_an_end() {
        for resets in [true, false] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let stream = Stream::Tcp(mio::net::TcpStream::from_std(listener.accept().unwrap().0));
            let socket = Arc::new(Socket::new(stream, Arc::new(Clock::new())));
            let other = Arc::clone(&socket);
            if resets {
                socket.reset_on_close();
            }
            socket.end();
            drop(socket);
            if !resets {
                assert_eq!(client.read(&mut [0]).unwrap(), 0, "it ends although others have it");
            }
            if resets {
                assert_eq!(client.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::ConnectionReset);
            }
            drop(other);
        }
    }
}
