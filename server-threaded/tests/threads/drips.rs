//! Clients that take their time: each phase ends within its deadline, and who is slow but not too slow is served.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::iter;
use std::thread;
use std::time::Instant;

use gateway_spec::{Body, Bytes, Environ, Error, StartResponse, Status, app_fn};
use server::Config;

use crate::client::{Client, End};
use crate::support::{GET, Notes, PATIENCE, Scratch, Site, config, ms};

/// More than sockets buffer.
const LARGE: usize = 50 << 20;

/// Long beside what a client here needs from its connection to its request, on a machine that is busy with other things;
/// short beside [`PATIENCE`].
fn impatient() -> Config {
    let mut config = config();
    config.head_timeout = ms(2000);
    config.keep_alive_timeout = ms(2000);
    config.body_timeout = ms(2000);
    config.write_timeout = ms(2000);
    config.rate_grace = ms(3000);
    config.linger_timeout = ms(1000);
    config
}

/// Reads the whole body, unless the path says otherwise, and tells how long it was.
fn reading(environ: &mut Environ<'_>, start_response: &mut dyn StartResponse) -> Result<String, Error> {
    let length = match environ.raw_path() {
        "/ignore" => 0,
        _ => io::copy(environ.input(), &mut io::sink())?,
    };
    start_response.start(Status::OK, &[])?;
    Ok(length.to_string())
}

fn post(path: &str, fields: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n")
}

fn chunked(path: &str) -> String {
    post(path, "Transfer-Encoding: chunked")
}

/// The same piece again and again, 50 times a second.
fn drip(client: &mut Client, piece: &str) {
    client.drip(iter::repeat(piece.as_bytes()), ms(20));
}

#[track_caller]
fn times_out(client: &mut Client) {
    let reply = client.reply();
    assert_eq!((reply.code, reply.closes()), (408, true), "{reply:?}");
    client.must_end();
}

type Attack = fn(&mut Client);

/// Each of these would take forever.
const DRIPS: [(&str, Attack); 23] = [
    ("nothing", |client| client.must_end()),
    ("one byte", |client| {
        client.send("G");
        times_out(client);
    }),
    // It is no beginning of a request (RFC 9112 section 2.2), so that there is nothing to answer.
    ("an empty line", |client| {
        client.send("\r\n");
        client.must_end();
    }),
    ("an empty line after a request", |client| {
        client.ask([GET, b"\r\n"].concat()).is(200, "0");
        client.must_end();
    }),
    ("empty lines and half a head", |client| {
        client.ask([GET, b"\r\n"].concat()).is(200, "0");
        client.send("\r\nGET");
        times_out(client);
    }),
    ("half an empty line", |client| {
        client.send("\r");
        times_out(client);
    }),
    ("a head by lines", |client| {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n");
        drip(client, "X: y\r\n");
        times_out(client);
    }),
    ("a head by bytes", |client| {
        client.send("GET /");
        drip(client, "a");
        times_out(client);
    }),
    ("idle after a request", |client| {
        client.ask(GET).is(200, "0");
        client.must_end();
    }),
    ("a second head by lines", |client| {
        client.ask(GET).is(200, "0");
        client.send("GET / HTTP/1.1\r\nHost: a\r\n");
        drip(client, "X: y\r\n");
        times_out(client);
    }),
    ("a head that follows in part", |client| {
        client.send([GET, &GET[..20]].concat());
        client.reply().is(200, "0");
        times_out(client);
    }),
    ("a body that never comes", |client| {
        client.send(post("/", "Content-Length: 10"));
        times_out(client);
    }),
    ("a body that never comes after a 100", |client| {
        client.send(post("/", "Content-Length: 10\r\nExpect: 100-continue"));
        assert_eq!(client.reply().code, 100);
        times_out(client);
    }),
    ("four exabytes that never come", |client| {
        client.send(post("/", "Content-Length: 4611686018427387904\r\n\r\nhello"));
        times_out(client);
    }),
    ("half a body", |client| {
        client.send(post("/", "Content-Length: 10\r\n\r\nhello"));
        times_out(client);
    }),
    ("a body by bytes", |client| {
        client.send(post("/", "Content-Length: 100000"));
        drip(client, "x");
        times_out(client);
    }),
    ("chunks that never come", |client| {
        client.send(chunked("/"));
        times_out(client);
    }),
    ("a body by small chunks", |client| {
        client.send(chunked("/"));
        drip(client, "1\r\nx\r\n");
        times_out(client);
    }),
    ("a chunk extension by bytes", |client| {
        client.send(chunked("/") + "5;x");
        drip(client, "x");
        times_out(client);
    }),
    ("trailers by lines", |client| {
        client.send(chunked("/") + "0\r\n");
        drip(client, "X: y\r\n");
        times_out(client);
    }),
    ("a body that nobody wants and never comes", |client| {
        client.ask(post("/ignore", "Content-Length: 10")).is(200, "0");
        client.must_end();
    }),
    ("a body that nobody wants, by bytes", |client| {
        client.ask(post("/ignore", "Content-Length: 60000")).is(200, "0");
        drip(client, "x");
        assert_ne!(client.read_to_the_end().1, End::Never);
    }),
    ("a refused client that goes on", |client| {
        assert_eq!(client.ask("GET / HTTP/3.0\r\n\r\n").code, 505);
        drip(client, "x");
        assert_ne!(client.read_to_the_end().1, End::Never);
    }),
];

