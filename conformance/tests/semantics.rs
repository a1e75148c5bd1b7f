//! What RFC 9110 asks of whoever writes and reads fields, held against the framework: lists, parameters, media types, weights,
//! URLs, logs. Files and routes are in `resources.rs`.
//!
//! The tables are made from the rows of `docs/spec/`, not from the framework.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use conformance::fixtures::PATIENCE;
use conformance::inprocess::{Client, Response};
use framework_mini::middleware::{
    AccessLog, BasicAuth, CatchPanic, Content, Filter, Gzip, Interest, ResponseHead, filter,
};
use framework_mini::{
    App, Cookie, ETag, Error, File, Html, IntoResponse, Json, Multipart, Path, Redirect, Site, Status,
};
use gateway_spec::{Application, Body, Environ, StartResponse};

fn client(app: App<()>) -> Client<Site<()>> {
    Client::new(app.build().expect("routes"))
}

/// The values of all lines of a header.
fn lines<'r>(response: &'r Response, name: &str) -> Vec<&'r str> {
    response.header_values(name).collect()
}

/// No URL with an empty host, and none with a password, whatever the application asks for.
#[test]
fn h1_tgt_07_urls_have_a_host_and_no_userinfo() {
    let app = App::new(())
        .post("/external", |url: String| Redirect::external(url))
        .get("/here", || Redirect::to("http://me:pw@h/"));
    let client = client(app);
    // H1-TGT-08 with it: the framework refuses to write the one as it does the other.
    for url in ["http:///x", "https://:8080/x", "http:?x", "http://me:pw@h/", "//me@h/"] {
        let response = client.post("/external").header("Content-Type", "text/plain").body(url).send();
        assert_eq!((response.status, response.header("Location")), (500, None), "{url}");
    }
    assert_eq!(client.get("/here").send().header("Location"), Some("/http://me:pw@h/"), "a path, whatever it says");

    // The URL of a request whose Host is empty is that of the server.
    fn own_url(environ: &mut Environ<'_>, start: &mut dyn StartResponse) -> Result<String, gateway_spec::Error> {
        start.start(Status::OK, &[])?;
        Ok(environ.url())
    }
    let url = Client::new(own_url).get("/x").header("Host", "").send().text();
    assert!(url.starts_with("http://") && !url.starts_with("http:///") && !url.starts_with("http://:"), "{url}");
}

/// Equivalent targets are one resource (H1-TGT-10, H1-TGT-11), so that there is one path for all decisions (F03); an encoded
/// slash is no separator.
#[test]
fn h1_tgt_10_one_resource_for_equivalent_targets() {
    let app = App::new(())
        .get("/~ada", || "page")
        .get("/files/{name}", |Path(name): Path<String>| name)
        .get("/a/b", || "two segments");
    let client = client(app);
    for target in ["/~ada", "/%7Eada", "/%7eada", "/%7E%61da"] {
        assert_eq!(
            (client.get(target).send().status, client.get(target).send().text()),
            (200, "page".into()),
            "{target}"
        );
    }
    assert_eq!(client.get("/files/a%2Fb").send().text(), "a/b");
    assert_eq!(client.get("/files/%61").send().text(), client.get("/files/a").send().text());
    assert_eq!(client.get("/a%2Fb").send().status, 404, "not the two segments");
}

/// Lists that the framework writes have no empty elements, whatever was there before (H1-SYN-01), and `Vary` has each
/// name once (H1-VARY-02).
#[test]
fn h1_syn_01_lists_without_empty_elements() {
    let varying =
        |vary: &'static str| move || "all work and no play ".repeat(100).into_response().with_header("Vary", vary);
    let app = App::new(())
        .get("/empty", varying(""))
        .get("/cookie", varying("Cookie"))
        .get("/case", varying("cookie, ACCEPT-encoding"))
        .get("/star", varying("*"))
        .get("/one", || "")
        .post("/one", || "");
    let client = Client::new(Gzip::new(app.build().expect("routes")));
    for (path, expected) in [
        ("/empty", "Accept-Encoding"),
        ("/cookie", "Cookie, Accept-Encoding"),
        ("/case", "cookie, ACCEPT-encoding"),
        ("/star", "*"),
    ] {
        for coding in ["gzip", "identity"] {
            let response = client.get(path).header("Accept-Encoding", coding).send();
            assert_eq!(lines(&response, "Vary"), [expected], "{path} {coding}");
        }
    }
    let allow = client.put("/one").send();
    let allow = allow.header("Allow").expect("405 has one").split(',').map(str::trim).collect::<Vec<_>>();
    assert!(allow.len() > 1 && allow.iter().all(|method| !method.is_empty()), "{allow:?}");
}

