//! The trace: every requirement of `docs/spec/`, and what shows it.
//!
//! What shows a requirement is found, not declared: the `Shows:` lines of the cases, and the ids that stand in a test (in
//! the comments directly above it or anywhere in its body), in any crate of the workspace. The rest is explained in
//! `trace-notes.md`; what is neither shown nor explained is *missing*, and counted.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};

use crate::case::{self, Case};

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
    /// `by construction`, `not applicable` or `later`.
    pub state: String,
    /// Why.
    pub reason: String,
}

impl Note {
    fn is_about(&self, id: &str) -> bool {
        self.about.strip_suffix('*').map_or(self.about == id, |group| id.starts_with(group))
    }
}

/// The states a note may give.
pub const STATES: [&str; 3] = ["by construction", "not applicable", "later"];

/// Everything the trace is made from.
#[derive(Debug)]
pub struct Trace {
    /// The requirements, in the order of their lists, by the file they stand in.
    pub requirements: Vec<(String, Vec<Requirement>)>,
    /// For each id, the cases that show it: the name of the section and how many cases it has, by file.
    pub cases: BTreeMap<String, BTreeMap<(String, String), usize>>,
    /// For each id, the tests that show it: `path::name`.
    pub tests: BTreeMap<String, BTreeSet<String>>,
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
        for file in ["http-requirements.md", "gateway-clauses.md", "environ-cgi.md"] {
            requirements.push((file.to_owned(), rows(&std::fs::read_to_string(root.join("docs/spec").join(file))?)));
        }
        let cases = cases_by_id(&case::read_folder(&case::folder())?);
        let mut tests: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for path in rust_files(&root)? {
            let name = path.strip_prefix(&root)?.to_string_lossy().into_owned();
            for (test, ids) in tests_of(&std::fs::read_to_string(&path)?, name.contains("/tests/")) {
                for id in ids {
                    tests.entry(id).or_default().insert(format!("{name}::{test}"));
                }
            }
        }
        let notes = notes(&std::fs::read_to_string(root.join("conformance/trace-notes.md"))?)?;
        Ok(Self { requirements, cases, tests, notes })
    }

    /// All ids of the lists.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.requirements.iter().flat_map(|(_, rows)| rows).map(|row| row.id.as_str())
    }

    /// Whether a case or a test shows an id.
    #[must_use]
    pub fn is_shown(&self, id: &str) -> bool {
        self.cases.contains_key(id) || self.tests.contains_key(id)
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

    /// How many requirements are in each state.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<&str, usize> {
        let mut counts = BTreeMap::from([("shown", 0), ("missing", 0)]);
        counts.extend(STATES.map(|state| (state, 0)));
        for id in self.ids() {
            *counts.entry(self.state(id)).or_default() += 1;
        }
        counts
    }

    /// What is wrong with the trace itself: ids that cases, tests or notes name and no list has.
    #[must_use]
    pub fn mistakes(&self) -> Vec<String> {
        let known: BTreeSet<&str> = self.ids().collect();
        let mut mistakes: Vec<String> = Vec::new();
        for (id, places) in &self.cases {
            // The rows of the attack list have no list of their own here.
            if !known.contains(id.as_str()) && !is_attack(id) {
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
        }
        mistakes
    }

    /// The trace as a document.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        let mut text = String::from(HEADER);
        let counts = self.counts();
        let total: usize = counts.values().sum();
        text.push_str("| state | requirements |\n|---|---:|\n");
        for state in ["shown", STATES[0], STATES[1], STATES[2], "missing"] {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "| {state} | {} |", counts[state]);
        }
        let _ = writeln!(text, "| **all** | **{total}** |\n");
        let missing: Vec<&str> = self.ids().filter(|id| self.state(id) == "missing").collect();
        if !missing.is_empty() {
            let _ = writeln!(text, "Missing: {}.\n", missing.join(", "));
        }
        self.attacks(&mut text);
        for (file, rows) in &self.requirements {
            let _ = writeln!(text, "## [{file}](../docs/spec/{file})\n");
            text.push_str("| id | level | binds | shown by, or why not |\n|---|---|---|---|\n");
            for row in rows {
                let _ = writeln!(text, "| {} | {} | {} | {} |", row.id, row.level, row.who, self.evidence(&row.id));
            }
            text.push('\n');
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
        text
    }

    /// The rows of the attack list that are cases.
    fn attacks(&self, text: &mut String) {
        text.push_str("## Attacks\n\nRows of the list of known attacks on other servers (S framing, H head, R response, L liveness, P proxies) that are cases.\n\n| row | cases |\n|---|---|\n");
        for id in self.cases.keys().filter(|id| is_attack(id)) {
            let _ = writeln!(text, "| {id} | {} |", self.evidence(id));
        }
        text.push('\n');
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
            _ if !parts.is_empty() => parts.join(", "),
            Some(note) => format!("*{}*: {}", note.state, note.reason),
            None => "**missing**".to_owned(),
        }
    }
}

