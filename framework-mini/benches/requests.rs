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
use std::time::Instant;

use framework_mini::middleware::{AccessLog, ConditionalGet, RequestIds, SecurityHeaders};
use gateway_spec::Application;

#[cfg(all(feature = "sessions", feature = "sqlite", feature = "templates"))]
#[path = "../tests/guest_book/app.rs"]
#[allow(unreachable_pub, reason = "it is public where it is shown")]
mod guest_book;

#[path = "../tests/requests/mod.rs"]
#[allow(unreachable_pub, reason = "it is public where it is shared")]
mod requests;

use requests::{Ends, site};

struct Scenario {
    name: &'static str,
    method: &'static str,
    path: &'static str,
    body: &'static str,
    application: fn() -> Box<dyn Application>,
}

impl Scenario {
    fn ask(&self, ends: &Ends, application: &dyn Application) {
        let code = ends.ask(application, self.method, self.path, self.body);
        assert!(code < 400, "{}: {code}", self.name);
    }
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
    let ends = Ends::new();
    // `cargo bench` adds `--bench`.
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    if let [name, times] = &args[..] {
        let scenario = SCENARIOS.iter().find(|scenario| scenario.name == *name).expect("a scenario");
        let application = (scenario.application)();
        for _ in 0..times.parse().expect("a number") {
            scenario.ask(&ends, &*application);
        }
        return;
    }
    for scenario in SCENARIOS {
        let application = (scenario.application)();
        let round = |_| {
            let began = Instant::now();
            for _ in 0..2000 {
                scenario.ask(&ends, &*application);
            }
            began.elapsed() / 2000
        };
        let best = (0..7).map(round).min().unwrap_or_default();
        println!("{:<12} {:>7} ns", scenario.name, best.as_nanos());
    }
}
