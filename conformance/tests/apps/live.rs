//! D.7: a clock and a chat, by server-sent events.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;

use conformance::fixtures::PATIENCE;
use framework_mini::middleware::Gzip;
use serde_json::Value;

use crate::support::{Answer, Ask, Opened, Server};
use crate::{App, eventually, mounted, mounted_with};

fn form(text: &str) -> Ask {
    Ask::post("/say", text).header("Content-Type", "application/x-www-form-urlencoded")
}

fn json(text: &str) -> Ask {
    Ask::post("/say", text).header("Content-Type", "application/json")
}

fn stats(app: &App<'_>) -> Value {
    serde_json::from_slice(&app.get("/stats").body).unwrap()
}

fn listeners(app: &App<'_>) -> u64 {
    stats(app)["listeners"].as_u64().unwrap()
}

/// Reads the next event that has data.
fn next_event(stream: &mut dyn Opened) -> String {
    loop {
        let event = stream.until("\n\n");
        if event.contains("data: ") {
            return event;
        }
    }
}

/// The value of a field of an event.
#[track_caller]
fn field<'e>(event: &'e str, name: &str) -> &'e str {
    let start = event.find(&format!("{name}: ")).unwrap_or_else(|| panic!("no {name} in {event:?}"));
    event[start + name.len() + 2..].lines().next().unwrap()
}

/// The text of the message that an event tells.
#[track_caller]
fn text(event: &str) -> String {
    let message: Value = serde_json::from_str(field(event, "data")).unwrap_or_else(|_| panic!("{event:?}"));
    message["text"].as_str().unwrap_or_else(|| panic!("{event:?}")).to_owned()
}

#[track_caller]
fn problem(answer: &Answer, status: u16, words: &str) {
    assert!(answer.status == status && answer.complete && answer.text().contains(words), "{answer:?}");
}

