//! One response: hands out `start_response`, drives the body, frames what it yields.

use std::io::{self, Write};
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use gateway_spec::{
    Application, Body, Calls, Connection, Environ, Error, FileBody, Misuse, StartResponse, Status, Version,
    check_header,
};

use crate::guard::{Guarded, guarded};
use crate::h1::Reject;
use crate::h1::date::Add;
use crate::h1::response::{self, Ending, Facts, Framing};
use crate::head_cache::{HeadCache, Started};
use crate::input::{BodySource, Remainder};
use crate::wire::Wire;

/// Blocks up to this size are copied behind the head, so that one buffer goes out in one call.
const COPIED: usize = 16 * 1024;

/// Held-back answers are sent when there are so many bytes of them.
const HELD: usize = 64 * 1024;

/// How long a body that says *nothing yet* is left alone, if it does not wake the server (see `Blocks::set_waker`).
const ASK_AGAIN: Duration = Duration::from_millis(20);

/// For the first empty blocks in a row the pause is shorter: a middleware that gathers or compresses yields one now and
/// then and has the next block at once (GW-MW-03).
fn pause(empty_blocks: u32) -> Duration {
    match empty_blocks {
        0..=2 => Duration::ZERO,
        n => Duration::from_millis(1 << (n - 3).min(5)).min(ASK_AGAIN),
    }
}

/// The server's side of one response.
pub(crate) struct Response<'c> {
    wire: &'c Wire,
    /// The request's body, if it has one.
    body: Option<&'c Arc<BodySource>>,
    heads: &'c mut HeadCache,
    /// Bytes of this response that are not sent.
    out: &'c mut Vec<u8>,
    version: Version,
    head_request: bool,
    calls: Calls,
    started: Started,
    /// Set when the head goes out.
    framing: Option<Framing>,
    /// Whether the connection can live on after this response.
    pub(crate) keep: bool,
    /// Whether further requests are there already, so that this answer can go out with the next one.
    more_to_come: bool,
    /// Whether the application has returned its body.
    called: bool,
    /// The client cannot be written to.
    lost: Option<io::Error>,
    outcome: Outcome,
}

/// What became of a response.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) code: u16,
    pub(crate) bytes: u64,
    pub(crate) aborted: bool,
}

/// What is known of the request.
#[derive(Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) version: Version,
    pub(crate) head_request: bool,
    pub(crate) keep: bool,
    pub(crate) more_to_come: bool,
}

impl<'c> Response<'c> {
    pub(crate) fn new(
        wire: &'c Wire,
        body: Option<&'c Arc<BodySource>>,
        heads: &'c mut HeadCache,
        out: &'c mut Vec<u8>,
        asked: Asked,
    ) -> Self {
        out.clear();
        Self {
            wire,
            body,
            heads,
            out,
            version: asked.version,
            head_request: asked.head_request,
            calls: Calls::new(),
            started: Started { code: 0, declared: None, add: Add::BOTH },
            framing: None,
            keep: asked.keep,
            more_to_come: asked.more_to_come,
            called: false,
            lost: None,
            outcome: Outcome::default(),
        }
    }

    /// Calls the application.
    pub(crate) fn call(&mut self, application: &dyn Application, environ: &mut Environ<'_>) -> Result<Body, Error> {
        let result = guarded(|| application.call(environ, self));
        self.called = true;
        result
    }

    /// Sends what the application returned; the environ is gone by now, and its input unless it was taken.
    pub(crate) fn send(mut self, result: Result<Body, Error>) -> (Outcome, bool, Option<io::Error>) {
        if let Err(error) = result.and_then(|body| self.send_body(body)) {
            self.fail(&*error);
        }
        let Self { keep, lost, outcome, framing, .. } = self;
        debug_assert!(framing.is_some() || outcome.code == 0);
        (outcome, keep, lost)
    }

