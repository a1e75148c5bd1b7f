//! Which characters may stand where: the tables behind statuses, headers and methods.

use std::borrow::Cow;

/// Token characters (RFC 9110 section 5.6.2), as a table because every header name passes through it.
const TCHAR: [bool; 256] = {
    let mut table = [false; 256];
    let mut b = 0;
    while b < 128 {
        table[b] = (b as u8).is_ascii_alphanumeric();
        b += 1;
    }
    let marks = b"!#$%&'*+-.^_`|~";
    let mut i = 0;
    while i < marks.len() {
        table[marks[i] as usize] = true;
        i += 1;
    }
    table
};

/// Whether this is a token: one or more letters, digits and ``!#$%&'*+-.^_`|~`` (RFC 9110 section 5.6.2).
#[must_use]
pub fn is_token(text: &[u8]) -> bool {
    // Names are short and nearly always right: no branch for each octet.
    !text.is_empty() && text.iter().fold(true, |ok, &b| ok & TCHAR[usize::from(b)])
}

/// Reads `1*DIGIT` (RFC 9110 section 8.6), or `None` if there is anything else or the number does not fit.
///
/// Not `str::parse`: that accepts `+5`.
///
/// ```
/// use gateway_spec::digits;
///
/// assert_eq!(digits(b"005"), Some(5));
/// assert_eq!(digits(b"18446744073709551616"), None); // 2^64
/// for bad in ["", "+5", "-1", " 5", "0x5", "5_0"] {
///     assert_eq!(digits(bad.as_bytes()), None);
/// }
/// ```
#[must_use]
pub fn digits(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |n, &b| match b {
        b'0'..=b'9' => n.checked_mul(10)?.checked_add(u64::from(b - b'0')),
        _ => None,
    })
}

/// The octets of a native string: one for each character, as PEP 3333 has it (GW-STR-03).
///
/// `None` if a character is above U+00FF (GW-STR-02).
///
/// ```
/// use gateway_spec::latin1;
///
/// assert_eq!(latin1("Caf\u{e9}").unwrap().as_ref(), b"Caf\xe9");
/// assert_eq!(latin1("€"), None);
/// ```
#[must_use]
pub fn latin1(text: &str) -> Option<Cow<'_, [u8]>> {
    if text.is_ascii() {
        return Some(Cow::Borrowed(text.as_bytes()));
    }
    text.chars().map(|c| u8::try_from(c).ok()).collect::<Option<Vec<u8>>>().map(Cow::Owned)
}

/// The first character that may not be in a header value or a reason phrase: a control other than HTAB (GW-HDR-04), or
/// one above U+00FF (GW-STR-02).
pub(crate) fn first_not_latin1_text(text: &str) -> Option<char> {
    if is_latin1_text(text) {
        return None;
    }
    text.chars().find(|&c| !matches!(c, '\t' | ' '..='~' | '\u{80}'..='\u{ff}'))
}

/// Whether [`first_not_latin1_text`] finds nothing: one pass over the octets for the usual, printable ASCII.
pub(crate) fn is_latin1_text(text: &str) -> bool {
    is_printable_ascii(text) || text.chars().all(|c| matches!(c, '\t' | ' '..='~' | '\u{80}'..='\u{ff}'))
}

/// Whether there is nothing but printable ASCII.
pub(crate) fn is_printable_ascii(text: &str) -> bool {
    // Without a branch inside, so that the compiler can use wide registers.
    text.bytes().fold(true, |ok, b| ok & (b.wrapping_sub(0x20) < 0x5f))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn tokens_are_those_of_the_rfc() {
        let marks = "!#$%&'*+-.^_`|~";
        for b in 0..=255u8 {
            let expected = b.is_ascii_alphanumeric() || marks.as_bytes().contains(&b);
            assert_eq!(is_token(&[b]), expected, "{b:#x}");
        }
        assert!(!is_token(b""));
        assert!(!is_token(b"a b"));
    }

    proptest! {
        #[test]
        fn digits_agree_with_a_wide_number(text in "[0-9]{0,21}|\\PC{0,4}") {
            let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            let expected = plain.then(|| text.parse::<u128>().unwrap()).and_then(|n| u64::try_from(n).ok());
            prop_assert_eq!(digits(text.as_bytes()), expected);
        }

        #[test]
        fn text_is_what_its_first_offender_says(text in "[\u{0}-\u{200}]{0,40}") {
            let offender = text.chars().find(|&c| (c < ' ' && c != '\t') || c == '\x7f' || c > '\u{ff}');
            prop_assert_eq!(first_not_latin1_text(&text), offender);
            prop_assert_eq!(is_latin1_text(&text), offender.is_none());
            prop_assert_eq!(latin1(&text).is_some(), text.chars().all(|c| c <= '\u{ff}'));
        }
    }
}
