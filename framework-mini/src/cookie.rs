//! [`Cookie`] of a response and [`Cookies`] of a request (RFC 6265).

use std::fmt;
use std::fmt::Write as _;
use std::time::Duration;

use gateway_spec::{Environ, Scheme, is_token};

/// Name and value of a cookie together may have this many octets: browsers drop what is larger without a word.
pub(crate) const MAX_COOKIE: usize = 4093;

/// A cookie to be set.
///
/// Defaults: for this session, `HttpOnly`, `SameSite=Lax`, `Secure` if the request came by https, and for the paths
/// where the application is mounted. A name that begins with `__Host-` or `__Secure-` makes browsers insist on attributes;
/// those are set, and a cookie that asks for others is an error, since browsers would drop it without a word.
///
/// ```
/// use framework_mini::{Cookie, IntoResponse, SameSite};
/// use std::time::Duration;
///
/// let cookie = Cookie::new("theme", "dark").max_age(Duration::from_secs(86_400)).same_site(SameSite::Strict);
/// let response = "Saved.".into_response().with_cookie(cookie);
/// let gone = "Forgotten.".into_response().with_cookie(Cookie::remove("theme"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cookie {
    name: String,
    value: String,
    path: Option<String>,
    domain: Option<String>,
    max_age: Option<Duration>,
    http_only: bool,
    secure: Option<bool>,
    same_site: SameSite,
}

/// Whether a cookie comes with requests that other sites cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SameSite {
    /// Never.
    Strict,
    /// Only when the user follows a link.
    #[default]
    Lax,
    /// Always; the cookie is then `Secure` too.
    None,
}

/// Why a cookie cannot be set.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CookieError {
    /// The name is not a token.
    Name(String),
    /// The value, path or domain has a character that would end it: a control, a blank, `"`, `,`, `;`, `\`, or one that is
    /// not ASCII. Encode it.
    Value {
        /// The name of the cookie.
        name: String,
        /// The first such character.
        character: char,
    },
    /// Name and value have more than 4,093 octets together: browsers would drop the cookie without a word.
    TooLarge {
        /// The name of the cookie.
        name: String,
        /// The octets.
        size: usize,
    },
    /// A name that begins with `__Host-` stands for the path `/` and no domain, and this cookie has others.
    Prefix(String),
}

impl fmt::Display for CookieError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(f, "{name:?} is not the name of a cookie"),
            Self::Value { name, character } => write!(f, "the cookie `{name}` has the character {character:?}"),
            Self::TooLarge { name, size } => {
                write!(f, "the cookie `{name}` has {size} octets; browsers keep no more than {MAX_COOKIE}")
            }
            Self::Prefix(name) => {
                write!(f, "the cookie `{name}` has a domain or another path than `/`; browsers drop it")
            }
        }
    }
}

impl std::error::Error for CookieError {}

