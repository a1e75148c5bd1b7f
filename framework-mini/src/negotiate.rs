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
pub(crate) fn choices(header: &str) -> impl Iterator<Item = Choice<'_>> {
    header.split(',').filter_map(|element| {
        let (name, parameters) = element.split_once(';').unwrap_or((element, ""));
        let name = Some(name.trim()).filter(|name| !name.is_empty())?;
        let q = parameters_of(parameters).find(|(name, _)| is_weight(name));
        let weight = q.map_or(Some(1000), |(_, value)| weight(value))?;
        Some(Choice { name, parameters, weight })
    })
}

/// An element of `Accept` and its like.
#[derive(Clone, Copy)]
pub(crate) struct Choice<'h> {
    /// A coding, a media range.
    name: &'h str,
    /// What follows it, the weight included.
    parameters: &'h str,
    /// In thousandths.
    weight: u16,
}

/// The parameters of an element or of a media type. Values in quotes are the same without (H1-SYN-11).
fn parameters_of(text: &str) -> impl Iterator<Item = (&str, &str)> + Clone {
    text.split(';').filter_map(|part| {
        let (name, value) = part.split_once('=')?;
        let value = value.trim();
        Some((name.trim(), value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value)))
    })
}

/// Any parameter named q is the weight, wherever it stands (H1-NEG-04).
const fn is_weight(name: &str) -> bool {
    name.eq_ignore_ascii_case("q")
}

impl Choice<'_> {
    /// How closely the media range names a type: not at all; but for a parameter that the type does not have; `*/*`;
    /// `type/*`; the type; the type with its parameters.
    fn names(&self, media_type: &str) -> usize {
        let (known, parameters) = media_type.split_once(';').unwrap_or((media_type, ""));
        let known = known.trim();
        let specific = match self.name.strip_suffix("/*") {
            Some("*") => 2,
            Some(kind) if known.split('/').next().is_some_and(|k| k.eq_ignore_ascii_case(kind)) => 3,
            None if known.eq_ignore_ascii_case(self.name) => 4,
            _ => return 0,
        };
        let has = |(name, value): (&str, &str)| {
            parameters_of(parameters).any(|(k, v)| k.eq_ignore_ascii_case(name) && v.eq_ignore_ascii_case(value))
        };
        let mut wanted = parameters_of(self.parameters).filter(|(name, _)| !is_weight(name));
        let count = wanted.clone().count();
        if wanted.all(has) { specific + count } else { 1 }
    }
}

/// The one of `types` that the client likes best by its header `Accept`, or `None` if it wants none of them.
///
/// A range with a parameter that the type has goes before one without, that before `type/*`, and that before `*/*`
/// (H1-NEG-06). One with a parameter that the type does not have counts if no other does. Of types it likes equally: the
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
    let mut matches: Vec<(usize, u16, usize)> = vec![(0, 0, 0); types.len()];
    let mut any = false;
    for (position, choice) in choices(accept).enumerate() {
        any = true;
        for (known, best) in types.iter().zip(&mut matches) {
            let specific = choice.names(known);
            if specific > best.0 {
                *best = (specific, choice.weight, position);
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
    for Choice { name, weight, .. } in choices(&header) {
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

    /// The table of RFC 9110 section 12.5.1 (H1-NEG-06), in any order of the elements, with and without quotes.
    #[test]
    fn parameters_are_specific() {
        let ranges = [
            "text/*;q=0.3",
            "text/plain;q=0.7",
            "text/plain;format=flowed",
            "text/plain;Format=\"Fixed\";q=0.4",
            "*/*;q=0.5",
        ];
        let accept =
            |turn: usize| ranges.iter().cycle().skip(turn).take(ranges.len()).copied().collect::<Vec<_>>().join(", ");
        for turn in 0..ranges.len() {
            let accept = accept(turn);
            for (media_type, weight) in [
                ("text/plain;format=flowed", 1000),
                ("text/plain", 700),
                ("text/plain; charset=utf-8", 700),
                ("text/html", 300),
                ("image/jpeg", 500),
                ("text/plain;format=fixed", 400),
                ("text/html;level=3", 300),
            ] {
                let best = choices(&accept).max_by_key(|choice| choice.names(media_type)).unwrap();
                assert_eq!(best.weight, weight, "{media_type} by {accept}");
            }
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
