//! The suite against a server that is not ours, as a program: a table of the cases that fail, for people to read.

use std::process::ExitCode;

use crate::case;
use crate::harness::Harness;
use crate::suite::{self, Failure, Options, Report};

/// What an RFC only advises: an error without a text, a connection closed without notice, the version in the answer.
const ADVICE: [&str; 3] = ["H1-CODE-02", "H1-CON-05", "H1-VER-02"];

/// Runs the cases on a server and prints the table.
///
/// The arguments of the process: `--whole` sends the cases as written only; words choose cases whose names contain one;
/// `--except word` leaves some out, for a server whose process does not survive them.
pub fn main(server: &dyn Harness) -> ExitCode {
    let mut options = Options::default();
    let (mut words, mut without) = (Vec::new(), Vec::new());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--whole" => options.split = false,
            "--except" => without.extend(arguments.next()),
            _ => words.push(argument),
        }
    }
    let mut cases = match case::read_folder(&case::folder()) {
        Ok(cases) => cases,
        Err(mistake) => {
            eprintln!("{mistake}");
            return ExitCode::FAILURE;
        }
    };
    cases.retain(|case| {
        let has = |word: &String| case.id.contains(word.as_str());
        (words.is_empty() || words.iter().any(has)) && !without.iter().any(has)
    });
    match suite::run(server, &cases, options) {
        Ok(report) => {
            print!("{}", table(&report));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{} does not start: {error}", server.name());
            ExitCode::FAILURE
        }
    }
}

/// What failed, in Markdown: a row for each group of cases, and last those that differ in advice only.
#[must_use]
pub fn table(report: &Report) -> String {
    let is_advice = |difference: &&String| ADVICE.iter().any(|id| difference.contains(id));
    let (advice, rest): (Vec<&Failure>, Vec<&Failure>) =
        report.failures.iter().partition(|failure| failure.differences.iter().all(|difference| is_advice(&difference)));
    let mut text = format!(
        "{} cases passed, {} failed; of these, {} only in what the RFC advises.\n\n",
        report.passed(),
        report.failures.len(),
        advice.len()
    );
    text.push_str("| cases | shows | what differs, in the first of them |\n|---|---|---|\n");
    let name = |failure: &Failure| failure.id.split('/').next().unwrap_or_default().to_owned();
    for group in rest.chunk_by(|a, b| name(a) == name(b)) {
        let first = group[0];
        let difference = first.differences.iter().find(|difference| !is_advice(difference)).map_or("", String::as_str);
        let difference = difference.replace('|', "\\|").replace('<', "&lt;");
        let shows = first.shows.join(", ");
        text.push_str(&format!("| `{}` ×{} | {shows} | {difference} |\n", name(first), group.len()));
    }
    let mut names: Vec<String> = advice.iter().map(|failure| format!("`{}`", name(failure))).collect();
    names.dedup();
    if !names.is_empty() {
        text.push_str(&format!("\nOnly advice, in some or all of their rows: {}.\n", names.join(", ")));
    }
    text
}
