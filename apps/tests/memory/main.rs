//! How much memory the real program needs for a large file, and for many listeners; told on standard error.
//!
//! By default with amounts that a test may take; `GATEWAY_LARGE=1073741824` and `GATEWAY_LISTENERS=10000` are those of the
//! READMEs. What is counted is the memory of the process (`/proc/PID/status`): neither the system's cache of files nor its
//! buffers of connections.
#![cfg(target_os = "linux")]

#[path = "../runner/process.rs"]
#[allow(dead_code, reason = "the tests of the runner use more of it")]
mod process;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use process::{Runner, listed};

/// Longer than anything takes here, on a machine that is busy otherwise.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a large file may add to the memory of a server, in bytes.
const GROWTH: u64 = 16 << 20;

/// What a listener may add to it: on `server-mio` some structures, on `server-threaded` the stack of a thread.
const FOR_A_LISTENER: u64 = 64 << 10;

fn amount(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |value| value.parse().expect("a number"))
}

/// Tells a figure, whether the test passes or not.
fn tell(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// The most that a runner has had in memory so far, and what it has now, in bytes.
fn memory(runner: &Runner) -> (u64, u64) {
    let status = std::fs::read_to_string(format!("/proc/{}/status", runner.id())).expect("a process");
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a field");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
    };
    (field("VmHWM:"), field("VmRSS:"))
}

fn connect(runner: &Runner) -> TcpStream {
    let stream = TcpStream::connect(runner.address()).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
    stream
}

/// Reads the head of a response: its status and the length of its content.
fn head(reader: &mut impl BufRead) -> (u16, Option<u64>) {
    let (mut line, mut status, mut length) = (String::new(), 0, None);
    loop {
        line.clear();
        reader.read_line(&mut line).expect("a line");
        match line.trim_end().split_once([' ', ':']) {
            Some(("HTTP/1.1", rest)) => status = rest[..3].parse().expect("a status"),
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.trim().parse().ok(),
            Some(_) => {}
            None => return (status, length),
        }
    }
}

/// The content of the file: the same in every block, and another in every place of it.
fn block() -> Vec<u8> {
    (0..65_536u32).map(|n| (n * 7 % 251) as u8).collect()
}

/// How a file is sent.
#[derive(Clone, Copy, Debug)]
enum By {
    Length,
    Chunks,
    Form,
}

/// Sends a file of so many blocks; gives its URL.
fn send(runner: &Runner, blocks: u64, by: By) -> String {
    let mut stream = connect(runner);
    let (block, length) = (block(), blocks * 65_536);
    let part = "--B\r\nContent-Disposition: form-data; name=f; filename=large\r\n\r\n";
    let (line, framing, before, after) = match by {
        By::Length => ("PUT /raw/large", format!("Content-Length: {length}"), "", ""),
        By::Chunks => ("PUT /raw/large", "Transfer-Encoding: chunked".to_owned(), "", "0\r\n\r\n"),
        By::Form => {
            let length = length + (part.len() + "\r\n--B--".len()) as u64;
            let framing = format!("Content-Type: multipart/form-data; boundary=B\r\nContent-Length: {length}");
            ("POST /upload", framing, part, "\r\n--B--")
        }
    };
    write!(stream, "{line} HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n{before}").expect("sent");
    for _ in 0..blocks {
        match by {
            By::Chunks => {
                stream.write_all(b"10000\r\n").expect("sent");
                stream.write_all(&block).expect("sent");
                stream.write_all(b"\r\n").expect("sent");
            }
            By::Length | By::Form => stream.write_all(&block).expect("sent"),
        }
    }
    stream.write_all(after.as_bytes()).expect("sent");
    let mut reader = BufReader::new(stream);
    let (status, length) = head(&mut reader);
    let mut answer = vec![0; usize::try_from(length.expect("a length")).expect("a short answer")];
    reader.read_exact(&mut answer).expect("an answer");
    assert_eq!(status, 201, "{}", String::from_utf8_lossy(&answer));
    let stored: serde_json::Value = serde_json::from_slice(&answer).expect("JSON");
    stored[0]["url"].as_str().expect("a URL").to_owned()
}

