//! Octets of strangers, made safe to look at: as text in HTML, with everything invisible or misleading spelled out.

use std::fmt::Write;

/// How line ends and tabs are shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lines {
    /// As what they are, in preformatted text.
    Kept,
    /// Spelled out like other controls, where a value is one line.
    SpelledOut,
}

/// Octets as HTML. UTF-8 is shown as text; other octets as `\xff`, and controls, blanks that do not look like one and
/// marks that turn the direction of text as `\u{202e}`, both set apart by a class.
pub(crate) fn html(octets: &[u8], lines: Lines) -> String {
    let mut html = String::with_capacity(octets.len() + 16);
    for chunk in octets.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '<' => html.push_str("&lt;"),
                '>' => html.push_str("&gt;"),
                '&' => html.push_str("&amp;"),
                '"' => html.push_str("&quot;"),
                '\'' => html.push_str("&#39;"),
                '\n' | '\t' if lines == Lines::Kept => html.push(c),
                _ if is_deceptive(c) => spell_out(&mut html, &c.escape_default()),
                _ => html.push(c),
            }
        }
        for octet in chunk.invalid() {
            spell_out(&mut html, &format_args!("\\x{octet:02x}"));
        }
    }
    html
}

/// Text as HTML, for attributes and titles too.
pub(crate) fn plain(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '&' => html.push_str("&amp;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            _ if is_deceptive(c) => html.extend(c.escape_default()),
            _ => html.push(c),
        }
    }
    html
}

fn spell_out(html: &mut String, text: &dyn std::fmt::Display) {
    let _ = write!(html, "<span class=\"odd\">{text}</span>"); // a String takes everything
}

/// Controls, and characters that nobody sees or that move others.
fn is_deceptive(c: char) -> bool {
    c.is_control()
        || (c.is_whitespace() && c != ' ')
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one_line(octets: &[u8]) -> String {
        html(octets, Lines::SpelledOut)
    }

    #[test]
    fn markup_is_text() {
        let text = "<script>alert(\"1\" + '2' && x)</script>";
        let escaped = "&lt;script&gt;alert(&quot;1&quot; + &#39;2&#39; &amp;&amp; x)&lt;/script&gt;";
        assert_eq!(one_line(text.as_bytes()), escaped);
        assert_eq!(plain(text), escaped);
    }

    #[test]
    fn what_nobody_sees_is_spelled_out() {
        for (octets, shown) in [
            (&b"\0"[..], r"\u{0}"),
            (b"\x1b", r"\u{1b}"),
            (b"\x7f", r"\u{7f}"),
            (b"\xff", r"\xff"),
            ("\u{202e}".as_bytes(), r"\u{202e}"),
            ("\u{a0}".as_bytes(), r"\u{a0}"),
            ("\u{85}".as_bytes(), r"\u{85}"),
            ("\u{feff}".as_bytes(), r"\u{feff}"),
        ] {
            assert_eq!(one_line(octets), format!("<span class=\"odd\">{shown}</span>"));
            assert_eq!(html(octets, Lines::Kept), format!("<span class=\"odd\">{shown}</span>"));
        }
        assert_eq!(one_line(b"a\xe2\x82z"), "a<span class=\"odd\">\\xe2</span><span class=\"odd\">\\x82</span>z");
        assert_eq!(plain("a\u{202e}b"), r"a\u{202e}b");
        assert_eq!(one_line("Grüße, 世界 🦀".as_bytes()), "Grüße, 世界 🦀");
    }

    #[test]
    fn lines_stay_lines_where_they_may() {
        assert_eq!(html(b"a\n\tb\r\n", Lines::Kept), "a\n\tb<span class=\"odd\">\\r</span>\n");
        assert_eq!(one_line(b"a\n"), "a<span class=\"odd\">\\n</span>");
    }
}
