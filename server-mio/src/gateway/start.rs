//! What an application calls: `start_response` and what it returns for writing.

use std::io::{self, Write};

use gateway_spec::{Error, Misuse, StartResponse, Status, check_header, trim_blanks};

use super::Responder;
use crate::clock::Pace;
use crate::h1::response::Delimiter;
use crate::input::patience;
use crate::transport::Direction;

impl StartResponse for Responder<'_> {
    fn start_response(
        &mut self,
        status: Status,
        headers: &[(&str, &str)],
        exc_info: Option<Error>,
    ) -> Result<&mut dyn Write, Error> {
        let exchange = &mut *self.exchange;
        exchange.head = self.heads.begin(&mut exchange.calls, &status, headers, exc_info)?;
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
        // A `Content-Length` is never part of an interim response (H1-NOB-05).
        for (name, value) in headers.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("content-length")) {
            front.extend_from_slice(name.as_bytes());
            front.extend_from_slice(b": ");
            front.extend_from_slice(&gateway_spec::latin1(trim_blanks(value)).unwrap_or_default());
            front.extend_from_slice(b"\r\n");
        }
        front.extend_from_slice(b"\r\n");
        Ok(self.push()?)
    }
}

impl Write for Responder<'_> {
    /// Sends the bytes, and the head before the first, before it returns (GW-WR-05).
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        if self.exchange.aborted {
            return Err(io::ErrorKind::BrokenPipe.into());
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
            self.push()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Responder<'_> {
    /// Sends what was queued. What fails here ends the response, whatever the application makes of it.
    fn push(&mut self) -> io::Result<()> {
        self.flush_all().map_err(|error| {
            let kind = error.kind();
            self.abort(error);
            kind.into()
        })
    }

    /// Sends what was queued, waiting for the client: for `write`, where the application waits too.
    fn flush_all(&mut self) -> io::Result<()> {
        let patience = patience(&self.shared.config, self.shared.config.write_timeout);
        let now = self.socket.clock.now();
        // The time that the application took between two writes is not the client's.
        let mut pace =
            self.exchange.written.map_or(Pace::new(now), |(pace, left)| pace.later(now.saturating_sub(left)));
        loop {
            if self.socket.is_stopped() {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            let (sent, all) = self.out.flush(&self.socket.stream)?;
            if sent > 0 {
                pace.progress(self.socket.clock.now(), sent);
            }
            if all {
                self.exchange.written = Some((pace, self.socket.clock.now()));
                return Ok(());
            }
            self.socket.wait(Direction::Write, &pace, patience)?;
        }
    }
}
