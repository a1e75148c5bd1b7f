//! [`Router`]: from a method and a path to a value; a pure structure that knows nothing of requests.
//!
//! One node for each segment. At every node the order is: literal, then `{param}`, then `{*rest}`, then what is mounted
//! there; a dead end goes back. So the most specific pattern wins and the order of registration never matters.
//!
//! ```
//! use framework_mini::router::{Found, Method, Pattern, Router};
//!
//! let mut router = Router::new();
//! router.insert(Method::from("GET"), &Pattern::parse("/users/{id}")?, "show").unwrap();
//! router.insert(Method::from("POST"), &Pattern::parse("/users/me")?, "update").unwrap();
//!
//! // The path is cut first and decoded after: an encoded slash separates nothing.
//! let found = router.find("GET", "/users/a%2Fb");
//! assert_eq!(found, Found::Route { value: &"show", captured: vec!["a%2Fb"] });
//! // `/users/me` has no GET of its own, so the next pattern that matches is asked.
//! assert_eq!(router.find("GET", "/users/me"), Found::Route { value: &"show", captured: vec!["me"] });
//! assert_eq!(router.find("PUT", "/users/me"), Found::MethodNotAllowed(vec!["GET", "POST"]));
//! assert_eq!(router.find("GET", "/users/"), Found::NotFound);
//! # Ok::<(), framework_mini::router::PatternError>(())
//! ```

use std::borrow::Cow;
use std::fmt;

use gateway_spec::percent_decode;

use crate::pattern::Segment;
pub use crate::pattern::{FillError, Pattern, PatternError};

/// Values at patterns and methods.
#[derive(Clone, Debug)]
pub struct Router<T> {
    root: Node<T>,
}

/// The method of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Method {
    /// This one, in this letter case. `GET` answers `HEAD` too, unless `HEAD` has a route of its own.
    One(Cow<'static, str>),
    /// Every method that has no route of its own at the same pattern.
    Any,
}

