//! The input (GW-IN, GW-DEF-04).

use super::prelude::*;

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

on_every_server! {
    gw_in_03_the_input_ends_with_the_body
    gw_in_11_the_input_is_octets
    gw_def_04_a_truncated_input_is_an_error
}
