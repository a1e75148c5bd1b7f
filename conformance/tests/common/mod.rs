//! The servers of this workspace as the suite sees them. Adding one is one line in [`servers`].

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;

use conformance::harness::{Harness, Limits, Running};
use gateway_spec::{Application, Errors};

/// Every server.
pub(crate) fn servers() -> Vec<Box<dyn Harness>> {
    vec![Box::new(Threaded), Box::new(Mio)]
}

macro_rules! server {
    ($type:ident, $running:ident, $name:literal, $package:ident $(, $own:ident)*) => {
        struct $type;

        struct $running {
            address: SocketAddr,
            handle: $package::Handle,
            thread: Option<thread::JoinHandle<io::Result<()>>>,
        }

        impl Running for $running {
            fn address(&self) -> SocketAddr {
                self.address
            }
        }

        impl Drop for $running {
            fn drop(&mut self) {
                self.handle.stop();
                if let Some(thread) = self.thread.take() {
                    // What the server says at its end is judged by its own tests.
                    let _ = thread.join();
                }
            }
        }

        impl Harness for $type {
            fn name(&self) -> &str {
                $name
            }

            fn start(&self, app: Arc<dyn Application>, limits: &Limits) -> io::Result<Box<dyn Running>> {
                let mut config = $package::Server::builder();
                config.errors = Errors::new(|_: &str| {});
                conformance::apply_limits!(limits, config);
                $(if let Some(value) = limits.$own {
                    config.$own = value;
                })*
                let server = config.bind("127.0.0.1:0")?;
                let &$package::LocalAddr::Tcp(address) = server.local_addr() else {
                    return Err(io::Error::other("not a TCP address"));
                };
                let handle = server.handle();
                let thread = Some(thread::spawn(move || server.serve(app)));
                Ok(Box::new($running { address, handle, thread }))
            }
        }
    };
}

server!(Threaded, ThreadedRunning, "server-threaded", server_threaded);
server!(Mio, MioRunning, "server-mio", server_mio, body_buffer);
