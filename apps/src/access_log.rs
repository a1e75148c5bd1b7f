//! The access log: one line for each response, on standard output, that no client can forge.
//!
//! Whatever a client sent is printable ASCII here and stays inside its quotes: a line end, a quote, a terminal's escape
//! or half a character is spelled out (H1-SEC-04). Headers with credentials are not logged, nor is what stands before an
//! `@` in a URL's authority; queries are, so secrets do not belong there.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The most bytes of one value that are logged; the end of a longer one is replaced by `...`.
const LONGEST: usize = 2048;

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// NCSA's, as every log analyser reads it.
    Common,
    /// The same with `Referer` and `User-Agent`.
    Combined,
    /// An object.
    Json,
}

impl Format {
    /// The format of a name; `none` is none.
    pub(crate) fn parse(name: &str) -> Result<Option<Self>, String> {
        match name {
            "common" => Ok(Some(Self::Common)),
            "combined" => Ok(Some(Self::Combined)),
            "json" => Ok(Some(Self::Json)),
            "none" => Ok(None),
            _ => Err(format!("{name:?} is none of common, combined, json, none")),
        }
    }
}

/// What a server tells of a response.
#[derive(Clone, Copy)]
pub(crate) struct Record<'r> {
    pub(crate) remote_addr: &'r str,
    /// Empty, as are target and version, if the request was too broken to tell.
    pub(crate) method: &'r str,
    pub(crate) target: &'r str,
    pub(crate) version: &'r str,
    /// 0 if the connection was cut before there was one.
    pub(crate) status: u16,
    pub(crate) bytes: u64,
    pub(crate) aborted: bool,
    pub(crate) duration: Duration,
    pub(crate) referer: Option<&'r [u8]>,
    pub(crate) user_agent: Option<&'r [u8]>,
}

/// Writes the line of a response that ends now.
pub(crate) fn write(format: Format, record: &Record<'_>) {
    let began = SystemTime::now().checked_sub(record.duration).unwrap_or(UNIX_EPOCH);
    let line = line(format, record, began.duration_since(UNIX_EPOCH).unwrap_or_default());
    // One write for the whole line, so that lines of threads do not mix. If nobody reads the log any more, that is no
    // reason to stop serving.
    let _ = std::io::stdout().lock().write_all(line.as_bytes());
}

/// One line; `began` is counted from 1970.
fn line(format: Format, record: &Record<'_>, began: Duration) -> String {
    let mut line = String::with_capacity(256);
    let written = match format {
        Format::Common => common(&mut line, record, began),
        Format::Combined => common(&mut line, record, began).and_then(|()| {
            let referer = record.referer.map_or(Cow::Borrowed(&b"-"[..]), without_credentials);
            let user_agent = record.user_agent.unwrap_or(b"-");
            write!(line, " {} {}", quoted(&referer, byte_escape), quoted(user_agent, byte_escape))
        }),
        Format::Json => json(&mut line, record, began),
    };
    debug_assert!(written.is_ok(), "a String takes everything");
    line.push('\n');
    line
}

fn common(line: &mut String, record: &Record<'_>, began: Duration) -> std::fmt::Result {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let Record { remote_addr, method, version, status, bytes, .. } = record;
    let Time { year, month, day, hour, minute, second } = Time::of(began);
    let month = MONTHS[month - 1];
    let request = match *method {
        "" => b"-".to_vec(),
        _ => {
            [method.as_bytes(), b" ", &without_credentials(record.target.as_bytes()), b" ", version.as_bytes()].concat()
        }
    };
    let request = quoted(&request, byte_escape);
    write!(
        line,
        "{remote_addr} - - [{day:02}/{month}/{year}:{hour:02}:{minute:02}:{second:02} +0000] {request} {status:03} {bytes}"
    )
}

fn json(line: &mut String, record: &Record<'_>, began: Duration) -> std::fmt::Result {
    let Record { remote_addr, method, version, status, bytes, aborted, duration, .. } = record;
    let Time { year, month, day, hour, minute, second } = Time::of(began);
    let milliseconds = began.subsec_millis();
    write!(line, "{{\"time\":\"{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milliseconds:03}Z\"")?;
    let target = without_credentials(record.target.as_bytes());
    let known = |value| (!method.is_empty()).then_some(Cow::Borrowed(value));
    for (name, value) in [
        ("remote_addr", Some(remote_addr.as_bytes().into())),
        ("method", known(method.as_bytes())),
        ("target", known(&target)),
        ("protocol", known(version.as_bytes())),
        ("referer", record.referer.map(without_credentials)),
        ("user_agent", record.user_agent.map(Cow::Borrowed)),
    ] {
        let value = value.map_or_else(|| "null".to_owned(), |value| quoted(&value, json_escape));
        write!(line, ",\"{name}\":{value}")?;
    }
    let milliseconds = duration.as_secs_f64() * 1000.0;
    write!(line, ",\"status\":{status},\"bytes\":{bytes},\"aborted\":{aborted},\"duration_ms\":{milliseconds:.3}}}")
}

