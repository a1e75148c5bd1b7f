//! [`Parser`]: where parts begin and end (RFC 2046 section 5.1), in a window over any reader.

use std::io::{self, Read};
use std::ops::Range;

use gateway_spec::Status;
use memchr::memmem::{self, Finder};

use crate::Error;
use crate::error::InputFailed;

/// The window: more than the headers of a part may need.
const WINDOW: usize = 32 * 1024;
/// How long the headers of a part may be, in bytes.
pub(super) const MAX_HEADERS: usize = 16 * 1024;
/// How much may come before the first part, in bytes.
pub(super) const MAX_PREAMBLE: usize = 8 * 1024;
/// How many blanks may follow a boundary.
const MAX_PADDING: usize = 64;

/// Cuts a body into parts. `CRLF "--" boundary` ends what comes before it; at the very beginning its CRLF is implied.
#[derive(Debug)]
pub(super) struct Parser<R> {
    reader: R,
    delimiter: Finder<'static>,
    /// What was read and not given out yet.
    window: Box<[u8]>,
    held: Range<usize>,
    /// Up to here no delimiter begins: what was searched is not searched again, in however small pieces it is taken.
    /// Nothing is known if it is not after the start of what is held.
    clear: usize,
    state: State,
    /// How much was given to the search, in all.
    #[cfg(test)]
    searched: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the first part.
    Preamble,
    /// In the content of a part.
    Content,
    /// In front of a delimiter.
    AtDelimiter,
    /// After the last one.
    Done,
    /// Something was wrong; nothing after it means anything.
    Failed,
}

impl<R: Read> Parser<R> {
    pub(super) fn new(reader: R, boundary: &str) -> Self {
        let mut window = vec![0; WINDOW].into_boxed_slice();
        // The CRLF of the first delimiter, so that it is like the others.
        window[..2].copy_from_slice(b"\r\n");
        let delimiter = Finder::new(format!("\r\n--{boundary}").as_bytes()).into_owned();
        Self {
            reader,
            delimiter,
            window,
            held: 0..2,
            clear: 0,
            state: State::Preamble,
            #[cfg(test)]
            searched: 0,
        }
    }

    /// Goes to the next part and gives its headers, each as `name: value`; `None` after the last.
    pub(super) fn next_part(&mut self) -> Result<Option<String>, Error> {
        let result = self.try_next_part();
        if result.is_err() {
            self.state = State::Failed;
        }
        result
    }

    fn try_next_part(&mut self) -> Result<Option<String>, Error> {
        let mut preamble = 0;
        loop {
            match self.state {
                State::AtDelimiter => break,
                State::Done => return Ok(None),
                State::Failed => return Err(malformed("the form was broken before")),
                State::Preamble | State::Content => {
                    let passed = self.content_to_delimiter().map_err(Error::of_input)?.len();
                    self.consume(passed);
                    if self.state == State::Preamble {
                        preamble += passed;
                        if preamble > MAX_PREAMBLE {
                            return Err(too_large("what comes before its first part"));
                        }
                    }
                }
            }
        }
        self.held.start += self.delimiter.needle().len();
        if self.is_last()? {
            self.state = State::Done;
            return Ok(None);
        }
        let headers = self.headers()?;
        self.state = State::Content;
        Ok(Some(headers))
    }

    /// What is at hand of the content of the part; empty at its end.
    pub(super) fn content(&mut self) -> io::Result<&[u8]> {
        match self.state {
            State::Content => {}
            State::Failed => return Err(failure(io::ErrorKind::InvalidData)),
            _ => return Ok(&[]),
        }
        let range = self.content_to_delimiter().inspect_err(|_| self.state = State::Failed)?;
        Ok(&self.window[range])
    }

    pub(super) fn consume(&mut self, amount: usize) {
        self.held.start = (self.held.start + amount).min(self.held.end);
    }

