//! Statuses and headers (GW-STA, GW-HDR).

use super::prelude::*;

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

on_every_server! {
    gw_hdr_08_bad_headers_are_refused
    gw_sta_01_a_bad_status_is_a_failure
    gw_ohf_01_the_head_is_the_applications
    gw_hdr_05_a_date_is_added
}
