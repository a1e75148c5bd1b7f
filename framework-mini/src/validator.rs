//! [`ETag`] and [`Validators`], and the conditional requests that use them (RFC 9110 sections 8.8 and 13).

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gateway_spec::Environ;

/// An entity tag: it names one representation of a resource.
///
/// ```
/// use framework_mini::ETag;
///
/// let (strong, weak) = (ETag::strong("v7"), ETag::weak("v7"));
/// assert_eq!(weak.to_string(), "W/\"v7\"");
/// assert!(strong.matches(&weak));           // good enough to say "not modified"
/// assert!(!strong.matches_strongly(&weak)); // not good enough to continue a download
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ETag {
    weak: bool,
    opaque: String,
}

/// By what a representation is known: both are optional.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Validators {
    /// The entity tag.
    pub etag: Option<ETag>,
    /// When it was modified last; whole seconds count.
    pub last_modified: Option<SystemTime>,
}

/// What the conditions of a request come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conditions {
    /// Go on.
    Hold,
    /// 304: the client has it already.
    NotModified,
    /// 412: do nothing.
    Failed,
}

impl ETag {
    /// A tag that changes with every octet. Characters that cannot be in a tag are left out.
    #[must_use]
    pub fn strong(opaque: &str) -> Self {
        Self { weak: false, opaque: opaque.chars().filter(|&c| is_etagc(c)).collect() }
    }

    /// A tag that changes when the meaning does.
    #[must_use]
    pub fn weak(opaque: &str) -> Self {
        Self { weak: true, ..Self::strong(opaque) }
    }

    /// Reads one tag, or nothing if that is not what it is (H1-VAL-10).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (tag, rest) = Self::first(text)?;
        rest.is_empty().then_some(tag)
    }

    /// The tag at the beginning of a text, and what follows.
    fn first(text: &str) -> Option<(Self, &str)> {
        let (weak, quoted) = text.strip_prefix("W/").map_or((false, text), |quoted| (true, quoted));
        let (opaque, rest) = quoted.strip_prefix('"')?.split_once('"')?;
        opaque.chars().all(is_etagc).then(|| (Self { weak, opaque: opaque.to_owned() }, rest))
    }

    /// Whether the tag is a weak one.
    #[must_use]
    pub const fn is_weak(&self) -> bool {
        self.weak
    }

    /// The same tag, weak.
    #[must_use]
    pub fn into_weak(self) -> Self {
        Self { weak: true, ..self }
    }

    /// The weak comparison (H1-VAL-11): the same tag, whether weak or strong.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        self.opaque == other.opaque
    }

    /// The strong comparison (H1-VAL-11): the same tag, and both strong.
    #[must_use]
    pub fn matches_strongly(&self, other: &Self) -> bool {
        !self.weak && !other.weak && self.opaque == other.opaque
    }
}

const fn is_etagc(c: char) -> bool {
    matches!(c, '!' | '#'..='~' | '\u{80}'..='\u{ff}')
}

impl fmt::Display for ETag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\"{}\"", if self.weak { "W/" } else { "" }, self.opaque)
    }
}

/// The value of `If-Match` or `If-None-Match`.
enum Tags {
    Any,
    List(Vec<ETag>),
}

impl Tags {
    /// Reads a list. What follows a mistake is passed over; what was read before it counts.
    fn parse(text: &str) -> Self {
        if text.trim() == "*" {
            return Self::Any;
        }
        let mut tags = Vec::new();
        let mut rest = text.trim_start_matches([' ', '\t', ',']);
        while let Some((tag, after)) = ETag::first(rest) {
            tags.push(tag);
            let next = after.trim_start_matches([' ', '\t']);
            if !next.is_empty() && !next.starts_with(',') {
                break;
            }
            rest = next.trim_start_matches([' ', '\t', ',']);
        }
        Self::List(tags)
    }
}

