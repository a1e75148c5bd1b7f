//! Every check of [`Lint`], with what it has to find and with what it must not.

use std::io::{self, BufRead, Read, Write};
use std::sync::Arc;

use conformance::fixtures::{Script, fail, restart, restart_with, start, start_with, writes, yields};
use conformance::inprocess::{Client, Framing};
use conformance::lint::{Lint, Party, Reports, Severity};
use gateway_spec::{
    Application, Body, Bytes, Environ, Error, Field, Input, Peer, Request, ServerInfo, StartResponse, Status, app_fn,
};

const TEXT: (&str, &str) = ("Content-Type", "text/plain");

/// What was found in a GET of `/`, as `RULE severity party`.
fn found(app: impl Application) -> Vec<String> {
    found_by("GET", app)
}

fn found_by(method: &str, app: impl Application) -> Vec<String> {
    let (app, reports) = Lint::collecting(app);
    let _ = Client::new(app).request(method, "/").send();
    assert_eq!(reports.open_bodies(), 0, "every body is closed");
    rules(&reports)
}

fn rules(reports: &Reports) -> Vec<String> {
    let findings = reports.take();
    findings.iter().map(|f| format!("{} {:?} {:?}", f.rule, f.severity, f.party)).collect()
}

/// A response of this status with these headers and no content.
fn head(code: u16, headers: &[(&str, &str)]) -> Script {
    Script::call([start_with(code, headers)])
}

/// A text in one block, started with these headers besides its type.
fn text(headers: &[(&str, &str)], block: &str) -> Script {
    Script::call([start_with(200, &[&[TEXT], headers].concat())]).block(block)
}

#[track_caller]
fn clean(app: impl Application) {
    assert_eq!(found(app), [""; 0]);
}

#[track_caller]
fn finds(app: impl Application, findings: &[&str]) {
    assert_eq!(found(app), findings);
}

// --- applications that are right ---

#[test]
fn nothing_is_found_where_nothing_is_wrong() {
    let ok = || start_with(200, &[TEXT]);
    clean(text(&[], "hello"));
    clean(text(&[("Content-Length", "5"), ("ETag", "W/\"a\""), ("Set-Cookie", "a"), ("Set-Cookie", "b")], "hello"));
    clean(Script::call([ok()]).body([yields("a"), yields(""), yields("b")]));
    clean(Script::call([ok()]).body([yields("a"), yields("b")]).announcing(2));
    clean(Script::call([]).body([ok(), yields("a")]));
    clean(Script::call([ok(), restart_with(503, &[TEXT])]).block("sorry"));
    clean(Script::call([ok()]).body([restart_with(503, &[TEXT]), yields("sorry")]));
    clean(Script::call([fail("an error is not a breach")]));
    clean(Script::call([ok()]).body([yields("a"), fail("later")]));
    clean(Script::call([ok()]).body([yields("a"), restart(503)])); // the error is returned
    clean(head(204, &[]));
    clean(head(304, &[("ETag", "\"x\"")]));
    clean(head(302, &[("Location", "/")]));
    assert_eq!(found_by("HEAD", head(200, &[TEXT, ("Content-Length", "5")])), [""; 0]);
}

// --- the order of calls ---

#[test]
fn gw_sr_03_content_without_a_head() {
    for script in [
        Script::call([]).block("x"),
        Script::call([]).body([yields("x")]),
        Script::call([]).block(""),
        Script::call([]).body([]),
    ] {
        finds(script, &["GW-SR-03 Error Application"]);
    }
}

/// GW-SR-10, GW-SR-11, GW-ERH-07
#[test]
fn gw_sr_10_a_second_start() {
    let twice = || Script::call([start_with(200, &[TEXT]), start(200)]);
    finds(twice(), &["GW-SR-10 Error Application"]);
    finds(twice().block("x").swallowing(), &["GW-SR-10 Error Application"]);
    let page = Script::call([start_with(200, &[("X", "a\nb")]), start_with(500, &[TEXT])]).block("page").swallowing();
    finds(page, &["GW-HDR-04 Error Application", "GW-SR-10 Error Application"]);
    let repaired = [start_with(200, &[TEXT]), start(200), restart_with(500, &[TEXT])];
    finds(Script::call(repaired).block("x").swallowing(), &["GW-SR-10 Error Application"]);
}

