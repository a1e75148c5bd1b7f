//! D.5: scripts by the Common Gateway Interface. They are in `scripts/`; the one that answers with what it was sent says
//! whatever a test wants a script to say.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use conformance::fixtures::PATIENCE;
use conformance::inprocess::Client;
use framework_mini::middleware::BasicAuth;

use super::support::{Answer, Ask, AskBody, Framing, Server};
use super::{App, mounted_with};

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/apps/scripts");
const SAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../apps/cgi/cgi-bin");

fn scripts(server: &dyn Server, options: &[(&'static str, &str)], check: impl Fn(&App<'_>)) {
    mounted_with(server, "cgi", &[&[("scripts", SCRIPTS)], options].concat(), check);
}

/// The answer to a script that writes this, once there is a place for it: the one before may still be ending.
fn say(app: &App<'_>, output: impl Into<Vec<u8>>) -> Answer {
    let ask = Ask::post("/cgi-bin/say.sh", output);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = app.ask(&ask);
        if answer.status != 503 || Instant::now() > deadline {
            return answer;
        }
    }
}

/// Waits for a line that comes when the response is over: in process there is no log any more then.
#[track_caller]
fn must_log_after(app: &App<'_>, text: &str) {
    if app.site.responses().is_some() {
        app.site.must_log(text);
    }
}

#[track_caller]
fn eventually(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}: never came");
        thread::sleep(std::time::Duration::from_millis(2));
    }
}

/// The scripts that come with it. CGI-RSP-18, CGI-RSP-21, CGI-RSP-36, CGI-METH-04, CGI-RUN-01.
pub(crate) fn samples(server: &dyn Server) {
    mounted_with(server, "cgi", &[("scripts", SAMPLES)], |app| {
        let page = app.get("/");
        assert!(page.status == 200 && page.text().contains(&format!("href=\"{}/cgi-bin/hello.sh\"", app.prefix)));
        app.get("/cgi-bin/hello.sh").is(200, "Hello, World!\n");
        assert!(app.get("/cgi-bin/env.sh/extra/path?q").text().contains("\nPATH_INFO=/extra/path\n"));
        assert!(app.get("/cgi-bin/form.py").text().contains("<form"));
        let form = Ask::post("/cgi-bin/form.py", "name=Ada+%3Cb%3E");
        let sent = app.ask(&form.clone().header("Content-Type", "application/x-www-form-urlencoded"));
        assert!(sent.text().contains("Hello, <b>Ada &lt;b&gt;</b>!"), "{}", sent.text());
        assert_eq!(app.ask(&form.header("Content-Type", "text/plain")).status, 415);
        let away = app.get("/cgi-bin/redirect.sh");
        assert!(away.status == 302 && away.header("Location").unwrap().starts_with("https://"));
        app.get("/cgi-bin/redirect.sh?local").is(200, "Hello, World!\n");
        assert_eq!(app.get("/cgi-bin/redirect.sh?loop").status, 502);
        let crashed = app.get("/cgi-bin/crash.sh");
        assert!(crashed.status == 502 && !crashed.text().contains("database"), "{crashed:?}");
        must_log_after(app, "/cgi-bin/crash.sh: there is no database here\n");
        must_log_after(app, "/cgi-bin/crash.sh: exit status: 3\n");
        let big = app.get("/cgi-bin/big.sh?3000000");
        assert_eq!((big.status, big.body.len(), big.framing), (200, 3_000_000, Framing::Length));
        let head = app.head("/cgi-bin/big.sh?3000000");
        assert_eq!((head.status, head.body.len(), head.header("Content-Length")), (200, 0, Some("3000000")));
        // A line comes when it is written, and not with the rest: the script still runs.
        app.site.connect().leave_after(&app.at(&Ask::get("/cgi-bin/slow.sh?1000")), "second 1\n");
    });
}

