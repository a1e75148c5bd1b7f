//! What is needed to finish a response: the request, and what the application has been built with.

use std::fmt;
use std::sync::Arc;

use gateway_spec::{Environ, percent_encode_path};

use crate::Error;
use crate::router::Pattern;

/// See the head of this file.
pub(crate) struct Context<'a, 'r> {
    pub(crate) environ: &'a mut Environ<'r>,
    pub(crate) shared: &'a Shared,
}

/// What all requests of an application share, whatever its state is.
#[derive(Default)]
pub(crate) struct Shared {
    pub(crate) names: Arc<Vec<(String, Pattern)>>,
    pub(crate) debug: bool,
    #[cfg(feature = "templates")]
    pub(crate) templates: Option<crate::Templates>,
}

impl Context<'_, '_> {
    pub(crate) fn urls(&self) -> Urls {
        Urls {
            script_name: percent_encode_path(self.environ.script_name().as_bytes()).into_owned(),
            names: Arc::clone(&self.shared.names),
        }
    }
}

/// The URLs of this application: an argument of handlers.
///
/// ```
/// use framework_mini::{App, Error, Path, Urls};
///
/// fn show(Path(id): Path<u64>, urls: Urls) -> Result<String, Error> {
///     Ok(format!("The next one is at {}.", urls.url_for("note", &[("id", &(id + 1)), ("from", &"here")])?))
/// }
///
/// let site = App::new(()).get("/notes/{id}", show).name("note").build().unwrap();
/// // `/notes/7` answers "The next one is at /notes/8?from=here."; mounted at /x, "… at /x/notes/8?from=here."
/// ```
#[derive(Clone, Debug)]
pub struct Urls {
    script_name: String,
    names: Arc<Vec<(String, Pattern)>>,
}

/// A URL that is complete: it has the prefix under which the application is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url(pub(crate) String);

impl Url {
    /// The URL.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Urls {
    /// The URL of a named route: path only, encoded, with the prefix under which the application is mounted.
    ///
    /// Values that are no parameter of the pattern become the query string.
    ///
    /// # Errors
    /// 500 if there is no such name, or a parameter has no value, or one that is no segment.
    pub fn url_for(&self, name: &str, values: &[(&str, &dyn fmt::Display)]) -> Result<Url, Error> {
        let (_, pattern) = (self.names.iter().find(|(known, _)| known == name))
            .ok_or_else(|| Error::internal(format!("no route is called `{name}`")))?;
        let path = pattern
            .fill(|param| values.iter().find(|(name, _)| *name == param).map(|(_, value)| value.to_string()))
            .map_err(|error| Error::internal(format!("url_for `{name}`, {pattern}: {error}")))?;
        let mut url = format!("{}{path}", self.script_name);
        let rest = values.iter().filter(|(name, _)| pattern.names().all(|param| param != *name));
        for (index, (name, value)) in rest.enumerate() {
            url.push(if index == 0 { '?' } else { '&' });
            url.push_str(&encode_query(name));
            url.push('=');
            url.push_str(&encode_query(&value.to_string()));
        }
        Ok(Url(url))
    }

    /// The URL of a path of this application: with the prefix under which it is mounted.
    ///
    /// However many slashes and backslashes it begins with, it stays on this host.
    #[must_use]
    pub fn path(&self, path: &str) -> Url {
        Url(format!("{}/{}", self.script_name, path.trim_start_matches(['/', '\\'])))
    }
}

/// Encodes a part of a query string: what means something there is escaped.
fn encode_query(text: &str) -> String {
    percent_encode_path(text.as_bytes()).replace(';', "%3B").replace('=', "%3D").replace(',', "%2C")
}