    /// Drives the body to its end. It is dropped here in any case, and that is `close()`.
    fn send_body(&mut self, body: Body) -> Result<(), Error> {
        let body = match body.into_block() {
            Ok(block) => {
                let allowed = self.calls.yielded(block.len())?;
                self.note_excess(allowed, block.len());
                let complete = self.calls.end();
                if self.framing.is_none() {
                    if block.is_empty() {
                        complete.clone()?; // nothing was sent: a misuse can still become a 500
                    }
                    self.commit(self.length_of_whole(block.len() as u64));
                }
                self.put(&block[..allowed]);
                return self.finish(complete);
            }
            Err(body) => body,
        };
        match body.into_file() {
            Ok(file) => self.send_file(file),
            Err(body) => self.send_blocks(body),
        }
    }

    fn send_blocks(&mut self, body: Body) -> Result<(), Error> {
        let mut body = Guarded::new(body);
        let (mut waker, mut empty_blocks) = (None, 0);
        loop {
            self.check_wire()?;
            if self.calls.is_complete() {
                break; // GW-CL-02: also before the first block, if `write` has sent it all or there is nothing to send
            }
            let Some(block) = body.next(self)? else { break };
            if block.is_empty() {
                empty_blocks += 1;
                self.wait_for(body.get(), &mut waker, pause(empty_blocks));
                continue;
            }
            empty_blocks = 0;
            let allowed = self.calls.yielded(block.len())?;
            self.note_excess(allowed, block.len());
            if self.framing.is_none() {
                let rest = body.get().and_then(|body| body.len());
                let known = rest.map(|rest| rest.saturating_add(block.len() as u64));
                self.commit(known);
                if let Some(Framing::Length(length)) = self.framing {
                    self.calls.announce(length);
                }
            }
            if self.is_without_content() {
                break; // the head is known, and there is nothing else to know (GW-DEF-09)
            }
            self.put(&block[..allowed]);
            self.push();
        }
        if let Err(error) = body.close() {
            self.log(&error.to_string()); // the response does not suffer from it (C-22)
        }
        let complete = self.calls.end();
        if self.framing.is_none() {
            complete.clone()?;
            self.commit(self.length_of_whole(0));
        }
        self.finish(complete)
    }

    fn send_file(&mut self, mut file: FileBody) -> Result<(), Error> {
        let length = file.remaining();
        let allowed = self.calls.yielded(usize::try_from(length).unwrap_or(usize::MAX))? as u64;
        if length == 0 && self.framing.is_none() {
            self.calls.end()?;
        }
        self.commit(self.length_of_whole(length));
        if self.is_without_content() || length == 0 {
            let complete = self.calls.end();
            return self.finish(complete);
        }
        if self.framing == Some(Framing::Chunked) {
            // Only after a `write`; then the length is not known to the client.
            while let Some(block) = file.next_block()? {
                self.check_wire()?;
                self.put(&block);
                self.push();
            }
            let complete = self.calls.end();
            return self.finish(complete);
        }
        self.push();
        let complete = self.calls.end();
        if self.lost.is_none() {
            match self.wire.write_file(file.file(), file.offset(), allowed) {
                Ok(sent) => {
                    self.outcome.bytes += sent;
                    if sent < allowed {
                        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file has become shorter").into());
                    }
                }
                Err(error) => self.lost = Some(error),
            }
        }
        self.finish(complete)
    }

    /// Waits until a body that has nothing yet may have something.
    fn wait_for(&mut self, body: Option<&mut Body>, waker: &mut Option<Waker>, pause: Duration) {
        struct Unpark(Thread);
        impl Wake for Unpark {
            fn wake(self: Arc<Self>) {
                self.0.unpark();
            }
        }
        if pause.is_zero() {
            thread::yield_now();
            return;
        }
        // What was written before must not wait as well.
        self.push();
        let waker = waker.get_or_insert_with(|| Arc::new(Unpark(thread::current())).into());
        if let Some(body) = body {
            body.set_waker(waker);
        }
        if self.wire.client_gone() {
            self.lost = Some(io::ErrorKind::BrokenPipe.into());
            return;
        }
        thread::park_timeout(pause);
    }

