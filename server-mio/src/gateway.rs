//! The gateway side of a connection: what an application is given, and what becomes of what it returns.

mod file;
mod start;

use std::any::Any;
use std::io;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use gateway_spec::{Body, Bytes, Calls, Error, FileBody, Misuse, Status};

use self::file::{SMALL_FILE, Small};
use crate::clock::Pace;
use crate::h1::heads::{Begun, Heads};
use crate::h1::response::{self, Delimiter, Facts, Lengths};
use crate::input::RequestBody;
use crate::output::{COPY, Output};
use crate::server::{Shared, State};
use crate::socket::Socket;

/// One response, from `start_response` to its end. It can wait in a connection while its client is slow.
#[derive(Debug)]
pub(crate) struct Exchange {
    calls: Calls,
    facts: Facts,
    /// The head while it can still be replaced.
    head: Begun,
    /// How the content ends, once the head is on its way.
    delimiter: Option<Delimiter>,
    /// Whether the connection can go on after it.
    pub(crate) keep_alive: bool,
    /// Whether the end is on its way.
    finished: bool,
    /// Whether it was cut before its end.
    pub(crate) aborted: bool,
    /// Why, if the application is not to blame.
    pub(crate) error: Option<io::Error>,
    /// Whether the body has said that it has nothing yet, and how often in a row.
    pub(crate) has_paused: bool,
    pub(crate) pauses: u8,
    /// For how many milliseconds the body was waited for.
    pub(crate) waited: u64,
    /// How many bytes of content were queued or sent.
    pub(crate) content: u64,
    /// How the client keeps up with `write`, and when it was last waited for.
    written: Option<(Pace, u64)>,
    /// The body of the request, if it has one.
    input: Option<Arc<RequestBody>>,
}

/// What is left of a response.
#[derive(Debug)]
pub(crate) enum Content {
    /// The application was not asked yet, or everything was handed over.
    Nothing,
    Body(Body),
    File(FileBody),
}

/// How far a response has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// It is over: all of it is sent or in the output.
    Over,
    /// The connection takes no more for now.
    Blocked,
    /// The body has nothing yet.
    Nothing,
    /// There is more to send at once, but others should have their turn.
    Yield,
}

/// Everything a response works with, besides itself.
pub(crate) struct Responder<'a> {
    pub(crate) exchange: &'a mut Exchange,
    pub(crate) out: &'a mut Output,
    pub(crate) socket: &'a Socket,
    pub(crate) shared: &'a Shared,
    pub(crate) heads: &'a mut Heads,
}

impl Exchange {
    pub(crate) const fn new(facts: Facts, keep_alive: bool, input: Option<Arc<RequestBody>>) -> Self {
        Self {
            calls: Calls::new(),
            facts,
            head: Begun::NOTHING,
            delimiter: None,
            keep_alive,
            finished: false,
            aborted: false,
            error: None,
            written: None,
            has_paused: false,
            pauses: 0,
            waited: 0,
            content: 0,
            input,
        }
    }

    /// Whether content was sent, as by `write`, or none will be.
    const fn has_content_or_drops_it(&self) -> bool {
        self.delimiter.is_some() || self.facts.drops_content()
    }

    /// Whether there is nothing to drop, as in the usual one. To ask is cheaper than to drop all that might be there.
    #[inline(always)]
    pub(crate) const fn owns_nothing(&self) -> bool {
        // All fields, so that a new one is thought of here.
        let Self {
            calls,
            head,
            error,
            input,
            facts: _,
            delimiter: _,
            keep_alive: _,
            finished: _,
            aborted: _,
            has_paused: _,
            pauses: _,
            waited: _,
            content: _,
            written: _,
        } = self;
        // Whoever has started, and was not refused, has no misuse to keep.
        calls.has_started() && head.owns_nothing() && error.is_none() && input.is_none()
    }

    /// Whether the response is whole with this block: see [`Calls::end_with`].
    #[inline]
    pub(crate) fn ends_with(&mut self, block: &Bytes) -> bool {
        self.calls.end_with(block.len())
    }

