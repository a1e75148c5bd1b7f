//! The trace is current, no id is lost, and nothing names an id that does not exist.
//!
//! `TRACE=write cargo test -p conformance --test trace` writes it anew.

use conformance::trace::{Trace, workspace};

#[test]
fn the_trace_is_current() {
    let trace = Trace::read().expect("the trace can be read");
    let path = workspace().join("conformance/trace.md");
    let current = trace.to_markdown();
    if std::env::var_os("TRACE").is_some_and(|value| value == "write") {
        std::fs::write(&path, &current).expect("the trace can be written");
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == current,
        "conformance/trace.md is not current: run TRACE=write cargo test -p conformance --test trace"
    );
}

#[test]
fn nothing_names_an_id_that_does_not_exist() {
    let trace = Trace::read().expect("the trace can be read");
    assert_eq!(trace.mistakes(), Vec::<String>::new());
}

/// The lists only grow (their ids are stable), so a shorter one has lost something.
#[test]
fn no_id_is_lost() {
    let trace = Trace::read().expect("the trace can be read");
    for ((file, rows), least) in trace.requirements.iter().zip([383, 339, 149, 89]) {
        assert!(rows.len() >= least, "{file} has {} ids, it had {least}", rows.len());
    }
    let mut ids: Vec<&str> = trace.ids().collect();
    ids.sort_unstable();
    assert!(ids.windows(2).all(|pair| pair[0] != pair[1]), "an id stands twice");
}
