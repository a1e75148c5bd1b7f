//! [`RequestLine`]: the request line that a client sent last.
//!
//! As with [`Section`](super::section::Section), octets that are those of the line before are compared and not read again.

use gateway_spec::Version;

use super::octets::{TOKEN, run};
use super::target::Marks;

/// The last request line that was usual, with its CR LF.
#[derive(Debug, Default)]
pub(super) struct RequestLine {
    text: String,
    parts: Option<Parts>,
}

/// The parts of a request line by its grammar alone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parts {
    /// How long the method is.
    method: usize,
    pub(super) marks: Marks,
    pub(super) version: Version,
    /// How long the line is.
    pub(super) length: usize,
}

impl Parts {
    /// Those of the line at the beginning of `octets`, if it is usual.
    pub(super) fn find(octets: &[u8]) -> Option<Self> {
        let method = run(TOKEN, octets);
        if method == 0 || *octets.get(method)? != b' ' {
            return None;
        }
        let target = method + 1;
        let marks = Marks::find(&octets[target..]);
        let target_end = target + marks.length;
        let length = target_end + b" HTTP/1.1\r\n".len();
        let version = match octets.get(target_end..length)? {
            b" HTTP/1.1\r\n" => Version::Http11,
            b" HTTP/1.0\r\n" => Version::Http10,
            _ => return None,
        };
        (marks.length > 0).then_some(Self { method, marks, version, length })
    }
}

impl RequestLine {
    /// The parts of the line, if this very one is at the beginning of `octets`.
    pub(super) fn at(&self, octets: &[u8]) -> Option<Parts> {
        self.parts.filter(|_| octets.starts_with(self.text.as_bytes()))
    }

    /// Keeps a line in which these parts were found.
    pub(super) fn keep(&mut self, text: &str, parts: Parts) {
        self.text.clear();
        self.text.push_str(text);
        self.parts = Some(parts);
    }

    pub(super) const fn octets(&self) -> &[u8] {
        self.text.as_bytes()
    }

    pub(super) fn clear(&mut self) {
        self.parts = None;
    }

    pub(super) const fn parts(&self) -> Option<Parts> {
        self.parts
    }

    pub(super) fn method(&self) -> Option<&str> {
        self.text.get(..self.parts?.method)
    }

    pub(super) fn target(&self) -> Option<&str> {
        let parts = self.parts?;
        self.text.get(parts.method + 1..parts.method + 1 + parts.marks.length)
    }
}
