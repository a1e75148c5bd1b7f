//! What the contract can express: each form of application, each way to answer, and middleware around all of them.

mod server;

use std::io::{self, BufRead, Read, Seek, SeekFrom, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use gateway_spec::{Application, Blocks, Body, Bytes, Environ, Error, Input, Misuse, StartResponse, Status, app_fn};
use server::{serve, serve_body};

const TEXT: &[(&str, &str)] = &[("Content-Type", "text/plain")];
const HEAD: &str = "200 OK; Content-Type: text/plain";

// --- applications in every form (GW-CALL-01, GW-CALL-04, GW-CALL-05) ---

fn function(_: &mut Environ, start_response: &mut dyn StartResponse) -> Result<&'static str, Error> {
    start_response.start(Status::OK, TEXT)?;
    Ok("Hello, World!")
}

struct Greeter {
    name: String,
}

impl Application for Greeter {
    fn call(&self, _: &mut Environ<'_>, start_response: &mut dyn StartResponse) -> Result<Body, Error> {
        start_response.start(Status::OK, TEXT)?;
        Ok(format!("Hello, {}!", self.name).into())
    }
}

#[test]
fn functions_closures_structs_and_shared_objects_are_applications() {
    let name = String::from("World");
    let closure = app_fn(move |_, start_response| {
        start_response.start(Status::OK, TEXT)?;
        Ok(format!("Hello, {name}!"))
    });
    let shared: Arc<dyn Application> = Arc::new(Greeter { name: "World".into() });
    let nested: Arc<Arc<dyn Application>> = Arc::new(Arc::clone(&shared));
    for app in [&function as &dyn Application, &closure, &Greeter { name: "World".into() }, &shared, &nested] {
        assert_eq!(serve(app), [HEAD, "Hello, World!"]);
        assert_eq!(serve(app), [HEAD, "Hello, World!"], "and once more");
    }
}

#[test]
fn one_application_answers_many_threads() {
    let visits = AtomicUsize::new(0);
    let counter = app_fn(|_, start_response| {
        start_response.start(Status::OK, &[])?;
        Ok((visits.fetch_add(1, Relaxed) + 1).to_string())
    });
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| (0..50).for_each(|_| assert_eq!(serve(&counter).len(), 2)));
        }
    });
    assert_eq!(visits.load(Relaxed), 800);
}

// --- bodies ---

#[test]
fn whatever_becomes_a_body_is_sent_in_its_blocks() {
    type Make = fn() -> Body;
    let bodies: [(Make, &[&str]); 13] = [
        (|| ().into(), &[]),
        (|| "".into(), &[]),
        (|| "text".into(), &["text"]),
        (|| String::from("text").into(), &["text"]),
        (|| vec![b'v', b'e', b'c'].into(), &["vec"]),
        (|| b"octets".into(), &["octets"]),
        (|| Bytes::from_static(b"bytes").into(), &["bytes"]),
        (|| Body::blocks(["one", "two"]), &["one", "two"]),
        (|| Body::blocks((1..=3).map(|n| n.to_string())), &["1", "2", "3"]),
        (|| Body::blocks(Vec::<Bytes>::new()), &[]),
        (|| Body::blocks(["", "a", "", "b", ""]), &["a", "b"]),
        (|| Body::try_blocks(["x", "y"].map(Ok::<_, io::Error>)), &["x", "y"]),
        (|| Body::reader("read".as_bytes()), &["read"]),
    ];
    for (body, blocks) in bodies {
        let app = app_fn(move |_, start_response| {
            start_response.start(Status::OK, TEXT)?;
            Ok(body())
        });
        assert_eq!(serve(&app), [&[HEAD], blocks].concat());
    }
}

/// A body of one's own type, which knows its length and counts its closing.
struct Countdown {
    left: u8,
    closed: Arc<AtomicUsize>,
}

impl Blocks for Countdown {
    fn next(&mut self, _: &mut dyn StartResponse) -> Option<Result<Bytes, Error>> {
        self.left = self.left.checked_sub(1)?;
        Some(Ok(self.left.to_string().into()))
    }

