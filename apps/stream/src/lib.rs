//! Every way a response can happen, the wrong ones on purpose too: for servers, and for the people who write them.
//!
//! `GET /` lists the endpoints; each is a line of one table, and is written where what it shows is:
//! the input as it streams (`input`), the order of calls (`order`), breaches of the contract (`breaches`), lengths,
//! sizes and times (`sizes`), and `close()` (`closing`).

mod breaches;
mod closing;
mod input;
mod order;
mod sizes;

use std::fmt::Write;

use gateway_spec::{Application, Body, Environ, Error, StartResponse, Status, app_fn, digits};

use closing::Counts;

const TEXT: (&str, &str) = ("Content-Type", "text/plain; charset=utf-8");
const OCTETS: (&str, &str) = ("Content-Type", "application/octet-stream");

/// One way to answer.
struct Endpoint {
    /// The path; a last segment in braces stands for a number.
    path: &'static str,
    /// What happens.
    what: &'static str,
    answer: Answer,
}

type Answer = fn(&mut Call<'_, '_>, &mut dyn StartResponse) -> Result<Body, Error>;

/// What an endpoint is given.
struct Call<'c, 'r> {
    environ: &'c mut Environ<'r>,
    /// The number in the path, 0 if it takes none.
    number: u64,
    counts: &'c Counts,
}

#[rustfmt::skip] // one line each, as a table
const ENDPOINTS: &[Endpoint] = &[
    Endpoint { path: "/", what: "this list", answer: list },
    Endpoint { path: "/echo", what: "the request's body, returned while it is read", answer: input::echo },
    Endpoint { path: "/upper", what: "the request's body by lines, in capitals", answer: input::upper },
    Endpoint { path: "/write", what: "all by write()", answer: order::write },
    Endpoint { path: "/mixed", what: "write() first, then an iterator", answer: order::mixed },
    Endpoint { path: "/lazy", what: "201, started at the first iteration", answer: order::lazy },
    Endpoint { path: "/empty-chunks", what: "100 empty blocks, the head replaced, then data", answer: order::empty_chunks },
    Endpoint { path: "/error-before", what: "an error before any data: a 500 page of its own", answer: order::error_before },
    Endpoint { path: "/error-after", what: "an error after some data: cut", answer: order::error_after },
    Endpoint { path: "/twice", what: "start_response twice: 500", answer: breaches::twice },
    Endpoint { path: "/no-start", what: "no start_response: 500", answer: breaches::no_start },
    Endpoint { path: "/bad-header", what: "a header with a line end: 500", answer: breaches::bad_header },
    Endpoint { path: "/hop-header", what: "a header that is the server's business: 500", answer: breaches::hop_header },
    Endpoint { path: "/bad-status", what: "a status with a line end: 500", answer: breaches::bad_status },
    Endpoint { path: "/panic", what: "a panic in the call: 500", answer: breaches::panic },
    Endpoint { path: "/panic-body", what: "a panic after some data: cut", answer: breaches::panic_body },
    Endpoint { path: "/short", what: "10 of 100 declared bytes: cut", answer: sizes::short },
    Endpoint { path: "/long", what: "100 of 10 declared bytes: 10 are sent", answer: sizes::long },
    Endpoint { path: "/slow/{ms}", what: "an answer after so many milliseconds, at most 60,000", answer: sizes::slow },
    Endpoint { path: "/big/{n}", what: "so many bytes: lines of 16", answer: sizes::big },
    Endpoint { path: "/204", what: "204, which never has a body", answer: sizes::no_content },
    Endpoint { path: "/304", what: "304, which never has a body", answer: sizes::not_modified },
    Endpoint { path: "/close", what: "three blocks of which the close is counted", answer: closing::three_blocks },
    Endpoint { path: "/close/{n}", what: "so many bytes of which the close is counted", answer: closing::bytes },
    Endpoint { path: "/closed.json", what: "how many bodies of /close were opened and closed", answer: closing::counts },
];

/// The application. Each new one counts for itself.
#[must_use]
pub fn app() -> impl Application + 'static {
    let counts = Counts::default();
    app_fn(move |environ, start_response| {
        let found = environ.path_info().to_str().ok().and_then(find);
        let Some((endpoint, number)) = found else {
            start_response.start(Status::NOT_FOUND, &[TEXT])?;
            return Ok("Not found. / lists what there is.\n".into());
        };
        (endpoint.answer)(&mut Call { environ, number, counts: &counts }, start_response)
    })
}

/// The endpoint of a path, with the number in the path.
fn find(path: &str) -> Option<(&'static Endpoint, u64)> {
    let path = if path.is_empty() { "/" } else { path };
    ENDPOINTS.iter().find_map(|endpoint| match endpoint.path.split_once('{') {
        Some((before, _)) => Some((endpoint, digits(path.strip_prefix(before)?.as_bytes())?)),
        None => (endpoint.path == path).then_some((endpoint, 0)),
    })
}

fn list(_: &mut Call<'_, '_>, start_response: &mut dyn StartResponse) -> Result<Body, Error> {
    start_response.start(Status::OK, &[TEXT])?;
    let mut text = String::new();
    for Endpoint { path, what, .. } in ENDPOINTS {
        writeln!(text, "{path:15} {what}")?;
    }
    Ok(text.into())
}

#[cfg(test)]
#[path = "../../testing.rs"]
mod testing;

#[cfg(test)]
mod tests {
    use super::testing::{Ask, ask, get};
    use super::*;

    #[test]
    fn the_list_has_every_endpoint_with_what_it_does() {
        let text = get(&app(), "/").text();
        assert_eq!(text.lines().count(), ENDPOINTS.len());
        for endpoint in ENDPOINTS {
            assert!(text.contains(&format!("{:15} {}\n", endpoint.path, endpoint.what)));
        }
    }

    #[test]
    fn paths_are_exact_and_numbers_are_digits() {
        let app = app();
        for (target, status) in [
            ("/big/0", 200),
            ("/big/007", 200),
            ("/big/", 404),
            ("/big", 404),
            ("/big/-1", 404),
            ("/big/+1", 404),
            ("/big/1/", 404),
            ("/big/18446744073709551616", 404),
            ("/write/", 404),
            ("/%ff", 404),
            ("/nothing", 404),
        ] {
            assert_eq!(get(&app, target).status, status, "{target}");
        }
        let mounted = Ask { mount: "/x/y", ..Ask::default() };
        assert!(ask(&app, "/x/y", &mounted).text().starts_with("/ "));
        assert_eq!(ask(&app, "/x/y/big/3", &mounted).text(), "012");
    }
}
