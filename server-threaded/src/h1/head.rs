//! The head of a request: the scan of usual heads, `httparse` for all others, plus what they leave to us.
//!
//! `httparse` 1.10 knows the grammar of names and values. It lets through what is refused here: lone line feeds, any
//! number of empty lines before the request, targets outside the grammar, empty field names; and it knows no minor
//! version above 1.

use std::mem::MaybeUninit;

use gateway_spec::{Field, Version};

use super::Reject;
use super::framing::{Framer, Framing};
use super::scan::{Tokens, scan};

/// How many empty lines before a request line are skipped (H1-PARSE-05). Old clients send one after a body.
const MAX_BLANK_LINES: usize = 4;

/// How many fields are parsed without an allocation. Browsers send a dozen.
const FIELDS: usize = 32;

/// What a head may grow to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) request_line: usize,
    pub(crate) head: usize,
    pub(crate) fields: usize,
    pub(crate) body: u64,
}

/// A request head, valid as a whole.
#[derive(Debug)]
pub(crate) struct Head<'b> {
    pub(crate) method: &'b str,
    pub(crate) target: &'b str,
    /// Encoded; empty for `OPTIONS *` only.
    pub(crate) path: &'b str,
    pub(crate) query_string: &'b str,
    pub(crate) version: Version,
    /// The authority of the target URI.
    pub(crate) host: Option<&'b str>,
    pub(crate) framing: Framing,
    /// Whether the client wants to keep the connection.
    pub(crate) persistent: bool,
    /// Whether the client waits for a 100 before it sends its body.
    pub(crate) expects_continue: bool,
    /// How many bytes the head took, empty lines before it included.
    pub(crate) length: usize,
}

/// Keeps the memory of a list of fields from one request to the next.
#[derive(Debug, Default)]
pub(crate) struct Fields(Vec<Field<'static>>);

impl Fields {
    /// An empty list for the fields of another buffer.
    pub(crate) fn take<'b>(&mut self) -> Vec<Field<'b>> {
        std::mem::take(&mut self.0)
    }

    /// Takes the list back when its request is over.
    pub(crate) fn put_back(&mut self, fields: Vec<Field<'_>>) {
        self.0 = recycle(fields);
    }
}

/// The same memory for fields of another lifetime: the standard library collects in place, as there is nothing to move
/// and the size is the same. (If it did not, this would be an allocation, and the test of allocations would say so.)
fn recycle<'b>(mut fields: Vec<Field<'_>>) -> Vec<Field<'b>> {
    fields.clear();
    fields.into_iter().map(|_| Field::EMPTY).collect()
}

/// Parses the head at the beginning of `buffer`; `None` if more bytes are needed.
///
/// `fields` gets the field lines. Call again only after a line feed has arrived: nothing changes before.
pub(crate) fn parse<'b>(
    buffer: &'b [u8],
    limits: &Limits,
    fields: &mut Vec<Field<'b>>,
) -> Result<Option<Head<'b>>, Reject> {
    let Some(blank) = skip_blank_lines(buffer)? else { return Ok(None) };
    let head = &buffer[blank..];
    let parsed = match scan(head, limits.fields, fields) {
        Some(parsed) => parsed,
        None => match tokenize(head, limits, fields)? {
            Some(parsed) => parsed,
            None => {
                check_growth(head, limits)?;
                return Ok(None);
            }
        },
    };
    if parsed.method.len() + parsed.target.len() + "  HTTP/1.1".len() > limits.request_line {
        return Err(Reject::new(414, "The request line is too long."));
    }
    if parsed.length > limits.head {
        return Err(TOO_LARGE);
    }
    let mut framer = Framer::default();
    for field in &*fields {
        framer.field(field)?;
    }
    let host = framer.host(parsed.version)?.and_then(|octets| parsed.host.or_else(|| str::from_utf8(octets).ok()));
    let target = Target::parse(parsed.method, parsed.target)?;
    if parsed.method == "CONNECT" {
        // H1-METH-18: an origin server, not a tunnel.
        return Err(Reject::new(501, "This server makes no tunnels."));
    }
    let framing = framer.framing(parsed.version, limits.body)?;
    Ok(Some(Head {
        method: parsed.method,
        target: parsed.target,
        path: target.path,
        query_string: target.query,
        version: parsed.version,
        host: target.authority.or(host),
        framing,
        persistent: framer.persistent(parsed.version),
        expects_continue: framer.expects_continue(parsed.version)? && framing != Framing::None,
        length: blank + parsed.length,
    }))
}

