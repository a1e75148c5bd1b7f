//! [`BasicAuth`]: a name and a password before anything else (RFC 7617).

use gateway_spec::{Application, Body, Environ, Error, StartResponse, Status};

/// The longest credentials that are looked at, in bytes of base64.
const LONGEST: usize = 1024;

/// Lets through who knows a name and a password; others get 401.
///
/// The name becomes `REMOTE_USER`. Passwords go over the wire as they are, so this is for https.
///
/// ```
/// use framework_mini::App;
/// use framework_mini::middleware::{BasicAuth, constant_time_eq};
///
/// let site = App::new(()).get("/", || "secret").build().unwrap();
/// let site = BasicAuth::new(site, "staff", |name, password| {
///     name == "ada" && constant_time_eq(password.as_bytes(), b"correct horse")
/// });
/// ```
#[derive(Clone, Debug)]
pub struct BasicAuth<A, F> {
    application: A,
    realm: String,
    check: F,
}

impl<A, F: Fn(&str, &str) -> bool> BasicAuth<A, F> {
    /// With the name of what is protected and a check of name and password. Compare with [`constant_time_eq`], or hashes
    /// made for passwords.
    pub fn new(application: A, realm: &str, check: F) -> Self {
        // In a quoted string, so what would end it is left out.
        let realm = realm.chars().filter(|c| matches!(c, ' '..='~') && !matches!(c, '"' | '\\')).collect();
        Self { application, realm, check }
    }
}

impl<A: Application, F: Fn(&str, &str) -> bool + Send + Sync> Application for BasicAuth<A, F> {
    fn call(&self, environ: &mut Environ<'_>, start_response: &mut dyn StartResponse) -> Result<Body, Error> {
        let credentials = environ.header("authorization").and_then(|value| credentials(value.as_bytes()));
        match credentials {
            Some((name, password)) if (self.check)(&name, &password) => {
                environ.set("REMOTE_USER", name);
                environ.set("AUTH_TYPE", "Basic");
                self.application.call(environ, start_response)
            }
            _ => {
                let challenge = format!("Basic realm=\"{}\", charset=\"UTF-8\"", self.realm);
                let headers = [("WWW-Authenticate", challenge.as_str()), ("Content-Type", "text/plain")];
                start_response.start(Status::UNAUTHORIZED, &headers)?;
                Ok("Please log in.\n".into())
            }
        }
    }
}

/// Name and password of an `Authorization`, if that is what it has, in UTF-8.
fn credentials(value: &[u8]) -> Option<(String, String)> {
    let (scheme, token) = value.split_at_checked(6)?;
    let token = token.trim_ascii();
    if !scheme.eq_ignore_ascii_case(b"basic ") || token.len() > LONGEST {
        return None;
    }
    let text = String::from_utf8(base64(token)?).ok()?;
    let (name, password) = text.split_once(':')?;
    let plain = !text.chars().any(char::is_control);
    plain.then(|| (name.to_owned(), password.to_owned()))
}

/// Decodes base64 with its padding (RFC 4648 section 4).
fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let digits = text.strip_suffix(b"==").or_else(|| text.strip_suffix(b"=")).unwrap_or(text);
    if !text.len().is_multiple_of(4) || text.len() - digits.len() != (4 - digits.len() % 4) % 4 {
        return None;
    }
    let mut octets = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0u32, 0);
    for &b in digits {
        let value = match b {
            b'A'..=b'Z' => b - b'A',
            b'a'..=b'z' => b - b'a' + 26,
            b'0'..=b'9' => b - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            octets.push(u8::try_from(bits >> count & 0xff).ok()?);
        }
    }
    // What is left over has to be zero, or two texts would mean the same.
    (bits & ((1 << count) - 1) == 0).then_some(octets)
}

/// Whether two texts are the same, in a time that depends on their lengths only.
///
/// ```
/// use framework_mini::middleware::constant_time_eq;
///
/// assert!(constant_time_eq(b"secret", b"secret") && !constant_time_eq(b"secret", b"Secret"));
/// ```
#[must_use]
pub fn constant_time_eq(one: &[u8], two: &[u8]) -> bool {
    one.len() == two.len() && std::hint::black_box(one.iter().zip(two).fold(0, |all, (a, b)| all | (a ^ b))) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoding() {
        for (text, expected) in [
            ("", Some("")),
            ("Zg==", Some("f")),
            ("Zm8=", Some("fo")),
            ("Zm9v", Some("foo")),
            ("QWxhZGRpbjpvcGVuIHNlc2FtZQ==", Some("Aladdin:open sesame")),
            ("Zg", None),
            ("Zg=", None),
            ("Zm9v=", None),
            ("Zh==", None),
            ("Z===", None),
            ("Zm 9v", None),
            ("Zm-v", None),
            ("=", None),
        ] {
            assert_eq!(base64(text.as_bytes()), expected.map(|text| text.as_bytes().to_vec()), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_credentials() {
        let some = |value: &str| credentials(value.as_bytes());
        assert_eq!(some("basic YTpiOmM="), Some(("a".into(), "b:c".into())));
        assert_eq!(some("Basic  YTo="), Some(("a".into(), String::new())));
        // No colon, another scheme, not UTF-8, a control, too long.
        let long = format!("Basic {}", "YTpi".repeat(400_000));
        for value in ["Basic YQ==", "Bearer YTpi", "Basic /zr/", "Basic YTpiAA==", "Basic", "", &long] {
            assert_eq!(some(value), None, "{:.20}", value);
        }
    }

    #[test]
    fn comparing() {
        assert!(constant_time_eq(b"abc", b"abc") && constant_time_eq(b"", b""));
        assert!(!constant_time_eq(b"abc", b"abd") && !constant_time_eq(b"abc", b"ab"));
    }
}
