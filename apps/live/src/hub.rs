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
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use std::task::Wake;

    use proptest::prelude::*;

    use super::*;

    const CHAT: Topics = Topics { chat: true, clock: false };
    const CLOCK: Topics = Topics { chat: false, clock: true };

    fn hub(history: usize, queue: usize) -> Hub {
        Hub::new(Config { history, queue, max_listeners: 2, ..Config::default() })
    }

    fn say(hub: &Hub, text: &str) {
        hub.say("Ada".to_owned(), text.to_owned());
    }

    /// The texts that come before there is nothing more, and `-n` for n that were missed.
    fn heard(hub: &Hub, place: &mut Place) -> Vec<String> {
        let mut heard = Vec::new();
        loop {
            match hub.next(place) {
                News::Event(event) => {
                    let event = String::from_utf8(event.to_vec()).unwrap();
                    let data = event.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
                    let message: serde_json::Value = serde_json::from_str(data).unwrap();
                    heard.push(message["text"].as_str().unwrap().to_owned());
                }
                News::Lagged(missed) => heard.push(format!("-{missed}")),
                News::Heartbeat => heard.push(":".to_owned()),
                News::Nothing => return heard,
                News::End => return [heard, vec!["end".to_owned()]].concat(),
            }
        }
    }

    #[test]
    fn listeners_hear_what_is_said_after_they_came() {
        let hub = hub(50, 256);
        say(&hub, "before");
        let mut one = hub.enter(CHAT, None).unwrap();
        say(&hub, "a");
        let mut two = hub.enter(CHAT, None).unwrap();
        say(&hub, "b");
        assert_eq!(heard(&hub, &mut one), ["a", "b"]);
        assert_eq!(heard(&hub, &mut two), ["b"]);
        assert_eq!(heard(&hub, &mut one), [""; 0]);
        hub.tick(u64::MAX);
        assert_eq!(heard(&hub, &mut one), [""; 0], "who wants the chat has not asked for the time");
        hub.beat();
        assert_eq!(heard(&hub, &mut one), [":"]);
        hub.beat();
        say(&hub, "c");
        assert_eq!(heard(&hub, &mut one), ["c"], "a message is as good as a heartbeat");
    }

    #[test]
    fn who_comes_back_gets_what_was_missed() {
        let hub = hub(3, 5);
        (1..=9).for_each(|n| say(&hub, &n.to_string()));
        let after = |id: &str| {
            let mut place = hub.enter(CHAT, Some(id)).unwrap();
            let heard = heard(&hub, &mut place);
            hub.leave(&place);
            heard
        };
        let id = |number: u64| hub.id(number);
        assert_eq!(after(&id(9)), [""; 0]);
        assert_eq!(after(&id(7)), ["8", "9"]);
        assert_eq!(after(&id(6)), ["7", "8", "9"]);
        assert_eq!(after(&id(5)), ["-1", "7", "8", "9"]);
        // Ids from before a restart, from the future, and none at all.
        for unknown in ["0-9", &id(10), "9", "", "x", &format!("{}-+1", hub.epoch)] {
            assert_eq!(after(unknown), ["-6", "7", "8", "9"], "{unknown}");
        }
    }

    #[test]
    fn who_is_slow_is_told_how_much_was_missed() {
        let hub = hub(2, 4);
        let mut slow = hub.enter(CHAT, None).unwrap();
        (1..=10).for_each(|n| say(&hub, &n.to_string()));
        assert_eq!(heard(&hub, &mut slow), ["-6", "7", "8", "9", "10"]);
        assert_eq!((hub.stats().lagged, hub.stats().messages), (6, 10));
        assert_eq!(hub.lock().ring.len(), 4, "the ring does not grow");
    }

    #[test]
    fn places_are_limited_and_free_again() {
        let hub = hub(1, 1);
        let one = hub.enter(CHAT, None).unwrap();
        let two = hub.enter(CLOCK, None).unwrap();
        assert_eq!(hub.enter(CHAT, None).unwrap_err(), Refused::Full);
        hub.leave(&one);
        let one = hub.enter(CHAT, None).unwrap();
        hub.leave(&two);
        assert_eq!((hub.stats().listeners, hub.lock().listeners.len()), (1, 2));
        hub.stop();
        assert_eq!(hub.enter(CHAT, None).unwrap_err(), Refused::Stopped);
        hub.leave(&one);
    }

    #[test]
    fn clocks_tell_each_second_once() {
        let hub = hub(1, 1);
        let (mut clock, mut both) = (hub.enter(CLOCK, None).unwrap(), Topics { chat: true, ..CLOCK });
        let first = hub.next(&mut clock);
        assert!(matches!(&first, News::Event(event) if event.starts_with(b"id: ")), "{first:?}");
        assert_eq!(hub.next(&mut clock), News::Nothing);
        hub.tick(951_782_400);
        hub.tick(951_782_400);
        let event = "id: 951782400\ndata: 2000-02-29T00:00:00Z\n\n".into();
        assert_eq!((hub.next(&mut clock), hub.next(&mut clock)), (News::Event(event), News::Nothing));
        both.clock = true;
        let mut both = hub.enter(both, None).unwrap();
        let event = "event: clock\ndata: {\"listeners\":1,\"time\":\"2000-02-29T00:00:00Z\"}\n\n".into();
        assert_eq!(hub.next(&mut both), News::Event(event));
    }

    #[test]
    fn a_stop_lets_everybody_hear_what_was_said() {
        let hub = hub(9, 9);
        let mut place = hub.enter(CHAT, None).unwrap();
        say(&hub, "last words");
        hub.stop();
        assert_eq!(heard(&hub, &mut place), ["last words", "end"]);
    }

    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    /// No wake-up is lost between the question and the waker, and none is without a reason.
    #[test]
    fn wakers_are_woken_once_for_news() {
        let hub = hub(9, 9);
        let mut place = hub.enter(CHAT, None).unwrap();
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&count));
        let woken = || count.0.swap(0, SeqCst);

        assert_eq!(hub.next(&mut place), News::Nothing);
        say(&hub, "between the question and the waker");
        hub.keep(&place, &waker);
        assert_eq!(woken(), 1);
        assert_eq!(heard(&hub, &mut place).len(), 1);
        hub.keep(&place, &waker);
        hub.keep(&place, &waker);
        assert_eq!(woken(), 0);
        hub.tick(u64::MAX);
        assert_eq!(woken(), 0, "of no interest");
        say(&hub, "a");
        say(&hub, "b");
        assert_eq!(woken(), 1, "who was woken and has not asked again knows enough");
        hub.keep(&place, &waker);
        assert_eq!(woken(), 1, "for b, which came without a waker");
        assert_eq!(heard(&hub, &mut place), ["a", "b"]);
        hub.keep(&place, &waker);
        hub.leave(&place);
        say(&hub, "nobody listens");
        assert_eq!((woken(), Arc::strong_count(&count)), (0, 2), "a listener that has left leaves no waker");
    }

    proptest! {
        /// Whatever is said and asked in whatever order: each message is heard once, in order, or counted as missed.
        #[test]
        fn nothing_is_lost_without_a_word(steps in prop::collection::vec((any::<bool>(), 1usize..12), 0..40)) {
            let hub = hub(4, 4);
            let mut place = hub.enter(CHAT, None).unwrap();
            let (mut said, mut expected) = (0u64, 1u64);
            for (speaks, times) in steps.into_iter().chain([(false, usize::MAX)]) {
                for _ in 0..times {
                    if speaks {
                        said += 1;
                        say(&hub, &said.to_string());
                        continue;
                    }
                    match hub.next(&mut place) {
                        News::Event(event) => {
                            let text = format!("\"text\":\"{expected}\"");
                            prop_assert!(String::from_utf8_lossy(&event).contains(&text), "{:?} {}", event, text);
                            expected += 1;
                        }
                        News::Lagged(missed) => expected += missed,
                        _ => break,
                    }
                }
            }
            prop_assert_eq!(expected, said + 1);
        }
    }
}
