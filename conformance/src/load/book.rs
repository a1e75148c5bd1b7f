//! The guest book: what is in it, and the page that everybody has to make of it.

use std::fmt::Write;
use std::sync::{Arc, LazyLock};

/// How many have signed.
const ENTRIES: usize = 200;
/// How many of them the page shows, the newest first.
const SHOWN: usize = 20;

/// Who signed and with which words, the oldest first. The words have characters that a page must escape.
pub fn guests() -> impl DoubleEndedIterator<Item = (String, String)> {
    (1..=ENTRIES).map(|number| {
        (
            format!("Guest {number}"),
            format!("The {number} plums & pears were sweet, <almost> \"too\" sweet. Thank you!"),
        )
    })
}

/// The page, written by hand: no template engine has a say in what is right.
pub fn book() -> Arc<[u8]> {
    static PAGE: LazyLock<Arc<[u8]>> = LazyLock::new(|| {
        let mut page = String::from(
            "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>Guest book</title>\n\
             <h1>Guest book</h1>\n<form method=\"post\" action=\"book\">\n\
             <p><label>Name <input name=\"name\"></label></p>\n\
             <p><label>Text <textarea name=\"text\"></textarea></label></p>\n\
             <button>Sign</button>\n</form>\n",
        );
        for (name, text) in guests().rev().take(SHOWN) {
            let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
            // Writing to a string cannot fail.
            let _ = writeln!(page, "<p><b>{name}</b>: {text}</p>");
        }
        page.push_str("</html>");
        page.into_bytes().into()
    });
    Arc::clone(&PAGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_shows_the_newest_entries_escaped() {
        let page = book();
        let text = std::str::from_utf8(&page).expect("UTF-8");
        assert_eq!(text.matches("<p><b>").count(), SHOWN);
        let newest =
            "</form>\n<p><b>Guest 200</b>: The 200 plums &amp; pears were sweet, &lt;almost&gt; &quot;too&quot; sweet.";
        assert!(text.contains(newest), "{text}");
        assert!(!text.contains("Guest 180<"), "{text}");
    }
}
