//! The runner as a process, and a client that says exactly what it is told.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Longer than anything takes here; whoever waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(30);

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_apps"));
    command.args(args).env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs the program to its end.
pub(crate) fn run(args: &[&str]) -> Output {
    command(args).output().expect("the program runs")
}

/// Runs the program to its end, while nobody reads its standard output.
#[allow(dead_code, reason = "the tests of memory need no such thing")]
pub(crate) fn run_unread(args: &[&str]) -> Output {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    command(args).stdout(writer).output().expect("the program runs")
}

/// The names in a part of `--list`.
pub(crate) fn listed(part: &str) -> Vec<String> {
    let list = String::from_utf8(run(&["--list"]).stdout).expect("UTF-8");
    let lines = list.split(part).nth(1).expect("the part").lines().skip(1);
    lines.map_while(|line| Some(line.strip_prefix("  ")?.split(' ').next()?.to_owned())).collect()
}

/// A runner that serves; killed when dropped.
pub(crate) struct Runner {
    child: Child,
    said: Receiver<String>,
    /// The line with the address.
    pub(crate) greeting: String,
}

/// What is left of a runner that has ended.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
}

impl Runner {
    /// Starts it and waits until it says where it is.
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::start_with(args, &[])
    }

    pub(crate) fn start_with(args: &[&str], variables: &[(&str, &str)]) -> Self {
        Self::spawn(command(args).envs(variables.iter().copied()))
    }

    /// Starts it with a standard input.
    #[allow(dead_code, reason = "the tests of memory and of browsers do without")]
    pub(crate) fn start_on(stdin: impl Into<Stdio>, args: &[&str]) -> Self {
        Self::spawn(command(args).stdin(stdin))
    }

    /// Starts it, and reads no more of what it says than where it is: nothing else gets through.
    #[allow(dead_code, reason = "the tests of memory and of browsers do without")]
    pub(crate) fn start_unheard(args: &[&str]) -> Self {
        let (reader, mut writer) = std::io::pipe().expect("a pipe");
        let child = command(args).stderr(writer.try_clone().expect("a pipe")).spawn().expect("the program starts");
        let (mut reader, mut greeting) = (BufReader::new(reader), String::new());
        reader.read_line(&mut greeting).expect("an address");
        thread::spawn(move || {
            // More than a pipe takes: this waits for ever, and so does who else writes. The reader has to be there.
            let _ = writer.write_all(&vec![b'.'; 4 << 20]);
            drop(reader);
        });
        thread::sleep(Duration::from_millis(100)); // until it is full
        Self { child, said: channel().1, greeting }
    }

    fn spawn(command: &mut Command) -> Self {
        let mut child = command.spawn().expect("the program starts");
        let stderr = BufReader::new(child.stderr.take().expect("a pipe"));
        let (sender, said) = channel();
        thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let greeting = said.recv_timeout(PATIENCE).expect("an address");
        Self { child, said, greeting }
    }

    /// The number of the process.
    #[allow(dead_code, reason = "the tests of memory use it")]
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The address of the URL.
    pub(crate) fn address(&self) -> SocketAddr {
        let url = self.greeting.split("http://").nth(1).expect("a URL");
        url.split('/').next().expect("an authority").parse().expect("an address")
    }

    pub(crate) fn connect(&self) -> Client {
        Client(TcpStream::connect_timeout(&self.address(), PATIENCE).expect("a connection")).patient()
    }

    /// Sends a request on a connection of its own and returns the whole answer.
    pub(crate) fn ask(&self, request: &[u8]) -> String {
        let mut client = self.connect();
        client.send(request);
        client.rest()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("the process is there");
    }

    /// Waits until the runner says something with these words, and gives that line.
    pub(crate) fn wait_for(&self, words: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let line = self.said.recv_timeout(deadline.saturating_duration_since(Instant::now()));
            let line = line.expect(words);
            if line.contains(words) {
                return line;
            }
        }
    }

    /// Waits until nobody listens any more.
    pub(crate) fn wait_for_refusal(&self) {
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(self.address()).is_ok() {
            assert!(Instant::now() < deadline, "still listening");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until the process has ended, by itself.
    pub(crate) fn end(mut self) -> Ended {
        let mut stdout = String::new();
        let mut pipe = self.child.stdout.take().expect("a pipe");
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            match self.child.try_wait().expect("a status") {
                Some(status) => break status,
                None => assert!(Instant::now() < deadline, "it does not end"),
            }
            thread::sleep(Duration::from_millis(5));
        };
        pipe.read_to_string(&mut stdout).expect("UTF-8");
        Ended { code: status.code(), stdout }
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        // Fails only if it has ended, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A connection.
pub(crate) struct Client(TcpStream);

impl Client {
    fn patient(self) -> Self {
        self.0.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        self
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).expect("written");
    }

    /// Reads up to and with these bytes.
    pub(crate) fn read_until(&mut self, end: &[u8]) -> String {
        let mut read = Vec::new();
        while !read.ends_with(end) {
            let mut byte = [0];
            assert_eq!(self.0.read(&mut byte).expect("a byte"), 1, "{}", String::from_utf8_lossy(&read));
            read.push(byte[0]);
        }
        String::from_utf8_lossy(&read).into_owned()
    }

    /// Everything up to the end of the connection, also if it is cut.
    pub(crate) fn rest(&mut self) -> String {
        let mut read = Vec::new();
        if let Err(error) = self.0.read_to_end(&mut read) {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
        }
        String::from_utf8_lossy(&read).into_owned()
    }
}

/// A path for a socket that nobody has; removed when dropped.
pub(crate) struct SocketPath(pub(crate) PathBuf);

impl SocketPath {
    pub(crate) fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("apps-runner-{}-{name}.sock", std::process::id())))
    }

    pub(crate) fn bind(&self) -> String {
        format!("unix:{}", self.0.display())
    }
}

impl Drop for SocketPath {
    fn drop(&mut self) {
        // Usually the server has removed it.
        let _ = std::fs::remove_file(&self.0);
    }
}
