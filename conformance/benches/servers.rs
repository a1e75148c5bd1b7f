//! `cargo bench -p conformance --bench servers`: servers side by side with the bare loops.
//!
//! Criterion measures one thing after the other, so a noisy minute would fall on one server alone. Here all servers of a
//! group run at the same time and take turns: whenever Criterion wants more time of one of them, every one of them gets
//! a turn, and the turns of the others are kept until Criterion asks for them. What the machine does to one, it does to
//! all.
//!
//! `report` measures more, above all processor time; this is the quick look. One group alone: `-- pipelined`.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use conformance::load::{
    Load, SCENARIOS, Scenario, ServerOptions, ServerProcess, Until, compared, pin, placement, raise_descriptor_limit,
};
use criterion::{Criterion, SamplingMode, Throughput, criterion_group, criterion_main};

/// Turns before measuring. A server that fails in them is left out of the group.
const TRIAL: usize = 3;

/// A server in its process, and its load.
struct Lane {
    load: Load,
    /// Turns that were measured and not yet asked for.
    turns: VecDeque<Duration>,
    name: String,
    /// Keeps the process alive.
    _process: ServerProcess,
}

impl Lane {
    fn start(name: &str, scenario: &Scenario) -> io::Result<Self> {
        let process = ServerProcess::start(&ServerOptions {
            program: program(),
            wrapper: Vec::new(),
            name: name.to_owned(),
            scenario: scenario.name.to_owned(),
            threads: 1,
            cpus: placement(1).0,
        })?;
        let load = Load::new(process.address(), scenario.workload())?;
        Ok(Self { load, turns: VecDeque::new(), name: name.to_owned(), _process: process })
    }

    /// One that answered some turns.
    fn tried(name: &str, scenario: &Scenario, turn: u64) -> io::Result<Self> {
        let mut lane = Self::start(name, scenario)?;
        lane.load.greet()?;
        for _ in 0..TRIAL {
            lane.load.run(Until::Responses(turn))?;
        }
        Ok(lane)
    }
}

fn program() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_report"))
}

/// Gives every lane a turn of `turn` requests.
fn round(lanes: &mut [Lane], turn: u64) -> io::Result<()> {
    for lane in lanes {
        let measured = lane.load.run(Until::Responses(turn))?;
        lane.turns.push_back(measured.elapsed);
    }
    Ok(())
}

/// The time for `count` requests to one lane, from its next turns.
fn time(lanes: &mut [Lane], index: usize, count: u64, turn: u64) -> io::Result<Duration> {
    let turns = count.div_ceil(turn);
    let mut sum = Duration::ZERO;
    for _ in 0..turns {
        if lanes[index].turns.is_empty() {
            round(lanes, turn)?;
        }
        sum += lanes[index].turns.pop_front().unwrap_or_default();
    }
    Ok(sum.mul_f64(count as f64 / (turns * turn) as f64))
}

fn servers(criterion: &mut Criterion) {
    raise_descriptor_limit().expect("descriptors");
    pin(&placement(1).1).expect("the processors of the load");
    let compared = compared(&program()).expect("the report program");
    for scenario in SCENARIOS {
        let name = scenario.name;
        // Some milliseconds, whole batches on every connection.
        let turn = (8 * scenario.connections * scenario.depth).max(400) as u64;
        let servers = compared.iter().filter(|pair| pair.1 == name).map(|pair| pair.0.as_str());
        let start = |server: &str| {
            Lane::tried(server, scenario, turn).inspect_err(|error| eprintln!("{name}: without {server}: {error}")).ok()
        };
        let lanes = RefCell::new(servers.filter_map(start).collect::<Vec<Lane>>());
        let servers: Vec<String> = lanes.borrow().iter().map(|lane| lane.name.clone()).collect();
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(1)).sample_size(10).sampling_mode(SamplingMode::Flat);
        group.warm_up_time(Duration::from_nanos(1)).measurement_time(Duration::from_secs(2));
        for (index, server) in servers.iter().enumerate() {
            let mut planned = false;
            group.bench_function(server.as_str(), |bencher| {
                let mut lanes = lanes.borrow_mut();
                if lanes[index].turns.is_empty() {
                    round(&mut lanes, turn).unwrap_or_else(|error| panic!("{server}: {error}"));
                }
                bencher.iter_custom(|count| {
                    let begun = Instant::now();
                    let time = time(&mut lanes, index, count, turn);
                    let time = time.unwrap_or_else(|error| panic!("{server}: {error}"));
                    // Criterion plans by the clock on the wall, which must agree the first time.
                    while !planned && begun.elapsed() < time {
                        std::hint::spin_loop();
                    }
                    planned = true;
                    time
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, servers);
criterion_main!(benches);
