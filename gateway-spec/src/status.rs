//! [`Status`]: three digits and a reason phrase, valid once built.

use std::borrow::Cow;
use std::fmt;

use crate::Misuse;
use crate::text::{first_not_latin1_text, is_latin1_text};

/// The status of a response: a code from 200 to 599 and a reason phrase (GW-STA-01).
///
/// A value of this type is always valid: no control character can be in the phrase (GW-STA-02, GW-STA-03), and an
/// interim (1xx) code cannot be a final status (H1-CODE-01). The phrase is ISO-8859-1 text (GW-STR-03) and may be
/// empty.
///
/// ```
/// use gateway_spec::Status;
///
/// assert_eq!(Status::parse("404 Not Found").unwrap(), Status::NOT_FOUND);
/// assert_eq!(Status::from_code(418).unwrap().to_string(), "418 I'm a teapot");
/// assert!(Status::parse("200").is_err());          // no phrase, no space
/// assert!(Status::parse("200 OK\r\nX: y").is_err()); // response splitting
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    code: u16,
    reason: Cow<'static, str>,
}

impl Status {
    /// A status of a code and a phrase of your own.
    ///
    /// # Errors
    /// [`Misuse::BadStatus`] if the code is not within 200 to 599, or the phrase has a control character, a character
    /// above U+00FF, or blanks at its ends.
    pub fn new(code: u16, reason: impl Into<Cow<'static, str>>) -> Result<Self, Misuse> {
        let reason = reason.into();
        let padded = reason.starts_with(' ') || reason.ends_with(' ');
        if !(200..=599).contains(&code) || padded || reason.contains('\t') || !is_latin1_text(&reason) {
            return Err(Misuse::BadStatus { status: format!("{code} {reason}") });
        }
        Ok(Self { code, reason })
    }

    /// Reads the form of PEP 3333: three digits, one space, the reason phrase.
    ///
    /// # Errors
    /// [`Misuse::BadStatus`] for anything else.
    pub fn parse(status: &str) -> Result<Self, Misuse> {
        let bad = || Misuse::BadStatus { status: status.to_owned() };
        let (code, reason) = status.split_once(' ').ok_or_else(bad)?;
        if code.len() != 3 || !code.bytes().all(|b| b.is_ascii_digit()) {
            return Err(bad());
        }
        let code = code.bytes().fold(0, |n, b| n * 10 + u16::from(b - b'0'));
        match standard_reason(code) {
            Some(standard) if standard == reason => Self::new(code, standard),
            _ => Self::new(code, reason.to_owned()),
        }
        .map_err(|_| bad())
    }

    /// A status of a code with its registered phrase, or an empty one.
    ///
    /// # Errors
    /// [`Misuse::BadStatus`] if the code is not within 200 to 599.
    pub fn from_code(code: u16) -> Result<Self, Misuse> {
        Self::new(code, standard_reason(code).unwrap_or_default())
    }

    /// The three digits.
    #[must_use]
    pub const fn code(&self) -> u16 {
        self.code
    }

    /// The reason phrase.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Whether a response of this status never has content: 204 and 304 (H1-NOB-09).
    ///
    /// 205 has none either, but says so with a length of zero (H1-NOB-07).
    #[must_use]
    pub const fn forbids_content(&self) -> bool {
        matches!(self.code, 204 | 304)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug_assert_eq!(first_not_latin1_text(&self.reason), None, "valid once built");
        write!(f, "{} {}", self.code, self.reason)
    }
}

macro_rules! registered {
    ($($code:literal $name:ident $reason:literal,)*) => {
        impl Status {
            $(#[doc = concat!(stringify!($code), " ", $reason)]
            pub const $name: Self = Self { code: $code, reason: Cow::Borrowed($reason) };)*
        }

        /// The phrase registered for a code (RFC 9110 section 15 and the registry it opened).
        const fn standard_reason(code: u16) -> Option<&'static str> {
            match code {
                $($code => Some($reason),)*
                _ => None,
            }
        }
    };
}

