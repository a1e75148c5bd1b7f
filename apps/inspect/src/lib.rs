//! Shows the request as an application sees it: as a page for people, as JSON for programs.
//!
//! | request | answer |
//! |---|---|
//! | `/environ.json`, or any with `Accept: application/json` or `?json` | the report, field by field |
//! | `/input`, any method | what was read of the body, as text |
//! | anything else, any method | the page |
//!
//! The body of the request is always read whole, in constant memory. One that cannot be read whole is an error handed to
//! the server, which answers 400, 408 or 413: a report about half a body would be a lie.

mod escape;
mod page;
mod received;
mod report;

use gateway_spec::{Application, Body, Environ, Error, StartResponse, Status};

use received::Received;
use report::Report;

/// The application.
#[must_use]
pub fn app() -> impl Application + 'static {
    inspect
}

fn inspect(environ: &mut Environ<'_>, start_response: &mut dyn StartResponse) -> Result<Body, Error> {
    let received = Received::read(environ.input())?;
    let path = environ.path_info();
    let (headers, body) = if path == "/environ.json" || wants_json(environ) {
        let mut json = serde_json::to_vec_pretty(&Report::new(environ, &received))?;
        json.push(b'\n');
        (&[("Content-Type", "application/json"), NO_STORE, NO_SNIFF][..], json)
    } else if path == "/input" {
        let text = received.summary(environ.content_length());
        (&[("Content-Type", "text/plain; charset=utf-8"), NO_STORE, NO_SNIFF][..], text.into_bytes())
    } else {
        (page::HEADERS, page::render(environ, &received).into_bytes())
    };
    start_response.start(Status::OK, headers)?;
    Ok(body.into())
}

/// What is shown belongs to one request, headers with credentials included.
const NO_STORE: (&str, &str) = ("Cache-Control", "no-store");
/// What is shown was sent by somebody: it is never to be taken for anything but its type.
const NO_SNIFF: (&str, &str) = ("X-Content-Type-Options", "nosniff");

/// Whether a query parameter `json` or an `Accept` that names `application/json` asks for it.
fn wants_json(environ: &Environ<'_>) -> bool {
    let asked = environ.query_string().split('&').any(|pair| pair == "json" || pair.starts_with("json="));
    asked || environ.header("accept").is_some_and(|accept| accept.to_latin1().split(',').any(is_accepted_json))
}

/// Whether this element of `Accept` is `application/json` with any weight but zero (RFC 9110 section 12.4.2).
fn is_accepted_json(element: &str) -> bool {
    let mut parts = element.split(';').map(str::trim);
    let is_json = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("application/json"));
    let refused = parts.any(|parameter| {
        let (name, weight) = parameter.split_once('=').unwrap_or((parameter, ""));
        name.eq_ignore_ascii_case("q") && !weight.is_empty() && weight.bytes().all(|b| matches!(b, b'0' | b'.'))
    });
    is_json && !refused
}

#[cfg(test)]
#[path = "../../testing.rs"]
mod testing;

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::testing::{Ask, ask, get};
    use super::*;

    #[test]
    fn who_asks_for_json_gets_it_at_any_path_and_method() {
        for (target, accept, json) in [
            ("/environ.json", "text/html", true),
            ("/", "", false),
            ("/", "text/html,application/xhtml+xml,*/*;q=0.8", false),
            ("/any/path", "application/json", true),
            ("/any", "text/html;q=0.5, Application/JSON;q=0.4", true),
            ("/any", "application/json;q=0", false),
            ("/any", "application/json; q=0.000, text/plain", false),
            ("/any", "application/jsonp", false),
            ("/any?json", "", true),
            ("/any?x=1&json=yes", "text/html", true),
            ("/any?jsonp", "", false),
            ("/input?json", "", true),
            ("/environ.jsonx", "", false),
        ] {
            for method in ["GET", "POST", "BREW"] {
                let headers = [("Accept", accept.as_bytes())];
                let answer = ask(&app(), target, &Ask { method, headers: &headers, ..Ask::default() });
                let content_type = answer.header("content-type").expect("a type");
                assert_eq!(content_type == "application/json", json, "{target} {accept}");
                assert_eq!(answer.status, 200);
                assert!(answer.length.is_some(), "HEAD can tell the length");
            }
        }
    }

    #[test]
    fn input_tells_what_was_read() {
        let put = Ask { method: "PUT", body: Some(b"abc"), ..Ask::default() };
        let text = ask(&app(), "/input", &put).text();
        let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(text, format!("CONTENT_LENGTH: 3\nbytes: 3\nreads: 1\nSHA-256: {sha256}\n"));
        let nothing = get(&app(), "/input").text();
        assert!(nothing.starts_with("CONTENT_LENGTH: absent\nbytes: 0\nreads: 0\n"), "{nothing}");
    }

    #[test]
    fn a_body_that_cannot_be_read_whole_is_the_servers_to_answer() {
        for target in ["/", "/input", "/environ.json"] {
            for kind in [ErrorKind::UnexpectedEof, ErrorKind::InvalidData, ErrorKind::FileTooLarge, ErrorKind::TimedOut]
            {
                let half = Ask { method: "POST", body: Some(b"half"), cut: Some(kind), ..Ask::default() };
                let answer = ask(&app(), target, &half);
                assert_eq!((answer.status, answer.body.len()), (0, 0), "{target} {kind}");
                assert!(answer.failed.is_some(), "{target} {kind}");
            }
        }
    }
}