    fn remaining(&self) -> Option<u64> {
        Some(self.left.into())
    }
}

impl Drop for Countdown {
    fn drop(&mut self) {
        self.closed.fetch_add(1, Relaxed);
    }
}

#[test]
fn a_body_of_ones_own_knows_its_length_and_is_closed_once() {
    let closed = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&closed);
    let app = app_fn(move |_, start_response| {
        start_response.start(Status::OK, &[])?;
        let body = Body::from_blocks(Countdown { left: 3, closed: Arc::clone(&counted) });
        assert_eq!(body.len(), Some(3));
        Ok(body)
    });
    assert_eq!(serve(&app), ["200 OK", "2", "1", "0"]);
    assert_eq!(closed.load(Relaxed), 1, "after the end");

    let short = app_fn(|environ, start_response| {
        let body = Application::call(
            &app,
            environ,
            &mut AddHeader { inner: start_response, header: ("Content-Length", "1") },
        )?;
        Ok(body)
    });
    assert_eq!(serve(&short), ["200 OK; Content-Length: 1", "2"]);
    assert_eq!(closed.load(Relaxed), 2, "after its declared length, with blocks left");

    let unstarted = app_fn(|_, _| Ok(Body::from_blocks(Countdown { left: 3, closed: Arc::clone(&closed) })));
    assert_eq!(serve(&unstarted), ["500 Internal Server Error"]);
    assert_eq!(closed.load(Relaxed), 3, "after a breach of the contract");
}

#[test]
fn a_body_may_start_late() {
    let app = app_fn(|_, _| {
        let mut step = 0;
        Ok(Body::late(move |start_response| {
            step += 1;
            match step {
                1 => Some(Ok(Bytes::new())), // nothing yet: no head is needed for it (GW-DEF-01)
                2 => Some(start_response.start(Status::CREATED, &[]).map(|_| "first".into())),
                3 => Some(Ok("second".into())),
                _ => None,
            }
        }))
    });
    assert_eq!(serve(&app), ["201 Created", "first", "second"]);
}

#[test]
fn a_late_body_may_have_no_bytes_at_all() {
    let app = app_fn(|_, _| {
        let mut started = false;
        Ok(Body::late(move |start_response| {
            if !std::mem::replace(&mut started, true) {
                return Some(start_response.start(Status::NO_CONTENT, &[]).map(|_| Bytes::new()));
            }
            None
        }))
    });
    assert_eq!(serve(&app), ["204 No Content"]);
}

/// GW-FILE-02, GW-FILE-04, GW-FILE-06, GW-REF-31
#[test]
fn files_are_bodies_from_any_offset() {
    let path = std::env::temp_dir().join(format!("gateway-spec-expresses-{}", std::process::id()));
    std::fs::write(&path, "0123456789".repeat(10_000)).unwrap();
    let open = |offset: u64, length: u64| {
        let mut file = std::fs::File::open(&path).unwrap();
        file.seek(SeekFrom::Start(7)).unwrap(); // its own position does not matter
        Body::file(file, offset, length)
    };
    let whole = |length: u64| {
        serve(&app_fn(move |_, start_response| {
            start_response.start(Status::OK, &[])?;
            Ok(open(3, length))
        }))
    };
    assert_eq!(whole(5), ["200 OK", "34567"]);
    let large = whole(99_997);
    assert_eq!(large[1..].concat().len(), 99_997);
    assert!(large[1..].concat().ends_with("789"));
    assert_eq!(whole(99_998).last().unwrap(), "cut", "a file that became shorter never looks complete");
    assert_eq!(whole(0), ["200 OK"]);

    let mut taken = open(3, 5).into_file().unwrap();
    assert_eq!((taken.offset(), taken.remaining()), (3, 5));
    taken.advance(2); // as a server that sent two bytes by itself
    // Middleware that only looked makes a body of it again, and a server still finds a file.
    let mut taken = Body::from(taken).into_file().unwrap();
    assert_eq!((taken.offset(), taken.remaining()), (5, 3));
    assert_eq!(taken.next_block().unwrap().unwrap(), "567");
    assert!(taken.next_block().unwrap().is_none());
    std::fs::remove_file(&path).unwrap();
}

