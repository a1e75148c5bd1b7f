//! [`Hub`]: what was said last, what time it is, and who listens. Everybody meets here.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use framework_mini::Event;
use gateway_spec::Bytes;

use crate::Config;
use crate::iso;
use crate::message::Message;

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct Hub {
    pub(crate) config: Config,
    /// Tells the ids of this hub from those of the one before a restart.
    epoch: String,
    state: Mutex<State>,
}

/// What the lock protects. It is held for a few steps only, and never while something is woken.
#[derive(Debug, Default)]
struct State {
    /// The messages that are kept, the oldest first.
    ring: VecDeque<Said>,
    /// The number of the next message; the first has 1.
    next: u64,
    /// How often there was a heartbeat.
    beats: u64,
    /// The second of the last tick; 0 before the first.
    second: u64,
    /// The last tick, for `/clock` and for those who want both.
    tick: Bytes,
    tick_beside: Bytes,
    /// Whether the streams are to end.
    stopped: bool,
    listeners: Vec<Slot>,
    /// The places in `listeners` that are free.
    free: Vec<usize>,
    open: usize,
    lagged: u64,
}

/// A message, and the event that tells it.
#[derive(Debug)]
struct Said {
    message: Message,
    event: Bytes,
}

/// A listener as the hub knows it.
#[derive(Debug, Default)]
struct Slot {
    topics: Topics,
    waker: Option<Waker>,
    /// Whether there was something to wake for, and no waker.
    missed: bool,
}

/// What a listener wants to hear.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Topics {
    pub(crate) chat: bool,
    pub(crate) clock: bool,
}

/// How far a listener has come.
#[derive(Debug)]
pub(crate) struct Place {
    slot: usize,
    topics: Topics,
    /// The number of the next message that it gets.
    next: u64,
    /// How many before that it was too late for.
    missed: u64,
    second: u64,
    beats: u64,
}

/// What a listener gets.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum News {
    Event(Bytes),
    /// It was too slow for so many messages.
    Lagged(u64),
    /// Nothing for a while.
    Heartbeat,
    Nothing,
    /// The stream ends.
    End,
}

/// Why somebody cannot listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Full,
    Stopped,
}

/// What `/stats` tells.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Stats {
    pub(crate) listeners: usize,
    pub(crate) max_listeners: usize,
    pub(crate) messages: u64,
    /// Messages that slow listeners did not get, all together.
    pub(crate) lagged: u64,
}

impl Hub {
    pub(crate) fn new(mut config: Config) -> Self {
        config.queue = config.queue.max(config.history).max(1);
        let state = Mutex::new(State { next: 1, ..State::default() });
        let hub = Self { config, epoch: format!("{:x}", iso::now()), state };
        hub.tick(iso::now());
        hub
    }

    /// A lock that somebody has poisoned protects data that is whole all the same: no step in between can panic.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says something to all.
    pub(crate) fn say(&self, name: String, text: String) {
        let mut state = self.lock();
        let message = Message { name, text, time: iso::utc(iso::now()) };
        let id = self.id(state.next);
        let event = Event::data(serde_json::json!(message).to_string()).id(id).to_string().into();
        state.next += 1;
        state.ring.push_back(Said { message, event });
        if state.ring.len() > self.config.queue {
            state.ring.pop_front();
        }
        wake(state, |topics| topics.chat);
    }

    /// Tells the time to those who want to know, once for each second.
    pub(crate) fn tick(&self, second: u64) {
        let mut state = self.lock();
        if second == state.second {
            return;
        }
        state.second = second;
        let time = iso::utc(second);
        state.tick = Event::data(&*time).id(second.to_string()).to_string().into();
        // Without an id: the last one that a client has seen is that of a message.
        let beside = serde_json::json!({ "time": time, "listeners": state.open });
        state.tick_beside = Event::data(beside.to_string()).name("clock").to_string().into();
        wake(state, |topics| topics.clock);
    }

    /// Shows that the connections are still there, or are not.
    pub(crate) fn beat(&self) {
        let mut state = self.lock();
        state.beats += 1;
        wake(state, |_| true);
    }

    /// Ends all streams.
    pub(crate) fn stop(&self) {
        let mut state = self.lock();
        state.stopped = true;
        wake(state, |_| true);
    }

