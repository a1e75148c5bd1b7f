//! The head of a request: the [scan](super::scan) of usual heads, the whole [grammar](super::grammar) for all others,
//! plus what they leave to us.

use std::ops::Range;

use gateway_spec::{Field, Version};

use super::Reject;
use super::framing::{Framer, Framing};
use super::grammar::tokenize;
use super::scan::{LastHead, Tokens, scan};
use super::target::Target;

/// How many empty lines before a request line are skipped (H1-PARSE-05). Old clients send one after a body.
const MAX_BLANK_LINES: usize = 4;

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
    /// The head itself, in two parts.
    octets: [&'b [u8]; 2],
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

/// Reads a usual head at the beginning of what has `arrived` in the buffer, where the rest is old; `None` if it is not usual
/// or not whole: then [`parse`] knows.
///
/// `last` is kept from one head of a connection to the next. `fields` gets the field lines.
pub(crate) fn usual<'b>(
    buffer: &[u8],
    arrived: Range<usize>,
    limits: &Limits,
    last: &'b mut LastHead,
    fields: &mut Vec<Field<'b>>,
) -> Result<Option<Head<'b>>, Reject> {
    let Ok(Some(blank)) = skip_blank_lines(&buffer[arrived.clone()]) else { return Ok(None) };
    let Some(length) = scan(buffer, arrived.start + blank..arrived.end, limits.fields, last) else { return Ok(None) };
    // Not to be changed any more: the head borrows from it.
    let last: &'b LastHead = last;
    let Some(tokens) = last.tokens(length) else { return Ok(None) };
    let section = &last.section;
    section.list(fields);
    check_size(&tokens, limits)?;
    let framer = match section.framer().get() {
        Some(framer) => framer,
        None => {
            let framer = Framer::read(fields)?;
            section.framer().set(Some(framer));
            framer
        }
    };
    let host = framer.host(tokens.version)?.and_then(|index| section.value(index));
    Head::new(&tokens, host, &framer, fields, limits, last.octets(), blank).map(Some)
}

/// Parses the head at the beginning of what has `arrived`; `None` if more is needed.
///
/// `fields` gets the field lines. Call again only after a line feed has arrived: nothing changes before.
pub(crate) fn parse<'b>(
    arrived: &'b [u8],
    limits: &Limits,
    fields: &mut Vec<Field<'b>>,
) -> Result<Option<Head<'b>>, Reject> {
    let Some(blank) = skip_blank_lines(arrived)? else { return Ok(None) };
    let head = &arrived[blank..];
    let Some(tokens) = tokenize(head, limits, fields)? else {
        check_growth(head, limits)?;
        return Ok(None);
    };
    check_size(&tokens, limits)?;
    let framer = Framer::read(fields)?;
    let host = framer.host(tokens.version)?.and_then(|index| str::from_utf8(fields.get(index)?.value).ok());
    Head::new(&tokens, host, &framer, fields, limits, [&head[..tokens.length], b""], blank).map(Some)
}

