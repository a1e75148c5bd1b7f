//! [`Section`]: the field section that a client sent last.
//!
//! A client sends nearly the same fields with each request of a connection, and many send exactly the same. Octets that
//! are those of the section before are compared and not read again: what was found valid then is valid now.

use std::cell::Cell;
use std::mem;
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

/// Where a field line is, and its parts.
#[derive(Clone, Copy, Debug)]
struct Line {
    start: u16,
    /// How long the name is.
    name: u16,
    /// How long the line is, its CR LF included.
    length: u16,
}

impl Line {
    /// The line at the beginning of `octets`, if it is whole and usual.
    fn find(octets: &[u8]) -> Option<Self> {
        let name = run(TOKEN, octets);
        let [b':', b' ', value @ ..] = octets.get(name..)? else { return None };
        let end = octets::text(value);
        let (value, [b'\r', b'\n', ..]) = value.split_at_checked(end)? else { return None };
        if let (0, _) | (_, [b' ', ..] | [.., b' ']) = (name, value) {
            return None;
        }
        let length = name + ": ".len() + end + "\r\n".len();
        Some(Self { start: 0, name: name as u16, length: length as u16 })
    }

    fn whole(self) -> Range<usize> {
        usize::from(self.start)..usize::from(self.start) + usize::from(self.length)
    }

    fn name(self) -> Range<usize> {
        usize::from(self.start)..usize::from(self.start) + usize::from(self.name)
    }

    fn value(self) -> Range<usize> {
        self.name().end + ": ".len()..self.whole().end - "\r\n".len()
    }
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
        let mut before = mem::take(&mut self.text);
        if before.is_empty() {
            self.clear(); // what was found was not kept
        }
        let found = self.find_lines(before.as_bytes(), &octets[..octets.len().min(LONGEST)], most);
        before.clear();
        self.text = before;
        found
    }

    /// A line that is that of the section before, in the same place, is compared and not read again.
    fn find_lines(&mut self, before: &[u8], octets: &[u8], most: usize) -> Option<usize> {
        let (mut at, mut count) = (0, 0);
        loop {
            let rest = octets.get(at..)?;
            if let [b'\r', b'\n', ..] = rest {
                break;
            }
            if count == most {
                return None;
            }
            let start = at as u16;
            match self.lines.get_mut(count) {
                Some(line) if rest.starts_with(before.get(line.whole())?) => {
                    line.start = start;
                    at += usize::from(line.length);
                }
                known => {
                    let new = Line { start, ..Line::find(rest)? };
                    let name = &rest[..usize::from(new.name)];
                    at += usize::from(new.length);
                    match known {
                        Some(line) if before.get(line.name()) == Some(name) => {
                            *line = new;
                            if Framer::reads(name) {
                                self.framer.set(None);
                            }
                        }
                        _ => {
                            // Other fields than before, or in another order: so those behind it are in other places.
                            self.lines.truncate(count);
                            self.lines.push(new);
                            self.framer.set(None);
                        }
                    }
                }
            }
            count += 1;
        }
        if count < self.lines.len() {
            self.lines.truncate(count);
            self.framer.set(None);
        }
        Some(at + 2)
    }

    /// Keeps the section in which [`find`](Self::find) has found the lines.
    pub(super) fn keep(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// Puts the field lines into a list.
    pub(super) fn list<'b>(&'b self, fields: &mut Vec<Field<'b>>) {
        fields.clear();
        fields.extend(self.lines.iter().map(|line| Field {
            name: self.text.get(line.name()).unwrap_or_default(),
            value: self.text.as_bytes().get(line.value()).unwrap_or_default(),
        }));
    }

    /// The value of a field by its place in the list.
    pub(super) fn value(&self, index: usize) -> Option<&str> {
        self.text.get(self.lines.get(index)?.value())
    }

    /// What the fields say, if they were found valid before.
    pub(super) const fn framer(&self) -> &Cell<Option<Framer>> {
        &self.framer
    }
}
