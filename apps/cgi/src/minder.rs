//! [`Minder`]: the thread beside a script that reads its standard error, keeps the time, and reaps it.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::Child;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};

use crate::log::{Lines, Log};
use crate::run::{drain, empty};
use crate::{Config, Place};

/// How long a script that was terminated has to clean up before it is killed.
const MERCY: Duration = Duration::from_millis(500);

/// How a script's reader left it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Ending {
    /// In the middle: nobody wants the rest, end it.
    Abort = 0,
    /// At the end of its output: it may have more to do.
    Finish = 1,
    /// With all that was wanted: read the rest and throw it away.
    Drain = 2,
}

/// What the reader and the minder tell each other.
pub(crate) struct Shared {
    /// The reader has found nothing to read, and waits.
    wants: AtomicBool,
    waker: Mutex<Option<Waker>>,
    expired: AtomicBool,
    ending: AtomicU8,
}

impl Shared {
    pub(crate) const fn new() -> Self {
        let ending = AtomicU8::new(Ending::Abort as u8);
        Self { wants: AtomicBool::new(true), waker: Mutex::new(None), expired: AtomicBool::new(false), ending }
    }

    pub(crate) fn has_expired(&self) -> bool {
        self.expired.load(SeqCst)
    }

    /// Notes that the reader waits; whether the minder does not know it yet.
    pub(crate) fn want(&self) -> bool {
        !self.wants.swap(true, SeqCst)
    }

    pub(crate) fn set_waker(&self, waker: &Waker) {
        *self.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(waker.clone());
        if !self.wants.load(SeqCst) {
            // It has come between the read and this.
            waker.wake_by_ref();
        }
    }

    pub(crate) fn end(&self, ending: Ending) {
        self.ending.store(ending as u8, SeqCst);
    }

    fn wake(&self) {
        self.wants.store(false, SeqCst);
        if let Some(waker) = &*self.waker.lock().unwrap_or_else(PoisonError::into_inner) {
            waker.wake_by_ref();
        }
    }
}

/// See the head of this file.
pub(crate) struct Minder {
    child: Child,
    stdout: Arc<OwnedFd>,
    stderr: Option<OwnedFd>,
    /// The end of the pipe whose other end the reader has.
    leash: UnixStream,
    shared: Arc<Shared>,
    lines: Lines,
    log: Log,
    timeout: Duration,
    /// The end of its life.
    latest: Instant,
    /// Free when the process is reaped, and not before.
    _place: Place,
}

impl Minder {
    #[allow(clippy::too_many_arguments, reason = "called once, and each is a thing of its own")]
    pub(crate) fn new(
        config: &Config,
        child: Child,
        stdout: Arc<OwnedFd>,
        stderr: OwnedFd,
        leash: UnixStream,
        shared: Arc<Shared>,
        end: Option<Instant>,
        place: Place,
        log: Log,
    ) -> Self {
        let latest = after(Instant::now(), config.lifetime);
        let (timeout, latest) = (config.timeout, end.map_or(latest, |end| end.min(latest)));
        let lines = Lines::new(log.clone());
        Self { child, stdout, stderr: Some(stderr), leash, shared, lines, log, timeout, latest, _place: place }
    }

    /// Stays until the script is reaped.
    pub(crate) fn mind(mut self) {
        if let Err(why) = self.accompany().and_then(|()| self.see_off()) {
            self.log.line(&format!("{why}; it is ended"));
            self.shared.expired.store(true, SeqCst);
            self.terminate();
            self.shared.wake();
        }
        // Only now may its number become that of another process.
        let status = self.child.wait();
        if let Some(stderr) = &self.stderr {
            drain(stderr, |octets| self.lines.push(octets));
        }
        self.lines.end();
        match status {
            Ok(status) if status.success() => {}
            // It was we.
            Ok(status) if status.signal().is_some() && self.was_ended() => {}
            Ok(status) => self.log.line(&format!("{status}")),
            Err(error) => self.log.line(&format!("it cannot be waited for: {error}")),
        }
    }

    fn was_ended(&self) -> bool {
        self.shared.has_expired() || self.ending() == Ending::Abort
    }

    fn ending(&self) -> Ending {
        match self.shared.ending.load(SeqCst) {
            1 => Ending::Finish,
            2 => Ending::Drain,
            _ => Ending::Abort,
        }
    }

