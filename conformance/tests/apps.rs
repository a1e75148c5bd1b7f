//! Every application of the workspace on every server, at the root and below a path. A new application is tested as soon
//! as it is in the registry; what it does is told by a test of its own.

#[path = "apps/cgi.rs"]
mod cgi;
#[path = "apps/files.rs"]
mod files;
#[path = "apps/live.rs"]
mod live;
mod support;
#[path = "apps/upload.rs"]
mod upload;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use cgi::{
    answers as cgi_answers, authenticated as cgi_authenticated, environment as cgi_environment, headers as cgi_headers,
    limits as cgi_limits, processes as cgi_processes, redirects as cgi_redirects, samples as cgi_samples,
};
use conformance::fixtures::PATIENCE;
use conformance::lint::{Lint, Party, Severity};
use files::{
    conditions as files_conditions, listing as files_listing, options as files_options, paths as files_paths,
    ranges as files_ranges, siblings as files_siblings, types as files_types,
};
use live::{
    clock as live_clock, limits as live_limits, replay as live_replay, say as live_say, slow as live_slow,
    streams as live_streams,
};
use serde_json::Value;
use support::{Answer, Ask, Framing, Opened, Server, Site, on_every_server, on_server};
use upload::{
    downloads as upload_downloads, every_split as upload_every_split, expectations as upload_expectations,
    names_are_made_safe as upload_names, refusals as upload_refusals, there_and_back as upload_there_and_back,
};

/// Runs `check` with an application at "" and at "/x/y". Whatever it does, the server keeps the contract, and every
/// body is closed.
fn mounted(server: &dyn Server, name: &str, check: impl Fn(&App<'_>)) {
    mounted_with(server, name, &[], check);
}

/// The same with options of the application's own.
fn mounted_with(server: &dyn Server, name: &str, options: &[(&'static str, &str)], check: impl Fn(&App<'_>)) {
    for prefix in ["", "/x/y"] {
        let entry = apps::find(name).expect(name);
        let folder = tempfile::tempdir().expect("a folder");
        let within = (entry.within)(folder.path());
        let given = options.iter().fold(within, |given, &(option, value)| given.with(option, value));
        let made = (entry.make)(&given).expect("an application");
        let (app, reports) = Lint::collecting(apps::mounted(prefix, made.app));
        let site = server.start(Arc::new(app));
        check(&App { site: &*site, prefix, folder: folder.path(), on_stop: Mutex::new(made.on_stop) });
        drop(site);
        let findings = reports.take();
        let servers: Vec<String> = findings
            .iter()
            .filter(|finding| finding.party == Party::Server && finding.severity <= Severity::Warning)
            .map(ToString::to_string)
            .collect();
        assert_eq!(servers, [""; 0], "{name} at {prefix:?}");
        assert_eq!(reports.open_bodies(), 0, "{name} at {prefix:?}");
    }
}

/// An application that runs somewhere.
struct App<'s> {
    site: &'s dyn Site,
    prefix: &'static str,
    /// Where all that it keeps is.
    folder: &'s Path,
    on_stop: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl App<'_> {
    fn at(&self, ask: &Ask) -> Ask {
        Ask { target: format!("{}{}", self.prefix, ask.target), ..ask.clone() }
    }

    fn ask(&self, ask: &Ask) -> Answer {
        self.site.ask(&self.at(ask))
    }

    fn get(&self, target: &str) -> Answer {
        self.ask(&Ask::get(target))
    }

    fn head(&self, target: &str) -> Answer {
        self.ask(&Ask::new("HEAD", target))
    }

    /// Begins to read a response.
    fn open(&self, ask: &Ask) -> Box<dyn Opened> {
        self.site.connect().open(&self.at(ask))
    }

    /// What the runner does when the server begins to stop.
    fn stop(&self) {
        self.on_stop.lock().unwrap().take().expect("it has something to stop")();
    }
}

/// Waits until something holds.
#[track_caller]
fn eventually(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}: never came");
        thread::sleep(Duration::from_millis(2));
    }
}

/// The headers that HEAD and GET have to agree on (H1-NOB-02).
fn shared(answer: &Answer) -> BTreeSet<(String, String)> {
    let differ = ["date", "content-length", "transfer-encoding", "connection"];
    let headers = answer.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone()));
    headers.filter(|(name, _)| !differ.contains(&name.as_str())).collect()
}

