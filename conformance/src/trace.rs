//! The trace: every requirement of `docs/spec/`, and what shows it.
//!
//! What shows a requirement is found, not declared: the `Shows:` lines of the cases, and the ids of a test, in any crate of the
//! workspace. The rest is explained in `trace-notes.md`; what is neither shown nor explained is *missing*, and counted.
//!
//! # How a test names what it shows
//! A test shows the ids that stand in the comments directly above it, in its body, or at the beginning of its name:
//! `/// CGI-RSP-21, CGI-RSP-22: …` above `fn local_redirects()`, or `fn cgi_rsp_18_lines_may_be_folded()`.
//!
//! A test is a function with `#[test]`, or any function in a `tests` folder: many are run for each server by a macro. The rows of
//! `docs/spec/attacks.md` (`F05`) count in comments only. Tests that cannot name an id are named in `trace-notes.md`, with
//! the state *tested*; they have to exist.

mod sources;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};

use crate::case;
use sources::{cases_by_id, notes, rows, rust_files, tests_of};

/// A row of a requirement list.
#[derive(Clone, Debug)]
pub struct Requirement {
    /// Its id, such as `H1-FRM-05`.
    pub id: String,
    /// MUST, SHOULD, MAY, FACT and the like.
    pub level: String,
    /// Whom it binds.
    pub who: String,
}

impl Requirement {
    /// The group: `H1-FRM`.
    #[must_use]
    pub fn group(&self) -> &str {
        self.id.rsplit_once('-').map_or(&self.id, |(group, _)| group)
    }
}

/// What a note says about requirements that nothing shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// An id, or a group with a star.
    pub about: String,
    /// One of [`STATES`].
    pub state: String,
    /// Why; for [`TESTED`], the tests as `package::name`, separated by commas.
    pub reason: String,
}

impl Note {
    fn is_about(&self, id: &str) -> bool {
        self.about.strip_suffix('*').map_or(self.about == id, |group| id.starts_with(group))
    }
}

/// The states a note may give.
pub const STATES: [&str; 4] = ["by construction", "not applicable", "later", TESTED];

/// The state of what tests show that do not name it themselves.
pub const TESTED: &str = "tested";

/// Everything the trace is made from.
#[derive(Debug)]
pub struct Trace {
    /// The requirements, in the order of their lists, by the file they stand in.
    pub requirements: Vec<(String, Vec<Requirement>)>,
    /// For each id, the cases that show it: the name of the section and how many cases it has, by file.
    pub cases: BTreeMap<String, BTreeMap<(String, String), usize>>,
    /// For each id, the tests that show it: `path::name`.
    pub tests: BTreeMap<String, BTreeSet<String>>,
    /// All tests, as `path::name`.
    pub all_tests: Vec<String>,
    /// The notes.
    pub notes: Vec<Note>,
}

/// The workspace's folder.
#[must_use]
pub fn workspace() -> PathBuf {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    crate_folder.parent().unwrap_or(crate_folder).to_owned()
}

impl Trace {
    /// Reads the requirement lists, the cases, the tests of the whole workspace, and the notes.
    ///
    /// # Errors
    /// A file that cannot be read, or a mistake in one.
    pub fn read() -> Result<Self, Box<dyn std::error::Error>> {
        let root = workspace();
        let mut requirements = Vec::new();
        for file in ["http-requirements.md", "gateway-clauses.md", "environ-cgi.md", ATTACKS] {
            requirements.push((file.to_owned(), rows(&std::fs::read_to_string(root.join("docs/spec").join(file))?)));
        }
        let cases = cases_by_id(&case::read_folder(&case::folder())?);
        let mut tests: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut all_tests = Vec::new();
        for path in rust_files(&root)? {
            let file = path.strip_prefix(&root)?.to_string_lossy().into_owned();
            for (test, ids) in tests_of(&std::fs::read_to_string(&path)?, file.contains("/tests/")) {
                let name = format!("{file}::{test}");
                for id in ids {
                    tests.entry(id).or_default().insert(name.clone());
                }
                all_tests.push(name);
            }
        }
        let notes = notes(&std::fs::read_to_string(root.join("conformance/trace-notes.md"))?)?;
        Ok(Self { requirements, cases, tests, all_tests, notes })
    }

