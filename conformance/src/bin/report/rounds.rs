//! `report load`: every server in turn, again and again, so that a noisy moment hits all alike.
//!
//! In a round all servers run, and the load goes from one to the next every few milliseconds. A machine that is shared with
//! others is half as fast for a tenth of a second, or for a minute: the first hits all servers of a round, the second all
//! rounds of a while.

use std::io::{self, Write};
use std::time::Duration;

use conformance::load::{Histogram, Load, Scenario, ServerProcess, Shape, Until, pin};

use crate::args::Plan;
use crate::output::Output;
use crate::plot;
use crate::results::{Outcome, Row, Sample};
use crate::scenarios;
use crate::serve::{Kind, Server};
use crate::summary;

/// Before each round: connections are made, and the program and its caches warm up.
const WARM_UP: Duration = Duration::from_millis(150);
/// How long the load stays with a server at least: many times what it takes to fill the processor's caches.
const SLICE: Duration = Duration::from_millis(50);
/// And how many times as long as its answers take: at the beginning and at the end of a slice not all connections are busy.
const LATENCIES: u32 = 20;
/// What starting and ending a server takes, for the estimate.
const STARTING: Duration = Duration::from_millis(50);
/// A server that answers nothing for so long has failed.
const PATIENCE: Duration = Duration::from_secs(3);
/// After so many failed rounds of a scenario a server is left out of the others: they cost more time than all else.
const ENOUGH: usize = 2;

/// Measures everything, then prints the summary and a table per scenario.
pub(crate) fn run(plan: &Plan, out: &mut Output) -> io::Result<()> {
    let (servers, load) = plan.placement();
    let threads = plan.threads;
    write!(out, "Rounds: {} of {:?} each. Serving threads: {threads}", plan.rounds, plan.time)?;
    match load.is_empty() {
        true => writeln!(out, "; servers and load on the same processors.\n")?,
        false => writeln!(out, "; servers on processors {servers:?}, the load on {load:?}.\n")?,
    }
    let takes_part = |(server, scenario): (&&Server, &Scenario)| (server.declines)(scenario.shape).is_none();
    let pairs = plan.servers.iter().flat_map(|server| plan.scenarios.iter().map(move |scenario| (server, scenario)));
    let runs = pairs.filter(|pair| takes_part(*pair)).count() * plan.rounds;
    let estimate = (plan.time + WARM_UP + STARTING).mul_f64(runs as f64);
    eprintln!("report: {runs} runs, about {:.0} minutes", (estimate.as_secs_f64() / 60.0).ceil());
    let mut outcomes = Vec::new();
    for (index, scenario) in plan.scenarios.iter().enumerate() {
        eprintln!("report: scenario {} of {}: {}", index + 1, plan.scenarios.len(), scenario.name);
        outcomes.push(outcome(plan, *scenario)?);
    }
    let svg = plot::svg(&outcomes);
    if let Some(path) = &plan.svg {
        std::fs::write(path, &svg)?;
    }
    out.picture("Processor time and requests/s of every server, as ratios to a bare event loop", &svg)?;
    summary::print(&outcomes, out)?;
    outcomes.iter().try_for_each(|outcome| scenarios::print(outcome, out))?;
    absent(plan, &outcomes, out)
}

/// All rounds of one scenario.
fn outcome(plan: &Plan, scenario: Scenario) -> io::Result<Outcome> {
    let servers = plan.servers.iter().filter(|server| (server.declines)(scenario.shape).is_none());
    let mut rows: Vec<Row> = servers.map(|server| Row { server, samples: Vec::new(), failures: Vec::new() }).collect();
    let load = plan.placement().1;
    // A thread of its own, so that what is started later may use all processors again.
    let measured = std::thread::scope(|scope| {
        let rows = &mut rows;
        let rounds = move || {
            pin(&load)?;
            for number in 0..plan.rounds {
                // A different server goes first each time.
                let first = number % rows.len().max(1);
                let mut order: Vec<&mut Row> = rows.iter_mut().collect();
                order.rotate_left(first);
                // What some of a mix's requests take is as long as a slice, and some servers close connections that idle.
                let at_once = if scenario.shape == Shape::Mix { 1 } else { order.len().max(1) };
                order.chunks_mut(at_once).for_each(|rows| round(plan, &scenario, rows));
            }
            Ok(())
        };
        scope.spawn(rounds).join()
    });
    measured.unwrap_or_else(|panic| std::panic::resume_unwind(panic)).map(|()| Outcome { scenario, rows })
}

