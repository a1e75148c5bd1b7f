//! Checks of the environ, when the application is called: they are about the server and the layers in front.

use gateway_spec::{EnvStr, Environ, digits, is_token};

use super::report::{Party, Reporter};

/// Methods that `wsgiref.validate` knows; others are allowed.
const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "OPTIONS", "PATCH", "PUT", "DELETE", "TRACE"];

pub(super) fn check(environ: &Environ<'_>, reporter: &Reporter) {
    let error = |rule, message: String| reporter.error(rule, Party::Server, message);
    for name in ["REQUEST_METHOD", "SERVER_NAME", "SERVER_PORT", "SERVER_PROTOCOL"] {
        if environ.get(name).is_none_or(|value| value.is_empty()) {
            error("GW-VAL-18", format!("{name} is missing or empty"));
        }
    }
    if environ.get("QUERY_STRING").is_none() {
        reporter.warning("GW-VAL-20", Party::Server, "QUERY_STRING is missing");
    }
    for (name, instead) in [("HTTP_CONTENT_TYPE", "CONTENT_TYPE"), ("HTTP_CONTENT_LENGTH", "CONTENT_LENGTH")] {
        if environ.get(name).is_some() {
            error("GW-VAL-19", format!("{name} is there; the variable is {instead}"));
        }
    }
    if environ.get("HTTP_PROXY").is_some() {
        error("CGI-HDR-13", "HTTP_PROXY is there, which programs take for a setting of their own".to_owned());
    }
    method(environ, reporter);
    path(environ, &error);
    server(environ, &error);
    if let Some(length) = environ.get("CONTENT_LENGTH").filter(|length| !length.is_empty())
        && digits(length.as_bytes()).is_none()
    {
        error("GW-VAL-27", format!("CONTENT_LENGTH is {length:?}"));
    }
    names(environ, reporter);
}

fn method(environ: &Environ<'_>, reporter: &Reporter) {
    let Some(method) = environ.get("REQUEST_METHOD").filter(|method| !method.is_empty()) else { return };
    if !is_token(method.as_bytes()) {
        reporter.error("GW-RACK-04", Party::Server, format!("REQUEST_METHOD is {method:?}"));
    } else if !METHODS.iter().any(|known| method == *known) {
        reporter.remark("GW-VAL-25", Party::Server, format!("REQUEST_METHOD is {method:?}, which is not a usual one"));
    }
}

fn path(environ: &Environ<'_>, error: &dyn Fn(&'static str, String)) {
    let value = |name| environ.get(name).unwrap_or_default();
    let (script_name, path_info) = (value("SCRIPT_NAME"), value("PATH_INFO"));
    for (name, path) in [("SCRIPT_NAME", &script_name), ("PATH_INFO", &path_info)] {
        if !path.is_empty() && path.as_bytes()[0] != b'/' {
            error("GW-VAL-26", format!("{name} is {path:?}, which does not begin with \"/\""));
        }
    }
    if script_name == "/" {
        error("GW-VAL-29", "SCRIPT_NAME is \"/\"; at the root it is empty, and PATH_INFO is \"/\"".to_owned());
    } else if script_name.as_bytes().ends_with(b"/") {
        error("GW-RACK-05", format!("SCRIPT_NAME is {script_name:?}, which ends with \"/\""));
    }
    if script_name.is_empty() && environ.get("PATH_INFO").is_none() {
        error("GW-VAL-28", "SCRIPT_NAME is empty and PATH_INFO is missing".to_owned());
    } else if script_name.is_empty() && path_info.is_empty() && environ.method() != "OPTIONS" {
        // `OPTIONS *` has no path (C-05).
        error("GW-RACK-06", "SCRIPT_NAME and PATH_INFO are both empty".to_owned());
    }
}

fn server(environ: &Environ<'_>, error: &dyn Fn(&'static str, String)) {
    let present = |name| environ.get(name).filter(|value: &EnvStr<'_>| !value.is_empty());
    if let Some(name) = present("SERVER_NAME").filter(|name| !is_host(name.as_bytes())) {
        error("GW-RACK-09", format!("SERVER_NAME is {name:?}, which is not a host"));
    }
    if let Some(host) = present("HTTP_HOST").filter(|host| !is_authority(host.as_bytes())) {
        error("GW-RACK-09", format!("HTTP_HOST is {host:?}, which is not a host with an optional port"));
    }
    if let Some(port) = present("SERVER_PORT").filter(|port| digits(port.as_bytes()).is_none()) {
        error("GW-RACK-10", format!("SERVER_PORT is {port:?}"));
    }
    if let Some(protocol) = present("SERVER_PROTOCOL").filter(|protocol| !is_protocol(protocol.as_bytes())) {
        error("GW-RACK-10", format!("SERVER_PROTOCOL is {protocol:?}"));
    }
}

fn names(environ: &Environ<'_>, reporter: &Reporter) {
    for (name, value) in environ.vars() {
        if name.contains('.') {
            if !name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_')) {
                reporter.warning(
                    "GW-ENV-23",
                    Party::Server,
                    format!("the variable {name:?} has other characters than a-z 0-9 . _"),
                );
            }
        } else if !name.bytes().all(|b| matches!(b, b'A'..=b'Z' | b'0'..=b'9' | b'_')) {
            let message = format!("the variable {name:?} is neither a CGI variable nor has a prefix with a dot");
            reporter.warning("GW-RACK-02", Party::Server, message);
        }
        let needs_value = ["REMOTE_USER", "REMOTE_HOST", "REMOTE_IDENT", "AUTH_TYPE"].contains(&&*name);
        if needs_value && value.is_empty() {
            reporter.warning("GW-ENV-19", Party::Server, format!("{name} is empty; without a value it is left out"));
        }
    }
}

/// A host of RFC 3986: a name, an IPv4 address, or a literal in brackets.
fn is_host(host: &[u8]) -> bool {
    match host {
        [b'[', literal @ .., b']'] => {
            !literal.is_empty() && literal.iter().all(|b| b.is_ascii_alphanumeric() || b".:%-_~".contains(b))
        }
        _ => !host.is_empty() && host.iter().all(|b| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%".contains(b)),
    }
}

/// A host with an optional port.
fn is_authority(authority: &[u8]) -> bool {
    let after_literal = authority.iter().rposition(|&b| b == b']').map_or(0, |end| end + 1);
    match authority[after_literal..].iter().position(|&b| b == b':') {
        Some(colon) => {
            let (host, port) = authority.split_at(after_literal + colon);
            is_host(host) && port[1..].iter().all(u8::is_ascii_digit)
        }
        None => is_host(authority),
    }
}

fn is_protocol(protocol: &[u8]) -> bool {
    matches!(protocol.strip_prefix(b"HTTP/"), Some([a] ) if a.is_ascii_digit())
        || matches!(protocol.strip_prefix(b"HTTP/"), Some([a, b'.', b]) if a.is_ascii_digit() && b.is_ascii_digit())
}
