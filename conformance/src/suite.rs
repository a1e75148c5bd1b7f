//! [`run`]: every case on a server, in every way to cut it, with a report a person can read.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::case::{Case, End};
use crate::client::{self, Pieces, all_pieces};
use crate::harness::{Harness, Limits, Running};
use crate::probe::{Probe, Recorder};
use crate::verdict::differences;

/// How cases are run.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Whether cases are also sent octet by octet and split at every place.
    pub split: bool,
    /// How many cases run at once.
    pub threads: usize,
}

impl Default for Options {
    fn default() -> Self {
        // Most of the time of a case is waiting.
        let cores = thread::available_parallelism().map_or(2, usize::from);
        Self { split: true, threads: cores * 4 }
    }
}

/// What came of the cases on one server.
#[derive(Debug, Default)]
pub struct Report {
    /// The server's name.
    pub server: String,
    /// Passed and failed cases for each group.
    pub groups: BTreeMap<String, (usize, usize)>,
    /// The cases that failed.
    pub failures: Vec<Failure>,
    /// How many connections' worth of cases were sent, every way to cut them counted.
    pub runs: usize,
    /// How long it took.
    pub time: Duration,
}

/// A case that failed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The case's id.
    pub id: String,
    /// Its title.
    pub title: String,
    /// Where it stands.
    pub place: String,
    /// What it shows.
    pub shows: Vec<String>,
    /// How it was cut.
    pub pieces: Pieces,
    /// What differs.
    pub differences: Vec<String>,
}

impl Report {
    /// How many cases passed.
    #[must_use]
    pub fn passed(&self) -> usize {
        self.groups.values().map(|(passed, _)| passed).sum()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for failure in &self.failures {
            writeln!(f, "FAILED {} ({}; {:?}): {}", failure.id, failure.place, failure.pieces, failure.title)?;
            writeln!(f, "    shows {}", failure.shows.join(", "))?;
            for difference in &failure.differences {
                writeln!(f, "    {difference}")?;
            }
        }
        let (passed, failed) = (self.passed(), self.failures.len());
        writeln!(
            f,
            "{}: {passed} cases passed, {failed} failed ({} runs in {:.1?})",
            self.server, self.runs, self.time
        )?;
        for (group, (passed, failed)) in &self.groups {
            writeln!(f, "    {group:<12} {passed:>4} passed {failed:>4} failed")?;
        }
        Ok(())
    }
}

/// A server with a probe of its own.
pub struct Instance {
    /// The server.
    pub running: Box<dyn Running>,
    /// What its application saw.
    pub recorder: Arc<Recorder>,
}

impl Instance {
    /// Starts a server with these limits, and with deadlines that nothing waits for where they say nothing
    /// ([`Limits::patient`]).
    ///
    /// # Errors
    /// As the harness says.
    pub fn start(harness: &dyn Harness, limits: &Limits) -> io::Result<Self> {
        let recorder = Arc::new(Recorder::default());
        let running = harness.start(Arc::new(Probe::new(Arc::clone(&recorder))?), &limits.patient())?;
        Ok(Self { running, recorder })
    }

    /// Sends a case once and compares.
    #[must_use]
    pub fn try_case(&self, case: &Case, pieces: Pieces) -> Vec<String> {
        let address = self.running.address();
        let transcripts = match client::run(case, address, pieces, &|port| self.recorder.forget(port)) {
            Ok(transcripts) => transcripts,
            Err(error) => return vec![format!("no connection: {error}")],
        };
        let ports: Vec<u16> = transcripts.iter().map(|transcript| transcript.port).collect();
        // The question whether a connection is still there is a call too.
        let questions = case.connections.iter().filter(|outcome| outcome.end == End::Open).count();
        let least = case.calls.iter().flatten().min().copied().unwrap_or(0);
        let seen = self.recorder.take(&ports, least + questions);
        differences(case, address, &transcripts, &seen)
    }
}

/// Runs cases on a server.
///
/// A case that fails as written is not cut; one that fails cut is reported for the first cut that fails.
///
/// # Errors
/// If the server cannot be started.
pub fn run(harness: &dyn Harness, cases: &[Case], options: Options) -> io::Result<Report> {
    let begin = Instant::now();
    let mut instances: HashMap<&Limits, Instance> = HashMap::new();
    for case in cases {
        if !instances.contains_key(&case.limits) {
            instances.insert(&case.limits, Instance::start(harness, &case.limits)?);
        }
    }
    let next = AtomicUsize::new(0);
    let runs = AtomicUsize::new(0);
    let results: Mutex<Vec<(usize, Option<Failure>)>> = Mutex::default();
    thread::scope(|scope| {
        for _ in 0..options.threads {
            scope.spawn(|| {
                while let Some((number, case)) =
                    Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|n| Some((n, cases.get(n)?)))
                {
                    let failure = run_case(&instances[&case.limits], case, options.split, &runs);
                    results.lock().unwrap_or_else(PoisonError::into_inner).push((number, failure));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by_key(|(number, _)| *number);
    let mut report = Report {
        server: harness.name().to_owned(),
        runs: runs.into_inner(),
        time: begin.elapsed(),
        ..Report::default()
    };
    for (number, failure) in results {
        let counts = report.groups.entry(cases[number].group().to_owned()).or_default();
        if failure.is_some() {
            counts.1 += 1;
        } else {
            counts.0 += 1;
        }
        report.failures.extend(failure);
    }
    Ok(report)
}

fn run_case(instance: &Instance, case: &Case, split: bool, runs: &AtomicUsize) -> Option<Failure> {
    let all = if split { all_pieces(case) } else { vec![Pieces::Whole] };
    all.into_iter().find_map(|pieces| {
        runs.fetch_add(1, Ordering::Relaxed);
        let differences = instance.try_case(case, pieces);
        (!differences.is_empty()).then(|| Failure {
            id: case.id.clone(),
            title: case.title.clone(),
            place: case.place.to_string(),
            shows: case.shows.clone(),
            pieces,
            differences,
        })
    })
}
