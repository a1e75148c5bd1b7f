//! Lengths that are true and lengths that are not, large answers, slow ones, and those without content.

use std::thread;
use std::time::Duration;

use gateway_spec::{Blocks, Body, Bytes, Error, StartResponse, Status};

use crate::{Call, OCTETS, TEXT};

/// What large answers are made of: a whole number of lines, so that each byte tells its place modulo 16.
const LINE: &[u8; 16] = b"0123456789abcde\n";
const BLOCK: usize = 64 * 1024;
static PATTERN: [u8; BLOCK] = pattern();

/// The longest sleep of `/slow`, in milliseconds: whoever asks for more holds a thread for a minute, not for ever.
const SLOWEST: u64 = 60_000;

/// Fewer bytes than declared (GW-CL-03).
pub(crate) fn short(_: &mut Call<'_, '_>, start_response: &mut dyn StartResponse) -> Result<Body, Error> {
    start_response.start(Status::OK, &[OCTETS, ("Content-Length", "100")])?;
    Ok(Body::from_blocks(Pattern::unannounced(10)))
}

/// More bytes than declared (GW-CL-01).
pub(crate) fn long(_: &mut Call<'_, '_>, start_response: &mut dyn StartResponse) -> Result<Body, Error> {
    start_response.start(Status::OK, &[OCTETS, ("Content-Length", "10")])?;
    Ok(Body::from_blocks(Pattern::unannounced(100)))
}

/// Blocks its thread, as a database may.
pub(crate) fn slow(call: &mut Call<'_, '_>, start_response: &mut dyn StartResponse) -> Result<Body, Error> {
    if call.number > SLOWEST {
        start_response.start(Status::BAD_REQUEST, &[TEXT])?;
        return Ok(format!("At most {SLOWEST} milliseconds.\n").into());
    }
    thread::sleep(Duration::from_millis(call.number));
    start_response.start(Status::OK, &[TEXT])?;
    Ok(format!("{} milliseconds later\n", call.number).into())
}

/// A large answer of known length that is never in memory as a whole.
pub(crate) fn big(call: &mut Call<'_, '_>, start_response: &mut dyn StartResponse) -> Result<Body, Error> {
    start_response.start(Status::OK, &[OCTETS])?;
    Ok(Body::from_blocks(Pattern::announced(call.number)))
}

pub(crate) fn no_content(_: &mut Call<'_, '_>, start_response: &mut dyn StartResponse) -> Result<Body, Error> {
    start_response.start(Status::NO_CONTENT, &[])?;
    Ok(Body::empty())
}

pub(crate) fn not_modified(_: &mut Call<'_, '_>, start_response: &mut dyn StartResponse) -> Result<Body, Error> {
    start_response.start(Status::NOT_MODIFIED, &[("ETag", "\"stream\"")])?;
    Ok(Body::empty())
}

/// So many bytes of the pattern.
pub(crate) struct Pattern {
    left: u64,
    /// Whether the server may know how many there are.
    announced: bool,
}

impl Pattern {
    pub(crate) const fn announced(length: u64) -> Self {
        Self { left: length, announced: true }
    }

    const fn unannounced(length: u64) -> Self {
        Self { left: length, announced: false }
    }
}

impl Blocks for Pattern {
    fn next(&mut self, _: &mut dyn StartResponse) -> Option<Result<Bytes, Error>> {
        if self.left == 0 {
            return None;
        }
        let size = usize::try_from(self.left).map_or(BLOCK, |left| left.min(BLOCK));
        self.left -= size as u64;
        Some(Ok(Bytes::from_static(&PATTERN[..size])))
    }

    fn remaining(&self) -> Option<u64> {
        self.announced.then_some(self.left)
    }
}

const fn pattern() -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut i = 0;
    while i < BLOCK {
        block[i] = LINE[i % LINE.len()];
        i += 1;
    }
    block
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::app;
    use crate::testing::get;

    #[test]
    fn wrong_lengths_are_seen_by_the_contract() {
        let short = get(&app(), "/short");
        assert_eq!((short.status, short.body.as_slice()), (200, &b"0123456789"[..]));
        assert_eq!(short.failed.as_deref(), Some("GW-CL-03: the body ended after 10 of 100 declared bytes"));
        assert_eq!(get(&app(), "/long").text(), "0123456789");
    }

    #[test]
    fn big_answers_know_their_length_and_every_byte_its_place() {
        for size in [0, 1, 15, 16, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 7] {
            let answer = get(&app(), &format!("/big/{size}"));
            assert_eq!((answer.body.len(), answer.length), (size, Some(size as u64)));
            assert!(answer.body.iter().enumerate().all(|(i, byte)| *byte == LINE[i % 16]));
        }
    }

    #[test]
    fn slow_answers_come_when_they_say_and_not_beyond_reason() {
        let before = Instant::now();
        assert_eq!(get(&app(), "/slow/30").text(), "30 milliseconds later\n");
        assert!(before.elapsed() >= Duration::from_millis(30));
        assert_eq!(get(&app(), "/slow/60001").status, 400);
    }

    #[test]
    fn some_statuses_have_no_content() {
        assert_eq!((get(&app(), "/204").status, get(&app(), "/204").body.len()), (204, 0));
        assert_eq!((get(&app(), "/304").status, get(&app(), "/304").body.len()), (304, 0));
    }
}
