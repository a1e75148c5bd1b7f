//! [`Reply`]: a strict reader of responses, which checks every octet against the grammar.
//!
//! It is the suite's own, written from RFC 9112 and RFC 9110, and shares nothing with the servers (H1-GEN-01). What it
//! finds wrong it notes in [`Reply::problems`] and goes on where it can.

mod rules;
mod syntax;

use std::io;

pub use self::syntax::seconds_of;
use self::syntax::{chunk_size, field, is_text, number};
use crate::case::{Framing, To};

/// The longest line a server may send here; none of ours comes near.
const LONGEST_LINE: usize = 64 * 1024;

/// One response as it was received.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    /// The three digits.
    pub status: u16,
    /// The fields in order: names as received, values without the blanks around them.
    pub fields: Vec<(String, Vec<u8>)>,
    /// How the end of the content is told.
    pub framing: Option<Framing>,
    /// The content, decoded.
    pub body: Vec<u8>,
    /// The chunks as they stood on the wire, the last one left out.
    pub chunks: Vec<Vec<u8>>,
    /// Whether the content came to its end.
    pub complete: bool,
    /// Every breach of the grammar or of a rule that always holds, with its id.
    pub problems: Vec<String>,
}

/// Why there is no response, or no more of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The server closed in order.
    Fin,
    /// The connection was reset.
    Reset,
    /// Nothing came for longer than anything here takes.
    Silence,
}

/// Where octets come from: a connection, or a buffer in tests.
pub trait Octets {
    /// What was received and is not read yet.
    fn buffer(&mut self) -> &mut Vec<u8>;

    /// Receives more into the buffer.
    ///
    /// # Errors
    /// How the connection ended.
    fn receive(&mut self) -> Result<(), Ending>;
}

/// What reading a response came to.
#[derive(Debug)]
pub enum Outcome {
    /// A response; it may be cut.
    Reply(Box<Reply>),
    /// The connection ended, or nothing came, before the first octet of one.
    Nothing(Ending),
    /// What came is no response at all.
    Broken(String),
}

