//! The environ: every variable of the table in its documentation, and the ways to change it.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::{Arc, Mutex};

use gateway_spec::{
    Body, Bytes, EnvStr, Environ, Errors, Field, Input, Peer, Request, Scheme, ServerInfo, Version, percent_decode,
    percent_encode_path,
};
use proptest::prelude::*;

/// Lets a test look at the environ of a request.
fn with<T>(
    fields: &[(&str, &str)],
    shape: impl FnOnce(&mut Request<'_>),
    look: impl FnOnce(&mut Environ<'_>) -> T,
) -> T {
    let server = ServerInfo::new("server.example", "8000", "test/1");
    with_server(&server, fields, shape, look)
}

fn with_server<T>(
    server: &ServerInfo,
    fields: &[(&str, &str)],
    shape: impl FnOnce(&mut Request<'_>),
    look: impl FnOnce(&mut Environ<'_>) -> T,
) -> T {
    let peer = Peer::tcp(([192, 0, 2, 7], 40000).into());
    let fields: Vec<Field<'_>> = fields.iter().map(|&(name, value)| Field { name, value: value.as_bytes() }).collect();
    let mut request = Request::new(server, &peer);
    request.headers = &fields;
    request.host =
        fields.iter().find(|f| f.name.eq_ignore_ascii_case("host")).and_then(|f| str::from_utf8(f.value).ok());
    shape(&mut request);
    look(&mut Environ::new(&request, Input::empty()))
}

fn path<T>(path: &'static str, look: impl FnOnce(&mut Environ<'_>) -> T) -> T {
    with(&[], |request| (request.path, request.target) = (path, path), look)
}

fn pairs(environ: &Environ<'_>) -> BTreeMap<String, String> {
    environ.vars().into_iter().map(|(name, value)| (name.into_owned(), value.to_latin1().into_owned())).collect()
}

/// GW-ENV-03, GW-ENV-17: the variables are those of the documented table, and no others. GW-ENV-19: what has no value is
/// absent. GW-ENV-01: the whole dictionary can be had.
#[test]
fn the_plainest_request_has_the_documented_variables() {
    let vars = with(&[], |_| {}, |environ| pairs(environ));
    let expected = [
        ("REQUEST_METHOD", "GET"),
        ("SCRIPT_NAME", ""),
        ("PATH_INFO", "/"),
        ("QUERY_STRING", ""),
        ("REQUEST_URI", "/"),
        ("SERVER_NAME", "server.example"),
        ("SERVER_PORT", "8000"),
        ("SERVER_PROTOCOL", "HTTP/1.1"),
        ("SERVER_SOFTWARE", "test/1"),
        ("GATEWAY_INTERFACE", "CGI/1.1"),
        ("REMOTE_ADDR", "192.0.2.7"),
        ("REMOTE_PORT", "40000"),
    ];
    assert_eq!(vars, expected.map(|(k, v)| (k.to_owned(), v.to_owned())).into());
}

/// CGI-VAR-07, CGI-VAR-09, CGI-HDR-08, GW-VAL-19: the two fields with variables of their own. CGI-HDR-05: cookies.
/// CGI-HDR-10 to CGI-HDR-13: what never becomes a variable. CGI-HDR-16: an empty value does.
#[test]
fn fields_become_variables() {
    let fields = [
        ("Host", "a.example"),
        ("Content-Type", "text/plain"),
        ("Content-Length", "5"),
        ("X-A", "1"),
        ("x-a", "2"),
        ("Cookie", "a=1"),
        ("cookie", "b=2"),
        ("X_A", "evil"),
        ("X.A", "evil"),
        ("Proxy", "http://evil/"),
        ("Connection", "X-A"),
        ("TE", "trailers"),
        ("Transfer-Encoding", "chunked"),
        ("Empty", ""),
        ("Remote-User", "root"),
    ];
    with(
        &fields,
        |request| request.content_length = Some(5),
        |environ| {
            let vars = pairs(environ);
            let http: Vec<_> =
                vars.iter().filter(|(name, _)| name.starts_with("HTTP_")).map(|(n, v)| (&**n, &**v)).collect();
            assert_eq!(
                http,
                [
                    ("HTTP_COOKIE", "a=1; b=2"),
                    ("HTTP_EMPTY", ""),
                    ("HTTP_HOST", "a.example"),
                    ("HTTP_REMOTE_USER", "root"),
                    ("HTTP_X_A", "1, 2"),
                ]
            );
            assert_eq!((vars["CONTENT_TYPE"].as_str(), vars["CONTENT_LENGTH"].as_str()), ("text/plain", "5"));
            assert_eq!(vars.get("REMOTE_USER"), None);
            assert_eq!(environ.header("x-A").unwrap(), "1, 2");
            assert_eq!(environ.header("te").unwrap(), "trailers");
            assert_eq!(environ.get("HTTP_TE"), None);
            assert_eq!(environ.headers().len(), fields.len());
            assert_eq!(environ.content_length(), Some(5));
            assert_eq!(environ.content_type().unwrap(), "text/plain");
        },
    );
}

proptest! {
    /// GW-ENV-14, CGI-HDR-02, CGI-HDR-03: the variables are exactly those of a naive mapping of the fields.
    #[test]
    fn the_mapping_agrees_with_a_naive_one(
        fields in proptest::collection::vec(("[A-Za-z0-9_.-]{1,6}|Cookie|TE|Proxy|Content-Type", "[ -~]{0,6}"), 0..8)
    ) {
        let mut expected: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for (name, value) in &fields {
            let upper = name.to_ascii_uppercase();
            let plain = upper.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
            let own = ["TE", "PROXY", "CONTENT-TYPE", "CONTENT-LENGTH", "HOST"].contains(&&*upper);
            if plain && !own {
                expected.entry(format!("HTTP_{}", upper.replace('-', "_"))).or_default().push(value);
            }
        }
        let expected: BTreeMap<String, String> = expected.into_iter().map(|(name, values)| {
            let separator = if name == "HTTP_COOKIE" { "; " } else { ", " };
            (name, values.join(separator))
        }).collect();
        let borrowed: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (&**n, &**v)).collect();
        let (mut vars, single) = with(&borrowed, |_| {}, |environ| {
            let single: Vec<_> = expected.keys().map(|name| environ.get(name).map(|v| v.to_string_lossy().into_owned())).collect();
            (pairs(environ), single)
        });
        vars.retain(|name, _| name.starts_with("HTTP_"));
        prop_assert_eq!(&single, &expected.values().cloned().map(Some).collect::<Vec<_>>());
        prop_assert_eq!(vars, expected);
    }

    /// CGI-PATH-11, CGI-PATH-10: wherever it is mounted, the two parts are the decoded path, and encode back to a path
    /// that decodes to it.
    #[test]
    fn the_parts_of_the_path_are_the_path(raw in "(/([a-c]|%2F|%C3%A9|%25){0,3}){1,4}", shifts in 0usize..5) {
        let whole = percent_decode(&raw).unwrap().into_owned();
        let server = ServerInfo::new("s", "80", "t");
        let peer = Peer::unix();
        let mut request = Request::new(&server, &peer);
        request.path = &raw;
        let mut environ = Environ::new(&request, Input::empty());
        for _ in 0..shifts {
            environ.shift_path_info();
        }
        let (script, info) = (environ.script_name().as_bytes().to_vec(), environ.path_info().as_bytes().to_vec());
        let url = environ.url();
        prop_assert_eq!([script.clone(), info.clone()].concat(), whole.clone());
        prop_assert!(info.is_empty() || info[0] == b'/');
        prop_assert!(script.is_empty() || script[0] == b'/');
        let rebuilt = url.strip_prefix("http://s").unwrap();
        prop_assert_eq!(percent_decode(rebuilt).unwrap().into_owned(), whole);
    }
}

/// CGI-PATH-08, GW-VAL-29, GW-RACK-05: whole segments, decoded; `SCRIPT_NAME` never ends in `/`.
#[test]
fn mounts_match_whole_segments() {
    for (raw, prefix, parts) in [
        ("/app", "/app", Some(("/app", ""))),
        ("/app/", "/app", Some(("/app", "/"))),
        ("/app/x", "/app/", Some(("/app", "/x"))),
        ("/%61pp/x", "/app", Some(("/app", "/x"))),
        ("/apple", "/app", None),
        ("/app%2Fx", "/app", None),
        ("/a/b/c", "/a/b", Some(("/a/b", "/c"))),
        ("/a%2Fb/c", "/a/b", None),
        ("/x", "", Some(("", "/x"))),
        ("/x", "/", Some(("", "/x"))),
    ] {
        path_of(raw, |environ| {
            assert_eq!(environ.mount(prefix), parts.is_some(), "{raw} under {prefix}");
            let (script, info) = parts.unwrap_or(("", ""));
            if parts.is_some() {
                assert_eq!((environ.script_name(), environ.path_info()), (script.into(), info.into()));
            }
        });
    }
    path("/a/b/c", |environ| {
        assert!(environ.mount("/a") && environ.mount("/b"));
        assert_eq!((environ.script_name(), environ.path_info()), ("/a/b".into(), "/c".into()));
        assert_eq!(environ.raw_path(), "/a/b/c");
        assert!(!environ.mount("/d"));
    });
}

/// CGI-PATH-06: a layer that sets `SCRIPT_NAME`, as one that believes a proxy does, takes nothing from the path below.
#[test]
fn a_set_script_name_leaves_the_encoding_of_the_path() {
    path("/mnt/a%2Fb/c%2Fd/e", |environ| {
        environ.set("SCRIPT_NAME", "/app");
        assert!(environ.mount("/mnt"));
        assert_eq!((environ.script_name(), environ.raw_path_info()), ("/app/mnt".into(), "/a%2Fb/c%2Fd/e".into()));
        assert!(!environ.mount("/a"));
        assert_eq!(environ.shift_path_info().as_deref(), Some("a/b"));
        assert_eq!((environ.script_name(), environ.raw_path_info()), ("/app/mnt/a/b".into(), "/c%2Fd/e".into()));
        assert_eq!(environ.path_info(), "/c/d/e");
        // Of a path that was set there is no encoding to keep.
        environ.set("PATH_INFO", "/x/y/z");
        assert!(environ.mount("/x"));
        assert_eq!(environ.shift_path_info().as_deref(), Some("y"));
        assert_eq!((environ.script_name(), environ.path_info()), ("/app/mnt/a/b/x/y".into(), "/z".into()));
    });
}

fn path_of(raw: &str, look: impl FnOnce(&mut Environ<'_>)) {
    let server = ServerInfo::new("s", "80", "t");
    let peer = Peer::unix();
    let mut request = Request::new(&server, &peer);
    request.path = raw;
    look(&mut Environ::new(&request, Input::empty()));
}

/// GW-REF-29, CGI-PATH-19: one segment at a time; nothing is normalised.
#[test]
fn segments_shift_one_at_a_time() {
    path("/a/b%2Fc/../", |environ| {
        assert_eq!(environ.shift_path_info().as_deref(), Some("a"));
        assert_eq!(environ.shift_path_info().as_deref(), Some("b/c"));
        assert_eq!(environ.raw_path_info(), "/../");
        assert_eq!(environ.shift_path_info().as_deref(), Some(".."));
        assert_eq!(environ.shift_path_info(), None);
        assert_eq!((environ.script_name(), environ.path_info()), ("/a/b/c/..".into(), "/".into()));
    });
    // Empty segments move along with the next one: SCRIPT_NAME is never `/` and never ends with one.
    path("//x///y//", |environ| {
        assert_eq!(environ.shift_path_info().as_deref(), Some("x"));
        assert_eq!((environ.script_name(), environ.path_info()), ("//x".into(), "///y//".into()));
        assert_eq!(environ.shift_path_info().as_deref(), Some("y"));
        assert_eq!(environ.shift_path_info(), None);
        assert_eq!((environ.script_name(), environ.path_info()), ("//x///y".into(), "//".into()));
    });
    path("/old", |environ| {
        environ.set("PATH_INFO", "//é/x");
        assert_eq!(environ.raw_path_info(), "//%C3%A9/x");
        assert_eq!(environ.shift_path_info().as_deref(), Some("é"));
        assert_eq!((environ.script_name(), environ.path_info()), ("//é".into(), "/x".into()));
        assert!(environ.mount("/x"));
        assert_eq!((environ.script_name(), environ.path_info()), ("//é/x".into(), "".into()));
    });
}

/// GW-URL-01 to GW-URL-04, CGI-NET-07, GW-REF-28: the authority, the quoting, the query.
#[test]
fn urls_are_rebuilt() {
    let url = |host: Option<&'static str>, port: &str, scheme: Scheme, raw: &'static str, query: &'static str| {
        let mut server = ServerInfo::new("server.example", port, "t");
        server.url_scheme = scheme;
        with_server(
            &server,
            &[],
            |request| (request.host, request.path, request.query_string) = (host, raw, query),
            |environ| environ.url(),
        )
    };
    assert_eq!(url(Some("a:8080"), "80", Scheme::Http, "/x", ""), "http://a:8080/x");
    assert_eq!(url(Some(""), "80", Scheme::Http, "/x", ""), "http://server.example/x");
    assert_eq!(url(None, "8080", Scheme::Http, "/", "a=1"), "http://server.example:8080/?a=1");
    assert_eq!(url(None, "443", Scheme::Https, "/", ""), "https://server.example/");
    assert_eq!(url(None, "80", Scheme::Https, "/", ""), "https://server.example:80/");
    assert_eq!(
        url(None, "80", Scheme::Http, "/sp%e4m;cookie=1234,5678", ""),
        "http://server.example/sp%E4m;cookie=1234,5678"
    );
    assert_eq!(url(None, "80", Scheme::Http, "/a%2Fb", ""), "http://server.example/a/b");
    path("/app/x", |environ| {
        assert_eq!(environ.application_url(), "http://server.example:8000/");
        environ.mount("/app");
        assert_eq!(environ.application_url(), "http://server.example:8000/app");
        environ.set_url_scheme(Scheme::Https);
        assert_eq!(environ.url(), "https://server.example:8000/app/x");
    });
    assert_eq!(percent_encode_path(b"/a b?#\xff"), "/a%20b%3F%23%FF");
}

/// GW-ENV-02, GW-RACK-03: what is set is seen by every getter, what is removed is gone.
#[test]
fn variables_can_be_set_and_removed() {
    with(
        &[("X-A", "1"), ("Host", "a"), ("Content-Length", "5")],
        |request| request.content_length = Some(5),
        |environ| {
            environ.set("HTTP_X_A", "2");
            environ.set("HTTP_NEW", "3");
            environ.set("REQUEST_METHOD", "PUT");
            environ.set("REMOTE_ADDR", "203.0.113.9");
            environ.set("REMOTE_USER", b"\xe9".to_vec());
            environ.set("QUERY_STRING", "q");
            environ.set("SERVER_NAME", "n");
            environ.set("CONTENT_LENGTH", "7");
            assert_eq!((environ.get("HTTP_X_A").unwrap(), environ.header("x-a").unwrap()), ("2".into(), "2".into()));
            assert_eq!(environ.header("NEW").unwrap(), "3");
            assert_eq!((environ.method(), environ.remote_addr(), environ.query_string()), ("PUT", "203.0.113.9", "q"));
            assert_eq!((environ.server_name(), environ.content_length()), ("n", Some(7)));
            assert_eq!(environ.get("REMOTE_USER").unwrap().to_latin1(), "\u{e9}");
            assert_eq!(pairs(environ)["HTTP_NEW"], "3");
            environ.remove("HTTP_X_A");
            environ.remove("CONTENT_LENGTH");
            environ.remove("HTTP_HOST");
            assert_eq!((environ.get("HTTP_X_A"), environ.header("X-A"), environ.content_length()), (None, None, None));
            assert_eq!((environ.header("host"), environ.host().as_ref()), (None, "n:8000"));
            assert!(!pairs(environ).contains_key("HTTP_X_A"));
            let all: Vec<String> = environ.vars().into_iter().map(|(name, _)| name.into_owned()).collect();
            all.into_iter().for_each(|name| environ.remove(name));
            assert!(environ.vars().is_empty());
            // GW-ENV-18: the getters have something to say all the same.
            assert_eq!((environ.method(), environ.path_info(), environ.query_string()), ("", "".into(), ""));
            assert_eq!(environ.headers().len(), 3, "the field lines stay");
        },
    );
}

/// GW-CFG-03, GW-REF-06, CGI-HDR-14: variables of whoever runs the server, below those of the request.
#[test]
fn configured_variables_stand_below_the_request() {
    let mut server = ServerInfo::new("s", "80", "t");
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    server.variables = vec![pair("app.key", "v"), pair("REQUEST_METHOD", "X"), pair("HTTP_X_A", "configured")];
    with_server(
        &server,
        &[],
        |_| {},
        |environ| {
            assert_eq!(environ.get("app.key").unwrap(), "v");
            assert_eq!(environ.get("REQUEST_METHOD").unwrap(), "GET");
            assert_eq!(environ.get("HTTP_X_A"), None, "no header was sent");
            assert_eq!(pairs(environ)["app.key"], "v");
        },
    );
}

/// GW-EWV-01, GW-EWV-02, GW-EWV-10 to GW-EWV-12, GW-ENV-12: what is no text.
#[test]
fn facts_have_types() {
    assert_eq!(gateway_spec::VERSION, (1, 0));
    let mut server = ServerInfo::new("s", "80", "t");
    (server.multithread, server.multiprocess, server.run_once) = (false, true, true);
    with_server(
        &server,
        &[],
        |request| request.version = Version::Http10,
        |environ| {
            assert_eq!((environ.multithread(), environ.multiprocess(), environ.run_once()), (false, true, true));
            assert_eq!(
                (environ.version(), environ.get("SERVER_PROTOCOL").unwrap()),
                (Version::Http10, "HTTP/1.0".into())
            );
            assert_eq!(environ.url_scheme(), Scheme::Http);
            assert!(!environ.client_gone() && environ.deadline().is_none() && environ.connection().is_none());
        },
    );
}

/// GW-EWV-05, GW-EWV-07, GW-ERR-01, GW-ERR-03: any text, in order, out after a flush.
#[test]
fn the_errors_stream_takes_any_text() {
    let log = Arc::new(Mutex::new(String::new()));
    let sink = Arc::clone(&log);
    let mut server = ServerInfo::new("s", "80", "t");
    server.errors = Errors::new(move |text: &str| sink.lock().unwrap().push_str(text));
    with_server(
        &server,
        &[],
        |_| {},
        |environ| {
            let errors = environ.errors().clone();
            errors.write("\u{1f600}\0\n");
            errors.write_lines(["one\n", "two\n"]);
            errors.write(&"x".repeat(1 << 20));
            errors.flush();
        },
    );
    assert!(log.lock().unwrap().starts_with("\u{1f600}\0\none\ntwo\nxxx"));
}

/// CGI-NET-01, CGI-NET-03: addresses without brackets; an IPv4 client of a dual-stack listener is an IPv4 client.
/// CGI-NET-09: a Unix socket has a placeholder, never nothing for the address.
#[test]
fn peers_have_addresses() {
    let tcp = |addr: &str| {
        let peer = Peer::tcp(addr.parse().unwrap());
        (peer.remote_addr().to_owned(), peer.remote_port().to_owned())
    };
    assert_eq!(tcp("127.0.0.1:1"), ("127.0.0.1".into(), "1".into()));
    assert_eq!(tcp("[::1]:65535"), ("::1".into(), "65535".into()));
    assert_eq!(tcp("[::ffff:192.0.2.1]:2"), ("192.0.2.1".into(), "2".into()));
    assert_eq!((Peer::unix().remote_addr(), Peer::unix().remote_port(), Peer::unix().addr()), ("unix:", "", None));
}

/// GW-STR-01, GW-RACK-42, GW-STR-06: octets, seen in each way that has a name.
#[test]
fn values_are_octets() {
    let value = EnvStr::from(b"\xe2\x82\xac\xff".as_slice());
    assert_eq!(value.to_latin1(), "\u{e2}\u{82}\u{ac}\u{ff}");
    assert_eq!(value.to_string_lossy(), "€\u{fffd}");
    assert!(value.to_str().is_err());
    assert_eq!(format!("{value:?}"), r#""\xe2\x82\xac\xff""#);
    assert_eq!((value.len(), value.is_empty()), (4, false));
}

/// GW-IN-10: taking the input leaves an empty one.
#[test]
fn the_input_can_be_taken_and_replaced() {
    path("/", |environ| {
        environ.set_input(Input::from(Bytes::from_static(b"abc")));
        let mut text = String::new();
        environ.take_input().read_to_string(&mut text).unwrap();
        assert_eq!(text, "abc");
        assert_eq!(environ.input().read(&mut [0; 4]).unwrap(), 0);
    });
}

/// GW-BUF-01, GW-VAL-05, GW-RACK-39: text and octets are one block, which can be had as a whole; other bodies stay.
#[test]
fn whole_bodies_are_one_block() {
    for (body, length) in [
        (Body::from("text"), 4),
        (Body::from(String::from("text")), 4),
        (Body::from(vec![1, 2]), 2),
        (Body::from(b"abc"), 3),
        (Body::from(()), 0),
        (Body::default(), 0),
        (Body::from(""), 0),
    ] {
        assert_eq!((body.len(), body.is_empty()), (Some(length), length == 0));
        assert_eq!(body.into_block().unwrap().len() as u64, length);
    }
    assert!(Body::blocks(["a"]).into_block().is_err());
    assert!(Body::blocks(["a"]).into_file().is_err());
}

/// What [`Environ::needs_drop`] says is what a server may rely on: whatever owns something is told of.
#[test]
fn what_owns_something_needs_to_be_dropped() {
    let needs = |change: fn(&mut Environ<'_>)| {
        with(
            &[("Host", "a")],
            |_| {},
            |environ| {
                change(environ);
                environ.needs_drop()
            },
        )
    };
    assert!(!needs(|_| {}));
    assert!(!needs(|environ| drop((environ.path_info(), environ.vars()))));
    assert!(!needs(|environ| drop(environ.take_input())));
    assert!(needs(|environ| environ.set("X", "y")));
    assert!(needs(|environ| environ.remove("X")));
    assert!(needs(|environ| drop(environ.extensions_mut().insert("owned".to_owned()))));
    assert!(needs(|environ| environ.set_input(Input::from(Bytes::from_static(b"block")))));
    assert!(needs(|environ| environ.set_input(Input::from_reader(&b"stream"[..]))));
    assert!(!needs(|environ| {
        environ.set_input(Input::from_reader(&b"stream"[..]));
        drop(environ.take_input());
    }));
    // Mounting is a number.
    assert!(!needs(|environ| drop(environ.shift_path_info())));
}
