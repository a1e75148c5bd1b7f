//! The hand-off as a model, every interleaving of it: what `src/handoff.rs` promises holds in each state.
//!
//! Threads take one atomic step at a time: a step of this model is one operation on one shared thing (the lock, the
//! ticket with what is written under the lock, the inbox, its wake-up, the queue of waiting requests). Applications may
//! take any time, and the monitor may summon whenever somebody drives a connection.

use std::collections::{HashSet, VecDeque};

/// What a thread does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum At {
    StandingBy,
    /// To try the lock.
    Summoned,
    Leading,
    /// Has noted the ticket, to let go of the lock.
    Departing {
        connection: usize,
        ticket: u8,
    },
    /// In the application. Without a ticket: helping, detached for good.
    Driving {
        connection: usize,
        ticket: u8,
    },
    /// To try the lock with a connection in hand.
    Returning {
        connection: usize,
        ticket: u8,
    },
    /// To put it into the inbox, for the lock was taken.
    Sending {
        connection: usize,
        ticket: u8,
    },
    /// To wake the poll, as the inbox was empty.
    Waking {
        ticket: u8,
        helped: bool,
    },
    /// To look for a request that waits for a thread; or, after helping, at the lock again.
    Helping {
        ticket: u8,
        helped: bool,
    },
    Rejoining,
    /// To look at the queue a last time.
    LookingBack,
    /// To say that it is not empty.
    Telling,
}

/// Where a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Place {
    Home,
    Away,
    Inbox,
    /// In the queue of those that wait for a thread.
    Waiting,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    threads: Vec<At>,
    lock: Option<usize>,
    ticket: u8,
    detached: i8,
    summoned: bool,
    /// Each connection with the number of requests it still has.
    connections: Vec<(Place, u8)>,
    /// Something is in the inbox, counting messages without a connection.
    looks: u8,
    /// The poll was woken and has not noticed.
    woken: bool,
}

impl State {
    fn new(threads: usize, connections: usize, requests: u8) -> Self {
        Self {
            threads: vec![At::StandingBy; threads],
            lock: None,
            ticket: 0,
            detached: 0,
            summoned: true,
            connections: vec![(Place::Home, requests); connections],
            looks: 0,
            woken: false,
        }
    }

    fn is_last(&self) -> bool {
        self.detached >= i8::try_from(self.threads.len()).unwrap() - 1
    }

    fn inbox_is_empty(&self) -> bool {
        self.looks == 0 && self.connections.iter().all(|(place, _)| *place != Place::Inbox)
    }

    fn first(&self, wanted: Place) -> Option<usize> {
        self.connections.iter().position(|(place, _)| *place == wanted)
    }

    fn take_over(&mut self) {
        if self.ticket % 2 == 1 {
            self.detached += 1;
            self.ticket += 1;
        } else {
            self.ticket += 2;
        }
    }

    fn arrive(&mut self, ticket: u8) {
        if self.ticket == ticket {
            self.ticket += 1;
        } else {
            self.take_over();
            self.detached -= 1;
        }
    }

    /// Every state that one step of anybody leads to. `answers` says whether applications may return.
    fn steps(&self, answers: bool) -> Vec<Self> {
        let mut next = Vec::new();
        if self.ticket % 2 == 1 && !self.summoned && self.threads.contains(&At::StandingBy) {
            next.push(Self { summoned: true, ..self.clone() });
        }
        for thread in 0..self.threads.len() {
            let mut state = self.clone();
            let at = match self.threads[thread] {
                At::StandingBy if self.summoned => {
                    state.summoned = false;
                    At::Summoned
                }
                At::StandingBy => continue,
                At::Summoned if self.lock.is_none() => {
                    state.lock = Some(thread);
                    state.take_over();
                    At::Leading
                }
                At::Summoned => At::StandingBy,
                At::Leading => {
                    next.extend(self.lead(thread));
                    continue;
                }
                At::Departing { connection, ticket } => {
                    state.lock = None;
                    At::Driving { connection, ticket }
                }
                At::Driving { connection, ticket } if answers => {
                    state.connections[connection].1 -= 1;
                    At::Returning { connection, ticket }
                }
                At::Driving { .. } => continue,
                // Who helps sends at once; the lock is tried afterwards.
                At::Returning { connection, ticket } if ticket != 0 && self.lock.is_none() => {
                    state.lock = Some(thread);
                    state.arrive(ticket);
                    state.connections[connection].0 = Place::Home;
                    At::Leading
                }
                At::Returning { connection, ticket } => At::Sending { connection, ticket },
                At::Sending { connection, ticket } => {
                    let first = self.inbox_is_empty();
                    state.connections[connection].0 = Place::Inbox;
                    // The first to help keeps its ticket for the lock; see `Helping`.
                    if first {
                        At::Waking { ticket, helped: ticket == 0 }
                    } else {
                        At::Helping { ticket, helped: ticket == 0 }
                    }
                }
                At::Waking { ticket, helped } => {
                    state.woken = true;
                    At::Helping { ticket, helped }
                }
                At::Helping { helped: true, .. } if self.lock.is_none() => {
                    state.lock = Some(thread);
                    // Its ticket is long gone: somebody has taken over.
                    state.arrive(u8::MAX);
                    At::Leading
                }
                At::Helping { .. } => match self.first(Place::Waiting) {
                    Some(connection) => {
                        state.connections[connection].0 = Place::Away;
                        At::Driving { connection, ticket: 0 }
                    }
                    None => At::Rejoining,
                },
                At::Rejoining => {
                    state.detached -= 1;
                    At::LookingBack
                }
                At::LookingBack if self.first(Place::Waiting).is_some() => At::Telling,
                At::LookingBack => At::StandingBy,
                At::Telling => {
                    if self.inbox_is_empty() {
                        state.woken = true;
                    }
                    state.looks = 1;
                    At::StandingBy
                }
            };
            state.threads[thread] = at;
            next.push(state);
        }
        next
    }

