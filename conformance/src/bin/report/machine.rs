//! What a reader must know about the machine and the moment.

use std::fs;
use std::io::{self, Write};
use std::process::{Command, Stdio};
use std::thread;
use std::time::SystemTime;

use crate::output::Output;

/// Prints the time, the machine, the compiler and the commit, as far as they can be found.
pub(crate) fn print(out: &mut Output) -> io::Result<()> {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let model = model().map_or_else(String::new, |model| format!(" ({model})"));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    writeln!(out, "- begun {}, load average {}", now(), load_average())?;
    writeln!(out, "- {processors} processor(s){model}, Linux {}", kernel.trim())?;
    if let Some(compiler) = said("rustc", &["--version"]) {
        let build =
            if cfg!(debug_assertions) { "**debug build: no figure below means anything**" } else { "release build" };
        writeln!(out, "- {compiler}, {build}")?;
    }
    if let Some(commit) = said("git", &["describe", "--always", "--dirty", "--exclude", "*"]) {
        writeln!(out, "- commit {commit}")?;
    }
    writeln!(out, "- made by `report {}`\n", std::env::args().skip(1).collect::<Vec<_>>().join(" "))
}

/// Prints the time at the end, and what else the machine was doing by then.
pub(crate) fn end(out: &mut Output) -> io::Result<()> {
    writeln!(out, "Ended {}, load average {}.", now(), load_average())
}

fn now() -> String {
    httpdate::fmt_http_date(SystemTime::now())
}

/// Over 1, 5 and 15 minutes.
fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}

fn model() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    line.split_once(':').map(|(_, model)| model.trim().to_owned())
}

/// The first line of a program's answer, if it has one.
pub(crate) fn said(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.lines().next().filter(|_| output.status.success()).map(str::to_owned)
}
