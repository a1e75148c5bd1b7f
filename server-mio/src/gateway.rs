//! The gateway side of a connection: what an application is given, and what becomes of what it returns.

use std::any::Any;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use gateway_spec::{Body, Bytes, Calls, Error, FileBody, Misuse, StartResponse, Status, check_header, trim_blanks};

use crate::clock::Pace;
use crate::h1::date::Date;
use crate::h1::response::{self, Delimiter, End, Facts};
use crate::input::{RequestBody, patience};
use crate::output::Output;
use crate::server::Shared;
use crate::socket::Socket;
use crate::transport::Direction;

/// Files up to this size are read into a block behind the head; larger ones are sent by the kernel.
const SMALL_FILE: u64 = 16 * 1024;
/// How much of a file is sent before other connections have their turn.
const FILE_TURN: u64 = 1 << 20;

/// One response, from `start_response` to its end. It can wait in a connection while its client is slow.
#[derive(Debug)]
pub(crate) struct Exchange {
    calls: Calls,
    facts: Facts,
    /// The head while it can still be replaced: status line and the headers of the application.
    head: Vec<u8>,
    declared: Option<u64>,
    has_date: bool,
    has_server: bool,
    /// How the content ends, once the head is on its way.
    delimiter: Option<Delimiter>,
    /// Whether the connection can go on after it.
    pub(crate) keep_alive: bool,
    /// Whether the end is on its way.
    finished: bool,
    /// Whether it was cut before its end.
    pub(crate) aborted: bool,
    /// Whether the body has said that it has nothing yet, and how often in a row.
    pub(crate) has_paused: bool,
    pub(crate) pauses: u8,
    /// How many bytes of content were queued or sent.
    pub(crate) content: u64,
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
    pub(crate) date: &'a mut Date,
}

impl Exchange {
    pub(crate) const fn new(facts: Facts, keep_alive: bool, head: Vec<u8>, input: Option<Arc<RequestBody>>) -> Self {
        Self {
            calls: Calls::new(),
            facts,
            head,
            declared: None,
            has_date: false,
            has_server: false,
            delimiter: None,
            keep_alive,
            finished: false,
            aborted: false,
            has_paused: false,
            pauses: 0,
            content: 0,
            input,
        }
    }

    /// The status that was sent, or will be.
    pub(crate) const fn code(&self) -> u16 {
        self.facts.code
    }

    /// The end of it: gives back the buffer of the head.
    pub(crate) fn into_buffer(self) -> Vec<u8> {
        self.head
    }
}

