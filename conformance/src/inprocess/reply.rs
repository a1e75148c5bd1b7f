//! The `start_response` of the in-process server: what is stored, and what was sent.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Instant, SystemTime};

use gateway_spec::{Bytes, Calls, Connection, Error, StartResponse, Status, Version, check_header, trim_blanks};

use super::response::Framing;

/// Headers as native strings.
pub(super) type Headers = Vec<(String, String)>;

/// What a test does with each block at the moment it is sent.
pub(super) type Observer = Box<dyn FnMut(&Bytes) + Send>;

/// The connection, as far as there is one: it knows whether the client has left.
pub(super) struct Line {
    pub(super) gone: AtomicBool,
    pub(super) deadline: Option<Instant>,
}

impl Connection for Line {
    fn client_gone(&self) -> bool {
        self.gone.load(Ordering::SeqCst)
    }

    fn deadline(&self) -> Option<Instant> {
        self.deadline
    }
}

/// A head, stored or sent.
pub(super) struct Head {
    pub(super) status: Status,
    pub(super) headers: Headers,
    declared: Option<u64>,
    has_date: bool,
}

impl Head {
    /// Whether a response of this status to this method carries content (H1-NOB-01, H1-NOB-07, H1-NOB-09).
    fn has_content(&self, method: &str) -> bool {
        let tunnel = method == "CONNECT" && self.status.code() < 300;
        method != "HEAD" && !tunnel && self.status.code() != 205 && !self.status.forbids_content()
    }
}

/// One response on its way.
pub(super) struct Reply {
    pub(super) calls: Calls,
    pub(super) stored: Option<Head>,
    pub(super) sent: Option<(Head, Framing)>,
    /// Blocks that were sent and that the client has not taken yet.
    pub(super) outbox: VecDeque<Bytes>,
    pub(super) hints: Vec<Headers>,
    /// Whether content had to be dropped because the response has none.
    pub(super) dropped_content: bool,
    pub(super) observer: Option<Observer>,
    pub(super) line: Arc<Line>,
    method: String,
    version: Version,
}

impl Reply {
    pub(super) fn new(method: &str, version: Version, line: Arc<Line>) -> Self {
        Self {
            calls: Calls::new(),
            stored: None,
            sent: None,
            outbox: VecDeque::new(),
            hints: Vec::new(),
            dropped_content: false,
            observer: None,
            line,
            method: method.to_owned(),
            version,
        }
    }

    /// Whether the stored head has no content, so that nothing of the body is needed.
    pub(super) fn needs_no_content(&self) -> bool {
        self.stored.as_ref().is_some_and(|head| !head.has_content(&self.method))
            || matches!(self.sent, Some((_, Framing::Empty)))
    }

    /// Whether the request was HEAD.
    pub(super) fn is_head(&self) -> bool {
        self.method == "HEAD"
    }

    /// Whether the length of the content would still help: the head was not sent and names none (GW-CL-05).
    pub(super) fn wants_length(&self) -> bool {
        self.stored.as_ref().is_some_and(|head| head.declared.is_none())
    }

    /// Sends the head if it was not sent. `length` is that of the whole content, if it is known by now.
    pub(super) fn send_head(&mut self, length: Option<u64>) {
        let Some(mut head) = self.stored.take() else { return };
        let code = head.status.code();
        let has_content = head.has_content(&self.method);
        let length = match code {
            205 => Some(0),
            _ => length,
        };
        if code == 205 || code == 204 || (self.method == "CONNECT" && code < 300) {
            // Their length is given by the status (H1-NOB-05, H1-NOB-06, H1-NOB-07).
            head.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("content-length"));
            head.declared = None;
        }
        let may_name = (has_content || self.method == "HEAD" || code == 205) && !head.status.forbids_content();
        if let Some(length) = length
            && head.declared.is_none()
            && may_name
        {
            head.declared = Some(length);
            head.headers.push(("Content-Length".to_owned(), length.to_string()));
        }
        if !head.has_date {
            head.headers.push(("Date".to_owned(), httpdate::fmt_http_date(SystemTime::now())));
        }
        let framing = match (has_content, head.declared, self.version) {
            (false, _, _) => Framing::Empty,
            (true, Some(length), _) => Framing::Length(length),
            (true, None, Version::Http11) => Framing::Chunked,
            (true, None, Version::Http10) => Framing::Close,
        };
        self.sent = Some((head, framing));
    }

    /// Sends a block of content, after the head.
    pub(super) fn send(&mut self, block: Bytes) {
        if block.is_empty() {
            return;
        }
        self.send_head(None);
        if matches!(self.sent, Some((_, Framing::Empty))) {
            self.dropped_content = true;
            return;
        }
        if let Some(observer) = &mut self.observer {
            observer(&block);
        }
        self.outbox.push_back(block);
    }

    /// Puts the server's own answer in place of the application's, which must not have been sent (GW-REF-02, GW-REF-04).
    pub(super) fn refuse(&mut self, code: u16) {
        let status = Status::from_code(code).unwrap_or(Status::INTERNAL_SERVER_ERROR);
        let page = format!("{status}\n");
        let headers = vec![("Content-Type".to_owned(), "text/plain".to_owned())];
        self.stored = Some(Head { status, headers, declared: None, has_date: false });
        self.send_head(Some(page.len() as u64));
        if !matches!(self.sent, Some((_, Framing::Empty))) {
            self.send(page.into());
        }
    }
}

impl StartResponse for Reply {
    fn start_response(
        &mut self,
        status: Status,
        headers: &[(&str, &str)],
        exc_info: Option<Error>,
    ) -> Result<&mut dyn Write, Error> {
        let checked = self.calls.start(&status, headers, exc_info)?;
        let (declared, has_date) = (checked.content_length(), checked.has_date());
        let headers = headers.iter().map(|&(name, value)| (name.to_owned(), trim_blanks(value).to_owned())).collect();
        let head = Head { status, headers, declared, has_date };
        if !head.has_content(&self.method) {
            self.calls.ignore_length();
        }
        self.stored = Some(head);
        Ok(self)
    }

    fn writer(&mut self) -> &mut dyn Write {
        self
    }

    fn early_hints(&mut self, headers: &[(&str, &str)]) -> Result<(), Error> {
        headers.iter().try_for_each(|(name, value)| check_header(name, value))?;
        if self.sent.is_none() && self.version == Version::Http11 {
            self.hints.push(headers.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect());
        }
        Ok(())
    }
}

impl Write for Reply {
    fn write(&mut self, block: &[u8]) -> io::Result<usize> {
        if self.line.client_gone() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.calls.written(block.len()).map_err(io::Error::other)?;
        self.send(Bytes::copy_from_slice(block));
        Ok(block.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