/// The names of the fields of a form, of a content type and a head of a part.
fn names(content_type: &str, disposition: &str) -> Response {
    fn names(mut form: Multipart) -> Result<String, Error> {
        let mut names = String::new();
        while let Some(part) = form.next_part()? {
            names.push_str(part.name());
        }
        Ok(names)
    }
    let body = format!("--B\r\nContent-Disposition: {disposition}\r\n\r\n\r\n--B--\r\n");
    client(App::new(()).post("/", names)).post("/").header("Content-Type", content_type).body(body).send()
}

/// A quoted pair stands for the octet behind the backslash.
#[test]
fn h1_syn_09_quoted_pairs_are_read() {
    let name = names("multipart/form-data; boundary=\"B\"", r#"form-data; name="a\"b\\c""#);
    assert_eq!((name.status, name.text().as_str()), (200, r#"a"b\c"#));
    assert_eq!(
        names("multipart/form-data; boundary=\"B", "form-data; name=a").status,
        400,
        "a quote that does not end"
    );
}

/// Nothing is written as a quoted pair that need not be: what would have to be is left out or replaced.
#[test]
fn h1_syn_10_quoted_pairs_that_are_written() {
    let asked =
        Client::new(BasicAuth::new(App::new(()).build().expect("none"), "a\"b\\c\r\nd", |_, _| false)).get("/").send();
    assert_eq!(asked.header("WWW-Authenticate"), Some("Basic realm=\"abcd\", charset=\"UTF-8\""));
    let app = App::new(()).get("/", || Ok::<_, Error>(File::open("Cargo.toml")?.download("a\"b\\c;\u{e9}.txt")));
    let saved = client(app).get("/").send();
    let expected = "attachment; filename=\"a_b_c;_.txt\"; filename*=UTF-8''a%22b%5Cc%3B%C3%A9.txt";
    assert_eq!(saved.header("Content-Disposition"), Some(expected));
}

/// Parameters: any letter case, quoted or not, empty ones; media types in any letter case (H1-REP-03).
#[test]
fn h1_syn_11_parameters_and_media_types() {
    for content_type in [
        "multipart/form-data;boundary=B",
        "multipart/form-data;;BOUNDARY=\"B\";",
        "Multipart/Form-Data ; charset=utf-8;Boundary=B",
    ] {
        assert_eq!(names(content_type, "Form-Data;;NAME=\"a\";").text(), "a", "{content_type}");
    }
    let app = App::new(()).post("/json", |Json(number): Json<u8>| number.to_string());
    let client = client(app);
    for (content_type, status) in [
        ("application/json", 200),
        ("Application/JSON;;Charset=\"UTF-8\";", 200),
        ("application/jsonx", 415),
        ("text/json", 415),
    ] {
        let response = client.post("/json").header("Content-Type", content_type).body("7").send();
        assert_eq!(response.status, status, "{content_type}");
    }
}

/// Content has a type: by what the handler returned, by the name of a file, of errors too.
#[test]
fn h1_rep_01_content_has_a_type() {
    let app = App::new(())
        .get("/text", || "")
        .get("/html", || Html("<p>"))
        .get("/octets", || vec![1u8])
        .get("/json", || Json(1))
        .get("/file", || File::open("Cargo.toml"))
        .get("/unknown", || File::open("../LICENSE-MIT"))
        .get("/error", || Error::conflict("no"))
        .get("/body", || Body::from("nobody knows what"));
    let client = client(app);
    for (path, expected) in [
        ("/text", Some("text/plain; charset=utf-8")),
        ("/html", Some("text/html; charset=utf-8")),
        ("/octets", Some("application/octet-stream")),
        ("/json", Some("application/json")),
        ("/file", Some("text/plain; charset=utf-8")),
        ("/unknown", Some("application/octet-stream")),
        ("/error", Some("text/plain; charset=utf-8")),
        ("/nowhere", Some("text/plain; charset=utf-8")),
        ("/body", None),
    ] {
        let response = client.get(path).send();
        assert_eq!(response.header("Content-Type"), expected, "{path}: {}", response.text());
    }
}

/// `x-gzip` is `gzip`.
#[test]
fn h1_rep_07_old_names_of_codings() {
    let app = App::new(()).get("/", || "all work and no play ".repeat(100));
    let client = Client::new(Gzip::new(app.build().expect("routes")));
    for (coding, expected) in
        [("x-gzip", Some("gzip")), ("X-GZIP;q=0.1", Some("gzip")), ("x-gzip;q=0", None), ("x-compress", None)]
    {
        assert_eq!(
            client.get("/").header("Accept-Encoding", coding).send().header("Content-Encoding"),
            expected,
            "{coding}"
        );
    }
}

/// The weak tag of a file that has just been written is another one after the next write.
#[test]
fn h1_val_08_weak_tags_change() {
    let path = std::env::temp_dir().join(format!("conformance-weak-{}.txt", std::process::id()));
    let served = path.clone();
    let client = client(App::new(()).get("/", move || File::open(&served)));
    let mut tags = Vec::new();
    for content in ["one", "three", "seven and more"] {
        std::fs::write(&path, content).expect("a file");
        let tag = client.get("/").send().header("ETag").expect("a tag").to_owned();
        assert!(tag.starts_with("W/") && !tags.contains(&tag), "{tag} after {tags:?}");
        tags.push(tag);
    }
    let _ = std::fs::remove_file(&path);
}

/// The table of RFC 9110 section 8.8.3.2.
#[test]
fn h1_val_11_comparing_tags() {
    let tag = |text| ETag::parse(text).expect("a tag");
    for (one, two, strong, weak) in [
        ("W/\"1\"", "W/\"1\"", false, true),
        ("W/\"1\"", "W/\"2\"", false, false),
        ("W/\"1\"", "\"1\"", false, true),
        ("\"1\"", "\"1\"", true, true),
    ] {
        assert_eq!((tag(one).matches_strongly(&tag(two)), tag(one).matches(&tag(two))), (strong, weak), "{one} {two}");
        assert_eq!((tag(two).matches_strongly(&tag(one)), tag(two).matches(&tag(one))), (strong, weak), "{two} {one}");
    }
}

/// What was created: 201, where it is, and some words about it.
#[test]
fn h1_meth_06_created() {
    let app = App::new(()).post("/notes", || framework_mini::Response::created("/notes/7", "It is at /notes/7."));
    let response = client(app).post("/notes").send();
    assert_eq!((response.status, response.header("Location")), (201, Some("/notes/7")));
    assert!(!response.body().is_empty());
}

/// What an application answers to an `Accept`: the type, or 406 in the words of this one.
fn accept(value: Option<&str>, types: &'static [&'static str]) -> Option<String> {
    let app = move |environ: &mut Environ<'_>, start: &mut dyn StartResponse| -> Result<String, gateway_spec::Error> {
        let best = framework_mini::prefers(environ, types);
        start.start(if best.is_some() { Status::OK } else { Status::NOT_ACCEPTABLE }, &[])?;
        Ok(best.unwrap_or_default().to_owned())
    };
    let client = Client::new(app);
    let request = client.get("/");
    let response = value.into_iter().fold(request, |request, value| request.header("Accept", value)).send();
    (response.status == 200).then(|| response.text())
}

/// No header, no preference (H1-NEG-01); weights (H1-NEG-02), wherever they stand (H1-NEG-04); the most specific range
/// counts (H1-NEG-06).
#[test]
fn h1_neg_01_media_types_by_accept() {
    let two: &[&str] = &["text/plain", "text/html"];
    for (value, expected) in [
        (None, Some("text/plain")),
        (Some(""), Some("text/plain")),
        (Some("image/png"), None),
        (Some("text/html, text/plain"), Some("text/html")),
        (Some("text/plain;q=0, text/html;q=0.001"), Some("text/html")),
        (Some("text/plain;q=0.000"), None),
        (Some("text/plain;Q=0.5, text/html;Q=1"), Some("text/html")),
        (Some("text/plain;q=0.5, text/html"), Some("text/html")),
        // What is no weight is no choice.
        (Some("text/plain;q=1.001, text/html;q=0.1"), Some("text/html")),
        (Some("text/plain;q=.5, text/html;q=0.1"), Some("text/html")),
        (Some("text/plain;q=0.1234, text/html;q=0.1"), Some("text/html")),
        (Some("text/plain;q=0.5;level=1, text/html;q=0.6"), Some("text/html")),
        // A parameter that our type does not have: better than nothing, worse than everything else.
        (Some("TEXT/HTML;q=0.5;charset=x, text/plain;q=0.1"), Some("text/html")),
        (Some("text/html;charset=x, text/plain;q=0.2, text/*;q=0.1"), Some("text/plain")),
    ] {
        assert_eq!(accept(value, two).as_deref(), expected, "{value:?}");
    }
    let ranges = "text/*;q=0.3, text/plain;q=0.7, text/plain;format=flowed, text/plain;format=fixed;q=0.4, */*;q=0.5";
    for (types, expected) in [
        (&["text/plain", "text/plain;format=flowed"], 1),
        (&["text/plain;format=fixed", "text/plain"], 1),
        (&["text/html", "text/plain;format=fixed"], 1),
        (&["text/html;level=3", "image/jpeg"], 1),
        (&["text/plain;format=fixed", "image/jpeg"], 1),
        (&["image/jpeg", "text/html"], 0),
    ] {
        assert_eq!(accept(Some(ranges), types).as_deref(), Some(types[expected]), "{types:?}");
    }
}

/// What is small, encoded already, a part, or not to be transformed is not compressed; HEAD says what GET would. The field
/// that forbids it is how an application keeps a page with secrets from being compressed (H1-SEC-06). R09.
#[test]
fn h1_neg_10_what_is_not_compressed() {
    let text = || "all work and no play ".repeat(100);
    let app = App::new(())
        .get("/text", text)
        .get("/small", || "small")
        .get("/encoded", move || text().into_response().with_header("Content-Encoding", "br"))
        .get("/part", move || (Status::PARTIAL_CONTENT, text()))
        .get("/secret", move || text().into_response().with_header("Cache-Control", "private, No-Transform"))
        .get("/image", move || text().into_response().with_header("Content-Type", "image/png"));
    let client = Client::new(Gzip::new(app.build().expect("routes")));
    for (path, expected) in [
        ("/text", Some("gzip")),
        ("/small", None),
        ("/encoded", Some("br")),
        ("/part", None),
        ("/secret", None),
        ("/image", None),
    ] {
        let get = client.get(path).header("Accept-Encoding", "gzip").send();
        let head = client.head(path).header("Accept-Encoding", "gzip").send();
        assert_eq!((get.header("Content-Encoding"), head.header("Content-Encoding")), (expected, expected), "{path}");
        assert_eq!(get.body() == client.get(path).send().body(), expected != Some("gzip"), "{path}");
    }
    let compressed = client.get("/text").header("Accept-Encoding", "gzip").send();
    assert_eq!(compressed.header("Content-Length"), Some(compressed.body().len().to_string().as_str()));
    assert!(
        lines(&compressed, "Vary") == ["Accept-Encoding"]
            && lines(&client.get("/text").send(), "Vary") == ["Accept-Encoding"]
    );
}

/// A log has one line for each request, whatever clients write (H1-SEC-04, F09), and no credentials (H1-SEC-10).
#[test]
fn h1_sec_04_logs() {
    let log: Arc<Mutex<String>> = Arc::default();
    let sink = Arc::clone(&log);
    let site = Arc::new(App::new(()).get("/{*rest}", |Path(rest): Path<String>| rest).build().expect("routes"));
    for json in [false, true] {
        let sink = Arc::clone(&sink);
        let logged = AccessLog::new(Arc::clone(&site)).to(move |line| sink.lock().unwrap().push_str(line));
        let client = Client::new(if json { logged.json() } else { logged });
        let _answer = client
            .get("/a%0d%0ab?c=d")
            .header("User-Agent", "x\" 200 \t\u{85}\\")
            .header("Authorization", "Basic c2VjcmV0OnNlY3JldA==")
            .header("Proxy-Authorization", "Basic c2VjcmV0OnNlY3JldA==")
            .header("Cookie", "session=c2VjcmV0")
            .send()
            .checked();
        // The line is written when the response is dropped, which may be after its end.
        let deadline = Instant::now() + PATIENCE;
        while log.lock().unwrap().is_empty() && Instant::now() < deadline {
            std::thread::yield_now();
        }
        let line = std::mem::take(&mut *log.lock().unwrap());
        assert!(line.ends_with('\n') && line.lines().count() == 1, "{line:?}");
        assert!(!line.trim_end().contains(char::is_control), "{line:?}");
        assert!(!line.contains("c2VjcmV0") && !line.contains("secret"), "{line:?}");
        if json {
            let value: serde_json::Value = serde_json::from_str(&line).expect("JSON");
            assert!(value["user_agent"].as_str().is_some_and(|agent| agent.contains("x\" 200 ")), "{line}");
        } else {
            assert!(line.contains("x\\\" 200 "), "{line}");
        }
    }
}

/// An application that has failed says so in a page of its own: errors and panics become a whole 500.
#[test]
fn gw_erh_01_failures_are_answered() {
    let app = App::new(())
        .get("/fails", || Err::<&str, _>(Error::internal("the database is asleep")))
        .get("/panics", || -> &'static str { panic!("at the disco") })
        .on_error(|_, error: &Error| Html(format!("<h1>{}</h1>", error.status())));
    let client = Client::new(CatchPanic::new(app.build().expect("routes")));
    for path in ["/fails", "/panics"] {
        let response = client.get(path).header("Accept", "text/html").send();
        assert_eq!((response.status, response.cut.as_deref()), (500, None), "{path}");
        assert!(response.text().contains("500") && !response.text().contains("disco"), "{path}: {}", response.text());
        assert!(!response.text().contains("asleep"), "{path}: {}", response.text());
    }
}

/// Headers on their way are a collection: any letter case, the first, set in place of all, remove what is not there.
#[test]
fn gw_ref_26_a_collection_of_headers() {
    struct Check;
    impl Filter for Check {
        fn head(&mut self, head: &mut ResponseHead, _: &Content<'_>) -> Result<Interest, gateway_spec::Error> {
            assert_eq!((head.get("x-two"), head.get("X-None")), (Some("1"), None));
            let text = |head: &ResponseHead| format!("{:?}", head.headers().collect::<Vec<_>>());
            let before = text(head);
            head.remove("X-None");
            assert_eq!(text(head), before);
            head.set("x-TWO", "3");
            head.add("X-Two", "4");
            head.add_default("x-two", "5");
            head.add_default("X-New", "6");
            head.remove("x-gone");
            Ok(Interest::Head)
        }
    }
    struct Layer;
    impl Application for Layer {
        fn call(&self, environ: &mut Environ<'_>, start: &mut dyn StartResponse) -> Result<Body, gateway_spec::Error> {
            let inner = |_: &mut Environ<'_>, start: &mut dyn StartResponse| {
                start.start(Status::OK, &[("X-Two", "1"), ("X-Gone", "1"), ("x-two", "2"), ("X-GONE", "2")])?;
                Ok::<_, gateway_spec::Error>("")
            };
            filter(&inner, environ, start, Check)
        }
    }
    let response = Client::new(Layer).get("/").send();
    assert_eq!(lines(&response, "X-Two"), ["3", "4"]);
    assert_eq!(lines(&response, "X-New"), ["6"]);
    assert!(lines(&response, "X-Gone").is_empty());
}

/// R02: no way that a helper takes lets text of a client become a line of its own.
#[test]
fn text_of_clients_stays_in_its_line() {
    const EVIL: &str = "a\r\nX-Injected: 1\r\n\r\nbody\0";
    fn hints(_: &mut Environ<'_>, start: &mut dyn StartResponse) -> Result<&'static str, gateway_spec::Error> {
        let refused = start.early_hints(&[("Link", EVIL)]).is_err();
        start.start(Status::OK, &[("X-Refused", if refused { "yes" } else { "no" })])?;
        Ok("")
    }
    let app = App::new(())
        .get("/redirect", || Redirect::to(EVIL))
        .get("/external", || Redirect::external(format!("https://h/{EVIL}")))
        .get("/cookie", || "".into_response().with_cookie(Cookie::new("a", EVIL)))
        .get("/cookie-name", || "".into_response().with_cookie(Cookie::new(EVIL, "a")))
        .get("/header", || "".into_response().with_header("X-A", EVIL))
        .get("/file", || Ok::<_, Error>(File::open("Cargo.toml")?.download(EVIL)))
        .get("/created", || framework_mini::Response::created(EVIL, ""));
    let client = client(app);
    for path in ["/redirect", "/external", "/cookie", "/cookie-name", "/header", "/file", "/created"] {
        let response = client.get(path).send();
        assert!(response.header("X-Injected").is_none(), "{path}: {:?}", response.headers);
        let has_control = |value: &str| value.contains(char::is_control);
        assert!(!response.headers.iter().any(|(name, value)| has_control(name) || has_control(value)), "{path}");
    }
    let hinted = Client::new(hints).get("/").send();
    assert_eq!((hinted.header("X-Refused"), hinted.early_hints.len()), (Some("yes"), 0));
}

/// L14: JSON that is deep, long or endless is refused, in linear time and without running out of the stack.
#[test]
fn json_of_a_client_is_bounded() {
    let app = App::new(()).post("/", |Json(value): Json<serde_json::Value>| value.to_string());
    let client = client(app);
    for (body, statuses) in [
        ("[".repeat(500_000), &[400][..]),
        (format!("{}1{}", "[".repeat(200_000), "]".repeat(200_000)), &[400]),
        ("{\"a\":".repeat(100_000), &[400]),
        ("[i".to_owned(), &[400]),
        ("9".repeat(900_000), &[200, 400, 422]),
        ("[".repeat(2 << 20), &[413]),
    ] {
        let response = client.post("/").json(body.clone()).send();
        assert!(statuses.contains(&response.status), "{:.20}: {}", body, response.status);
    }
}
