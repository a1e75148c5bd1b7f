//! One table per scenario: everything that was measured under a load.

use std::io::{self, Write};

use conformance::load::Histogram;

use crate::output::Output;
use crate::results::{Outcome, Row};
use crate::table::{Spread, Table, duration, thousands};

/// Prints the table.
pub(crate) fn print(outcome: &Outcome, out: &mut Output) -> io::Result<()> {
    let scenario = &outcome.scenario;
    writeln!(out, "### {}: {} connections, {} at once\n", scenario.name, scenario.connections, scenario.depth)?;
    if let Some(ceiling) = scenario.ceiling() {
        writeln!(
            out,
            "At most {} requests/s are possible; p50, p99 and max are of the fast ones.\n",
            thousands(ceiling)
        )?;
    }
    let limits = outcome.limits();
    let has_slow = scenario.ceiling().is_some();
    let mut titles: Vec<String> = vec!["server".into(), "requests/s".into()];
    titles.extend(limits.first().map(|limit| format!("server ÷ {}", limit.server.name)));
    titles.push("CPU µs/request".into());
    titles.extend(limits.iter().map(|limit| format!("CPU: {} ÷ server", limit.server.name)));
    titles.extend(["p50", "p99", "max"].map(String::from));
    if has_slow {
        titles.extend(["slow p50", "slow p99", "slow max"].map(String::from));
    }
    titles.push("peak RSS MiB".into());
    let mut table = Table::new(titles);
    outcome.rows.iter().for_each(|row| table.row(cells(row, &limits, has_slow)));
    write!(out, "{table}")
}

fn cells(row: &Row, limits: &[&Row], has_slow: bool) -> Vec<String> {
    let Some(rate) = row.spread(|sample| sample.rate) else {
        return vec![row.server.name.to_owned(), "failed".to_owned()];
    };
    let text = |spread: Option<Spread>| spread.map_or("–".into(), |spread| spread.to_string());
    let mut cells = vec![row.server.name.to_owned(), thousands(rate.median)];
    cells.extend(limits.first().map(|limit| text(row.rate_against(limit))));
    cells.push(row.spread(|sample| sample.cpu / 1e3).map_or("–".into(), |cpu| format!("{:.2}", cpu.median)));
    cells.extend(limits.iter().map(|limit| text(row.cpu_against(limit))));
    cells.extend(latencies(&row.latencies(|sample| &sample.fast)));
    if has_slow {
        cells.extend(latencies(&row.latencies(|sample| &sample.slow)));
    }
    let peak = row.samples.iter().flatten().filter_map(|sample| sample.peak).max();
    cells.push(peak.map_or("–".into(), |peak| format!("{:.1}", peak as f64 / 1024.0)));
    cells
}

fn latencies(all: &Histogram) -> [String; 3] {
    [all.percentile(50.0), all.percentile(99.0), all.max()].map(duration)
}
