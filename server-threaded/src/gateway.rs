//! One response: hands out `start_response`, drives the body, frames what it yields.

use std::io::{self, Write};
use std::mem;
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use gateway_spec::{
    Application, Body, Calls, Connection, Environ, Error, FileBody, Input, Misuse, Request, StartResponse, Status,
    Version, check_header,
};

use crate::guard::{Guarded, guarded, guarded_call};
use crate::h1::Reject;
use crate::h1::date::Add;
use crate::h1::response::{self, Facts, Framing};
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
    pub(crate) lost: Option<io::Error>,
    pub(crate) outcome: Outcome,
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
        asked: Asked,
    ) -> Self {
        Self {
            wire,
            body,
            heads,
            version: asked.version,
            head_request: asked.head_request,
            calls: Calls::new(),
            started: Started::NOTHING,
            framing: None,
            keep: asked.keep,
            more_to_come: asked.more_to_come,
            called: false,
            lost: None,
            outcome: Outcome::default(),
        }
    }

    /// Calls the application, and drops what it and others have put into the environ.
    #[inline(always)]
    pub(crate) fn call(
        &mut self,
        application: &dyn Application,
        request: &Request<'_>,
        input: Input,
    ) -> Result<Body, Error> {
        let mut environ = Environ::new(request, input);
        let result = guarded(|| application.call(&mut environ, self));
        self.called = true;
        if !environ.needs_drop() {
            mem::forget(environ);
            return result;
        }
        // What middleware has added may panic when it is dropped.
        let dropped = guarded_call(|| drop(environ));
        match (result, dropped) {
            (Ok(body), Err(error)) => {
                drop(Guarded::new(body)); // which may panic as well
                Err(error)
            }
            (result, _) => result,
        }
    }

    /// Sends what the application returned; the environ is gone by now, and its input unless it was taken.
    #[inline(always)]
    pub(crate) fn send(&mut self, result: Result<Body, Error>) {
        if let Err(error) = result.and_then(|body| self.send_body(body)) {
            self.fail(&*error);
        }
        if self.framing == Some(Framing::Close) {
            self.wire.set_tells_end(false); // it is there, or the connection is reset
        }
    }

    /// Drives the body to its end. It is dropped here in any case, and that is `close()`.
    #[inline(always)]
    fn send_body(&mut self, body: Body) -> Result<(), Error> {
        match body.into_block() {
            Ok(block) => self.send_block(&block),
            Err(body) => self.send_stream(body),
        }
    }

    /// The most usual response: nothing, or one block.
    #[inline(always)]
    fn send_block(&mut self, block: &[u8]) -> Result<(), Error> {
        if !self.calls.end_with(block.len()) {
            return self.send_unusual_block(block);
        }
        let mut output = self.wire.output();
        let length = block.len() as u64;
        self.write_head(&mut output, Some(length));
        if self.framing == Some(Framing::Length(length)) && block.len() <= COPIED {
            self.outcome.bytes = length;
            output.extend_from_slice(block);
        } else {
            self.put(&mut output, block);
        }
        self.finish(&mut output, Ok(()))
    }

    /// A block behind others, or of another length than was declared; or none.
    #[inline(never)]
    fn send_unusual_block(&mut self, block: &[u8]) -> Result<(), Error> {
        let allowed = self.calls.yielded(block.len())?;
        if allowed < block.len() {
            self.note_excess(block.len() - allowed);
        }
        let complete = self.calls.end();
        if self.framing.is_none() && block.is_empty() {
            complete.clone()?; // nothing was sent: a misuse can still become a 500
        }
        let mut output = self.wire.output();
        self.commit(&mut output, self.length_of_whole(block.len() as u64));
        self.put(&mut output, &block[..allowed]);
        self.finish(&mut output, complete)
    }

    #[inline(never)]
    fn send_stream(&mut self, body: Body) -> Result<(), Error> {
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
                self.wait_for(&mut body, &mut waker, pause(empty_blocks))?;
                continue;
            }
            empty_blocks = 0;
            let allowed = self.calls.yielded(block.len())?;
            if allowed < block.len() {
                self.note_excess(block.len() - allowed);
            }
            let rest = if self.framing.is_none() { body.len()? } else { None };
            let mut output = self.wire.output();
            if self.framing.is_none() {
                let known = rest.map(|rest| rest.saturating_add(block.len() as u64));
                self.commit(&mut output, known);
                if let Some(Framing::Length(length)) = self.framing {
                    self.calls.announce(length);
                }
            }
            if self.is_without_content() {
                break; // the head is known, and there is nothing else to know (GW-DEF-09)
            }
            self.put(&mut output, &block[..allowed]);
            self.push(&mut output);
        }
        if let Err(error) = body.close() {
            self.log(&error.to_string()); // the response does not suffer from it (C-22)
        }
        let complete = self.calls.end();
        if self.framing.is_none() {
            complete.clone()?;
        }
        let mut output = self.wire.output();
        self.commit(&mut output, self.length_of_whole(0));
        self.finish(&mut output, complete)
    }

    fn send_file(&mut self, mut file: FileBody) -> Result<(), Error> {
        let length = file.remaining();
        let allowed = self.calls.yielded(usize::try_from(length).unwrap_or(usize::MAX))? as u64;
        if allowed < length {
            self.note_excess(usize::try_from(length - allowed).unwrap_or(usize::MAX));
        }
        if length == 0 && self.framing.is_none() {
            self.calls.end()?;
        }
        let mut output = self.wire.output();
        self.commit(&mut output, self.length_of_whole(length));
        if self.is_without_content() || length == 0 {
            let complete = self.calls.end();
            return self.finish(&mut output, complete);
        }
        self.push(&mut output);
        let complete = self.calls.end();
        let mut left = allowed;
        // Chunked only after a `write`; then the length is not known to the client.
        if self.framing != Some(Framing::Chunked) && self.lost.is_none() {
            let mut sent = 0;
            self.lost = self.wire.write_file(file.file(), file.offset(), allowed, &mut sent).err();
            self.outcome.bytes += sent;
            left -= sent;
            file.advance(sent);
        }
        // What the system has not sent by itself is read: it may not be able to with this kind of file. If the file has failed,
        // this fails as well, and that is the application's error.
        while left > 0 {
            self.check_wire()?;
            let Some(mut block) = file.next_block()? else { break };
            block.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            left -= block.len() as u64;
            self.put(&mut output, &block);
            self.push(&mut output);
        }
        self.finish(&mut output, complete)
    }

    /// Waits until a body that has nothing yet may have something.
    fn wait_for(&mut self, body: &mut Guarded, waker: &mut Option<Waker>, pause: Duration) -> Result<(), Error> {
        struct Unpark(Thread);
        impl Wake for Unpark {
            fn wake(self: Arc<Self>) {
                self.0.unpark();
            }
        }
        if pause.is_zero() {
            thread::yield_now();
            return Ok(());
        }
        // What was written before must not wait as well.
        self.push(&mut self.wire.output());
        let waker = waker.get_or_insert_with(|| Arc::new(Unpark(thread::current())).into());
        body.set_waker(waker)?;
        if self.wire.client_gone() {
            self.lost = Some(io::ErrorKind::BrokenPipe.into());
        } else {
            thread::park_timeout(pause);
        }
        Ok(())
    }

    /// What the length of a whole body says about the response. Nothing, for a `HEAD` that was answered with no bytes:
    /// a `GET` may have some (H1-NOB-03).
    fn length_of_whole(&self, length: u64) -> Option<u64> {
        (length > 0 || !self.head_request).then_some(length)
    }

    fn is_without_content(&self) -> bool {
        self.head_request || matches!(self.started.code, 204 | 205 | 304)
    }

    #[cold]
    fn note_excess(&self, excess: usize) {
        if !self.is_without_content() {
            self.log(&format!("GW-CL-01: the body goes past its length; {excess} bytes were cut"));
        }
    }

    /// The head goes out, if it has not: chooses the framing, given the length of the body if that is known.
    #[inline(never)]
    fn commit(&mut self, output: &mut Vec<u8>, known: Option<u64>) {
        if self.framing.is_none() {
            self.write_head(output, known);
        }
    }

    #[inline(always)]
    fn write_head(&mut self, output: &mut Vec<u8>, known: Option<u64>) {
        let Started { code, declared } = self.started;
        if self.lost.is_none() {
            self.outcome.code = code;
        }
        if let Some(body) = self.body {
            self.settle_input(body);
        }
        self.keep &= !self.wire.is_closing();
        let facts = Facts { version: self.version, head_request: self.head_request, code, declared, known };
        let server = self.wire.config.server_header.as_deref();
        let seconds = self.wire.clock.unix();
        let (framing, head) = self.heads.end(facts, self.keep, seconds, server);
        self.framing = Some(framing);
        output.extend_from_slice(head);
        if framing == Framing::Close {
            self.wire.set_tells_end(true);
            self.keep = false;
        }
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
    #[inline(never)]
    fn put(&mut self, output: &mut Vec<u8>, content: &[u8]) {
        if content.is_empty() || self.is_without_content() {
            return;
        }
        self.outcome.bytes += content.len() as u64;
        let chunked = self.framing == Some(Framing::Chunked);
        if chunked {
            response::write_chunk_size(output, content.len());
        }
        let end: &[u8] = if chunked { b"\r\n" } else { b"" };
        if content.len() > COPIED {
            self.push_with(output, [content, end]);
        } else {
            output.extend_from_slice(content);
            output.extend_from_slice(end);
        }
    }

    /// Sends what is there, without delay (GW-BUF-03).
    fn push(&mut self, output: &mut Vec<u8>) {
        if !output.is_empty() && self.framing.is_some() {
            self.push_with(output, [b""; 2]);
        }
    }

    /// Sends what is there and what comes behind it.
    fn push_with(&mut self, output: &mut Vec<u8>, blocks: [&[u8]; 2]) {
        if self.lost.is_none() {
            self.lost = self.wire.send(output, blocks).err();
        }
        output.clear();
    }

    /// The body has ended. `complete` says whether it was as long as declared.
    #[inline(always)]
    fn finish(&mut self, output: &mut Vec<u8>, complete: Result<(), Misuse>) -> Result<(), Error> {
        complete?;
        self.check_wire()?;
        if self.framing == Some(Framing::Chunked) {
            output.extend_from_slice(response::LAST_CHUNK);
        }
        if self.more_to_come && self.keep && output.len() <= HELD {
            self.wire.hold();
        } else if !self.keep && self.wire.config.on_response.is_none() {
            // The end of the stream follows without anything in between.
            self.lost = self.wire.send_last(output).err();
        } else if !output.is_empty() {
            self.lost = self.wire.send_output(output).err();
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
        // A client that has gone is no news (GW-REF-01). Another connection of the application is another matter.
        let is_news = failure.is_none() && !self.lost.as_ref().is_some_and(|lost| is_kind(error, lost.kind()));
        if is_news {
            self.log(&error.to_string());
        }
        if self.framing.is_some() {
            self.push(&mut self.wire.output()); // what was yielded before the error, as far as it goes
            self.outcome.aborted = true;
            self.keep = false;
            if self.framing == Some(Framing::Close) {
                // Only a reset tells this end from the end of the body.
                self.wire.reset_on_close();
            }
            return;
        }
        if self.lost.is_some() {
            // Nobody is there to be answered.
            self.outcome.aborted = true;
            self.keep = false;
            return;
        }
        let reject = failure.map_or(Reject::APPLICATION, |failure| failure.reject());
        self.answer(reject, failure.is_none());
    }

    /// Sends an answer of the server's own; `may_keep` says whether the connection can go on.
    fn answer(&mut self, reject: Reject, may_keep: bool) {
        self.started.code = reject.code;
        self.outcome.code = reject.code;
        self.framing = Some(Framing::NoContent(None));
        if let Some(body) = self.body {
            self.settle_input(body);
        }
        self.keep &= may_keep && !self.wire.is_closing();
        let server = self.wire.config.server_header.as_deref();
        let lines = self.heads.date.lines(self.wire.clock.unix(), server, Add::BOTH);
        let own = response::Own { head_request: self.head_request, version: self.version, keep: self.keep, lines };
        let mut output = self.wire.output();
        self.outcome.bytes = response::write_reject(&mut output, reject, &own);
        self.push(&mut output);
        self.outcome.aborted = self.lost.is_some();
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
            self.lost = self.wire.write(&hints).err();
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
        let mut output = self.wire.output();
        self.commit(&mut output, None);
        self.put(&mut output, content);
        self.push(&mut output);
        self.check_wire()
    }

    /// There is nothing to flush: each write is sent before it returns (GW-WR-02).
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether the error is one of input and output, of this kind: what the connection has [failed](Response::check_wire) with.
fn is_kind(error: &(dyn std::error::Error + 'static), kind: io::ErrorKind) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == kind)
}
