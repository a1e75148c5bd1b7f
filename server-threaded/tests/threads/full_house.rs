//! Admission: who gets a place when there are not enough.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use gateway_spec::{Environ, Error, StartResponse, Status, app_fn};
use server::Config;

use crate::client::{Client, End};
use crate::support::{GET, Gate, LAST_GET, PATIENCE, Site, config, held, hello, ms, wait_until};

fn house(max_connections: usize) -> Config {
    let mut config = crate::one_house(config());
    config.max_connections = max_connections;
    // Nobody is refused for having waited, unless a test says so; and nobody ends for having idled.
    config.pending_timeout = 2 * PATIENCE;
    config.keep_alive_timeout = 2 * PATIENCE;
    config.head_timeout = 2 * PATIENCE;
    config
}

#[test]
fn idle_clients_make_room() {
    let site = Site::new(house(8), hello);
    let mut idle: Vec<Client> = (0..32)
        .map(|_| {
            let mut client = site.connect();
            client.ask(GET).is(200, "hello");
            client
        })
        .collect();
    site.get().is(200, "hello");
    // As many as there are places may be left, not one more: all others have seen a clean end and not a byte.
    site.wait_for("shedding", |stats| stats.open <= 8 && stats.refused >= 25);
    let stats = site.handle.stats();
    assert_eq!((stats.accepted, stats.requests), (33, 33));
    for client in &mut idle[..16] {
        client.must_end();
    }
}

/// A client that has its last answer and does not close the connection keeps nobody out, and is not shed.
#[test]
fn who_was_answered_for_the_last_time_has_no_place() {
    let mut site = Site::new(house(1), hello);
    let mut answered: Vec<Client> = (0..100)
        .map(|_| {
            let mut client = site.connect();
            client.ask(LAST_GET).is(200, "hello");
            client.must_end();
            client
        })
        .collect();
    assert_eq!(site.handle.stats().refused, 0);
    // What they still send is no request, and they do not hold up the end of the server for long.
    for client in &mut answered[90..] {
        client.send(GET);
    }
    site.handle.shutdown();
    site.join().unwrap();
}

/// Answers when the server's clock, which may be a coarse one, is a second further.
fn later(environ: &mut Environ<'_>, start_response: &mut dyn StartResponse) -> Result<&'static str, Error> {
    let left = || environ.deadline().map(|deadline| deadline.saturating_duration_since(Instant::now()));
    let before = left();
    while environ.raw_path() == "/later" && left().map(|left| left + ms(1000)) > before {
        thread::sleep(ms(5));
    }
    hello(environ, start_response)
}

/// Of four, the one that was not the first to connect and not the last, so that another order would show.
///
/// A thread that was interrupted between its answer and its wait does not idle yet, which no client can see; then another
/// one has to go. So it has to come out right in three of five times, and mostly is at once. By chance it would once in
/// four times.
#[test]
fn who_idles_for_longest_goes_first() {
    let goes_first = || {
        let mut config = house(4);
        config.app_deadline = Some(PATIENCE);
        let site = Site::new(config, later);
        let mut clients: Vec<Client> = (0..4).map(|_| site.connect()).collect();
        site.wait_for("the clients", |stats| stats.open == 4);
        clients[1].ask(GET).is(200, "hello");
        clients[0].ask("GET /later HTTP/1.1\r\nHost: a\r\n\r\n").is(200, "hello");
        [2, 3].iter().for_each(|&n| clients[n].ask(GET).is(200, "hello"));
        site.get().is(200, "hello");
        // Who has to go may have sent something in the same moment, and is answered for the last time.
        let stays =
            |client: &mut Client| client.try_send(GET).is_ok() && client.next().is_ok_and(|reply| !reply.closes());
        clients.iter_mut().map(stays).collect::<Vec<_>>()
    };
    let mut seen = vec![];
    while seen.iter().filter(|left| **left == [true, false, true, true]).count() < 3 {
        assert!(seen.len() < 5, "others than the one that idled for longest had to go: {seen:?}");
        seen.push(goes_first());
    }
}

/// More busy keep-alive clients than places, and newcomers all the time: whoever is shed is shed between requests.
#[test]
fn no_answer_is_cut_to_make_room() {
    const LENGTH: usize = 30_000;
    let site = Site::new(
        house(4),
        app_fn(|_, start_response| {
            start_response.start(Status::OK, &[])?;
            Ok::<_, Error>(vec![b'x'; LENGTH])
        }),
    );
    let (site, made_room) = (&site, &AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(move || {
                let mut client = site.connect();
                for _ in 0..40 {
                    loop {
                        let sent = client.try_send(GET);
                        match client.next() {
                            Ok(reply) => {
                                assert_eq!((reply.code, reply.body.len()), (200, LENGTH));
                                if reply.closes() {
                                    made_room.fetch_add(1, SeqCst);
                                    client = site.connect();
                                }
                                break;
                            }
                            Err(broken) => {
                                assert_eq!(broken.received, b"", "cut in the middle");
                                assert_ne!(broken.end, End::Never, "{sent:?}");
                                made_room.fetch_add(1, SeqCst);
                                client = site.connect();
                            }
                        }
                    }
                    thread::sleep(ms(2));
                }
            });
        }
        for _ in 0..20 {
            assert_eq!(site.get().code, 200);
        }
    });
    assert!(made_room.load(SeqCst) > 0, "the house was never full");
}

