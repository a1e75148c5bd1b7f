//! What the README says in tables and links is what the code says. Its code is compiled by a doc test of the library.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const README: &str = include_str!("../../README.md");

/// The cells of a line of a table.
fn cells(line: &str) -> Vec<&str> {
    line.trim_matches('|').split('|').map(str::trim).collect()
}

#[test]
fn every_application_and_server_has_its_place_in_the_table() {
    for app in apps::all() {
        let (name, summary) = (app.name, app.summary);
        let row = format!("| [{name}](apps/{name}/README.md) | {summary} | yes | yes | yes |");
        assert!(README.lines().any(|line| line == row), "README.md lacks {row}");
    }
    let output = Command::new(env!("CARGO_BIN_EXE_apps")).arg("--list").output().expect("the program runs");
    let list = String::from_utf8(output.stdout).expect("UTF-8");
    let servers: Vec<&str> = list
        .lines()
        .skip_while(|line| *line != "Servers:")
        .skip(1)
        .filter_map(|l| l.split_whitespace().next())
        .collect();
    let head = README.lines().find(|line| line.starts_with("| application |")).expect("a table of applications");
    assert!(!servers.is_empty());
    for server in servers {
        assert!(cells(head).contains(&format!("server-{server}").as_str()), "README.md lacks server-{server}");
    }
}

fn grouped(number: u64) -> String {
    match number {
        0..1000 => number.to_string(),
        _ => format!("{},{:03}", number / 1000, number % 1000),
    }
}

fn count(number: usize) -> String {
    grouped(number as u64)
}

fn bytes(number: impl TryInto<u64>) -> String {
    let number = number.try_into().unwrap_or(u64::MAX);
    match number {
        0..1024 => format!("{number} B"),
        _ if number.is_multiple_of(1 << 20) => format!("{} MiB", number >> 20),
        _ => format!("{} KiB", number >> 10),
    }
}

fn rate(number: u64) -> String {
    format!("{number} B/s")
}

fn time(duration: Duration) -> String {
    format!("{} s", duration.as_secs_f64())
}

fn maybe<T: std::fmt::Debug>(limit: Option<T>) -> String {
    limit.map_or_else(|| "none".to_owned(), |limit| format!("{limit:?}"))
}

fn cores(number: usize) -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if number == cores { "one per core".to_owned() } else { number.to_string() }
}

/// The defaults of a server by name, each in the README's words.
macro_rules! defaults {
    ($krate:ident $($kind:ident $name:ident),*) => {{
        let config = $krate::Server::builder();
        vec![
            $((stringify!($name), $kind(config.$name)),)*
            ("max_request_line", bytes(config.max_request_line)),
            ("max_head", bytes(config.max_head)),
            ("max_headers", count(config.max_headers)),
            ("max_body", bytes(config.max_body)),
            ("max_chunk_extensions", bytes(config.max_chunk_extensions)),
            ("max_drain", bytes(config.max_drain)),
            ("max_requests_per_connection", maybe(config.max_requests_per_connection)),
            ("max_connections", count(config.max_connections)),
            ("max_pending", count(config.max_pending)),
            ("pending_timeout", time(config.pending_timeout)),
            ("head_timeout", time(config.head_timeout)),
            ("keep_alive_timeout", time(config.keep_alive_timeout)),
            ("body_timeout", time(config.body_timeout)),
            ("min_body_rate", rate(config.min_body_rate)),
            ("rate_grace", time(config.rate_grace)),
            ("write_timeout", time(config.write_timeout)),
            ("linger_timeout", time(config.linger_timeout)),
            ("max_linger", bytes(config.max_linger)),
            ("shutdown_timeout", time(config.shutdown_timeout)),
            ("app_deadline", maybe(config.app_deadline)),
        ]
    }};
}

/// What a `Config` has that is no limit.
const OTHER: [&str; 9] = [
    "server_name",
    "server_port",
    "server_header",
    "url_scheme",
    "variables",
    "errors",
    "verify_peer",
    "on_error",
    "on_response",
];

#[test]
fn the_limits_are_those_of_the_servers() {
    let limits = README.split("\n| limit |").nth(1).expect("a table of limits");
    let rows: Vec<_> = limits.lines().skip(2).take_while(|line| line.starts_with('|')).map(cells).collect();
    for (column, defaults, source) in [
        (1, defaults!(server_threaded bytes stack_size), include_str!("../../server-threaded/src/config.rs")),
        (
            2,
            defaults!(server_mio cores threads, count max_threads, bytes body_buffer),
            include_str!("../../server-mio/src/config.rs"),
        ),
    ] {
        let said: BTreeMap<_, _> = rows
            .iter()
            .filter(|row| !row[column].is_empty())
            .map(|row| (row[0].trim_matches('`'), row[column]))
            .collect();
        for (name, default) in &defaults {
            let said = said.get(name).copied();
            assert_eq!(said, Some(default.as_str()), "{name} in README.md, column {column}, and in the server");
        }
        assert_eq!(said.len(), defaults.len(), "README.md has limits in column {column} that are not the server's");

        // A field that this test does not know yet.
        let fields = source.split("pub struct Config {").nth(1).and_then(|rest| rest.split("\n}").next());
        for line in fields.expect("the fields").lines() {
            if let Some((name, _)) = line.trim_start().strip_prefix("pub ").and_then(|field| field.split_once(':')) {
                let known = OTHER.contains(&name) || defaults.iter().any(|(known, _)| *known == name);
                assert!(known, "{name} is in neither this test nor README.md");
            }
        }
    }
}

#[test]
fn the_compiler_is_the_one_that_is_needed() {
    let version = env!("CARGO_PKG_RUST_VERSION");
    assert!(README.contains(&format!("Rust {version} or newer")), "README.md names another version than {version}");
}

/// All documents of the repository.
fn documents(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() && !path.is_symlink() && name != "target" && !name.starts_with('.') {
            documents(&path, found);
        } else if name.ends_with(".md") && name != "SPEC.md" {
            found.push(path); // the links of SPEC.md are rustdoc's
        }
    }
}

/// The lines of a document that are not code.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut code = false;
    text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        code ^= fence;
        !code && !fence
    })
}

/// What a link has behind `#` to lead to a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase().replace(' ', "-");
    kept.chars().filter(|&c| c.is_alphanumeric() || c == '-' || c == '_').collect()
}

/// Relative links lead to a file, and to a heading in it.
#[test]
fn links_lead_somewhere() {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let mut found = Vec::new();
    documents(root, &mut found);
    let mut links = 0;
    for document in found {
        let text = std::fs::read_to_string(&document).expect("a document");
        for rest in prose(&text).flat_map(|line| line.split("](").skip(1)) {
            let target = rest.split(')').next().unwrap_or_default();
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            if target.contains(':') {
                continue;
            }
            let path = if file.is_empty() { document.clone() } else { document.with_file_name(file) };
            assert!(path.exists(), "{}: {target} does not exist", document.display());
            if !heading.is_empty() && file.ends_with(".md") | file.is_empty() {
                let text = std::fs::read_to_string(&path).expect("a document");
                let mut headings = prose(&text).filter(|line| line.starts_with('#'));
                let leads = headings.any(|line| anchor(line.trim_start_matches('#').trim_start()) == heading);
                assert!(leads, "{}: {target} is no heading", document.display());
            }
            links += 1;
        }
    }
    assert!(links > 150, "{links} links: they are not found any more");
}