/// GW-SR-17, GW-ERH-04, GW-ERH-08, GW-MW-10
#[test]
fn gw_sr_17_going_on_after_exc_info_came_back() {
    let late = [start_with(200, &[TEXT]), writes("some"), restart(503)];
    let hidden = ["GW-WR-03 Remark Application", "GW-SR-17 Error Application"];
    finds(Script::call(late.clone()).swallowing(), &hidden);
    finds(Script::call(late.clone()).block("page").swallowing(), &hidden);
    finds(Script::call(late.clone()), &hidden[..1]);
    let body =
        Script::call([start_with(200, &[TEXT])]).body([yields("some"), restart(503), yields("page")]).swallowing();
    finds(body, &["GW-SR-17 Error Application"]);
}

#[test]
fn gw_val_15_an_empty_block_before_the_head() {
    let ok = start_with(200, &[TEXT]);
    finds(Script::call([]).body([yields(""), ok, yields("x")]), &["GW-VAL-15 Remark Application"]);
}

#[test]
fn gw_wr_07_writing_in_an_iteration() {
    let script = Script::call([]).body([start_with(200, &[TEXT]), writes("x"), yields("y")]);
    finds(script, &["GW-WR-07 Error Application"]);
}

#[test]
fn gw_wr_03_write_is_remarked() {
    finds(Script::call([start_with(200, &[TEXT]), writes("x"), writes("y")]), &["GW-WR-03 Remark Application"]);
}

#[test]
fn gw_wr_09_a_write_without_a_head() {
    let found = found(Script::call([writes("x")]));
    assert!(found.contains(&"GW-WR-09 Error Application".to_owned()), "{found:?}");
}

// --- heads ---

/// GW-HDR-03, GW-HDR-04, GW-HDR-07, GW-STR-02, GW-VAL-03
#[test]
fn gw_hdr_what_the_contract_refuses_is_told() {
    for (rule, name, value) in [
        ("GW-HDR-03", "A B", "x"),
        ("GW-HDR-04", "X", "a\nb"),
        ("GW-STR-02", "X", "€"),
        ("GW-HDR-07", "Connection", "x"),
        ("H1-CLEN-03", "Content-Length", "x"),
    ] {
        finds(head(200, &[(name, value)]), &[&format!("{rule} Error Application")]);
    }
    let app = app_fn(|_, start_response| start_response.early_hints(&[("A B", "x")]));
    assert_eq!(found(app)[0], "GW-HDR-03 Error Application");
}

/// GW-DEF-11, GW-VAL-03: besides what the contract refuses.
#[test]
fn headers_that_are_valid_and_wrong() {
    for (rule, headers) in [
        ("GW-VAL-33 Error", [("status", "200")].as_slice()),
        ("GW-VAL-34 Remark", &[("X.Y", "1")]),
        ("GW-VAL-34 Remark", &[("1X", "1")]),
        ("GW-VAL-35 Remark", &[("X-", "1")]),
        ("GW-VAL-35 Remark", &[("X_", "1")]),
        ("GW-VAL-36 Warning", &[("X", "a\tb")]),
        ("H1-VAL-10 Error", &[("ETag", "abc")]),
        ("H1-VAL-10 Error", &[("ETag", "w/\"abc\"")]),
        ("H1-VAL-10 Error", &[("ETag", "\"a\"b\"")]),
        ("H1-FLD-07 Error", &[("Content-Type", "text/plain"), ("content-type", "text/html")]),
        ("H1-FLD-07 Error", &[("Location", "/a"), ("Location", "/b")]),
    ] {
        finds(head(200, headers), &[&format!("{rule} Application")]);
    }
    for headers in [[("X-1", "a"), ("x_y", "b")].as_slice(), &[("ETag", "\"\"")], &[("Vary", "a"), ("Vary", "b")]] {
        clean(head(200, headers));
    }
}

