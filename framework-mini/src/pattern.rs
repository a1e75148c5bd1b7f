//! [`Pattern`]: the path of a route, as it is written in the program.

use std::fmt;
use std::fmt::Write as _;

use gateway_spec::percent_encode_path;

/// The path of a route: text, `{parameters}` that fill a segment, and at most one last `{*parameter}` that takes the rest.
///
/// ```
/// use framework_mini::router::Pattern;
///
/// let pattern = Pattern::parse("/users/{id}/files/{*path}").unwrap();
/// assert_eq!(pattern.names().collect::<Vec<_>>(), ["id", "path"]);
/// assert!(Pattern::parse("/users/user-{id}").is_err()); // a parameter fills a whole segment
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: Box<str>,
    segments: Vec<Segment>,
}

/// A segment: what is between two slashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Segment {
    /// Text to be matched as it is, decoded. Empty only as the last one: the pattern then ends in a slash.
    Literal(Box<str>),
    /// `{name}`: any one segment that is not empty.
    Param(Box<str>),
    /// `{*name}`: whatever is left, which may be nothing.
    Rest(Box<str>),
}

/// Why a text is not a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PatternError {
    /// It does not begin with `/`.
    NoSlash,
    /// A segment has braces, but is not wholly a parameter.
    Braces(String),
    /// The name of a parameter has other characters than letters, digits and `_`, or none.
    BadName(String),
    /// Two parameters have the same name.
    SameName(String),
    /// `{*name}` is not the last segment.
    RestNotLast(String),
    /// A segment is empty and not the last, or is `.` or `..`: clients never ask for such paths.
    NeverAsked(String),
    /// A character has no place in a decoded path: `%`, `?`, `#` or a control.
    BadCharacter(char),
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSlash => f.write_str("a pattern begins with `/`"),
            Self::Braces(segment) => {
                write!(f, "`{segment}`: a parameter fills a whole segment, as in `/{{name}}` or a last `/{{*name}}`")
            }
            Self::BadName(segment) => write!(f, "`{segment}`: the name of a parameter is letters, digits and `_`"),
            Self::SameName(name) => write!(f, "two parameters are called `{name}`"),
            Self::RestNotLast(segment) => write!(f, "`{segment}` takes the whole rest, so it must be the last segment"),
            Self::NeverAsked(segment) => write!(f, "the segment `{segment}` never reaches a server"),
            Self::BadCharacter(c @ ('?' | '#')) => write!(f, "`{c}` begins what is not path any more"),
            Self::BadCharacter('%') => f.write_str("patterns are written decoded: `/café`, not `/caf%C3%A9`"),
            Self::BadCharacter(c) => write!(f, "the character {c:?} has no place in a path"),
        }
    }
}

impl std::error::Error for PatternError {}

/// Why a URL cannot be built of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FillError {
    /// There is no value for a parameter.
    Missing(String),
    /// A value that would be an empty segment, `.` or `..`: another path to the client.
    BadValue {
        /// The name of the parameter.
        name: String,
        /// The value as it was given.
        value: String,
    },
}

impl fmt::Display for FillError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(name) => write!(f, "no value for the parameter `{name}`"),
            Self::BadValue { name, value } => write!(f, "{value:?} cannot be the parameter `{name}` of a path"),
        }
    }
}