    /// Lets somebody listen: to what comes from now on, or after a message that they have seen.
    ///
    /// An id that is not known, because the messages began anew meanwhile, is one before all of them.
    pub(crate) fn enter(&self, topics: Topics, last: Option<&str>) -> Result<Place, Refused> {
        let mut state = self.lock();
        if state.stopped {
            return Err(Refused::Stopped);
        }
        if state.open >= self.config.max_listeners {
            return Err(Refused::Full);
        }
        let next = last.map_or(state.next, |last| self.number(last).filter(|&last| last < state.next).unwrap_or(0) + 1);
        let slot = state.free.pop().unwrap_or_else(|| {
            state.listeners.push(Slot::default());
            state.listeners.len() - 1
        });
        state.listeners[slot] = Slot { topics, waker: None, missed: false };
        state.open += 1;
        let oldest = state.next.saturating_sub(self.config.history as u64).max(state.first());
        // The last tick is told at once, so that a clock shows the time from the beginning.
        let (missed, next) = (oldest.saturating_sub(next), next.max(oldest));
        Ok(Place { slot, topics, next, missed, second: 0, beats: state.beats })
    }

    /// What there is for a listener next.
    pub(crate) fn next(&self, place: &mut Place) -> News {
        let mut state = self.lock();
        let news = state.news(place);
        match news {
            News::Nothing => state.listeners[place.slot].missed = false,
            News::Lagged(missed) => state.lagged += missed,
            _ => {}
        }
        if news != News::Nothing {
            place.beats = state.beats;
        }
        news
    }

    /// Keeps a waker for a listener that had nothing; wakes it at once if there was something meanwhile.
    pub(crate) fn keep(&self, place: &Place, waker: &Waker) {
        let mut state = self.lock();
        let slot = &mut state.listeners[place.slot];
        if slot.missed {
            slot.missed = false;
            drop(state);
            waker.wake_by_ref();
        } else if !slot.waker.as_ref().is_some_and(|kept| kept.will_wake(waker)) {
            slot.waker = Some(waker.clone());
        }
    }

    /// Lets a listener go.
    pub(crate) fn leave(&self, place: &Place) {
        let mut state = self.lock();
        state.listeners[place.slot] = Slot::default();
        state.free.push(place.slot);
        state.open -= 1;
    }

    /// The newest messages, the oldest of them first, and the id of the last one.
    pub(crate) fn recent(&self) -> (Vec<Message>, String) {
        let state = self.lock();
        let first = state.ring.len().saturating_sub(self.config.history);
        (state.ring.iter().skip(first).map(|said| said.message.clone()).collect(), self.id(state.next - 1))
    }

    pub(crate) fn stats(&self) -> Stats {
        let state = self.lock();
        Stats {
            listeners: state.open,
            max_listeners: self.config.max_listeners,
            messages: state.next - 1,
            lagged: state.lagged,
        }
    }

    fn id(&self, number: u64) -> String {
        format!("{}-{number}", self.epoch)
    }

    /// The number of a message of this hub, by its id.
    fn number(&self, id: &str) -> Option<u64> {
        let number = id.strip_prefix(&*self.epoch)?.strip_prefix('-')?;
        gateway_spec::digits(number.as_bytes())
    }
}

impl State {
    /// The number of the oldest message that is kept.
    fn first(&self) -> u64 {
        self.next - self.ring.len() as u64
    }

    fn news(&self, place: &mut Place) -> News {
        if place.topics.chat && place.next < self.next {
            let first = self.first();
            place.missed += first.saturating_sub(place.next);
            place.next = place.next.max(first);
            if place.missed > 0 {
                return News::Lagged(std::mem::take(&mut place.missed));
            }
            place.next += 1;
            let index = usize::try_from(place.next - 1 - first).unwrap_or(usize::MAX);
            return self.ring.get(index).map_or(News::Nothing, |said| News::Event(said.event.clone()));
        }
        if self.stopped {
            return News::End;
        }
        if place.topics.clock && place.second != self.second {
            place.second = self.second;
            let tick = if place.topics.chat { &self.tick_beside } else { &self.tick };
            return News::Event(tick.clone());
        }
        if place.beats == self.beats { News::Nothing } else { News::Heartbeat }
    }
}

/// Wakes those who want to hear about something, after the lock is released.
fn wake(mut state: MutexGuard<'_, State>, concerns: impl Fn(Topics) -> bool) {
    let mut wakers = Vec::new();
    for slot in &mut state.listeners {
        if concerns(slot.topics) {
            match slot.waker.take() {
                Some(waker) => wakers.push(waker),
                None => slot.missed = true,
            }
        }
    }
    drop(state);
    wakers.into_iter().for_each(Waker::wake);
}

#[cfg(test)]
mod tests;
