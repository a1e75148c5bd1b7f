//! The test client as such. What the server side of it owes to the contract is tested by `tests/contract.rs`, as for
//! every server.

use std::io::{self, Read};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::time::Duration;

use gateway_spec::{Blocks, Body, Bytes, Environ, Error, Scheme, StartResponse, Status, app_fn, percent_decode};

use super::*;

/// Tells what it was asked.
fn mirror(environ: &mut Environ<'_>, start_response: &mut dyn StartResponse) -> Result<String, Error> {
    let mut body = String::new();
    environ.input().read_to_string(&mut body)?;
    start_response.start(Status::OK, &[("Content-Type", "text/plain")])?;
    let variable = |name: &str| environ.get(name).map_or("-".to_owned(), |value| value.to_latin1().into_owned());
    Ok(format!(
        "{} {}|{}?{} {} {} host={} type={} length={} cookie={} body={body}",
        environ.method(),
        variable("SCRIPT_NAME"),
        variable("PATH_INFO"),
        environ.query_string(),
        variable("SERVER_PROTOCOL"),
        environ.url(),
        variable("HTTP_HOST"),
        variable("CONTENT_TYPE"),
        variable("CONTENT_LENGTH"),
        variable("HTTP_COOKIE"),
    ))
}

/// GW-REF-30: what a test leaves out is what a usual request has.
#[test]
fn a_request_is_what_was_asked_for() {
    let client = Client::new(mirror);
    assert_eq!(
        client.get("/a%20b?x=1").send().checked().text(),
        "GET |/a b?x=1 HTTP/1.1 http://localhost/a%20b?x=1 host=localhost type=- length=- cookie=- body="
    );
    assert_eq!(
        client.post("/").form(&[("name", "Ada & Co"), ("ü", "1+1")]).send().text(),
        "POST |/? HTTP/1.1 http://localhost/ host=localhost type=application/x-www-form-urlencoded length=28 \
         cookie=- body=name=Ada+%26+Co&%C3%BC=1%2B1"
    );
    let reader = client.put("/").header("Host", "example.org:81").reader("streamed".as_bytes()).send().text();
    assert!(reader.contains("host=example.org:81 type=- length=- "), "{reader}");
    assert!(reader.ends_with("body=streamed"), "{reader}");
    let old = client.get("/").http10().send();
    assert!(old.text().contains("HTTP/1.0 http://localhost/ host=- "), "{}", old.text());
    let json = client.patch("/").json("{}").send().text();
    assert!(json.contains("type=application/json length=2"), "{json}");
    assert!(client.get("/").query(&[("a", "b c")]).query(&[("d", "")]).send().text().contains("?a=b+c&d= "));
    assert!(client.options("*").send().text().starts_with("OPTIONS |? "));
    let secure = Client::new(mirror).scheme(Scheme::Https).get("/").send().text();
    assert!(secure.contains("https://localhost/ "), "{secure}");
}

#[test]
fn a_mount_is_seen_by_the_application_and_not_by_the_test() {
    for (target, seen) in [("/a/b?q", "/x y|/a/b?q"), ("", "/x y|?"), ("/", "/x y|/?")] {
        let text = Client::new(mirror).mounted("/x y/").get(target).send().text();
        assert!(text.starts_with(&format!("GET {seen} ")), "{target}: {text}");
    }
}

#[test]
fn what_no_server_would_take_does_not_reach_the_application() {
    let client = Client::new(app_fn(|_, _| -> Result<(), Error> { panic!("called") }));
    for target in ["", "no-slash", "/a b", "/100%", "/%zz", "/%00", "/a#b", "/\u{e9}", "*", "/\r\nX: y"] {
        let response = client.get(target).send();
        assert_eq!((response.status, response.log.as_str()), (400, ""), "{target:?}");
    }
    assert_eq!(client.options("*").send().status, 500);
}

#[test]
fn a_body_that_breaks_is_an_error_of_the_input() {
    let client = Client::new(mirror).max_body(8);
    for (kind, status) in
        [(io::ErrorKind::UnexpectedEof, 400), (io::ErrorKind::InvalidData, 400), (io::ErrorKind::TimedOut, 408)]
    {
        for after in [0, 3, 8] {
            let response = client.post("/").body("12345678").breaks_after(after, kind).send();
            assert_eq!(response.status, status, "{kind} after {after}");
            assert!(response.continued);
        }
    }
    assert_eq!(client.post("/").body("12345678").send().status, 200);
    assert_eq!(client.post("/").reader("12345678".as_bytes()).send().status, 200);
    assert_eq!(client.post("/").reader("123456789".as_bytes()).send().status, 413);
    let refused = client.post("/").body("123456789").send();
    assert_eq!((refused.status, refused.continued), (413, false), "refused by its length");
    let unread = Client::new(app_fn(|_, start_response| {
        start_response.start(Status::NO_CONTENT, &[])?;
        Ok(())
    }));
    let response = unread.post("/").body("x").breaks_after(0, io::ErrorKind::UnexpectedEof).send();
    assert_eq!((response.status, response.continued), (204, false), "who does not read does not see it");
}

