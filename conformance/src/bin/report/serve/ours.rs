//! The Gateway servers, with the bench application written on the contract alone, and with framework-mini's.

use std::io;

use gateway_spec::Application;

use super::{IDLE, Settings, announce, framework, gateway, site};

/// As many connections as the memory measurement may ask for.
const MAX_CONNECTIONS: usize = 20_000;

macro_rules! serve {
    ($server:ident, $settings:expr, $app:expr, $($setting:ident = $value:expr),*) => {{
        site::file()?;
        let mut config = $server::Server::builder();
        config.server_header = Some(site::SERVER.to_owned());
        config.max_connections = MAX_CONNECTIONS;
        config.keep_alive_timeout = IDLE;
        $(config.$setting = $value;)*
        let server = config.bind(&$settings.address.to_string())?;
        let address = server.local_addr().to_string();
        announce(address.parse().map_err(io::Error::other)?)?;
        server.serve($app)
    }};
}

fn on_threaded(settings: &Settings, app: impl Application + 'static) -> io::Result<()> {
    serve!(server_threaded, settings, app,)
}

fn on_mio(settings: &Settings, app: impl Application + 'static) -> io::Result<()> {
    serve!(server_mio, settings, app, threads = settings.threads)
}

pub(super) fn threaded(settings: &Settings) -> io::Result<()> {
    on_threaded(settings, gateway::app)
}

pub(super) fn mio(settings: &Settings) -> io::Result<()> {
    on_mio(settings, gateway::app)
}

pub(super) fn framework_threaded(settings: &Settings) -> io::Result<()> {
    on_threaded(settings, framework::app(settings)?)
}

pub(super) fn framework_mio(settings: &Settings) -> io::Result<()> {
    on_mio(settings, framework::app(settings)?)
}
