//! What the trace is read from: the lists, the cases, the tests of the workspace, the notes.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use super::{Note, Requirement, STATES, is_attack};
use crate::case::Case;

/// The rows of a list: `| H1-GEN-01 | MUST NOT | … |`. Who is bound stands before or after the rest, by the list.
pub(super) fn rows(text: &str) -> Vec<Requirement> {
    let mut columns: Vec<String> = Vec::new();
    let mut rows = Vec::new();
    for line in text.lines().filter(|line| line.starts_with('|')) {
        let cells: Vec<String> =
            line.replace(r"\|", "/").trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
        if cells[0] == "Id" {
            columns = cells;
        } else if is_id(&cells[0]) || is_attack(&cells[0]) {
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

/// The ids in lines of a test, with ranges as `GW-STA-01 to GW-STA-03` taken by their ends only. Those of attacks are so
/// short that they count in comments only.
fn ids_in(lines: &[&str]) -> BTreeSet<String> {
    let words = |line: &str, is_comment: bool| {
        line.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'))
            .filter(|word| is_id(word) || (is_comment && is_attack(word)))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    lines.iter().flat_map(|line| words(line, line.trim_start().starts_with("//"))).collect()
}

/// The id at the beginning of the name of a test: `gw_sr_12_a_restart_replaces_the_head`.
fn id_of_name(name: &str) -> Option<String> {
    let parts: Vec<&str> = name.splitn(4, '_').take(3).collect();
    let id = parts.join("-").to_ascii_uppercase();
    is_id(&id).then_some(id)
}

pub(super) fn cases_by_id(cases: &[Case]) -> BTreeMap<String, BTreeMap<(String, String), usize>> {
    let mut by_id: BTreeMap<String, BTreeMap<(String, String), usize>> = BTreeMap::new();
    for case in cases {
        let name = case.id.split('/').next().unwrap_or_default().to_owned();
        for id in &case.shows {
            *by_id.entry(id.clone()).or_default().entry((case.place.file.clone(), name.clone())).or_default() += 1;
        }
    }
    by_id
}

/// Every source file of the workspace but those of the trace, whose tests are full of ids that they do not show.
pub(super) fn rust_files(root: &Path) -> io::Result<Vec<PathBuf>> {
    let is_own = |path: &Path| path.ends_with("src/trace.rs") || path.ends_with("src/trace/sources.rs");
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
            } else if path.extension().is_some_and(|extension| extension == "rs") && !is_own(&path) {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// The tests of a source file, each with the ids that stand in it, in the comments above it, or in its name.
///
/// In a file of a `tests` folder every function counts: many are run for each server by a macro.
pub(super) fn tests_of(text: &str, in_tests: bool) -> Vec<(String, BTreeSet<String>)> {
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
        let mut ids = ids_in(&lines[start..=end]);
        ids.extend(id_of_name(&name));
        tests.push((name, ids));
    }
    tests
}

/// The notes: table rows of an id, a state and a reason.
pub(super) fn notes(text: &str) -> Result<Vec<Note>, String> {
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
/// Says GW-SR-10, F05.
#[test]
fn first() {
    // and H1-FRM-05, but not H1-FRM-5 or XX-YY-01
    assert!(true, \"(CGI-HDR-11), F06\");
}

// GW-SR-11 belongs to nothing.

#[test]
fn h1_neg_02_weights() {}
";
        let tests = tests_of(text, false);
        let ids = |n: usize| tests[n].1.iter().map(String::as_str).collect::<Vec<_>>();
        assert_eq!(tests.len(), 2);
        assert_eq!(tests[0].0, "first");
        assert_eq!(ids(0), ["CGI-HDR-11", "F05", "GW-SR-10", "H1-FRM-05"]);
        assert_eq!((tests[1].0.as_str(), ids(1)), ("h1_neg_02_weights", vec!["H1-NEG-02"]));
        let text = "/// GW-CL-01\nfn on_each(server: &str) {\n    body();\n}\n";
        assert_eq!(tests_of(text, true)[0].0, "on_each");
        assert!(tests_of(text, false).is_empty());
    }

    #[test]
    fn names_that_are_no_ids() {
        for name in ["gw", "gw_sr", "gw_sr_1", "gw_sr_123", "get_sr_12", "gw_s1_12", "first"] {
            assert_eq!(id_of_name(name), None, "{name}");
        }
        assert_eq!(id_of_name("cgi_rsp_21").as_deref(), Some("CGI-RSP-21"));
    }

    #[test]
    fn rows_of_a_list_are_requirements() {
        let rows = rows(
            "| Id | Level | Requirement | Source | Layer | Test |\n|---|---|---|---|---|---|\n| H1-GEN-01 | MUST NOT | a \\| b | s | types | t |\n| C-01 | x |\n",
        );
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0].level.as_str(), rows[0].who.as_str(), rows[0].group()), ("MUST NOT", "types", "H1-GEN"));
    }
}