/// A URL without the name and the password that may stand before the `@` of its authority. A path has no authority.
fn without_credentials(url: &[u8]) -> Cow<'_, [u8]> {
    if url.first().is_none_or(|&first| first == b'/') {
        return url.into();
    }
    let scheme = url.windows(3).position(|three| three == b"://").map_or(0, |at| at + 3);
    let (scheme, rest) = url.split_at(scheme);
    let authority = rest.iter().position(|b| matches!(b, b'/' | b'?' | b'#')).unwrap_or(rest.len());
    match rest[..authority].iter().rposition(|&b| b == b'@') {
        Some(at) => [scheme, &rest[at + 1..]].concat().into(),
        None => url.into(),
    }
}

/// A value between quotes, with everything but printable ASCII escaped, and no longer than it should be.
fn quoted(value: &[u8], escape: fn(&mut String, &[u8])) -> String {
    let (value, end) = match value.get(..LONGEST) {
        Some(start) if value.len() > LONGEST => (start, "..."),
        _ => (value, ""),
    };
    let mut quoted = String::with_capacity(value.len() + 2);
    quoted.push('"');
    for run in value.chunk_by(|a, b| is_plain(*a) && is_plain(*b) || !a.is_ascii() && !b.is_ascii()) {
        match run {
            [first, ..] if is_plain(*first) => quoted.extend(run.iter().map(|&b| char::from(b))),
            _ => escape(&mut quoted, run),
        }
    }
    quoted.push_str(end);
    quoted.push('"');
    quoted
}

const fn is_plain(octet: u8) -> bool {
    matches!(octet, b' '..=b'~') && !matches!(octet, b'"' | b'\\')
}

/// As Apache does: `\"`, `\\`, `\n`, `\xff`.
fn byte_escape(text: &mut String, octets: &[u8]) {
    for &octet in octets {
        let _ = match octet {
            b'"' | b'\\' => write!(text, "\\{}", char::from(octet)),
            _ => write!(text, "\\x{octet:02x}"),
        };
    }
}

/// As JSON has it, beyond ASCII too: a terminal obeys some of those characters. What is not UTF-8 becomes U+FFFD.
fn json_escape(text: &mut String, octets: &[u8]) {
    for c in String::from_utf8_lossy(octets).chars() {
        for unit in c.encode_utf16(&mut [0; 2]) {
            let _ = write!(text, "\\u{unit:04x}");
        }
    }
}

/// A moment in UTC.
#[derive(Debug, PartialEq, Eq)]
struct Time {
    year: u64,
    /// 1 to 12.
    month: usize,
    /// 1 to 31.
    day: u64,
    hour: u64,
    minute: u64,
    second: u64,
}

impl Time {
    /// The moment so long after the beginning of 1970.
    fn of(since_1970: Duration) -> Self {
        let seconds = since_1970.as_secs();
        let (mut days, mut year) = (seconds / 86_400, 1970);
        // One step a year: some fifty additions, in exchange for no magic numbers.
        let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        while days >= 365 + u64::from(leap(year)) {
            days -= 365 + u64::from(leap(year));
            year += 1;
        }
        let mut month = 1;
        for length in [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30] {
            if days < length {
                break;
            }
            days -= length;
            month += 1;
        }
        let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
        Self { year, month, day: days + 1, hour, minute, second }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: Record<'static> = Record {
        remote_addr: "192.0.2.7",
        method: "GET",
        target: "/a?b=c",
        version: "HTTP/1.1",
        status: 200,
        bytes: 1234,
        aborted: false,
        duration: Duration::from_micros(1500),
        referer: Some(b"http://a.example/"),
        user_agent: None,
    };
    const BEGAN: Duration = Duration::from_millis(1_000_000_000_250);

    #[test]
    fn the_three_forms() {
        assert_eq!(
            line(Format::Common, &RECORD, BEGAN),
            "192.0.2.7 - - [09/Sep/2001:01:46:40 +0000] \"GET /a?b=c HTTP/1.1\" 200 1234\n"
        );
        assert_eq!(
            line(Format::Combined, &RECORD, BEGAN),
            "192.0.2.7 - - [09/Sep/2001:01:46:40 +0000] \"GET /a?b=c HTTP/1.1\" 200 1234 \"http://a.example/\" \"-\"\n"
        );
        assert_eq!(
            line(Format::Json, &RECORD, BEGAN),
            "{\"time\":\"2001-09-09T01:46:40.250Z\",\"remote_addr\":\"192.0.2.7\",\"method\":\"GET\",\
             \"target\":\"/a?b=c\",\"protocol\":\"HTTP/1.1\",\"referer\":\"http://a.example/\",\"user_agent\":null,\
             \"status\":200,\"bytes\":1234,\"aborted\":false,\"duration_ms\":1.500}\n"
        );
    }

