//! What programs do: JSON and CSV.

use serde_json::{Value, json};

use crate::browser::{Browser, PASSWORD, at, at_every_mount};
use crate::support::{Answer, Ask, Framing, Server};

/// A request of a program, which has a name and a password and no cookie.
fn call(browser: &Browser<'_>, method: &str, target: &str, body: Option<Value>) -> (Answer, Value) {
    let mut ask = match body {
        Some(body) => Ask::post(target, body.to_string()).header("Content-Type", "application/json"),
        None => Ask::get(target),
    };
    ask.method = method.to_owned();
    let answer = browser.other().ask(ask.header("Authorization", &basic("team", PASSWORD)));
    let value = if answer.body.is_empty() { Value::Null } else { serde_json::from_slice(&answer.body).unwrap() };
    (answer, value)
}

/// Base64 of `name:password`, without a library: 6 bits at a time.
fn basic(name: &str, password: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::from("Basic ");
    for group in format!("{name}:{password}").as_bytes().chunks(3) {
        let bits = (0..3).fold(0u32, |bits, i| bits << 8 | u32::from(group.get(i).copied().unwrap_or(0)));
        let digit =
            |i: usize| if i <= group.len() { char::from(DIGITS[(bits >> (18 - 6 * i)) as usize & 63]) } else { '=' };
        text.extend((0..4).map(digit));
    }
    text
}

pub(crate) fn json(server: &dyn Server) {
    at_every_mount(server, |browser| {
        let (made, link) = call(
            browser,
            "POST",
            "/api/links",
            Some(json!({"target": "https://a.example/", "slug": "Docs", "title": "<b>"})),
        );
        assert_eq!(made.status, 201, "{link}");
        assert_eq!(made.header("Location"), Some(format!("{}/api/links/docs", browser.mount).as_str()));
        assert_eq!(link["url"], format!("http://localhost{}/docs", browser.mount));
        let (read, same) = call(browser, "GET", "/api/links/docs", None);
        assert_eq!((read.status, read.header("Content-Type"), &same), (200, Some("application/json"), &link));
        assert_eq!((&link["title"], &link["visits"], &link["created_by"]), (&json!("<b>"), &json!(0), &json!("team")));
        assert_eq!(link["created_at"].as_str().map(str::len), Some("2026-11-25T12:00:00Z".len()));

        let (_, random) = call(browser, "POST", "/api/links", Some(json!({"target": "https://b.example/"})));
        assert_eq!(random["slug"].as_str().map(str::len), Some(5));
        let (_, list) = call(browser, "GET", "/api/links?q=docs&per_page=1", None);
        assert_eq!(
            (&list["total"], &list["links"][0]["slug"], &list["per_page"]),
            (&json!(1), &json!("docs"), &json!(1))
        );
        assert_eq!(
            call(browser, "GET", "/api/links?page=2&per_page=1", None).1["links"].as_array().map(Vec::len),
            Some(1)
        );

        // What is named changes, and nothing else.
        let patch = |target: &str, body: Value| call(browser, "PATCH", target, Some(body));
        let (changed, link) = patch("/api/links/Docs", json!({"title": " Our  docs "}));
        assert_eq!(
            (changed.status, &link["title"], &link["target"]),
            (200, &json!("Our docs"), &json!("https://a.example/"))
        );
        assert_eq!((&link["changed_by"], &link["slug"], &link["visits"]), (&json!("team"), &json!("docs"), &json!(0)));
        let (_, same) = call(browser, "GET", "/api/links/docs", None);
        assert_eq!(same, link);
        let (_, moved) = patch("/api/links/docs", json!({"slug": "Papers", "target": "https://c.example/"}));
        assert_eq!(moved["url"], format!("http://localhost{}/papers", browser.mount));
        assert_eq!((&moved["title"], &moved["target"]), (&json!("Our docs"), &json!("https://c.example/")));
        assert_eq!(patch("/api/links/docs", json!({"title": ""})).0.status, 404);
        let (_, back) = patch("/api/links/papers", json!({"slug": "docs", "title": ""}));
        assert_eq!((&back["slug"], &back["title"]), (&json!("docs"), &json!("")));
        let (_, named) = patch("/api/links/docs", json!({"slug": " "}));
        assert_eq!(named["slug"], "docs");

        assert_eq!(call(browser, "DELETE", "/api/links/docs", None).0.status, 204);
        assert_eq!(call(browser, "DELETE", "/api/links/docs", None).0.status, 404);
        // A browser's session does as well.
        assert_eq!(browser.get("/api/links").status, 200);
    });
}

