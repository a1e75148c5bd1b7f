//! [`Partings`]: connections that were told all, and that their clients have not closed yet.
//!
//! A client that is still sending would lose the answer to a reset if the connection were closed at once (H1-CON-11). No
//! thread has to wait for that: what these clients still send is read now and then, until their end or for long enough.

use std::collections::VecDeque;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::transport::Stream;

/// How often one connection is read from before others have their turn.
const READS: usize = 64;

/// Connections whose sending direction is closed, the oldest first but for those that were looked at.
#[derive(Default)]
pub(crate) struct Partings(Mutex<VecDeque<Parting>>);

/// One of them.
pub(crate) struct Parting {
    pub(crate) stream: Stream,
    /// When it is closed in any case, by the coarse clock.
    pub(crate) until: u64,
    /// How many bytes are still read.
    pub(crate) room: u64,
}

impl Parting {
    /// Reads what is there; whether the connection can be closed.
    fn is_over(&mut self, now: u64) -> bool {
        if self.until <= now {
            return true;
        }
        let mut buffer = [0; 1024];
        for _ in 0..READS {
            match self.stream.try_read(&mut buffer) {
                Ok(0) => return true,
                Ok(n) => self.room = self.room.saturating_sub(n as u64),
                Err(error) => return error.kind() != io::ErrorKind::WouldBlock,
            }
            if self.room == 0 {
                return true;
            }
        }
        false
    }
}

impl Partings {
    fn list(&self) -> MutexGuard<'_, VecDeque<Parting>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there are fewer than `most`, after closing the first if it is over. So whoever comes next closes who has
    /// come long before, and nobody waits. If it is not over, another is the first next time.
    pub(crate) fn has_room(&self, most: usize, now: u64) -> bool {
        let mut list = self.list();
        if list.len() < most {
            return true;
        }
        let Some(mut first) = list.pop_front() else { return false };
        // Read and closed without the lock: others come and go meanwhile.
        drop(list);
        let is_over = first.is_over(now);
        if !is_over {
            self.list().push_back(first);
        }
        is_over
    }

    /// Takes a connection; if there are as many as `most`, the first is closed.
    pub(crate) fn put(&self, parting: Parting, most: usize) {
        let mut list = self.list();
        if list.len() >= most.max(1) {
            list.pop_front();
        }
        list.push_back(parting);
    }

    /// Reads what these clients still send, and closes what is over; whether anything was.
    pub(crate) fn tick(&self, now: u64) -> bool {
        let mut list = self.list();
        let before = list.len();
        list.retain_mut(|parting| !parting.is_over(now));
        list.len() < before
    }

    /// None of them has longer than this.
    pub(crate) fn hurry(&self, until: u64) {
        self.list().iter_mut().for_each(|parting| parting.until = parting.until.min(until));
    }

    pub(crate) fn clear(&self) {
        self.list().clear();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::Shutdown;
    use std::os::unix::net::UnixStream;

    use super::*;

    fn parting(until: u64, room: u64) -> (Parting, UnixStream) {
        let (here, there) = UnixStream::pair().unwrap();
        (Parting { stream: Stream::Unix(here), until, room }, there)
    }

    #[test]
    fn it_is_over_when_the_client_is() {
        let partings = Partings::default();
        let (one, mut client) = parting(10, 100);
        partings.put(one, 5);
        assert!(!partings.tick(0));
        client.write_all(&[0; 99]).unwrap();
        assert!(!partings.tick(0), "it may still send");
        client.shutdown(Shutdown::Write).unwrap();
        assert!(partings.tick(0) && partings.is_empty());
    }

    #[test]
    fn it_is_over_when_time_or_room_is() {
        let partings = Partings::default();
        let (one, _one) = parting(10, 100);
        let (two, mut client) = parting(99, 100);
        partings.put(one, 5);
        partings.put(two, 5);
        assert!(!partings.tick(9) && partings.tick(10));
        client.write_all(&[0; 100]).unwrap();
        assert!(partings.tick(11) && partings.is_empty());
        let (three, _three) = parting(99, 100);
        partings.put(three, 5);
        partings.hurry(12);
        assert!(partings.tick(12) && partings.is_empty());
    }

    #[test]
    fn one_at_a_time_makes_room_if_it_is_over() {
        let partings = Partings::default();
        let (one, _one) = parting(10, 100);
        let (two, client) = parting(10, 100);
        let (three, _three) = parting(10, 100);
        partings.put(one, 2);
        partings.put(two, 2);
        assert!(partings.has_room(3, 0) && !partings.has_room(2, 0));
        assert_eq!(partings.list().len(), 2);
        drop(client);
        assert!(partings.has_room(2, 0), "the other one was looked at before");
        assert_eq!(partings.list().len(), 1);
        partings.put(three, 1);
        assert_eq!(partings.list().len(), 1, "here the first goes in any case");
    }
}
