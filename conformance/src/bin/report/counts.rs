//! `report counts`: figures that a noisy machine does not change.
//!
//! Each is the difference between two runs of different length divided by the requests between
//! them, so that starting, connecting and ending do not count.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use conformance::load::{Load, SCENARIOS, Scenario, ServerProcess, Until};

use crate::args::Plan;
use crate::output::Output;
use crate::serve::Server;
use crate::table::{Table, thousands};

/// Requests in the shorter and in the longer run.
const CALL_RUNS: [u64; 2] = [2_048, 8_192];
const INSTRUCTION_RUNS: [u64; 2] = [800, 3_200];

/// A tool that stands between this program and a server.
#[derive(Clone, Copy)]
enum Tool {
    /// `strace -c`: system calls.
    Calls,
    /// `valgrind --tool=callgrind`: instructions in user space.
    Instructions,
    /// `valgrind --tool=memcheck`: calls of the allocator.
    Heap,
}

/// Prints one table per tool that is installed.
pub(crate) fn run(plan: &Plan, out: &mut Output) -> io::Result<()> {
    let plaintext = named("plaintext");
    let folder = std::env::temp_dir().join(format!("gateway-report-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let single = |name| named(name).with(1, 1);
    let calls = [
        ("1 connection", plaintext.with(1, 1)),
        ("1, pipelined 16", plaintext.with(1, 16)),
        ("64 connections", plaintext.with(64, 1)),
        ("64, pipelined 16", plaintext.with(64, 16)),
    ];
    let work = [
        ("plaintext", single("plaintext")),
        ("pipelined 16", plaintext.with(1, 16)),
        ("browser", single("browser")),
        ("browsing", single("browsing")),
        ("json", single("json")),
        ("echo", single("echo")),
        ("book", single("book")),
    ];
    if installed("strace", out)? {
        writeln!(out, "### System calls per request\n")?;
        // One after the other: what is scheduled when decides how often a server sleeps.
        table(plan, &calls, 1, out, |server, scenario| calls_of(plan, server, scenario, &folder))?;
    }
    if installed("valgrind", out)? {
        let at_once = thread::available_parallelism().map_or(1, usize::from);
        writeln!(out, "### Instructions in user space per request, one connection\n")?;
        table(plan, &work, at_once, out, |server, scenario| {
            let count = |text: &str| after(text, "Collected : ");
            let [first, second] = twice(plan, server, scenario, Tool::Instructions, &folder)?;
            let [first, second] = [count(&first)?, count(&second)?];
            Ok(thousands(per_request(first, second, INSTRUCTION_RUNS)))
        })?;
        writeln!(out, "### Calls of the allocator per request (bytes asked for), one connection\n")?;
        table(plan, &work, at_once, out, |server, scenario| {
            let [first, second] = twice(plan, server, scenario, Tool::Heap, &folder)?;
            let between = |label: &str| -> io::Result<f64> {
                let [first, second] = [after(&first, label)?, after(&second, label)?];
                Ok(per_request(first, second, INSTRUCTION_RUNS))
            };
            let (calls, bytes) = (between("total heap usage: ")?, between(" frees, ")?);
            Ok(format!("{calls:.2} ({})", thousands(bytes)))
        })?;
    }
    fs::remove_dir_all(&folder)
}

fn named(name: &str) -> Scenario {
    Scenario::named(name).unwrap_or(SCENARIOS[0])
}

/// Whether a tool can be started; says so when not.
fn installed(tool: &str, out: &mut Output) -> io::Result<bool> {
    let silent = Command::new(tool).arg("--version").stdout(Stdio::null()).status();
    let found = silent.is_ok_and(|status| status.success());
    if !found {
        writeln!(out, "{tool} is not installed: its figures are left out.\n")?;
    }
    Ok(found)
}

/// Fills a table, so many cells at once; what went wrong follows below it.
fn table(
    plan: &Plan,
    loads: &[(&str, Scenario)],
    at_once: usize,
    out: &mut Output,
    measure: impl Fn(&Server, &Scenario) -> io::Result<String> + Sync,
) -> io::Result<()> {
    let takes_part = |server: &Server| loads.iter().any(|load| (server.declines)(load.1.shape).is_none());
    let servers: Vec<&Server> = plan.servers.iter().copied().filter(|server| takes_part(server)).collect();
    let cells = Mutex::new(vec![vec![String::new(); loads.len()]; servers.len()]);
    let troubles = Mutex::new(Vec::new());
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some((row, column)) = Some(next.fetch_add(1, Ordering::Relaxed))
            .map(|index| (index / loads.len(), index % loads.len()))
            .filter(|(row, _)| *row < servers.len())
        {
            let (server, (name, scenario)) = (servers[row], &loads[column]);
            let text = match (server.declines)(scenario.shape) {
                Some(_) => String::new(),
                None => measure(server, scenario).unwrap_or_else(|error| {
                    troubles
                        .lock()
                        .unwrap_or_else(|poison| poison.into_inner())
                        .push(format!("{} on {name}: {error}", server.name));
                    "failed".into()
                }),
            };
            cells.lock().unwrap_or_else(|poison| poison.into_inner())[row][column] = text;
        }
    };
    thread::scope(|scope| (0..at_once).for_each(|_| drop(scope.spawn(work))));
    let mut table = Table::new(["server"].into_iter().chain(loads.iter().map(|load| load.0)));
    let cells = cells.into_inner().unwrap_or_else(|poison| poison.into_inner());
    for (server, cells) in servers.iter().zip(cells) {
        table.row([server.name.to_owned()].into_iter().chain(cells));
    }
    write!(out, "{table}")?;
    let troubles = troubles.into_inner().unwrap_or_else(|poison| poison.into_inner());
    if !troubles.is_empty() {
        troubles.iter().try_for_each(|trouble| writeln!(out, "- {trouble}"))?;
        writeln!(out)?;
    }
    Ok(())
}

/// The sum, and the calls that are made at least once in a hundred requests.
fn calls_of(plan: &Plan, server: &Server, scenario: &Scenario, folder: &Path) -> io::Result<String> {
    let [first, second] = twice(plan, server, scenario, Tool::Calls, folder)?;
    let [first, second] = [calls(&first), calls(&second)];
    let mut sum = 0.0;
    let mut parts: Vec<(f64, &str)> = Vec::new();
    for (name, count) in &second {
        let before = first.get(name).copied().unwrap_or(0);
        let count = per_request(before as f64, *count as f64, CALL_RUNS);
        sum += count;
        if count >= 0.01 {
            parts.push((count, name));
        }
    }
    parts.sort_by(|one, other| other.0.total_cmp(&one.0));
    let parts: Vec<String> = parts.iter().map(|(count, name)| format!("{name} {count:.2}")).collect();
    Ok(format!("{sum:.2}: {}", parts.join(", ")))
}

/// What a tool wrote about a shorter and a longer run.
fn twice(plan: &Plan, server: &Server, scenario: &Scenario, tool: Tool, folder: &Path) -> io::Result<[String; 2]> {
    // Others may be at work beside this.
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let file = folder.join(format!("tool-{}.txt", NUMBER.fetch_add(1, Ordering::Relaxed)));
    let lengths = match tool {
        Tool::Calls => CALL_RUNS,
        Tool::Instructions | Tool::Heap => INSTRUCTION_RUNS,
    };
    let mut texts = lengths.map(|_| String::new());
    for (text, length) in texts.iter_mut().zip(lengths) {
        let mut options = plan.options(server, scenario)?;
        options.wrapper = tool.wrapper(&file);
        options.cpus.clear();
        let process = ServerProcess::start(&options)?;
        let mut load = Load::new(process.address(), scenario.workload())?;
        load.greet()?;
        load.run(Until::Responses(length))?;
        process.stop()?;
        *text = fs::read_to_string(&file)?;
    }
    Ok(texts)
}

impl Tool {
    fn wrapper(self, file: &PathBuf) -> Vec<OsString> {
        let mut words: Vec<OsString> = Vec::new();
        let fixed: &[&str] = match self {
            Self::Calls => &["strace", "-c", "-f", "-o"],
            Self::Instructions => &["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"],
            Self::Heap => &["valgrind", "--tool=memcheck", "--leak-check=no", "--undef-value-errors=no"],
        };
        words.extend(fixed.iter().map(OsString::from));
        match self {
            Self::Calls => words.push(file.into()),
            Self::Instructions | Self::Heap => {
                let mut log = OsString::from("--log-file=");
                log.push(file);
                words.push(log);
            }
        }
        words
    }
}

fn per_request(first: f64, second: f64, lengths: [u64; 2]) -> f64 {
    ((second - first) / (lengths[1] - lengths[0]) as f64).max(0.0)
}

/// The number behind a label, its thousands separated by commas.
fn after(text: &str, label: &str) -> io::Result<f64> {
    let missing = || io::Error::other(format!("the tool did not say {label:?}"));
    let rest = text.split_once(label).ok_or_else(missing)?.1;
    let digits: String = rest.chars().take_while(|c| c.is_ascii_digit() || *c == ',').filter(|c| *c != ',').collect();
    digits.parse().map_err(|_| missing())
}

/// Reads the summary of `strace -c`: the fourth column is the count, the last the name.
fn calls(text: &str) -> BTreeMap<String, u64> {
    let row = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let count = words.get(3)?.parse().ok()?;
        let name = words.last().filter(|name| **name != "total")?;
        Some(((*name).to_owned(), count))
    };
    text.lines().filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_are_read() {
        let text = "\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 52.10    0.051234           5     10001         2 recvfrom
 47.90    0.047000           4     10000           sendto
------ ----------- ----------- --------- --------- ----------------
100.00    0.098234           4     20001         2 total
";
        let calls = calls(text);
        assert_eq!(
            calls.into_iter().collect::<Vec<_>>(),
            [("recvfrom".to_owned(), 10_001), ("sendto".to_owned(), 10_000),]
        );
        let heap = "==1==   total heap usage: 1,234 allocs, 1,200 frees, 56,789 bytes allocated";
        assert_eq!(after(heap, "total heap usage: ").ok(), Some(1234.0));
        assert_eq!(after(heap, " frees, ").ok(), Some(56_789.0));
        assert!(after(heap, "Collected : ").is_err());
    }
}
