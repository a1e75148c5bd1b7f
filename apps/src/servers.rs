//! The servers, behind one shape. Their types are not each other's, and need not be: macros write what differs in
//! nothing but the crate's name. To add a server, add a line to [`ALL`].

use std::io;
use std::sync::Arc;
use std::time::Duration;

use gateway_spec::Application;

use crate::access_log::{self, Record};
use crate::inherited::{self, Socket};
use crate::settings::{Config, Settings};

/// A server by its name.
pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) summary: &'static str,
    /// Binds it, with the settings given.
    pub(crate) bind: fn(&Settings) -> io::Result<Bound>,
    /// The names of those of its defaults that the settings change.
    #[cfg(test)]
    pub(crate) changed: fn(&Settings) -> Vec<&'static str>,
}

/// A server that listens.
pub(crate) struct Bound {
    /// `IP:PORT` or `unix:PATH`.
    pub(crate) address: String,
    /// Finishes what is in flight and stops.
    pub(crate) shutdown: Box<dyn FnOnce() + Send>,
    /// How long that may take before what is left is cut.
    pub(crate) shutdown_timeout: Duration,
    /// Stops now.
    pub(crate) stop: Box<dyn FnOnce() + Send>,
    /// Serves until it is stopped.
    pub(crate) serve: Box<dyn FnOnce(Arc<dyn Application>) -> io::Result<()>>,
}

/// The address to listen on when none is given.
const ADDRESS: &str = "127.0.0.1:8000";

/// Hands the names of all settings that servers share to another macro.
macro_rules! shared_settings {
    ($macro:ident $arguments:tt) => {
        $macro! {
            $arguments
            server_name server_port server_header url_scheme
            max_request_line max_head max_headers max_body max_chunk_extensions max_drain
            max_requests_per_connection max_connections max_pending
            pending_timeout head_timeout keep_alive_timeout body_timeout min_body_rate rate_grace write_timeout
            linger_timeout max_linger shutdown_timeout app_deadline
        }
    };
}

macro_rules! apply {
    (($config:ident $settings:ident) $($field:ident)*) => {
        // Without `..`, so that the compiler finds a setting that is not listed.
        let Config { $($field),* } = $settings.config.clone();
        $(if let Some(value) = $field {
            $config.$field = value.into();
        })*
    };
}

#[cfg(test)]
macro_rules! changed {
    (($config:ident $default:ident) $($field:ident)*) => {
        [$((stringify!($field), $config.$field != $default.$field)),*]
    };
}

macro_rules! server {
    ($name:literal, $summary:literal, $krate:ident, $threads:ident) => {
        Server {
            name: $name,
            summary: $summary,
            bind: |settings| {
                let mut config = $krate::Server::builder();
                if let Some(threads) = settings.threads {
                    config.$threads = threads;
                }
                shared_settings!(apply (config settings));
                if let Some(format) = settings.access_log {
                    config.on_response = Some(Arc::new(move |exchange: &$krate::Exchange<'_>| {
                        access_log::write(format, &Record {
                            remote_addr: exchange.peer.remote_addr(),
                            method: exchange.method,
                            target: exchange.target,
                            version: exchange.version,
                            status: exchange.status,
                            bytes: exchange.bytes,
                            aborted: exchange.aborted,
                            duration: exchange.duration,
                            referer: exchange.referer,
                            user_agent: exchange.user_agent,
                        });
                    }));
                }
                let shutdown_timeout = config.shutdown_timeout;
                let server = match settings.bind.as_deref().unwrap_or(ADDRESS) {
                    inherited::NAME => match inherited::socket()? {
                        Socket::Tcp(listener) => config.from_listener(listener),
                        Socket::Unix(listener) => config.from_listener(listener),
                    },
                    address => config.bind(address),
                }?;
                let (graceful, immediate) = (server.handle(), server.handle());
                Ok(Bound {
                    address: server.local_addr().to_string(),
                    shutdown: Box::new(move || graceful.shutdown()),
                    shutdown_timeout,
                    stop: Box::new(move || immediate.stop()),
                    serve: Box::new(move |application| server.serve(application)),
                })
            },
            #[cfg(test)]
            changed: |settings| {
                let (mut config, default) = ($krate::Server::builder(), $krate::Server::builder());
                shared_settings!(apply (config settings));
                let changed = shared_settings!(changed (config default));
                changed.iter().filter(|(_, changed)| *changed).map(|(name, _)| *name).collect()
            },
        }
    };
}

/// All servers; the first is the default. The last word is the setting that `--threads` stands for.
#[rustfmt::skip] // one line each, as a table
pub(crate) const ALL: &[Server] = &[
    server!("mio", "event loops that do not care whether the application blocks: for any number of connections", server_mio, threads),
    server!("threaded", "one thread, one connection: simple, for hundreds of connections", server_threaded, max_connections),
];

/// The server of a name, or the default.
pub(crate) fn find(name: Option<&str>) -> Option<&'static Server> {
    ALL.iter().find(|server| name.is_none_or(|name| server.name == name))
}
