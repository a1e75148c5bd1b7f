//! Puts faults into the servers, one at a time, and shows that the suite catches each.
//!
//! ```text
//! cargo run -p conformance --example faults --no-default-features [-- word …]
//! ```
//!
//! The faults are in `conformance/faults/`, a file for each package. A copy of the workspace in `target/faults` gets the
//! fault, the named cases and tests run on the server, whole, and at least one has to fail. A word chooses packages and
//! faults whose names contain it. See `conformance/faults/README.md`.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output};

use conformance::trace::workspace;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The packages that get faults: the servers, and what both stand on.
const PACKAGES: [&str; 3] = ["server-threaded", "server-mio", "gateway-spec"];

fn main() -> Result<ExitCode> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let root = workspace();
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let target = std::path::absolute(target)?;
    let tree = target.join("faults");
    copy_workspace(&root, &tree)?;
    // Not this target folder: for Cargo the two workspaces are the same, and one would get what was built for the other.
    let target = tree.join("target");
    let mut uncaught = 0;
    println!("| fault | in | caught by |\n|---|---|---|");
    for package in PACKAGES {
        let servers = if package == "gateway-spec" { &PACKAGES[..2] } else { &[package] };
        let file = root.join("conformance/faults").join(package).with_extension("md");
        for fault in read(&fs::read_to_string(&file)?).map_err(|error| format!("{}: {error}", file.display()))? {
            let name = format!("{package} {}", fault.name);
            if !words.is_empty() && !words.iter().any(|word| name.contains(word.as_str())) {
                continue;
            }
            let before = fault.put_into(&tree.join(package).join("src")).map_err(|error| format!("{name}: {error}"))?;
            for server in servers {
                let caught = fault.try_on(server, &tree, &target);
                uncaught += usize::from(!matches!(&caught, Ok(by) if !by.is_empty()));
                let caught = match caught {
                    Ok(by) if by.is_empty() => "**nothing**".to_owned(),
                    Ok(by) => by,
                    Err(error) => format!("**not tried**: {error}"),
                };
                let at = if *server == package { package.to_owned() } else { format!("{package}, on {server}") };
                println!("| {} | {at} | {caught} |", fault.title);
            }
            for (path, text) in before {
                fs::write(path, text)?;
            }
        }
    }
    Ok(if uncaught == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Copies what git knows or would add. What is the same stays untouched, so that little is built again.
fn copy_workspace(from: &Path, to: &Path) -> Result<()> {
    let git = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let files = Command::new("git").args(git).current_dir(from).output()?;
    if !files.status.success() {
        return Err("git ls-files has failed".into());
    }
    let files = String::from_utf8(files.stdout)?;
    let files: Vec<&str> = files.split_terminator('\0').collect();
    let mut old = BTreeMap::new();
    for package in PACKAGES {
        // What was moved would be found twice.
        sources(&to.join(package).join("src"), &mut old).unwrap_or_default();
    }
    for path in old.keys().filter(|path| !files.iter().any(|file| to.join(file) == **path)) {
        fs::remove_file(path)?;
    }
    for file in files {
        let (source, copy) = (from.join(file), to.join(file));
        // A file that was removed is still in the index.
        let Ok(content) = fs::read(&source) else { continue };
        if fs::read(&copy).is_ok_and(|old| old == content) {
            continue;
        }
        if let Some(folder) = copy.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&copy, content)?;
    }
    Ok(())
}

/// A fault: a section of a file.
#[derive(Default)]
struct Fault {
    name: String,
    title: String,
    /// Words for cases, and beginnings of names of contract tests.
    cases: Vec<String>,
    tests: Vec<String>,
    /// Why it cannot be built, if it cannot.
    impossible: Option<String>,
    /// What is searched for, and what comes in its place.
    changes: Vec<(String, String)>,
}

fn read(text: &str) -> std::result::Result<Vec<Fault>, String> {
    let mut faults: Vec<Fault> = Vec::new();
    let mut block: Option<(bool, Vec<&str>)> = None;
    for (number, line) in text.lines().enumerate() {
        let mistake = |what: &str| format!("line {}: {what}", number + 1);
        if let Some((is_find, lines)) = &mut block {
            if line.trim() != "```" {
                lines.push(line);
                continue;
            }
            let fault = faults.last_mut().ok_or_else(|| mistake("a block before the first fault"))?;
            let text = lines.join("\n");
            match (*is_find, fault.changes.last_mut()) {
                (true, _) => fault.changes.push((text, String::new())),
                (false, Some((_, replace))) => *replace = text,
                (false, None) => return Err(mistake("replace without find")),
            }
            block = None;
        } else if let Some(heading) = line.strip_prefix("## ") {
            let (name, title) = heading.split_once(": ").ok_or_else(|| mistake("a heading is `## name: title`"))?;
            faults.push(Fault { name: name.to_owned(), title: title.to_owned(), ..Fault::default() });
        } else if let Some(fault) = faults.last_mut() {
            let words = |text: &str| text.split_whitespace().map(str::to_owned).collect();
            match line.split_once(": ") {
                Some(("Cases", cases)) => fault.cases = words(cases),
                Some(("Tests", tests)) => fault.tests = words(tests),
                Some(("Builds", why)) => fault.impossible = Some(why.trim_start_matches("no, because ").to_owned()),
                _ if line == "```find" => block = Some((true, Vec::new())),
                _ if line == "```replace" => block = Some((false, Vec::new())),
                _ if line.is_empty() => {}
                _ => return Err(mistake("this is nothing")),
            }
        }
    }
    Ok(faults)
}

