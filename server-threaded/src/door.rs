//! [`Door`]: where threads without a connection wait for one.
//!
//! Every thread accepts for itself. All of them wait on one epoll instance, which wakes one for a newcomer: it accepts, arms
//! the door for the next one (`EPOLLONESHOT`), and serves. So nobody who gets a place at once is handed from thread to thread
//! (decision 0018).

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::Duration;

use gateway_spec::Peer;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::transport::{Listener, Stream};

/// What the listener's events say; those of the waker say 0.
const NEWCOMER: u64 = 1;

/// Once, until it is said again.
const ARMED: EventFlags = EventFlags::IN.union(EventFlags::ONESHOT);

/// The listener, and who waits for what comes.
pub(crate) struct Door {
    /// `None` once it is closed.
    listener: RwLock<Option<Listener>>,
    epoll: OwnedFd,
    /// Readable for good once the server stops.
    wake: UnixStream,
    /// Kept to have one descriptor when all others are taken: to say no with.
    reserve: Mutex<Option<File>>,
}

impl Door {
    /// `wake` is readable when the server stops.
    pub(crate) fn new(listener: Listener, wake: UnixStream) -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &listener, EventData::new_u64(NEWCOMER), ARMED)?;
        epoll::add(&epoll, &wake, EventData::new_u64(0), EventFlags::IN)?;
        Ok(Self {
            listener: RwLock::new(Some(listener)),
            epoll,
            wake,
            reserve: Mutex::new(File::open("/dev/null").ok()),
        })
    }

    /// Waits until somebody may be there, the server stops, or for `limit`, which is the only one to say `false`.
    pub(crate) fn wait(&self, limit: Duration) -> io::Result<bool> {
        let mut events = [Event { flags: EventFlags::empty(), data: EventData::new_u64(0) }];
        match epoll::wait(&self.epoll, &mut events, Timespec::try_from(limit).ok().as_ref()) {
            Ok(0) => Ok(false),
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    /// Who is next in the system's queue, and lets one of those that wait know of who comes after it, or is there already.
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if nobody is there, or the door is closed.
    ///
    /// # Errors
    /// Also those of `accept`. After one that [is exhaustion](is_exhaustion) nobody is told until the door is
    /// [armed](Self::arm).
    pub(crate) fn accept(&self) -> io::Result<(Stream, Peer)> {
        let accepted = self.accept_unarmed();
        if !accepted.as_ref().is_err_and(is_exhaustion) {
            self.arm()?;
        }
        accepted
    }

    fn accept_unarmed(&self) -> io::Result<(Stream, Peer)> {
        match &*self.listener.read().unwrap_or_else(PoisonError::into_inner) {
            Some(listener) => listener.accept(),
            None => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Lets one of those that wait know of who comes, or is there already.
    pub(crate) fn arm(&self) -> io::Result<()> {
        match &*self.listener.read().unwrap_or_else(PoisonError::into_inner) {
            Some(listener) => Ok(epoll::modify(&self.epoll, listener, EventData::new_u64(NEWCOMER), ARMED)?),
            None => Ok(()),
        }
    }

    /// Accepts up to `most` with the descriptor that is kept for it, one after the other: `refuse` has to let go of each. The
    /// door is not [armed](Self::arm) by that. Returns how many there were.
    pub(crate) fn turn_away(&self, most: usize, refuse: impl Fn(Stream, &Peer)) -> usize {
        let mut reserve = self.reserve.lock().unwrap_or_else(PoisonError::into_inner);
        drop(reserve.take());
        let mut refused = 0;
        for (stream, peer) in (0..most).map_while(|_| self.accept_unarmed().ok()) {
            refuse(stream, &peer);
            refused += 1;
        }
        *reserve = File::open("/dev/null").ok();
        refused
    }

    /// Waits until the server stops, at most for `limit`.
    pub(crate) fn wait_for_stop(&self, limit: Option<Duration>) -> io::Result<()> {
        let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
        loop {
            match poll(&mut [PollFd::new(&self.wake, PollFlags::IN)], limit.as_ref()) {
                Ok(_) => return Ok(()),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.listener.read().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Closes the listener: who comes now is refused by the system.
    pub(crate) fn close(&self) {
        drop(self.listener.write().unwrap_or_else(PoisonError::into_inner).take());
    }
}

/// Whether an error of `accept` says that the system has no descriptors or no memory left.
pub(crate) fn is_exhaustion(error: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM))
}

/// Whether an error of `accept` says something of one connection only: its peer has gone between its arrival and now, or a
/// firewall says no.
pub(crate) fn is_of_one_connection(error: &io::Error) -> bool {
    use rustix::io::Errno;
    // Linux passes pending network errors of the new socket on (accept(2)).
    matches!(
        Errno::from_io_error(error),
        Some(
            Errno::CONNABORTED
                | Errno::INTR
                | Errno::PROTO
                | Errno::PERM
                | Errno::NETDOWN
                | Errno::NETUNREACH
                | Errno::NONET
                | Errno::HOSTUNREACH
                | Errno::HOSTDOWN
                | Errno::NOPROTOOPT
                | Errno::OPNOTSUPP
                | Errno::CONNRESET
                | Errno::TIMEDOUT
        )
    )
}
