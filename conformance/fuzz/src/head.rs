//! What holds for every head that a server accepts.

use gateway_spec::Field;

/// A head that a server has accepted.
pub struct Accepted<'h> {
    /// Its octets, with the empty line.
    pub octets: &'h [u8],
    pub method: &'h str,
    pub target: &'h str,
    pub path: &'h str,
    pub query: &'h str,
    pub fields: &'h [Field<'h>],
}

impl Accepted<'_> {
    /// Checks that nothing in it is what a server has to refuse.
    pub fn check(&self) {
        let Self { octets, method, target, path, query, fields } = self;
        assert!(is_head(octets));
        assert!(is_token(method.as_bytes()));
        for field in *fields {
            assert!(is_token(field.name.as_bytes()));
            assert!(field.value.iter().all(|&b| b == b'\t' || (b >= b' ' && b != 0x7f)));
            assert_eq!(field.value.trim_ascii(), field.value);
        }
        assert!(target.bytes().all(|b| b.is_ascii_graphic()), "{target:?}");
        assert!(!target.contains('#'));
        let whole_server = path.is_empty() && *method == "OPTIONS" && *target == "*";
        assert!(path.starts_with('/') || whole_server, "{method} {target} {path}");
        let decoded = gateway_spec::percent_decode(path).expect("escapes were checked");
        assert!(!decoded.contains(&0), "{path:?}");
        assert!(!path.contains('?'));
        assert!(*target == "*" || target.ends_with(&format!("?{query}")) || query.is_empty());
    }
}

/// A character of a token.
pub(crate) fn is_tchar(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)
}

/// `1*tchar`
pub fn is_token(octets: &[u8]) -> bool {
    !octets.is_empty() && octets.iter().all(|&b| is_tchar(b))
}

/// Whether the octets are lines that end in CRLF, with no other CR or LF, the last one empty.
fn is_head(octets: &[u8]) -> bool {
    let mut lone = octets.to_vec();
    let mut at = 0;
    while let Some(found) = lone[at..].windows(2).position(|pair| pair == b"\r\n") {
        at += found;
        lone.drain(at..at + 2);
    }
    octets.ends_with(b"\r\n\r\n") && !lone.contains(&b'\r') && !lone.contains(&b'\n')
}
