//! Small texts: what goes into a log line, what goes into `Vary`.

use std::fmt::Write as _;

/// Text for one line of a log: controls are escaped, so that nobody writes lines of their own (F09), and what is longer
/// than `limit` bytes is cut.
#[must_use]
pub fn printable(text: &str, limit: usize) -> String {
    let mut line = String::with_capacity(text.len().min(limit) + 8);
    push_printable(&mut line, text, limit, false);
    line
}

/// [`printable`], at the end of a line; on request with `"` and `\` escaped, for a text that stands in quotes.
pub(crate) fn push_printable(line: &mut String, text: &str, limit: usize, in_quotes: bool) {
    // Nearly all there is.
    if text.len() <= limit && text.bytes().all(|b| matches!(b, b' '..=b'~') && !matches!(b, b'"' | b'\\')) {
        line.push_str(text);
        return;
    }
    let end = line.len() + limit;
    for c in text.chars() {
        if line.len() >= end {
            line.push('…');
            break;
        }
        // Also the invisible ones that turn text around.
        if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
            let _ = write!(line, "{}", c.escape_default());
        } else if in_quotes && matches!(c, '"' | '\\') {
            line.extend(['\\', c]);
        } else {
            line.push(c);
        }
    }
}

/// The value of `Vary` with a field name added, unless it is there or everything varies (H1-VARY-02).
#[must_use]
pub fn merge_vary(vary: Option<&str>, field: &str) -> String {
    match vary.map(str::trim).filter(|vary| !vary.is_empty()) {
        None => field.to_owned(),
        Some(vary) => {
            let known = |name: &str| name.trim() == "*" || name.trim().eq_ignore_ascii_case(field);
            if vary.split(',').any(known) { vary.to_owned() } else { format!("{vary}, {field}") }
        }
    }
}

/// All values of a name as one list, as if they had been in one line (H1-SYN-01).
pub(crate) fn join_lines<'h>(headers: impl Iterator<Item = (&'h str, &'h str)>, name: &str) -> String {
    let values = headers.filter(|(known, value)| known.eq_ignore_ascii_case(name) && !value.trim().is_empty());
    values.map(|(_, value)| value).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stay_lines() {
        assert_eq!(printable("a\r\nb\u{1b}[31m\0\u{202e}é\u{85}", 100), "a\\r\\nb\\u{1b}[31m\\u{0}\\u{202e}é\\u{85}");
        assert_eq!(printable(&"x".repeat(100), 10), format!("{}…", "x".repeat(10)));
        assert_eq!(printable(&"x".repeat(10), 10), "x".repeat(10));
        let mut line = String::from("before ");
        push_printable(&mut line, "a\"b\\c\n", 100, true);
        assert_eq!(line, "before a\\\"b\\\\c\\n");
        // Cut, it still ends no quotes.
        let mut line = String::new();
        push_printable(&mut line, &"\"".repeat(9), 4, true);
        assert_eq!(line, "\\\"\\\"…");
    }

    #[test]
    fn vary() {
        for (vary, expected) in [
            (None, "Accept"),
            (Some(""), "Accept"),
            (Some("Cookie"), "Cookie, Accept"),
            (Some("cookie, ACCEPT"), "cookie, ACCEPT"),
            (Some("*"), "*"),
            (Some("Accept-Encoding"), "Accept-Encoding, Accept"),
        ] {
            assert_eq!(merge_vary(vary, "Accept"), expected);
        }
        let lines = [("Vary", "Cookie"), ("X", "x"), ("vary", ""), ("VARY", "Accept-Encoding, Origin")];
        assert_eq!(join_lines(lines.into_iter(), "Vary"), "Cookie, Accept-Encoding, Origin");
        assert_eq!(join_lines([("X", "x")].into_iter(), "Vary"), "");
    }
}