impl Responder<'_> {
    /// What the application returned becomes the content, and as much as possible of it is sent.
    pub(crate) fn begin(&mut self, returned: Result<Body, Error>, content: &mut Content) -> Progress {
        let body = match returned {
            Ok(body) => body,
            Err(error) => return self.fail(&error),
        };
        if self.exchange.aborted {
            // A write has failed, whatever the application made of that: nothing can follow it.
            *content = Content::Body(body);
            self.close(content);
            return Progress::Over;
        }
        match body.into_block() {
            Ok(block) => self.only_block(block),
            Err(body) => {
                *content = match body.into_file() {
                    Ok(file) if file.remaining() > SMALL_FILE && !self.exchange.facts.drops_content() => {
                        Content::File(file)
                    }
                    // Small, or not sent at all: read as any other body.
                    Ok(file) => Content::Body(Body::from_blocks(Small(file))),
                    Err(body) => Content::Body(body),
                };
                self.go_on(content)
            }
        }
    }

    /// Sends what can be sent now.
    pub(crate) fn go_on(&mut self, content: &mut Content) -> Progress {
        let progress = match content {
            Content::Nothing => Progress::Over,
            Content::Body(body) => self.iterate(body),
            Content::File(file) => self.send_file(file),
        };
        if progress == Progress::Over {
            self.close(content);
        }
        progress
    }

    /// Drops the body, which is `close()` (GW-ITER-08).
    pub(crate) fn close(&self, content: &mut Content) {
        let content = std::mem::replace(content, Content::Nothing);
        if let Err(panic) = catch_unwind(AssertUnwindSafe(move || drop(content))) {
            self.report(&panicked(&*panic));
        }
    }

    /// The most usual response: nothing, or one block, and its length is known.
    fn only_block(&mut self, block: Bytes) -> Progress {
        if !block.is_empty()
            && let Err(error) = self.queue_only(block)
        {
            return self.fail(&error);
        }
        self.finish()
    }

    fn queue_only(&mut self, block: Bytes) -> Result<(), Error> {
        let total = Some(block.len() as u64);
        self.queue(block, true, total)
    }

    fn iterate(&mut self, body: &mut Body) -> Progress {
        loop {
            // Each block is sent without delay before the next is asked for (GW-BUF-03, GW-ITER-02).
            match self.out.flush(&self.socket.stream) {
                Ok((_, true)) => {}
                Ok((_, false)) => return Progress::Blocked,
                Err(error) => return self.abort(&error),
            }
            if self.exchange.calls.is_complete() {
                return self.finish(); // GW-CL-02: also before the first block, if `write` has sent it all
            }
            let next = catch_unwind(AssertUnwindSafe(|| body.next(self)));
            let block = match next.unwrap_or_else(|panic| Some(Err(panicked(&*panic).into()))) {
                None => return self.finish(),
                Some(Err(error)) => return self.fail(&error),
                Some(Ok(block)) if block.is_empty() => return Progress::Nothing,
                Some(Ok(block)) => block,
            };
            // A body that knows its length lets the head tell it; one that knows that this was its last block lets the
            // end go with it.
            let left = body.len();
            let total = left.map(|left| left + block.len() as u64);
            let last = left == Some(0);
            if let Err(error) = self.queue(block, last, total) {
                return self.fail(&error);
            }
            if last || self.exchange.calls.is_complete() || self.exchange.facts.drops_content() {
                return self.finish();
            }
        }
    }

    /// Queues a block, and the head before the first. `total` is the length of the whole body, if that is known.
    fn queue(&mut self, mut block: Bytes, last: bool, total: Option<u64>) -> Result<(), Error> {
        let allowed = self.exchange.calls.yielded(block.len())?;
        self.note_excess((block.len() - allowed) as u64);
        self.commit(total, last);
        let exchange = &mut *self.exchange;
        if exchange.facts.drops_content() || allowed == 0 {
            return Ok(());
        }
        block.truncate(allowed); // what goes past the declared length is not sent (GW-CL-01)
        exchange.content += allowed as u64;
        let chunked = exchange.delimiter == Some(Delimiter::Chunked);
        exchange.finished = chunked && last;
        self.out.block(block, chunked, last);
        Ok(())
    }

    /// Tells of bytes past the declared length, which are not sent (GW-CL-01, GW-DEF-07).
    fn note_excess(&self, bytes: u64) {
        if bytes > 0 && !self.exchange.facts.drops_content() {
            self.report(&format!("GW-CL-01: the body goes past its Content-Length; {bytes} bytes were cut"));
        }
    }

    fn send_file(&mut self, file: &mut FileBody) -> Progress {
        if self.exchange.delimiter.is_none() {
            let total = file.remaining();
            let length = usize::try_from(total).unwrap_or(usize::MAX);
            match self.exchange.calls.yielded(length) {
                Ok(allowed) => self.exchange.content = allowed as u64,
                Err(misuse) => return self.fail(&misuse.into()),
            }
            self.commit(Some(total), true);
            if self.exchange.content < total {
                // Sent up to the declared length (GW-CL-01): a part of the part.
                self.note_excess(total - self.exchange.content);
                return match part(file, self.exchange.content) {
                    Ok(shorter) => {
                        *file = shorter;
                        self.send_file(file)
                    }
                    Err(error) => self.abort(&error),
                };
            }
        }
        match self.out.flush(&self.socket.stream) {
            Ok((_, true)) => {}
            Ok((_, false)) => return Progress::Blocked,
            Err(error) => return self.abort(&error),
        }
        let mut turn = FILE_TURN;
        while file.remaining() > 0 {
            if turn == 0 {
                return Progress::Yield;
            }
            let mut offset = file.offset();
            let size = usize::try_from(file.remaining().min(turn)).unwrap_or(usize::MAX);
            match rustix::fs::sendfile(&self.socket.stream, file.file(), Some(&mut offset), size) {
                Ok(0) => {
                    return self.abort(&io::Error::new(io::ErrorKind::UnexpectedEof, "the file has become shorter"));
                }
                Ok(n) => {
                    file.advance(n as u64);
                    turn = turn.saturating_sub(n as u64);
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => return Progress::Blocked,
                // What cannot be sent by the kernel (a pipe, some file systems) is read.
                Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => match file.next_block() {
                    Ok(Some(block)) => {
                        turn = turn.saturating_sub(block.len() as u64);
                        self.out.block(block, false, false);
                        match self.out.flush(&self.socket.stream) {
                            Ok((_, true)) => {}
                            Ok((_, false)) => return Progress::Blocked,
                            Err(error) => return self.abort(&error),
                        }
                    }
                    Ok(None) => break,
                    Err(error) => return self.abort(&error),
                },
                Err(errno) => return self.abort(&errno.into()),
            }
        }
        self.finish()
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
    fn commit(&mut self, total: Option<u64>, complete: bool) {
        let exchange = &mut *self.exchange;
        if exchange.delimiter.is_some() {
            return;
        }
        let facts = exchange.facts;
        let length = match exchange.declared.or(total) {
            // Not invented: of content that is dropped only what the application said, or showed (H1-NOB-03, H1-NOB-04).
            None | Some(0) if exchange.declared.is_none() && facts.head_only => None,
            _ if facts.code == 304 => exchange.declared,
            length => length,
        };
        let delimiter = response::delimiter(facts, length);
        exchange.keep_alive &= delimiter != Delimiter::Close && !self.shared.is_draining();
        if let Some(input) = &exchange.input {
            exchange.keep_alive &= leaves_connection_usable(input, complete, self.shared.config.max_drain);
        }
        let server = self.shared.config.server_header.as_deref();
        let second = self.socket.clock.second();
        let own;
        let lines = if exchange.has_date || exchange.has_server {
            // The application's stand in place of the server's (GW-HDR-05).
            let mut text = String::new();
            if let Some(server) = server.filter(|_| !exchange.has_server) {
                text.extend(["Server: ", server, "\r\n"]);
            }
            if !exchange.has_date {
                text.extend(["Date: ", self.date.at(second), "\r\n"]);
            }
            own = text;
            own.as_str()
        } else {
            self.date.lines(second, server)
        };
        response::end(&mut exchange.head, &End { facts, length, delimiter, keep_alive: exchange.keep_alive, lines });
        self.out.front.extend_from_slice(&exchange.head);
        exchange.delimiter = Some(delimiter);
        if delimiter == Delimiter::Length
            && let Some(length) = length
        {
            // Also when the body has told it: then it is held to it (GW-ITER-06).
            exchange.calls.announce(length);
        }
    }

    /// The application has failed, or broke the contract: a response of the server's own if nothing was sent, else the
    /// connection is cut, so that nothing looks complete that is not (GW-ERH-05).
    pub(crate) fn fail(&mut self, error: &Error) -> Progress {
        self.report(error);
        self.exchange.keep_alive = false;
        if self.exchange.delimiter.is_some() {
            self.exchange.aborted = true;
            return Progress::Over;
        }
        let fault = self.exchange.input.as_ref().and_then(|input| input.try_lock().and_then(|body| body.fault()));
        let (status, text) = match fault {
            // The application could not do its work because of the client (GW-DEF-04).
            Some(reject) => (reject.status(), reject.text()),
            None => (Status::INTERNAL_SERVER_ERROR, "the application has failed"),
        };
        self.refuse(&status, text);
        Progress::Over
    }

    /// A response of the server's own, in place of the application's.
    fn refuse(&mut self, status: &Status, text: &str) {
        let head_only = self.exchange.facts.head_only;
        let server = self.shared.config.server_header.as_deref();
        let lines = self.date.lines(self.socket.clock.second(), server);
        response::refusal(&mut self.out.front, status, text, head_only, lines);
        self.exchange.facts.code = status.code();
        self.exchange.delimiter = Some(Delimiter::Length);
        self.exchange.finished = true;
        self.exchange.content = if head_only { 0 } else { text.len() as u64 + 1 };
    }

    /// The connection or the file has failed: nothing more can be sent.
    pub(crate) fn abort(&mut self, _error: &io::Error) -> Progress {
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

    /// Sends what was queued, waiting for the client: for `write`, where the application waits too.
    fn flush_all(&mut self) -> io::Result<()> {
        let patience = patience(&self.shared.config, self.shared.config.write_timeout);
        let mut pace = Pace::new(self.socket.clock.now());
        loop {
            match self.out.flush(&self.socket.stream)? {
                (_, true) => return Ok(()),
                (sent, false) => {
                    if sent > 0 {
                        pace.progress(self.socket.clock.advance(), sent);
                    }
                    self.socket.wait(Direction::Write, &pace, patience)?;
                }
            }
        }
    }
}

/// Whether, after a response that begins now, the next request can be found on the connection.
fn leaves_connection_usable(input: &RequestBody, complete: bool, max_drain: u64) -> bool {
    // Somebody else is reading at this moment: nobody knows where it will end.
    let Some(mut body) = input.try_lock() else { return false };
    if body.expects_continue() {
        // The client was not told to send the body, and may or may not do so (H1-CONT-05).
        body.forget_continue();
        return false;
    }
    let too_much = complete && body.remaining().is_some_and(|remaining| remaining > max_drain);
    body.fault().is_none() && !too_much
}

/// A part of a file body: its first `length` bytes.
fn part(file: &FileBody, length: u64) -> io::Result<FileBody> {
    let file = Body::file(file.file().try_clone()?, file.offset(), length);
    file.into_file().map_err(|_| io::Error::other("a file body is a file"))
}

/// A small file as blocks that know how much is left.
struct Small(FileBody);

impl gateway_spec::Blocks for Small {
    fn next(&mut self, _: &mut dyn StartResponse) -> Option<Result<Bytes, Error>> {
        self.0.next_block().map_err(Into::into).transpose()
    }

    fn remaining(&self) -> Option<u64> {
        Some(self.0.remaining())
    }
}

/// What a panic said.
pub(crate) fn panicked(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("the application panicked: {}", text.unwrap_or("(no message)"))
}

impl StartResponse for Responder<'_> {
    fn start_response(
        &mut self,
        status: Status,
        headers: &[(&str, &str)],
        exc_info: Option<Error>,
    ) -> Result<&mut dyn Write, Error> {
        let exchange = &mut *self.exchange;
        let head = exchange.calls.start(&status, headers, exc_info)?;
        exchange.head.clear();
        response::begin(&mut exchange.head, &head);
        exchange.declared = head.content_length();
        exchange.has_date = head.has_date();
        exchange.has_server = head.has_server();
        exchange.facts.code = status.code();
        if exchange.facts.drops_content() {
            exchange.calls.ignore_length();
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
        // Not to HTTP/1.0 (H1-NOB-08), and not after the head.
        if self.exchange.delimiter.is_some() || self.exchange.facts.version == gateway_spec::Version::Http10 {
            return Ok(());
        }
        let front = &mut self.out.front;
        front.extend_from_slice(b"HTTP/1.1 103 Early Hints\r\n");
        for (name, value) in headers {
            front.extend_from_slice(name.as_bytes());
            front.extend_from_slice(b": ");
            front.extend_from_slice(&gateway_spec::latin1(trim_blanks(value)).unwrap_or_default());
            front.extend_from_slice(b"\r\n");
        }
        front.extend_from_slice(b"\r\n");
        Ok(self.flush_all()?)
    }
}

impl Write for Responder<'_> {
    /// Sends the bytes, and the head before the first, before it returns (GW-WR-05).
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        self.exchange.calls.written(bytes.len()).map_err(|misuse: Misuse| io::Error::other(misuse))?;
        self.commit(None, false);
        if self.exchange.facts.drops_content() {
            return Ok(bytes.len());
        }
        let chunked = self.exchange.delimiter == Some(Delimiter::Chunked);
        for piece in bytes.chunks(64 * 1024) {
            self.out.copy(piece, chunked);
            self.exchange.content += piece.len() as u64;
            if let Err(error) = self.flush_all() {
                self.abort(&error);
                return Err(error);
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