registered! {
    200 OK "OK",
    201 CREATED "Created",
    202 ACCEPTED "Accepted",
    203 NON_AUTHORITATIVE_INFORMATION "Non-Authoritative Information",
    204 NO_CONTENT "No Content",
    205 RESET_CONTENT "Reset Content",
    206 PARTIAL_CONTENT "Partial Content",
    207 MULTI_STATUS "Multi-Status",
    208 ALREADY_REPORTED "Already Reported",
    226 IM_USED "IM Used",
    300 MULTIPLE_CHOICES "Multiple Choices",
    301 MOVED_PERMANENTLY "Moved Permanently",
    302 FOUND "Found",
    303 SEE_OTHER "See Other",
    304 NOT_MODIFIED "Not Modified",
    305 USE_PROXY "Use Proxy",
    307 TEMPORARY_REDIRECT "Temporary Redirect",
    308 PERMANENT_REDIRECT "Permanent Redirect",
    400 BAD_REQUEST "Bad Request",
    401 UNAUTHORIZED "Unauthorized",
    402 PAYMENT_REQUIRED "Payment Required",
    403 FORBIDDEN "Forbidden",
    404 NOT_FOUND "Not Found",
    405 METHOD_NOT_ALLOWED "Method Not Allowed",
    406 NOT_ACCEPTABLE "Not Acceptable",
    407 PROXY_AUTHENTICATION_REQUIRED "Proxy Authentication Required",
    408 REQUEST_TIMEOUT "Request Timeout",
    409 CONFLICT "Conflict",
    410 GONE "Gone",
    411 LENGTH_REQUIRED "Length Required",
    412 PRECONDITION_FAILED "Precondition Failed",
    413 CONTENT_TOO_LARGE "Content Too Large",
    414 URI_TOO_LONG "URI Too Long",
    415 UNSUPPORTED_MEDIA_TYPE "Unsupported Media Type",
    416 RANGE_NOT_SATISFIABLE "Range Not Satisfiable",
    417 EXPECTATION_FAILED "Expectation Failed",
    418 IM_A_TEAPOT "I'm a teapot",
    421 MISDIRECTED_REQUEST "Misdirected Request",
    422 UNPROCESSABLE_CONTENT "Unprocessable Content",
    423 LOCKED "Locked",
    424 FAILED_DEPENDENCY "Failed Dependency",
    425 TOO_EARLY "Too Early",
    426 UPGRADE_REQUIRED "Upgrade Required",
    428 PRECONDITION_REQUIRED "Precondition Required",
    429 TOO_MANY_REQUESTS "Too Many Requests",
    431 REQUEST_HEADER_FIELDS_TOO_LARGE "Request Header Fields Too Large",
    451 UNAVAILABLE_FOR_LEGAL_REASONS "Unavailable For Legal Reasons",
    500 INTERNAL_SERVER_ERROR "Internal Server Error",
    501 NOT_IMPLEMENTED "Not Implemented",
    502 BAD_GATEWAY "Bad Gateway",
    503 SERVICE_UNAVAILABLE "Service Unavailable",
    504 GATEWAY_TIMEOUT "Gateway Timeout",
    505 HTTP_VERSION_NOT_SUPPORTED "HTTP Version Not Supported",
    506 VARIANT_ALSO_NEGOTIATES "Variant Also Negotiates",
    507 INSUFFICIENT_STORAGE "Insufficient Storage",
    508 LOOP_DETECTED "Loop Detected",
    510 NOT_EXTENDED "Not Extended",
    511 NETWORK_AUTHENTICATION_REQUIRED "Network Authentication Required",
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_form_is_exact() {
        for good in ["200 OK", "404 Not Found", "299 Odd", "200 ", "599 Caf\u{e9}"] {
            assert_eq!(Status::parse(good).unwrap().to_string(), good);
        }
        for bad in [
            "",
            "200",
            "200OK",
            " 200 OK",
            "200  OK",
            "20X OK",
            "2000 OK",
            "99 X",
            "199 X",
            "600 X",
            "100 Continue",
            "+20 X",
            "200 OK ",
            "200 O\tK",
            "200 \x07",
            "200 \x7f",
            "200 OK\r\n",
            "200 OK\n",
            "200 OK\r\nX: y",
            "200\tOK",
            "200 €",
        ] {
            assert_eq!(Status::parse(bad), Err(Misuse::BadStatus { status: bad.into() }), "{bad:?}");
        }
    }

    proptest! {
        /// GW-STA-01 to 03: what parses is written back as it was, and nothing else parses.
        #[test]
        fn parse_and_display_agree(text in "[ 0-9A-Za-z\\PC\t\r\n\u{80}-\u{ff}]{0,12}", code in 0u16..1000) {
            for text in [text.clone(), format!("{code:03} {text}")] {
                let reason = text.get(4..).unwrap_or_default();
                let valid = text.len() >= 4
                    && text.bytes().take(3).all(|b| b.is_ascii_digit())
                    && ("200"..="599").contains(&&text[..3])
                    && text.as_bytes()[3] == b' '
                    && reason.trim_matches(' ') == reason
                    && reason.chars().all(|c| (' '..='~').contains(&c) || ('\u{80}'..='\u{ff}').contains(&c));
                match Status::parse(&text) {
                    Ok(status) => { prop_assert!(valid, "{text:?}"); prop_assert_eq!(status.to_string(), text); }
                    Err(_) => prop_assert!(!valid, "{text:?}"),
                }
            }
        }
    }
}
