//! What listeners hear, and who is woken for it.

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
