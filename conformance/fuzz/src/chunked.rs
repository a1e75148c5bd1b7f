//! A naive decoder of chunked bodies, and what it says about another one.

use crate::head::{is_tchar, is_token};

/// What a server's decoder made of a chunked body.
#[derive(Debug, Default)]
pub struct Decoded {
    /// What it gave.
    pub body: Vec<u8>,
    /// How many octets it took.
    pub taken: usize,
    /// Whether it says that the body has ended.
    pub done: bool,
    /// Whether it refused.
    pub failed: bool,
}

impl Decoded {
    /// Compares with what the naive decoder makes of the same octets.
    pub fn check(self, octets: &[u8], most: u64) {
        match naive_chunked(octets, most) {
            Chunked::Whole(expected, consumed) => {
                assert!(!self.failed && self.done, "a whole body is not accepted");
                assert_eq!((self.body, self.taken), (expected, consumed));
            }
            Chunked::More => assert!(!self.done, "a body that goes on is taken for whole"),
            Chunked::Broken => assert!(!self.done, "a broken body is taken for whole"),
        }
    }
}

/// What a naive decoder makes of a chunked body.
#[derive(Debug, PartialEq, Eq)]
enum Chunked {
    /// The body, and how many octets it took.
    Whole(Vec<u8>, usize),
    /// It does not end here.
    More,
    /// It is no chunked body, whatever may follow.
    Broken,
}

/// RFC 9112 section 7.1 as it stands there, over the whole input. `most` bounds the body.
fn naive_chunked(octets: &[u8], most: u64) -> Chunked {
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
