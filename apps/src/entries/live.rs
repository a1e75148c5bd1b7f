//! `live`: how long, how many.

use super::PLAIN;
use crate::values::{count, duration};
use crate::{Entry, Given, Made, Opt};

#[rustfmt::skip] // one line each, as a table
pub(crate) const ENTRY: Entry = Entry {
    name: "live",
    summary: "a clock and a chat, by server-sent events",
    options: &[
        Opt { name: "heartbeat", value: "TIME", default: "15s", help: "a comment after so much silence, to notice who has gone", positional: false },
        Opt { name: "max-listeners", value: "N", default: "1000", help: "open streams at once, else 503; on threaded a thread each", positional: false },
        Opt { name: "history", value: "N", default: "50", help: "messages that are replayed to who comes back", positional: false },
        Opt { name: "queue", value: "N", default: "256", help: "messages kept for slow readers; what is missed is told", positional: false },
        Opt { name: "max-text", value: "N", default: "500", help: "characters of a message, else 422", positional: false },
    ],
    make,
    ..PLAIN
};

fn make(given: &Given) -> Result<Made, String> {
    let mut config = live::Config::default();
    let set = |place: &mut usize, name| given.value(name, count).map(|n| *place = n.unwrap_or(*place));
    set(&mut config.max_listeners, "max-listeners")?;
    set(&mut config.history, "history")?;
    set(&mut config.queue, "queue")?;
    set(&mut config.max_text, "max-text")?;
    config.heartbeat = given.value("heartbeat", duration)?.unwrap_or(config.heartbeat);
    let app = live::app(config).map_err(|error| format!("{error:?}"))?;
    let stopper = app.stopper();
    Ok(Made::new(app).on_stop(stopper))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the help says is what the application does.
    #[test]
    fn the_defaults_in_the_help_are_those_of_the_application() {
        let live::Config { max_listeners, heartbeat, history, queue, max_text, .. } = live::Config::default();
        let numbers =
            [("max-listeners", max_listeners), ("history", history), ("queue", queue), ("max-text", max_text)];
        for Opt { name, default, .. } in ENTRY.options {
            match numbers.iter().find(|(known, _)| known == name) {
                Some((_, number)) => assert_eq!(count(default), Ok(*number), "{name}"),
                None => assert_eq!((*name, duration(default)), ("heartbeat", Ok(heartbeat))),
            }
        }
        assert!(make(&Given::default().with("history", "x")).is_err_and(|why| why.starts_with("--history: ")));
    }
}
