//! Any octets to both servers, whole and in pieces: what comes of them has to agree.
#![no_main]

use std::sync::{Arc, LazyLock};

use conformance::agreement::Observed;
use conformance::harness::{Harness, Limits, Running};
use conformance::suite::Instance;
use gateway_spec::{Application, Errors};
use libfuzzer_sys::fuzz_target;

macro_rules! server {
    ($type:ident, $package:ident) => {
        struct $type;

        impl Harness for $type {
            fn name(&self) -> &str {
                stringify!($package)
            }

            fn start(&self, app: Arc<dyn Application>, _: &Limits) -> std::io::Result<Box<dyn Running>> {
                struct Address(std::net::SocketAddr);
                impl Running for Address {
                    fn address(&self) -> std::net::SocketAddr {
                        self.0
                    }
                }
                let mut config = $package::Server::builder();
                config.errors = Errors::new(|_: &str| {});
                let server = config.bind("127.0.0.1:0")?;
                let &$package::LocalAddr::Tcp(address) = server.local_addr() else { unreachable!("a TCP address") };
                std::thread::spawn(move || server.serve(app));
                Ok(Box::new(Address(address)))
            }
        }
    };
}

server!(Threaded, server_threaded);
server!(Mio, server_mio);

static SERVERS: LazyLock<Vec<(&str, Instance)>> = LazyLock::new(|| {
    let start = |harness: &dyn Harness| Instance::start(harness, &Limits::default()).expect("the server starts");
    vec![("server-threaded", start(&Threaded)), ("server-mio", start(&Mio))]
});

fuzz_target!(|data: &[u8]| {
    let Some((&cut, octets)) = data.split_first() else { return };
    // Responses to HEAD and CONNECT are framed differently, and applications that answer without reading may answer
    // before or after a broken body is found: neither is what this is about.
    let without: [&[u8]; 12] =
        [b"HEAD", b"CONNECT", b"/ignore", b"/take", b"/hide", b"/status", b"/large", b"/sleep", b"/panic", b"/error", b"/field", b"100"];
    if without.iter().any(|word| octets.windows(word.len()).any(|window| window == *word)) {
        return;
    }
    let mut first: Option<(String, Observed)> = None;
    for (name, instance) in SERVERS.iter() {
        for cuts in [vec![], vec![usize::from(cut)]] {
            let observed = Observed::of(instance.running.address(), &instance.recorder, octets, &cuts).expect("a connection").normal();
            assert!(observed.problems.is_empty(), "{name} {cuts:?}: {observed}");
            let name = format!("{name} {cuts:?}");
            match &first {
                Some((other, expected)) => assert!(*expected == observed, "{other}: {expected}{name}: {observed}"),
                None => first = Some((name, observed)),
            }
        }
    }
});