const TOO_LARGE: Reject = Reject::new(431, "The header section is too large.");

/// The length of the empty lines before the request line, or `None` if there may be more of them.
fn skip_blank_lines(buffer: &[u8]) -> Result<Option<usize>, Reject> {
    let mut blank = 0;
    loop {
        match &buffer[blank..] {
            [] | [b'\r'] => return Ok(None),
            [b'\r', b'\n', ..] if blank < 2 * MAX_BLANK_LINES => blank += 2,
            [b'\r' | b'\n', ..] => return Err(Reject::bad_request("This is not a request line.")),
            _ => return Ok(Some(blank)),
        }
    }
}

/// The grammar, by `httparse`, and line ends.
#[cold]
fn tokenize<'b>(head: &'b [u8], limits: &Limits, fields: &mut Vec<Field<'b>>) -> Result<Option<Tokens<'b>>, Reject> {
    let mut near = [const { MaybeUninit::uninit() }; FIELDS];
    let result = match with_httparse(head, &mut near[..limits.fields.min(FIELDS)], fields) {
        Err(httparse::Error::TooManyHeaders) if limits.fields > FIELDS => {
            let mut far = vec![MaybeUninit::uninit(); limits.fields];
            with_httparse(head, &mut far, fields)
        }
        result => result,
    };
    let tokens = match result {
        Ok(tokens) => tokens,
        Err(httparse::Error::Version) => other_version(head, limits, fields)?,
        Err(httparse::Error::TooManyHeaders) => return Err(TOO_LARGE),
        Err(_) => return Err(Reject::bad_request("The request is malformed.")),
    };
    match tokens {
        Some(tokens) if has_lone_line_feed(&head[..tokens.length]) => {
            Err(Reject::bad_request("A line must end in CR LF."))
        }
        tokens => Ok(tokens),
    }
}

fn with_httparse<'b>(
    head: &'b [u8],
    places: &mut [MaybeUninit<httparse::Header<'b>>],
    fields: &mut Vec<Field<'b>>,
) -> Result<Option<Tokens<'b>>, httparse::Error> {
    let mut request = httparse::Request::new(&mut []);
    let status = request.parse_with_uninit_headers(head, places)?;
    // With a whole head, method, target and version are there.
    let (httparse::Status::Complete(length), Some(method), Some(target)) = (status, request.method, request.path)
    else {
        return Ok(None);
    };
    fill(fields, request.headers);
    let version = if request.version == Some(0) { Version::Http10 } else { Version::Http11 };
    Ok(Some(Tokens { method, target, version, host: None, length }))
}

fn fill<'b>(fields: &mut Vec<Field<'b>>, parsed: &[httparse::Header<'b>]) {
    fields.clear();
    fields.extend(parsed.iter().map(|header| Field { name: header.name, value: header.value }));
}

/// A version that `httparse` does not know: a higher minor one counts as 1.1 (H1-VER-04), another major one is 505.
fn other_version<'b>(
    head: &'b [u8],
    limits: &Limits,
    fields: &mut Vec<Field<'b>>,
) -> Result<Option<Tokens<'b>>, Reject> {
    let malformed = Reject::bad_request("The request line is malformed.");
    let Some(end) = head.iter().position(|&b| b == b'\n') else { return Ok(None) };
    let line = str::from_utf8(&head[..end]).map_err(|_| malformed)?;
    let mut parts = line.strip_suffix('\r').ok_or(malformed)?.split(' ');
    let (Some(method), Some(target), Some(version), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(malformed);
    };
    match version.as_bytes() {
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'2'..=b'9'] => {}
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => {
            return Err(Reject::new(505, "This server speaks HTTP/1.1 and HTTP/1.0."));
        }
        _ => return Err(malformed),
    }
    let mut places = vec![httparse::EMPTY_HEADER; limits.fields];
    match httparse::parse_headers(&head[end + 1..], &mut places) {
        Ok(httparse::Status::Complete((length, parsed))) => {
            fill(fields, parsed);
            Ok(Some(Tokens { method, target, version: Version::Http11, host: None, length: end + 1 + length }))
        }
        Ok(httparse::Status::Partial) => Ok(None),
        Err(httparse::Error::TooManyHeaders) => Err(TOO_LARGE),
        Err(_) => Err(malformed),
    }
}

