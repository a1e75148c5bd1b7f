//! What a link is, and which names and addresses one may have.

use std::fmt::Write as _;

use framework_mini::{FieldErrors, Fields};
use serde::{Deserialize, Deserializer, Serialize};

/// Names are short by purpose: they are said aloud and typed.
pub(crate) const MAX_SLUG: usize = 64;
/// What every browser and proxy takes as a URL.
pub(crate) const MAX_TARGET: usize = 2048;
/// In characters.
pub(crate) const MAX_TITLE: usize = 200;

/// The first segments of pages of this application: a link of such a name could not be followed.
const RESERVED: [&str; 6] = ["account", "api", "links", "login", "logout", "static"];

/// No letter that is read as another one: neither `l` nor `1`, neither `o` nor `0`.
const CLEAR: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
/// Of a name that nobody chose: 5 characters of 32 are 33 million names.
const RANDOM_SLUG: usize = 5;

/// A link as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Link {
    #[serde(skip)]
    pub(crate) id: i64,
    pub(crate) slug: String,
    pub(crate) target: String,
    pub(crate) title: String,
    pub(crate) visits: i64,
    /// UTC, as RFC 3339 has it, like all times here.
    pub(crate) created_at: String,
    pub(crate) created_by: String,
    pub(crate) changed_at: Option<String>,
    pub(crate) changed_by: Option<String>,
    pub(crate) visited_at: Option<String>,
    /// How often it was changed: who saves a form that is older than that is told.
    #[serde(skip)]
    pub(crate) revision: i64,
}

/// What somebody wants a link to be; made only of what is right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Draft {
    pub(crate) slug: String,
    pub(crate) target: String,
    pub(crate) title: String,
}

/// What somebody has sent to become a link.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Proposal {
    #[serde(default)]
    pub(crate) slug: String,
    pub(crate) target: String,
    #[serde(default)]
    pub(crate) title: String,
}

/// What somebody has sent to change a link: what is left out stays.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Amendment {
    #[serde(default, deserialize_with = "given")]
    slug: Option<String>,
    #[serde(default, deserialize_with = "given")]
    target: Option<String>,
    #[serde(default, deserialize_with = "given")]
    title: Option<String>,
}

/// A text; `null` is none.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    String::deserialize(deserializer).map(Some)
}

impl Amendment {
    /// What the link is to be then. An empty name is the old one; a random one would be a surprise.
    pub(crate) fn of(self, link: &Link) -> Proposal {
        let old = Proposal::of_link(link);
        Proposal {
            slug: self.slug.filter(|slug| !slug.trim().is_empty()).unwrap_or(old.slug),
            target: self.target.unwrap_or(old.target),
            title: self.title.unwrap_or(old.title),
        }
    }
}

impl Proposal {
    pub(crate) fn of_fields(fields: &Fields) -> Self {
        let text = |name| fields.get(name).unwrap_or_default().to_owned();
        Self { slug: text("slug"), target: text("target"), title: text("title") }
    }

    pub(crate) fn of_link(link: &Link) -> Self {
        Self { slug: link.slug.clone(), target: link.target.clone(), title: link.title.clone() }
    }

    /// Checks all of it, so that all that is wrong is told at once.
    pub(crate) fn check(&self) -> Result<Draft, FieldErrors> {
        let mut errors = FieldErrors::new();
        let mut note = |name: &str, checked: Result<String, String>| {
            checked.map_err(|message| errors.add(name, message)).unwrap_or_default()
        };
        let target = note("target", target(&self.target));
        let slug = note("slug", chosen_slug(&self.slug));
        let title = note("title", title(&self.title));
        if errors.is_empty() { Ok(Draft { slug, target, title }) } else { Err(errors) }
    }
}

fn chosen_slug(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        return random_text(RANDOM_SLUG).map_err(|error| format!("Please choose one: {error}."));
    }
    slug(text)
}

/// A name as it is stored: letter case does not count, as nobody hears it.
pub(crate) fn slug(text: &str) -> Result<String, String> {
    let slug = text.trim().trim_start_matches('/').to_ascii_lowercase();
    let mut bytes = slug.bytes();
    let first = bytes.next().is_some_and(|b| b.is_ascii_alphanumeric());
    if !first || !bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')) {
        return Err("Use letters from a to z, digits, - and _, beginning with a letter or digit.".to_owned());
    }
    if slug.len() > MAX_SLUG {
        return Err(format!("Use at most {MAX_SLUG} characters."));
    }
    if RESERVED.contains(&slug.as_str()) {
        return Err(format!("“{slug}” is the name of a page here. Please choose another one."));
    }
    Ok(slug)
}

