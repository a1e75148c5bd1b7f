//! The body that the server gets.

use std::task::Waker;

use gateway_spec::{Blocks, Body, Bytes, Error, StartResponse};

use super::exchange::Exchange;
use super::report::{Open, Party};
use super::start::LintStart;

/// Checks a body that is at hand at once, and wraps any other. Blocks and files stay what they are, so that servers can
/// take them as a whole.
pub(super) fn watch(body: Body, mut exchange: Exchange) -> Body {
    let body = match body.into_block() {
        Ok(block) => {
            exchange.announced(Some(block.len() as u64));
            exchange.yielded(block.len());
            exchange.ended();
            return block.into();
        }
        Err(body) => body,
    };
    match body.into_file() {
        Ok(file) => {
            exchange.announced(Some(file.remaining()));
            exchange.yielded(usize::try_from(file.remaining()).unwrap_or(usize::MAX));
            exchange.ended();
            file.into()
        }
        Err(body) => {
            if exchange.came_back {
                exchange.went_on();
            }
            if let Some(outer) = &exchange.outer {
                outer.open();
            }
            let open = exchange.reporter.open_body();
            Body::from_blocks(Watched {
                body: Some(body),
                exchange,
                over: false,
                announced: false,
                false_length: false,
                _open: open,
            })
        }
    }
}

struct Watched {
    /// Taken when it is closed.
    body: Option<Body>,
    exchange: Exchange,
    /// The body has ended, by itself or by an error.
    over: bool,
    /// Its length was compared with the declared one.
    announced: bool,
    /// It was told that its length is wrong.
    false_length: bool,
    _open: Option<Open>,
}

impl Watched {
    fn next_of(&mut self, start_response: &mut dyn StartResponse) -> Option<Result<Bytes, Error>> {
        self.body.as_mut()?.next(&mut LintStart::in_body(start_response, &mut self.exchange))
    }

    fn len(&self) -> Option<u64> {
        self.body.as_ref().and_then(Body::len)
    }

    /// What a body says of its length has to become true, step by step (GW-ITER-06).
    fn check_length(&mut self, before: Option<u64>, block: Option<usize>) {
        let Some(before) = before.filter(|_| !self.false_length) else { return };
        let after = self.len();
        let message = match block {
            None if before > 0 => format!("the body has ended with {before} announced bytes missing"),
            Some(length) if length as u64 > before => {
                format!("the body has announced {before} bytes and yields {length}")
            }
            Some(length) if after != Some(before - length as u64) => {
                format!("the body had announced {before} bytes, has yielded {length} and announces {after:?}")
            }
            _ => return,
        };
        self.false_length = true;
        self.exchange.reporter.error("GW-ITER-06", Party::Application, message);
    }
}

impl Blocks for Watched {
    fn next(&mut self, start_response: &mut dyn StartResponse) -> Option<Result<Bytes, Error>> {
        if self.over {
            let message = "the server asks for a block after the end";
            self.exchange.reporter.error("GW-VAL-14", Party::Server, message);
        }
        let before = self.len();
        let behind = self.exchange.inner.blocks();
        let next = self.next_of(start_response);
        let blocks_behind = self.exchange.inner.blocks() - behind;
        if blocks_behind > 1 {
            let message = format!("one iteration has taken {blocks_behind} blocks from behind");
            self.exchange.reporter.error("GW-MW-02", Party::Middleware, message);
        }
        let was_announced = self.announced;
        match &next {
            Some(Ok(block)) => {
                if let Some(outer) = &self.exchange.outer {
                    outer.block();
                }
                if block.is_empty() && !self.exchange.calls.has_started() {
                    // Allowed here (GW-DEF-01), and what layers do that hold a head back; C-02 would make it a warning.
                    let message = "an empty block before start_response, which some servers do not expect";
                    self.exchange.reporter.remark("GW-VAL-15", Party::Application, message);
                }
                if !was_announced && self.exchange.calls.has_started() && self.exchange.calls.delivered() == 0 {
                    self.announced = true;
                    self.exchange.announced(before);
                }
                self.check_length(before, Some(block.len()));
                self.exchange.yielded(block.len());
            }
            Some(Err(_)) => self.over = true,
            None if self.over => {}
            None => {
                self.over = true;
                self.check_length(before, None);
                if blocks_behind > 0 {
                    let message = "the body ends with a block from behind that nothing was yielded for";
                    self.exchange.reporter.error("GW-MW-04", Party::Middleware, message);
                }
                self.exchange.ended();
            }
        }
        next
    }

    fn remaining(&self) -> Option<u64> {
        self.len()
    }

    fn set_waker(&mut self, waker: &Waker) {
        if let Some(body) = &mut self.body {
            body.set_waker(waker);
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.body = None;
        if let Some(outer) = &self.exchange.outer {
            outer.close();
        }
        let open = self.exchange.inner.open_bodies();
        if open > 0 && !std::thread::panicking() {
            let message = format!("the body was closed and {open} behind it were not");
            self.exchange.reporter.error("GW-MW-08", Party::Middleware, message);
        }
    }
}
