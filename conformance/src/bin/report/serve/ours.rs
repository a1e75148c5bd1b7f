//! The Gateway servers, with the bench application.

use std::io;
use std::time::Duration;

use super::{Settings, announce, gateway, site};

/// As many connections as the memory measurement may ask for.
const MAX_CONNECTIONS: usize = 20_000;
/// Longer than it takes to open as many on a busy machine.
const IDLE: Duration = Duration::from_secs(600);

macro_rules! serve {
    ($server:ident, $settings:expr, $($setting:ident = $value:expr),*) => {{
        site::file()?;
        let mut config = $server::Server::builder();
        config.server_header = Some(site::SERVER.to_owned());
        config.max_connections = MAX_CONNECTIONS;
        config.keep_alive_timeout = IDLE;
        $(config.$setting = $value;)*
        let server = config.bind(&$settings.address.to_string())?;
        let address = server.local_addr().to_string();
        announce(address.parse().map_err(io::Error::other)?)?;
        server.serve(gateway::app)
    }};
}

pub(super) fn threaded(settings: &Settings) -> io::Result<()> {
    serve!(server_threaded, settings,)
}

pub(super) fn mio(settings: &Settings) -> io::Result<()> {
    serve!(server_mio, settings, threads = settings.threads)
}
