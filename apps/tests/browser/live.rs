//! `live`: two people in two tabs, and one without scripts.

use rustix::process::Signal;

use crate::browser::{Browser, keys, with_browser, without_scripts};
use crate::{serve, servers};

const MARKUP: &str = "<img src=x onerror=\"document.title='run'\"> & <b>bold</b>";

fn say(browser: &Browser, text: &str) {
    browser.fill("#text", text);
    browser.press(keys::ENTER);
    browser.wait("an empty field", || browser.property("#text", "value") == "");
}

#[test]
fn two_tabs_chat() {
    for server in servers() {
        with_browser(|browser| {
            let (runner, url) = serve("live", &server, &["--mount", "/x y"]);
            let ada = browser.tab();
            browser.open(&url);
            browser.wait_for("#state", "only you");
            assert!(browser.text("#empty").contains("Say hello"));
            browser.fill("#name", "Ada");

            let grace = browser.new_tab();
            browser.open(&url);
            browser.wait_for("#state", "2 are here");
            browser.fill("#name", "Grace");
            say(browser, "Is anybody there?");
            browser.wait_for("#log", "Is anybody there?");

            browser.go_to(&ada);
            browser.wait_for("#log li:last-child .who", "Grace");
            say(browser, MARKUP);
            browser.fill("#text", &format!("By the button, and{0}{1}{0}in two lines.", keys::SHIFT, keys::ENTER));
            browser.click("#say button");

            browser.go_to(&grace);
            browser.wait_for("#log li:last-child", "By the button, and\nin two lines.");
            browser.wait_for("#log li:nth-child(2) .text", MARKUP);
            assert_eq!((browser.count("#log img"), browser.count("#log li")), (0, 3));
            assert_eq!(browser.title(), "live");

            // Nothing twice and nothing lost when the page is loaded again.
            browser.reload();
            browser.wait_for("#state", "2 are here");
            assert_eq!(browser.count("#log li"), 3);
            say(browser, "Good night.");
            browser.wait_for("#log li:nth-child(4)", "Good night.");
            browser.pictures("live");
            assert_eq!(browser.console(), [""; 0]);

            // A stop waits for nobody's stream.
            runner.signal(Signal::TERM);
            browser.wait_for("#state", "connecting again");
            assert_eq!(runner.end().code, Some(0));
            browser.fill("#text", "To nobody.");
            browser.click("#say button");
            browser.wait_for("#problem", "could not be reached");
            assert_eq!(browser.property("#text", "value"), "To nobody.", "nothing is lost");
        });
    }
}

#[test]
fn without_scripts_it_takes_a_reload() {
    without_scripts(|browser| {
        let (_runner, url) = serve("live", &servers()[0], &["--max-text", "12"]);
        browser.open(&url);
        browser.wait_for("noscript", "load the page again");
        browser.fill("#name", "Ada \"<i>\"");
        browser.fill("#text", "Hello!");
        browser.click("#say button");
        browser.wait_for("#log .text", "Hello!");
        assert_eq!(browser.property("#name", "value"), "Ada \"<i>\"", "need not be written again");
        browser.fill("#text", "   ");
        browser.click("#say button");
        browser.wait_for("#problem", "the text is empty");
        assert_eq!(browser.count("#log li"), 1);
        assert_eq!(browser.property("#name", "value"), "Ada \"<i>\"");
        browser.pictures("live-problem");
    });
}