/// H1-AUTH-01, H1-AUTH-02, H1-AUTH-04, H1-AUTH-05.
pub(crate) fn json_errors(server: &dyn Server) {
    at_every_mount(server, |browser| {
        browser.create("wiki", "https://example.com/", "");
        browser.create("docs", "https://example.com/", "");
        let patch = |body: Value| call(browser, "PATCH", "/api/links/docs", Some(body)).0;
        let post = |body: &str, content_type: &str| {
            let ask = Ask::post("/api/links", body).header("Content-Type", content_type);
            browser.other().ask(ask.header("Authorization", &basic("team", PASSWORD)))
        };
        let other = browser.other();
        let asked = |header: &str| other.ask(Ask::get("/api/links").header("Authorization", header));
        for (answer, status) in [
            (other.get("/api/links"), 401),
            (asked(&basic("team", "wrong")), 401),
            (asked(&basic("nobody", PASSWORD)), 401),
            (asked("Bearer x"), 401),
            (post("{}", "text/plain"), 415),
            (post("{", "application/json"), 400),
            (post("{}", "application/json"), 422),
            (post("{\"target\": 7}", "application/json"), 422),
            (post("{\"target\": \"https://a.example/\", \"slgu\": \"a\"}", "application/json"), 422),
            (post("{\"target\": \"javascript:alert(1)\", \"slug\": \"a b\"}", "application/json"), 422),
            (post("{\"target\": \"https://a.example/\", \"slug\": \"WIKI\"}", "application/json"), 409),
            (post(&format!("{{\"target\": \"https://a.example/{}\"}}", "a".repeat(100_000)), "application/json"), 413),
            (call(browser, "GET", "/api/links/none", None).0, 404),
            (call(browser, "GET", "/api/links?page=0", None).0, 400),
            (call(browser, "GET", "/api/links?per_page=1000", None).0, 400),
            (call(browser, "GET", "/api/links?page=x", None).0, 400),
            (call(browser, "GET", "/api/nothing", None).0, 404),
            (call(browser, "PUT", "/api/links", None).0, 405),
            (call(browser, "PUT", "/api/links/docs", None).0, 405),
            (call(browser, "PATCH", "/api/links/docs", None).0, 415),
            (call(browser, "PATCH", "/api/links/none", Some(json!({}))).0, 404),
            (other.ask(Ask { method: "PATCH".into(), ..Ask::post("/api/links/docs", "{}") }), 401),
            (patch(json!("title")), 422),
            (patch(json!({"title": null})), 422),
            (patch(json!({"titel": ""})), 422),
            (patch(json!({"slug": "WIKI"})), 409),
            (patch(json!({"slug": "a b", "target": "x"})), 422),
        ] {
            let text = answer.text();
            assert_eq!(
                (answer.status, answer.header("Content-Type")),
                (status, Some("application/problem+json")),
                "{text}"
            );
            let problem: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(problem["status"], status);
            assert!(
                problem["title"].is_string() && problem["detail"].as_str().is_some_and(|detail| !detail.is_empty())
            );
            let challenge = (status == 401).then_some("Basic realm=\"links\", charset=\"UTF-8\"");
            assert_eq!(answer.header("WWW-Authenticate"), challenge);
        }
        let problem = post("{\"target\": \"x\", \"slug\": \"a b\"}", "application/json").text();
        let problem: Value = serde_json::from_str(&problem).unwrap();
        assert!(problem["errors"]["target"].is_string() && problem["errors"]["slug"].is_string(), "{problem}");
    });
}

/// GW-ITER-08.
pub(crate) fn csv_row_by_row(server: &dyn Server) {
    at(server, "/go", |browser| {
        browser.create("first", "https://example.com/?a=1,2", "=cmd \"x\", y");
        for n in 0..250 {
            let (made, problem) = call_as(browser, &format!("n{n}"));
            assert_eq!(made.status, 201, "{problem}");
        }
        let answer = browser.get("/export.csv");
        assert_eq!(
            (answer.status, answer.header("Content-Type")),
            (200, Some("text/csv; charset=utf-8; header=present"))
        );
        assert_eq!(answer.header("Content-Disposition"), Some("attachment; filename=\"links.csv\""));
        assert_eq!(answer.framing, Framing::Chunked, "its length is not known when it begins");
        let text = answer.text();
        let lines: Vec<&str> = text.split_terminator("\r\n").collect();
        assert_eq!(lines.len(), 252);
        assert!(lines[0].starts_with("slug,url,target,title,visits,"));
        let first = "first,http://localhost/go/first,\"https://example.com/?a=1,2\",\"'=cmd \"\"x\"\", y\",0,";
        assert!(lines[1].starts_with(first), "{}", lines[1]);
        assert!((0..250).all(|n| lines[n + 2].starts_with(&format!("n{n},http://localhost/go/n{n},"))));
        // Somebody who leaves in the middle, and somebody who only asks.
        let ask = Ask::get("/go/export.csv").header("Cookie", &browser.cookie().unwrap());
        browser.site.connect().leave_after(&ask, "n5,");
        let head = browser.ask(Ask::new("HEAD", "/export.csv"));
        assert_eq!((head.status, head.body.len()), (200, 0));
    });
}

fn call_as(browser: &Browser<'_>, slug: &str) -> (Answer, String) {
    let body = json!({"target": "https://example.com/", "slug": slug}).to_string();
    let ask = Ask::post("/api/links", body).header("Content-Type", "application/json");
    let answer = browser.ask(ask.header("Origin", "http://localhost"));
    let text = answer.text();
    (answer, text)
}
