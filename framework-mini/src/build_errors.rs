//! [`BuildErrors`]: the mistakes that [`App::build`](crate::App::build) finds.

use std::fmt;
use std::panic::Location;

use crate::router::PatternError;

pub(crate) type Place = &'static Location<'static>;

/// Everything that is wrong with the routes of an [`App`](crate::App), one line each.
#[derive(Debug)]
pub struct BuildErrors(pub(crate) Vec<Problem>);

/// One mistake, with its place in the program.
#[derive(Debug)]
pub(crate) enum Problem {
    BadPattern { pattern: String, error: PatternError, place: Place },
    BadMethod { method: String, place: Place },
    Conflict { new: String, place: Place, old: String, old_place: Place },
    MissingParams { route: String, wanted: usize, has: usize, place: Place },
    TwoBodies { route: String, place: Place },
    SameName { name: String, place: Place, old_place: Place },
    NoRoute { what: &'static str, place: Place },
    MountParameter { prefix: String, place: Place },
}

impl BuildErrors {
    /// One message for each mistake.
    pub fn messages(&self) -> impl ExactSizeIterator<Item = String> {
        self.0.iter().map(ToString::to_string)
    }
}

impl fmt::Display for BuildErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the application cannot be built:")?;
        self.0.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl std::error::Error for BuildErrors {}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = |place: &Place| format!("({}:{})", place.file(), place.line());
        match self {
            Self::BadPattern { pattern, error, place } => write!(f, "`{pattern}` {}: {error}", at(place)),
            Self::BadMethod { method, place } => write!(f, "{method:?} {} is not a method", at(place)),
            Self::Conflict { new, place, old, old_place } => {
                write!(f, "{new} {}: the same requests already go to {old} {}", at(place), at(old_place))
            }
            Self::MissingParams { route, wanted, has, place } => {
                let s = if *wanted == 1 { "" } else { "s" };
                write!(f, "{route} {}: the handler takes {wanted} parameter{s}, the pattern has {has}", at(place))
            }
            Self::TwoBodies { route, place } => {
                write!(f, "{route} {}: only one argument can read the request body", at(place))
            }
            Self::SameName { name, place, old_place } => {
                write!(f, "the name `{name}` {} is already that of another route {}", at(place), at(old_place))
            }
            Self::NoRoute { what, place } => write!(f, "`{what}` {}: there is no route before it", at(place)),
            Self::MountParameter { prefix, place } => {
                write!(f, "mount {prefix} {}: a prefix has no parameters", at(place))
            }
        }
    }
}
