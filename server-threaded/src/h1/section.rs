//! [`Section`]: the field section that a client sent last.
//!
//! A client sends nearly the same fields with each request of a connection, and many send exactly the same. Octets that
//! are those of the section before are compared and not read again: what was found valid then is valid now.

use std::cell::Cell;
use std::ops::Range;

use gateway_spec::Field;

use super::framing::Framer;
use super::octets::{self, TOKEN, run};

/// Positions within a section are small numbers; longer ones are not usual.
const LONGEST: usize = u16::MAX as usize;

/// The last field section that was usual, with the empty line at its end.
#[derive(Debug, Default)]
pub(super) struct Section {
    text: String,
    lines: Vec<Line>,
    /// What its fields say of the request, once that is known to be valid.
    framer: Cell<Option<Framer>>,
}

/// Where the parts of a field line are.
#[derive(Clone, Copy, Debug)]
struct Line {
    name: (u16, u16),
    value: (u16, u16),
}

impl Section {
    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.lines.clear();
        self.framer.set(None);
    }

    /// How long the section is; 0 if there is none.
    pub(super) const fn len(&self) -> usize {
        self.text.len()
    }

    pub(super) const fn octets(&self) -> &[u8] {
        self.text.as_bytes()
    }

    /// Whether this very section is at the beginning of `octets`.
    pub(super) fn is_at(&self, octets: &[u8]) -> bool {
        !self.text.is_empty() && octets.starts_with(self.text.as_bytes())
    }

    /// Finds the lines of the section at the beginning of `octets`, and its length. `None` if it is not usual, not whole,
    /// or has more than `most` fields. Nothing is valid before [`keep`](Self::keep).
    pub(super) fn find(&mut self, octets: &[u8], most: usize) -> Option<usize> {
        self.clear();
        let octets = &octets[..octets.len().min(LONGEST)];
        let mut rest = octets;
        let part = |start: usize, length: usize| (start as u16, (start + length) as u16);
        loop {
            let at = octets.len() - rest.len();
            if let [b'\r', b'\n', ..] = rest {
                return Some(at + 2);
            }
            let name = run(TOKEN, rest);
            let [b':', b' ', value @ ..] = rest.get(name..)? else { return None };
            let end = octets::text(value);
            let (value, [b'\r', b'\n', next @ ..]) = value.split_at_checked(end)? else { return None };
            if let (0, _) | (_, [b' ', ..] | [.., b' ']) = (name, value) {
                return None;
            }
            if self.lines.len() == most {
                return None;
            }
            self.lines.push(Line { name: part(at, name), value: part(at + name + 2, end) });
            rest = next;
        }
    }

    /// Keeps the section in which [`find`](Self::find) has found the lines.
    pub(super) fn keep(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// Puts the field lines into a list.
    pub(super) fn list<'b>(&'b self, fields: &mut Vec<Field<'b>>) {
        fields.clear();
        fields.extend(self.lines.iter().map(|line| Field {
            name: self.text.get(range(line.name)).unwrap_or_default(),
            value: self.text.as_bytes().get(range(line.value)).unwrap_or_default(),
        }));
    }

    /// The value of a field by its place in the list.
    pub(super) fn value(&self, index: usize) -> Option<&str> {
        self.text.get(range(self.lines.get(index)?.value))
    }

    /// What the fields say, if they were found valid before.
    pub(super) const fn framer(&self) -> &Cell<Option<Framer>> {
        &self.framer
    }
}

fn range((start, end): (u16, u16)) -> Range<usize> {
    usize::from(start)..usize::from(end)
}
