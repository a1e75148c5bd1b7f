//! Other sites, crowds, locks, floods and restarts.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use framework_mini::rusqlite::Connection;

use crate::browser::{Browser, MOUNTS, PASSWORD, at, at_every_mount, form, serve};
use crate::html::has;
use crate::support::{Ask, Server};

const TARGET: &str = "https://example.com/";

pub(crate) fn other_sites_change_nothing(server: &dyn Server) {
    at_every_mount(server, |browser| {
        browser.create("wiki", TARGET, "");
        let fields = [("slug", "evil"), ("target", "https://evil.example/"), ("name", "team"), ("password", PASSWORD)];
        for target in ["/links", "/links/wiki", "/links/wiki/delete", "/login", "/logout", "/account", "/api/links"] {
            for (name, value) in [
                ("Sec-Fetch-Site", "cross-site"),
                ("Sec-Fetch-Site", "same-site"),
                ("Origin", "https://evil.example"),
                ("Origin", "http://localhost.evil.example"),
                ("Origin", "null"),
            ] {
                let answer = browser.ask(form(target, &fields).header(name, value));
                assert_eq!(answer.status, 403, "{target} {name}: {value}");
                assert_eq!(answer.header("Set-Cookie"), None);
            }
        }
        let delete = Ask::new("DELETE", "/api/links/wiki").header("Origin", "https://evil.example");
        assert_eq!(browser.ask(delete).status, 403);
        assert_eq!((browser.get("/evil").status, browser.get("/wiki").header("Location")), (404, Some(TARGET)));
        assert_eq!(browser.get("/").status, 200, "still logged in");
    });
}

/// GW-CALL-05.
pub(crate) fn two_hundred_visits_at_once(server: &dyn Server) {
    at(server, "/go", |browser| {
        browser.create("wiki", TARGET, "");
        thread::scope(|scope| {
            let visits: Vec<_> = (0..200).map(|_| scope.spawn(|| browser.other().get("/wiki"))).collect();
            for visit in visits {
                let answer = visit.join().unwrap();
                assert_eq!((answer.status, answer.header("Location")), (302, Some(TARGET)), "{answer:?}");
            }
        });
        assert_eq!(browser.visits("wiki"), 200);
    });
}

fn database(browser: &Browser<'_>) -> Connection {
    Connection::open(browser.folder.join("links.db")).unwrap()
}

/// Another program, a backup say, holds the database for three seconds.
pub(crate) fn a_locked_database_is_slow_and_no_error(server: &dyn Server) {
    at(server, "", |browser| {
        browser.create("wiki", TARGET, "");
        let other_program = database(browser);
        let (is_locked, locked) = mpsc::channel();
        thread::scope(|scope| {
            scope.spawn(move || {
                other_program.execute_batch("BEGIN EXCLUSIVE; UPDATE link SET title = 'locked'").unwrap();
                is_locked.send(()).unwrap();
                thread::sleep(Duration::from_secs(3));
                other_program.execute_batch("COMMIT").unwrap();
            });
            locked.recv().unwrap();
            let asking = [
                scope.spawn(|| browser.other().get("/wiki").status),
                scope.spawn(|| browser.other().post("/links", &[("slug", "x"), ("target", TARGET)]).status),
                scope.spawn(|| {
                    let answer = browser.post("/links", &[("slug", "new"), ("target", TARGET)]);
                    answer.status
                }),
            ];
            assert_eq!(browser.get("/").status, 200, "reading does not wait");
            assert_eq!(asking.map(|thread| thread.join().unwrap()), [302, 303, 303]);
        });
        assert_eq!((browser.visits("wiki"), browser.visits("new")), (1, 0));
        assert!(browser.page("/links/wiki").contains("locked"), "what the other program wrote is kept too");
        assert_eq!(browser.site.log(), "");
    });
}