#[test]
fn newcomers_wait_for_a_busy_place() {
    let gate = Gate::default();
    let site = Site::new(house(2), held(&gate));
    let mut busy = [site.connect(), site.connect()];
    busy.iter_mut().for_each(|client| client.send(LAST_GET));
    gate.wait_for(2);
    let mut newcomer = site.connect();
    newcomer.send("GET /free HTTP/1.1\r\nHost: a\r\n\r\n");
    site.wait_for("the newcomer", |stats| stats.accepted == 3);
    assert_eq!(site.handle.stats().open, 2);
    gate.open(1);
    newcomer.reply().is(200, "held");
    gate.open(1);
    busy.iter_mut().for_each(|client| client.reply().is(200, "held"));
}

/// The client that was busy when the newcomer came keeps its connection, and idles: now there is room.
#[test]
fn newcomers_get_the_place_of_a_client_that_becomes_idle() {
    let gate = Gate::default();
    let site = Site::new(house(1), held(&gate));
    let mut busy = site.connect();
    busy.send(GET);
    gate.wait_for(1);
    let mut newcomers: Vec<Client> = (0..3)
        .map(|_| {
            let mut newcomer = site.connect();
            newcomer.send("GET /free HTTP/1.1\r\nHost: a\r\n\r\n");
            newcomer
        })
        .collect();
    site.wait_for("the newcomers", |stats| stats.accepted == 4);
    gate.open(1);
    busy.reply().is(200, "held");
    for newcomer in &mut newcomers {
        newcomer.reply().is(200, "held");
    }
}

/// 503, a time to come again, and an end that lets the client read it although it has sent something nobody reads.
#[track_caller]
fn is_turned_away(client: &mut Client) {
    let reply = client.reply();
    assert_eq!((reply.code, reply.header("Retry-After"), reply.closes()), (503, Some("1"), true), "{reply:?}");
    assert!(!reply.body.is_empty());
    client.must_end();
}

#[test]
fn newcomers_do_not_wait_forever() {
    let gate = Gate::default();
    let mut config = house(1);
    config.pending_timeout = ms(200);
    let site = Site::new(config, held(&gate));
    let mut busy = site.connect();
    busy.send(LAST_GET);
    gate.wait_for(1);
    let mut newcomer = site.connect();
    newcomer.send(GET);
    let mut upload = site.connect();
    upload.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n");
    upload.send(vec![b'x'; 60_000]);
    let mut silent = site.connect();
    is_turned_away(&mut newcomer);
    is_turned_away(&mut upload);
    is_turned_away(&mut silent);
    assert_eq!(site.handle.stats().refused, 3);
    gate.open(1);
    busy.reply().is(200, "held");
    gate.open(1);
    site.get().is(200, "held");
}

#[test]
fn the_queue_is_bounded() {
    let gate = Gate::default();
    let mut config = house(1);
    config.max_pending = 2;
    let site = Site::new(config, held(&gate));
    let mut all: Vec<Client> = (0..3)
        .map(|i| {
            let mut client = site.connect();
            client.send(LAST_GET);
            site.wait_for("a client", |stats| stats.accepted == i + 1);
            client
        })
        .collect();
    gate.wait_for(1);
    // One has a place and two wait; who comes now is told at once.
    for _ in 0..5 {
        let mut client = site.connect();
        client.send(GET);
        is_turned_away(&mut client);
    }
    gate.open(3);
    all.iter_mut().for_each(|client| client.reply().is(200, "held"));
    assert_eq!(site.handle.stats().refused, 5);
}

/// Without a queue: refused at once, and served again when there is room.
#[test]
fn a_house_without_a_queue() {
    let gate = Gate::default();
    let mut config = house(1);
    config.max_pending = 0;
    let site = Site::new(config, held(&gate));
    let mut busy = site.connect();
    busy.send(GET);
    gate.wait_for(1);
    let mut client = site.connect();
    client.send(GET);
    is_turned_away(&mut client);
    gate.open(1);
    busy.reply().is(200, "held");
    // The place is there as soon as its client idles.
    let free = "GET /free HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    wait_until(|| site.connect().ask(free).code == 200, || "nobody makes room".into());
    busy.must_end();
}

/// An application that is told `multithread` is false is never called by two threads at once.
#[test]
fn one_connection_is_one_thread_at_a_time() {
    let (inside, told) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(true)));
    let (inside_app, told_app) = (Arc::clone(&inside), Arc::clone(&told));
    let app = app_fn(move |environ, start_response| {
        told_app.store(environ.multithread(), SeqCst);
        let others = inside_app.fetch_add(1, SeqCst);
        thread::sleep(Duration::from_millis(1));
        inside_app.fetch_sub(1, SeqCst);
        start_response.start(Status::OK, &[])?;
        Ok::<_, Error>(others.to_string())
    });
    let site = Site::new(house(1), app);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..20).for_each(|_| site.get().is(200, "0")));
        }
    });
    assert!(!told.load(SeqCst));
    let mut two = house(2);
    two.max_pending = 0;
    let told = app_fn(|environ, start_response| {
        start_response.start(Status::OK, &[])?;
        Ok::<_, Error>(environ.multithread().to_string())
    });
    Site::new(two, told).get().is(200, "true");
}
