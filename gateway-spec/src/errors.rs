//! [`Errors`]: the stream for what went wrong.

use std::fmt;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock};

/// The errors stream: text for the people who run the server (GW-EWV-05).
///
/// It takes any text and never fails (GW-EWV-07): a sink that panics has not taken it, and that is all. End lines with `\n`; call [`flush`](Self::flush) when the text has to
/// be out (GW-ERR-03). It is cheap to clone, so that a body can keep it.
#[derive(Clone)]
pub struct Errors(Arc<dyn ErrorSink>);

/// Where the errors stream ends.
pub trait ErrorSink: Send + Sync {
    /// Takes a text, in whole or in part of a line.
    fn write(&self, text: &str);

    /// Brings out what was taken.
    fn flush(&self) {}
}

impl<F: Fn(&str) + Send + Sync> ErrorSink for F {
    fn write(&self, text: &str) {
        self(text);
    }
}

impl Errors {
    /// A stream that ends in `sink`: a function, or a type of yours.
    pub fn new(sink: impl ErrorSink + 'static) -> Self {
        Self(Arc::new(sink))
    }

    /// A stream that ends in the standard error stream of the process.
    #[must_use]
    pub fn stderr() -> Self {
        static STDERR: LazyLock<Errors> = LazyLock::new(|| {
            // If standard error is gone, there is nobody left to tell.
            Errors::new(|text: &str| drop(std::io::stderr().lock().write_all(text.as_bytes())))
        });
        STDERR.clone()
    }

    /// Writes a text.
    pub fn write(&self, text: &str) {
        aside(|| self.0.write(text));
    }

    /// Writes texts one after the other (GW-ERR-01).
    pub fn write_lines<'t>(&self, texts: impl IntoIterator<Item = &'t str>) {
        texts.into_iter().for_each(|text| self.write(text));
    }

    /// Brings out what was written.
    pub fn flush(&self) {
        aside(|| self.0.flush());
    }
}

/// Whoever tells of an error has enough to do: a sink that panics, as `eprintln!` does when nobody reads standard error
/// any more, is no second one.
fn aside(take: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(take)) {
        // What it was thrown with may panic when it is dropped.
        std::mem::forget(panic);
    }
}

impl fmt::Write for Errors {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.write(text);
        Ok(())
    }
}

impl fmt::Debug for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Errors")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sink_that_panics_harms_nobody() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("the payload of a panic");
            }
        }
        struct Sink;
        impl ErrorSink for Sink {
            fn write(&self, _: &str) {
                std::panic::panic_any(Bomb);
            }
            fn flush(&self) {
                std::panic::panic_any(Bomb);
            }
        }
        let errors = Errors::new(Sink);
        errors.write_lines(["one", "two"]);
        errors.flush();
    }
}