impl Fault {
    /// Changes the files of a folder, and gives what they were before.
    fn put_into(&self, folder: &Path) -> Result<BTreeMap<PathBuf, String>> {
        let mut before = BTreeMap::new();
        sources(folder, &mut before)?;
        let files = self.change(before.clone())?;
        let mut changed = BTreeMap::new();
        for (path, text) in before {
            if files[&path] != text {
                fs::write(&path, &files[&path])?;
                changed.insert(path, text);
            }
        }
        Ok(changed)
    }

    /// The texts with the fault in them, which has to have one place and no other.
    fn change(&self, mut files: BTreeMap<PathBuf, String>) -> Result<BTreeMap<PathBuf, String>> {
        for (find, replace) in &self.changes {
            let places: Vec<(PathBuf, usize, usize)> = (files.iter())
                .flat_map(|(path, text)| occurrences(text, find).into_iter().map(|(a, b)| (path.clone(), a, b)))
                .collect();
            let [(path, start, end)] = &places[..] else {
                return Err(format!("{find:?} is there {} times, not once", places.len()).into());
            };
            if let Some(text) = files.get_mut(path) {
                text.replace_range(*start..*end, replace);
            }
        }
        Ok(files)
    }

    /// What fails, by the fault; nothing if it is not caught.
    fn try_on(&self, server: &str, tree: &Path, target: &Path) -> Result<String> {
        let cargo = |arguments: &[&str]| {
            let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
            command.args(arguments).current_dir(tree).env("CARGO_TARGET_DIR", target);
            command.output()
        };
        // A warning about a fault is no news.
        let built = cargo(&["test", "-q", "-p", "conformance", "--test", "wire", "--test", "contract", "--no-run"])?;
        let errors = String::from_utf8_lossy(&built.stderr).into_owned();
        match (&self.impossible, built.status.success()) {
            (None, true) => {}
            (Some(why), false) if errors.contains("error[E") => return Ok(format!("the compiler: {why}")),
            (Some(_), true) => return Err("it can be built".into()),
            (_, false) => {
                return Err(errors
                    .lines()
                    .find(|line| line.starts_with("error"))
                    .unwrap_or("it does not build")
                    .into());
            }
        }
        let mut caught = Vec::new();
        if !self.cases.is_empty() {
            let mut arguments = vec!["test", "-q", "-p", "conformance", "--test", "wire", "--", "--whole", server];
            arguments.extend(self.cases.iter().map(String::as_str));
            let failed = failures(&cargo(&arguments)?, |line| line.strip_prefix("FAILED ")?.split(' ').next())?;
            caught.extend(failed);
        }
        if !self.tests.is_empty() {
            let module = server.replace('-', "_");
            let names: Vec<String> = self.tests.iter().map(|test| format!("{module}::{test}")).collect();
            let mut arguments = vec!["test", "-p", "conformance", "--test", "contract", "--"];
            arguments.extend(names.iter().map(String::as_str));
            let failed = failures(&cargo(&arguments)?, |line| line.strip_prefix("test ")?.strip_suffix(" ... FAILED"))?;
            caught.extend(failed);
        }
        let more = caught.len().saturating_sub(4);
        caught.truncate(4);
        Ok(caught.join(", ") + &if more > 0 { format!(" and {more} more") } else { String::new() })
    }
}

/// The names in the lines of failures; an error if the program failed in another way.
fn failures(output: &Output, name: impl Fn(&str) -> Option<&str>) -> Result<Vec<String>> {
    let text = String::from_utf8_lossy(&output.stdout);
    let failed: Vec<String> = text.lines().filter_map(name).map(|name| format!("`{name}`")).collect();
    if output.status.success() != failed.is_empty() {
        let errors = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{}: {}", output.status, errors.lines().last().unwrap_or_default()).into());
    }
    Ok(failed)
}

fn sources(folder: &Path, files: &mut BTreeMap<PathBuf, String>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            sources(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path)?;
            files.insert(path, text);
        }
    }
    Ok(())
}

/// Where a text stands, whatever the indentation of its lines and of those of the wanted text.
fn occurrences(text: &str, wanted: &str) -> Vec<(usize, usize)> {
    // The text without the blanks at the beginnings of lines, and where each octet of it was.
    let (mut flat, mut places, mut at) = (String::new(), Vec::new(), 0);
    for line in text.split_inclusive('\n') {
        let start = line.len() - line.trim_start_matches(' ').len();
        flat.push_str(&line[start..]);
        places.extend(at + start..at + line.len());
        at += line.len();
    }
    let wanted: Vec<&str> = wanted.lines().map(str::trim).collect();
    let wanted = wanted.join("\n");
    flat.match_indices(&wanted).map(|(index, _)| (places[index], places[index + wanted.len() - 1] + 1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Trying them takes minutes; that they can be tried is seen at once.
    #[test]
    fn every_fault_has_its_place() {
        let root = workspace();
        for package in PACKAGES {
            let text = fs::read_to_string(root.join("conformance/faults").join(package).with_extension("md")).unwrap();
            let mut files = BTreeMap::new();
            sources(&root.join(package).join("src"), &mut files).unwrap();
            for fault in read(&text).unwrap() {
                if let Err(error) = fault.change(files.clone()) {
                    panic!("{package} {}: {error}", fault.name);
                }
            }
        }
    }
}