/// An address that a browser can be sent to without harm: `http` or `https`, a host, nothing that no URL has.
///
/// Other schemes run a script (`javascript:`), show what looks like a page of this site (`data:`) or open files.
fn target(text: &str) -> Result<String, String> {
    let target = text.trim();
    if target.is_empty() {
        return Err("Please enter an address.".to_owned());
    }
    if target.len() > MAX_TARGET {
        return Err(format!("Use at most {MAX_TARGET} characters."));
    }
    let after_scheme = ["https://", "http://"].iter().find_map(|scheme| {
        let start = target.get(..scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then(|| &target[scheme.len()..])
    });
    let Some(rest) = after_scheme else {
        return Err("An address begins with https:// or http://.".to_owned());
    };
    // Blanks and controls: browsers drop some of them, so that what one sees is not where one goes.
    if target.chars().any(|c| c.is_whitespace() || c.is_control() || matches!(c, '\\' | '<' | '>' | '"' | '^' | '`')) {
        return Err("An address has no blanks, quotes or other special characters; write them as %20 and so on.".into());
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err("Leave out the name and password before the @: everybody could see them.".to_owned());
    }
    if !is_host(authority) {
        return Err("After https:// comes the name of a host, such as example.com.".to_owned());
    }
    Ok(target.to_owned())
}

/// A host with an optional port; browsers know better what a name may be, so only the clear cases are refused.
fn is_host(authority: &str) -> bool {
    let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, after)) => (address.parse::<std::net::Ipv6Addr>().map_or("", |_| address), after),
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let port_is_right = match port.strip_prefix(':') {
        Some(port) => port.parse::<u16>().is_ok() && port.bytes().all(|b| b.is_ascii_digit()),
        None => port.is_empty(),
    };
    !host.is_empty() && !host.starts_with('.') && !host.contains("..") && port_is_right
}

/// A title: one line, without blanks at its ends.
fn title(text: &str) -> Result<String, String> {
    let title = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let title = title.collect::<Vec<_>>().join(" ");
    if title.chars().count() > MAX_TITLE {
        return Err(format!("Use at most {MAX_TITLE} characters."));
    }
    Ok(title)
}

/// Random characters that can be read aloud: 5 bits each.
pub(crate) fn random_text(length: usize) -> Result<String, getrandom::Error> {
    let mut octets = vec![0; length];
    getrandom::fill(&mut octets)?;
    Ok(octets.iter().map(|&octet| char::from(CLEAR[usize::from(octet) % CLEAR.len()])).collect())
}

/// All messages in one line, for those who have no form to show them on.
pub(crate) fn in_one_line(errors: &FieldErrors) -> String {
    errors.iter().fold(String::new(), |mut line, (name, message)| {
        let blank = if line.is_empty() { "" } else { " " };
        let _ = write!(line, "{blank}{name}: {message}");
        line
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for good in [
            "https://example.com",
            "http://example.com:8080/a?b=c#d",
            "HTTPS://EXAMPLE.COM/",
            "https://münchen.example/straße",
            "https://[::1]:8000/",
            "http://intranet",
            "http://127.0.0.1/%20",
            "https://example.com/a@b:c,d;e=f'(g)[h]{i}|j~",
        ] {
            assert_eq!(target(&format!(" {good}\n")).as_deref(), Ok(good));
        }
        for bad in [
            "",
            "  ",
            "example.com",
            "//example.com",
            "javascript:alert(1)",
            "JavaScript://example.com/%0aalert(1)",
            "java\nscript:alert(1)",
            " \u{1}javascript:alert(1)",
            "data:text/html,<script>alert(1)</script>",
            "vbscript:x",
            "file:///etc/passwd",
            "ftp://example.com/",
            "https:example.com",
            "https:/example.com",
            "https://",
            "https:///path",
            "https://?q",
            "https://#x",
            "https://:80/",
            "https://example.com:http/",
            "https://example.com:+80/",
            "https://example.com:99999/",
            "https://.example.com/",
            "https://exa mple.com/",
            "https://example.com/\r\nSet-Cookie: a=b",
            "https://example.com\\@evil.example/",
            "https://example.com@evil.example/",
            "https://ada:secret@example.com/",
            "https://[::1",
            "https://[zz]/",
            "https://example.com/<script>",
            "https://example.com/\"",
            "htt\u{fffd}s://example.com/",
        ] {
            assert!(target(bad).is_err(), "{bad:?}");
        }
        let longest = format!("https://example.com/{}", "a".repeat(MAX_TARGET - 20));
        assert!(target(&longest).is_ok() && target(&format!("{longest}a")).is_err());
    }

    #[test]
    fn names() {
        for (text, expected) in [("docs", "docs"), (" Docs ", "docs"), ("/go-2_x", "go-2_x"), ("7", "7")] {
            assert_eq!(slug(text).as_deref(), Ok(expected));
        }
        for bad in ["", "-a", "_a", "a b", "a/b", "a.b", "ä", "a\u{212a}", "%2e", "..", "login", "API", "a\0"] {
            assert!(slug(bad).is_err(), "{bad:?}");
        }
        assert!(slug(&"a".repeat(MAX_SLUG)).is_ok() && slug(&"a".repeat(MAX_SLUG + 1)).is_err());
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let proposal = Proposal { slug: "a b".into(), target: "x".into(), title: "t".repeat(MAX_TITLE + 1) };
        let errors = proposal.check().unwrap_err();
        assert_eq!(errors.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["target", "slug", "title"]);
        assert!(in_one_line(&errors).starts_with("target: An address"), "{}", in_one_line(&errors));
    }

    #[test]
    fn what_is_left_out_is_chosen() {
        let proposal =
            Proposal { target: "https://a.example/".into(), title: " <b>\n two\u{0} ".into(), ..Proposal::default() };
        let (one, two) = (proposal.check().unwrap(), proposal.check().unwrap());
        assert_eq!((one.title.as_str(), one.slug.len()), ("<b> two", RANDOM_SLUG));
        assert!(slug(&one.slug).as_ref() == Ok(&one.slug) && one.slug != two.slug);
    }

    #[test]
    fn every_letter_is_as_likely() {
        assert_eq!(256 % CLEAR.len(), 0);
        assert!(RESERVED.is_sorted());
    }
}
