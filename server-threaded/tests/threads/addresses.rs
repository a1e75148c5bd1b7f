//! Where a server listens: IPv4, IPv6, Unix sockets, listeners that are there already, and what is refused.

use std::fs;
use std::io::{self, ErrorKind};
use std::net::{Ipv6Addr, TcpListener};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener;
use std::time::Duration;

use gateway_spec::{Environ, Error, StartResponse, Status, app_fn};
use server::{Config, LocalAddr, Server};

use crate::client::Client;
use crate::support::{GET, Scratch, Site, config, hello};

/// Answers with who asks, and how the server calls itself.
fn names(environ: &mut Environ<'_>, start_response: &mut dyn StartResponse) -> Result<String, Error> {
    start_response.start(Status::OK, &[])?;
    let has_port = environ.get("REMOTE_PORT").is_some_and(|port| !port.as_bytes().is_empty());
    Ok(format!(
        "{} {} {}:{}",
        environ.remote_addr(),
        if has_port { "a port" } else { "no port" },
        environ.server_name(),
        environ.server_port()
    ))
}

fn site(address: &str) -> Site {
    Site::of(config().bind(address).unwrap(), names)
}

fn port(site: &Site) -> u16 {
    match &site.addr {
        LocalAddr::Tcp(addr) => addr.port(),
        LocalAddr::Unix(_) => unreachable!(),
    }
}

#[test]
fn ipv4() {
    let site = site("127.0.0.1:0");
    assert_eq!(site.addr.to_string(), format!("127.0.0.1:{}", port(&site)));
    site.get().is(200, &format!("127.0.0.1 a port 127.0.0.1:{}", port(&site)));
}

#[test]
fn ipv6() {
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        return; // this machine has none
    }
    let site = site("[::1]:0");
    assert_eq!(site.addr.to_string(), format!("[::1]:{}", port(&site)));
    site.get().is(200, &format!("::1 a port [::1]:{}", port(&site)));
}

#[test]
fn all_addresses_have_no_name() {
    let server = config().bind("0.0.0.0:0").unwrap();
    let LocalAddr::Tcp(addr) = server.local_addr() else { unreachable!() };
    let port = addr.port();
    let site = Site::of(server, names);
    site.get().is(200, &format!("127.0.0.1 a port localhost:{port}"));
}

#[test]
fn host_names_are_looked_up() {
    let site = site("localhost:0");
    let reply = site.get();
    assert_eq!(reply.code, 200);
    assert!(String::from_utf8(reply.body).unwrap().ends_with(&format!(":{}", port(&site))));
}

#[test]
fn names_can_be_set() {
    let mut config = config();
    config.server_name = Some("example.org".into());
    config.server_port = Some("443".into());
    Site::new(config, names).get().is(200, "127.0.0.1 a port example.org:443");
}

/// What applications are told of the server is what clients are (CGI-VAR-14).
#[test]
fn the_software_is_what_clients_are_told() {
    fn software(environ: &mut Environ<'_>, start_response: &mut dyn StartResponse) -> Result<String, Error> {
        start_response.start(Status::OK, &[("Content-Type", "text/plain")])?;
        Ok(environ.get("SERVER_SOFTWARE").unwrap().to_string_lossy().into_owned())
    }
    let reply = Site::new(config(), software).get();
    let own = String::from_utf8(reply.body).unwrap();
    assert!(own.starts_with("server-") && own.ends_with(concat!("/", env!("CARGO_PKG_VERSION"))), "{own}");

    let mut config = config();
    config.server_header = Some("Gateway/7".into());
    let reply = Site::new(config, software).get();
    assert_eq!(reply.header("Server"), Some("Gateway/7"));
    assert_eq!(reply.body, b"Gateway/7");
}

#[test]
fn unix() {
    let scratch = Scratch::new();
    let path = scratch.0.join("socket");
    let address = format!("unix:{}", path.display());
    let mut first = site(&address);
    assert_eq!(first.addr.to_string(), address);
    first.get().is(200, "unix: no port localhost:80");
    let mut client = first.connect();
    (0..3).for_each(|_| client.ask(GET).is(200, "unix: no port localhost:80"));

    // Somebody listens: the place is taken, and the listener does not notice.
    let error = config().bind(&address).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse, "{error}");
    assert!(error.to_string().contains(&address), "{error}");
    client.ask(GET).is(200, "unix: no port localhost:80");

    // The file goes with the server.
    first.handle.shutdown();
    client.must_end();
    first.join().unwrap();
    assert!(!path.exists());
}

#[test]
fn a_stale_socket_file_is_taken_over() {
    let scratch = Scratch::new();
    let path = scratch.0.join("socket");
    drop(UnixListener::bind(&path).unwrap()); // leaves the file behind, as a killed process does
    assert!(path.exists());
    site(&format!("unix:{}", path.display())).get().is(200, "unix: no port localhost:80");
}

