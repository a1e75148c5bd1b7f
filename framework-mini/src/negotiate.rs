//! Content negotiation (RFC 9110 section 12): which of our media types or codings a client likes best.

use std::cmp::Reverse;

use gateway_spec::Environ;

/// The weight of an element of `Accept` and its like, in thousandths; 1000 if there is none, `None` if it is not valid
/// (H1-NEG-02).
fn weight(value: &str) -> Option<u16> {
    let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
    if fraction.len() > 3 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let digits = fraction.bytes().chain(std::iter::repeat(b'0')).take(3);
    let thousandths = digits.fold(0, |n, b| n * 10 + u16::from(b - b'0'));
    match (whole, thousandths) {
        ("0", _) => Some(thousandths),
        ("1", 0) => Some(1000),
        _ => None,
    }
}

/// The elements of a header of choices with their weights. Elements whose weight is not valid are passed over.
pub(crate) fn choices(header: &str) -> impl Iterator<Item = (&str, u16)> {
    header.split(',').filter_map(|element| {
        let mut parts = element.split(';').map(str::trim);
        let name = parts.next().filter(|name| !name.is_empty())?;
        // Any parameter named q is the weight, wherever it stands (H1-NEG-04).
        let q = parts.find_map(|part| part.split_once('=').filter(|(name, _)| name.trim().eq_ignore_ascii_case("q")));
        Some((name, q.map_or(Some(1000), |(_, value)| weight(value.trim()))?))
    })
}

/// The one of `types` that the client likes best by its header `Accept`, or `None` if it wants none of them.
///
/// A range that names the type goes before `type/*`, and that before `*/*` (H1-NEG-06). Of types it likes equally: the
/// one it names rather than covers, then the one it names first, then the first of `types`. Without the header, the first.
///
/// ```
/// # use framework_mini::prefers;
/// # use gateway_spec::{Environ, Field, Input, Peer, Request, ServerInfo};
/// # let (server, peer) = (ServerInfo::new("localhost", "80", "x"), Peer::unix());
/// # let mut request = Request::new(&server, &peer);
/// # let headers = [Field { name: "Accept", value: b"text/html;q=0.5, application/*" }];
/// # request.headers = &headers;
/// # let environ = Environ::new(&request, Input::empty());
/// // Accept: text/html;q=0.5, application/*
/// assert_eq!(prefers(&environ, &["text/html", "application/json"]), Some("application/json"));
/// assert_eq!(prefers(&environ, &["text/plain"]), None);
/// ```
#[must_use]
pub fn prefers<'t>(environ: &Environ<'_>, types: &[&'t str]) -> Option<&'t str> {
    match environ.header("accept") {
        Some(accept) => best(&accept.to_string_lossy(), types),
        None => types.first().copied(),
    }
}

fn best<'t>(accept: &str, types: &[&'t str]) -> Option<&'t str> {
    // For each type the best match so far: how specific, how much, and where. One pass, so linear in the header.
    let mut matches: Vec<(u8, u16, usize)> = vec![(0, 0, 0); types.len()];
    let mut any = false;
    for (position, (range, weight)) in choices(accept).enumerate() {
        any = true;
        for (known, best) in types.iter().zip(&mut matches) {
            let specific = match range.strip_suffix("/*") {
                Some("*") => 1,
                Some(kind) if known.split('/').next().is_some_and(|k| k.eq_ignore_ascii_case(kind)) => 2,
                None if known.eq_ignore_ascii_case(range) => 3,
                _ => continue,
            };
            if specific > best.0 {
                *best = (specific, weight, position);
            }
        }
    }
    if !any {
        return types.first().copied();
    }
    let acceptable = types.iter().zip(&matches).filter(|(_, (specific, weight, _))| *specific > 0 && *weight > 0);
    acceptable
        .min_by_key(|(_, (specific, weight, position))| (Reverse(*weight), Reverse(*specific), *position))
        .map(|(known, _)| *known)
}

