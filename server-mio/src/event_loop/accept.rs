//! Who comes in: accepting, places and the want of them.

use std::fs::File;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use gateway_spec::Peer;

use super::{BACK_OFF, Core, FRESH, HALF, Place, Slot};
use crate::clock::millis;
use crate::connection::{Connection, LAST_CALL, Ready};
use crate::h1::date::Date;
use crate::h1::{Reject, response};
use crate::hooks::VerifyPeer;
use crate::inbox::Message;
use crate::socket::Socket;
use crate::timers::Timer;
use crate::transport::{LoopListener, Stream};

/// How many connections are accepted before others have their turn.
const ACCEPTS: usize = 64;
/// How many are told that there are no descriptors, before it is looked again whether there are.
const TOLD: usize = 16;
/// How many clients at once are told that there is no place for them, if not even as many may wait for one.
const TURNED_AWAY: usize = 64;

impl Core {
    #[inline(never)]
    pub(super) fn accept(&mut self, now: u64) {
        if !self.acceptable || self.accept_at > now {
            return;
        }
        for _ in 0..ACCEPTS {
            let Some(listener) = &self.listener else { return };
            match listener.accept() {
                Ok((stream, peer)) => {
                    self.accept_fails = false;
                    self.admit(stream, peer, now);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.acceptable = false;
                    if self.shared.is_draining() {
                        // All who had come were let in.
                        self.listen_no_more();
                    }
                    return;
                }
                // Who idles between requests makes room; of those who have not asked yet, none is better than the others.
                Err(error) if is_exhaustion(&error) && self.shed_if(now, Connection::has_asked) => {}
                Err(error) if is_exhaustion(&error) => {
                    self.shared.tell_others(&self.inbox, || Message::Shed);
                    self.turn_some_away();
                    self.accept_at = now + BACK_OFF;
                    return;
                }
                Err(error) if is_passing(&error) => {}
                Err(error) => {
                    // Whatever it is, asking again at once would be to spin on it, and to say it each time to fill the log.
                    if !std::mem::replace(&mut self.accept_fails, true) {
                        self.shared.config.errors.write(&format!("server-mio: accept has failed: {error}\n"));
                    }
                    self.accept_at = now + BACK_OFF;
                    return;
                }
            }
        }
    }

    pub(super) fn listen_no_more(&mut self) {
        if let Some(mut listener) = self.listener.take() {
            listener.deregister(self.poll.registry());
        }
    }

    /// There are no descriptors left: one that was kept for this lets some be told, one after the other.
    pub(super) fn turn_some_away(&mut self) {
        self.reserve = None;
        for _ in 0..TOLD {
            let Some(Ok((stream, peer))) = self.listener.as_ref().map(LoopListener::accept) else { break };
            self.shared.counts.accepted.fetch_add(1, Ordering::Relaxed);
            if self.is_welcome(&peer) {
                self.dismiss(&stream);
            }
        }
        self.reserve = File::open("/dev/null").ok();
    }

    /// Tells somebody without keeping the connection.
    pub(super) fn dismiss(&self, stream: &Stream) {
        self.shared.counts.refused.fetch_add(1, Ordering::Relaxed);
        let server = self.shared.config.server_header.as_deref();
        let mut out = Vec::new();
        response::reject(&mut out, Reject::Overload, false, server, &mut Date::new(), self.shared.clock.second());
        // What has come is read first, because data that is not would make the close a reset. All best effort.
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write(&out);
        let _ = stream.shutdown_write();
    }

    pub(super) fn admit(&mut self, stream: Stream, peer: Peer, now: u64) {
        let shared = self.shared.clone();
        let config = &shared.config;
        self.shared.counts.accepted.fetch_add(1, Ordering::Relaxed);
        if !self.is_welcome(&peer) {
            return;
        }
        let counts = &shared.counts;
        let has_place = || counts.open_one(config.max_connections);
        if self.newcomers.is_empty() && (has_place() || (self.shed(now) && has_place())) {
            self.enter(stream, peer);
        } else if counts.newcomers.load(Ordering::SeqCst) < config.max_pending {
            self.newcomers.push_back((stream, peer, now));
            shared.counts.newcomers.fetch_add(1, Ordering::SeqCst);
            if !self.shed(now) {
                // Perhaps somebody idles in another loop.
                shared.tell_others(&self.inbox, || Message::MakeRoom);
            }
            self.let_in();
        } else {
            self.refuse(stream, peer);
            // Perhaps somebody idles in another loop, and leaves a place for the next one.
            shared.tell_others(&self.inbox, || Message::MakeRoom);
        }
    }

