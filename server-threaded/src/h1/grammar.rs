//! The whole grammar of heads, by `httparse`, for what the [scan](super::scan) leaves to it, and for all refusals.
//!
//! `httparse` 1.10 knows the grammar of names and values. It lets through what is refused here or in
//! [`head`](super::head): lone line feeds, any number of empty lines before the request, targets outside the grammar,
//! empty field names; and it knows no minor version above 1.

use std::mem::MaybeUninit;

use gateway_spec::{Field, Version};

use super::Reject;
use super::head::{Limits, TOO_LARGE};
use super::scan::Tokens;
use super::target::Marks;

/// How many fields are parsed without an allocation. Browsers send a dozen.
const FIELDS: usize = 32;

/// The parts of the head at the beginning of `head`, and its fields; `None` if it is not whole.
#[cold]
pub(super) fn tokenize<'b>(
    head: &'b [u8],
    limits: &Limits,
    fields: &mut Vec<Field<'b>>,
) -> Result<Option<Tokens<'b>>, Reject> {
    let mut near = [const { MaybeUninit::uninit() }; FIELDS];
    let result = match with_httparse(head, &mut near[..limits.fields.min(FIELDS)], fields) {
        Err(httparse::Error::TooManyHeaders) if limits.fields > FIELDS => {
            let mut far = vec![MaybeUninit::uninit(); places(head, limits)];
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

/// Places for all fields that are allowed, as far as there are octets for them: a name, a colon and a line end each.
fn places(head: &[u8], limits: &Limits) -> usize {
    limits.fields.min(head.len() / 3)
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
    Ok(Some(Tokens { method, target, marks: Marks::find(target.as_bytes()), version, length }))
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
    let mut fields_at = vec![httparse::EMPTY_HEADER; places(head, limits)];
    match httparse::parse_headers(&head[end + 1..], &mut fields_at) {
        Ok(httparse::Status::Complete((length, parsed))) => {
            fill(fields, parsed);
            let marks = Marks::find(target.as_bytes());
            Ok(Some(Tokens { method, target, marks, version: Version::Http11, length: end + 1 + length }))
        }
        Ok(httparse::Status::Partial) => Ok(None),
        Err(httparse::Error::TooManyHeaders) => Err(TOO_LARGE),
        Err(_) => Err(malformed),
    }
}

/// Written without a branch in the loop, so that the compiler can use wide registers.
fn has_lone_line_feed(head: &[u8]) -> bool {
    let lone = head.iter().zip(&head[1..]).fold(false, |lone, (&a, &b)| lone | ((b == b'\n') & (a != b'\r')));
    lone || head.first() == Some(&b'\n')
}
