//! The raw client: sends a case in pieces, and reads what comes back.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use crate::case::{Action, Case, End, Expected, To};
use crate::reply::{Ending, Octets, Outcome, Reply, ending_of};

/// Longer than anything in the suite takes; what takes longer is reported as silence.
const PATIENCE: Duration = Duration::from_secs(10);

/// The pause between two pieces: long enough for a server that waits to read the first.
pub(crate) const GAP: Duration = Duration::from_micros(50);

/// From here on, sending is mixed with receiving, because neither side's buffers hold so much.
const LARGE: usize = 64 * 1024;

/// The request that asks whether a connection still works.
const STILL_THERE: &[u8] = b"GET /still-there HTTP/1.1\r\nHost: a\r\n\r\n";

/// The path of that request, for whoever counts calls.
pub const STILL_THERE_PATH: &str = "/still-there";

/// How the octets of a case are cut into writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pieces {
    /// As the case has them.
    Whole,
    /// Pieces of this many octets.
    Of(usize),
    /// In two at this octet of all the case sends.
    SplitAt(usize),
}

/// All the ways to send a case (H18): whole; octet by octet, or for more than 2,000 octets in at most 500 equal pieces;
/// in two at every octet.
///
/// A case of more than 400 octets is split at a sample: the first and the last 40 octets, around each line end (the
/// first 60 of them), and 40 places evenly spread.
#[must_use]
pub fn all_pieces(case: &Case) -> Vec<Pieces> {
    let length = case.length();
    let mut all = vec![Pieces::Whole];
    if case.whole_only.is_some() || length < 2 {
        return all;
    }
    all.push(Pieces::Of(if length <= 2000 { 1 } else { length.div_ceil(500) }));
    let mut places: Vec<usize> = if length <= 400 {
        (1..length).collect()
    } else {
        let octets: Vec<u8> = case
            .steps
            .iter()
            .flat_map(|step| if let Action::Send(octets) = &step.action { octets.as_slice() } else { &[] })
            .copied()
            .collect();
        let ends = octets.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(n, _)| n).take(60);
        (1..40)
            .chain(length - 40..length)
            .chain(ends.flat_map(|n| n.saturating_sub(1)..n + 2))
            .chain((1..40).map(|n| n * length / 40))
            .collect()
    };
    places.retain(|&place| place > 0 && place < length);
    places.sort_unstable();
    places.dedup();
    // A megabyte need not travel two hundred times.
    if length > 100_000 {
        places = places.into_iter().step_by(40).collect();
    }
    all.extend(places.into_iter().map(Pieces::SplitAt));
    all
}

/// What was seen on one connection.
#[derive(Debug, Default)]
pub struct Transcript {
    /// The client's port.
    pub port: u16,
    /// Everything that came, interim responses included, in order.
    pub replies: Vec<Reply>,
    /// What became of the connection.
    pub fate: Option<Fate>,
    /// Whether the client closed its sending direction before the end.
    pub client_finished: bool,
    /// What went wrong on the way.
    pub problems: Vec<String>,
}

/// What became of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// One more request was answered.
    Open,
    /// It ended in this way.
    Ended(Ending),
    /// The client asked for its end.
    Asked,
}

/// Sends a case and reads everything back. `connected` is told the client's port of each connection before anything is
/// sent on it.
///
/// # Errors
/// If the server cannot be reached.
pub fn run(case: &Case, address: SocketAddr, pieces: Pieces, connected: &dyn Fn(u16)) -> io::Result<Vec<Transcript>> {
    let mut links: Vec<Link> = Vec::new();
    let mut sent = 0;
    for step in &case.steps {
        // Connections are numbered in the order of their first steps, and opened there.
        if step.connection == links.len() {
            let link = Link::open(address)?;
            connected(link.port());
            links.push(link);
        }
        let link = &mut links[step.connection];
        let expected = &case.connections[step.connection].replies;
        match &step.action {
            Action::Send(octets) => {
                link.send(octets, pieces, sent);
                sent += octets.len();
            }
            Action::Wait(time) => thread::sleep(*time),
            Action::Quiet(time) => link.quiet(*time),
            Action::Until(text) => link.until(text),
            Action::Read => link.final_reply(expected),
            Action::Interim => link.reply(To::Other),
            Action::Fin => link.finish(),
            Action::Leave => link.leave(),
        }
    }
    for (link, outcome) in links.iter_mut().zip(&case.connections) {
        let finals = outcome.replies.iter().filter(|reply| matches!(reply, Expected::Final(_))).count();
        while link.finals() < finals && !link.over {
            link.final_reply(&outcome.replies);
        }
        link.end(outcome.end);
    }
    Ok(links.into_iter().map(|link| link.transcript).collect())
}