#[test]
fn blocks_are_pulled_one_at_a_time() {
    let made = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&made);
    let client = Client::new(app_fn(move |_, start_response| {
        let count = Arc::clone(&count);
        start_response.start(Status::OK, &[])?.write_all(b"written")?;
        Ok(Body::blocks(["", "one", "two"].into_iter().inspect(move |_| {
            count.fetch_add(1, Relaxed);
        })))
    }));
    let mut stream = client.get("/").stream();
    assert_eq!((stream.status(), made.load(Relaxed)), (Some(200), 0), "a write sends the head");
    assert_eq!(stream.pull(), Pulled::Block("written".into()));
    assert_eq!((stream.pull(), made.load(Relaxed)), (Pulled::NothingYet, 1));
    assert_eq!((stream.pull(), made.load(Relaxed)), (Pulled::Block("one".into()), 2));
    assert_eq!(stream.next_block(), Some("two".into()));
    assert_eq!((stream.pull(), stream.pull()), (Pulled::End, Pulled::End));
    let response = stream.finish();
    assert_eq!((response.closes, response.framing), (1, Framing::Chunked));
}

#[test]
fn a_client_that_leaves_closes_the_body() {
    struct Closing(Arc<AtomicUsize>);
    impl Blocks for Closing {
        fn next(&mut self, _: &mut dyn StartResponse) -> Option<Result<Bytes, Error>> {
            Some(Ok("block".into()))
        }
    }
    impl Drop for Closing {
        fn drop(&mut self) {
            self.0.fetch_add(1, Relaxed);
        }
    }
    let closed = Arc::new(AtomicUsize::new(0));
    let gone = Arc::new(Mutex::new(None));
    let (counter, connection) = (Arc::clone(&closed), Arc::clone(&gone));
    let client = Client::new(app_fn(move |environ, start_response| {
        start_response.start(Status::OK, &[])?;
        *connection.lock().unwrap() = environ.connection();
        Ok(Body::from_blocks(Closing(Arc::clone(&counter))))
    }));
    let mut stream = client.get("/").stream();
    assert_eq!(stream.next_block(), Some("block".into()));
    assert!(!gone.lock().unwrap().as_ref().unwrap().client_gone());
    stream.leave();
    assert_eq!(closed.load(Relaxed), 1);
    assert!(gone.lock().unwrap().as_ref().unwrap().client_gone());
    let response = stream.finish();
    assert_eq!((response.cut.as_deref(), response.closes), (Some("the client has left"), 1));
    drop(client.get("/").stream());
    assert_eq!(closed.load(Relaxed), 2, "also when nothing was read");
}

/// A body that has nothing to say until it is woken, or ever.
struct Waiting {
    rings: Option<std::sync::mpsc::Sender<Waker>>,
    asked: usize,
}

impl Blocks for Waiting {
    fn next(&mut self, _: &mut dyn StartResponse) -> Option<Result<Bytes, Error>> {
        self.asked += 1;
        if self.asked < 3 || self.rings.is_none() {
            return Some(Ok(Bytes::new()));
        }
        (self.asked == 3).then(|| Ok("at last".into()))
    }

    fn set_waker(&mut self, waker: &Waker) {
        if let Some(rings) = &self.rings {
            rings.send(waker.clone()).unwrap();
        }
    }
}

#[test]
fn a_body_can_wait_and_wake() {
    let (sender, receiver) = std::sync::mpsc::channel::<Waker>();
    let bell = std::thread::spawn(move || receiver.into_iter().map(Waker::wake).count());
    let sender = Mutex::new(Some(sender));
    let client = Client::new(app_fn(move |_, start_response| {
        start_response.start(Status::OK, &[])?;
        Ok(Body::from_blocks(Waiting { rings: sender.lock().unwrap().take(), asked: 0 }))
    }))
    .patience(Duration::from_millis(20));
    assert_eq!(client.get("/").send().text(), "at last");
    assert_eq!(bell.join().unwrap(), 2);
    let response = client.get("/").send();
    assert_eq!(response.cut.as_deref(), Some("the client's patience is over"));
    assert_eq!((response.status, response.closes), (0, 1), "there never was a head");
}

