//! A server in a process of its own, and what it costs.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::LazyLock;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};

/// A server may take this long to listen, and to answer an order; one under a tool takes its time.
const PATIENCE: Duration = Duration::from_secs(30);
/// A process that was told to stop may take this long.
const STOP_PATIENCE: Duration = Duration::from_secs(5);
/// The same under a tool, which writes its result then.
const TOOL_PATIENCE: Duration = Duration::from_secs(60);

/// How to start a server.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// The program, one that understands `serve NAME ADDRESS …` as `report` does.
    pub program: PathBuf,
    /// What to put before the program: a tracer or a profiler with its arguments.
    pub wrapper: Vec<OsString>,
    /// The name of the server.
    pub name: String,
    /// The scenario that it prepares for. Only the bare loops need to know.
    pub scenario: String,
    /// How many threads serve, where the server lets that be chosen.
    pub threads: usize,
    /// The processors it may use; all when empty.
    pub cpus: Vec<usize>,
}

/// A running server. It ends when this is dropped, and when this process ends, however it does:
/// the server reads its orders from a pipe and leaves when the pipe does.
#[derive(Debug)]
pub struct ServerProcess {
    child: Child,
    orders: Option<ChildStdin>,
    /// The lines of its standard output; closed when that is.
    answers: Receiver<String>,
    stop_patience: Duration,
    address: SocketAddr,
    pid: u32,
}

/// Memory of a process in KiB, as the kernel counts it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    /// Resident now.
    pub resident: u64,
    /// The most that ever was resident.
    pub peak: u64,
    /// How many threads there are.
    pub threads: u64,
}

impl Memory {
    /// The memory of a process now.
    ///
    /// # Errors
    /// When there is no such process, or no `/proc`.
    pub fn of(pid: u32) -> io::Result<Self> {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
        };
        Ok(Self { resident: field("VmRSS:"), peak: field("VmHWM:"), threads: field("Threads:") })
    }
}

