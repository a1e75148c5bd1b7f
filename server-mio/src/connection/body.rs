//! The body of a request: collecting it before the application is called, and what is left of it after.

use std::sync::Arc;

use gateway_spec::Field;

use super::{Connection, Next, PAUSE, Phase, Received, Rest, Step, Tried, reserve};
use crate::h1::Reject;
use crate::h1::framing::Framing;
use crate::h1::head::{parse, places};
use crate::input::CONTINUE;
use crate::worker::Worker;

impl Connection {
    /// Collects the body of the request, until it is whole or there is enough of it.
    #[inline(never)]
    pub(super) fn collect(&mut self, worker: &mut Worker, framing: Framing, may_block: bool) -> Step {
        let Some(body) = self.body.clone() else { return Some(Next::Close) };
        loop {
            let state = body.lock();
            if body.continues.is_owed() && !worker.may_wait_with_client() {
                // Who waits to be asked is asked here (GW-EXP-02), rather than by an application on a thread that others
                // need.
                body.continues.begin(false);
                self.out.front.extend_from_slice(CONTINUE);
            }
            let enough = self.is_impatient
                || state.is_whole()
                || state.fault().is_some()
                || body.continues.is_owed()
                || state.collected() >= worker.shared.config.body_buffer;
            if enough {
                drop(state);
                // The application may wait for the rest of the body: nothing may wait for it meanwhile.
                if let Some(next) = self.send(worker) {
                    return Some(next);
                }
                drop(body); // whoever else has it, has kept it
                return if may_block { self.call_again(worker) } else { Some(Next::Thread { fresh: true }) };
            }
            if !self.readable {
                let deadline = body.deadline(&state).min(state.last_progress() + PAUSE);
                drop(state);
                return Some(self.send(worker).unwrap_or(Next::Wait(deadline)));
            }
            drop(state);
            match self.receive(worker) {
                Received::Some => {
                    let head = self.start + self.taken;
                    let mut state = body.lock();
                    let taken = state.push(self.socket.clock.now(), &self.buffer[head..self.end]);
                    if state.is_whole() || state.fault().is_some() {
                        self.taken += taken;
                    } else {
                        self.end = head;
                    }
                }
                Received::Nothing => {}
                Received::End => body.lock().fail(Reject::Incomplete),
            }
            self.phase = Phase::Body(framing);
        }
    }

    /// The body is there: the head is read again, as nothing of it was kept, and the application called.
    pub(super) fn call_again(&mut self, worker: &mut Worker) -> Step {
        let buffer = std::mem::take(&mut self.buffer);
        let limits = worker.limits;
        let head = &buffer[self.start..self.end];
        let mut scratch = vec![httparse::EMPTY_HEADER; places(head, &limits)];
        let mut fields = vec![Field::EMPTY; places(head, &limits)];
        let tried = match parse(head, &mut fields, &mut scratch, &limits) {
            Ok(Some(head)) => self.call::<true>(worker, &head),
            // It was valid before.
            Ok(None) => Tried::Step(Some(Next::Close)),
            Err(reject) => Tried::Refused(reject),
        };
        self.buffer = buffer;
        match tried {
            Tried::Answered(response, progress) => self.proceed(worker, response, progress),
            Tried::Refused(reject) => self.refuse(worker, reject),
            Tried::Step(step) => step,
            Tried::Done => {
                self.next_request(worker);
                None
            }
            Tried::Partial => None,
        }
    }

    /// What is left of the body of the request, after throwing away what has arrived of it.
    pub(super) fn rest_of_body(&self) -> Rest {
        let Some(body) = self.body.as_ref().filter(|_| self.has_body) else { return Rest::Nothing };
        // Whoever reads it at this moment is not this connection any more.
        let Some(mut state) = body.try_lock() else { return Rest::Broken };
        body.close(&state);
        state.discard();
        match state.fault() {
            Some(_) => Rest::Broken,
            None if state.is_whole() => Rest::Nothing,
            None => Rest::Some,
        }
    }

    /// Ends the body of the request: what was read past its end is the next request's. False if nobody knows what that
    /// is, so that none can follow.
    #[inline]
    pub(super) fn leave_body(&mut self, worker: &mut Worker) -> bool {
        !self.has_body || self.end_body(worker)
    }

    #[inline(never)]
    fn end_body(&mut self, worker: &mut Worker) -> bool {
        (self.has_body, self.is_impatient) = (false, false);
        let Some(mut body) = self.body.take() else { return true };
        // The application may have kept the input, but nothing comes out of it any more.
        let is_kept = Arc::get_mut(&mut body).is_none();
        let Some(mut state) = body.try_lock() else {
            body.cancel();
            return false;
        };
        body.close(&state);
        let (rest, collected) = state.end();
        if !rest.is_empty() {
            reserve(&mut self.buffer, self.end + rest.len());
            self.buffer[self.end..][..rest.len()].copy_from_slice(rest);
            self.end += rest.len();
        }
        worker.bodies.put(collected);
        drop(state);
        if !is_kept {
            self.body = Some(body);
        }
        true
    }

    /// Reads past what the application has left of the body, within bounds (H1-CON-04).
    #[inline(never)]
    pub(super) fn drain(&mut self, worker: &mut Worker, mut left: u64) -> Step {
        if let Some(next) = self.send(worker) {
            return Some(next);
        }
        let Some(body) = self.body.clone() else { return Some(Next::Close) };
        loop {
            let mut state = body.lock();
            if self.end > 0 {
                let taken = state.push(self.socket.clock.now(), &self.buffer[..self.end]);
                left = left.saturating_sub(taken as u64);
                state.discard();
                self.start = taken;
            }
            if state.fault().is_some() || left == 0 {
                drop(state);
                drop(body);
                self.leave_body(worker);
                self.phase = Phase::Closing;
                return None;
            }
            if state.is_whole() {
                drop(state);
                drop(body);
                self.next_request(worker);
                return None;
            }
            (self.start, self.end) = (0, 0);
            self.phase = Phase::Drain { left };
            if !self.readable {
                return Some(Next::Wait(body.deadline(&state)));
            }
            drop(state);
            if matches!(self.receive(worker), Received::End) {
                return Some(Next::Close);
            }
        }
    }
}
