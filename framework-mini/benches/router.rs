//! How long a lookup takes, beside matchit, path-tree and a linear list: `cargo bench -p framework-mini`.
//!
//! `router NAME ROUTES TIMES` does one of them so often and prints nothing: for `valgrind --tool=callgrind`, where the
//! difference between two runs divided by the lookups between them is the instructions of a lookup.
//!
//! The routes are shaped like those of a large REST interface: 9 groups of 14, 126 patterns. Every route is looked up in
//! turn, so the figure is the mean. The best of 7 rounds is shown, since a busy machine only ever makes it longer.

use std::hint::black_box;
use std::time::Instant;

use framework_mini::router::{Found, Method, Pattern, Router};

/// Patterns, and a path that each matches.
fn routes() -> Vec<(String, String)> {
    let groups = ["users", "repos", "orgs", "teams", "gists", "events", "search", "issues", "projects"];
    let shapes = [
        "",
        "/{a}",
        "/{a}/keys",
        "/{a}/keys/{b}",
        "/{a}/hooks",
        "/{a}/hooks/{b}",
        "/{a}/hooks/{b}/tests",
        "/{a}/{b}/comments",
        "/{a}/{b}/comments/{c}",
        "/{a}/{b}/labels",
        "/{a}/{b}/labels/{c}",
        "/{a}/{b}/stats/contributors",
        "/{a}/{b}/git/refs/heads/{c}",
        "/list/all",
    ];
    let route = |(group, shape): (&&str, &&str)| {
        let pattern = format!("/{group}{shape}");
        let path = pattern.replace("{a}", "octocat").replace("{b}", "hello-world").replace("{c}", "1347");
        (pattern, path)
    };
    groups.iter().flat_map(|group| shapes.iter().map(move |shape| route((group, shape)))).collect()
}

fn linear<'r>(list: &'r [(Vec<&'r str>, usize)], path: &str) -> Option<usize> {
    let segments: Vec<&str> = path.split('/').collect();
    let fits = |pattern: &[&str]| {
        pattern.len() == segments.len()
            && pattern.iter().zip(&segments).all(|(pattern, segment)| pattern.starts_with('{') || pattern == segment)
    };
    list.iter().find(|(pattern, _)| fits(pattern)).map(|(_, value)| *value)
}

/// What the command line asks for: a router by its name, among so many routes, each looked up so often.
struct Only {
    name: String,
    routes: usize,
    times: u32,
}

impl Only {
    fn from_args() -> Option<Self> {
        // `cargo bench` adds `--bench`.
        let mut args = std::env::args().skip(1).filter(|arg| !arg.starts_with("--"));
        let (name, routes, times) = (args.next()?, args.next()?, args.next()?);
        Some(Self { name, routes: routes.parse().expect("a number"), times: times.parse().expect("a number") })
    }
}

/// The mean time of a lookup in nanoseconds, of the best of 7 rounds.
fn measure(only: Option<&Only>, name: &str, paths: &[&str], mut find: impl FnMut(&str) -> bool) {
    let mut walk = |times: u32| {
        for _ in 0..times {
            for path in paths {
                assert!(find(black_box(path)), "{path}");
            }
        }
    };
    if let Some(only) = only {
        if only.name == name && only.routes == paths.len() {
            walk(only.times);
        }
        return;
    }
    const TIMES: u32 = 500;
    let round = |_| {
        let began = Instant::now();
        walk(TIMES);
        began.elapsed() / (TIMES * u32::try_from(paths.len()).expect("a short list"))
    };
    let best = (0..7).map(round).min().unwrap_or_default();
    println!("{name:<10} {:>6} ns", best.as_nanos());
}

fn main() {
    let (routes, only) = (routes(), Only::from_args());
    let only = only.as_ref();
    for count in [routes.len(), 10] {
        let routes = &routes[..count];
        let paths: Vec<&str> = routes.iter().map(|(_, path)| path.as_str()).collect();
        let mut ours = Router::new();
        let mut matchit = matchit::Router::new();
        let mut path_tree = path_tree::PathTree::new();
        let mut list = Vec::new();
        for (value, (pattern, _)) in routes.iter().enumerate() {
            let parsed = Pattern::parse(pattern).expect("a pattern");
            ours.insert(Method::from("GET"), &parsed, value).expect("no conflict");
            matchit.insert(pattern, value).expect("no conflict");
            let _ = path_tree.insert(&pattern.replace('{', ":").replace('}', ""), value);
            list.push((pattern.split('/').collect::<Vec<&str>>(), value));
        }
        if only.is_none() {
            println!("{count} routes, each found once");
        }
        measure(only, "ours", &paths, |path| matches!(ours.find("GET", path), Found::Route { .. }));
        measure(only, "matchit", &paths, |path| matchit.at(path).is_ok());
        measure(only, "path-tree", &paths, |path| path_tree.find(path).is_some());
        measure(only, "list", &paths, |path| linear(&list, path).is_some());
    }
}