impl Reply {
    /// The values of a field, in order.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.fields.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_slice())
    }

    /// Whether the response says that the connection will be closed.
    #[must_use]
    pub fn announces_close(&self) -> bool {
        self.values("Connection")
            .flat_map(|value| value.split(|&b| b == b','))
            .any(|o| o.trim_ascii().eq_ignore_ascii_case(b"close"))
    }

    /// Reads one response to a request of the given kind.
    pub fn read(octets: &mut dyn Octets, to: To) -> Outcome {
        let line = match read_line(octets) {
            Ok(line) => line,
            Err(Stop::Ended(ending)) if octets.buffer().is_empty() => return Outcome::Nothing(ending),
            Err(Stop::Ended(ending)) => {
                let rest = octets.buffer().escape_ascii().to_string();
                return Outcome::Broken(format!("a status line that ends in {ending:?}: \"{rest}\""));
            }
            Err(Stop::Wrong(message)) => return Outcome::Broken(message),
        };
        let mut reply = Self::default();
        if let Err(message) = reply.status_line(&line) {
            return Outcome::Broken(message);
        }
        match reply.rest(octets, to) {
            Ok(()) => reply.complete = true,
            Err(Stop::Ended(Ending::Silence)) => {
                reply.problem("", "the response stops without the connection being closed")
            }
            Err(Stop::Ended(_)) => {}
            Err(Stop::Wrong(message)) => reply.problem("H1-GEN-01", &message),
        }
        Outcome::Reply(Box::new(reply))
    }

    fn problem(&mut self, id: &str, message: &str) {
        self.problems.push(format!("{id} {message}").trim_start().to_owned());
    }

    /// `HTTP/1.1 SP 3DIGIT SP [ reason-phrase ]` (H1-STAT-01, H1-STAT-02, H1-VER-03).
    fn status_line(&mut self, line: &[u8]) -> Result<(), String> {
        let wrong = || format!("\"{}\" is not a status line of HTTP/1.1", line.escape_ascii());
        let rest = match line.strip_prefix(b"HTTP/1.0 ") {
            Some(rest) => {
                self.problem("H1-VER-02", "the status line says HTTP/1.0");
                rest
            }
            None => line.strip_prefix(b"HTTP/1.1 ").ok_or_else(wrong)?,
        };
        let (code, reason) = rest.split_at_checked(3).ok_or_else(wrong)?;
        let reason = reason.strip_prefix(b" ").ok_or_else(wrong)?;
        if !code.iter().all(u8::is_ascii_digit) || !(b'1'..=b'5').contains(&code[0]) {
            return Err(wrong());
        }
        if !reason.iter().all(|&b| is_text(b)) {
            return Err(wrong());
        }
        self.status = code.iter().fold(0, |n, &b| n * 10 + u16::from(b - b'0'));
        Ok(())
    }

    fn rest(&mut self, octets: &mut dyn Octets, to: To) -> Result<(), Stop> {
        loop {
            let line = read_line(octets)?;
            if line.is_empty() {
                break;
            }
            let field = field(&line).map_err(Stop::Wrong)?;
            self.fields.push(field);
        }
        self.check_fields();
        let framing = self.framing(to);
        self.framing = Some(framing);
        match framing {
            Framing::None => Ok(()),
            Framing::Length => {
                let length = self.values("Content-Length").next().and_then(number).unwrap_or(0);
                self.take(octets, length)
            }
            Framing::Chunked => self.chunked(octets),
            Framing::Close => loop {
                self.body.append(octets.buffer());
                match octets.receive() {
                    Ok(()) => {}
                    // A reset tells the client that something is missing; an orderly end is the end of the content.
                    Err(Ending::Fin) => return Ok(()),
                    Err(ending) => return Err(Stop::Ended(ending)),
                }
            },
        }
    }

    /// RFC 9112 section 6.3, from the client's side.
    fn framing(&self, to: To) -> Framing {
        let none =
            matches!(self.status, 100..=199 | 204 | 304) || to == To::Head || (to == To::Connect && self.status < 300);
        if none {
            Framing::None
        } else if self.values("Transfer-Encoding").next().is_some() {
            Framing::Chunked
        } else if self.values("Content-Length").next().is_some() {
            Framing::Length
        } else {
            Framing::Close
        }
    }

    fn chunked(&mut self, octets: &mut dyn Octets) -> Result<(), Stop> {
        loop {
            let line = read_line(octets)?;
            let size = chunk_size(&line).ok_or_else(|| {
                Stop::Wrong(format!("H1-CHK-09 \"{}\" is not a chunk size as a server sends it", line.escape_ascii()))
            })?;
            if size == 0 {
                break;
            }
            let start = self.body.len();
            self.take(octets, size)?;
            let chunk = self.body[start..].to_vec();
            self.chunks.push(chunk);
            let end = read_line(octets)?;
            if !end.is_empty() {
                return Err(Stop::Wrong(format!("\"{}\" after the data of a chunk", end.escape_ascii())));
            }
        }
        let end = read_line(octets)?;
        if end.is_empty() { Ok(()) } else { Err(Stop::Wrong("trailers that nobody announced".to_owned())) }
    }

    /// Moves `length` octets of content from the buffer to the body.
    fn take(&mut self, octets: &mut dyn Octets, length: u64) -> Result<(), Stop> {
        let mut missing = usize::try_from(length).unwrap_or(usize::MAX);
        loop {
            let buffer = octets.buffer();
            let n = buffer.len().min(missing);
            self.body.extend(buffer.drain(..n));
            missing -= n;
            if missing == 0 {
                return Ok(());
            }
            octets.receive().map_err(Stop::Ended)?;
        }
    }
}

enum Stop {
    Ended(Ending),
    Wrong(String),
}

/// Reads a line without its CRLF; the octets stay in the buffer until the line is whole.
fn read_line(octets: &mut dyn Octets) -> Result<Vec<u8>, Stop> {
    let mut seen = 0;
    loop {
        let buffer = octets.buffer();
        if let Some(end) = buffer[seen..].iter().position(|&b| b == b'\n') {
            let mut line: Vec<u8> = buffer.drain(..=seen + end).collect();
            line.pop();
            return match line.pop() {
                Some(b'\r') if !line.contains(&b'\r') => Ok(line),
                _ => Err(Stop::Wrong(format!(
                    "H1-PARSE-03 a line that does not end in CRLF: \"{}\"",
                    line.escape_ascii()
                ))),
            };
        }
        if buffer.len() > LONGEST_LINE {
            return Err(Stop::Wrong("a line without end".to_owned()));
        }
        seen = buffer.len();
        octets.receive().map_err(Stop::Ended)?;
    }
}

