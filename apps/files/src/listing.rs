//! The page that shows what is in a folder: plain HTML, no scripts, whatever the names are.

use std::cmp::Ordering;
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hasher};

use framework_mini::{Conditions, ETag, Html, IntoResponse, Response, Status, Validators, escape};
use gateway_spec::{Environ, percent_encode_path};

use crate::display;
use crate::folder::Entry;
use crate::path::Path;

const STYLE: &str = include_str!("style.css");

/// The page may use its own style and nothing else: should a name ever get markup into it, it stays without effect.
/// With the digest of [`STYLE`]; the test tells the new one when the style changes.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; img-src data:; form-action 'none'; base-uri 'none'; \
     frame-ancestors 'self'; style-src 'sha256-PEaIsuz4qP5WF5qGlUbKhexM93n6BujE4fN/aJBz2ds='";

/// By what the entries are sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Name,
    Size,
    Modified,
}

/// What the query asks for: `?sort=size&order=desc`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sorting {
    column: Column,
    descending: bool,
}

impl Sorting {
    fn of(query: &str) -> Self {
        let value = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        let column = match value("sort") {
            Some("size") => Column::Size,
            Some("modified") => Column::Modified,
            _ => Column::Name,
        };
        Self { column, descending: value("order") == Some("desc") }
    }

    /// Folders first, always: they are ways, not things.
    fn compare(self, one: &Entry, two: &Entry) -> Ordering {
        let by_name = || display::natural_order(&one.name, &two.name);
        let order = match self.column {
            Column::Name => by_name(),
            Column::Size if one.is_folder => by_name(),
            Column::Size => one.size.cmp(&two.size),
            Column::Modified => one.modified.cmp(&two.modified),
        };
        let order = if self.descending { order.reverse() } else { order };
        two.is_folder.cmp(&one.is_folder).then(order).then_with(by_name)
    }
}

/// The listing as a response: with a tag, so that a reload costs little.
pub(crate) fn respond(environ: &Environ<'_>, path: &Path, entries: &[Entry]) -> Response {
    let page = render(environ, path, entries);
    // The same page, the same tag; for everything else there is the page. Weak, as no octet of it means anything.
    let mut hasher = DefaultHasher::new();
    hasher.write(page.as_bytes());
    let etag = ETag::weak(&format!("{:016x}", hasher.finish()));
    let tag = etag.to_string();
    let response = match (Validators { etag: Some(etag), last_modified: None }).evaluate(environ) {
        Conditions::NotModified => Status::NOT_MODIFIED.into_response(),
        Conditions::Failed => {
            return framework_mini::Error::new(
                Status::PRECONDITION_FAILED,
                "The folder is not as the request says it is.",
            )
            .into_response();
        }
        Conditions::Hold => Html(page)
            .into_response()
            .with_header("Content-Security-Policy", CONTENT_SECURITY_POLICY)
            .with_header("Referrer-Policy", "same-origin")
            .with_header("X-Content-Type-Options", "nosniff"),
    };
    response.with_header("ETag", tag)
}

fn render(environ: &Environ<'_>, path: &Path, entries: &[Entry]) -> String {
    let sorting = Sorting::of(environ.query_string());
    let mut entries: Vec<&Entry> = entries.iter().collect();
    entries.sort_by(|one, two| sorting.compare(one, two));

    let mut page = String::with_capacity(4096 + entries.len() * 256);
    let title = match path.segments.last() {
        Some(name) => display::name(name),
        None => environ.host().into_owned(),
    };
    let _ = write!(
        page,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{}</title>\n\
         <link rel=\"icon\" href=\"data:,\">\n<style>{STYLE}</style>\n</head>\n<body>\n",
        escape(&title)
    );
    breadcrumb(&mut page, environ, path);
    let _ = write!(page, "<main>\n<p class=\"sum\">{}</p>\n", sum(&entries));
    table(&mut page, path, &entries, sorting);
    page.push_str("</main>\n</body>\n</html>\n");
    page
}

/// The way from the top to here. Relative links, which hold behind any proxy.
fn breadcrumb(page: &mut String, environ: &Environ<'_>, path: &Path) {
    page.push_str("<header><nav aria-label=\"Folders\"><h1><ol>\n");
    let host = environ.host();
    let names = std::iter::once(host.into_owned()).chain(path.segments.iter().map(|name| display::name(name)));
    let last = path.segments.len();
    for (depth, name) in names.enumerate() {
        let (name, up) = (escape(&name).into_owned(), "../".repeat(last - depth));
        let _ = match depth {
            depth if depth == last => writeln!(page, "<li aria-current=\"page\"><bdi>{name}</bdi></li>"),
            _ => writeln!(page, "<li><a href=\"{up}\"><bdi>{name}</bdi></a></li>"),
        };
    }
    page.push_str("</ol></h1></nav></header>\n");
}

/// `2 folders, 3 files, 1.5 KiB`
fn sum(entries: &[&Entry]) -> String {
    let count = |number: usize, what: &str| match number {
        1 => format!("1 {what}"),
        number => format!("{number} {what}s"),
    };
    let files = entries.iter().filter(|entry| !entry.is_folder).count();
    let bytes = entries.iter().filter(|entry| !entry.is_folder).map(|entry| entry.size).fold(0, u64::saturating_add);
    match (entries.len() - files, files) {
        (0, 0) => "This folder is empty.".to_owned(),
        (folders, 0) => count(folders, "folder"),
        (0, files) => format!("{}, {}", count(files, "file"), display::size(bytes)),
        (folders, files) => {
            format!("{}, {}, {}", count(folders, "folder"), count(files, "file"), display::size(bytes))
        }
    }
}

