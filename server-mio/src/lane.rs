//! [`Lane`]: a loop with its threads, and the requests that wait for one of them.

use std::any::Any;
use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use mio::{Poll, Registry, Waker};

use crate::clock::millis;
use crate::connection::{Connection, Next, Ready};
use crate::event_loop::{Core, Job, WAKER};
use crate::forecast::Forecast;
use crate::gateway::panicked;
use crate::handoff::{Handoff, Summons};
use crate::inbox::{Inbox, Message};
use crate::lock::lock;
use crate::server::Shared;
use crate::transport::LoopListener;
use crate::worker::{Batch, Worker};

/// One event loop, handed on among its threads.
#[derive(Debug)]
pub(crate) struct Lane {
    index: usize,
    /// Tried, and not waited for but at the very end ([`clear_late`](Self::clear_late)).
    core: spin::Mutex<Core>,
    pub(crate) handoff: Arc<Handoff>,
    pub(crate) forecast: Arc<Forecast>,
    pub(crate) batch: Arc<Batch>,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) registry: Arc<Registry>,
    waiting: Waiting,
    /// Whether it was said that threads cannot be made.
    has_complained: AtomicBool,
    pub(crate) shared: Arc<Shared>,
}

impl Lane {
    pub(crate) fn new(
        index: usize,
        listener: LoopListener,
        threads: usize,
        shared: Arc<Shared>,
    ) -> io::Result<Arc<Self>> {
        let poll = Poll::new()?;
        let inbox = Arc::new(Inbox::new(Waker::new(poll.registry(), WAKER)?));
        let core = Core::new(poll, listener, inbox.clone(), shared.clone())?;
        let registry = Arc::new(core.registry()?);
        let waiting = Waiting::new(shared.config.max_pending, millis(shared.config.pending_timeout));
        let handoff = Arc::new(Handoff::new(threads));
        let (forecast, batch) = (Arc::new(Forecast::new()), Arc::default());
        let has_complained = AtomicBool::new(false);
        let core = spin::Mutex::new(core);
        Ok(Arc::new(Self { index, core, handoff, forecast, batch, inbox, registry, waiting, has_complained, shared }))
    }

    /// Wakes a thread that should lead, or makes one.
    pub(crate) fn summon(self: &Arc<Self>) -> Summons {
        let summons = self.handoff.summon();
        if summons == Summons::Spawn {
            let lane = self.clone();
            let thread = thread::Builder::new().name(format!("server-mio {}", self.index));
            if let Err(error) = thread.spawn(move || lane.run()) {
                self.handoff.leave();
                // Tried again at every tick of the monitor, said once.
                if !self.has_complained.swap(true, Ordering::Relaxed) {
                    self.shared.config.errors.write(&format!("server-mio: no thread could be made: {error}\n"));
                }
            }
        }
        summons
    }

    /// The life of a thread.
    fn run(self: &Arc<Self>) {
        let mut worker = Worker::new(self.clone());
        while self.handoff.stand_by() {
            if let Some(core) = self.try_lock() {
                self.handoff.take_over();
                self.batch.send();
                self.lead(core, &mut worker);
            }
        }
    }

    /// To be called by threads that are ready to lead, and by no others.
    fn try_lock(&self) -> Option<spin::MutexGuard<'_, Core>> {
        self.core.try_lock()
    }

    /// Leads until the loop ends, or was taken over.
    fn lead<'l>(&'l self, mut core: spin::MutexGuard<'l, Core>, worker: &mut Worker) {
        loop {
            let Some(job) = core.next(&self.waiting, || !self.handoff.is_last()) else {
                let rest = core.clear(&self.waiting);
                drop(core);
                // First of all, as what follows is the application's, and may take its time.
                self.handoff.end();
                self.shared.doze.wake();
                give_up(rest, worker);
                self.clear_late(worker);
                return;
            };
            let ticket = self.handoff.depart();
            drop(core);
            self.shared.doze.wake();
            let may_block = !self.handoff.is_last();
            worker.ticket = Some(ticket);
            let (token, connection, next) = drive(worker, job, may_block);
            let Some(back) = self.try_lock() else {
                self.inbox.send(Message::Returned(token, connection, next));
                match self.help(worker) {
                    Some(back) => {
                        self.handoff.arrive(ticket);
                        core = back;
                        continue;
                    }
                    None => return,
                }
            };
            core = back;
            self.handoff.arrive(ticket);
            core.settle(token, connection, next, &self.waiting);
        }
    }

    /// Ends the connections that came back while the first who did it had the lock: nobody else would look into the inbox.
    /// Done by both sides, after the end was noted and after the connection was sent: whoever is later sees it.
    fn clear_late(&self, worker: &mut Worker) {
        // The other side may have it, or a thread that was just summoned: for no longer than it takes to empty a list.
        let rest = lock(&self.core).clear(&self.waiting);
        give_up(rest, worker);
    }

    /// A detached thread drives requests that wait for one. It may find the loop free meanwhile, and then leads it.
    fn help(&self, worker: &mut Worker) -> Option<spin::MutexGuard<'_, Core>> {
        while let Some(connection) = self.waiting.pop() {
            worker.ticket = None;
            let (token, connection, next) = drive_aside(worker, Job::Drive(connection, Ready::NONE), true);
            self.inbox.send(Message::Returned(token, connection, next));
            if let Some(core) = self.try_lock() {
                return Some(core);
            }
        }
        self.handoff.rejoin();
        if !self.waiting.is_empty() {
            // One was queued when this thread was still counted as busy: the leader may take it now.
            self.inbox.send(Message::Look);
        }
        if self.handoff.has_ended() {
            self.clear_late(worker);
        }
        None
    }
}

