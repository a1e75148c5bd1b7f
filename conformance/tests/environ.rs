//! The environ as the contract defines it, and what a server's configuration puts into it.

mod common;

use std::sync::{Arc, Mutex};

use gateway_spec::{
    Body, Environ, Error, Field, Input, Peer, Request, Scheme, ServerInfo, StartResponse, Status, VERSION,
};

/// A request to the root of `http://127.0.0.1`, changed and looked at.
fn with<T>(change: impl FnOnce(&mut Request<'_>), look: impl FnOnce(&mut Environ<'_>) -> T) -> T {
    let server = ServerInfo::new("127.0.0.1", "80", "test/1");
    let peer = Peer::tcp(([127, 0, 0, 1], 40000).into());
    let mut request = Request::new(&server, &peer);
    change(&mut request);
    look(&mut Environ::new(&request, Input::empty()))
}

/// The table of wsgiref's own tests: `(variables, application's URL)` (GW-URL-01, GW-URL-02, GW-URL-03, GW-REF-28, CGI-NET-07).
#[test]
fn application_urls() {
    for (variables, url) in [
        (&[][..], "http://127.0.0.1/"),
        (&[("SCRIPT_NAME", &b"/spam"[..])], "http://127.0.0.1/spam"),
        (&[("SCRIPT_NAME", b"/sp\xe4m")], "http://127.0.0.1/sp%E4m"),
        (&[("HTTP_HOST", b"spam.example.com:2071"), ("SERVER_PORT", b"2071")], "http://spam.example.com:2071/"),
        (&[("SERVER_NAME", b"spam.example.com")], "http://spam.example.com/"),
        (&[("HTTP_HOST", b"127.0.0.1"), ("SERVER_NAME", b"spam.example.com")], "http://127.0.0.1/"),
        (&[("SERVER_PORT", b"8000")], "http://127.0.0.1:8000/"),
    ] {
        let made = with(
            |_| {},
            |environ| {
                variables.iter().for_each(|(name, value)| environ.set(*name, *value));
                environ.application_url()
            },
        );
        assert_eq!(made, url, "{variables:?}");
    }
    let https = with(
        |_| {},
        |environ| {
            environ.set_url_scheme(Scheme::Https);
            environ.set("SERVER_PORT", "443");
            environ.application_url()
        },
    );
    assert_eq!(https, "https://127.0.0.1/", "443 goes without saying (GW-URL-02)");
}

/// The same for the URL of the request; `;`, `=` and `,` stay as they are (GW-URL-01, GW-URL-03, GW-REF-28).
#[test]
fn request_urls() {
    for (script, path, query, url) in [
        ("", "/", "", "http://127.0.0.1/"),
        ("", "/spam", "", "http://127.0.0.1/spam"),
        ("", "/sp\u{e4}m", "", "http://127.0.0.1/sp%C3%A4m"),
        ("/spammity", "/spam", "", "http://127.0.0.1/spammity/spam"),
        ("/spammity", "/spam;ham", "", "http://127.0.0.1/spammity/spam;ham"),
        ("/spammity", "/spam;cookie=1234,5678", "", "http://127.0.0.1/spammity/spam;cookie=1234,5678"),
        ("", "/spam", "say=ni", "http://127.0.0.1/spam?say=ni"),
        ("", "/a b", "x=%20", "http://127.0.0.1/a%20b?x=%20"),
    ] {
        let made = with(
            |_| {},
            |environ| {
                environ.set("SCRIPT_NAME", script);
                environ.set("PATH_INFO", path);
                environ.set("QUERY_STRING", query);
                environ.url()
            },
        );
        assert_eq!(made, url);
    }
}

