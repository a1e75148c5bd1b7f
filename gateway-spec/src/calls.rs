//! [`Calls`]: the order of calls, kept in one table for every server.
//!
//! ```text
//!              start                 bytes                 end
//!   Fresh ───────────────► Held ───────────────► Sent ───────────────► Done
//!     │      restart ↺ ▲    │  └──────────────── end ─────────────────► │
//!     │                │    │                     │
//!     │ bad head       │    │ bad head,           │ restart, start
//!     ▼                │    ▼ second start        ▼
//!   Refused ───────────┴── Refused              Broken
//!            restart
//! ```
//!
//! *start* is a call without `exc_info`, *restart* one with it, *bytes* the first non-empty block or write. What has no
//! arrow is a misuse. Empty blocks are no event at all (GW-ITER-12).

use crate::header::Head;
use crate::rare::Rare;
use crate::{Error, LastHead, Misuse, Status};

/// Where a response stands in the order of calls, and how much of its body there was.
///
/// Servers keep one for each response and ask it before they act. It sends nothing, and holds no head: what
/// [`start`](Self::start) returns is for the server to store, in place of what it stored before.
///
/// ```
/// use gateway_spec::{Calls, Misuse, Status};
///
/// let mut calls = Calls::new();
/// let head = calls.start(&Status::OK, &[("Content-Length", "5")], None).unwrap();
/// assert_eq!(head.content_length(), Some(5));
/// assert_eq!(calls.yielded(11).unwrap(), 5);  // "hello world" is cut to "hello" (GW-CL-01)
/// assert!(calls.is_complete());               // no need to ask for more (GW-CL-02)
/// assert_eq!(calls.end(), Ok(()));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Calls {
    phase: Phase,
    /// Why the phase is `Refused` or `Broken`. Boxed, as hardly any response has one and every one would have to move it.
    misuse: Rare<Misuse>,
    declared: Option<u64>,
    /// Whether the length is the body's own word rather than the head's.
    announced: bool,
    delivered: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// `start_response` was not called.
    #[default]
    Fresh,
    /// The head is stored and not sent.
    Held,
    /// A call was refused while nothing was sent; only a restart leads out.
    Refused,
    /// The head was sent.
    Sent,
    /// A call was refused after the head was sent; nothing leads out.
    Broken,
    /// The body has ended.
    Done,
}

impl Calls {
    /// The beginning of a response.
    #[must_use]
    pub const fn new() -> Self {
        Self { phase: Phase::Fresh, misuse: Rare::NONE, declared: None, announced: false, delivered: 0 }
    }