    /// What the length of a whole body says about the response. Nothing, for a `HEAD` that was answered with no bytes:
    /// a `GET` may have some (H1-NOB-03).
    fn length_of_whole(&self, length: u64) -> Option<u64> {
        (length > 0 || !self.head_request).then_some(length)
    }

    fn is_without_content(&self) -> bool {
        self.head_request || matches!(self.started.code, 204 | 205 | 304)
    }

    fn note_excess(&self, allowed: usize, length: usize) {
        if allowed < length && !self.is_without_content() {
            self.log(&format!("GW-CL-01: the body goes past its length; {} bytes were cut", length - allowed));
        }
    }

    /// The head goes out: chooses the framing, given the length of the body if that is known.
    fn commit(&mut self, known: Option<u64>) {
        if self.framing.is_some() {
            return;
        }
        let Started { code, declared, add } = self.started;
        let facts = Facts { version: self.version, head_request: self.head_request, code, declared, known };
        let framing = Framing::choose(&facts);
        self.framing = Some(framing);
        self.outcome.code = code;
        if let Some(body) = self.body {
            self.settle_input(body);
        }
        self.keep &= framing != Framing::Close && !self.wire.is_closing();
        let described = if code == 304 { declared } else { declared.or(known) };
        let ending = Ending { framing, described, code, version: self.version, keep: self.keep };
        let server = self.wire.config.server_header.as_deref();
        self.out.extend_from_slice(self.heads.end(ending, self.wire.clock.unix(), server, add));
    }

    /// The head of the answer goes out: no 100 may follow, and what is left of the request's body decides whether the
    /// connection can be kept (H1-CONT-05, H1-CON-04).
    fn settle_input(&mut self, body: &Arc<BodySource>) {
        // A body that holds the input is about to read it. Whether a client that waits for a 100 sends what is to be read,
        // nobody can tell.
        let will_be_read = self.called && Arc::strong_count(body) > 1;
        if body.forget_continue() || (body.remainder() == Remainder::Unreadable && !will_be_read) {
            self.keep = false;
        }
    }

    /// Adds content to what goes out next; large blocks go at once.
    fn put(&mut self, content: &[u8]) {
        if content.is_empty() || self.is_without_content() {
            return;
        }
        self.outcome.bytes += content.len() as u64;
        let chunked = self.framing == Some(Framing::Chunked);
        if chunked {
            response::write_chunk_size(self.out, content.len());
        }
        if content.len() <= COPIED {
            self.out.extend_from_slice(content);
            if chunked {
                self.out.extend_from_slice(b"\r\n");
            }
        } else if self.lost.is_none() {
            let end: &[u8] = if chunked { b"\r\n" } else { b"" };
            self.lost = self.wire.write(&[self.out, content, end]).err();
            self.out.clear();
        }
    }

    /// Sends what is there, without delay (GW-BUF-03).
    fn push(&mut self) {
        if !self.out.is_empty() && self.lost.is_none() && self.framing.is_some() {
            self.lost = self.wire.write(&[self.out]).err();
            self.out.clear();
        }
    }

    /// The body has ended. `complete` says whether it was as long as declared.
    fn finish(&mut self, complete: Result<(), Misuse>) -> Result<(), Error> {
        complete?;
        self.check_wire()?;
        if self.framing == Some(Framing::Chunked) {
            self.out.extend_from_slice(response::LAST_CHUNK);
        }
        if self.more_to_come && self.keep {
            if self.wire.hold(self.out) > HELD {
                self.lost = self.wire.flush().err();
            }
            self.out.clear();
        } else if !self.keep && !self.out.is_empty() && self.wire.config.on_response.is_none() {
            // The end of the stream follows without anything in between.
            self.lost = self.wire.write_last(self.out).err();
            self.out.clear();
        } else {
            self.push();
        }
        Ok(self.check_wire()?)
    }

