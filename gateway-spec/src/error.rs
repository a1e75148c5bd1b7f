//! Errors: what an application reports, and what an application did wrong.

use std::fmt;

/// What an application returns when it cannot answer: any error, by `?`.
///
/// It is also the `exc_info` of [`StartResponse`](crate::StartResponse): the error that made the application replace
/// its answer (GW-SR-16). Servers look inside for a [`Misuse`], to name the rule that was broken, and otherwise log it
/// and answer 500 (GW-ERH-05).
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// A breach of the contract by an application: the rule, and what was seen.
///
/// Servers answer 500 if nothing was sent yet and cut the connection otherwise, and write the message to the errors
/// stream. The message begins with the id of the rule, as listed in `SPEC.md`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Misuse {
    /// The body has begun, or has ended, and `start_response` was never called (GW-SR-03).
    NotStarted,
    /// `start_response` was called a second time without `exc_info` (GW-SR-10, GW-SR-11).
    StartedTwice,
    /// The application went on after `start_response` gave `exc_info` back to it (GW-SR-17).
    WentOnAfterError,
    /// The status is not three digits from 200 to 599 and a printable reason phrase (GW-STA-01 to GW-STA-03).
    BadStatus {
        /// The status as it was given.
        status: String,
    },
    /// The name of a header is not a token (GW-HDR-03).
    BadHeaderName {
        /// The name as it was given.
        name: String,
    },
    /// The value of a header has a control character (GW-HDR-04) or one above U+00FF (GW-STR-02).
    BadHeaderValue {
        /// The name of the header.
        name: String,
        /// The first character that is not allowed.
        character: char,
    },
    /// The header belongs to the connection, which is the server's business (GW-HDR-07).
    HopByHop {
        /// The name of the header.
        name: String,
    },
    /// `Content-Length` is not one number of digits only (H1-CLEN-03).
    BadContentLength {
        /// The value as it was given.
        value: String,
    },
    /// `write` went past the declared `Content-Length` (GW-CL-02).
    TooLong {
        /// The declared length in bytes.
        declared: u64,
    },
    /// The body ended before the length that it had announced by itself (GW-ITER-06).
    NotAsAnnounced {
        /// The announced length in bytes.
        announced: u64,
        /// How many bytes there were.
        delivered: u64,
    },
    /// The body ended before the declared `Content-Length` (GW-CL-03).
    TooShort {
        /// The declared length in bytes.
        declared: u64,
        /// How many bytes there were.
        delivered: u64,
    },
}

impl Misuse {
    /// The id of the rule that was broken, as in `SPEC.md`.
    #[must_use]
    pub const fn rule(&self) -> &'static str {
        match self {
            Self::NotStarted => "GW-SR-03",
            Self::StartedTwice => "GW-SR-10",
            Self::WentOnAfterError => "GW-SR-17",
            Self::BadStatus { .. } => "GW-STA-01",
            Self::BadHeaderName { .. } => "GW-HDR-03",
            Self::BadHeaderValue { character, .. } if *character as u32 > 0xff => "GW-STR-02",
            Self::BadHeaderValue { .. } => "GW-HDR-04",
            Self::HopByHop { .. } => "GW-HDR-07",
            Self::BadContentLength { .. } => "H1-CLEN-03",
            Self::TooLong { .. } => "GW-CL-02",
            Self::TooShort { .. } => "GW-CL-03",
            Self::NotAsAnnounced { .. } => "GW-ITER-06",
        }
    }
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.rule())?;
        match self {
            Self::NotStarted => f.write_str("the response has no head: start_response was not called"),
            Self::StartedTwice => f.write_str("start_response was called again without exc_info"),
            Self::WentOnAfterError => f.write_str("the application went on after start_response returned exc_info"),
            Self::BadStatus { status } => write!(f, "{status:?} is not a status"),
            Self::BadHeaderName { name } => write!(f, "{name:?} is not a header name"),
            Self::BadHeaderValue { name, character } => {
                write!(f, "the value of header {name:?} has the character {character:?}")
            }
            Self::HopByHop { name } => write!(f, "header {name:?} is hop-by-hop and the server's to send"),
            Self::BadContentLength { value } => write!(f, "{value:?} is not a Content-Length"),
            Self::TooLong { declared } => write!(f, "write went past the declared Content-Length of {declared}"),
            Self::NotAsAnnounced { announced, delivered } => {
                write!(f, "the body announced {announced} bytes and had {delivered}")
            }
            Self::TooShort { declared, delivered } => {
                write!(f, "the body ended after {delivered} of {declared} declared bytes")
            }
        }
    }
}

impl std::error::Error for Misuse {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_begins_with_its_rule_and_says_what_was_seen() {
        let text = |misuse: Misuse| {
            let text = misuse.to_string();
            assert!(text.starts_with(&format!("{}: ", misuse.rule())), "{text}");
            text
        };
        let name = || "X-\n".to_owned();
        assert!(text(Misuse::NotStarted).contains("start_response"));
        assert!(text(Misuse::StartedTwice).contains("exc_info"));
        assert!(text(Misuse::WentOnAfterError).contains("went on"));
        assert!(text(Misuse::BadStatus { status: "20X".into() }).contains("20X"));
        assert!(text(Misuse::BadHeaderName { name: name() }).contains(r"X-\n"));
        assert!(text(Misuse::BadHeaderValue { name: name(), character: '\r' }).contains(r"'\r'"));
        assert!(text(Misuse::BadHeaderValue { name: name(), character: '€' }).starts_with("GW-STR-02"));
        assert!(text(Misuse::HopByHop { name: "TE".into() }).contains("TE"));
        assert!(text(Misuse::BadContentLength { value: "+5".into() }).contains("+5"));
        assert!(text(Misuse::TooLong { declared: 5 }).contains('5'));
        assert!(text(Misuse::TooShort { declared: 5, delivered: 2 }).contains("2 of 5"));
        assert!(text(Misuse::NotAsAnnounced { announced: 5, delivered: 2 }).contains("announced 5"));
    }
}
