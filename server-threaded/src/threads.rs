//! [`Shared`]: the threads of a server, each with one connection after the other.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use gateway_spec::{Application, Peer, ServerInfo};

use crate::admission::Entered;
use crate::connection::{self, Buffers, End, Service};
use crate::door::{Door, is_exhaustion, is_of_one_connection};
use crate::guard::{guarded, guarded_call};
use crate::server::State;
use crate::transport::Stream;
use crate::wire::Wire;

/// How long accepting pauses when the system has no descriptors left, or lets nobody in: not long for a person, long for a
/// processor.
const PAUSE: Duration = Duration::from_millis(50);

/// How long the pause is if a connection was ended to make room: it takes a moment until its descriptor is free.
const SHEDDING: Duration = Duration::from_millis(2);

/// How many are told so at once, and before each pause: what piles up in the system's queue would wait for nothing.
const MOST_REFUSED: usize = 64;

/// After how many connections in a row that could not be accepted it is not for the connections.
const MOST_FAILURES: usize = 64;

/// How long a thread without a connection waits for one before it ends, if others wait as well.
const THREAD_IDLE: Duration = Duration::from_secs(10);

/// What the threads of connections share.
pub(crate) struct Shared {
    application: Box<dyn Application>,
    info: ServerInfo,
    pub(crate) state: Arc<State>,
    pub(crate) door: Door,
    /// Whether it was said that there are no threads.
    has_complained: AtomicBool,
}

impl Shared {
    pub(crate) fn new(application: Box<dyn Application>, info: ServerInfo, state: Arc<State>, door: Door) -> Self {
        Self { application, info, state, door, has_complained: AtomicBool::new(false) }
    }

    /// Starts a thread that waits at the door; it is counted there already.
    ///
    /// # Errors
    /// If the system has none.
    pub(crate) fn start(self: &Arc<Self>) -> io::Result<()> {
        self.state.threads.fetch_add(1, Ordering::Relaxed);
        let shared = Arc::clone(self);
        let started = thread::Builder::new()
            .name("connection".into())
            .stack_size(self.state.config.stack_size)
            .spawn(move || shared.serve_connections());
        if started.is_err() {
            self.state.threads.fetch_sub(1, Ordering::Relaxed);
        }
        started.map(drop)
    }

    /// Starts the thread that has to come to the door, and is counted there. If none is to be had, who idles for longest
    /// gives one back, and the watchdog tries again; or if the server stops, who comes is told so.
    fn call_another(self: &Arc<Self>) {
        let Err(error) = self.start() else { return };
        if self.state.is_stopping() {
            loop {
                if self.turn_away() == 0 || self.state.cut_all.load(Ordering::SeqCst) {
                    break;
                }
            }
            self.door.close();
        } else {
            self.state.admission.shed_one();
        }
        self.go();
        if !self.has_complained.swap(true, Ordering::Relaxed) {
            let errors = &self.state.config.errors;
            errors.write(&format!("server-threaded: no thread could be made for newcomers: {error}\n"));
        }
    }

    /// Sees that somebody is at the door.
    pub(crate) fn attend(self: &Arc<Self>) {
        if self.door.is_open() && self.state.admission.call_if_unattended() {
            self.call_another();
        }
    }

    /// Sees that the hook is told of refusals by the watchdog: on a thread for that, as a hook that blocks would stop all
    /// deadlines.
    pub(crate) fn tell_refusals(self: &Arc<Self>) {
        if !self.state.admission.begin_to_tell() {
            return;
        }
        let shared = Arc::clone(self);
        let tell = move || shared.state.admission.tell_refusals();
        let stack = self.state.config.stack_size;
        if thread::Builder::new().name("refusals".into()).stack_size(stack).spawn(tell).is_err() {
            self.state.admission.tell_later(); // at the next look
        }
    }

    /// A thread's life: connections, one after the other.
    fn serve_connections(self: &Arc<Self>) {
        let state = &*self.state;
        let mut buffers = Buffers::new();
        let mut next = self.next();
        while let Some((stream, peer)) = next {
            // What the application panics with is caught where it happens. This is for what is ours, so that the count
            // of connections stays right whatever happens.
            let served = guarded_call(|| self.serve_connection(stream, peer, &mut buffers));
            if served.is_err() {
                buffers = Buffers::new();
            }
            next = state.admission.leave();
            if state.is_stopping() {
                state.admission.wake_all();
            }
            next = next.or_else(|| self.next());
        }
        state.threads.fetch_sub(1, Ordering::Relaxed);
    }

