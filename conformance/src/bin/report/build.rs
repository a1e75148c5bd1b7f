//! `report build`: what a hello-world on each server costs to build, and how large it is.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::args::Plan;
use crate::hellos::{HELLOS, Hello};
use crate::output::Output;
use crate::table::Table;

/// Whose lines about other crates are used.
const MANIFEST: &str = include_str!("../../../Cargo.toml");
const WORKSPACE_MANIFEST: &str = include_str!("../../../../Cargo.toml");

/// What building one showed.
struct Built {
    crates: usize,
    clock: Duration,
    processors: Duration,
    size: u64,
}

/// Builds each in an empty folder and prints a table.
pub(crate) fn run(plan: &Plan, out: &mut Output) -> io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let folder = std::env::temp_dir().join(format!("gateway-hello-{}", std::process::id()));
    writeln!(
        out,
        "Clean release builds, one after the other, symbols stripped; the versions of this workspace's lock file."
    )?;
    writeln!(out, "Crates: all that are linked, without the program itself and without what only builds it.\n")?;
    let mut table = Table::new(["hello-world on", "crates", "build, clock s", "build, processors s", "program KiB"]);
    let mut troubles = Vec::new();
    for hello in HELLOS.iter().filter(|hello| plan.servers.iter().any(|server| server.name == hello.server)) {
        eprintln!("report: building on {}", hello.server);
        let built = build(hello, &root, &folder);
        // The next needs an empty one; what cannot be removed shows there.
        let _ = fs::remove_dir_all(&folder);
        match built {
            Ok(Built { crates, clock, processors, size }) => table.row([
                hello.server.to_owned(),
                crates.to_string(),
                format!("{:.1}", clock.as_secs_f64()),
                format!("{:.1}", processors.as_secs_f64()),
                (size / 1024).to_string(),
            ]),
            Err(error) => {
                table.row([hello.server, "failed"]);
                troubles.push(format!("- {}: {error}", hello.server));
            }
        }
    }
    write!(out, "{table}")?;
    if !troubles.is_empty() {
        writeln!(out, "{}\n", troubles.join("\n"))?;
    }
    Ok(())
}

fn build(hello: &Hello, root: &Path, folder: &Path) -> io::Result<Built> {
    fs::create_dir_all(folder.join("src"))?;
    fs::write(folder.join("Cargo.toml"), manifest(hello, root)?)?;
    fs::write(folder.join("src/main.rs"), hello.source)?;
    fs::copy(root.join("Cargo.lock"), folder.join("Cargo.lock"))?;
    // What has to be fetched is fetched now and not on the clock.
    cargo(folder, &["fetch"])?;
    let tree = cargo(folder, &["tree", "--offline", "-e", "normal", "--prefix", "none", "--no-dedupe"])?;
    let crates: BTreeSet<&str> = tree.lines().filter(|line| !line.is_empty()).collect();
    let (since, before) = (Instant::now(), children_time()?);
    cargo(folder, &["build", "--release", "--offline"])?;
    let (clock, processors) = (since.elapsed(), children_time()?.saturating_sub(before));
    let size = fs::metadata(folder.join("target/release/hello"))?.len();
    Ok(Built { crates: crates.len().saturating_sub(1), clock, processors, size })
}

/// A package of its own.
fn manifest(hello: &Hello, root: &Path) -> io::Result<String> {
    let mut text = String::from(
        "[package]\nname = \"hello\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[workspace]\n\n\
         [profile.release]\nstrip = true\n\n[dependencies]\n",
    );
    for name in hello.dependencies {
        text += &match root.join(name).canonicalize() {
            Ok(path) => format!("{name} = {{ path = {path:?} }}\n"),
            Err(_) => dependency(name).ok_or_else(|| io::Error::other(format!("no version of {name}")))?,
        };
    }
    Ok(text)
}

/// The line of a manifest about another crate, which is not optional here.
fn dependency(name: &str) -> Option<String> {
    let lines = || MANIFEST.lines().chain(WORKSPACE_MANIFEST.lines());
    let found = |start: &str| lines().find(|line| line.starts_with(&format!("{name} = {start}")));
    let line = found("{ version").or_else(|| found("\""))?;
    Some(line.replace(", optional = true", "") + "\n")
}

/// Runs cargo in a folder, and gives what it said.
fn cargo(folder: &Path, arguments: &[&str]) -> io::Result<String> {
    let mut command = Command::new("cargo");
    command.args(arguments).current_dir(folder).env("CARGO_TARGET_DIR", folder.join("target")).stdin(Stdio::null());
    let output = command.output()?;
    match output.status.success() {
        true => String::from_utf8(output.stdout).map_err(io::Error::other),
        false => {
            let said = String::from_utf8_lossy(&output.stderr);
            let last = said.lines().rev().find(|line| line.starts_with("error")).unwrap_or("nothing said");
            Err(io::Error::other(format!("cargo {}: {last}", arguments[0])))
        }
    }
}

/// The processor time of all children that ended, and of theirs.
fn children_time() -> io::Result<Duration> {
    let text = fs::read_to_string("/proc/self/stat")?;
    // Fields 16 and 17, counted from 1; the second may hold blanks, and ends with the last parenthesis.
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |index: usize| fields.get(index - 3).and_then(|field| field.parse::<u64>().ok());
    let sum = ticks(16).zip(ticks(17)).map(|(user, system)| user + system);
    let per_second = rustix::param::clock_ticks_per_second();
    sum.map(|sum| Duration::from_millis(sum * 1000 / per_second)).ok_or_else(|| io::Error::other("no /proc/self/stat"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dependency_is_found() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for hello in HELLOS {
            let manifest = manifest(hello, &root).expect(hello.server);
            assert_eq!(manifest.matches("optional").count(), 0, "{manifest}");
            let wanted = hello.dependencies.len();
            assert_eq!(
                manifest.split("[dependencies]\n").nth(1).expect("a list").lines().count(),
                wanted,
                "{manifest}"
            );
        }
    }

    #[test]
    fn the_time_of_children_counts() {
        let before = children_time().expect("a time");
        let spin = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done";
        assert!(Command::new("sh").args(["-c", spin]).status().expect("a shell").success());
        assert!(children_time().expect("a time") > before);
    }
}
