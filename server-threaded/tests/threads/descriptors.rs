//! Out of descriptors: a child process with few of them, and a crowd of clients.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use server::LocalAddr;

use crate::client::{Client, End};
use crate::support::{GET, LAST_GET, PATIENCE, config, hello, ms, wait_until};

/// Set in the child.
const IS_CHILD: &str = "SERVER_THREADED_TEST_CHILD";

/// The child: this same program again, with this test only.
#[test]
fn child() {
    if env::var_os(IS_CHILD).is_some() {
        let mut config = crate::one_house(config());
        config.head_timeout = 6 * PATIENCE; // only relief brings relief
        let server = config.bind("127.0.0.1:0").unwrap();
        println!("\nlistening on {}", server.local_addr());
        server.serve(hello).unwrap();
    }
}

struct Starved {
    child: Child,
    addr: LocalAddr,
}

impl Starved {
    fn new() -> Self {
        let this = env::current_exe().unwrap();
        let mut child = Command::new("sh")
            .args(["-c", "ulimit -n 64; exec \"$0\" --exact descriptors::child --nocapture"])
            .arg(this)
            .env(IS_CHILD, "1")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut lines = output.lines().map(Result::unwrap);
        let addr = lines.find_map(|line| line.strip_prefix("listening on ")?.parse().ok()).unwrap();
        Self { child, addr: LocalAddr::Tcp(addr) }
    }

    fn connect(&self) -> Client {
        Client::connect(&self.addr).unwrap()
    }

    /// How many descriptors are in use.
    fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    /// Processor time used so far, in hundredths of a second: fields 14 and 15 of proc_pid_stat(5).
    fn ticks(&self) -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }

    /// Serves a client, however often it has to ask.
    fn recovers(&self) -> Duration {
        let start = Instant::now();
        loop {
            assert!(start.elapsed() < PATIENCE, "no recovery");
            let mut client = self.connect();
            if client.try_send(LAST_GET).is_ok() && client.next().is_ok_and(|reply| reply.code == 200) {
                return start.elapsed();
            }
            thread::sleep(ms(5));
        }
    }
}

impl Drop for Starved {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_crowd_that_says_nothing() {
    let mut site = Starved::new();
    site.connect().ask(LAST_GET).is(200, "hello");
    let mut crowd: Vec<Client> = (0..500).map(|_| site.connect()).collect();
    wait_until(|| site.descriptors() >= 63, || format!("{} descriptors", site.descriptors()));
    // Who got in is served; the others are told to come again, a few at a time.
    crowd[0].ask(GET).is(200, "hello");
    let before = site.ticks();
    thread::sleep(Duration::from_secs(2));
    let used = site.ticks() - before;
    assert!(used < 40, "{used} ticks of 200 while starved");
    assert_eq!(site.child.try_wait().unwrap(), None, "still there");
    drop(crowd);
    let recovery = site.recovers();
    println!("{used} ticks in 2 s while starved, served {recovery:?} after relief");
    wait_until(|| site.descriptors() < 20, || format!("{} descriptors", site.descriptors()));
}

/// Clients that idle between requests make room for those that want something: all are served.
#[test]
fn a_crowd_that_idles() {
    let site = Starved::new();
    let mut crowd: Vec<Client> = vec![];
    for _ in 0..200 {
        let mut client = site.connect();
        client.ask(GET).is(200, "hello");
        crowd.push(client);
    }
    assert_eq!(crowd[0].read_to_the_end(), (vec![], End::Clean));
}
