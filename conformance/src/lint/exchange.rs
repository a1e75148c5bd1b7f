//! What is known of one exchange: in the call, and later in the body.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use gateway_spec::{Calls, Environ, Misuse};

use super::report::{Party, Reporter};
use super::tally::Tally;

/// The state of one exchange.
pub(super) struct Exchange {
    pub(super) reporter: Reporter,
    /// The order of calls, as a server sees it.
    pub(super) calls: Calls,
    pub(super) code: u16,
    pub(super) declared: Option<u64>,
    pub(super) head_request: bool,
    has_content_type: bool,
    /// `exc_info` came back: the application has to return it.
    pub(super) came_back: bool,
    /// Set by the input when reading it fails.
    pub(super) input_failed: Arc<AtomicBool>,
    /// What an inner lint counts, and what an outer one wants to know.
    pub(super) inner: Tally,
    pub(super) outer: Option<Tally>,
    /// What was written and yielded to the server.
    pub(super) writes: u64,
    pub(super) yields: u64,
    told_too_long: bool,
    told_no_head: bool,
}

impl Exchange {
    pub(super) fn new(environ: &mut Environ<'_>, reporter: Reporter) -> Self {
        let inner = Tally::default();
        let outer = environ.extensions_mut().insert(inner.clone());
        Self {
            reporter,
            calls: Calls::new(),
            code: 0,
            declared: None,
            head_request: environ.method() == "HEAD",
            has_content_type: false,
            came_back: false,
            input_failed: Arc::default(),
            inner,
            outer,
            writes: 0,
            yields: 0,
            told_too_long: false,
            told_no_head: false,
        }
    }

    /// The application has returned.
    pub(super) fn called(&self, environ: &mut Environ<'_>) {
        if self.inner.blocks() > 0 {
            let message = format!("the body was iterated {} times before the call returned", self.inner.blocks());
            self.reporter.error("GW-MW-05", Party::Middleware, message);
        }
        if let Some(outer) = &self.outer {
            environ.extensions_mut().insert(outer.clone());
        }
    }

    /// A head was accepted by the contract.
    pub(super) fn started(&mut self, code: u16, headers: &[(&str, &str)], declared: Option<u64>) {
        self.code = code;
        self.declared = declared;
        self.has_content_type = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        if self.has_no_content() {
            self.calls.ignore_length();
        }
    }

    /// Whether the response carries no content, so that its length is that of another one (H1-CLEN-04).
    pub(super) const fn has_no_content(&self) -> bool {
        self.head_request || matches!(self.code, 204 | 205 | 304)
    }

    pub(super) fn misuse(&self, misuse: &Misuse) {
        let text = misuse.to_string();
        // The rule stands before the message already.
        let message = text.strip_prefix(misuse.rule()).and_then(|text| text.strip_prefix(": ")).unwrap_or(&text);
        self.reporter.error(misuse.rule(), Party::Application, message);
    }

    /// The application gave bytes, by whatever way.
    pub(super) fn content(&mut self, length: usize) {
        if length == 0 {
            return;
        }
        if self.came_back {
            self.went_on();
        }
        if self.head_request {
            self.reporter.remark("GW-RACK-31", Party::Application, format!("a response to HEAD has {length} bytes"));
        } else if self.has_no_content() {
            let message = format!("a {} has {length} bytes of content, which nobody will see", self.code);
            self.reporter.warning("GW-DEF-09", Party::Application, message);
        }
    }

    /// The application went on after `exc_info` had come back.
    pub(super) fn went_on(&mut self) {
        self.came_back = false; // once is enough
        let message = "start_response returned exc_info, and the application went on instead of returning it";
        self.reporter.error("GW-SR-17", Party::Application, message);
    }

    /// The body has yielded a block.
    pub(super) fn yielded(&mut self, length: usize) {
        self.yields += 1;
        self.content(length);
        match self.calls.yielded(length) {
            Ok(allowed) if allowed < length && !self.told_too_long => {
                self.told_too_long = true;
                let declared = self.declared.unwrap_or_default();
                let over = length - allowed;
                let message = format!("the body goes past its Content-Length of {declared} by {over} bytes or more");
                self.reporter.error("GW-CL-01", Party::Application, message);
            }
            Err(Misuse::NotStarted) => self.no_head(),
            // Other misuses were told when they happened.
            Ok(_) | Err(_) => {}
        }
    }

    fn no_head(&mut self) {
        if !std::mem::replace(&mut self.told_no_head, true) {
            self.misuse(&Misuse::NotStarted);
        }
    }

    /// The body has ended by itself.
    pub(super) fn ended(&mut self) {
        match self.calls.end() {
            Ok(()) => {}
            Err(Misuse::NotStarted) => self.no_head(),
            Err(Misuse::TooShort { declared, delivered }) => {
                let message = format!("{delivered} of {declared} declared bytes");
                self.reporter.error("GW-CL-03", Party::Application, message);
            }
            Err(_) => {}
        }
        if self.came_back {
            self.went_on();
        }
        if self.calls.delivered() > 0 && !self.has_content_type && !self.has_no_content() {
            let message = format!("a {} with content has no Content-Type", self.code);
            self.reporter.warning("GW-VAL-37", Party::Application, message);
        }
        if self.input_failed.load(SeqCst) && (200..300).contains(&self.code) {
            let message = format!("the input could not be read whole, and the answer is a {}", self.code);
            self.reporter.warning("GW-DEF-04", Party::Application, message);
        }
    }

    /// A body that announces a length, against the declared one (GW-RACK-32).
    pub(super) fn announced(&self, length: Option<u64>) {
        if let (Some(declared), Some(length)) = (self.declared, length)
            && !self.has_no_content()
            && self.calls.delivered() + length != declared
        {
            let message = format!("the body has {length} bytes and the Content-Length is {declared}");
            self.reporter.error("GW-RACK-32", Party::Application, message);
        }
    }
}
