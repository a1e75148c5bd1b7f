//! Settings at the ends of their ranges: a server that can do nothing with one says so when it is bound, and any other
//! serves.

use std::io::{self, ErrorKind};
use std::time::Duration;

use gateway_spec::{Environ, Error, StartResponse, Status};
use server::Config;

use crate::client::{Client, find};
use crate::support::{GET, Gate, LAST_GET, Notes, Site, config, held};

pub(crate) type Change = fn(&mut Config);

/// What becomes of a server with a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is refused with an error that names the setting.
    Refused,
    /// It answers.
    Serves,
}

/// The ends of the range of a type.
pub(crate) trait Range {
    const LOW: Self;
    const HIGH: Self;
}

macro_rules! ranges {
    ($($type:ty: $low:expr, $high:expr;)*) => {
        $(impl Range for $type {
            const LOW: Self = $low;
            const HIGH: Self = $high;
        })*
    };
}

ranges! {
    usize: 0, Self::MAX;
    u64: 0, Self::MAX;
    Duration: Self::ZERO, Self::MAX;
    Option<u64>: Some(0), Some(u64::MAX);
    Option<Duration>: Some(Duration::ZERO), Some(Duration::MAX);
}

/// Name, setting at its lowest and what becomes of that, and the same at its highest.
pub(crate) type Ends = (&'static str, Change, Fate, Change, Fate);

macro_rules! ends {
    ($($field:ident: $low:ident, $high:ident;)*) => {
        &[$((
            stringify!($field),
            |config| config.$field = $crate::settings::Range::LOW,
            $crate::settings::Fate::$low,
            |config| config.$field = $crate::settings::Range::HIGH,
            $crate::settings::Fate::$high,
        )),*]
    };
}
pub(crate) use ends;

/// Every number and every time of both servers; each has more of its own ([`crate::OWN_ENDS`]).
const ENDS: &[Ends] = ends! {
    max_request_line: Refused, Refused; // it is part of the head, so alone it cannot be the longest
    max_head: Refused, Serves;
    max_headers: Refused, Serves;
    max_body: Serves, Serves;
    max_chunk_extensions: Serves, Serves;
    max_drain: Serves, Serves;
    max_requests_per_connection: Refused, Serves;
    max_connections: Refused, Serves;
    max_pending: Serves, Serves;
    pending_timeout: Serves, Serves;
    head_timeout: Refused, Serves;
    keep_alive_timeout: Serves, Serves;
    body_timeout: Refused, Serves;
    min_body_rate: Serves, Serves;
    rate_grace: Refused, Serves;
    write_timeout: Refused, Serves;
    linger_timeout: Serves, Serves;
    max_linger: Serves, Serves;
    shutdown_timeout: Serves, Serves;
    app_deadline: Serves, Serves;
};

/// More than sockets buffer, so that the server has to wait.
const LARGE: usize = 8 << 20;

fn app(environ: &mut Environ<'_>, start_response: &mut dyn StartResponse) -> Result<Vec<u8>, Error> {
    // A time that cannot be told would be found here.
    let _ = environ.deadline();
    if environ.raw_path() != "/unread" {
        io::copy(environ.input(), &mut io::sink())?;
    }
    start_response.start(Status::OK, &[])?;
    Ok(if environ.raw_path() == "/large" { vec![b'x'; LARGE] } else { b"hello".to_vec() })
}

#[track_caller]
fn refused(config: Config, name: &str) {
    let error = config.bind("127.0.0.1:0").expect_err(name);
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    assert!(error.to_string().contains(name), "{name}: {error}");
}

/// Asks in many ways: each is answered, and the server ends when it is told to.
#[track_caller]
fn serves(mut config: Config, name: &str) {
    let notes = Notes::of(&mut config);
    let mut site = Site::new(config, app);
    let fields: String = (0..50).map(|i| format!("X-{i}: y\r\n")).collect();
    let post = |path: &str, fields: &str| format!("POST {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n");
    // Requests in pieces, and what may be answered: bodies and their extensions may be over a limit.
    let asked: [(&[&str], &[u16]); 8] = [
        (&["GET / HTTP/1.1\r\nHost: a\r\n\r\n"], &[200]),
        (&["GET / HTTP/1.2\r\nHost: a\r\n\r\n"], &[200]),
        (&["\r\n", "GET / HTTP/1.1\r\nHost: a\r\n", &fields, "\r\n"], &[200]),
        (&[&post("/", "Content-Length: 5"), "hello"], &[200, 413]),
        (&[&post("/unread", "Content-Length: 5"), "hello"], &[200, 413]),
        (&[&post("/", "Transfer-Encoding: chunked"), "5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n"], &[200, 400, 413]),
        (&["GET /large HTTP/1.1\r\nHost: a\r\n\r\n"], &[200]),
        (&["BAD\r\n\r\n"], &[400]),
    ];
    for (pieces, codes) in asked {
        let mut client = site.connect();
        for piece in pieces {
            // It may have been refused by its head.
            let _ = client.try_send(piece);
        }
        let reply = client.reply();
        assert!(codes.contains(&reply.code), "{name}: {} to {pieces:?}", reply.code);
    }
    assert_eq!(notes.errors(), [], "{name}");
    site.handle.shutdown();
    site.join().unwrap();
}

#[test]
fn settings_at_the_ends_of_their_ranges() {
    for &(name, low, low_fate, high, high_fate) in ENDS.iter().chain(crate::OWN_ENDS) {
        for (change, fate) in [(low, low_fate), (high, high_fate)] {
            let mut config = config();
            change(&mut config);
            match fate {
                Fate::Refused => refused(config, name),
                Fate::Serves => serves(config, name),
            }
        }
    }
}

/// Sums of several long times, and limits that are all off.
#[test]
fn all_settings_at_the_end_of_their_ranges() {
    let mut highest = config();
    highest.max_request_line = usize::MAX;
    for &(name, _, _, high, fate) in ENDS.iter().chain(crate::OWN_ENDS) {
        if fate == Fate::Serves && name != "min_body_rate" {
            high(&mut highest);
        }
    }
    serves(highest.clone(), "all at their highest");
    // One that is a number of milliseconds still, unlike the longest.
    let long = Duration::from_millis(u64::MAX);
    (highest.pending_timeout, highest.head_timeout, highest.keep_alive_timeout) = (long, long, long);
    (highest.body_timeout, highest.rate_grace, highest.write_timeout) = (long, long, long);
    (highest.linger_timeout, highest.shutdown_timeout, highest.app_deadline) = (long, long, Some(long));
    serves(highest, "as many milliseconds as there are");
    let mut lowest = config();
    for &(_, low, fate, ..) in ENDS.iter().chain(crate::OWN_ENDS) {
        if fate == Fate::Serves {
            low(&mut lowest);
        }
    }
    serves(lowest, "all at their lowest");
}

/// A newcomer to a full house waits for no time, or for all of it.
#[test]
fn waiting_for_a_place_at_the_ends_of_its_range() {
    for (time, code) in [(Duration::ZERO, 503), (Duration::MAX, 200), (Duration::from_millis(u64::MAX), 200)] {
        let mut config = crate::one_house(config());
        (config.max_connections, config.pending_timeout) = (1, time);
        let gate = Gate::default();
        let site = Site::new(config, held(&gate));
        let mut busy = site.connect();
        busy.send(LAST_GET);
        gate.wait_for(1);
        let mut newcomer = site.connect();
        newcomer.send(LAST_GET);
        site.wait_for("the newcomer", |stats| stats.accepted == 2);
        if code == 503 {
            assert_eq!(newcomer.reply().code, code);
        }
        gate.open(2);
        busy.reply().is(200, "held");
        if code == 200 {
            assert_eq!(newcomer.reply().code, code);
        }
    }
}

/// The value of a field is ISO-8859-1 (GW-STR-03), whoever sends it: one octet for each character, and nothing above.
#[test]
fn the_server_header_is_sent_as_other_fields_are() {
    let mut config = config();
    config.server_header = Some("caf\u{e9} (\u{ff})".into());
    let mut named = config.clone();
    let site = Site::new(config, app);
    let sent = |client: &mut Client, request: &[u8]| {
        client.send(request);
        let received = client.read_to_the_end().0;
        assert!(find(&received, b"\r\nServer: caf\xe9 (\xff)\r\n").is_some(), "{}", received.escape_ascii());
    };
    sent(&mut site.connect(), LAST_GET);
    sent(&mut site.connect(), &[GET, LAST_GET].concat());
    sent(&mut site.connect(), b"BAD\r\n\r\n");
    named.server_header = Some("10 \u{20ac}".into());
    refused(named, "server_header");
}
