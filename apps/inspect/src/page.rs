//! The request as a page for people: plain HTML, no scripts, whatever the request contains.

use std::fmt::Write;

use gateway_spec::{EnvStr, Environ, VERSION, percent_encode_path};

use crate::escape::{Lines, html, plain};
use crate::received::Received;
use crate::{NO_SNIFF, NO_STORE};

const STYLE: &str = include_str!("style.css");

/// The page may use its own style and nothing else: should a request ever get markup into it, it stays without effect.
pub(crate) const HEADERS: &[(&str, &str)] = &[
    ("Content-Type", "text/html; charset=utf-8"),
    NO_STORE,
    NO_SNIFF,
    ("Content-Security-Policy", CONTENT_SECURITY_POLICY),
    ("Referrer-Policy", "no-referrer"),
];

/// With the digest of [`STYLE`]; the test tells the new one when the style changes.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; img-src data:; form-action 'self'; base-uri 'none'; \
     frame-ancestors 'none'; style-src 'sha256-ghfedqVpzbDKYzsn0Z4efWt6CmCRb8PLax7Vo8RqfME='";

const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E%3Cpath \
     d='M4 29V16a12 12 0 0 1 24 0v13h-7V16a5 5 0 0 0-10 0v13z' fill='%230d7d6c'/%3E%3C/svg%3E";

/// How much of a body the page shows, in bytes.
const SHOWN: usize = 4 * 1024;

/// The variables that are no headers, in the order shown, with what they mean.
#[rustfmt::skip] // one line each, as a table
const VARIABLES: &[(&str, &str)] = &[
    ("REQUEST_METHOD", "as the client wrote it"),
    ("SCRIPT_NAME", "where it is mounted, decoded"),
    ("PATH_INFO", "the rest of the path, decoded"),
    ("QUERY_STRING", "what follows the first ?, still encoded"),
    ("REQUEST_URI", "the request target as received"),
    ("CONTENT_TYPE", "the media type of the body"),
    ("CONTENT_LENGTH", "the length of the body, if declared"),
    ("SERVER_PROTOCOL", "the version the client speaks"),
    ("SERVER_NAME", "configured, or the address bound"),
    ("SERVER_PORT", "configured, or the port bound"),
    ("SERVER_SOFTWARE", "the server, with its version"),
    ("GATEWAY_INTERFACE", "the meaning of these variables"),
    ("REMOTE_ADDR", "the other end of the connection"),
    ("REMOTE_PORT", "its port"),
];

/// The whole page.
pub(crate) fn render(environ: &Environ<'_>, received: &Received) -> String {
    let mut page = Page(String::with_capacity(24 * 1024));
    page.head(environ);
    page.request(environ);
    page.variables(environ);
    page.headers(environ);
    page.body(environ, received);
    page.gateway(environ);
    page.more(environ);
    page.foot();
    page.0
}

struct Page(String);

impl Page {
    fn add(&mut self, html: &str) {
        self.0.push_str(html);
    }

    fn fmt(&mut self, html: std::fmt::Arguments<'_>) {
        let _ = self.0.write_fmt(html); // a String takes everything
    }

