//! The guest book of the README, run.
#![cfg(all(feature = "sessions", feature = "sqlite", feature = "templates"))]

#[path = "guest_book/app.rs"]
#[allow(unreachable_pub, reason = "it is public where it is shown")]
mod app;
#[path = "../src/testing.rs"]
mod testing;

use std::sync::Arc;

use framework_mini::middleware::SessionKey;
use framework_mini::{App, Sqlite};
use gateway_spec::Application;
use testing::{TestRequest, TestResponse};

fn book() -> impl Application {
    app::app(Sqlite::memory().unwrap(), SessionKey::new(&[7; 32]).unwrap()).unwrap()
}

fn cookie(response: &TestResponse) -> &str {
    response.header("Set-Cookie").unwrap().split(';').next().unwrap()
}

/// The text of the README is the text that is tested here, and no longer than 60 lines.
#[test]
fn the_readme_shows_this() {
    let app = include_str!("guest_book/app.rs");
    let readme = include_str!("../README.md");
    let shown = readme.split("```rust\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    assert_eq!(shown, app);
    assert!(app.lines().count() <= 60);
}

#[test]
fn signing() {
    let book = book();
    let empty = TestRequest::get("/").send(&book);
    assert_eq!((empty.code(), empty.header("Content-Type")), (200, Some("text/html; charset=utf-8")));
    let signed = TestRequest::form("/", "name=%3CAda%3E&text=Hello+%26+goodbye").send(&book);
    assert_eq!((signed.code(), signed.header("Location")), (303, Some("/")));
    let page = TestRequest::get("/").header("Cookie", cookie(&signed)).send(&book);
    let text = page.text();
    assert!(text.contains("<b>&lt;Ada&gt;</b>: Hello &amp; goodbye"), "{text}");
    assert!(text.contains("<p role=\"status\">Thank you, &lt;Ada&gt;!</p>"), "{text}");
    // The message is shown once.
    let again = TestRequest::get("/").header("Cookie", cookie(&page)).send(&book);
    assert!(!again.text().contains("Thank you") && again.text().contains("&lt;Ada&gt;"));
}

#[test]
fn what_is_missing_is_said_and_nothing_is_lost() {
    let book = book();
    let page = TestRequest::form("/", "name=A%22da&text=").send(&book);
    assert_eq!(page.code(), 422);
    assert!(page.text().contains("value=\"A&quot;da\"></label> </p>"), "{}", page.text());
    assert!(page.text().contains("</textarea></label> is missing</p>"), "{}", page.text());
    assert!(!TestRequest::get("/").send(&book).text().contains("<b>"));
}

#[test]
fn other_sites_cannot_sign() {
    let forged = TestRequest::form("/", "name=a&text=b").header("Sec-Fetch-Site", "cross-site");
    assert_eq!(forged.send(&book()).code(), 403);
}

/// Mounted, every link, redirect and cookie has the prefix.
#[test]
fn mounted() {
    let site = App::new(()).mount("/x/y", book()).build().unwrap();
    assert!(TestRequest::get("/x/y/").send(&site).text().contains("action=\"&#x2f;x&#x2f;y&#x2f;\""));
    let signed = TestRequest::form("/x/y/", "name=a&text=b").send(&site);
    assert_eq!(signed.header("Location"), Some("/x/y/"));
    assert!(signed.header("Set-Cookie").unwrap().contains("; Path=/x/y;"));
}

#[test]
fn many_sign_at_once() {
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("guest-book-{}.db", std::process::id()));
    let remove = || ["", "-wal", "-shm"].map(|end| drop(std::fs::remove_file(format!("{}{end}", path.display()))));
    remove();
    let db = Sqlite::open(&path).unwrap();
    let book = Arc::new(app::app(db.clone(), SessionKey::new(&[7; 32]).unwrap()).unwrap());
    std::thread::scope(|scope| {
        for thread in 0..20 {
            let book = Arc::clone(&book);
            scope.spawn(move || {
                for n in 0..10 {
                    let response = TestRequest::form("/", &format!("name={thread}&text={n}")).send(&book);
                    assert_eq!(response.code(), 303, "{}", response.errors);
                    assert_eq!(TestRequest::get("/").send(&book).code(), 200);
                }
            });
        }
    });
    assert_eq!(db.one("SELECT count(*) FROM entry", [], |row| row.get::<_, i64>(0)).unwrap(), Some(200));
    // Opened again, with the same steps and then with fewer than it has seen.
    drop((db, book));
    let again = Sqlite::open(&path).unwrap();
    assert!(app::app(again.clone(), SessionKey::new(&[7; 32]).unwrap()).is_ok());
    let older = again.migrate(&[]).unwrap_err();
    assert!(format!("{older:?}").contains("has seen 1 steps and the program knows 0"), "{older:?}");
    remove();
}
