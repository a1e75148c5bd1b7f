//! The runner from outside: the real program, on every server that it knows.

mod links;
mod process;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};

use process::{Runner, SocketPath, listed, run, run_unread};
use rustix::process::Signal;

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// Runs a test on every server.
fn on_every_server(test: impl Fn(&str)) {
    let servers = listed("Servers:");
    assert!(!servers.is_empty());
    servers.iter().for_each(|server| test(server));
}

#[test]
fn it_tells_what_there_is_and_how() {
    let names: Vec<&str> = apps::all().iter().map(|app| app.name).collect();
    assert_eq!(listed("Applications:"), names);
    for (args, words) in [
        (&["--help"][..], "Usage: apps [OPTIONS] APP"),
        (&["hello", "-h", "--nonsense"], "Usage: apps"),
        (&["--list"], "Servers:"),
        (&["--version"], "apps 0."),
    ] {
        let output = run(args);
        assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0), "{args:?}");
        assert!(String::from_utf8_lossy(&output.stdout).contains(words), "{args:?}");
    }
}

/// `apps --list | head -1`: whoever has read enough closes the pipe.
#[test]
fn nobody_has_to_read_it_all() {
    for args in [&["--help"][..], &["--list"], &["--version"], &["links", "--help"]] {
        let output = run_unread(args);
        assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""), "{args:?}");
    }
}

#[test]
fn a_mistake_is_one_clear_line_and_code_2() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = taken.local_addr().expect("an address").to_string();
    for (args, words) in [
        (&[][..], "which application?"),
        (&["inspct"], "no application \"inspct\", but there is hello, "),
        (&["hello", "--server", "apache"], "no server \"apache\", but there is mio, threaded"),
        (&["hello", "--nonsense"], "'--nonsense'"),
        (&["hello", "--max-body", "lots"], "--max-body: \"lots\" is not a size"),
        (&["hello", "--lint", "all"], "--lint: \"all\" is not errors"),
        (&["hello", "--threads", "0"], "--threads: 0 threads would serve nobody"),
        (&["hello", "--bind", &taken], &taken),
        (&["hello", "--bind", &taken], "in use"),
        (&["hello", "--bind", "nonsense"], "nonsense"),
        (&["hello", "--bind", "stdin"], "cannot listen on stdin: "),
        (&["hello", "--bind", "unix:/no/such/folder/socket"], "/no/such/folder/socket"),
        (&["hello", "--bind", "127.0.0.1:0", "--max-connections", "0"], "max_connections"),
        (&["hello", "--bind", "127.0.0.1:0", "--server-header", "a\nb"], "server_header"),
    ] {
        on_every_server(|server| {
            let all = [&["--server", server], args].concat();
            let output = run(&all);
            let error = String::from_utf8_lossy(&output.stderr);
            assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{all:?}: {error}");
            assert!(error.starts_with("apps: ") && error.contains(words), "{all:?}: {error}");
            assert_eq!(error.lines().count(), 1, "{all:?}: {error}");
        });
    }
}

#[test]
fn the_url_leads_to_the_application() {
    on_every_server(|server| {
        let runner = Runner::start(&["hello", "--server", server, "--bind", "127.0.0.1:0"]);
        assert_eq!(runner.greeting, format!("apps: hello on server-{server}: http://{}/", runner.address()));
        assert!(runner.ask(GET).ends_with("\r\n\r\nHello, world!"));
    });
}