fn table(page: &mut String, path: &Path, entries: &[&Entry], sorting: Sorting) {
    page.push_str("<table>\n<thead><tr>");
    for (column, key, label) in [
        (Column::Name, "name", "Name"),
        (Column::Size, "size", "Size"),
        (Column::Modified, "modified", "Modified <small>UTC</small>"),
    ] {
        let is_current = sorting.column == column;
        let (order, aria) = match (is_current, sorting.descending) {
            (true, false) => ("desc", " aria-sort=\"ascending\""),
            (true, true) => ("asc", " aria-sort=\"descending\""),
            (false, _) => ("asc", ""),
        };
        let _ = write!(
            page,
            "<th scope=\"col\" class=\"{key}\"{aria}><a href=\"?sort={key}&amp;order={order}\">{label}</a></th>"
        );
    }
    page.push_str("</tr></thead>\n<tbody>\n");
    if !path.segments.is_empty() {
        page.push_str(
            "<tr><td class=\"name\" colspan=\"3\"><a class=\"up\" href=\"../\">Parent folder</a></td></tr>\n",
        );
    }
    for entry in entries {
        row(page, entry);
    }
    page.push_str("</tbody>\n</table>\n");
}

fn row(page: &mut String, entry: &Entry) {
    let (kind, slash) = if entry.is_folder { ("folder", "/") } else { ("file", "") };
    let href = percent_encode_path(&entry.name);
    let name = display::name(&entry.name);
    let _ = write!(
        page,
        "<tr><td class=\"name\"><a class=\"{kind}\" href=\"{href}{slash}\"><bdi>{}</bdi>{slash}</a></td>",
        escape(&name)
    );
    let _ = match entry.is_folder {
        true => write!(page, "<td class=\"size\"></td>"),
        false => write!(page, "<td class=\"size\" title=\"{} bytes\">{}</td>", entry.size, display::size(entry.size)),
    };
    match entry.modified.and_then(display::time) {
        Some(time) => {
            let (machine, person) = (time.replace(' ', "T"), &time[..16]);
            let _ = write!(page, "<td class=\"modified\"><time datetime=\"{machine}Z\">{person}</time></td>");
        }
        None => page.push_str("<td class=\"modified\"></td>"),
    }
    page.push_str("</tr>\n");
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use base64::Engine as _;
    use sha2::Digest as _;

    use super::*;

    #[test]
    fn the_policy_has_the_digest_of_the_style() {
        let digest = base64::engine::general_purpose::STANDARD.encode(sha2::Sha256::digest(STYLE));
        assert!(CONTENT_SECURITY_POLICY.contains(&format!("'sha256-{digest}'")), "sha256-{digest}");
    }

    #[test]
    fn sorting_is_what_the_query_says() {
        let entry = |name: &str, size, modified| Entry {
            name: name.into(),
            is_folder: name.ends_with('/'),
            size,
            modified: Some(UNIX_EPOCH + Duration::from_secs(modified)),
        };
        let entries =
            [entry("b", 1, 30), entry("a10", 3, 20), entry("A2", 2, 10), entry("z/", 0, 5), entry("y/", 9, 50)];
        for (query, expected) in [
            ("", "y/ z/ A2 a10 b"),
            ("order=desc", "z/ y/ b a10 A2"),
            ("sort=size", "y/ z/ b A2 a10"),
            ("sort=size&order=desc", "z/ y/ a10 A2 b"),
            ("sort=modified", "z/ y/ A2 a10 b"),
            ("order=desc&sort=modified", "y/ z/ b a10 A2"),
            ("sort=%73ize", "y/ z/ A2 a10 b"),
            ("sort=<script>", "y/ z/ A2 a10 b"),
        ] {
            let sorting = Sorting::of(query);
            let mut sorted: Vec<&Entry> = entries.iter().collect();
            sorted.sort_by(|one, two| sorting.compare(one, two));
            let names: Vec<_> = sorted.iter().map(|entry| String::from_utf8_lossy(&entry.name)).collect();
            assert_eq!(names.join(" "), expected, "{query}");
        }
    }

    #[test]
    fn names_are_text_and_links() {
        for (name, href, shown) in [
            ("<i>.txt", "href=\"%3Ci%3E.txt\"", "&lt;i&gt;.txt"),
            ("100%", "href=\"100%25\"", "100%"),
            ("a?b#c", "href=\"a%3Fb%23c\"", "a?b#c"),
            ("a\"b'c", "href=\"a%22b%27c\"", "a&quot;b&#39;c"),
            ("javascript:alert(1)", "href=\"javascript%3Aalert%281%29\"", "javascript:alert(1)"),
            ("菜单", "href=\"%E8%8F%9C%E5%8D%95\"", "菜单"),
            ("a\\b", "href=\"a%5Cb\"", "a\\b"),
        ] {
            let mut page = String::new();
            row(&mut page, &Entry { name: name.into(), is_folder: false, size: 0, modified: None });
            assert!(page.contains(href) && page.contains(&format!("<bdi>{shown}</bdi>")), "{page}");
        }
    }
}