#[test]
fn drips_end() {
    let mut config = impatient();
    // Time is to end them, not their size.
    (config.max_body, config.max_headers) = (u64::MAX, usize::MAX);
    let notes = Notes::of(&mut config);
    let site = Site::new(config, reading);
    let site = &site;
    thread::scope(|scope| {
        for (name, attack) in DRIPS {
            thread::Builder::new().name(name.into()).spawn_scoped(scope, move || attack(&mut site.connect())).unwrap();
        }
    });
    site.wait_for("all to end", |stats| stats.open == 0);
    assert_eq!(site.handle.stats().accepted, DRIPS.len() as u64);
    assert_eq!(notes.errors(), []);
}

/// A client that floods after its refusal is not read from forever: neither the time nor the amount is its choice.
#[test]
fn lingering_has_an_end() {
    let mut config = impatient();
    config.linger_timeout = 2 * PATIENCE;
    config.max_linger = 100_000;
    let site = Site::new(config, reading);
    let mut client = site.connect();
    client.send("GET / HTTP/3.0\r\n\r\n");
    let sent = iter::repeat_with(|| client.try_send([b'x'; 10_000])).take(100_000).take_while(Result::is_ok).count();
    assert!(sent < 100_000);
    site.wait_for("the end", |stats| stats.open == 0);
}

/// What a client sends after its refusal, and that it ends then, is no reason to take back what it has not read yet: a
/// close with unread octets would be a reset (H1-CON-11).
#[test]
fn what_follows_a_refusal_takes_no_answer_away() {
    let body = vec![b'x'; 1_000_000];
    let site = Site::new(config(), {
        let body = Bytes::from(body.clone());
        app_fn(move |_, start_response| {
            start_response.start(Status::OK, &[])?;
            Ok::<_, Error>(body.clone())
        })
    });
    for _ in 0..20 {
        let mut client = site.connect();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /\t HTTP/1.1\r\n\r\n");
        thread::sleep(ms(10)); // or else it may still be writing, which is another matter
        client.send(GET);
        client.finish();
        thread::sleep(ms(10));
        assert!(client.reply().body == body);
        assert_eq!(client.reply().code, 400);
        client.must_end();
    }
}

