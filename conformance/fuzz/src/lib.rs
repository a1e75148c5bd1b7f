//! What the fuzz targets share: naive models, and input cut into pieces.

use conformance::case::To;
use conformance::reply::{Ending, Octets, Outcome, Reply};

/// The first octet says how the rest is cut into pieces: 0 for not at all.
pub fn pieces(data: &[u8]) -> Option<(usize, &[u8])> {
    let (&first, rest) = data.split_first()?;
    Some((if first == 0 { usize::MAX } else { usize::from(first % 32) + 1 }, rest))
}

/// What a naive decoder makes of a chunked body.
#[derive(Debug, PartialEq, Eq)]
pub enum Chunked {
    /// The body, and how many octets it took.
    Whole(Vec<u8>, usize),
    /// It does not end here.
    More,
    /// It is no chunked body, whatever may follow.
    Broken,
}

/// RFC 9112 section 7.1 as it stands there, over the whole input. `most` bounds the body.
pub fn naive_chunked(octets: &[u8], most: u64) -> Chunked {
    let mut body = Vec::new();
    let mut at = 0;
    loop {
        let Some(line) = naive_line(&octets[at..]) else { return Chunked::More };
        let Ok(line) = line else { return Chunked::Broken };
        at += line.len() + 2;
        let digits = line.iter().take_while(|b| b.is_ascii_hexdigit()).count();
        if digits == 0 || digits > 16 || !naive_extensions(&line[digits..]) {
            return Chunked::Broken;
        }
        let size = line[..digits].iter().fold(0u128, |n, &b| n * 16 + u128::from((b as char).to_digit(16).unwrap()));
        if size + body.len() as u128 > u128::from(most) {
            return Chunked::Broken;
        }
        if size == 0 {
            break;
        }
        let size = size as usize;
        let Some(data) = octets.get(at..at + size) else { return Chunked::More };
        body.extend_from_slice(data);
        at += size;
        match octets.get(at..) {
            Some([b'\r', b'\n', ..]) => at += 2,
            Some([] | [b'\r']) | None => return Chunked::More,
            Some(_) => return Chunked::Broken,
        }
    }
    loop {
        let Some(line) = naive_line(&octets[at..]) else { return Chunked::More };
        let Ok(line) = line else { return Chunked::Broken };
        at += line.len() + 2;
        if line.is_empty() {
            return Chunked::Whole(body, at);
        }
        let Some(colon) = line.iter().position(|&b| b == b':') else { return Chunked::Broken };
        let text = |b: &u8| *b == b'\t' || (*b >= b' ' && *b != 0x7f);
        if !is_token(&line[..colon]) || !line[colon..].iter().all(text) {
            return Chunked::Broken;
        }
    }
}

/// A line up to CRLF; an error if it has a lone CR or LF.
fn naive_line(octets: &[u8]) -> Option<Result<&[u8], ()>> {
    let end = octets.iter().position(|&b| b == b'\n')?;
    let line = &octets[..end];
    Some(match line.strip_suffix(b"\r") {
        Some(line) if !line.contains(&b'\r') => Ok(line),
        _ => Err(()),
    })
}

/// `*( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] )`
fn naive_extensions(mut rest: &[u8]) -> bool {
    while !rest.is_empty() {
        rest = blanks(rest);
        let Some(after) = rest.strip_prefix(b";") else { return false };
        rest = blanks(after);
        let name = rest.iter().take_while(|&&b| is_tchar(b)).count();
        if name == 0 {
            return false;
        }
        rest = &rest[name..];
        if let Some(after) = blanks(rest).strip_prefix(b"=") {
            rest = blanks(after);
            match rest.strip_prefix(b"\"") {
                Some(quoted) => match quoted_end(quoted) {
                    Some(after) => rest = after,
                    None => return false,
                },
                None => {
                    let value = rest.iter().take_while(|&&b| is_tchar(b)).count();
                    if value == 0 {
                        return false;
                    }
                    rest = &rest[value..];
                }
            }
        }
    }
    true
}