    /// Waits at the door for a connection. `None` if none comes for a while and others wait as well, or if the server stops
    /// and nobody is in the system's queue, or nobody can be let in: then the thread ends.
    fn next(self: &Arc<Self>) -> Option<(Stream, Peer)> {
        let state = &*self.state;
        loop {
            let stopping = state.is_stopping();
            if !stopping {
                match self.door.wait(THREAD_IDLE) {
                    Ok(true) => {}
                    Ok(false) if state.admission.go_unless_last() => return None,
                    Ok(false) => continue,
                    Err(error) => state.fail(error),
                }
            }
            state.clock.update();
            match self.accept(stopping) {
                Some((stream, peer)) => {
                    // Asked first: who is not welcome makes nobody give a place.
                    if self.is_welcome(&peer)
                        && let Some(Entered { stream, peer, is_last }) = state.admission.enter(stream, peer)
                    {
                        if is_last {
                            self.call_another();
                        }
                        return Some((stream, peer));
                    }
                }
                None if stopping => {
                    self.go();
                    return None;
                }
                None => {}
            }
        }
    }

    /// Whether the `verify_peer` hook lets a newcomer in. If it panics, it does not.
    fn is_welcome(&self, peer: &Peer) -> bool {
        let Some(verify) = &self.state.config.verify_peer else { return true };
        guarded(|| Ok(verify(peer))).unwrap_or(false)
    }

    /// A thread goes from the door, or does not come.
    fn go(&self) {
        self.state.admission.go();
        if self.state.is_stopping() {
            self.state.admission.wake_all();
        }
    }

    /// Who is next in the system's queue, if anybody is and can be accepted. When nobody is, and the server was `stopping`
    /// before, the door is closed: all who had come were accepted.
    fn accept(&self, stopping: bool) -> Option<(Stream, Peer)> {
        let state = &*self.state;
        let mut failures = 0;
        loop {
            match self.door.accept() {
                Ok(newcomer) => {
                    state.accepted.fetch_add(1, Ordering::Relaxed);
                    return Some(newcomer);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if stopping {
                        self.door.close();
                    }
                }
                Err(error) if is_exhaustion(&error) && state.admission.end_partings() => continue,
                Err(error) if is_exhaustion(&error) => {
                    if let Err(error) = self.find_descriptors().and_then(|()| self.door.arm()) {
                        state.fail(error);
                    }
                }
                // The peer has gone between its arrival and now, or a firewall says no: the next one may be fine.
                Err(error) if is_of_one_connection(&error) && failures < MOST_FAILURES => {
                    failures += 1;
                    continue;
                }
                // It seems to say no to all: to ask it all the time would help nobody.
                Err(error) if is_of_one_connection(&error) => {
                    if stopping {
                        self.door.close();
                    } else if let Err(error) = self.door.wait_for_stop(Some(PAUSE)) {
                        state.fail(error);
                    }
                }
                Err(error) => {
                    state.fail(error);
                    self.door.close();
                }
            }
            return None;
        }
    }

    /// The system has no descriptors left: ends a connection that can be spared, or says no to who waits for one, and gives
    /// the system a moment.
    fn find_descriptors(&self) -> io::Result<()> {
        if self.state.admission.shed_one() {
            return self.door.wait_for_stop(Some(SHEDDING));
        }
        self.turn_away();
        self.door.wait_for_stop(Some(PAUSE))
    }

    /// Says no to some of those in the system's queue, one after the other; to how many.
    fn turn_away(&self) -> usize {
        self.door.turn_away(MOST_REFUSED, |stream, peer| {
            if self.is_welcome(peer) {
                self.state.admission.refuse_at_once(stream, peer);
            }
        })
    }

    fn serve_connection(&self, stream: Stream, peer: Peer, buffers: &mut Buffers) {
        let state = &*self.state;
        let config = &state.config;
        let output = std::mem::take(&mut buffers.output);
        let wire = Arc::new(Wire::new(stream, peer, Arc::clone(config), Arc::clone(&state.clock), output));
        let registered = state.admission.register(&wire);
        if state.cut_all.load(Ordering::SeqCst) {
            wire.stop(); // the list was cut before this one was in it
        }
        let is_wanted = || state.is_stopping() || state.admission.has_pending();
        let service = Service { application: &*self.application, info: &self.info, is_wanted: &is_wanted };
        let end = connection::serve(&wire, &service, buffers);
        buffers.output = wire.take_output();
        match end {
            Ok(End::Over) => {}
            Ok(End::Parting) => {
                drop(registered);
                if let Err(wire) = state.admission.part(wire) {
                    wire.linger(&is_wanted);
                    wire.end();
                }
            }
            Err(error) => {
                if let Some(hook) = &config.on_error {
                    hook(&wire.peer, &error);
                }
            }
        }
    }
}
