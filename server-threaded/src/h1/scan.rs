//! The usual head, in one pass.
//!
//! Nearly every head is plain: lines that end in CR LF, names right before their colons, values of printable text.
//! [`scan`] reads these, and says nothing about any other one: those are left to the parser of the whole grammar, in
//! [`head`](super::head). So nothing is refused here, and what is accepted is what that parser accepts, with the same
//! result; a property test there compares the two.

use gateway_spec::{Field, Version};

/// How many fields a usual head has at most. Browsers send a dozen.
const FIELDS: usize = 32;

/// The parts of a head by its grammar alone.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Tokens<'b> {
    pub(super) method: &'b str,
    pub(super) target: &'b str,
    pub(super) version: Version,
    /// The value of `Host`, if the scan has it as text already.
    pub(super) host: Option<&'b str>,
    pub(super) length: usize,
}

/// The parts of the head at the beginning of `head`, and its fields, if it is whole, usual, and has no more than `most`
/// fields. Else `fields` is empty.
pub(super) fn scan<'b>(head: &'b [u8], most: usize, fields: &mut Vec<Field<'b>>) -> Option<Tokens<'b>> {
    fields.clear();
    let head = &head[..head.len().min(usize::from(u16::MAX))];
    let method = token(head)?;
    let target = method + 1;
    let target_end = target + head.get(target..)?.iter().position(|&b| !b.is_ascii_graphic())?;
    let mut at = target_end + b" HTTP/1.1\r\n".len();
    let version = match head.get(target_end..at)? {
        b" HTTP/1.1\r\n" => Version::Http11,
        b" HTTP/1.0\r\n" => Version::Http10,
        _ => return None,
    };
    if head[method] != b' ' || target == target_end {
        return None;
    }
    let mut lines = [Line::default(); FIELDS];
    let mut count = 0;
    while head.get(at..at + 2)? != b"\r\n" {
        if count == most {
            return None;
        }
        (*lines.get_mut(count)?, at) = Line::scan(head, at)?;
        count += 1;
    }
    let length = at + 2;
    // Validated as text in one go: names are ASCII, values nearly always.
    let text = str::from_utf8(&head[..length]).ok()?;
    let mut host = None;
    for line in &lines[..count] {
        let name = text.get(usize::from(line.start)..usize::from(line.colon))?;
        let value = usize::from(line.value)..usize::from(line.end);
        if name == "Host" || (name.len() == 4 && name.eq_ignore_ascii_case("host")) {
            host = text.get(value.clone());
        }
        fields.push(Field { name, value: &head[value] });
    }
    Some(Tokens { method: text.get(..method)?, target: text.get(target..target_end)?, version, host, length })
}

/// Where the parts of a field line are. Small numbers, as room for [`FIELDS`] of them is cleared for each head.
#[derive(Clone, Copy, Default)]
struct Line {
    start: u16,
    colon: u16,
    /// The value without blanks at its ends.
    value: u16,
    end: u16,
}

impl Line {
    /// The line at `start`, and where the next one is. `head` must not be longer than the numbers allow.
    #[inline]
    fn scan(head: &[u8], start: usize) -> Option<(Self, usize)> {
        let colon = start + token(&head[start..])?;
        if head[colon] != b':' {
            return None;
        }
        let mut value = colon + 1;
        while is_blank(*head.get(value)?) {
            value += 1;
        }
        let mut end = value + text(&head[value..])?;
        let next = end + 2;
        if head.get(end..next)? != b"\r\n" {
            return None;
        }
        while end > value && is_blank(head[end - 1]) {
            end -= 1;
        }
        let line = Self { start: start as u16, colon: colon as u16, value: value as u16, end: end as u16 };
        Some((line, next))
    }
}

const fn is_blank(b: u8) -> bool {
    b == b' ' || b == b'\t'
}

/// The length of the token (RFC 9110 section 5.6.2) at the beginning; `None` if it is empty or has no end.
#[inline]
fn token(octets: &[u8]) -> Option<usize> {
    let is_token = |b: u8| TOKEN[usize::from(b)];
    let mut rest = octets;
    // Four at once, without a branch for each.
    while let [a, b, c, d, more @ ..] = rest
        && is_token(*a) & is_token(*b) & is_token(*c) & is_token(*d)
    {
        rest = more;
    }
    while is_token(*rest.first()?) {
        rest = &rest[1..];
    }
    Some(octets.len() - rest.len()).filter(|&length| length > 0)
}

const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut b = 0u8;
    while b < 128 {
        table[b as usize] = b.is_ascii_alphanumeric()
            || matches!(
                b,
                b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
            );
        b += 1;
    }
    table
};

/// The length of the text at the beginning: up to the first control other than HTAB; `None` if there is none.
#[inline]
fn text(octets: &[u8]) -> Option<usize> {
    let mut rest = octets;
    // Sixteen at once, without a branch for each, so that the compiler can use wide registers.
    while let Some((block, more)) = rest.split_first_chunk::<16>()
        && !block.iter().fold(false, |control, &b| control | (b < b' ') | (b == 0x7f))
    {
        rest = more;
    }
    while TEXT[usize::from(*rest.first()?)] {
        rest = &rest[1..];
    }
    Some(octets.len() - rest.len())
}

const TEXT: [bool; 256] = {
    let mut table = [true; 256];
    let mut b = 0;
    while b < b' ' {
        table[b as usize] = b == b'\t';
        b += 1;
    }
    table[0x7f] = false;
    table
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn text_ends_at_the_first_control(octets in proptest::collection::vec(
            prop_oneof![4 => b' '..=b'~', 1 => any::<u8>(), 1 => Just(b'\t')], 0..60)) {
            let naive = octets.iter().position(|&b| (b < b' ' && b != b'\t') || b == 0x7f);
            prop_assert_eq!(text(&octets), naive);
        }

        #[test]
        fn tokens_are_those_of_the_contract(octets in proptest::collection::vec(prop_oneof![9 => b'a'..=b'z', 1 => any::<u8>()], 1..12)) {
            match token(&octets) {
                Some(length) => {
                    prop_assert!(gateway_spec::is_token(&octets[..length]));
                    prop_assert!(!gateway_spec::is_token(&octets[length..=length]));
                }
                None => prop_assert!(!gateway_spec::is_token(&octets[..1]) || gateway_spec::is_token(&octets)),
            }
        }
    }
}