    /// `start_response` was called: checks its turn and its headers.
    ///
    /// The head that is returned replaces one returned before, wholly (GW-SR-12).
    ///
    /// # Errors
    /// [`Misuse::StartedTwice`] or a misuse of the headers; `exc_info` itself if the head was sent (GW-SR-13).
    pub fn start<'h>(
        &mut self,
        status: &'h Status,
        headers: &'h [(&'h str, &'h str)],
        exc_info: Option<Error>,
    ) -> Result<Head<'h>, Error> {
        match (self.phase, exc_info) {
            (Phase::Fresh, _) | (Phase::Held | Phase::Refused, Some(_)) => match Head::check(status, headers) {
                Ok(head) => {
                    *self = Self { phase: Phase::Held, declared: head.content_length(), ..Self::new() };
                    Ok(head)
                }
                Err(misuse) => Err(self.refuse(misuse).into()),
            },
            (Phase::Held | Phase::Refused, None) => Err(self.refuse(Misuse::StartedTwice).into()),
            (Phase::Sent | Phase::Broken | Phase::Done, Some(error)) => {
                self.refuse(Misuse::WentOnAfterError);
                Err(error)
            }
            (Phase::Sent | Phase::Broken | Phase::Done, None) => Err(self.refuse(Misuse::StartedTwice).into()),
        }
    }

    /// As [`start`](Self::start), for a server that keeps the [`LastHead`] of a connection: the same head is not checked
    /// again, unless it replaces one. `None` says that it is that one, so that what the server has made of it serves again.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    #[inline]
    pub fn start_after<'h>(
        &mut self,
        last: &mut LastHead,
        status: &'h Status,
        headers: &'h [(&'h str, &'h str)],
        exc_info: Option<Error>,
    ) -> Result<Option<Head<'h>>, Error> {
        // What nearly every response does: the first call, with the head of the response before.
        if self.phase == Phase::Fresh
            && let Some(facts) = last.facts(status, headers)
        {
            self.phase = Phase::Held;
            self.declared = facts.content_length;
            return Ok(None);
        }
        self.start_anew(last, status, headers, exc_info).map(Some)
    }

    #[inline(never)]
    fn start_anew<'h>(
        &mut self,
        last: &mut LastHead,
        status: &'h Status,
        headers: &'h [(&'h str, &'h str)],
        exc_info: Option<Error>,
    ) -> Result<Head<'h>, Error> {
        self.start(status, headers, exc_info).inspect(|head| last.keep(head, headers))
    }

    /// The body has yielded a block of `length` bytes: how many of them to send.
    ///
    /// Less than `length` only if the block goes past the declared `Content-Length` (GW-CL-01); see
    /// [`is_complete`](Self::is_complete). An empty block is always allowed and changes nothing.
    ///
    /// # Errors
    /// A misuse, if the response has no head or is beyond repair.
    #[inline]
    pub fn yielded(&mut self, length: usize) -> Result<usize, Misuse> {
        if length == 0 {
            return Ok(0);
        }
        self.bytes()?;
        let room = self.declared.map_or(u64::MAX, |declared| declared.saturating_sub(self.delivered));
        let allowed = usize::try_from(room).map_or(length, |room| room.min(length));
        self.delivered += allowed as u64;
        Ok(allowed)
    }

    /// The application has written `length` bytes: all of them are to be sent, or none.
    ///
    /// # Errors
    /// [`Misuse::TooLong`] if they go past the declared `Content-Length` (GW-CL-02), else as
    /// [`yielded`](Self::yielded).
    pub fn written(&mut self, length: usize) -> Result<(), Misuse> {
        match self.declared {
            Some(declared) if self.delivered.saturating_add(length as u64) > declared => {
                Err(Misuse::TooLong { declared })
            }
            _ => self.yielded(length).map(drop),
        }
    }

    /// The body has ended, or was closed because it [is complete](Self::is_complete).
    ///
    /// # Errors
    /// A misuse that the application has not reported by itself, or [`Misuse::TooShort`].
    #[inline]
    pub fn end(&mut self) -> Result<(), Misuse> {
        match (self.phase, self.declared) {
            (Phase::Held | Phase::Sent, Some(declared)) if self.delivered < declared => Err(self.too_short(declared)),
            (Phase::Held | Phase::Sent, _) => {
                self.phase = Phase::Done;
                Ok(())
            }
            (Phase::Done, _) => Ok(()),
            (Phase::Fresh, _) => Err(self.refuse(Misuse::NotStarted)),
            (Phase::Refused | Phase::Broken, _) => Err(self.reason()),
        }
    }

    /// The body is one block of `length` bytes, as that of nearly every response is: whether that is all of it.
    ///
    /// If the head stands, nothing was sent before, and the length is not zero, and the declared one if there is one, then
    /// the body has ended with it, as after [`yielded`](Self::yielded) and [`end`](Self::end). If not, nothing has changed,
    /// and those two tell what is to be done.
    #[inline]
    pub fn end_with(&mut self, length: usize) -> bool {
        let length = length as u64;
        let is_all = self.phase == Phase::Held && length > 0 && self.declared.is_none_or(|declared| declared == length);
        if is_all {
            (self.phase, self.delivered) = (Phase::Done, length);
        }
        is_all
    }

    #[cold]
    fn too_short(&mut self, declared: u64) -> Misuse {
        self.phase = Phase::Done;
        let delivered = self.delivered;
        if self.announced {
            Misuse::NotAsAnnounced { announced: declared, delivered }
        } else {
            Misuse::TooShort { declared, delivered }
        }
    }

    /// The server sends a `Content-Length` that it has from the body ([`Body::len`](crate::Body::len)), the application
    /// having declared none. From now on the body is held to it as to a declared one (GW-ITER-06, GW-ITER-07).
    ///
    /// `length` is that of the whole body, what was [yielded](Self::yielded) before included.
    pub const fn announce(&mut self, length: u64) {
        if self.declared.is_none() {
            self.declared = Some(length);
            self.announced = true;
        }
    }

    /// Forgets the declared length: the response has no content by its method or status, so its `Content-Length` is
    /// that of another response (H1-CLEN-04), and nothing can be too long or too short.
    pub const fn ignore_length(&mut self) {
        self.declared = None;
    }

    /// Whether `start_response` was called and its head stands.
    #[must_use]
    pub const fn has_started(&self) -> bool {
        matches!(self.phase, Phase::Held | Phase::Sent | Phase::Done)
    }

    /// Whether there were bytes, so that the head is on its way and nothing can be replaced.
    #[must_use]
    pub const fn has_sent(&self) -> bool {
        matches!(self.phase, Phase::Sent | Phase::Broken)
    }

    /// Whether the declared length was reached: the server need not ask for more (GW-CL-02).
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.has_started() && self.declared.is_some_and(|declared| self.delivered >= declared)
    }

    /// How many bytes of the body there were.
    #[must_use]
    pub const fn delivered(&self) -> u64 {
        self.delivered
    }

    /// The event *bytes* of the table.
    #[inline]
    fn bytes(&mut self) -> Result<(), Misuse> {
        match self.phase {
            Phase::Held | Phase::Sent => {
                self.phase = Phase::Sent;
                Ok(())
            }
            Phase::Fresh | Phase::Done => Err(self.refuse(Misuse::NotStarted)),
            Phase::Refused | Phase::Broken => Err(self.reason()),
        }
    }

    #[cold]
    fn refuse(&mut self, misuse: Misuse) -> Misuse {
        self.phase = match self.phase {
            Phase::Fresh | Phase::Held | Phase::Refused => Phase::Refused,
            Phase::Sent | Phase::Broken | Phase::Done => Phase::Broken,
        };
        *self.misuse = Some(Box::new(misuse.clone()));
        misuse
    }

    #[cold]
    fn reason(&self) -> Misuse {
        self.misuse.as_deref().cloned().unwrap_or(Misuse::NotStarted)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PLAIN: &[(&str, &str)] = &[("Content-Type", "text/plain")];
    const BAD: &[(&str, &str)] = &[("X", "a\nb")];

    fn start(calls: &mut Calls, headers: &[(&str, &str)]) -> Result<(), String> {
        calls.start(&Status::OK, headers, None).map(drop).map_err(|e| e.to_string())
    }

    fn restart(calls: &mut Calls, headers: &[(&str, &str)]) -> Result<(), String> {
        calls.start(&Status::OK, headers, Some("mine".into())).map(drop).map_err(|e| e.to_string())
    }

    #[test]
    fn a_second_start_is_refused_until_a_restart() {
        let mut calls = Calls::new();
        start(&mut calls, PLAIN).unwrap();
        assert!(start(&mut calls, PLAIN).unwrap_err().starts_with("GW-SR-10"));
        assert_eq!(calls.end(), Err(Misuse::StartedTwice), "swallowing the error does not help");
        restart(&mut calls, PLAIN).unwrap();
        assert_eq!(calls.end(), Ok(()));
    }

    #[test]
    fn after_a_failed_start_only_a_restart_is_legal() {
        let mut calls = Calls::new();
        assert!(start(&mut calls, BAD).unwrap_err().starts_with("GW-HDR-04"));
        assert!(start(&mut calls, PLAIN).unwrap_err().starts_with("GW-SR-10"));
        assert!(restart(&mut calls, BAD).unwrap_err().starts_with("GW-HDR-04"));
        restart(&mut calls, PLAIN).unwrap();
        assert_eq!(calls.yielded(1), Ok(1));
    }

    #[test]
    fn a_restart_after_bytes_gives_the_error_back() {
        let mut calls = Calls::new();
        restart(&mut calls, PLAIN).unwrap(); // may be the first call
        calls.yielded(1).unwrap();
        assert_eq!(restart(&mut calls, PLAIN).unwrap_err(), "mine");
        assert_eq!(calls.yielded(1), Err(Misuse::WentOnAfterError));
        assert_eq!(calls.end(), Err(Misuse::WentOnAfterError));
    }

    #[test]
    fn the_error_that_comes_back_is_the_very_one() {
        let mut calls = Calls::new();
        start(&mut calls, PLAIN).unwrap();
        calls.yielded(1).unwrap();
        let mine: Error = Box::new(Misuse::NotStarted);
        let address = std::ptr::from_ref(&*mine).cast::<()>();
        let back = calls.start(&Status::OK, PLAIN, Some(mine)).unwrap_err();
        assert_eq!(std::ptr::from_ref(&*back).cast::<()>(), address);
    }

    #[test]
    fn lengths_cut_blocks_and_refuse_writes() {
        let mut calls = Calls::new();
        start(&mut calls, &[("Content-Length", "5")]).unwrap();
        assert_eq!(calls.written(6), Err(Misuse::TooLong { declared: 5 }));
        calls.written(3).unwrap();
        assert!(!calls.is_complete());
        assert_eq!(calls.yielded(9), Ok(2));
        assert!(calls.is_complete());
        assert_eq!(calls.yielded(9), Ok(0));
        assert_eq!(calls.end(), Ok(()));
        assert_eq!(calls.delivered(), 5);
    }

    #[test]
    fn a_short_body_is_told() {
        let mut calls = Calls::new();
        start(&mut calls, &[("Content-Length", "5")]).unwrap();
        calls.yielded(2).unwrap();
        assert_eq!(calls.end(), Err(Misuse::TooShort { declared: 5, delivered: 2 }));
        assert_eq!(calls.end(), Ok(()), "and only once");
    }

    #[test]
    fn a_body_is_held_to_the_length_it_announced() {
        let mut calls = Calls::new();
        start(&mut calls, PLAIN).unwrap();
        assert_eq!(calls.yielded(3), Ok(3));
        calls.announce(5);
        assert_eq!(calls.clone().end(), Err(Misuse::NotAsAnnounced { announced: 5, delivered: 3 }));
        assert_eq!(calls.yielded(3), Ok(2));
        assert!(calls.is_complete());
        assert_eq!(calls.end(), Ok(()));
    }

    #[test]
    fn a_restart_drops_the_length_of_the_first_head() {
        let mut calls = Calls::new();
        start(&mut calls, &[("Content-Length", "5")]).unwrap();
        restart(&mut calls, PLAIN).unwrap();
        assert_eq!(calls.yielded(9), Ok(9));
        assert_eq!(calls.end(), Ok(()));
    }

    #[derive(Clone, Copy, Debug)]
    enum Event {
        Start,
        BadStart,
        Restart,
        BadRestart,
        Empty,
        Bytes,
        End,
    }

    /// The rules again, as sentences about the whole history instead of a state.
    fn allowed(history: &[Event], event: Event) -> bool {
        use Event::*;
        let attempts: Vec<usize> =
            (0..history.len()).filter(|&i| matches!(history[i], Start | BadStart | Restart | BadRestart)).collect();
        let is_good = |i: usize| allowed(&history[..i], history[i]);
        let sent = (0..history.len()).any(|i| matches!(history[i], Bytes) && is_good(i));
        let ended = (0..history.len()).any(|i| matches!(history[i], End) && is_good(i));
        // The head stands if the last attempt succeeded, or bytes were tried without any.
        let stands = attempts.last().is_some_and(|&i| is_good(i));
        let spoiled = (0..history.len()).any(|i| {
            // Bytes or an end before any attempt count as a refused attempt.
            matches!(history[i], Bytes | End)
                && !is_good(i)
                && !history[..i].iter().any(|e| matches!(e, Start | BadStart | Restart | BadRestart))
        });
        let repaired = attempts.iter().any(|&i| matches!(history[i], Restart) && is_good(i));
        match event {
            Empty => true,
            BadStart | BadRestart => false,
            Start => attempts.is_empty() && !spoiled,
            Restart => !sent && !ended,
            Bytes => stands && (!spoiled || repaired) && !ended,
            End => !broken_after_end(history) && ((stands && (!spoiled || repaired)) || ended),
        }
    }

    fn broken_after_end(history: &[Event]) -> bool {
        use Event::*;
        let end = (0..history.len()).find(|&i| matches!(history[i], End) && allowed(&history[..i], history[i]));
        end.is_some_and(|end| history[end + 1..].iter().any(|e| !matches!(e, Empty | End)))
    }

    proptest! {
        /// The table against the naive model, for every history of up to seven events.
        #[test]
        fn the_table_agrees_with_the_sentences(
            history in proptest::collection::vec(
                prop_oneof![
                    Just(Event::Start), Just(Event::BadStart), Just(Event::Restart), Just(Event::BadRestart),
                    Just(Event::Empty), Just(Event::Bytes), Just(Event::End),
                ], 0..8)
        ) {
            let mut calls = Calls::new();
            for (i, &event) in history.iter().enumerate() {
                let accepted = match event {
                    Event::Start => start(&mut calls, PLAIN).is_ok(),
                    Event::BadStart => start(&mut calls, BAD).is_ok(),
                    Event::Restart => restart(&mut calls, PLAIN).is_ok(),
                    Event::BadRestart => restart(&mut calls, BAD).is_ok(),
                    Event::Empty => calls.yielded(0).is_ok(),
                    Event::Bytes => calls.yielded(1).is_ok(),
                    Event::End => calls.end().is_ok(),
                };
                prop_assert_eq!(accepted, allowed(&history[..i], event), "event {} of {:?}", i, &history);
            }
        }

        /// One question instead of two calls: the same answers, and the same state.
        #[test]
        fn to_end_with_a_block_is_to_yield_it_and_to_end(
            history in proptest::collection::vec(0u8..9, 0..5), declared in proptest::option::of(0u64..4),
            length in 0usize..4,
        ) {
            let declared = declared.map(|declared| declared.to_string());
            let headers: Vec<_> = declared.iter().map(|declared| ("Content-Length", declared.as_str())).collect();
            let mut calls = Calls::new();
            for event in history {
                match event {
                    0 => drop(start(&mut calls, &headers)),
                    1 => drop(restart(&mut calls, &headers)),
                    2 => drop(start(&mut calls, BAD)),
                    3 => drop(calls.yielded(1)),
                    4 => drop(calls.yielded(0)),
                    5 => drop(calls.written(1)),
                    6 => calls.announce(2),
                    7 => drop(calls.end()),
                    _ => calls.ignore_length(),
                }
            }
            let before = format!("{calls:?}");
            let mut other = calls.clone();
            if calls.end_with(length) {
                prop_assert!(!other.has_sent() && other.yielded(length) == Ok(length) && other.end().is_ok());
                prop_assert_eq!(format!("{calls:?}"), format!("{other:?}"));
            } else {
                prop_assert_eq!(format!("{calls:?}"), before);
                let is_whole = !other.has_sent() && other.yielded(length) == Ok(length) && other.end().is_ok();
                prop_assert!(!is_whole || length == 0);
            }
        }
    }
}
