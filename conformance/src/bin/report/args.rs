//! The command line.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use conformance::load::{SCENARIOS, Scenario, ServerOptions, placement};
use lexopt::{Arg, Parser, ValueExt};

use crate::serve::{self, Server, Settings};

/// What `--help` prints.
pub(crate) const HELP: &str = "\
Measures HTTP servers side by side, each in a process of its own on loopback.

Usage: report [COMMAND] [OPTIONS]

Commands:
  load      requests/s, processor time per request, latencies (the default)
  counts    system calls (strace), user instructions and heap calls (valgrind) per request
  memory    resident memory per idle connection
  build     crates, time of a clean build and size of a hello-world
  all       machine, load, counts, memory and build, one report
  list      the servers and scenarios of this build
  compared  the same for programs: a server and one of its scenarios per line
  serve NAME ADDRESS   one server alone, for other tools

Options:
  --servers A,B,…      which servers (default: all)
  --scenarios A,B,…    which scenarios of load (default: all)
  --rounds N           interleaved rounds (default 5)
  --seconds S          measured time of each server in a round (default 0.6)
  --threads N          serving threads of each server (default 1)
  --no-pin             leave the placement on processors to the kernel
  --out FILE.md        write the report there too, its picture beside it
  --svg FILE           write the picture of load there
  --connections N      idle connections for memory (default 10000)
  --skip A,B,…         parts that all leaves out: load, counts, memory, build

Options of memory, for a server that runs already:
  --at ADDRESS --pid PID   where it listens, and its process
  --path PATH          what each connection asks for (default /); it stays open after the head came

Options of serve:
  --scenario NAME      what the server prepares for (default plaintext)
  --cpus A,B,…         the processors to use
  --control            take orders from standard input and end with it

Ratios compare with limit-epoll and limit-threaded of the same round when they are among the
servers. Peers (hyper, axum, …) are in builds with --features peers; gunicorn and waitress take
part in the mix where Python has them. All servers, scenarios and parts: about 18 minutes.
";

/// What to do.
pub(crate) enum Command {
    /// Print the help text.
    Help,
    /// Print servers and scenarios.
    List,
    /// Print who takes part in what.
    Compared,
    /// Be a server.
    Serve {
        /// Which.
        server: &'static Server,
        /// Where and how.
        settings: Settings,
        /// The processors to use; all when empty.
        cpus: Vec<usize>,
        /// Take orders from standard input.
        control: bool,
    },
    /// Measure under load.
    Load(Plan),
    /// Count calls, instructions and allocations.
    Counts(Plan),
    /// Measure memory.
    Memory(Plan),
    /// Measure the memory of a server that runs already.
    MemoryOf(Running, Plan),
    /// Count crates and build.
    Build(Plan),
    /// All of these.
    All(Plan),
}

/// A server that somebody else started.
pub(crate) struct Running {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Its process.
    pub(crate) pid: u32,
    /// What to ask for.
    pub(crate) path: String,
}

/// What to measure.
pub(crate) struct Plan {
    /// The servers, in the order of the tables.
    pub(crate) servers: Vec<&'static Server>,
    /// The scenarios.
    pub(crate) scenarios: Vec<Scenario>,
    /// How often everything is measured.
    pub(crate) rounds: usize,
    /// For how long each time.
    pub(crate) time: Duration,
    /// Serving threads of each server.
    pub(crate) threads: usize,
    /// Give the servers and the load processors of their own.
    pub(crate) pin: bool,
    /// Idle connections.
    pub(crate) connections: usize,
    /// Where to draw.
    pub(crate) svg: Option<PathBuf>,
    /// Where to write.
    pub(crate) out: Option<PathBuf>,
    /// What `all` leaves out.
    pub(crate) skip: Vec<Part>,
}

/// A part of `all`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Rounds of requests.
    Load,
    /// Tools that count.
    Counts,
    /// Idle connections.
    Memory,
    /// The compiler.
    Build,
}

impl Part {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "load" => Self::Load,
            "counts" => Self::Counts,
            "memory" => Self::Memory,
            "build" => Self::Build,
            _ => return None,
        })
    }
}

impl Plan {
    /// The processors of the servers and those of the load; both empty when they share all.
    pub(crate) fn placement(&self) -> (Vec<usize>, Vec<usize>) {
        match self.pin {
            true => placement(self.threads),
            false => (Vec::new(), Vec::new()),
        }
    }

    /// How to start a server for a scenario.
    pub(crate) fn options(&self, server: &Server, scenario: &Scenario) -> std::io::Result<ServerOptions> {
        Ok(ServerOptions {
            program: std::env::current_exe()?,
            wrapper: Vec::new(),
            name: server.name.to_owned(),
            scenario: scenario.name.to_owned(),
            threads: self.threads,
            cpus: self.placement().0,
        })
    }
}

