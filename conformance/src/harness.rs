//! [`Harness`]: the one trait a server implements to be put through the suite.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use gateway_spec::Application;

/// A server that can be started for the suite.
///
/// ```no_run
/// # use std::{io, net::SocketAddr, sync::Arc};
/// # use gateway_spec::Application;
/// use conformance::harness::{Harness, Limits, Running};
///
/// struct Mine;
///
/// impl Harness for Mine {
///     fn name(&self) -> &str {
///         "my-server"
///     }
///
///     fn start(&self, app: Arc<dyn Application>, limits: &Limits) -> io::Result<Box<dyn Running>> {
/// #       unimplemented!()
///         // Listen on 127.0.0.1:0, apply the limits, serve in threads of your own.
///     }
/// }
/// ```
pub trait Harness: Send + Sync {
    /// The name of the server, for reports.
    fn name(&self) -> &str;

    /// Starts the server with an application on a free port of 127.0.0.1.
    ///
    /// The limits that are set have to be applied; those that are not stay at the server's defaults. A server that has
    /// no such limit ignores it, and fails the cases about it.
    ///
    /// # Errors
    /// Any that keep the server from starting.
    fn start(&self, app: Arc<dyn Application>, limits: &Limits) -> io::Result<Box<dyn Running>>;
}

/// A server that runs. Dropping it stops it.
pub trait Running: Send + Sync {
    /// Where it listens.
    fn address(&self) -> SocketAddr;
}

macro_rules! limits {
    ($($(#[$doc:meta])* $name:ident: $type:ty = $read:expr;)*) => {
        /// Limits and deadlines that a case wants to be different from the server's defaults.
        ///
        /// The names and meanings are those of the servers' `Config`. What is `None` stays as it is there.
        #[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub struct Limits {
            $($(#[$doc])* pub $name: Option<$type>,)*
        }

        impl Limits {
            /// Reads `name value, name value`.
            ///
            /// # Errors
            /// What is not understood.
            pub fn parse(text: &str) -> Result<Self, String> {
                let mut limits = Self::default();
                for part in text.split(", ") {
                    let (name, value) = part.split_once(' ').ok_or_else(|| format!("{part:?} is not `name value`"))?;
                    match name {
                        $(stringify!($name) => limits.$name = Some(($read)(value)?),)*
                        _ => return Err(format!("{name:?} is not a limit")),
                    }
                }
                Ok(limits)
            }
        }

        impl fmt::Display for Limits {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut separator = "";
                $(if let Some(value) = &self.$name {
                    write!(f, "{separator}{} {value:?}", stringify!($name))?;
                    separator = ", ";
                })*
                f.write_str(if separator.is_empty() { "defaults" } else { "" })
            }
        }
    };
}

limits! {
    /// Longest request line in octets.
    max_request_line: usize = number;
    /// Longest head in octets.
    max_head: usize = number;
    /// Most field lines in a head.
    max_headers: usize = number;
    /// Longest request body in octets.
    max_body: u64 = number;
    /// Most octets of chunk extensions in one body.
    max_chunk_extensions: usize = number;
    /// How much of a request body may be collected before the application is called, by servers that do so.
    body_buffer: usize = number;
    /// How much of an unread body is read to keep the connection.
    max_drain: u64 = number;
    /// How many requests one connection may send.
    max_requests_per_connection: u64 = number;
    /// Most connections at once.
    max_connections: usize = number;
    /// How many new connections wait when all others are busy.
    max_pending: usize = number;
    /// How long a new connection waits.
    pending_timeout: Duration = crate::case::duration;
    /// Time for a head to arrive.
    head_timeout: Duration = crate::case::duration;
    /// How long a connection may idle between requests.
    keep_alive_timeout: Duration = crate::case::duration;
    /// How long a body may pause.
    body_timeout: Duration = crate::case::duration;
    /// Octets a second that a body must reach after `rate_grace`.
    min_body_rate: u64 = number;
    /// How long a body may take before `min_body_rate` applies.
    rate_grace: Duration = crate::case::duration;
    /// How long a client may take nothing of an answer.
    write_timeout: Duration = crate::case::duration;
}

impl Limits {
    /// The same, but deadlines that are not set are longer than the suite waits for anything. A server's own deadline must
    /// not pass for its answer: a connection that is kept by mistake would be closed just when the client gives up.
    #[must_use]
    pub fn patient(&self) -> Self {
        let long = Some(Duration::from_secs(60));
        Self {
            head_timeout: self.head_timeout.or(long),
            keep_alive_timeout: self.keep_alive_timeout.or(long),
            body_timeout: self.body_timeout.or(long),
            write_timeout: self.write_timeout.or(long),
            ..self.clone()
        }
    }
}

fn number<N: std::str::FromStr>(text: &str) -> Result<N, String> {
    text.parse().map_err(|_| format!("{text:?} is not a number"))
}

/// Copies the limits that are set into a server's configuration whose fields have the same names.
///
/// A macro, because the servers' configurations have nothing in common but the names of their fields.
#[macro_export]
macro_rules! apply_limits {
    ($limits:expr, $config:expr) => {
        $crate::apply_limits!(@each $limits, $config, max_request_line max_head max_headers max_body max_chunk_extensions
            max_drain max_connections max_pending pending_timeout head_timeout keep_alive_timeout body_timeout min_body_rate rate_grace write_timeout);
        if $limits.max_requests_per_connection.is_some() {
            $config.max_requests_per_connection = $limits.max_requests_per_connection;
        }
    };
    (@each $limits:expr, $config:expr, $($name:ident)*) => {
        $(if let Some(value) = $limits.$name {
            $config.$name = value;
        })*
    };
}
