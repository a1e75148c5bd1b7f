//! Percent-encoding of paths, and finding a prefix in an encoded path.

use std::borrow::Cow;

/// Replaces each `%HH` by its octet (CGI-PATH-02), or `None` if a `%` has no two hex digits behind it (CGI-PATH-04).
///
/// `+` is no blank (CGI-PATH-03). Nothing is copied if there is nothing to replace.
///
/// ```
/// use gateway_spec::percent_decode;
///
/// assert_eq!(percent_decode("/a%2Fb+c").unwrap().as_ref(), b"/a/b+c");
/// assert_eq!(percent_decode("/100%"), None);
/// ```
#[must_use]
#[inline]
pub fn percent_decode(text: &str) -> Option<Cow<'_, [u8]>> {
    if has_percent(text.as_bytes()) { decode(text) } else { Some(Cow::Borrowed(text.as_bytes())) }
}

#[cold]
fn decode(text: &str) -> Option<Cow<'_, [u8]>> {
    Octets(text.as_bytes()).map(|octet| octet.map(|(value, _)| value)).collect::<Option<Vec<u8>>>().map(Cow::Owned)
}

/// Whether there is a `%`. Eight octets are looked at together: paths are short, and a search that is made for long texts
/// costs more to begin than this to end.
#[inline]
fn has_percent(octets: &[u8]) -> bool {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    let is_in = |word: &[u8; 8]| {
        // An octet that is zero borrows; only then is a high bit set that was not.
        let word = u64::from_ne_bytes(*word) ^ (ONES * b'%' as u64);
        word.wrapping_sub(ONES) & !word & (ONES * 0x80) != 0
    };
    match octets.last_chunk() {
        // The last word may have octets of the one before it again.
        Some(last) => is_in(last) || octets.as_chunks().0.iter().any(is_in),
        None => octets.contains(&b'%'),
    }
}

/// Percent-encodes octets for the path of a URL: letters, digits, `-._~` and `/;=,` stay (GW-URL-03, GW-REF-28).
///
/// ```
/// assert_eq!(gateway_spec::percent_encode_path(b"/sp\xe4m;a=1"), "/sp%E4m;a=1");
/// ```
#[must_use]
pub fn percent_encode_path(octets: &[u8]) -> Cow<'_, str> {
    let stays = |b: u8| b.is_ascii_alphanumeric() || b"-._~/;=,".contains(&b);
    if octets.iter().all(|&b| stays(b))
        && let Ok(text) = str::from_utf8(octets)
    {
        return Cow::Borrowed(text);
    }
    let hex = |nibble: u8| char::from(b"0123456789ABCDEF"[usize::from(nibble)]);
    let mut text = String::with_capacity(octets.len() + 8);
    for &b in octets {
        if stays(b) {
            text.push(char::from(b));
        } else {
            text.extend(['%', hex(b >> 4), hex(b & 15)]);
        }
    }
    Cow::Owned(text)
}

/// The length of the part of the encoded path `raw` that is `prefix` when decoded, if it ends with a segment
/// (CGI-PATH-08).
///
/// Split first, decode second (CGI-PATH-01): a `/` of the prefix is a `/` of the path, never a `%2F`.
pub(crate) fn match_prefix(raw: &str, prefix: &[u8]) -> Option<usize> {
    let raw = raw.as_bytes();
    let mut octets = Octets(raw);
    for &expected in prefix {
        let (octet, encoded) = octets.next()??;
        if octet != expected || (octet == b'/' && encoded) {
            return None;
        }
    }
    let matched = raw.len() - octets.0.len();
    matches!(octets.0.first(), None | Some(b'/')).then_some(matched)
}

/// The octets of an encoded text, each with whether it was encoded; `None` in place of a broken one.
struct Octets<'p>(&'p [u8]);

