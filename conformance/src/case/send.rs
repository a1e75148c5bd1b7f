//! The `send` block: octets and orders to the client.

use std::time::Duration;

use super::escape::only_quoted;
use super::{Action, Place, Step};
use crate::case::{Mistake, unescape};

/// Reads the lines of a block as steps of one connection.
pub(super) fn read(connection: usize, lines: &[(usize, String)], file: &str) -> Result<Vec<Step>, Mistake> {
    let mut steps: Vec<Step> = Vec::new();
    for (number, line) in lines {
        let mistake = |message: String| Mistake { place: Place { file: file.to_owned(), line: *number }, message };
        if line.starts_with(['\t']) || line.ends_with([' ', '\t']) {
            return Err(mistake("blanks at the end of a line are written \\x20 or \\t".to_owned()));
        }
        let action = match line.strip_prefix('@') {
            Some(order) => order_of(order).map_err(mistake)?,
            None => Action::Send(unescape(line).map_err(mistake)?),
        };
        match (steps.last_mut(), action) {
            (Some(Step { action: Action::Send(octets), .. }), Action::Send(more)) => octets.extend_from_slice(&more),
            (_, action) => steps.push(Step { connection, action }),
        }
    }
    Ok(steps)
}

fn order_of(order: &str) -> Result<Action, String> {
    let (verb, rest) = order.split_once(' ').unwrap_or((order, ""));
    match (verb, rest) {
        ("wait", time) => Ok(Action::Wait(duration(time)?)),
        ("quiet", time) => Ok(Action::Quiet(duration(time)?)),
        ("until", text) => Ok(Action::Until(only_quoted(text)?)),
        ("read", "") => Ok(Action::Read),
        ("interim", "") => Ok(Action::Interim),
        ("fin", "") => Ok(Action::Fin),
        ("leave", "") => Ok(Action::Leave),
        _ => Err(format!("@{order} is not an order")),
    }
}

/// Reads `300ms` or `5s`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a time such as 300ms or 5s");
    if let Some(number) = text.strip_suffix("ms") {
        return Ok(Duration::from_millis(number.parse().map_err(|_| wrong())?));
    }
    let number = text.strip_suffix('s').ok_or_else(wrong)?;
    Ok(Duration::from_secs(number.parse().map_err(|_| wrong())?))
}
