//! The contract, from the server's side: applications that misbehave on purpose, on every server. Verdicts come from
//! the clauses named at each test, never from what a server did.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use conformance::fixtures::{
    Counter, PATIENCE, Script, Step, fail, forever, gone_probe, input_probe, meeting, panics, restart, restart_with,
    start, start_with, wiping, writes, yields,
};
use gateway_spec::{Application, Body, Environ, Error, StartResponse, Status, app_fn};
use support::{Answer, Ask, Framing, Server, Site, on_every_server, on_server};

fn site(server: &dyn Server, app: impl Application + 'static) -> Box<dyn Site> {
    server.start(Arc::new(app))
}

/// A script that breaks the contract before anything was sent: 500, the rule in the log, and the next request is served,
/// by the same answer (GW-REF-05).
#[track_caller]
fn fails(server: &dyn Server, script: Script, rule: &str) {
    let (returned, closed) = (script.returned(), script.closed());
    let site = site(server, script);
    let first = site.ask(&Ask::get("/")).is_failure(500).clone();
    site.must_log(rule);
    let second = site.ask(&Ask::get("/")).is_failure(500).clone();
    let names = |answer: &Answer| answer.headers.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!((names(&first), first.body), (names(&second), second.body));
    drop(site);
    assert_eq!(closed.count(), returned.count(), "close() exactly once for each body (GW-ITER-09)");
}

/// A script that fails after it has sent `text`: the answer is cut, the message is in the log, the body is closed once.
#[track_caller]
fn is_cut(server: &dyn Server, script: Script, text: &str, message: &str) {
    let (returned, closed) = (script.returned(), script.closed());
    let site = site(server, script);
    site.ask(&Ask::get("/")).is_cut(200, text);
    site.must_log(message);
    drop(site);
    assert_eq!(closed.count(), returned.count(), "close() exactly once for each body (GW-ITER-08)");
}

// --- the order of calls ---

/// GW-SR-03: a block without a head is not sent.
fn gw_sr_03_a_block_needs_a_head(server: &dyn Server) {
    fails(server, Script::call([]).body([yields("script")]), "GW-SR-03");
    fails(server, Script::call([]).body([yields(""), yields("script")]), "GW-SR-03");
    fails(server, Script::call([]).body([]), "GW-SR-03");
    let block = site(server, Script::call([]).block("script"));
    block.ask(&Ask::get("/")).is_failure(500);
    block.must_log("GW-SR-03");
}

/// GW-SR-10: a second plain call is an error, also if the application hides it.
fn gw_sr_10_a_second_start_is_fatal(server: &dyn Server) {
    fails(server, Script::call([start(200), start(200)]).body([yields("page")]), "GW-SR-10");
    fails(server, Script::call([start(200), start(201)]).body([yields("page")]).swallowing(), "GW-SR-10");
    fails(server, Script::call([start(200)]).body([start(201), yields("page")]), "GW-SR-10");
    is_cut(server, Script::call([start(200)]).body([yields("page"), start(201), yields("x")]), "page", "GW-SR-10");
}

/// GW-SR-11: after a first call that failed, only one with the error value is legal.
fn gw_sr_11_after_a_failed_start_only_a_restart_is_legal(server: &dyn Server) {
    let bad = || start_with(200, &[("X-Script", "a\nb")]);
    fails(server, Script::call([bad(), start(200)]).body([yields("page")]).swallowing(), "GW-SR-10");
    let repaired = Script::call([bad(), restart(503)]).body([yields("sorry")]).swallowing();
    let site = site(server, repaired);
    let answer = site.ask(&Ask::get("/"));
    answer.is(503, "sorry");
    assert_eq!(answer.header("X-Script"), Some("restart"));
}

/// GW-SR-12, GW-DEF-06, GW-ERH-03: with nothing sent, the second head replaces the first wholly, its length too.
fn gw_sr_12_a_restart_replaces_the_head(server: &dyn Server) {
    let first = || start_with(200, &[("X-First", "1"), ("Content-Length", "5"), ("Content-Type", "text/html")]);
    let again = || restart_with(503, &[("X-Second", "2")]);
    for script in [
        Script::call([first(), again()]).body([yields("longer than five")]),
        Script::call([first(), again()]).block("longer than five"),
        Script::call([first(), writes(""), again(), writes("longer "), writes("than five")]),
        Script::call([first()]).body([yields(""), yields(""), again(), yields("longer than five")]),
        Script::call([first()]).body([again(), yields("longer "), yields("than five")]),
        Script::call([again()]).body([yields("longer than five")]), // may be the first call (C-23)
    ] {
        let shown = script.to_string();
        let answer = site(server, script).ask(&Ask::get("/"));
        answer.is(503, "longer than five");
        assert_eq!((answer.header("X-First"), answer.header("X-Second")), (None, Some("2")), "{shown}");
        assert_eq!(answer.header("Content-Type"), None, "{shown}");
        assert_ne!(answer.header("Content-Length"), Some("5"), "{shown}");
    }
}

/// GW-SR-13, GW-SR-14, GW-ERH-02: with the head sent, the error comes back and the answer is cut. No second page.
fn gw_sr_13_a_late_restart_cuts_the_answer(server: &dyn Server) {
    let late = || restart_with(503, &[]);
    let log = "exc_info of the script";
    is_cut(server, Script::call([start(200), writes("some"), late(), writes("page")]), "some", log);
    is_cut(server, Script::call([start(200)]).body([yields("some"), late(), yields("page")]), "some", log);
    is_cut(server, Script::call([start(200), writes("some")]).body([late(), yields("page")]), "some", log);
}

/// GW-SR-17, GW-ERH-04, GW-ERH-08: an application that hides the error gets no further.
fn gw_sr_17_who_goes_on_after_a_late_restart_is_cut(server: &dyn Server) {
    let late = || restart_with(503, &[]);
    is_cut(server, Script::call([start(200), writes("some"), late(), writes("page")]).swallowing(), "some", "GW-SR-17");
    let body = Script::call([start(200)]).body([yields("some"), late(), yields("page")]).swallowing();
    is_cut(server, body, "some", "GW-SR-17");
    let end = Script::call([start(200)]).body([yields("some"), late()]).swallowing();
    is_cut(server, end, "some", "GW-SR-17");
}

