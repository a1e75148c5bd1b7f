//! The usual head, in one pass.
//!
//! Nearly every head is plain: lines that end in CR LF, names right before their colons, one blank behind them, values
//! of printable text.
//! [`scan`] reads these, and says nothing about any other one: those are left to the parser of the whole grammar, in
//! [`head`](super::head). So nothing is refused here, and what is accepted is what that parser accepts, with the same
//! result; a property test there compares the two.

use std::ops::Range;

use gateway_spec::Version;

use super::octets::{TOKEN, run};
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

/// The parts of the head at the beginning of what has `arrived`, if it is whole, usual, and has no more than `most`
/// fields, which are then in `section`. Else `section` may have forgotten what it had.
///
/// What is behind the octets that have arrived is old; that it can be looked at spares the scan a second way for the
/// last octets of a head.
pub(super) fn scan<'b>(
    buffer: &'b [u8],
    arrived: Range<usize>,
    most: usize,
    section: &mut Section,
) -> Option<Tokens<'b>> {
    let whole = buffer;
    let buffer = &buffer[arrived.start..];
    let is_get = buffer.starts_with(b"GET ");
    let method = if is_get { 3 } else { run(TOKEN, buffer) };
    let target = method + 1;
    if method == 0 || *buffer.get(method)? != b' ' {
        return None;
    }
    let marks = Marks::find(&buffer[target..]);
    let target_end = target + marks.length;
    let at = target_end + b" HTTP/1.1\r\n".len();
    let version = match buffer.get(target_end..at)? {
        b" HTTP/1.1\r\n" => Version::Http11,
        b" HTTP/1.0\r\n" => Version::Http10,
        _ => return None,
    };
    let fields = buffer.get(at..)?;
    let is_repeated = section.is_at(fields);
    let length = at + if is_repeated { section.len() } else { section.find(fields, most)? };
    if length > arrived.len() || marks.length == 0 {
        return None;
    }
    // Validated as text in one go: names are ASCII, values nearly always.
    let validated = if is_repeated { at } else { length };
    let text = as_text(whole, arrived.start..arrived.start + validated, is_get || is_repeated)?;
    if !is_repeated {
        section.keep(text.get(at..)?);
    }
    Some(Tokens { method: text.get(..method)?, target: text.get(target..target_end)?, marks, version, length })
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
