//! What an octet may be part of, and how far a run of such octets goes.

/// Part of a token (RFC 9110 section 5.6.2).
pub(super) const TOKEN: u8 = 1;
/// Part of a target in which there is nothing to look at: visible ASCII but `%`, `?`, and what no target has.
pub(super) const PLAIN: u8 = 2;
/// What most names of hosts consist of: letters, digits, dots and dashes.
pub(super) const HOST: u8 = 4;
/// What no target has: all but visible ASCII, `#` (no form has a fragment), and `"`, `<`, `>`, which no client sends.
/// Browsers send some other characters unencoded that RFC 3986 would have encoded.
pub(super) const FORBIDDEN: u8 = 8;

const CLASSES: [u8; 256] = {
    let mut classes = [FORBIDDEN; 256];
    let mut b = b'!';
    while b <= b'~' {
        let alphanumeric = b.is_ascii_alphanumeric();
        let token = alphanumeric
            || matches!(
                b,
                b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
            );
        let target = match b {
            b'#' | b'"' | b'<' | b'>' => FORBIDDEN,
            b'%' | b'?' => 0,
            _ => PLAIN,
        };
        let host = alphanumeric || b == b'.' || b == b'-';
        classes[b as usize] = target | if token { TOKEN } else { 0 } | if host { HOST } else { 0 };
        b += 1;
    }
    classes
};

/// Whether an octet is of this class.
pub(super) const fn is(class: u8, octet: u8) -> bool {
    CLASSES[octet as usize] & class != 0
}

/// How many octets at the beginning are of this class: all, if none is of another.
#[inline]
pub(super) fn run(class: u8, octets: &[u8]) -> usize {
    let mut rest = octets;
    // Four at once, without a branch for each. (Eight in a word, by arithmetic, took more instructions.)
    while let [a, b, c, d, more @ ..] = rest {
        let of = |octet: u8| CLASSES[usize::from(octet)];
        let (a, b, c, d) = (of(*a), of(*b), of(*c), of(*d));
        if a & b & c & d & class == 0 {
            let more = [a, a & b, a & b & c].iter().filter(|&all| all & class != 0).count();
            return octets.len() - rest.len() + more;
        }
        rest = more;
    }
    octets.len() - rest.len() + rest.iter().position(|&b| !is(class, b)).unwrap_or(rest.len())
}

/// How many octets at the beginning are no controls: all, if there is none. HTAB counts as one.
#[inline]
pub(super) fn text(octets: &[u8]) -> usize {
    let mut rest = octets;
    // Sixteen at once, without a branch for each, so that the compiler can use wide registers.
    while let Some((block, more)) = rest.split_first_chunk::<16>()
        && !block.iter().fold(false, |control, &b| control | (b < b' ') | (b == 0x7f))
    {
        rest = more;
    }
    while let Some((word, more)) = rest.split_first_chunk() {
        let controls = controls(u64::from_le_bytes(*word));
        if controls != 0 {
            return octets.len() - rest.len() + controls.trailing_zeros() as usize / 8;
        }
        rest = more;
    }
    octets.len() - rest.len() + rest.iter().position(u8::is_ascii_control).unwrap_or(rest.len())
}

/// The highest bit of each octet that is a control.
const fn controls(word: u64) -> u64 {
    let low = word & !HIGH;
    (!at_least(low, b' ') | at_least(low, 0x7f)) & !word & HIGH
}

/// The highest bit of each octet that is not below `least`; none of them may be above 0x7f. The other bits mean nothing.
const fn at_least(word: u64, least: u8) -> u64 {
    // No sum goes beyond its octet.
    word + EACH * (0x80 - least as u64)
}

/// A one in each octet of a word.
const EACH: u64 = u64::MAX / 0xff;
/// The highest bit of each octet.
const HIGH: u64 = EACH << 7;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn tokens_are_those_of_the_contract() {
        for octet in 0..=255 {
            assert_eq!(is(TOKEN, octet), gateway_spec::is_token(&[octet]), "{octet:#x}");
        }
    }

    proptest! {
        #[test]
        fn runs_end_at_the_first_other(
            octets in proptest::collection::vec(prop_oneof![8 => b'a'..=b'z', 1 => b'A'..=b'Z', 1 => b'-'..=b'9', 1 => any::<u8>()], 0..40),
            class in prop_oneof![Just(TOKEN), Just(PLAIN), Just(HOST)],
        ) {
            let naive = octets.iter().position(|&b| !is(class, b)).unwrap_or(octets.len());
            prop_assert_eq!(run(class, &octets), naive);
        }

        #[test]
        fn text_ends_at_the_first_control(octets in proptest::collection::vec(
            prop_oneof![8 => b' '..=b'~', 1 => any::<u8>(), 1 => 0x80..=0xffu8], 0..60)) {
            let naive = octets.iter().position(|&b| b < b' ' || b == 0x7f).unwrap_or(octets.len());
            prop_assert_eq!(text(&octets), naive);
        }
    }
}