    /// Writes the head. `total` is the length of the content, if that is known. Returns the length that the head tells: what
    /// follows is to be held to it ([`Calls::announce`]).
    #[inline(always)]
    fn write_head(
        &mut self,
        out: &mut Vec<u8>,
        heads: &mut Heads,
        shared: &Shared,
        socket: &Socket,
        total: Option<u64>,
    ) -> Option<u64> {
        let known = Lengths { facts: self.facts, declared: self.head.declared, total, keep_alive: self.keep_alive };
        let server = shared.config.server_header.as_deref();
        let (delimiter, length) = heads.write(out, &self.head, known, socket.clock.second(), server);
        self.delimiter = Some(delimiter);
        if delimiter == Delimiter::Close {
            self.keep_alive = false;
            socket.set_tells_end();
        }
        length.filter(|_| delimiter == Delimiter::Length)
    }

    /// Whether an error of the application is the connection's, passed on.
    fn has_failed_with(&self, error: &Error) -> bool {
        let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
        // The latter is what further writes get.
        kind.is_some() && (kind == self.error.as_ref().map(io::Error::kind) || kind == Some(io::ErrorKind::BrokenPipe))
    }

    /// The status that was sent, or will be; zero if it was cut before.
    pub(crate) const fn code(&self) -> u16 {
        if self.delimiter.is_some() { self.facts.code } else { 0 }
    }
}

