//! What each extractor takes, and how it fails.
#![cfg(all(feature = "forms", feature = "json"))]

#[path = "../src/testing.rs"]
mod testing;

use std::collections::BTreeMap;
use std::io::{BufRead, Read};

use framework_mini::{
    App, BodyReader, Cookie, Cookies, Error, FieldErrors, Fields, Form, FromRequest, Headers, IntoResponse, Json,
    Needs, Path, Query, Request, Response, Site, State, Status,
};
use testing::TestRequest;

#[derive(serde::Deserialize, serde::Serialize)]
struct Search {
    q: String,
    page: Option<u32>,
    #[serde(default)]
    tag: Vec<String>,
}

/// A guard: it reads a header, or the request ends here.
struct User(String);

impl<S> FromRequest<S> for User {
    fn from_request(request: &mut Request<S>) -> Result<Self, Error> {
        let name = request.header("x-user").map(|name| name.to_string_lossy().into_owned());
        name.map(Self).ok_or_else(|| {
            Error::new(Status::UNAUTHORIZED, "Who are you?").with_header("WWW-Authenticate", "Basic realm=\"x\"")
        })
    }
}

/// A guard that wants a parameter and says so.
struct Item(u32);

impl<S> FromRequest<S> for Item {
    const NEEDS: Needs = Needs::PARAM;

    fn from_request(request: &mut Request<S>) -> Result<Self, Error> {
        let Path(id) = Path::from_request(request)?;
        Ok(Self(id))
    }
}

fn show(search: &Search) -> String {
    format!("{} {:?} {:?}", search.q, search.page, search.tag)
}

fn six(
    Path(a): Path<u8>,
    Path(b): Path<String>,
    q: Query<Search>,
    c: Cookies,
    State(s): State<&'static str>,
    body: String,
) -> String {
    format!("{a} {b} {} {:?} {s} {body}", q.0.q, c.get("c"))
}

fn site() -> Site<&'static str> {
    App::new("state")
        .get("/query", |Query(search): Query<Search>| show(&search))
        .get("/map", |Query(map): Query<BTreeMap<String, String>>| format!("{map:?}"))
        .post("/form", |Form(search): Form<Search>| show(&search))
        .post("/again", |form: Result<Form<Search>, Error>| match form {
            Ok(Form(search)) => show(&search).into_response(),
            Err(error) => (error.status().clone(), format!("again: {}", error.message())).into_response(),
        })
        .post("/fields", |fields: Fields| -> Response {
            let mut errors = FieldErrors::new();
            let (q, page) = (fields.text("q", &mut errors), fields.parse::<u32>("page", &mut errors));
            match errors.is_empty() {
                true => format!("{q} {page:?}").into_response(),
                false => (Status::UNPROCESSABLE_CONTENT, Json(errors)).into_response(),
            }
        })
        .post("/json", |Json(search): Json<Search>| Json(search))
        .post("/string", |body: String| body)
        .post("/vec", |body: Vec<u8>| body)
        .body_limit(10)
        .post("/lines", |mut body: BodyReader| -> Result<String, Error> {
            let mut first = String::new();
            body.read_line(&mut first)?;
            let mut rest = Vec::new();
            body.read_to_end(&mut rest)?;
            Ok(format!("{first:?} {}", rest.len()))
        })
        .post("/stubborn", |mut body: BodyReader| {
            let reads: Vec<bool> = (0..5).map(|_| body.read(&mut [0; 60]).is_ok()).collect();
            format!("{reads:?} {}", body.fill_buf().is_ok())
        })
        .get("/user", |User(name): User| name)
        .get("/maybe", |user: Result<User, Error>| user.map_or_else(|_| "nobody".to_owned(), |User(name)| name))
        .get("/item/{id}/{n}", |Item(id): Item, Path(n): Path<i8>| format!("{id} {n}"))
        .get("/float/{x}", |Path(x): Path<f64>| x.to_string())
        .get("/text/{x}", |Path(x): Path<String>| x)
        .post("/six/{a}/{b}", six)
        .get("/headers", |headers: Headers| format!("{:?} {}", headers.get("X-ONE"), headers.all("x-one").count()))
        .get("/named/{x}/{*y}", || "")
        .get("/cookie", || "set".into_response().with_cookie(Cookie::new("a", "1")).with_cookie(Cookie::new("b", "2")))
        .get("/bad-cookie", || "set".into_response().with_cookie(Cookie::new("a", "x".repeat(5000))))
        .get("/bad-header", || "x".into_response().with_header("X-Y", "a\r\nSet-Cookie: b=c"))
        .get("/hop", || ([("Connection", "close")], "x"))
        .get("/euro", || ([("X-Price", "3 €")], "x"))
        .get("/tuple", || (Status::ACCEPTED, [("X-A", "1"), ("X-B", "2")], "body"))
        .stream_limit(100)
        .field_limit(5)
        .build()
        .unwrap()
}

