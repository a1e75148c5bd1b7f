//! `report counts`: figures that a noisy machine does not change.
//!
//! Each is the difference between two runs of different length divided by the requests between
//! them, so that starting, connecting and ending do not count.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use conformance::load::{Load, SCENARIOS, Scenario, ServerProcess, Until};

use crate::args::Plan;
use crate::serve::Server;
use crate::table::{Table, thousands};

/// Requests in the shorter and in the longer run.
const CALL_RUNS: [u64; 2] = [3_200, 16_000];
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
pub(crate) fn run(plan: &Plan) -> io::Result<()> {
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
        ("json", single("json")),
        ("echo", single("echo")),
    ];
    if installed("strace") {
        println!("### System calls per request\n");
        table(plan, &calls, |server, scenario| calls_of(plan, server, scenario, &folder));
    }
    if installed("valgrind") {
        println!("### Instructions in user space per request, one connection\n");
        table(plan, &work, |server, scenario| {
            let count = |text: &str| after(text, "Collected : ");
            let [first, second] = twice(plan, server, scenario, Tool::Instructions, &folder)?;
            let [first, second] = [count(&first)?, count(&second)?];
            Ok(thousands(per_request(first, second, INSTRUCTION_RUNS)))
        });
        println!("### Calls of the allocator per request (bytes asked for), one connection\n");
        table(plan, &work, |server, scenario| {
            let [first, second] = twice(plan, server, scenario, Tool::Heap, &folder)?;
            let between = |label: &str| -> io::Result<f64> {
                let [first, second] = [after(&first, label)?, after(&second, label)?];
                Ok(per_request(first, second, INSTRUCTION_RUNS))
            };
            let (calls, bytes) = (between("total heap usage: ")?, between(" frees, ")?);
            Ok(format!("{calls:.2} ({})", thousands(bytes)))
        });
    }
    fs::remove_dir_all(&folder)
}

fn named(name: &str) -> Scenario {
    Scenario::named(name).unwrap_or(SCENARIOS[0])
}

/// Whether a tool can be started; says so when not.
fn installed(tool: &str) -> bool {
    let silent = Command::new(tool).arg("--version").stdout(Stdio::null()).status();
    let found = silent.is_ok_and(|status| status.success());
    if !found {
        println!("{tool} is not installed: its figures are left out\n");
    }
    found
}

fn table(plan: &Plan, loads: &[(&str, Scenario)], measure: impl Fn(&Server, &Scenario) -> io::Result<String>) {
    let mut table = Table::new(["server"].into_iter().chain(loads.iter().map(|load| load.0)));
    for server in &plan.servers {
        let cell = |(name, scenario): &(&str, Scenario)| {
            measure(server, scenario).unwrap_or_else(|error| {
                eprintln!("{} on {name}: {error}", server.name);
                "–".into()
            })
        };
        table.row([server.name.to_owned()].into_iter().chain(loads.iter().map(cell)));
    }
    table.print();
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
    let file = folder.join("tool.txt");
    let lengths = match tool {
        Tool::Calls => CALL_RUNS,
        Tool::Instructions | Tool::Heap => INSTRUCTION_RUNS,
    };
    let mut texts = lengths.map(|_| String::new());
    for (text, length) in texts.iter_mut().zip(lengths) {
        let mut options = plan.options(server, scenario)?;
        options.wrapper = tool.wrapper(&file);
        let process = ServerProcess::start(&options)?;
        let mut load = Load::new(process.address(), scenario.workload())?;
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
