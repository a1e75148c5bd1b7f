//! No memory for another thread: a process with room for a few, and more clients than that.

use crate::client::{Client, End};
use crate::support::{GET, Limited, PATIENCE, config, serve_if_limited};

const CHILD: &str = "wanting::child";

/// So many bytes of addresses each thread takes, and the whole process may have.
const STACK: usize = 1 << 30;
const ALL: usize = 5 << 30;

#[test]
fn child() {
    serve_if_limited(CHILD, || {
        let mut config = config();
        config.stack_size = STACK;
        config.keep_alive_timeout = 6 * PATIENCE; // nobody leaves by itself
        config
    });
}

/// Who idles for longest gives back a thread for each newcomer, and there are never too few.
#[test]
fn who_idles_gives_back_a_thread() {
    let site = Limited::new(&format!("-v {}", ALL / 1024), CHILD);
    let mut clients: Vec<Client> = (0..40)
        .map(|_| {
            let mut client = site.connect();
            client.ask(GET).is(200, "hello");
            client
        })
        .collect();
    assert_eq!(clients[0].read_to_the_end(), (vec![], End::Clean), "there was not room for all");
    clients[39].ask(GET).is(200, "hello");
}