/// Tells how a connection ended from what reading it said.
#[must_use]
pub fn ending_of(error: &io::Error) -> Ending {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Ending::Silence,
        _ => Ending::Reset,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives its octets one at a time, so that every place is also a place to wait.
    struct Drip {
        rest: Vec<u8>,
        buffer: Vec<u8>,
    }

    impl Octets for Drip {
        fn buffer(&mut self) -> &mut Vec<u8> {
            &mut self.buffer
        }

        fn receive(&mut self) -> Result<(), Ending> {
            if self.rest.is_empty() {
                return Err(Ending::Fin);
            }
            self.buffer.push(self.rest.remove(0));
            Ok(())
        }
    }

    fn read(text: &str, to: To) -> Outcome {
        Reply::read(&mut Drip { rest: text.as_bytes().to_vec(), buffer: Vec::new() }, to)
    }

    fn reply(text: &str, to: To) -> Reply {
        match read(text, to) {
            Outcome::Reply(reply) => *reply,
            other => panic!("{text:?}: {other:?}"),
        }
    }

    const DATE: &str = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";

    #[test]
    fn clean_responses_have_no_problems() {
        for (head, body, to, framing, content) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n", "hi", To::Other, Framing::Length, "hi"),
            (
                "HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n",
                "2\r\nhi\r\na\r\n0123456789\r\n0\r\n\r\n",
                To::Other,
                Framing::Chunked,
                "hi0123456789",
            ),
            ("HTTP/1.1 200 OK\r\nConnection: close\r\n", "hi", To::Other, Framing::Close, "hi"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", "", To::Head, Framing::None, ""),
            ("HTTP/1.1 304 Not Modified\r\n", "", To::Other, Framing::None, ""),
        ] {
            let reply = reply(&format!("{head}{DATE}\r\n{body}"), to);
            assert_eq!(reply.problems, Vec::<String>::new(), "{head}");
            assert!(reply.complete, "{head}");
            assert_eq!((reply.framing, reply.body.as_slice()), (Some(framing), content.as_bytes()), "{head}");
        }
    }

    #[test]
    fn every_breach_is_noted_with_its_rule() {
        for (head, body, id) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n", "H1-RFR-07"),
            ("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n", "", "H1-NOB-05"),
            ("HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n", "", "H1-RFR-03"),
            ("HTTP/1.1 200 OK\r\nContent-Length: +5\r\n", "", "H1-CLEN-03"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n", "", "H1-DATE-01"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: foo\r\n", "", "H1-CON-19"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nKeep-Alive: timeout=5\r\n", "", "H1-CON-18"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nHost: a\r\n", "", "H1-GEN-02"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX:a\r\n", "", "H1-GEN-01"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX : a\r\n", "", "H1-GEN-01"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: a\x01\r\n", "", "H1-GEN-01"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n", "02\r\nhi\r\n0\r\n\r\n", "H1-CHK-09"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n", "2\r\nhiX\r\n0\r\n\r\n", "H1-GEN-01"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n", "2\nhi\r\n0\r\n\r\n", "H1-PARSE-03"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n", "0\r\n\r\n", "H1-RFR-02"),
        ] {
            let reply = reply(&format!("{head}{DATE}\r\n{body}"), To::Other);
            assert!(reply.problems.iter().any(|p| p.contains(id)), "{head}{body}: {:?}", reply.problems);
        }
        let without = reply("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", To::Other);
        assert_eq!(without.problems, ["H1-DATE-01 no Date"]);
        let old = reply(&format!("HTTP/1.0 200 OK\r\n{DATE}\r\n"), To::Other);
        assert!(old.problems[0].starts_with("H1-VER-02"));
        let other_form =
            reply("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nDate: Sunday, 06-Nov-94 08:49:37 GMT\r\n\r\n", To::Other);
        assert!(other_form.problems[0].starts_with("H1-SYN-13"));
    }

    #[test]
    fn dates_are_seconds() {
        assert_eq!(seconds_of(b"Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
        assert_eq!(seconds_of(b"Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(seconds_of(b"Thu, 29 Feb 2024 23:59:59 GMT"), Some(1_709_251_199));
        assert_eq!(seconds_of(b"Sunday, 06-Nov-94 08:49:37 GMT"), None);
    }

    #[test]
    fn what_is_cut_is_not_complete() {
        for (head, body) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", "hi"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n", "2\r\nhi\r\n"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n", "2\r\nhi\r\n0\r\n"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n", "5\r\nhi"),
        ] {
            let reply = reply(&format!("{head}{DATE}\r\n{body}"), To::Other);
            assert!(!reply.complete, "{head}{body}");
            assert_eq!(reply.body, b"hi", "{head}{body}");
        }
    }

    #[test]
    fn what_is_no_response_is_said_to_be_none() {
        assert!(matches!(read("", To::Other), Outcome::Nothing(Ending::Fin)));
        for text in [
            "HTTP/1.1 200",
            "HTTP/2 200 OK\r\n\r\n",
            "HTTP/1.1 200\r\n\r\n",
            "HTTP/1.1 2000 OK\r\n\r\n",
            "HTTP/1.1 600 OK\r\n\r\n",
            "HTTP/1.1 200 O\x01K\r\n\r\n",
            "hello\r\n",
            "HTTP/1.1 200 OK\n\r\n",
        ] {
            assert!(matches!(read(text, To::Other), Outcome::Broken(_)), "{text:?}");
        }
    }
}