/// What a header means. CGI-RSP-01, CGI-RSP-03, CGI-RSP-04, CGI-RSP-05, CGI-RSP-06, CGI-RSP-07, CGI-RSP-08, CGI-RSP-09,
/// CGI-RSP-11, CGI-RSP-12, CGI-RSP-13, CGI-RSP-15, CGI-RSP-16, CGI-RSP-17, CGI-RSP-21, CGI-RSP-22, CGI-RSP-23,
/// CGI-RSP-24, CGI-RSP-25, CGI-RSP-26, CGI-RSP-27, CGI-RSP-28, CGI-RSP-29, CGI-RSP-30, CGI-RSP-31, CGI-RSP-32, CGI-RSP-33,
/// CGI-GEN-07, H1-CODE-23.
pub(crate) fn headers(server: &dyn Server) {
    scripts(server, &[], |app| {
        // The status, the fields that matter, the content.
        for (output, status, fields, content) in [
            ("Content-Type: text/x; charset=a\n\nbody", 200, vec![("Content-Type", "text/x; charset=a")], "body"),
            ("CONTENT-TYPE:text/x\r\n\r\nbody\n", 200, vec![("Content-Type", "text/x")], "body\n"),
            ("Content-Type: text/x\r\nX-A: 1\n\r\nbody", 200, vec![("X-A", "1")], "body"),
            ("X-A: 1\nsTaTuS: 404 x\n\ngone", 404, vec![("X-A", "1")], "gone"),
            ("Status: 404\n\n", 404, vec![], ""),
            ("Status: 500 Mine\nContent-Type: text/x\n\nmine", 500, vec![], "mine"),
            ("Status: 204\n\nnever", 204, vec![], ""),
            ("Status: 304\nETag: \"x\"\n\nnever", 304, vec![("ETag", "\"x\"")], ""),
            ("Location: http://a/b#c\n\n", 302, vec![("Location", "http://a/b#c")], ""),
            ("Location: http://a\nSet-Cookie: a=1\n\n", 302, vec![("Set-Cookie", "a=1")], ""),
            (
                "Status: 303 x\nLocation: http://a\nContent-Type: a/b\n\nhere",
                303,
                vec![("Location", "http://a")],
                "here",
            ),
            ("Status: 301\nLocation: /cgi-bin/env.sh\n\n", 301, vec![("Location", "/cgi-bin/env.sh")], ""),
            ("Status: 302\nLocation: x/y\n\n", 302, vec![("Location", "x/y")], ""),
            ("Location:\nContent-Type: a/b\n\nno place", 200, vec![], "no place"),
            (
                "Content-Type: a/b\nDate: Sun, 06 Nov 1994 08:49:37 GMT\n\n",
                200,
                vec![("Date", "Sun, 06 Nov 1994 08:49:37 GMT")],
                "",
            ),
            ("Content-Type: a/b\nContent-Length: 3\n\nabcdef", 200, vec![("Content-Length", "3")], "abc"),
            ("Content-Type: a/b\nX: caf\u{e9}\n\n", 200, vec![], ""),
        ] {
            let answer = say(app, output);
            answer.is(status, content);
            for (name, value) in fields {
                assert_eq!(answer.header(name), Some(value), "{output:?}");
            }
        }
        let dropped =
            say(app, "Content-Type: a/b\nConnection: close\nKeep-Alive: x\nUpgrade: y\nX-CGI-Own: z\nTE: x\n\n");
        for name in ["Keep-Alive", "Upgrade", "X-CGI-Own", "TE"] {
            assert_eq!(dropped.is(200, "").header(name), None, "{name}");
        }
        let cookies = say(app, "Content-Type: a/b\nSet-Cookie: a=1\nSet-Cookie: b=2\n\n");
        assert_eq!(cookies.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie")).count(), 2);
        assert!(say(app, "Status: 200\n\nbody").is(200, "body").header("Content-Type").is_none(), "none is guessed");
        let short = say(app, "Content-Type: a/b\nContent-Length: 30\n\nabc");
        assert_eq!((short.status, short.text().as_str(), short.complete), (200, "abc", false));

        let octets: Vec<u8> = (0..=255).cycle().take(100_000).collect();
        let binary = say(app, [b"Content-Type: a/b\n\n", octets.as_slice()].concat());
        assert!(binary.complete && binary.body == octets, "CGI-RSP-35");

        for output in [
            "",
            "\n",
            "\nbody",
            "Content-Type: a/b",
            "Content-Type: a/b\n",
            "Content-Type: a/b\r\n",
            "garbage\n\n",
            "X-A: 1\n\n",
            "Content-Type : a/b\n\n",
            " Content-Type: a/b\n\n",
            "Content-Type: a/b\n folded\n\n",
            "Status: abc\n\n",
            "Status: 99\n\n",
            "Status: 1000\n\n",
            "Status: 100\n\n",
            "Status: 101 Switching Protocols\n\n",
            "Status: 200\nStatus: 404\n\n",
            "Content-Type: a/b\nContent-Type: a/c\n\n",
            "Location: x/y\n\n",
            "Content-Type: a/b\nTransfer-Encoding: chunked\n\n0\r\n\r\n",
            "Content-Type: a/b\nContent-Length: x\n\n",
            "Content-Type: a/b\nX: a\rb\n\n",
            "Content-Type: a/b\nX: a\0b\n\n",
        ] {
            let answer = say(app, output);
            assert_eq!((answer.status, answer.complete), (502, true), "{output:?}: {answer:?}");
        }
        app.site.must_log("Status twice");
        // CGI-RSP-10: 64 KiB, in one line or many.
        let fits = format!("Content-Type: a/b\nX-Long: {}\n\nbody", "x".repeat(20_000));
        say(app, fits).is(200, "body");
        for filling in ["x".repeat(70_000), "a\nX: ".repeat(20_000), "x".repeat(3_000_000)] {
            assert_eq!(say(app, format!("Content-Type: a/b\nX: {filling}\n\nbody")).status, 502);
        }
        app.site.must_log("longer than 64 KiB");
    });
}

/// Bodies, ends, and what is no script. CGI-BODY-01, CGI-BODY-02, CGI-BODY-04, CGI-RUN-07, CGI-RUN-08, CGI-RUN-09,
/// CGI-RSP-34, CGI-RSP-35, CGI-RSP-36, CGI-NPH-01, CGI-NPH-02, CGI-METH-05.
pub(crate) fn answers(server: &dyn Server) {
    scripts(server, &[], |app| {
        let octets: Vec<u8> = (0..10u32 << 20).map(|n| (n * 7 % 251) as u8).collect();
        for ask in [Ask::post("/cgi-bin/echo.sh", octets.clone()), Ask::chunked("/cgi-bin/echo.sh", octets.clone())] {
            let answer = app.ask(&ask);
            assert!(answer.status == 200 && answer.complete && answer.body == octets);
        }
        app.ask(&Ask::post("/cgi-bin/unread.sh", octets)).is(200, "not interested\n");
        app.ask(&Ask::post("/cgi-bin/echo.sh", "")).is(200, "");
        app.get("/cgi-bin/echo.sh").is(200, "");
        // A body that breaks starts nothing.
        app.ask(&Ask::short("/cgi-bin/echo.sh", "half", 4)).is_failure(400);

        app.get("/cgi-bin/stderr.sh").is(200, "still here\n");
        must_log_after(app, "/cgi-bin/stderr.sh: eeeeeeee");
        must_log_after(app, "/cgi-bin/stderr.sh: last \\u{1b}[31mcomplaint\n");
        app.get("/cgi-bin/exit.sh").is(200, "complete\n");
        must_log_after(app, "/cgi-bin/exit.sh: exit status: 7\n");

        let odd = app.get("/cgi-bin/odd;name%20$(x)%20&.sh");
        odd.is(200, &format!("{}/cgi-bin/odd;name $(x) &.sh\n", app.prefix));
        app.get("/cgi-bin/folder/nested.sh/a%2Fb").is(200, &format!("{}/cgi-bin/folder/nested.sh /a/b\n", app.prefix));
        for (target, status) in [
            ("/cgi-bin/nothing.sh", 404),
            ("/cgi-bin/nothing.sh/x", 404),
            ("/cgi-bin/../Cargo.toml", 404),
            ("/cgi-bin/%2e%2e/apps.rs", 404),
            ("/cgi-bin/..%2fapps.rs", 404),
            ("/cgi-bin/.hidden.sh", 404),
            ("/cgi-bin/$(id)", 404),
            ("/other", 404),
            ("/cgi-binary/say.sh", 404),
            ("/cgi-bin", 403),
            ("/cgi-bin/", 403),
            ("/cgi-bin/folder/", 403),
            ("/cgi-bin/not-executable.sh", 403),
            ("/cgi-bin/nph-raw.sh", 501),
            ("/cgi-bin/no-interpreter.sh", 500),
        ] {
            assert_eq!(app.get(target).status, status, "{target}");
        }
        app.site.must_log("no-interpreter.sh: No such file");
        let trace = app.ask(&Ask::new("TRACE", "/cgi-bin/say.sh"));
        assert!(trace.status == 405 && trace.header("Allow").unwrap().contains("POST"), "{trace:?}");

        // What has answered may go on, though nobody listens.
        let done = app.folder.join("done");
        let late = app.ask(&Ask::get(&format!("/cgi-bin/late.sh?{}", done.display())));
        assert_eq!((late.status, late.body.len()), (204, 0));
        eventually("the work behind the answer", || done.exists());
        let head = app.folder.join("head");
        app.head(&format!("/cgi-bin/late.sh?{}", head.display()));
        eventually("the work behind the answer to HEAD", || head.exists());
        let empty = app.folder.join("empty");
        app.get(&format!("/cgi-bin/empty.sh?{}", empty.display())).is(200, "");
        eventually("the work behind an answer of length 0", || empty.exists());
    });
}

/// The environment: that of the request, and nothing else. CGI-RUN-02, CGI-RUN-03, CGI-RUN-04, CGI-RUN-09, CGI-RUN-10,
/// CGI-NET-10, CGI-METH-07, CGI-METH-08, CGI-VAR-09, CGI-VAR-18, CGI-VAR-19, CGI-HDR-09, CGI-HDR-13,
/// CGI-HDR-14, CGI-GEN-06, CGI-BODY-04.
pub(crate) fn environment(server: &dyn Server) {
    let documents = tempfile::tempdir().unwrap();
    let root = documents.path().to_str().unwrap();
    scripts(server, &[("documents", root)], |app| {
        let variables = |ask: &Ask| -> BTreeMap<String, String> {
            let answer = app.ask(ask);
            assert_eq!((answer.status, answer.complete), (200, true), "{answer:?}");
            let pair = |line: &str| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
            answer.text().lines().filter_map(pair).collect()
        };
        let ask = Ask::chunked("/cgi-bin/env.sh/a%20b/c?x+y", "12345")
            .header("Content-Type", "text/x")
            .header("Cookie", "a=1")
            .header("Cookie", "b=2")
            .header("X-Two", "1")
            .header("x-two", "2")
            .header("Proxy", "http://evil/")
            .header("Authorization", "Basic c2VjcmV0")
            .header("Remote-User", "root")
            .header("X_Under", "no");
        let seen = variables(&ask);
        let expected: [(&str, &str); 21] = [
            ("REQUEST_METHOD", "POST"),
            ("SCRIPT_NAME", &format!("{}/cgi-bin/env.sh", app.prefix)),
            ("PATH_INFO", "/a b/c"),
            ("PATH_TRANSLATED", &format!("{root}/a b/c")),
            ("QUERY_STRING", "x+y"),
            ("CONTENT_TYPE", "text/x"),
            ("CONTENT_LENGTH", "5"),
            ("GATEWAY_INTERFACE", "CGI/1.1"),
            ("SERVER_PROTOCOL", "HTTP/1.1"),
            ("REQUEST_URI", &format!("{}/cgi-bin/env.sh/a%20b/c?x+y", app.prefix)),
            ("SCRIPT_FILENAME", &format!("{SCRIPTS}/env.sh")),
            ("DOCUMENT_ROOT", root),
            ("REDIRECT_STATUS", "200"),
            ("REQUEST_SCHEME", "http"),
            ("HTTP_HOST", "localhost"),
            ("HTTP_COOKIE", "a=1; b=2"),
            ("HTTP_X_TWO", "1, 2"),
            ("HTTP_REMOTE_USER", "root"),
            ("REMOTE_ADDR", "127.0.0.1"),
            ("directory", SCRIPTS),
            ("arguments", "0"),
        ];
        for (name, value) in expected {
            assert_eq!(seen.get(name).map(String::as_str), Some(value), "{name}");
        }
        let others = [
            "PATH",
            "PWD",
            "SERVER_NAME",
            "SERVER_PORT",
            "SERVER_SOFTWARE",
            "REMOTE_PORT",
            "group",
            "pid",
            "_",
            "OLDPWD",
            "SHLVL",
        ];
        for name in seen.keys() {
            // So also that nothing of this process, such as CARGO_MANIFEST_DIR, is there, nor a Proxy or credentials.
            let known = expected.iter().any(|(known, _)| known == name) || others.contains(&name.as_str());
            assert!(known, "{name}={}", seen[name]);
        }
        let has_others =
            std::env::vars_os().any(|(name, _)| name.to_str().is_some_and(|name| !seen.contains_key(name)));
        assert!(has_others, "or the above says nothing");
        if !seen["group"].is_empty() {
            assert_eq!(seen["group"], seen["pid"], "a process group of its own");
        }

        let plain = variables(&Ask::get("/cgi-bin/env.sh"));
        for name in ["CONTENT_LENGTH", "CONTENT_TYPE", "PATH_TRANSLATED", "HTTPS", "REMOTE_USER", "AUTH_TYPE"] {
            assert_eq!(plain.get(name), None, "{name}");
        }
        assert_eq!((plain["PATH_INFO"].as_str(), plain["QUERY_STRING"].as_str()), ("", ""));
        assert_eq!(variables(&Ask::post("/cgi-bin/env.sh", ""))["CONTENT_LENGTH"], "0");
        assert_eq!(variables(&Ask::get("/cgi-bin/env.sh/../../x")).get("PATH_TRANSLATED"), None);
        assert_eq!(app.get("/cgi-bin/env.sh/%00").status, 400);
        // Of the server there is nothing to be had: no listener, no connection, no event queue.
        let descriptors = app.get("/cgi-bin/fds.sh").text();
        assert!(descriptors.contains("pipe:") && descriptors.contains("/dev/null"), "{descriptors}");
        assert!(!descriptors.contains("socket:") && !descriptors.contains("anon_inode:"), "{descriptors}");
    });
}

/// A layer that asks for credentials stands before the script: nothing starts without them, and the script learns who it
/// is and not how. CGI-GEN-09, CGI-VAR-15, CGI-VAR-16.
pub(crate) fn authenticated(server: &dyn Server) {
    let folder = tempfile::tempdir().unwrap();
    let cgi = ::cgi::app(::cgi::Config::new(SCRIPTS)).unwrap();
    let check = |name: &str, password: &str| name == "ada" && password == "secret";
    let site = server.start(Arc::new(BasicAuth::new(cgi, "scripts", check)));
    let done = folder.path().join("done");
    let ask = Ask::get(&format!("/cgi-bin/late.sh?{}", done.display()));
    let refused = site.ask(&ask);
    assert_eq!((refused.status, done.exists()), (401, false));
    let credentials = |ask: Ask| ask.header("Authorization", "Basic YWRhOnNlY3JldA==");
    assert_eq!(site.ask(&credentials(ask)).status, 204);
    eventually("the script", || done.exists());
    let seen = site.ask(&credentials(Ask::get("/cgi-bin/env.sh"))).text();
    for line in ["REMOTE_USER=ada", "AUTH_TYPE=Basic"] {
        assert!(seen.lines().any(|known| known == line), "{line}: {seen}");
    }
    assert!(!seen.contains("AUTHORIZATION"), "{seen}");
}

/// Local redirects. CGI-RSP-17, CGI-RSP-18, CGI-RSP-19, CGI-RSP-20.
pub(crate) fn redirects(server: &dyn Server) {
    let documents = tempfile::tempdir().unwrap();
    fs::write(documents.path().join("doc.txt"), "a document").unwrap();
    scripts(server, &[("documents", documents.path().to_str().unwrap()), ("max-scripts", "1")], |app| {
        app.get("/doc.txt").is(200, "a document");
        let prefix = app.prefix;
        let inside = say(app, format!("Location: {prefix}/cgi-bin/env.sh/more?q=1\nX-Mine: dropped\n\nand this too"));
        let text = inside.text();
        assert_eq!((inside.status, inside.header("X-Mine"), inside.complete), (200, None, true));
        for line in [
            "REQUEST_METHOD=GET",
            "PATH_INFO=/more",
            "QUERY_STRING=q=1",
            &format!("SCRIPT_NAME={prefix}/cgi-bin/env.sh"),
        ] {
            assert!(text.lines().any(|known| known == line), "{line}: {text}");
        }
        assert!(!text.contains("CONTENT_"), "{text}");
        app.site.must_log("a local redirect has other fields");
        say(app, format!("Location: {prefix}/doc.txt\nStatus: 200 OK\n\n")).is(200, "a document");
        let head = Ask {
            method: "HEAD".to_owned(),
            ..Ask::post("/cgi-bin/say.sh", format!("Location: {prefix}/doc.txt\n\n"))
        };
        eventually("the head of the document", || {
            let answer = app.ask(&head);
            answer.status == 200 && answer.body.is_empty() && answer.header("Content-Length") == Some("10")
        });
        assert_eq!(say(app, format!("Location: {prefix}/nothing\n\n")).status, 404);
        // An empty answer, at last: what was sent is not sent again.
        assert_eq!(say(app, format!("Location: {prefix}/cgi-bin/say.sh\n\n")).status, 502);
        if !prefix.is_empty() {
            // Not ours: the client has to go there, and stays on this host.
            for (location, sent) in [("/elsewhere?q", "/elsewhere?q"), ("//evil.example/", "/evil.example/")] {
                let answer = say(app, format!("Location: {location}\n\n"));
                assert_eq!((answer.status, answer.header("Location")), (302, Some(sent)));
            }
        }
        assert!((400..=502).contains(&say(app, "Location: /%zz\n\n").status));
    });
    mounted_with(server, "cgi", &[("scripts", SAMPLES)], |app| {
        assert_eq!(app.get("/cgi-bin/redirect.sh?loop").status, 502);
        app.site.must_log("more than 10 local redirects");
    });
}

/// What a server says of the time for an application holds for scripts too, whether they have begun to answer or not.
/// GW-DEF-12, CGI-RUN-06.
#[test]
fn no_script_outlives_the_deadline_of_its_request() {
    let mut config = ::cgi::Config::new(SCRIPTS);
    config.timeout = PATIENCE;
    let client = Client::new(::cgi::app(config).unwrap());
    for (script, codes) in [("silent.sh", &[504][..]), ("stalls.sh", &[200, 504])] {
        let deadline = Instant::now() + Duration::from_millis(500);
        let response = client.get(&format!("/cgi-bin/{script}")).deadline(deadline).send();
        assert!(codes.contains(&response.status), "{script}: {}", response.status);
        assert!(response.log.contains(&format!("{script}: it has lived too long; it is ended")), "{}", response.log);
        if response.status == 200 {
            assert!(response.cut.is_some(), "{response:?}");
            assert!(all_gone(response.text().trim_end_matches(" stalling\n")), "the whole group is ended");
        }
    }
}

/// Time, space and number. CGI-RUN-06, CGI-BODY-05, H1-CODE-23.
pub(crate) fn limits(server: &dyn Server) {
    scripts(server, &[("timeout", "1500ms"), ("max-scripts", "1")], |app| {
        assert_eq!(app.get("/cgi-bin/silent.sh").status, 504);
        eventually("a free place", || app.get("/cgi-bin/unread.sh").status == 200);
        must_log_after(app, "silent.sh: it has been silent for 1.5s; it is ended");
        let mut cut = app.get("/cgi-bin/stalls.sh");
        while cut.status == 503 {
            cut = app.get("/cgi-bin/stalls.sh");
        }
        assert_eq!((cut.status, cut.complete), (200, false));
        assert!(all_gone(cut.text().trim_end_matches(" stalling\n")), "the whole group is ended");
        // And their place is free again.
        eventually("a free place", || app.get("/cgi-bin/unread.sh").status == 200);
    });
    scripts(server, &[("lifetime", "2s")], |app| {
        let cut = app.get("/cgi-bin/drips.sh");
        assert!(cut.status == 200 && !cut.complete && cut.text().starts_with("drip\n"), "{cut:?}");
        must_log_after(app, "it has lived too long");
    });
    scripts(server, &[("max-scripts", "1")], |app| {
        let go = app.folder.join("go");
        let ask = app.at(&Ask::get(&format!("/cgi-bin/waits.sh?{}", go.display())));
        let mut busy = None;
        let waited = app.site.connect().ask_watched(&ask, &mut |seen| {
            if busy.is_none() && String::from_utf8_lossy(seen).contains("waiting") {
                busy = Some(app.get("/cgi-bin/unread.sh"));
                assert_eq!(app.get("/").status, 200, "what is no script needs no place");
                fs::write(&go, "").unwrap();
            }
        });
        waited.is(200, "waiting\nserved\n");
        let busy = busy.unwrap();
        assert_eq!((busy.status, busy.header("Retry-After")), (503, Some("2")));
        eventually("a free place", || app.get("/cgi-bin/unread.sh").status == 200);
    });
    scripts(server, &[("max-spool", "1000")], |app| {
        app.ask(&Ask::post("/cgi-bin/echo.sh", vec![b'x'; 1000])).is(200, &"x".repeat(1000));
        for ask in [Ask::post("/cgi-bin/echo.sh", vec![b'x'; 1001]), Ask::chunked("/cgi-bin/echo.sh", vec![b'x'; 1001])]
        {
            assert_eq!(app.ask(&ask).status, 413, "{:?}", matches!(ask.body, AskBody::Chunked(_)));
        }
    });
}

/// Whether processes have gone. A child of ours that is dead is there until it is reaped; one that was orphaned may wait for
/// another to do it.
fn all_gone(pids: &str) -> bool {
    let gone = |(index, pid): (usize, &str)| {
        let stat = fs::read_to_string(Path::new("/proc").join(pid).join("stat")).unwrap_or_default();
        stat.is_empty() || (index > 0 && stat.rsplit(')').next().unwrap().trim_start().starts_with(['Z', 'X']))
    };
    let deadline = Instant::now() + PATIENCE;
    while !pids.split_whitespace().enumerate().all(gone) {
        if Instant::now() > deadline {
            return false;
        }
        thread::sleep(std::time::Duration::from_millis(2));
    }
    pids.split_whitespace().count() == 2
}

/// The client goes: the group is ended, and reaped. CGI-RUN-05.
pub(crate) fn processes(server: &dyn Server) {
    scripts(server, &[], |app| {
        for script in ["stalls", "stubborn"] {
            let note = app.folder.join(script);
            let ask = Ask::get(&format!("/cgi-bin/{script}.sh?{}", note.display()));
            app.site.connect().leave_after(&app.at(&ask), "stall");
            let pids = fs::read_to_string(note).unwrap();
            assert!(all_gone(&pids), "{script}: {pids:?}");
        }
    });
}
