//! `cargo bench -p conformance --bench servers`: servers side by side with the bare loops.
//!
//! Criterion measures one thing after the other, so a noisy minute would fall on one server alone. Here all servers of a
//! group run at the same time and take turns: whenever Criterion wants more time of one of them, every one of them gets
//! a turn, and the turns of the others are kept until Criterion asks for them. What the machine does to one, it does to
//! all.
//!
//! `report` measures more, above all processor time; this is the quick look.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use conformance::load::{Load, Scenario, ServerOptions, ServerProcess, Until, pin, placement, raise_descriptor_limit};
use criterion::{Criterion, SamplingMode, Throughput, criterion_group, criterion_main};

/// The servers, in the order of the results.
const SERVERS: &[&str] = &[
    "limit-epoll",
    "limit-threaded",
    "server-mio",
    "server-threaded",
    #[cfg(feature = "peers")]
    "hyper",
    #[cfg(feature = "peers")]
    "axum",
    #[cfg(feature = "peers")]
    "actix-web",
    #[cfg(feature = "peers")]
    "may",
    #[cfg(feature = "peers")]
    "tiny_http",
];
/// The scenarios of `report` that are looked at here.
const GROUPS: &[&str] = &["plaintext-1", "plaintext", "pipelined", "json", "browser", "echo", "download"];
/// A server in its process, and its load.
struct Lane {
    load: Load,
    /// Turns that were measured and not yet asked for.
    turns: VecDeque<Duration>,
    /// Keeps the process alive.
    _process: ServerProcess,
}

impl Lane {
    fn start(name: &str, scenario: &Scenario) -> io::Result<Self> {
        let process = ServerProcess::start(&ServerOptions {
            program: PathBuf::from(env!("CARGO_BIN_EXE_report")),
            wrapper: Vec::new(),
            name: name.to_owned(),
            scenario: scenario.name.to_owned(),
            threads: 1,
            cpus: placement(1).0,
        })?;
        let mut load = Load::new(process.address(), scenario.workload())?;
        load.run(Until::Elapsed(Duration::from_millis(100)))?;
        Ok(Self { load, turns: VecDeque::new(), _process: process })
    }
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
    for name in GROUPS {
        let scenario = Scenario::named(name).expect("a scenario");
        let start = |name: &&str| Lane::start(name, &scenario).unwrap_or_else(|error| panic!("{name}: {error}"));
        let lanes = RefCell::new(SERVERS.iter().map(start).collect::<Vec<Lane>>());
        // Some milliseconds, whole batches on every connection.
        let turn = (8 * scenario.connections * scenario.depth).max(400) as u64;
        let mut group = criterion.benchmark_group(*name);
        group.throughput(Throughput::Elements(1)).sample_size(10).sampling_mode(SamplingMode::Flat);
        group.warm_up_time(Duration::from_nanos(1)).measurement_time(Duration::from_secs(2));
        for (index, server) in SERVERS.iter().enumerate() {
            let mut planned = false;
            group.bench_function(*server, |bencher| {
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