/// A rebuilt URL leads back to the same variables (CGI-PATH-10), and `%2F` is the known loss (GW-URL-04).
#[test]
fn urls_lead_back() {
    for path in ["/", "/a/b", "/caf%C3%A9", "/a%20b", "/%25", "/a%3Fb", "//x", "/a;b=c"] {
        let read = |environ: &mut Environ<'_>| (environ.path_info().as_bytes().to_vec(), environ.url());
        let (info, url) = with(|request| request.path = path, read);
        let again = url.strip_prefix("http://127.0.0.1").expect("the same authority").to_owned();
        assert_eq!(with(|request| request.path = again.leak(), read).0, info, "{path}");
    }
    let loss = with(
        |request| (request.path, request.target) = ("/a%2Fb", "/a%2Fb"),
        |environ| (environ.url(), environ.request_uri().to_owned()),
    );
    assert_eq!(loss, ("http://127.0.0.1/a/b".to_owned(), "/a%2Fb".to_owned()));
}

/// Mounting goes by whole segments (CGI-PATH-08), `SCRIPT_NAME` is never `/` and never ends in one (GW-VAL-29, GW-RACK-05), and the
/// two parts are the whole path (CGI-PATH-11).
#[test]
fn mounting() {
    for (prefix, path, split) in [
        ("/app", "/app", Some(("/app", ""))),
        ("/app", "/app/", Some(("/app", "/"))),
        ("/app/", "/app/x", Some(("/app", "/x"))),
        ("/app", "/apple", None),
        ("/app", "/%61pp/x", Some(("/app", "/x"))),
        ("/a b", "/a%20b/c", Some(("/a b", "/c"))),
        ("/", "/x", Some(("", "/x"))),
        ("", "/x", Some(("", "/x"))),
        ("/a/b", "/a/b/c", Some(("/a/b", "/c"))),
        ("/a/b", "/a%2Fb/c", None),
    ] {
        let found = with(
            |request| request.path = path,
            |environ| {
                environ.mount(prefix).then(|| {
                    (
                        environ.script_name().to_string_lossy().into_owned(),
                        environ.path_info().to_string_lossy().into_owned(),
                    )
                })
            },
        );
        assert_eq!(
            found.as_ref().map(|(script, rest)| (script.as_str(), rest.as_str())),
            split,
            "{path} below {prefix}"
        );
    }
}

/// One segment at a time (GW-REF-29, CGI-PATH-19). Unlike wsgiref's, nothing is normalised: what is odd is for the router to refuse.
#[test]
fn shifting() {
    with(
        |request| request.path = "/a%2Fb//../c/",
        |environ| {
            let mut shifted = Vec::new();
            while let Some(segment) = environ.shift_path_info() {
                shifted.push(segment);
            }
            assert_eq!(shifted, ["a/b", "..", "c"]);
            assert_eq!(environ.script_name(), "/a/b//../c");
            assert_eq!(environ.path_info(), "/");
        },
    );
}