/// Asks for one path on a connection of its own.
///
/// # Errors
/// If there is no answer.
pub fn get(address: SocketAddr, path: &str) -> io::Result<Reply> {
    let mut link = Link::open(address)?;
    link.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes(), Pieces::Whole, 0);
    link.reply(To::Other);
    link.transcript.replies.pop().ok_or_else(|| io::Error::other(link.transcript.problems.concat()))
}

/// One connection.
pub(crate) struct Link {
    stream: TcpStream,
    buffer: Vec<u8>,
    transcript: Transcript,
    /// Whether nothing more can come.
    over: bool,
    /// How much was sent.
    sent: usize,
}

impl Octets for Link {
    fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    fn receive(&mut self) -> Result<(), Ending> {
        let mut part = [0; 16 * 1024];
        match retry(|| self.stream.read(&mut part)) {
            Ok(0) => Err(Ending::Fin),
            Ok(n) => {
                self.buffer.extend_from_slice(&part[..n]);
                Ok(())
            }
            Err(error) => Err(ending_of(&error)),
        }
    }
}

impl Link {
    pub(crate) fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let port = stream.local_addr()?.port();
        let transcript = Transcript { port, ..Transcript::default() };
        Ok(Self { stream, buffer: Vec::new(), transcript, over: false, sent: 0 })
    }

    pub(crate) const fn port(&self) -> u16 {
        self.transcript.port
    }

    /// Whether nothing more can come.
    pub(crate) const fn is_over(&self) -> bool {
        self.over
    }

    pub(crate) fn into_transcript(self) -> Transcript {
        self.transcript
    }

    fn problem(&mut self, message: String) {
        self.transcript.problems.push(message);
    }

    fn finals(&self) -> usize {
        self.transcript.replies.iter().filter(|reply| reply.status >= 200).count()
    }

    /// Sends octets, of which the first is number `at` of the case.
    pub(crate) fn send(&mut self, octets: &[u8], pieces: Pieces, at: usize) {
        let parts: Vec<&[u8]> = match pieces {
            Pieces::Of(size) => octets.chunks(size).collect(),
            Pieces::SplitAt(place) if at < place && place < at + octets.len() => {
                let (first, second) = octets.split_at(place - at);
                vec![first, second]
            }
            Pieces::Whole | Pieces::SplitAt(_) => vec![octets],
        };
        for (number, part) in parts.iter().enumerate() {
            if number > 0 {
                thread::sleep(GAP);
            }
            self.sent += part.len();
            let result = if octets.len() < LARGE { self.stream.write_all(part) } else { self.send_large(part) };
            if result.is_err() {
                // The server has closed: what it said before that still counts, and is read later.
                return;
            }
        }
    }

    /// Sends and receives in turn, because the server may stop reading while it is not read from.
    fn send_large(&mut self, mut octets: &[u8]) -> io::Result<()> {
        let result = self.send_in_turn(&mut octets);
        self.stream.set_nonblocking(false)?;
        result
    }

    fn send_in_turn(&mut self, octets: &mut &[u8]) -> io::Result<()> {
        self.stream.set_nonblocking(true)?;
        let mut progress = Instant::now();
        while !octets.is_empty() {
            match self.stream.write(octets) {
                Ok(n) => {
                    *octets = &octets[n..];
                    progress = Instant::now();
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if self.receive().is_ok() {
                        progress = Instant::now();
                    } else if progress.elapsed() > PATIENCE {
                        return Err(ErrorKind::TimedOut.into());
                    } else {
                        thread::sleep(Duration::from_millis(1));
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Waits; whatever arrives meanwhile is too early.
    fn quiet(&mut self, time: Duration) {
        if self.buffer.is_empty() {
            self.set_patience(time);
            match self.receive() {
                Err(Ending::Silence) => {}
                Ok(()) => {
                    let early = self.buffer.escape_ascii().to_string();
                    self.problem(format!("nothing should arrive yet, but \"{early}\" did"));
                }
                Err(ending) => self.problem(format!("nothing should happen yet, but the connection ended: {ending:?}")),
            }
            self.set_patience(PATIENCE);
        } else {
            let early = self.buffer.escape_ascii().to_string();
            self.problem(format!("nothing should have arrived yet, but \"{early}\" did"));
        }
    }

    /// Waits until the text is in the buffer.
    fn until(&mut self, text: &[u8]) {
        while !self.buffer.windows(text.len()).any(|window| window == text) {
            if let Err(ending) = self.receive() {
                let so_far = self.buffer.escape_ascii().to_string();
                self.problem(format!(
                    "\"{}\" should have arrived, but \"{so_far}\" did, then {ending:?}",
                    text.escape_ascii()
                ));
                return;
            }
        }
    }

    fn set_patience(&mut self, time: Duration) {
        if let Err(error) = self.stream.set_read_timeout(Some(time)) {
            self.problem(format!("the client could not set its timeout: {error}"));
        }
    }

    /// Reads one final response and the interim ones before it.
    fn final_reply(&mut self, expected: &[Expected]) {
        let number = self.finals();
        let to = expected
            .iter()
            .filter_map(|reply| if let Expected::Final(reply) = reply { Some(reply.to) } else { None })
            .nth(number);
        loop {
            let before = self.finals();
            self.reply(to.unwrap_or_default());
            if self.over || self.finals() > before {
                return;
            }
        }
    }

    /// Reads one response of any kind.
    pub(crate) fn reply(&mut self, to: To) {
        if self.over {
            return;
        }
        match Reply::read(self, to) {
            Outcome::Reply(reply) => {
                self.over = !reply.complete;
                self.transcript.replies.push(*reply);
            }
            Outcome::Nothing(ending) => {
                self.over = true;
                self.transcript.fate = Some(Fate::Ended(ending));
            }
            Outcome::Broken(message) => {
                self.over = true;
                self.problem(message);
            }
        }
    }

    /// Closes the sending direction.
    pub(crate) fn finish(&mut self) {
        self.transcript.client_finished = true;
        // If the server was faster there is nothing left to close.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    fn leave(&mut self) {
        self.transcript.client_finished = true;
        self.over = true;
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// Finds out what has become of the connection, as far as the case wants to know.
    fn end(&mut self, end: End) {
        if self.transcript.fate.is_some() {
            return;
        }
        match end {
            End::Left => self.transcript.fate = Some(Fate::Asked),
            End::Open if !self.over => {
                self.send(STILL_THERE, Pieces::Whole, 0);
                let before = self.transcript.replies.len();
                self.reply(To::Other);
                match self.transcript.replies.get(before) {
                    Some(reply) if reply.status == 200 && reply.body == b"ok" => {
                        self.transcript.replies.pop();
                        self.transcript.fate = Some(Fate::Open);
                    }
                    _ => {}
                }
            }
            End::Open | End::Closed | End::ClosedSilently | End::Either => {
                if end == End::Either {
                    self.finish();
                }
                let fate = loop {
                    if !self.over && !self.buffer.is_empty() {
                        // More than was expected: as a response, so that it can be told what.
                        self.reply(To::Other);
                        continue;
                    }
                    self.buffer.clear();
                    match self.receive() {
                        Ok(()) => {}
                        Err(ending) => break ending,
                    }
                };
                let asked = end == End::Either;
                self.transcript.fate = Some(if asked { Fate::Asked } else { Fate::Ended(fate) });
            }
        }
    }
}

fn retry<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}