    /// All ids of the lists.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.requirements.iter().flat_map(|(_, rows)| rows).map(|row| row.id.as_str())
    }

    /// Whether a case or a test shows an id.
    #[must_use]
    pub fn is_shown(&self, id: &str) -> bool {
        let is_tested = || self.note(id).is_some_and(|note| note.state == TESTED);
        self.cases.contains_key(id) || self.tests.contains_key(id) || is_tested()
    }

    /// The note about an id; one about the very id goes before one about its group.
    #[must_use]
    pub fn note(&self, id: &str) -> Option<&Note> {
        let about = self.notes.iter().filter(|note| note.is_about(id));
        about.max_by_key(|note| (!note.about.ends_with('*'), note.about.len()))
    }

    /// `shown`, the state of its note, or `missing`.
    #[must_use]
    pub fn state(&self, id: &str) -> &str {
        if self.is_shown(id) { "shown" } else { self.note(id).map_or("missing", |note| note.state.as_str()) }
    }

    /// How many requirements, and how many attacks, are in each state.
    #[must_use]
    pub fn counts(&self) -> [(&str, usize, usize); 5] {
        let count = |state: &str, attacks: bool| {
            self.ids().filter(|id| is_attack(id) == attacks && self.state(id) == state).count()
        };
        ["shown", "by construction", "not applicable", "later", "missing"]
            .map(|state| (state, count(state, false), count(state, true)))
    }

    /// The counts as lines for people.
    #[must_use]
    pub fn summary(&self) -> String {
        let line = |(state, requirements, attacks): (&str, usize, usize)| {
            format!("    {state:<16} {requirements:>4} requirements {attacks:>4} attacks\n")
        };
        self.counts().map(line).concat()
    }

    /// What is wrong with the trace itself: ids that cases, tests or notes name and no list has, and tests that notes name
    /// and no crate has.
    #[must_use]
    pub fn mistakes(&self) -> Vec<String> {
        let known: BTreeSet<&str> = self.ids().collect();
        let mut mistakes: Vec<String> = Vec::new();
        for (id, places) in &self.cases {
            if !known.contains(id.as_str()) {
                mistakes.push(format!("{id} of the case {:?} is in no list", places.keys().next()));
            }
        }
        for (id, places) in &self.tests {
            if !known.contains(id.as_str()) {
                mistakes.push(format!("{id} of the test {:?} is in no list", places.first()));
            }
        }
        for note in &self.notes {
            if !known.iter().any(|id| note.is_about(id)) {
                mistakes.push(format!("the note about {} is about nothing", note.about));
            }
            let named = note.reason.split(", ").filter(|_| note.state == TESTED);
            mistakes.extend(named.filter(|test| !self.has_test(test)).map(|test| format!("there is no test {test}")));
        }
        mistakes
    }

    /// Whether a package has a test of a name: `package::name`.
    fn has_test(&self, test: &str) -> bool {
        test.trim_matches('`').split_once("::").is_some_and(|(package, name)| {
            let is_it = |known: &String| known.strip_prefix(package).is_some_and(|rest| rest.starts_with('/'));
            self.all_tests.iter().any(|known| is_it(known) && known.rsplit("::").next() == Some(name))
        })
    }

    /// The trace as a document.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        let mut text = String::from(HEADER);
        text.push_str("| state | requirements | attacks |\n|---|---:|---:|\n");
        let mut all = (0, 0);
        for (state, requirements, attacks) in self.counts() {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "| {state} | {requirements} | {attacks} |");
            all = (all.0 + requirements, all.1 + attacks);
        }
        let _ = writeln!(text, "| **all** | **{}** | **{}** |\n", all.0, all.1);
        let missing: Vec<&str> = self.ids().filter(|id| self.state(id) == "missing").collect();
        if !missing.is_empty() {
            let _ = writeln!(text, "Missing: {}.\n", missing.join(", "));
        }
        for (file, rows) in &self.requirements {
            let _ = writeln!(text, "## [{file}](../docs/spec/{file})\n");
            let attacks = file == ATTACKS;
            text.push_str(if attacks { "| id | shown by, or why not |\n|---|---|\n" } else { REQUIREMENTS });
            for row in rows {
                let binds = if attacks { String::new() } else { format!("{} | {} | ", row.level, row.who) };
                let _ = writeln!(text, "| {} | {binds}{} |", row.id, self.evidence(&row.id));
            }
            text.push('\n');
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
        text
    }

    fn evidence(&self, id: &str) -> String {
        let mut parts = Vec::new();
        for ((file, name), count) in self.cases.get(id).into_iter().flatten() {
            let times = if *count > 1 { format!(" ×{count}") } else { String::new() };
            parts.push(format!("[{name}](cases/{file}){times}"));
        }
        for test in self.tests.get(id).into_iter().flatten() {
            parts.push(format!("`{test}`"));
        }
        match self.note(id) {
            Some(note) if note.state == TESTED => {
                parts.push(note.reason.clone());
                parts.join(", ")
            }
            _ if !parts.is_empty() => parts.join(", "),
            Some(note) => format!("*{}*: {}", note.state, note.reason),
            None => "**missing**".to_owned(),
        }
    }
}

/// The list of attacks, whose ids look different.
const ATTACKS: &str = "attacks.md";

const REQUIREMENTS: &str = "| id | level | binds | shown by, or why not |\n|---|---|---|---|\n";

const HEADER: &str = "# Trace

Generated by `TRACE=write cargo test -p conformance --test trace` from the cases, the tests of the workspace and
[trace-notes.md](trace-notes.md); checked by the same test. A case or a test shows a requirement when it names its id.
*By construction*: the types leave no way to break it. *Not applicable*: it binds nobody here. *Later*: it binds a part that does
not exist yet. *Missing*: it binds something that exists, and nothing shows it.

";

/// Whether an id is a row of the list of attacks: `S01` to `O07`.
fn is_attack(id: &str) -> bool {
    id.len() == 3 && id.starts_with(['S', 'H', 'R', 'L', 'P', 'F', 'O']) && id[1..].bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_about_one_id_goes_before_one_about_its_group() {
        let notes = notes("| about | state | why |\n|---|---|---|\n| H1-COND-* | later | no files |\n| H1-COND-01, H1-COND-02 | not applicable | cache |\n| L04 | tested | `server::one`, `server::two` |\n").unwrap();
        let all_tests = vec!["server/tests/a.rs::one".to_owned(), "server-two/tests/a.rs::two".to_owned()];
        let trace =
            Trace { requirements: Vec::new(), cases: BTreeMap::new(), tests: BTreeMap::new(), all_tests, notes };
        assert_eq!(trace.state("H1-COND-02"), "not applicable");
        assert_eq!(trace.state("H1-COND-03"), "later");
        assert_eq!(trace.state("H1-RNG-03"), "missing");
        assert_eq!(trace.state("L04"), "shown");
        assert!(trace.mistakes().contains(&"there is no test `server::two`".to_owned()));
        assert!(!trace.mistakes().iter().any(|mistake| mistake.contains("one")));
        assert!(super::notes("| H1-COND-01 | perhaps | why |").is_err());
    }
}
