//! One request and its response: the server side of the contract, pulled block by block.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use gateway_spec::{Application, Body, Bytes, Environ, Error, Errors, Misuse};

use super::input::Watched;
use super::reply::Reply;
use super::response::Pulled;

/// The errors stream of one exchange, kept.
#[derive(Clone, Default)]
pub(super) struct Log(Arc<Mutex<String>>);

impl Log {
    pub(super) fn errors(&self) -> Errors {
        let log = self.clone();
        Errors::new(move |text: &str| log.push(text))
    }

    pub(super) fn text(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn push(&self, text: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push_str(text);
    }
}

/// Why an answer could not be finished, in the order in which servers look at it.
enum Fault {
    /// A breach of the contract.
    Misuse(Misuse),
    /// An error that the application returned.
    Error(Error),
    /// A panic, with its message.
    Panic(String),
}

/// A response between the call of the application and the end of its body.
pub(super) struct Exchange {
    pub(super) reply: Reply,
    pub(super) log: Log,
    pub(super) input: Arc<Watched>,
    /// Whether all is over, and why the response was cut, if it was.
    pub(super) over: bool,
    pub(super) cut: Option<String>,
    /// How often a body was closed.
    pub(super) closes: usize,
    body: Option<Body>,
    /// The length named in the head because the body said so: the body has to keep to it.
    announced: Option<u64>,
}

impl Exchange {
    /// Calls the application, once (GW-CALL-06).
    pub(super) fn call(
        app: &dyn Application,
        environ: &mut Environ<'_>,
        reply: Reply,
        log: Log,
        input: Arc<Watched>,
    ) -> Self {
        let mut exchange = Self { reply, log, input, over: false, cut: None, closes: 0, body: None, announced: None };
        // A panic leaves the application in whatever state it is in, as it does in a server with threads.
        match catch_unwind(AssertUnwindSafe(|| app.call(environ, &mut exchange.reply))) {
            Ok(Ok(body)) => exchange.body = Some(body),
            Ok(Err(error)) => exchange.fail(Fault::Error(error)),
            Err(panic) => exchange.fail(Fault::Panic(message(&*panic))),
        }
        exchange
    }

    /// An answer of the server itself, for a request that is not for the application.
    pub(super) fn refused(mut reply: Reply, code: u16, log: Log, input: Arc<Watched>) -> Self {
        reply.refuse(code);
        Self { reply, log, input, over: true, cut: None, closes: 0, body: None, announced: None }
    }

    /// One step: the next block that was sent, or what there is instead.
    pub(super) fn pull(&mut self) -> Pulled {
        if let Some(block) = self.reply.outbox.pop_front() {
            return Pulled::Block(block);
        }
        if self.over {
            return self.cut.clone().map_or(Pulled::End, Pulled::Cut);
        }
        // All that is declared was sent, or nothing will be: the rest is not asked for (GW-CL-02). Up to here the body was
        // asked for a response without content too, because it may start late, or replace its head, or fail.
        if self.reply.calls.is_complete() || self.reply.dropped_content {
            self.finish();
            return self.pull();
        }
        let Some(body) = &mut self.body else {
            self.finish();
            return self.pull();
        };
        let next = catch_unwind(AssertUnwindSafe(|| body.next(&mut self.reply)));
        match next {
            Ok(Some(Ok(block))) if block.is_empty() => {
                // What the body has written meanwhile comes first.
                if self.reply.outbox.is_empty() { Pulled::NothingYet } else { self.pull() }
            }
            Ok(Some(Ok(block))) => {
                self.take(block);
                self.pull()
            }
            Ok(None) => {
                self.finish();
                self.pull()
            }
            Ok(Some(Err(error))) => {
                self.fail(Fault::Error(error));
                self.pull()
            }
            Err(panic) => {
                self.fail(Fault::Panic(message(&*panic)));
                self.pull()
            }
        }
    }

    /// Hands a waker to the body; see [`Body::set_waker`].
    pub(super) fn set_waker(&mut self, waker: &std::task::Waker) {
        if let Some(body) = &mut self.body {
            body.set_waker(waker);
        }
    }

    /// The client has left: the body is closed at once (GW-ITER-08).
    pub(super) fn leave(&mut self, why: &str) {
        self.reply.line.gone.store(true, std::sync::atomic::Ordering::SeqCst);
        self.reply.outbox.clear();
        if !self.over {
            self.close();
            self.over = true;
            self.cut = Some(why.to_owned());
        }
    }

    fn take(&mut self, block: Bytes) {
        let allowed = match self.reply.calls.yielded(block.len()) {
            Ok(allowed) => allowed,
            Err(misuse) => return self.fail(Fault::Misuse(misuse)),
        };
        if allowed < block.len() {
            let what = format!("GW-CL-01: the body goes past its Content-Length by {} bytes", block.len() - allowed);
            self.log.push(&format!("{what}; they are not sent\n"));
        }
        if self.reply.wants_length() {
            let left = self.body.as_ref().and_then(Body::len);
            self.announced = left.map(|left| left.saturating_add(allowed as u64));
        }
        if self.announced.is_some_and(|announced| self.reply.calls.delivered() > announced) {
            return self.fail(self.broken_announcement());
        }
        self.reply.send_head(self.announced);
        self.reply.send(block.slice(..allowed));
    }

    fn finish(&mut self) {
        let short = self.announced.is_some_and(|announced| self.reply.calls.delivered() < announced);
        self.close();
        if let Err(misuse) = self.reply.calls.end() {
            return self.fail(Fault::Misuse(misuse));
        }
        if short && !self.reply.needs_no_content() {
            return self.fail(self.broken_announcement());
        }
        let empty = !self.reply.needs_no_content(); // of GET, nothing follows about HEAD (H1-NOB-03)
        self.reply.send_head(empty.then_some(0));
        self.over = true;
        if self.reply.dropped_content && !self.reply.is_head() {
            self.log.push("GW-DEF-09: a response of this status has no content; the body was dropped\n");
        }
    }

    /// A body that does not keep to the length it has announced (GW-ITER-06).
    fn broken_announcement(&self) -> Fault {
        let announced = self.announced.unwrap_or_default();
        let delivered = self.reply.calls.delivered();
        Fault::Error(format!("GW-ITER-06: a body that announced {announced} bytes has yielded {delivered}").into())
    }

    /// Ends the response by an answer of the server, or by a cut if the head was sent (GW-REF-02).
    fn fail(&mut self, fault: Fault) {
        self.close();
        let (text, by_error) = match &fault {
            Fault::Misuse(misuse) => (misuse.to_string(), false),
            Fault::Error(error) => (error.to_string(), true),
            Fault::Panic(message) => (format!("panic: {message}"), false),
        };
        self.log.push(&format!("{text}\n"));
        self.over = true;
        if self.reply.sent.is_some() {
            self.cut = Some(text);
            return;
        }
        let code = match self.input.failure() {
            Some(io::ErrorKind::FileTooLarge) if by_error => 413,
            Some(io::ErrorKind::TimedOut) if by_error => 408,
            Some(_) if by_error => 400,
            _ => 500,
        };
        self.reply.refuse(code);
    }

    /// Closes the body, once. A panic of it is logged and changes nothing else (C-22).
    fn close(&mut self) {
        let Some(body) = self.body.take() else { return };
        self.closes += 1;
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(body))) {
            self.log.push(&format!("panic while the body was closed: {}\n", message(&*panic)));
        }
    }
}

/// The message of a panic.
fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}