    /// Where in the window the next bytes before a delimiter are; none if one is next, which is the new state then.
    fn content_to_delimiter(&mut self) -> io::Result<Range<usize>> {
        loop {
            if self.clear > self.held.start {
                return Ok(self.held.start..self.clear);
            }
            let held = &self.window[self.held.clone()];
            #[cfg(test)]
            {
                self.searched += held.len();
            }
            match self.delimiter.find(held) {
                Some(0) => {
                    self.state = State::AtDelimiter;
                    return Ok(self.held.start..self.held.start);
                }
                Some(end) => self.clear = self.held.start + end,
                None => {
                    // The end may be the beginning of a delimiter; what is before it is content for sure.
                    match held.len().saturating_sub(self.delimiter.needle().len() - 1) {
                        0 => self.fill()?,
                        safe => self.clear = self.held.start + safe,
                    }
                }
            }
        }
    }

    /// What follows a delimiter: `--` at the last, else blanks and the end of the line.
    fn is_last(&mut self) -> Result<bool, Error> {
        let mut blanks = 0;
        loop {
            match &self.window[self.held.clone()] {
                [b'-', b'-', ..] if blanks == 0 => return Ok(true),
                [b'\r', b'\n', ..] => {
                    self.held.start += 2;
                    return Ok(false);
                }
                [] | [b'\r'] | [b'-'] => self.fill().map_err(Error::of_input)?,
                [b' ' | b'\t', ..] if blanks < MAX_PADDING => {
                    blanks += 1;
                    self.held.start += 1;
                }
                _ => return Err(malformed("a boundary is not followed by the end of its line")),
            }
        }
    }

    /// The headers of a part, without the empty line that ends them.
    fn headers(&mut self) -> Result<String, Error> {
        let mut scanned = 0;
        loop {
            let held = &self.window[self.held.clone()];
            if held.starts_with(b"\r\n") {
                return Err(malformed("a part has no headers"));
            }
            if let Some(found) = memmem::find(&held[scanned..], b"\r\n\r\n") {
                let end = scanned + found;
                if end > MAX_HEADERS {
                    return Err(too_large("the head of a part"));
                }
                let headers = String::from_utf8_lossy(&held[..end]).into_owned();
                self.held.start += end + 2;
                self.skip_line_end()?;
                return Ok(headers);
            }
            if held.len() > MAX_HEADERS + 4 {
                return Err(too_large("the head of a part"));
            }
            scanned = held.len().saturating_sub(3);
            self.fill().map_err(Error::of_input)?;
        }
    }

    /// Passes over the empty line that ends the headers, unless it begins the delimiter: RFC 2046 allows a part without
    /// content to be written so, though clients send a line end more.
    fn skip_line_end(&mut self) -> Result<(), Error> {
        loop {
            let (held, needle) = (&self.window[self.held.clone()], self.delimiter.needle());
            let length = held.len().min(needle.len());
            if held[..length] != needle[..length] {
                self.held.start += 2;
                return Ok(());
            }
            if length == needle.len() {
                return Ok(());
            }
            self.fill().map_err(Error::of_input)?;
        }
    }