/// Refuses a head that is not whole and already too large (H1-LINE-03, H1-LINE-04, H1-FLD-08).
fn check_growth(head: &[u8], limits: &Limits) -> Result<(), Reject> {
    let most = limits.request_line + 2; // its CR LF does not count
    let line = &head[..head.len().min(most)];
    if head.len() >= most && !line.contains(&b'\n') {
        return Err(if line.contains(&b' ') {
            Reject::new(414, "The request target is too long.")
        } else {
            Reject::new(501, "No method is that long.")
        });
    }
    if head.len() > limits.head { Err(TOO_LARGE) } else { Ok(()) }
}

/// Written without a branch in the loop, so that the compiler can use wide registers.
fn has_lone_line_feed(head: &[u8]) -> bool {
    let lone = head.iter().zip(&head[1..]).fold(false, |lone, (&a, &b)| lone | ((b == b'\n') & (a != b'\r')));
    lone || head.first() == Some(&b'\n')
}

const FORBIDDEN: u8 = 1;
const PERCENT: u8 = 2;
const QUESTION: u8 = 4;
/// What most names of hosts consist of: letters, digits, dots and dashes. Not forbidden anywhere.
const PLAIN: u8 = 8;

/// What an octet of a target is. Refused is what is not visible ASCII, `#` (no form has a fragment), and `"`, `<`, `>`,
/// which no client sends. Browsers send some other characters unencoded that RFC 3986 would have encoded.
const CLASSES: [u8; 256] = {
    let mut classes = [FORBIDDEN; 256];
    let mut b = b'!';
    while b <= b'~' {
        classes[b as usize] = match b {
            b'#' | b'"' | b'<' | b'>' => FORBIDDEN,
            b'%' => PERCENT,
            b'?' => QUESTION,
            b'.' | b'-' => PLAIN,
            _ if b.is_ascii_alphanumeric() => PLAIN,
            _ => 0,
        };
        b += 1;
    }
    classes
};

/// The parts of a request target (RFC 9112 section 3.2).
struct Target<'b> {
    path: &'b str,
    query: &'b str,
    /// Of an absolute-form target.
    authority: Option<&'b str>,
}

