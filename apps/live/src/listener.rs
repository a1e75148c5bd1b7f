//! [`Listener`]: the body of a stream of events.

use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use framework_mini::{Event, IntoResponse, Response, Sse};
use gateway_spec::{Blocks, Bytes, Error, StartResponse};

use crate::hub::{Hub, News, Place};

/// After which time a browser that has lost its stream comes back.
const RETRY: Duration = Duration::from_secs(2);

/// Events as they come. Dropping it lets the listener go.
pub(crate) struct Listener {
    hub: Arc<Hub>,
    place: Place,
    /// Whether the first block was sent: it lets the client know at once that it is connected.
    opened: bool,
}

impl Listener {
    pub(crate) const fn new(hub: Arc<Hub>, place: Place) -> Self {
        Self { hub, place, opened: false }
    }
}

impl Blocks for Listener {
    fn next(&mut self, _: &mut dyn StartResponse) -> Option<Result<Bytes, Error>> {
        if !std::mem::replace(&mut self.opened, true) {
            return Some(Ok(Event::comment("connected").retry(RETRY).to_string().into()));
        }
        Some(Ok(match self.hub.next(&mut self.place) {
            News::Event(event) => event,
            News::Lagged(missed) => Event::data(format!("{{\"missed\":{missed}}}")).name("lagged").to_string().into(),
            News::Heartbeat => Bytes::from_static(b":\n\n"),
            News::Nothing => Bytes::new(),
            News::End => return None,
        }))
    }

    fn set_waker(&mut self, waker: &Waker) {
        self.hub.keep(&self.place, waker);
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.hub.leave(&self.place);
    }
}

impl IntoResponse for Listener {
    fn into_response(self) -> Response {
        Sse::from_blocks(self)
    }
}
