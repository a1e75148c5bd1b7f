//! [`Message`] and [`Draft`]: what is said, and what somebody would like to say.

use framework_mini::{Error, Form, FromRequest, Json, Needs, Request};

/// Longest name in characters. What is longer is cut: it is no reason to lose a message.
const MAX_NAME: usize = 40;

/// What is said, as all are told.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Message {
    pub(crate) name: String,
    pub(crate) text: String,
    /// ISO 8601, UTC.
    pub(crate) time: String,
}

/// What somebody would like to say: a form or JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(default)]
pub(crate) struct Draft {
    pub(crate) name: String,
    pub(crate) text: String,
}

impl Draft {
    /// The name and the text as they can be said, or what is wrong with them.
    pub(crate) fn checked(&self, max_text: usize) -> Result<(String, String), String> {
        let text = self.text.replace("\r\n", "\n").trim().to_owned();
        let length = text.chars().count();
        if text.is_empty() {
            return Err("There is nothing to say: the text is empty.".to_owned());
        }
        if length > max_text {
            return Err(format!("That is too long: {length} characters, and at most {max_text} can be said at once."));
        }
        let name: String = self.name.chars().filter(|c| !c.is_control()).collect();
        let name: String = name.trim().chars().take(MAX_NAME).collect();
        Ok((if name.is_empty() { "Somebody".to_owned() } else { name }, text))
    }
}

impl<S> FromRequest<S> for Draft {
    const NEEDS: Needs = Needs::BODY;

    fn from_request(request: &mut Request<S>) -> Result<Self, Error> {
        if request.is_type("application/json") {
            return Json::from_request(request).map(|Json(draft)| draft);
        }
        Form::from_request(request).map(|Form(draft)| draft)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drafts_are_checked() {
        let check = |name: &str, text: &str| Draft { name: name.to_owned(), text: text.to_owned() }.checked(5);
        let said = |name: &str, text: &str| Ok((name.to_owned(), text.to_owned()));
        assert_eq!(check("Ada", "hello"), said("Ada", "hello"));
        assert_eq!(check("", " a\r\nb \n"), said("Somebody", "a\nb"));
        assert_eq!(check(" A\u{1b}da\n", "üüüüü"), said("Ada", "üüüüü"), "characters are counted, not bytes");
        assert_eq!(check(&"n".repeat(99), "x"), said(&"n".repeat(40), "x"));
        assert!(check("Ada", "").unwrap_err().contains("empty"));
        assert!(check("Ada", " \r\n\t").unwrap_err().contains("empty"));
        assert!(check("Ada", "123456").unwrap_err().contains("6 characters"));
    }
}
