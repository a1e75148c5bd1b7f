//! The `start_response` and the writer that the application gets.

use std::io::{self, Write};

use gateway_spec::{Error, Misuse, StartResponse, Status, check_header};

use super::exchange::Exchange;
use super::head;
use super::report::Party;

/// Watches `start_response`, in the call or in one iteration of the body.
pub(super) struct LintStart<'s> {
    inner: &'s mut dyn StartResponse,
    exchange: &'s mut Exchange,
    in_body: bool,
}

impl<'s> LintStart<'s> {
    pub(super) fn new(inner: &'s mut dyn StartResponse, exchange: &'s mut Exchange) -> Self {
        Self { inner, exchange, in_body: false }
    }

    pub(super) fn in_body(inner: &'s mut dyn StartResponse, exchange: &'s mut Exchange) -> Self {
        Self { inner, exchange, in_body: true }
    }
}

/// Where an error lies, to tell whether it is the same one.
fn address(error: &Error) -> *const () {
    std::ptr::from_ref(&**error).cast()
}

/// Stands for `exc_info` in the lint's own order of calls.
#[derive(Debug)]
struct ExcInfo;

impl std::fmt::Display for ExcInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("exc_info")
    }
}

impl std::error::Error for ExcInfo {}

impl StartResponse for LintStart<'_> {
    fn start_response(
        &mut self,
        status: Status,
        headers: &[(&str, &str)],
        exc_info: Option<Error>,
    ) -> Result<&mut dyn Write, Error> {
        let given = exc_info.as_ref().map(address);
        let stand_in = exc_info.as_ref().map(|_| ExcInfo.into());
        let code = status.code();
        let verdict = match self.exchange.calls.start(&status, headers, stand_in) {
            Ok(checked) => Ok(checked.content_length()),
            Err(error) => Err(error.downcast::<Misuse>().ok()),
        };
        match &verdict {
            Ok(declared) => {
                self.exchange.started(code, headers, *declared);
                head::check(&status, headers, &self.exchange.reporter);
            }
            Err(Some(misuse)) => self.exchange.misuse(misuse),
            Err(None) => self.exchange.came_back = true,
        }
        match self.inner.start_response(status, headers, exc_info) {
            Ok(_) => {
                match verdict {
                    Ok(_) => {}
                    Err(Some(misuse)) => {
                        let message = format!("the server has accepted a call that it has to refuse: {misuse}");
                        self.exchange.reporter.error(misuse.rule(), Party::Server, message);
                    }
                    // A middleware may keep the error for itself (GW-MW-10).
                    Err(None) => {
                        self.exchange.came_back = false;
                        let message = "exc_info was taken after bytes were sent, instead of being returned";
                        self.exchange.reporter.remark("GW-SR-13", Party::Server, message);
                    }
                }
                Ok(self)
            }
            Err(error) => {
                if matches!(verdict, Err(None)) && given != Some(address(&error)) {
                    let message = "start_response has returned another error than the exc_info it was given";
                    self.exchange.reporter.remark("GW-SR-14", Party::Server, message);
                }
                Err(error)
            }
        }
    }

    fn writer(&mut self) -> &mut dyn Write {
        self
    }

    fn early_hints(&mut self, headers: &[(&str, &str)]) -> Result<(), Error> {
        for (name, value) in headers {
            if let Err(misuse) = check_header(name, value) {
                self.exchange.misuse(&misuse);
            }
        }
        self.inner.early_hints(headers)
    }
}

impl Write for LintStart<'_> {
    fn write(&mut self, block: &[u8]) -> io::Result<usize> {
        let exchange = &mut *self.exchange;
        if self.in_body {
            let message = format!("{} bytes were written in an iteration of the body", block.len());
            exchange.reporter.error("GW-WR-07", Party::Application, message);
        } else if exchange.writes == 0 {
            let message = "write() is used; a body that yields is better";
            exchange.reporter.remark("GW-WR-03", Party::Application, message);
        }
        exchange.content(block.len());
        exchange.writes += 1;
        if let Some(outer) = &exchange.outer {
            outer.write();
        }
        if exchange.inner.writes() == 0 && exchange.inner.blocks() > 0 {
            let message = "a middleware writes what the application behind it has yielded";
            exchange.reporter.error("GW-MW-06", Party::Middleware, message);
        }
        // Asked on a copy, because only what the server takes counts.
        let verdict = exchange.calls.clone().written(block.len());
        match &verdict {
            Ok(()) => {}
            Err(Misuse::NotStarted) => {
                exchange.reporter.error("GW-WR-09", Party::Application, "write before start_response");
            }
            Err(misuse @ Misuse::TooLong { .. }) => exchange.misuse(misuse),
            Err(_) => {}
        }
        let taken = self.inner.writer().write(block)?;
        match verdict {
            Ok(()) => drop(exchange.calls.written(taken)),
            Err(misuse) if taken > 0 => {
                let message = format!("the server has taken a write that it has to refuse: {misuse}");
                exchange.reporter.error("GW-CL-02", Party::Server, message);
            }
            Err(_) => {}
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.writer().flush()
    }
}
