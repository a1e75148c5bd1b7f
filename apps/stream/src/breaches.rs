//! Breaches of the contract, on purpose: each is a 500 or a cut, and one line in the server's log.

use gateway_spec::{Body, Error, StartResponse, Status};

use crate::{Call, TEXT};

/// A second start without `exc_info` (GW-SR-10).
pub(crate) fn twice(_: &mut Call<'_, '_>, start_response: &mut dyn StartResponse) -> Result<Body, Error> {
    start_response.start(Status::OK, &[TEXT])?;
    start_response.start(Status::OK, &[TEXT])?;
    Ok("never seen".into())
}

/// No start at all (GW-SR-03).
pub(crate) fn no_start(_: &mut Call<'_, '_>, _: &mut dyn StartResponse) -> Result<Body, Error> {
    Ok("never seen".into())
}

/// Response splitting, tried through a header (GW-HDR-04).
pub(crate) fn bad_header(_: &mut Call<'_, '_>, start_response: &mut dyn StartResponse) -> Result<Body, Error> {
    start_response.start(Status::OK, &[TEXT, ("X-Split", "a\r\nX-Injected: yes")])?;
    Ok("never seen".into())
}

/// A header that belongs to the connection (GW-HDR-07).
pub(crate) fn hop_header(_: &mut Call<'_, '_>, start_response: &mut dyn StartResponse) -> Result<Body, Error> {
    start_response.start(Status::OK, &[TEXT, ("Connection", "close")])?;
    Ok("never seen".into())
}

/// Response splitting, tried through the status (GW-STA-02).
pub(crate) fn bad_status(_: &mut Call<'_, '_>, start_response: &mut dyn StartResponse) -> Result<Body, Error> {
    start_response.start(Status::parse("200 OK\r\nX-Injected: yes")?, &[TEXT])?;
    Ok("never seen".into())
}

/// A panic before there is an answer (GW-ERH-05).
pub(crate) fn panic(_: &mut Call<'_, '_>, _: &mut dyn StartResponse) -> Result<Body, Error> {
    panic!("in the call, on purpose");
}

/// A panic after some data.
pub(crate) fn panic_body(_: &mut Call<'_, '_>, start_response: &mut dyn StartResponse) -> Result<Body, Error> {
    start_response.start(Status::OK, &[TEXT])?;
    let mut sent = false;
    Ok(Body::late(move |_| {
        assert!(!sent, "in the body, on purpose");
        sent = true;
        Some(Ok("some data\n".into()))
    }))
}

#[cfg(test)]
mod tests {
    use crate::app;
    use crate::testing::get;

    #[test]
    fn each_breach_is_named_by_its_rule_and_nothing_is_sent() {
        for (target, rule) in [
            ("/twice", "GW-SR-10: "),
            ("/no-start", "GW-SR-03: "),
            ("/bad-header", "GW-HDR-04: "),
            ("/hop-header", "GW-HDR-07: "),
            ("/bad-status", "GW-STA-01: "),
            ("/panic", "panic"),
        ] {
            let answer = get(&app(), target);
            let failed = answer.failed.expect(target);
            assert!(failed.starts_with(rule), "{target}: {failed}");
            assert!(answer.body.is_empty(), "{target}");
        }
    }

    #[test]
    fn a_panic_in_the_body_comes_after_some_data() {
        let answer = get(&app(), "/panic-body");
        assert_eq!((answer.status, answer.body.as_slice()), (200, &b"some data\n"[..]));
        assert_eq!(answer.failed.as_deref(), Some("panic"));
    }
}
