//! The test client of this crate and an application of the framework: what a user writes to test their own. And events
//! of the framework on every server.

#[allow(dead_code, reason = "shared by several tests, and this one needs little of it")]
mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use conformance::harness::Limits;
use conformance::inprocess::Client;
use framework_mini::middleware::{SessionKey, Sessions};
use framework_mini::{
    App, Error, Event, Events, Fields, Path, Redirect, SendError, Sender, Session, State, Status, channel,
};

#[test]
fn three_lines() {
    let site = App::new(()).get("/hello/{name}", |Path(name): Path<String>| format!("Hello, {name}!")).build().unwrap();

    let client = Client::new(site);
    let response = client.get("/hello/Ada").send();
    assert_eq!((response.status, response.text().as_str()), (200, "Hello, Ada!"));
}

/// A form, a redirect, a session: followed as a browser would, wherever the application is mounted.
#[test]
fn a_visit() {
    let greet = |session: Session| match session.get::<String>("name") {
        Some(name) => Ok(format!("Hello, {name}!")),
        None => Err(Error::new(Status::UNAUTHORIZED, "Who are you?").with_header("WWW-Authenticate", "Form")),
    };
    let enter = |session: Session, form: Fields| -> Result<Redirect, Error> {
        session.set("name", form.get("name"))?;
        Ok(Redirect::to("/"))
    };
    for prefix in ["", "/x/y"] {
        let site = App::new(()).get("/", greet).post("/enter", enter).build().unwrap();
        let site = Sessions::new(site, SessionKey::new(&[7; 32]).unwrap());
        let client = Client::new(site).mounted(prefix).cookies().redirects(3);
        assert_eq!(client.get("/").send().status, 401);
        let response = client.post("/enter").form(&[("name", "Ada & Bob")]).send();
        assert_eq!((response.status, response.text().as_str()), (200, "Hello, Ada & Bob!"), "{prefix}");
        // Kept for the next request, and for this application only.
        assert_eq!(client.get("/").send().text(), "Hello, Ada & Bob!");
        assert!(client.cookie("session").is_some());
    }
}

type Listeners = Mutex<Vec<Sender>>;

/// Events of [`channel`] wake the servers: each comes at once and alone, the end too, and a client that leaves is known.
#[test]
fn events_on_every_server() {
    for server in common::servers() {
        let name = server.name();
        let listeners: Arc<Listeners> = Arc::default();
        let listen = |State(listeners): State<Arc<Listeners>>| -> Events {
            let (sender, events) = channel(8);
            sender.send(Event::comment("welcome")).unwrap();
            listeners.lock().unwrap().push(sender);
            events
        };
        let site = App::new(Arc::clone(&listeners)).get("/events", listen).build().unwrap();
        let running = server.start(Arc::new(site), &Limits::default()).unwrap();
        let connect = || {
            let mut stream = TcpStream::connect(running.address()).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            stream.write_all(b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
            let mut reader = BufReader::new(stream);
            until(&mut reader, ": welcome");
            reader
        };
        let (mut one, mut two) = (connect(), connect());
        for n in 0..20 {
            let senders = listeners.lock().unwrap();
            assert!(senders.iter().all(|sender| sender.send(Event::data(format!("<{n}>"))).is_ok()), "{name}");
            drop(senders);
            // Not before it is there: the next is sent when this one has come.
            until(&mut one, &format!("data: <{n}>"));
            until(&mut two, &format!("data: <{n}>"));
        }
        // One leaves. What is sent to it cannot arrive, and so the server notices.
        drop(two);
        let everywhere = |event: Event| {
            let senders = listeners.lock().unwrap();
            senders.iter().map(|sender| sender.send(event.clone())).collect::<Vec<_>>()
        };
        for n in 0.. {
            if everywhere(Event::comment(format!("still here {n}"))).contains(&Err(SendError::Gone)) {
                break;
            }
            until(&mut one, &format!(": still here {n}"));
            assert!(n < 2000, "{name}");
            std::thread::sleep(Duration::from_millis(10));
        }
        let left = everywhere(Event::data("bye"));
        assert!(left.contains(&Ok(())) && left.contains(&Err(SendError::Gone)), "{name}: {left:?}");
        // The last sender goes: the response ends, and the connection is as good as before.
        listeners.lock().unwrap().clear();
        until(&mut one, "data: bye");
        until(&mut one, "0");
        let mut line = String::new();
        one.read_line(&mut line).unwrap();
        assert_eq!(line, "\r\n", "{name}");
        one.get_mut().write_all(b"GET /nowhere HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
        let mut rest = String::new();
        one.read_to_string(&mut rest).unwrap();
        assert!(rest.starts_with("HTTP/1.1 404 "), "{name}: {rest}");
    }
}

/// Reads lines up to this one.
fn until(reader: &mut impl BufRead, expected: &str) {
    let mut line = String::new();
    loop {
        line.clear();
        assert!(reader.read_line(&mut line).unwrap() > 0, "the end came before {expected}");
        if line.trim_end() == expected {
            return;
        }
    }
}
