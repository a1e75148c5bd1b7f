//! The usual head, read in one pass.
//!
//! Nearly every head is plain: text of printable ASCII, names right before their colons, lines that end in CR LF. Such a
//! head is read here, and no other: [`usual`] says nothing about those, not even that they are not whole, and leaves
//! them to the grammar in [`head`](super::head). So nothing can be refused here, and what is found is what the grammar
//! would find; a property test compares the two.

use gateway_spec::{Field, Version, is_token};

use super::head::{RequestLine, TARGET};

/// The request line of a usual head, the number of its fields and its length; `None` if it is another head, if the bytes
/// end before it does, or if it has more fields than there are places.
pub(super) fn usual<'b>(bytes: &'b [u8], fields: &mut [Field<'b>]) -> Option<(RequestLine<'b>, usize, usize)> {
    let line = request_line(bytes)?;
    let mut rest = bytes.get(line.length..)?;
    let mut places = fields.iter_mut();
    while !rest.starts_with(b"\r\n") {
        let (field, next) = field(rest)?;
        *places.next()? = field;
        rest = next;
    }
    let left = places.len();
    Some((line, fields.len() - left, bytes.len() - rest.len() + 2))
}

fn request_line(bytes: &[u8]) -> Option<RequestLine<'_>> {
    let (method, rest) = method(bytes)?;
    let mut seen = 0;
    let end = rest.iter().position(|&b| {
        seen |= CLASS[usize::from(b)];
        CLASS[usize::from(b)] & PATH == 0
    })?;
    let (target, rest) = rest.split_at(end);
    let version = match rest.first_chunk()? {
        b" HTTP/1.1\r\n" => Version::Http11,
        b" HTTP/1.0\r\n" => Version::Http10,
        _ => return None,
    };
    if target.is_empty() {
        return None;
    }
    let length = bytes.len() - rest.len() + 11;
    // The character after the target was looked at, too.
    Some(RequestLine { method, target: str::from_utf8(target).ok()?, version, length, plain: seen & SPECIAL == 0 })
}

/// The method and what follows its space.
fn method(bytes: &[u8]) -> Option<(&str, &[u8])> {
    if let Some(rest) = bytes.strip_prefix(b"GET ") {
        return Some(("GET", rest));
    }
    if let Some(rest) = bytes.strip_prefix(b"POST ") {
        return Some(("POST", rest));
    }
    let (method, rest) = bytes.split_at(bytes.iter().position(|&b| b == b' ')?);
    Some((token(method)?, &rest[1..]))
}

/// The field line at the beginning, and what follows it.
#[inline]
fn field(line: &[u8]) -> Option<(Field<'_>, &[u8])> {
    let (name, value) = line.split_at(colon(line)?);
    let name = name_text(name)?;
    let value = value.strip_prefix(b": ")?;
    let (value, next) = value.split_at(text(value)?);
    let next = next.strip_prefix(b"\r\n")?;
    if value.first() == Some(&b' ') || value.last() == Some(&b' ') {
        return None;
    }
    Some((Field { name, value }, next))
}

/// Where the first colon is.
#[inline]
fn colon(bytes: &[u8]) -> Option<usize> {
    let mut rest = bytes;
    while let Some((word, more)) = rest.split_first_chunk() {
        let word = u64::from_le_bytes(*word) ^ (ONES * b':' as u64);
        // The lowest octet that is zero sets its high bit; as in `first_other`, those above it may be wrong.
        let zeros = word.wrapping_sub(ONES) & !word & (ONES * 0x80);
        if zeros != 0 {
            return Some(bytes.len() - rest.len() + zeros.trailing_zeros() as usize / 8);
        }
        rest = more;
    }
    rest.iter().position(|&b| b == b':').map(|colon| bytes.len() - rest.len() + colon)
}

/// The length of the printable ASCII at the beginning; `None` if it has no end.
#[inline]
fn text(bytes: &[u8]) -> Option<usize> {
    let is_text = |b: u8| b.wrapping_sub(b' ') < 0x5f;
    let mut rest = bytes;
    // Sixteen at once, without a branch for each, so that the compiler can use wide registers.
    while let Some((block, more)) = rest.split_first_chunk::<16>() {
        if block.iter().fold(true, |all, &b| all & is_text(b)) {
            rest = more;
            continue;
        }
        let (first, second) = (&block[..8], &block[8..]);
        let end = first_other(first).or_else(|| first_other(second).map(|end| 8 + end))?;
        return Some(bytes.len() - rest.len() + end);
    }
    while is_text(*rest.first()?) {
        rest = &rest[1..];
    }
    Some(bytes.len() - rest.len())
}

