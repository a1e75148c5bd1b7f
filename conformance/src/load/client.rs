//! The generator: one thread, many connections, each with one batch of requests under way.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream as Blocking};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use super::exchange::Exchange;
use super::histogram::Histogram;
use super::reader::{Known, Reader};

/// What [`Workload::new`] allows.
const PATIENCE: Duration = Duration::from_secs(10);
/// One read takes at most this much; larger than a pipelined batch, a fraction of a download.
const READ_BUFFER: usize = 256 * 1024;

/// Who asks what.
#[derive(Clone, Debug)]
pub struct Workload {
    /// How many connections are kept open, each with one batch under way.
    pub connections: usize,
    /// How many requests are written at once; the next batch follows when all are answered.
    pub depth: usize,
    /// The pause between an answer and the next request on the same connection. The clock of the
    /// event queue ticks in milliseconds; shorter pauses are spun away.
    pub think: Duration,
    /// What is asked.
    pub fast: Exchange,
    /// What is asked in turn with it on each connection, with the same answer: so that no request repeats the one before.
    pub others: Vec<Exchange>,
    /// What is asked instead now and then, and how often (0.05 is five in a hundred batches,
    /// chosen by a generator with a fixed seed).
    pub slow: Option<(Exchange, f64)>,
    /// Each connection carries one batch and is then replaced.
    pub fresh: bool,
    /// No answer on any connection for this long means that the server hangs. It is also the most that a connection may
    /// take to be made.
    pub patience: Duration,
}

impl Workload {
    /// `connections` that ask for `exchange` back to back, with 10 seconds of patience.
    pub fn new(connections: usize, exchange: Exchange) -> Self {
        Self {
            connections,
            depth: 1,
            think: Duration::ZERO,
            fast: exchange,
            others: Vec::new(),
            slow: None,
            fresh: false,
            patience: PATIENCE,
        }
    }

    /// What is written at once for fast requests, for each turn. Within a batch requests differ too.
    fn fast_batches(&self) -> Vec<Vec<u8>> {
        let kinds: Vec<&Exchange> = std::iter::once(&self.fast).chain(&self.others).collect();
        let batch =
            |turn: usize| (0..self.depth).flat_map(|i| kinds[(turn + i) % kinds.len()].request.clone()).collect();
        (0..kinds.len()).map(batch).collect()
    }
}

/// When a run ends. It then waits for the answers that are still due, so that between runs the
/// server has nothing to do.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// After this time.
    Elapsed(Duration),
    /// After this many responses, rounded up to whole batches.
    Responses(u64),
}

/// What one run saw.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// From the first request to the last answer.
    pub elapsed: Duration,
    /// All answers, every one of them right.
    pub responses: u64,
    /// Answers per second, without those that came after the time of `Until::Elapsed`.
    pub rate: f64,
    /// Time from writing a batch (or connecting, when connections are fresh) to its last answer.
    pub fast: Histogram,
    /// The same for the slow requests of a mix.
    pub slow: Histogram,
    /// How many connections were opened during the run.
    pub connects: u64,
}

/// A load on one server: its connections stay open from run to run.
#[derive(Debug)]
pub struct Load {
    server: SocketAddr,
    workload: Workload,
    /// The batches of fast requests, one for each turn, and that of slow ones, as bytes.
    fast: Vec<Vec<u8>>,
    slow: Vec<u8>,
    poll: Poll,
    events: Events,
    connections: Vec<Connection>,
    known: Known,
    buffer: Vec<u8>,
    random: u64,
}

#[derive(Debug, Default)]
struct Connection {
    /// `None` until the first batch, and between fresh connections.
    stream: Option<TcpStream>,
    reader: Reader,
    slow: bool,
    /// How many batches there were.
    turn: usize,
    /// How much of the batch was written.
    written: usize,
    /// Answers still due.
    due: usize,
    since: Option<Instant>,
    /// The server announced the end; its end of stream has to follow.
    closing: bool,
    /// When the next batch may go, for a client that thinks.
    ready_at: Option<Instant>,
}

/// The counters of a run under way.
struct Run {
    deadline: Option<Instant>,
    /// Batches that may still be written.
    budget: u64,
    on_time: u64,
    last_answer: Instant,
    measured: Measured,
}

impl Run {
    /// One without an end.
    fn new(started: Instant) -> Self {
        Self { deadline: None, budget: u64::MAX, on_time: 0, last_answer: started, measured: Measured::default() }
    }
}

