//! [`Redirect`]: elsewhere.

use std::fmt::Display;

use gateway_spec::Status;

use crate::{Error, IntoResponse, Response, Url};

/// Sends the client elsewhere.
///
/// ```
/// use framework_mini::{Error, Redirect, Urls};
///
/// fn home() -> Redirect {
///     Redirect::to("/notes") // a path of this application, wherever it is mounted
/// }
/// fn newest() -> Redirect {
///     Redirect::route("note", &[("id", &7)])
/// }
/// fn elsewhere() -> Redirect {
///     Redirect::external("https://example.com/")
/// }
/// ```
#[derive(Debug)]
pub struct Redirect {
    status: Status,
    target: Target,
}

#[derive(Debug)]
enum Target {
    Path(String),
    Route(String, Vec<(String, String)>),
    Exact(String),
}

impl Redirect {
    const fn see_other(target: Target) -> Self {
        Self { status: Status::SEE_OTHER, target }
    }

    /// To a path of this application, with 303: what was posted is not posted again.
    ///
    /// The prefix under which the application is mounted is added. The client stays on this host, whatever the text
    /// is: of user input it is at worst the wrong page.
    pub fn to(path: impl Into<String>) -> Self {
        Self::see_other(Target::Path(path.into()))
    }

    /// To a named route, with 303; see [`Urls::url_for`](crate::Urls::url_for).
    #[must_use]
    pub fn route(name: &str, values: &[(&str, &dyn Display)]) -> Self {
        let values = values.iter().map(|(name, value)| ((*name).to_owned(), value.to_string())).collect();
        Self::see_other(Target::Route(name.to_owned(), values))
    }

    /// To a URL that is complete, with 303.
    #[must_use]
    pub fn url(url: Url) -> Self {
        Self::see_other(Target::Exact(url.0))
    }

    /// To anywhere, with 303. Never of user input that was not compared with a list.
    ///
    /// A URL with a name or password, or without a host, makes the response an [`Error`] (500): the one would show a secret to
    /// whoever sees the response, the other leads nowhere (H1-TGT-07, H1-TGT-08).
    pub fn external(url: impl Into<String>) -> Self {
        Self::see_other(Target::Exact(url.into()))
    }

    /// With 307: the same method and body again, this time only.
    #[must_use]
    pub fn temporary(mut self) -> Self {
        self.status = Status::TEMPORARY_REDIRECT;
        self
    }

    /// With 308: the same method and body again, and always. Clients remember it.
    #[must_use]
    pub fn permanent(mut self) -> Self {
        self.status = Status::PERMANENT_REDIRECT;
        self
    }
}

impl IntoResponse for Redirect {
    fn into_response(self) -> Response {
        let status = self.status;
        let response = Response::deferred(move |response, context| {
            let location = match self.target {
                Target::Exact(url) => checked(url),
                Target::Path(path) => Ok(context.urls().path(&encoded(&path))),
                Target::Route(name, values) => {
                    let values: Vec<(&str, &dyn Display)> =
                        values.iter().map(|(name, value)| (name.as_str(), value as &dyn Display)).collect();
                    context.urls().url_for(&name, &values)
                }
            };
            match location {
                Ok(url) => response.with_header("Location", encoded(&url.0)),
                Err(error) => error.into_response(),
            }
        });
        response.with_status(status)
    }
}

/// A URL, if its authority is one that may be written: there is a host, and nothing before it.
fn checked(url: String) -> Result<Url, Error> {
    let (scheme, rest) = url.split_once(':').unwrap_or(("", &url));
    let is_http = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
    let authority = match (if is_http { rest } else { &url }).strip_prefix("//") {
        Some(rest) => rest.split(['/', '?', '#']).next().unwrap_or_default(),
        None if is_http => "",
        // A reference without an authority, or another scheme.
        None => return Ok(Url(url)),
    };
    if authority.contains('@') {
        return Err(Error::internal("a redirect to a URL with a name or password (H1-TGT-08)"));
    }
    if authority.is_empty() || authority.starts_with(':') {
        return Err(Error::internal("a redirect to a URL without a host (H1-TGT-07)"));
    }
    Ok(Url(url))
}

/// A URL with what cannot stand in one escaped; escapes that are there stay.
fn encoded(url: &str) -> String {
    let mut encoded = String::with_capacity(url.len());
    for &b in url.as_bytes() {
        match b {
            b'!'..=b'~' if !matches!(b, b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}') => {
                encoded.push(char::from(b));
            }
            b => encoded.extend(["%".to_owned(), format!("{b:02X}")]),
        }
    }
    encoded
}
