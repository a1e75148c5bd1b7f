//! [`Stream`] and [`Sse`]: responses that are made while they are sent.

use std::fmt;
use std::fmt::Write as _;
use std::time::Duration;

use gateway_spec::{Blocks, Body, Bytes};

use crate::response::of_type;
use crate::{IntoResponse, Response};

/// Blocks of an iterator, sent one by one. It is dropped at the end or when the client has gone.
///
/// An iterator that may fail goes into [`Body::try_blocks`], which can be returned just so.
///
/// ```
/// use framework_mini::{IntoResponse, Response, Stream};
///
/// fn numbers() -> Response {
///     Stream((1..=1_000_000).map(|n| format!("{n}\n"))).into_response().with_header("Content-Type", "text/csv")
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Stream<I>(pub I);

impl<I> IntoResponse for Stream<I>
where
    I: IntoIterator<Item: Into<Bytes>>,
    I::IntoIter: Send + 'static,
{
    fn into_response(self) -> Response {
        of_type("application/octet-stream", Body::blocks(self.0))
    }
}

/// Server-sent events of an iterator, each sent as soon as it is there.
///
/// The iterator may wait for its next event; the thread that asks waits with it. One that has nothing yet and does not
/// want to wait gives an [`Event::default`], which sends nothing and lets the server see to others.
///
/// ```
/// use framework_mini::{Event, Sse};
///
/// fn countdown() -> Sse<impl Iterator<Item = Event>> {
///     Sse((0..10).rev().map(|n| Event::data(n.to_string()).id(n.to_string())))
/// }
/// ```
///
/// Many quiet listeners are another matter: a thread for each is much, and so is asking each of them again and again. For
/// those there is [`channel`](crate::channel()): it wakes the server when there is something. [`Sse::from_blocks`] takes a
/// [`Blocks`] of your own.
#[derive(Clone, Debug)]
pub struct Sse<I>(pub I);

impl<I> IntoResponse for Sse<I>
where
    I: IntoIterator<Item = Event>,
    I::IntoIter: Send + 'static,
{
    fn into_response(self) -> Response {
        sse(Body::blocks(self.0.into_iter().map(|event| event.to_string())))
    }
}

impl Sse<()> {
    /// The response of a body that yields events as text, each as [`Event`]'s `to_string` writes it, and an empty block for
    /// *nothing yet*.
    pub fn from_blocks(blocks: impl Blocks + 'static) -> Response {
        sse(Body::from_blocks(blocks))
    }
}

fn sse(body: Body) -> Response {
    of_type("text/event-stream", body)
        .with_header("Cache-Control", "no-store")
        // For proxies that would otherwise wait until a buffer is full.
        .with_header("X-Accel-Buffering", "no")
}

/// A server-sent event. The default is none at all: an empty block.
///
/// ```
/// use framework_mini::Event;
///
/// assert_eq!(Event::data("two\nlines").name("say").to_string(), "event: say\ndata: two\ndata: lines\n\n");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    comment: Option<String>,
    name: Option<String>,
    id: Option<String>,
    retry: Option<Duration>,
    data: Option<String>,
}

impl Event {
    /// An event with data, of any number of lines.
    pub fn data(data: impl Into<String>) -> Self {
        Self { data: Some(data.into()), ..Self::default() }
    }

    /// A comment, which browsers pass over: sent every 15 seconds or so it keeps proxies from cutting the connection and
    /// shows that the client has gone.
    pub fn comment(text: impl Into<String>) -> Self {
        Self { comment: Some(text.into()), ..Self::default() }
    }

    /// With a name, for listeners of that name.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// With an id, which comes back as `Last-Event-ID` when the client connects again.
    #[must_use]
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// With the time after which the client connects again.
    #[must_use]
    pub const fn retry(mut self, after: Duration) -> Self {
        self.retry = Some(after);
        self
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::default() {
            return Ok(());
        }
        let mut lines = |field: &str, text: &str| {
            // All three ends of line that the format knows, so that no text can begin a field of its own.
            text.replace("\r\n", "\n").split(['\n', '\r']).try_for_each(|line| writeln!(f, "{field}: {line}"))
        };
        let one = |text: &str| text.replace(['\n', '\r', '\0'], "");
        if let Some(comment) = &self.comment {
            lines("", comment)?;
        }
        if let Some(name) = &self.name {
            lines("event", &one(name))?;
        }
        if let Some(id) = &self.id {
            lines("id", &one(id))?;
        }
        if let Some(retry) = self.retry {
            lines("retry", &retry.as_millis().to_string())?;
        }
        if let Some(data) = &self.data {
            lines("data", data)?;
        }
        f.write_char('\n')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events() {
        for (event, expected) in [
            (Event::default(), ""),
            (Event::data("a"), "data: a\n\n"),
            (Event::data(""), "data: \n\n"),
            (Event::data("a\nb\r\nc\rd\n"), "data: a\ndata: b\ndata: c\ndata: d\ndata: \n\n"),
            (Event::comment("still here"), ": still here\n\n"),
            (
                Event::data("x").name("say").id("7").retry(Duration::from_secs(3)),
                "event: say\nid: 7\nretry: 3000\ndata: x\n\n",
            ),
            (Event::data("x").id("1\ndata: forged\0"), "id: 1data: forged\ndata: x\n\n"),
        ] {
            assert_eq!(event.to_string(), expected);
        }
    }
}
