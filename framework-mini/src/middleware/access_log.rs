//! [`AccessLog`]: one line for each response, written when it is over.

use std::fmt::Write as _;
use std::time::{Instant, SystemTime};

use gateway_spec::{Application, Body, Bytes, Environ, Error, Errors, StartResponse};

use super::text::push_printable;
use super::{Content, Filter, Interest, RequestId, ResponseHead, filter, printable};

/// How much of each text that a client chose goes into a line, in bytes.
const TEXT: usize = 2048;

/// Writes a line for each response when it is over: with its status, bytes and time.
///
/// In the combined format, with the time in milliseconds and the request id at the end, or in JSON. What clients write
/// is escaped, so that nobody writes lines of their own (F09). A status of `-` is an answer that was left to the server: the
/// application failed before it had a head. Of a file that the server sends by itself the bytes and
/// the time are those of the hand-over; the servers' own `on_response` knows better.
///
/// ```
/// use framework_mini::App;
/// use framework_mini::middleware::AccessLog;
///
/// let site = App::new(()).get("/", || "Hello!").build().unwrap();
/// // To a function; without `to`, to the errors stream of the server. With `RequestIds` around or inside, a line has a name.
/// let site = AccessLog::new(site).json().to(|line| print!("{line}"));
/// ```
#[derive(Clone, Debug)]
pub struct AccessLog<A> {
    application: A,
    sink: Option<Errors>,
    json: bool,
}

impl<A> AccessLog<A> {
    /// Logs to the errors stream of the server, in the combined format.
    pub const fn new(application: A) -> Self {
        Self { application, sink: None, json: false }
    }

    /// Logs to a function, which is given a whole line with its end.
    #[must_use]
    pub fn to(mut self, sink: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.sink = Some(Errors::new(sink));
        self
    }

    /// Logs objects of JSON.
    #[must_use]
    pub const fn json(mut self) -> Self {
        self.json = true;
        self
    }
}

impl<A: Application> Application for AccessLog<A> {
    fn call(&self, environ: &mut Environ<'_>, start_response: &mut dyn StartResponse) -> Result<Body, Error> {
        let text = |name: &str| environ.header(name).map(|value| value.to_string_lossy().into_owned());
        let line = Line {
            sink: self.sink.clone().unwrap_or_else(|| environ.errors().clone()),
            json: self.json,
            began: Instant::now(),
            remote_addr: environ.remote_addr().to_owned(),
            request: format!("{} {} {}", environ.method(), environ.request_uri(), environ.version().as_str()),
            referer: text("referer"),
            user_agent: text("user-agent"),
            id: environ.extensions().get().map(|RequestId(id)| id.clone()),
            status: None,
            head_only: environ.method() == "HEAD",
            bytes: 0,
            whole: false,
        };
        filter(&self.application, environ, start_response, line)
    }
}

/// A line that is written when it is dropped.
struct Line {
    sink: Errors,
    json: bool,
    began: Instant,
    remote_addr: String,
    request: String,
    referer: Option<String>,
    user_agent: Option<String>,
    id: Option<String>,
    status: Option<u16>,
    /// Nothing of the content is sent.
    head_only: bool,
    bytes: u64,
    whole: bool,
}

impl Filter for Line {
    fn head(&mut self, head: &mut ResponseHead, content: &Content<'_>) -> Result<Interest, Error> {
        self.status = Some(head.status.code());
        // Made further inside, for all that the line can know.
        self.id = self.id.take().or_else(|| head.get("X-Request-Id").map(str::to_owned));
        Ok(match content {
            Content::File(length) => {
                (self.bytes, self.whole) = (if self.head_only { 0 } else { *length }, true);
                Interest::Head
            }
            _ => Interest::Blocks,
        })
    }

    fn block(&mut self, block: Bytes) -> Result<Bytes, Error> {
        if !self.head_only {
            self.bytes += block.len() as u64;
        }
        Ok(block)
    }

    fn end(&mut self) -> Result<Bytes, Error> {
        self.whole = true;
        Ok(Bytes::new())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let milliseconds = self.began.elapsed().as_secs_f64() * 1000.0;
        let mut line = String::with_capacity(256);
        if self.json {
            self.write_json(&mut line, milliseconds);
        } else {
            self.write_combined(&mut line, milliseconds);
        }
        line.push('\n');
        self.sink.write(&line);
    }
}

impl Line {
    fn write_combined(&self, line: &mut String, milliseconds: f64) {
        // Quotes would end the field for whoever reads it.
        let quoted = |line: &mut String, text: Option<&str>| {
            line.push('"');
            push_printable(line, text.unwrap_or("-"), TEXT, true);
            line.push('"');
        };
        push_printable(line, &self.remote_addr, 64, false);
        line.push_str(" - - [");
        push_clf_date(line, SystemTime::now());
        line.push_str("] ");
        quoted(line, Some(&self.request));
        let _ = match self.status {
            Some(status) => write!(line, " {status} {} ", self.bytes),
            None => write!(line, " - {} ", self.bytes),
        };
        quoted(line, self.referer.as_deref());
        line.push(' ');
        quoted(line, self.user_agent.as_deref());
        let _ = write!(line, " {milliseconds:.1}ms ");
        push_printable(line, self.id.as_deref().unwrap_or("-"), TEXT, true);
        line.push_str(if self.whole { "" } else { " cut" });
    }

    fn write_json(&self, line: &mut String, milliseconds: f64) {
        let mut field = |name: &str, text: Option<&str>| {
            if let Some(text) = text {
                let _ = write!(line, "\"{name}\":{},", crate::error_page::json_string(&printable(text, TEXT)));
            }
        };
        let time = httpdate::fmt_http_date(SystemTime::now());
        field("time", Some(&time));
        field("remote_addr", Some(&self.remote_addr));
        field("request", Some(&self.request));
        field("referer", self.referer.as_deref());
        field("user_agent", self.user_agent.as_deref());
        field("id", self.id.as_deref());
        line.insert(0, '{');
        if let Some(status) = self.status {
            let _ = write!(line, "\"status\":{status},");
        }
        let _ = write!(line, "\"bytes\":{},\"ms\":{milliseconds:.1},\"whole\":{}}}", self.bytes, self.whole);
    }
}

/// Adds `06/Nov/1994:08:49:37 +0000`, made of `Sun, 06 Nov 1994 08:49:37 GMT`.
fn push_clf_date(line: &mut String, time: SystemTime) {
    let date = httpdate::fmt_http_date(time);
    // That format has fixed places.
    let part = |range: std::ops::Range<usize>| date.get(range).unwrap_or_default();
    for text in [part(5..7), "/", part(8..11), "/", part(12..16), ":", part(17..25), " +0000"] {
        line.push_str(text);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn dates() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let mut line = String::new();
        push_clf_date(&mut line, time);
        assert_eq!(line, "06/Nov/1994:08:49:37 +0000");
    }
}
