//! Refusals, deadlines, and the end of a connection.

use std::io;
use std::sync::atomic::Ordering;

use super::{Connection, LAST_CALL, Next, PAUSE, Phase, Ready, Received, Step};
use crate::clock::{Pace, millis};
use crate::h1::{Reject, response};
use crate::log::Record;
use crate::worker::Worker;

impl Connection {
    /// Whether all is said, and the client only has not closed its side.
    pub(crate) const fn is_lingering(&self) -> bool {
        matches!(self.phase, Phase::Linger { .. })
    }

    /// There is no place for a new connection, or no thread for a request: 503.
    pub(crate) fn overload(&mut self, worker: &mut Worker) -> Next {
        worker.shared.counts.refused.fetch_add(1, Ordering::Relaxed);
        self.refuse(worker, Reject::Overload);
        self.drive(worker, Ready::NONE, false)
    }

    /// Refuses a request: an answer, and then nothing more is read but to be thrown away (H1-CON-10).
    #[cold]
    pub(super) fn refuse(&mut self, worker: &mut Worker, reject: Reject) -> Step {
        if worker.shared.config.on_response.is_some() {
            self.record = Record::begin();
        }
        let head_only = self.buffer[self.start..self.end].starts_with(b"HEAD ");
        if self.out.front.capacity() == 0 {
            self.out.front = worker.outs.take();
        }
        let second = self.socket.clock.second();
        let server = worker.shared.config.server_header.as_deref();
        response::reject(&mut self.out.front, reject, head_only, server, &mut worker.heads.date, second);
        let content = if head_only { 0 } else { reject.text().len() as u64 + 1 };
        if worker.shared.config.on_response.is_some() {
            // The client does not wait for the hook. What fails here fails again.
            let _ = self.out.flush(&self.socket.stream);
        }
        self.log(worker, reject.status().code(), content, false);
        self.leave_body(worker);
        self.phase = Phase::Closing;
        None
    }

    /// Sends what is left, closes the sending direction, and lets the client read it: what a client sends meanwhile, even
    /// if it has asked for the close, would make a plain close a reset, which takes the response with it (H1-CON-11).
    #[inline(never)]
    pub(super) fn closing(&mut self, worker: &mut Worker) -> Step {
        if let Some(next) = self.send(worker) {
            return Some(next);
        }
        if self.socket.stream.shutdown_write().is_err() {
            return Some(Next::Close);
        }
        self.pace = Pace::new(self.socket.clock.now());
        // Otherwise there will be an event, as for everything that was not read to its end.
        self.readable |= self.finished;
        self.phase = Phase::Linger { left: worker.shared.config.max_linger };
        None
    }

    #[inline(never)]
    pub(super) fn linger(&mut self, worker: &mut Worker, mut left: u64) -> Step {
        loop {
            if !self.readable {
                self.give_back(worker);
                let mut deadline = self.pace.deadline_after(millis(worker.shared.config.linger_timeout));
                if worker.shared.is_draining() {
                    // The server has nothing more to do than to wait for who does not close: while it sends, and a moment.
                    deadline = deadline.min(self.pace.last() + LAST_CALL);
                }
                // As good as idle: a newcomer may have its place.
                return Some(Next::Idle(deadline));
            }
            (self.start, self.end) = (0, 0);
            match self.receive(worker) {
                Received::Some => {
                    left = left.saturating_sub(self.end as u64);
                    self.pace.progress(self.socket.clock.now(), self.end);
                }
                Received::Nothing => {}
                Received::End => return Some(Next::Close),
            }
            if left == 0 {
                return Some(Next::Close);
            }
            self.phase = Phase::Linger { left };
        }
    }

    /// A deadline has passed: what that means now.
    #[inline(never)]
    pub(super) fn expire(&mut self, worker: &mut Worker, may_block: bool) -> Step {
        let now = self.socket.clock.now();
        let refusable = match &self.phase {
            // Between requests, or before the first: no error, and nobody to tell. An empty line is no beginning of one
            // (RFC 9112 section 2.2).
            Phase::Head if self.end == self.start && self.out.is_empty() => return Some(Next::Close),
            Phase::Head if self.out.is_empty() => true,
            // Who takes no answers gets no time for a body: that of the writing ends it, below.
            Phase::Body(_) if self.out.is_empty() => {
                let Some(body) = &self.body else { return Some(Next::Close) };
                let mut state = body.lock();
                if body.deadline(&state) <= now {
                    // The application is told, as it would be if it had been reading (GW-DEF-04).
                    state.fail(Reject::Timeout);
                } else if !worker.may_wait_with_client() {
                    // Another pause, then.
                    return Some(Next::Wait(body.deadline(&state).min(now + PAUSE)));
                } else {
                    self.is_impatient = true;
                }
                return None;
            }
            // Nothing yet: to be asked again.
            Phase::Response(_) if !self.writing => return None,
            // A deadline from before the last progress.
            _ if self.writing && self.pace.deadline(worker.write_patience) > now => return None,
            _ => false,
        };
        if refusable {
            return self.refuse(worker, Reject::Timeout);
        }
        if self.writing {
            self.report(worker, &io::ErrorKind::TimedOut.into());
        }
        if !may_block && matches!(self.phase, Phase::Response(_)) {
            // To give it up is to drop the application's body.
            self.is_gone = true;
            return Some(Next::Thread { fresh: false });
        }
        self.give_up(worker);
        Some(Next::Close)
    }

    /// The client has gone or does not read: nothing more can be sent. The body is dropped, which is its `close()`.
    pub(crate) fn give_up(&mut self, worker: &mut Worker) {
        if let Phase::Response(response) = std::mem::replace(&mut self.phase, Phase::Closing) {
            let (mut exchange, mut content) = *response;
            exchange.aborted = true;
            let responder = self.responder(worker, &mut exchange);
            responder.close(&mut content);
            let reset = responder.looks_complete();
            self.log(worker, exchange.code(), exchange.content, true);
            if reset {
                self.socket.reset_on_close();
            }
        }
        if !self.out.is_empty() {
            // All was said, but not sent: a proper end would make what was sent look whole.
            self.socket.spoil();
        }
        self.leave_body(worker);
    }
}