impl ServerProcess {
    /// Starts a server on a free port of the loopback address and waits until it listens.
    ///
    /// # Errors
    /// When the process cannot be started or ends before it listens (its own message went to the
    /// standard error stream), or does not listen after half a minute.
    pub fn start(options: &ServerOptions) -> io::Result<Self> {
        let mut words = options.wrapper.iter().cloned();
        let mut command = match words.next() {
            Some(wrapper) => Command::new(wrapper),
            None => Command::new(&options.program),
        };
        command.args(words);
        if !options.wrapper.is_empty() {
            command.arg(&options.program);
        }
        command.args(["serve", &options.name, "127.0.0.1:0", "--control"]);
        command.args(["--scenario", &options.scenario]);
        command.args(["--threads", &options.threads.to_string()]);
        if !options.cpus.is_empty() {
            let cpus: Vec<String> = options.cpus.iter().map(usize::to_string).collect();
            command.args(["--cpus", &cpus.join(",")]);
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let orders = child.stdin.take();
        let stdout = child.stdout.take().ok_or_else(|| io::Error::other("no pipe"))?;
        let (sender, answers) = mpsc::channel();
        // Ends with the process, or with the one who asks.
        thread::spawn(move || {
            BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        let line = answers.recv_timeout(PATIENCE).unwrap_or_default();
        let mut words = line.split_whitespace();
        let parsed = match (words.next(), words.next(), words.next()) {
            (Some("listening"), Some(address), Some(pid)) => address.parse().ok().zip(pid.parse().ok()),
            _ => None,
        };
        let Some((address, pid)) = parsed else {
            let _ = child.kill();
            let status = child.wait()?;
            let text = format!("{} did not start: {status}, said {line:?}", options.name);
            return Err(io::Error::other(text));
        };
        let stop_patience = if options.wrapper.is_empty() { STOP_PATIENCE } else { TOOL_PATIENCE };
        Ok(Self { child, orders, answers, stop_patience, address, pid })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The processor time of all its threads so far, ended ones included, user and kernel.
    ///
    /// # Errors
    /// When the process is gone, or does not answer for half a minute.
    pub fn cpu_time(&mut self) -> io::Result<Duration> {
        let gone = || io::Error::new(io::ErrorKind::BrokenPipe, "the server process is gone");
        self.orders.as_mut().ok_or_else(gone)?.write_all(b"cpu\n")?;
        let line = self.answers.recv_timeout(PATIENCE).map_err(|_| gone())?;
        line.trim().parse().map(Duration::from_nanos).map_err(|_| gone())
    }

    /// Its memory now.
    ///
    /// # Errors
    /// When the process is gone, or there is no `/proc`.
    pub fn memory(&self) -> io::Result<Memory> {
        Memory::of(self.pid)
    }

    /// Ends the process and waits until it has; a wrapper has written its result by then.
    ///
    /// # Errors
    /// When it does not end and has to be killed: after 5 seconds, under a wrapper after a minute.
    pub fn stop(mut self) -> io::Result<ExitStatus> {
        let patience = self.stop_patience;
        self.wait(patience)?.ok_or_else(|| io::Error::new(io::ErrorKind::TimedOut, "the server does not stop"))
    }

    /// Tells the process to stop; `None` if it has not for so long.
    fn wait(&mut self, patience: Duration) -> io::Result<Option<ExitStatus>> {
        self.orders = None;
        let since = Instant::now();
        loop {
            match self.child.try_wait()? {
                None if since.elapsed() < patience => thread::sleep(Duration::from_millis(1)),
                status => return Ok(status),
            }
        }
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // It may have something to clear away. All that can fail does so when it ended already.
        if !matches!(self.wait(Duration::from_secs(1)), Ok(Some(_))) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// The servers that a program like `report` has here, each with a scenario that it takes part in: the lines of its command
/// `compared`.
///
/// # Errors
/// When the program cannot be run or says something else.
pub fn compared(program: &Path) -> io::Result<Vec<(String, String)>> {
    let output = Command::new(program).arg("compared").stderr(Stdio::inherit()).output()?;
    let text = String::from_utf8(output.stdout).map_err(io::Error::other)?;
    let pair = |line: &str| line.split_once(' ').map(|(server, scenario)| (server.to_owned(), scenario.to_owned()));
    let pairs: Option<Vec<_>> = text.lines().map(pair).collect();
    let unknown = || io::Error::new(io::ErrorKind::InvalidData, format!("not a list of servers: {text:?}"));
    pairs.filter(|pairs| output.status.success() && !pairs.is_empty()).ok_or_else(unknown)
}

/// Allows this process as many descriptors as the system lets it have, and returns that number.
///
/// # Errors
/// When the system refuses its own maximum.
pub fn raise_descriptor_limit() -> io::Result<u64> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    Ok(maximum.unwrap_or(u64::MAX))
}

/// The processors of servers with so many threads, and those of the load; both empty when there are too few for each to
/// have its own, and all share all.
///
/// The first call has to come from a thread that is not bound: the processors are counted then.
pub fn placement(threads: usize) -> (Vec<usize>, Vec<usize>) {
    // A thread that is bound has no others.
    static PROCESSORS: LazyLock<usize> = LazyLock::new(|| std::thread::available_parallelism().map_or(1, usize::from));
    let all = *PROCESSORS;
    match threads >= all {
        true => (Vec::new(), Vec::new()),
        false => ((0..threads).collect(), (threads..all).collect()),
    }
}

/// Binds the calling thread, and those that it starts later, to some processors; to all when there are none.
///
/// # Errors
/// When this process may use none of them.
pub fn pin(cpus: &[usize]) -> io::Result<()> {
    if cpus.is_empty() {
        return Ok(());
    }
    let mut set = CpuSet::new();
    for &cpu in cpus.iter().filter(|cpu| **cpu < CpuSet::MAX_CPU) {
        set.set(cpu);
    }
    Ok(sched_setaffinity(None, &set)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_that_is_bound_leaves_the_servers_theirs() {
        let before = placement(1);
        // In a thread of its own, which alone is bound. Where processors have other numbers nobody can be.
        let bound = || pin(&before.1).is_ok().then(|| placement(1));
        let after = thread::scope(|scope| scope.spawn(bound).join().unwrap());
        assert!(after.is_none_or(|after| after == before));
    }
}