/// Forms and JSON; what is no message is refused; markup is text.
pub(crate) fn say(server: &dyn Server) {
    mounted(server, "live", |app| {
        assert!(app.get("/").text().contains("Say hello"));
        app.ask(&form("text=from+a+form&name=Ada")).is(204, "");
        app.ask(&json(r#"{"text": "from JSON"}"#)).is(204, "");
        app.ask(&form(&format!("text={}", "%C3%BC".repeat(500)))).is(204, "");
        problem(&app.ask(&form(&format!("text={}", "a".repeat(501)))), 422, "501 characters");
        for empty in [form("text="), form(""), form("text=+%0D%0A"), json("{}"), json(r#"{"text": " "}"#)] {
            problem(&app.ask(&empty), 422, "empty");
        }
        problem(&app.ask(&json(r#"{"text": 1}"#)), 422, "does not fit");
        problem(&app.ask(&json("{")), 400, "not JSON");
        problem(&app.ask(&Ask::post("/say", "text=a").header("Content-Type", "text/plain")), 415, "");
        problem(&app.ask(&form(&format!("text={}", "a".repeat(50_000)))), 413, "larger");
        problem(&app.ask(&form("text=evil").header("Sec-Fetch-Site", "cross-site")), 403, "another site");
        assert_eq!(app.get("/say").status, 405);

        // A browser without scripts is shown the page.
        let posted = app.ask(&form("text=%3Cscript%3E&name=%3Cb%3E").header("Accept", "text/html"));
        assert_eq!((posted.status, posted.header("Location")), (303, Some(&*format!("{}/?name=%3Cb%3E", app.prefix))));
        let refused = app.ask(&form("text=+&name=%22Ada").header("Accept", "text/html,*/*;q=0.8"));
        assert!(refused.status == 422 && refused.text().contains("value=\"&quot;Ada\""), "{refused:?}");
        let page = app.get("/").text();
        assert!(page.contains("&lt;script&gt;") && page.contains("<b>&lt;b&gt;</b>"), "{page}");
        assert!(page.contains("from a form") && page.contains("from JSON"));
        assert_eq!(page.matches("<script").count(), 1, "its own");

        let policy = app.get("/").header("Content-Security-Policy").unwrap().to_owned();
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        for asset in ["/live.css", "/live.js"] {
            assert!(page.contains(&format!("{}{asset}", app.prefix).replace('/', "&#x2f;")), "{asset}: {page}");
            let first = app.get(asset);
            let tag = first.header("ETag").unwrap();
            assert_eq!(app.ask(&Ask::get(asset).header("If-None-Match", tag)).status, 304);
        }
        assert_eq!(stats(app)["messages"], 4);
    });
}

/// An event a second, with an id; the first at once.
pub(crate) fn clock(server: &dyn Server) {
    mounted(server, "live", |app| {
        let mut stream = app.open(&Ask::get("/clock"));
        let (first, second) = (next_event(&mut *stream), next_event(&mut *stream));
        let id = |event: &str| field(event, "id").parse::<u64>().unwrap();
        assert!(id(&second) > id(&first), "{first} {second}");
        assert!(field(&first, "data").ends_with('Z'));
        // Beside the chat it has no id: the last one that a client has seen is that of a message.
        let mut both = app.open(&Ask::get("/events?clock"));
        let tick = next_event(&mut *both);
        assert_eq!(field(&tick, "event"), "clock");
        assert!(!tick.contains("id: "), "{tick}");
        assert_eq!(app.head("/clock").header("Content-Type"), Some("text/event-stream"));
    });
    compressed(server);
}

/// A stream is not held back until a buffer of the compressor is full.
fn compressed(server: &dyn Server) {
    let app = Gzip::new(live::app(live::Config::default()).unwrap());
    let site = server.start(Arc::new(app));
    // HTTP/1.0, so that there is nothing but content behind the head.
    let mut stream = site.connect().open(&Ask::get("/clock").http10().header("Accept-Encoding", "gzip"));
    let mut told = Vec::new();
    while !told.ends_with(b"Z\n\n") {
        assert!(stream.more(), "a stream without an end");
        let compressed: &[u8] = stream.seen();
        assert!(compressed.starts_with(&[0x1f, 0x8b]), "{compressed:?}");
        told.clear();
        // As much as can be read of what is there; then it says that there should be more.
        let _ = flate2::read::GzDecoder::new(compressed).read_to_end(&mut told);
    }
}

/// What was missed is replayed, up to 50.
pub(crate) fn replay(server: &dyn Server) {
    mounted(server, "live", |app| {
        let mut stream = app.open(&Ask::get("/events"));
        stream.until("connected");
        for n in 1..=60 {
            app.ask(&form(&format!("text={n}"))).is(204, "");
        }
        let events: Vec<String> = (1..=60).map(|_| next_event(&mut *stream)).collect();
        assert!(events.iter().zip(1..).all(|(event, n)| text(event) == n.to_string()), "{events:?}");
        drop(stream);

        let seen = |n: usize| field(&events[n - 1], "id");
        let mut back = app.open(&Ask::get("/events").header("Last-Event-ID", seen(57)));
        for n in 58..=60 {
            assert_eq!(text(&next_event(&mut *back)), n.to_string());
        }
        // The header is newer than what the page was loaded with.
        let query = format!("/events?after={}", seen(1));
        let mut both = app.open(&Ask::get(&query).header("Last-Event-ID", seen(59)));
        assert_eq!(text(&next_event(&mut *both)), "60");
        let mut late = app.open(&Ask::get(&query));
        let lagged = next_event(&mut *late);
        assert_eq!((field(&lagged, "event"), field(&lagged, "data")), ("lagged", "{\"missed\":9}"));
        assert_eq!(text(&next_event(&mut *late)), "11");
        let mut before_a_restart = app.open(&Ask::get("/events").header("Last-Event-ID", "0-59"));
        assert_eq!(field(&next_event(&mut *before_a_restart), "event"), "lagged");
        assert_eq!(text(&next_event(&mut *before_a_restart)), "11");
    });
}

/// Heartbeats; who has gone is noticed; a place that is free can be taken; a stop ends all.
pub(crate) fn limits(server: &dyn Server) {
    let options = [("max-listeners", "2"), ("heartbeat", "50ms")];
    mounted_with(server, "live", &options, |app| {
        let mut one = app.open(&Ask::get("/events"));
        one.until(":\n\n");
        let mut two = app.open(&Ask::get("/clock"));
        two.until("data: ");
        assert_eq!(listeners(app), 2);
        for target in ["/events", "/clock"] {
            let refused = app.get(target);
            problem(&refused, 503, "As many listen as can");
            assert_eq!(refused.header("Retry-After"), Some("5"));
        }
        assert_eq!(app.get("/").status, 200);
        drop(one);
        eventually("a listener less", || listeners(app) == 1);
        let mut one = app.open(&Ask::get("/events"));
        one.until("connected");
        app.ask(&form("text=last+words")).is(204, "");
        app.stop();
        assert_eq!(text(&next_event(&mut *one)), "last words");
        assert!(one.ends() && two.ends(), "streams end, and are whole");
        eventually("no listener", || listeners(app) == 0);
        problem(&app.get("/events"), 503, "about to stop");
        assert_eq!(app.head("/events").header("Retry-After"), Some("5"));
    });
}

/// Who does not read has no queue that grows, and is told how much is missing.
pub(crate) fn slow(server: &dyn Server) {
    let options = [("max-text", "65000"), ("history", "1"), ("queue", "2"), ("heartbeat", "1h")];
    mounted_with(server, "live", &options, |app| {
        let mut slow = app.open(&Ask::get("/events"));
        slow.until("connected");
        // More than the system and the server keep for a client that does not read.
        let (padding, messages) = ("x".repeat(64_000), 250);
        for n in 1..=messages {
            app.ask(&json(&format!("{{\"text\":\"{n}.{padding}\"}}"))).is(204, "");
        }
        let (mut expected, mut missed) = (1, 0);
        while expected <= messages {
            let event = next_event(&mut *slow);
            if event.contains("event: lagged") {
                let told: Value = serde_json::from_str(field(&event, "data")).unwrap();
                missed += told["missed"].as_u64().unwrap();
                expected += told["missed"].as_u64().unwrap();
            } else {
                assert!(event.contains(&format!("\"text\":\"{expected}.")), "{expected}: {}", &event[..100]);
                expected += 1;
            }
        }
        assert!(missed > 0, "all of {messages} messages were kept for one who did not read");
        assert_eq!(stats(app)["lagged"], missed);
    });
}

/// Four streams for each loop, and more, and there is somebody to answer all the same.
pub(crate) fn streams(server: &dyn Server) {
    mounted(server, "live", |app| {
        let many = 4 * thread::available_parallelism().map_or(1, usize::from).max(16);
        let mut streams: Vec<_> = (0..many).map(|_| app.open(&Ask::get("/events?clock"))).collect();
        streams.iter_mut().for_each(|stream| drop(next_event(&mut **stream)));
        assert_eq!(listeners(app), many as u64);
        assert_eq!(app.get("/").status, 200);
        app.ask(&form("text=to+all")).is(204, "");
        for stream in &mut streams {
            while !next_event(&mut **stream).contains("to all") {}
        }
    });
}

/// `server-threaded` has a thread for each stream, and a limit of them: one more is told to come back.
#[test]
fn threads_are_limited() {
    let mut config = server_threaded::Server::builder();
    config.max_connections = 4;
    let server = config.bind("127.0.0.1:0").unwrap();
    let (handle, address) = (server.handle(), server.local_addr().to_string());
    let app = Arc::new(live::app(live::Config::default()).unwrap());
    let (stop, serving) = (app.stopper(), thread::spawn(move || server.serve(app)));
    let ask = |target: &str| {
        let mut stream = TcpStream::connect(&address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).unwrap();
        stream
    };
    let status = |stream: &mut TcpStream| {
        let mut line = [0; 12];
        stream.read_exact(&mut line).unwrap();
        String::from_utf8_lossy(&line).into_owned()
    };
    let mut streams: Vec<TcpStream> = (0..4).map(|_| ask("/events")).collect();
    assert!(streams.iter_mut().all(|stream| status(stream) == "HTTP/1.1 200"));
    let mut answer = String::new();
    ask("/").read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("Retry-After: "), "{answer}");
    stop();
    for mut stream in streams {
        let mut rest = Vec::new();
        while !rest.ends_with(b"\r\n0\r\n\r\n") {
            rest.push(0);
            let last = rest.len() - 1;
            stream.read_exact(&mut rest[last..]).unwrap();
        }
    }
    assert_eq!(status(&mut ask("/")), "HTTP/1.1 200", "a place is free again");
    handle.shutdown();
    serving.join().unwrap().unwrap();
}