impl<'b> Head<'b> {
    /// Puts together what was found.
    fn new(
        tokens: &Tokens<'b>,
        host: Option<&'b str>,
        framer: &Framer,
        fields: &[Field<'b>],
        limits: &Limits,
        octets: [&'b [u8]; 2],
        blank: usize,
    ) -> Result<Self, Reject> {
        let target = Target::parse(tokens.method, tokens.target, tokens.marks)?;
        if tokens.method == "CONNECT" {
            // H1-METH-18: an origin server, not a tunnel.
            return Err(Reject::new(501, "This server makes no tunnels."));
        }
        let framing = framer.framing(tokens.version, limits.body, fields)?;
        Ok(Self {
            method: tokens.method,
            target: tokens.target,
            path: target.path,
            query_string: target.query,
            version: tokens.version,
            host: target.authority.or(host),
            framing,
            persistent: framer.persistent(tokens.version),
            expects_continue: framer.expects_continue(tokens.version)? && framing != Framing::None,
            length: blank + tokens.length,
            octets,
        })
    }

    /// How long this very head is at the beginning of what has `arrived`, if it is there again.
    pub(crate) fn repeated(&self, arrived: &[u8]) -> Option<usize> {
        let [line, section] = self.octets;
        arrived.strip_prefix(line)?.starts_with(section).then_some(line.len() + section.len())
    }
}

/// Refuses a whole head that is too large.
fn check_size(tokens: &Tokens<'_>, limits: &Limits) -> Result<(), Reject> {
    if tokens.method.len() + tokens.target.len() + "  HTTP/1.1".len() > limits.request_line {
        return Err(Reject::new(414, "The request line is too long."));
    }
    if tokens.length > limits.head { Err(TOO_LARGE) } else { Ok(()) }
}

pub(super) const TOO_LARGE: Reject = Reject::new(431, "The header section is too large.");

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

/// Whether there are empty lines only, or nothing: no request has begun (RFC 9112 section 2.2).
pub(crate) fn is_blank(arrived: &[u8]) -> bool {
    arrived.chunks(2).all(|line| line == b"\r\n")
}

/// Refuses a head that is not whole and already too large (H1-LINE-03, H1-LINE-04, H1-FLD-08).
fn check_growth(head: &[u8], limits: &Limits) -> Result<(), Reject> {
    let most = limits.request_line.saturating_add(2); // its CR LF does not count
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: Limits = Limits { request_line: 8192, head: 32768, fields: 100, body: 1 << 20 };

    /// As a connection reads a head.
    fn read<'b>(
        bytes: &'b [u8],
        limits: &Limits,
        last: &'b mut LastHead,
        fields: &mut Vec<Field<'b>>,
    ) -> Result<Option<Head<'b>>, Reject> {
        match usual(bytes, 0..bytes.len(), limits, last, fields)? {
            Some(head) => Ok(Some(head)),
            None => parse(bytes, limits, fields),
        }
    }

    fn outcome(bytes: &[u8]) -> Result<Option<usize>, u16> {
        read(bytes, &LIMITS, &mut LastHead::default(), &mut Vec::new())
            .map(|head| head.map(|head| head.length))
            .map_err(|reject| reject.code)
    }