/// GW-SR-04, GW-SR-05, GW-DEF-01: the response may start in an iteration, after any number of empty blocks.
fn gw_sr_04_a_body_may_start_late(server: &dyn Server) {
    for script in [
        Script::call([]).body([start(201), yields("a"), yields("b")]),
        Script::call([]).body([yields(""), yields(""), start(201), yields(""), yields("ab")]),
        Script::call([]).body([start(201), writes("a"), yields("b")]), // tolerated; Lint reports it (GW-WR-07)
    ] {
        let answer = site(server, script).ask(&Ask::get("/"));
        answer.is(201, "ab");
        assert_eq!(answer.header("X-Script"), Some("start"));
    }
    let empty = site(server, Script::call([]).body([yields(""), start(201)]));
    assert_eq!(empty.ask(&Ask::get("/")).is(201, "").header("Content-Length"), Some("0"));
    let none = site(server, Script::call([]).body([start(204)]));
    none.ask(&Ask::get("/")).is(204, "");
    let head = site(server, Script::call([]).body([yields(""), start(201), yields("ab")]));
    assert_eq!(head.ask(&Ask::new("HEAD", "/")).is(201, "").header("X-Script"), Some("start"));
}

/// GW-SR-06, GW-SR-07, GW-DEF-02, C-04: nothing goes out before there is something to send: not for `start_response`,
/// not for empty blocks or writes.
fn gw_sr_07_the_head_waits_for_the_first_bytes(server: &dyn Server) {
    let fed = Arc::new(AtomicBool::new(false));
    let early = Arc::new(AtomicBool::new(false));
    let (feed, asked) = (Arc::clone(&fed), Counter::default());
    let counter = asked.clone();
    let site = site(
        server,
        app_fn(move |_, start_response| {
            start_response.start(Status::ACCEPTED, &[])?.write_all(b"")?;
            let (feed, counter) = (Arc::clone(&feed), counter.clone());
            let mut blocks = 0;
            Ok(Body::late(move |_| {
                counter.add();
                blocks += 1;
                match blocks {
                    1..=20 => {
                        thread::sleep(Duration::from_millis(2));
                        Some(Ok("".into()))
                    }
                    21 => {
                        feed.store(true, SeqCst);
                        Some(Ok("bytes".into()))
                    }
                    _ => None,
                }
            }))
        }),
    );
    let (seen, fed) = (Arc::clone(&early), Arc::clone(&fed));
    let mut watch = move |_: &[u8]| seen.store(seen.load(SeqCst) || !fed.load(SeqCst), SeqCst);
    site.connect().ask_watched(&Ask::get("/"), &mut watch).is(202, "bytes");
    assert!(!early.load(SeqCst), "something was sent before the first bytes");
    assert_eq!(asked.count(), 22);
}

// --- statuses and headers ---

/// GW-HDR-03, GW-HDR-04, GW-HDR-07, GW-HDR-08, GW-STR-02, GW-DEF-10: what may not stand in a head is refused at the call
/// and nothing of it is sent.
fn gw_hdr_08_bad_headers_are_refused(server: &dyn Server) {
    for (rule, name, value) in [
        ("GW-HDR-03", "", "x"),
        ("GW-HDR-03", "A B", "x"),
        ("GW-HDR-03", "A:", "x"),
        ("GW-HDR-03", "A\r\nB", "x"),
        ("GW-HDR-04", "X-Script", "a\r\nSet-Cookie: b=1"),
        ("GW-HDR-04", "X-Script", "a\n"),
        ("GW-HDR-04", "X-Script", "\0"),
        ("GW-HDR-04", "X-Script", "\x7f"),
        ("GW-STR-02", "X-Script", "€"),
        ("GW-HDR-07", "Connection", "close"),
        ("GW-HDR-07", "kEEp-Alive", "timeout=5"),
        ("GW-HDR-07", "Proxy-Connection", "x"),
        ("GW-HDR-07", "Proxy-Authenticate", "x"),
        ("GW-HDR-07", "Proxy-Authorization", "x"),
        ("GW-HDR-07", "TE", "x"),
        ("GW-HDR-07", "Trailer", "x"),
        ("GW-HDR-07", "Transfer-Encoding", "chunked"),
        ("GW-HDR-07", "Upgrade", "x"),
        ("H1-CLEN-03", "Content-Length", "+5"),
        ("H1-CLEN-03", "Content-Length", "5, 5"),
    ] {
        fails(server, Script::call([start_with(200, &[(name, value)])]).body([yields("page")]), rule);
    }
}

/// GW-STA-01, GW-STA-02, GW-STA-03: a status that is none is a 500, and never a line of its own.
fn gw_sta_01_a_bad_status_is_a_failure(server: &dyn Server) {
    for status in ["200", "20X OK", "200 O\tK", "200 \x07", "200 OK\r\nX-Script: 1", "100 Continue", "600 X"] {
        let app = move |_: &mut Environ<'_>, start_response: &mut dyn StartResponse| {
            start_response.start(Status::parse(status)?, &[])?;
            Ok("page")
        };
        let site = site(server, app);
        site.ask(&Ask::get("/")).is_failure(500);
        site.must_log("GW-STA-0");
    }
}

/// GW-STA-04, GW-STR-03, GW-HDR-01, GW-OHF-01: the head arrives as given: order, letter case, repetitions, octets.
fn gw_ohf_01_the_head_is_the_applications(server: &dyn Server) {
    let headers = [
        ("X-One", "1"),
        ("Set-Cookie", "a=1"),
        ("x-TWO", "\u{e9}\t\u{ff}"),
        ("Set-Cookie", "b=2"),
        ("X-Empty", ""),
        ("Date", "Thu, 01 Jan 1970 00:00:00 GMT"),
    ];
    let app = move |_: &mut Environ<'_>, start_response: &mut dyn StartResponse| {
        start_response.start(Status::new(299, "Odd")?, &headers)?;
        Ok("x")
    };
    let answer = site(server, app).ask(&Ask::get("/"));
    answer.is(299, "x");
    let own: Vec<(&str, &str)> = answer
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .filter(|(name, _)| !["content-length", "connection"].contains(&name.to_ascii_lowercase().as_str()))
        .collect();
    assert_eq!(own, headers, "GW-HDR-05: nothing else is added, and the Date is not doubled");
}

