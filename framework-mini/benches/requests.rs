//! What a request costs in the framework, without a server: routing, extracting, answering.
//!
//! `cargo bench -p framework-mini --all-features --bench requests` shows times, which a busy machine makes longer. What it
//! does not change are counts: the difference between two runs of different length, divided by the requests between them.
//!
//! ```text
//! valgrind --tool=callgrind target/release/deps/requests-… json 1000       # and 2000: "Collected", instructions
//! valgrind --tool=memcheck  target/release/deps/requests-… json 1000       # and 2000: "total heap usage", allocations
//! ```

use std::hint::black_box;
use std::io::{self, Write};
use std::time::Instant;

use framework_mini::middleware::{AccessLog, ConditionalGet, RequestIds, SecurityHeaders};
use framework_mini::{App, Fields, Path, Redirect, State};
use gateway_spec::{
    Application, Bytes, Environ, Error, Field, Input, Peer, Request, ServerInfo, StartResponse, Status,
};

#[cfg(all(feature = "sessions", feature = "sqlite", feature = "templates"))]
#[path = "../tests/guest_book/app.rs"]
#[allow(unreachable_pub, reason = "it is public where it is shown")]
mod guest_book;

/// A server that takes everything and keeps nothing.
struct Sink;

impl StartResponse for Sink {
    fn start_response(
        &mut self,
        status: Status,
        headers: &[(&str, &str)],
        _: Option<Error>,
    ) -> Result<&mut dyn Write, Error> {
        assert!(status.code() < 400 && !black_box(headers).is_empty(), "{status}");
        Ok(self)
    }

    fn writer(&mut self) -> &mut dyn Write {
        self
    }
}

impl Write for Sink {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One request, as a server would give it.
fn ask(server: &ServerInfo, peer: &Peer, application: &dyn Application, scenario: &Scenario) {
    let headers = [
        Field { name: "Host", value: b"localhost:8000" },
        Field { name: "User-Agent", value: b"bench/1.0" },
        Field { name: "Accept", value: b"*/*" },
        Field { name: "Content-Type", value: b"application/x-www-form-urlencoded" },
    ];
    let mut request = Request::new(server, peer);
    (request.method, request.target, request.path) = (scenario.method, scenario.path, scenario.path);
    request.headers = &headers;
    let input = match scenario.body {
        "" => Input::empty(),
        body => {
            request.content_length = Some(body.len() as u64);
            Input::from(Bytes::from_static(body.as_bytes()))
        }
    };
    let mut environ = Environ::new(&request, input);
    let mut body = application.call(&mut environ, &mut Sink).expect("an answer");
    while let Some(block) = body.next(&mut Sink) {
        black_box(block.expect("a block"));
    }
}

struct Scenario {
    name: &'static str,
    method: &'static str,
    path: &'static str,
    body: &'static str,
    application: fn() -> Box<dyn Application>,
}

#[cfg(feature = "json")]
#[derive(serde::Serialize)]
struct Message {
    id: u64,
    message: &'static str,
}

#[cfg(feature = "json")]
fn json(Path(id): Path<u64>) -> framework_mini::Json<Message> {
    framework_mini::Json(Message { id, message: "Hello, World!" })
}

fn site() -> framework_mini::Site<u64> {
    let app = App::new(1u64)
        .get("/", || "Hello, World!")
        .get("/users/{id}/items/{item}", |Path(id): Path<u64>, Path(item): Path<String>, State(n): State<u64>| {
            format!("{id} {item} {n}")
        })
        .post("/notes", |fields: Fields| {
            black_box(fields.get("text"));
            Redirect::to("/")
        });
    #[cfg(feature = "json")]
    let app = app.get("/json/{id}", json);
    app.build().expect("right routes")
}

fn plain() -> Box<dyn Application> {
    Box::new(site())
}

fn layers() -> Box<dyn Application> {
    Box::new(AccessLog::new(RequestIds::new(SecurityHeaders::new(ConditionalGet::new(site())))).to(|line| {
        black_box(line);
    }))
}

#[cfg(all(feature = "sessions", feature = "sqlite", feature = "templates"))]
fn book() -> Box<dyn Application> {
    use framework_mini::{Sqlite, middleware::SessionKey};
    let db = Sqlite::memory().expect("a database");
    let book = guest_book::app(db.clone(), SessionKey::new(&[7; 32]).expect("a key")).expect("a book");
    for n in 0..10 {
        let entry = (format!("Visitor {n}"), "It was <nice> here & there.");
        db.write(|db| Ok(db.execute("INSERT INTO entry (name, text) VALUES (?, ?)", entry)?)).expect("an entry");
    }
    Box::new(book)
}

#[rustfmt::skip] // one line each, as a table
const SCENARIOS: &[Scenario] = &[
    Scenario { name: "text", method: "GET", path: "/", body: "", application: plain },
    Scenario { name: "parameters", method: "GET", path: "/users/1234/items/sword", body: "", application: plain },
    #[cfg(feature = "json")]
    Scenario { name: "json", method: "GET", path: "/json/1234", body: "", application: plain },
    Scenario { name: "form", method: "POST", path: "/notes", body: "text=Hello%2C+World%21&more=1", application: plain },
    Scenario { name: "layers", method: "GET", path: "/", body: "", application: layers },
    #[cfg(all(feature = "sessions", feature = "sqlite", feature = "templates"))]
    Scenario { name: "book", method: "GET", path: "/", body: "", application: book },
];

fn main() {
    let server = ServerInfo::new("localhost", "8000", "bench/1");
    let peer = Peer::tcp(([127, 0, 0, 1], 40_000).into());
    // `cargo bench` adds `--bench`.
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    if let [name, times] = &args[..] {
        let scenario = SCENARIOS.iter().find(|scenario| scenario.name == *name).expect("a scenario");
        let application = (scenario.application)();
        for _ in 0..times.parse().expect("a number") {
            ask(&server, &peer, &*application, scenario);
        }
        return;
    }
    for scenario in SCENARIOS {
        let application = (scenario.application)();
        let round = |_| {
            let began = Instant::now();
            for _ in 0..2000 {
                ask(&server, &peer, &*application, scenario);
            }
            began.elapsed() / 2000
        };
        let best = (0..7).map(round).min().unwrap_or_default();
        println!("{:<12} {:>7} ns", scenario.name, best.as_nanos());
    }
}
