//! Reads responses as they arrive, in any pieces, and refuses a wrong one.

use std::io;

use memchr::memmem;

/// A head longer than this is not an answer of a bench server.
const LONGEST_HEAD: usize = 16 * 1024;

/// What a response head says about the bytes behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Head {
    length: usize,
    close: bool,
}

/// The last head that was read, and what it means.
///
/// Servers answer with the same bytes for a second at a time (then the date changes), so most
/// heads are recognised by comparing instead of reading: the generator must not be slower than
/// what it measures.
#[derive(Debug, Default)]
pub(super) struct Known {
    bytes: Vec<u8>,
    head: Option<Head>,
}

/// Where a connection stands within the response it waits for.
#[derive(Debug, Default)]
pub(super) struct Reader {
    /// The start of a head that did not arrive whole.
    partial: Vec<u8>,
    /// The head of the response whose body is arriving, and how much of that body came.
    body: Option<(Head, usize)>,
}

/// A response that was read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Complete {
    /// How many bytes of the input it took.
    pub(super) consumed: usize,
    /// The server said that it closes the connection after this response.
    pub(super) close: bool,
}

impl Reader {
    /// Takes bytes up to the end of one response whose body must be `expected`; `None` when the
    /// input ended first, all of it taken.
    ///
    /// # Errors
    /// `InvalidData` with what was wrong: not a 200, no or a wrong `Content-Length`, other content.
    pub(super) fn feed(&mut self, known: &mut Known, input: &[u8], expected: &[u8]) -> io::Result<Option<Complete>> {
        let mut consumed = 0;
        let (head, seen) = match self.body {
            Some(body) => body,
            None => match self.head(known, input)? {
                Some((head, taken)) => {
                    consumed = taken;
                    (head, 0)
                }
                None => return Ok(None),
            },
        };
        if head.length != expected.len() {
            return Err(wrong(format!("Content-Length {}, not {}", head.length, expected.len())));
        }
        let here = (input.len() - consumed).min(head.length - seen);
        if input[consumed..consumed + here] != expected[seen..seen + here] {
            return Err(wrong(format!("other content between byte {seen} and {}", seen + here)));
        }
        consumed += here;
        if seen + here < head.length {
            self.body = Some((head, seen + here));
            return Ok(None);
        }
        self.body = None;
        Ok(Some(Complete { consumed, close: head.close }))
    }

    /// Nothing of a response has arrived that is not complete.
    pub(super) fn is_between(&self) -> bool {
        self.partial.is_empty() && self.body.is_none()
    }

    /// The head, and how much of `input` belonged to it.
    fn head(&mut self, known: &mut Known, input: &[u8]) -> io::Result<Option<(Head, usize)>> {
        if self.partial.is_empty() {
            if let Some(head) = known.head
                && input.starts_with(&known.bytes)
            {
                return Ok(Some((head, known.bytes.len())));
            }
            let Some(end) = head_end(input) else {
                self.keep(input)?;
                return Ok(None);
            };
            let head = parse(&input[..end])?;
            known.bytes.clear();
            known.bytes.extend_from_slice(&input[..end]);
            known.head = Some(head);
            return Ok(Some((head, end)));
        }
        let before = self.partial.len();
        self.keep(input)?;
        let Some(end) = head_end(&self.partial) else { return Ok(None) };
        let head = parse(&self.partial[..end])?;
        self.partial.clear();
        Ok(Some((head, end - before)))
    }

    fn keep(&mut self, input: &[u8]) -> io::Result<()> {
        self.partial.extend_from_slice(input);
        if self.partial.len() > LONGEST_HEAD && head_end(&self.partial).is_none() {
            return Err(wrong(format!("no end of the head in {LONGEST_HEAD} bytes")));
        }
        Ok(())
    }
}

fn head_end(bytes: &[u8]) -> Option<usize> {
    memmem::find(bytes, b"\r\n\r\n").map(|at| at + 4)
}

/// Reads status, `Content-Length` and `Connection` of a head that ends in a blank line.
fn parse(head: &[u8]) -> io::Result<Head> {
    let text = std::str::from_utf8(head).map_err(|_| wrong("a head that is not UTF-8".into()))?;
    let mut lines = text.split_terminator("\r\n");
    let status = lines.next().unwrap_or_default();
    if !(status == "HTTP/1.1 200" || status.starts_with("HTTP/1.1 200 ")) {
        return Err(wrong(format!("status line {status:?}")));
    }
    let mut length = None;
    let mut close = false;
    for line in lines.take_while(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').ok_or_else(|| wrong(format!("field line {line:?}")))?;
        let value = value.trim_matches([' ', '\t']);
        if name.eq_ignore_ascii_case("content-length") {
            let number = value.parse().map_err(|_| wrong(format!("Content-Length {value:?}")))?;
            if length.replace(number).is_some() {
                return Err(wrong("two Content-Length fields".into()));
            }
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(wrong("an answer that is not framed by Content-Length".into()));
        } else if name.eq_ignore_ascii_case("connection") {
            close |= value.split(',').any(|option| option.trim().eq_ignore_ascii_case("close"));
        }
    }
    let length = length.ok_or_else(|| wrong("an answer without Content-Length".into()))?;
    Ok(Head { length, close })
}

fn wrong(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("wrong response: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nDate: now\r\n\r\nhello";

    fn read(pieces: &[&[u8]], expected: &[u8]) -> io::Result<Vec<Complete>> {
        let (mut known, mut reader, mut all) = (Known::default(), Reader::default(), Vec::new());
        for piece in pieces {
            let mut rest = *piece;
            while !rest.is_empty() {
                let Some(complete) = reader.feed(&mut known, rest, expected)? else { break };
                rest = &rest[complete.consumed..];
                all.push(complete);
            }
        }
        assert!(reader.is_between(), "a response did not end");
        Ok(all)
    }

    #[test]
    fn every_split_of_two_answers_reads_the_same() {
        let two = ANSWER.repeat(2);
        for first in 0..=two.len() {
            for second in first..=two.len() {
                let pieces = [&two[..first], &two[first..second], &two[second..]];
                let all = read(&pieces, b"hello").expect("two answers");
                assert_eq!(all.len(), 2, "split at {first} and {second}");
                assert!(all.iter().all(|complete| !complete.close));
            }
        }
    }

    #[test]
    fn wrong_answers_are_refused() {
        let cases: [(&[u8], &str); 8] = [
            (b"HTTP/1.1 500 No\r\nContent-Length: 5\r\n\r\nhello", "status line"),
            (b"HTTP/1.1 2000 OK\r\nContent-Length: 5\r\n\r\nhello", "status line"),
            (b"HTTP/1.1 200 OK\r\n\r\nhello", "without Content-Length"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhell", "Content-Length 4"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhullo", "other content"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nhello", "Content-Length \"x\""),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "not framed"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello", "two"),
        ];
        for (bytes, reason) in cases {
            let error = read(&[bytes], b"hello").expect_err(reason).to_string();
            assert!(error.contains(reason), "{error} for {reason}");
        }
        let endless = vec![b'x'; LONGEST_HEAD + 1];
        assert!(read(&[&endless], b"hello").is_err());
    }

    #[test]
    fn the_end_of_a_connection_is_announced() {
        let bytes = b"HTTP/1.1 200 OK\r\nConnection: Keep-Alive, Close\r\nContent-Length: 5\r\n\r\nhello";
        let all = read(&[bytes], b"hello").expect("an answer");
        assert_eq!(all, [Complete { consumed: bytes.len(), close: true }]);
    }
}
