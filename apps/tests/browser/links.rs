//! `links`: log in, create, follow, edit, delete and search, as a person does it, mounted below a path.

use crate::browser::{Browser, Folder, keys, with_browser, without_scripts};
use crate::process::Runner;
use crate::{serve, servers};

const PASSWORD: &str = "correct horse battery";

/// A site with a database of its own, far from that of whoever runs the tests.
fn site(server: &str) -> (Folder, Runner, String) {
    let folder = Folder::new("links");
    let database = folder.0.join("data/links.db");
    let options = ["--mount", "/go", "--database", database.to_str().expect("UTF-8"), "--password", PASSWORD];
    let (runner, url) = serve("links", server, &options);
    (folder, runner, url)
}

fn log_in(browser: &Browser, url: &str) {
    browser.open(url);
    browser.wait_for("h1", "Log in");
    browser.fill("#name", "team");
    browser.fill("#password", PASSWORD);
    browser.click("#login button");
    browser.wait("the list", || browser.url() == url && browser.count("#create") == 1);
}

fn create(browser: &Browser, slug: &str, target: &str, title: &str) {
    browser.fill("#target", target);
    browser.fill("#slug", slug);
    browser.fill("#title", title);
    browser.click("#create button");
    browser.wait_for("[role=status]", &format!("/go/{slug}"));
}

#[test]
fn the_life_of_a_link() {
    with_browser(|browser| {
        for server in servers() {
            let (_folder, _runner, url) = site(&server);
            browser.open(&url);
            browser.pictures("links-login");
            log_in(browser, &url);
            assert_eq!(browser.text("#empty h1"), "No links yet");
            browser.pictures("links-empty");

            // It leads to a page of this very site, since there is no other one here.
            create(browser, "docs", &format!("{url}static/icon.svg?from=docs"), "Our <b>docs</b>");
            create(browser, "other", "https://example.com/", "");
            assert_eq!(browser.text("#link-docs .name"), "Our <b>docs</b>");
            assert_eq!(browser.count("#links tbody tr"), 2);
            browser.pictures("links-list");

            browser.click("#link-docs .go");
            browser.wait("the target", || browser.url() == format!("{url}static/icon.svg?from=docs"));
            browser.open(&format!("{url}links/docs"));
            browser.wait_for("#visits", "1");
            browser.pictures("links-link");

            browser.click("#edit");
            browser.fill("#target", "javascript:alert(1)");
            browser.fill("#slug", "Hand Book");
            browser.click("#save button");
            browser.wait_for("#target-error", "https://");
            assert_eq!(browser.property("#slug", "value"), "Hand Book");
            browser.pictures("links-edit");
            browser.fill("#target", &format!("{url}static/style.css"));
            browser.fill("#slug", "handbook");
            browser.click("#save button");
            browser.wait_for("[role=status]", "Saved: ");
            browser.click("#follow");
            browser.wait("the new target", || browser.url() == format!("{url}static/style.css"));

            browser.open(&format!("{url}docs"));
            browser.wait_for("#missing h1", "docs");
            browser.pictures("links-missing");
            browser.click("#make");
            browser.wait("the form", || browser.property("#slug", "value") == "docs");

            browser.fill("#q", "HANDB");
            browser.click("#search button");
            browser.wait_for("#list-heading", "1 link for “HANDB”");
            assert_eq!((browser.count("#link-handbook"), browser.count("#link-other")), (1, 0));
            browser.fill("#q", "nothing of the kind");
            browser.click("#search button");
            browser.wait_for("#nothing", "No name");
            browser.pictures("links-nothing");

            browser.open(&format!("{url}links/handbook"));
            browser.click(".remove summary");
            browser.click("#delete button");
            browser.wait_for("[role=status]", "Deleted: ");
            assert_eq!((browser.count("#link-handbook"), browser.count("#link-other")), (0, 1));

            browser.click("#logout");
            browser.wait_for("[role=status]", "logged out");
            browser.open(&url);
            browser.wait_for("h1", "Log in");
            let unexpected = |line: &String| !line.contains("422") && !line.contains("404");
            assert_eq!(browser.console().into_iter().filter(unexpected).collect::<Vec<_>>(), [""; 0]);
        }
    });
}

/// No mouse and no scripts: the tabulator, the enter key and what is typed.
#[test]
fn by_keyboard_alone() {
    without_scripts(|browser| {
        let (_folder, _runner, url) = site(&servers()[0]);
        browser.open(&url);
        browser.wait_for("h1", "Log in");
        // The field of the name has the focus already.
        let write = |text: &str| text.chars().for_each(|c| browser.press(&c.to_string()));
        write("team");
        browser.press(keys::TAB);
        write(PASSWORD);
        browser.press(keys::ENTER);
        browser.wait_for("#empty h1", "No links yet");

        // The first thing that the tabulator reaches leads past the header, the next one is the form.
        browser.press(keys::TAB);
        browser.press(keys::ENTER);
        browser.press(keys::TAB);
        write("https://example.com/");
        browser.press(keys::TAB);
        write("wiki");
        browser.press(keys::TAB);
        browser.press(keys::TAB);
        browser.press(keys::ENTER);
        browser.wait_for("[role=status]", "/go/wiki");

        // A link is deleted only after a second thought, which needs no script either.
        browser.open(&format!("{url}links/wiki"));
        browser.script("document.querySelector('#follow').focus()");
        browser.press(keys::TAB);
        browser.press(keys::ENTER);
        browser.press(keys::TAB);
        browser.press(keys::ENTER);
        browser.wait_for("[role=status]", "Deleted: ");
    });
}

/// A browser sends the forms of other sites with what tells them apart.
#[test]
fn a_form_of_another_site_changes_nothing() {
    with_browser(|browser| {
        let (_folder, _runner, url) = site(&servers()[0]);
        log_in(browser, &url);
        // The same machine by another name is another site.
        let form = format!(
            "data:text/html,<form method=post action='{url}links'><input name=target value='https://evil.example/'>\
             <input name=slug value=evil><button>Win</button></form>"
        );
        browser.open(&form);
        browser.click("button");
        browser.wait_for("body", "This request was made by another site.");
        browser.open(&url);
        assert_eq!(browser.count("#empty"), 1);
    });
}
