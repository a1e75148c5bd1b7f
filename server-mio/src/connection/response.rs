//! Calling the application, and its response until all is said.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use gateway_spec::{Body, Environ, Error, Input};

use super::{Asked, Connection, Next, Phase, Rest, Step, Tried};
use crate::Config;
use crate::clock::{Pace, millis};
use crate::gateway::{Content, Exchange, Progress, Responder, panicked};
use crate::h1::head::Head;
use crate::log::Record;
use crate::park::Alarm;
use crate::worker::{BUFFER, Worker};

/// After how many milliseconds a body that has nothing yet, and does not wake the server, is asked again.
const ASK_AGAIN: u64 = 10;
/// How many bytes of a buffer are not worth giving back.
const FEW: usize = 512;

impl Connection {
    /// Calls the application with one request.
    pub(super) fn call<const HAS_BODY: bool>(&mut self, worker: &mut Worker, head: &Head<'_, '_>) -> Tried {
        let who = Arc::clone(&self.who);
        let asked = Asked::new(&who, head);
        let watch = worker.look_ahead(&asked.request);
        let tried = self.call_with::<HAS_BODY>(worker, &asked);
        worker.look_back(&asked.request, watch);
        tried
    }

    /// Calls the application. Most requests have no body: for them all that has to do with bodies is left out.
    #[inline(never)]
    pub(super) fn call_with<const HAS_BODY: bool>(&mut self, worker: &mut Worker, asked: &Asked<'_>) -> Tried {
        // Before the application is called for the next request of a batch: should it block, the responses before are sent
        // all the same. Nearly always they are where others can send them.
        let is_held = if self.out.is_stashed() { worker.is_leading() } else { self.out.is_empty() };
        if !is_held && let Some(next) = self.stash(worker) {
            return Tried::Step(Some(next));
        }
        self.requests += 1;
        worker.count_request();
        if self.out.front.capacity() == 0 {
            self.out.front = worker.outs.take();
            self.out.front.reserve(BUFFER / 4);
        }
        let shared = &*worker.shared;
        let last = shared.config.max_requests_per_connection.is_some_and(|most| self.requests >= most);
        if shared.config.app_deadline.is_some() || shared.config.on_response.is_some() {
            self.note_time(&shared.config);
        }
        let body = if HAS_BODY { self.body.clone() } else { None };
        let input = body.clone().map_or_else(Input::empty, |body| Input::new(body));
        let mut exchange = Exchange::new(asked.facts, asked.keep_alive && !last, body);
        let returned = {
            let (out, heads) = (&mut self.out, &mut worker.heads);
            let mut responder = Responder { exchange: &mut exchange, out, socket: &self.socket, shared, heads };
            catch_unwind(AssertUnwindSafe(|| {
                let mut environ = Environ::new(&asked.request, input);
                let returned = shared.app.call(&mut environ, &mut responder);
                if !environ.needs_drop() {
                    mem::forget(environ);
                }
                returned
            }))
        };
        let returned = returned.unwrap_or_else(|panic| Err(Error::from(panicked(panic))));
        let (progress, content) = match returned.map(Body::into_block) {
            Ok(Ok(block)) if exchange.ends_with(&block) => {
                // The responder is made anew, because nothing is known any more of one that an application has had.
                self.responder(worker, &mut exchange).put_whole(block);
                if self.can_go_on::<HAS_BODY>(worker, &exchange) && exchange.owns_nothing() {
                    mem::forget(exchange);
                    return Tried::Done;
                }
                (Progress::Over, None)
            }
            returned => {
                let mut content = None;
                (self.responder(worker, &mut exchange).begin(returned, &mut content), content)
            }
        };
        if progress == Progress::Over && self.can_go_on::<HAS_BODY>(worker, &exchange) {
            return Tried::Done;
        }
        Tried::Answered(Box::new((exchange, content.unwrap_or(Content::Nothing))), progress)
    }

    /// After a response that is over: whether there is nothing more to do, and the next request can follow.
    #[inline(always)]
    fn can_go_on<const HAS_BODY: bool>(&self, worker: &Worker, exchange: &Exchange) -> bool {
        exchange.keep_alive
            && worker.shared.config.on_response.is_none()
            && (!HAS_BODY || self.rest_of_body() == Rest::Nothing)
    }

    /// Puts whole responses where others can send them, or sends them if this thread does not lead.
    #[inline(never)]
    fn stash(&mut self, worker: &mut Worker) -> Step {
        if worker.is_leading()
            && let Some(stash) = self.out.stash(&self.socket)
        {
            worker.batch.set(stash);
            self.batching = true;
        }
        // Looked at once more: whoever has taken over just before the stash was made known does not know it.
        if worker.is_leading() { None } else { self.send(worker) }
    }

    /// When the application should have answered, and when it was asked, if somebody wants to know.
    #[cold]
    fn note_time(&mut self, config: &Config) {
        if let Some(deadline) = config.app_deadline {
            self.socket.set_deadline(self.socket.clock.now() + millis(deadline));
        }
        if config.on_response.is_some() {
            self.record = Record::begin();
        }
    }

    /// Goes on with a response that had to wait.
    #[inline(never)]
    pub(super) fn respond(&mut self, worker: &mut Worker) -> Step {
        let Phase::Response(mut response) = mem::replace(&mut self.phase, Phase::Head) else { return None };
        let (exchange, content) = &mut *response;
        // Before the question, so that no wake-up falls between question and waker.
        let failed = if exchange.has_paused { self.hand_waker(worker, exchange, content) } else { None };
        let sent = self.out.total;
        exchange.waited = 0;
        let progress = failed.unwrap_or_else(|| self.responder(worker, exchange).go_on(content));
        // The time that the body has taken is not the client's.
        self.pace = self.pace.later(exchange.waited);
        let sent = self.out.total - sent;
        if sent > 0 {
            self.pace.progress(self.socket.clock.now(), usize::try_from(sent).unwrap_or(usize::MAX));
        }
        self.proceed(worker, response, progress)
    }

