//! No memory for another thread: a child process with room for a few, and more clients than that.

use std::env;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use server::LocalAddr;

use crate::client::{Client, End};
use crate::support::{GET, PATIENCE, config, hello};

/// Set in the child.
const IS_CHILD: &str = "SERVER_THREADED_WANTING_CHILD";

/// So many bytes of addresses each thread takes, and the whole process may have.
const STACK: usize = 1 << 30;
const ALL: usize = 5 << 30;

/// The child: this same program again, with this test only.
#[test]
fn child() {
    if env::var_os(IS_CHILD).is_some() {
        let mut config = config();
        config.stack_size = STACK;
        config.keep_alive_timeout = 6 * PATIENCE; // nobody leaves by itself
        let server = config.bind("127.0.0.1:0").unwrap();
        println!("\nlistening on {}", server.local_addr());
        server.serve(hello).unwrap();
    }
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Who idles for longest gives back a thread for each newcomer, and there are never too few.
#[test]
fn who_idles_gives_back_a_thread() {
    let mut child = Command::new("sh")
        .args(["-c", &format!("ulimit -v {}; exec \"$0\" --exact wanting::child --nocapture", ALL / 1024)])
        .arg(env::current_exe().unwrap())
        .env(IS_CHILD, "1")
        .env("RUST_TEST_THREADS", "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let _running = Running(child);
    let mut lines = output.lines().map(Result::unwrap);
    let addr = lines.find_map(|line| line.strip_prefix("listening on ")?.parse().ok()).unwrap();
    let mut clients: Vec<Client> = (0..40)
        .map(|_| {
            let mut client = Client::connect(&LocalAddr::Tcp(addr)).unwrap();
            client.ask(GET).is(200, "hello");
            client
        })
        .collect();
    assert_eq!(clients[0].read_to_the_end(), (vec![], End::Clean), "there was not room for all");
    clients[39].ask(GET).is(200, "hello");
}
