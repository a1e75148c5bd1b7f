//! Applications that keep their input beyond the response: what follows on the connection is not theirs.

use std::io::{ErrorKind, Read};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;

use gateway_spec::{Environ, Error, Input, StartResponse, Status, app_fn};

use crate::client::{Broken, Client, End};
use crate::support::{GET, Site, config, ms};

/// Where an application leaves its inputs.
type Kept = Arc<Mutex<Vec<Input>>>;

/// Reads `/all` of its input, or a `/part`, and keeps it. Answers what it has read.
fn keeping(kept: &Kept) -> impl Fn(&mut Environ<'_>, &mut dyn StartResponse) -> Result<String, Error> + use<> {
    let kept = Arc::clone(kept);
    move |environ, start_response| {
        let mut input = environ.take_input();
        let mut text = String::new();
        let most = if environ.raw_path() == "/part" { 1 } else { u64::MAX };
        (&mut input).take(most).read_to_string(&mut text)?;
        kept.lock().unwrap().push(input);
        start_response.start(Status::OK, &[])?;
        Ok(format!("{} {text}", environ.raw_path()))
    }
}

fn post(path: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n")
}

/// The client is told to send its body, which the application thus reads from the connection itself.
fn continued(client: &mut Client, path: &str) {
    client.send(post(path));
    assert_eq!(client.reply().code, 100);
}

/// H1-FRM-16: the request that arrives together with the end of a body is the next one, whoever has the input.
#[test]
fn the_next_request_is_read_although_the_input_is_kept() {
    let kept = Kept::default();
    let site = Site::new(config(), app_fn(keeping(&kept)));
    let mut client = site.connect();
    for path in ["/all", "/part"] {
        continued(&mut client, path);
        client.send([&b"5\r\nhello\r\n0\r\n\r\n"[..], GET].concat());
        client.reply().is(200, if path == "/all" { "/all hello" } else { "/part h" });
        client.reply().is(200, "/ ");
    }
    assert_eq!(kept.lock().unwrap().len(), 4);
}

/// GW-IN-06, GW-DEF-04: after the request, an input that was read to its end is at its end, and another one is an error.
#[test]
fn a_kept_input_never_seems_to_end_early() {
    let kept = Kept::default();
    let site = Site::new(config(), app_fn(keeping(&kept)));
    let rest = || {
        let input = &mut kept.lock().unwrap().pop().unwrap();
        input.read_to_string(&mut String::new()).map_err(|error| error.kind())
    };
    for length in [5, 100_000] {
        let content = "x".repeat(length);
        for framing in [
            format!("Content-Length: {length}\r\n\r\n{content}"),
            format!("Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{content}\r\n0\r\n\r\n"),
        ] {
            let request = |path: &str| format!("POST {path} HTTP/1.1\r\nHost: a\r\n{framing}");
            let mut client = site.connect();
            client.ask(request("/all")).is(200, &format!("/all {content}"));
            client.ask(GET).is(200, "/ ");
            rest().unwrap(); // of the request without a body
            assert_eq!(rest(), Ok(0));
            client.ask(request("/part")).is(200, "/part x");
            if length == 5 {
                client.ask(GET).is(200, "/ ");
                rest().unwrap();
                assert_eq!(rest(), Err(ErrorKind::UnexpectedEof));
            } else {
                // Whoever is quick may still get it all, and never a part.
                assert!(matches!(rest(), Ok(99_999) | Err(ErrorKind::UnexpectedEof)));
            }
        }
    }
}

/// Somebody who reads on in another thread, while the server reads past what is left, takes nothing of what follows: the
/// connection goes on behind the body, or it ends.
#[test]
fn a_reader_elsewhere_does_not_disturb_what_follows() {
    let kept = Kept::default();
    let site = Site::new(config(), app_fn(keeping(&kept)));
    for _ in 0..20 {
        let mut client = site.connect();
        continued(&mut client, "/part");
        client.send(b"5\r\nhe");
        client.reply().is(200, "/part h");
        let mut input = kept.lock().unwrap().pop().unwrap();
        let reader = thread::spawn(move || input.read_to_string(&mut String::new()));
        client.send([&b"llo\r\n0\r\n\r\n"[..], GET].concat());
        match client.next() {
            Ok(reply) => reply.is(200, "/ "),
            Err(broken) => assert_eq!(broken, Broken { received: vec![], end: End::Clean }),
        }
        match reader.join().unwrap() {
            Ok(length) => assert_eq!(length, 4),
            Err(error) => assert_eq!(error.kind(), ErrorKind::UnexpectedEof),
        }
    }
}

/// H1-CONT-05: a thread that begins to read while the answer begins has its 100 before the answer, or never.
#[test]
fn no_100_behind_the_head_of_an_answer() {
    let app = app_fn(|environ, start_response| {
        let mut input = environ.take_input();
        let start = Arc::new(Barrier::new(2));
        let other = Arc::clone(&start);
        thread::spawn(move || {
            other.wait();
            let _ = input.read(&mut [0; 8]);
        });
        let writer = start_response.start(Status::OK, &[("Content-Length", "8")])?;
        start.wait();
        let spins = environ.raw_path()[1..].parse::<u32>().unwrap_or(0);
        (0..spins).for_each(|_| std::hint::spin_loop());
        writer.write_all(b"answ")?;
        thread::sleep(ms(1));
        Ok::<_, Error>("ered")
    });
    let site = Site::new(config(), app);
    for spins in 0..1000 {
        let mut client = site.connect();
        client.send(format!("POST /{spins} HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"));
        client.finish();
        let (received, end) = client.read_to_the_end();
        let text = String::from_utf8(received).unwrap();
        let answer = text.strip_prefix("HTTP/1.1 100 Continue\r\n\r\n").unwrap_or(&text);
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nanswered"), "{end:?} {text}");
    }
}