    #[test]
    fn a_head_is_read_with_its_fields() {
        let bytes =
            b"\r\nPOST http://good:80/a%20b?x=1 HTTP/1.0\r\nhost: evil\r\nX:  a b \r\nContent-Length: 5\r\n\r\nhello";
        let (mut last, mut fields) = (LastHead::default(), Vec::new());
        let head = read(bytes, &LIMITS, &mut last, &mut fields).unwrap().unwrap();
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

    proptest! {
        /// What the scan accepts is what the whole grammar says of it.
        #[test]
        fn the_scan_agrees_with_the_grammar(
            line in "(GET|P{0,1}|a b|\\(|!#\\$%&'\\*\\+\\.\\^_`\\|~-) {0,2}(/|\\*|http://h/\u{e9}|/a\u{7f}|/[!-~]{0,20}) {1,2}HTTP/1\\.[01]\r?\n",
            lines in proptest::collection::vec(
                "([A-Za-z!#\\$\\-]{0,9}|host|HOST|a b| x|\u{e9}) {0,1}:[ \t]{0,2}([ -~\t\u{7f}-\u{ff}]{0,12}|[ -~]{0,40})[ \t]{0,2}\r{0,2}\n", 0..5),
            end in "\r\n|\n|\r|",
            spoiled in proptest::option::weighted(0.3, (any::<proptest::sample::Index>(), any::<u8>())),
            before in "(a|\r|\n|\u{e9}){0,20}",
            old in "(\r\n){0,2}(a|:| |\r|\n|\u{e9}){0,20}",
        ) {
            let mut bytes = [line, lines.concat(), end].concat().into_bytes();
            if let Some((at, octet)) = spoiled {
                let at = at.index(bytes.len());
                bytes[at] = octet;
            }
            let arrived = before.len()..before.len() + bytes.len();
            bytes.splice(0..0, before.bytes());
            bytes.extend_from_slice(old.as_bytes());
            let (mut last, mut scanned, mut parsed) = (LastHead::default(), Vec::new(), Vec::new());
            if let Some(length) = scan(&bytes, arrived.clone(), 3, &mut last) {
                last.section.list(&mut scanned);
                let tokens = last.tokens(length).unwrap();
                let limits = Limits { fields: 3, ..LIMITS };
                let expected = tokenize(&bytes[arrived], &limits, &mut parsed).unwrap().unwrap();
                prop_assert_eq!(tokens, expected);
                prop_assert_eq!(scanned, parsed);
            }
        }

        /// Whatever was read before, and however much of a head has arrived before all of it, a head is read as if it were
        /// the first.
        #[test]
        fn a_head_is_read_as_if_it_were_the_first(heads in proptest::collection::vec(
            ("(GET /|POST /a\\?b|OPTIONS \\*) HTTP/1\\.[01]\r\n",
             "(Host: a\r\n|Host: b\r\n|Host: a,\r\n){0,2}(Content-Length: 5\r\n|Expect: x\r\n|X:y\r\n)?(X: [ab]{0,2}\r\n){0,2}\r\n",
             any::<proptest::sample::Index>(), any::<bool>()), 1..12)) {
            let seen = |head: Option<Head<'_>>| format!("{head:?}");
            let mut last = LastHead::default();
            for (line, fields, cut, is_old_behind) in heads {
                let bytes = [line, fields].concat().into_bytes();
                let cut = cut.index(bytes.len());
                let behind = if is_old_behind { &bytes[..] } else { &bytes[..cut] };
                let part = usual(behind, 0..cut, &LIMITS, &mut last, &mut Vec::new()).map(seen);
                prop_assert_eq!(part, Ok("None".to_owned()));
                let (mut alone, mut one, mut other) = (LastHead::default(), Vec::new(), Vec::new());
                let expected = read(&bytes, &LIMITS, &mut alone, &mut one).map(seen);
                prop_assert_eq!(read(&bytes, &LIMITS, &mut last, &mut other).map(seen), expected);
                prop_assert_eq!(one, other);
            }
        }

        /// A head that is taken for the one before is read as that one, and it is so exactly if it is the same.
        #[test]
        fn a_repeated_head_is_the_same(
            line in "(\r\n)?(GET /|POST /a\\?b) HTTP/1\\.[01]\r\n", fields in "Host: a\r\n(X: [ab]{0,2}\r\n){0,2}\r\n",
            other_line in "(\r\n)?(GET /|POST /a\\?b) HTTP/1\\.[01]\r\n", other in "Host: a\r\n(X: [ab]{0,2}\r\n){0,2}\r\n",
            is_same: bool, is_usual: bool, behind in "[ -~]{0,9}",
        ) {
            let one = if is_usual { [line, fields].concat() } else { [line, fields.replace("Host: ", "Host:")].concat() };
            let next = if is_same { one.clone() } else { [other_line, other].concat() };
            let next = [next, behind.clone()].concat();
            let (mut last, mut list) = (LastHead::default(), Vec::new());
            let head = read(one.as_bytes(), &LIMITS, &mut last, &mut list).unwrap().unwrap();
            let repeated = head.repeated(next.as_bytes());
            let is_there = next.starts_with(one.trim_start());
            prop_assert_eq!(repeated, is_there.then_some(one.trim_start().len()));
            for cut in 0..repeated.unwrap_or(0) {
                prop_assert_eq!(head.repeated(&next.as_bytes()[..cut]), None);
            }
            if let Some(length) = repeated {
                let (mut alone, mut again) = (LastHead::default(), Vec::new());
                let expected = read(next.as_bytes(), &LIMITS, &mut alone, &mut again).unwrap().unwrap();
                prop_assert_eq!(format!("{head:?}"), format!("{:?}", Head { length: head.length, ..expected }));
                prop_assert_eq!((length, list), (expected.length, again));
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
