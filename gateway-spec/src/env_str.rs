//! [`EnvStr`]: the value of a variable, as octets.

use std::borrow::Cow;
use std::fmt;
use std::str::Utf8Error;

/// The value of a CGI variable or of a request header: octets that need not be UTF-8 (GW-STR-01, GW-RACK-42).
///
/// PEP 3333 carries them in strings of ISO-8859-1; here they stay octets, and each way to see them has a name.
///
/// ```
/// use gateway_spec::EnvStr;
///
/// let path = EnvStr::from(b"/caf\xc3\xa9".as_slice());
/// assert_eq!(path, "/café");
/// assert_eq!(path.to_str(), Ok("/café"));
/// assert_eq!(path.to_latin1(), "/caf\u{c3}\u{a9}"); // the native string of PEP 3333
/// assert_eq!(EnvStr::from(b"\xff".as_slice()).to_string_lossy(), "\u{fffd}");
/// ```
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EnvStr<'r>(Cow<'r, [u8]>);

impl<'r> EnvStr<'r> {
    /// The octets.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The octets, without copying them if they are borrowed.
    #[must_use]
    pub fn into_bytes(self) -> Cow<'r, [u8]> {
        self.0
    }

    /// The text, if the octets are UTF-8.
    ///
    /// # Errors
    /// [`Utf8Error`] if they are not.
    pub fn to_str(&self) -> Result<&str, Utf8Error> {
        str::from_utf8(&self.0)
    }

    /// The text, with U+FFFD for what is not UTF-8.
    #[must_use]
    pub fn to_string_lossy(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.0)
    }

    /// The native string of PEP 3333: a character for each octet.
    #[must_use]
    pub fn to_latin1(&self) -> Cow<'_, str> {
        match str::from_utf8(&self.0) {
            Ok(text) if text.is_ascii() => Cow::Borrowed(text),
            _ => Cow::Owned(self.0.iter().map(|&b| char::from(b)).collect()),
        }
    }

    /// Whether there are no octets. Missing and empty mean the same (CGI-GEN-04).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many octets there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl<'r> From<&'r [u8]> for EnvStr<'r> {
    fn from(octets: &'r [u8]) -> Self {
        Self(Cow::Borrowed(octets))
    }
}

impl<'r> From<&'r str> for EnvStr<'r> {
    fn from(text: &'r str) -> Self {
        text.as_bytes().into()
    }
}

impl From<Vec<u8>> for EnvStr<'_> {
    fn from(octets: Vec<u8>) -> Self {
        Self(Cow::Owned(octets))
    }
}

impl<'r> From<Cow<'r, [u8]>> for EnvStr<'r> {
    fn from(octets: Cow<'r, [u8]>) -> Self {
        Self(octets)
    }
}

impl AsRef<[u8]> for EnvStr<'_> {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl PartialEq<str> for EnvStr<'_> {
    fn eq(&self, other: &str) -> bool {
        *self.0 == *other.as_bytes()
    }
}

impl PartialEq<&str> for EnvStr<'_> {
    fn eq(&self, other: &&str) -> bool {
        *self == **other
    }
}

impl PartialEq<[u8]> for EnvStr<'_> {
    fn eq(&self, other: &[u8]) -> bool {
        *self.0 == *other
    }
}

impl fmt::Debug for EnvStr<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}