impl Cookie {
    /// A cookie with the defaults.
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            value: value.into(),
            path: None,
            domain: None,
            max_age: None,
            http_only: true,
            secure: None,
            same_site: SameSite::Lax,
        }
    }

    /// A cookie that removes the one of this name. Path and domain must be those with which it was set.
    pub fn remove(name: impl Into<String>) -> Self {
        Self::new(name, "").max_age(Duration::ZERO)
    }

    /// How long the client keeps it, in whole seconds; without, until it is closed.
    #[must_use]
    pub const fn max_age(mut self, max_age: Duration) -> Self {
        self.max_age = Some(max_age);
        self
    }

    /// For the paths at and below this one, as the client sees them; without, where the application is mounted.
    #[must_use]
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = Some(path.into());
        self
    }

    /// For this domain and those below; without, for this host only.
    #[must_use]
    pub fn domain(mut self, domain: impl Into<String>) -> Self {
        self.domain = Some(domain.into());
        self
    }

    /// Whether scripts are kept from it.
    #[must_use]
    pub const fn http_only(mut self, http_only: bool) -> Self {
        self.http_only = http_only;
        self
    }

    /// Whether it is sent by https only; without, as this request came.
    #[must_use]
    pub const fn secure(mut self, secure: bool) -> Self {
        self.secure = Some(secure);
        self
    }

    /// Whether it comes with requests that other sites cause.
    #[must_use]
    pub const fn same_site(mut self, same_site: SameSite) -> Self {
        self.same_site = same_site;
        self
    }

    /// The value of a `Set-Cookie` header in the answer to a request.
    ///
    /// # Errors
    /// [`CookieError`], if it could not arrive as it is.
    pub fn to_header(&self, environ: &Environ<'_>) -> Result<String, CookieError> {
        let script_name = environ.script_name();
        let mount = gateway_spec::percent_encode_path(script_name.as_bytes());
        self.render(&mount, environ.url_scheme() == Scheme::Https)
    }

    /// [`to_header`](Self::to_header), with what counts of the request: where the application is mounted, encoded, and
    /// whether it came by https.
    pub(crate) fn render(&self, mount: &str, https: bool) -> Result<String, CookieError> {
        if !is_token(self.name.as_bytes()) {
            return Err(CookieError::Name(self.name.clone()));
        }
        let bad =
            |text: &str| text.chars().find(|&c| !matches!(c, '!' | '#'..='+' | '-'..=':' | '<'..='[' | ']'..='~'));
        // Browsers look at the prefixes in any letter case (RFC 6265bis section 5.4).
        let prefixed = |prefix: &str| self.name.get(..prefix.len()).is_some_and(|s| s.eq_ignore_ascii_case(prefix));
        let (for_host, for_secure) = (prefixed("__Host-"), prefixed("__Secure-"));
        let path = self.path.as_deref().unwrap_or(if mount.is_empty() || for_host { "/" } else { mount });
        if for_host && (path != "/" || self.domain.is_some()) {
            return Err(CookieError::Prefix(self.name.clone()));
        }
        // A path may have a comma, but what ends an attribute is the same.
        let path_bad = path.chars().find(|&c| !matches!(c, '!'..=':' | '<'..='~'));
        if let Some(character) = bad(&self.value).or(path_bad).or_else(|| bad(self.domain.as_deref()?)) {
            return Err(CookieError::Value { name: self.name.clone(), character });
        }
        let size = self.name.len() + 1 + self.value.len();
        if size > MAX_COOKIE {
            return Err(CookieError::TooLarge { name: self.name.clone(), size });
        }
        let mut header = format!("{}={}; Path={path}", self.name, self.value);
        if let Some(domain) = &self.domain {
            let _ = write!(header, "; Domain={domain}");
        }
        if let Some(max_age) = self.max_age {
            // Browsers keep no cookie longer than 400 days; a larger number may overflow theirs.
            let _ = write!(header, "; Max-Age={}", max_age.as_secs().min(400 * 86_400));
        }
        header.push_str(match self.same_site {
            SameSite::Strict => "; SameSite=Strict",
            SameSite::Lax => "; SameSite=Lax",
            SameSite::None => "; SameSite=None",
        });
        if self.http_only {
            header.push_str("; HttpOnly");
        }
        if self.secure.unwrap_or(https) || self.same_site == SameSite::None || for_host || for_secure {
            header.push_str("; Secure");
        }
        Ok(header)
    }
}

/// The cookies of a request.
///
/// Pairs that are not `name=value` with a token as name are passed over, so that `=__Host-id=1` is nobody's cookie.
/// Names and values are taken as they stand; nothing is decoded.
///
/// ```
/// use framework_mini::{App, Cookies};
///
/// let site = App::new(())
///     .get("/", |cookies: Cookies| format!("in {} colours", cookies.get("theme").unwrap_or("light")))
///     .build()
///     .unwrap();
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cookies(Vec<(String, String)>);

impl Cookies {
    /// Those of the header `Cookie`.
    #[must_use]
    pub fn of(environ: &Environ<'_>) -> Self {
        environ.header("cookie").map(|header| Self::parse(&header.to_string_lossy())).unwrap_or_default()
    }

