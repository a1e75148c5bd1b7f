//! The load generator against servers whose behaviour is known, and every server of `report` under every scenario.

#![cfg(feature = "bench")]

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use conformance::load::{
    Exchange, Load, Measured, SCENARIOS, Scenario, ServerOptions, ServerProcess, Until, Workload, compared,
};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

/// A server that handles each connection by `connection`, on threads that end with their clients.
fn server(connection: impl Fn(TcpStream) -> io::Result<()> + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    let connection = Arc::new(connection);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let connection = Arc::clone(&connection);
            // The client sees what went wrong here.
            thread::spawn(move || drop(connection(stream)));
        }
    });
    address
}

/// Reads one request without a body; false at the end of the stream.
fn request(stream: &mut TcpStream) -> io::Result<bool> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte)? == 0 {
            return Ok(false);
        }
        head.push(byte[0]);
    }
    Ok(true)
}

/// A server that answers every request with the same bytes.
fn always(answer: &'static [u8]) -> SocketAddr {
    server(move |mut stream| {
        while request(&mut stream)? {
            stream.write_all(answer)?;
        }
        Ok(())
    })
}

fn hello(connections: usize) -> Workload {
    Workload::new(connections, Exchange::get("/", *b"hello"))
}

fn run(address: SocketAddr, workload: Workload, count: u64) -> io::Result<Measured> {
    Load::new(address, workload)?.run(Until::Responses(count))
}

#[test]
fn counts_are_exact_and_connections_are_kept() {
    let mut load = Load::new(always(ANSWER), hello(3)).expect("a load");
    let first = load.run(Until::Responses(100)).expect("answers");
    assert_eq!((first.responses, first.connects, first.fast.count()), (100, 3, 100));
    let second = load.run(Until::Responses(7)).expect("answers");
    assert_eq!((second.responses, second.connects), (7, 0));
    assert!(second.rate > 0.0 && second.fast.max() <= second.elapsed);
}

#[test]
fn greeting_opens_every_connection_and_no_more() {
    let open = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&open);
    let address = server(move |mut stream| {
        seen.fetch_add(1, Ordering::Relaxed);
        while request(&mut stream)? {
            stream.write_all(ANSWER)?;
        }
        Ok(())
    });
    let mut load = Load::new(address, hello(5)).expect("a load");
    load.greet().expect("answers");
    assert_eq!(open.load(Ordering::Relaxed), 5);
    let measured = load.run(Until::Responses(10)).expect("answers");
    assert_eq!((measured.responses, measured.connects), (10, 0));
}

#[test]
fn a_run_in_time_ends_with_all_answers() {
    let measured = Load::new(always(ANSWER), hello(2)).and_then(|mut load| {
        load.run(Until::Elapsed(Duration::from_millis(50)))?;
        load.run(Until::Responses(4))
    });
    // Were an answer of the first run still under way, the second would see too many.
    assert_eq!(measured.expect("answers").responses, 4);
}

#[test]
fn pipelined_batches_are_written_at_once() {
    let largest = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&largest);
    let address = server(move |mut stream| {
        let one = hello(1).fast.request.len();
        let mut buffer = vec![0; 64 * one];
        let mut filled = 0;
        loop {
            let count = stream.read(&mut buffer[filled..])?;
            if count == 0 {
                return Ok(());
            }
            seen.fetch_max(count / one, Ordering::Relaxed);
            filled += count;
            stream.write_all(&ANSWER.repeat(filled / one))?;
            filled %= one;
        }
    });
    let mut workload = hello(1);
    workload.depth = 16;
    let measured = run(address, workload, 160).expect("answers");
    assert_eq!((measured.responses, measured.fast.count()), (160, 10));
    assert_eq!(largest.load(Ordering::Relaxed), 16);
}

#[test]
fn answers_in_pieces_are_answers() {
    let address = server(|mut stream| {
        stream.set_nodelay(true)?;
        while request(&mut stream)? {
            for byte in ANSWER {
                stream.write_all(&[*byte])?;
            }
        }
        Ok(())
    });
    assert_eq!(run(address, hello(2), 20).expect("answers").responses, 20);
}