/// What is at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found<'r, 'p, T> {
    /// A route matches.
    Route {
        /// Its value.
        value: &'r T,
        /// What its parameters take, still encoded, in order.
        captured: Vec<&'p str>,
    },
    /// Something is mounted at a prefix of the path.
    Mount(&'r T),
    /// Patterns match, but with other methods: these, sorted, each once.
    MethodNotAllowed(Vec<&'r str>),
    /// Nothing matches.
    NotFound,
}

#[derive(Clone, Debug)]
struct Node<T> {
    /// Sorted by text.
    literals: Vec<(Box<str>, Self)>,
    param: Option<Box<Self>>,
    routes: Vec<Leaf<T>>,
    rest: Vec<Leaf<T>>,
    mount: Option<T>,
}

#[derive(Clone, Debug)]
struct Leaf<T> {
    method: Method,
    value: T,
}

impl<T> Router<T> {
    /// A router without routes.
    #[must_use]
    pub const fn new() -> Self {
        Self { root: Node::new() }
    }

    /// Adds a route.
    ///
    /// # Errors
    /// The value of the route to which the same requests already go, and `value` itself.
    pub fn insert(&mut self, method: Method, pattern: &Pattern, value: T) -> Result<(), (&T, T)> {
        let node = self.root.walk(pattern);
        let leaves = match pattern.segments().last() {
            Some(Segment::Rest(_)) => &mut node.rest,
            _ => &mut node.routes,
        };
        match leaves.iter().position(|leaf| leaf.method == method) {
            Some(index) => Err((&leaves[index].value, value)),
            None => {
                leaves.push(Leaf { method, value });
                Ok(())
            }
        }
    }

    /// Adds what takes every request at a prefix and below, unless a route matches.
    ///
    /// # Errors
    /// The value that is mounted there already, and `value` itself.
    pub fn mount(&mut self, prefix: &Pattern, value: T) -> Result<(), (&T, T)> {
        let node = self.root.walk(prefix);
        match &mut node.mount {
            Some(mounted) => Err((mounted, value)),
            empty => {
                *empty = Some(value);
                Ok(())
            }
        }
    }

    /// What is at an encoded path for a method.
    ///
    /// A search visits each node at most once, whatever the path is, and goes no deeper than the deepest pattern.
    #[must_use]
    pub fn find<'r, 'p>(&'r self, method: &str, path: &'p str) -> Found<'r, 'p, T> {
        let left = match path.strip_prefix('/') {
            Some(left) => Some(left),
            None if path.is_empty() => None, // below a mount
            None => return Found::NotFound,  // `*`
        };
        let plain = !path.as_bytes().contains(&b'%');
        let mut search = Search { method, plain, captured: Vec::new(), others: Vec::new() };
        match search.at(&self.root, left) {
            Some(Hit::Route(value)) => Found::Route { value, captured: search.captured },
            Some(Hit::Mount(value)) => Found::Mount(value),
            None if search.others.is_empty() => Found::NotFound,
            None => {
                search.others.sort_unstable();
                search.others.dedup();
                Found::MethodNotAllowed(search.others)
            }
        }
    }
}

impl<T> Default for Router<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Node<T> {
    const fn new() -> Self {
        Self { literals: Vec::new(), param: None, routes: Vec::new(), rest: Vec::new(), mount: None }
    }

    /// The node of a pattern, made if it is not there; of `{*rest}`, the node it hangs on.
    fn walk(&mut self, pattern: &Pattern) -> &mut Self {
        let mut node = self;
        for segment in pattern.segments() {
            node = match segment {
                Segment::Literal(text) => {
                    let index = match node.literals.binary_search_by(|(known, _)| known.cmp(text)) {
                        Ok(index) => index,
                        Err(index) => {
                            node.literals.insert(index, (text.clone(), Self::new()));
                            index
                        }
                    };
                    &mut node.literals[index].1
                }
                Segment::Param(_) => node.param.get_or_insert_with(|| Box::new(Self::new())),
                Segment::Rest(_) => node,
            };
        }
        node
    }
}

enum Hit<'r, T> {
    Route(&'r T),
    Mount(&'r T),
}

struct Search<'m, 'r, 'p> {
    method: &'m str,
    /// Whether nothing in the path is encoded.
    plain: bool,
    captured: Vec<&'p str>,
    /// The methods of patterns that match but for the method.
    others: Vec<&'r str>,
}

impl<'r, 'p> Search<'_, 'r, 'p> {
    /// What is at `node` for the part of the path that is left; `None` left is its end.
    fn at<T>(&mut self, node: &'r Node<T>, left: Option<&'p str>) -> Option<Hit<'r, T>> {
        let mount = || node.mount.as_ref().map(Hit::Mount);
        let Some(left) = left else { return self.pick(&node.routes).or_else(mount) };
        // By hand: segments are so short that a search made for long texts takes longer.
        let (segment, tail) = match left.bytes().position(|b| b == b'/') {
            Some(end) => (&left[..end], Some(&left[end + 1..])),
            None => (left, None),
        };
        let as_it_is = Cow::Borrowed(segment.as_bytes());
        let octets = if self.plain { as_it_is } else { percent_decode(segment).unwrap_or(as_it_is) };
        if let Ok(index) = node.literals.binary_search_by(|(text, _)| text.as_bytes().cmp(&octets))
            && let Some(hit) = self.at(&node.literals[index].1, tail)
        {
            return Some(hit);
        }
        if !segment.is_empty()
            && let Some(next) = &node.param
        {
            self.captured.push(segment);
            if let Some(hit) = self.at(next, tail) {
                return Some(hit);
            }
            self.captured.pop();
        }
        if !node.rest.is_empty() {
            self.captured.push(left);
            if let Some(hit) = self.pick(&node.rest) {
                return Some(hit);
            }
            self.captured.pop();
        }
        mount()
    }

    /// The leaf for the method; if there is none, remembers which there are.
    ///
    /// HEAD falls back to GET here, before less specific patterns are tried.
    fn pick<T>(&mut self, leaves: &'r [Leaf<T>]) -> Option<Hit<'r, T>> {
        let is = |leaf: &&Leaf<T>, method: &str| matches!(&leaf.method, Method::One(one) if one == method);
        let leaf = (leaves.iter().find(|leaf| is(leaf, self.method)))
            .or_else(|| leaves.iter().find(|leaf| self.method == "HEAD" && is(leaf, "GET")))
            .or_else(|| leaves.iter().find(|leaf| leaf.method == Method::Any));
        if leaf.is_none() {
            self.others.extend(leaves.iter().filter_map(|leaf| leaf.method.as_str()));
        }
        leaf.map(|leaf| Hit::Route(&leaf.value))
    }
}

impl Method {
    /// The method, unless it is any.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::One(method) => Some(method),
            Self::Any => None,
        }
    }
}

impl From<&'static str> for Method {
    fn from(method: &'static str) -> Self {
        Self::One(Cow::Borrowed(method))
    }
}

impl From<String> for Method {
    fn from(method: String) -> Self {
        Self::One(Cow::Owned(method))
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str().unwrap_or("any method"))
    }
}