    #[test]
    fn a_request_that_could_not_be_read_is_a_dash() {
        let broken = Record { method: "", target: "", version: "", status: 400, ..RECORD };
        assert!(line(Format::Common, &broken, BEGAN).contains("] \"-\" 400 1234\n"));
        assert!(line(Format::Json, &broken, BEGAN).contains("\"method\":null,\"target\":null,\"protocol\":null"));
        let cut = Record { status: 0, ..RECORD };
        assert!(line(Format::Common, &cut, BEGAN).contains("\" 000 1234\n"));
    }

    #[test]
    fn nothing_can_be_forged() {
        let evil = b"\" 200 1\r\n10.0.0.1 - - [x] \"GET / HTTP/1.1\" \\ \x1b[2J \x00 \x7f \xc2\x9b \xff \xe2\x80\xa8 \xf0\x9f\xa6\x80";
        let record = Record { referer: Some(evil), user_agent: Some(evil), ..RECORD };
        for format in [Format::Common, Format::Combined, Format::Json] {
            let line = line(format, &record, BEGAN);
            let (content, end) = line.split_at(line.len() - 1);
            assert_eq!(end, "\n");
            assert!(content.bytes().all(|b| (b' '..=b'~').contains(&b)), "{content}");
        }
        let combined = line(Format::Combined, &record, BEGAN);
        let expected = r#""\" 200 1\x0d\x0a10.0.0.1 - - [x] \"GET / HTTP/1.1\" \\ \x1b[2J \x00 \x7f \xc2\x9b \xff \xe2\x80\xa8 \xf0\x9f\xa6\x80""#;
        assert!(combined.ends_with(&format!("200 1234 {expected} {expected}\n")), "{combined}");

        let json: serde_json::Value = serde_json::from_str(&line(Format::Json, &record, BEGAN)).expect("JSON");
        assert_eq!(json["user_agent"], String::from_utf8_lossy(evil).as_ref());
        assert_eq!((&json["target"], &json["status"]), (&"/a?b=c".into(), &200.into()));
    }

    #[test]
    fn long_values_are_cut() {
        let long = vec![b'a'; 10_000];
        let record = Record { user_agent: Some(&long), ..RECORD };
        for format in [Format::Combined, Format::Json] {
            let line = line(format, &record, BEGAN);
            assert!(line.contains(&format!("\"{}...\"", "a".repeat(LONGEST))), "{line}");
        }
        assert_eq!(quoted(&[b'a'; LONGEST], byte_escape).len(), LONGEST + 2, "not yet too long");
    }

    #[test]
    fn credentials_are_left_out() {
        for (url, shown) in [
            ("http://ada:secret@host:1/p?q=a@b", "http://host:1/p?q=a@b"),
            ("http://ada@x:secret@host/", "http://host/"),
            ("ada:secret@host:443", "host:443"),
            ("http://host/ada:x@y", "http://host/ada:x@y"),
            ("http://host?to=http://a:b@c", "http://host?to=http://a:b@c"),
            ("/a:b@c", "/a:b@c"),
            ("*", "*"),
            ("", ""),
        ] {
            assert_eq!(without_credentials(url.as_bytes()), shown.as_bytes(), "{url}");
        }
        let referer = Some(&b"https://ada:secret@host/"[..]);
        let record = Record { target: "http://ada:secret@host/", referer, ..RECORD };
        for format in [Format::Common, Format::Combined, Format::Json] {
            assert!(!line(format, &record, BEGAN).contains("secret"));
        }
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        for (seconds, time) in [
            (0, (1970, 1, 1, 0, 0, 0)),
            (951_782_399, (2000, 2, 28, 23, 59, 59)),
            (951_782_400, (2000, 2, 29, 0, 0, 0)),
            (951_868_800, (2000, 3, 1, 0, 0, 0)),
            (1_709_251_199, (2024, 2, 29, 23, 59, 59)),
            (1_735_689_599, (2024, 12, 31, 23, 59, 59)),
            (1_735_689_600, (2025, 1, 1, 0, 0, 0)),
            (4_107_542_400, (2100, 3, 1, 0, 0, 0)),
        ] {
            let (year, month, day, hour, minute, second) = time;
            let expected = Time { year, month, day, hour, minute, second };
            assert_eq!(Time::of(Duration::from_secs(seconds)), expected);
        }
    }
}
