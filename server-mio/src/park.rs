//! [`Alarm`]: what wakes a response whose body had nothing yet.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

use gateway_spec::Body;

use crate::inbox::{Inbox, Message};

/// Brings a connection back to its loop. A body may keep it, in any thread, for longer than the connection lives.
#[derive(Debug)]
pub(crate) struct Alarm {
    inbox: Arc<Inbox>,
    token: usize,
    /// Whether it has rung, and the body was not asked since.
    has_rung: AtomicBool,
}

impl Alarm {
    pub(crate) const fn new(inbox: Arc<Inbox>, token: usize) -> Self {
        Self { inbox, token, has_rung: AtomicBool::new(false) }
    }

    /// Hands the body a waker, before it is asked.
    pub(crate) fn watch(self: &Arc<Self>, body: &mut Body) {
        // With what whoever rang has done before: it is asked about now.
        self.has_rung.swap(false, Ordering::SeqCst);
        body.set_waker(&Waker::from(self.clone()));
    }

    /// Whether somebody keeps the waker, so that it can be relied on.
    pub(crate) fn is_kept(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) > 1
    }
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // A producer may be faster than the loop, and wakes it once.
        if !self.has_rung.swap(true, Ordering::SeqCst) {
            self.inbox.send(Message::Woken(self.token));
        }
    }
}

#[cfg(test)]
mod tests {
    use mio::{Poll, Token};

    use super::*;

    /// However often it is woken before the body is asked again.
    #[test]
    fn a_body_wakes_its_loop_once() {
        let poll = Poll::new().unwrap();
        let inbox = Arc::new(Inbox::new(mio::Waker::new(poll.registry(), Token(0)).unwrap()));
        let alarm = Arc::new(Alarm::new(inbox.clone(), 7));
        for _ in 0..2 {
            (0..1000).for_each(|_| alarm.wake_by_ref());
            let mut messages = Vec::new();
            inbox.take(&mut messages);
            assert!(matches!(messages[..], [Message::Woken(7)]), "{messages:?}");
            alarm.watch(&mut Body::empty());
        }
    }
}
