//! Out of descriptors: a child process with few of them, and a crowd of clients.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use crate::client::{Client, End};
use crate::support::{GET, LAST_GET, Limited, PATIENCE, config, ms, serve_if_limited, wait_until};

const CHILD: &str = "descriptors::child";

#[test]
fn child() {
    serve_if_limited(CHILD, || {
        let mut config = crate::one_house(config());
        config.head_timeout = 6 * PATIENCE; // only relief brings relief
        config
    });
}

struct Starved(Limited);

impl Starved {
    fn new() -> Self {
        Self(Limited::new("-n 64", CHILD))
    }

    fn connect(&self) -> Client {
        self.0.connect()
    }

    /// How many descriptors are in use.
    fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.0.child.id())).unwrap().count()
    }

    /// Processor time used so far, in hundredths of a second: fields 14 and 15 of proc_pid_stat(5).
    fn ticks(&self) -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.child.id())).unwrap();
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
    assert_eq!(site.0.child.try_wait().unwrap(), None, "still there");
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