fn quoted_end(mut rest: &[u8]) -> Option<&[u8]> {
    loop {
        match rest {
            [b'"', after @ ..] => return Some(after),
            [b'\\', b'\t' | b' '..=b'~' | 0x80.., after @ ..] => rest = after,
            [b'\t' | b' ' | b'!' | b'#'..=b'[' | b']'..=b'~' | 0x80.., after @ ..] => rest = after,
            _ => return None,
        }
    }
}

fn blanks(octets: &[u8]) -> &[u8] {
    let n = octets.iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
    &octets[n..]
}

fn is_tchar(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)
}

/// `1*tchar`
pub fn is_token(octets: &[u8]) -> bool {
    !octets.is_empty() && octets.iter().all(|&b| is_tchar(b))
}

/// Whether the octets are lines that end in CRLF, with no other CR or LF, the last one empty.
pub fn is_head(octets: &[u8]) -> bool {
    let mut lone = octets.to_vec();
    let mut at = 0;
    while let Some(found) = lone[at..].windows(2).position(|pair| pair == b"\r\n") {
        at += found;
        lone.drain(at..at + 2);
    }
    octets.ends_with(b"\r\n\r\n") && !lone.contains(&b'\r') && !lone.contains(&b'\n')
}

/// Octets that are there as a whole.
struct Whole(Vec<u8>);

impl Octets for Whole {
    fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }

    fn receive(&mut self) -> Result<(), Ending> {
        Err(Ending::Fin)
    }
}

/// Reads a response with the suite's strict reader, and panics if anything is wrong with it.
pub fn check_reply(octets: Vec<u8>, to: To) -> Reply {
    let text = octets.escape_ascii().to_string();
    let mut whole = Whole(octets);
    match Reply::read(&mut whole, to) {
        Outcome::Reply(reply) => {
            assert!(reply.problems.is_empty(), "{:?} in {text}", reply.problems);
            assert!(reply.complete, "{text}");
            assert!(whole.0.is_empty(), "more than one response: {text}");
            *reply
        }
        other => panic!("{other:?}: {text}"),
    }
}

/// What an application may give: a status and headers, taken from octets.
pub struct Given {
    pub code: u16,
    pub reason: String,
    pub headers: Vec<(String, String)>,
    pub flags: u8,
    pub body: Vec<u8>,
}

impl Given {
    /// Lines: flags and code, reason, then headers `name:value`; an empty line; the body. Octets stand for characters.
    pub fn read(data: &[u8]) -> Option<Self> {
        let [flags, high, low, rest @ ..] = data else { return None };
        let text = |octets: &[u8]| octets.iter().map(|&b| char::from(b)).collect::<String>();
        let mut parts = rest.splitn(2, |&b| b == 0xff);
        let head = parts.next()?;
        let body = parts.next().unwrap_or_default().to_vec();
        let mut lines = head.split(|&b| b == 0xfe);
        let reason = text(lines.next()?);
        let headers = lines
            .map(|line| {
                let colon = line.iter().position(|&b| b == b':').unwrap_or(line.len());
                (text(&line[..colon]), text(line.get(colon + 1..).unwrap_or_default()))
            })
            .collect();
        Some(Self { code: u16::from_be_bytes([*high, *low]) % 700, reason, headers, flags: *flags, body })
    }

    /// Whether an application that gave this has itself to blame for what the strict reader would say.
    pub fn is_own_fault(&self) -> bool {
        let singles = ["content-type", "location", "etag", "last-modified", "server"];
        let requests = ["host", "expect", "te", "range", "if-match", "if-none-match", "authorization", "proxy-authorization"];
        let count = |wanted: &str| self.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(wanted)).count();
        self.headers.iter().any(|(name, value)| {
            name.eq_ignore_ascii_case("date")
                || requests.iter().any(|wanted| name.eq_ignore_ascii_case(wanted))
                || value.starts_with([' ', '\t'])
                || value.ends_with([' ', '\t'])
        }) || singles.iter().any(|single| count(single) > 1)
    }

    pub fn borrowed(&self) -> Vec<(&str, &str)> {
        self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }
}
