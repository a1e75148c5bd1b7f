//! Every wire case on every server: whole, octet by octet, and split at every place.
//!
//! ```text
//! cargo test -p conformance --test wire [-- [--whole] [--list] [word …]]
//! ```
//!
//! A word chooses servers and cases whose names contain it. This is a program of its own, so that its summary is always
//! seen: cases passed and failed for each server and group, and how many requirements the trace shows.

mod common;

use std::process::ExitCode;

use conformance::case;
use conformance::suite::{self, Options};
use conformance::trace::Trace;

fn main() -> ExitCode {
    let mut options = Options::default();
    let mut list = false;
    let mut words: Vec<String> = Vec::new();
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--whole" => options.split = false,
            "--list" => list = true,
            // Flags of the standard test runner mean nothing here.
            flag if flag.starts_with('-') => {}
            _ => words.push(argument),
        }
    }
    let mut cases = match case::read_folder(&case::folder()) {
        Ok(cases) => cases,
        Err(mistake) => {
            println!("{mistake}");
            return ExitCode::FAILURE;
        }
    };
    let whole_suite = words.is_empty();
    let mut servers = common::servers();
    let (of_servers, of_cases): (Vec<String>, Vec<String>) =
        words.into_iter().partition(|word| servers.iter().any(|server| server.name().contains(word.as_str())));
    servers
        .retain(|server| of_servers.is_empty() || of_servers.iter().any(|word| server.name().contains(word.as_str())));
    cases.retain(|case| of_cases.is_empty() || of_cases.iter().any(|word| case.id.contains(word.as_str())));
    if list {
        for server in &servers {
            for case in &cases {
                println!("{}::{}: test", server.name(), case.id);
            }
        }
        return ExitCode::SUCCESS;
    }
    println!("{} cases of {}", cases.len(), case::folder().file_name().unwrap_or_default().display());
    let mut failed = 0;
    for server in servers {
        match suite::run(&*server, &cases, options) {
            Ok(report) => {
                failed += report.failures.len();
                println!("{report}");
            }
            Err(error) => {
                failed += 1;
                println!("{} does not start: {error}", server.name());
            }
        }
    }
    if whole_suite {
        match Trace::read() {
            Ok(trace) => print!("The trace:\n{}", trace.summary()),
            Err(mistake) => println!("The trace cannot be read: {mistake}"),
        }
    }
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
