//! The header of a script's answer (RFC 3875 section 6): what it means, and what is wrong with it.

use gateway_spec::{Status, check_header, digits, is_hop_by_hop, is_token};

/// What a script wants to be done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// Send this, and what follows.
    Document(Document),
    /// Answer as if this path had been asked for. It began with so many fields that do not go with it.
    Redirect { location: String, dropped: usize },
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Document {
    pub(crate) status: Status,
    pub(crate) headers: Vec<(String, String)>,
}

/// Where the header ends: behind its empty line. Lines end with LF or CRLF (CGI-RSP-04).
pub(crate) fn end(octets: &[u8]) -> Option<usize> {
    let mut start = 0;
    loop {
        let length = octets[start..].iter().position(|&b| b == b'\n')?;
        let line = &octets[start..start + length];
        start += length + 1;
        if matches!(line, b"" | b"\r") {
            return Some(start);
        }
    }
}

/// Reads a header with its empty line.
///
/// # Errors
/// Why it is none: one line.
pub(crate) fn parse(head: &[u8]) -> Result<Reply, String> {
    let (mut status, mut location, mut content_type) = (None, None, None);
    let mut headers: Vec<(String, String)> = Vec::new();
    for line in head.split(|&b| b == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            break;
        }
        let (name, value) = field(line)?;
        match name.to_ascii_lowercase().as_str() {
            // CGI-RSP-06: twice is once too often. CGI-RSP-08: an empty value is none.
            "status" => once("Status", &mut status, value)?,
            "location" => once("Location", &mut location, value)?,
            "content-type" => once("Content-Type", &mut content_type, value)?,
            "transfer-encoding" => return Err("Transfer-Encoding is the server's".to_owned()),
            name if name.starts_with("x-cgi-") || is_hop_by_hop(name) => {}
            "content-length" => {
                digits(value.as_bytes()).ok_or_else(|| format!("Content-Length {value:?} is no length"))?;
                if headers.iter().any(|(known, _)| known.eq_ignore_ascii_case("content-length")) {
                    return Err("Content-Length twice".to_owned());
                }
                headers.push((name, value));
            }
            _ => headers.push((name, value)),
        }
    }
    if status.is_none() && location.is_none() && content_type.is_none() {
        return Err("none of Content-Type, Location and Status".to_owned()); // CGI-RSP-05
    }
    let status = status.map(|status| read_status(&status)).transpose()?;
    // CGI-RSP-17, CGI-RSP-24
    let may_be_local = status.as_ref().is_none_or(|status| status.code() == 200);
    let location = match (location, &status) {
        (Some(location), _) if may_be_local && is_local(&location) => {
            return Ok(Reply::Redirect { location, dropped: headers.len() + usize::from(content_type.is_some()) });
        }
        (Some(location), None) if !is_absolute(&location) => {
            return Err(format!("Location {location:?} is neither a path nor a URL"));
        }
        (location, _) => location,
    };
    // CGI-RSP-15, CGI-RSP-21
    let default = if location.is_some() { Status::FOUND } else { Status::OK };
    let firsts = [("Content-Type", content_type), ("Location", location)];
    let firsts = firsts.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Ok(Reply::Document(Document { status: status.unwrap_or(default), headers: firsts.chain(headers).collect() }))
}

/// A field on one line (CGI-RSP-07), with a name that is one (CGI-RSP-08) and a value that can be sent (CGI-RSP-32).
fn field(line: &[u8]) -> Result<(String, String), String> {
    let shown = || String::from_utf8_lossy(&line[..line.len().min(80)]).into_owned();
    let colon = line.iter().position(|&b| b == b':').ok_or_else(|| format!("{:?} has no colon", shown()))?;
    let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
    if !is_token(name) {
        return Err(format!("{:?} does not begin with the name of a field", shown()));
    }
    // ISO-8859-1: an octet for each character.
    let [name, value] = [name, value].map(|octets| octets.iter().map(|&b| char::from(b)).collect::<String>());
    if !is_hop_by_hop(&name) {
        check_header(&name, &value).map_err(|misuse| misuse.to_string())?;
    }
    Ok((name, value))
}

fn once(name: &str, known: &mut Option<String>, value: String) -> Result<(), String> {
    if value.is_empty() {
        return Ok(());
    }
    match known.replace(value) {
        Some(_) => Err(format!("{name} twice")),
        None => Ok(()),
    }
}

/// `404`, `404 Not Found`. No interim status: a script has one answer (CGI-RSP-16).
fn read_status(text: &str) -> Result<Status, String> {
    let (code, reason) = text.split_once(' ').unwrap_or((text, ""));
    let code = (code.len() == 3).then(|| digits(code.as_bytes())).flatten().and_then(|code| u16::try_from(code).ok());
    let status = code.and_then(|code| match reason.trim() {
        "" => Status::from_code(code).ok(),
        reason => Status::new(code, reason.to_owned()).ok(),
    });
    status.ok_or_else(|| format!("Status {text:?} is none"))
}

/// A path of this server, without a fragment.
fn is_local(location: &str) -> bool {
    location.starts_with('/') && !location.contains('#') && location.bytes().all(|b| b.is_ascii_graphic())
}

