//! The filter adapter with every shape of response, and each middleware around plain applications.

#[path = "../src/testing.rs"]
mod testing;

use std::io::{Read, Write};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use framework_mini::middleware::{
    AccessLog, BasicAuth, BodyLimit, CatchPanic, ConditionalGet, Content, Cors, CrossOriginCheck, Filter, Interest,
    MethodOverride, RequestId, RequestIds, ResponseHead, SecurityHeaders, filter,
};
use framework_mini::{App, Status, Stream};
use gateway_spec::{Application, Blocks, Body, Bytes, Environ, Error, Misuse, StartResponse};
use testing::TestRequest;

type Start<'a> = &'a mut dyn StartResponse;

/// Makes letters upper-case, and adds an end.
struct Shout<A>(A);

struct Upper(usize);

impl<A: Application> Application for Shout<A> {
    fn call(&self, environ: &mut Environ<'_>, start_response: Start<'_>) -> Result<Body, Error> {
        filter(&self.0, environ, start_response, Upper(0))
    }
}

impl Filter for Upper {
    fn head(&mut self, head: &mut ResponseHead, _: &Content<'_>) -> Result<Interest, Error> {
        head.remove("Content-Length");
        head.add("X-Upper", "1");
        Ok(if head.get("X-Drop").is_some() { Interest::Drop } else { Interest::Blocks })
    }

    fn block(&mut self, block: Bytes) -> Result<Bytes, Error> {
        self.0 += 1;
        Ok(block.to_ascii_uppercase().into())
    }

    fn end(&mut self) -> Result<Bytes, Error> {
        Ok(format!("!{}", self.0).into())
    }
}

