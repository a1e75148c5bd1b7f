//! The small print of multipart forms: the boundary, the head of a part, and names of files.

use crate::Error;

/// What `Content-Disposition` says of a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Disposition {
    pub(super) name: String,
    pub(super) file_name: Option<String>,
}

/// The longest name of a file that is made safe, in bytes.
const MAX_NAME: usize = 200;

/// The boundary of a `Content-Type`, if it has exactly one that is valid (RFC 2046 section 5.1.1).
pub(super) fn boundary(content_type: &str) -> Option<String> {
    let (_, params) = content_type.split_once(';')?;
    let mut boundaries = params_of(params)?.into_iter().filter(|(name, _)| name.eq_ignore_ascii_case("boundary"));
    let (_, boundary) = boundaries.next()?;
    let is_bchar = |b: u8| b.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&b);
    let valid = (1..=70).contains(&boundary.len()) && boundary.bytes().all(is_bchar) && !boundary.ends_with(' ');
    (valid && boundaries.next().is_none()).then_some(boundary)
}

/// The disposition and the media type of a part, from its headers.
pub(super) fn of_headers(headers: &str) -> Result<(Disposition, Option<String>), Error> {
    let bad = |what: &str| Error::bad_request(format!("This is no multipart form: {what}."));
    let (mut disposition, mut content_type) = (None, None);
    for line in headers.split("\r\n") {
        let (name, value) = line.split_once(':').ok_or_else(|| bad("a part has a broken header"))?;
        if name.is_empty() || !gateway_spec::is_token(name.as_bytes()) {
            return Err(bad("a part has a broken header"));
        }
        let value = value.trim_matches([' ', '\t']);
        let place = match name {
            _ if name.eq_ignore_ascii_case("content-disposition") => &mut disposition,
            _ if name.eq_ignore_ascii_case("content-type") => &mut content_type,
            _ => continue, // others mean nothing in forms (RFC 7578 section 4.8)
        };
        if place.replace(value.to_owned()).is_some() {
            return Err(bad("a part has a header twice"));
        }
    }
    let disposition = disposition.ok_or_else(|| bad("a part has no Content-Disposition"))?;
    let (kind, params) = disposition.split_once(';').unwrap_or((&disposition, ""));
    if !kind.trim().eq_ignore_ascii_case("form-data") {
        return Err(bad("a part is not form-data"));
    }
    let (mut name, mut file_name) = (None, None);
    for (key, value) in params_of(params).ok_or_else(|| bad("a Content-Disposition is broken"))? {
        let place = match key {
            _ if key.eq_ignore_ascii_case("name") => &mut name,
            _ if key.eq_ignore_ascii_case("filename") => &mut file_name,
            _ => continue, // `filename*` does not belong into forms (RFC 7578 section 4.2)
        };
        // Two names would mean different things to different readers.
        if place.replace(browser_decoded(&value)).is_some() {
            return Err(bad("a Content-Disposition says something twice"));
        }
    }
    let name = name.ok_or_else(|| bad("a part has no name"))?;
    Ok((Disposition { name, file_name }, content_type))
}

/// Parameters: `name=token` or `name="quoted"`, divided by `;`. `None` if that is not what it is.
fn params_of(mut text: &str) -> Option<Vec<(&str, String)>> {
    let mut params = Vec::new();
    loop {
        text = text.trim_start_matches([' ', '\t', ';']);
        if text.is_empty() {
            return Some(params);
        }
        let (name, rest) = text.split_once('=')?;
        let (value, rest) = match rest.strip_prefix('"') {
            Some(quoted) => unquote(quoted)?,
            None => {
                let end = rest.find(';').unwrap_or(rest.len());
                (rest[..end].trim_end_matches([' ', '\t']).to_owned(), &rest[end..])
            }
        };
        text = rest.trim_start_matches([' ', '\t']);
        if !text.is_empty() && !text.starts_with(';') {
            return None;
        }
        params.push((name.trim(), value));
    }
}

/// A quoted text up to its closing quote, and what follows.
fn unquote(quoted: &str) -> Option<(String, &str)> {
    let mut text = String::new();
    let mut chars = quoted.char_indices();
    while let Some((index, c)) = chars.next() {
        match c {
            '"' => return Some((text, &quoted[index + 1..])),
            // Old browsers send `C:\folder\name` as it is, so only what has to be escaped is an escape.
            '\\' if matches!(quoted[index + 1..].chars().next(), Some('"' | '\\')) => {
                text.extend(chars.next().map(|(_, c)| c))
            }
            c => text.push(c),
        }
    }
    None
}

/// The three characters that browsers escape in their own way (the HTML standard, multipart form data).
fn browser_decoded(text: &str) -> String {
    text.replace("%22", "\"").replace("%0D", "\r").replace("%0A", "\n")
}

