//! What a server makes of any octets, in a form that can be compared between servers.

use std::fmt;
use std::io::{self, Write};
use std::net::SocketAddr;

use crate::case::To;
use crate::client::{Link, Pieces};
use crate::probe::{Recorder, Seen};
use crate::reply::Ending;

/// The last request of every experiment: whether it is answered tells the fate of the connection.
pub const LAST: &[u8] = b"GET /last HTTP/1.1\r\nHost: a\r\n\r\n";

/// What a server made of some octets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// The statuses of the responses, in order.
    pub statuses: Vec<u16>,
    /// Their contents.
    pub bodies: Vec<Vec<u8>>,
    /// What the application saw, as far as servers have to agree about it.
    pub calls: Vec<Call>,
    /// Breaches of the rules that always hold.
    pub problems: Vec<String>,
}

/// What the application saw in one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The environ without what differs between connections and servers.
    pub variables: Vec<(String, Vec<u8>)>,
    /// The header list.
    pub fields: Vec<(String, Vec<u8>)>,
    /// The target.
    pub target: Vec<u8>,
    /// The body.
    pub input: Vec<u8>,
}

/// What a server answers by itself to a request that it does not accept.
const REFUSALS: [u16; 8] = [400, 413, 414, 417, 421, 431, 501, 505];

/// Differences that are allowed, each with its reason. They are taken out by [`Observed::normal`].
pub const ALLOWED: [(&str, &str); 5] = [
    (
        "a last 400 may be missing",
        "the client has ended in the middle of a request: a server may answer 400 or just close (H1-INC-01, MAY)",
    ),
    (
        "the last refusal may have another status",
        "of several faults in one request a server may name any; which status one fault gets is the business of the cases",
    ),
    (
        "a call whose body could not be read may be missing",
        "a server may look at a small body before it calls the application (cases/chunked.md)",
    ),
    (
        "a 200 that is cut before its first octet of content counts as a 500",
        "a server may find out that a file has nothing to send before its head or after it (GW-FILE-11)",
    ),
    (
        "what comes after a 500 does not count",
        "after a fault of the application a server may keep the connection or close it (cases/reply.md: either)",
    ),
];

impl Observed {
    /// Sends octets and the last request in these pieces, ends the sending direction, and notes everything.
    ///
    /// # Errors
    /// If the server cannot be reached.
    pub fn of(address: SocketAddr, recorder: &Recorder, octets: &[u8], cuts: &[usize]) -> io::Result<Self> {
        let mut link = Link::open(address)?;
        recorder.forget(link.port());
        let all = [octets, LAST].concat();
        let mut at = 0;
        for &cut in cuts.iter().filter(|&&cut| cut > 0 && cut < all.len()).chain([&all.len()]) {
            if cut > at {
                link.send(&all[at..cut], Pieces::Whole, 0);
                link.pause();
                at = cut;
            }
        }
        link.finish();
        let mut observed = Self::default();
        link.read_all(To::Other);
        let transcript = link.into_transcript();
        observed.problems.extend(transcript.problems);
        for reply in transcript.replies.into_iter().filter(|reply| reply.status >= 200) {
            observed.problems.extend(reply.problems);
            let failed_late = reply.status == 200 && !reply.complete && reply.body.is_empty();
            observed.statuses.push(if failed_late { 500 } else { reply.status });
            // An error's text is the server's own.
            observed.bodies.push(if reply.status == 200 { reply.body } else { Vec::new() });
        }
        if transcript.fate == Some(crate::client::Fate::Ended(Ending::Silence)) {
            observed.problems.push("the connection is not closed after the client has ended".to_owned());
        }
        let answered = observed.statuses.iter().filter(|&&status| status == 200).count();
        observed.calls = recorder.take(&[transcript.port], answered).iter().filter_map(Call::of).collect();
        Ok(observed)
    }

    /// Without the differences that are [`ALLOWED`].
    #[must_use]
    pub fn normal(mut self) -> Self {
        if let Some(fault) = self.statuses.iter().position(|&status| status == 500) {
            self.statuses.truncate(fault + 1);
            self.bodies.truncate(fault + 1);
            self.calls.truncate(fault + 1);
        }
        if self.statuses.last().is_some_and(|status| REFUSALS.contains(status)) {
            self.statuses.pop();
            self.bodies.pop();
        }
        self
    }
}

impl Call {
    /// `None` for a call that servers may or may not make.
    fn of(seen: &Seen) -> Option<Self> {
        if matches!(seen.input_end, Some(Err(_))) {
            return None;
        }
        let own = ["SERVER_NAME", "SERVER_PORT", "SERVER_SOFTWARE", "REMOTE_ADDR", "REMOTE_PORT"];
        let mut variables = seen.variables.clone();
        variables.retain(|(name, _)| !own.contains(&name.as_str()));
        variables.sort();
        Some(Self { variables, fields: seen.fields.clone(), target: seen.target.clone(), input: seen.input.clone() })
    }
}

impl fmt::Display for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "statuses {:?}", self.statuses)?;
        for (status, body) in self.statuses.iter().zip(&self.bodies).filter(|(_, body)| !body.is_empty()) {
            writeln!(f, "  {status}: \"{}\"", body.escape_ascii())?;
        }
        for call in &self.calls {
            writeln!(f, "  call \"{}\" body \"{}\"", call.target.escape_ascii(), call.input.escape_ascii())?;
            for (name, value) in &call.variables {
                writeln!(f, "    {name} = \"{}\"", value.escape_ascii())?;
            }
        }
        self.problems.iter().try_for_each(|problem| writeln!(f, "  {problem}"))
    }
}

impl Link {
    /// Waits as long as between two pieces.
    fn pause(&self) {
        std::thread::sleep(crate::client::GAP);
    }

    /// Reads until the connection ends.
    fn read_all(&mut self, to: To) {
        while !self.is_over() {
            self.reply(to);
        }
    }
}

/// Writes an experiment as a `send` block, so that it can become a case.
///
/// # Errors
/// Those of the writer.
pub fn write_as_case(out: &mut dyn Write, octets: &[u8]) -> io::Result<()> {
    writeln!(out, "```send")?;
    for line in octets.split_inclusive(|&b| b == b'\n') {
        let text = line.escape_ascii().to_string().replace("\\'", "'");
        let text = match text.strip_prefix(' ') {
            Some(rest) => format!("\\x20{rest}"),
            None => text,
        };
        writeln!(out, "{}", text.strip_suffix(' ').map(|rest| format!("{rest}\\x20")).unwrap_or(text))?;
    }
    writeln!(out, "```")
}
