//! The escapes of the cases: `\r`, `\x41`, `\{100 * "a"}`.

/// Turns written text into octets.
///
/// ```
/// use conformance::case::unescape;
///
/// assert_eq!(unescape(r"a\r\n\x41").unwrap(), b"a\r\nA");
/// assert_eq!(unescape(r#"\{3 * "ab\{2 * "-"}"}"#).unwrap(), b"ab--ab--ab--");
/// assert!(unescape(r"\q").is_err());
/// ```
///
/// # Errors
/// What is wrong with the text.
pub fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut reader = Reader { rest: text };
    let octets = reader.octets(false)?;
    debug_assert!(reader.rest.is_empty());
    Ok(octets)
}

struct Reader<'t> {
    rest: &'t str,
}

impl Reader<'_> {
    /// Reads to the end, or to a quotation mark that is not escaped and is left in place.
    fn octets(&mut self, quoted: bool) -> Result<Vec<u8>, String> {
        let mut octets = Vec::new();
        while let Some(c) = self.rest.chars().next() {
            if quoted && c == '"' {
                break;
            }
            self.skip(c.len_utf8());
            match c {
                '\\' => self.escape(&mut octets)?,
                ' '..='~' => octets.push(c as u8),
                _ => return Err(format!("{c:?} must be written as octets, \\xHH")),
            }
        }
        Ok(octets)
    }

    fn escape(&mut self, octets: &mut Vec<u8>) -> Result<(), String> {
        let c = self.rest.chars().next().ok_or("a backslash at the end")?;
        self.skip(c.len_utf8());
        match c {
            'r' => octets.push(b'\r'),
            'n' => octets.push(b'\n'),
            't' => octets.push(b'\t'),
            '\\' | '"' => octets.push(c as u8),
            'x' => {
                let digits = self.rest.get(..2).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
                let digits = digits.ok_or("\\x needs two hexadecimal digits")?;
                octets.push(u8::from_str_radix(digits, 16).map_err(|e| e.to_string())?);
                self.skip(2);
            }
            '{' => {
                let digits: String = self.rest.chars().take_while(char::is_ascii_digit).collect();
                let count: usize = digits.parse().map_err(|_| {
                    let name: String = self.rest.chars().take_while(|&c| c != '}').collect();
                    format!("\\{{{name}}} is neither a column nor a repetition")
                })?;
                self.skip(digits.len());
                self.expect(" * \"")?;
                let part = self.octets(true)?;
                self.expect("\"}")?;
                octets.extend_from_slice(&part.repeat(count));
            }
            _ => return Err(format!("\\{c} is not an escape")),
        }
        Ok(())
    }

    fn expect(&mut self, text: &str) -> Result<(), String> {
        self.rest =
            self.rest.strip_prefix(text).ok_or_else(|| format!("{text:?} is missing before {:?}", self.rest))?;
        Ok(())
    }

    fn skip(&mut self, length: usize) {
        self.rest = &self.rest[length..];
    }
}

/// Reads one `"…"` from the beginning of the text and returns it with what follows.
pub(super) fn quoted(text: &str) -> Result<(Vec<u8>, &str), String> {
    let rest = text.strip_prefix('"').ok_or_else(|| format!("a text in quotation marks is missing before {text:?}"))?;
    let mut reader = Reader { rest };
    let octets = reader.octets(true)?;
    reader.expect("\"")?;
    Ok((octets, reader.rest))
}

/// Reads `"…"` and nothing after it.
pub(super) fn only_quoted(text: &str) -> Result<Vec<u8>, String> {
    match quoted(text)? {
        (octets, "") => Ok(octets),
        (_, rest) => Err(format!("{rest:?} after the text")),
    }
}

/// Reads several `"…"` with blanks between them.
pub(super) fn list_of_quoted(text: &str) -> Result<Vec<Vec<u8>>, String> {
    let mut rest = text.trim();
    let mut list = Vec::new();
    while !rest.is_empty() {
        let (octets, after) = quoted(rest)?;
        list.push(octets);
        rest = after.trim_start();
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_stand_for_octets() {
        assert_eq!(unescape(r#"\r\n\t\\\"\x00\xfF"#).unwrap(), b"\r\n\t\\\"\x00\xff");
        assert_eq!(unescape(r#"a"b{c}"#).unwrap(), b"a\"b{c}");
        assert_eq!(unescape(r#"\{0 * "a"}"#).unwrap(), b"");
        assert_eq!(unescape(r#"x\{2 * "\"\r"}y"#).unwrap(), b"x\"\r\"\ry");
    }

    #[test]
    fn what_is_no_escape_is_a_mistake() {
        for wrong in [r"\", r"\z", r"\x4", r"\xg0", r"\{column}", r#"\{3 "a"}"#, r#"\{3 * "a}"#, "é"] {
            assert!(unescape(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn quoted_texts_end_at_their_mark() {
        assert_eq!(quoted(r#""a\"b" rest"#).unwrap(), (b"a\"b".to_vec(), " rest"));
        assert_eq!(list_of_quoted(r#" "a"  "" "b" "#).unwrap(), [b"a".to_vec(), b"".to_vec(), b"b".to_vec()]);
        assert!(only_quoted(r#""a" b"#).is_err());
        assert!(only_quoted("a").is_err());
    }
}
