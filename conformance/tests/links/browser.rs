//! A team's site, and a browser that is at it: one cookie, forms as browsers send them.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use conformance::lint::{Lint, Severity};

use crate::support::{Answer, Ask, Server, Site};

/// Where it is tested: at the root and below paths.
pub(crate) const MOUNTS: [&str; 3] = ["", "/go", "/x/y"];
pub(crate) const PASSWORD: &str = "correct horse battery";

/// Runs a check at each mount, each with a database of its own.
pub(crate) fn at_every_mount(server: &dyn Server, check: impl Fn(&Browser<'_>)) {
    MOUNTS.iter().for_each(|mount| at(server, mount, &check));
}

/// Runs a check at a mount, with somebody who is logged in.
pub(crate) fn at(server: &dyn Server, mount: &'static str, check: impl Fn(&Browser<'_>)) {
    let folder = tempfile::tempdir().unwrap();
    serve(server, mount, folder.path(), |site| {
        let browser = Browser::new(site, mount, folder.path());
        browser.log_in(PASSWORD);
        check(&browser);
    });
}

/// Serves what is in a folder. Neither the server nor the application may do anything that Lint finds wrong.
pub(crate) fn serve(server: &dyn Server, mount: &str, folder: &Path, check: impl FnOnce(&dyn Site)) {
    let entry = apps::find("links").unwrap();
    let given = (entry.within)(folder).with("password", PASSWORD);
    let made = (entry.make)(&given).unwrap();
    let (app, reports) = Lint::collecting(apps::mounted(mount, made.app));
    let site = server.start(Arc::new(app));
    check(&*site);
    drop(site);
    let findings = reports.take().into_iter().filter(|finding| finding.severity <= Severity::Warning);
    assert_eq!(findings.map(|finding| finding.to_string()).collect::<Vec<_>>(), [""; 0], "at {mount:?}");
    assert_eq!(reports.open_bodies(), 0);
}

/// A browser.
pub(crate) struct Browser<'s> {
    pub(crate) site: &'s dyn Site,
    pub(crate) mount: &'static str,
    pub(crate) folder: PathBuf,
    cookie: Mutex<Option<String>>,
}

impl<'s> Browser<'s> {
    pub(crate) fn new(site: &'s dyn Site, mount: &'static str, folder: &Path) -> Self {
        Self { site, mount, folder: folder.to_owned(), cookie: Mutex::default() }
    }

    /// Another browser at the same site, which has no cookie.
    pub(crate) fn other(&self) -> Self {
        Self::new(self.site, self.mount, &self.folder)
    }

    pub(crate) fn cookie(&self) -> Option<String> {
        self.cookie.lock().unwrap().clone()
    }

    pub(crate) fn set_cookie(&self, cookie: Option<String>) {
        *self.cookie.lock().unwrap() = cookie;
    }

    /// Sends a request, with the mount before its target, and keeps the cookie that comes.
    pub(crate) fn ask(&self, ask: Ask) -> Answer {
        let mut ask = Ask { target: format!("{}{}", self.mount, ask.target), ..ask };
        if let Some(cookie) = self.cookie() {
            ask = ask.header("Cookie", &cookie);
        }
        let answer = self.site.ask(&ask);
        assert!(answer.complete, "{} {}: {answer:?}", ask.method, ask.target);
        if let Some(set) = answer.header("Set-Cookie") {
            let (pair, attributes) = set.split_once(';').unwrap();
            let path = if self.mount.is_empty() { "/" } else { self.mount };
            for wanted in [&format!("Path={path}"), "HttpOnly", "SameSite=Lax"] {
                assert!(attributes.split(';').any(|attribute| attribute.trim() == wanted), "{wanted}: {set}");
            }
            self.set_cookie(Some(pair.to_owned()).filter(|_| !attributes.contains("Max-Age=0")));
        }
        answer
    }

    pub(crate) fn get(&self, target: &str) -> Answer {
        self.ask(Ask::get(target).header("Accept", "text/html,*/*;q=0.8"))
    }

    /// A page that is there.
    #[track_caller]
    pub(crate) fn page(&self, target: &str) -> String {
        let answer = self.get(target);
        assert_eq!((answer.status, answer.header("Content-Type")), (200, Some("text/html; charset=utf-8")), "{target}");
        answer.text()
    }

    /// Sends a form of this site.
    pub(crate) fn post(&self, target: &str, fields: &[(&str, &str)]) -> Answer {
        let form = form(target, fields).header("Sec-Fetch-Site", "same-origin").header("Origin", "http://localhost");
        self.ask(form)
    }

    /// Where a redirect leads, as a target below the mount.
    #[track_caller]
    pub(crate) fn target_of(&self, answer: &Answer) -> String {
        assert_eq!(answer.status, 303, "{}", answer.text());
        let location = answer.header("Location").expect("a redirect leads somewhere");
        let target = location.strip_prefix(self.mount).filter(|target| target.starts_with('/'));
        target.unwrap_or_else(|| panic!("{location} is not below {:?}", self.mount)).to_owned()
    }

    #[track_caller]
    pub(crate) fn log_in(&self, password: &str) {
        let answer = self.post("/login", &[("name", "team"), ("password", password), ("next", "/")]);
        assert_eq!(self.target_of(&answer), "/");
    }

    #[track_caller]
    pub(crate) fn create(&self, slug: &str, target: &str, title: &str) {
        let answer = self.post("/links", &[("slug", slug), ("target", target), ("title", title)]);
        assert_eq!(self.target_of(&answer), "/", "{}", answer.text());
    }

    /// How often a link was followed.
    #[track_caller]
    pub(crate) fn visits(&self, slug: &str) -> u64 {
        crate::html::text_of(&self.page(&format!("/links/{slug}")), "visits").parse().unwrap()
    }
}

/// A form that is posted.
pub(crate) fn form(target: &str, fields: &[(&str, &str)]) -> Ask {
    let pairs: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
    Ask::post(target, pairs.join("&"))
        .header("Content-Type", "application/x-www-form-urlencoded")
        .header("Accept", "text/html,*/*;q=0.8")
}

/// As forms and queries have it.
pub(crate) fn encode(text: &str) -> String {
    let encoded =
        text.bytes().map(|b| if b.is_ascii_alphanumeric() { char::from(b).into() } else { format!("%{b:02X}") });
    encoded.collect()
}
