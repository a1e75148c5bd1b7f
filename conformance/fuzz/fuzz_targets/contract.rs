//! The contract's parsers: round trips, and naive models beside them.
#![no_main]

use std::borrow::Cow;

use conformance_fuzz::is_token;
use gateway_spec::{
    Calls, Environ, Field, Input, Peer, Request, ServerInfo, Status, check_header, digits, percent_decode, percent_encode_path,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((&which, octets)) = data.split_first() else { return };
    let latin1: String = octets.iter().map(|&b| char::from(b)).collect();
    match which % 6 {
        0 => {
            let encoded = percent_encode_path(octets).into_owned();
            assert_eq!(percent_decode(&encoded).map(Cow::into_owned).as_deref(), Some(octets));
            if let Ok(text) = str::from_utf8(octets)
                && let Some(decoded) = percent_decode(text)
            {
                assert!(decoded.len() <= text.len());
            }
        }
        1 => {
            if let Ok(status) = Status::parse(&latin1) {
                assert_eq!(status.to_string(), latin1);
                assert!((200..=599).contains(&status.code()));
                assert!(!latin1.chars().any(char::is_control) || latin1.contains(|c: char| ('\u{80}'..='\u{9f}').contains(&c)));
            }
        }
        2 => {
            let naive = !octets.is_empty() && octets.iter().all(u8::is_ascii_digit);
            let number = if naive { latin1.parse::<u64>().ok() } else { None };
            match digits(octets) {
                Some(read) => assert_eq!(Some(read), number),
                // Twenty digits at most, also if they are zeros.
                None => assert!(number.is_none() || octets.len() > 20),
            }
        }
        3 => {
            let (name, value) = latin1.split_once(':').unwrap_or((&latin1, ""));
            if check_header(name, value).is_ok() {
                assert!(is_token(name.as_bytes()));
                assert!(value.chars().all(|c| c == '\t' || (c >= ' ' && c != '\u{7f}' && c <= '\u{ff}')), "{value:?}");
            }
            let _ = Calls::new().start(&Status::OK, &[(name, value)], None);
        }
        4 => mounting(&latin1),
        _ => variables(&latin1, octets),
    }
});

/// A prefix and a path: what is mounted and what is left are the whole (CGI-PATH-11).
fn mounting(text: &str) {
    let (prefix, path) = text.split_once(' ').unwrap_or(("", text));
    if !path.starts_with('/') || percent_decode(path).is_none() {
        return;
    }
    let (server, peer) = (ServerInfo::new("h", "80", "x"), Peer::unix());
    let mut request = Request::new(&server, &peer);
    request.path = path;
    request.target = path;
    let whole = percent_decode(path).unwrap().into_owned();
    let mut environ = Environ::new(&request, Input::empty());
    let mounted = (prefix.is_empty() || prefix.starts_with('/')) && environ.mount(prefix);
    let check = |environ: &Environ<'_>| {
        let (script, rest) = (environ.script_name(), environ.path_info());
        assert_eq!([script.as_bytes(), rest.as_bytes()].concat(), whole, "{path:?} below {prefix:?}");
        assert!(rest.is_empty() || rest.as_bytes().starts_with(b"/"));
    };
    check(&environ);
    if mounted && !prefix.trim_end_matches('/').is_empty() {
        assert_eq!(environ.script_name().as_bytes(), prefix.trim_end_matches('/').as_bytes());
    }
    for _ in 0..8 {
        let more = environ.shift_path_info().is_some();
        check(&environ);
        if !more {
            break;
        }
    }
}

/// Fields: a variable never comes from a name that only looks like it (CGI-HDR-11).
fn variables(text: &str, octets: &[u8]) {
    let fields: Vec<Field<'_>> = text
        .split('\n')
        .filter_map(|line| line.split_once(':'))
        .filter(|(name, _)| is_token(name.as_bytes()))
        .map(|(name, _)| Field { name, value: octets })
        .collect();
    let (server, peer) = (ServerInfo::new("h", "80", "x"), Peer::unix());
    let mut request = Request::new(&server, &peer);
    request.headers = &fields;
    let environ = Environ::new(&request, Input::empty());
    for (name, value) in environ.vars() {
        assert_eq!(environ.get(&name).as_ref(), Some(&value), "{name}");
        if let Some(key) = name.strip_prefix("HTTP_") {
            assert!(!["PROXY", "CONTENT_TYPE", "CONTENT_LENGTH", "CONNECTION", "TRANSFER_ENCODING"].contains(&key), "{key}");
            let header = key.replace('_', "-");
            assert!(fields.iter().any(|field| field.name.eq_ignore_ascii_case(&header)), "{key} comes from nowhere");
        }
    }
    assert_eq!(environ.headers().count(), fields.len());
}
