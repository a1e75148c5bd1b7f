//! A listener that others have too, as those of a service manager: it does not end with this server. A program of its own,
//! because what it measures is the process.

mod support;

use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use gateway_spec::{Environ, Error, StartResponse, Status};
use rustix::time::{ClockId, clock_gettime};
use support::{Client, Door};

#[test]
fn who_comes_after_the_end_of_listening_keeps_nobody_busy() {
    let (listener, door) = (TcpListener::bind("127.0.0.1:0").unwrap(), Arc::new(Door::new()));
    let address = listener.local_addr().unwrap();
    let server = server_mio::Server::from_listener(listener.try_clone().unwrap()).unwrap();
    let handle = server.handle();
    let entrance = door.clone();
    let thread = thread::spawn(move || {
        server.serve(
            move |_: &mut Environ<'_>, start_response: &mut dyn StartResponse| -> Result<&'static str, Error> {
                entrance.pass();
                start_response.start(Status::OK, &[("Content-Type", "text/plain")])?;
                Ok("done")
            },
        )
    });
    let mut busy = Client::new(TcpStream::connect(address).unwrap());
    busy.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    door.until(1);
    handle.shutdown();
    // Time to notice; then somebody comes for the next server.
    thread::sleep(Duration::from_millis(100));
    let _next = TcpStream::connect(address).unwrap();
    let cpu = || Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap();
    let start = cpu();
    thread::sleep(Duration::from_millis(300));
    let used = cpu() - start;
    assert!(used < Duration::from_millis(150), "{used:?} of 300 ms were spent on waiting for the last answer");
    door.open();
    assert!(busy.response().ends_with("done"));
    thread.join().unwrap().unwrap();
    drop(listener);
}