impl std::error::Error for FillError {}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// [`PatternError`] says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let path = text.strip_prefix('/').ok_or(PatternError::NoSlash)?;
        if let Some(c) = text.chars().find(|&c| matches!(c, '%' | '?' | '#' | '\\') || c.is_control()) {
            return Err(PatternError::BadCharacter(c));
        }
        let mut segments: Vec<Segment> = Vec::new();
        let mut pieces = path.split('/').peekable();
        while let Some(piece) = pieces.next() {
            let last = pieces.peek().is_none();
            let segment = Segment::parse(piece)?;
            match &segment {
                Segment::Literal(text) if (text.is_empty() && !last) || matches!(&**text, "." | "..") => {
                    return Err(PatternError::NeverAsked(piece.to_owned()));
                }
                Segment::Rest(_) if !last => return Err(PatternError::RestNotLast(piece.to_owned())),
                _ => {}
            }
            if let Some(name) = segment.name()
                && segments.iter().any(|earlier| earlier.name() == Some(name))
            {
                return Err(PatternError::SameName(name.to_owned()));
            }
            segments.push(segment);
        }
        Ok(Self { text: text.into(), segments })
    }

    /// The path that has no segment: where something is mounted that takes all requests.
    pub(crate) fn root() -> Self {
        Self { text: "".into(), segments: Vec::new() }
    }

    /// The pattern as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The names of its parameters, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(Segment::name)
    }

    pub(crate) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The path, encoded, with a value for each parameter.
    ///
    /// ```
    /// # use framework_mini::router::Pattern;
    /// let pattern = Pattern::parse("/tags/{tag}/{*path}").unwrap();
    /// let path = pattern.fill(|name| Some(if name == "tag" { "a/b" } else { "x/y" }.into()));
    /// assert_eq!(path.unwrap(), "/tags/a%2Fb/x/y");
    /// ```
    ///
    /// # Errors
    /// [`FillError`] if `value` has none, or one that is no segment.
    pub fn fill(&self, mut value: impl FnMut(&str) -> Option<String>) -> Result<String, FillError> {
        let mut path = String::with_capacity(self.text.len() + 8);
        for segment in &self.segments {
            path.push('/');
            match segment {
                Segment::Literal(text) => path.push_str(&percent_encode_path(text.as_bytes())),
                Segment::Param(name) => {
                    let value = value(name).ok_or_else(|| FillError::Missing(name.to_string()))?;
                    if matches!(&*value, "" | "." | "..") {
                        return Err(FillError::BadValue { name: name.to_string(), value });
                    }
                    let _ = write!(path, "{}", percent_encode_path(value.as_bytes()).replace('/', "%2F"));
                }
                Segment::Rest(name) => {
                    let value = value(name).ok_or_else(|| FillError::Missing(name.to_string()))?;
                    if value.split('/').any(|piece| matches!(piece, "." | "..")) {
                        return Err(FillError::BadValue { name: name.to_string(), value });
                    }
                    path.push_str(&percent_encode_path(value.as_bytes()));
                }
            }
        }
        Ok(path)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Segment {
    fn parse(piece: &str) -> Result<Self, PatternError> {
        let Some(inside) = piece.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) else {
            return match piece.contains(['{', '}']) {
                true => Err(PatternError::Braces(piece.to_owned())),
                false => Ok(Self::Literal(piece.into())),
            };
        };
        let (rest, name) = inside.strip_prefix('*').map_or((false, inside), |name| (true, name));
        if name.contains(['{', '}']) {
            return Err(PatternError::Braces(piece.to_owned()));
        }
        if name.is_empty() || !name.chars().all(|c| c.is_alphanumeric() || c == '_') {
            return Err(PatternError::BadName(piece.to_owned()));
        }
        Ok(if rest { Self::Rest(name.into()) } else { Self::Param(name.into()) })
    }

    fn name(&self) -> Option<&str> {
        match self {
            Self::Literal(_) => None,
            Self::Param(name) | Self::Rest(name) => Some(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_pattern_says_why() {
        use PatternError as E;
        for (text, error) in [
            ("", E::NoSlash),
            ("users", E::NoSlash),
            ("/a{b}", E::Braces("a{b}".into())),
            ("/{a}b", E::Braces("{a}b".into())),
            ("/{a}{b}", E::Braces("{a}{b}".into())),
            ("/{", E::Braces("{".into())),
            ("/{}", E::BadName("{}".into())),
            ("/{*}", E::BadName("{*}".into())),
            ("/{a-b}", E::BadName("{a-b}".into())),
            ("/{id:int}", E::BadName("{id:int}".into())),
            ("/{a}/{a}", E::SameName("a".into())),
            ("/{a}/{*a}", E::SameName("a".into())),
            ("/{*a}/b", E::RestNotLast("{*a}".into())),
            ("/{*a}/", E::RestNotLast("{*a}".into())),
            ("//a", E::NeverAsked(String::new())),
            ("/a//b", E::NeverAsked(String::new())),
            ("/a/../b", E::NeverAsked("..".into())),
            ("/a?b", E::BadCharacter('?')),
            ("/caf%C3%A9", E::BadCharacter('%')),
            ("/a\nb", E::BadCharacter('\n')),
        ] {
            assert_eq!(Pattern::parse(text), Err(error), "{text:?}");
        }
        for text in ["/", "/a", "/a/", "/café", "/{a}", "/{a}/", "/{*a}", "/a/{b}/c/{*d}", "/a.b", "/@x:y"] {
            assert_eq!(Pattern::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn values_become_segments_and_nothing_else() {
        let fill = |pattern: &str, value: &str| {
            Pattern::parse(pattern).unwrap().fill(|name| (name == "x").then(|| value.to_owned()))
        };
        assert_eq!(fill("/café/{x}", "a b?c#d%/é").unwrap(), "/caf%C3%A9/a%20b%3Fc%23d%25%2F%C3%A9");
        assert_eq!(fill("/{x}/", "1").unwrap(), "/1/");
        assert_eq!(fill("/{*x}", "").unwrap(), "/");
        assert_eq!(fill("/{y}", "1"), Err(FillError::Missing("y".into())));
        for bad in ["", ".", ".."] {
            assert!(matches!(fill("/{x}", bad), Err(FillError::BadValue { .. })), "{bad:?}");
        }
        assert!(matches!(fill("/{*x}", "a/../b"), Err(FillError::BadValue { .. })));
    }
}
