//! Who may, and who may not.

use crate::browser::{PASSWORD, at, at_every_mount};
use crate::html::{text_of, value_of};
use crate::support::Server;

pub(crate) fn logging_in_and_out(server: &dyn Server) {
    at_every_mount(server, |browser| {
        let other = browser.other();
        let wrong = other.post("/login", &[("name", "team"), ("password", "wrong"), ("next", "/account")]);
        assert_eq!(wrong.status, 422);
        assert!(text_of(&wrong.text(), "problem").contains("wrong"));
        assert_eq!(
            (value_of(&wrong.text(), "name"), value_of(&wrong.text(), "next")),
            ("team".into(), "/account".into())
        );
        assert!(!wrong.text().contains("value=\"wrong\""), "a password is not shown again");
        assert_eq!(other.post("/login", &[("name", "nobody"), ("password", PASSWORD)]).status, 422);
        assert_eq!(other.post("/login", &[]).status, 422);
        assert_eq!(other.get("/").status, 303);

        let right = other.post("/login", &[("name", "team"), ("password", PASSWORD), ("next", "/account")]);
        assert_eq!(other.target_of(&right), "/account");
        assert!(right.header("Set-Cookie").is_some_and(|cookie| !cookie.contains(PASSWORD)));
        assert_eq!(other.page("/account").matches("curl -u team").count(), 1);
        assert_eq!(other.target_of(&other.get("/login?next=/account")), "/account", "no need to log in again");

        // Where it leads next is a path here, whatever a link said.
        for next in ["//evil.example/", "https://evil.example/", "\\\\evil.example", "/\\evil.example", "javascript:x"]
        {
            let answer = other.post("/login", &[("name", "team"), ("password", PASSWORD), ("next", next)]);
            let target = other.target_of(&answer);
            assert!(!target.starts_with("//") && !target.starts_with("/\\"), "{next}: {target}");
        }
        let copied = other.cookie();
        assert_eq!(other.target_of(&other.post("/logout", &[])), "/login");
        assert!(other.page("/login").contains("You are logged out."));
        // Whoever has copied the cookie is logged out, too; so is the one of a login that was followed by another.
        let thief = other.other();
        thief.set_cookie(copied);
        assert_eq!((thief.get("/").status, thief.get("/api/links").status), (303, 401));
        thief.log_in(PASSWORD);
        let copied = thief.cookie();
        thief.log_in(PASSWORD);
        other.set_cookie(copied);
        assert_eq!((thief.get("/").status, other.get("/").status), (200, 303));
        other.set_cookie(None);
        assert_eq!(other.get("/").status, 303);
        assert_eq!(browser.get("/").status, 200, "others stay");
        assert_eq!(browser.get("/logout").status, 404);
        assert_eq!(browser.get("/").status, 200, "a picture on some page logs nobody out");
    });
}

pub(crate) fn whoever_is_not_logged_in_is_sent_back_after(server: &dyn Server) {
    at_every_mount(server, |browser| {
        browser.create("wiki", "https://example.com/", "");
        let other = browser.other();
        for target in ["/", "/?q=a+b&page=2", "/links/wiki", "/links/wiki/edit", "/account", "/export.csv"] {
            let login = other.target_of(&other.get(target));
            let next = value_of(&other.page(&login), "next");
            assert_eq!(next, target);
        }
        // What was written is still there after the login.
        let written = [("slug", "new"), ("target", "https://new.example/?a=b&c=d"), ("title", "A & B")];
        for (post, path) in [("/links", "/?slug=new"), ("/links/wiki", "/links/wiki/edit?name=new")] {
            let login = other.target_of(&other.post(post, &written));
            let next = value_of(&other.page(&login), "next");
            assert!(next.starts_with(path), "{next}");
            let form = browser.page(&next);
            for (name, value) in written {
                assert_eq!(value_of(&form, name), value);
            }
        }
        assert_eq!(other.target_of(&other.post("/links/wiki/delete", &[])), "/login?next=/");
        assert_eq!(browser.get("/wiki").header("Location"), Some("https://example.com/"));
        assert_eq!(browser.get("/new").status, 404);
    });
}

pub(crate) fn forged_cookies_are_no_login(server: &dyn Server) {
    at_every_mount(server, |browser| {
        let cookie = browser.cookie().expect("logged in");
        let (name, value) = cookie.split_once('=').unwrap();
        let other = browser.other();
        let flipped = |at: usize| {
            let mut bytes = value.as_bytes().to_vec();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            String::from_utf8(bytes).unwrap()
        };
        let mut forged =
            vec![String::new(), ".".into(), "a.b".into(), "\u{e4}".into(), "x".repeat(4000), format!("{value}=")];
        forged.extend((0..value.len()).step_by(7).flat_map(|at| [value[..at].to_owned(), flipped(at)]));
        for forged in forged {
            other.set_cookie(Some(format!("{name}={forged}")));
            let answer = other.get("/account");
            assert_eq!(answer.status, 303, "{forged:?}: {answer:?}");
            assert!(answer.header("Location").unwrap().starts_with(&format!("{}/login", browser.mount)));
        }
        other.set_cookie(Some(cookie));
        assert_eq!(other.get("/account").status, 200);
    });
}

pub(crate) fn guessing_is_slowed_down(server: &dyn Server) {
    at(server, "", |browser| {
        let guess = || browser.other().post("/login", &[("name", "team"), ("password", "a wrong guess")]);
        // Each failure doubles the time to wait, so that some attempt comes too early, however slow the machine is.
        let refused = (0..12).map(|_| guess()).find(|answer| answer.status != 422).expect("it is slowed down");
        assert_eq!(refused.status, 429);
        let seconds: u64 = refused.header("Retry-After").unwrap().parse().unwrap();
        assert!((1..=60).contains(&seconds), "{seconds}");
        assert!(text_of(&refused.text(), "problem").contains("wrong too often"));
        let right = browser.other().post("/login", &[("name", "team"), ("password", PASSWORD)]);
        assert_eq!(right.status, 429, "else a guess would be worth it");
        assert_eq!(browser.get("/").status, 200, "whoever is logged in is not concerned");
    });
}

pub(crate) fn a_new_password_ends_other_sessions(server: &dyn Server) {
    at_every_mount(server, |browser| {
        let other = browser.other();
        other.log_in(PASSWORD);
        for (current, new, field) in [("wrong", "long enough, too", "current-error"), (PASSWORD, "short", "new-error")]
        {
            let answer = other.post("/account", &[("current", current), ("new", new)]);
            assert_eq!(answer.status, 422);
            assert!(!text_of(&answer.text(), field).is_empty());
        }
        assert_eq!(browser.get("/").status, 200);
        let changed = other.post("/account", &[("current", PASSWORD), ("new", "another long one")]);
        assert_eq!(other.target_of(&changed), "/account");
        assert!(other.page("/account").contains("Your password is changed."));
        assert_eq!(browser.get("/").status, 303, "the old session has ended");
        assert_eq!(browser.post("/login", &[("name", "team"), ("password", PASSWORD)]).status, 422);
        browser.log_in("another long one");
    });
}
