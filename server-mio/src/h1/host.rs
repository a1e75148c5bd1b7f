//! The authority of a request: `uri-host [ ":" port ]` (RFC 9110 section 7.2, RFC 3986 section 3.2.2).

use std::net::Ipv6Addr;

/// Characters of a registered name or IPv4 address. The comma is one of the grammar and is missing on purpose: it is how
/// merged `Host` lines look (H1-HOST-03).
const NAME: [bool; 256] = {
    let mut table = [false; 256];
    let mut b = 0;
    while b < 128 {
        table[b] = (b as u8).is_ascii_alphanumeric();
        b += 1;
    }
    let marks = b"-._~!$&'()*+;=";
    let mut i = 0;
    while i < marks.len() {
        table[marks[i] as usize] = true;
        i += 1;
    }
    table
};

/// Whether this names a host: not empty, with or without a port, the port empty or a number up to 65,535.
///
/// User information is not part of it (H1-TGT-09).
pub(crate) fn is_authority(text: &[u8]) -> bool {
    host_and_port(text).is_some()
}

/// Whether this is an authority with a port, as CONNECT needs it (H1-METH-17).
pub(crate) fn has_port(text: &[u8]) -> bool {
    host_and_port(text).is_some_and(|port| port.is_some_and(|port| !port.is_empty() && port != b"0"))
}

/// The port, if the text is an authority. The host is checked and not needed.
fn host_and_port(text: &[u8]) -> Option<Option<&[u8]>> {
    let rest = if let [b'[', address @ ..] = text {
        let end = address.iter().position(|&b| b == b']')?;
        str::from_utf8(&address[..end]).ok()?.parse::<Ipv6Addr>().ok()?;
        &address[end + 1..]
    } else {
        let mut end = 0;
        while let Some(&b) = text.get(end) {
            match b {
                _ if NAME[usize::from(b)] => end += 1,
                b'%' if is_escape(&text[end..]) => end += 3,
                _ => break,
            }
        }
        if end == 0 {
            return None;
        }
        &text[end..]
    };
    match rest {
        [] => Some(None),
        [b':', port @ ..] if is_port(port) => Some(Some(port)),
        _ => None,
    }
}

/// Whether the text begins with `%` and two hexadecimal digits.
pub(crate) fn is_escape(text: &[u8]) -> bool {
    matches!(text, [b'%', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit())
}

fn is_port(port: &[u8]) -> bool {
    port.is_empty() || gateway_spec::digits(port).is_some_and(|port| port <= 65_535)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_the_grammar() {
        for good in [
            "a",
            "a.example",
            "A.EXAMPLE",
            "a:8000",
            "a:",
            "a:65535",
            "a_b",
            "127.0.0.1:8000",
            "[::1]",
            "[::1]:80",
            "[::ffff:127.0.0.1]",
            "a-b.c",
            "a.example.",
            "a%41b",
            "xn--bcher-kva.example",
        ] {
            assert!(is_authority(good.as_bytes()), "{good}");
        }
        for bad in [
            "", " ", "a b", "a/b", "u@a", "a?b", "a#b", "a:80:80", "a:x", "a:+80", "a:-1", "a:65536", ":", ":80",
            "[::1", "::1]", "[]", "[abc]", "::1", "[::1]a", "a,b", "http://a", "a\\b", "a%zz", "a%4", "%", "é", "a<b",
            "\"a\"", "a\tb", "{a}", "a|b", "a^b", "a\0",
        ] {
            assert!(!is_authority(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn connect_needs_a_port() {
        for good in ["a:443", "127.0.0.1:80", "[::1]:443"] {
            assert!(has_port(good.as_bytes()), "{good}");
        }
        for bad in ["a", "a:", "a:x", "a:70000", "/", "*", "http://a:80/", "u@a:80", ":80", "a:0", "[::1]"] {
            assert!(!has_port(bad.as_bytes()), "{bad}");
        }
    }
}