/// GW-HDR-05: a response without Date gets one, that of the server's failures too.
fn gw_hdr_05_a_date_is_added(server: &dyn Server) {
    for script in [Script::call([start(200)]).block("x"), Script::call([fail("no")])] {
        let answer = site(server, script).ask(&Ask::get("/"));
        let date = answer.header("date").expect("a Date");
        assert!(date.len() == 29 && date.ends_with(" GMT"), "{date}");
    }
}

// --- lengths ---

/// GW-CL-01, GW-CL-02, GW-DEF-07, C-21: what goes past the declared length is not sent and not asked for, and logged; the
/// connection stays.
fn gw_cl_01_nothing_goes_past_the_declared_length(server: &dyn Server) {
    let five = || start_with(200, &[("Content-Length", "5")]);
    for (script, asked) in [
        (Script::call([five()]).body([yields("hello world")]), 1),
        (Script::call([five()]).body([yields("hello"), yields(" world"), forever("x")]), 1),
        (Script::call([five()]).body([yields("hel"), yields("lo wor"), forever("x")]), 2),
        (Script::call([five(), writes("hel")]).body([yields("lo world"), forever("x")]), 1),
        (Script::call([five()]).block("hello world"), 0),
    ] {
        let shown = script.to_string();
        let (counted, closed) = (script.asked(), script.closed());
        let site = site(server, script);
        let mut connection = site.connect();
        let answer = connection.ask(&Ask::get("/"));
        answer.is(200, "hello");
        assert_eq!((answer.header("Content-Length"), answer.framing), (Some("5"), Framing::Length), "{shown}");
        assert!(connection.is_kept(), "{shown}");
        assert_eq!(counted.count(), 2 * asked, "{shown}");
        assert_eq!(closed.reached(2 * asked.min(1)), 2 * asked.min(1), "{shown}");
    }
    let excess = site(server, Script::call([five()]).body([yields("hello world")]));
    excess.ask(&Ask::get("/"));
    excess.must_log("GW-CL-01");
}

/// GW-CL-02: a write past the declared length is an error, and nothing of it is sent.
fn gw_cl_02_a_write_past_the_declared_length_fails(server: &dyn Server) {
    let five = || start_with(200, &[("Content-Length", "5")]);
    let hidden = Script::call([five(), writes("hel"), writes("lo world"), writes("lo")]).swallowing();
    site(server, hidden).ask(&Ask::get("/")).is(200, "hello");
    is_cut(server, Script::call([five(), writes("hel"), writes("lo world")]), "hel", "GW-CL-02");
    let first = site(server, Script::call([five(), writes("hello world")]));
    first.ask(&Ask::get("/")).is_failure(500);
    first.must_log("GW-CL-02");
}

/// GW-CL-03: too little for the declared length never looks complete, and is logged.
fn gw_cl_03_a_short_body_is_cut(server: &dyn Server) {
    let ten = || start_with(200, &[("Content-Length", "10")]);
    is_cut(server, Script::call([ten()]).body([yields("hel"), yields("lo")]), "hello", "GW-CL-03");
    is_cut(server, Script::call([ten(), writes("hel")]).body([yields("lo")]), "hello", "GW-CL-03");
    let block = site(server, Script::call([ten()]).block("hello"));
    block.ask(&Ask::get("/")).is_cut(200, "hello");
    block.must_log("GW-CL-03");
    let none = site(server, Script::call([ten()]));
    none.ask(&Ask::get("/")).is_failure(500);
    none.must_log("GW-CL-03");
}

/// GW-CL-05, GW-ITER-07, GW-REF-09, GW-REF-10, H1-CLEN-01: the length is derived from one block, or from a body that knows it, and
/// only if nothing was written.
fn gw_cl_05_the_length_is_derived_where_it_is_known(server: &dyn Server) {
    for (script, length) in [
        (Script::call([start(200)]).block("hello"), Some("5")),
        (Script::call([start(200)]).block(""), Some("0")),
        (Script::call([start(200)]), Some("0")),
        (Script::call([start(200)]).body([yields(""), yields("")]), Some("0")),
        (Script::call([start(200)]).body([yields("hel"), yields("lo")]).announcing(5), Some("5")),
        (Script::call([]).body([yields(""), start(200), yields("hel"), yields("lo")]).announcing(5), Some("5")),
        (Script::call([start(200), writes("he")]).block("llo"), None),
        (Script::call([start(200)]).body([yields("hello")]), None),
    ] {
        let shown = script.to_string();
        let answer = site(server, script).ask(&Ask::get("/"));
        assert_eq!(answer.header("Content-Length"), length, "{shown}");
        assert_eq!(answer.framing == Framing::Length, length.is_some(), "{shown}");
        assert!(answer.complete);
    }
}

/// GW-ITER-06: a body that has less than it announced is cut, and logged.
fn gw_iter_06_a_body_shorter_than_announced_is_cut(server: &dyn Server) {
    let short = Script::call([start(200)]).body([yields("hel"), yields("lo")]).announcing(9);
    is_cut(server, short, "hello", "GW-");
}

/// GW-ITER-06, H1-CLEN-02: a body that has more than it announced never damages the framing.
fn gw_iter_06_a_body_longer_than_announced_does_not_break_the_framing(server: &dyn Server) {
    let long = Script::call([start(200)]).body([yields("hel"), yields("lo"), yields("world")]).announcing(5);
    let site = site(server, long);
    let mut connection = site.connect();
    let answer = connection.ask(&Ask::get("/"));
    assert!(answer.text() == "hello" || !answer.complete, "{answer:?}");
    // What follows is the answer to the next request, or nothing: never the rest of this body.
    let next = connection.ask(&Ask::get("/"));
    assert!(next.status == 0 || next.status == 200, "{next:?}");
}

