//! The Gateway servers, with the bench application.

use std::io;
use std::time::Duration;

use super::{Settings, announce, gateway, site};

/// As many connections as the memory measurement may ask for.
const MAX_CONNECTIONS: usize = 20_000;
/// Longer than it takes to open as many on a busy machine.
const IDLE: Duration = Duration::from_secs(600);

pub(super) fn threaded(settings: &Settings) -> io::Result<()> {
    site::file()?;
    let mut config = server_threaded::Server::builder();
    config.server_header = Some(site::SERVER.to_owned());
    config.max_connections = MAX_CONNECTIONS;
    config.keep_alive_timeout = IDLE;
    let server = config.bind(&settings.address.to_string())?;
    if let server_threaded::LocalAddr::Tcp(address) = server.local_addr() {
        announce(*address)?;
    }
    server.serve(gateway::app)
}
