//! The order of calls: `write`, late start, empty blocks, and an answer that is replaced.

use gateway_spec::{Body, Bytes, Error, StartResponse, Status};

use crate::{Call, TEXT};

/// How many empty blocks `/empty-chunks` yields.
const EMPTY: usize = 100;

/// All by `write`; the body is empty (GW-WR-03).
pub(crate) fn write(_: &mut Call<'_, '_>, start_response: &mut dyn StartResponse) -> Result<Body, Error> {
    let writer = start_response.start(Status::OK, &[TEXT])?;
    writer.write_all(b"")?;
    for text in ["one\n", "two\n", "three\n"] {
        writer.write_all(text.as_bytes())?;
    }
    Ok(Body::empty())
}

/// What is written comes before what the body yields (GW-WR-08).
pub(crate) fn mixed(_: &mut Call<'_, '_>, start_response: &mut dyn StartResponse) -> Result<Body, Error> {
    let writer = start_response.start(Status::OK, &[TEXT])?;
    writer.write_all(b"written 1\nwritten 2\n")?;
    Ok(Body::blocks(["yielded 3\n", "yielded 4\n"]))
}

/// Starts at the first iteration (GW-SR-04). A server that does not wait for it answers 200.
pub(crate) fn lazy(_: &mut Call<'_, '_>, _: &mut dyn StartResponse) -> Result<Body, Error> {
    let mut blocks = ["started ", "late\n"].into_iter();
    let mut started = false;
    Ok(Body::late(move |start_response| {
        if !started {
            started = true;
            if let Err(error) = start_response.start(Status::CREATED, &[TEXT]) {
                return Some(Err(error));
            }
        }
        blocks.next().map(|block| Ok(block.into()))
    }))
}

/// Empty blocks send nothing, not even the head (GW-ITER-12): after a hundred of them it can still be replaced, and what
/// is replaced never shows. A server that has sent it gives the error back, and the response is cut.
pub(crate) fn empty_chunks(_: &mut Call<'_, '_>, start_response: &mut dyn StartResponse) -> Result<Body, Error> {
    start_response.start(Status::ACCEPTED, &[TEXT, ("X-Replaced", "no")])?;
    let mut step = 0;
    Ok(Body::late(move |start_response| {
        step += 1;
        match step - 1 {
            0..EMPTY => Some(Ok(Bytes::new())),
            EMPTY => {
                let headers = [TEXT, ("X-Empty-Blocks", "100")];
                let restarted = start_response.restart(Status::OK, &headers, "the head was sent too early".into());
                Some(restarted.map(|_| "data after 100 empty blocks\n".into()))
            }
            _ => None,
        }
    }))
}

/// An error before any data: the answer is replaced as a whole (GW-SR-12).
pub(crate) fn error_before(_: &mut Call<'_, '_>, start_response: &mut dyn StartResponse) -> Result<Body, Error> {
    start_response.start(Status::OK, &[TEXT, ("X-First", "never seen")])?;
    let error = "error before data, on purpose".into();
    start_response.restart(Status::INTERNAL_SERVER_ERROR, &[TEXT], error)?;
    Ok("The error page of the application.\n".into())
}

/// An error after some data: nothing can be replaced, `exc_info` comes back and is returned (GW-SR-13, GW-SR-17).
pub(crate) fn error_after(_: &mut Call<'_, '_>, start_response: &mut dyn StartResponse) -> Result<Body, Error> {
    start_response.start(Status::OK, &[TEXT])?;
    let mut sent = false;
    Ok(Body::late(move |start_response| {
        if !sent {
            sent = true;
            return Some(Ok("some data\n".into()));
        }
        let error = "error after data, on purpose".into();
        match start_response.restart(Status::INTERNAL_SERVER_ERROR, &[TEXT], error) {
            Ok(_) => Some(Ok("The error page of the application.\n".into())),
            Err(error) => Some(Err(error)),
        }
    }))
}

#[cfg(test)]
mod tests {
    use crate::app;
    use crate::testing::get;

    #[test]
    fn what_is_written_comes_first() {
        assert_eq!(get(&app(), "/write").text(), "one\ntwo\nthree\n");
        assert_eq!(get(&app(), "/mixed").text(), "written 1\nwritten 2\nyielded 3\nyielded 4\n");
    }

    #[test]
    fn a_late_start_is_the_one_that_counts() {
        let answer = get(&app(), "/lazy");
        assert_eq!((answer.status, answer.text().as_str()), (201, "started late\n"));
    }

    #[test]
    fn empty_blocks_leave_the_head_replaceable() {
        let answer = get(&app(), "/empty-chunks");
        assert_eq!((answer.status, answer.text().as_str()), (200, "data after 100 empty blocks\n"));
        assert_eq!((answer.header("x-replaced"), answer.header("x-empty-blocks")), (None, Some("100")));
    }

    #[test]
    fn an_error_replaces_what_was_not_sent_and_cuts_what_was() {
        let before = get(&app(), "/error-before");
        assert_eq!((before.status, before.text().as_str()), (500, "The error page of the application.\n"));
        assert_eq!(before.header("x-first"), None);

        let after = get(&app(), "/error-after");
        assert_eq!((after.status, after.body.as_slice()), (200, &b"some data\n"[..]));
        assert_eq!(after.failed.as_deref(), Some("error after data, on purpose"));
    }
}