/// GW-CL-04, GW-CL-06, GW-CL-07: without a length, HTTP/1.1 gets one chunk for each block, HTTP/1.0 the end of the
/// connection; empty blocks are no chunks.
fn gw_cl_06_without_a_length_each_block_is_a_chunk(server: &dyn Server) {
    let script = || Script::call([start(200), writes("a")]).body([yields("b"), yields(""), yields("c")]);
    let site = site(server, script());
    let mut connection = site.connect();
    let answer = connection.ask(&Ask::get("/"));
    assert_eq!((answer.is(200, "abc").framing, answer.header("Content-Length")), (Framing::Chunked, None));
    assert!(connection.is_kept());
    let mut old = site.connect();
    let answer = old.ask(&Ask::get("/").http10());
    assert_eq!((answer.is(200, "abc").framing, answer.header("Transfer-Encoding")), (Framing::Close, None));
}

/// GW-DEF-09, GW-REF-10, H1-NOB: HEAD, 204, 205 and 304 have no content whatever the application gives; the connection
/// stays, and nobody waits for the end of an endless body.
fn gw_def_09_some_responses_have_no_content(server: &dyn Server) {
    for (method, code) in [("HEAD", 200), ("HEAD", 404), ("GET", 204), ("GET", 304), ("GET", 205)] {
        for script in [
            Script::call([start(code)]).body([yields("some"), yields("more")]),
            Script::call([start(code)]).body([forever("some")]),
            Script::call([start(code), writes("some")]).body([yields("more")]),
            Script::call([start(code)]).block("some"),
            Script::call([]).body([yields(""), start(code), yields("some")]),
        ] {
            let shown = format!("{method} {script}");
            let closed = script.closed();
            let site = site(server, script);
            let mut connection = site.connect();
            let answer = connection.ask(&Ask::new(method, "/"));
            answer.is(code, "");
            assert_eq!(answer.header("Transfer-Encoding"), None, "{shown}");
            if method == "GET" {
                assert!(matches!(answer.header("Content-Length"), None | Some("0")), "{shown}");
                assert!(connection.is_kept(), "{shown}");
            } else {
                connection.ask(&Ask::new("HEAD", "/")).is(code, "");
            }
            drop(site);
            assert!(closed.count() == 2 || shown.contains("Block"), "{shown}: closed {}", closed.count());
        }
    }
    let script = Script::call([start_with(200, &[("Content-Length", "12345")])]);
    let answer = site(server, script).ask(&Ask::new("HEAD", "/"));
    assert_eq!(answer.is(200, "").header("Content-Length"), Some("12345"));
    let nothing = site(server, Script::call([start(200)])).ask(&Ask::new("HEAD", "/"));
    assert_eq!(nothing.is(200, "").header("Content-Length"), None, "H1-NOB-03: GET may have content");
    let known = site(server, Script::call([start(200)]).block("hello")).ask(&Ask::new("HEAD", "/"));
    assert_eq!(known.is(200, "").header("Content-Length"), Some("5"), "H1-NOB-02: as GET");
}

/// H1-NOB-05: a `Content-Length` that the application gave to a 204 is not sent.
fn h1_nob_05_a_204_has_no_length(server: &dyn Server) {
    let site = site(server, Script::call([start_with(204, &[("Content-Length", "0")])]));
    let mut connection = site.connect();
    assert_eq!(connection.ask(&Ask::get("/")).is(204, "").header("Content-Length"), None);
    assert!(connection.is_kept());
}

// --- bodies ---

/// GW-ITER-01, GW-ITER-04, GW-ITER-12, GW-STR-06: blocks are octets, in order, and empty ones are nothing.
fn gw_iter_04_blocks_are_opaque(server: &dyn Server) {
    let mut octets: Vec<u8> = (0..=255).collect();
    for a in [b'\r', b'\n', b'0', b'\0'] {
        for b in 0..=255 {
            octets.extend([a, b]);
        }
    }
    let body = octets.clone();
    let site = site(
        server,
        app_fn(move |_, start_response| {
            start_response.start(Status::OK, &[])?;
            Ok(Body::blocks(body.chunks(7).flat_map(|part| [part.to_vec(), Vec::new()]).collect::<Vec<_>>()))
        }),
    );
    let answer = site.ask(&Ask::get("/"));
    assert!(answer.complete && answer.body == octets);
}

/// GW-ITER-02, GW-BUF-03, GW-BUF-04, GW-BUF-05: a block is there before the next one is asked for.
fn gw_buf_03_a_block_is_never_held_back(server: &dyn Server) {
    let (app, met) = meeting(false);
    meets(&*site(server, app), met);
}

/// GW-WR-02, GW-WR-10: what was written is there before the application goes on.
fn gw_wr_02_a_write_is_never_held_back(server: &dyn Server) {
    let (app, met) = meeting(true);
    meets(&*site(server, app), met);
}

#[track_caller]
fn meets(site: &dyn Site, met: std::sync::mpsc::Sender<()>) {
    let mut watch = |seen: &[u8]| {
        if seen.windows(3).any(|part| part == b"one") {
            let _ = met.send(());
        }
    };
    site.connect().ask_watched(&Ask::get("/"), &mut watch).is(200, "onetwo");
}

/// GW-ITER-08, GW-ITER-09, GW-DEF-12: a client that leaves closes the body, once, though the body never ends.
fn gw_iter_08_a_client_that_leaves_closes_the_body(server: &dyn Server) {
    for script in [
        Script::call([start(200)]).body([yields("some"), forever("more and more and more ")]),
        Script::call([start_with(200, &[("Content-Length", "123456789")])]).body([forever("some and more ")]),
    ] {
        let closed = script.closed();
        let site = site(server, script);
        site.connect().leave_after(&Ask::get("/"), "some");
        assert_eq!(closed.reached(1), 1);
        drop(site);
        assert_eq!(closed.count(), 1);
    }
}