/// One round of some servers.
fn round(plan: &Plan, scenario: &Scenario, rows: &mut [&mut Row]) {
    let takes_part = |row: &Row| row.failures.len() < ENOUGH;
    let start = |row: &&mut Row| takes_part(row).then(|| Contestant::start(plan, row.server, scenario));
    let mut contestants: Vec<Option<io::Result<Contestant>>> = rows.iter().map(start).collect();
    let steps = plan.time.div_duration_f64(SLICE).ceil().max(1.0) as u32;
    for step in 0..steps {
        // Who has longer slices has run ahead, and waits.
        let done = plan.time * step / steps;
        for contestant in contestants.iter_mut().flatten() {
            if let Ok(running) = contestant
                && running.time <= done
                && let Err(error) = running.run(running.slice.max(plan.time / steps).min(plan.time - running.time))
            {
                *contestant = Err(error);
            }
        }
    }
    for (row, contestant) in rows.iter_mut().zip(contestants) {
        let sample = contestant.map(|contestant| contestant.and_then(|contestant| contestant.finish(row.server)));
        if let Some(Err(error)) = &sample {
            eprintln!("report: {} on {}: {error}", row.server.name, scenario.name);
            row.failures.push(error.to_string());
        }
        row.samples.push(sample.and_then(Result::ok));
    }
}

/// A server in a round, its load, and what was measured so far.
struct Contestant {
    process: ServerProcess,
    load: Load,
    slice: Duration,
    time: Duration,
    cpu: Duration,
    responses: u64,
    /// Those that came in time.
    on_time: f64,
    fast: Histogram,
    slow: Histogram,
}

impl Contestant {
    fn start(plan: &Plan, server: &Server, scenario: &Scenario) -> io::Result<Self> {
        let process = ServerProcess::start(&plan.options(server, scenario)?)?;
        let mut workload = scenario.workload();
        workload.patience = PATIENCE;
        let mut load = Load::new(process.address(), workload)?;
        load.greet()?;
        let warm = load.run(Until::Elapsed(WARM_UP))?;
        let latency = warm.fast.percentile(99.0).max(warm.slow.percentile(99.0));
        Ok(Self {
            process,
            load,
            slice: latency * LATENCIES,
            time: Duration::ZERO,
            cpu: Duration::ZERO,
            responses: 0,
            on_time: 0.0,
            fast: Histogram::default(),
            slow: Histogram::default(),
        })
    }

    fn run(&mut self, time: Duration) -> io::Result<()> {
        let before = self.process.cpu_time()?;
        let measured = self.load.run(Until::Elapsed(time))?;
        self.cpu += self.process.cpu_time()?.saturating_sub(before);
        self.time += time;
        self.responses += measured.responses;
        self.on_time += measured.rate * time.as_secs_f64();
        self.fast.merge(&measured.fast);
        self.slow.merge(&measured.slow);
        Ok(())
    }

    fn finish(self, server: &Server) -> io::Result<Sample> {
        let peak = match server.kind {
            Kind::External => None,
            _ => Some(self.process.memory()?.peak),
        };
        drop(self.load);
        self.process.stop()?;
        if self.responses == 0 {
            return Err(io::Error::other("no answer within the measured time"));
        }
        Ok(Sample {
            rate: self.on_time / self.time.as_secs_f64(),
            cpu: self.cpu.as_nanos() as f64 / self.responses as f64,
            fast: self.fast,
            slow: self.slow,
            peak,
        })
    }
}

/// Who has no figure, and why.
fn absent(plan: &Plan, outcomes: &[Outcome], out: &mut Output) -> io::Result<()> {
    writeln!(out, "### Not measured, and failed rounds\n")?;
    let mut lines: Vec<String> = Vec::new();
    for server in &plan.servers {
        // The same reason for several scenarios is said once.
        let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
        for scenario in &plan.scenarios {
            let Some(reason) = (server.declines)(scenario.shape) else { continue };
            match reasons.iter_mut().find(|known| known.0 == reason) {
                Some((_, names)) => names.push(scenario.name),
                None => reasons.push((reason, vec![scenario.name])),
            }
        }
        lines.extend(reasons.iter().map(|(why, names)| format!("{} on {}: {why}", server.name, names.join(", "))));
    }
    for (outcome, row) in outcomes.iter().flat_map(|outcome| outcome.rows.iter().map(move |row| (outcome, row))) {
        if let Some(reason) = row.failures.last() {
            let (server, scenario) = (row.server.name, outcome.scenario.name);
            let answered = row.samples.iter().flatten().count();
            lines.push(format!(
                "{server} on {scenario}: **failed**, {answered} of {} rounds left: {reason}",
                plan.rounds
            ));
        }
    }
    if lines.is_empty() {
        lines.push("none".into());
    }
    lines.iter().try_for_each(|line| writeln!(out, "- {line}"))?;
    writeln!(out)
}