/// GW-DEF-11
#[test]
fn statuses_and_what_goes_with_them() {
    for (rule, code, headers) in [
        ("GW-VAL-38 Error", 204, [TEXT].as_slice()),
        ("GW-VAL-38 Error", 304, &[TEXT]),
        ("GW-RACK-30 Error", 204, &[("Content-Length", "0")]),
        ("GW-RACK-30 Remark", 304, &[("Content-Length", "5")]),
        ("H1-COND-28 Warning", 304, &[("Content-Encoding", "gzip")]),
        ("H1-AUTH-02 Error", 401, &[]),
        ("H1-ALW-01 Error", 405, &[]),
        ("H1-RNG-22 Error", 206, &[]),
        ("H1-RNG-09 Warning", 416, &[]),
        ("H1-CODE-06 Warning", 301, &[]),
        ("H1-CODE-07 Warning", 302, &[]),
        ("H1-CODE-08 Warning", 307, &[]),
        ("H1-CODE-09 Warning", 308, &[]),
    ] {
        finds(head(code, headers), &[&format!("{rule} Application")]);
    }
    for (code, headers) in [
        (401, ("WWW-Authenticate", "Basic realm=\"x\"")),
        (405, ("Allow", "GET")),
        (206, ("Content-Range", "bytes 0-0/1")),
        (206, ("Content-Type", "multipart/byteranges; boundary=x")),
        (416, ("Content-Range", "bytes */1")),
        (301, ("Location", "/")),
        (308, ("Location", "/")),
    ] {
        clean(head(code, &[headers]));
    }
    finds(
        app_fn(|_, start_response| {
            start_response.start(Status::new(299, "")?, &[])?;
            Ok(())
        }),
        &["GW-STA-04 Remark Application"],
    );
}

#[test]
fn gw_val_37_content_without_a_type() {
    finds(head(200, &[]).block("x"), &["GW-VAL-37 Warning Application"]);
    finds(head(200, &[]).body([yields("x")]), &["GW-VAL-37 Warning Application"]);
    clean(head(200, &[]).body([yields("")]));
}

// --- lengths and content ---

#[test]
fn gw_cl_01_too_long() {
    let five = || start_with(200, &[TEXT, ("Content-Length", "5")]);
    let found = ["GW-CL-01 Error Application"];
    finds(Script::call([five()]).body([yields("hello"), yields("!")]), &[""; 0]); // nobody asks for the rest
    finds(Script::call([five()]).body([yields("hell"), yields("oh")]), &found);
    finds(Script::call([five()]).block("hello!"), &["GW-RACK-32 Error Application", found[0]]);
    let announced = Script::call([five()]).body([yields("hel"), yields("lo!")]).announcing(6);
    finds(announced, &["GW-RACK-32 Error Application", found[0]]);
    finds(Script::call([five(), writes("hello!")]), &["GW-WR-03 Remark Application", "GW-CL-02 Error Application"]);
}

#[test]
fn gw_cl_03_too_short() {
    let five = || start_with(200, &[TEXT, ("Content-Length", "5")]);
    finds(Script::call([five()]).body([yields("hel")]), &["GW-CL-03 Error Application"]);
    finds(Script::call([five()]), &["GW-CL-03 Error Application"]);
    finds(Script::call([five()]).block("hel"), &["GW-RACK-32 Error Application", "GW-CL-03 Error Application"]);
    finds(Script::call([five(), writes("hel")]).block("lo"), &["GW-WR-03 Remark Application"]);
}

#[test]
fn gw_iter_06_a_length_that_is_not_kept() {
    let ok = || start_with(200, &[TEXT]);
    let found = ["GW-ITER-06 Error Application"];
    finds(Script::call([ok()]).body([yields("hel")]).announcing(5), &found);
    finds(Script::call([ok()]).body([yields("hello!")]).announcing(5), &found);
    finds(Script::call([ok()]).body([yields("hel"), yields("lo!")]).announcing(5), &found);
    clean(Script::call([ok()]).body([yields("hel"), yields(""), yields("lo")]).announcing(5));
}

/// GW-RACK-31, GW-DEF-09
#[test]
fn gw_def_09_content_where_there_is_none() {
    for script in [head(204, &[]).block("x"), head(204, &[]).body([yields("x")]), head(304, &[]).block("x")] {
        finds(script, &["GW-DEF-09 Warning Application"]);
    }
    let found = found_by("HEAD", text(&[("Content-Length", "5")], "hello"));
    assert_eq!(found, ["GW-RACK-31 Remark Application"]);
}