/// One block for each iteration; counts its drops.
struct Counted(std::vec::IntoIter<&'static str>, Arc<AtomicU32>);

impl Blocks for Counted {
    fn next(&mut self, _: Start<'_>) -> Option<Result<Bytes, Error>> {
        self.0.next().map(|block| Ok(block.into()))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.1.fetch_add(1, Ordering::Relaxed);
    }
}

/// Every way a response can happen, by path.
fn shapes(environ: &mut Environ<'_>, start: Start<'_>) -> Result<Body, Error> {
    let length = |n: &'static str| [("Content-Length", n), ("Content-Type", "text/plain")];
    match environ.path_info().to_string_lossy().as_ref() {
        "/block" => {
            start.start(Status::OK, &length("3"))?;
            Ok("abc".into())
        }
        "/empty" => {
            start.start(Status::OK, &[])?;
            Ok(Body::empty())
        }
        "/blocks" => {
            start.start(Status::OK, &[])?;
            Ok(Body::blocks(["a", "", "b"]))
        }
        "/late" => {
            let mut blocks = ["", "a", "b"].into_iter();
            let mut count = 0;
            Ok(Body::late(move |start| {
                count += 1;
                if count == 2
                    && let Err(error) = start.start(Status::CREATED, &[("X-Late", "1")])
                {
                    return Some(Err(error));
                }
                blocks.next().map(|block| Ok(block.into()))
            }))
        }
        "/write" => {
            let writer = start.start(Status::OK, &[])?;
            writer.write_all(b"")?;
            writer.write_all(b"w1")?;
            start.writer().write_all(b"w2")?;
            Ok("body".into())
        }
        "/again" => {
            start.start(Status::OK, &[("X-First", "1")])?;
            start.restart(Status::IM_A_TEAPOT, &[], "boiled over".into())?;
            Ok("page".into())
        }
        "/late-again" => {
            start.start(Status::OK, &[])?;
            let mut blocks = 0;
            Ok(Body::late(move |start| {
                blocks += 1;
                match blocks {
                    1 => Some(start.restart(Status::IM_A_TEAPOT, &[], "boiled over".into()).map(|_| "page".into())),
                    _ => None,
                }
            }))
        }
        "/too-late" => {
            start.start(Status::OK, &[])?.write_all(b"x")?;
            start.restart(Status::IM_A_TEAPOT, &[], "boiled over".into())?;
            Ok("never".into())
        }
        "/twice" => {
            start.start(Status::OK, &[])?;
            start.start(Status::OK, &[])?;
            Ok("never".into())
        }
        "/no-start" => Ok(Body::blocks(["x"])),
        "/short" => {
            start.start(Status::OK, &length("5"))?;
            Ok(Body::blocks(["abc"]))
        }
        "/short-block" => {
            start.start(Status::OK, &length("5"))?;
            Ok("abc".into())
        }
        "/long" => {
            start.start(Status::OK, &length("2"))?;
            Ok(Body::blocks(["abc"]))
        }
        "/long-write" => {
            start.start(Status::OK, &length("2"))?.write_all(b"abc")?;
            Ok(Body::empty())
        }
        "/drop" => {
            start.start(Status::OK, &[("X-Drop", "1")])?;
            Ok(Body::blocks(["a", "b"]))
        }
        "/body-fails" => {
            start.start(Status::OK, &[])?;
            Ok(Body::try_blocks([Ok("a"), Err(Error::from("lost"))]))
        }
        "/panic" => panic!("at\nonce"),
        "/panic-body" => {
            start.start(Status::OK, &[])?;
            Ok(Body::late(|_| panic!("in the body")))
        }
        "/panic-late" => {
            start.start(Status::OK, &[])?;
            let mut first = true;
            Ok(Body::late(move |_| {
                assert!(std::mem::take(&mut first), "after the first block");
                Some(Ok("a".into()))
            }))
        }
        _ => Err("no such shape".into()),
    }
}

#[test]
fn every_shape_of_response_passes_a_filter() {
    for (path, code, text) in [
        ("/block", 200, "ABC!1"),
        ("/empty", 200, "!1"),
        ("/blocks", 200, "AB!2"),
        ("/late", 201, "AB!2"),
        ("/write", 200, "W1W2BODY!3"),
        ("/again", 418, "PAGE!1"),
        ("/late-again", 418, "PAGE!1"),
        ("/long", 200, "AB!1"),
        ("/drop", 200, ""),
    ] {
        for layers in 1..=2 {
            let response = match layers {
                1 => TestRequest::get(path).send(&Shout(shapes)),
                _ => TestRequest::get(path).send(&RequestIds::new(Shout(shapes))),
            };
            assert_eq!((response.code(), response.text().as_str()), (code, text), "{path}");
            assert_eq!(response.all("X-Upper"), ["1"], "{path}");
            assert_eq!(response.header("X-First"), None);
            assert_eq!(response.header("X-Late").is_some(), path == "/late");
            assert_eq!(response.header("X-Request-Id").is_some(), layers == 2);
        }
    }
}

#[test]
fn breaches_and_errors_come_out_of_a_filter_as_they_went_in() {
    for (path, rule) in [
        ("/too-late", "boiled over"),
        ("/twice", "GW-SR-10"),
        ("/no-start", "GW-SR-03"),
        ("/short", "GW-CL-03"),
        ("/short-block", "GW-CL-03"),
        ("/long-write", "GW-CL-02"),
        ("/body-fails", "lost"),
        ("/other", "no such shape"),
    ] {
        let error = TestRequest::get(path).try_send(&Shout(shapes)).unwrap_err();
        assert!(error.to_string().contains(rule), "{path}: {error}");
        let plain = TestRequest::get(path).try_send(&shapes).unwrap_err();
        assert_eq!(error.to_string(), plain.to_string(), "{path}: the filter changes the error");
        assert_eq!(error.downcast_ref::<Misuse>().is_some(), plain.downcast_ref::<Misuse>().is_some(), "{path}");
    }
    let mut head = TestRequest::get("/short-block");
    head.method = "HEAD".into();
    let response = head.send(&RequestIds::new(|_: &mut Environ<'_>, start: Start<'_>| {
        start.start(Status::OK, &[("Content-Length", "5")])?;
        Ok(())
    }));
    assert_eq!(response.header("Content-Length"), Some("5"));
}

/// Of a block that is longer than its length says, no filter sees what is not sent (GW-CL-01).
#[test]
fn a_block_goes_as_far_as_its_length() {
    let long = |_: &mut Environ<'_>, start: Start<'_>| {
        start.start(Status::OK, &[("Content-Length", "2")])?;
        Ok("abc")
    };
    assert_eq!(TestRequest::get("/").send(&Shout(long)).text(), "AB!1");
    struct Looks;
    impl Filter for Looks {
        fn head(&mut self, head: &mut ResponseHead, content: &Content<'_>) -> Result<Interest, Error> {
            assert!(matches!(content, Content::Whole(block) if *block == "ab"), "{head:?} {content:?}");
            Ok(Interest::Head)
        }
    }
    let layer = move |environ: &mut Environ<'_>, start: Start<'_>| filter(&long, environ, start, Looks);
    assert_eq!(TestRequest::get("/").send(&layer).text(), "ab");
}

/// The inner body is dropped once, at the end, when it is cut, and when the filter wants no body.
#[test]
fn the_inner_body_is_closed_once() {
    for (headers, stop_early) in [(vec![], false), (vec![], true), (vec![("X-Drop", "1")], false)] {
        let drops = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&drops);
        let application = Shout(move |_: &mut Environ<'_>, start: Start<'_>| {
            start.start(Status::OK, &headers)?;
            Ok(Body::from_blocks(Counted(vec!["a", "b", "c"].into_iter(), Arc::clone(&count))))
        });
        if stop_early {
            struct Nowhere;
            impl StartResponse for Nowhere {
                fn start_response(
                    &mut self,
                    _: Status,
                    _: &[(&str, &str)],
                    _: Option<Error>,
                ) -> Result<&mut dyn Write, Error> {
                    Ok(Box::leak(Box::new(std::io::sink())))
                }
                fn writer(&mut self) -> &mut dyn Write {
                    Box::leak(Box::new(std::io::sink()))
                }
            }
            TestRequest::get("/").with(|environ| {
                let mut body = application.call(environ, &mut Nowhere).unwrap();
                assert_eq!(body.next(&mut Nowhere).unwrap().unwrap(), "A");
                assert_eq!(drops.load(Ordering::Relaxed), 0);
            });
        } else {
            TestRequest::get("/").send(&application);
        }
        assert_eq!(drops.load(Ordering::Relaxed), 1);
    }
}

