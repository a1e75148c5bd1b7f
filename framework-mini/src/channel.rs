//! [`channel()`]: events from any thread to one client, without a thread that waits.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use gateway_spec::{Blocks, Bytes, Error, StartResponse};

use crate::{Event, IntoResponse, Response, Sse};

/// A way for events to one client: [`Events`] is returned from the handler, [`Sender`] kept where things happen.
///
/// No thread waits for events: the server is woken when there is one. At most `capacity` events wait for a client that
/// reads slowly; what happens beyond that is for the sender to say, see [`Sender::send`].
///
/// Nothing is sent of itself. A thread of yours that sends every listener an [`Event::comment`] every 15 seconds or so keeps
/// proxies from cutting quiet connections, and finds out who has gone.
///
/// ```
/// use std::sync::Mutex;
/// use framework_mini::{App, Event, Events, Sender, State, channel};
///
/// type Listeners = Mutex<Vec<Sender>>;
///
/// fn listen(State(listeners): State<Listeners>) -> Events {
///     let (sender, events) = channel(32);
///     listeners.lock().unwrap().push(sender);
///     events
/// }
///
/// fn say(State(listeners): State<Listeners>, text: String) {
///     // Who has gone or does not keep up is forgotten.
///     listeners.lock().unwrap().retain(|listener| listener.send(Event::data(text.as_str())).is_ok());
/// }
///
/// let site = App::new(Listeners::default()).get("/events", listen).post("/say", say).build().unwrap();
/// ```
#[must_use]
pub fn channel(capacity: usize) -> (Sender, Events) {
    let state = State { queue: VecDeque::new(), waker: None, senders: 1, listening: true };
    let shared = Arc::new(Shared { state: Mutex::new(state), capacity: capacity.max(1) });
    (Sender(Arc::clone(&shared)), Events(shared))
}

/// The end of a [`channel()`] where events go in. The response ends when the last clone is dropped and all was sent.
pub struct Sender(Arc<Shared>);

/// The end of a [`channel()`] where events come out: a response.
#[derive(Debug)]
pub struct Events(Arc<Shared>);

/// Why an event was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// As many events wait as may: the client does not keep up.
    Full,
    /// The client has gone, or the response was never sent.
    Gone,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "the client does not keep up with the events",
            Self::Gone => "the client has gone",
        })
    }
}

impl std::error::Error for SendError {}

struct Shared {
    state: Mutex<State>,
    capacity: usize,
}

struct State {
    queue: VecDeque<Bytes>,
    waker: Option<Waker>,
    senders: usize,
    /// Whether the other end is there.
    listening: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under the lock can panic half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sender {
    /// Sends an event, without waiting.
    ///
    /// # Errors
    /// [`SendError::Full`] if the client does not keep up, [`SendError::Gone`] if it has gone.
    pub fn send(&self, event: Event) -> Result<(), SendError> {
        let event = Bytes::from(event.to_string());
        let mut state = self.0.lock();
        if !state.listening {
            return Err(SendError::Gone);
        }
        if state.queue.len() >= self.0.capacity {
            return Err(SendError::Full);
        }
        state.queue.push_back(event);
        wake(state);
        Ok(())
    }

    /// Whether the client has gone, as far as the server knows: of a quiet connection it may learn it by the next event,
    /// which cannot be sent.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        !self.0.lock().listening
    }
}