impl Load {
    /// A load on the server at `server`. Connections are opened by the first run.
    ///
    /// # Errors
    /// When the event queue cannot be made.
    pub fn new(server: SocketAddr, workload: Workload) -> io::Result<Self> {
        let slow = workload.slow.as_ref().map_or(&workload.fast, |(slow, _)| slow);
        Ok(Self {
            server,
            fast: workload.fast_batches(),
            slow: slow.batch(workload.depth),
            poll: Poll::new()?,
            events: Events::with_capacity(1024),
            connections: (0..workload.connections).map(|_| Connection::default()).collect(),
            known: Known::default(),
            buffer: vec![0; READ_BUFFER],
            random: 0x9E37_79B9_7F4A_7C15,
            workload,
        })
    }

    /// Opens the connections one after the other, each with one batch that is answered before the next follows. Some
    /// servers never serve some of the connections that come all at once.
    ///
    /// # Errors
    /// Those of [`run`](Self::run).
    pub fn greet(&mut self) -> io::Result<()> {
        for index in 0..self.connections.len() {
            let mut run = Run::new(Instant::now());
            run.budget = 1;
            self.issue(index, &mut run)?;
            while self.connections[index].is_busy() {
                self.turn(&mut run)?;
            }
        }
        Ok(())
    }

    /// Asks until `until`, then waits for what is still due.
    ///
    /// # Errors
    /// `InvalidData` for a wrong answer, `UnexpectedEof` when the server closed a connection
    /// without having said so, `TimedOut` when the workload's patience ends, and whatever the
    /// sockets say.
    pub fn run(&mut self, until: Until) -> io::Result<Measured> {
        let started = Instant::now();
        let mut run = Run::new(started);
        match until {
            Until::Elapsed(time) => run.deadline = Some(started + time),
            Until::Responses(count) => run.budget = count.div_ceil(self.workload.depth as u64),
        }
        for index in 0..self.connections.len() {
            self.issue(index, &mut run)?;
        }
        while self.connections.iter().any(Connection::is_busy) {
            self.turn(&mut run)?;
        }
        let Run { mut measured, on_time, .. } = run;
        measured.elapsed = started.elapsed();
        measured.rate = match until {
            Until::Elapsed(time) => on_time as f64 / time.as_secs_f64(),
            Until::Responses(_) => measured.responses as f64 / measured.elapsed.as_secs_f64(),
        };
        Ok(measured)
    }

    /// Waits for events until the next pause ends, and handles them.
    fn turn(&mut self, run: &mut Run) -> io::Result<()> {
        let patience = self.workload.patience;
        let mut timeout = patience;
        if !self.workload.think.is_zero() {
            let now = Instant::now();
            for index in 0..self.connections.len() {
                match self.connections[index].ready_at {
                    Some(at) if at <= now => self.issue(index, run)?,
                    Some(at) => timeout = timeout.min(at - now),
                    None => {}
                }
            }
            if timeout < Duration::from_millis(1) {
                timeout = Duration::ZERO;
            }
            if !self.connections.iter().any(Connection::is_busy) {
                return Ok(());
            }
        }
        let mut events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        match self.poll.poll(&mut events, Some(timeout)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
            // Also when there are events: pieces of an answer that never ends are no answer.
            Ok(()) if run.last_answer.elapsed() >= patience => {
                let due: usize = self.connections.iter().map(|connection| connection.due).sum();
                let text = format!("{due} answers are due and none came for {patience:?}");
                return Err(io::Error::new(io::ErrorKind::TimedOut, text));
            }
            Ok(()) => {}
        }
        for event in &events {
            let index = event.token().0;
            if event.is_writable() {
                self.write(index)?;
            }
            if event.is_readable() || event.is_read_closed() {
                self.read(index, event.is_read_closed(), run)?;
            }
        }
        self.events = events;
        Ok(())
    }