#[test]
fn files_are_checked_without_being_read() {
    let path = std::env::temp_dir().join(format!("gateway-lint-{}", std::process::id()));
    std::fs::write(&path, "hello").unwrap();
    let app = |declared: &'static str, path: std::path::PathBuf| {
        app_fn(move |_, start_response| {
            start_response.start(Status::OK, &[TEXT, ("Content-Length", declared)])?;
            Ok(Body::file(std::fs::File::open(&path)?, 0, 5))
        })
    };
    clean(app("5", path.clone()));
    assert_eq!(found(app("6", path.clone())), ["GW-RACK-32 Error Application", "GW-CL-03 Error Application"]);
    std::fs::remove_file(path).unwrap();
}

// --- the input ---

#[test]
fn gw_in_04_reading_after_the_end() {
    let reads = |times: usize| {
        app_fn(move |environ, start_response| {
            let mut all = Vec::new();
            for _ in 0..times {
                environ.input().read_to_end(&mut all)?;
            }
            start_response.start(Status::NO_CONTENT, &[])?;
            Ok(())
        })
    };
    clean(reads(1));
    finds(reads(2), &["GW-IN-04 Remark Application"]);
    let lines = app_fn(|environ, start_response| {
        let mut line = String::new();
        while environ.input().read_line(&mut line)? > 0 {}
        start_response.start(Status::NO_CONTENT, &[])?;
        Ok(())
    });
    clean(lines);
}

/// GW-DEF-04, GW-IN-03, GW-IN-06
#[test]
fn gw_def_04_inputs_that_lie_are_the_servers() {
    struct Source(Vec<io::Result<&'static [u8]>>);
    impl Read for Source {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() {
                return Ok(0);
            }
            let bytes = self.0.remove(0)?;
            buffer[..bytes.len()].copy_from_slice(bytes);
            Ok(bytes.len())
        }
    }
    let late = || io::Error::from(io::ErrorKind::ConnectionReset);
    for (reads, finding) in [
        (vec![Ok(b"hel".as_slice())], Some("GW-DEF-04")),
        (vec![Ok(b"hello!".as_slice())], Some("GW-IN-03")),
        (vec![Ok(b"hello".as_slice()), Ok(b""), Ok(b"!")], Some("GW-IN-06")),
        (vec![Ok(b"hello".as_slice()), Ok(b""), Err(late())], Some("GW-IN-06")),
        (vec![Ok(b"hel".as_slice()), Ok(b"lo")], None),
        (vec![Ok(b"hel".as_slice()), Err(late())], None),
    ] {
        let (app, reports) = Lint::collecting(app_fn(|environ, start_response| {
            let mut part = [0; 16];
            while environ.input().read(&mut part)? > 0 {}
            // Once more, as a careless reader.
            while environ.input().read(&mut part)? > 0 {}
            start_response.start(Status::NO_CONTENT, &[])?;
            Ok(())
        }));
        with_environ(
            |_| {},
            Input::from_reader(Source(reads)),
            Some(5),
            |environ| {
                let _ = app.call(environ, &mut Tolerant::default());
            },
        );
        let rules: Vec<&str> = reports
            .take()
            .iter()
            .filter(|finding| finding.party == Party::Server)
            .map(|finding| finding.rule)
            .collect();
        assert_eq!(rules, finding.as_slice());
    }
}

#[test]
fn gw_def_04_a_success_after_a_broken_input() {
    let hides = app_fn(|environ, start_response| {
        let failed = environ.input().read_to_end(&mut Vec::new()).is_err();
        start_response.start(if failed { Status::OK } else { Status::NO_CONTENT }, &[])?;
        Ok(())
    });
    let (app, reports) = Lint::collecting(hides);
    let client = Client::new(app);
    client.post("/").body("hello").breaks_after(3, io::ErrorKind::UnexpectedEof).send();
    assert_eq!(rules(&reports), ["GW-DEF-04 Warning Application"]);
    client.post("/").body("hello").send();
    reports.assert_none(Severity::Remark);
}

