//! A naive reader of multipart forms, which looks at the whole.

/// What a naive reader makes of a form.
#[derive(Debug, PartialEq, Eq)]
pub enum Form {
    /// The head and the content of each part.
    Parts(Vec<(Vec<u8>, Vec<u8>)>),
    /// It is no form, or its end is missing.
    Broken,
}

/// RFC 2046 section 5.1 as it stands there, but that a part has a head. Limits are none of its business.
pub fn naive_form(body: &[u8], boundary: &str) -> Form {
    let delimiter = format!("\r\n--{boundary}").into_bytes();
    let body = [b"\r\n", body].concat();
    let mut parts = Vec::new();
    let Some(first) = find(&body, &delimiter) else { return Form::Broken };
    let mut rest = &body[first + delimiter.len()..];
    loop {
        if rest.starts_with(b"--") {
            return Form::Parts(parts);
        }
        let padding = rest.iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
        let Some(part) = rest[padding..].strip_prefix(b"\r\n") else { return Form::Broken };
        if padding > 64 || part.starts_with(b"\r\n") {
            return Form::Broken;
        }
        let Some(end) = find(part, b"\r\n\r\n") else { return Form::Broken };
        // The empty line after the head may be the beginning of the delimiter.
        let content = if part[end + 2..].starts_with(&delimiter) { &part[end + 2..] } else { &part[end + 4..] };
        let Some(length) = find(content, &delimiter) else { return Form::Broken };
        parts.push((part[..end].to_vec(), content[..length].to_vec()));
        rest = &content[length + delimiter.len()..];
    }
}

fn find(octets: &[u8], wanted: &[u8]) -> Option<usize> {
    octets.windows(wanted.len()).position(|window| window == wanted)
}
