//! [`Path`]: the path of a request, taken apart and looked at before any file is.

use gateway_spec::{percent_decode, percent_encode_path};

/// The path of a request below the mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    /// Its segments, decoded: plain names all of them.
    pub(crate) segments: Vec<Vec<u8>>,
    /// Whether a slash ends it.
    pub(crate) is_folder: bool,
    /// Whether it was written as it should be: without empty segments.
    pub(crate) is_canonical: bool,
}

impl Path {
    /// Takes an encoded path apart: cuts first, decodes after (CGI-PATH-01), so that `%2F` is never a separator.
    ///
    /// `None` is a path that cannot be that of a file here: a segment that is no plain name, or one that begins with a
    /// dot unless `hidden` are served.
    pub(crate) fn parse(raw: &str, hidden: bool) -> Option<Self> {
        let relative = raw.strip_prefix('/').unwrap_or(raw);
        let (relative, is_folder) = match relative.strip_suffix('/') {
            Some(relative) => (relative, true),
            None => (relative, relative.is_empty() && !raw.is_empty()),
        };
        let mut path = Self { segments: Vec::new(), is_folder, is_canonical: true };
        if relative.is_empty() {
            // `//` is an empty segment, `/` and nothing at all are none.
            path.is_canonical = raw.len() < 2;
            return Some(path);
        }
        for segment in relative.split('/') {
            if segment.is_empty() {
                path.is_canonical = false;
                continue;
            }
            let name = percent_decode(segment)?.into_owned();
            if !is_plain(&name) || (!hidden && is_hidden(&name)) {
                return None;
            }
            path.segments.push(name);
        }
        Some(path)
    }

    /// The path of a name in this folder.
    pub(crate) fn join(&self, name: &[u8]) -> Self {
        let mut segments = self.segments.clone();
        segments.push(name.to_vec());
        Self { segments, is_folder: false, is_canonical: true }
    }

    /// The path of the file whose name has one extension more.
    pub(crate) fn with_extension(&self, extension: &str) -> Self {
        let mut path = self.clone();
        if let Some(name) = path.segments.last_mut() {
            name.push(b'.');
            name.extend_from_slice(extension.as_bytes());
        }
        path
    }

    /// The path as the system takes it, relative to the root.
    pub(crate) fn to_relative(&self) -> Vec<u8> {
        if self.segments.is_empty() { b".".to_vec() } else { self.segments.join(&b'/') }
    }

    /// The path in a URL: it begins with one slash, and a name behind it if anything.
    pub(crate) fn to_url(&self) -> String {
        let end = if self.is_folder && !self.segments.is_empty() { "/" } else { "" };
        format!("/{}{end}", percent_encode_path(&self.segments.join(&b'/')))
    }
}

/// Whether this names something in a folder: not the folder itself, its parent, or something below.
///
/// A backslash and a colon are letters like others on this system.
pub(crate) fn is_plain(name: &[u8]) -> bool {
    !matches!(name, b"" | b"." | b"..") && !name.contains(&b'/') && !name.contains(&0)
}

pub(crate) fn is_hidden(name: &[u8]) -> bool {
    name.first() == Some(&b'.')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(raw: &str) -> Option<(String, bool, bool)> {
        let path = Path::parse(raw, false)?;
        Some((String::from_utf8_lossy(&path.to_relative()).into_owned(), path.is_folder, path.is_canonical))
    }

    #[test]
    fn paths_are_cut_and_decoded() {
        for (raw, relative, is_folder, is_canonical) in [
            ("", ".", false, true),
            ("/", ".", true, true),
            ("//", ".", true, false),
            ("///", ".", true, false),
            ("/a", "a", false, true),
            ("/a/", "a", true, true),
            ("//a", "a", false, false),
            ("/a//", "a", true, false),
            ("/a//b", "a/b", false, false),
            ("/a%20b/%3F", "a b/?", false, true),
            ("/a%5Cb", "a\\b", false, true),
            ("/C%3A", "C:", false, true),
            ("/....", "", false, false), // hidden
        ] {
            let expected = (!relative.is_empty()).then(|| (relative.to_owned(), is_folder, is_canonical));
            assert_eq!(parsed(raw), expected, "{raw}");
        }
        for raw in
            ["/.", "/..", "/a/../b", "/%2e%2e/b", "/a/.%2E", "/a%2fb", "/a%2F", "/a%00", "/.git/config", "/%2ehidden"]
        {
            assert_eq!(parsed(raw), None, "{raw}");
        }
        assert!(Path::parse("/.git/config", true).is_some());
        assert!(Path::parse("/.git/../x", true).is_none());
    }

    proptest! {
        /// The URL of a path leads to the same path, and is one that stays on this host.
        #[test]
        fn urls_lead_back(raw in "/{0,2}([a%./\\\\]|%2[eE]|%FF|%5C){0,12}") {
            if let Some(path) = Path::parse(&raw, true) {
                let url = path.to_url();
                prop_assert!(url.starts_with('/') && !url.starts_with("//") && !url.contains('\\'), "{}", url);
                let again = Path::parse(&url, true).expect("a URL of its own");
                prop_assert_eq!(&again.segments, &path.segments);
                prop_assert!(again.is_canonical);
            }
        }
    }
}
