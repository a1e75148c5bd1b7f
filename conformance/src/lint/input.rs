//! The input that the application gets: what it does with it, and whether the server keeps its promises.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use gateway_spec::{Environ, Input};

use super::exchange::Exchange;
use super::report::{Party, Reporter};

/// Puts a watched input in the place of the input.
pub(super) fn watch(environ: &mut Environ<'_>, exchange: &mut Exchange) {
    let watched = Watched {
        input: environ.take_input(),
        reporter: exchange.reporter.clone(),
        failed: Arc::clone(&exchange.input_failed),
        declared: environ.content_length(),
        read: 0,
        ended: false,
        told: false,
    };
    environ.set_input(Input::from_reader(watched));
}

struct Watched {
    input: Input,
    reporter: Reporter,
    failed: Arc<AtomicBool>,
    /// `CONTENT_LENGTH`
    declared: Option<u64>,
    read: u64,
    ended: bool,
    told: bool,
}

impl Watched {
    fn server(&mut self, rule: &'static str, message: String) {
        if !std::mem::replace(&mut self.told, true) {
            self.reporter.error(rule, Party::Server, message);
        }
    }
}

impl Read for Watched {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.ended {
            self.reporter.remark("GW-IN-04", Party::Application, "the input is read again after its end");
        }
        let result = self.input.read(buffer);
        match &result {
            Ok(0) if buffer.is_empty() => {}
            Ok(0) => {
                if let Some(declared) = self.declared.filter(|&declared| declared != self.read && !self.ended) {
                    let message = format!("the input ends after {} of {declared} bytes, without an error", self.read);
                    self.server("GW-DEF-04", message);
                }
                self.ended = true;
            }
            Ok(n) => {
                if self.ended {
                    self.server("GW-IN-06", format!("the input has {n} bytes more after its end"));
                }
                self.read += *n as u64;
                if let Some(declared) = self.declared.filter(|&declared| declared < self.read) {
                    let message =
                        format!("the input has {} bytes or more, and CONTENT_LENGTH is {declared}", self.read);
                    self.server("GW-IN-03", message);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                if self.ended {
                    self.server("GW-IN-06", format!("the input fails after its end: {error}"));
                }
                self.failed.store(true, SeqCst);
            }
        }
        result
    }
}
