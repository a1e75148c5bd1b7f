//! [`Log`]: what a script says on standard error, and what is said about it, line by line.

use gateway_spec::Errors;

use crate::script::Script;

/// How much of a line is kept, in bytes.
const LONGEST_LINE: usize = 4 * 1024;
/// How much of one script is kept, in bytes. The rest is read and thrown away.
const LONGEST: usize = 1024 * 1024;

#[derive(Clone)]
pub(crate) struct Log {
    errors: Errors,
    name: String,
}

impl Log {
    pub(crate) fn new(errors: &Errors, script: &Script) -> Self {
        Self { errors: errors.clone(), name: printable(&script.name) }
    }

    /// Writes one line.
    pub(crate) fn line(&self, text: &str) {
        self.errors.write(&format!("{}: {text}\n", self.name));
        self.errors.flush();
    }
}

/// What comes of standard error, cut into lines.
pub(crate) struct Lines {
    log: Log,
    line: Vec<u8>,
    logged: usize,
}

impl Lines {
    pub(crate) const fn new(log: Log) -> Self {
        Self { log, line: Vec::new(), logged: 0 }
    }

    pub(crate) fn push(&mut self, octets: &[u8]) {
        for part in octets.split_inclusive(|&b| b == b'\n') {
            let (text, ends) = part.strip_suffix(b"\n").map_or((part, false), |text| (text, true));
            let room = LONGEST_LINE.saturating_sub(self.line.len());
            self.line.extend_from_slice(&text[..text.len().min(room)]);
            if ends {
                self.end_line();
            }
        }
    }

    /// The last line may have no end.
    pub(crate) fn end(&mut self) {
        if !self.line.is_empty() {
            self.end_line();
        }
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        if self.logged < LONGEST {
            self.logged += line.len() + 1;
            self.log.line(&printable(&line));
            if self.logged >= LONGEST {
                self.log.line("more than 1 MiB on standard error: the rest is not logged");
            }
        }
    }
}

/// Text that stays on its line and does nothing to a terminal.
fn printable(octets: &[u8]) -> String {
    let text = String::from_utf8_lossy(octets);
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' => line.push(' '),
            c if c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}') => {
                line.extend(c.escape_default());
            }
            c => line.push(c),
        }
    }
    line
}