    /// While somebody reads. An error is why it is to be ended.
    fn accompany(&mut self) -> Result<(), String> {
        let mut silent_since = Instant::now();
        loop {
            let wants = self.shared.wants.load(SeqCst);
            let until = if wants { self.latest.min(after(silent_since, self.timeout)) } else { self.latest };
            let ready = self.wait(true, wants, until);
            if ready.leash {
                empty(&self.leash);
                if self.is_left() {
                    return Ok(());
                }
                silent_since = Instant::now();
            } else if ready.stdout {
                self.shared.wake();
            } else if Instant::now() >= until {
                return Err(match until == self.latest {
                    true => "it has lived too long".to_owned(),
                    false => format!("it has been silent for {:?}", self.timeout),
                });
            }
        }
    }

    /// When nobody reads any more: waits for its end, or ends it.
    fn see_off(&mut self) -> Result<(), String> {
        let ending = self.ending();
        if ending == Ending::Abort {
            self.terminate();
            return Ok(());
        }
        let until = self.latest.min(after(Instant::now(), self.timeout));
        let (mut pause, mut drains) = (Duration::from_millis(1), ending == Ending::Drain);
        while !self.has_exited() {
            let now = Instant::now();
            if now >= until {
                return Err(format!("it has gone on for {:?} after its answer", self.timeout));
            }
            // Whether it has ended is not something to wait for with the pipes; but mostly they end together.
            let ready = self.wait(false, drains, until.min(now + pause));
            if ready.stdout && drain(&*self.stdout, |_| {}) {
                drains = false;
            }
            pause = (pause * 2).min(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Waits until something is to be read, and reads standard error.
    fn wait(&mut self, leash: bool, stdout: bool, until: Instant) -> Ready {
        let timeout = until.saturating_duration_since(Instant::now());
        // Rounded up: a wait that ends too early would be a loop that spins.
        let timeout = Timespec::try_from(timeout + Duration::from_millis(1)).ok();
        let mut fds = Vec::with_capacity(3);
        if leash {
            fds.push(PollFd::new(&self.leash, PollFlags::IN));
        }
        if stdout {
            fds.push(PollFd::new(&*self.stdout, PollFlags::IN));
        }
        if let Some(stderr) = &self.stderr {
            fds.push(PollFd::new(stderr, PollFlags::IN));
        }
        let _ = poll(&mut fds, timeout.as_ref()); // EINTR: nothing is ready
        let mut ready = fds.iter().map(|fd| !fd.revents().is_empty());
        let mut next = |asked: bool| asked && ready.next().unwrap_or(false);
        let (leash, stdout, stderr) = (next(leash), next(stdout), next(self.stderr.is_some()));
        drop(fds);
        if stderr
            && let Some(pipe) = &self.stderr
            && drain(pipe, |octets| self.lines.push(octets))
        {
            self.stderr = None;
        }
        Ready { leash, stdout }
    }

    /// Whether the reader has dropped its end.
    fn is_left(&self) -> bool {
        let mut byte = [0];
        loop {
            return match rustix::io::read(&self.leash, &mut byte) {
                Ok(0) => true,
                Ok(_) => continue,
                Err(rustix::io::Errno::INTR) => continue,
                Err(errno) => errno != rustix::io::Errno::AGAIN,
            };
        }
    }

    /// Ends the whole group: asks, gives it a moment, kills.
    ///
    /// The process is not reaped before, so that neither its number nor that of its group can be another's.
    fn terminate(&mut self) {
        let group = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let signal = |signal| group.map(|group| rustix::process::kill_process_group(group, signal));
        signal(Signal::TERM);
        let until = Instant::now() + MERCY;
        while !self.has_exited() && Instant::now() < until {
            self.wait(false, false, until.min(Instant::now() + Duration::from_millis(5)));
        }
        signal(Signal::KILL);
        // Should it have left its group.
        let _ = self.child.kill();
    }

    /// Whether it has ended. It stays to be reaped.
    fn has_exited(&self) -> bool {
        let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) else { return true };
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        match rustix::process::waitid(WaitId::Pid(pid), options) {
            Ok(status) => status.is_some(),
            Err(errno) => errno != rustix::io::Errno::INTR,
        }
    }
}

/// So long after a time. Whoever wants no limit sets [`Duration::MAX`], which is later than a clock can tell: then a year.
fn after(time: Instant, duration: Duration) -> Instant {
    time.checked_add(duration).unwrap_or_else(|| time + Duration::from_secs(365 * 24 * 60 * 60))
}

/// What is to be read.
struct Ready {
    leash: bool,
    stdout: bool,
}
