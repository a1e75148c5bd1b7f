//! The pages that say what went wrong: to the client, to the log, and to whoever develops the application.

use std::fmt::Write as _;

use gateway_spec::{Environ, Status};

use crate::html::escape;
use crate::middleware::{RequestId, printable};
use crate::negotiate::prefers;
use crate::router::{Found, Method, Pattern, Router};
use crate::{Error, Html, IntoResponse, Request, Response};

/// How the page looks. Where a policy forbids styles, it looks plain; light or dark it is by its head.
const STYLE: &str = "body{font:1rem/1.5 system-ui,sans-serif;max-width:38rem;margin:18vh auto 2rem;padding:0 1.25rem}\
    h1{font-size:1.5rem;line-height:1.25;margin:0 0 .5rem}p{margin:0;opacity:.8}";

/// The page as HTML, problem details (RFC 9457) or text, as the client likes it. It says nothing of what is behind.
pub(crate) fn plain(environ: &Environ<'_>, error: &Error) -> Response {
    let status = error.status();
    let types = ["text/plain", "text/html", "application/problem+json", "application/json"];
    let response = match prefers(environ, &types) {
        Some("text/html") => Html(format!(
            "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n<title>{status}</title>\n\
             <style>{STYLE}</style>\n<h1>{status}</h1>\n<p>{}</p>\n</html>\n",
            escape(error.message())
        ))
        .into_response(),
        Some("application/problem+json" | "application/json") => {
            let body = format!(
                "{{\"title\":{},\"status\":{},\"detail\":{}}}\n",
                json_string(status.reason()),
                status.code(),
                json_string(error.message())
            );
            body.into_response().with_header("Content-Type", "application/problem+json")
        }
        _ => format!("{status}\n{}\n", error.message()).into_response(),
    };
    with_head_of(response, error).with_vary("Accept")
}

pub(crate) fn with_head_of(response: Response, error: &Error) -> Response {
    let response = response.with_status(error.status().clone());
    error.headers().fold(response, |response, (name, value)| response.with_header(name, value.to_owned()))
}

/// Writes an error that is ours, or has something behind it, to the errors stream: one line.
///
/// A method that nobody knows (501) is not ours, and clients could fill the log with them.
pub(crate) fn log(environ: &Environ<'_>, error: &Error) {
    let ours = error.status().code() >= 500 && *error.status() != Status::NOT_IMPLEMENTED;
    if !ours && error.source().is_none() {
        return;
    }
    let id = environ.extensions().get().map(|RequestId(id)| format!("[{id}] ")).unwrap_or_default();
    let line = format!("{id}{} {}: {error:?}", environ.method(), environ.path_info().to_string_lossy());
    environ.errors().write(&format!("{}\n", printable(&line, 4096)));
    environ.errors().flush();
}

/// Whether the debug page may be shown: it was asked for, and the client is a person at this machine.
///
/// A proxy on this machine makes every client look local, so nothing may have been forwarded; and a page of another
/// site must not get here by a name that resolves to this machine, so the host must be a local one.
pub(crate) fn may_debug<S>(request: &Request<S>) -> bool {
    let environ = request.environ();
    let local_peer = environ.peer_addr().is_some_and(|peer| peer.ip().to_canonical().is_loopback());
    let local_remote = environ.remote_addr().parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    let forwarded = ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "via"]
        .iter()
        .any(|name| environ.header(name).is_some());
    let host = environ.host();
    let name = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    let local_host = name.eq_ignore_ascii_case("localhost")
        || name.to_ascii_lowercase().ends_with(".localhost")
        || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    request.context.shared.debug && local_peer && local_remote && !forwarded && local_host
}

/// The page for the developer. It executes nothing and links nowhere.
pub(crate) fn debug<S>(request: &Request<S>, error: &Error) -> Response {
    let environ = request.environ();
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>{status}</title>\n\
         <style>body{{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}}\
         td,th{{text-align:left;vertical-align:top;padding:0 1rem 0 0}}td{{font-family:monospace;word-break:break-all}}</style>\n\
         <h1>{status}</h1>\n<p>{message}</p>\n",
        status = error.status(),
        message = escape(error.message())
    );
    let chain = error.chain();
    if !chain.is_empty() {
        page.push_str("<h2>Because</h2>\n<ol>\n");
        for cause in &chain {
            let _ = writeln!(page, "<li><pre>{}</pre></li>", escape(cause));
        }
        page.push_str("</ol>\n");
    }
    page.push_str("<h2>Routes</h2>\n<table>\n");
    let path = environ.raw_path_info();
    for route in &request.site.routes {
        let chosen = request.route.is_some_and(|chosen| std::ptr::eq(chosen, route));
        let (open, close) = if chosen { ("<b>", "</b>") } else { ("", "") };
        let pattern = escape(route.pattern.as_str());
        let note = if chosen { "this one" } else { nearly(&route.pattern, &path) };
        let _ = writeln!(
            page,
            "<tr><td>{open}{}{close}</td><td>{open}{pattern}{close}</td><td>{}:{}</td><td>{note}</td></tr>",
            escape(&route.method.to_string()),
            escape(route.place.file()),
            route.place.line()
        );
    }
    page.push_str("</table>\n<h2>Request</h2>\n<table>\n");
    for (name, value) in environ.vars() {
        // What logs somebody in does not belong on a screen.
        let value = match &*name {
            "HTTP_COOKIE" | "HTTP_AUTHORIZATION" => "(not shown)".into(),
            _ => value.to_string_lossy(),
        };
        let _ = writeln!(page, "<tr><th>{}</th><td>{}</td></tr>", escape(&name), escape(&value));
    }
    page.push_str(
        "</table>\n<p>This page is shown to this machine only, because <code>App::debug</code> is on.</p>\n</html>\n",
    );
    with_head_of(Html(page).into_response(), error).with_header("Cache-Control", "no-store")
}

/// How nearly a pattern matches a path, for those who wonder why it did not.
fn nearly(pattern: &Pattern, path: &str) -> &'static str {
    let mut one = Router::new();
    let _ = one.insert(Method::Any, pattern, ());
    let matches = |path: &str| matches!(one.find("", path), Found::Route { .. });
    let other = path.strip_suffix('/').map_or_else(|| format!("{path}/"), str::to_owned);
    match () {
        () if matches(path) => "matches too: another method, or less closely",
        () if matches(&other) => "matches but for the slash at the end",
        () => "",
    }
}

/// A JSON string.
pub(crate) fn json_string(text: &str) -> String {
    let mut json = String::with_capacity(text.len() + 2);
    json.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => json.extend(['\\', c]),
            c if c < ' ' || c == '\u{7f}' => drop(write!(json, "\\u{:04x}", u32::from(c))),
            c => json.push(c),
        }
    }
    json.push('"');
    json
}
