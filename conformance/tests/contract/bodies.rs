//! Bodies: blocks in time, closing, failures (GW-ITER, GW-BUF, GW-ERH).

use super::prelude::*;

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
            // An empty block now and then: each may cost the server's interval.
            let empty = |n: usize| n.is_multiple_of(60).then(Vec::new);
            let blocks = body.chunks(7).enumerate().flat_map(|(n, part)| empty(n).into_iter().chain([part.to_vec()]));
            Ok(Body::blocks(blocks.collect::<Vec<_>>()))
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

on_every_server! {
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
}