    /// Those of the value of a header `Cookie`.
    #[must_use]
    pub fn parse(header: &str) -> Self {
        let pairs = header.split(';').filter_map(|pair| {
            let (name, value) = pair.split_once('=')?;
            let (name, value) = (name.trim_matches([' ', '\t']), value.trim_matches([' ', '\t']));
            let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
            is_token(name.as_bytes()).then(|| (name.to_owned(), value.to_owned()))
        });
        Self(pairs.collect())
    }

    /// The value of a cookie. If there are several of the name, the first: clients send the most specific path first.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// All of them, in the order received.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestRequest;

    #[test]
    fn bad_pairs_are_passed_over() {
        for (header, expected) in [
            ("a=1; b=2", vec![("a", "1"), ("b", "2")]),
            ("a=1;b=2;", vec![("a", "1"), ("b", "2")]),
            (" a = x=y ; ;c", vec![("a", "x=y")]),
            ("=__Host-x=1; ok=1", vec![("ok", "1")]),
            ("%5f_Host-x=1", vec![("%5f_Host-x", "1")]),
            ("a b=1; \"q\"=2; é=3", vec![]),
            ("v=\"quoted\"; w=\"", vec![("v", "quoted"), ("w", "\"")]),
            ("", vec![]),
        ] {
            assert_eq!(Cookies::parse(header).iter().collect::<Vec<_>>(), expected, "{header:?}");
        }
        let many = Cookies::parse(&"n=1; ".repeat(10_000));
        assert_eq!((many.get("n"), many.iter().count()), (Some("1"), 10_000));
    }

    #[test]
    fn headers() {
        let header = |cookie: Cookie, mount: &str, scheme: Scheme| {
            TestRequest::get(&format!("{mount}/page")).with(|environ| {
                environ.set_url_scheme(scheme);
                assert!(environ.mount(mount));
                cookie.to_header(environ)
            })
        };
        let plain = Cookie::new("a", "1");
        assert_eq!(header(plain.clone(), "", Scheme::Http).unwrap(), "a=1; Path=/; SameSite=Lax; HttpOnly");
        assert_eq!(header(plain.clone(), "/x", Scheme::Https).unwrap(), "a=1; Path=/x; SameSite=Lax; HttpOnly; Secure");
        let other = plain.clone().http_only(false).same_site(SameSite::None).path("/p").domain("example.com");
        assert_eq!(
            header(other.max_age(Duration::MAX), "", Scheme::Http).unwrap(),
            "a=1; Path=/p; Domain=example.com; Max-Age=34560000; SameSite=None; Secure"
        );
        assert_eq!(
            header(Cookie::remove("a"), "", Scheme::Http).unwrap(),
            "a=; Path=/; Max-Age=0; SameSite=Lax; HttpOnly"
        );
        for (name, path) in [("__Host-a", "/"), ("__host-a", "/"), ("__Secure-a", "/x")] {
            let expected = format!("{name}=1; Path={path}; SameSite=Lax; HttpOnly; Secure");
            assert_eq!(header(Cookie::new(name, "1"), "/x", Scheme::Http).unwrap(), expected);
        }
        let host = Cookie::new("__Host-a", "1");
        for bad in [host.clone().path("/x"), host.domain("example.com")] {
            assert_eq!(header(bad, "", Scheme::Https), Err(CookieError::Prefix("__Host-a".into())));
        }
        for bad in ["a b", "a;b", "a,b", "a\"b", "a\\b", "a\r\nb", "é"] {
            let refused = header(Cookie::new("a", bad), "", Scheme::Http);
            assert!(matches!(refused, Err(CookieError::Value { .. })), "{bad:?}");
            assert!(header(Cookie::new(bad, "a"), "", Scheme::Http).is_err(), "{bad:?}");
        }
        assert!(header(plain.clone().path("/; Domain=x"), "", Scheme::Http).is_err());
        assert!(header(plain.domain("x; Secure"), "", Scheme::Http).is_err());
        assert!(header(Cookie::new("a", "x".repeat(4091)), "", Scheme::Http).is_ok());
        assert_eq!(
            header(Cookie::new("a", "x".repeat(4092)), "", Scheme::Http),
            Err(CookieError::TooLarge { name: "a".into(), size: 4094 })
        );
    }
}
