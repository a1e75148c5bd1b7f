//! The input as it streams: it moves into the body, which reads it while it is sent.

use std::io::{BufRead, Read};

use gateway_spec::{Body, Error, StartResponse, Status};

use crate::{Call, OCTETS, TEXT};

/// The longest line that is held in memory; a longer one goes out in pieces.
const LINE: u64 = 64 * 1024;

/// Returns the input while reading it, in constant memory whatever its size.
///
/// An error of the input before the first block leaves the answer to the server: 400, 408 or 413. After it, the answer
/// is cut.
pub(crate) fn echo(call: &mut Call<'_, '_>, start_response: &mut dyn StartResponse) -> Result<Body, Error> {
    start_response.start(Status::OK, &[OCTETS])?;
    Ok(Body::reader(call.environ.take_input()))
}

/// Reads by line; the last one may lack its line end and is kept as it is.
pub(crate) fn upper(call: &mut Call<'_, '_>, start_response: &mut dyn StartResponse) -> Result<Body, Error> {
    start_response.start(Status::OK, &[TEXT])?;
    let mut input = call.environ.take_input();
    Ok(Body::late(move |_| {
        let mut line = Vec::new();
        match (&mut input).take(LINE).read_until(b'\n', &mut line) {
            Ok(0) => None,
            Ok(_) => {
                line.make_ascii_uppercase();
                Some(Ok(line.into()))
            }
            Err(error) => Some(Err(error.into())),
        }
    }))
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use crate::app;
    use crate::testing::{Answer, Ask, ask};

    fn post(target: &str, body: &[u8]) -> Answer {
        ask(&app(), target, &Ask { method: "POST", body: Some(body), ..Ask::default() })
    }

    #[test]
    fn echo_returns_what_it_is_sent() {
        let body: Vec<u8> = (0..1_000_000u32).map(|i| (i * 7 % 251) as u8).collect();
        let answer = post("/echo", &body);
        assert_eq!((answer.status, answer.length), (200, None));
        assert_eq!(answer.body, body);
        assert_eq!(post("/echo", b"").body, b"");
    }

    #[test]
    fn upper_keeps_lines_and_the_lack_of_the_last_end() {
        for (body, expected) in [
            ("one\ntwo\n", "ONE\nTWO\n"),
            ("one\r\ntwo", "ONE\r\nTWO"),
            ("\n\nx", "\n\nX"),
            ("", ""),
            ("größe", "GRößE"),
        ] {
            assert_eq!(post("/upper", body.as_bytes()).text(), expected);
        }
        let endless = vec![b'a'; 200_000];
        assert_eq!(post("/upper", &endless).body, vec![b'A'; 200_000]);
    }

    #[test]
    fn a_broken_input_is_never_a_short_success() {
        for target in ["/echo", "/upper"] {
            for (body, kind) in [(None, ErrorKind::FileTooLarge), (Some(&b"begun\n"[..]), ErrorKind::UnexpectedEof)] {
                let answer = ask(&app(), target, &Ask { method: "POST", body, cut: Some(kind), ..Ask::default() });
                assert!(answer.failed.is_some(), "{target} {kind}");
            }
        }
    }
}