const HEADER: &str = "# Trace

Generated by `TRACE=write cargo test -p conformance --test trace` from the cases, the tests of the workspace and
[trace-notes.md](trace-notes.md); checked by the same test. A case or a test shows a requirement when it names its id.
*By construction*: the types leave no way to break it. *Not applicable*: it binds nobody here. *Later*: it binds a part that does
not exist yet. *Missing*: it binds something that exists, and nothing shows it.

";

fn is_attack(id: &str) -> bool {
    id.len() == 3 && id.starts_with(['S', 'H', 'R', 'L', 'P']) && id[1..].bytes().all(|b| b.is_ascii_digit())
}

/// The rows of a list: `| H1-GEN-01 | MUST NOT | … |`. Who is bound stands before or after the rest, by the list.
fn rows(text: &str) -> Vec<Requirement> {
    let mut columns: Vec<String> = Vec::new();
    let mut rows = Vec::new();
    for line in text.lines().filter(|line| line.starts_with('|')) {
        let cells: Vec<String> =
            line.replace(r"\|", "/").trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
        if cells[0] == "Id" {
            columns = cells;
        } else if is_id(&cells[0]) {
            let cell =
                |name: &str| columns.iter().position(|column| column == name).and_then(|n| cells.get(n)).cloned();
            rows.push(Requirement {
                id: cells[0].clone(),
                level: cell("Level").unwrap_or_default(),
                who: cell("Who").or_else(|| cell("Layer")).unwrap_or_default(),
            });
        }
    }
    rows
}

