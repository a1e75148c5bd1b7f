//! `upload`: files go there and back; what is too large is refused with words.

use std::fs;

use crate::browser::{Browser, Folder, with_browser, without_scripts};
use crate::{serve, servers};

/// Writes a file of so many bytes and gives its path.
fn file(folder: &Folder, name: &str, size: usize) -> String {
    let path = folder.0.join(name);
    let content: Vec<u8> = (0..size).map(|n| (n * 7 % 251) as u8).collect();
    fs::write(&path, content).expect("written");
    path.to_str().expect("UTF-8").to_owned()
}

/// Lets the page note how its progress bar moved.
fn watch_progress(browser: &Browser) {
    browser.script(
        "window.steps = []; const bar = document.getElementById('progress'); \
         new MutationObserver(() => bar.hidden || sessionStorage.setItem('steps', \
         (sessionStorage.getItem('steps') ?? '') + bar.value + ' ')).observe(bar, { attributes: true })",
    );
}

#[test]
fn files_go_there_with_progress_and_back() {
    for server in servers() {
        with_browser(|browser| {
            let (folder, here) = (Folder::new("uploads"), Folder::new("files"));
            let options = [folder.0.to_str().unwrap(), "--mount", "/x y"];
            let (_runner, url) = serve("upload", &server, &options);
            browser.open(&url);
            browser.wait_for("#files", "There is nothing yet.");
            browser.pictures("upload-empty");

            let large = file(&here, "holiday <1>.bin", 32 << 20);
            let small = file(&here, "notes & more.txt", 2000);
            watch_progress(browser);
            browser.type_into("#choose", &format!("{large}\n{small}"));
            browser.click("#form button");
            browser.wait_for(".done", "2 files are here");
            browser.wait_for("tbody", "notes & more.txt");
            browser.wait_for("tbody", "holiday 1.bin");
            browser.wait_for(".sum", "2 files, 32 MiB");
            let steps = browser.script("return sessionStorage.getItem('steps')");
            let steps: Vec<f64> = steps.as_str().unwrap().split_whitespace().map(|s| s.parse().unwrap()).collect();
            assert!(steps.is_sorted() && steps.last() == Some(&1.0), "{steps:?}");
            assert!(fs::read(folder.0.join("holiday 1.bin")).unwrap() == fs::read(&large).unwrap());

            // The same name again is another file.
            browser.type_into("#choose", &small);
            browser.click("#form button");
            browser.wait_for(".done", "The file is here");
            browser.wait_for("tr.new", "notes & more (2).txt");
            browser.pictures("upload");

            // Back again, by the link of the page.
            let fetched = "return (async () => (await (await fetch(document.querySelector('tr.new a').href)).arrayBuffer()).byteLength)()";
            assert_eq!(browser.script(fetched), 2000);

            browser.click("tr.new summary");
            browser.click("tr.new details button");
            browser.wait_for(".done", "The file is gone");
            assert_eq!((browser.count("tbody tr"), folder.0.join("notes & more (2).txt").exists()), (2, false));
            assert_eq!(browser.console(), [""; 0]);
        });
    }
}

#[test]
fn what_is_too_large_is_refused_before_it_is_sent() {
    with_browser(|browser| {
        let (folder, here) = (Folder::new("uploads"), Folder::new("files"));
        let (_runner, url) = serve("upload", &servers()[0], &[folder.0.to_str().unwrap(), "--max-size", "1MiB"]);
        browser.open(&url);
        browser.type_into("#choose", &file(&here, "large.bin", 3 << 20));
        browser.wait_for("#problem", "3.0 MiB, and at most 1 MiB");
        browser.click("#form button");
        browser.wait_for("#problem", "Nothing was sent");
        browser.pictures("upload-problem");
        assert_eq!(browser.console(), [""; 0]);

        // A little below the limit with the file alone, above it with what is around it: the server says so.
        browser.open(&url);
        browser.type_into("#choose", &file(&here, "nearly.bin", (1 << 20) - 10));
        browser.click("#form button");
        browser.wait_for("#problem", "At most 1 MiB");
    });
}

/// Without scripts the page sends all of it, and gets to see why it was refused.
#[test]
fn a_refusal_is_a_page() {
    for server in servers() {
        without_scripts(|browser| {
            let (folder, here) = (Folder::new("uploads"), Folder::new("files"));
            let (_runner, url) = serve("upload", &server, &[folder.0.to_str().unwrap(), "--max-size", "1MiB"]);
            browser.open(&url);
            browser.type_into("#choose", &file(&here, "large.bin", 24 << 20));
            browser.click("#form button");
            browser.wait_for(".problem", "That is too large");
            browser.wait_for(".problem", "At most 1 MiB can be sent at once. Nothing of it was stored.");
            browser.pictures("upload-refused");

            browser.click("main a");
            browser.type_into("#choose", &file(&here, "small.txt", 100));
            browser.click("#form button");
            browser.wait_for(".done", "The file is here");
            browser.click("summary");
            browser.click("details button");
            browser.wait_for(".done", "The file is gone");
        });
    }
}
