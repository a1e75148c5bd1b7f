//! What comes back: a [`Response`] as a whole, or a [`Stream`] of it.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant, SystemTime};

use gateway_spec::Bytes;

use super::cookies::Jar;
use super::exchange::Exchange;

/// How a server would tell the end of the content on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is no content: HEAD, 204, 205, 304, a tunnel.
    Empty,
    /// `Content-Length`, in bytes.
    Length(u64),
    /// Chunked coding (HTTP/1.1).
    Chunked,
    /// The end of the connection (HTTP/1.0).
    Close,
}

/// A whole response.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The reason phrase.
    pub reason: String,
    /// Names and values in order, as native strings: a character for each octet. With what a server adds.
    pub headers: Vec<(String, String)>,
    /// How the end of the content is told.
    pub framing: Framing,
    /// The content, in the blocks in which it was sent.
    pub blocks: Vec<Bytes>,
    /// Why the response was cut before its end, if it was; a client on a wire sees a broken connection.
    pub cut: Option<String>,
    /// What the application and the server have written to the errors stream.
    pub log: String,
    /// How often a body was closed: once, or never if the application returned none.
    pub closes: usize,
    /// Whether the application has asked for the request body, so that a waiting client is told to send it (GW-EXP-03).
    pub continued: bool,
    /// The headers of each 103 (Early Hints) that was sent.
    pub early_hints: Vec<Vec<(String, String)>>,
    /// The targets of the requests before this one, if redirects were followed.
    pub redirected_from: Vec<String>,
}

impl Response {
    /// The first value of a header, by its name in any letter case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.header_values(name).next()
    }

    /// All values of a header.
    pub fn header_values<'s>(&'s self, name: &str) -> impl Iterator<Item = &'s str> {
        self.headers.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The content as octets.
    #[must_use]
    pub fn body(&self) -> Vec<u8> {
        self.blocks.concat()
    }

    /// The content as text, with U+FFFD for what is not UTF-8.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body()).into_owned()
    }

    /// The response itself, if nothing went wrong: it was not cut and nothing was logged.
    ///
    /// # Panics
    /// Otherwise, with what was logged.
    #[must_use]
    #[track_caller]
    pub fn checked(self) -> Self {
        assert!(self.cut.is_none() && self.log.is_empty(), "status {}, cut {:?}: {}", self.status, self.cut, self.log);
        self
    }
}

/// What one step of a [`Stream`] gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pulled {
    /// A block that was sent.
    Block(Bytes),
    /// The body has said *nothing yet*: ask again.
    NothingYet,
    /// The response is whole.
    End,
    /// The response was cut, and why.
    Cut(String),
}

/// A response that is read block by block: the application runs only when it is asked.
///
/// Dropping it before the end is a client that leaves: the body is closed (GW-ITER-08).
pub struct Stream {
    exchange: Exchange,
    patience: Duration,
    jar: Option<(Arc<Mutex<Jar>>, String)>,
}

impl Stream {
    pub(super) const fn new(exchange: Exchange, patience: Duration, jar: Option<(Arc<Mutex<Jar>>, String)>) -> Self {
        Self { exchange, patience, jar }
    }

    /// One step: asks the body once, unless a block is waiting.
    pub fn pull(&mut self) -> Pulled {
        let pulled = self.exchange.pull();
        if let Some((head, _)) = &self.exchange.reply.sent
            && let Some((jar, path)) = self.jar.take()
        {
            let mut jar = jar.lock().unwrap_or_else(PoisonError::into_inner);
            for (name, value) in &head.headers {
                if name.eq_ignore_ascii_case("set-cookie") {
                    jar.store(value, &path, SystemTime::now());
                }
            }
        }
        pulled
    }

    /// The next block, waiting for it if the body says *nothing yet*; `None` at the end and after a cut.
    pub fn next_block(&mut self) -> Option<Bytes> {
        let deadline = Instant::now() + self.patience;
        loop {
            match self.pull() {
                Pulled::Block(block) => return Some(block),
                Pulled::End | Pulled::Cut(_) => return None,
                Pulled::NothingYet if Instant::now() >= deadline => {
                    self.exchange.leave("the client's patience is over")
                }
                Pulled::NothingYet => {
                    // Asked again when the body wakes us, or after a moment if it does not know how (GW-ITER-12).
                    self.exchange.set_waker(&Waker::from(Arc::new(Unpark(thread::current()))));
                    thread::park_timeout(Duration::from_millis(1));
                }
            }
        }
    }

    /// The status code, once the head was sent.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.exchange.reply.sent.as_ref().map(|(head, _)| head.status.code())
    }

    /// The first value of a header, once the head was sent.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let (head, _) = self.exchange.reply.sent.as_ref()?;
        head.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The client leaves: what is left of the response is not wanted.
    pub fn leave(&mut self) {
        self.exchange.leave("the client has left");
    }

    /// Reads the rest.
    #[must_use]
    pub fn finish(mut self) -> Response {
        let mut blocks = Vec::new();
        while let Some(block) = self.next_block() {
            blocks.push(block);
        }
        let reply = &mut self.exchange.reply;
        let (status, reason, headers, framing) = match reply.sent.take() {
            Some((head, framing)) => (head.status.code(), head.status.reason().to_owned(), head.headers, framing),
            // Cut before there was a head: nothing came at all.
            None => (0, String::new(), Vec::new(), Framing::Empty),
        };
        Response {
            status,
            reason,
            headers,
            framing,
            blocks,
            cut: self.exchange.cut.clone(),
            log: self.exchange.log.text(),
            closes: self.exchange.closes,
            continued: self.exchange.input.was_asked(),
            early_hints: std::mem::take(&mut reply.hints),
            redirected_from: Vec::new(),
        }
    }
}

impl Iterator for Stream {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        self.next_block()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.leave();
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