/// GW-DEF-12: a body that says *nothing yet* is not forgotten: it learns that its client has gone, or is closed.
fn gw_def_12_a_waiting_body_learns_that_the_client_has_gone(server: &dyn Server) {
    let (noticed, closed) = (Counter::default(), Counter::default());
    struct Closing(Counter);
    impl Drop for Closing {
        fn drop(&mut self) {
            self.0.add();
        }
    }
    let (app, counter) = (gone_probe(noticed), closed.clone());
    let site = site(
        server,
        app_fn(move |environ, start_response| {
            let closing = Closing(counter.clone());
            let mut body = app.call(environ, start_response)?;
            Ok(Body::late(move |start_response| {
                let _ = &closing;
                body.next(start_response)
            }))
        }),
    );
    site.connect().leave_after(&Ask::get("/"), "one");
    assert_eq!(closed.reached(1), 1);
    assert!(!site.log().contains("the client never went"), "{}", site.log());
}

/// GW-ITER-09, GW-ERH-05, GW-REF-02, GW-REF-03: errors and panics, those of an error handler too, with nothing sent: 500, logged, the server lives.
fn gw_erh_05_failures_before_the_head_become_a_500(server: &dyn Server) {
    fails(server, Script::call([fail("error of the script")]), "error of the script");
    fails(server, Script::call([panics("panic of the script")]), "panic of the script");
    fails(server, Script::call([start(200), fail("error of the script")]), "error of the script");
    fails(server, Script::call([start(200), panics("panic of the script")]), "panic of the script");
    fails(server, Script::call([start(200)]).body([fail("error of the script")]), "error of the script");
    fails(server, Script::call([start(200)]).body([yields(""), panics("panic of the script")]), "panic of the script");
    fails(server, Script::call([]).body([fail("error of the script")]), "error of the script");
    fails(server, Script::call([start(200), restart_with(500, &[("A B", "x")])]).body([yields("page")]), "GW-HDR-03");
    fails(server, Script::call([start(200)]).body([restart_with(500, &[("A B", "x")]), yields("page")]), "GW-HDR-03");
}

/// GW-ITER-08, GW-ERH-05, GW-ERH-06: the same with the head sent: cut, nothing appended, logged, the body closed once.
fn gw_erh_05_failures_after_the_head_cut_the_answer(server: &dyn Server) {
    for (step, log) in [(fail("error of the script"), "error of the script"), (panics("a panic"), "a panic")] {
        is_cut(server, Script::call([start(200), writes("some"), step.clone()]), "some", log);
        is_cut(server, Script::call([start(200), writes("some")]).body([step.clone()]), "some", log);
        is_cut(server, Script::call([start(200)]).body([yields("some"), step.clone()]), "some", log);
        let long = start_with(200, &[("Content-Length", "10")]);
        is_cut(server, Script::call([long]).body([yields("some"), yields(""), step]), "some", log);
    }
}

/// GW-ERH-05, C-22: a panic while closing is logged, and the server lives. If all of the declared content was sent by
/// then, the answer stays whole and the connection stays; a chunked one may be cut before its last chunk.
fn gw_erh_05_a_panic_in_close_is_logged(server: &dyn Server) {
    let script = || Script::call([start(200)]).body([yields("wh"), yields("ole")]).panicking_on_close();
    for script in [script(), script().announcing(5)] {
        let announces = script.to_string().contains("Some(5)");
        let site = site(server, script);
        let mut connection = site.connect();
        let answer = connection.ask(&Ask::get("/"));
        assert_eq!((answer.status, answer.text().as_str()), (200, "whole"));
        assert!(answer.complete || !announces);
        site.must_log("panic of the script while closing");
        assert!(connection.is_kept() || !announces);
        assert_eq!(site.ask(&Ask::get("/")).text(), "whole");
    }
}

/// GW-REF-01: a client that vanishes is no error of the application.
fn gw_ref_01_a_client_that_vanishes_is_not_logged_as_a_failure(server: &dyn Server) {
    let script = Script::call([start(200)]).body([yields("some"), forever("more and more ")]);
    let closed = script.closed();
    let site = site(server, script);
    site.connect().leave_after(&Ask::get("/"), "some");
    assert_eq!(closed.reached(1), 1);
    assert!(!site.log().contains("panic") && !site.log().contains("GW-"), "{}", site.log());
}

// --- write() ---

/// GW-WR-01, GW-WR-04, GW-WR-05, GW-WR-06, GW-WR-08: written data is as yielded data, and comes first.
fn gw_wr_08_writes_come_before_blocks(server: &dyn Server) {
    for script in [
        Script::call([start(200), writes("a"), writes(""), writes("b"), writes("c")]),
        Script::call([start(200), writes("a")]).body([yields(""), yields("b"), yields("c")]),
        Script::call([start(200), writes("a")]).body([yields(""), yields("")]).call_also([writes("bc")]),
        Script::call([start(200), writes("ab")]).block("c"),
    ] {
        site(server, script).ask(&Ask::get("/")).is(200, "abc");
    }
}

/// GW-WR-09: there is nothing to write to before `start_response`.
fn gw_wr_09_a_write_needs_a_head(server: &dyn Server) {
    fails(server, Script::call([writes("script")]), "GW-SR-03");
    fails(server, Script::call([writes("script")]).body([yields("script")]).swallowing(), "GW-SR-03");
}

// --- the call ---

/// GW-CALL-05, GW-CALL-06: one call for each request, on one connection and on several at once; nothing is left over
/// from one to the next.
fn gw_call_06_one_call_for_each_request(server: &dyn Server) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&calls);
    let app = move |environ: &mut Environ<'_>, start_response: &mut dyn StartResponse| -> Result<String, Error> {
        counter.fetch_add(1, SeqCst);
        start_response.start(Status::OK, &[("X-Path", environ.raw_path())])?;
        Ok(environ.raw_path().to_owned())
    };
    let site = site(server, app);
    let mut connection = site.connect();
    for n in 0..100 {
        connection.ask(&Ask::get(&format!("/{n}"))).is(200, &format!("/{n}"));
    }
    assert_eq!(calls.load(SeqCst), 100);
    thread::scope(|scope| {
        for thread in 0..16 {
            let site = &site;
            scope.spawn(move || {
                for n in 0..20 {
                    let path = format!("/{thread}/{n}");
                    site.ask(&Ask::get(&path)).is(200, &path);
                }
            });
        }
    });
    assert_eq!(calls.load(SeqCst), 420);
}