/// What has to hold for any application: GW-CALL-05, GW-CALL-08, H1-NOB-01, H1-NOB-02, H1-NOB-03.
fn any_app(server: &dyn Server) {
    for entry in apps::all() {
        mounted(server, entry.name, |app| {
            for target in ["/", "/no/such/thing", "/%2e%2e/%ff", "/?a=b&%ff=%zz"] {
                let mut connection = app.site.connect();
                let get = connection.ask(&app.at(&Ask::get(target)));
                assert!((200..500).contains(&get.status) && get.complete, "{} {target}: {get:?}", entry.name);
                let head = app.head(target);
                assert_eq!((head.status, head.body.len()), (get.status, 0), "{} {target}", entry.name);
                assert_eq!(shared(&head), shared(&get), "{} {target}", entry.name);
                if let (Some(of_head), Some(of_get)) = (head.header("Content-Length"), get.header("Content-Length")) {
                    // A page may count its visitors; the length is still that of a page.
                    assert_eq!(of_head.len(), of_get.len(), "{} {target}", entry.name);
                }
                for method in ["POST", "DELETE", "BREW"] {
                    let answer = app.ask(&Ask { method: method.to_owned(), ..Ask::post(target, "a=b") });
                    // 501 is for methods that nobody knows (H1-METH-02).
                    let status = answer.status;
                    assert!((200..500).contains(&status) || status == 501, "{method} {target}: {answer:?}");
                    assert!(answer.complete, "{method} {target}: {answer:?}");
                }
            }
            if !app.prefix.is_empty() {
                let root = app.get("");
                assert!((200..400).contains(&root.status), "the mount itself: {root:?}");
                app.site.ask(&Ask::get("/x/yz")).is(404, "Not found. The application is at /x/y/.\n");
            }
        });
    }
}