/// Answers with [`LARGE`] bytes in the way that the path says.
fn large(scratch: &Scratch) -> impl Fn(&mut Environ<'_>, &mut dyn StartResponse) -> Result<Body, Error> + use<> {
    let path = scratch.file(b"");
    File::options().write(true).open(&path).unwrap().set_len(LARGE as u64).unwrap();
    app_fn(move |environ, start_response| {
        let writer = start_response.start(Status::OK, &[])?;
        Ok(match environ.raw_path() {
            "/block" => vec![b'x'; LARGE].into(),
            "/blocks" => Body::blocks((0..LARGE / 8192).map(|_| vec![b'x'; 8192])),
            "/file" => Body::file(File::open(&path)?, 0, LARGE as u64),
            "/reader" => Body::reader(File::open(&path)?.take(LARGE as u64)),
            _ => {
                writer.write_all(&vec![b'x'; LARGE])?;
                Body::empty()
            }
        })
    })
}

const WAYS: [&str; 5] = ["/block", "/blocks", "/file", "/reader", "/write"];

#[track_caller]
fn all_are_cut(site: &Site, notes: &Notes, count: usize) {
    let seen = notes.wait_for(count);
    assert!(seen.iter().all(|seen| seen.status == 200 && seen.aborted), "{seen:?}");
    assert_eq!(seen.len(), count);
    site.wait_for("threads to be free", |stats| stats.open == 0);
}

#[test]
fn a_client_that_never_reads_is_cut() {
    let scratch = Scratch::new();
    let mut config = impatient();
    let notes = Notes::of(&mut config);
    let site = Site::new(config, large(&scratch));
    let mut clients: Vec<Client> = WAYS
        .iter()
        .map(|way| {
            let mut client = site.connect();
            client.send(format!("GET {way} HTTP/1.1\r\nHost: a\r\n\r\n"));
            client
        })
        .collect();
    all_are_cut(&site, &notes, WAYS.len());
    // Whoever runs the server is told why.
    assert_eq!(notes.errors(), [ErrorKind::TimedOut; WAYS.len()]);
    for client in &mut clients {
        let (received, end) = client.read_to_the_end();
        assert!(received.len() < LARGE);
        assert_ne!(end, End::Never);
    }
}

/// HTTP/1.0 without a length: what was cut because the client paused must not look whole to it when it goes on.
#[test]
fn a_client_that_pauses_sees_that_it_was_cut() {
    let scratch = Scratch::new();
    let mut config = impatient();
    let notes = Notes::of(&mut config);
    let site = Site::new(config, large(&scratch));
    let ways = ["/blocks", "/reader", "/write"];
    let mut clients = ways.map(|way| {
        let mut client = site.connect();
        client.send(format!("GET {way} HTTP/1.0\r\n\r\n"));
        client
    });
    all_are_cut(&site, &notes, ways.len());
    for (client, way) in clients.iter_mut().zip(ways) {
        assert_eq!(client.read_to_the_end().1, End::Reset, "{way}");
    }
}

/// A client that sends half a body does not read, either. Its answers are small, so that the server reads on for a while
/// although it cannot send: how many they are until it does not is tried out first, which a Unix socket makes repeatable.
#[test]
fn a_client_that_never_reads_and_sends_half_a_body_is_cut() {
    let scratch = Scratch::new();
    let address = format!("unix:{}", scratch.0.join("socket").display());
    let fill = |site: &Site, client: &mut Client, most: u64| {
        let end = Instant::now() + PATIENCE;
        (0..most)
            .take_while(|&count| {
                if client.try_send(GET).is_err() {
                    return false;
                }
                let since = Instant::now();
                while site.handle.stats().requests <= count && since.elapsed() < ms(300) {
                    assert!(Instant::now() < end, "{count} answers");
                    thread::yield_now();
                }
                site.handle.stats().requests > count
            })
            .count() as u64
    };
    let most = {
        let site = Site::of(config().bind(&address).unwrap(), reading);
        fill(&site, &mut site.connect(), u64::MAX)
    };
    for less in 0..3 {
        let site = Site::of(impatient().bind(&address).unwrap(), reading);
        let mut client = site.connect();
        fill(&site, &mut client, most.saturating_sub(less));
        // On a busy machine it may have been cut before.
        let _ = client.try_send([GET, post("/", "Content-Length: 10\r\n\r\nhello").as_bytes()].concat());
        site.wait_for("the end", |stats| stats.open == 0);
    }
}