/// Wakes the server, with the lock released: what it does then is its own affair.
fn wake(mut state: MutexGuard<'_, State>) {
    let waker = state.waker.take();
    drop(state);
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl Clone for Sender {
    fn clone(&self) -> Self {
        self.0.lock().senders += 1;
        Self(Arc::clone(&self.0))
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.senders -= 1;
        if state.senders == 0 {
            wake(state);
        }
    }
}

impl Blocks for Events {
    fn next(&mut self, _: &mut dyn StartResponse) -> Option<Result<Bytes, Error>> {
        let mut state = self.0.lock();
        match state.queue.pop_front() {
            Some(event) => Some(Ok(event)),
            None if state.senders == 0 => None,
            None => Some(Ok(Bytes::new())),
        }
    }

    fn set_waker(&mut self, waker: &Waker) {
        let mut state = self.0.lock();
        state.waker = Some(waker.clone());
        // Between the empty block and this call something may have come.
        if !state.queue.is_empty() || state.senders == 0 {
            wake(state);
        }
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.listening = false;
        // What nobody will read.
        state.queue = VecDeque::new();
        state.waker = None;
    }
}

impl IntoResponse for Events {
    fn into_response(self) -> Response {
        Sse::from_blocks(self)
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sender").field(&self.0).finish()
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        f.debug_struct("Channel")
            .field("waiting", &state.queue.len())
            .field("capacity", &self.capacity)
            .field("senders", &state.senders)
            .field("listening", &state.listening)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;
    use std::thread;

    use gateway_spec::{Application, Body, Environ, Status};

    use super::*;
    use crate::testing::TestRequest;

    struct Wakes(AtomicUsize, thread::Thread);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
            self.1.unpark();
        }
    }

    fn wakes() -> (Arc<Wakes>, Waker) {
        let wakes = Arc::new(Wakes(AtomicUsize::new(0), thread::current()));
        (Arc::clone(&wakes), wakes.into())
    }

    struct NoStart;

    impl StartResponse for NoStart {
        fn start_response(&mut self, _: Status, _: &[(&str, &str)], _: Option<Error>) -> Result<&mut dyn Write, Error> {
            Err("not expected".into())
        }

        fn writer(&mut self) -> &mut dyn Write {
            unreachable!("not expected")
        }
    }

    fn next(events: &mut Events) -> Option<String> {
        events.next(&mut NoStart).map(|block| String::from_utf8(block.unwrap().to_vec()).unwrap())
    }

    #[test]
    fn events_come_out_in_order_and_wake() {
        let (sender, mut events) = channel(2);
        let (count, waker) = wakes();
        assert_eq!(next(&mut events).as_deref(), Some(""));
        events.set_waker(&waker);
        assert_eq!(count.0.load(Ordering::SeqCst), 0);
        sender.send(Event::data("1")).unwrap();
        sender.clone().send(Event::data("2")).unwrap();
        assert_eq!(count.0.load(Ordering::SeqCst), 1, "once is enough until it asks again");
        assert_eq!(sender.send(Event::data("3")), Err(SendError::Full));
        assert_eq!(next(&mut events).as_deref(), Some("data: 1\n\n"));
        // Something is there already when the waker comes: it must not be slept through.
        events.set_waker(&waker);
        assert_eq!(count.0.load(Ordering::SeqCst), 2);
        assert_eq!(next(&mut events).as_deref(), Some("data: 2\n\n"));
        events.set_waker(&waker);
        drop(sender);
        assert_eq!(count.0.load(Ordering::SeqCst), 3, "the end is something too");
        assert_eq!(next(&mut events), None);
    }

    #[test]
    fn who_has_gone_is_known() {
        let (sender, events) = channel(1);
        assert!(!sender.is_gone());
        drop(events);
        assert!(sender.is_gone());
        assert_eq!(sender.send(Event::data("x")), Err(SendError::Gone));
    }

    /// A server that sleeps until it is woken misses nothing, whoever is faster.
    #[test]
    fn nothing_is_slept_through() {
        let (sender, mut events) = channel(4);
        let sending = thread::spawn(move || {
            for n in 0..2000 {
                while sender.send(Event::data(n.to_string())) == Err(SendError::Full) {
                    thread::yield_now();
                }
            }
        });
        let (_, waker) = wakes();
        let mut got = 0;
        while let Some(block) = next(&mut events) {
            if block.is_empty() {
                events.set_waker(&waker);
                thread::park();
            } else {
                assert_eq!(block, format!("data: {got}\n\n"));
                got += 1;
            }
        }
        assert_eq!(got, 2000);
        sending.join().unwrap();
    }

    #[test]
    fn it_is_a_response() {
        let application = |environ: &mut Environ<'_>, start: &mut dyn StartResponse| -> Result<Body, Error> {
            let handler = || {
                let (sender, events) = channel(8);
                sender.send(Event::data("hello").id("1")).unwrap();
                events
            };
            crate::App::new(()).get("/", handler).build().unwrap().call(environ, start)
        };
        let response = TestRequest::get("/").send(&application);
        assert_eq!(response.text(), "id: 1\ndata: hello\n\n");
        assert_eq!(response.header("Content-Type"), Some("text/event-stream"));
        assert_eq!(response.header("Cache-Control"), Some("no-store"));
    }
}