/// D.1: three forms of an application, three of a body.
fn hello(server: &dyn Server) {
    mounted(server, "hello", |app| {
        let function = app.get("/");
        assert_eq!(function.is(200, "Hello, world!").header("Content-Length"), Some("13"));
        assert_eq!(app.head("/").is(200, "").header("Content-Length"), Some("13"));

        let visitors: BTreeSet<String> = thread::scope(|scope| {
            let asking: Vec<_> = (0..50).map(|_| scope.spawn(|| app.get("/closure").text())).collect();
            asking.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(visitors, (1..=50).map(|n| format!("You are visitor {n}")).collect());

        let own = app.get("/struct?name=Ada");
        assert_eq!(own.is(200, "Hello, Ada").header("Content-Length"), Some("10"));
        app.get("/struct?name=%ff").is(200, "Hello, \u{fffd}");
        app.get("/struct?name=%").is(200, "Hello, %");
        let markup = app.get("/struct?name=%3Cb%3E");
        assert!(markup.is(200, "Hello, <b>").header("Content-Type").unwrap().starts_with("text/plain"));

        let iterator = app.get("/iterator");
        assert_eq!(iterator.is(200, "Hello, world!").framing, Framing::Chunked);
        app.ask(&Ask::get("/iterator").http10()).is(200, "Hello, world!");
        assert_eq!(app.get("/other").status, 404);
    });
}

/// The report of `inspect` about a request.
fn report(app: &App<'_>, ask: &Ask) -> Value {
    let answer = app.ask(&ask.clone().header("Accept", "application/json"));
    assert_eq!((answer.status, answer.header("Content-Type")), (200, Some("application/json")), "{answer:?}");
    serde_json::from_slice(&answer.body).unwrap()
}

/// D.2: the request as an application sees it. GW-ENV-03, GW-ENV-14, CGI-HDR-11, CGI-HDR-13, CGI-PATH-02, CGI-PATH-05.
fn inspect(server: &dyn Server) {
    mounted(server, "inspect", |app| {
        let ask = Ask::post("/a%20b/c?q=%20&r", "caf\u{e9}")
            .header("Content-Type", "text/x-test")
            .header("X-Two", "1")
            .header("x-two", "2")
            .header("Cookie", "a=1")
            .header("Cookie", "b=2")
            .header("Proxy", "http://evil/")
            .header("X_Under", "no")
            .header("User-Agent", "<script>");
        let seen = report(app, &ask);
        let environ: BTreeMap<String, String> = serde_json::from_value(seen["environ"].clone()).unwrap();
        let expected = [
            ("REQUEST_METHOD", "POST"),
            ("SCRIPT_NAME", app.prefix),
            ("PATH_INFO", "/a b/c"),
            ("QUERY_STRING", "q=%20&r"),
            ("CONTENT_TYPE", "text/x-test"),
            ("CONTENT_LENGTH", "5"),
            ("SERVER_PROTOCOL", "HTTP/1.1"),
            ("HTTP_HOST", "localhost"),
            ("HTTP_X_TWO", "1, 2"),
            ("HTTP_COOKIE", "a=1; b=2"),
            ("HTTP_USER_AGENT", "<script>"),
            ("HTTP_ACCEPT", "application/json"),
            ("REMOTE_ADDR", "127.0.0.1"),
            ("GATEWAY_INTERFACE", "CGI/1.1"),
        ];
        for (name, value) in expected {
            assert_eq!(environ.get(name).map(String::as_str), Some(value), "{name}");
        }
        for name in ["SERVER_NAME", "SERVER_PORT", "SERVER_SOFTWARE", "REMOTE_PORT", "REQUEST_URI"] {
            assert!(environ.get(name).is_some_and(|value| !value.is_empty()), "{name}");
        }
        let from_headers: BTreeSet<&str> =
            environ.keys().map(String::as_str).filter(|name| name.starts_with("HTTP_")).collect();
        let wanted = ["HTTP_ACCEPT", "HTTP_COOKIE", "HTTP_HOST", "HTTP_USER_AGENT", "HTTP_X_TWO"];
        assert_eq!(from_headers, wanted.into(), "neither Proxy nor X_Under");
        let names: Vec<&str> = seen["headers"].as_array().unwrap().iter().map(|h| h[0].as_str().unwrap()).collect();
        assert!(names.contains(&"x-two") && names.contains(&"X_Under") && names.contains(&"Proxy"), "{names:?}");
        assert_eq!((&seen["body"], &seen["body_length"]), (&Value::from("caf\u{c3}\u{a9}"), &Value::from(5)));

        for path in ["/a%2Fb", "/caf%C3%A9", "/%ff", "//x//", "/a/../b", "/;=,@"] {
            let seen = report(app, &Ask::get(path));
            let whole = format!("{}{}", seen["script_name"].as_str().unwrap(), seen["path_info"].as_str().unwrap());
            let raw = format!("{}{path}", app.prefix);
            let decoded = gateway_spec::percent_decode(&raw).unwrap();
            assert_eq!(whole, decoded.iter().map(|&b| char::from(b)).collect::<String>(), "{path}");
            assert_eq!(seen["raw_path"], raw.as_str());
        }

        assert_eq!(app.get("/%00").status, 400, "CGI-PATH-05: refused by the server");

        let chunked = report(app, &Ask::chunked("/x", "chunked body"));
        assert_eq!((&chunked["content_length"], &chunked["body"]), (&Value::Null, &Value::from("chunked body")));
        let old = report(app, &Ask::get("/").http10());
        assert_eq!((&old["protocol"], &old["environ"]["HTTP_HOST"]), (&Value::from("HTTP/1.0"), &Value::Null));

        let page = app.ask(&Ask::get("/").header("User-Agent", "<script>alert(1)</script>"));
        assert!(page.status == 200 && page.text().contains("&lt;script&gt;"), "{}", page.text());
        assert!(!page.text().contains("<script"), "{}", page.text());

        let input = app.ask(&Ask::chunked("/input", "abc")).text();
        assert!(input.contains("bytes: 3\n") && input.contains("ba7816bf"), "{input}");
        assert!(input.starts_with("CONTENT_LENGTH: absent\n"), "{input}");
        app.ask(&Ask::short("/input", "half", 4)).is_failure(400);
        app.ask(&Ask::short("/environ.json", "half", 4)).is_failure(400);
    });
}

/// D.3: every way a response can happen.
fn stream(server: &dyn Server) {
    mounted(server, "stream", |app| {
        input_and_order(app);
        breaches(app);
        sizes(app);
    });
}

fn input_and_order(app: &App<'_>) {
    let octets: Vec<u8> = (0..2_000_000u32).map(|n| (n * 7 % 251) as u8).collect();
    for ask in [Ask::post("/echo", octets.clone()), Ask::chunked("/echo", octets.clone())] {
        let answer = app.ask(&ask);
        assert!(answer.complete && answer.body == octets && answer.framing == Framing::Chunked);
    }
    app.ask(&Ask::post("/upper", "one\ntwo\nlast")).is(200, "ONE\nTWO\nLAST");
    app.get("/write").is(200, "one\ntwo\nthree\n");
    app.get("/mixed").is(200, "written 1\nwritten 2\nyielded 3\nyielded 4\n");
    app.get("/lazy").is(201, "started late\n");
    let replaced = app.get("/empty-chunks");
    assert!(replaced.complete && !replaced.body.is_empty(), "{replaced:?}");
    let page = app.get("/error-before");
    assert!(page.status == 500 && page.complete, "{page:?}");
    let cut = app.get("/error-after");
    assert!(cut.status == 200 && !cut.complete && !cut.body.is_empty(), "{cut:?}");
}

fn breaches(app: &App<'_>) {
    for (target, rule) in [
        ("/twice", "GW-SR-10"),
        ("/no-start", "GW-SR-03"),
        ("/bad-header", "GW-HDR-04"),
        ("/hop-header", "GW-HDR-07"),
        ("/bad-status", "GW-STA-01"),
    ] {
        let answer = app.get(target);
        answer.is_failure(500);
        assert!(!answer.text().contains("never seen") && answer.header("X-Injected").is_none(), "{answer:?}");
        app.site.must_log(rule);
    }
    app.get("/panic").is_failure(500);
    app.site.must_log("in the call, on purpose");
    app.get("/panic-body").is_cut(200, "some data\n");
    app.site.must_log("in the body, on purpose");
    let short = app.get("/short");
    assert_eq!((short.status, short.body.len(), short.complete), (200, 10, false));
    app.site.must_log("GW-CL-03");
    let long = app.get("/long");
    assert_eq!((long.status, long.body.len(), long.complete), (200, 10, true));
    app.site.must_log("GW-CL-01");
}

fn sizes(app: &App<'_>) {
    for code in [204, 304] {
        let answer = app.get(&format!("/{code}"));
        assert_eq!((answer.status, answer.body.len(), answer.header("Transfer-Encoding")), (code, 0, None));
    }
    let head = app.head("/big/1000");
    assert_eq!((head.status, head.body.len(), head.header("Transfer-Encoding")), (200, 0, None));
    assert_eq!(app.get("/big/1000003").body.len(), 1_000_003);

    app.get("/close").is(200, "one\ntwo\nthree\n");
    app.site.connect().leave_after(&app.at(&Ask::get("/close/100000000")), "0");
    let deadline = std::time::Instant::now() + PATIENCE;
    let mut counts = app.get("/closed.json").text();
    while counts != "{\"opened\": 2, \"closed\": 2}\n" {
        assert!(std::time::Instant::now() < deadline, "{counts}");
        counts = app.get("/closed.json").text();
    }

    // A client that reads nothing, and an application that takes its time, keep nobody waiting.
    let held = app.site.connect().hold(&app.at(&Ask::get("/big/50000000")));
    const SHORT: usize = 20;
    // As many slow requests, one after the other, as there is time for. Where each of the short ones has to wait for one of
    // them, that is as many as there are short ones.
    let (slow, enough) = (AtomicUsize::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in (0..SHORT).take_while(|_| !enough.load(SeqCst)) {
                assert_eq!(app.get("/slow/500").status, 200);
                slow.fetch_add(1, SeqCst);
            }
        });
        for _ in 0..SHORT {
            app.get("/write").is(200, "one\ntwo\nthree\n");
        }
        let slow = slow.load(SeqCst);
        enough.store(true, SeqCst);
        assert!(slow < SHORT / 2, "{SHORT} short requests have waited for {slow} slow ones");
    });
    drop(held);
}

on_every_server! {
    any_app
    cgi_answers
    cgi_authenticated
    cgi_environment
    cgi_headers
    cgi_limits
    cgi_processes
    cgi_redirects
    cgi_samples
    files_conditions
    files_listing
    files_options
    files_paths
    files_ranges
    files_siblings
    files_types
    hello
    inspect
    live_clock
    live_limits
    live_replay
    live_say
    live_slow
    live_streams
    stream
    upload_downloads
    upload_every_split
    upload_expectations
    upload_names
    upload_refusals
    upload_there_and_back
}