    /// Reads more into the window. The end of the input is an error: nobody asks for more after the last delimiter.
    fn fill(&mut self) -> io::Result<()> {
        if self.held.end == self.window.len() {
            self.window.copy_within(self.held.clone(), 0);
            self.clear = self.clear.saturating_sub(self.held.start);
            self.held = 0..self.held.len();
        }
        loop {
            match self.reader.read(&mut self.window[self.held.end..]) {
                Ok(0) => return Err(failure(io::ErrorKind::UnexpectedEof)),
                Ok(read) => {
                    self.held.end += read;
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// An error of the request body that `?` in a handler makes the right response of.
fn failure(kind: io::ErrorKind) -> io::Error {
    io::Error::new(kind, InputFailed(kind))
}

fn malformed(what: &str) -> Error {
    Error::bad_request(format!("This is no multipart form: {what}."))
}

fn too_large(what: &str) -> Error {
    Error::new(Status::CONTENT_TOO_LARGE, format!("The form is too large: {what}."))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A reader that gives its bytes in pieces of these sizes, over and over.
    struct Pieces<'b>(&'b [u8], Vec<usize>, usize);

    impl Read for Pieces<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let size = self.1[self.2 % self.1.len()].min(buffer.len()).min(self.0.len());
            self.2 += 1;
            buffer[..size].copy_from_slice(&self.0[..size]);
            self.0 = &self.0[size..];
            Ok(size)
        }
    }

    type Parts = Vec<(String, Vec<u8>)>;

    fn parse(body: &[u8], pieces: Vec<usize>) -> Result<Parts, u16> {
        parse_by(body, pieces, usize::MAX)
    }

    /// The same with the content taken in pieces of at most this size.
    fn parse_by(body: &[u8], pieces: Vec<usize>, most: usize) -> Result<Parts, u16> {
        let mut parser = Parser::new(Pieces(body, pieces, 0), "B");
        let mut parts = Vec::new();
        let code = |error: Error| error.status().code();
        while let Some(headers) = parser.next_part().map_err(code)? {
            let mut content = Vec::new();
            loop {
                let block = parser.content().map_err(Error::of_input).map_err(code)?;
                if block.is_empty() {
                    break;
                }
                let length = block.len().min(most);
                content.extend_from_slice(&block[..length]);
                parser.consume(length);
            }
            parts.push((headers, content));
        }
        assert!(parser.next_part().is_ok_and(|end| end.is_none()), "the end stays the end");
        Ok(parts)
    }

    #[test]
    fn forms_in_every_split() {
        let part = |headers: &str, content: &str| (headers.to_owned(), content.as_bytes().to_vec());
        for (body, expected) in [
            ("--B\r\nh: 1\r\n\r\none\r\n--B--\r\n", Ok(vec![part("h: 1", "one")])),
            ("--B\r\nh: 1\r\n\r\none\r\n--B--", Ok(vec![part("h: 1", "one")])),
            (
                "--B\r\na: 1\r\nb: 2\r\n\r\n\r\n--B\r\nc: 3\r\n\r\n\r\n\r\n--B--",
                Ok(vec![part("a: 1\r\nb: 2", ""), part("c: 3", "\r\n")]),
            ),
            ("--B\r\na: 1\r\n\r\n--B--", Ok(vec![part("a: 1", "")])),
            (
                "preamble\r\n--B \t\r\na: 1\r\n\r\n\r\n--\r\n-B\r\n--\rB\r\n--B--epilogue",
                Ok(vec![part("a: 1", "\r\n--\r\n-B\r\n--\rB")]),
            ),
            ("--B--", Ok(vec![])),
            ("--Bx\r\na: 1\r\n\r\n\r\n--B--", Err(400)),
            ("--B -\r\n", Err(400)),
            ("--B -- \r\n", Err(400)),
            ("--B\r\n\r\ncontent\r\n--B--", Err(400)),
            ("--B\r\na: 1\r\n\r\ncut", Err(400)),
            ("--B\r\na: 1\r\n\r\ncut\r\n--B", Err(400)),
            ("--B\r\na: 1\r\n\r\ncut\r\n--B-", Err(400)),
            ("--B\r\na: 1", Err(400)),
            ("x--B--", Err(400)),
            ("--C--", Err(400)),
            ("", Err(400)),
        ] {
            for first in 1..=body.len().max(1) {
                assert_eq!(parse(body.as_bytes(), vec![first, 1 << 20]), expected, "{body:?} after {first}");
            }
            assert_eq!(parse(body.as_bytes(), vec![1]), expected, "{body:?} by bytes");
        }
    }

    /// F05: whatever never ends is refused when its limit is reached.
    #[test]
    fn endless_forms_end() {
        struct Endless(&'static [u8], &'static [u8], u64);
        impl Read for Endless {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                assert!(self.2 < 1 << 20, "read on and on");
                let from = if self.2 == 0 { self.0 } else { self.1 };
                let size = from.len().min(buffer.len());
                buffer[..size].copy_from_slice(&from[..size]);
                self.2 += size as u64;
                Ok(size)
            }
        }
        let code = |first, more| {
            let mut parser = Parser::new(Endless(first, more, 0), "B");
            loop {
                match parser.next_part() {
                    Ok(Some(_)) => {}
                    Ok(None) => return 0,
                    Err(error) => return error.status().code(),
                }
            }
        };
        assert_eq!(code(b"x", b"preamble "), 413);
        assert_eq!(code(b"--B\r\n", b"header: value\r\n"), 413);
        assert_eq!(code(b"--B\r\nheader: ", b"value"), 413);
        assert_eq!(code(b"--B", b" "), 400);
    }

    /// One pass, however the content looks: 8 MiB of what almost is a delimiter. Too slow would be minutes.
    #[test]
    fn content_that_looks_like_delimiters() {
        for nearly in ["\r", "\r\n", "\r\n-", "\r\n--", "\r\n--b"] {
            let mut body = b"--B\r\na: 1\r\n\r\n".to_vec();
            let content = nearly.repeat((8 << 20) / nearly.len());
            body.extend_from_slice(content.as_bytes());
            body.extend_from_slice(b"\r\n--B--");
            let parts = parse(&body, vec![1000, 1, 7]).unwrap();
            assert!(parts.len() == 1 && parts[0].1 == content.as_bytes(), "{nearly:?}");
        }
    }

    /// Octets are given to the search once, and those of the last window once more, though they are taken one by one.
    #[test]
    fn what_was_searched_is_not_searched_again() {
        let content = b"content ".repeat(WINDOW);
        let body = [b"--B\r\na: 1\r\n\r\n", content.as_slice(), b"\r\n--B--"].concat();
        let mut parser = Parser::new(&*body, "B");
        parser.next_part().unwrap().unwrap();
        let mut length = 0;
        while !parser.content().unwrap().is_empty() {
            parser.consume(1);
            length += 1;
        }
        assert_eq!(length, content.len());
        assert!(parser.searched < body.len() + 2 * WINDOW, "{} of {}", parser.searched, body.len());
    }

    proptest! {
        /// What was put together comes apart again, in any pieces.
        #[test]
        fn parts_come_apart(
            contents in prop::collection::vec(prop::collection::vec(prop::sample::select(b"\r\n-Bx".to_vec()), 0..60), 0..5),
            pieces in prop::collection::vec(1usize..50, 1..5),
            most in 1usize..50,
        ) {
            prop_assume!(contents.iter().all(|content| {
                let framed = [b"\r\n", content.as_slice(), b"\r\n"].concat();
                memmem::find(&framed, b"\r\n--B").is_none()
            }));
            let mut body = Vec::new();
            for (index, content) in contents.iter().enumerate() {
                body.extend_from_slice(format!("--B\r\nn: {index}\r\n\r\n").as_bytes());
                body.extend_from_slice(content);
                body.extend_from_slice(b"\r\n");
            }
            body.extend_from_slice(b"--B--\r\n");
            let expected: Parts = contents.into_iter().enumerate().map(|(i, content)| (format!("n: {i}"), content)).collect();
            prop_assert_eq!(parse_by(&body, pieces, most), Ok(expected));
        }

        /// Any garbage ends in parts or an error of the client's, the same in any pieces.
        #[test]
        fn garbage_ends(body in prop::collection::vec(prop::sample::select(b"\r\n-B: a".to_vec()), 0..200), pieces in prop::collection::vec(1usize..9, 1..4), most in 1usize..9) {
            let whole = parse(&body, vec![1 << 20]);
            prop_assert!(!matches!(whole, Err(code) if code >= 500));
            prop_assert_eq!(parse_by(&body, pieces, most), whole);
        }
    }
}
