//! Templates and the database, where they fail.
#![cfg(all(feature = "sqlite", feature = "templates"))]

#[path = "../src/testing.rs"]
mod testing;

use std::fs;
use std::path::Path as FsPath;

use framework_mini::{App, Error, IntoResponse, Page, Path, Site, Sqlite, Status, Templates, context};
use testing::TestRequest;

fn templates() -> Templates {
    Templates::embedded([
        ("name.html", "<p title=\"{{ name }}\">{{ name }}</p>"),
        ("name.txt", "{{ name }}"),
        ("missing.html", "line\n{{ nobody }}"),
        ("urls.html", "{{ url_for(\"note\", id=7, q=\"a b\") }} {{ path(\"/x.css\") }}"),
        ("bad-url.html", "{{ url_for(\"nowhere\") }}"),
        ("layout.html", "<main>{% block main %}{% endblock %}</main>"),
        ("child.html", "{% extends \"layout.html\" %}{% block main %}{{ shout(name) }}{% endblock %}"),
        ("feed.xml", "<a>{{ name }}</a>"),
    ])
    .unwrap()
    .with(|environment| environment.add_function("shout", |name: String| name.to_uppercase()))
}

fn site() -> Site<()> {
    App::new(())
        .templates(templates())
        .get("/{template}", |Path(template): Path<String>| Page::new(&template, context! { name => "<b>\"" }))
        .get("/notes/{id}", || "")
        .name("note")
        .get("/teapot/", || {
            (Status::IM_A_TEAPOT, Page::new("name.txt", context! { name => 1 }))
                .into_response()
                .with_header("Content-Type", "text/x-tea")
        })
        .build()
        .unwrap()
}

#[test]
fn pages() {
    for (path, code, kind, text) in [
        ("/name.html", 200, "text/html; charset=utf-8", "<p title=\"&lt;b&gt;&quot;\">&lt;b&gt;&quot;</p>"),
        ("/name.txt", 200, "text/plain; charset=utf-8", "<b>\""),
        ("/feed.xml", 200, "text/xml; charset=utf-8", "<a>&lt;b&gt;&quot;</a>"),
        ("/child.html", 200, "text/html; charset=utf-8", "<main>&lt;B&gt;&quot;</main>"),
        ("/urls.html", 200, "text/html; charset=utf-8", "&#x2f;notes&#x2f;7?q=a%20b &#x2f;x.css"),
        ("/teapot/", 418, "text/x-tea", "1"),
    ] {
        let response = TestRequest::get(path).send(&site());
        assert_eq!(
            (response.code(), response.header("Content-Type"), response.text().as_str()),
            (code, Some(kind), text)
        );
    }
    let mut head = TestRequest::get("/name.txt");
    head.method = "HEAD".into();
    assert_eq!(head.send(&site()).header("Content-Length"), Some("4"));
}

#[test]
fn what_is_wrong_is_logged_with_template_and_line() {
    for (path, log) in [
        ("/missing.html", "`nobody` is undefined (in missing.html:2)"),
        ("/bad-url.html", "no route is called `nowhere`"),
        ("/nothing.html", "template \"nothing.html\" does not exist"),
    ] {
        let response = TestRequest::get(path).send(&site());
        assert_eq!(response.code(), 500);
        assert!(response.errors.contains(log), "{}", response.errors);
        assert!(!response.text().contains(log));
    }
    let broken = Templates::embedded([("a.html", "ok\n{% if %}")]).unwrap_err();
    assert!(format!("{broken:?}").contains("a.html:2"), "{broken:?}");
    let none = App::new(()).get("/", || Page::new("a.html", ())).build().unwrap();
    assert!(TestRequest::get("/").send(&none).errors.contains("call App::templates"));
}

#[test]
fn folders_are_read_and_not_left() {
    let folder = FsPath::new(env!("CARGO_TARGET_TMPDIR")).join("templates");
    fs::create_dir_all(folder.join("inner")).unwrap();
    fs::write(folder.join("inner/a.html"), "first").unwrap();
    fs::write(folder.join("../outside.html"), "outside").unwrap();
    let site = App::new(())
        .templates(Templates::folder(folder.join("inner")))
        .get("/{*template}", |Path(template): Path<String>| Page::new(&template, ()))
        .build()
        .unwrap();
    assert_eq!(TestRequest::get("/a.html").send(&site).text(), "first");
    // Changed while the program runs: seen in debug builds, and not looked for in others.
    let path = folder.join("inner/a.html");
    fs::write(&path, "second").unwrap();
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(2);
    fs::File::options().write(true).open(&path).unwrap().set_modified(later).unwrap();
    let expected = if cfg!(debug_assertions) { "second" } else { "first" };
    assert_eq!(TestRequest::get("/a.html").send(&site).text(), expected);
    assert_eq!(TestRequest::get("/..%2f..%2foutside.html").send(&site).code(), 500);
}

#[test]
fn a_write_is_all_or_nothing() {
    let db =
        Sqlite::memory().unwrap().migrate(&["CREATE TABLE t (x INTEGER UNIQUE)", "INSERT INTO t VALUES (1)"]).unwrap();
    let count = || db.one("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0)).unwrap();
    let failed = db.write(|db| -> Result<(), Error> {
        db.execute("INSERT INTO t VALUES (2)", [])?;
        db.execute("INSERT INTO t VALUES (1)", [])?;
        Ok(())
    });
    assert_eq!(failed.unwrap_err().status().code(), 500);
    assert_eq!(count(), Some(1));
    // A panic rolls back too, and neither the turn of writers nor a place of the pool is lost.
    let other = db.clone();
    let panicked = std::thread::spawn(move || {
        other.write(|db| -> Result<(), Error> {
            db.execute("INSERT INTO t VALUES (3)", [])?;
            panic!("in a transaction")
        })
    });
    assert!(panicked.join().is_err());
    assert_eq!(count(), Some(1));
    db.write(|db| Ok(db.execute("INSERT INTO t VALUES (4)", [])?)).unwrap();
    assert_eq!(count(), Some(2));
    assert!(Sqlite::memory().unwrap().one("SELECT x FROM t", [], |_| Ok(())).is_err(), "another database");
    assert!(Sqlite::open("/nonexistent/folder/x.db").is_err());
}

#[test]
fn steps_are_all_or_none() {
    let path = FsPath::new(env!("CARGO_TARGET_TMPDIR")).join(format!("steps-{}.db", std::process::id()));
    let open = || Sqlite::open(&path).unwrap();
    let good = ["CREATE TABLE a (x)", "CREATE TABLE b (x)"];
    assert!(open().migrate(&[good[0], "CREATE NONSENSE"]).is_err());
    // Nothing of the failed attempt is there, so the first step can be done.
    let db = open().migrate(&good[..1]).unwrap().migrate(&good).unwrap();
    assert_eq!(
        db.all("SELECT name FROM sqlite_master ORDER BY name", [], |row| row.get::<_, String>(0)).unwrap(),
        ["a", "b"]
    );
    drop(db);
    for end in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{end}", path.display()));
    }
}