/// Ends connections that no thread has, when their loop has ended. Bodies that are cut short are closed like others.
fn give_up(connections: VecDeque<Box<Connection>>, worker: &mut Worker) {
    for mut connection in connections {
        guarded(&worker.shared.clone(), || {
            connection.give_up(worker);
            connection.leave(worker);
            drop(connection);
        });
    }
}

/// What the application does is caught where it is called; what comes here is a panic of what it has left behind, of a hook,
/// or a fault in this crate. The thread survives it.
fn guarded<R>(shared: &Shared, what: impl FnOnce() -> R) -> Option<R> {
    catch_unwind(AssertUnwindSafe(what)).map_err(|panic| tell(shared, panic)).ok()
}

fn tell(shared: &Shared, panic: Box<dyn Any + Send>) {
    shared.config.errors.write(&format!("server-mio: {}\n", panicked(panic)));
}

/// As [`drive`], for who does not lead.
#[inline(never)]
fn drive_aside(worker: &mut Worker, job: Job, may_block: bool) -> (usize, Option<Box<Connection>>, Next) {
    drive(worker, job, may_block)
}

/// Drives a connection. Whatever happens in it, the thread survives, and the connection is given back or is over.
#[inline(always)]
fn drive(worker: &mut Worker, job: Job, may_block: bool) -> (usize, Option<Box<Connection>>, Next) {
    let (mut connection, ready) = match job {
        Job::Drive(connection, ready) => (connection, Some(ready)),
        Job::Overload(connection) => (connection, None),
    };
    let token = connection.token;
    let next = catch_unwind(AssertUnwindSafe(|| match ready {
        Some(ready) => connection.drive(worker, ready, may_block),
        None => connection.overload(worker),
    }));
    let next = next.unwrap_or_else(|panic| {
        tell(&worker.shared, panic);
        connection.socket.spoil();
        Next::Close
    });
    if next == Next::Close {
        // Closed here, without the lock.
        connection.leave(worker);
        guarded(&worker.shared, || drop(connection));
        return (token, None, next);
    }
    (token, Some(connection), next)
}

/// Requests that wait for a thread, because all are in the application. Those that can still be refused are bounded in
/// number and time; the others are responses that have begun, at most one for each connection.
#[derive(Debug)]
pub(crate) struct Waiting {
    queue: Mutex<VecDeque<Entry>>,
    length: AtomicUsize,
    most: usize,
    patience: u64,
}

#[derive(Debug)]
struct Entry {
    connection: Box<Connection>,
    fresh: bool,
    since: u64,
}

impl Waiting {
    const fn new(most: usize, patience: u64) -> Self {
        Self { queue: Mutex::new(VecDeque::new()), length: AtomicUsize::new(0), most, patience }
    }

    fn queue(&self) -> MutexGuard<'_, VecDeque<Entry>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nobody waits; without the lock.
    pub(crate) fn is_empty(&self) -> bool {
        self.length.load(Ordering::SeqCst) == 0
    }

    /// Queues a connection. It comes back if it is `fresh` and too many wait.
    pub(crate) fn push(&self, connection: Box<Connection>, fresh: bool, now: u64) -> Result<(), Box<Connection>> {
        let mut queue = self.queue();
        if fresh && queue.iter().filter(|entry| entry.fresh).count() >= self.most {
            return Err(connection);
        }
        queue.push_back(Entry { connection, fresh, since: now });
        self.length.store(queue.len(), Ordering::SeqCst);
        Ok(())
    }

    /// Takes the one that waits for longest.
    pub(crate) fn pop(&self) -> Option<Box<Connection>> {
        if self.is_empty() {
            return None;
        }
        let mut queue = self.queue();
        let entry = queue.pop_front();
        self.length.store(queue.len(), Ordering::SeqCst);
        entry.map(|entry| entry.connection)
    }

    /// Takes one that has waited too long.
    pub(crate) fn expired(&self, now: u64) -> Option<Box<Connection>> {
        if self.is_empty() {
            return None;
        }
        let mut queue = self.queue();
        let index = queue.iter().position(|entry| entry.fresh && entry.since + self.patience <= now)?;
        let entry = queue.remove(index);
        self.length.store(queue.len(), Ordering::SeqCst);
        entry.map(|entry| entry.connection)
    }

    /// When the next one will have waited too long.
    pub(crate) fn next(&self) -> Option<u64> {
        if self.is_empty() {
            return None;
        }
        self.queue().iter().find(|entry| entry.fresh).map(|entry| entry.since + self.patience)
    }
}