/// Longer than SQLite waits, for as long as it takes until all have been answered.
pub(crate) fn a_database_that_stays_locked_is_busy(server: &dyn Server) {
    at(server, "", |browser| {
        browser.create("wiki", TARGET, "");
        let other_program = database(browser);
        other_program.execute_batch("BEGIN EXCLUSIVE").unwrap();
        thread::scope(|scope| {
            // One after the other they would wait for minutes.
            let visits: Vec<_> = (0..40).map(|_| scope.spawn(|| browser.other().get("/wiki").status)).collect();
            let post = || browser.post("/links", &[("slug", "new"), ("target", TARGET)]);
            let forms: Vec<_> = (0..12).map(|_| scope.spawn(post)).collect();
            for posted in forms.into_iter().map(|form| form.join().unwrap()) {
                assert_eq!((posted.status, posted.header("Retry-After")), (503, Some("5")), "{}", posted.text());
                assert!(has(&posted.text(), "error") && !posted.text().contains("locked"), "{}", posted.text());
            }
            assert!(visits.into_iter().all(|visit| visit.join().unwrap() == 302));
        });
        other_program.execute_batch("COMMIT").unwrap();
        assert_eq!(browser.get("/wiki").status, 302);
        assert_eq!((browser.visits("wiki"), browser.get("/new").status), (41, 404));
    });
}

pub(crate) fn a_visit_that_cannot_be_counted_is_a_visit(server: &dyn Server) {
    at(server, "", |browser| {
        browser.create("wiki", TARGET, "");
        let refuse = "CREATE TRIGGER t BEFORE UPDATE ON link BEGIN SELECT RAISE(ABORT, 'the disk is full'); END";
        database(browser).execute_batch(refuse).unwrap();
        assert_eq!(browser.get("/wiki").header("Location"), Some(TARGET));
        browser.site.must_log("a visit of \"wiki\" is not counted yet");
        browser.site.must_log("the disk is full");
        // What cannot be done otherwise is an error, and the page says nothing of what is behind it.
        let answer = browser.post("/links/wiki", &[("slug", "wiki"), ("target", "https://b.example/")]);
        assert!(answer.status == 500 && has(&answer.text(), "error") && !answer.text().contains("disk"), "{answer:?}");
        database(browser).execute_batch("DROP TRIGGER t").unwrap();
        assert_eq!(browser.get("/wiki").status, 302);
        assert_eq!(browser.visits("wiki"), 2, "with the next one it is counted");
        // Who cannot be looked up is not logged out.
        database(browser).execute_batch("DROP TABLE login").unwrap();
        for answer in
            [browser.post("/links", &[("target", TARGET)]), browser.post("/links/wiki", &[]), browser.get("/")]
        {
            assert!(answer.status == 500 && has(&answer.text(), "error"), "{answer:?}");
        }
        assert_eq!(browser.get("/wiki").status, 302, "and links lead on");
    });
}

/// The server takes ten mebibytes; this application does not, and says so on a page.
pub(crate) fn too_large_is_a_page(server: &dyn Server) {
    at_every_mount(server, |browser| {
        let mut body = b"target=https%3A%2F%2Fexample.com%2F&title=".to_vec();
        body.resize(10 << 20, b'a');
        for ask in [Ask::post("/links", body.clone()), Ask::chunked("/links", body)] {
            let ask = ask
                .header("Content-Type", "application/x-www-form-urlencoded")
                .header("Origin", "http://localhost")
                .header("Accept", "text/html");
            let answer = browser.ask(ask);
            assert_eq!((answer.status, answer.header("Content-Type")), (413, Some("text/html; charset=utf-8")));
            assert!(has(&answer.text(), "error"), "{}", answer.text());
        }
        assert!(has(&browser.page("/"), "empty"));
        let fields = "a=b&".repeat(1001);
        let many = Ask::post("/links", fields).header("Content-Type", "application/x-www-form-urlencoded");
        assert_eq!(browser.ask(many).status, 413);
        assert_eq!(browser.get(&format!("/?{}", "a=b&".repeat(1001))).status, 400);
    });
}

pub(crate) fn a_restart_keeps_everything(server: &dyn Server) {
    for mount in MOUNTS {
        let folder = tempfile::tempdir().unwrap();
        let mut cookie = None;
        for start in 0..3 {
            serve(server, mount, folder.path(), |site| {
                let browser = Browser::new(site, mount, folder.path());
                match cookie.take() {
                    None => browser.log_in(PASSWORD),
                    Some(kept) => browser.set_cookie(Some(kept)),
                }
                if start == 0 {
                    browser.create("wiki", TARGET, "Our wiki");
                }
                assert_eq!(browser.get("/wiki").status, 302);
                assert_eq!(browser.visits("wiki"), start + 1);
                assert!(browser.page("/").contains("Our wiki"));
                cookie = browser.cookie();
            });
        }
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(folder.path().join("links.db")).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "the key of sessions is for nobody else");
        }
    }
}