impl<'b> Target<'b> {
    fn parse(method: &str, target: &'b str) -> Result<Self, Reject> {
        let bad = |why| Err(Reject::bad_request(why));
        // One pass over the octets: what no form has, whether there are escapes to check, where the query begins.
        let (mut found, mut question) = (0, target.len());
        for (index, &b) in target.as_bytes().iter().enumerate() {
            let class = CLASSES[usize::from(b)];
            found |= class;
            if class == QUESTION && index < question {
                question = index;
            }
        }
        if found & FORBIDDEN != 0 {
            return bad("The request target has characters that must be encoded.");
        }
        if method == "CONNECT" {
            return if is_connect_authority(target) { Ok(Self::NONE) } else { bad("CONNECT needs host:port.") };
        }
        let parsed = if target.starts_with('/') {
            let (path, query) = target.split_at(question);
            Self { path, query: query.get(1..).unwrap_or_default(), authority: None }
        } else if target == "*" {
            if method != "OPTIONS" {
                return bad("The target * is for OPTIONS only.");
            }
            Self::NONE
        } else {
            Self::absolute(method, target)?
        };
        if found & PERCENT != 0 && !valid_escapes(parsed.path) {
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
    let mut rest = authority;
    while let [b, more @ ..] = rest
        && CLASSES[usize::from(*b)] & PLAIN != 0
    {
        rest = more;
    }
    match rest {
        _ if rest.len() == authority.len() => {}
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
    use proptest::prelude::*;

    use super::*;

    const LIMITS: Limits = Limits { request_line: 8192, head: 32768, fields: 100, body: 1 << 20 };

    fn outcome(bytes: &[u8]) -> Result<Option<usize>, u16> {
        parse(bytes, &LIMITS, &mut Vec::new()).map(|head| head.map(|head| head.length)).map_err(|reject| reject.code)
    }

    #[test]
    fn a_head_is_read_with_its_fields() {
        let bytes =
            b"\r\nPOST http://good:80/a%20b?x=1 HTTP/1.0\r\nhost: evil\r\nX:  a b \r\nContent-Length: 5\r\n\r\nhello";
        let mut fields = Vec::new();
        let head = parse(bytes, &LIMITS, &mut fields).unwrap().unwrap();
        assert_eq!((head.method, head.path, head.query_string), ("POST", "/a%20b", "x=1"));
        assert_eq!((head.host, head.version), (Some("good:80"), Version::Http10));
        assert_eq!((head.framing, head.persistent), (Framing::Length(5), false));
        assert_eq!(head.length, bytes.len() - 5);
        assert_eq!(fields[1], Field { name: "X", value: b"a b" });
    }

    #[test]
    fn limits_hold_for_whole_and_partial_heads() {
        let field = "X: y\r\n";
        let head = |n: usize| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", field.repeat(n)).into_bytes();
        assert!(outcome(&head(99)).unwrap().is_some());
        assert_eq!(outcome(&head(100)), Err(431));
        let line = |n: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(n)).into_bytes();
        assert!(outcome(&line(8192 - 14)).unwrap().is_some());
        assert_eq!(outcome(&line(8192 - 14)[..8193]), Ok(None), "its line feed may follow");
        assert_eq!(outcome(&line(8192 - 13)), Err(414));
        assert_eq!(outcome(&line(8192 - 13)[..8194]), Err(414));
        assert_eq!(outcome(&line(9000)[..8500]), Err(414));
        assert_eq!(outcome(&[b'M'; 8194]), Err(501));
        let large = |n: usize| format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "a".repeat(n)).into_bytes();
        assert!(outcome(&large(32768 - 32)).unwrap().is_some());
        assert_eq!(outcome(&large(32768 - 31)), Err(431));
        assert_eq!(outcome(&large(40000)[..32800]), Err(431));
    }

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

    proptest! {
        /// What the scan accepts is what the whole grammar says of it.
        #[test]
        fn the_scan_agrees_with_the_grammar(
            line in "(GET|P{0,1}|a b|\\(|!#\\$%&'\\*\\+\\.\\^_`\\|~-) {0,2}(/|\\*|http://h/\u{e9}|/a\u{7f}|/[!-~]{0,20}) {1,2}HTTP/1\\.[01]\r?\n",
            lines in proptest::collection::vec(
                "([A-Za-z!#\\$\\-]{0,9}|host|HOST|a b| x|\u{e9}) {0,1}:[ \t]{0,2}([ -~\t\u{7f}-\u{ff}]{0,12}|[ -~]{0,40})[ \t]{0,2}\r{0,2}\n", 0..5),
            end in "\r\n|\n|\r|",
            spoiled in proptest::option::weighted(0.3, (any::<proptest::sample::Index>(), any::<u8>())),
        ) {
            let mut bytes = [line, lines.concat(), end].concat().into_bytes();
            if let Some((at, octet)) = spoiled {
                let at = at.index(bytes.len());
                bytes[at] = octet;
            }
            let (mut scanned, mut parsed) = (Vec::new(), Vec::new());
            if let Some(tokens) = scan(&bytes, 3, &mut scanned) {
                let limits = Limits { fields: 3, ..LIMITS };
                let expected = tokenize(&bytes, &limits, &mut parsed).unwrap().unwrap();
                let last_host = parsed.iter().rfind(|field| field.name.eq_ignore_ascii_case("host"));
                prop_assert_eq!(tokens.host.map(str::as_bytes), last_host.map(|field| field.value));
                prop_assert_eq!(Tokens { host: None, ..tokens }, expected);
                prop_assert_eq!(scanned, parsed);
            }
        }

        /// No prefix of anything is judged otherwise than the whole, but as *more is needed* or a refusal that stays.
        #[test]
        fn every_prefix_waits_or_refuses(
            start in "(GET|POST|OPTIONS|G@T) (/|/a%20|/%zz|\\*|http://h/|h:80) HTTP/(1.1|1.0|1.7|2.0|1)",
            rest in "(\r\n|\n)(Host: a(\r\n|\n|\r))?(Host: b\r\n)?(Content-Length: (5|\\+5)\r\n)?(X : y\r\n)?(\r\n|\n)",
        ) {
            let bytes = format!("{start}{rest}").into_bytes();
            let whole = outcome(&bytes);
            for cut in 0..bytes.len() {
                match outcome(&bytes[..cut]) {
                    Ok(None) => {}
                    Ok(Some(length)) => prop_assert_eq!(whole, Ok(Some(length)), "cut at {}", cut),
                    Err(_) => prop_assert!(whole.is_err(), "cut at {}: {:?}", cut, whole),
                }
            }
        }

        /// Any bytes give an answer, not a panic.
        #[test]
        fn garbage_is_answered(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = outcome(&bytes);
        }
    }
}
