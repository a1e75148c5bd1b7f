//! Reading heads, one after the other, and waiting for them.

use std::ops::Range;
use std::sync::Arc;

use gateway_spec::Field;

use super::{Asked, Connection, LAST_CALL, Next, Phase, Received, Step, Tried};
use crate::h1::Reject;
use crate::h1::framing::Framing;
use crate::h1::head::{Head, Scan, parse, parse_usual, places};
use crate::h1::known::{Known, Meaning};
use crate::input::RequestBody;
use crate::worker::Worker;

/// How many fields are read without allocating: more than browsers send.
const FIELDS: usize = 24;
/// How many programs send, and how many bytes can hardly have more.
const FEW_FIELDS: usize = 4;
const SMALL_HEAD: usize = 100;

impl Connection {
    /// Answers the requests that are here, and reads those that come.
    #[inline(always)]
    pub(super) fn head(&mut self, worker: &mut Worker, may_block: bool, turn: &mut u32) -> Step {
        loop {
            while self.end > self.start {
                if self.out.is_full()
                    && let Some(next) = self.send(worker)
                {
                    return Some(next);
                }
                match self.scan.skip_blank(&self.buffer[self.start..self.end]) {
                    Err(reject) => return self.refuse(worker, reject),
                    Ok((skipped, begins)) => {
                        self.start += skipped;
                        if !begins {
                            break;
                        }
                    }
                }
                if *turn == 0 {
                    return Some(self.send(worker).unwrap_or(Next::Again));
                }
                match self.try_head(worker, may_block, turn) {
                    Tried::Partial => break,
                    Tried::Step(step) => return step,
                    Tried::Refused(reject) => return self.refuse(worker, reject),
                    Tried::Done => {
                        *turn -= 1;
                        self.next_request(worker);
                        if !matches!(self.phase, Phase::Head) {
                            return None;
                        }
                    }
                    Tried::Answered(response, progress) => {
                        *turn -= 1;
                        return self.proceed(worker, response, progress);
                    }
                }
            }
            // All requests that are here are answered: their answers go out in one write.
            if let Some(next) = self.send_inline(worker) {
                return Some(next);
            }
            if !self.readable {
                return Some(self.wait_for_head(worker));
            }
            match self.receive_inline(worker) {
                Received::Some => {}
                Received::Nothing => return Some(self.wait_for_head(worker)),
                // Half a head and then the end: nobody waits for an answer to it (H1-INC-01).
                Received::End => return Some(Next::Close),
            }
        }
    }

    /// Reads the head at the start of the buffer, if it is whole, and goes on with its request.
    fn try_head(&mut self, worker: &mut Worker, may_block: bool, turn: &mut u32) -> Tried {
        const TOO_LARGE: Reject = Reject::HeadTooLarge("the head of the request is too large");
        let limits = worker.limits;
        let first = self.scan.is_fresh();
        if !first && !self.scan.find_end(&self.buffer[self.start..self.end], &limits) {
            return Tried::Partial;
        }
        // Out of their places while the head borrows from them.
        let buffer = std::mem::take(&mut self.buffer);
        let mut known = worker.known(self.token).take().unwrap_or_default();
        let bytes = &buffer[self.start..self.end];
        // Fewer places to clear for the small heads of programs than for those of browsers.
        let tried = match known.at(bytes) {
            Some(head) if head.fields() <= FEW_FIELDS => {
                self.known_head::<FEW_FIELDS>(worker, &known, head, &buffer, may_block, turn)
            }
            Some(head) => self.known_head::<FIELDS>(worker, &known, head, &buffer, may_block, turn),
            None if bytes.len() < SMALL_HEAD => self.new_head::<FEW_FIELDS>(worker, &mut known, bytes, may_block),
            None => self.new_head::<FIELDS>(worker, &mut known, bytes, may_block),
        };
        *worker.known(self.token) = Some(known);
        self.buffer = buffer;
        match tried {
            // The search had found an end that the parser does not see, or the limit.
            Tried::Partial if !first || self.scan.find_end(&self.buffer[self.start..self.end], &limits) => {
                Tried::Refused(TOO_LARGE)
            }
            tried => tried,
        }
    }

    /// Goes on with the request whose head is at the beginning, and known; and with those behind it, as long as they have
    /// the same head and no body.
    #[inline]
    fn known_head<const N: usize>(
        &mut self,
        worker: &mut Worker,
        known: &Known,
        meaning: &Meaning,
        buffer: &[u8],
        may_block: bool,
        turn: &mut u32,
    ) -> Tried {
        let mut fields = [Field::EMPTY; N];
        let head = meaning.head(&mut fields);
        let rest = &buffer[self.start..self.end][head.length..];
        if head.framing != Framing::Empty || !may_block {
            return self.request(worker, &head, rest, may_block);
        }
        (self.scan, self.taken) = (Scan::new(), head.length);
        let who = Arc::clone(&self.who);
        let asked = Asked::new(&who, &head);
        let watch = worker.look_ahead(&asked.request);
        let tried = loop {
            let tried = self.call_with::<false>(worker, &asked);
            let goes_on = matches!(tried, Tried::Done)
                && *turn > 1
                && !self.out.is_full()
                && known.is_at(&buffer[self.start + head.length..self.end]);
            if !goes_on {
                break tried;
            }
            *turn -= 1;
            self.start += head.length;
        };
        worker.look_back(&asked.request, watch);
        tried
    }