    /// Starts the next batch on a connection, unless the run is over.
    fn issue(&mut self, index: usize, run: &mut Run) -> io::Result<()> {
        let now = Instant::now();
        let slow = self.chooses_slow();
        let connection = &mut self.connections[index];
        connection.ready_at = None;
        if run.budget == 0 || run.deadline.is_some_and(|deadline| now >= deadline) {
            return Ok(());
        }
        run.budget -= 1;
        connection.slow = slow;
        connection.turn += 1;
        connection.written = 0;
        connection.due = self.workload.depth;
        connection.since = Some(now);
        if connection.stream.is_none() {
            // Connecting to loopback does not wait, the handshake happens within the call; unless the server's queue of
            // new connections is full.
            let stream = Blocking::connect_timeout(&self.server, self.workload.patience)?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(stream);
            let interest = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut stream, Token(index), interest)?;
            connection.stream = Some(stream);
            run.measured.connects += 1;
        }
        self.write(index)
    }

    fn write(&mut self, index: usize) -> io::Result<()> {
        let connection = &mut self.connections[index];
        let batch = if connection.slow { &self.slow } else { &self.fast[connection.turn % self.fast.len()] };
        let Some(stream) = &mut connection.stream else { return Ok(()) };
        while connection.due > 0 && connection.written < batch.len() {
            match stream.write(&batch[connection.written..]) {
                Ok(count) => connection.written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads what is there. Readiness is told once per change, so a read that filled the buffer,
    /// or an end of stream that was announced, means reading again; a short read does not.
    fn read(&mut self, index: usize, ends: bool, run: &mut Run) -> io::Result<()> {
        loop {
            let Some(stream) = &mut self.connections[index].stream else { return Ok(()) };
            let count = match stream.read(&mut self.buffer) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if count == 0 {
                return self.end_of_stream(index, run);
            }
            let batch_done = self.consume(index, count, run)?;
            if batch_done {
                self.batch_done(index, run)?;
            }
            if count < self.buffer.len() && !ends {
                return Ok(());
            }
        }
    }

    /// Checks the answers in the first `count` bytes of the buffer; true when all have come.
    fn consume(&mut self, index: usize, count: usize, run: &mut Run) -> io::Result<bool> {
        let connection = &mut self.connections[index];
        let expected = match &self.workload.slow {
            Some((slow, _)) if connection.slow => &slow.expected,
            _ => &self.workload.fast.expected,
        };
        let mut at = 0;
        while at < count {
            if connection.due == 0 || connection.closing {
                return Err(broken(format!("{} bytes after the last answer", count - at)));
            }
            let rest = &self.buffer[at..count];
            let Some(complete) = connection.reader.feed(&mut self.known, rest, expected)? else {
                return Ok(false);
            };
            at += complete.consumed;
            connection.due -= 1;
            connection.closing = complete.close;
            run.measured.responses += 1;
        }
        if connection.closing && connection.due > 0 {
            return Err(broken(format!("closed with {} answers due", connection.due)));
        }
        Ok(connection.due == 0)
    }

    /// Records the batch and starts the next, on this connection or a new one.
    fn batch_done(&mut self, index: usize, run: &mut Run) -> io::Result<()> {
        let now = Instant::now();
        let connection = &mut self.connections[index];
        let latency = connection.since.take().map_or(Duration::ZERO, |since| now - since);
        match connection.slow {
            true => run.measured.slow.record(latency),
            false => run.measured.fast.record(latency),
        }
        if run.deadline.is_none_or(|deadline| now < deadline) {
            run.on_time += self.workload.depth as u64;
        }
        run.last_answer = now;
        if connection.closing {
            return Ok(());
        }
        if self.workload.fresh {
            connection.stream = None;
        }
        self.next(index, run)
    }

    fn next(&mut self, index: usize, run: &mut Run) -> io::Result<()> {
        if self.workload.think.is_zero() {
            return self.issue(index, run);
        }
        self.connections[index].ready_at = Some(Instant::now() + self.workload.think);
        Ok(())
    }

    fn end_of_stream(&mut self, index: usize, run: &mut Run) -> io::Result<()> {
        let connection = &mut self.connections[index];
        if !connection.closing {
            let state = match (connection.due, connection.reader.is_between()) {
                (0, _) => "between two requests".to_owned(),
                (due, true) => format!("with {due} answers due"),
                (due, false) => format!("within an answer, with {due} due"),
            };
            let text = format!("the server closed a connection {state}");
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
        }
        *connection = Connection::default();
        self.next(index, run)
    }

    /// Marsaglia's xorshift with a fixed seed: every run makes the same choices.
    fn chooses_slow(&mut self) -> bool {
        let Some((_, share)) = self.workload.slow else { return false };
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        ((self.random >> 11) as f64 / (1u64 << 53) as f64) < share
    }
}

impl Connection {
    /// Answers, an announced end of stream, or the end of a pause are still to come.
    fn is_busy(&self) -> bool {
        self.due > 0 || self.closing || self.ready_at.is_some()
    }
}

fn broken(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("wrong response: {what}"))
}