/// GW-ENV-02, GW-REF-08: an application may empty its environ; response and connection do not need it.
fn gw_env_02_an_environ_can_be_wiped(server: &dyn Server) {
    let site = site(server, wiping);
    let mut connection = site.connect();
    connection.ask(&Ask::post("/", "body")).is(200, "wiped");
    connection.ask(&Ask::get("/")).is(200, "wiped");
}

/// GW-SR-18: an error that was taken is not kept: it is gone before the body is asked for the first block.
fn gw_sr_18_exc_info_is_not_kept(server: &dyn Server) {
    #[derive(Debug)]
    struct Counted(Counter);
    impl std::fmt::Display for Counted {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("counted")
        }
    }
    impl std::error::Error for Counted {}
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.add();
        }
    }
    let app = |_: &mut Environ<'_>, start_response: &mut dyn StartResponse| -> Result<Body, Error> {
        let dropped = Counter::default();
        start_response.restart(Status::OK, &[], Box::new(Counted(dropped.clone())))?;
        let mut blocks = 0;
        Ok(Body::late(move |_| {
            blocks += 1;
            (blocks == 1).then(|| Ok(dropped.count().to_string().into()))
        }))
    };
    site(server, app).ask(&Ask::get("/")).is(200, "1");
}

/// GW-CALL-08, GW-CALL-09, GW-MW-01, GW-EXT-07: layers that do nothing are not seen, neither by the client nor by the
/// application.
fn gw_call_09_layers_are_invisible(server: &dyn Server) {
    struct Layer(Arc<dyn Application>);
    impl Application for Layer {
        fn call(&self, environ: &mut Environ<'_>, start_response: &mut dyn StartResponse) -> Result<Body, Error> {
            let mut body = self.0.call(environ, start_response)?;
            Ok(Body::late(move |start_response| body.next(start_response)))
        }
    }
    let shown = |environ: &mut Environ<'_>, start_response: &mut dyn StartResponse| -> Result<Body, Error> {
        start_response.start(Status::OK, &[("X-Shown", "1")])?;
        let of_connection = |name: &str| name == "REMOTE_PORT" || name == "SERVER_PORT";
        let vars = environ.vars().into_iter().filter(|(name, _)| !of_connection(name));
        Ok(Body::blocks(vars.map(|(name, value)| format!("{name}={value:?}\n")).collect::<Vec<_>>()))
    };
    let apps: [Arc<dyn Application>; 5] = [
        Arc::new(shown),
        Arc::new(Script::call([start(200)]).body([yields("a"), yields(""), yields("b")])),
        Arc::new(Script::call([]).body([yields(""), start(201), yields("late")])),
        Arc::new(Script::call([start(200), writes("a"), restart(503)])),
        Arc::new(Script::call([start(200), start(200)])),
    ];
    for app in apps {
        let mut layered = Arc::clone(&app);
        let mut answers = Vec::new();
        for layers in 0..4 {
            if layers != 2 {
                let answer = server.start(Arc::clone(&layered)).ask(&Ask::post("/a?b", "c").header("X-D", "e"));
                let lasting = answer.headers.into_iter().filter(|(name, _)| name != "Date").collect::<Vec<_>>();
                answers.push((answer.status, answer.complete, answer.body, lasting));
            }
            layered = Arc::new(Layer(layered));
        }
        assert_eq!(answers[0], answers[1], "one layer");
        assert_eq!(answers[0], answers[2], "three layers");
    }
}

/// GW-EWV-10, GW-EWV-11, GW-EWV-12: the environ tells the truth: other threads call the same application at the same
/// time, no other process does, and this is not the only request.
fn gw_ewv_10_the_flags_are_true(server: &dyn Server) {
    let inside = Counter::default();
    let counter = inside.clone();
    let app = move |environ: &mut Environ<'_>, start_response: &mut dyn StartResponse| -> Result<String, Error> {
        counter.add();
        let together = counter.reached(2); // both are in the call now
        start_response.start(Status::OK, &[])?;
        Ok(format!("{together} {} {} {}", environ.multithread(), environ.multiprocess(), environ.run_once()))
    };
    let site = site(server, app);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| site.ask(&Ask::get("/")).is(200, "2 true false false").status);
        }
    });
}

/// GW-EWV-05, GW-EWV-07, GW-EWV-08, GW-ERR-01: what an application writes to the errors stream arrives where the server
/// was told, whatever text it is.
fn gw_ewv_05_the_errors_stream_arrives(server: &dyn Server) {
    let app = |environ: &mut Environ<'_>, start_response: &mut dyn StartResponse| -> Result<(), Error> {
        let errors = environ.errors().clone();
        errors.write("one: \u{1f600}\u{1}\n");
        errors.write_lines(["two\n", "three\n"]);
        errors.write(&"long ".repeat(200_000));
        errors.write("end\n");
        errors.flush();
        start_response.start(Status::NO_CONTENT, &[])?;
        Ok(())
    };
    let site = site(server, app);
    site.ask(&Ask::get("/")).is(204, "");
    site.must_log("long end\n");
    assert!(site.log().contains("one: \u{1f600}\u{1}\n") && site.log().contains("two\nthree\n"));
}

// --- files ---

/// A file with these bytes that is removed when it is dropped.
struct TempFile(std::path::PathBuf);