// --- write() (GW-WR) ---

#[test]
fn written_blocks_come_before_those_of_the_body() {
    let app = app_fn(|_, start_response| {
        let writer = start_response.start(Status::OK, TEXT)?;
        writer.write_all(b"")?;
        writer.write_all(b"one ")?;
        writer.write_all(b"two ")?;
        Ok("three")
    });
    assert_eq!(serve(&app), [HEAD, "one ", "two ", "three"]);
    let only = app_fn(|_, start_response| Ok(start_response.start(Status::OK, TEXT)?.write_all(b"all")?));
    assert_eq!(serve(&only), [HEAD, "all"]);
}

#[test]
fn a_write_past_the_declared_length_is_an_error_and_sends_nothing() {
    let app = app_fn(|_, start_response| {
        let writer = start_response.start(Status::OK, &[("Content-Length", "5")])?;
        writer.write_all(b"123")?;
        let error = writer.write_all(b"456").unwrap_err();
        let misuse = error.get_ref().and_then(|error| error.downcast_ref::<Misuse>());
        assert_eq!(misuse, Some(&Misuse::TooLong { declared: 5 }));
        Ok("45")
    });
    assert_eq!(serve(&app), ["200 OK; Content-Length: 5", "123", "45"]);
}

// --- exc_info (GW-SR-09 to GW-SR-14) ---

/// An application that fails after having sent `sent`, and tries to show an error page.
fn failing(sent: &'static str) -> impl Application {
    app_fn(move |_, start_response| {
        let writer = start_response.start(Status::OK, &[("X-First", "1")])?;
        writer.write_all(sent.as_bytes())?;
        start_response.restart(Status::SERVICE_UNAVAILABLE, TEXT, "database is down".into())?;
        Ok("an error page")
    })
}

#[test]
fn before_the_head_an_error_replaces_the_whole_answer() {
    assert_eq!(serve(&failing("")), ["503 Service Unavailable; Content-Type: text/plain", "an error page"]);
}

#[test]
fn after_the_head_the_error_comes_back_and_the_answer_is_cut() {
    assert_eq!(serve(&failing("some ")), ["200 OK; X-First: 1", "some ", "cut"]);
}

#[test]
fn a_body_may_replace_its_head_until_its_first_block() {
    let app = |empty_first: bool| {
        app_fn(move |_, start_response| {
            start_response.start(Status::OK, TEXT)?;
            let mut step = if empty_first { 0 } else { 1 };
            Ok(Body::late(move |start_response| {
                step += 1;
                match step {
                    1 => Some(Ok(Bytes::new())),
                    2 => Some(start_response.restart(Status::NOT_FOUND, &[], "no".into()).map(|_| "page".into())),
                    3 => Some(start_response.restart(Status::GONE, &[], "too late".into()).map(|_| "page".into())),
                    _ => None,
                }
            }))
        })
    };
    assert_eq!(serve(&app(false)), ["404 Not Found", "page", "cut"]);
    assert_eq!(serve(&app(true)), ["404 Not Found", "page", "cut"]);
}

#[test]
fn an_answer_that_lacks_something_does_not_look_whole() {
    let silent = app_fn(|_, _| Ok(Body::empty()));
    assert_eq!(serve(&silent), ["500 Internal Server Error"], "no head");
    let short = app_fn(|_, start_response| {
        start_response.start(Status::OK, &[("Content-Length", "5")])?;
        Ok("four")
    });
    assert_eq!(serve(&short), ["200 OK; Content-Length: 5", "four", "cut"], "a byte");
}

#[test]
fn errors_and_panics_are_the_servers_to_answer() {
    let error = app_fn(|_, _| Err::<(), Error>("no".into()));
    assert_eq!(serve(&error), ["500 Internal Server Error"]);
    let started = app_fn(|_, start_response| {
        start_response.start(Status::OK, &[])?;
        Ok(Body::try_blocks([Ok("some"), Err("no")]))
    });
    assert_eq!(serve(&started), ["200 OK", "some", "cut"]);
    let panic = app_fn(|_, _| -> Result<(), Error> { panic!("on purpose") });
    assert_eq!(serve(&panic), ["500 Internal Server Error"]);
}