/// Reads all that is there, some bytes at a time, until the connection ends; how many bytes there were.
fn sip(client: &mut Client, most: usize, pause: u64) -> usize {
    let mut total = 0;
    while let Ok(n @ 1..) = client.read(&mut vec![0; most]) {
        total += n;
        if total < LARGE {
            thread::sleep(ms(pause));
        }
    }
    total
}

/// Ten bytes at a time: so little that the system does not even tell the server of the room.
#[test]
fn a_client_that_sips_is_cut() {
    let scratch = Scratch::new();
    let mut config = impatient();
    let notes = Notes::of(&mut config);
    let site = Site::new(config, large(&scratch));
    let site = &site;
    thread::scope(|scope| {
        for way in WAYS {
            let notes = &notes;
            scope.spawn(move || {
                let mut client = site.connect();
                client.send(format!("GET {way} HTTP/1.1\r\nHost: a\r\n\r\n"));
                while notes.wait_for(0).len() < WAYS.len() && client.read(&mut [0; 10]).is_ok() {
                    thread::sleep(ms(20));
                }
            });
        }
        all_are_cut(site, &notes, WAYS.len());
    });
}

/// The client always makes progress, and still takes too long: the minimum rate ends it.
#[test]
fn a_client_below_the_minimum_rate_is_cut() {
    let scratch = Scratch::new();
    let mut config = impatient();
    config.write_timeout = 2 * PATIENCE;
    config.min_body_rate = 1 << 30;
    let notes = Notes::of(&mut config);
    let site = Site::new(config, large(&scratch));
    let site = &site;
    thread::scope(|scope| {
        for way in WAYS {
            scope.spawn(move || {
                let mut client = site.connect();
                client.send(format!("GET {way} HTTP/1.1\r\nHost: a\r\n\r\n"));
                assert!(sip(&mut client, 100_000, 10) < LARGE);
            });
        }
        all_are_cut(site, &notes, WAYS.len());
    });
}

/// All of this takes longer than the grace, at a rate far above the minimum and far below that of a machine in a hurry.
#[test]
fn slow_clients_are_served() {
    let scratch = Scratch::new();
    let mut config = config();
    config.rate_grace = ms(200);
    let notes = Notes::of(&mut config);
    let site = Site::new(config, {
        let large = large(&scratch);
        app_fn(move |environ, start_response| match environ.method() {
            "POST" => reading(environ, start_response).map(Into::into),
            _ => large(environ, start_response),
        })
    });
    let site = &site;
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut client = site.connect();
            client.send(post("/", "Content-Length: 10000"));
            client.drip(iter::repeat_n([b'x'; 500].as_slice(), 20), ms(25));
            client.reply().is(200, "10000");
        });
        scope.spawn(|| {
            let mut client = site.connect();
            client.send(chunked("/"));
            client.drip(iter::repeat_n([b"64\r\n", [b'x'; 100].as_slice(), b"\r\n"].concat().as_slice(), 20), ms(25));
            client.send("0\r\n\r\n");
            client.reply().is(200, "2000");
        });
        scope.spawn(|| {
            let mut client = site.connect();
            client.drip(post("/", "Content-Length: 0").as_bytes().chunks(3), ms(20));
            client.reply().is(200, "0");
        });
        for way in ["/block", "/file", "/blocks"] {
            scope.spawn(move || {
                let mut client = site.connect();
                client.send(format!("GET {way} HTTP/1.0\r\n\r\n"));
                assert!(sip(&mut client, 1 << 20, 5) >= LARGE, "{way}");
            });
        }
    });
    let seen = notes.wait_for(6);
    assert!(seen.iter().all(|seen| seen.status == 200 && !seen.aborted), "{seen:?}");
    assert_eq!(notes.errors(), []);
}
