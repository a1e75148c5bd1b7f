//! Servers that are programs of their own, found when they are asked for: WSGI servers, for the mix.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use conformance::load::Shape;
use rustix::process::{Pid, Signal, kill_process};

use super::{Kind, Serve, Server, Settings, announce, server};

const PYTHON: &str = "python3";
/// A Python program needs a while to start.
const PATIENCE: Duration = Duration::from_secs(20);

/// All of them, each left out where it is not installed.
pub(super) const EXTERNAL: &[Server] = &[
    external("gunicorn", "gunicorn with gthread, a thread per connection", gunicorn, || imports("gunicorn")),
    external("waitress", "waitress, a thread per connection", waitress, || imports("waitress")),
];

const fn external(name: &'static str, about: &'static str, serve: Serve, present: fn() -> bool) -> Server {
    Server { declines, present, ..server(name, about, Kind::External, serve) }
}

const fn declines(shape: Shape) -> Option<&'static str> {
    match shape {
        Shape::Mix => None,
        _ => Some("compared under the mix only"),
    }
}

fn imports(module: &str) -> bool {
    let mut command = Command::new(PYTHON);
    command.args(["-c", &format!("import {module}")]).stdin(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn gunicorn(settings: &Settings) -> io::Result<()> {
    let threads = settings.scenario.connections.to_string();
    run(settings, |command, address| {
        command.args(["-m", "gunicorn", "--worker-class", "gthread", "--workers", "1", "--threads", &threads]);
        command.args(["--log-level", "error", "--bind", &address.to_string(), "wsgi:application"]);
    })
}

fn waitress(settings: &Settings) -> io::Result<()> {
    let threads = settings.scenario.connections.to_string();
    run(settings, |command, address| {
        command.args(["-m", "waitress", "--threads", &threads]);
        command.args(["--listen", &address.to_string(), "wsgi:application"]);
    })
}

/// The program, and the folder of what it serves.
struct Running {
    pid: Pid,
    folder: PathBuf,
}

static RUNNING: OnceLock<Running> = OnceLock::new();
/// Whether its end was asked for.
static STOPPED: AtomicBool = AtomicBool::new(false);

/// Starts a WSGI server and waits for its end.
fn run(settings: &Settings, arguments: impl FnOnce(&mut Command, SocketAddr)) -> io::Result<()> {
    let folder = std::env::temp_dir().join(format!("gateway-wsgi-{}", std::process::id()));
    std::fs::create_dir(&folder)?;
    std::fs::write(folder.join("wsgi.py"), include_str!("wsgi.py"))?;
    // It takes an address only; the port was free a moment ago.
    let address = TcpListener::bind(settings.address)?.local_addr()?;
    let mut command = Command::new(PYTHON);
    command.current_dir(&folder).env("PYTHONPATH", &folder).stdin(Stdio::null()).stdout(Stdio::null());
    // They greet there, too.
    command.stderr(Stdio::null());
    arguments(&mut command, address);
    let mut child = command.spawn()?;
    let pid = Pid::from_child(&child);
    RUNNING.get_or_init(|| Running { pid, folder });
    let since = Instant::now();
    while TcpStream::connect(address).is_err() {
        if let Some(status) = child.try_wait()? {
            return Err(io::Error::other(format!("it ended before it listened: {status}")));
        }
        if since.elapsed() > PATIENCE {
            stop()?;
            return Err(io::Error::new(io::ErrorKind::TimedOut, format!("it does not listen after {PATIENCE:?}")));
        }
        thread::sleep(Duration::from_millis(20));
    }
    announce(address)?;
    let status = child.wait()?;
    while STOPPED.load(Ordering::SeqCst) {
        thread::park(); // whoever stopped it ends this process
    }
    Err(io::Error::other(format!("it ended: {status}")))
}

/// The processor time of the program and of those that it started; zero when there is none.
pub(super) fn cpu_time() -> io::Result<Duration> {
    RUNNING.get().map_or(Ok(Duration::ZERO), |running| tree(running.pid.as_raw_nonzero().get()))
}

/// What a process and its descendants used, ended threads included, in ticks of the system's clock.
fn tree(pid: i32) -> io::Result<Duration> {
    let mut sum = used(&std::fs::read_to_string(format!("/proc/{pid}/stat"))?)?;
    for thread in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may end while this is read.
        let children = std::fs::read_to_string(thread?.path().join("children")).unwrap_or_default();
        for child in children.split_whitespace() {
            sum += tree(child.parse().map_err(io::Error::other)?)?;
        }
    }
    Ok(sum)
}

/// `utime` and `stime` of a `stat` (proc_pid_stat(5)): the 12th and 13th behind the name, which may have blanks.
fn used(stat: &str) -> io::Result<Duration> {
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let mut ticks = rest.split_whitespace().skip(11).map_while(|word| word.parse::<u64>().ok());
    match (ticks.next(), ticks.next()) {
        (Some(user), Some(system)) => {
            Ok(Duration::from_millis((user + system) * 1000 / rustix::param::clock_ticks_per_second()))
        }
        _ => Err(io::Error::other("no processor time in stat")),
    }
}

/// Ends the program and removes what it served.
pub(super) fn stop() -> io::Result<()> {
    let Some(Running { pid, folder }) = RUNNING.get() else { return Ok(()) };
    STOPPED.store(true, Ordering::SeqCst);
    let ended = kill_process(*pid, Signal::TERM);
    std::fs::remove_dir_all(folder)?;
    Ok(ended?)
}
