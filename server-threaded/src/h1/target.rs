//! Request targets and authorities (RFC 9112 section 3.2, RFC 9110 section 7.2).

use super::Reject;
use super::octets::{FORBIDDEN, HOST, PLAIN, is, run};

/// What one pass over a request target finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Marks {
    /// How long the target is: up to the first octet that is not visible ASCII.
    pub(super) length: usize,
    /// Whether there is something that no form has.
    forbidden: bool,
    /// Whether there are escapes to check.
    percent: bool,
    /// Where the query begins.
    question: Option<usize>,
}

impl Marks {
    /// Those of the target at the beginning of `octets`.
    #[inline]
    pub(super) fn find(octets: &[u8]) -> Self {
        let mut marks = Self { length: 0, forbidden: false, percent: false, question: None };
        loop {
            marks.length += run(PLAIN, &octets[marks.length..]);
            match octets.get(marks.length) {
                Some(b'?') => marks.question = marks.question.or(Some(marks.length)),
                Some(b'%') => marks.percent = true,
                Some(&b) if b.is_ascii_graphic() => marks.forbidden |= is(FORBIDDEN, b),
                _ => return marks,
            }
            marks.length += 1;
        }
    }
}

/// The parts of a request target (RFC 9112 section 3.2).
pub(super) struct Target<'b> {
    /// Encoded; empty for `OPTIONS *` only.
    pub(super) path: &'b str,
    pub(super) query: &'b str,
    /// Of an absolute-form target.
    pub(super) authority: Option<&'b str>,
}

impl<'b> Target<'b> {
    /// Reads a target, of which the `marks` are known already.
    pub(super) fn parse(method: &str, target: &'b str, marks: Marks) -> Result<Self, Reject> {
        let bad = |why| Err(Reject::bad_request(why));
        if marks.forbidden || marks.length < target.len() {
            return bad("The request target has characters that must be encoded.");
        }
        if method == "CONNECT" {
            return if is_connect_authority(target) { Ok(Self::NONE) } else { bad("CONNECT needs host:port.") };
        }
        let parsed = if target.starts_with('/') {
            let (path, query) = target.split_at(marks.question.unwrap_or(target.len()));
            Self { path, query: query.get(1..).unwrap_or_default(), authority: None }
        } else if target == "*" {
            if method != "OPTIONS" {
                return bad("The target * is for OPTIONS only.");
            }
            Self::NONE
        } else {
            Self::absolute(method, target)?
        };
        if marks.percent && !valid_escapes(parsed.path) {
            return bad("The path has a percent sign without two hex digits, or an encoded NUL.");
        }
        Ok(parsed)
    }

    const NONE: Self = Self { path: "", query: "", authority: None };

    fn absolute(method: &str, target: &'b str) -> Result<Self, Reject> {
        let Some((scheme, rest)) = target.split_once("://") else {
            return Err(Reject::bad_request("The request target is neither a path nor a URL."));
        };
        if scheme.eq_ignore_ascii_case("https") {
            // H1-TGT-13: this connection is not secured for that origin.
            return Err(Reject::new(421, "This connection is not secured for https."));
        }
        if !scheme.eq_ignore_ascii_case("http") {
            return Err(Reject::bad_request("The scheme of the request target is not http."));
        }
        let (authority, path_and_query) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if authority.is_empty() || !is_authority(authority.as_bytes()) {
            return Err(Reject::bad_request("The authority of the request target is not a host with a port."));
        }
        let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
        let mut parsed = Self { path, query, authority: Some(authority) };
        if parsed.path.is_empty() && !(method == "OPTIONS" && parsed.query.is_empty()) {
            parsed.path = "/"; // RFC 9110 section 4.2.3
        }
        Ok(parsed)
    }
}

/// Whether each `%` has two hex digits behind it and none is a NUL (CGI-PATH-04, CGI-PATH-05).
fn valid_escapes(path: &str) -> bool {
    path.split('%').skip(1).all(|after| match after.as_bytes() {
        [b'0', b'0', ..] => false,
        [high, low, ..] => high.is_ascii_hexdigit() && low.is_ascii_hexdigit(),
        _ => false,
    })
}

/// `uri-host [ ":" port ]` (RFC 9110 section 7.2), without what only an attacker would write: no user information, no
/// comma (merged lines), no empty host.
pub(crate) fn is_authority(authority: &[u8]) -> bool {
    // Nearly every one: letters, digits, dots and dashes, perhaps with a port.
    let plain = run(HOST, authority);
    match &authority[plain..] {
        _ if plain == 0 => {}
        [] => return true,
        [b':', port @ ..] => return is_port(port),
        _ => {}
    }
    let (host, port) = match authority {
        [b'[', rest @ ..] => {
            let Some(end) = rest.iter().position(|&b| b == b']') else { return false };
            let literal = str::from_utf8(&rest[..end]).is_ok_and(|ip| ip.parse::<std::net::Ipv6Addr>().is_ok());
            match (literal, &rest[end + 1..]) {
                (true, []) => return true,
                (true, [b':', port @ ..]) => (&b"ip"[..], port),
                _ => return false,
            }
        }
        _ => match authority.iter().position(|&b| b == b':') {
            Some(colon) => (&authority[..colon], &authority[colon + 1..]),
            None => (authority, &b""[..]),
        },
    };
    is_reg_name(host) && is_port(port)
}

fn is_reg_name(host: &[u8]) -> bool {
    let valid = host.iter().all(|&b| b.is_ascii_alphanumeric() || b"-._~!$&'()*+;=%".contains(&b));
    !host.is_empty() && valid && (!host.contains(&b'%') || str::from_utf8(host).is_ok_and(valid_escapes))
}

fn is_port(port: &[u8]) -> bool {
    port.is_empty() || (port.len() <= 5 && gateway_spec::digits(port).is_some_and(|port| port <= 65535))
}

/// H1-METH-17: host and port, both there.
fn is_connect_authority(target: &str) -> bool {
    is_authority(target.as_bytes())
        && target.rsplit_once(':').is_some_and(|(host, port)| {
            !port.is_empty()
                && port.bytes().all(|b| b.is_ascii_digit())
                && (!host.starts_with('[') || host.ends_with(']'))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities() {
        for good in ["a", "a.b:80", "a:", "[::1]", "[::1]:80", "a_b", "127.0.0.1:65535", "a%20b"] {
            assert!(is_authority(good.as_bytes()), "{good}");
        }
        for bad in [
            "", ":", ":80", "a b", "a/b", "a@b", "a?b", "a:x", "a:80:80", "a:65536", "a:+8", "[::1", "[::1]x", "[a]",
            "a,b", "a%zz", "::1", "a\\b",
        ] {
            assert!(!is_authority(bad.as_bytes()), "{bad}");
        }
    }
}
