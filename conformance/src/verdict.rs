//! Compares what came back with what had to come, and says in words what differs.

use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::case::{Case, Check, End, Expected, Final, Framing, Outcome, Saw, To, Wanted};
use crate::client::{self, Fate, STILL_THERE_PATH, Transcript};
use crate::probe::{Seen, kind_name};
use crate::reply::{Ending, Reply, seconds_of};

/// What can be sent without the server being allowed to reset the connection: it reads on for so long (H1-CON-11).
const LINGER: usize = 64 * 1024;

/// Compares; an empty list is a pass.
#[must_use]
pub fn differences(case: &Case, address: SocketAddr, transcripts: &[Transcript], seen: &[Seen]) -> Vec<String> {
    let mut differences = Vec::new();
    for (outcome, transcript) in case.connections.iter().zip(transcripts) {
        let mut judge = Judge { case, address, outcome, transcript, differences: Vec::new() };
        judge.connection();
        let name = if outcome.name.is_empty() { String::new() } else { format!("connection {}: ", outcome.name) };
        differences.extend(judge.differences.into_iter().map(|difference| format!("{name}{difference}")));
    }
    let seen: Vec<&Seen> = seen.iter().filter(|seen| seen.target != STILL_THERE_PATH.as_bytes()).collect();
    calls(case, address, transcripts, &seen, &mut differences);
    differences
}

struct Judge<'c> {
    case: &'c Case,
    address: SocketAddr,
    outcome: &'c Outcome,
    transcript: &'c Transcript,
    differences: Vec<String>,
}

impl Judge<'_> {
    fn wrong(&mut self, difference: String) {
        self.differences.push(difference);
    }

    fn connection(&mut self) {
        for problem in &self.transcript.problems {
            self.wrong(problem.clone());
        }
        let mut replies = self.transcript.replies.iter();
        let mut rest = replies.clone();
        let mut number = 0;
        for expected in &self.outcome.replies {
            match expected {
                Expected::Interim { status, optional } => match rest.next() {
                    Some(reply) if reply.status == *status => replies = rest.clone(),
                    _ if *optional => rest = replies.clone(),
                    Some(reply) => self.wrong(format!("interim {status} expected, but {} came", summary(reply))),
                    None => self.wrong(format!("interim {status} expected, but nothing came")),
                },
                Expected::Final(expected) => {
                    number += 1;
                    match rest.next() {
                        Some(reply) => self.reply(number, expected, reply),
                        None if expected.optional => {}
                        None => self.wrong(format!("response {number} is missing")),
                    }
                    replies = rest.clone();
                }
            }
        }
        for reply in rest {
            self.wrong(format!("one response more than expected: {}", summary(reply)));
        }
        self.end();
    }

    fn reply(&mut self, number: usize, expected: &Final, reply: &Reply) {
        let cut = expected.checks.contains(&Check::Cut);
        for problem in &reply.problems {
            self.wrong(format!("response {number}: {problem}"));
        }
        if !expected.statuses.is_empty() && !expected.statuses.contains(&reply.status) {
            let statuses: Vec<String> = expected.statuses.iter().map(u16::to_string).collect();
            self.wrong(format!("response {number} should be {}, but {} came", statuses.join(" or "), summary(reply)));
            return;
        }
        if reply.complete == cut && !expected.checks.contains(&Check::MaybeCut) {
            let what = if cut { "should be cut, but is complete" } else { "is cut" };
            self.wrong(format!("response {number} {what}: {}", summary(reply)));
        }
        for check in &expected.checks {
            if let Err(difference) = self.check(check, expected.to, reply) {
                self.wrong(format!("response {number}: {difference}"));
            }
        }
        // What the server says by itself, it explains (H1-CODE-02, H1-CODE-03).
        if self.case.calls.as_deref() == Some(&[0]) && expected.to != To::Head && reply.body.is_empty() {
            self.wrong(format!("response {number}: H1-CODE-02 an error without a text"));
        }
    }

    fn check(&self, check: &Check, to: To, reply: &Reply) -> Result<(), String> {
        let values = |name: &str| reply.values(name).map(<[u8]>::to_vec).collect::<Vec<Vec<u8>>>();
        match check {
            Check::Header(name, wanted) => match values(name).as_slice() {
                [value] if matches(value, wanted) => Ok(()),
                other => Err(format!("{name} should be \"{}\", but is {}", wanted.escape_ascii(), list(other))),
            },
            Check::HeaderPresent(name) if values(name).len() == 1 => Ok(()),
            Check::HeaderPresent(name) => Err(format!("{name} should be there once, but is {}", list(&values(name)))),
            Check::HeaderAbsent(name) if values(name).is_empty() => Ok(()),
            Check::HeaderAbsent(name) => Err(format!("{name} should not be there, but is {}", list(&values(name)))),
            Check::HeaderLines(name, lines) if values(name) == *lines => Ok(()),
            Check::HeaderLines(name, lines) => {
                Err(format!("{name} should be {}, but is {}", list(lines), list(&values(name))))
            }
            Check::Body(body) if reply.body == *body => Ok(()),
            Check::Body(body) => {
                Err(format!("the content should be \"{}\", but is {}", body.escape_ascii(), short(&reply.body)))
            }
            Check::BodyLength(length) if reply.body.len() == *length => Ok(()),
            Check::BodyLength(length) => {
                Err(format!("there should be {length} octets of content, but there are {}", reply.body.len()))
            }
            Check::BodySome if !reply.body.is_empty() => Ok(()),
            Check::BodySome => Err("there should be content, but there is none".to_owned()),
            Check::BodyWithout(text) if !contains(&reply.body, text) => Ok(()),
            Check::BodyWithout(text) => {
                Err(format!("\"{}\" should not be told, but is: {}", text.escape_ascii(), short(&reply.body)))
            }
            Check::Framing(framing) if reply.framing == Some(*framing) => Ok(()),
            Check::Framing(framing) => {
                let seen = reply.framing.map(|f| f.to_string()).unwrap_or_default();
                Err(format!("the end should be told by {framing}, but is by {seen}"))
            }
            Check::Chunks(chunks) if reply.framing == Some(Framing::Chunked) && reply.chunks == *chunks => Ok(()),
            Check::Chunks(chunks) => {
                Err(format!("the chunks should be {}, but are {}", list(chunks), list(&reply.chunks)))
            }
            Check::DateNow => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
                match reply.values("Date").next().and_then(seconds_of) {
                    // The server's clock may be cached for a second, and a busy machine may take some.
                    Some(date) if now.abs_diff(date) <= 5 => Ok(()),
                    date => {
                        Err(format!("H1-DATE-02 Date should be about {now}, but is {date:?}, in seconds since 1970"))
                    }
                }
            }
            Check::Cut | Check::MaybeCut => Ok(()),
            Check::SameAsGet(path) => {
                debug_assert_eq!(to, To::Head);
                let get =
                    client::get(self.address, path).map_err(|error| format!("GET {path} for comparison: {error}"))?;
                same_head(reply, &get)
            }
        }
    }

    fn end(&mut self) {
        let transcript = self.transcript;
        let announced = transcript.replies.last().is_some_and(Reply::announces_close);
        let complete = transcript.replies.last().is_none_or(|reply| reply.complete);
        match (self.outcome.end, transcript.fate) {
            (End::Open, Some(Fate::Open)) => {
                if announced {
                    self.wrong("H1-CON-09 the connection stays open after `Connection: close`".to_owned());
                }
            }
            (End::Open, _) => {
                self.wrong("the connection should stay open, but a further request is not answered".to_owned())
            }
            (End::Closed | End::ClosedSilently, Some(Fate::Ended(ending))) => {
                match ending {
                    Ending::Silence => self.wrong("the connection should be closed, but stays open".to_owned()),
                    // More was on its way than any server waits for.
                    Ending::Reset if complete && self.case.length() <= LINGER => {
                        self.wrong("H1-CON-11 the connection is reset instead of being closed in order".to_owned());
                    }
                    Ending::Reset | Ending::Fin => {}
                }
                let must_announce =
                    self.outcome.end == End::Closed && !transcript.client_finished && !transcript.replies.is_empty();
                if must_announce && complete && !announced {
                    self.wrong("H1-CON-05 the connection is closed without `Connection: close`".to_owned());
                }
            }
            (End::Either, Some(Fate::Asked)) | (End::Left, _) => {}
            (end, fate) => self.wrong(format!("the connection should be {end:?}, but is {fate:?}")),
        }
    }
}