/// Eight octets of 1: a factor that repeats an octet.
const ONES: u64 = u64::from_ne_bytes([1; 8]);

/// Where the first of eight octets is that is not printable ASCII.
///
/// Looks at all of them at once. A subtraction borrows from the octets behind, and an addition carries into them, so
/// that only the first one found is right; it is the one that is wanted.
#[inline]
fn first_other(octets: &[u8]) -> Option<usize> {
    let word = u64::from_le_bytes(octets.try_into().ok()?);
    // The high bit of an octet is set by the subtraction below 0x20 and from 0xa0, by the addition from 0x7f to 0xfe.
    let others = (word.wrapping_sub(ONES * 0x20) | word.wrapping_add(ONES)) & (ONES * 0x80);
    (others != 0).then(|| others.trailing_zeros() as usize / 8)
}

/// A name as text, if it is a token: that of the names that nearly all clients send is at hand.
#[inline]
fn name_text(name: &[u8]) -> Option<&str> {
    macro_rules! at_hand {
        ($($length:literal: $($name:literal)*;)*) => {
            match name.len() {
                $($length => { $(if name == $name.as_bytes() { return Some($name); })* })*
                _ => {}
            }
        };
    }
    at_hand! {
        2: "TE" "te";
        3: "DNT" "dnt";
        4: "Host" "host" "Date" "From";
        5: "Range" "range";
        6: "Accept" "accept" "Cookie" "cookie" "Origin" "Pragma";
        7: "Referer" "referer";
        8: "If-Match" "priority" "Priority";
        9: "sec-ch-ua" "Sec-CH-UA";
        10: "Connection" "connection" "User-Agent" "user-agent";
        12: "Content-Type" "content-type";
        13: "Authorization" "Cache-Control" "If-None-Match";
        14: "Content-Length" "content-length" "Sec-Fetch-Dest" "Sec-Fetch-Mode" "Sec-Fetch-Site" "Sec-Fetch-User";
        15: "Accept-Encoding" "accept-encoding" "Accept-Language" "accept-language" "X-Forwarded-For";
        16: "sec-ch-ua-mobile" "Sec-CH-UA-Mobile";
        17: "If-Modified-Since" "X-Forwarded-Proto" "Transfer-Encoding";
        18: "sec-ch-ua-platform" "Sec-CH-UA-Platform";
        25: "Upgrade-Insecure-Requests" "upgrade-insecure-requests";
    }
    token(name)
}

/// A token as text.
fn token(text: &[u8]) -> Option<&str> {
    is_token(text).then(|| str::from_utf8(text).ok())?
}

/// What an octet means in a target.
const CLASS: [u8; 256] = {
    let mut table = [0; 256];
    let mut b = 0x21;
    while b < 0x7f {
        let c = b as u8;
        if TARGET[b] {
            table[b] |= PATH;
        }
        if matches!(c, b'?' | b'%') {
            table[b] |= SPECIAL;
        }
        b += 1;
    }
    table
};
const PATH: u8 = 1;
/// A target with one of these is looked at more closely.
const SPECIAL: u8 = 2;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn text_ends_at_the_first_octet_that_is_not_printable(octets in proptest::collection::vec(
            prop_oneof![8 => b' '..=b'~', 1 => any::<u8>(), 1 => Just(0x7f)], 0..60)) {
            prop_assert_eq!(text(&octets), octets.iter().position(|b| !(b' '..=b'~').contains(b)));
        }

        #[test]
        fn of_eight_octets_the_first_other_is_found(octets in proptest::array::uniform8(
            prop_oneof![8 => b' '..=b'~', 2 => any::<u8>(), 1 => Just(0xff)])) {
            prop_assert_eq!(first_other(&octets), octets.iter().position(|b| !(b' '..=b'~').contains(b)));
        }

        #[test]
        fn colons_are_found(octets in proptest::collection::vec(
            prop_oneof![4 => any::<u8>(), 1 => Just(b':'), 2 => Just(b':' + 1), 1 => Just(b':' ^ 0x80)], 0..40)) {
            prop_assert_eq!(colon(&octets), octets.iter().position(|&b| b == b':'));
        }
    }

    #[test]
    fn names_are_themselves() {
        for name in ["Host", "TE", "te", "X-Custom", "Upgrade-Insecure-Requests", "CONTENT-LENGTH"] {
            assert_eq!(name_text(name.as_bytes()), Some(name));
        }
        for bad in ["", "Host ", "a b", "\u{e9}", "a\n"] {
            assert_eq!(name_text(bad.as_bytes()), None);
        }
    }
}