#[test]
fn fresh_connections_carry_one_request_each() {
    let mut workload = hello(2);
    workload.fresh = true;
    let measured = run(always(ANSWER), workload, 10).expect("answers");
    assert_eq!((measured.responses, measured.connects), (10, 10));
}

#[test]
fn an_announced_end_leads_to_a_new_connection() {
    let closing = server(|mut stream| {
        request(&mut stream)?;
        stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello")
    });
    let measured = run(closing, hello(2), 10).expect("answers");
    assert_eq!((measured.responses, measured.connects), (10, 10));
}

#[test]
fn what_is_wrong_ends_the_run() {
    let cases: [(&'static [u8], ErrorKind); 4] = [
        (b"HTTP/1.1 500 Oh\r\nContent-Length: 5\r\n\r\nhello", ErrorKind::InvalidData),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhallo", ErrorKind::InvalidData),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello too much", ErrorKind::InvalidData),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello!", ErrorKind::InvalidData),
    ];
    for (answer, kind) in cases {
        let error = run(always(answer), hello(1), 1).expect_err("a wrong answer");
        assert_eq!(error.kind(), kind, "{error}");
    }
    let closing = server(|mut stream| {
        request(&mut stream)?;
        stream.write_all(&ANSWER[..20])
    });
    let error = run(closing, hello(1), 1).expect_err("a broken connection");
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{error}");
}

#[test]
fn a_mix_asks_for_both_in_its_shares() {
    let mut workload = hello(4);
    workload.slow = Some((Exchange::get("/slow", *b"hello"), 0.25));
    let measured = run(always(ANSWER), workload, 4000).expect("answers");
    assert_eq!(measured.fast.count() + measured.slow.count(), 4000);
    // The seed is fixed, so this holds always or never.
    assert!((900..1100).contains(&measured.slow.count()), "{}", measured.slow.count());
}

#[test]
fn a_client_that_thinks_waits_between_requests() {
    let mut workload = hello(1);
    workload.think = Duration::from_millis(5);
    let measured = run(always(ANSWER), workload, 11).expect("answers");
    assert_eq!(measured.responses, 11);
    assert!(measured.elapsed >= Duration::from_millis(50), "{:?}", measured.elapsed);
}

#[test]
fn a_server_that_answers_in_drips_is_given_up() {
    let address = server(|mut stream| {
        request(&mut stream)?;
        loop {
            stream.write_all(b"HTTP/1.1 200 OK\r\nX: ")?;
            thread::sleep(Duration::from_millis(10));
        }
    });
    let workload = Workload { patience: Duration::from_millis(100), ..hello(1) };
    let error = run(address, workload, 1).expect_err("no answer");
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
}

#[test]
fn every_server_answers_every_scenario_it_takes_part_in() {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_report"));
    let compared = compared(&program).expect("the report program");
    for limit in ["limit-epoll", "limit-threaded", "framework-mio", "framework-threaded"] {
        let scenarios = compared.iter().filter(|(server, _)| server == limit).count();
        assert_eq!(scenarios, SCENARIOS.len(), "{limit}");
    }
    for (name, scenario) in &compared {
        let scenario = Scenario::named(scenario).expect("a scenario");
        let scenario = scenario.with(2, scenario.depth);
        let mut process = ServerProcess::start(&ServerOptions {
            program: program.clone(),
            wrapper: Vec::new(),
            name: name.clone(),
            scenario: scenario.name.to_owned(),
            threads: 1,
            cpus: Vec::new(),
        })
        .unwrap_or_else(|error| panic!("{name}: {error}"));
        let before = process.cpu_time().expect("processor time");
        let measured = run(process.address(), scenario.workload(), 64)
            .unwrap_or_else(|error| panic!("{name} on {}: {error}", scenario.name));
        assert_eq!(measured.responses, 64, "{name} on {}", scenario.name);
        // Of those in Python it is told in ticks of the system's clock, and 64 answers may take less than one.
        let in_ticks = ["gunicorn", "waitress"].contains(&name.as_str());
        let after = process.cpu_time().expect("processor time");
        assert!(after > before || (in_ticks && after == before), "{name}: {before:?}, then {after:?}");
        let memory = process.memory().expect("memory");
        assert!(memory.peak >= memory.resident && memory.resident > 0, "{name}: {memory:?}");
        assert!(process.stop().expect("an end").success(), "{name}");
    }
}