/// H1-NOB-02, H1-NOB-03: what HEAD may leave out, and what it may not say differently.
fn same_head(head: &Reply, get: &Reply) -> Result<(), String> {
    if head.status != get.status {
        return Err(format!("HEAD is answered with {}, GET with {}", head.status, get.status));
    }
    if let (Some(head), Some(get)) = (head.values("Content-Length").next(), get.values("Content-Length").next())
        && head != get
    {
        return Err(format!(
            "H1-NOB-03 Content-Length {} for HEAD, {} for GET",
            head.escape_ascii(),
            get.escape_ascii()
        ));
    }
    if head.values("Content-Length").next().is_some() && get.values("Transfer-Encoding").next().is_some() {
        return Err("H1-NOB-03 HEAD has a Content-Length that GET does not know".to_owned());
    }
    let names = |reply: &Reply| -> Vec<(String, Vec<u8>)> {
        let framing = ["date", "content-length", "transfer-encoding"];
        let fields = reply.fields.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone()));
        fields.filter(|(name, _)| !framing.contains(&name.as_str())).collect()
    };
    if names(head) == names(get) {
        return Ok(());
    }
    Err("the fields of HEAD and GET differ".to_owned())
}

fn calls(case: &Case, address: SocketAddr, transcripts: &[Transcript], seen: &[&Seen], differences: &mut Vec<String>) {
    if let Some(counts) = &case.calls
        && !counts.contains(&seen.len())
    {
        let counts: Vec<String> = counts.iter().map(usize::to_string).collect();
        let targets: Vec<String> = seen.iter().map(|seen| short(&seen.target)).collect();
        differences.push(format!(
            "the application should be called {} times, but was {}: {}",
            counts.join(" or "),
            seen.len(),
            targets.join(", ")
        ));
    }
    for (number, wanted) in &case.saw {
        let Some(seen) = seen.get(number - 1) else {
            // How many there may be was judged above.
            continue;
        };
        let peer = transcripts.iter().map(|transcript| transcript.port).collect::<Vec<u16>>();
        for saw in wanted {
            if let Err(difference) = check_saw(saw, seen, address, &peer) {
                differences.push(format!("call {number}: {difference}"));
            }
        }
    }
    for (number, seen) in seen.iter().enumerate() {
        if !seen.done {
            differences.push(format!("call {} does not end", number + 1));
        }
    }
}

