//! Heads that are those of the request before, as a whole or in part: they are answered as if they were the first.

use std::io::Read;

use gateway_spec::{Environ, Error, StartResponse, Status};

use crate::support::{Site, config};

/// Tells everything that it sees of a request.
fn told(environ: &mut Environ<'_>, start_response: &mut dyn StartResponse) -> Result<String, Error> {
    let mut body = String::new();
    environ.input().read_to_string(&mut body)?;
    start_response.start(Status::OK, &[])?;
    let line = format!("{} {} {}", environ.method(), environ.request_uri(), environ.version().as_str());
    let fields = environ.headers().map(|(name, value)| format!("{name}={}", String::from_utf8_lossy(value)));
    Ok(format!("{line} {:?} {} {:?} [{body}]", environ.path_info(), environ.host(), fields.collect::<Vec<_>>()))
}

/// Each differs from the one before in another way, or in none.
const REQUESTS: [&str; 16] = [
    "GET /a HTTP/1.1\r\nHost: a\r\nX: 1\r\nCookie: b=c\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\nX: 1\r\nCookie: b=c\r\n\r\n",
    "GET /b?c HTTP/1.1\r\nHost: a\r\nX: 1\r\nCookie: b=c\r\n\r\n",
    "GET /b?c HTTP/1.1\r\nHost: a\r\nX: 20\r\nCookie: b=c\r\n\r\n",
    "\r\nGET /b?c HTTP/1.1\r\nHost: a\r\nX: 20\r\nCookie: b=c\r\n\r\n",
    "GET /b?c HTTP/1.1\r\nHost: a\r\nX: 20\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nX: 20\r\nContent-Length: 3\r\n\r\nabc",
    "POST / HTTP/1.1\r\nHost: a\r\nX: 20\r\nContent-Length: 3\r\n\r\nGET",
    "POST / HTTP/1.1\r\nHost: a\r\nX: 20\r\nContent-Length: 0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nX: 20\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nde\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nX: 20\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: bc\r\nX: 20\r\n\r\n",
    "GET / HTTP/1.1\r\nhost:bc\r\nX: 20\r\n\r\n",
    "GET / HTTP/1.1\r\nhost:bc\r\nX: 20\r\n\r\n",
    "GET / HTTP/1.1\r\nX: 20\r\nHost: bc\r\n\r\n",
    "GET / HTTP/1.1\r\nX: 20\r\nHost: bc\r\n\r\n",
];

#[test]
fn heads_that_repeat_are_answered_as_if_they_were_the_first() {
    let site = Site::new(config(), told);
    let expected = REQUESTS.map(|request| site.connect().ask(request).body);
    let all = REQUESTS.concat();
    for cut in 0..all.len() {
        let mut client = site.connect();
        let (first, second) = all.split_at(cut);
        client.send(first);
        // What is whole is answered before the rest is sent: so the server has seen where the cut is.
        let mut whole = 0;
        let mut answered = 0;
        for (request, body) in REQUESTS.iter().zip(&expected) {
            whole += request.len();
            if whole <= cut {
                assert_eq!(client.reply().body, *body, "cut at {cut}");
                answered += 1;
            }
        }
        client.send(second);
        for body in &expected[answered..] {
            assert_eq!(client.reply().body, *body, "cut at {cut}");
        }
    }
}

/// What the fields say of the request is that of these fields, whatever those before said.
#[test]
fn fields_that_change_count() {
    let site = Site::new(config(), told);
    let heads = [
        "Host: a\r\nConnection: keep-alive\r\n",
        "Host: b\r\nConnection: keep-alive\r\n",
        "Host: b\r\nConnection: keep-alive\r\nExpect: 100-continue\r\n",
        "Host: b\r\nConnection: close\r\n",
    ];
    let mut client = site.connect();
    for head in heads {
        let reply = client.ask(format!("GET / HTTP/1.1\r\n{head}\r\n"));
        assert_eq!((reply.code, reply.closes()), (200, head.contains("close")), "{head}");
    }
    client.must_end();
    for (bad, code) in [
        ("Host: a,b\r\nX: 1\r\n", 400),
        ("Host: a\r\nHost: a\r\n", 400),
        ("Hast: a\r\nX: 1\r\n", 400),
        ("X: 1\r\n", 400),
        ("Host: a\r\nTransfer-Encoding: gzip\r\n", 400),
        ("Host: a\r\nExpect: x\r\n", 417),
        ("Host: a\r\nContent-Length: x\r\n", 400),
        ("Host: a\r\nX: 1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n", 400),
    ] {
        let mut client = site.connect();
        for fields in ["Host: a\r\nX: 1\r\n", "Host: a\r\nX: 2\r\n", "Host: a\r\nX: 1\r\n"] {
            assert_eq!(client.ask(format!("GET / HTTP/1.1\r\n{fields}\r\n")).code, 200);
        }
        assert_eq!(client.ask(format!("GET / HTTP/1.1\r\n{bad}\r\n")).code, code, "{bad}");
        client.must_end();
    }
}
