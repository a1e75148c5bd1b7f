//! Declared, derived and announced lengths; responses without content (GW-CL, GW-DEF-09).

use super::prelude::*;

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

on_every_server! {
    gw_cl_01_nothing_goes_past_the_declared_length
    gw_cl_02_a_write_past_the_declared_length_fails
    gw_cl_03_a_short_body_is_cut
    gw_cl_05_the_length_is_derived_where_it_is_known
    gw_iter_06_a_body_shorter_than_announced_is_cut
    gw_iter_06_a_body_longer_than_announced_does_not_break_the_framing
    gw_cl_06_without_a_length_each_block_is_a_chunk
    gw_def_09_some_responses_have_no_content
    h1_nob_05_a_204_has_no_length
}
