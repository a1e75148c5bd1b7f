//! [`Case`]: what a wire case says, and how it is read from `cases/*.md`.
//!
//! The form is described in `cases/README.md`. A mistake in a case is an error with file and line, never a case that
//! quietly checks less.

mod escape;
mod expect;
mod read;
mod send;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use escape::unescape;
pub use read::read_text;
pub(crate) use send::duration;

use crate::harness::Limits;

/// One wire case: what is sent, and what has to come back.
#[derive(Clone, Debug)]
pub struct Case {
    /// `name`, or `name/row` for a row of a table.
    pub id: String,
    /// What the case is about, for people.
    pub title: String,
    /// The ids of `docs/spec/` and the rows of the attack list that the case shows.
    pub shows: Vec<String>,
    /// What differs from the suite's default limits.
    pub limits: Limits,
    /// Why the case is only sent as written, if so.
    pub whole_only: Option<String>,
    /// Where it stands: the file's name and the line.
    pub place: Place,
    /// What the client does, in order.
    pub steps: Vec<Step>,
    /// What has to come back, for each connection by its number.
    pub connections: Vec<Outcome>,
    /// How often the application may be called; `None` if the case does not say.
    pub calls: Option<Vec<usize>>,
    /// What the application saw in its calls, by their number from 1.
    pub saw: Vec<(usize, Vec<Saw>)>,
}

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file's name.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// One thing the client does on one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Which connection, from 0.
    pub connection: usize,
    /// What it does.
    pub action: Action,
}

/// What the client does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Sends these octets.
    Send(Vec<u8>),
    /// Pauses.
    Wait(Duration),
    /// Pauses; nothing may arrive meanwhile.
    Quiet(Duration),
    /// Waits until this has arrived.
    Until(Vec<u8>),
    /// Reads one final response, and the interim ones before it.
    Read,
    /// Reads one interim response.
    Interim,
    /// Closes the sending direction.
    Fin,
    /// Closes the connection in both directions.
    Leave,
}

/// What has to come back on one connection.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The name of the connection: empty for the first.
    pub name: String,
    /// The responses, in order.
    pub replies: Vec<Expected>,
    /// What becomes of the connection after them.
    pub end: End,
}

/// A response that has to come.
#[derive(Clone, Debug)]
pub enum Expected {
    /// An interim response of this status.
    Interim {
        /// The status.
        status: u16,
        /// Whether it may be missing.
        optional: bool,
    },
    /// A final response.
    Final(Final),
}

/// A final response that has to come.
#[derive(Clone, Debug)]
pub struct Final {
    /// The statuses allowed; empty for any.
    pub statuses: Vec<u16>,
    /// Whether the connection may be closed without it.
    pub optional: bool,
    /// The method, where it decides about the framing.
    pub to: To,
    /// What else has to hold.
    pub checks: Vec<Check>,
}

/// The kind of request that a response answers: it decides where the response ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum To {
    /// Any other method.
    #[default]
    Other,
    /// `HEAD`: no content.
    Head,
    /// `CONNECT`: no content if the status is 2xx.
    Connect,
}

/// One thing that has to hold for a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// The field is there once, with this value; a value that ends in `*` is a beginning.
    Header(String, Vec<u8>),
    /// The field is there once.
    HeaderPresent(String),
    /// The field is not there.
    HeaderAbsent(String),
    /// The field is there in these lines.
    HeaderLines(String, Vec<Vec<u8>>),
    /// The content.
    Body(Vec<u8>),
    /// The length of the content.
    BodyLength(usize),
    /// There is content.
    BodySome,
    /// The content does not have this in it.
    BodyWithout(Vec<u8>),
    /// `Date` is the time of the response.
    DateNow,
    /// How the end of the content is told.
    Framing(Framing),
    /// The chunks as they stood on the wire.
    Chunks(Vec<Vec<u8>>),
    /// The connection ends before the content does.
    Cut,
    /// It may end before the content does.
    MaybeCut,
    /// The header section is that of a GET for this path, but for `Date` and framing.
    SameAsGet(String),
}

/// How the end of a response's content is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is none: HEAD, 204, 304, 1xx.
    None,
    /// By `Content-Length`.
    Length,
    /// By the last chunk.
    Chunked,
    /// By the end of the connection.
    Close,
}

impl fmt::Display for Framing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Length => "length",
            Self::Chunked => "chunked",
            Self::Close => "close",
        })
    }
}

/// What becomes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// One more request is answered.
    Open,
    /// The server closes, and has said so.
    Closed,
    /// The server closes.
    ClosedSilently,
    /// Either; nothing else arrives.
    Either,
    /// The client has left.
    Left,
}

/// One thing that the application saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Saw {
    /// A variable of the environ.
    Variable(String, Wanted),
    /// A variable that is not there.
    NoVariable(String),
    /// A line of the header list.
    Field(String, Vec<u8>),
    /// The whole header list.
    Fields(Vec<(String, Vec<u8>)>),
    /// The request target as received.
    Target(Vec<u8>),
    /// The URL scheme.
    Scheme(String),
    /// The body as read.
    Input(Vec<u8>),
    /// The length of the body as read.
    InputLength(usize),
    /// How reading the body failed: one of these.
    InputFails(Vec<String>),
}

