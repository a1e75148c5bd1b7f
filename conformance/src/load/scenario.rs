//! The loads that are compared, by name.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use super::{Exchange, Workload, book};

/// The body of `/plaintext`, `/query` and `/slow`.
pub const HELLO: &[u8] = b"Hello, World!";
/// The body of `/json`.
pub const JSON: &[u8] = br#"{"message":"Hello, World!"}"#;

/// The body of `/download` and `/file`: 1 MiB in which every position differs from its
/// neighbours, so that a shifted or repeated block is seen.
pub fn download() -> Arc<[u8]> {
    static BYTES: LazyLock<Arc<[u8]>> =
        LazyLock::new(|| (0..1u32 << 20).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect());
    Arc::clone(&BYTES)
}

/// The body that is sent to `/echo`: 1 KiB.
pub fn upload() -> Arc<[u8]> {
    download()[..1024].into()
}

/// What a scenario asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `GET /plaintext` with a minimal head.
    Plaintext,
    /// `GET /plaintext` with the head of a browser.
    Browser,
    /// The same, where no head repeats the one before on its connection.
    Browsing,
    /// `GET /json`: an object with one string, serialised for each request.
    Json,
    /// `POST /echo` of 1 KiB.
    Echo,
    /// `GET /download`: 1 MiB from memory.
    Download,
    /// `GET /file`: 1 MiB from a file.
    File,
    /// `GET /plaintext` on a connection of its own.
    Fresh,
    /// `GET /book`: the newest twenty entries of a SQLite table in a page by a template.
    Book,
    /// `GET /query`, which blocks for a millisecond, as a question to a database does.
    Query,
    /// `GET /plaintext`, and five times in a hundred `GET /slow`, which blocks for 50 ms.
    Mix,
}

/// One load with a name.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// What it is called on the command line and in tables.
    pub name: &'static str,
    /// What is asked.
    pub shape: Shape,
    /// How many connections ask at once.
    pub connections: usize,
    /// How many requests are written at once on each.
    pub depth: usize,
}

/// How long `/slow` blocks.
pub const SLOW: Duration = Duration::from_millis(50);
/// How long `/query` blocks.
pub const QUERY: Duration = Duration::from_millis(1);
/// How many of a mix's requests go to `/slow`.
const SLOW_SHARE: f64 = 0.05;

/// Every scenario, in the order of the tables.
pub const SCENARIOS: &[Scenario] = &[
    scenario("plaintext-1", Shape::Plaintext, 1, 1),
    scenario("plaintext", Shape::Plaintext, 64, 1),
    scenario("plaintext-256", Shape::Plaintext, 256, 1),
    scenario("pipelined", Shape::Plaintext, 64, 16),
    scenario("json", Shape::Json, 64, 1),
    scenario("browser", Shape::Browser, 64, 1),
    scenario("browsing", Shape::Browsing, 64, 1),
    scenario("echo", Shape::Echo, 64, 1),
    scenario("download", Shape::Download, 16, 1),
    scenario("file", Shape::File, 16, 1),
    scenario("fresh", Shape::Fresh, 64, 1),
    scenario("book", Shape::Book, 64, 1),
    scenario("query", Shape::Query, 64, 1),
    scenario("mix", Shape::Mix, 64, 1),
];

const fn scenario(name: &'static str, shape: Shape, connections: usize, depth: usize) -> Scenario {
    Scenario { name, shape, connections, depth }
}

impl Scenario {
    /// The scenario of that name.
    pub fn named(name: &str) -> Option<Self> {
        SCENARIOS.iter().find(|scenario| scenario.name == name).copied()
    }

    /// The same on another number of connections and another depth of pipelining.
    pub fn with(self, connections: usize, depth: usize) -> Self {
        Self { connections, depth, ..self }
    }

    /// The load that carries it out.
    pub fn workload(&self) -> Workload {
        let fast = match self.shape {
            Shape::Plaintext | Shape::Mix => Exchange::get("/plaintext", HELLO),
            Shape::Browser => Exchange::browser("/plaintext", HELLO),
            Shape::Browsing => Exchange::browsing("/plaintext", HELLO).swap_remove(0),
            Shape::Json => Exchange::get("/json", JSON),
            Shape::Echo => Exchange::post("/echo", &upload(), upload()),
            Shape::Download => Exchange::get("/download", download()),
            Shape::File => Exchange::get("/file", download()),
            Shape::Book => Exchange::get("/book", book()),
            Shape::Fresh => Exchange::closing("/plaintext", HELLO),
            Shape::Query => Exchange::get("/query", HELLO),
        };
        let mut workload = Workload::new(self.connections, fast);
        workload.depth = self.depth;
        if self.shape == Shape::Browsing {
            workload.others = Exchange::browsing("/plaintext", HELLO).split_off(1);
        }
        workload.fresh = self.shape == Shape::Fresh;
        if self.shape == Shape::Mix {
            workload.slow = Some((Exchange::get("/slow", HELLO), SLOW_SHARE));
        }
        workload
    }

    /// Answers per second that the mix could reach if nothing but `/slow` took time.
    pub fn ceiling(&self) -> Option<f64> {
        let per_request = SLOW.as_secs_f64() * SLOW_SHARE;
        (self.shape == Shape::Mix).then_some(self.connections as f64 / per_request)
    }

    /// The type and the bytes of the one answer that fits every fast request, and the length of
    /// each request's body: all that a bare loop has to know.
    pub fn fixed_answer(&self) -> (&'static str, Arc<[u8]>, usize) {
        match self.shape {
            Shape::Json => ("application/json", JSON.into(), 0),
            Shape::Echo => ("application/octet-stream", upload(), upload().len()),
            Shape::Download | Shape::File => ("application/octet-stream", download(), 0),
            Shape::Book => ("text/html; charset=utf-8", book(), 0),
            Shape::Plaintext | Shape::Browser | Shape::Browsing | Shape::Fresh | Shape::Query | Shape::Mix => {
                ("text/plain", HELLO.into(), 0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found() {
        for scenario in SCENARIOS {
            let found = Scenario::named(scenario.name).expect("a name of the list");
            assert_eq!((found.connections, found.depth), (scenario.connections, scenario.depth));
            assert_eq!(found.shape, scenario.shape);
        }
        assert!(Scenario::named("nothing").is_none());
    }

    #[test]
    fn fixed_answers_are_what_the_load_expects() {
        for scenario in SCENARIOS {
            let (_, body, skipped) = scenario.fixed_answer();
            let workload = scenario.workload();
            assert_eq!(body, workload.fast.expected, "{}", scenario.name);
            let head = memchr::memmem::find(&workload.fast.request, b"\r\n\r\n").expect("a head");
            assert_eq!(workload.fast.request.len(), head + 4 + skipped, "{}", scenario.name);
        }
    }

    #[test]
    fn the_mix_has_the_ceiling_of_its_closed_loop() {
        let mix = Scenario::named("mix").expect("the mix");
        let ceiling = mix.ceiling().expect("a ceiling");
        assert_eq!(ceiling.round(), 25_600.0);
        assert_eq!(Scenario::named("json").expect("json").ceiling(), None);
    }
}