    /// What the hook says. One that panics has not said yes.
    fn is_welcome(&self, peer: &Peer) -> bool {
        let verify = |hook: &VerifyPeer| {
            catch_unwind(AssertUnwindSafe(|| hook(peer))).unwrap_or_else(|panic| {
                self.shared.complain(panic);
                false
            })
        };
        self.shared.config.verify_peer.as_ref().is_none_or(verify)
    }

    /// Lets newcomers in while there are places.
    #[inline(never)]
    pub(super) fn let_in(&mut self) {
        while !self.newcomers.is_empty() && self.shared.counts.open_one(self.shared.config.max_connections) {
            if let Some((stream, peer)) = self.next_newcomer() {
                self.enter(stream, peer);
            }
        }
    }

    pub(super) fn next_newcomer(&mut self) -> Option<(Stream, Peer)> {
        let (stream, peer, _) = self.newcomers.pop_front()?;
        self.shared.counts.newcomers.fetch_sub(1, Ordering::SeqCst);
        Some((stream, peer))
    }

    /// Closes the connection that has been idle for longest, if one is idle.
    #[inline(never)]
    pub(super) fn shed(&mut self, now: u64) -> bool {
        self.shed_if(now, |_| true)
    }

    /// As [`shed`](Self::shed), among some connections.
    pub(super) fn shed_if(&mut self, now: u64, may_go: impl Fn(&Connection) -> bool) -> bool {
        let idle = self.slots.iter().enumerate().filter(|(_, slot)| match &slot.place {
            Place::Home(connection) => (1..=now).contains(&slot.idle_since) && !slot.turned_away && may_go(connection),
            _ => false,
        });
        let Some((index, slot)) = idle.min_by_key(|(_, slot)| (slot.idle_since, slot.idle_order)) else { return false };
        let token = slot.generation << HALF | index;
        // An idle connection has no response, so that nothing of the application is dropped here.
        if self.take(token, Ready::NONE).is_some_and(|connection| !connection.is_lingering()) {
            self.shared.counts.refused.fetch_add(1, Ordering::Relaxed);
        }
        self.vacate(token);
        true
    }

    /// A new connection, which was counted, gets a place.
    pub(super) fn enter(&mut self, stream: Stream, peer: Peer) {
        let connection = self.place(stream, peer, false);
        let now = self.shared.clock.now();
        let timeout = if self.shared.is_draining() { LAST_CALL } else { millis(self.shared.config.head_timeout) };
        let token = connection.token;
        let slot = &mut self.slots[token & ((1 << HALF) - 1)];
        slot.place = Place::Home(connection);
        // It has just come, and is not idle yet.
        slot.idle_since = now + FRESH;
        self.wheel.set(&mut slot.timer, token, now + timeout);
        // Most send their request at once, and some are answered and gone before there is an event to wait for.
        self.ready.push_back((token, Ready::READ));
    }

    /// There is no place for a new connection: it gets one for as long as it takes to tell it so.
    pub(super) fn refuse(&mut self, stream: Stream, peer: Peer) {
        let most = self.shared.config.max_pending.max(TURNED_AWAY);
        if !self.shared.counts.turn_away_one(most) {
            self.dismiss(&stream);
        } else {
            let connection = self.place(stream, peer, true);
            self.refused.push_back(connection);
        }
    }

    /// Makes a connection, which was counted. It asks for events itself, when it has to wait for one.
    pub(super) fn place(&mut self, stream: Stream, peer: Peer, turned_away: bool) -> Box<Connection> {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot {
                generation: 0,
                place: Place::Free,
                missed: Ready::NONE,
                idle_since: 0,
                idle_order: 0,
                timer: Timer::new(),
                is_late: false,
                socket: Weak::new(),
                turned_away: false,
            });
            self.slots.len() - 1
        });
        let token = self.slots[index].generation << HALF | index;
        let socket = Arc::new(Socket::new(stream, self.shared.clock.clone()));
        let slot = &mut self.slots[index];
        (slot.place, slot.turned_away, slot.socket) = (Place::Away, turned_away, Arc::downgrade(&socket));
        Box::new(Connection::new(token, socket, peer, self.shared.clone()))
    }
}

/// Whether somebody has come and gone: no fault of the listener, and the next may be there.
fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}

/// Whether accepting failed for want of something that others may give back.
fn is_exhaustion(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let exhausted = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    error.raw_os_error().is_some_and(|code| exhausted.iter().any(|errno| errno.raw_os_error() == code))
}