#[test]
fn a_mount_is_part_of_the_url_and_of_the_environ() {
    on_every_server(|server| {
        let runner =
            Runner::start(&["inspect", "-s", server, "-b", "127.0.0.1:0", "--mount", "/x y/", "--server-name", "me"]);
        assert!(runner.greeting.ends_with("/x%20y/"), "{}", runner.greeting);
        let inside = runner.ask(b"GET /x%20y/z?json HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        assert!(inside.contains(r#""script_name": "/x y""#) && inside.contains(r#""path_info": "/z""#), "{inside}");
        assert!(inside.contains(r#""server_name": "me""#));
        assert!(runner.ask(GET).starts_with("HTTP/1.1 404 "));
    });
}

/// What breaks the contract is said with its rule, in front of the real application.
#[test]
fn lint_reports_to_standard_error() {
    on_every_server(|server| {
        let runner = Runner::start(&["stream", "-s", server, "-b", "127.0.0.1:0", "--lint", "warnings"]);
        runner.ask(b"GET /twice HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        runner.wait_for("GW-SR-10 (error of the application): ");
    });
}

#[test]
fn variables_of_the_environment_count_and_flags_count_more() {
    let variables = [("GATEWAY_BIND", "nonsense"), ("GATEWAY_MAX_BODY", "10"), ("GATEWAY_APP", "inspect")];
    let runner = Runner::start_with(&["--bind", "127.0.0.1:0"], &variables);
    let post = |length: usize| {
        let head = format!("POST /input HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
        runner.ask(&[head.as_bytes(), &vec![b'x'; length]].concat())
    };
    assert!(post(10).starts_with("HTTP/1.1 200 "));
    assert!(post(11).starts_with("HTTP/1.1 413 "));
}

/// `apps files DIR`, as people use `python -m http.server`: the log says who takes what, without being asked to.
#[test]
fn a_folder_is_served_with_a_log() {
    const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/hello");
    const README: &[u8] = b"GET /README.md HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    on_every_server(|server| {
        let runner = Runner::start(&["files", FOLDER, "-s", server, "-b", "127.0.0.1:0"]);
        assert!(runner.ask(GET).contains("href=\"README.md\""));
        assert!(runner.ask(README).ends_with(include_str!("../../hello/README.md")));
        runner.signal(Signal::TERM);
        let log = runner.end().stdout;
        assert_eq!(log.lines().count(), 2, "{log}");
        assert!(log.contains("\"GET /README.md HTTP/1.1\" 200 "), "{log}");
    });
    let variables =
        [("GATEWAY_FILES_DIR", FOLDER), ("GATEWAY_FILES_NO_LISTING", "yes"), ("GATEWAY_ACCESS_LOG", "none")];
    let runner = Runner::start_with(&["files", "-b", "127.0.0.1:0"], &variables);
    assert!(runner.ask(GET).starts_with("HTTP/1.1 404 "));
    assert!(runner.ask(README).starts_with("HTTP/1.1 200 "));
    runner.signal(Signal::TERM);
    assert_eq!(runner.end().stdout, "");
    let output = run(&["files", "/no/such/folder"]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), error.lines().count()), (Some(2), 1), "{error}");
    assert!(error.contains("cannot serve \"/no/such/folder\": No such file"), "{error}");
}

#[test]
fn unix_sockets_are_served_and_removed() {
    on_every_server(|server| {
        let path = SocketPath::new(server);
        let runner = Runner::start(&["hello", "--server", server, "--bind", &path.bind()]);
        assert!(runner.greeting.contains(&path.bind()), "{}", runner.greeting);
        let mut stream = UnixStream::connect(&path.0).expect("a connection");
        stream.write_all(GET).expect("written");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        assert!(answer.ends_with("Hello, world!"), "{answer}");

        let second = run(&["hello", "--server", server, "--bind", &path.bind()]);
        assert_eq!(second.status.code(), Some(2), "the socket is in use");
        runner.signal(Signal::TERM);
        assert_eq!(runner.end().code, Some(0));
        assert!(!path.0.exists());
    });
}

/// As systemd hands it over: whoever connects while nobody serves waits, and is served.
#[test]
fn a_socket_that_listens_already_outlives_its_servers() {
    on_every_server(|server| {
        let path = SocketPath::new(&format!("kept-{server}"));
        let tcp = TcpListener::bind("127.0.0.1:0").expect("a port");
        let unix = UnixListener::bind(&path.0).expect("a socket");
        for _ in 0..2 {
            let mut waiting = TcpStream::connect(tcp.local_addr().expect("an address")).expect("a connection");
            waiting.write_all(GET).expect("written");
            let runner = Runner::start_on(
                OwnedFd::from(tcp.try_clone().expect("a descriptor")),
                &["hello", "-s", server, "-b", "stdin"],
            );
            assert_eq!(runner.address(), tcp.local_addr().expect("an address"));
            assert!(whole(waiting).ends_with("Hello, world!"));
            runner.signal(Signal::TERM);
            assert_eq!(runner.end().code, Some(0));

            let mut waiting = UnixStream::connect(&path.0).expect("a connection");
            waiting.write_all(GET).expect("written");
            let runner = Runner::start_on(
                OwnedFd::from(unix.try_clone().expect("a descriptor")),
                &["hello", "-s", server, "-b", "stdin"],
            );
            assert!(runner.greeting.contains(&path.bind()), "{}", runner.greeting);
            assert!(whole(waiting).ends_with("Hello, world!"));
            runner.signal(Signal::TERM);
            assert_eq!(runner.end().code, Some(0));
            assert!(path.0.exists(), "it is not the server's to remove");
        }
    });
}

fn whole(mut answer: impl Read) -> String {
    let mut text = String::new();
    answer.read_to_string(&mut text).expect("an answer");
    text
}

/// What a proxy says of the client reaches the application if it is to be trusted, and else does not.
#[test]
fn proxies_are_believed_if_they_are_trusted() {
    const FORWARDED: &[u8] = b"GET /?json HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\
        X-Forwarded-For: 6.6.6.6, 192.0.2.7\r\nX-Forwarded-Proto: https\r\n\r\n";
    on_every_server(|server| {
        for (trusted, address, scheme) in [
            (&[][..], "127.0.0.1", "http"),
            (&["--trusted-proxies", "0"], "127.0.0.1", "http"),
            (&["--trusted-proxies", "1"], "192.0.2.7", "https"),
            (&["--trusted-proxies", "10.0.0.0/8"], "127.0.0.1", "http"),
            (&["--trusted-proxies", "10.0.0.0/8,127.0.0.1"], "192.0.2.7", "https"),
        ] {
            let runner = Runner::start(&[&["inspect", "-s", server, "-b", "127.0.0.1:0"], trusted].concat());
            let answer = runner.ask(FORWARDED);
            assert!(answer.contains(&format!(r#""remote_addr": "{address}""#)), "{trusted:?}: {answer}");
            assert!(answer.contains(&format!(r#""scheme": "{scheme}""#)), "{trusted:?}: {answer}");
        }
    });
}

/// Every response has a line, the server's refusals too, and no client can write one of its own.
#[test]
fn access_logs_have_every_response_and_cannot_be_forged() {
    on_every_server(|server| {
        for format in ["common", "combined", "json", "none"] {
            let runner =
                Runner::start(&["inspect", "-s", server, "-b", "127.0.0.1:0", "-a", format, "--max-body", "10"]);
            for (request, status) in [
                (
                    &b"GET /one?a=b HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Basic c2VjcmV0\r\n\r\n"
                        [..],
                    200,
                ),
                (
                    b"GET /two HTTP/1.0\r\nUser-Agent: x\" 200 1\\ \xff\xc2\x9b\r\nReferer: http://u:secret@r/\r\n\r\n",
                    200,
                ),
                (b"GET /%0d%0a127.0.0.1%20forged HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 200),
                (b"POST /big HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n", 413),
                (b"GET /\x1b[2J HTTP/1.1\r\nHost: a\r\n\r\n", 400),
                (b"nonsense\r\n\r\n", 400),
            ] {
                let answer = runner.ask(request);
                assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
            }
            runner.signal(Signal::TERM);
            let ended = runner.end();
            assert_eq!(ended.code, Some(0));
            check_log(format, &ended.stdout);
        }
    });
}

fn check_log(format: &str, log: &str) {
    assert!(log.bytes().all(|b| b == b'\n' || (b' '..=b'~').contains(&b)), "{log}");
    assert!(!log.to_ascii_lowercase().contains("secret") && !log.contains("c2VjcmV0"), "{log}");
    let mut lines: Vec<_> = log.lines().collect();
    let expected = match format {
        "none" => 0,
        _ => 6,
    };
    assert_eq!(lines.len(), expected, "{log}");
    // The requests came one after the other, but a line is written when its response is over on the server's side.
    lines.sort_by_key(|line| (!line.contains("/one"), !line.contains("/two"), !line.contains("/%0d")));
    match format {
        "common" | "combined" => {
            let [one, two, forged, ..] = lines[..] else { panic!("{log}") };
            assert!(one.starts_with("127.0.0.1 - - [") && one.contains("] \"GET /one?a=b HTTP/1.1\" 200 "), "{one}");
            assert!(forged.contains("\"GET /%0d%0a127.0.0.1%20forged HTTP/1.1\" 200 "), "{forged}");
            assert_eq!(two.ends_with(r#" "http://r/" "x\" 200 1\\ \xff\xc2\x9b""#), format == "combined", "{two}");
            assert!(lines.iter().all(|line| line.starts_with("127.0.0.1 - - [")), "{log}");
            assert_eq!(lines.iter().filter(|line| line.contains("\" 413 ")).count(), 1, "{log}");
            assert_eq!(lines.iter().filter(|line| line.contains("\" 400 ")).count(), 2, "{log}");
        }
        "json" => {
            let records: Vec<serde_json::Value> =
                lines.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
            assert_eq!((&records[0]["target"], &records[0]["status"]), (&"/one?a=b".into(), &200.into()));
            assert_eq!(records[1]["user_agent"], "x\" 200 1\\ \u{fffd}\u{9b}");
            assert_eq!(records[1]["referer"], "http://r/");
            let statuses = |status: u16| records.iter().filter(|record| record["status"] == status).count();
            assert_eq!((statuses(200), statuses(413), statuses(400)), (3, 1, 2), "{log}");
        }
        _ => {}
    }
}

/// Begins a request that is answered while it arrives: with more of a body than any server collects before it calls the
/// application.
fn begin_echo(client: &mut process::Client) {
    let body = "x".repeat(MORE_THAN_COLLECTED);
    let head = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    client.send(format!("{head}{MORE_THAN_COLLECTED:x}\r\n{body}\r\n1\r\n!\r\n").as_bytes());
    // The answer has begun, so the request is in flight for sure.
    client.read_until(b"!\r\n");
}

const MORE_THAN_COLLECTED: usize = 64 * 1024;

#[test]
fn a_signal_finishes_what_is_in_flight() {
    on_every_server(|server| {
        for signal in [Signal::TERM, Signal::INT] {
            let runner = Runner::start(&["stream", "-s", server, "-b", "127.0.0.1:0", "-a", "common"]);
            let mut idle = runner.connect();
            idle.send(b"GET /204 HTTP/1.1\r\nHost: a\r\n\r\n");
            idle.read_until(b"\r\n\r\n");
            let mut busy = runner.connect();
            begin_echo(&mut busy);

            runner.signal(signal);
            runner.wait_for("finishing what is in flight");
            assert_eq!(idle.rest(), "", "idle connections are closed at once");
            runner.wait_for_refusal();
            busy.send(b"5\r\nended\r\n0\r\n\r\n");
            let rest = busy.rest();
            assert!(rest.contains("ended") && rest.ends_with("0\r\n\r\n"), "{rest}");
            let ended = runner.end();
            assert_eq!(ended.code, Some(0));
            let bytes = MORE_THAN_COLLECTED + "!ended".len();
            assert!(ended.stdout.contains(&format!("\"POST /echo HTTP/1.1\" 200 {bytes}\n")), "{}", ended.stdout);
        }
    });
}

/// Streams without an end do not hold a server that is told to stop.
#[test]
fn a_signal_ends_streams() {
    on_every_server(|server| {
        let runner = Runner::start(&["live", "-s", server, "-b", "127.0.0.1:0"]);
        let mut listener = runner.connect();
        listener.send(b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n");
        listener.read_until(b"connected\nretry: 2000\n\n\r\n");
        runner.signal(Signal::TERM);
        let rest = listener.rest();
        assert!(rest.ends_with("0\r\n\r\n"), "whole: {rest:?}");
        assert_eq!(runner.end().code, Some(0));
    });
}

/// A signal counts although nobody can be told so.
#[test]
fn a_signal_is_acted_on_before_it_is_told_of() {
    on_every_server(|server| {
        let runner = Runner::start_unheard(&["hello", "-s", server, "-b", "127.0.0.1:0"]);
        runner.ask(b"GET / HTTP/1.0\r\n\r\n");
        runner.signal(Signal::TERM);
        runner.wait_for_refusal();
    });
}

/// What is not finished in time is cut, and the exit code tells.
#[test]
fn what_is_cut_in_the_end_is_told() {
    on_every_server(|server| {
        for (timeout, code) in [("100ms", 1), ("1h", 0)] {
            let runner = Runner::start(&["stream", "-s", server, "-b", "127.0.0.1:0", "--shutdown-timeout", timeout]);
            let mut busy = runner.connect();
            begin_echo(&mut busy);
            runner.signal(Signal::TERM);
            if code == 0 {
                runner.wait_for("finishing what is in flight");
                busy.send(b"0\r\n\r\n");
            }
            assert_eq!(busy.rest().ends_with("0\r\n\r\n"), code == 0, "{timeout}");
            assert_eq!(runner.end().code, Some(code), "{timeout}");
        }
    });
}

#[test]
fn a_second_signal_stops_now() {
    on_every_server(|server| {
        let runner = Runner::start(&["stream", "-s", server, "-b", "127.0.0.1:0"]);
        let mut busy = runner.connect();
        begin_echo(&mut busy);
        // One that nobody can end from outside: it must not hold the process.
        let mut stuck = runner.connect();
        stuck.send(b"GET /slow/60000 HTTP/1.1\r\nHost: a\r\n\r\n");

        runner.signal(Signal::TERM);
        runner.wait_for("finishing what is in flight");
        runner.signal(Signal::INT);
        runner.wait_for("stopping now");
        assert!(!busy.rest().ends_with("0\r\n\r\n"), "cut, and not as if it were complete");
        assert_eq!(runner.end().code, Some(1));
    });
}
