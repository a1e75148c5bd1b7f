//! What the bare loops know: where requests end, and the one answer to all of them.

use std::ops::Range;
use std::thread;
use std::time::{Duration, SystemTime};

use conformance::load::{QUERY, SLOW, Scenario, Shape};
use memchr::memmem::Finder;

/// Small answers are kept this many times in a row, so that a pipelined batch is one slice.
const COPIES: usize = 64;

/// The answer, and how requests are counted.
pub(super) struct Fixed {
    /// The answer, once or several times.
    bytes: Vec<u8>,
    /// The length of one answer.
    one: usize,
    /// Every request has a body of this length.
    request_body: usize,
    /// Requests that start with this block for so long first.
    slow: Option<(&'static [u8], Duration)>,
    blank_line: Finder<'static>,
}

/// What a buffer holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Counted {
    /// Whole requests.
    pub(super) requests: usize,
    /// The bytes that they take.
    pub(super) consumed: usize,
}

impl Fixed {
    pub(super) fn new(scenario: &Scenario) -> Self {
        let (kind, body, request_body) = scenario.fixed_answer();
        let date = httpdate::fmt_http_date(SystemTime::now());
        let length = body.len();
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\
             Server: bench\r\nDate: {date}\r\n\r\n"
        );
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(&body);
        let one = bytes.len();
        if one < 16 * 1024 {
            bytes = bytes.repeat(COPIES);
        }
        let slow = match scenario.shape {
            Shape::Mix => Some((&b"GET /slow "[..], SLOW)),
            Shape::Query => Some((&b"GET /query "[..], QUERY)),
            _ => None,
        };
        Self { bytes, one, request_body, slow, blank_line: Finder::new(b"\r\n\r\n") }
    }

    /// Counts the whole requests at the start of `bytes`. Blocks where one of a mix asks for it,
    /// which is what makes the bare event loop a bad server for such a load.
    pub(super) fn count(&self, bytes: &[u8]) -> Counted {
        let mut counted = Counted { requests: 0, consumed: 0 };
        while let Some(at) = self.blank_line.find(&bytes[counted.consumed..]) {
            let end = counted.consumed + at + 4 + self.request_body;
            if end > bytes.len() {
                break;
            }
            if let Some((slow, time)) = self.slow
                && bytes[counted.consumed..].starts_with(slow)
            {
                thread::sleep(time);
            }
            counted.requests += 1;
            counted.consumed = end;
        }
        counted
    }

    /// How many bytes answer so many requests.
    pub(super) fn length(&self, requests: usize) -> usize {
        requests * self.one
    }

    /// The longest slice that continues the answers when `owed` bytes of them are still to go.
    pub(super) fn rest(&self, owed: usize) -> &[u8] {
        let start = (self.one - owed % self.one) % self.one;
        let range: Range<usize> = start..self.bytes.len().min(start + owed);
        &self.bytes[range]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_whole() {
        let echo = Fixed::new(&Scenario::named("echo").expect("echo"));
        let request = Scenario::named("echo").expect("echo").workload().fast.request;
        let three = request.repeat(3);
        for length in 0..=three.len() {
            let requests = length / request.len();
            let consumed = requests * request.len();
            assert_eq!(echo.count(&three[..length]), Counted { requests, consumed });
        }
    }

    #[test]
    fn any_pieces_put_together_are_the_answers() {
        let fixed = Fixed::new(&Scenario::named("plaintext").expect("plaintext"));
        let whole = fixed.length(COPIES + 3);
        let expected = fixed.bytes[..fixed.one].repeat(COPIES + 3);
        for step in [1, 7, fixed.one, usize::MAX] {
            let (mut owed, mut sent) = (whole, Vec::new());
            while owed > 0 {
                let rest = fixed.rest(owed);
                let piece = &rest[..rest.len().min(step)];
                sent.extend_from_slice(piece);
                owed -= piece.len();
            }
            assert!(sent == expected, "in steps of {step}");
        }
    }
}
