//! [`Known`]: the head that was read last, to be known again.
//!
//! Many clients send the same head over and over: programs, balancers, whatever asks at an interval. Octets that are those
//! of the head before mean what they meant, under limits that do not change: they are compared, and not read again.
//!
//! Most heads of browsers do not come twice. So of a head that is new only the octets are kept, and what they mean not
//! before they come again.

use gateway_spec::{Field, Version};

use super::framing::Framing;
use super::head::Head;

/// Heads of more octets are read each time.
const MOST: usize = 2048;

/// The last [usual](super::scan) head.
#[derive(Debug, Default)]
pub(crate) struct Known {
    octets: Vec<u8>,
    /// Whether they came twice, so that this is what they mean.
    is_known: bool,
    meaning: Meaning,
}

/// A [`Head`] in memory of its own, which is used again for the next one.
#[derive(Debug)]
pub(crate) struct Meaning {
    method: String,
    target: String,
    path: String,
    query: String,
    version: Version,
    host: Option<String>,
    /// Places for fields, of which this many are used.
    fields: Vec<(String, Vec<u8>)>,
    count: usize,
    framing: Framing,
    keep_alive: bool,
    expect_continue: bool,
    length: usize,
}

impl Known {
    /// What the head at the beginning of some octets means, if it is this one and that is known.
    #[inline]
    pub(crate) fn at(&self, octets: &[u8]) -> Option<&Meaning> {
        self.is_at(octets).then_some(&self.meaning)
    }

    /// Whether this head, whose meaning is known, is at the beginning of some octets.
    #[inline]
    pub(crate) fn is_at(&self, octets: &[u8]) -> bool {
        self.is_known && octets.starts_with(&self.octets)
    }

    /// A usual head was read: its octets are kept, and what they mean if they are there already.
    pub(crate) fn see(&mut self, octets: &[u8], head: &Head<'_, '_>) {
        if octets == self.octets {
            self.meaning.set(head);
            self.is_known = true;
            return;
        }
        self.is_known = false;
        self.octets.clear();
        if octets.len() <= MOST {
            self.octets.extend_from_slice(octets);
        }
    }
}

impl Meaning {
    fn set(&mut self, head: &Head<'_, '_>) {
        head.method.clone_into(&mut self.method);
        head.target.clone_into(&mut self.target);
        head.path.clone_into(&mut self.path);
        head.query.clone_into(&mut self.query);
        self.version = head.version;
        self.host = head.host.map(|host| {
            let mut own = self.host.take().unwrap_or_default();
            host.clone_into(&mut own);
            own
        });
        self.count = head.fields.len();
        if self.fields.len() < self.count {
            self.fields.resize_with(self.count, Default::default);
        }
        for ((name, value), field) in self.fields.iter_mut().zip(head.fields) {
            field.name.clone_into(name);
            field.value.clone_into(value);
        }
        self.framing = head.framing;
        self.keep_alive = head.keep_alive;
        self.expect_continue = head.expect_continue;
        self.length = head.length;
    }

    /// How many fields there are.
    #[inline]
    pub(crate) const fn fields(&self) -> usize {
        self.count
    }

    /// The head; `places` are for its fields, and not less.
    #[inline(always)]
    pub(crate) fn head<'k, 'f>(&'k self, places: &'f mut [Field<'k>]) -> Head<'k, 'f> {
        let places = &mut places[..self.count];
        for (place, (name, value)) in places.iter_mut().zip(&self.fields) {
            *place = Field { name, value };
        }
        Head {
            method: &self.method,
            target: &self.target,
            path: &self.path,
            query: &self.query,
            version: self.version,
            host: self.host.as_deref(),
            fields: places,
            framing: self.framing,
            keep_alive: self.keep_alive,
            expect_continue: self.expect_continue,
            length: self.length,
        }
    }
}

impl Default for Meaning {
    fn default() -> Self {
        Self {
            method: String::new(),
            target: String::new(),
            path: String::new(),
            query: String::new(),
            version: Version::Http11,
            host: None,
            fields: Vec::new(),
            count: 0,
            framing: Framing::Empty,
            keep_alive: false,
            expect_continue: false,
            length: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::head::{Limits, parse_usual};
    use super::*;

    const LIMITS: Limits = Limits { request_line: 64, head: 8000, fields: 8, body: 1000, https: true };

    proptest! {
        /// What is known of a head is what a parser finds that has seen nothing, whatever came before; and from the third
        /// time on it is known.
        #[test]
        fn a_known_head_is_no_other(
            heads in proptest::collection::vec(
                ("GET /(a|b|a\\?b|%41)|POST http://b/a|OPTIONS \\*", "1\\.[01]", "(Host: (a|b)\r\n)?",
                 "((X|Content-Length|Connection): (1|12|close)\r\n){0,2}", "(\r\n){0,2}[a-c]{0,2}", 1usize..4), 0..8),
            long in any::<bool>(),
        ) {
            let mut known = Known::default();
            let mut times = (Vec::new(), 0);
            for (line, version, host, fields, rest, repeats) in heads {
                let long = format!("L: {}\r\n", if long { "l".repeat(MOST) } else { "l".to_owned() });
                let text = format!("{line} HTTP/{version}\r\n{host}{fields}{long}{rest}");
                for _ in 0..repeats {
                    let mut places = [Field::EMPTY; 8];
                    let fresh = parse_usual(text.as_bytes(), &mut places, &LIMITS, "b").ok().flatten();
                    let mut places = [Field::EMPTY; 8];
                    let Some(fresh) = fresh else {
                        prop_assert!(known.at(text.as_bytes()).is_none());
                        continue;
                    };
                    let octets = &text.as_bytes()[..fresh.length];
                    match known.at(text.as_bytes()) {
                        Some(meaning) => {
                            prop_assert_eq!(meaning.fields(), fresh.fields.len());
                            prop_assert_eq!(format!("{:?}", meaning.head(&mut places)), format!("{fresh:?}"));
                        }
                        None => {
                            prop_assert!(octets.len() > MOST || times.0 != octets || times.1 < 2);
                            known.see(octets, &fresh);
                        }
                    }
                    times = (octets.to_vec(), if times.0 == octets { times.1 + 1 } else { 1 });
                }
            }
        }
    }
}