#[test]
fn other_files_are_left_alone() {
    let scratch = Scratch::new();
    let file = scratch.file(b"precious");
    let address = format!("unix:{}", file.display());
    assert_eq!(config().bind(&address).unwrap_err().kind(), ErrorKind::AddrInUse);
    assert_eq!(fs::read(&file).unwrap(), b"precious");

    // A link to a stale socket is not a socket file.
    let (link, stale) = (scratch.0.join("link"), scratch.0.join("stale"));
    drop(UnixListener::bind(&stale).unwrap());
    std::os::unix::fs::symlink(&stale, &link).unwrap();
    assert_eq!(config().bind(&format!("unix:{}", link.display())).unwrap_err().kind(), ErrorKind::AddrInUse);
    assert!(stale.exists() && link.symlink_metadata().is_ok());
}

/// A server that ends removes its own file only, not the one of its successor.
#[test]
fn the_file_of_a_successor_stays() {
    let scratch = Scratch::new();
    let path = scratch.0.join("socket");
    let address = format!("unix:{}", path.display());
    let mut first = site(&address);
    let inode = fs::metadata(&path).unwrap().ino();
    fs::rename(&path, scratch.0.join("old")).unwrap();
    let second = site(&address);
    assert_ne!(fs::metadata(&path).unwrap().ino(), inode);
    first.handle.shutdown();
    first.join().unwrap();
    assert!(path.exists());
    second.get().is(200, "unix: no port localhost:80");
}

#[test]
fn listeners_that_are_there_already() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let site = Site::of(config().from_listener(listener).unwrap(), names);
    assert_eq!(site.addr, LocalAddr::Tcp(addr));
    assert_eq!(site.get().code, 200);

    let scratch = Scratch::new();
    let path = scratch.0.join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let site = Site::of(config().from_listener(listener).unwrap(), names);
    assert_eq!(site.addr, LocalAddr::Unix(Some(path.clone())));
    site.get().is(200, "unix: no port localhost:80");
    drop(site);
    assert!(path.exists(), "who made the file removes it");

    // With default settings.
    let server = Server::from_listener(TcpListener::bind("127.0.0.1:0").unwrap()).unwrap();
    Site::of(server, hello).get().is(200, "hello");
}

/// Two listeners, one port: a port that is taken is refused, a port that was left is free.
#[test]
fn ports_are_taken_and_left() {
    let site = site("127.0.0.1:0");
    let address = site.addr.to_string();
    let error = config().bind(&address).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    assert!(error.to_string().contains(&address), "{error}");
    let mut client = site.connect();
    client.ask(GET);
    drop(site); // while a client is connected, so that the port is in TIME_WAIT
    drop(client);
    Site::of(config().bind(&address).unwrap(), names).get();
}

#[track_caller]
fn refused(result: io::Result<Server>, names: &str) {
    let error = result.map(|server| server.local_addr().clone()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    assert!(error.to_string().contains(names), "{error} does not name {names}");
}

#[test]
fn addresses_that_are_none() {
    for address in ["", "127.0.0.1", "127.0.0.1:", "127.0.0.1:99999", "127.0.0.1:http", ":", "unix:", "unix"] {
        refused(config().bind(address), &format!("cannot listen on {address}:"));
    }
    let long = format!("unix:/{}", "a".repeat(200));
    refused(config().bind(&long), &long);
    let error = config().bind("unix:/does/not/exist").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("/does/not/exist"), "{error}");
}

#[test]
fn settings_that_make_no_sense() {
    type Change = fn(&mut Config);
    let settings: [(&str, Change); 11] = [
        ("max_connections", |config| config.max_connections = 0),
        ("max_request_line", |config| config.max_request_line = 10),
        ("max_head", |config| config.max_head = 1000),
        ("server_name", |config| config.server_name = Some(String::new())),
        ("server_port", |config| config.server_port = Some(String::new())),
        ("server_header", |config| config.server_header = Some("a\r\nb".into())),
        ("max_headers", |config| config.max_headers = 0),
        ("head_timeout", |config| config.head_timeout = Duration::ZERO),
        ("body_timeout", |config| config.body_timeout = Duration::ZERO),
        ("write_timeout", |config| config.write_timeout = Duration::ZERO),
        crate::OWN_SETTING,
    ];
    for (name, change) in settings {
        let mut config = config();
        change(&mut config);
        refused(config.clone().bind("127.0.0.1:0"), name);
        refused(config.from_listener(TcpListener::bind("127.0.0.1:0").unwrap()), name);
    }
}

/// Two servers in one process do not know of each other.
#[test]
fn two_servers() {
    let answer = |text: &'static str| {
        app_fn(move |_, start_response| {
            start_response.start(Status::OK, &[])?;
            Ok::<_, Error>(text)
        })
    };
    let mut one = Site::new(config(), answer("one"));
    let two = Site::new(config(), answer("two"));
    let mut client = two.connect();
    client.ask(GET).is(200, "two");
    one.get().is(200, "one");
    one.handle.shutdown();
    one.join().unwrap();
    client.ask(GET).is(200, "two");
    assert_eq!(two.handle.stats().requests, 2);
    drop(Client::connect(&one.addr).map(drop).unwrap_err());
}