fn check_saw(saw: &Saw, seen: &Seen, address: SocketAddr, peers: &[u16]) -> Result<(), String> {
    let told = |what: &str, wanted: &[u8], value: Option<&[u8]>| {
        let value = value.map_or("is not there".to_owned(), |value| format!("is {}", short(value)));
        Err(format!("{what} should be \"{}\", but {value}", wanted.escape_ascii()))
    };
    match saw {
        Saw::Variable(name, wanted) => {
            let value = seen.variable(name);
            let wanted = match wanted {
                Wanted::Exactly(wanted) => wanted.clone(),
                Wanted::Port => address.port().to_string().into_bytes(),
                Wanted::Peer => {
                    let peers: Vec<Vec<u8>> = peers.iter().map(|peer| peer.to_string().into_bytes()).collect();
                    peers.iter().find(|peer| Some(peer.as_slice()) == value).unwrap_or(&peers[0]).clone()
                }
                Wanted::Some if value.is_some_and(|value| !value.is_empty()) => return Ok(()),
                Wanted::Some => return Err(format!("{name} should be there")),
            };
            if value == Some(wanted.as_slice()) { Ok(()) } else { told(name, &wanted, value) }
        }
        Saw::NoVariable(name) => match seen.variable(name) {
            None => Ok(()),
            Some(value) => Err(format!("{name} should not be there, but is {}", short(value))),
        },
        Saw::Field(name, value) if seen.fields.contains(&(name.clone(), value.clone())) => Ok(()),
        Saw::Field(name, _) => Err(format!("the header list should have {name}, but is {}", field_list(&seen.fields))),
        Saw::Fields(fields) if seen.fields == *fields => Ok(()),
        Saw::Fields(fields) => {
            Err(format!("the header list should be {}, but is {}", field_list(fields), field_list(&seen.fields)))
        }
        Saw::Target(target) if seen.target == *target => Ok(()),
        Saw::Target(target) => told("the target", target, Some(&seen.target)),
        Saw::Scheme(scheme) if seen.scheme == *scheme => Ok(()),
        Saw::Scheme(scheme) => told("the scheme", scheme.as_bytes(), Some(seen.scheme.as_bytes())),
        Saw::Input(input) if seen.input == *input && !matches!(seen.input_end, Some(Err(_))) => Ok(()),
        Saw::Input(input) => match seen.input_end {
            Some(Err(kind)) => Err(format!("reading the body should succeed, but fails: {}", kind_name(kind))),
            _ => told("the body", input, Some(&seen.input)),
        },
        Saw::InputLength(length) if seen.input.len() == *length => Ok(()),
        Saw::InputLength(length) => Err(format!("the body should have {length} octets, but has {}", seen.input.len())),
        Saw::InputFails(kinds) => {
            let kind = match seen.input_end {
                Some(Err(kind)) => kind_name(kind),
                Some(Ok(())) => "a success",
                None => "neither an end nor an error",
            };
            if kinds.iter().any(|wanted| wanted == kind) {
                return Ok(());
            }
            Err(format!("reading the body should fail with {}, but comes to {kind}", kinds.join(" or ")))
        }
    }
}

fn matches(value: &[u8], wanted: &[u8]) -> bool {
    match wanted.strip_suffix(b"*") {
        Some(beginning) => value.starts_with(beginning),
        None => value == wanted,
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len().max(1)).any(|window| window == part)
}

/// A response in one line.
fn summary(reply: &Reply) -> String {
    format!("{} with {}{}", reply.status, short(&reply.body), if reply.complete { "" } else { " (cut)" })
}

fn short(octets: &[u8]) -> String {
    let cut = octets.len() > 80;
    format!(
        "\"{}\"{}",
        octets[..octets.len().min(80)].escape_ascii(),
        if cut { format!("… ({} octets)", octets.len()) } else { String::new() }
    )
}

fn list(values: &[Vec<u8>]) -> String {
    match values {
        [] => "not there".to_owned(),
        values => values.iter().map(|value| short(value)).collect::<Vec<String>>().join(" and "),
    }
}

fn field_list(fields: &[(String, Vec<u8>)]) -> String {
    fields.iter().map(|(name, value)| format!("{name}: {}", value.escape_ascii())).collect::<Vec<String>>().join("; ")
}
