//! What was found, how bad it is, and where it is told.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};

use gateway_spec::Errors;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The contract says *must*.
    Error,
    /// The contract says *should*, or what was seen works and is hardly meant.
    Warning,
    /// What stricter interfaces forbid and this one allows.
    Remark,
}

/// Who has to be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Party {
    /// The application, or the layer that stands here as one.
    Application,
    /// The server, or the layer that stands here as one.
    Server,
    /// The layers between this and an inner [`Lint`](super::Lint).
    Middleware,
}

/// One breach of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// The id of the rule.
    pub rule: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// Whose it is.
    pub party: Party,
    /// What was seen.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Remark => "remark",
        };
        let party = match self.party {
            Party::Application => "application",
            Party::Server => "server",
            Party::Middleware => "middleware",
        };
        let of = if self.severity == Severity::Error { "of" } else { "about" };
        write!(f, "{} ({severity} {of} the {party}): {}", self.rule, self.message)
    }
}

/// What a [`Lint`](super::Lint) has found. Cheap to clone; all clones share the findings.
#[derive(Clone, Debug, Default)]
pub struct Reports {
    findings: Arc<Mutex<Vec<Finding>>>,
    open: Arc<AtomicUsize>,
}

impl Reports {
    /// Takes out what was found since the last time.
    #[must_use]
    pub fn take(&self) -> Vec<Finding> {
        std::mem::take(&mut *self.findings.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How many bodies are not closed yet. When no request is under way it has to be 0 (GW-VAL-16, GW-ITER-08).
    #[must_use]
    pub fn open_bodies(&self) -> usize {
        self.open.load(SeqCst)
    }

    /// Nothing up to this severity was found.
    ///
    /// # Panics
    /// If there was, with all of it.
    #[track_caller]
    pub fn assert_none(&self, up_to: Severity) {
        let findings: Vec<String> =
            self.take().iter().filter(|finding| finding.severity <= up_to).map(ToString::to_string).collect();
        assert!(findings.is_empty(), "{}", findings.join("\n"));
    }
}

/// Where findings go.
#[derive(Clone)]
pub(super) enum To {
    ErrorsStream,
    Panic,
    Reports(Reports),
}

/// The way of the findings of one exchange.
#[derive(Clone)]
pub(super) struct Reporter {
    up_to: Severity,
    to: To,
    errors: Errors,
}

impl Reporter {
    pub(super) const fn new(up_to: Severity, to: To, errors: Errors) -> Self {
        Self { up_to, to, errors }
    }

    pub(super) fn error(&self, rule: &'static str, party: Party, message: impl fmt::Display) {
        self.report(rule, Severity::Error, party, &message);
    }

    pub(super) fn warning(&self, rule: &'static str, party: Party, message: impl fmt::Display) {
        self.report(rule, Severity::Warning, party, &message);
    }

    pub(super) fn remark(&self, rule: &'static str, party: Party, message: impl fmt::Display) {
        self.report(rule, Severity::Remark, party, &message);
    }

    fn report(&self, rule: &'static str, severity: Severity, party: Party, message: &dyn fmt::Display) {
        if severity > self.up_to {
            return;
        }
        let finding = Finding { rule, severity, party, message: message.to_string() };
        match &self.to {
            To::Reports(reports) => reports.findings.lock().unwrap_or_else(PoisonError::into_inner).push(finding),
            // A second panic while the first one unwinds would end the process.
            To::Panic if severity == Severity::Error && !std::thread::panicking() => panic!("{finding}"),
            To::Panic | To::ErrorsStream => self.errors.write(&format!("{finding}\n")),
        }
    }

    /// Counts a body until the guard is dropped.
    pub(super) fn open_body(&self) -> Option<Open> {
        match &self.to {
            To::Reports(reports) => {
                reports.open.fetch_add(1, SeqCst);
                Some(Open(Arc::clone(&reports.open)))
            }
            _ => None,
        }
    }
}

/// A body that is not closed yet.
pub(super) struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}