    fn head(&mut self, environ: &Environ<'_>) {
        let (method, path) = (plain(environ.method()), plain(environ.raw_path()));
        self.fmt(format_args!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n\
             <title>{method} {path} – inspect</title>\n<link rel=\"icon\" href=\"{ICON}\">\n<style>{STYLE}</style>\n\
             </head>\n<body>\n<a class=\"skip\" href=\"#request\">Skip to the request</a>\n"
        ));
        self.add(
            "<header><div class=\"bar\"><p class=\"brand\">inspect</p>\n<nav aria-label=\"Sections\"><ul>\
             <li><a href=\"#variables\">Variables</a><li><a href=\"#headers\">Headers</a>\
             <li><a href=\"#body\">Body</a><li><a href=\"#gateway\">Gateway</a><li><a href=\"#more\">Try more</a>\
             </ul></nav></div></header>\n<main>\n",
        );
    }

    /// The request in one line, its URL in the parts that an application sees.
    fn request(&mut self, environ: &Environ<'_>) {
        let raw = environ.raw_path();
        let below = environ.raw_path_info();
        let (mount, below) = match raw.strip_suffix(&*below) {
            Some(mount) => (mount.to_owned(), below.into_owned()),
            // A layer has changed the path: what it made of it is shown.
            None => (percent_encode_path(environ.script_name().as_bytes()).into_owned(), below.into_owned()),
        };
        let origin = format!("{}://{}", environ.url_scheme().as_str(), environ.host());
        self.fmt(format_args!(
            "<section id=\"request\" class=\"request\">\n<h1><span class=\"method\">{}</span> <span class=\"url\">\
             <span class=\"origin\">{}</span><span class=\"mount\">{}</span><span class=\"path\">{}</span>",
            plain(environ.method()),
            plain(&origin),
            plain(&mount),
            plain(&below),
        ));
        if !environ.query_string().is_empty() {
            self.fmt(format_args!("<span class=\"query\">?{}</span>", plain(environ.query_string())));
        }
        self.add("</span></h1>\n<p class=\"legend\"><span class=\"origin\">scheme and host</span>");
        if !mount.is_empty() {
            self.add(" <span class=\"mount\">SCRIPT_NAME</span>");
        }
        self.add(" <span class=\"path\">PATH_INFO</span>");
        if !environ.query_string().is_empty() {
            self.add(" <span class=\"query\">QUERY_STRING</span>");
        }
        self.fmt(format_args!(
            "</p>\n<p>{} from {}, answered by {}.</p>\n</section>\n",
            environ.version().as_str(),
            plain(environ.remote_addr()),
            shown(environ.get("SERVER_SOFTWARE")),
        ));
    }

    fn variables(&mut self, environ: &Environ<'_>) {
        self.section("variables", "Variables", "What <code>environ.get(name)</code> returns: the CGI variables.");
        self.table("The request and the server", &["Name", "Value", "Meaning"]);
        for (name, meaning) in VARIABLES {
            let value = shown(environ.get(name));
            self.fmt(format_args!("<tr><th scope=\"row\">{name}<td>{value}<td class=\"note\">{meaning}\n"));
        }
        let others: Vec<_> = environ.vars().into_iter().filter(|(name, _)| is_other(name)).collect();
        let (from_headers, configured): (Vec<_>, Vec<_>) =
            others.into_iter().partition(|(name, _)| name.starts_with("HTTP_"));
        self.end_table();
        for (caption, variables) in [("From headers", from_headers), ("Added by who runs the server", configured)] {
            if variables.is_empty() {
                continue;
            }
            self.table(caption, &["Name", "Value"]);
            for (name, value) in variables {
                self.fmt(format_args!("<tr><th scope=\"row\">{}<td>{}\n", plain(&name), shown(Some(value))));
            }
            self.end_table();
        }
        self.add("</section>\n");
    }

    fn headers(&mut self, environ: &Environ<'_>) {
        self.section(
            "headers",
            "Headers as received",
            "What <code>environ.headers()</code> yields: every field line, in order. Some never become a variable, so \
             that none can pass for another: <code>Proxy</code>, those of one connection, and names with more than \
             letters, digits and dashes.",
        );
        self.table("Field lines", &["Name", "Value", "Variable"]);
        for (name, value) in environ.headers() {
            let variable = variable_of(environ, name).unwrap_or_else(|| "<i>none</i>".to_owned());
            self.fmt(format_args!(
                "<tr><th scope=\"row\">{}<td>{}<td class=\"note\">{variable}\n",
                plain(name),
                shown(Some(value.into()))
            ));
        }
        self.end_table();
        self.add("</section>\n");
    }

    fn body(&mut self, environ: &Environ<'_>, received: &Received) {
        self.section("body", "Body", "What <code>environ.input()</code> gave, read to its end.");
        let declared = environ.content_length().map_or_else(
            || "<span class=\"none\">no length</span>".to_owned(),
            |length| format!("{length} {}", bytes(length)),
        );
        self.fmt(format_args!(
            "<dl>\n<div><dt>Declared</dt><dd>{declared}</dd></div>\n\
             <div><dt>Read</dt><dd>{} {} in {} {}</dd></div>\n\
             <div class=\"wide\"><dt>SHA-256</dt><dd>{}</dd></div>\n</dl>\n",
            received.length,
            bytes(received.length),
            received.reads,
            if received.reads == 1 { "read" } else { "reads" },
            received.sha256,
        ));
        if received.length > 0 {
            let start = &received.start[..received.start.len().min(SHOWN)];
            if received.length > start.len() as u64 {
                self.fmt(format_args!("<p>Its first {} bytes:</p>\n", start.len()));
            }
            // Focusable, so that the arrow keys can scroll it.
            self.fmt(format_args!("<pre tabindex=\"0\" aria-label=\"The body\">{}</pre>\n", html(start, Lines::Kept)));
        }
        self.add("</section>\n");
    }

    fn gateway(&mut self, environ: &Environ<'_>) {
        self.section("gateway", "Gateway", "What no client can set: the server's word, and the contract's.");
        let (major, minor) = VERSION;
        let yes = |is: bool| if is { "yes" } else { "no" };
        let deadline = environ.deadline().map_or_else(
            || "none".to_owned(),
            |at| format!("in {} ms", at.saturating_duration_since(std::time::Instant::now()).as_millis()),
        );
        self.add("<dl>\n");
        for (name, value) in [
            ("Contract version", format!("{major}.{minor}")),
            ("url_scheme", environ.url_scheme().as_str().to_owned()),
            ("multithread", yes(environ.multithread()).to_owned()),
            ("multiprocess", yes(environ.multiprocess()).to_owned()),
            ("run_once", yes(environ.run_once()).to_owned()),
            ("Deadline", deadline),
            ("Client gone", yes(environ.client_gone()).to_owned()),
        ] {
            self.fmt(format_args!("<div><dt>{name}</dt><dd>{value}</dd></div>\n"));
        }
        self.add("</dl>\n</section>\n");
    }

    /// Other requests to look at, by link, by form and by command.
    fn more(&mut self, environ: &Environ<'_>) {
        self.section("more", "Try more", "Any path and any method is shown here.");
        let mount = percent_encode_path(environ.script_name().as_bytes()).into_owned();
        self.add("<ul class=\"links\">\n");
        for (target, label) in [
            ("environ.json", "the same as JSON"),
            ("input", "the body only"),
            ("a%2Fb", "an encoded slash"),
            ("caf%C3%A9", "UTF-8"),
            ("%FF", "no text at all"),
            ("a//b;c=1", "an empty segment"),
            ("?name=Ada&amp;name=Bo", "a query"),
        ] {
            self.fmt(format_args!("<li><a href=\"{mount}/{target}\"><code>/{target}</code></a> {label}\n"));
        }
        self.fmt(format_args!(
            "</ul>\n<div class=\"forms\">\n\
             <form action=\"{mount}/get\" method=\"get\"><label for=\"name\">By query</label>\
             <input id=\"name\" name=\"name\" value=\"Ada Lovelace\" autocomplete=\"off\">\
             <button>GET</button></form>\n\
             <form action=\"{mount}/post#body\" method=\"post\"><label for=\"text\">By body</label>\
             <textarea id=\"text\" name=\"text\" rows=\"2\">Grüße &amp; more</textarea><button>POST</button></form>\n\
             </div>\n"
        ));
        let url = plain(environ.application_url().trim_end_matches('/'));
        self.fmt(format_args!(
            "<pre tabindex=\"0\" aria-label=\"Commands\">curl {url}/environ.json\n\
             curl -H 'Accept: application/json' -H 'Proxy: ignored' {url}/any/path\n\
             curl -T README.md {url}/input</pre>\n</section>\n"
        ));
    }

    fn foot(&mut self) {
        self.add("</main>\n<footer><p>An application of Gateway, WSGI for Rust.</p></footer>\n</body>\n</html>\n");
    }

    fn section(&mut self, id: &str, title: &str, intro: &str) {
        self.fmt(format_args!(
            "<section id=\"{id}\" aria-labelledby=\"{id}-title\">\n<h2 id=\"{id}-title\">{title}</h2>\n<p>{intro}</p>\n"
        ));
    }

    fn table(&mut self, caption: &str, columns: &[&str]) {
        self.fmt(format_args!("<table class=\"of{}\">\n<caption>{caption}</caption>\n<thead><tr>", columns.len()));
        for column in columns {
            self.fmt(format_args!("<th scope=\"col\">{column}"));
        }
        self.add("\n<tbody>\n");
    }

    fn end_table(&mut self) {
        self.add("</table>\n");
    }
}

/// A value as HTML, and what it is if there is nothing to see.
fn shown(value: Option<EnvStr<'_>>) -> String {
    match value {
        None => "<span class=\"none\">absent</span>".to_owned(),
        Some(value) if value.is_empty() => "<span class=\"none\">empty</span>".to_owned(),
        Some(value) => html(value.as_bytes(), Lines::SpelledOut),
    }
}

/// Whether a variable is shown in a table of its own.
fn is_other(name: &str) -> bool {
    VARIABLES.iter().all(|(known, _)| *known != name)
}

/// The variable that a header has become, if it has.
fn variable_of(environ: &Environ<'_>, header: &str) -> Option<String> {
    let name = header.to_ascii_uppercase().replace('-', "_");
    let name = if matches!(&*name, "CONTENT_TYPE" | "CONTENT_LENGTH") { name } else { format!("HTTP_{name}") };
    let unambiguous = header.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    (unambiguous && environ.get(&name).is_some()).then_some(name)
}

fn bytes(count: u64) -> &'static str {
    if count == 1 { "byte" } else { "bytes" }
}

#[cfg(test)]
mod tests;