/// The value a variable has to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// This.
    Exactly(Vec<u8>),
    /// Anything but nothing.
    Some,
    /// The server's port.
    Port,
    /// The client's port.
    Peer,
}

/// A mistake in a file of cases.
#[derive(Debug)]
pub struct Mistake {
    /// Where.
    pub place: Place,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

impl std::error::Error for Mistake {}

impl Case {
    /// How many octets the case sends.
    #[must_use]
    pub fn length(&self) -> usize {
        self.steps
            .iter()
            .map(|step| match &step.action {
                Action::Send(octets) => octets.len(),
                _ => 0,
            })
            .sum()
    }

    /// The name of the file without its ending: the group of the case.
    #[must_use]
    pub fn group(&self) -> &str {
        self.place.file.strip_suffix(".md").unwrap_or(&self.place.file)
    }
}

/// The folder of the project's cases.
#[must_use]
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("cases")
}

/// Reads all cases of a folder, files in the order of their names.
///
/// # Errors
/// The first mistake in a file, or a file that cannot be read.
pub fn read_folder(folder: &Path) -> Result<Vec<Case>, Box<dyn std::error::Error>> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<_, std::io::Error>>()?;
    files.retain(|path| path.extension().is_some_and(|e| e == "md") && path.file_stem().is_none_or(|s| s != "README"));
    files.sort();
    let mut cases: Vec<Case> = Vec::new();
    for path in files {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for case in read_text(&name, &std::fs::read_to_string(&path)?)? {
            if let Some(other) = cases.iter().find(|other| other.id == case.id) {
                let message = format!("the id {:?} is that of {} too", case.id, other.place);
                return Err(Box::new(Mistake { place: case.place, message }));
            }
            cases.push(case);
        }
    }
    Ok(cases)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = r#"# A file

Prose.

## a-case: Its title
Shows: H1-LINE-01, S01
Limits: max_body 5, head_timeout 300ms

| case | value | status |
|---|---|---|
| one | `a\r` | `200` |
| two | `\x00` | `400\|501` |

```send
GET /\{value} HTTP/1.1\r\n
@wait 5ms
\r\n
```
```send b
x
@leave
```
```expect
maybe interim 100
response \{status} to HEAD
  header X: a*
  cut
closed
calls 0|1
call 1
  A = "\{value}"
  input fails unexpected-eof
```
"#;

    #[test]
    fn a_row_of_a_table_is_a_case() {
        let cases = read_text("x.md", ONE).unwrap();
        assert_eq!(cases.len(), 2);
        let two = &cases[1];
        assert_eq!((two.id.as_str(), two.title.as_str(), two.group()), ("a-case/two", "Its title", "x"));
        assert_eq!(two.shows, ["H1-LINE-01", "S01"]);
        assert_eq!((two.limits.max_body, two.limits.head_timeout), (Some(5), Some(Duration::from_millis(300))));
        assert_eq!(two.place.to_string(), "x.md:12");
        assert_eq!(two.steps[0], Step { connection: 0, action: Action::Send(b"GET /\0 HTTP/1.1\r\n".to_vec()) });
        assert_eq!(two.steps.len(), 5);
        assert_eq!(two.steps[4], Step { connection: 1, action: Action::Leave });
        assert_eq!(two.connections[0].end, End::Closed);
        assert_eq!(two.connections[1].end, End::Left);
        assert_eq!(two.calls, Some(vec![0, 1]));
        assert_eq!(two.saw[0].1[0], Saw::Variable("A".into(), Wanted::Exactly(b"\0".to_vec())));
        let Expected::Final(reply) = &two.connections[0].replies[1] else { panic!("{two:?}") };
        assert_eq!((reply.statuses.as_slice(), reply.to, reply.checks.len()), ([400, 501].as_slice(), To::Head, 2));
    }

    #[test]
    fn mistakes_name_their_line() {
        let with = |from: &str, to: &str| {
            assert!(ONE.contains(from), "{from}");
            read_text("x.md", &ONE.replacen(from, to, 1)).map(|_| ()).unwrap_err().to_string()
        };
        let line = |text: &str| ONE.lines().position(|line| line == text).unwrap() + 1;
        assert!(with("@wait 5ms", "@wait").starts_with(&format!("x.md:{}: ", line("@wait 5ms"))));
        assert!(with("closed\n", "shut\n").starts_with(&format!("x.md:{}: ", line("closed"))));
        assert!(with("closed\n", "").contains("the end of the connection"));
        assert!(with("| `200` |", "| `99` |").contains("not a final status"));
        assert!(with(r"\{status}", "200").contains("is not used"));
        assert!(with("| `\\x00` |", "|").contains("cells"));
        assert!(with("a-case: ", "A_case: ").contains("is not an id"));
        assert!(with("Shows: H1-LINE-01, S01\n", "").contains("Shows"));
        assert!(with("max_body 5", "max_size 5").contains("not a limit"));
        assert!(with("cut\n", "cot\n").contains("says nothing"));
        assert!(with("GET /", "GET / \u{e9}").contains("octets"));
        assert!(with("x\n@leave", "x \n@leave").contains("blanks"));
    }

    #[test]
    fn the_projects_cases_can_be_read() {
        let cases = read_folder(&folder()).unwrap();
        assert!(cases.len() > 150, "{}", cases.len());
        for case in &cases {
            assert!(case.calls.is_some(), "{}: {} does not count calls", case.place, case.id);
        }
    }
}
