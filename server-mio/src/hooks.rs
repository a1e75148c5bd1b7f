//! What a server tells whoever runs it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use gateway_spec::Peer;

/// May refuse a peer before anything is read from it. It should not wait: the loop that has accepted does nothing else
/// meanwhile.
pub type VerifyPeer = Arc<dyn Fn(&Peer) -> bool + Send + Sync>;

/// Sees what went wrong on a connection.
pub type OnError = Arc<dyn Fn(&Peer, &io::Error) + Send + Sync>;

/// Sees each response when it is over.
pub type OnResponse = Arc<dyn Fn(&Exchange<'_>) + Send + Sync>;

/// One request and its response, when it is over: what an access log needs.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Exchange<'e> {
    /// Who sent the request.
    pub peer: &'e Peer,
    /// The method; of a request that was refused, the first word of its request line.
    pub method: &'e str,
    /// The request target as received; of a request that was refused, the second word of its request line.
    pub target: &'e str,
    /// `HTTP/1.0` or `HTTP/1.1`; empty if the request line could not be read as far.
    pub version: &'e str,
    /// The status code of the response; 0 if the connection was cut before there was one.
    pub status: u16,
    /// How many bytes of content were sent. Of an aborted response, how many had been given to be sent: its client may have
    /// received fewer.
    pub bytes: u64,
    /// Whether the response was cut before its end.
    pub aborted: bool,
    /// How long it took from the call of the application, or the refusal, to the end of the response.
    pub duration: Duration,
    /// The `Referer` field, octets.
    pub referer: Option<&'e [u8]>,
    /// The `User-Agent` field, octets.
    pub user_agent: Option<&'e [u8]>,
}

/// Counts since the server began, for tests and metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Connections accepted.
    pub accepted: u64,
    /// Connections open now.
    pub open: usize,
    /// Requests that reached the application.
    pub requests: u64,
    /// Connections and requests refused with 503, and idle connections closed to make room.
    pub refused: u64,
    /// Threads that serve connections or wait for one.
    pub threads: usize,
}