    /// Reads the head at the beginning, and goes on with its request.
    #[inline(never)]
    fn new_head<const N: usize>(
        &mut self,
        worker: &mut Worker,
        known: &mut Known,
        bytes: &[u8],
        may_block: bool,
    ) -> Tried {
        let mut host = std::mem::take(&mut worker.host);
        let (tried, new_host) = self.parse_head::<N>(worker, known, bytes, &host, may_block);
        if let Some(new_host) = new_host {
            host.clear();
            host.push_str(bytes.get(new_host).and_then(|host| str::from_utf8(host).ok()).unwrap_or_default());
        }
        worker.host = host;
        tried
    }

    /// As [`new_head`](Self::new_head). Says also where its host is, if that is not the known one.
    #[inline]
    fn parse_head<const N: usize>(
        &mut self,
        worker: &mut Worker,
        known: &mut Known,
        bytes: &[u8],
        known_host: &str,
        may_block: bool,
    ) -> (Tried, Option<Range<usize>>) {
        let mut fields = [Field::EMPTY; N];
        match parse_usual(bytes, &mut fields, &worker.limits, known_host) {
            Ok(Some(head)) => {
                let (octets, rest) = bytes.split_at(head.length);
                known.see(octets, &head);
                let tried = self.request(worker, &head, rest, may_block);
                let new_host = head.host.filter(|host| !std::ptr::eq(*host, known_host));
                let start = |host: &str| host.as_ptr() as usize - bytes.as_ptr() as usize;
                (tried, new_host.map(|host| start(host)..start(host) + host.len()))
            }
            Ok(None) => (self.parse_unusual_head(worker, bytes, may_block), None),
            Err(reject) => (Tried::Refused(reject), None),
        }
    }

    #[cold]
    fn parse_unusual_head(&mut self, worker: &mut Worker, bytes: &[u8], may_block: bool) -> Tried {
        let limits = worker.limits;
        let mut scratch = vec![httparse::EMPTY_HEADER; places(bytes, &limits)];
        let mut fields = vec![Field::EMPTY; places(bytes, &limits)];
        match parse(bytes, &mut fields, &mut scratch, &limits) {
            Ok(Some(head)) => self.request(worker, &head, &bytes[head.length..], may_block),
            Ok(None) => Tried::Partial,
            Err(reject) => Tried::Refused(reject),
        }
    }

    /// A head is whole: its request is answered at once, or its body collected first.
    #[inline]
    fn request(&mut self, worker: &mut Worker, head: &Head<'_, '_>, rest: &[u8], may_block: bool) -> Tried {
        // Should the request have to wait, it is read again.
        self.scan = Scan::new();
        if head.framing != Framing::Empty {
            return self.request_with_body(worker, head, rest, may_block);
        }
        self.taken = head.length;
        if !may_block {
            return Tried::Step(self.send(worker).or(Some(Next::Thread { fresh: true })));
        }
        self.call::<false>(worker, head)
    }

    #[inline(never)]
    fn request_with_body(&mut self, worker: &mut Worker, head: &Head<'_, '_>, rest: &[u8], may_block: bool) -> Tried {
        let config = &worker.shared.config;
        let body = match &self.body {
            Some(body) => body,
            None => self.body.insert(Arc::new(RequestBody::new(self.socket.clone(), config))),
        };
        let expects_continue = head.expect_continue && rest.is_empty();
        self.has_body = true;
        body.begin(head.framing, expects_continue, worker.bodies.take(), config);
        let mut state = body.lock();
        let taken = state.push(self.socket.clock.now(), rest);
        let whole = state.is_whole() || state.fault().is_some();
        if whole {
            // There is nothing to be continued (H1-CONT-03).
            body.continues.begin(false);
        }
        drop(state);
        self.taken = head.length + taken;
        self.phase = Phase::Body(head.framing);
        if !whole {
            // All of it was taken, so the buffer has the head only.
            self.end = self.start + head.length;
            self.taken = head.length;
        }
        if whole && may_block {
            return self.call::<true>(worker, head);
        }
        Tried::Step(None)
    }

    pub(super) fn wait_for_head(&mut self, worker: &mut Worker) -> Next {
        if self.end > self.start {
            return Next::Wait(self.pace.deadline_after(worker.head_timeout));
        }
        self.give_back(worker);
        if worker.shared.is_draining() {
            // Who has just been let in may still say what it came for.
            let last_call = self.pace.deadline_after(LAST_CALL);
            let newcomer = self.requests == 0 && last_call > self.socket.clock.now();
            return if newcomer { Next::Idle(last_call) } else { Next::Close };
        }
        if self.requests == 0 {
            return Next::Wait(self.pace.deadline_after(worker.head_timeout));
        }
        Next::Idle(self.pace.deadline_after(worker.keep_alive_timeout))
    }

    /// An idle connection keeps no buffers: the next one that is busy uses them.
    pub(super) fn give_back(&mut self, worker: &mut Worker) {
        (self.start, self.end) = (0, 0);
        worker.buffers.put(std::mem::take(&mut self.buffer));
        self.out.take_buffers(|buffer| worker.outs.put(buffer));
        if let Some(body) = &self.body {
            body.lock().rest();
        }
    }
}
