//! HTTP/1.1 on the wire: rules as pure functions of bytes. No socket and no clock here.
//!
//! In scope: request heads ([`head`]: usual ones by `scan` and `section`, all others by `grammar`; `target`,
//! `octets`), framing and persistence ([`framing`]), chunked bodies with their extensions and
//! trailers ([`chunked`]), response heads and chunks ([`response`]), the `Date` ([`date`]). Out of scope: everything
//! that RFC 9110 leaves to resources (conditions, ranges, negotiation), which applications see untouched.
//!
//! The rules are strict where the RFC lets a server choose: a message that two parsers could read in two ways is
//! refused, and nothing after it is read.

pub(crate) mod chunked;
pub(crate) mod date;
pub(crate) mod framing;
mod grammar;
pub(crate) mod head;
mod octets;
pub(crate) mod response;
mod scan;
pub(crate) mod section;
mod target;

use gateway_spec::Status;

/// Why a request is refused: the status to answer with, and what to say. The connection always closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reject {
    pub(crate) code: u16,
    /// One sentence for the client (H1-CODE-02); says nothing about the server.
    pub(crate) why: &'static str,
}

impl Reject {
    pub(crate) const fn new(code: u16, why: &'static str) -> Self {
        Self { code, why }
    }

    pub(crate) const fn bad_request(why: &'static str) -> Self {
        Self::new(400, why)
    }

    /// 408 (H1-INC-02).
    pub(crate) const TIMEOUT: Self = Self::new(408, "The request did not arrive in time.");

    /// 500 (GW-REF-04): no diagnostics for the client.
    pub(crate) const APPLICATION: Self = Self::new(500, "The server could not answer this request.");

    /// 503 (H1-CODE-21).
    pub(crate) const BUSY: Self = Self::new(503, "The server is busy. Try again in a moment.");

    pub(crate) fn status(self) -> Status {
        // Every code in this crate is a constant from 400 to 505.
        Status::from_code(self.code).unwrap_or(Status::INTERNAL_SERVER_ERROR)
    }
}
