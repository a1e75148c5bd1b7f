//! The usual head, in one pass.
//!
//! Nearly every head is plain: lines that end in CR LF, names right before their colons, one blank behind them, values
//! of printable text.
//! [`scan`] reads these, and says nothing about any other one: those are left to the parser of the whole grammar, in
//! [`head`](super::head). So nothing is refused here, and what is accepted is what that parser accepts, with the same
//! result; a property test there compares the two.

use std::ops::Range;

use gateway_spec::Version;

use super::request_line::{Parts, RequestLine};
use super::section::Section;
use super::target::Marks;

/// The parts of a head by its grammar alone.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Tokens<'b> {
    pub(super) method: &'b str,
    pub(super) target: &'b str,
    pub(super) marks: Marks,
    pub(super) version: Version,
    pub(super) length: usize,
}

/// What a connection keeps of the last usual head: the next one is likely to be the same, in part or as a whole.
#[derive(Debug, Default)]
pub(crate) struct LastHead {
    line: RequestLine,
    pub(super) section: Section,
}

impl LastHead {
    /// Forgets everything, for another connection.
    pub(crate) fn clear(&mut self) {
        self.line.clear();
        self.section.clear();
    }

    /// The head that was scanned last: its request line, and the rest.
    pub(super) fn octets(&self) -> [&[u8]; 2] {
        [self.line.octets(), self.section.octets()]
    }

    /// The parts of the head that was scanned last, which took `length` octets.
    pub(super) fn tokens(&self, length: usize) -> Option<Tokens<'_>> {
        let Parts { marks, version, .. } = self.line.parts()?;
        Some(Tokens { method: self.line.method()?, target: self.line.target()?, marks, version, length })
    }
}

/// Reads the head at the beginning of what has `arrived` into `last`, if it is whole, usual, and has no more than `most`
/// fields. Its length; else `None`, and `last` may have forgotten what it had.
///
/// What is behind the octets that have arrived is old; that it can be looked at spares the scan a second way for the
/// last octets of a head.
pub(super) fn scan(buffer: &[u8], arrived: Range<usize>, most: usize, last: &mut LastHead) -> Option<usize> {
    let octets = &buffer[arrived.start..];
    let repeated_line = last.line.at(octets);
    let line = match repeated_line {
        Some(line) => line,
        None => Parts::find(octets)?,
    };
    let fields = &octets[line.length..];
    let is_repeated = last.section.is_at(fields);
    let length = line.length + if is_repeated { last.section.len() } else { last.section.find(fields, most)? };
    if length > arrived.len() {
        return None;
    }
    if repeated_line.is_some() && is_repeated {
        return Some(length);
    }
    // Validated as text in one go: names are ASCII, values nearly always.
    let validated = if is_repeated { line.length } else { length };
    let goes_on = is_repeated || octets.starts_with(b"GET ");
    let text = as_text(buffer, arrived.start..arrived.start + validated, goes_on)?;
    let (text, section) = text.split_at_checked(line.length)?;
    if repeated_line.is_none() {
        last.line.keep(text, line);
    }
    if !is_repeated {
        last.section.keep(section);
    }
    Some(length)
}

/// A part of the buffer, if it is text. `goes_on` tells whether text is likely to follow it, or what was there before: not
/// a body.
fn as_text(buffer: &[u8], part: Range<usize>, goes_on: bool) -> Option<&str> {
    // Validation goes octet by octet where it cannot go by pairs of words, so it is given whole ones.
    const PAIR: usize = 16;
    let start = part.start - part.start % PAIR;
    let end = if goes_on { part.end.next_multiple_of(PAIR) } else { part.end };
    match buffer.get(start..end).map(str::from_utf8) {
        Some(Ok(around)) => around.get(part.start - start..part.end - start),
        _ => str::from_utf8(&buffer[part]).ok(),
    }
}
