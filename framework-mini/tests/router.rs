//! The router by tables, by an oracle (matchit) and by counting.

use std::collections::BTreeMap;

use framework_mini::router::{Found, Method, Pattern, Router};
use proptest::prelude::*;

fn router(routes: &[(&'static str, &'static str)]) -> Router<String> {
    let mut router = Router::new();
    for &(method, pattern) in routes {
        let parsed = Pattern::parse(pattern).unwrap();
        let method = if method == "*" { Method::Any } else { Method::from(method) };
        router.insert(method, &parsed, pattern.to_owned()).unwrap();
    }
    router
}

/// What was found, as one line.
fn line(found: &Found<'_, '_, String>) -> String {
    match found {
        Found::Route { value, captured } => format!("{value} {captured:?}"),
        Found::Mount(value) => format!("mount {value}"),
        Found::MethodNotAllowed(methods) => format!("405 {}", methods.join(" ")),
        Found::NotFound => "404".to_owned(),
    }
}

#[test]
fn paths() {
    let mut router = router(&[
        ("GET", "/"),
        ("GET", "/users"),
        ("POST", "/users"),
        ("GET", "/users/{id}"),
        ("POST", "/users/me"),
        ("DELETE", "/users/{id}"),
        ("HEAD", "/own"),
        ("GET", "/own"),
        ("GET", "/both/{a}"),
        ("*", "/both/x"),
        ("GET", "/café"),
        ("GET", "/files/{*rest}"),
        ("GET", "/files/a/b"),
        ("GET", "/slash/"),
        ("GET", "/{a}/{b}/c"),
        ("GET", "/x/{b}/d"),
    ]);
    for prefix in ["/api", "/users/admin"] {
        router.mount(&Pattern::parse(prefix).unwrap(), prefix.to_owned()).unwrap();
    }
    for (method, path, expected) in [
        ("GET", "/", "/ []"),
        ("GET", "", "404"),
        ("GET", "*", "404"),
        ("OPTIONS", "*", "404"),
        ("GET", "/users", "/users []"),
        ("GET", "/users/", "404"),
        ("GET", "//users", "404"),
        ("GET", "/users/7", r#"/users/{id} ["7"]"#),
        ("HEAD", "/users/7", r#"/users/{id} ["7"]"#),
        ("GET", "/users/a%2Fb", r#"/users/{id} ["a%2Fb"]"#),
        ("GET", "/%75sers", "/users []"),
        ("GET", "/users%2F7", "404"),
        // Fall-through: the more specific pattern has another method.
        ("GET", "/users/me", r#"/users/{id} ["me"]"#),
        ("POST", "/users/me", "/users/me []"),
        ("PUT", "/users/me", "405 DELETE GET POST"),
        ("POST", "/users/7", "405 DELETE GET"),
        ("HEAD", "/own", "/own []"),
        ("PATCH", "/both/x", "/both/x []"),
        ("GET", "/both/x", "/both/x []"),
        ("HEAD", "/both/y", r#"/both/{a} ["y"]"#),
        ("get", "/users", "405 GET POST"),
        ("GET", "/caf%C3%A9", "/café []"),
        ("GET", "/caf%c3%a9", "/café []"),
        ("GET", "/caf%E9", "404"),
        ("GET", "/files", "404"),
        ("GET", "/files/", r#"/files/{*rest} [""]"#),
        ("GET", "/files/a", r#"/files/{*rest} ["a"]"#),
        ("GET", "/files/a/b", "/files/a/b []"),
        ("GET", "/files/a/b/", r#"/files/{*rest} ["a/b/"]"#),
        ("GET", "/files//", r#"/files/{*rest} ["/"]"#),
        ("GET", "/slash", "404"),
        ("GET", "/slash/", "/slash/ []"),
        // A dead end goes back, and takes its captures with it.
        ("GET", "/x/y/c", r#"/{a}/{b}/c ["x", "y"]"#),
        ("GET", "/x/y/d", r#"/x/{b}/d ["y"]"#),
        ("GET", "/x//c", "404"),
        // Mounts: whole segments, and routes go first.
        ("PUT", "/api", "mount /api"),
        ("GET", "/api/", "mount /api"),
        ("GET", "/api/a/b", "mount /api"),
        ("GET", "/apix", "404"),
        ("GET", "/api%2Fx", "404"),
        ("GET", "/%61pi/x", "mount /api"),
        ("GET", "/users/admin", r#"mount /users/admin"#),
        ("GET", "/users/admin/x", "mount /users/admin"),
    ] {
        assert_eq!(line(&router.find(method, path)), expected, "{method} {path}");
    }
}

#[test]
fn the_same_requests_twice_are_refused() {
    let mut router = router(&[("GET", "/a/{x}"), ("GET", "/b/{*x}"), ("*", "/c")]);
    for (method, pattern, other) in [
        (Method::from("GET"), "/a/{y}", "/a/{x}"),
        (Method::from("GET"), "/b/{*y}", "/b/{*x}"),
        (Method::Any, "/c", "/c"),
    ] {
        let parsed = Pattern::parse(pattern).unwrap();
        let (known, new) = router.insert(method, &parsed, pattern.to_owned()).unwrap_err();
        assert_eq!((known.as_str(), new.as_str()), (other, pattern));
    }
    for (method, pattern) in
        [(Method::from("POST"), "/a/{y}"), (Method::from("GET"), "/b/{y}"), (Method::from("GET"), "/c")]
    {
        assert!(router.insert(method, &Pattern::parse(pattern).unwrap(), pattern.to_owned()).is_ok(), "{pattern}");
    }
    let prefix = Pattern::parse("/m").unwrap();
    router.mount(&prefix, "one".to_owned()).unwrap();
    assert_eq!(router.mount(&prefix, "two".to_owned()), Err((&"one".to_owned(), "two".to_owned())));
}

/// The worst tree: all 2^10 mixes of `a` and `{p}`. A search that goes back everywhere still sees each node once, so a
/// path of any length costs at most the nodes of ten levels.
#[test]
fn the_worst_tree_and_a_long_path_end() {
    let mut router = Router::new();
    for mix in 0..1u32 << 10 {
        let pattern: String =
            (0..10).map(|i| if mix >> i & 1 == 0 { "/a".to_owned() } else { format!("/{{p{i}}}") }).collect();
        router.insert(Method::from("GET"), &Pattern::parse(&pattern).unwrap(), mix).unwrap();
    }
    assert_eq!(router.find("GET", &"/a".repeat(10)), Found::Route { value: &0, captured: vec![] });
    for times in [9, 11, 100_000] {
        assert_eq!(router.find("GET", &"/a".repeat(times)), Found::NotFound);
    }
    assert!(matches!(router.find("PUT", &"/a".repeat(10)), Found::MethodNotAllowed(methods) if methods == ["GET"]));
}

/// A pattern of a few short segments, so that collisions are frequent.
fn pattern() -> impl Strategy<Value = String> {
    let segment = prop_oneof![3 => "[ab]", 2 => Just("{}".to_owned())];
    (prop::collection::vec(segment, 0..4), prop_oneof![Just(""), Just("/"), Just("/{*rest}")]).prop_map(
        |(segments, end)| {
            let mut text: String = segments
                .iter()
                .enumerate()
                .map(|(i, segment)| if segment == "{}" { format!("/{{p{i}}}") } else { format!("/{segment}") })
                .collect();
            text.push_str(end);
            if text.is_empty() { "/".to_owned() } else { text }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    /// With one method, on routes that both accept, the router says what matchit says. The one known difference: a
    /// `{*rest}` of matchit is never empty.
    #[test]
    fn agrees_with_matchit(
        patterns in prop::collection::vec(pattern(), 1..10),
        paths in prop::collection::vec("(/[abc]{0,1}){1,5}", 1..20),
    ) {
        let mut oracle = matchit::Router::new();
        let mut ours = Router::new();
        for pattern in patterns {
            let parsed = Pattern::parse(&pattern).unwrap();
            // It refuses some sets that have an order here, such as `/{a}` beside `/{*a}`; what it accepts, we accept.
            if oracle.insert(pattern.clone(), pattern.clone()).is_ok() {
                prop_assert!(ours.insert(Method::from("GET"), &parsed, pattern.clone()).is_ok(), "{}", pattern);
            }
        }
        for path in paths {
            let theirs = oracle.at(&path).map(|found| {
                (found.value.clone(), found.params.iter().map(|(_, value)| value.to_owned()).collect::<Vec<_>>())
            });
            let own = match ours.find("GET", &path) {
                Found::Route { value, captured } => Ok((value.clone(), captured)),
                _ => Err(()),
            };
            match (&theirs, &own) {
                (_, Ok((value, captured))) if value.ends_with("{*rest}") && captured.last() == Some(&"") => {}
                (Ok((theirs, their)), Ok((own, our))) => {
                    prop_assert_eq!(theirs, own, "{}", path);
                    prop_assert_eq!(their, our, "{}", path);
                }
                (Err(_), Err(())) => {}
                _ => prop_assert!(false, "{path}: {theirs:?} against {own:?}"),
            }
        }
    }

    /// Methods, `{*rest}`, going back and encodings against the plainest statement of the rules: of all patterns that
    /// match, the greatest by segment (literal, then parameter, then rest), if it has the method. In whatever order they
    /// were added.
    #[test]
    fn agrees_with_a_list(
        routes in prop::collection::btree_map(("GET|PUT|HEAD", pattern()), Just(()), 1..12),
        requests in prop::collection::vec(("GET|PUT|HEAD|DELETE", "(/([abc]|%61|%2F|%ff)?){1,5}"), 1..20),
    ) {
        let (mut ours, mut backwards) = (Router::new(), Router::new());
        for ((method, pattern), ()) in routes.iter().rev() {
            let parsed = Pattern::parse(pattern).unwrap();
            backwards.insert(Method::from(method.clone()), &parsed, pattern.clone()).unwrap();
        }
        let mut list: BTreeMap<(String, String), String> = BTreeMap::new();
        for ((method, pattern), ()) in routes {
            let parsed = Pattern::parse(&pattern).unwrap();
            ours.insert(Method::from(method.clone()), &parsed, pattern.clone()).unwrap();
            list.insert((shape(&pattern), method), pattern);
        }
        for (method, path) in requests {
            let matching = || list.iter().filter(|((shape, _), _)| matches(shape, &path));
            let best = (matching().map(|((shape, _), _)| shape).collect::<std::collections::BTreeSet<_>>().into_iter())
                .find_map(|shape| {
                    let at = |method: &str| list.get(&(shape.clone(), method.to_owned()));
                    at(&method).or_else(|| (method == "HEAD").then(|| at("GET")).flatten())
                });
            prop_assert_eq!(ours.find(&method, &path), backwards.find(&method, &path), "the order matters");
            match (ours.find(&method, &path), best) {
                (Found::Route { value, .. }, Some(best)) => prop_assert_eq!(value, best, "{} {}", method, path),
                (Found::MethodNotAllowed(methods), None) => {
                    let mut expected: Vec<&str> = matching().map(|((_, method), _)| method.as_str()).collect();
                    expected.sort_unstable();
                    expected.dedup();
                    prop_assert_eq!(methods, expected, "{} {}", method, path);
                }
                (Found::NotFound, None) => prop_assert_eq!(matching().count(), 0),
                (found, best) => prop_assert!(false, "{method} {path}: {found:?} against {best:?}"),
            }
        }
    }

    /// No path makes it panic.
    #[test]
    fn any_path_is_answered(path in "\\PC{0,40}", method in "[A-Z]{1,5}") {
        let _ = router(&[("GET", "/"), ("GET", "/{a}/b"), ("POST", "/{*rest}")]).find(&method, &path);
    }
}

/// A pattern with its literals before its parameters before its rest in the order of characters.
fn shape(pattern: &str) -> String {
    let segment = |segment: &str| match segment {
        rest if rest.starts_with("{*") => "~~".to_owned(),
        param if param.starts_with('{') => "~".to_owned(),
        literal => format!("!{literal}"),
    };
    pattern.split('/').skip(1).map(segment).collect::<Vec<_>>().join("/")
}

fn matches(shape: &str, path: &str) -> bool {
    let decode = |text: &str| text.replace("%61", "a");
    let segments: Vec<String> = path.split('/').skip(1).map(decode).collect();
    let shape: Vec<&str> = shape.split('/').collect();
    match shape.last() {
        Some(&"~~") if segments.len() >= shape.len() => {}
        Some(&"~~") => return false,
        _ if segments.len() != shape.len() => return false,
        _ => {}
    }
    shape.iter().zip(&segments).all(|(shape, segment)| match *shape {
        "~~" => true,
        "~" => !segment.is_empty(),
        literal => literal[1..] == **segment,
    })
}
