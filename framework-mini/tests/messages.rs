//! The messages of typical mistakes are part of the product: exactly one error each, which names the culprit.
//!
//! `tests/messages/*.rs` are programs with one mistake. The first line of each says what the error must contain, after
//! `//~ `, parts divided by ` | `. They are checked by the compiler in one run, in a crate made for it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use framework_mini::{App, Error};
use serde_json::Value;

#[test]
fn each_mistake_has_one_clear_message() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let work = Path::new(env!("CARGO_TARGET_TMPDIR")).join("messages");
    let bins = work.join("src/bin");
    let _ = fs::remove_dir_all(&bins);
    fs::create_dir_all(&bins).unwrap();
    fs::copy(here.join("../Cargo.lock"), work.join("Cargo.lock")).unwrap();
    let manifest = format!(
        "[package]\nname = \"messages\"\nedition = \"2024\"\n[dependencies]\nframework-mini = {{ path = {here:?}, default-features = false, features = [\"forms\"] }}\n\
         serde = {{ version = \"1\", features = [\"derive\"] }}\n[workspace]\n"
    );
    fs::write(work.join("Cargo.toml"), manifest).unwrap();

    let mut expected: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for entry in fs::read_dir(here.join("tests/messages")).unwrap() {
        let path = entry.unwrap().path();
        let source = fs::read_to_string(&path).unwrap();
        let first = source.lines().next().and_then(|line| line.strip_prefix("//~ "));
        let parts = first.unwrap_or_else(|| panic!("{path:?} does not say what to expect"));
        expected.insert(
            path.file_stem().unwrap().to_str().unwrap().to_owned(),
            parts.split(" | ").map(str::to_owned).collect(),
        );
        fs::copy(&path, bins.join(path.file_name().unwrap())).unwrap();
    }
    assert_eq!(expected.len(), 13);

    let output = Command::new(env!("CARGO"))
        .args(["check", "--offline", "--quiet", "--keep-going", "--bins", "--message-format=json"])
        .current_dir(&work)
        .env("CARGO_TARGET_DIR", work.join("target"))
        .output()
        .unwrap();
    let mut found: BTreeMap<String, Vec<(String, bool)>> = BTreeMap::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let message = &line["message"];
        // "aborting due to 1 previous error" has no place; warnings are not the subject.
        if message["level"] == "error" && !message["spans"].as_array().unwrap().is_empty() {
            let spans = message["spans"].as_array().unwrap();
            let primary = |span: &&Value| span["is_primary"] == true;
            let in_program =
                spans.iter().filter(primary).all(|span| span["file_name"].as_str().unwrap().starts_with("src/bin/"));
            let text = message["rendered"].as_str().unwrap().to_owned();
            found.entry(line["target"]["name"].as_str().unwrap().to_owned()).or_default().push((text, in_program));
        }
    }
    let mut wrong = Vec::new();
    for (name, parts) in &expected {
        match found.get(name).map(Vec::as_slice) {
            Some([(text, in_program)]) => {
                if !in_program {
                    wrong.push(format!("{name}: the error does not point into the program:\n{text}"));
                }
                // The first part is in the first line, so that nobody has to read on.
                if !text.lines().next().unwrap_or_default().contains(&parts[0])
                    || !parts.iter().all(|part| text.contains(part))
                {
                    wrong.push(format!("{name}: not {parts:?}:\n{text}"));
                }
            }
            Some(several) => wrong.push(format!("{name}: {} errors:\n{several:#?}", several.len())),
            None => wrong.push(format!("{name}: no error\n{}", String::from_utf8_lossy(&output.stderr))),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// The one mistake that is found when the program starts.
#[test]
fn two_readers_of_the_body() {
    let errors = App::new(()).post("/", |_: String, _: Vec<u8>| Ok::<_, Error>("")).build().err().unwrap();
    assert!(errors.to_string().contains("only one argument can read the request body"), "{errors}");
}