// --- middleware (GW-CALL-08, GW-MW) ---

/// Adds a header to each head that passes through.
struct AddHeader<'s> {
    inner: &'s mut dyn StartResponse,
    header: (&'static str, &'static str),
}

impl StartResponse for AddHeader<'_> {
    fn start_response(
        &mut self,
        status: Status,
        headers: &[(&str, &str)],
        exc_info: Option<Error>,
    ) -> Result<&mut dyn Write, Error> {
        let mut headers = headers.to_vec();
        headers.push(self.header);
        self.inner.start_response(status, &headers, exc_info)
    }

    fn writer(&mut self) -> &mut dyn Write {
        self.inner.writer()
    }
}

/// A middleware that adds a header and makes all text upper-case, whenever and however it is given.
struct Shout<A>(A);

/// Its `start_response`, and the writer that this returns: on the stack, in the call and in each iteration.
struct ShoutStart<'s>(AddHeader<'s>);

impl<A: Application> Application for Shout<A> {
    fn call(&self, environ: &mut Environ<'_>, start_response: &mut dyn StartResponse) -> Result<Body, Error> {
        let mut body = self.0.call(environ, &mut ShoutStart::new(start_response))?;
        Ok(Body::late(move |start_response| {
            let block = body.next(&mut ShoutStart::new(start_response))?;
            Some(block.map(|block| block.to_ascii_uppercase().into()))
        }))
    }
}

impl<'s> ShoutStart<'s> {
    fn new(inner: &'s mut dyn StartResponse) -> Self {
        Self(AddHeader { inner, header: ("X-Shout", "1") })
    }
}

impl StartResponse for ShoutStart<'_> {
    fn start_response(
        &mut self,
        status: Status,
        headers: &[(&str, &str)],
        exc_info: Option<Error>,
    ) -> Result<&mut dyn Write, Error> {
        self.0.start_response(status, headers, exc_info)?;
        Ok(self)
    }

    fn writer(&mut self) -> &mut dyn Write {
        self
    }
}

impl Write for ShoutStart<'_> {
    fn write(&mut self, block: &[u8]) -> io::Result<usize> {
        self.0.writer().write(&block.to_ascii_uppercase())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.writer().flush()
    }
}

#[test]
fn a_middleware_changes_answers_that_start_early_late_or_only_write() {
    let early = function;
    let late = app_fn(|_, _| {
        let mut blocks = ["Hello, ", "World!"].into_iter();
        let mut started = false;
        Ok(Body::late(move |start_response| {
            if !std::mem::replace(&mut started, true)
                && let Err(error) = start_response.start(Status::OK, TEXT)
            {
                return Some(Err(error));
            }
            blocks.next().map(|block| Ok(block.into()))
        }))
    });
    let writing = app_fn(|_, start_response| {
        let writer = start_response.start(Status::OK, TEXT)?;
        writer.write_all(b"Hello, ")?;
        writer.write_all(b"World!")?;
        Ok(())
    });
    let replaced = failing("");
    let shouted = "200 OK; Content-Type: text/plain; X-Shout: 1";
    assert_eq!(serve(&Shout(early)), [shouted, "HELLO, WORLD!"]);
    assert_eq!(serve(&Shout(late)), [shouted, "HELLO, ", "WORLD!"]);
    assert_eq!(serve(&Shout(writing)), [shouted, "HELLO, ", "WORLD!"]);
    assert_eq!(
        serve(&Shout(replaced)),
        ["503 Service Unavailable; Content-Type: text/plain; X-Shout: 1", "AN ERROR PAGE"],
        "an answer can be replaced after the writer was taken"
    );
    assert_eq!(serve(&Shout(failing("some "))), ["200 OK; X-First: 1; X-Shout: 1", "SOME ", "cut"]);
    assert_eq!(
        serve(&Shout(Shout(early))),
        ["200 OK; Content-Type: text/plain; X-Shout: 1; X-Shout: 1", "HELLO, WORLD!"],
        "and stacks of them"
    );
}

