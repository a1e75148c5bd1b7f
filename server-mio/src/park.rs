//! [`Alarm`]: what wakes a response whose body had nothing yet.

use std::sync::Arc;
use std::task::{Wake, Waker};

use gateway_spec::Body;

use crate::inbox::{Inbox, Message};

/// Brings a connection back to its loop. A body may keep it, in any thread, for longer than the connection lives.
#[derive(Debug)]
pub(crate) struct Alarm {
    inbox: Arc<Inbox>,
    token: usize,
}

impl Alarm {
    pub(crate) const fn new(inbox: Arc<Inbox>, token: usize) -> Self {
        Self { inbox, token }
    }

    /// Hands the body a waker.
    pub(crate) fn watch(self: &Arc<Self>, body: &mut Body) {
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
        self.inbox.send(Message::Woken(self.token));
    }
}