/// Fetches a file and compares all of it.
fn fetch(runner: &Runner, url: &str, blocks: u64) {
    let mut stream = connect(runner);
    write!(stream, "GET {url} HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
    let mut reader = BufReader::with_capacity(65_536, stream);
    assert_eq!(head(&mut reader), (200, Some(blocks * 65_536)));
    let (expected, mut got) = (block(), vec![0; 65_536]);
    for number in 0..blocks {
        reader.read_exact(&mut got).expect("a block");
        assert!(got == expected, "block {number} is another");
    }
}

/// D.8: up as it is, in chunks and as a form, and down.
#[test]
fn large_files() {
    let blocks = amount("GATEWAY_LARGE", 128 << 20) / 65_536;
    for server in listed("Servers:") {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().to_str().expect("UTF-8");
        let runner = Runner::start(&["upload", path, "--server", &server, "--bind", "127.0.0.1:0"]);
        // What is needed for any file at all.
        for by in [By::Length, By::Chunks, By::Form] {
            let url = send(&runner, 16, by);
            fetch(&runner, &url, 16);
        }
        let (before, _) = memory(&runner);
        for by in [By::Length, By::Chunks, By::Form] {
            let url = send(&runner, blocks, by);
            let (up, _) = memory(&runner);
            fetch(&runner, &url, blocks);
            let (down, _) = memory(&runner);
            tell(&format!(
                "{server}, {} MiB by {by:?}: peak {} KiB before, {} KiB more after the upload, {} KiB more after the download",
                blocks >> 4,
                before >> 10,
                (up - before) >> 10,
                (down - before) >> 10
            ));
            assert!(down - before < GROWTH, "{server}, by {by:?}: {} bytes more", down - before);
            // One at a time, for who has not so much room.
            let delete = format!("DELETE {url} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            assert!(runner.ask(delete.as_bytes()).starts_with("HTTP/1.1 204"));
        }
    }
}

/// D.7: all hear what is said, and cost little.
#[test]
fn many_listeners() {
    for server in listed("Servers:") {
        // Threads are for hundreds of connections.
        let wanted = if server == "threaded" { 500 } else { amount("GATEWAY_LISTENERS", 1000) };
        let limit = (wanted + 1000).to_string();
        let options = ["--max-listeners", &limit, "--max-connections", &limit];
        let runner = Runner::start(&[&["live", "--server", &server, "--bind", "127.0.0.1:0"], &options[..]].concat());
        let listen = || {
            let mut stream = connect(&runner);
            stream.write_all(b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
            stream
        };
        let until = |stream: &mut TcpStream, text: &[u8]| {
            let mut seen = Vec::new();
            while !seen.windows(text.len()).any(|window| window == text) {
                let mut part = [0; 1024];
                match stream.read(&mut part).expect("an event") {
                    0 => panic!("ended after {:?}", String::from_utf8_lossy(&seen)),
                    read => seen.extend_from_slice(&part[..read]),
                }
            }
        };
        let mut first: Vec<_> = (0..10).map(|_| listen()).collect();
        first.iter_mut().for_each(|stream| until(stream, b"connected"));
        let (_, before) = memory(&runner);
        let mut streams: Vec<_> = (0..wanted)
            .map(|_| {
                let mut stream = listen();
                until(&mut stream, b"connected");
                stream
            })
            .collect();
        let (_, silent) = memory(&runner);
        assert!(runner.ask(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").starts_with("HTTP/1.1 200"));
        let said = b"POST /say HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\
            Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 11\r\n\r\ntext=to+all";
        assert!(runner.ask(said).starts_with("HTTP/1.1 204"));
        streams.iter_mut().for_each(|stream| until(stream, b"to all"));
        let (_, after) = memory(&runner);
        let each = |then: u64| then.saturating_sub(before) / wanted;
        tell(&format!(
            "{server}, {wanted} listeners: {} bytes each, {} after all were told something; {} KiB in all",
            each(silent),
            each(after),
            after >> 10
        ));
        assert!(each(after) < FOR_A_LISTENER, "{server}: {} bytes for a listener", each(after));
    }
}