/// Of the codings we have, best first, the one to use by `Accept-Encoding`; `None` is none at all (H1-NEG-07 to 09).
///
/// A client that excludes even `identity` gets it all the same: an answer is better than a 406 (H1-NEG-08).
pub(crate) fn coding<'c>(environ: &Environ<'_>, codings: &[&'c str]) -> Option<&'c str> {
    // A client that says nothing may have anything, and often copes with nothing.
    let header = environ.header("accept-encoding")?;
    let header = header.to_string_lossy();
    let mut weights: Vec<Option<u16>> = vec![None; codings.len()];
    let (mut star, mut identity) = (0, None);
    for (name, weight) in choices(&header) {
        // `x-gzip` is `gzip` (RFC 9110 section 8.4.1.3).
        let name = if name.eq_ignore_ascii_case("x-gzip") { "gzip" } else { name };
        match codings.iter().position(|coding| coding.eq_ignore_ascii_case(name)) {
            Some(index) => weights[index] = Some(weight),
            None if name == "*" => star = weight,
            None if name.eq_ignore_ascii_case("identity") => identity = Some(weight),
            None => {}
        }
    }
    let weighed = codings.iter().zip(&weights).map(|(coding, weight)| (*coding, weight.unwrap_or(star)));
    let (coding, weight) =
        weighed.filter(|(_, weight)| *weight > 0).reduce(|best, next| if next.1 > best.1 { next } else { best })?;
    (weight >= identity.unwrap_or(0)).then_some(coding)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestRequest;

    #[test]
    fn weights() {
        for (text, weight_expected) in [
            ("1", Some(1000)),
            ("1.0", Some(1000)),
            ("1.000", Some(1000)),
            ("0", Some(0)),
            ("0.000", Some(0)),
            ("0.5", Some(500)),
            ("0.05", Some(50)),
            ("0.123", Some(123)),
            ("0.", Some(0)),
            ("1.001", None),
            (".5", None),
            ("0.1234", None),
            ("2", None),
            ("-1", None),
            ("", None),
            ("0.x", None),
        ] {
            assert_eq!(weight(text), weight_expected, "{text:?}");
        }
    }

    #[test]
    fn media_types() {
        let ours = ["text/plain", "text/html", "application/json"];
        for (accept, expected) in [
            ("*/*", Some("text/plain")),
            ("", Some("text/plain")),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Some("text/html")),
            ("application/json, text/plain, */*", Some("application/json")),
            ("text/*, application/json", Some("application/json")),
            ("text/*;q=0.3, text/html;q=0.7, application/json;q=0.5", Some("text/html")),
            ("text/html;q=0.5;level=1, text/plain;q=0.4", Some("text/html")),
            ("*/*, text/plain;q=0", Some("text/html")),
            ("TEXT/HTML;Q=1", Some("text/html")),
            ("image/png", None),
            ("text/html;q=0", None),
            ("text/html;q=nonsense, */*;q=0.1", Some("text/plain")),
        ] {
            assert_eq!(best(accept, &ours), expected, "{accept:?}");
        }
    }

    #[test]
    fn codings() {
        for (header, expected) in [
            (None, None),
            (Some(""), None),
            (Some("*"), Some("br")),
            (Some("gzip"), Some("gzip")),
            (Some("x-gzip"), Some("gzip")),
            (Some("GZIP"), Some("gzip")),
            (Some("gzip;q=0"), None),
            (Some("identity;q=0"), None),
            (Some("*;q=0"), None),
            (Some("gzip;q=0.5, br;q=0.5"), Some("br")),
            (Some("gzip, br;q=0.5"), Some("gzip")),
            (Some("gzip;q=0.5, identity"), None),
            (Some("*, br;q=0"), Some("gzip")),
            (Some("zstd"), None),
        ] {
            let mut request = TestRequest::get("/");
            if let Some(header) = header {
                request = request.header("Accept-Encoding", header);
            }
            assert_eq!(request.with(|environ| coding(environ, &["br", "gzip"])), expected, "{header:?}");
        }
    }

    /// F11: as many elements as fit into any head are done at once.
    #[test]
    fn long_headers_are_linear() {
        let accept = "text/html;q=0.1,".repeat(1 << 16);
        assert_eq!(best(&accept, &["application/json"]), None);
        let request = TestRequest::get("/").header("Accept-Encoding", "gzip;q=0.1,".repeat(1 << 16));
        assert_eq!(request.with(|environ| coding(environ, &["br", "gzip"])), Some("gzip"));
    }
}
