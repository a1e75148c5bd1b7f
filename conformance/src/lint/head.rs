//! Checks of a status and its headers that the contract itself does not make.

use gateway_spec::Status;

use super::report::{Party, Reporter};

/// Fields that may stand in a response once only, because they are no lists (H1-FLD-07).
const SINGLE: [&str; 12] = [
    "age",
    "content-location",
    "content-range",
    "content-type",
    "date",
    "etag",
    "expires",
    "last-modified",
    "location",
    "referrer-policy",
    "retry-after",
    "server",
];

/// Checks a head that the contract allows: first the status, then the headers, then the rules between both
/// (GW-VAL-03).
pub(super) fn check(status: &Status, headers: &[(&str, &str)], reporter: &Reporter) {
    if status.reason().is_empty() {
        reporter.remark("GW-STA-04", Party::Application, format!("the status {} has no reason phrase", status.code()));
    }
    headers.iter().for_each(|(name, value)| header(name, value, reporter));
    for name in SINGLE {
        let count = headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).count();
        if count > 1 {
            reporter.error("H1-FLD-07", Party::Application, format!("{name} stands {count} times and is no list"));
        }
    }
    content(status.code(), headers, reporter);
    required(status.code(), headers, reporter);
}

fn header(name: &str, value: &str, reporter: &Reporter) {
    let error = |rule, message: String| reporter.error(rule, Party::Application, message);
    if name.eq_ignore_ascii_case("status") {
        error("GW-VAL-33", format!("the header {name:?} is the status of CGI, not of HTTP"));
    }
    let begins = name.as_bytes().first().is_some_and(u8::is_ascii_alphabetic);
    if !begins || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
        let message = format!("the header name {name:?} has more than letters, digits, - and _");
        reporter.remark("GW-VAL-34", Party::Application, message);
    } else if name.ends_with(['-', '_']) {
        reporter.remark("GW-VAL-35", Party::Application, format!("the header name {name:?} ends in - or _"));
    }
    if value.contains('\t') {
        reporter.warning("GW-VAL-36", Party::Application, format!("the value of {name} has a tab: {value:?}"));
    }
    if name.eq_ignore_ascii_case("etag") && !is_etag(value) {
        error("H1-VAL-10", format!("the ETag {value:?} is not a quoted text, or W/ and one"));
    }
}

/// What may not describe content that is not there.
fn content(code: u16, headers: &[(&str, &str)], reporter: &Reporter) {
    let value = |name: &str| headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|&(_, value)| value);
    if matches!(code, 204 | 304)
        && let Some(value) = value("content-type")
    {
        reporter.error("GW-VAL-38", Party::Application, format!("a {code} has the Content-Type {value:?}"));
    }
    if code == 204
        && let Some(value) = value("content-length")
    {
        reporter.error("GW-RACK-30", Party::Application, format!("a 204 has the Content-Length {value:?}"));
    }
    if code == 304 {
        if let Some(value) = value("content-length") {
            // HTTP allows that of the 200 (C-12).
            reporter.remark("GW-RACK-30", Party::Application, format!("a 304 has the Content-Length {value:?}"));
        }
        for name in ["content-encoding", "content-language", "content-range", "content-md5"] {
            if value(name).is_some() {
                reporter.warning(
                    "H1-COND-28",
                    Party::Application,
                    format!("a 304 has {name}, which describes content"),
                );
            }
        }
    }
}

/// What a status cannot do without.
fn required(code: u16, headers: &[(&str, &str)], reporter: &Reporter) {
    let has = |name: &str| headers.iter().any(|(n, _)| n.eq_ignore_ascii_case(name));
    let is = |name: &str, text: &str| {
        headers.iter().any(|(n, v)| n.eq_ignore_ascii_case(name) && v.to_ascii_lowercase().starts_with(text))
    };
    let missing = |name| format!("a {code} has no {name}");
    let error = |rule, name| reporter.error(rule, Party::Application, missing(name));
    let warning = |rule, name| reporter.warning(rule, Party::Application, missing(name));
    match code {
        401 if !has("www-authenticate") => error("H1-AUTH-02", "WWW-Authenticate"),
        405 if !has("allow") => error("H1-ALW-01", "Allow"),
        206 if !has("content-range") && !is("content-type", "multipart/byteranges") => {
            error("H1-RNG-22", "Content-Range");
        }
        301 if !has("location") => warning("H1-CODE-06", "Location"),
        302 if !has("location") => warning("H1-CODE-07", "Location"),
        307 if !has("location") => warning("H1-CODE-08", "Location"),
        308 if !has("location") => warning("H1-CODE-09", "Location"),
        416 if !has("content-range") => warning("H1-RNG-09", "Content-Range"),
        _ => {}
    }
}

/// `[ W/ ] DQUOTE *etagc DQUOTE`, with `W/` in capitals.
fn is_etag(value: &str) -> bool {
    let quoted = value.strip_prefix("W/").unwrap_or(value);
    let inner = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    inner.is_some_and(|inner| inner.chars().all(|c| matches!(c, '!' | '#'..='~' | '\u{80}'..='\u{ff}')))
}
