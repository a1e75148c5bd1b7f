//! Out of descriptors: the server tells somebody, waits, and goes on when there are some again. A program of its own,
//! because the limit is that of the process.

mod support;

use std::net::TcpStream;

use gateway_spec::{Environ, Error, StartResponse, Status};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use support::Site;

fn hello(_: &mut Environ<'_>, start_response: &mut dyn StartResponse) -> Result<&'static str, Error> {
    start_response.start(Status::OK, &[("Content-Type", "text/plain")])?;
    Ok("hello")
}

#[test]
fn descriptors_run_out_and_come_back() {
    let site = Site::new(hello);
    assert!(site.get("/").ends_with("hello"));
    let before = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(64), maximum: before.maximum }).unwrap();
    // Clients and server share the limit: both run out of it.
    let mut clients: Vec<TcpStream> = Vec::new();
    while let Ok(client) = TcpStream::connect(site.address) {
        clients.push(client);
        assert!(clients.len() < 100, "the limit has no effect");
    }
    let cpu = || rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let start = cpu();
    std::thread::sleep(std::time::Duration::from_millis(300));
    let used = (cpu().tv_sec - start.tv_sec) * 1000 + (cpu().tv_nsec - start.tv_nsec) / 1_000_000;
    // A loop that spins takes all of it; one that waits takes next to nothing, on the slowest machine.
    assert!(used < 150, "{used} of 300 ms were spent on waiting for descriptors");
    clients.clear();
    for _ in 0..30 {
        let deadline = std::time::Instant::now() + support::PATIENCE;
        while !site.get("/").ends_with("hello") {
            assert!(std::time::Instant::now() < deadline, "the server does not recover");
        }
    }
    setrlimit(Resource::Nofile, before).unwrap();
}