    /// What the leader may do. With nothing to do it is in the poll, and has no step.
    fn lead(&self, thread: usize) -> Vec<Self> {
        let mut next = Vec::new();
        let drive = |connection: usize| {
            let mut state = self.clone();
            state.connections[connection].0 = Place::Away;
            state.ticket += 1;
            state.threads[thread] = At::Departing { connection, ticket: state.ticket };
            state
        };
        for (connection, &(place, requests)) in self.connections.iter().enumerate() {
            if place == Place::Home && requests > 0 {
                if self.is_last() {
                    let mut state = self.clone();
                    state.connections[connection].0 = Place::Waiting;
                    next.push(state);
                } else {
                    next.push(drive(connection));
                }
            }
        }
        if !self.is_last()
            && let Some(connection) = self.first(Place::Waiting)
        {
            next.push(drive(connection));
        }
        if self.woken {
            let mut state = self.clone();
            state.woken = false;
            state.looks = 0;
            for (place, _) in &mut state.connections {
                if *place == Place::Inbox {
                    *place = Place::Home;
                }
            }
            next.push(state);
        }
        next
    }

    fn check(&self) {
        let leaders = self.threads.iter().filter(|at| matches!(at, At::Leading | At::Departing { .. })).count();
        assert_eq!(leaders, usize::from(self.lock.is_some()), "one leader, and it has the lock: {self:?}");
        let away = self.connections.iter().filter(|(place, _)| *place == Place::Away).count();
        let held = |at: &&At| {
            matches!(at, At::Departing { .. } | At::Driving { .. } | At::Returning { .. } | At::Sending { .. })
        };
        assert_eq!(self.threads.iter().filter(held).count(), away, "who is away is with one thread: {self:?}");
        let busy = self
            .threads
            .iter()
            .filter(|at| !matches!(at, At::StandingBy | At::Summoned | At::Leading | At::LookingBack | At::Telling))
            .count();
        assert!(self.detached >= 0 && usize::try_from(self.detached).unwrap() <= busy, "{self:?}");
    }
}

/// Every state that can be reached from `start`.
fn explore(start: State, answers: bool, mut visit: impl FnMut(&State, bool)) -> usize {
    let mut seen = HashSet::from([start.clone()]);
    let mut queue = VecDeque::from([start]);
    while let Some(state) = queue.pop_front() {
        let next = state.steps(answers);
        visit(&state, next.is_empty());
        for state in next {
            if seen.insert(state.clone()) {
                queue.push_back(state);
            }
        }
    }
    seen.len()
}

#[test]
fn nothing_is_lost_in_any_order() {
    for (threads, connections, requests) in [(2, 1, 2), (2, 2, 2), (2, 3, 1), (3, 2, 1)] {
        let mut ends = 0;
        let states = explore(State::new(threads, connections, requests), true, |state, end| {
            state.check();
            if end {
                ends += 1;
                // Nobody can take a step: then all is done, and a leader waits for more.
                assert!(state.connections.iter().all(|c| *c == (Place::Home, 0)), "stuck: {state:?}");
                assert!(state.lock.is_some() && state.inbox_is_empty() && state.detached == 0, "{state:?}");
            }
        });
        assert!(ends > 0 && states > 20, "{threads} {connections} {requests}: {states} states, {ends} ends");
    }
}

/// Whatever blocks, and for however long: the loop gets a leader, who does all that needs no application.
#[test]
fn the_loop_never_stands_still() {
    for (threads, connections, requests) in [(2, 2, 1), (3, 2, 1)] {
        let mut all = Vec::new();
        explore(State::new(threads, connections, requests), true, |state, _| all.push(state.clone()));
        for state in all {
            // From here on no application returns.
            explore(state, false, |state, end| {
                if end {
                    assert!(state.lock.is_some(), "nobody leads: {state:?}");
                    assert!(state.inbox_is_empty(), "the inbox is not read: {state:?}");
                    let idle = state.connections.iter().all(|(place, requests)| match place {
                        Place::Home => *requests == 0,
                        Place::Away => true,
                        // Only when no thread could have it.
                        Place::Waiting => state.is_last(),
                        Place::Inbox => false,
                    });
                    assert!(idle, "somebody is forgotten: {state:?}");
                }
            });
        }
    }
}