    /// Whether all could be sent so far. What could not is missing for good: nothing is sent after it, whatever the
    /// application makes of the error.
    fn check_wire(&self) -> io::Result<()> {
        self.lost.as_ref().map_or(Ok(()), |error| Err(error.kind().into()))
    }

    /// Something went wrong: a whole answer if nothing was sent, else a cut connection, which the client can tell from
    /// a whole one: the last chunk or the last byte is missing.
    fn fail(&mut self, error: &(dyn std::error::Error + Send + Sync + 'static)) {
        let failure = self.body.and_then(|body| body.failure());
        // A client that has gone is no news (GW-REF-01).
        if !is_disconnect(error) && failure.is_none() {
            self.log(&error.to_string());
        }
        if self.framing.is_some() {
            self.push(); // what was yielded before the error, as far as it goes
            self.outcome.aborted = true;
            self.keep = false;
            if is_disconnect(error) {
                self.lost.get_or_insert_with(|| io::ErrorKind::BrokenPipe.into());
            } else if self.framing == Some(Framing::Close) {
                // Only a reset tells this end from the end of the body.
                self.wire.reset_on_close();
            }
            return;
        }
        let reject = failure.map_or(Reject::APPLICATION, |failure| failure.reject());
        self.answer(reject, failure.is_none());
    }

    /// Sends an answer of the server's own; `may_keep` says whether the connection can go on.
    fn answer(&mut self, reject: Reject, may_keep: bool) {
        self.out.clear();
        self.started.code = reject.code;
        self.outcome.code = reject.code;
        self.framing = Some(Framing::NoContent);
        if let Some(body) = self.body {
            self.settle_input(body);
        }
        self.keep &= may_keep && !self.wire.is_closing();
        let server = self.wire.config.server_header.as_deref();
        let lines = self.heads.date.lines(self.wire.clock.unix(), server, Add::BOTH);
        let own = response::Own { head_request: self.head_request, version: self.version, keep: self.keep, lines };
        self.outcome.bytes = response::write_reject(self.out, reject, &own);
        self.push();
    }

    fn log(&self, what: &str) {
        let errors = &self.wire.config.errors;
        errors.write(&format!("{}: {}\n", self.wire.peer.remote_addr(), what.replace(['\r', '\n'], " ")));
        errors.flush();
    }
}

impl StartResponse for Response<'_> {
    fn start_response(
        &mut self,
        status: Status,
        headers: &[(&str, &str)],
        exc_info: Option<Error>,
    ) -> Result<&mut dyn Write, Error> {
        self.started = self.heads.start(&mut self.calls, &status, headers, exc_info)?;
        if self.is_without_content() {
            self.calls.ignore_length();
        }
        Ok(self)
    }

    fn writer(&mut self) -> &mut dyn Write {
        self
    }

    fn early_hints(&mut self, headers: &[(&str, &str)]) -> Result<(), Error> {
        for (name, value) in headers {
            check_header(name, value)?;
        }
        if self.version == Version::Http11 && self.framing.is_none() {
            let mut hints = Vec::new();
            response::write_early_hints(&mut hints, headers);
            self.check_wire()?;
            self.lost = self.wire.write(&[&hints]).err();
            self.check_wire()?;
        }
        Ok(())
    }
}

/// The writer of `start_response`.
impl Write for Response<'_> {
    fn write(&mut self, content: &[u8]) -> io::Result<usize> {
        self.write_all(content).map(|()| content.len())
    }

    fn write_all(&mut self, content: &[u8]) -> io::Result<()> {
        if content.is_empty() {
            return Ok(()); // C-03: does not send the head
        }
        self.check_wire()?;
        self.calls.written(content.len()).map_err(io::Error::other)?;
        self.commit(None);
        self.put(content);
        self.push();
        self.check_wire()
    }

    /// There is nothing to flush: each write is sent before it returns (GW-WR-02).
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether the error is only that the client has gone.
fn is_disconnect(error: &(dyn std::error::Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| {
        matches!(
            error.kind(),
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted
        )
    })
}