impl Responder<'_> {
    /// What the application returned, its only block or a body, becomes the content, and as much as possible of it is sent.
    /// A content that is not sent at once is put into `rest`.
    #[inline(never)]
    pub(crate) fn begin(
        &mut self,
        returned: Result<Result<Bytes, Body>, Error>,
        rest: &mut Option<Content>,
    ) -> Progress {
        if self.exchange.aborted {
            // A write has failed, whatever the application made of that: nothing can follow it.
            match returned {
                Ok(body) => self.close(&mut Content::Body(body.map_or_else(|body| body, Body::from))),
                // That the client has gone is no news; another error is.
                Err(error) if self.exchange.has_failed_with(&error) => {}
                Err(error) => self.report(&error),
            }
            return Progress::Over;
        }
        let body = match returned {
            Ok(body) => body,
            Err(error) => return self.fail(&error),
        };
        match body {
            Ok(block) => self.only_block(block),
            Err(body) => self.begin_stream(body, rest),
        }
    }

    fn begin_stream(&mut self, body: Body, rest: &mut Option<Content>) -> Progress {
        let content = match body.into_file() {
            Ok(file) if file.remaining() > SMALL_FILE && !self.exchange.has_content_or_drops_it() => {
                Content::File(file)
            }
            // Small, not sent at all, or behind what was written: read as any other body.
            Ok(file) => Content::Body(Body::from_blocks(Small(file))),
            Err(body) => Content::Body(body),
        };
        self.go_on(rest.insert(content))
    }

    /// Before other responses have their turn: a head that can still be replaced is kept.
    pub(crate) fn pause(&mut self) {
        if self.exchange.delimiter.is_none() {
            self.heads.keep(&mut self.exchange.head);
        }
    }

    /// Sends what can be sent now.
    pub(crate) fn go_on(&mut self, content: &mut Content) -> Progress {
        let progress = match content {
            Content::Nothing => self.flush_last(),
            Content::Body(body) => self.iterate(body),
            Content::File(file) => self.send_file(file),
        };
        if progress == Progress::Over {
            self.close(content);
        }
        progress
    }

    /// Sends the last of a response whose body is over.
    fn flush_last(&mut self) -> Progress {
        match self.out.flush(&self.socket.stream) {
            Ok((_, true)) => Progress::Over,
            Ok((_, false)) => Progress::Blocked,
            Err(error) => self.abort(error),
        }
    }

    /// Drops the body, which is `close()` (GW-ITER-08).
    pub(crate) fn close(&self, content: &mut Content) {
        let content = std::mem::replace(content, Content::Nothing);
        if let Err(panic) = catch_unwind(AssertUnwindSafe(move || drop(content))) {
            self.report(&panicked(panic));
        }
    }

    /// Nothing, or one block.
    fn only_block(&mut self, block: Bytes) -> Progress {
        let total = Some(block.len() as u64);
        if !block.is_empty()
            && let Err(misuse) = self.queue(block, true, total)
        {
            return self.fail(&misuse.into());
        }
        self.finish()
    }

    /// Queues the most usual response, which [has ended](Exchange::ends_with) with its only block: behind the other answers
    /// of its batch, if there are any.
    #[inline(always)]
    pub(crate) fn put_whole(&mut self, block: Bytes) {
        self.check_keep_alive(true);
        let Self { exchange, out, socket, shared, heads } = self;
        let (mut stash, front, stashed) = out.open();
        let is_stashed = stash.is_some();
        let bytes = stash.as_deref_mut().unwrap_or(front);
        let before = bytes.len();
        // It has ended: there is nothing to be held to the length.
        let _ = exchange.write_head(bytes, heads, shared, socket, Some(block.len() as u64));
        let is_whole = exchange.delimiter == Some(Delimiter::Length) && block.len() <= COPY;
        if is_whole {
            bytes.extend_from_slice(&block);
            exchange.content = block.len() as u64;
        }
        if is_stashed {
            *stashed += bytes.len() - before;
        }
        drop(stash);
        if !is_whole {
            self.put(block, true);
        }
    }

    fn iterate(&mut self, body: &mut Body) -> Progress {
        loop {
            // Each block is sent without delay before the next is asked for (GW-BUF-03, GW-ITER-02).
            match self.out.flush(&self.socket.stream) {
                Ok((_, true)) => {}
                Ok((_, false)) => return Progress::Blocked,
                Err(error) => return self.abort(error),
            }
            if self.shared.state() == State::Stopping || self.socket.is_stopped() {
                return self.abort(io::Error::new(io::ErrorKind::ConnectionAborted, "the server has stopped"));
            }
            if self.exchange.calls.is_complete() {
                return self.finish(); // GW-CL-02: also before the first block, if `write` has sent it all
            }
            // A body that knows its length lets the head tell it; one that knows that this was its last block lets the
            // end go with it.
            let before = self.socket.clock.now();
            let next = catch_unwind(AssertUnwindSafe(|| match body.next(self) {
                Some(Ok(block)) if !block.is_empty() => (Some(Ok(block)), body.len()),
                next => (next, None),
            }));
            self.exchange.waited += self.socket.clock.now() - before;
            if self.exchange.aborted {
                return Progress::Over; // a write has failed in it, as in `begin`
            }
            let (next, left) = next.unwrap_or_else(|panic| (Some(Err(panicked(panic).into())), None));
            let block = match next {
                None => return self.finish(),
                Some(Err(error)) => return self.fail(&error),
                Some(Ok(block)) if block.is_empty() => return Progress::Nothing,
                Some(Ok(block)) => block,
            };
            let total = left.map(|left| left.saturating_add(block.len() as u64));
            let last = left == Some(0);
            if let Err(error) = self.queue(block, last, total) {
                return self.fail(&error.into());
            }
            if last || self.exchange.calls.is_complete() || self.exchange.facts.drops_content() {
                return self.finish();
            }
        }
    }

    /// Queues a block, and the head before the first. `total` is the length of the whole body, if that is known.
    fn queue(&mut self, mut block: Bytes, last: bool, total: Option<u64>) -> Result<(), Misuse> {
        let allowed = self.exchange.calls.yielded(block.len())?;
        if allowed < block.len() {
            self.note_excess((block.len() - allowed) as u64);
            block.truncate(allowed); // what goes past the declared length is not sent (GW-CL-01)
        }
        self.commit(total, last);
        self.put(block, last);
        Ok(())
    }

    /// Queues a block, the head being there.
    fn put(&mut self, block: Bytes, last: bool) {
        let exchange = &mut *self.exchange;
        if exchange.facts.drops_content() || block.is_empty() {
            return;
        }
        exchange.content += block.len() as u64;
        let chunked = exchange.delimiter == Some(Delimiter::Chunked);
        exchange.finished = chunked && last;
        self.out.block(block, chunked, last);
    }

    /// Tells of bytes past the declared length, which are not sent (GW-CL-01, GW-DEF-07).
    #[cold]
    fn note_excess(&self, bytes: u64) {
        if !self.exchange.facts.drops_content() {
            self.report(&format!("GW-CL-01: the body goes past its length; {bytes} bytes were cut"));
        }
    }

    /// The body has ended, or is complete.
    fn finish(&mut self) -> Progress {
        if let Err(misuse) = self.exchange.calls.end() {
            return self.fail(&misuse.into());
        }
        self.commit(Some(0), true);
        let exchange = &mut *self.exchange;
        if exchange.delimiter == Some(Delimiter::Chunked) && !exchange.finished {
            self.out.front.extend_from_slice(b"0\r\n\r\n");
        }
        exchange.finished = true;
        Progress::Over
    }

    /// Puts the head into the output, if it is not there. `total` is the length of the content, if that is known;
    /// `complete` says that the application has nothing more to say, so that it will not read more of its input.
    #[inline]
    fn commit(&mut self, total: Option<u64>, complete: bool) {
        if self.exchange.delimiter.is_none() {
            self.write_head(total, complete);
        }
    }

    #[inline(never)]
    fn write_head(&mut self, total: Option<u64>, complete: bool) {
        self.check_keep_alive(complete);
        let told = self.exchange.write_head(&mut self.out.front, self.heads, self.shared, self.socket, total);
        if let Some(length) = told {
            // Also when the body has told it (GW-ITER-06).
            self.exchange.calls.announce(length);
        }
    }

    /// Decides whether the connection can go on after this response.
    #[inline(always)]
    fn check_keep_alive(&mut self, complete: bool) {
        let exchange = &mut *self.exchange;
        exchange.keep_alive &= !self.shared.is_draining();
        if let Some(input) = &exchange.input {
            exchange.keep_alive &= leaves_connection_usable(input, complete, self.shared.config.max_drain);
        }
    }

    /// The application has failed, or broke the contract: a response of the server's own if nothing was sent, else the
    /// connection is cut, so that nothing looks complete that is not (GW-ERH-05).
    pub(crate) fn fail(&mut self, error: &Error) -> Progress {
        let fault = self.exchange.input.as_ref().and_then(|input| input.try_lock().and_then(|body| body.fault()));
        if fault.is_none() {
            // What a client does is no news, and not for it to fill a log with.
            self.report(error);
        }
        if self.exchange.delimiter.is_some() {
            self.exchange.keep_alive = false;
            self.exchange.aborted = true;
            return Progress::Over;
        }
        let (status, text) = match fault {
            // The application could not do its work because of the client (GW-DEF-04).
            Some(reject) => {
                self.exchange.keep_alive = false;
                (reject.status(), reject.text())
            }
            None => (Status::INTERNAL_SERVER_ERROR, "the application has failed"),
        };
        self.refuse(&status, text);
        Progress::Over
    }

    /// A response of the server's own, in place of the application's. The connection may go on: this request has failed,
    /// and no other.
    fn refuse(&mut self, status: &Status, text: &str) {
        self.check_keep_alive(true);
        let exchange = &mut *self.exchange;
        exchange.facts.code = status.code();
        let server = self.shared.config.server_header.as_deref();
        let lines = self.heads.date.lines(self.socket.clock.second(), server);
        response::refusal(&mut self.out.front, status, text, exchange.facts, exchange.keep_alive, lines);
        exchange.delimiter = Some(Delimiter::Length);
        exchange.finished = true;
        exchange.content = if exchange.facts.head_only { 0 } else { text.len() as u64 + 1 };
    }

    /// The connection or the file has failed: nothing more can be sent.
    pub(crate) fn abort(&mut self, error: io::Error) -> Progress {
        self.exchange.error = Some(error);
        self.exchange.aborted = true;
        self.exchange.keep_alive = false;
        Progress::Over
    }

    /// Whether the end of an aborted response would look like the end of a whole one.
    pub(crate) fn looks_complete(&self) -> bool {
        self.exchange.aborted && self.exchange.delimiter == Some(Delimiter::Close)
    }

    fn report(&self, error: &dyn std::fmt::Display) {
        self.shared.config.errors.write(&format!("server-mio: {error}\n"));
    }
}

/// Whether, after a response that begins now, the next request can be found on the connection.
fn leaves_connection_usable(input: &RequestBody, complete: bool, max_drain: u64) -> bool {
    if input.continues.forget() {
        // The client was not told to send the body, and may or may not do so (H1-CONT-05).
        return false;
    }
    // Somebody else is reading at this moment: nobody knows where it will end.
    let Some(body) = input.try_lock() else { return false };
    let too_much = complete && body.remaining().is_some_and(|remaining| remaining > max_drain);
    body.fault().is_none() && !too_much
}

/// What a panic said.
#[cold]
pub(crate) fn panicked(panic: Box<dyn Any + Send>) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let said = format!("the application panicked: {}", text.unwrap_or("(no message)"));
    // What a program panics with may panic when it is dropped. Then what that panics with is not dropped at all.
    if let Err(another) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        mem::forget(another);
    }
    said
}