/// GW-MW-09: what a layer decides about one head is decided anew about the next one.
#[test]
fn a_middleware_decides_anew_at_each_start() {
    /// Takes away the length of what is plain text.
    struct NoLength<'s>(&'s mut dyn StartResponse);
    impl StartResponse for NoLength<'_> {
        fn start_response(
            &mut self,
            status: Status,
            headers: &[(&str, &str)],
            exc_info: Option<Error>,
        ) -> Result<&mut dyn Write, Error> {
            let text = headers.contains(&("Content-Type", "text/plain"));
            let kept: Vec<_> = headers.iter().copied().filter(|(name, _)| !text || *name != "Content-Length").collect();
            self.0.start_response(status, &kept, exc_info)
        }

        fn writer(&mut self) -> &mut dyn Write {
            self.0.writer()
        }
    }
    let app = |first: &'static str, second: &'static str| {
        app_fn(move |_, start_response| {
            let mut layer = NoLength(start_response);
            layer.start(Status::OK, &[("Content-Type", first), ("Content-Length", "9")])?;
            layer.restart(Status::CONFLICT, &[("Content-Type", second), ("Content-Length", "4")], "again".into())?;
            Ok("page")
        })
    };
    let kept = "409 Conflict; Content-Type: text/html; Content-Length: 4";
    assert_eq!(serve(&app("text/plain", "text/html")), [kept, "page"]);
    assert_eq!(serve(&app("text/html", "text/plain")), ["409 Conflict; Content-Type: text/plain", "page"]);
}

/// A layer that shows its own page in place of any error of the application (GW-MW-10).
struct ErrorPages<A>(A);

/// Keeps an error page for itself instead of passing it on.
struct Capture<'s> {
    inner: &'s mut dyn StartResponse,
    error: Option<Error>,
    discarded: Vec<u8>,
}

impl StartResponse for Capture<'_> {
    fn start_response(
        &mut self,
        status: Status,
        headers: &[(&str, &str)],
        exc_info: Option<Error>,
    ) -> Result<&mut dyn Write, Error> {
        if exc_info.is_some() {
            self.error = exc_info;
            return Ok(&mut self.discarded);
        }
        self.inner.start_response(status, headers, None)
    }

    fn writer(&mut self) -> &mut dyn Write {
        if self.error.is_some() { &mut self.discarded } else { self.inner.writer() }
    }
}

impl<A: Application> Application for ErrorPages<A> {
    fn call(&self, environ: &mut Environ<'_>, start_response: &mut dyn StartResponse) -> Result<Body, Error> {
        let mut capture = Capture { inner: start_response, error: None, discarded: Vec::new() };
        let result = self.0.call(environ, &mut capture);
        let error = match (capture.error, result) {
            (Some(error), _) | (None, Err(error)) => error,
            (None, Ok(body)) => return Ok(body),
        };
        let page = format!("sorry: {error}");
        start_response.restart(Status::INTERNAL_SERVER_ERROR, TEXT, error)?;
        Ok(page.into())
    }
}

#[test]
fn a_middleware_may_replace_the_error_pages_of_an_application() {
    let page = ["500 Internal Server Error; Content-Type: text/plain", "sorry: database is down"];
    assert_eq!(serve(&ErrorPages(failing(""))), page);
    let error = app_fn(|_, _| Err::<(), Error>("database is down".into()));
    assert_eq!(serve(&ErrorPages(error)), page);
    assert_eq!(serve(&ErrorPages(function)), [HEAD, "Hello, World!"]);
    assert_eq!(serve(&ErrorPages(failing("some "))), ["200 OK; X-First: 1", "some ", "cut"]);
}

#[test]
fn a_writer_before_any_head_fails() {
    // Only a middleware can come to this (GW-WR-09): applications get a writer from `start_response` alone.
    let app = app_fn(|_, start_response| Ok(start_response.writer().write_all(b"x")?));
    assert_eq!(serve(&app), ["500 Internal Server Error"]);
}