/// Reads the command line.
pub(crate) fn parse(mut parser: Parser) -> Result<Command, lexopt::Error> {
    let mut words: Vec<String> = Vec::new();
    let mut plan = Plan {
        servers: Vec::new(),
        scenarios: SCENARIOS.to_vec(),
        rounds: 5,
        time: Duration::from_millis(600),
        threads: 1,
        pin: true,
        connections: 10_000,
        svg: None,
        out: None,
        skip: Vec::new(),
    };
    let (mut at, mut pid, mut path) = (None, None, "/".to_owned());
    let (mut cpus, mut control, mut scenario) = (Vec::new(), false, SCENARIOS[1]);
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Short('h') | Arg::Long("help") => return Ok(Command::Help),
            Arg::Long("servers") => plan.servers = names(&mut parser, serve::named)?,
            Arg::Long("scenarios") => plan.scenarios = names(&mut parser, Scenario::named)?,
            Arg::Long("scenario") => scenario = name(&parser.value()?.string()?, Scenario::named)?,
            Arg::Long("rounds") => plan.rounds = parser.value()?.parse::<usize>()?.max(1),
            Arg::Long("seconds") => {
                let seconds: f64 = parser.value()?.parse()?;
                plan.time = Duration::try_from_secs_f64(seconds)
                    .map_err(|_| format!("--seconds {seconds} is no length of time"))?;
            }
            Arg::Long("threads") => plan.threads = parser.value()?.parse::<usize>()?.max(1),
            Arg::Long("connections") => plan.connections = parser.value()?.parse()?,
            Arg::Long("svg") => plan.svg = Some(parser.value()?.into()),
            Arg::Long("out") => plan.out = Some(parser.value()?.into()),
            Arg::Long("skip") => plan.skip = names(&mut parser, Part::named)?,
            Arg::Long("at") => at = Some(parser.value()?.parse()?),
            Arg::Long("pid") => pid = Some(parser.value()?.parse()?),
            Arg::Long("path") => path = parser.value()?.string()?,
            Arg::Long("no-pin") => plan.pin = false,
            Arg::Long("cpus") => cpus = names(&mut parser, |text| text.parse().ok())?,
            Arg::Long("control") => control = true,
            Arg::Value(word) => words.push(word.string()?),
            _ => return Err(arg.unexpected()),
        }
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    if plan.servers.is_empty() && !matches!(words[..], ["serve", ..]) {
        plan.servers = serve::servers().filter(|server| (server.present)()).collect();
    }
    Ok(match words[..] {
        [] | ["load"] => Command::Load(plan),
        ["counts"] => Command::Counts(plan),
        ["memory"] => match (at, pid) {
            (None, None) => Command::Memory(plan),
            (Some(address), Some(pid)) => Command::MemoryOf(Running { address, pid, path }, plan),
            _ => return Err("--at and --pid belong together".into()),
        },
        ["build"] => Command::Build(plan),
        ["all"] => Command::All(plan),
        ["list"] => Command::List,
        ["compared"] => Command::Compared,
        ["serve", server, address] => {
            let server = name(server, serve::named)?;
            let address = address.parse().map_err(|_| format!("{address:?} is no ADDRESS:PORT"))?;
            let settings = Settings { address, threads: plan.threads, scenario };
            Command::Serve { server, settings, cpus, control }
        }
        _ => return Err(format!("unknown command {:?}", words.join(" ")).into()),
    })
}

/// Prints what can be measured.
pub(crate) fn list(out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "Servers:")?;
    let servers = || serve::servers().filter(|server| (server.present)());
    for server in servers() {
        writeln!(out, "  {:<20} {}", server.name, server.about)?;
    }
    writeln!(out, "\nScenarios (connections × requests written at once):")?;
    for Scenario { name, shape, connections, depth } in SCENARIOS {
        writeln!(out, "  {name:<20} {connections} × {depth}, {shape:?}")?;
    }
    writeln!(out, "\nNot compared:")?;
    for server in servers() {
        for scenario in SCENARIOS {
            if let Some(reason) = (server.declines)(scenario.shape) {
                writeln!(out, "  {:<20} {:<14} {reason}", server.name, scenario.name)?;
            }
        }
    }
    Ok(())
}

/// Prints who takes part in what.
pub(crate) fn compared(out: &mut dyn Write) -> io::Result<()> {
    for server in serve::servers().filter(|server| (server.present)()) {
        for scenario in SCENARIOS.iter().filter(|scenario| (server.declines)(scenario.shape).is_none()) {
            writeln!(out, "{} {}", server.name, scenario.name)?;
        }
    }
    Ok(())
}

fn names<T>(parser: &mut Parser, find: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, lexopt::Error> {
    parser.value()?.string()?.split(',').map(|text| name(text, &find)).collect()
}

fn name<T>(text: &str, find: impl Fn(&str) -> Option<T>) -> Result<T, lexopt::Error> {
    find(text).ok_or_else(|| format!("unknown name {text:?}").into())
}
