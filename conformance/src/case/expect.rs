//! The `expect` block: responses, the fate of connections, and what the application saw.

use super::escape::{list_of_quoted, only_quoted};
use super::{Check, End, Expected, Final, Framing, Mistake, Outcome, Place, Saw, To, Wanted, unescape};

/// What an `expect` block says.
#[derive(Default)]
pub(super) struct Expectation {
    pub(super) connections: Vec<(String, Vec<Expected>, Option<End>)>,
    pub(super) calls: Option<Vec<usize>>,
    pub(super) saw: Vec<(usize, Vec<Saw>)>,
}

/// What indented lines belong to.
enum About {
    Nothing,
    Reply { times: usize },
    Call,
}

/// Reads the lines of a block.
pub(super) fn read(lines: &[(usize, String)], file: &str) -> Result<Expectation, Mistake> {
    let mut expectation =
        Expectation { connections: vec![(String::new(), Vec::new(), None)], ..Expectation::default() };
    let mut about = About::Nothing;
    for (number, line) in lines {
        let mistake = |message: String| Mistake { place: Place { file: file.to_owned(), line: *number }, message };
        match line.strip_prefix("  ") {
            Some(check) => add_check(&mut expectation, &about, check).map_err(mistake)?,
            None => about = statement(&mut expectation, line).map_err(mistake)?,
        }
    }
    Ok(expectation)
}

fn statement(expectation: &mut Expectation, line: &str) -> Result<About, String> {
    let current = expectation.connections.last_mut().ok_or("no connection")?;
    if let Some(name) = line.strip_prefix("connection ") {
        // A block may speak of `b` only.
        if expectation.connections.len() == 1 && current_is_untouched(&expectation.connections[0]) {
            expectation.connections.clear();
        }
        expectation.connections.push((name.to_owned(), Vec::new(), None));
        return Ok(About::Nothing);
    }
    if let Some(end) = end_of(line) {
        if current.2.replace(end).is_some() {
            return Err("this connection has an end already".to_owned());
        }
        return Ok(About::Nothing);
    }
    if let Some(counts) = line.strip_prefix("calls ") {
        let counts = counts.split('|').map(|n| n.parse().map_err(|_| format!("{n:?} is not a number")));
        if expectation.calls.replace(counts.collect::<Result<_, String>>()?).is_some() {
            return Err("calls are counted already".to_owned());
        }
        return Ok(About::Nothing);
    }
    if let Some(number) = line.strip_prefix("call ") {
        let number = number.parse().map_err(|_| format!("{number:?} is not a number"))?;
        expectation.saw.push((number, Vec::new()));
        return Ok(About::Call);
    }
    if current.2.is_some() {
        return Err("a response after the end of the connection".to_owned());
    }
    let (optional, interim) = match line.strip_prefix("maybe ") {
        Some(rest) => (true, rest.strip_prefix("interim ")),
        None => (false, line.strip_prefix("interim ")),
    };
    if let Some(status) = interim {
        let status = status.parse().map_err(|_| format!("{status:?} is not a status"))?;
        current.1.push(Expected::Interim { status, optional });
        return Ok(About::Nothing);
    }
    let (times, response) = match line.split_once(" times response ") {
        Some((times, rest)) => (times.parse().map_err(|_| format!("{times:?} is not a number"))?, Some(rest)),
        None => (1, line.strip_prefix("response ")),
    };
    let response = response.ok_or_else(|| format!("{line:?} is not understood"))?;
    let reply = final_of(response)?;
    current.1.extend(std::iter::repeat_n(Expected::Final(reply), times));
    Ok(About::Reply { times })
}

fn current_is_untouched(connection: &(String, Vec<Expected>, Option<End>)) -> bool {
    connection.1.is_empty() && connection.2.is_none()
}

fn end_of(line: &str) -> Option<End> {
    Some(match line {
        "open" => End::Open,
        "closed" => End::Closed,
        "closed silently" => End::ClosedSilently,
        "either" => End::Either,
        _ => return None,
    })
}

fn final_of(text: &str) -> Result<Final, String> {
    let (text, optional) = text.strip_suffix(" or nothing").map_or((text, false), |text| (text, true));
    let (statuses, to) = match text.split_once(" to ") {
        None => (text, To::Other),
        Some((statuses, "HEAD")) => (statuses, To::Head),
        Some((statuses, "CONNECT")) => (statuses, To::Connect),
        Some((_, method)) => return Err(format!("{method:?} does not decide about framing")),
    };
    let statuses = match statuses {
        "any" => Vec::new(),
        list => list
            .split('|')
            .map(|status| match status.parse() {
                Ok(code @ 200..=599) => Ok(code),
                _ => Err(format!("{status:?} is not a final status")),
            })
            .collect::<Result<_, String>>()?,
    };
    Ok(Final { statuses, optional, to, checks: Vec::new() })
}

fn add_check(expectation: &mut Expectation, about: &About, line: &str) -> Result<(), String> {
    match about {
        About::Nothing => Err(format!("{line:?} is about nothing")),
        About::Call => {
            let saw = saw_of(line)?;
            expectation.saw.last_mut().ok_or("no call")?.1.push(saw);
            Ok(())
        }
        About::Reply { times } => {
            let check = check_of(line)?;
            let replies = &mut expectation.connections.last_mut().ok_or("no connection")?.1;
            for reply in replies.iter_mut().rev().take(*times) {
                if let Expected::Final(reply) = reply {
                    reply.checks.push(check.clone());
                }
            }
            Ok(())
        }
    }
}

