//! [`Fields`]: a form or a query string as names and values, for those who want to say all that is wrong with it.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use gateway_spec::Status;

use super::FromRequest;
use crate::{Error, Needs, Request};

/// The fields of a form, in order; a name may come more than once.
///
/// As an argument of a handler it is the form that was posted. [`Form`](crate::Form) is shorter, but stops at the first
/// mistake and does not name the field:
///
/// ```
/// use framework_mini::{Error, FieldErrors, Fields, Html, IntoResponse, Response, Status, escape};
///
/// fn create(fields: Fields) -> Response {
///     let mut errors = FieldErrors::new();
///     let title = fields.text("title", &mut errors);
///     let pages: Option<u32> = fields.parse("pages", &mut errors);
///     if !errors.is_empty() {
///         let list: String = errors.iter().map(|(name, message)| format!("<li>{name}: {message}")).collect();
///         let form = format!("<ul>{list}</ul><form method=post><input name=title value=\"{}\">…", escape(title));
///         return (Status::UNPROCESSABLE_CONTENT, Html(form)).into_response();
///     }
///     format!("{title}: {pages:?}").into_response()
/// }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(Vec<(String, String)>);

/// What is wrong with the fields of a form: names and messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldErrors(Vec<(String, String)>);

impl Fields {
    /// Reads `name=value&name=value`, percent-encoded with `+` for blanks, as queries and forms are.
    ///
    /// Only `&` separates (F06). An escape that is none stays as it is; what is not UTF-8 becomes U+FFFD.
    #[must_use]
    pub fn parse_text(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        });
        Self(pairs.collect())
    }

    /// The fields of the query string.
    ///
    /// # Errors
    /// 400 over the limit of fields.
    pub fn of_query<S>(request: &Request<S>) -> Result<Self, Error> {
        limited(request.query().as_bytes(), request.field_limit(), Status::BAD_REQUEST)?;
        Ok(Self::parse_text(request.query()))
    }

    /// The first value of a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// All values of a name.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// All fields.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The value of a field that has to be there, without blanks at its ends; an error is noted if nothing is left.
    pub fn text(&self, name: &str, errors: &mut FieldErrors) -> &str {
        let text = self.get(name).unwrap_or_default().trim();
        if text.is_empty() {
            errors.add(name, "is missing");
        }
        text
    }

    /// The value of a field that may be missing or empty; an error is noted if it is there and not a `T`.
    pub fn parse<T>(&self, name: &str, errors: &mut FieldErrors) -> Option<T>
    where
        T: FromStr<Err: fmt::Display>,
    {
        let text = self.get(name)?.trim();
        if text.is_empty() {
            return None;
        }
        text.parse().map_err(|error| errors.add(name, format!("{error}"))).ok()
    }
}

impl FieldErrors {
    /// None.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds one.
    pub fn add(&mut self, name: &str, message: impl Into<String>) {
        self.0.push((name.to_owned(), message.into()));
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first message about a field.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(known, _)| *known == name).map(|(_, message)| message)
    }

    /// All messages with the names of their fields.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, message)| (name.as_str(), message.as_str()))
    }
}

#[cfg(any(feature = "forms", feature = "json", feature = "templates"))]
impl serde::Serialize for FieldErrors {
    fn serialize<W: serde::Serializer>(&self, serializer: W) -> Result<W::Ok, W::Error> {
        serializer.collect_map(self.iter())
    }
}

#[cfg(any(feature = "forms", feature = "json", feature = "templates"))]
impl serde::Serialize for Fields {
    fn serialize<W: serde::Serializer>(&self, serializer: W) -> Result<W::Ok, W::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<S> FromRequest<S> for Fields {
    const NEEDS: Needs = Needs::BODY;

    fn from_request(request: &mut Request<S>) -> Result<Self, Error> {
        let body = form_body(request)?;
        // What is not UTF-8 is rare, and looking for it piece by piece slow.
        let text = str::from_utf8(&body).map_or_else(|_| String::from_utf8_lossy(&body), Cow::Borrowed);
        Ok(Self::parse_text(&text))
    }
}

/// The body of a form, of the right type and with no more fields than allowed.
pub(crate) fn form_body<S>(request: &mut Request<S>) -> Result<gateway_spec::Bytes, Error> {
    if !request.is_type("application/x-www-form-urlencoded") {
        let message = "Send a form: Content-Type: application/x-www-form-urlencoded.";
        return Err(Error::new(Status::UNSUPPORTED_MEDIA_TYPE, message));
    }
    let body = request.body()?;
    limited(&body, request.field_limit(), Status::CONTENT_TOO_LARGE)?;
    Ok(body)
}

/// Checks the limit of fields before any work is spent on them.
pub(crate) fn limited(text: &[u8], limit: usize, status: Status) -> Result<(), Error> {
    let fields = text.split(|b| *b == b'&').filter(|pair| !pair.is_empty()).count();
    if fields > limit {
        return Err(Error::new(status, format!("There are more than the {limit} fields allowed (field_limit).")));
    }
    Ok(())
}

fn decode(text: &str) -> String {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    let hex = |b: &u8| char::from(*b).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    while let [b, tail @ ..] = rest {
        let pair = tail.split_first_chunk::<2>().filter(|_| *b == b'%');
        let escaped = pair.and_then(|([high, low], after)| Some((hex(high)? << 4 | hex(low)?, after)));
        let (octet, after) = escaped.unwrap_or((if *b == b'+' { b' ' } else { *b }, tail));
        octets.push(octet);
        rest = after;
    }
    String::from_utf8(octets).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parsing() {
        for (text, expected) in [
            ("", vec![]),
            ("a=1&b=2&a=3", vec![("a", "1"), ("b", "2"), ("a", "3")]),
            ("&&a&=x&b=", vec![("a", ""), ("", "x"), ("b", "")]),
            ("a=1;b=2", vec![("a", "1;b=2")]),
            ("n%C3%A4me=v+a%26l=ue", vec![("näme", "v a&l=ue")]),
            ("a=100%&b=%zz%4", vec![("a", "100%"), ("b", "%zz%4")]),
            ("a=%ff", vec![("a", "\u{fffd}")]),
        ] {
            assert_eq!(Fields::parse_text(text).iter().collect::<Vec<_>>(), expected, "{text:?}");
        }
    }

    #[test]
    fn every_mistake_is_noted() {
        let fields = Fields::parse_text("title=+&pages=x1&size=7&empty=");
        let mut errors = FieldErrors::new();
        assert_eq!(fields.text("title", &mut errors), "");
        assert_eq!(fields.parse::<u8>("pages", &mut errors), None);
        assert_eq!(fields.parse::<u8>("size", &mut errors), Some(7));
        assert_eq!(fields.parse::<u8>("empty", &mut errors), None);
        assert_eq!(fields.parse::<u8>("none", &mut errors), None);
        let noted: Vec<_> = errors.iter().collect();
        assert_eq!(noted, [("title", "is missing"), ("pages", "invalid digit found in string")]);
        assert_eq!((errors.get("pages"), errors.get("size")), (Some("invalid digit found in string"), None));
    }

    #[test]
    fn the_limit_is_of_fields_not_of_separators() {
        assert!(limited(b"a&b&&&", 2, Status::BAD_REQUEST).is_ok());
        assert_eq!(limited(b"a&b&c", 2, Status::BAD_REQUEST).unwrap_err().status(), &Status::BAD_REQUEST);
    }
}