/// Whether it begins with a scheme.
fn is_absolute(location: &str) -> bool {
    let scheme = location.split_once(':').map_or("", |(scheme, _)| scheme);
    scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The answer in one line: the status and the fields, or where to, or `!`.
    fn read(head: &str) -> String {
        assert_eq!(end(head.as_bytes()), Some(head.len()), "{head:?}");
        match parse(head.as_bytes()) {
            Ok(Reply::Document(Document { status, headers })) => {
                let fields = headers.iter().map(|(name, value)| format!(" {name}={value}"));
                std::iter::once(status.to_string()).chain(fields).collect()
            }
            Ok(Reply::Redirect { location, dropped }) => format!("-> {location} -{dropped}"),
            Err(_) => "!".to_owned(),
        }
    }

    proptest! {
        /// Whatever a script writes: what comes of it can be sent, or is refused with a line that can be logged.
        #[test]
        fn nothing_gets_through(head in "((Status|Location|X-A|Content-Type|content-length)?[: ]{0,2}[ -~\\r\\x00é/#]{0,12}\\r?\\n){0,5}\\n") {
            let end = end(head.as_bytes()).expect("an empty line");
            match parse(&head.as_bytes()[..end]) {
                Ok(Reply::Document(Document { status, headers })) => {
                    prop_assert!((200..600).contains(&status.code()));
                    let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                    prop_assert!(gateway_spec::Calls::new().start(&status, &headers, None).is_ok(), "{:?}", headers);
                }
                Ok(Reply::Redirect { location, .. }) => {
                    prop_assert!(location.starts_with('/') && location.bytes().all(|b| b.is_ascii_graphic()));
                }
                Err(why) => prop_assert!(!why.is_empty() && !why.contains(['\n', '\r', '\0']), "{:?}", why),
            }
        }
    }

    #[test]
    fn ends_are_found() {
        for (octets, expected) in [
            ("", None),
            ("a", None),
            ("a: b\n", None),
            ("a: b\r\n\r", None),
            ("a: b\n\n", Some(6)),
            ("a: b\n\r\nrest", Some(7)),
            ("a: b\r\n\nrest", Some(7)),
            ("\nrest", Some(1)),
            ("\r\n", Some(2)),
            ("a\rb\n\n", Some(5)),
        ] {
            assert_eq!(end(octets.as_bytes()), expected, "{octets:?}");
        }
    }

    #[test]
    fn headers_mean_what_rfc_3875_says() {
        for (head, expected) in [
            ("Content-Type: text/plain\n\n", "200 OK Content-Type=text/plain"),
            ("sTaTuS: 404 x\r\nX-A:  b \n\r\n", "404 x X-A=b"),
            ("Status: 404\n\n", "404 Not Found"),
            ("Status: 299 Odd\n\n", "299 Odd"),
            ("Status: 404 \n\n", "404 Not Found"),
            ("Location: http://a/b#c\n\n", "302 Found Location=http://a/b#c"),
            ("Location: mailto:a@b\nX: y\n\n", "302 Found Location=mailto:a@b X=y"),
            ("Location: /x?y=1\n\n", "-> /x?y=1 -0"),
            ("Location: /x\nStatus: 200 OK\nContent-Type: a/b\nX: y\n\n", "-> /x -2"),
            ("Location: /x\nStatus: 301\n\n", "301 Moved Permanently Location=/x"),
            (
                "Status: 303\nLocation: http://a\nContent-Type: a/b\n\n",
                "303 See Other Content-Type=a/b Location=http://a",
            ),
            ("Location: x/y\nStatus: 302\n\n", "302 Found Location=x/y"),
            ("Location:\nContent-Type: a/b\n\n", "200 OK Content-Type=a/b"),
            (
                "Content-Type: a/b\nSet-Cookie: a\nSet-Cookie: b\n\n",
                "200 OK Content-Type=a/b Set-Cookie=a Set-Cookie=b",
            ),
            ("Content-Type: a/b\nConnection: close\nX-CGI-Foo: 1\nKeep-Alive: 1\n\n", "200 OK Content-Type=a/b"),
            ("Content-Type: a/b\nContent-Length: 5\n\n", "200 OK Content-Type=a/b Content-Length=5"),
            ("Content-Type: a/b\nX:\n\n", "200 OK Content-Type=a/b X="),
        ] {
            assert_eq!(read(head), expected, "{head:?}");
        }
    }

    #[test]
    fn what_is_no_header_is_told() {
        for head in [
            "\n",
            "X-A: 1\n\n",
            "garbage\n\n",
            "Content-Type: a/b\ngarbage\n\n",
            "Content-Type : a/b\n\n",
            " Content-Type: a/b\n\n",
            "Content-Type: a/b\n X: folded\n\n",
            ": x\n\n",
            "Status: 200\nStatus: 200\n\n",
            "Content-Type: a/b\nContent-Type: a/b\n\n",
            "Location: /a\nLocation: /b\n\n",
            "Status: abc\n\n",
            "Status: 99\n\n",
            "Status: 099 x\n\n",
            "Status: 1000\n\n",
            "Status: 600\n\n",
            "Status: 100 Continue\n\n",
            "Status: 101\n\n",
            "Status: +20\n\n",
            "Status: 200OK\n\n",
            "Location: x/y\n\n",
            "Location: /x#y\n\n",
            "Location: /x y\n\n",
            "Content-Type: a/b\nX: a\rb\n\n",
            "Content-Type: a/b\nX: a\0b\n\n",
            "Content-Type: a/b\nContent-Length: -1\n\n",
            "Content-Type: a/b\nContent-Length: 5\nContent-Length: 5\n\n",
            "Content-Type: a/b\nTransfer-Encoding: chunked\n\n",
            "Content-Type: a/b\nX\u{e9}: a\n\n",
        ] {
            assert_eq!(read(head), "!", "{head:?}");
        }
    }
}