fn check_of(line: &str) -> Result<Check, String> {
    if let Some(rest) = line.strip_prefix("header lines ") {
        let (name, values) = rest.split_once(": ").ok_or("a colon is missing")?;
        let values = values.split(" | ").map(unescape).collect::<Result<_, _>>()?;
        return Ok(Check::HeaderLines(name.to_owned(), values));
    }
    if let Some(rest) = line.strip_prefix("header ") {
        return Ok(match rest.split_once(':') {
            Some((name, value)) => Check::Header(name.to_owned(), unescape(value.strip_prefix(' ').unwrap_or(value))?),
            None => Check::HeaderPresent(rest.to_owned()),
        });
    }
    if let Some(name) = line.strip_prefix("no header ") {
        return Ok(Check::HeaderAbsent(name.to_owned()));
    }
    if let Some(text) = line.strip_prefix("body without ") {
        return Ok(Check::BodyWithout(only_quoted(text)?));
    }
    if let Some(rest) = line.strip_prefix("body ") {
        return Ok(match rest {
            "some" => Check::BodySome,
            "none" => Check::BodyLength(0),
            _ => match length_of(rest)? {
                Some(length) => Check::BodyLength(length),
                None => Check::Body(only_quoted(rest)?),
            },
        });
    }
    if let Some(framing) = line.strip_prefix("framing ") {
        return Ok(Check::Framing(match framing {
            "none" => Framing::None,
            "length" => Framing::Length,
            "chunked" => Framing::Chunked,
            "close" => Framing::Close,
            _ => return Err(format!("{framing:?} is not a framing")),
        }));
    }
    if let Some(chunks) = line.strip_prefix("chunks ") {
        return Ok(Check::Chunks(list_of_quoted(chunks)?));
    }
    if let Some(path) = line.strip_prefix("same as GET ") {
        return Ok(Check::SameAsGet(path.to_owned()));
    }
    match line {
        "cut" => Ok(Check::Cut),
        "date now" => Ok(Check::DateNow),
        "maybe cut" => Ok(Check::MaybeCut),
        _ => Err(format!("{line:?} says nothing about a response")),
    }
}

/// Reads `5000 octets`.
fn length_of(text: &str) -> Result<Option<usize>, String> {
    let Some(number) = text.strip_suffix(" octets") else { return Ok(None) };
    number.parse().map(Some).map_err(|_| format!("{number:?} is not a number"))
}

fn saw_of(line: &str) -> Result<Saw, String> {
    if let Some(kinds) = line.strip_prefix("input fails ") {
        let kinds: Vec<String> = kinds.split('|').map(str::to_owned).collect();
        let known = ["unexpected-eof", "invalid-data", "too-large", "timed-out"];
        return match kinds.iter().find(|kind| !known.contains(&kind.as_str())) {
            Some(kind) => Err(format!("{kind:?} is not a kind of error")),
            None => Ok(Saw::InputFails(kinds)),
        };
    }
    if let Some(rest) = line.strip_prefix("input ") {
        return Ok(match length_of(rest)? {
            Some(length) => Saw::InputLength(length),
            None => Saw::Input(only_quoted(rest)?),
        });
    }
    if let Some(text) = line.strip_prefix("target ") {
        return Ok(Saw::Target(only_quoted(text)?));
    }
    if let Some(text) = line.strip_prefix("scheme ") {
        return Ok(Saw::Scheme(String::from_utf8_lossy(&only_quoted(text)?).into_owned()));
    }
    if let Some(list) = line.strip_prefix("fields ") {
        let fields = list_of_quoted(list)?.iter().map(|octets| field_of(&String::from_utf8_lossy(octets))).collect();
        return Ok(Saw::Fields(fields));
    }
    if let Some(text) = line.strip_prefix("field ") {
        let (name, value) = field_of(text);
        return Ok(Saw::Field(name, value));
    }
    if let Some(name) = line.strip_prefix("no ") {
        return Ok(Saw::NoVariable(name.to_owned()));
    }
    if let Some(name) = line.strip_suffix(" some") {
        return Ok(Saw::Variable(name.to_owned(), Wanted::Some));
    }
    let (name, value) = line.split_once(" = ").ok_or_else(|| format!("{line:?} says nothing about a call"))?;
    let wanted = match value {
        r#""\{port}""# => Wanted::Port,
        r#""\{peer}""# => Wanted::Peer,
        _ => Wanted::Exactly(only_quoted(value)?),
    };
    Ok(Saw::Variable(name.to_owned(), wanted))
}

fn field_of(text: &str) -> (String, Vec<u8>) {
    let (name, value) = text.split_once(':').unwrap_or((text, ""));
    (name.to_owned(), value.trim().as_bytes().to_vec())
}

/// Brings what a block says about connections into their order.
pub(super) fn outcomes(
    said: Vec<(String, Vec<Expected>, Option<End>)>,
    names: &[String],
    left: &[bool],
) -> Result<Vec<Outcome>, String> {
    if let Some((name, ..)) = said.iter().find(|(name, ..)| !names.contains(name)) {
        return Err(format!("nothing is sent on the connection {name:?}"));
    }
    names
        .iter()
        .zip(left)
        .map(|(name, &left)| {
            let found = said.iter().find(|(said, ..)| said == name);
            let (replies, end) = found.map(|(_, replies, end)| (replies.clone(), *end)).unwrap_or_default();
            let end = match (end, left) {
                (Some(end), false) => end,
                (None, true) if replies.is_empty() => End::Left,
                (_, true) => return Err(format!("the client leaves the connection {name:?} and reads nothing")),
                (None, false) => return Err(format!("the end of the connection {name:?} is not told")),
            };
            Ok(Outcome { name: name.clone(), replies, end })
        })
        .collect()
}