// --- the environ ---

/// Calls `check` with an environ that `spoil` has changed.
fn with_environ(
    spoil: impl Fn(&mut Environ<'_>),
    input: Input,
    content_length: Option<u64>,
    check: impl FnOnce(&mut Environ<'_>),
) {
    let server = ServerInfo::new("localhost", "80", "test");
    let peer = Peer::unix();
    let headers = [Field { name: "Host", value: b"localhost" }];
    let mut request = Request::new(&server, &peer);
    request.headers = &headers;
    request.host = Some("localhost");
    request.content_length = content_length;
    let mut environ = Environ::new(&request, input);
    spoil(&mut environ);
    check(&mut environ);
}

#[test]
fn environs_that_are_wrong_are_the_servers() {
    type Spoil = fn(&mut Environ<'_>);
    let wrong: &[(&str, Spoil)] = &[
        ("GW-VAL-18", |e| e.remove("REQUEST_METHOD")),
        ("GW-VAL-18", |e| e.set("SERVER_NAME", "")),
        ("GW-VAL-18", |e| e.remove("SERVER_PORT")),
        ("GW-VAL-18", |e| e.remove("SERVER_PROTOCOL")),
        ("GW-VAL-20", |e| e.remove("QUERY_STRING")),
        ("GW-VAL-19", |e| e.set("HTTP_CONTENT_TYPE", "x")),
        ("GW-VAL-19", |e| e.set("HTTP_CONTENT_LENGTH", "5")),
        ("CGI-HDR-13", |e| e.set("HTTP_PROXY", "http://x")),
        ("GW-VAL-25", |e| e.set("REQUEST_METHOD", "BREW")),
        ("GW-RACK-04", |e| e.set("REQUEST_METHOD", "G@T")),
        ("GW-VAL-26", |e| e.set("PATH_INFO", "*")),
        ("GW-VAL-26", |e| e.set("SCRIPT_NAME", "x")),
        ("GW-VAL-27", |e| e.set("CONTENT_LENGTH", "+5")),
        ("GW-VAL-28", |e| e.remove("PATH_INFO")),
        ("GW-RACK-06", |e| e.set("PATH_INFO", "")),
        ("GW-VAL-29", |e| e.set("SCRIPT_NAME", "/")),
        ("GW-RACK-05", |e| e.set("SCRIPT_NAME", "/a/")),
        ("GW-RACK-09", |e| e.set("SERVER_NAME", "a b")),
        ("GW-RACK-09", |e| e.set("HTTP_HOST", "a:80:90")),
        ("GW-RACK-09", |e| e.set("HTTP_HOST", "a/b")),
        ("GW-RACK-09", |e| e.set("HTTP_HOST", "[::1")),
        ("GW-RACK-10", |e| e.set("SERVER_PORT", "http")),
        ("GW-RACK-10", |e| e.set("SERVER_PROTOCOL", "HTTP/x")),
        ("GW-ENV-23", |e| e.set("My.Key", "x")),
        ("GW-RACK-02", |e| e.set("key", "x")),
        ("GW-ENV-19", |e| e.set("REMOTE_USER", "")),
    ];
    let right: &[Spoil] = &[
        |_| {},
        |e| e.set("SCRIPT_NAME", "/a"),
        |e| e.set("CONTENT_LENGTH", "0"),
        |e| e.set("CONTENT_LENGTH", ""),
        |e| e.set("SERVER_NAME", "[::1]"),
        |e| e.set("HTTP_HOST", "[::1]:80"),
        |e| e.set("HTTP_HOST", "a_b.example:"),
        |e| e.set("SERVER_PROTOCOL", "HTTP/2"),
        |e| e.set("my.key", "x"),
        |e| e.set("REMOTE_USER", "ada"),
        |e| {
            e.set("REQUEST_METHOD", "OPTIONS");
            e.set("PATH_INFO", "");
        },
    ];
    let found = |spoil: Spoil| {
        let (app, reports) = Lint::collecting(head(204, &[]));
        with_environ(spoil, Input::empty(), None, |environ| {
            let _ = app.call(environ, &mut Tolerant::default());
        });
        let findings = reports.take();
        assert!(findings.iter().all(|finding| finding.party == Party::Server), "{findings:?}");
        findings.iter().map(|finding| finding.rule).collect::<Vec<_>>()
    };
    for &(rule, spoil) in wrong {
        assert_eq!(found(spoil), [rule]);
    }
    for &spoil in right {
        assert_eq!(found(spoil), [""; 0]);
    }
}

// --- servers that are wrong ---

/// A server that allows everything, and makes its own errors.
#[derive(Default)]
struct Tolerant {
    started: bool,
    other_error: bool,
}

impl StartResponse for Tolerant {
    fn start_response(
        &mut self,
        _: Status,
        _: &[(&str, &str)],
        exc_info: Option<Error>,
    ) -> Result<&mut dyn Write, Error> {
        if exc_info.is_some() && self.other_error {
            return Err("another error".into());
        }
        self.started = true;
        Ok(self)
    }

    fn writer(&mut self) -> &mut dyn Write {
        self
    }
}

impl Write for Tolerant {
    fn write(&mut self, block: &[u8]) -> io::Result<usize> {
        Ok(block.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What was found with a tolerant server that asks the body `asks` times.
fn found_with(mut server: Tolerant, script: Script, asks: usize) -> Vec<String> {
    let (app, reports) = Lint::collecting(script);
    with_environ(
        |_| {},
        Input::empty(),
        None,
        |environ| {
            if let Ok(mut body) = app.call(environ, &mut server) {
                for _ in 0..asks {
                    let _ = body.next(&mut server);
                }
            }
        },
    );
    rules(&reports).into_iter().filter(|finding| finding.ends_with("Server")).collect()
}

#[test]
fn servers_that_accept_what_they_must_refuse() {
    let twice = Script::call([start(200), start(200)]);
    assert_eq!(found_with(Tolerant::default(), twice, 0), ["GW-SR-10 Error Server"]);
    let bad = head(200, &[("A B", "x")]);
    assert_eq!(found_with(Tolerant::default(), bad, 0), ["GW-HDR-03 Error Server"]);
    let long = Script::call([start_with(200, &[("Content-Length", "1")]), writes("long")]);
    assert_eq!(found_with(Tolerant::default(), long, 0), ["GW-CL-02 Error Server"]);
    let late = || Script::call([start(200), writes("some"), restart(500)]);
    assert_eq!(found_with(Tolerant::default(), late(), 0), ["GW-SR-13 Remark Server"]);
    let other = Tolerant { other_error: true, ..Tolerant::default() };
    assert_eq!(found_with(other, late(), 0), ["GW-SR-14 Remark Server"]);
    let right = Script::call([start(200), restart(500)]).body([yields("x")]);
    assert_eq!(found_with(Tolerant::default(), right, 2), [""; 0]);
}

/// GW-VAL-14, GW-RACK-35
#[test]
fn gw_val_14_asking_after_the_end() {
    let script = || Script::call([start(200)]).body([yields("x")]);
    assert_eq!(found_with(Tolerant::default(), script(), 2), [""; 0]);
    assert_eq!(found_with(Tolerant::default(), script(), 3), ["GW-VAL-14 Error Server"]);
    let failed = Script::call([start(200)]).body([fail("x"), yields("y")]);
    assert_eq!(found_with(Tolerant::default(), failed, 2), ["GW-VAL-14 Error Server"]);
}

/// GW-VAL-16, GW-RACK-34, GW-ITER-08
#[test]
fn gw_val_16_bodies_that_are_not_closed_are_counted() {
    let (app, reports) = Lint::collecting(Script::call([start(200)]).body([yields("x")]));
    with_environ(
        |_| {},
        Input::empty(),
        None,
        |environ| {
            let body = app.call(environ, &mut Tolerant::default()).unwrap();
            assert_eq!(reports.open_bodies(), 1);
            drop(body);
            assert_eq!(reports.open_bodies(), 0);
        },
    );
}

// --- middleware, between two lints ---

/// What two lints find around a middleware: `middleware(inner application, environ, start_response)`.
fn sandwich<M>(script: Script, middleware: M) -> Vec<String>
where
    M: Fn(&dyn Application, &mut Environ<'_>, &mut dyn StartResponse) -> Result<Body, Error> + Send + Sync,
{
    let (inner, inside) = Lint::collecting(script);
    let (outer, outside) =
        Lint::collecting(app_fn(|environ: &mut Environ<'_>, start_response: &mut dyn StartResponse| {
            middleware(&inner, environ, start_response)
        }));
    let _ = Client::new(outer).get("/").send();
    inside.assert_none(Severity::Warning);
    rules(&outside).into_iter().filter(|finding| !finding.contains("Remark")).collect()
}

fn three() -> Script {
    Script::call([start_with(200, &[TEXT])]).body([yields("a"), yields("b"), yields("c")])
}

#[test]
fn a_good_middleware_is_not_found_fault_with() {
    let passes = |app: &dyn Application, environ: &mut Environ<'_>, start_response: &mut dyn StartResponse| {
        let mut body = app.call(environ, start_response)?;
        Ok(Body::late(move |start_response| body.next(start_response)))
    };
    assert_eq!(sandwich(three(), passes), [""; 0]);
    // Two blocks into one, with an empty one in between (GW-MW-03), and a block at the end.
    let gathers = |app: &dyn Application, environ: &mut Environ<'_>, start_response: &mut dyn StartResponse| {
        let mut body = app.call(environ, start_response)?;
        let (mut kept, mut over) = (Vec::new(), false);
        Ok(Body::late(move |start_response| {
            if over {
                return None;
            }
            match body.next(start_response) {
                Some(Ok(block)) => {
                    kept.extend_from_slice(&block);
                    let whole = kept.len() >= 2;
                    Some(Ok(if whole { std::mem::take(&mut kept).into() } else { Bytes::new() }))
                }
                None => {
                    over = true;
                    Some(Ok(std::mem::take(&mut kept).into()))
                }
                error => error,
            }
        }))
    };
    assert_eq!(sandwich(three(), gathers), [""; 0]);
    let written = Script::call([start_with(200, &[TEXT]), writes("a")]).body([yields("b")]);
    assert_eq!(sandwich(written, passes), [""; 0]);
    let replaces = |app: &dyn Application, environ: &mut Environ<'_>, start_response: &mut dyn StartResponse| {
        drop(app.call(environ, start_response)?);
        Ok("instead".into())
    };
    assert_eq!(sandwich(three(), replaces), [""; 0]);
}

#[test]
fn gw_mw_02_waiting_for_several_blocks() {
    let waits = |app: &dyn Application, environ: &mut Environ<'_>, start_response: &mut dyn StartResponse| {
        let mut body = app.call(environ, start_response)?;
        Ok(Body::late(move |start_response| {
            let first = body.next(start_response)?;
            let second = body.next(start_response).unwrap_or(Ok(Bytes::new()));
            Some(first.and_then(|first| Ok([first, second?].concat().into())))
        }))
    };
    let two = Script::call([start_with(200, &[TEXT])]).body([yields("a"), yields("b")]);
    assert_eq!(sandwich(two, waits), ["GW-MW-02 Error Middleware"]);
}

#[test]
fn gw_mw_04_swallowing_a_block() {
    let swallows = |app: &dyn Application, environ: &mut Environ<'_>, start_response: &mut dyn StartResponse| {
        let mut body = app.call(environ, start_response)?;
        let mut blocks = 0;
        Ok(Body::late(move |start_response| {
            blocks += 1;
            body.next(start_response).filter(|_| blocks < 3)
        }))
    };
    assert_eq!(sandwich(three(), swallows), ["GW-MW-04 Error Middleware"]);
}

/// GW-MW-05, GW-RACK-38
#[test]
fn gw_mw_05_iterating_in_the_call() {
    let drains = |app: &dyn Application, environ: &mut Environ<'_>, start_response: &mut dyn StartResponse| {
        let mut body = app.call(environ, start_response)?;
        let mut whole = Vec::new();
        while let Some(block) = body.next(start_response) {
            whole.extend_from_slice(&block?);
        }
        Ok(whole.into())
    };
    assert_eq!(sandwich(three(), drains), ["GW-MW-05 Error Middleware"]);
}