/// See [`safe_file_name`](super::safe_file_name).
pub(super) fn safe(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let kept =
        last.chars().filter(|c| !c.is_control() && !matches!(c, ':' | '*' | '?' | '"' | '<' | '>' | '|' | '\u{fffd}'));
    let kept: String = kept.filter(|c| !matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')).collect();
    let mut kept = kept.trim_start_matches(['.', ' ']).trim_end_matches(['.', ' ']).to_owned();
    if kept.len() > MAX_NAME {
        // The extension says what it is, so it stays.
        let extension =
            kept.rfind('.').filter(|dot| kept.len() - dot <= 16).map(|dot| kept[dot..].to_owned()).unwrap_or_default();
        let mut end = MAX_NAME - extension.len();
        while !kept.is_char_boundary(end) {
            end -= 1;
        }
        kept.truncate(end);
        kept.push_str(&extension);
    }
    // Names that mean devices to Windows, with any extension.
    let stem = kept.split('.').next().unwrap_or_default().to_ascii_uppercase();
    let numbered =
        |prefix: &str| stem.strip_prefix(prefix).is_some_and(|n| n.len() == 1 && n.as_bytes()[0].is_ascii_digit());
    let device = matches!(&*stem, "CON" | "PRN" | "AUX" | "NUL") || numbered("COM") || numbered("LPT");
    match (kept.is_empty(), device) {
        (true, _) => "file".to_owned(),
        (false, true) => format!("_{kept}"),
        (false, false) => kept,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn boundaries() {
        let type_ = |rest: &str| boundary(&format!("multipart/form-data{rest}"));
        assert_eq!(type_("; boundary=abc").as_deref(), Some("abc"));
        assert_eq!(type_(";charset=utf-8;BOUNDARY=\"a b:c\" ").as_deref(), Some("a b:c"));
        let (longest, too_long) = ("x".repeat(70), "x".repeat(71));
        assert_eq!(type_(&format!("; boundary={longest}")), Some(longest));
        for bad in [
            "",
            ";",
            "; boundary=",
            "; boundary=\"\"",
            "; boundary=\"a ",
            "; boundary=\"a \"",
            "; boundary=a; boundary=b",
            "; boundary=a\u{e9}",
            "; boundary=\"a\"b",
            "; boundary",
            "; boundary=a@b",
            &format!("; boundary={too_long}"),
        ] {
            assert_eq!(type_(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn heads_of_parts() {
        let head =
            |value: &str| of_headers(&format!("Content-Disposition: {value}")).map(|(d, _)| (d.name, d.file_name));
        for (value, name, file) in [
            ("form-data; name=\"a\"", "a", None),
            ("form-data; name=a; filename=b.txt", "a", Some("b.txt")),
            ("Form-Data;NAME=\"a\";FileName=\"\"", "a", Some("")),
            (r#"form-data; name="a\"b\\c"; filename="C:\dir\x.txt""#, "a\"b\\c", Some("C:\\dir\\x.txt")),
            ("form-data; name=\"a%22%0D%0A%41\"", "a\"\r\n%41", None),
            ("form-data; name=\"a;b=c\"; filename*=UTF-8''x", "a;b=c", None),
            ("form-data; name=\"é\"", "é", None),
        ] {
            assert_eq!(head(value).unwrap(), (name.to_owned(), file.map(str::to_owned)), "{value}");
        }
        for bad in [
            "attachment; name=a",
            "form-data",
            "form-data; filename=a",
            "form-data; name=a; name=b",
            "form-data; name=\"a",
            "form-data; name=\"a\"b",
        ] {
            assert_eq!(head(bad).unwrap_err().status().code(), 400, "{bad}");
        }
        let (_, kind) =
            of_headers("content-type: text/plain\r\nX-Y: z\r\ncontent-disposition: form-data; name=a").unwrap();
        assert_eq!(kind.as_deref(), Some("text/plain"));
        let good = "Content-Disposition: form-data; name=a";
        for bad in [
            "X: y",
            &format!("{good}\r\n{good}"),
            &format!("{good}\r\n folded"),
            &format!("{good}\r\nbroken"),
            &format!(": x\r\n{good}"),
        ] {
            assert_eq!(of_headers(bad).unwrap_err().status().code(), 400, "{bad:?}");
        }
    }

    #[test]
    fn safe_names() {
        for (name, expected) in [
            ("photo.jpg", "photo.jpg"),
            ("Käse 1.txt", "Käse 1.txt"),
            ("../../x", "x"),
            ("C:\\Users\\x.txt", "x.txt"),
            ("C:x", "Cx"),
            ("..", "file"),
            (".bashrc", "bashrc"),
            ("a\0b\r\n.txt", "ab.txt"),
            ("\u{202e}gpj.exe", "gpj.exe"),
            ("\u{fffd}\u{fffd}", "file"),
            ("con.txt", "_con.txt"),
            ("LPT1", "_LPT1"),
            ("company.txt", "company.txt"),
            ("trailing. . ", "trailing"),
            ("a/b/", "file"),
        ] {
            assert_eq!(safe(name), expected, "{name:?}");
        }
        let long = safe(&format!("{}.jpeg", "é".repeat(300)));
        assert!(long.len() <= 200 && long.ends_with("é.jpeg"));
    }

    proptest! {
        #[test]
        fn any_name_is_made_safe(name in "\\PC{0,300}|[./\\\\:a-c\\x00-\\x1f]{0,20}") {
            let safe = safe(&name);
            prop_assert!(!safe.is_empty() && safe.len() <= 201 && !safe.starts_with('.'));
            let path = std::path::Path::new(&safe);
            prop_assert_eq!(path.components().count(), 1);
            prop_assert!(!safe.contains(['/', '\\', ':', '\0']));
        }

        #[test]
        fn any_head_is_read(text in "\\PC{0,80}", params in "[a-c=\";\\\\ ]{0,40}") {
            let _ = (of_headers(&text), boundary(&text), params_of(&params));
        }
    }
}
