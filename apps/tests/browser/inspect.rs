//! `inspect`: what a browser sends is shown, and nothing that it sends has an effect.

use crate::browser::{keys, with_browser, without_scripts};
use crate::{serve, servers};

#[test]
fn the_request_is_shown_and_markup_in_it_is_text() {
    with_browser(|browser| {
        for server in servers() {
            let (_runner, url) = serve("inspect", &server, &["--mount", "/x"]);
            browser.open(&format!("{url}a%20b?q=<script>document.title='run'</script>"));
            assert!(browser.title().starts_with("GET /x/a%20b"), "{}", browser.title());
            assert!(browser.text("h1").contains("/x/a%20b?q=%3Cscript%3E"), "{}", browser.text("h1"));
            assert!(browser.text("#headers").contains("HeadlessChrome"), "{}", browser.text("#headers"));
            assert_eq!(browser.count("script"), 0);
            assert_eq!(browser.console(), [""; 0]);
            browser.pictures("inspect");

            // By keyboard alone: the first thing that the tabulator reaches leads past the navigation.
            browser.reload();
            browser.press(keys::TAB);
            browser.press(keys::ENTER);
            browser.wait("the skip link", || browser.url().ends_with("#request"));
        }
    });
}

/// Two tabs, a form each; the page has no scripts, so it is the same without them.
#[test]
fn forms_are_sent_as_they_were_filled_in() {
    without_scripts(|browser| {
        let (_runner, url) = serve("inspect", &servers()[0], &[]);
        browser.open(&url);
        browser.fill("#name", "Grace \u{4e2d}");
        let first = browser.tab();

        browser.new_tab();
        browser.open(&url);
        browser.type_into("#text", "!");
        browser.click("form[method=post] button");
        browser.wait_for("#body pre", "text=Gr%C3%BC%C3%9Fe+%26+more%21");

        browser.go_to(&first);
        assert_eq!(browser.property("#name", "value"), "Grace \u{4e2d}");
        browser.click("form[method=get] button");
        browser.wait_for("h1", "/get?name=Grace+%E4%B8%AD");
    });
}
