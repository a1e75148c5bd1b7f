//! The page that names the scripts.

use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;

use framework_mini::{Error, Html, IntoResponse, Response, Status, escape};
use gateway_spec::{Environ, percent_encode_path};

use crate::Config;
use crate::script::{Target, find};

const STYLE: &str = ":root{color-scheme:light dark;--accent:#0b6e5f}@media(prefers-color-scheme:dark){:root{--accent:#5fd3bd}}\
    body{font:1rem/1.6 system-ui,sans-serif;max-width:44rem;margin:8vh auto 2rem;padding:0 1.25rem}\
    h1{font-size:1.5rem;line-height:1.25;margin:0 0 .5rem}p{margin:0 0 1rem;opacity:.8}\
    ul{margin:0;padding:0;list-style:none}li{border-top:1px solid color-mix(in srgb,currentcolor 18%,transparent)}\
    li a{display:block;padding:.5rem .25rem;color:var(--accent);text-decoration:none;overflow-wrap:anywhere}\
    li a:hover{text-decoration:underline}:focus-visible{outline:3px solid var(--accent);border-radius:3px}";

/// At the root the page; elsewhere nothing.
pub(crate) fn respond(environ: &Environ<'_>, config: &Config) -> Response {
    let path = environ.path_info();
    match environ.method() {
        "GET" | "HEAD" if path.is_empty() || path == "/" => page(environ, config),
        "OPTIONS" if path.is_empty() || path == "/" => Status::NO_CONTENT.into_response().with_header("Allow", ALLOWED),
        _ if path.is_empty() || path == "/" => {
            let error = Error::new(Status::METHOD_NOT_ALLOWED, "This page can be read, and nothing else.");
            error.with_header("Allow", ALLOWED).into_response()
        }
        _ => Error::not_found().into_response(),
    }
}

const ALLOWED: &str = "GET, HEAD, OPTIONS";

fn page(environ: &Environ<'_>, config: &Config) -> Response {
    let mut names: Vec<Vec<u8>> = match std::fs::read_dir(&config.scripts) {
        Ok(entries) => entries.flatten().map(|entry| entry.file_name().as_bytes().to_vec()).collect(),
        Err(error) => return Error::internal(error).into_response(),
    };
    names.sort();
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>Scripts</title>\n\
         <style>{STYLE}</style>\n<h1>Scripts</h1>\n<p>Programs that answer by the Common Gateway Interface.</p>\n<ul>\n"
    );
    let mount = environ.script_name();
    for name in names {
        let path = [config.prefix.as_bytes(), b"/", &name].concat();
        if !matches!(find(config, &percent_encode_path(&path)), Target::Script(_)) {
            continue;
        }
        let href = [mount.as_bytes(), &path].concat();
        let name = String::from_utf8_lossy(&name);
        let _ = writeln!(page, "<li><a href=\"{}\"><bdi>{}</bdi></a></li>", percent_encode_path(&href), escape(&name));
    }
    page.push_str("</ul>\n</html>\n");
    Html(page).into_response().with_header("Cache-Control", "no-cache")
}