#[test]
fn cookies_are_kept_if_asked_for() {
    let app = app_fn(|environ, start_response| {
        if environ.path_info() == "/set" {
            start_response.start(Status::OK, &[("Set-Cookie", "a=1; Path=/"), ("set-cookie", "b=2")])?;
            return Ok(String::new());
        }
        mirror(environ, start_response)
    });
    let client = Client::new(&app as &(dyn Fn(&mut Environ<'_>, &mut dyn StartResponse) -> _ + Send + Sync)).cookies();
    client.get("/set").send();
    assert_eq!((client.cookie("a").as_deref(), client.cookie("c")), (Some("1"), None));
    assert!(client.get("/").send().text().contains("cookie=a=1; b=2 "));
    let response = client.get("/").header("Cookie", "own=1").send();
    assert!(response.text().contains("cookie=own=1; a=1; b=2 "), "{}", response.text());
    let forgetful = Client::new(app);
    forgetful.get("/set").send();
    assert!(forgetful.get("/").send().text().contains("cookie=- "));
}

/// `/to/STATUS?LOCATION` redirects; all else tells what it was asked.
fn redirecting(environ: &mut Environ<'_>, start_response: &mut dyn StartResponse) -> Result<String, Error> {
    let path = environ.path_info().to_string_lossy().into_owned();
    if let Some(code) = path.strip_prefix("/to/").and_then(|code| code.parse().ok()) {
        let location = percent_decode(environ.query_string()).ok_or("bad escape")?.into_owned();
        let location = String::from_utf8(location)?;
        start_response.start(Status::from_code(code)?, &[("Location", &location), ("Set-Cookie", "r=1; Path=/")])?;
        return Ok(String::new());
    }
    mirror(environ, start_response)
}

#[test]
fn redirects_are_followed_as_browsers_do() {
    let client = Client::new(redirecting).mounted("/m").redirects(3).cookies();
    for (status, method, expected) in [
        (301, "POST", "GET"),
        (302, "POST", "GET"),
        (302, "PUT", "PUT"),
        (303, "PUT", "GET"),
        (303, "HEAD", "HEAD"),
        (307, "POST", "POST"),
        (308, "PUT", "PUT"),
    ] {
        let response = client.request(method, &format!("/to/{status}?/m/end")).form(&[("a", "b")]).send();
        assert_eq!(response.redirected_from, [format!("/to/{status}?/m/end")]);
        if method != "HEAD" {
            let text = response.text();
            assert!(text.starts_with(&format!("{expected} /m|/end? ")), "{status} {method}: {text}");
            assert!(text.contains("cookie=r=1"), "{text}");
            assert_eq!(text.contains("body=a=b"), expected != "GET", "{status} {method}: {text}");
            assert_eq!(text.contains("type=-"), expected == "GET", "{status} {method}: {text}");
        }
    }
}

#[test]
fn where_redirects_lead() {
    let client = Client::new(redirecting).mounted("/m").redirects(1);
    for (location, seen) in [
        ("/m/a?b=c#d", Some("/m|/a?b=c ")),
        ("http://localhost/m/a", Some("/m|/a? ")),
        ("next", Some("/m|/to/next? ")),
        ("/m", Some("/m|? ")),
        ("/m?q", Some("/m|?q ")),
        ("/other", None),
        ("/mm", None),
        ("http://example.org/m/a", None),
        ("//example.org/m/a", None),
    ] {
        let response = client.get(&format!("/to/302?{}", location.replace('#', "%23"))).send();
        match seen {
            Some(seen) => {
                assert!(response.text().starts_with(&format!("GET {seen}")), "{location}: {}", response.text())
            }
            None => assert_eq!((response.status, response.redirected_from.len()), (302, 0), "{location}"),
        }
    }
    let chain = client.get("/to/302?/m/to/302").send();
    assert_eq!((chain.status, chain.redirected_from.len()), (302, 1), "no more than allowed");
    let streamed = client.post("/to/307?/m/end").reader("x".as_bytes()).send();
    assert_eq!(streamed.status, 307, "a reader cannot be sent twice");
}

#[test]
fn an_observer_sees_blocks_before_the_application_goes_on() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (log, sent) = (Arc::clone(&seen), Arc::clone(&seen));
    let client = Client::new(app_fn(move |_, start_response| {
        let writer = start_response.start(Status::OK, &[])?;
        for block in ["a", "b"] {
            writer.write_all(block.as_bytes())?;
            log.lock().unwrap().push(format!("wrote {block}"));
        }
        Ok("c")
    }));
    let response =
        client.get("/").observe(move |block| sent.lock().unwrap().push(format!("sent {block:?}"))).send().checked();
    assert_eq!(response.text(), "abc");
    assert_eq!(*seen.lock().unwrap(), ["sent b\"a\"", "wrote a", "sent b\"b\"", "wrote b", "sent b\"c\""]);
}

#[test]
#[should_panic(expected = "is set by `body` and `reader`")]
fn framing_is_not_a_header() {
    let _ = Client::new(mirror).get("/").header("content-LENGTH", "5");
}

#[test]
#[should_panic(expected = "no name")]
fn checked_panics_with_the_log() {
    let _ = Client::new(app_fn(|_, _| Err::<(), Error>("no name".into()))).get("/").send().checked();
}