/// One block, if empty, for each from behind, also where the filter wants no body (GW-MW-04).
#[test]
fn a_block_for_each_block() {
    for (path, blocks) in [("/blocks", 4), ("/drop", 1), ("/late", 4)] {
        let yields = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&yields);
        let inner = Shout(shapes);
        let counting = move |environ: &mut Environ<'_>, start: Start<'_>| {
            let mut body = inner.call(environ, start)?;
            let count = Arc::clone(&count);
            Ok(Body::late(move |start| {
                let next = body.next(start);
                count.fetch_add(u32::from(next.is_some()), Ordering::Relaxed);
                next
            }))
        };
        TestRequest::get(path).send(&counting);
        assert_eq!(yields.load(Ordering::Relaxed), blocks, "{path}");
    }
}

/// A filter that wants only the head leaves a block a block and a file a file, so that servers keep their short ways.
#[test]
fn what_is_not_looked_at_stays_what_it_is() {
    struct Nothing;
    impl StartResponse for Nothing {
        fn start_response(&mut self, _: Status, _: &[(&str, &str)], _: Option<Error>) -> Result<&mut dyn Write, Error> {
            Ok(self)
        }
        fn writer(&mut self) -> &mut dyn Write {
            self
        }
    }
    impl Write for Nothing {
        fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
            Ok(buffer.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let file = |_: &mut Environ<'_>, start: Start<'_>| {
        start.start(Status::OK, &[])?;
        Ok(Body::file(std::fs::File::open(file!().rsplit('/').next().map(|n| format!("tests/{n}")).unwrap())?, 3, 7))
    };
    TestRequest::get("/").with(|environ| {
        let body = SecurityHeaders::new(RequestIds::new(AccessLog::new(file))).call(environ, &mut Nothing).unwrap();
        let file = body.into_file().unwrap_or_else(|_| panic!("no file any more"));
        assert_eq!((file.offset(), file.remaining()), (3, 7));
    });
    TestRequest::get("/block").with(|environ| {
        let body = SecurityHeaders::new(RequestIds::new(shapes)).call(environ, &mut Nothing).unwrap();
        assert_eq!(body.into_block().unwrap_or_else(|_| panic!("no block any more")), "abc");
    });
}

#[test]
fn access_log() {
    let lines = Arc::new(Mutex::new(String::new()));
    let log = |json: bool| {
        let sink = Arc::clone(&lines);
        let log = AccessLog::new(RequestIds::new(shapes)).to(move |line| sink.lock().unwrap().push_str(line));
        if json { log.json() } else { log }
    };
    let request =
        |path: &str| TestRequest::get(path).header("User-Agent", "x\"\r\n\u{1b}[31m").header("Referer", "/from");
    let take = || std::mem::take(&mut *lines.lock().unwrap());
    let id = request("/blocks?q=\"").send(&log(false)).header("X-Request-Id").unwrap().to_owned();
    let line = take();
    assert!(line.starts_with("127.0.0.1 - - ["), "{line}");
    assert!(line.contains(r#"+0000] "GET /blocks?q=\" HTTP/1.1" 200 2 "/from" "x\"\r\n\u{1b}[31m" "#), "{line}");
    assert!(line.ends_with(&format!("ms {id}\n")) && line.lines().count() == 1, "{line}");
    // What fails after the head is a line too, and says that it was cut.
    request("/body-fails").try_send(&log(false)).unwrap_err();
    assert!(take().contains(" 200 1 ") && lines.lock().unwrap().is_empty());
    request("/other").try_send(&log(false)).unwrap_err();
    let line = take();
    assert!(line.contains(" - 0 ") && line.ends_with("cut\n"), "{line}");
    request("/write").send(&log(true));
    let line = take();
    let json: serde_json::Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
    assert_eq!(
        (json["status"].as_u64(), json["bytes"].as_u64(), json["whole"].as_bool()),
        (Some(200), Some(8), Some(true))
    );
    assert_eq!(json["request"], "GET /write HTTP/1.1");
    request(&format!("/block?{}", "x".repeat(100_000))).send(&log(false));
    assert!(take().len() < 4000);
    // What is no answer has no status either: the server answers for it.
    request("/short-block").try_send(&log(false)).unwrap_err();
    let line = take();
    assert!(line.contains(" - 0 ") && line.ends_with("cut\n"), "{line}");
}

/// A server asks for nothing beyond the length, and for nothing more where no content is sent (GW-CL-02, GW-DEF-09).
/// Such a response is whole.
#[test]
fn a_filter_knows_the_end_that_nobody_asks_for() {
    let exact = |environ: &mut Environ<'_>, start: Start<'_>| {
        let head = [("Content-Length", "6"), ("Content-Type", "text/plain")];
        let more = |done: usize| Body::blocks(["abc", "def", "ghi"].into_iter().skip(done));
        match environ.path_info().to_string_lossy().as_ref() {
            "/blocks" => start.start(Status::OK, &head).map(|_| more(0)),
            "/write" => {
                start.start(Status::OK, &head)?.write_all(b"abcdef")?;
                Ok(Body::empty())
            }
            "/write-and-blocks" => {
                start.start(Status::OK, &head)?.write_all(b"abc")?;
                Ok(more(1))
            }
            "/late" => {
                let mut body = more(0);
                let mut started = false;
                Ok(Body::late(move |start| {
                    if !std::mem::replace(&mut started, true)
                        && let Err(error) = start.start(Status::OK, &head)
                    {
                        return Some(Err(error));
                    }
                    body.next(start)
                }))
            }
            "/late-write" => Ok(Body::late(move |start| {
                let written = start.start(Status::OK, &head).and_then(|writer| Ok(writer.write_all(b"abcdef")?));
                Some(written.map(|()| Bytes::new()))
            })),
            "/nothing" => {
                start.start(Status::OK, &[("Content-Length", "0")])?;
                Ok(Body::late(|_| unreachable!("nobody asks")))
            }
            _ => {
                start.start(Status::OK, &[])?;
                Ok(Body::blocks(std::iter::repeat("for ever")))
            }
        }
    };
    let lines = Arc::new(Mutex::new(String::new()));
    let sink = Arc::clone(&lines);
    let layers = AccessLog::new(Shout(exact)).to(move |line| sink.lock().unwrap().push_str(line));
    for (path, body) in [
        ("/blocks", "ABCDEF!2"),
        ("/write", "ABCDEF!1"),
        ("/write-and-blocks", "ABCDEF!2"),
        ("/late", "ABCDEF!2"),
        ("/late-write", "ABCDEF!1"),
        ("/nothing", "!0"),
    ] {
        let response = TestRequest::get(path).send(&layers);
        assert_eq!(response.text(), body, "{path}");
        let line = std::mem::take(&mut *lines.lock().unwrap());
        assert!(line.contains(&format!(" 200 {} ", body.len())) && line.ends_with(" -\n"), "{path}: {line}");
    }
    // The length stays where nobody changes it, and then it is the outermost that is not asked again.
    let sink = Arc::clone(&lines);
    let log = AccessLog::new(exact).to(move |line| sink.lock().unwrap().push_str(line));
    for (method, path, bytes) in
        [("GET", "/blocks", 6), ("GET", "/late-write", 6), ("GET", "/nothing", 0), ("HEAD", "/stream", 0)]
    {
        assert_eq!(TestRequest::new(method, path).send(&log).bytes().len(), bytes);
        let line = std::mem::take(&mut *lines.lock().unwrap());
        assert!(line.contains(&format!(" 200 {bytes} ")) && line.ends_with(" -\n"), "{path}: {line}");
    }
}

#[test]
fn request_ids() {
    let show = |environ: &mut Environ<'_>, start: Start<'_>| {
        start.start(Status::OK, &[])?;
        Ok(environ.extensions().get().map(|RequestId(id)| id.clone()).unwrap_or_default())
    };
    let sent = |id: &str, trust: bool| {
        let layer = RequestIds::new(show);
        let layer = if trust { layer.trust_client() } else { layer };
        let response = TestRequest::get("/").header("X-Request-Id", id).send(&layer);
        assert_eq!(response.header("X-Request-Id").unwrap(), response.text());
        response.text()
    };
    assert_ne!(sent("abcdefgh", false), "abcdefgh");
    assert_ne!(sent("x", false), sent("x", false));
    assert_eq!(sent("abcdefgh", true), "abcdefgh");
    for bad in ["short", "a b c d e f", "<script>", &"x".repeat(65)] {
        assert_ne!(sent(bad, true), bad);
    }
}

#[test]
fn security_headers() {
    let own = |_: &mut Environ<'_>, start: Start<'_>| {
        start.start(Status::OK, &[("x-frame-options", "SAMEORIGIN")])?;
        Ok("")
    };
    let layer = SecurityHeaders::new(own)
        .with("Content-Security-Policy", "default-src 'self'")
        .without("referrer-policy")
        .hsts(Duration::from_secs(3600));
    let response = TestRequest::get("/").send(&layer);
    assert_eq!(response.all("X-Frame-Options"), ["SAMEORIGIN"]);
    assert_eq!(response.header("X-Content-Type-Options"), Some("nosniff"));
    assert_eq!(response.header("Content-Security-Policy"), Some("default-src 'self'"));
    assert_eq!((response.header("Referrer-Policy"), response.header("Strict-Transport-Security")), (None, None));
    let secure = |environ: &mut Environ<'_>, start: Start<'_>| {
        environ.set_url_scheme(gateway_spec::Scheme::Https);
        layer.call(environ, start)
    };
    assert_eq!(TestRequest::get("/").send(&secure).header("Strict-Transport-Security"), Some("max-age=3600"));
}

#[test]
fn panics_become_responses() {
    let layer = AccessLog::new(RequestIds::new(CatchPanic::new(shapes))).to(|_| {});
    for path in ["/panic", "/panic-body"] {
        let response = TestRequest::get(path).send(&layer);
        assert_eq!((response.code(), response.text().as_str()), (500, "500 Internal Server Error\n"), "{path}");
        assert!(response.header("X-Request-Id").is_some());
        assert!(response.errors.starts_with("panicked: ") && response.errors.lines().count() == 1);
    }
    let cut = TestRequest::get("/panic-late").try_send(&layer).unwrap_err();
    assert!(cut.to_string().contains("after the first block"), "{cut}");
    assert_eq!(TestRequest::get("/late").send(&layer).code(), 201);
}

#[test]
fn basic_auth() {
    let show = |environ: &mut Environ<'_>, start: Start<'_>| {
        start.start(Status::OK, &[])?;
        Ok(environ.get("REMOTE_USER").unwrap().to_string_lossy().into_owned())
    };
    let layer = BasicAuth::new(show, "the \"realm\"", |name, password| name == "Aladdin" && password == "open sesame");
    let right = TestRequest::get("/").header("Authorization", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==").send(&layer);
    assert_eq!((right.code(), right.text().as_str()), (200, "Aladdin"));
    for wrong in ["Basic QWxhZGRpbjp4", "Basic !", ""] {
        let response = TestRequest::get("/").header("Authorization", wrong).send(&layer);
        assert_eq!(response.code(), 401);
        assert_eq!(response.header("WWW-Authenticate"), Some("Basic realm=\"the realm\", charset=\"UTF-8\""));
    }
}

#[test]
fn body_limit() {
    let echo = |environ: &mut Environ<'_>, start: Start<'_>| {
        let mut body = Vec::new();
        environ.input().read_to_end(&mut body)?;
        start.start(Status::OK, &[])?;
        Ok(body)
    };
    let layer = BodyLimit::new(echo, 10);
    let post = |body: &str| TestRequest::post("/", "text/plain", body);
    assert_eq!(post("0123456789").send(&layer).code(), 200);
    assert_eq!(post("0123456789").chunked().send(&layer).code(), 200);
    assert_eq!(post("0123456789a").send(&layer).code(), 413);
    // The server's own input has not failed, so that the layer has to answer.
    let told = post("0123456789a").send(&layer);
    let passed = post("0123456789a").chunked().send(&layer);
    assert_eq!((passed.code(), &passed.headers, passed.text()), (413, &told.headers, told.text()));
    // What reads while it is sent, and has sent nothing; has; and fails for another reason.
    let stream = |first: &'static str| {
        move |environ: &mut Environ<'_>, start: Start<'_>| {
            start.start(Status::OK, &[])?;
            let first = std::io::Cursor::new(first);
            Ok(Body::reader(first.chain(environ.take_input())))
        }
    };
    let streamed = |first, body: &str| post(body).chunked().try_send(&BodyLimit::new(stream(first), 10));
    assert_eq!(streamed("", "0123456789").unwrap().text(), "0123456789");
    assert_eq!(streamed("", "0123456789a").unwrap().code(), 413);
    let cut = streamed("sent", "0123456789a").unwrap_err();
    assert_eq!(cut.downcast_ref::<std::io::Error>().unwrap().kind(), std::io::ErrorKind::FileTooLarge);
    let lost = post("0123456789").chunked().try_send(&BodyLimit::new(shapes, 10)).unwrap_err();
    assert_eq!(lost.to_string(), "no such shape");
    // Who reads on after the error gets no more.
    let stubborn = |environ: &mut Environ<'_>, start: Start<'_>| {
        let mut buffer = [0; 8];
        let reads: Vec<bool> = (0..6).map(|_| environ.input().read(&mut buffer).is_ok()).collect();
        start.start(Status::OK, &[])?;
        Ok(format!("{reads:?}"))
    };
    let response = post(&"x".repeat(17)).chunked().send(&BodyLimit::new(stubborn, 10));
    assert_eq!(response.text(), "[true, false, false, false, false, false]");
}

#[test]
fn conditional_get() {
    let plain = ConditionalGet::new(shapes);
    let first = TestRequest::get("/block").send(&plain);
    let etag = first.header("ETag").unwrap().to_owned();
    assert!(etag.starts_with("W/\""));
    let again = |path: &str, name: &str, value: &str| TestRequest::get(path).header(name, value).send(&plain);
    let not_modified = again("/block", "If-None-Match", &etag);
    assert_eq!((not_modified.code(), not_modified.text().as_str()), (304, ""));
    assert_eq!(not_modified.header("ETag"), Some(&*etag));
    assert_eq!((not_modified.header("Content-Type"), not_modified.header("Content-Length")), (None, None));
    assert_eq!(again("/block", "If-None-Match", "\"x\"").code(), 200);
    assert_eq!(again("/block", "If-Match", "\"x\"").code(), 412);
    // Not a 200, or not at hand: left alone.
    assert_eq!(again("/again", "If-None-Match", "*").code(), 418);
    assert_eq!(again("/blocks", "If-None-Match", &etag).code(), 200);
    assert_eq!(TestRequest::get("/blocks").send(&plain).header("ETag"), None);
    assert_eq!(TestRequest::post("/block", "text/plain", "").header("If-None-Match", "*").send(&plain).code(), 200);
    assert_eq!(TestRequest::get("/block").send(&ConditionalGet::new(shapes).tag_limit(2)).header("ETag"), None);
    // HEAD is as GET, whatever layers are between; a stream, of which nothing is asked, has no tag.
    let site = App::new(()).get("/", || "hello").get("/stream", || Stream(["a"])).build().unwrap();
    let site = AccessLog::new(ConditionalGet::new(SecurityHeaders::new(site)));
    let sent =
        |method: &str, path: &str, tag: &str| TestRequest::new(method, path).header("If-None-Match", tag).send(&site);
    let (get, head) = (sent("GET", "/", "\"x\""), sent("HEAD", "/", "\"x\""));
    assert_eq!((head.code(), &head.headers, head.text().as_str()), (200, &get.headers, ""));
    assert!(head.errors.contains(" 200 0 ") && get.errors.contains(" 200 5 "), "{head:?}");
    let tag = get.header("ETag").unwrap();
    let (get, head) = (sent("GET", "/", tag), sent("HEAD", "/", tag));
    assert_eq!((head.code(), &head.headers), (304, &get.headers));
    assert_eq!(sent("HEAD", "/stream", "\"x\"").headers, sent("GET", "/stream", "\"x\"").headers);
    let dated = ConditionalGet::new(|_: &mut Environ<'_>, start: Start<'_>| {
        start
            .start(Status::OK, &[("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT"), ("Cache-Control", "max-age=1")])?;
        Ok(Body::blocks(["a"]))
    });
    let response = TestRequest::get("/").header("If-Modified-Since", "Sun, 06 Nov 1994 08:49:37 GMT").send(&dated);
    assert_eq!((response.code(), response.header("Cache-Control")), (304, Some("max-age=1")));
    assert!(response.header("Last-Modified").is_some() && response.header("ETag").is_none());
}

#[test]
fn cors() {
    let layer = Cors::new(App::new(()).get("/", || "data").build().unwrap())
        .origin("https://app.example")
        .methods("GET, PUT")
        .headers("X-Token")
        .expose("X-Total")
        .credentials();
    let from = |method: &str, origin: &str| TestRequest::new(method, "/").header("Origin", origin);
    let allowed = from("GET", "https://app.example").send(&layer);
    for (name, value) in [
        ("Access-Control-Allow-Origin", Some("https://app.example")),
        ("Access-Control-Allow-Credentials", Some("true")),
        ("Access-Control-Expose-Headers", Some("X-Total")),
        ("Vary", Some("Origin")),
    ] {
        assert_eq!(allowed.header(name), value, "{name}");
    }
    for origin in ["https://evil.example", "null", "https://app.example.evil.example", "http://app.example"] {
        let other = from("GET", origin).send(&layer);
        assert_eq!(
            (other.header("Access-Control-Allow-Origin"), other.header("Vary")),
            (None, Some("Origin")),
            "{origin}"
        );
    }
    let preflight = from("OPTIONS", "https://app.example").header("Access-Control-Request-Method", "PUT").send(&layer);
    assert_eq!((preflight.code(), preflight.header("Access-Control-Allow-Methods")), (204, Some("GET, PUT")));
    assert_eq!(preflight.header("Access-Control-Allow-Headers"), Some("X-Token"));
    // An OPTIONS that is no preflight, or of another site, is the application's.
    assert_eq!(from("OPTIONS", "https://app.example").send(&layer).header("Allow"), Some("GET, HEAD, OPTIONS"));
    let foreign = from("OPTIONS", "https://evil.example").header("Access-Control-Request-Method", "PUT").send(&layer);
    assert_eq!((foreign.header("Access-Control-Allow-Methods"), foreign.header("Allow").is_some()), (None, true));
    // Errors have the headers too.
    let mut lost = from("GET", "https://app.example");
    lost.target = "/nowhere".into();
    let lost = lost.send(&layer);
    assert_eq!((lost.code(), lost.header("Access-Control-Allow-Origin")), (404, Some("https://app.example")));
    let any = Cors::new(shapes).any_origin().credentials();
    let response = TestRequest::get("/block").header("Origin", "https://x.example").send(&any);
    assert_eq!(response.header("Access-Control-Allow-Origin"), Some("*"));
    assert_eq!(response.header("Access-Control-Allow-Credentials"), None);
}

#[test]
fn cross_origin_check() {
    let layer = CrossOriginCheck::new(shapes).trust("https://partner.example");
    for (method, headers, code) in [
        ("GET", vec![("Sec-Fetch-Site", "cross-site")], 200),
        ("POST", vec![], 200),
        ("POST", vec![("Sec-Fetch-Site", "same-origin")], 200),
        ("POST", vec![("Sec-Fetch-Site", "none")], 200),
        ("POST", vec![("Sec-Fetch-Site", "same-site")], 403),
        ("DELETE", vec![("Sec-Fetch-Site", "cross-site")], 403),
        ("POST", vec![("Sec-Fetch-Site", "cross-site"), ("Origin", "http://localhost:8000")], 403),
        ("POST", vec![("Origin", "http://localhost:8000")], 200),
        ("POST", vec![("Origin", "http://LOCALHOST:8000")], 200),
        ("POST", vec![("Origin", "http://localhost")], 403),
        ("POST", vec![("Origin", "http://evil.example")], 403),
        ("POST", vec![("Origin", "null")], 403),
        ("POST", vec![("Origin", "https://partner.example"), ("Sec-Fetch-Site", "cross-site")], 200),
    ] {
        let request = TestRequest::new(method, "/block");
        let request = headers.iter().fold(request, |request, (name, value)| request.header(name, value));
        assert_eq!(request.send(&layer).code(), code, "{method} {headers:?}");
    }
    for (accept, content_type) in [
        ("text/html", "text/html; charset=utf-8"),
        ("application/json", "application/problem+json"),
        ("*/*", "text/plain; charset=utf-8"),
    ] {
        let refused = TestRequest::new("POST", "/block").header("Origin", "null").header("Accept", accept).send(&layer);
        assert_eq!((refused.header("Content-Type"), refused.header("Vary")), (Some(content_type), Some("Accept")));
        assert!(refused.text().contains("another site") && refused.errors.is_empty(), "{refused:?}");
    }
}

#[test]
fn method_override() {
    let show = |environ: &mut Environ<'_>, start: Start<'_>| {
        let mut body = String::new();
        environ.input().read_to_string(&mut body)?;
        start.start(Status::OK, &[])?;
        Ok(format!("{} {body}", environ.method()))
    };
    let layer = MethodOverride::new(show);
    let large = format!("_method=PUT&x={}", "x".repeat(70_000));
    for (request, expected) in [
        (TestRequest::form("/", "a=1&_method=delete"), "DELETE a=1&_method=delete"),
        (TestRequest::form("/", "_method=CONNECT"), "POST _method=CONNECT"),
        (TestRequest::form("/", "x_method=PUT"), "POST x_method=PUT"),
        (TestRequest::form("/", &large), &format!("POST {large}")),
        (TestRequest::post("/", "text/plain", "_method=PUT"), "POST _method=PUT"),
        (TestRequest::post("/", "text/plain", "x").header("X-HTTP-Method-Override", "PATCH"), "PATCH x"),
        (TestRequest::get("/?_method=DELETE").header("X-HTTP-Method-Override", "PUT"), "GET "),
    ] {
        assert_eq!(request.send(&layer).text(), expected);
    }
}

/// A form that does not arrive whole: the application reads what there is and the error, and decides.
#[test]
fn method_override_hides_no_error_of_the_input() {
    struct Cut(&'static [u8]);
    impl Read for Cut {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            match self.0.read(buffer)? {
                0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
                read => Ok(read),
            }
        }
    }
    let layer = MethodOverride::new(|environ: &mut Environ<'_>, start: Start<'_>| {
        let mut body = Vec::new();
        let error = environ.input().read_to_end(&mut body).map_err(|error| error.kind());
        start.start(Status::OK, &[])?;
        Ok(format!("{} {} {error:?}", environ.method(), String::from_utf8_lossy(&body)))
    });
    let cut = |environ: &mut Environ<'_>, start: Start<'_>| {
        environ.set_input(gateway_spec::Input::from_reader(Cut(b"_method=PUT&a=")));
        layer.call(environ, start)
    };
    assert_eq!(TestRequest::form("/", "_method=PUT&a=1").send(&cut).text(), "POST _method=PUT&a= Err(UnexpectedEof)");
}

/// What goes wrong is answered inside the innermost layer, so every layer around sees it.
#[test]
fn errors_have_the_headers_of_every_layer() {
    let site = App::new(())
        .post("/form", |_: String| "")
        .body_limit(3)
        .get("/fails", || -> Result<(), framework_mini::Error> { Ok("x".parse::<u8>().map(drop)?) })
        .get("/panic", || -> &'static str { panic!("x") })
        .build()
        .unwrap();
    let lines = Arc::new(Mutex::new(String::new()));
    let sink = Arc::clone(&lines);
    let site = SecurityHeaders::new(Cors::new(ConditionalGet::new(site)).origin("https://app.example"));
    let site = AccessLog::new(RequestIds::new(site)).to(move |line| sink.lock().unwrap().push_str(line));
    for (request, code) in [
        (TestRequest::get("/nowhere"), 404),
        (TestRequest::get("/form"), 405),
        (TestRequest::post("/form", "text/plain", "1234"), 413),
        (TestRequest::post("/form", "text/plain", "1234").chunked(), 413),
        (TestRequest::new("FROB", "/"), 501),
        (TestRequest::get("/fails"), 500),
        (TestRequest::get("/panic"), 500),
    ] {
        let what = format!("{} {}", request.method, request.target);
        let response = request.header("Origin", "https://app.example").header("If-None-Match", "*").send(&site);
        assert_eq!(response.code(), code, "{what}");
        assert_eq!(response.header("Access-Control-Allow-Origin"), Some("https://app.example"), "{what}");
        assert_eq!(response.header("X-Content-Type-Options"), Some("nosniff"), "{what}");
        let id = response.header("X-Request-Id").unwrap();
        let line = std::mem::take(&mut *lines.lock().unwrap());
        assert!(line.contains(&what) && line.contains(&format!(" {code} ")) && line.contains(id), "{line}");
        // Only what is ours is an error in the log, and the log knows the request.
        assert_eq!(response.errors.contains(id), code == 500, "{what}: {}", response.errors);
    }
}
