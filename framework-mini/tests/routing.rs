//! The table of 404, 405, HEAD, OPTIONS, fall-through and slashes; mounts; what `build` finds.

#[path = "../src/testing.rs"]
mod testing;

use std::sync::Arc;

use framework_mini::{
    App, Error, FromRequest, Html, IntoResponse, Path, PathBytes, Redirect, Request, Site, Status, Urls,
};
use gateway_spec::{Body, Environ, StartResponse};
use testing::TestRequest;

/// The parameter `name`, as `Request::param` has it.
struct Named(Option<String>);

impl<S> FromRequest<S> for Named {
    fn from_request(request: &mut Request<S>) -> Result<Self, Error> {
        Ok(Self(request.param("name").map(str::to_owned)))
    }
}

fn site() -> Site<()> {
    App::new(())
        .get("/", || "home")
        .get("/users", || "users")
        .post("/users", || (Status::CREATED, "created"))
        .get("/users/{id}", |Path(id): Path<String>| format!("user {id}"))
        .post("/users/me", || "me")
        .put("/bytes/{folder}/{*name}", |Path(folder): Path<String>, PathBytes(name): PathBytes, request: Named| {
            format!("{folder} {name:02x?} {:?}", request.0)
        })
        .get("/number/{n}", |Path(n): Path<u8>| n.to_string())
        .get("/slash/", || "slash")
        .get("/café", || "café")
        .put("/thing", |body: String| body)
        .route("PURGE", "/thing", || "purged")
        .any("/any", || "any")
        .get("/panic", || -> &'static str { panic!("at the disco\n") })
        .get("/fails", || -> Result<&'static str, Error> { Ok("x1".parse::<u8>().map(|_| "")?) })
        .build()
        .unwrap()
}

#[test]
fn the_table() {
    let site = site();
    for (method, target, code, header, body) in [
        ("GET", "/", 200, "", "home"),
        ("HEAD", "/users", 200, "Content-Length: 5", ""),
        ("GET", "/users/a%2Fb", 200, "", "user a/b"),
        ("GET", "/users/%C3%A9", 200, "", "user é"),
        ("GET", "/users/%FF", 400, "", "400 Bad Request\nThe path is not UTF-8.\n"),
        ("PUT", "/bytes/a/b%2F%C3%A9", 200, "", "a [62, 2f, c3, a9] Some(\"b/é\")"),
        ("PUT", "/bytes/a/b%FF", 200, "", "a [62, ff] None"),
        ("PUT", "/bytes/%FF/b", 400, "", "400 Bad Request\nThe path is not UTF-8.\n"),
        ("GET", "/caf%C3%A9", 200, "", "café"),
        ("GET", "/users/me", 200, "", "user me"),
        ("POST", "/users/me", 200, "", "me"),
        ("POST", "/users", 201, "", "created"),
        (
            "PUT",
            "/users",
            405,
            "Allow: GET, HEAD, OPTIONS, POST",
            "405 Method Not Allowed\nThis method is not allowed here.\n",
        ),
        (
            "PUT",
            "/users/me",
            405,
            "Allow: GET, HEAD, OPTIONS, POST",
            "405 Method Not Allowed\nThis method is not allowed here.\n",
        ),
        (
            "TRACE",
            "/users",
            405,
            "Allow: GET, HEAD, OPTIONS, POST",
            "405 Method Not Allowed\nThis method is not allowed here.\n",
        ),
        ("HEAD", "/thing", 405, "Allow: OPTIONS, PURGE, PUT", ""),
        ("OPTIONS", "/thing", 204, "Allow: OPTIONS, PURGE, PUT", ""),
        ("OPTIONS", "/users/me", 204, "Allow: GET, HEAD, OPTIONS, POST", ""),
        ("OPTIONS", "/nowhere", 404, "", "404 Not Found\nThere is nothing here.\n"),
        ("OPTIONS", "*", 204, "Allow: GET, HEAD, OPTIONS, POST, PURGE, PUT", ""),
        ("OPTIONS", "/any", 200, "", "any"),
        ("FROB", "/any", 200, "", "any"),
        ("FROB", "/users", 501, "", "501 Not Implemented\nThis method is unknown here.\n"),
        ("FROB", "/nowhere", 501, "", "501 Not Implemented\nThis method is unknown here.\n"),
        ("PURGE", "/thing", 200, "", "purged"),
        (
            "PURGE",
            "/users",
            405,
            "Allow: GET, HEAD, OPTIONS, POST",
            "405 Method Not Allowed\nThis method is not allowed here.\n",
        ),
        ("GET", "/number/300", 404, "", "404 Not Found\nThere is nothing here.\n"),
        ("GET", "/nowhere", 404, "Vary: Accept", "404 Not Found\nThere is nothing here.\n"),
        // Slashes: exact, with a redirect for the methods that can follow one without harm.
        ("GET", "/users/", 308, "Location: /users", ""),
        ("GET", "/users/?a=b&c", 308, "Location: /users?a=b&c", ""),
        ("HEAD", "/slash", 308, "Location: /slash/", ""),
        ("GET", "/users/a%2Fb/", 308, "Location: /users/a%2Fb", ""),
        ("POST", "/users/", 404, "", "404 Not Found\nThere is nothing here.\n"),
        // Never a redirect that a client could take for another host, or would rewrite.
        ("GET", "//users/", 404, "", "404 Not Found\nThere is nothing here.\n"),
        ("GET", "//evil.example/%2e%2e/", 404, "", "404 Not Found\nThere is nothing here.\n"),
        ("GET", "/users/../", 404, "", "404 Not Found\nThere is nothing here.\n"),
        ("GET", "/users/\\evil.example/", 404, "", "404 Not Found\nThere is nothing here.\n"),
        // Errors of handlers say nothing of what is behind them.
        ("GET", "/panic", 500, "", "500 Internal Server Error\nThe server could not answer this request.\n"),
        ("GET", "/fails", 500, "", "500 Internal Server Error\nThe server could not answer this request.\n"),
    ] {
        let response = TestRequest::new(method, target).send(&site);
        assert_eq!((response.code(), response.text().as_str()), (code, body), "{method} {target}");
        if let Some((name, value)) = header.split_once(": ") {
            assert_eq!(response.header(name), Some(value), "{method} {target}");
        }
        assert_eq!(response.header("Location").is_some(), code == 308, "{method} {target}");
    }
}

#[test]
fn errors_are_logged_in_one_line() {
    let response = TestRequest::get("/panic").send(&site());
    assert_eq!(
        response.errors,
        "GET /panic: 500 Internal Server Error: The server could not answer this request.: panicked: at the disco\\n\n"
    );
    assert!(TestRequest::get("/fails").send(&site()).errors.contains("invalid digit"));
    assert_eq!(TestRequest::get("/nowhere").send(&site()).errors, "");
}

#[test]
fn a_part_is_not_put_as_the_whole() {
    let put = |header: bool| {
        let mut request = TestRequest::post("/thing", "text/plain", "part");
        request.method = "PUT".into();
        let request = if header { request.header("Content-Range", "bytes 0-3/10") } else { request };
        request.send(&site()).code()
    };
    assert_eq!((put(true), put(false)), (400, 200));
}

#[test]
fn error_pages_are_negotiated() {
    let page = |accept: &str| {
        let response = TestRequest::get("/nowhere").header("Accept", accept).send(&site());
        (response.header("Content-Type").unwrap().to_owned(), response.text())
    };
    let (kind, text) = page("text/html,application/xhtml+xml,*/*;q=0.8");
    assert_eq!(kind, "text/html; charset=utf-8");
    assert!(text.contains("<h1>404 Not Found</h1>"));
    let (kind, text) = page("application/json");
    assert_eq!(kind, "application/problem+json");
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json, serde_json::json!({"title": "Not Found", "status": 404, "detail": "There is nothing here."}));
    assert_eq!(page("image/png").0, "text/plain; charset=utf-8");
}

/// What is mounted sees its prefix as `SCRIPT_NAME`, and a framework application below one writes right URLs.
#[test]
fn mounts() {
    fn show(environ: &mut Environ<'_>, start: &mut dyn StartResponse) -> Result<Body, gateway_spec::Error> {
        start.start(Status::OK, &[])?;
        let (script, path) = (environ.script_name(), environ.path_info());
        Ok(format!("[{}][{}]", script.to_string_lossy(), path.to_string_lossy()).into())
    }
    let inner = App::new(())
        .get("/", || "inner home")
        .get("/item/{id}", |Path(_): Path<u8>, urls: Urls| {
            urls.url_for("item", &[("id", &8)]).map(|url| url.to_string())
        })
        .name("item")
        .post("/item", || Redirect::to("/item/1"))
        .post("/other", || Redirect::route("item", &[("id", &"a/b"), ("q", &"x y&z")]))
        .build()
        .unwrap();
    let inner = Arc::new(inner);
    let site = App::new(())
        // A mounted application's names are its own.
        .get("/outer/{id}", |urls: Urls| urls.url_for("item", &[("id", &1)]).map(|url| url.to_string()))
        .name("item")
        .mount("/api", Arc::clone(&inner))
        .mount("/show", show)
        .get("/show/own", || "own")
        .mount("/x/y/", inner)
        .build()
        .unwrap();
    for (method, target, code, expected) in [
        ("GET", "/api", 308, "/api/"),
        ("GET", "/api/", 200, "inner home"),
        ("GET", "/api/item/7", 200, "/api/item/8"),
        ("GET", "/outer/7", 200, "/outer/1"),
        ("GET", "/x/y/item/7", 200, "/x/y/item/8"),
        ("GET", "/api/item/7/", 308, "/api/item/7"),
        ("POST", "/api/item", 303, "/api/item/1"),
        ("POST", "/x/y/other", 303, "/x/y/item/a%2Fb?q=x%20y%26z"),
        ("GET", "/apix", 404, "404 Not Found\nThere is nothing here.\n"),
        ("GET", "/api%2Fitem", 404, "404 Not Found\nThere is nothing here.\n"),
        ("PUT", "/show", 200, "[/show][]"),
        ("PUT", "/show/", 200, "[/show][/]"),
        ("PUT", "/sho%77/a%2Fb", 200, "[/show][/a/b]"),
        ("GET", "/show/own", 200, "own"),
        ("PUT", "/show/own", 200, "[/show][/own]"),
    ] {
        let response = TestRequest::new(method, target).send(&site);
        let got = response.header("Location").map_or_else(|| response.text(), str::to_owned);
        assert_eq!((response.code(), got.as_str()), (code, expected), "{method} {target}");
    }
}

/// F03: what is behind a login stays there, however its path is spelled. Mounts and routes look at the same path.
#[test]
fn no_spelling_of_a_path_goes_around_a_login() {
    let secret = App::new(()).get("/", || "secret").get("/{*rest}", || "secret").build().unwrap();
    let guarded = framework_mini::middleware::BasicAuth::new(secret, "x", |_, _| false);
    let site = App::new(()).get("/", || "home").get("/{page}", |Path(_): Path<String>| "page").mount("/admin", guarded);
    let site = site.build().unwrap();
    for (path, code) in [
        ("/admin/", 401),
        ("/admin/x", 401),
        ("/%61dmin/x", 401),
        ("/%61%64%6D%69%6E/", 401),
        ("/admin/%2e%2e/", 401),
        ("/admin//x", 401),
        ("/admin/..%2f", 401),
        ("//admin/x", 404),
        ("/./admin/x", 404),
        ("/x/../admin/x", 404),
        ("/Admin/x", 404),
        ("/admin%2Fx", 200),
        ("/admin%00/x", 404),
        ("/admin;x=1/x", 404),
        ("/admin./x", 404),
        ("/%2561dmin/x", 404),
    ] {
        let response = TestRequest::get(path).send(&site);
        assert_eq!(response.code(), code, "{path}");
        assert_ne!(response.text(), "secret", "{path}");
    }
}

#[test]
fn a_name_added_to_vary_removes_none() {
    let two = || ().into_response().with_added_header("Vary", "Cookie").with_added_header("vary", "Origin");
    let site = App::new(()).get("/", move || two().with_vary("Accept")).build().unwrap();
    assert_eq!(TestRequest::get("/").send(&site).all("Vary"), ["Cookie, Origin, Accept"]);
}

#[test]
fn redirects_stay_here_unless_told() {
    let site = App::new(())
        .post("/to", |path: String| Redirect::to(path))
        .post("/external", |path: String| Redirect::external(path).permanent())
        .post("/lost", || Redirect::route("nowhere", &[]))
        .build()
        .unwrap();
    for (target, text, code, expected) in [
        ("/to", "/a?b=c#d", 303, "/a?b=c#d"),
        ("/to", "//evil.example/", 303, "/evil.example/"),
        ("/to", "/\\evil.example", 303, "/%5Cevil.example"),
        ("/to", "https://evil.example", 303, "/https://evil.example"),
        ("/to", "/caf\u{e9} x\r\nSet-Cookie: a=b", 303, "/caf%C3%A9%20x%0D%0ASet-Cookie:%20a=b"),
        ("/external", "https://example.com/ä", 308, "https://example.com/%C3%A4"),
    ] {
        let response = TestRequest::post(target, "text/plain", text).send(&site);
        assert_eq!((response.code(), response.header("Location")), (code, Some(expected)), "{text:?}");
    }
    // H1-TGT-07, H1-TGT-08: no URL without a host, and none with a password.
    for text in ["http:///x", "https://:80/", "http:/x", "HTTP:", "//", "http://me:pw@h/", "//me@h/x", "https://a@b?c"]
    {
        let response = TestRequest::post("/external", "text/plain", text).send(&site);
        assert_eq!((response.code(), response.header("Location")), (500, None), "{text:?}");
        assert!(response.errors.contains("(H1-TGT-0") && !response.text().contains("me"), "{}", response.errors);
    }
    for text in ["//h/x", "/a@b", "http://h?a@b", "mailto:a@b", "a:80/x"] {
        assert_eq!(TestRequest::post("/external", "text/plain", text).send(&site).header("Location"), Some(text));
    }
    let response = TestRequest::post("/lost", "text/plain", "").send(&site);
    assert_eq!(response.code(), 500);
    assert!(response.errors.contains("no route is called `nowhere`"), "{}", response.errors);
}

#[test]
fn build_reports_everything_with_its_place() {
    let line = line!();
    let errors = App::new(())
        .get("/users/{id}", || "")
        .get("/users/{name}", || "")
        .get("/{a}b", || "")
        .get("/pair/{a}", |Path(_): Path<u8>, Path(_): Path<u8>| "")
        .post("/twice", |_: String, _: Result<Vec<u8>, Error>| "")
        .get("/n", || "")
        .name("same")
        .get("/m", || "")
        .name("same")
        .mount("/static/{x}", |_: &mut Environ<'_>, _: &mut dyn StartResponse| Ok(""))
        .route("GE T", "/odd", || "")
        .nest("/admin", |app| app.get("/", || "").nest("/deep/", |app| app.get("/x", || "").get("/x", || "")))
        .build()
        .err()
        .unwrap();
    let at = |offset: u32| format!("(framework-mini/tests/routing.rs:{})", line + offset);
    let mut messages: Vec<String> = errors.messages().collect();
    messages.sort();
    let mut expected = [
        format!("GET /users/{{name}} {}: the same requests already go to GET /users/{{id}} {}", at(3), at(2)),
        format!(
            "`/{{a}}b` {}: `{{a}}b`: a parameter fills a whole segment, as in `/{{name}}` or a last `/{{*name}}`",
            at(4)
        ),
        format!("GET /pair/{{a}} {}: the handler takes 2 parameters, the pattern has 1", at(5)),
        format!("POST /twice {}: only one argument can read the request body", at(6)),
        format!("the name `same` {} is already that of another route {}", at(9), at(7)),
        format!("mount /static/{{x}} {}: a prefix has no parameters", at(11)),
        format!("\"GE T\" {} is not a method", at(12)),
        format!("GET /admin/deep/x {}: the same requests already go to GET /admin/deep/x {}", at(13), at(13)),
    ];
    expected.sort();
    assert_eq!(messages, expected);
    assert_eq!(errors.to_string().lines().count(), 1 + expected.len());
    let lonely = App::new(()).name("x").body_limit(1).build().err().unwrap();
    assert!(lonely.messages().next().unwrap().ends_with("there is no route before it"));
}

#[test]
fn on_error_answers_all_of_them_once() {
    let site = App::new("state")
        .get("/panic", || -> String { panic!("x") })
        .get("/teapot", || (Status::OK, Err::<(), _>(Error::new(Status::IM_A_TEAPOT, "short and stout"))))
        .get("/worse", || Err::<(), _>(Error::conflict("worse")))
        .on_error(|request: &mut Request<&str>, error: &Error| match request.path().as_str() {
            "/worse" => Err(Error::forbidden("the page itself failed")),
            path => Ok(Html(format!("{path} {} {}", request.state(), error.message()))),
        })
        .build()
        .unwrap();
    for (method, target, code, body) in [
        ("GET", "/nowhere", 404, "/nowhere state There is nothing here."),
        ("PUT", "/teapot", 405, "/teapot state This method is not allowed here."),
        ("GET", "/teapot", 418, "/teapot state short and stout"),
        ("GET", "/panic", 500, "/panic state The server could not answer this request."),
        ("GET", "/worse", 403, "403 Forbidden\nthe page itself failed\n"),
    ] {
        let response = TestRequest::new(method, target).send(&site);
        assert_eq!((response.code(), response.text().as_str()), (code, body), "{target}");
        assert_eq!(response.header("Allow").is_some(), code == 405);
    }
}

/// F10: what is behind an error is for a person at this machine, and only when asked for.
#[test]
fn the_debug_page_is_for_this_machine_only() {
    let make = |debug: bool| {
        App::new(())
            .get("/fails", || -> Result<(), Error> { Err(Error::internal("the <secret> cause")) })
            .debug(debug)
            .build()
            .unwrap()
    };
    let local = || TestRequest::get("/fails").header("Cookie", "id=secret-cookie");
    let shown = local().send(&make(true)).text();
    assert!(shown.contains("the &lt;secret&gt; cause") && shown.contains("routing.rs"), "{shown}");
    assert!(!shown.contains("secret-cookie"));
    // Who wonders about a slash or a method is helped.
    let near =
        App::new(()).get("/a/{x}", || "").get("/a/{x}/", || "").post("/{y}/b", || "").debug(true).build().unwrap();
    let page = TestRequest::new("DELETE", "/a/b").header("Accept", "text/html").send(&near);
    assert_eq!((page.code(), page.header("Allow")), (405, Some("GET, HEAD, OPTIONS, POST")));
    assert_eq!(page.text().matches("matches too").count(), 2, "{}", page.text());
    assert_eq!(page.text().matches("but for the slash").count(), 1, "{}", page.text());
    for (what, response) in [
        ("debug is off", local().send(&make(false))),
        ("from elsewhere", local().peer([192, 0, 2, 1]).send(&make(true))),
        ("through a proxy", local().header("X-Forwarded-For", "192.0.2.1").send(&make(true))),
        ("through a proxy of the standard", local().header("Forwarded", "for=192.0.2.1").send(&make(true))),
        ("by a rebound name", local().header("Host", "evil.example").send(&make(true))),
    ] {
        assert_eq!(response.code(), 500);
        assert!(!response.text().contains("secret"), "{what}: {}", response.text());
    }
}
