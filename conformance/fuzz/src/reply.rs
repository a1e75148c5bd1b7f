//! What an application may give, and what a server's writer made of it, read back.

use conformance::case::To;
use conformance::reply::{Ending, Octets, Outcome, Reply};
use gateway_spec::{Calls, Head, Status, Version};

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
fn check_reply(octets: Vec<u8>, to: To) -> Reply {
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

/// How a server's writer lets the content end.
pub enum Framing {
    Nothing,
    Length(u64),
    Chunked,
    Close,
}

/// The head that a server's writer made.
pub struct Written {
    pub out: Vec<u8>,
    pub framing: Framing,
    pub keep: bool,
}

/// The lines that the servers write themselves.
pub const LINES: &str = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";

/// What an application may give, and what was asked for: taken from octets.
pub struct Given {
    pub version: Version,
    pub head_only: bool,
    /// Whether the connection may be kept.
    pub keep: bool,
    /// The length of the body, if it is to be known.
    pub known: Option<u64>,
    code: u16,
    reason: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Given {
    /// Lines: flags and code, reason, then headers `name:value`; an empty line; the body. Octets stand for characters.
    fn read(data: &[u8]) -> Option<Self> {
        let [flags, high, low, rest @ ..] = data else { return None };
        let flag = |bit: u8| flags & bit != 0;
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
        Some(Self {
            version: if flag(1) { Version::Http10 } else { Version::Http11 },
            head_only: flag(2),
            known: flag(4).then_some(body.len() as u64),
            keep: !flag(8),
            code: u16::from_be_bytes([*high, *low]) % 700,
            reason,
            headers,
            body,
        })
    }

    /// Whether an application that gave this has itself to blame for what the strict reader would say.
    fn is_own_fault(&self) -> bool {
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
}

/// Lets a server write what an application may give, and reads it back.
pub fn check_writer(
    data: &[u8],
    chunk_size: impl Fn(&mut Vec<u8>, usize),
    write_head: impl FnOnce(&Given, &Head<'_>) -> Written,
) {
    let Some(given) = Given::read(data) else { return };
    let Ok(status) = Status::new(given.code, given.reason.clone()) else { return };
    let headers: Vec<(&str, &str)> = given.headers.iter().map(|(name, value)| (&**name, &**value)).collect();
    let mut calls = Calls::new();
    let Ok(head) = calls.start(&status, &headers, None) else { return };
    if given.is_own_fault() {
        return;
    }
    let Written { mut out, framing, keep } = write_head(&given, &head);
    match framing {
        Framing::Nothing => {}
        // As much as was promised, as the gateway sees to it.
        Framing::Length(length) if length > 10_000 => return,
        Framing::Length(length) => out.extend(vec![b'x'; usize::try_from(length).unwrap()]),
        Framing::Chunked => {
            for block in given.body.split(|&b| b == b'|').filter(|block| !block.is_empty()) {
                chunk_size(&mut out, block.len());
                out.extend_from_slice(block);
                out.extend_from_slice(b"\r\n");
            }
            out.extend_from_slice(b"0\r\n\r\n");
        }
        Framing::Close => out.extend_from_slice(&given.body),
    }
    let reply = check_reply(out, if given.head_only { To::Head } else { To::Other });
    assert_eq!(reply.status, status.code());
    for (name, value) in &given.headers {
        let octets: Vec<u8> = value.chars().map(|c| c as u8).collect();
        assert!(name.eq_ignore_ascii_case("content-length") || reply.values(name).any(|value| value == octets), "{name}");
    }
    assert_eq!(reply.announces_close(), !keep);
}