impl Validators {
    /// Evaluates the conditions of a request about an existing representation with these validators, in the order of
    /// RFC 9110 section 13.2.2 (H1-COND-05): `If-Match`, else `If-Unmodified-Since`; then `If-None-Match`, else, for
    /// `GET` and `HEAD`, `If-Modified-Since`. `If-Range` is about ranges only and comes after.
    ///
    /// Ask it when the answer would be 2xx and just before anything is done (H1-COND-01, H1-COND-02):
    ///
    /// ```
    /// use framework_mini::{Conditions, ETag, Error, Request, Status, Validators};
    ///
    /// fn check<S>(request: &Request<S>, version: u64) -> Result<(), Error> {
    ///     let validators = Validators { etag: Some(ETag::strong(&version.to_string())), last_modified: None };
    ///     match validators.evaluate(request.environ()) {
    ///         Conditions::Failed => Err(Error::new(Status::PRECONDITION_FAILED, "Somebody else changed it.")),
    ///         _ => Ok(()),
    ///     }
    /// }
    /// ```
    #[must_use]
    pub fn evaluate(&self, environ: &Environ<'_>) -> Conditions {
        self.evaluate_by(environ.method(), |name| environ.header(name).map(|value| value.to_latin1().into_owned()))
    }

    /// [`evaluate`](Self::evaluate), of header fields that were taken from the request.
    pub(crate) fn evaluate_by(&self, method: &str, field: impl Fn(&str) -> Option<String>) -> Conditions {
        if matches!(method, "CONNECT" | "OPTIONS" | "TRACE") {
            return Conditions::Hold; // H1-COND-04
        }
        let read = matches!(method, "GET" | "HEAD");
        let date = |name: &str| seconds(parse_date(&field(name)?, SystemTime::now())?);
        let modified = self.last_modified.and_then(seconds);

        if let Some(tags) = field("if-match") {
            let holds = match Tags::parse(&tags) {
                Tags::Any => true,
                Tags::List(tags) => {
                    self.etag.as_ref().is_some_and(|own| tags.iter().any(|tag| own.matches_strongly(tag)))
                }
            };
            if !holds {
                return Conditions::Failed;
            }
        } else if let (Some(since), Some(modified)) = (date("if-unmodified-since"), modified)
            && modified > since
        {
            return Conditions::Failed;
        }
        if let Some(tags) = field("if-none-match") {
            let known = match Tags::parse(&tags) {
                Tags::Any => true,
                Tags::List(tags) => self.etag.as_ref().is_some_and(|own| tags.iter().any(|tag| own.matches(tag))),
            };
            match (known, read) {
                (false, _) => {}
                (true, true) => return Conditions::NotModified,
                (true, false) => return Conditions::Failed,
            }
        } else if read
            && let (Some(since), Some(modified)) = (date("if-modified-since"), modified)
            && modified <= since
        {
            return Conditions::NotModified;
        }
        Conditions::Hold
    }

    /// Whether `If-Range`, if there is one, allows a range of this representation (H1-RNG-13 to H1-RNG-18): the same
    /// strong tag, or exactly the same date if that is a strong validator at `now`.
    #[must_use]
    pub fn allow_range(&self, environ: &Environ<'_>, now: SystemTime) -> bool {
        let Some(value) = environ.header("if-range") else { return true };
        let value = value.to_latin1();
        if value.chars().take(3).any(|c| c == '"') {
            return ETag::parse(&value).zip(self.etag.as_ref()).is_some_and(|(tag, own)| own.matches_strongly(&tag));
        }
        let asked = parse_date(&value, now).and_then(seconds);
        let modified = self.last_modified.and_then(seconds);
        // H1-VAL-13: it may have changed again within the second of its date.
        let strong = self
            .last_modified
            .is_some_and(|modified| now.duration_since(modified).is_ok_and(|age| age >= Duration::from_secs(1)));
        strong && asked.is_some() && asked == modified
    }
}

/// A date in any of the three forms. A year of two digits is never more than 50 years ahead (H1-SYN-15).
fn parse_date(text: &str, now: SystemTime) -> Option<SystemTime> {
    // `Sunday, 06-Nov-94 08:49:37 GMT`
    let Some((day, rest)) = text.split_once(", ").filter(|(_, rest)| rest.as_bytes().get(2) == Some(&b'-')) else {
        return httpdate::parse_http_date(text).ok();
    };
    let (day, date, time) = (day.get(..3)?, rest.get(..6)?.replace('-', " "), rest.get(9..)?);
    let this_year: u32 = httpdate::fmt_http_date(now).get(12..16)?.parse().ok()?;
    let two: u32 = rest.get(7..9)?.parse().ok()?;
    let year = this_year - this_year % 100 + two;
    let year = if year > this_year + 50 { year - 100 } else { year };
    httpdate::parse_http_date(&format!("{day}, {date} {year:04}{time}")).ok()
}

