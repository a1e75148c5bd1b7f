//! Our servers against all others, one table for each: the answer to "is it faster?".

use std::io::{self, Write};

use crate::output::Output;
use crate::results::{Outcome, Row};
use crate::serve::{Kind, Server};
use crate::table::{Spread, Table};

/// Prints two tables and what is behind, for each of our servers.
pub(crate) fn print(outcomes: &[Outcome], out: &mut Output) -> io::Result<()> {
    let mut subjects: Vec<&'static Server> = Vec::new();
    for row in outcomes.iter().flat_map(|outcome| &outcome.rows).filter(|row| row.is_ours()) {
        if !subjects.iter().any(|known| known.name == row.server.name) {
            subjects.push(row.server);
        }
    }
    for subject in subjects {
        let others = others(outcomes, subject);
        if others.is_empty() {
            continue;
        }
        let name = subject.name;
        writeln!(out, "### {name} against the others\n")?;
        writeln!(out, "Processor time per request, other ÷ {name} (above 1: {name} needs less):\n")?;
        write!(out, "{}", table(outcomes, subject, &others, Row::cpu_against))?;
        writeln!(out, "Requests/s, {name} ÷ other (above 1: {name} answers more):\n")?;
        write!(out, "{}", table(outcomes, subject, &others, Row::rate_against))?;
        behind(outcomes, subject, "processor time", Row::cpu_against, out)?;
        behind(outcomes, subject, "requests/s", Row::rate_against, out)?;
        writeln!(out)?;
    }
    Ok(())
}

/// The servers that ours are compared with, in their order: never one of ours with another.
fn others(outcomes: &[Outcome], subject: &Server) -> Vec<&'static str> {
    let mut names: Vec<&'static str> = Vec::new();
    for outcome in outcomes.iter().filter(|outcome| outcome.row(subject.name).is_some()) {
        for row in outcome.rows.iter().filter(|row| !row.is_ours()) {
            if !names.contains(&row.server.name) {
                names.push(row.server.name);
            }
        }
    }
    names
}

type Ratio = fn(&Row, &Row) -> Option<Spread>;

fn table(outcomes: &[Outcome], subject: &Server, others: &[&'static str], ratio: Ratio) -> Table {
    let mut table = Table::new(["scenario"].into_iter().chain(others.iter().copied()));
    for outcome in outcomes {
        let Some(mine) = outcome.row(subject.name) else { continue };
        let cell = |name: &&str| {
            outcome.row(name).map_or("".into(), |other| match ratio(mine, other) {
                Some(spread) => spread.to_string(),
                None => "failed".into(),
            })
        };
        table.row([outcome.scenario.name.to_owned()].into_iter().chain(others.iter().map(cell)));
    }
    table
}

/// The scenarios in which a peer is ahead. A limit always may be.
fn behind(outcomes: &[Outcome], subject: &Server, of: &str, ratio: Ratio, out: &mut Output) -> io::Result<()> {
    let mut found: Vec<String> = Vec::new();
    let mut compared = 0;
    for outcome in outcomes {
        let Some(mine) = outcome.row(subject.name) else { continue };
        for other in outcome.rows.iter().filter(|row| matches!(row.server.kind, Kind::Peer | Kind::External)) {
            let Some(spread) = ratio(mine, other) else { continue };
            compared += 1;
            if spread.median < 1.0 {
                found.push(format!("{} on {} {spread}", other.server.name, outcome.scenario.name));
            }
        }
    }
    match found.len() {
        _ if compared == 0 => Ok(()),
        0 => writeln!(out, "- In {of}: ahead of every peer, {compared} comparisons."),
        count => writeln!(out, "- In {of}: behind in {count} of {compared} comparisons: {}.", found.join("; ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::row;
    use conformance::load::SCENARIOS;

    #[test]
    fn who_is_behind_is_said() {
        let rows = vec![
            row("limit-epoll", &[Some((10.0, 1.0))]),
            row("server-mio", &[Some((5.0, 2.0))]),
            row("waitress", &[Some((4.0, 1.0))]),
            row("gunicorn", &[None]),
        ];
        let mut out = Output::new(None);
        print(&[Outcome { scenario: SCENARIOS[1], rows }], &mut out).expect("printed");
        let text = String::from_utf8(out.text().to_vec()).expect("UTF-8");
        // Of the limit nothing is said, and what failed is no comparison.
        assert!(
            text.contains("In processor time: behind in 1 of 1 comparisons: waitress on plaintext 0.50."),
            "{text}"
        );
        assert!(text.contains("In requests/s: ahead of every peer, 1 comparisons."), "{text}");
        assert!(text.contains("| plaintext |        0.50 |     0.50 |   failed |"), "{text}");
    }
}