#[test]
fn layers_talk_through_the_environ() {
    #[derive(Debug, PartialEq)]
    struct User(&'static str);

    let app = app_fn(|environ, start_response| {
        start_response.start(Status::OK, &[])?;
        let user = environ.extensions().get::<User>().unwrap();
        Ok(format!(
            "{user:?} at {}{}, cookies {:?}",
            environ.script_name().to_str()?,
            environ.path_info().to_str()?,
            environ.get("HTTP_COOKIE").unwrap()
        ))
    });
    let layer = app_fn(|environ, start_response| {
        assert!(environ.mount("/x"));
        environ.extensions_mut().insert(User("Ada"));
        environ.set("PATH_INFO", "/z");
        Application::call(&app, environ, start_response)
    });
    assert_eq!(serve(&layer), ["200 OK", r#"User("Ada") at /x/z, cookies "a=1; b=2""#]);
}

/// GW-EXT-06: what a layer offers as a function of the environ is still right after another layer has changed it.
#[test]
fn a_layer_offers_functions_rather_than_values() {
    struct Query(fn(&Environ<'_>) -> String);
    let app = app_fn(|environ, start_response| {
        start_response.start(Status::OK, &[])?;
        let Query(query) = environ.extensions().get().unwrap();
        Ok(query(environ))
    });
    let rewrites = app_fn(|environ, start_response| {
        environ.set("QUERY_STRING", "rewritten");
        Application::call(&app, environ, start_response)
    });
    let offers = app_fn(|environ, start_response| {
        environ.extensions_mut().insert(Query(|environ| environ.query_string().to_owned()));
        Application::call(&rewrites, environ, start_response)
    });
    assert_eq!(serve(&offers), ["200 OK", "rewritten"]);
}

// --- the input (GW-IN, GW-DEF-04) ---

#[test]
fn the_input_can_be_moved_into_the_body() {
    let echo = app_fn(|environ, start_response| {
        start_response.start(Status::OK, &[])?;
        let mut input = environ.take_input();
        Ok(Body::late(move |_| {
            let mut line = String::new();
            match input.read_line(&mut line) {
                Ok(0) => None,
                Ok(_) => Some(Ok(line.into())),
                Err(error) => Some(Err(error.into())),
            }
        }))
    });
    assert_eq!(serve_body(&echo, Bytes::from_static(b"a\nb\nc").into()), ["200 OK", "a\n", "b\n", "c"]);
    assert_eq!(serve(&echo), ["200 OK"]);
    assert_eq!(serve_body(&echo, Input::from_reader("a\nb".as_bytes())), ["200 OK", "a\n", "b"]);

    let whole = app_fn(|environ, start_response| {
        start_response.start(Status::OK, &[])?;
        Ok(Body::reader(environ.take_input()))
    });
    assert_eq!(serve_body(&whole, Bytes::from_static(b"abc").into()), ["200 OK", "abc"]);
}

#[test]
fn an_input_that_breaks_off_is_never_a_short_success() {
    struct Gone;
    impl Read for Gone {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }
    let upload = app_fn(|environ, start_response| {
        let mut text = String::new();
        environ.input().read_to_string(&mut text)?;
        start_response.start(Status::CREATED, &[])?;
        Ok(text)
    });
    assert_eq!(serve_body(&upload, Bytes::from_static(b"all of it").into()), ["201 Created", "all of it"]);
    assert_eq!(serve_body(&upload, Input::from_reader("half".as_bytes().chain(Gone))), ["500 Internal Server Error"]);
}

#[test]
fn a_layer_can_replace_the_input() {
    let count = app_fn(|environ, start_response| {
        start_response.start(Status::OK, &[])?;
        let mut text = String::new();
        environ.input().read_to_string(&mut text)?;
        Ok(text)
    });
    let layer = app_fn(|environ, start_response| {
        let input = environ.take_input();
        environ.set_input(Input::from_reader(input.take(3)));
        Application::call(&count, environ, start_response)
    });
    assert_eq!(serve_body(&layer, Bytes::from_static(b"abcdef").into()), ["200 OK", "abc"]);
}