/// Whole seconds since 1970; before that there are no dates of HTTP.
fn seconds(time: SystemTime) -> Option<u64> {
    time.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestRequest;

    const DAY: u64 = 784_111_777; // Sun, 06 Nov 1994 08:49:37 GMT

    /// H1-SYN-15, H1-SYN-12: two digits of a year are at most 50 years ahead, and the other forms say what they say.
    #[test]
    fn years_of_two_digits() {
        let year_at = |text: &str, now: u64| {
            let date = parse_date(text, at(now)).map(httpdate::fmt_http_date);
            date.map(|date| date[5..16].to_owned())
        };
        let (in_1994, in_2025) = (DAY, 1_750_000_000);
        for (text, now, expected) in [
            ("Sunday, 06-Nov-94 08:49:37 GMT", in_1994, Some("06 Nov 1994")),
            ("Sunday, 06-Nov-94 08:49:37 GMT", in_2025, Some("06 Nov 1994")),
            ("Thursday, 06-Nov-70 08:49:37 GMT", in_2025, Some("06 Nov 2070")),
            ("Wednesday, 06-Nov-75 08:49:37 GMT", in_2025, Some("06 Nov 2075")),
            ("Saturday, 06-Nov-76 08:49:37 GMT", in_2025, Some("06 Nov 1976")),
            ("Friday, 06-Nov-70 08:49:37 GMT", in_1994, Some("06 Nov 1970")),
            ("Friday, 06-Nov-70 08:49:37 GMT", in_2025, None),
            ("Sun, 06 Nov 1994 08:49:37 GMT", in_2025, Some("06 Nov 1994")),
            ("Sun Nov  6 08:49:37 1994", in_2025, Some("06 Nov 1994")),
            ("Sunday, 06-Nov-9 08:49:37 GMT", in_2025, None),
            ("Sunday, 32-Nov-94 08:49:37 GMT", in_2025, None),
            ("yesterday", in_2025, None),
        ] {
            assert_eq!(year_at(text, now).as_deref(), expected, "{text} at {now}");
        }
    }

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn tags() {
        for (text, expected) in [
            ("\"a\"", Some(ETag::strong("a"))),
            ("W/\"a\"", Some(ETag::weak("a"))),
            ("\"\"", Some(ETag::strong(""))),
            ("\"a,b\"", Some(ETag::strong("a,b"))),
            ("a", None),
            ("w/\"a\"", None),
            ("\"a\"b\"", None),
            ("\"a b\"", None),
            ("\"a", None),
            ("", None),
        ] {
            assert_eq!(ETag::parse(text), expected, "{text}");
        }
        assert_eq!(ETag::strong("a\"b\r\n c").to_string(), "\"abc\"");
        // The table of RFC 9110 section 8.8.3.2.
        for (one, two, strong, weak) in [
            ("W/\"1\"", "W/\"1\"", false, true),
            ("W/\"1\"", "W/\"2\"", false, false),
            ("W/\"1\"", "\"1\"", false, true),
            ("\"1\"", "\"1\"", true, true),
        ] {
            let (one, two) = (ETag::parse(one).unwrap(), ETag::parse(two).unwrap());
            assert_eq!((one.matches_strongly(&two), one.matches(&two)), (strong, weak));
        }
    }

    /// Every combination of the four fields, each absent, true or false, for a read and a write, against the text of the
    /// RFC written once more, the plain way.
    #[test]
    fn the_whole_truth_table() {
        let validators = Validators { etag: Some(ETag::strong("t")), last_modified: Some(at(DAY)) };
        let same = "Sun, 06 Nov 1994 08:49:37 GMT";
        let earlier = "Sunday, 06-Nov-94 08:49:36 GMT";
        // For each field: a value for which its condition is true, and one for which it is false.
        let fields = [
            ("If-Match", "\"x\", \"t\"", "W/\"t\""),
            ("If-Unmodified-Since", same, earlier),
            ("If-None-Match", "\"x\"", "\"x\", W/\"t\""),
            ("If-Modified-Since", earlier, same),
        ];
        for mix in 0..81 {
            let states: Vec<u32> = (0..4).map(|i| mix / 3u32.pow(i) % 3).collect();
            for method in ["GET", "HEAD", "PUT", "OPTIONS"] {
                let mut request = TestRequest::new(method, "/");
                for ((name, yes, no), state) in fields.iter().zip(&states) {
                    match state {
                        1 => request = request.header(name, yes),
                        2 => request = request.header(name, no),
                        _ => {}
                    }
                }
                let read = matches!(method, "GET" | "HEAD");
                let expected = if method == "OPTIONS" {
                    Conditions::Hold
                } else if states[0] == 2 || (states[0] == 0 && states[1] == 2) {
                    Conditions::Failed
                } else if states[2] == 2 {
                    if read { Conditions::NotModified } else { Conditions::Failed }
                } else if states[2] == 0 && read && states[3] == 2 {
                    Conditions::NotModified
                } else {
                    Conditions::Hold
                };
                assert_eq!(request.with(|environ| validators.evaluate(environ)), expected, "{method} {states:?}");
            }
        }
    }

    #[test]
    fn fields_that_do_not_count() {
        let both = Validators { etag: Some(ETag::weak("t")), last_modified: Some(at(DAY)) };
        let none = Validators::default();
        for (validators, name, value, expected) in [
            (&both, "If-Modified-Since", "yesterday", Conditions::Hold),
            (
                &both,
                "If-Modified-Since",
                "Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT",
                Conditions::Hold,
            ),
            (&both, "If-Modified-Since", "Sun Nov  6 08:49:37 1994", Conditions::NotModified),
            (&both, "If-Unmodified-Since", "yesterday", Conditions::Hold),
            (&both, "If-Match", "W/\"t\"", Conditions::Failed),
            (&both, "If-Match", "*", Conditions::Hold),
            (&both, "If-Match", "*, \"t\"", Conditions::Failed),
            (&both, "If-None-Match", "*", Conditions::NotModified),
            (&both, "If-None-Match", " ,, W/\"t\"", Conditions::NotModified),
            (&both, "If-None-Match", "\"x\",\"t\"", Conditions::NotModified),
            (&both, "If-None-Match", "t", Conditions::Hold),
            (&none, "If-Modified-Since", "Sun, 06 Nov 2094 08:49:37 GMT", Conditions::Hold),
            (&none, "If-Unmodified-Since", "Sun, 06 Nov 1994 08:49:37 GMT", Conditions::Hold),
            (&none, "If-None-Match", "\"t\"", Conditions::Hold),
            (&none, "If-Match", "\"t\"", Conditions::Failed),
        ] {
            let got = TestRequest::get("/").header(name, value).with(|environ| validators.evaluate(environ));
            assert_eq!(got, expected, "{name}: {value}");
        }
    }

    #[test]
    fn if_range() {
        let strong = Validators { etag: Some(ETag::strong("t")), last_modified: Some(at(DAY)) };
        let weak = Validators { etag: Some(ETag::weak("t")), ..strong.clone() };
        for (validators, value, now, expected) in [
            (&strong, "\"t\"", DAY + 9, true),
            (&strong, "\"x\"", DAY + 9, false),
            (&strong, "W/\"t\"", DAY + 9, false),
            (&weak, "W/\"t\"", DAY + 9, false),
            (&weak, "\"t\"", DAY + 9, false),
            (&strong, "Sun, 06 Nov 1994 08:49:37 GMT", DAY + 9, true),
            (&strong, "Sun, 06 Nov 1994 08:49:38 GMT", DAY + 9, false),
            (&strong, "Sun, 06 Nov 1994 08:49:36 GMT", DAY + 9, false),
            (&strong, "Sun, 06 Nov 1994 08:49:37 GMT", DAY, false),
            (&strong, "nonsense", DAY + 9, false),
            (&Validators::default(), "nonsense", DAY + 9, false),
        ] {
            let request = TestRequest::get("/").header("If-Range", value);
            assert_eq!(request.with(|environ| validators.allow_range(environ, at(now))), expected, "{value}");
        }
        assert!(TestRequest::get("/").with(|environ| strong.allow_range(environ, at(DAY))));
    }
}