/// Octets stay octets (GW-RACK-42, GW-STR-01), also in a value that is no text in any charset.
#[test]
fn octets() {
    static FIELDS: [Field<'_>; 1] = [Field { name: "X-A", value: b"\x80\xff" }];
    let seen = with(
        |request| (request.headers, request.path) = (&FIELDS, "/%ff"),
        |environ| {
            let value =
                environ.get("HTTP_X_A").map(|value| (value.as_bytes().to_vec(), value.to_latin1().into_owned()));
            (value, environ.path_info().as_bytes().to_vec())
        },
    );
    assert_eq!(seen, (Some((b"\x80\xff".to_vec(), "\u{80}\u{ff}".to_owned())), b"/\xff".to_vec()));
}

/// What is missing and what is empty is the same to a getter that has a default (GW-ENV-18), and the version is fixed (GW-EWV-01).
#[test]
fn getters() {
    with(
        |_| {},
        |environ| {
            assert_eq!(VERSION, (1, 0));
            assert_eq!(environ.content_type(), None);
            assert_eq!(environ.get("HTTP_X_ANYTHING"), None);
            environ.remove("QUERY_STRING");
            assert_eq!(environ.query_string(), "");
            environ.remove("SERVER_NAME");
            assert!(environ.url().starts_with("http://"), "{}", environ.url());
        },
    );
}

/// The errors stream takes any text, in order, and never fails (GW-EWV-05, GW-EWV-07, GW-ERR-01, GW-ERR-03).
#[test]
fn errors() {
    let written = Arc::new(Mutex::new(String::new()));
    let sink = Arc::clone(&written);
    let mut server = ServerInfo::new("h", "80", "test/1");
    server.errors = gateway_spec::Errors::new(move |text: &str| sink.lock().expect("no panic").push_str(text));
    let peer = Peer::unix();
    let request = Request::new(&server, &peer);
    let environ = Environ::new(&request, Input::empty());
    let long = "x".repeat(1 << 20);
    environ.errors().write("\u{1f600}\u{7}\n");
    environ.errors().write_lines(["a\n", "b\n"]);
    environ.errors().write(&long);
    environ.errors().flush();
    assert_eq!(*written.lock().expect("no panic"), format!("\u{1f600}\u{7}\na\nb\n{long}"));
}

/// What whoever runs the server has configured is in the environ, below what the request says (GW-CFG-03, GW-REF-06, GW-ENV-17);
/// a Unix socket has a name and a port too (CGI-NET-09).
#[test]
fn configured_variables() {
    let mut server = ServerInfo::new("h", "80", "test/1");
    server.variables = vec![
        ("app.key".into(), "v".into()),
        ("QUERY_STRING".into(), "evil".into()),
        ("HTTP_X_A".into(), "evil".into()),
    ];
    let peer = Peer::unix();
    let request = Request::new(&server, &peer);
    let environ = Environ::new(&request, Input::empty());
    assert_eq!(environ.get("app.key").expect("configured"), "v");
    assert_eq!(environ.query_string(), "");
    assert_eq!(environ.get("HTTP_X_A"), None);
    assert_eq!((environ.server_name(), environ.server_port(), environ.remote_addr()), ("h", "80", "unix:"));
    let documented = [
        "REQUEST_METHOD",
        "SCRIPT_NAME",
        "PATH_INFO",
        "QUERY_STRING",
        "REQUEST_URI",
        "SERVER_NAME",
        "SERVER_PORT",
        "SERVER_PROTOCOL",
        "SERVER_SOFTWARE",
        "GATEWAY_INTERFACE",
        "REMOTE_ADDR",
        "REMOTE_PORT",
        "app.key",
    ];
    let names: Vec<String> = environ.vars().into_iter().map(|(name, _)| name.into_owned()).collect();
    assert_eq!(names, documented);
}

/// The flags tell the truth about each server: two calls do overlap where `multithread` says that they may (GW-EWV-10, GW-EWV-11,
/// GW-EWV-12).
#[test]
fn flags() {
    use std::sync::Condvar;
    use std::time::Duration;

    for server in common::servers() {
        let waiting = Arc::new((Mutex::new(0), Condvar::new()));
        let inside = Arc::clone(&waiting);
        let app = move |environ: &mut Environ<'_>, start_response: &mut dyn StartResponse| -> Result<Body, Error> {
            assert!(environ.multithread() && !environ.multiprocess() && !environ.run_once());
            let (count, changed) = &*inside;
            let mut count = count.lock().expect("no panic");
            *count += 1;
            changed.notify_all();
            // Each waits until the other is here too.
            let both = changed.wait_timeout_while(count, Duration::from_secs(10), |count| *count < 2);
            assert!(!both.expect("no panic").1.timed_out(), "the calls do not overlap");
            start_response.start(Status::OK, &[])?;
            Ok("together".into())
        };
        let running = server.start(Arc::new(app), &conformance::harness::Limits::default()).expect("the server starts");
        let address = running.address();
        let other = std::thread::spawn(move || conformance::client::get(address, "/"));
        let one = conformance::client::get(address, "/").expect("an answer");
        let other = other.join().expect("no panic").expect("an answer");
        assert_eq!(
            (one.body.as_slice(), other.body.as_slice()),
            (&b"together"[..], &b"together"[..]),
            "{}",
            server.name()
        );
    }
}
