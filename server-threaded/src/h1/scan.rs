//! The usual head, in one pass.
//!
//! Nearly every head is plain: lines that end in CR LF, names right before their colons, one blank behind them, values
//! of printable text.
//! [`scan`] reads these, and says nothing about any other one: those are left to the parser of the whole grammar, in
//! [`head`](super::head). So nothing is refused here, and what is accepted is what that parser accepts, with the same
//! result; a property test there compares the two.

use std::ops::Range;

use gateway_spec::{Field, Version};

use super::octets::{self, TOKEN, run};
use super::target::Marks;

/// How many fields a usual head has at most. Browsers send a dozen.
const FIELDS: usize = 32;

/// The parts of a head by its grammar alone.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Tokens<'b> {
    pub(super) method: &'b str,
    pub(super) target: &'b str,
    pub(super) marks: Marks,
    pub(super) version: Version,
    /// The value of `Host`, if the scan has it as text already.
    pub(super) host: Option<&'b str>,
    pub(super) length: usize,
}

/// The parts of the head at the beginning of what has `arrived`, and its fields, if it is whole, usual, and has no more
/// than `most` fields. Else what is in `fields` means nothing.
///
/// What is behind the octets that have arrived is old; that it can be looked at spares the scan a second way for the
/// last octets of a head.
pub(super) fn scan<'b>(
    buffer: &'b [u8],
    arrived: Range<usize>,
    most: usize,
    fields: &mut Vec<Field<'b>>,
) -> Option<Tokens<'b>> {
    fields.clear();
    let whole = buffer;
    let buffer = &buffer[arrived.start..buffer.len().min(arrived.start + usize::from(u16::MAX))];
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
    let mut rest = buffer.get(at..)?;
    let mut names = [(0u16, 0u16); FIELDS];
    let length = loop {
        if let [b'\r', b'\n', ..] = rest {
            break buffer.len() - rest.len() + 2;
        }
        let place = names[..most.min(FIELDS)].get_mut(fields.len())?;
        let name = run(TOKEN, rest);
        let [b':', b' ', value @ ..] = rest.get(name..)? else { return None };
        let end = octets::text(value);
        let (value, [b'\r', b'\n', next @ ..]) = value.split_at_checked(end)? else { return None };
        if let (0, _) | (_, [b' ', ..] | [.., b' ']) = (name, value) {
            return None;
        }
        *place = ((buffer.len() - rest.len()) as u16, name as u16);
        // The name follows.
        fields.push(Field { name: "", value });
        rest = next;
    };
    if length > arrived.len() || marks.length == 0 {
        return None;
    }
    // Validated as text in one go: names are ASCII, values nearly always.
    let text = as_text(whole, arrived.start..arrived.start + length, is_get)?;
    let mut host = None;
    for (field, &(start, length)) in fields.iter_mut().zip(&names) {
        let (start, length) = (usize::from(start), usize::from(length));
        field.name = text.get(start..start + length)?;
        if field.name.len() == 4 && field.name.eq_ignore_ascii_case("host") {
            let value = start + length + 2;
            host = text.get(value..value + field.value.len());
        }
    }
    Some(Tokens { method: text.get(..method)?, target: text.get(target..target_end)?, marks, version, host, length })
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