    /// After the application has done what it could.
    #[inline(never)]
    pub(super) fn proceed(
        &mut self,
        worker: &mut Worker,
        mut response: Box<(Exchange, Content)>,
        mut progress: Progress,
    ) -> Step {
        let (exchange, content) = &mut *response;
        if progress == Progress::Nothing && !exchange.has_paused {
            exchange.has_paused = true;
            let failed = self.hand_waker(worker, exchange, content);
            progress = failed.unwrap_or_else(|| self.responder(worker, exchange).go_on(content));
        }
        if progress == Progress::Over && !exchange.aborted && self.out.has_large() {
            // It is over when it is sent: only then can be told how it went.
            progress = self.responder(worker, exchange).go_on(content);
        }
        let next = match progress {
            Progress::Over => return self.over(worker, response.0),
            Progress::Yield => Next::Again,
            Progress::Blocked => self.blocked(worker),
            Progress::Nothing => {
                self.writing = false;
                exchange.pauses = exchange.pauses.saturating_add(1);
                self.slim_down(worker);
                let kept = self.alarm.as_ref().is_some_and(|alarm| alarm.is_kept());
                let pause = if kept { ASK_AGAIN * 100 } else { ASK_AGAIN * u64::from(exchange.pauses.min(10)) };
                Next::Wait(self.socket.clock.now() + pause)
            }
        };
        if progress != Progress::Nothing {
            exchange.pauses = 0;
        }
        self.responder(worker, exchange).pause();
        self.phase = Phase::Response(response);
        Some(next)
    }

    /// Hands the body a waker. If it panics, that is the end of the response.
    fn hand_waker(&mut self, worker: &mut Worker, exchange: &mut Exchange, content: &mut Content) -> Option<Progress> {
        let Content::Body(body) = content else { return None };
        let alarm = self.alarm(worker);
        let panic = catch_unwind(AssertUnwindSafe(|| alarm.watch(body))).err()?;
        let mut responder = self.responder(worker, exchange);
        let progress = responder.fail(&panicked(panic).into());
        responder.close(content);
        Some(progress)
    }

    /// A response may pause for hours, and thousands at the same time: until it goes on, buffers are for others. What was
    /// received of this request and of those behind it stays.
    fn slim_down(&mut self, worker: &mut Worker) {
        if self.out.is_empty() {
            self.out.take_buffers(|buffer| worker.outs.put(buffer));
        }
        let rest = self.start..self.end;
        if self.buffer.len() > 2 * rest.len() + FEW {
            let kept = self.buffer[rest].to_vec();
            (self.start, self.end) = (0, kept.len());
            worker.buffers.put(mem::replace(&mut self.buffer, kept));
        }
    }

    /// The response is at its end; some of it may wait in the output.
    pub(super) fn over(&mut self, worker: &mut Worker, mut exchange: Exchange) -> Step {
        self.writing = false;
        // A waker that the body has left somewhere is not one of the next.
        self.alarm.take_if(|alarm| alarm.is_kept());
        // The client of the last answer of a batch does not wait for the hook.
        if worker.shared.config.on_response.is_some()
            && self.start + self.taken >= self.end
            && !exchange.aborted
            && let Err(error) = self.out.flush(&self.socket.stream)
        {
            self.responder(worker, &mut exchange).abort(error);
        }
        if let Some(error) = exchange.error.take() {
            self.report(worker, &error);
        }
        self.log(worker, exchange.code(), exchange.content, exchange.aborted);
        let reset = self.responder(worker, &mut exchange).looks_complete();
        let keep_alive = exchange.keep_alive;
        // With it goes its hold on the body, which is needed for the next request.
        drop(exchange);
        if reset {
            // Nothing else can tell an HTTP/1.0 client that there should have been more. What was queued before the
            // failure may still go out; if it cannot, the client sees the same.
            let _ = self.out.flush(&self.socket.stream);
            self.leave_body(worker);
            self.socket.reset_on_close();
            return Some(Next::Close);
        }
        let rest = self.rest_of_body();
        if !keep_alive || rest == Rest::Broken {
            self.leave_body(worker);
            self.phase = Phase::Closing;
        } else if rest == Rest::Some {
            // What was received of it is in the body, so the buffer has nothing but the head.
            (self.start, self.end, self.taken) = (0, 0, 0);
            self.pace = Pace::new(self.socket.clock.now());
            self.phase = Phase::Drain { left: worker.shared.config.max_drain };
        } else {
            self.next_request(worker);
        }
        None
    }

    /// The request is done with: what follows it is the next.
    #[inline]
    pub(super) fn next_request(&mut self, worker: &mut Worker) {
        self.start += self.taken;
        self.taken = 0;
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        self.phase = if self.leave_body(worker) { Phase::Head } else { Phase::Closing };
        self.pace = Pace::new(self.socket.clock.now());
    }

    #[inline(always)]
    pub(super) fn responder<'a>(&'a mut self, worker: &'a mut Worker, exchange: &'a mut Exchange) -> Responder<'a> {
        Responder {
            exchange,
            out: &mut self.out,
            socket: &self.socket,
            shared: &worker.shared,
            heads: &mut worker.heads,
        }
    }

    pub(super) fn alarm(&mut self, worker: &Worker) -> &Arc<Alarm> {
        let token = self.token;
        self.alarm.get_or_insert_with(|| Arc::new(Alarm::new(worker.inbox.clone(), token)))
    }
}