/// GW-MW-06, GW-MW-07
#[test]
fn gw_mw_06_writing_what_was_yielded() {
    let writes = |app: &dyn Application, environ: &mut Environ<'_>, start_response: &mut dyn StartResponse| {
        let mut body = app.call(environ, start_response)?;
        while let Some(block) = body.next(start_response) {
            start_response.writer().write_all(&block?)?;
        }
        Ok(Body::empty())
    };
    let found = sandwich(three(), writes);
    assert!(found.contains(&"GW-MW-06 Error Middleware".to_owned()), "{found:?}");
}

/// GW-MW-08, GW-RACK-36
#[test]
fn gw_mw_08_leaving_a_body_open() {
    let kept: Arc<std::sync::Mutex<Vec<Body>>> = Arc::default();
    let leaks = |app: &dyn Application, environ: &mut Environ<'_>, start_response: &mut dyn StartResponse| {
        kept.lock().unwrap().push(app.call(environ, start_response)?);
        Ok(Body::blocks(["instead"]))
    };
    assert_eq!(sandwich(three(), leaks), ["GW-MW-08 Error Middleware"]);
}

// --- the lint itself ---

/// GW-VAL-40: behind a lint, every script has the same answer as without.
#[test]
fn gw_val_40_a_lint_changes_nothing() {
    let five = || start_with(200, &[("Content-Length", "5")]);
    for script in [
        text(&[], "hello"),
        three(),
        three().announcing(3),
        Script::call([five()]).body([yields("hello world")]),
        Script::call([five()]).block("hi"),
        Script::call([start(200), writes("a")]).block("b"),
        Script::call([start(200), writes("a"), restart(503)]),
        Script::call([start(200), restart(503)]).block("sorry"),
        Script::call([]).body([yields(""), start(201), yields("x")]),
        Script::call([]).block("x"),
        Script::call([start(200), start(200)]).block("x").swallowing(),
        Script::call([fail("no")]),
        head(204, &[]).block("x"),
    ] {
        for method in ["GET", "HEAD"] {
            let shown = format!("{method} {script}");
            let plain = Client::new(script.clone()).request(method, "/").send();
            let (lint, _reports) = Lint::collecting(Lint::new(script.clone()).up_to(Severity::Error));
            let watched = Client::new(lint).request(method, "/").send();
            assert_eq!(
                (plain.status, plain.framing, &plain.blocks),
                (watched.status, watched.framing, &watched.blocks),
                "{shown}"
            );
            assert_eq!((plain.cut, plain.closes), (watched.cut, watched.closes), "{shown}");
            let names =
                |headers: &[(String, String)]| headers.iter().filter(|(n, _)| n != "Date").cloned().collect::<Vec<_>>();
            assert_eq!(names(&plain.headers), names(&watched.headers), "{shown}");
        }
    }
    let known = Client::new(Lint::new(three().announcing(3))).get("/").send();
    assert_eq!(known.framing, Framing::Length(3));
}

