//! [`Inbox`]: what other threads have to say to a loop.

use std::sync::{Mutex, PoisonError};

use mio::Waker;

use crate::connection::{Connection, Next};

/// A message to a loop.
#[derive(Debug)]
pub(crate) enum Message {
    /// A connection comes back, from a thread that has lost the loop meanwhile; or it is over.
    Returned(usize, Option<Box<Connection>>, Next),
    /// The body of this connection has something.
    Woken(usize),
    /// A thread has become free while requests wait for one, or a place while newcomers wait for one.
    Look,
    /// Another loop wants for descriptors: an idle connection should go.
    Shed,
    /// Newcomers of another loop need places: the same, if there are none.
    MakeRoom,
    /// The server's state has changed.
    Shutdown,
}

/// A queue that wakes the loop when it is no longer empty.
#[derive(Debug)]
pub(crate) struct Inbox {
    queue: Mutex<Vec<Message>>,
    waker: Waker,
}

impl Inbox {
    pub(crate) const fn new(waker: Waker) -> Self {
        Self { queue: Mutex::new(Vec::new()), waker }
    }

    pub(crate) fn send(&self, message: Message) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let first = queue.is_empty();
        queue.push(message);
        drop(queue);
        // Later messages find a queue that somebody was woken for and that is taken as a whole.
        if first {
            // It fails only when the loop has gone, and then nobody is to be woken.
            let _ = self.waker.wake();
        }
    }

    /// Takes all messages.
    pub(crate) fn take(&self, messages: &mut Vec<Message>) {
        messages.append(&mut self.queue.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
