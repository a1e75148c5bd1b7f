//! `report load`: every server in turn, again and again, so that a noisy minute hits all alike.

use std::io;
use std::time::Duration;

use conformance::load::{Histogram, Load, Scenario, ServerProcess, Until, pin};

use crate::args::Plan;
use crate::plot::Plot;
use crate::serve::Server;
use crate::table::{Spread, Table, duration, thousands};

/// Before each measurement: connections are made, caches and branch predictors warm up.
const WARM_UP: Duration = Duration::from_millis(200);
/// What ratios compare with, when they take part.
const LIMITS: [&str; 2] = ["limit-epoll", "limit-threaded"];

/// One server in one round of one scenario.
struct Sample {
    rate: f64,
    /// Processor time of the server per request, in nanoseconds.
    cpu: f64,
    fast: Histogram,
    slow: Histogram,
    /// Peak resident memory, KiB.
    peak: u64,
}

/// The rounds of one server; a failed round is `None`.
struct Row {
    server: &'static Server,
    samples: Vec<Option<Sample>>,
}

/// Measures and prints a table per scenario as soon as it is complete.
pub(crate) fn run(plan: &Plan) -> io::Result<()> {
    let (servers, load) = plan.placement();
    if load.is_empty() {
        println!("{} threads per server; servers and load share all processors", plan.threads);
    } else {
        pin(&load)?;
        println!("{} threads per server on processors {servers:?}; load on {load:?}", plan.threads);
    }
    println!("{} rounds of {:?} each\n", plan.rounds, plan.time);
    let mut plot = Plot::new(format!("Processor time per request: {} ÷ server (1 is the limit)", LIMITS[0]));
    for scenario in &plan.scenarios {
        let mut rows: Vec<Row> = plan.servers.iter().map(|server| Row { server, samples: Vec::new() }).collect();
        for round in 0..plan.rounds {
            // A different server goes first each time.
            for index in 0..rows.len() {
                let index = (index + round) % plan.servers.len();
                let row = &mut rows[index];
                let sample = measure(plan, row.server, scenario).inspect_err(|error| {
                    eprintln!("{} on {}: {error}", row.server.name, scenario.name);
                });
                row.samples.push(sample.ok());
            }
        }
        print(scenario, &rows);
        if let Some(limit) = rows.iter().find(|row| row.server.name == LIMITS[0]) {
            let bar = |row: &Row| Some((row.server.name.to_owned(), row.cpu_ratio(limit)?));
            plot.group(scenario.name, rows.iter().filter_map(bar).collect());
        }
    }
    match &plan.svg {
        Some(path) => std::fs::write(path, plot.svg()),
        None => Ok(()),
    }
}

fn measure(plan: &Plan, server: &Server, scenario: &Scenario) -> io::Result<Sample> {
    let mut process = ServerProcess::start(&plan.options(server, scenario)?)?;
    let mut load = Load::new(process.address(), scenario.workload())?;
    load.run(Until::Elapsed(WARM_UP))?;
    let before = process.cpu_time()?;
    let measured = load.run(Until::Elapsed(plan.time))?;
    let cpu = process.cpu_time()? - before;
    let peak = process.memory()?.peak;
    process.stop()?;
    Ok(Sample {
        rate: measured.rate,
        cpu: cpu.as_nanos() as f64 / measured.responses.max(1) as f64,
        fast: measured.fast,
        slow: measured.slow,
        peak,
    })
}

impl Row {
    fn spread(&self, figure: impl Fn(&Sample) -> f64) -> Option<Spread> {
        Spread::of(self.samples.iter().flatten().map(figure))
    }

    /// The figure of this server against that of `other` in the same round.
    fn ratio(&self, other: &Self, ratio: impl Fn(&Sample, &Sample) -> f64) -> Option<Spread> {
        let pairs = self.samples.iter().zip(&other.samples);
        Spread::of(pairs.filter_map(|(mine, theirs)| Some(ratio(mine.as_ref()?, theirs.as_ref()?))))
    }

    /// The processor time of a limit against that of this server.
    fn cpu_ratio(&self, limit: &Self) -> Option<Spread> {
        self.ratio(limit, |mine, limit| limit.cpu / mine.cpu)
    }

    fn latencies(&self, part: impl Fn(&Sample) -> &Histogram) -> [String; 3] {
        let mut all = Histogram::default();
        self.samples.iter().flatten().for_each(|sample| all.merge(part(sample)));
        [all.percentile(50.0), all.percentile(99.0), all.max()].map(duration)
    }
}

fn print(scenario: &Scenario, rows: &[Row]) {
    let Scenario { name, connections, depth, .. } = scenario;
    println!("### {name}: {connections} connections, {depth} at once\n");
    if let Some(ceiling) = scenario.ceiling() {
        println!("At most {} requests/s are possible.\n", thousands(ceiling));
    }
    let limits: Vec<&Row> = LIMITS.iter().filter_map(|name| rows.iter().find(|row| row.server.name == *name)).collect();
    let has_slow = scenario.ceiling().is_some();
    let mut titles: Vec<String> = vec!["server".into(), "requests/s".into()];
    if let Some(limit) = limits.first() {
        titles.push(format!("÷ {}", limit.server.name));
    }
    titles.push("CPU µs/request".into());
    for limit in &limits {
        titles.push(format!("CPU: {} ÷ server", limit.server.name));
    }
    titles.extend(["p50", "p99", "max"].map(String::from));
    if has_slow {
        titles.extend(["slow p50", "slow p99", "slow max"].map(String::from));
    }
    titles.push("peak RSS MiB".into());
    let mut table = Table::new(titles);
    for row in rows {
        let Some(rate) = row.spread(|sample| sample.rate) else {
            table.row([row.server.name, "failed"]);
            continue;
        };
        let text = |spread: Option<Spread>| spread.map_or("–".into(), |spread| spread.to_string());
        let mut cells = vec![row.server.name.to_owned(), thousands(rate.median)];
        if let Some(limit) = limits.first() {
            let ratio = row.ratio(limit, |mine, limit| mine.rate / limit.rate);
            cells.push(ratio.map_or("–".into(), |ratio| format!("{:.2}", ratio.median)));
        }
        cells.push(row.spread(|sample| sample.cpu / 1e3).map_or("–".into(), |cpu| format!("{:.2}", cpu.median)));
        for limit in &limits {
            cells.push(text(row.cpu_ratio(limit)));
        }
        cells.extend(row.latencies(|sample| &sample.fast));
        if has_slow {
            cells.extend(row.latencies(|sample| &sample.slow));
        }
        let peak = row.spread(|sample| sample.peak as f64 / 1024.0);
        cells.push(peak.map_or("–".into(), |peak| format!("{:.1}", peak.greatest)));
        let failed = row.samples.iter().filter(|sample| sample.is_none()).count();
        if failed > 0 {
            cells.push(format!("{failed} rounds failed"));
        }
        table.row(cells);
    }
    table.print();
}