#[test]
fn findings_go_where_they_are_wanted() {
    let wrong = || head(405, &[("X", "a\tb")]);
    let response = Client::new(Lint::new(wrong())).get("/").send();
    assert_eq!(response.status, 405);
    assert_eq!(
        response.log,
        "GW-VAL-36 (warning about the application): the value of X has a tab: \"a\\tb\"\n\
         H1-ALW-01 (error of the application): a 405 has no Allow\n"
    );
    let errors = Client::new(Lint::new(wrong()).up_to(Severity::Error)).get("/").send();
    assert!(!errors.log.contains("GW-VAL-36") && errors.log.contains("H1-ALW-01"), "{}", errors.log);
    let panic = Client::new(Lint::panicking(wrong())).get("/").send();
    assert_eq!(panic.status, 500);
    assert!(panic.log.contains("panic: H1-ALW-01 (error"), "{}", panic.log);
    let fine = Client::new(Lint::panicking(text(&[], "x"))).get("/").send();
    assert_eq!(fine.checked().status, 200);
}

#[test]
#[should_panic(expected = "GW-SR-03")]
fn reports_can_be_asserted() {
    let (app, reports) = Lint::collecting(Script::call([]));
    Client::new(app).get("/").send();
    reports.assert_none(Severity::Error);
}