impl TempFile {
    fn new(bytes: &[u8]) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let name = format!("gateway-contract-{}-{}", std::process::id(), NUMBER.fetch_add(1, SeqCst));
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, bytes).unwrap();
        Self(path)
    }

    fn body(&self, offset: u64, length: u64) -> Body {
        Body::file(std::fs::File::open(&self.0).unwrap(), offset, length)
    }

    /// How many descriptors of this process are of this file.
    fn open_descriptors(&self) -> usize {
        let links =
            std::fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
        links.filter(|link| *link == self.0).count()
    }

    /// Waits until none is.
    #[track_caller]
    fn is_closed(&self) {
        let deadline = std::time::Instant::now() + PATIENCE;
        while self.open_descriptors() > 0 {
            assert!(std::time::Instant::now() < deadline, "the file is still open");
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// GW-FILE-01, GW-FILE-03, GW-FILE-04, GW-FILE-07, GW-FILE-11, GW-FILE-12, GW-FILE-13: a part of a file, given to the server as
/// such, iterated by a layer, or read as any reader, is the same answer; and the file is closed.
fn gw_file_04_files_are_bodies(server: &dyn Server) {
    let octets: Vec<u8> = (0..300_000u32).map(|n| (n * 7 % 251) as u8).collect();
    let file = Arc::new(TempFile::new(&octets));
    for (offset, length) in [(0, 300_000), (10, 5), (299_999, 1), (100, 0), (65_536, 131_072)] {
        let part = &octets[offset as usize..(offset + length) as usize];
        let ways: [fn(&TempFile, u64, u64) -> Body; 3] = [
            |file, offset, length| file.body(offset, length),
            |file, offset, length| {
                let mut body = file.body(offset, length);
                Body::late(move |start_response| body.next(start_response))
            },
            |file, offset, length| {
                use std::io::{Read, Seek, SeekFrom};
                let mut opened = std::fs::File::open(&file.0).unwrap();
                opened.seek(SeekFrom::Start(offset)).unwrap();
                Body::reader(opened.take(length))
            },
        ];
        for (number, way) in ways.into_iter().enumerate() {
            let shared = Arc::clone(&file);
            let site = site(
                server,
                app_fn(move |_, start_response| {
                    start_response.start(Status::OK, &[])?;
                    Ok(way(&shared, offset, length))
                }),
            );
            let mut connection = site.connect();
            for _ in 0..2 {
                let answer = connection.ask(&Ask::get("/"));
                assert!(answer.status == 200 && answer.complete && answer.body == part, "{offset} {length} {number}");
                if number == 0 {
                    assert_eq!(answer.header("Content-Length"), Some(length.to_string().as_str()));
                }
            }
            let head = connection.ask(&Ask::new("HEAD", "/"));
            head.is(200, "");
            file.is_closed();
        }
    }
}

/// GW-FILE-05, GW-FILE-07, GW-FILE-09, GW-FILE-10: a file that is not returned is not sent, and closed; so is one whose client
/// leaves, and one behind a declared length.
fn gw_file_07_files_are_closed(server: &dyn Server) {
    let file = Arc::new(TempFile::new(&vec![b'x'; 50_000_000]));
    let shared = Arc::clone(&file);
    let site = site(
        server,
        app_fn(move |environ, start_response| {
            let body = shared.body(0, 50_000_000);
            match environ.path_info().as_bytes() {
                b"/dropped" => {
                    start_response.start(Status::OK, &[])?;
                    Ok("instead".into())
                }
                b"/five" => {
                    start_response.start(Status::OK, &[("Content-Length", "5")])?;
                    Ok(body)
                }
                b"/unstarted" => Ok(body),
                _ => {
                    start_response.start(Status::OK, &[])?;
                    Ok(body)
                }
            }
        }),
    );
    site.ask(&Ask::get("/dropped")).is(200, "instead");
    file.is_closed();
    site.ask(&Ask::get("/five")).is(200, "xxxxx");
    file.is_closed();
    site.ask(&Ask::get("/unstarted")).is_failure(500);
    site.must_log("GW-SR-03");
    file.is_closed();
    site.connect().leave_after(&Ask::get("/"), "xxx");
    file.is_closed();
}

/// GW-FILE-11: a file that is shorter than was said is cut: never padded, never complete.
fn gw_file_11_a_file_that_became_shorter_is_cut(server: &dyn Server) {
    let file = Arc::new(TempFile::new(b"hello"));
    let shared = Arc::clone(&file);
    let site = site(
        server,
        app_fn(move |_, start_response| {
            start_response.start(Status::OK, &[])?;
            Ok(shared.body(0, 10))
        }),
    );
    site.ask(&Ask::get("/")).is_cut(200, "hello");
    site.must_log("shorter");
    file.is_closed();
}

// --- the input ---

/// GW-IN-01, GW-IN-02, GW-IN-03, GW-IN-05, GW-IN-06, GW-IN-07, GW-OHF-05, GW-DEF-03: the input ends where the body ends,
/// whatever way it is read and however its length was told; the next request is not part of it.
fn gw_in_03_the_input_ends_with_the_body(server: &dyn Server) {
    let site = site(server, input_probe);
    let mut connection = site.connect();
    for (path, got) in [
        ("/all", "one\ntwo\nlast"),
        ("/twice", "one\ntwo\nlast then 0 then 0 then 0"),
        ("/lines", r"[one\n][two\n][last]"),
        ("/limited", r"[one\n][two\n][last]"),
        ("/part", "one\nt"),
        ("/none", "nothing was read"),
        ("/body", "one\ntwo\nlast"),
    ] {
        connection.ask(&Ask::post(path, "one\ntwo\nlast")).is(200, got);
        connection.ask(&Ask::chunked(path, "one\ntwo\nlast")).is(200, got);
    }
    connection.ask(&Ask::post("/all", "")).is(200, "");
    connection.ask(&Ask::chunked("/all", "")).is(200, "");
    connection.ask(&Ask::get("/twice")).is(200, " then 0 then 0 then 0");
    connection.ask(&Ask::post("/limited", "0123456789\n")).is(200, r"[0123][4567][89\n]");
}

/// GW-IN-11: the input is octets.
fn gw_in_11_the_input_is_octets(server: &dyn Server) {
    let octets: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let site = site(server, input_probe);
    for path in ["/all", "/body"] {
        for ask in [Ask::post(path, octets.clone()), Ask::chunked(path, octets.clone())] {
            assert!(site.ask(&ask).body == octets);
        }
    }
}

/// GW-DEF-04: a body that is shorter than declared is an error of the input. Returned, it becomes a 400; moved into the
/// response's body, a cut.
fn gw_def_04_a_truncated_input_is_an_error(server: &dyn Server) {
    let site = site(server, input_probe);
    site.ask(&Ask::short("/all", "half", 4)).is_failure(400);
    site.ask(&Ask::short("/part", "half", 4)).is_failure(400);
    site.ask(&Ask::short("/lines", "ha\nlf", 4)).is_failure(400);
    site.ask(&Ask::short("/hide", "half", 4)).is(200, "Some(UnexpectedEof)");
    site.ask(&Ask::short("/body", "half", 4)).is_cut(200, "half");
    site.ask(&Ask::short("/none", "half", 4)).is(200, "nothing was read");
}

// --- any script at all ---

/// Every random script has the same answer on this server as in process, and closes its body exactly once.
fn any_script_has_the_same_answer_everywhere(server: &dyn Server) {
    use proptest::prelude::*;
    use proptest::test_runner::{Config, TestRunner};

    let head = prop_oneof![
        4 => Just(vec![("X-Script", "1")]),
        1 => Just(vec![("Content-Length", "5")]),
        1 => Just(vec![("Content-Length", "0")]),
        1 => Just(vec![("Bad Name", "x")]),
    ];
    let code = prop_oneof![6 => Just(200), 1 => Just(204), 1 => Just(304), 1 => Just(404)];
    let text = prop_oneof![Just(""), Just("abc"), Just("hello"), Just("longer than five")];
    let step = prop_oneof![
        3 => (code.clone(), head.clone()).prop_map(|(code, head)| start_with(code, &head)),
        2 => (code, head).prop_map(|(code, head)| restart_with(code, &head)),
        3 => text.clone().prop_map(writes),
        5 => text.clone().prop_map(yields),
        1 => Just(fail("error")),
        1 => Just(panics("panic")),
    ];
    let steps = proptest::collection::vec(step, 0..5);
    let script = (steps.clone(), steps, any::<bool>(), any::<bool>());
    let started =
        (script, any::<bool>(), any::<bool>()).prop_map(|((mut call, body, swallows, announces), good, one)| {
            if good {
                call.insert(0, start(200));
            }
            // A length is announced only where it is true: what comes of a false one is not the same everywhere.
            let lengths = body.iter().map(|step| match step {
                Step::Yield(text) => Some(text.len() as u64),
                _ => None,
            });
            let length = lengths.sum::<Option<u64>>().filter(|_| announces);
            let script = Script::call(call);
            let script = match (one, body.first()) {
                (true, Some(Step::Yield(text))) => script.block(text),
                _ => script.body(body),
            };
            let script = if swallows { script.swallowing() } else { script };
            match length {
                Some(length) => script.announcing(length),
                None => script,
            }
        });
    let method = prop_oneof![3 => Just("GET"), 1 => Just("HEAD")];
    let config = Config { cases: 300, failure_persistence: None, ..Config::default() };
    let slot: Arc<std::sync::Mutex<Option<Script>>> = Arc::default();
    let current = Arc::clone(&slot);
    let app = move |environ: &mut Environ<'_>, start_response: &mut dyn StartResponse| -> Result<Body, Error> {
        let script = current.lock().unwrap().clone().ok_or("no script")?;
        script.call(environ, start_response)
    };
    let site = site(server, app);
    let result = TestRunner::new(config).run(&(started, method), |(script, method)| {
        let ask = Ask::new(method, "/");
        let expected = support::InProcess.start(Arc::new(script.clone())).ask(&ask);
        let (model_called, model_closed) = (script.called().count(), script.closed().count());
        *slot.lock().unwrap() = Some(script.clone());
        let got = site.ask(&ask);
        let closed = script.closed().reached(2 * model_closed);
        prop_assert_eq!(
            (got.status, got.complete, got.framing),
            (expected.status, expected.complete, expected.framing),
            "{}",
            script
        );
        // The text of a failure is the server's own.
        if expected.status != 500 {
            prop_assert_eq!(got.text(), expected.text(), "{}", script);
            prop_assert_eq!(got.header("Content-Length"), expected.header("Content-Length"), "{}", script);
        }
        prop_assert_eq!((script.called().count(), closed), (2 * model_called, 2 * model_closed), "{}", script);
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

on_every_server! {
    gw_sr_03_a_block_needs_a_head
    gw_sr_10_a_second_start_is_fatal
    gw_sr_11_after_a_failed_start_only_a_restart_is_legal
    gw_sr_12_a_restart_replaces_the_head
    gw_sr_13_a_late_restart_cuts_the_answer
    gw_sr_17_who_goes_on_after_a_late_restart_is_cut
    gw_sr_04_a_body_may_start_late
    gw_sr_07_the_head_waits_for_the_first_bytes
    gw_hdr_08_bad_headers_are_refused
    gw_sta_01_a_bad_status_is_a_failure
    gw_ohf_01_the_head_is_the_applications
    gw_hdr_05_a_date_is_added
    gw_cl_01_nothing_goes_past_the_declared_length
    gw_cl_02_a_write_past_the_declared_length_fails
    gw_cl_03_a_short_body_is_cut
    gw_cl_05_the_length_is_derived_where_it_is_known
    gw_iter_06_a_body_shorter_than_announced_is_cut
    gw_iter_06_a_body_longer_than_announced_does_not_break_the_framing
    gw_cl_06_without_a_length_each_block_is_a_chunk
    gw_def_09_some_responses_have_no_content
    h1_nob_05_a_204_has_no_length
    gw_iter_04_blocks_are_opaque
    gw_buf_03_a_block_is_never_held_back
    gw_wr_02_a_write_is_never_held_back
    gw_iter_08_a_client_that_leaves_closes_the_body
    gw_def_12_a_waiting_body_learns_that_the_client_has_gone
    gw_erh_05_failures_before_the_head_become_a_500
    gw_erh_05_failures_after_the_head_cut_the_answer
    gw_erh_05_a_panic_in_close_is_logged
    gw_ref_01_a_client_that_vanishes_is_not_logged_as_a_failure
    gw_wr_08_writes_come_before_blocks
    gw_wr_09_a_write_needs_a_head
    gw_call_06_one_call_for_each_request
    gw_env_02_an_environ_can_be_wiped
    gw_sr_18_exc_info_is_not_kept
    gw_call_09_layers_are_invisible
    gw_ewv_10_the_flags_are_true
    gw_ewv_05_the_errors_stream_arrives
    gw_file_04_files_are_bodies
    gw_file_07_files_are_closed
    gw_file_11_a_file_that_became_shorter_is_cut
    gw_in_03_the_input_ends_with_the_body
    gw_in_11_the_input_is_octets
    gw_def_04_a_truncated_input_is_an_error
    any_script_has_the_same_answer_everywhere
}