impl Iterator for Octets<'_> {
    type Item = Option<(u8, bool)>;

    fn next(&mut self) -> Option<Self::Item> {
        match *self.0 {
            [] => None,
            [b'%', ref rest @ ..] => {
                let hex = |b: u8| char::from(b).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                self.0 = rest.get(2..).unwrap_or_default();
                Some(match *rest {
                    [high, low, ..] => hex(high).zip(hex(low)).map(|(high, low)| (high << 4 | low, true)),
                    _ => None,
                })
            }
            [octet, ref rest @ ..] => {
                self.0 = rest;
                Some(Some((octet, false)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn broken_escapes_are_refused() {
        for bad in ["%", "%4", "/%G1", "/a%", "/a%2", "%%41", "/%+1", "/%é"] {
            assert_eq!(percent_decode(bad), None, "{bad}");
        }
        assert_eq!(percent_decode("/%E2%82%ac").unwrap().as_ref(), "/€".as_bytes());
        assert_eq!(percent_decode("/%00").unwrap().as_ref(), b"/\0");
    }

    #[test]
    fn prefixes_end_with_segments() {
        for (raw, matched) in [
            ("/app", Some(4)),
            ("/app/", Some(4)),
            ("/app/x", Some(4)),
            ("/%61pp/x", Some(6)),
            ("/ap%70", Some(6)),
            ("/apple", None),
            ("/app%2Fx", None),
            ("%2Fapp", None),
            ("/ap", None),
            ("", None),
            ("/App", None),
            ("/ap%7", None),
        ] {
            assert_eq!(match_prefix(raw, b"/app"), matched, "{raw}");
        }
        assert_eq!(match_prefix("/x", b""), Some(0));
        assert_eq!(match_prefix("/a/b/c", b"/a/b"), Some(4));
        assert_eq!(match_prefix("/a%2Fb/c", b"/a/b"), None);
    }

    proptest! {
        #[test]
        fn encoding_decodes_back(octets in proptest::collection::vec(any::<u8>(), 0..60)) {
            let text = percent_encode_path(&octets);
            prop_assert!(text.bytes().all(|b| b.is_ascii_graphic() && !b"?#".contains(&b)));
            let decoded = percent_decode(&text).unwrap();
            prop_assert_eq!(decoded.as_ref(), &octets[..]);
        }

        /// Against a decoder that looks at one position at a time.
        #[test]
        fn decoding_agrees_with_a_naive_one(text in "[%0-9a-fA-Fg/é]{0,24}") {
            fn naive(text: &[u8]) -> Option<Vec<u8>> {
                let (&first, rest) = match text.split_first() { None => return Some(vec![]), Some(s) => s };
                if first != b'%' {
                    let mut out = vec![first];
                    out.extend(naive(rest)?);
                    return Some(out);
                }
                let digits = rest.get(..2)?;
                if !digits.iter().all(u8::is_ascii_hexdigit) { return None; }
                let mut out = vec![u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?];
                out.extend(naive(&rest[2..])?);
                Some(out)
            }
            prop_assert_eq!(percent_decode(&text).map(Cow::into_owned), naive(text.as_bytes()));
        }

        /// What is matched decodes to the prefix.
        #[test]
        fn a_match_is_the_prefix(raw in "(/(a|b|%61|%2F|%2f|c)?){0,5}", prefix in "(/[ab]){0,3}") {
            let decoded = percent_decode(&raw).unwrap();
            match match_prefix(&raw, prefix.as_bytes()) {
                Some(n) => {
                    let head = percent_decode(&raw[..n]).unwrap();
                    prop_assert_eq!(head.as_ref(), prefix.as_bytes());
                    prop_assert!(!raw[..n].to_ascii_lowercase().contains("%2f"));
                    prop_assert!(raw[n..].is_empty() || raw.as_bytes()[n] == b'/');
                }
                None => {
                    let plain = raw.to_ascii_lowercase().contains("%2f");
                    let boundary = decoded.get(prefix.len()).is_none_or(|&b| b == b'/');
                    prop_assert!(plain || !(decoded.starts_with(prefix.as_bytes()) && boundary));
                }
            }
        }
    }
}
