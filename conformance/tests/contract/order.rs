//! The order of calls (GW-SR).

use super::prelude::*;

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

on_every_server! {
    gw_sr_03_a_block_needs_a_head
    gw_sr_10_a_second_start_is_fatal
    gw_sr_11_after_a_failed_start_only_a_restart_is_legal
    gw_sr_12_a_restart_replaces_the_head
    gw_sr_13_a_late_restart_cuts_the_answer
    gw_sr_17_who_goes_on_after_a_late_restart_is_cut
    gw_sr_04_a_body_may_start_late
    gw_sr_07_the_head_waits_for_the_first_bytes
}
