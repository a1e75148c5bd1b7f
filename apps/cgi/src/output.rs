//! The output of a script as the body of a response.

use gateway_spec::{Blocks, Body, Bytes, Error, StartResponse};

use crate::run::{Output, Run};

/// A body of what has come with the header and what is still to come. `declared` is the script's own `Content-Length`.
pub(crate) fn body(run: Run, first: Bytes, declared: Option<u64>) -> Body {
    Body::from_blocks(Streamed { run, first, declared, delivered: 0 })
}

struct Streamed {
    run: Run,
    first: Bytes,
    declared: Option<u64>,
    delivered: u64,
}

impl Blocks for Streamed {
    fn next(&mut self, _: &mut dyn StartResponse) -> Option<Result<Bytes, Error>> {
        let block = match std::mem::take(&mut self.first) {
            first if !first.is_empty() => first,
            _ => match self.run.read() {
                Ok(Output::Block(block)) => block,
                // The server does something else, and is woken.
                Ok(Output::Nothing) => return Some(Ok(Bytes::new())),
                Ok(Output::End) => return None,
                Ok(Output::Expired) => return Some(Err("the script was ended in the middle of its answer".into())),
                Err(error) => return Some(Err(error.into())),
            },
        };
        self.delivered += block.len() as u64;
        if self.declared.is_some_and(|declared| self.delivered >= declared) {
            // The server will not ask again, and that is no reason to kill it.
            self.run.is_satisfied();
        }
        Some(Ok(block))
    }

    fn set_waker(&mut self, waker: &std::task::Waker) {
        self.run.set_waker(waker);
    }
}