#[test]
fn queries() {
    for (target, code, expected) in [
        ("/query?q=a+b&tag=x&tag=y&page=", 200, "a b None [\"x\", \"y\"]"),
        ("/query?q=%C3%A9&page=3", 200, "é Some(3) []"),
        ("/query?page=3", 400, "missing field `q`"),
        ("/query?q=&page=x", 400, "invalid digit"),
        ("/query", 400, "missing field"),
        ("/query?q=1&a&b&c&d", 200, "1 None []"),
        ("/query?q=1&a&b&c&d&e", 400, "more than the 5 fields"),
        ("/map?a=1;b=2", 200, "{\"a\": \"1;b=2\"}"),
    ] {
        let response = TestRequest::get(target).send(&site());
        assert_eq!(response.code(), code, "{target}");
        assert!(response.text().contains(expected), "{target}: {}", response.text());
    }
}

#[test]
fn bodies() {
    let (form, json, text) = ("application/x-www-form-urlencoded", "application/json", "text/plain");
    let long = format!("q={}", "x".repeat(2 << 20));
    for (target, kind, body, code, expected) in [
        ("/form", form, "q=a&tag=1&tag=2", 200, "a None [\"1\", \"2\"]"),
        ("/form", "Application/X-WWW-Form-URLEncoded; charset=utf-8", "q=a", 200, "a None []"),
        ("/form", form, "page=1", 422, "missing field `q`"),
        ("/form", json, "q=a", 415, "Send a form"),
        ("/form", form, "q=1&a&b&c&d&e", 413, "more than the 5 fields"),
        ("/form", form, &long, 413, "larger than the 1048576 bytes allowed (body_limit)"),
        ("/again", form, "", 422, "again: The form does not fit: missing field `q`"),
        ("/fields", form, "q=+&page=x", 422, r#"{"q":"is missing","page":"invalid digit found in string"}"#),
        ("/fields", form, "q=1&page=2", 200, "1 Some(2)"),
        ("/json", json, r#"{"q":"a","page":1}"#, 200, r#"{"q":"a","page":1,"tag":[]}"#),
        ("/json", "application/problem+json", r#"{"q":"a"}"#, 200, r#"{"q":"a","page":null,"tag":[]}"#),
        ("/json", json, r#"{"q":1}"#, 422, "does not fit"),
        ("/json", json, r#"{"q":"#, 400, "not JSON"),
        ("/json", json, &format!(r#"{{"q":"a","x":{}"#, "[".repeat(100_000)), 400, "not JSON"),
        ("/json", text, "{}", 415, "Send JSON"),
        ("/json", "text/json-application/json", "{}", 415, "Send JSON"),
        ("/string", text, "é", 200, "é"),
        ("/vec", text, "0123456789", 200, "0123456789"),
        ("/vec", text, "0123456789a", 413, "larger than the 10 bytes"),
        ("/lines", text, "one\ntwo", 200, r#""one\n" 3"#),
        ("/lines", text, &"x".repeat(100), 200, "0"),
        ("/lines", text, &"x".repeat(101), 413, "too large|larger than the 100 bytes"),
    ] {
        for chunked in [false, true] {
            let request = TestRequest::post(target, kind, body);
            let response = if chunked { request.chunked() } else { request }.send(&site());
            assert_eq!(response.code(), code, "{target} {chunked} {}", response.text());
            assert!(
                expected.split('|').any(|e| response.text().contains(e)),
                "{target} {chunked}: {}",
                response.text()
            );
        }
    }
    // Nothing is read after the limit was passed once.
    let stubborn = TestRequest::post("/stubborn", text, "x".repeat(130)).chunked().send(&site());
    assert_eq!(stubborn.text(), "[true, false, false, false, false] false");
    let response = TestRequest::post("/string", text, b"\xff".as_slice()).send(&site());
    assert_eq!((response.code(), response.errors.contains("invalid utf-8")), (400, true));
}

#[test]
fn guards_and_the_rest() {
    let get = |target: &str| TestRequest::get(target);
    let site = site();
    for (request, code, expected) in [
        (get("/user").header("X-User", "ada"), 200, "ada"),
        (get("/user"), 401, "Who are you?"),
        (get("/maybe"), 200, "nobody"),
        (get("/item/7/-3"), 200, "7 -3"),
        (get("/item/x/1"), 404, "nothing here"),
        // What has an address has no other: the standard library would read these numbers.
        (get("/item/7/+3"), 404, "nothing here"),
        (get("/item/7/%2B3"), 404, "nothing here"),
        (get("/item/7/+0"), 404, "nothing here"),
        (get("/float/1.5"), 200, "1.5"),
        (get("/float/+1.5"), 404, "nothing here"),
        // In a text it is a character like any other.
        (get("/text/+3"), 200, "+3"),
        (get("/headers").header("x-one", "1").header("X-One", "2"), 200, "Some(\"1\") 2"),
        (TestRequest::post("/six/1/b?q=s", "a/b", "body").header("Cookie", "c=d"), 200, "1 b s Some(\"d\") state body"),
    ] {
        let response = request.send(&site);
        assert_eq!(response.code(), code);
        assert!(response.text().contains(expected), "{}", response.text());
    }
    assert_eq!(get("/user").send(&site).header("WWW-Authenticate"), Some("Basic realm=\"x\""));
}

#[test]
fn responses() {
    let site = site();
    let cookies = TestRequest::get("/cookie").send(&site);
    assert_eq!(
        cookies.all("Set-Cookie"),
        ["a=1; Path=/; SameSite=Lax; HttpOnly", "b=2; Path=/; SameSite=Lax; HttpOnly"]
    );
    let tuple = TestRequest::get("/tuple").send(&site);
    assert_eq!(
        (tuple.code(), tuple.header("x-a"), tuple.header("x-b"), tuple.text().as_str()),
        (202, Some("1"), Some("2"), "body")
    );
    // What must not or cannot be sent is a 500, and the log names the rule.
    for (target, rule) in
        [("/bad-header", "GW-HDR-04"), ("/hop", "GW-HDR-07"), ("/euro", "GW-STR-02"), ("/bad-cookie", "4093")]
    {
        let response = TestRequest::get(target).send(&site);
        assert_eq!(response.code(), 500, "{target}");
        assert!(response.errors.contains(rule), "{target}: {}", response.errors);
        assert!(response.header("Set-Cookie").is_none());
    }
}

/// F06: a form of as many fields as fit is refused before work is spent on them, by default too.
#[test]
fn a_form_of_a_million_fields() {
    let site = App::new(())
        .post("/typed", |Form(map): Form<BTreeMap<String, String>>| map.len().to_string())
        .post("/fields", |fields: Fields| fields.iter().count().to_string())
        .build()
        .unwrap();
    for target in ["/typed", "/fields"] {
        let response = TestRequest::form(target, &"a&".repeat(500_000)).send(&site);
        assert_eq!(response.code(), 413, "{}", response.text());
        assert!(response.text().contains("the 1000 fields allowed (field_limit)"), "{}", response.text());
        // One field with a name of a megabyte, and escapes that are none.
        let name = format!("{}=1&%zz=%&%=%4", "k".repeat(1_000_000));
        let response = TestRequest::form(target, &name).send(&site);
        assert_eq!((response.code(), response.text().as_str()), (200, "3"));
    }
}

/// A request that is refused is refused before its body is read: then a server sends no 100 (Continue) for it.
#[test]
fn refusals_read_nothing() {
    struct Untouched;
    impl Read for Untouched {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            panic!("the body is read")
        }
    }
    let site = site();
    let asks = |environ: &mut gateway_spec::Environ<'_>, start: &mut dyn gateway_spec::StartResponse| {
        environ.set_input(gateway_spec::Input::from_reader(Untouched));
        gateway_spec::Application::call(&site, environ, start)
    };
    let (form, long) = ("application/x-www-form-urlencoded", "x".repeat(2 << 20));
    for (request, code) in [
        (TestRequest::post("/form", form, long.as_str()), 413),
        (TestRequest::post("/lines", form, long.as_str()), 413),
        (TestRequest::post("/vec", "text/plain", "0123456789a"), 413),
        (TestRequest::post("/form", "text/plain", "q=1"), 415),
        (TestRequest::post("/json", "text/plain", "{}"), 415),
        (TestRequest::post("/nowhere", form, "q=1"), 404),
        (TestRequest::post("/six/x/b?q=s", form, "q=1"), 404),
        (TestRequest::post("/six/1/b?p=s", form, "q=1"), 400),
        (TestRequest::post("/query", form, "q=1"), 405),
    ] {
        let what = request.target.clone();
        assert_eq!(request.send(&asks).code(), code, "{what}");
    }
}