/// Whether the text is an id of a list: `GW-SR-10`.
fn is_id(text: &str) -> bool {
    let mut parts = text.split('-');
    let (Some(list), Some(group), Some(number), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    ["H1", "GW", "CGI"].contains(&list)
        && !group.is_empty()
        && group.bytes().all(|b| b.is_ascii_uppercase())
        && number.len() == 2
        && number.bytes().all(|b| b.is_ascii_digit())
}

/// The ids in a text, with ranges as `GW-STA-01 to GW-STA-03` taken by their ends only.
fn ids_in(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'))
        .filter(|word| is_id(word))
        .map(str::to_owned)
        .collect()
}

fn cases_by_id(cases: &[Case]) -> BTreeMap<String, BTreeMap<(String, String), usize>> {
    let mut by_id: BTreeMap<String, BTreeMap<(String, String), usize>> = BTreeMap::new();
    for case in cases {
        let name = case.id.split('/').next().unwrap_or_default().to_owned();
        for id in &case.shows {
            *by_id.entry(id.clone()).or_default().entry((case.place.file.clone(), name.clone())).or_default() += 1;
        }
    }
    by_id
}

/// Every source file of the workspace but this one, whose tests are full of ids that they do not show.
fn rust_files(root: &Path) -> io::Result<Vec<PathBuf>> {
    let mut folders = vec![root.to_owned()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                if !name.starts_with('.') && !name.starts_with("target") {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("src/trace.rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// The tests of a source file, each with the ids that stand in it or in the comments above it.
///
/// In a file of a `tests` folder every function counts: many are run for each server by a macro.
fn tests_of(text: &str, in_tests: bool) -> Vec<(String, BTreeSet<String>)> {
    let lines: Vec<&str> = text.lines().collect();
    let is_head =
        |line: &str| ["fn ", "pub fn ", "pub(crate) fn "].iter().any(|start| line.trim_start().starts_with(start));
    let is_above = |line: &str| line.trim().starts_with("//") || line.trim().starts_with("#[");
    let mut tests = Vec::new();
    for (head, line) in lines.iter().enumerate().filter(|(_, line)| is_head(line)) {
        let above = lines[..head].iter().rev().take_while(|line| is_above(line)).count();
        let start = head - above;
        if !in_tests && !lines[start..head].iter().any(|line| line.trim() == "#[test]") {
            continue;
        }
        let indent = line.len() - line.trim_start().len();
        let is_end = |line: &str| line.trim_end() == format!("{}}}", " ".repeat(indent));
        let one_line = line.trim_end().ends_with('}');
        let end = if one_line { head } else { (head..lines.len()).find(|&n| is_end(lines[n])).unwrap_or(head) };
        let after_fn = line.split_once("fn ").map_or("", |(_, rest)| rest);
        let name: String = after_fn.chars().take_while(|&c| c.is_alphanumeric() || c == '_').collect();
        let ids = ids_in(&lines[start..=end].join("\n"));
        if !ids.is_empty() {
            tests.push((name, ids));
        }
    }
    tests
}

/// The notes: table rows of an id, a state and a reason.
fn notes(text: &str) -> Result<Vec<Note>, String> {
    let mut notes = Vec::new();
    for line in text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| about ")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [about, state, reason] = cells[..] else { return Err(format!("{line:?} is not a note")) };
        if !STATES.contains(&state) || reason.is_empty() {
            return Err(format!("{line:?}: a note is {}, with its reason", STATES.join(", ")));
        }
        for about in about.split(", ") {
            notes.push(Note { about: about.to_owned(), state: state.to_owned(), reason: reason.to_owned() });
        }
    }
    Ok(notes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_shows_what_it_names() {
        let text = "
/// Says GW-SR-10.
#[test]
fn first() {
    // and H1-FRM-05, but not H1-FRM-5 or XX-YY-01
    assert!(true, \"(CGI-HDR-11)\");
}

// GW-SR-11 belongs to nothing.

#[test]
fn second() {}
";
        let tests = tests_of(text, false);
        assert_eq!(tests.len(), 1);
        assert_eq!(tests[0].0, "first");
        assert_eq!(tests[0].1.iter().map(String::as_str).collect::<Vec<_>>(), ["CGI-HDR-11", "GW-SR-10", "H1-FRM-05"]);
        let text = "/// GW-CL-01\nfn on_each(server: &str) {\n    body();\n}\n";
        assert_eq!(tests_of(text, true)[0].0, "on_each");
        assert!(tests_of(text, false).is_empty());
    }

    #[test]
    fn rows_of_a_list_are_requirements() {
        let rows = rows(
            "| Id | Level | Requirement | Source | Layer | Test |\n|---|---|---|---|---|---|\n| H1-GEN-01 | MUST NOT | a \\| b | s | types | t |\n| C-01 | x |\n",
        );
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0].level.as_str(), rows[0].who.as_str(), rows[0].group()), ("MUST NOT", "types", "H1-GEN"));
    }

    #[test]
    fn a_note_about_one_id_goes_before_one_about_its_group() {
        let notes = notes("| about | state | why |\n|---|---|---|\n| H1-COND-* | later | no files |\n| H1-COND-01, H1-COND-02 | not applicable | cache |\n").unwrap();
        let trace = Trace { requirements: Vec::new(), cases: BTreeMap::new(), tests: BTreeMap::new(), notes };
        assert_eq!(trace.state("H1-COND-02"), "not applicable");
        assert_eq!(trace.state("H1-COND-03"), "later");
        assert_eq!(trace.state("H1-RNG-03"), "missing");
        assert!(super::notes("| H1-COND-01 | perhaps | why |").is_err());
    }
}
