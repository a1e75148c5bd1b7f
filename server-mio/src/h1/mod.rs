//! HTTP/1.1 as pure functions of bytes: no socket, no clock, no application.
//!
//! In scope: the request head ([`head`]), where bodies end ([`framing`], [`chunked`]), the response head ([`response`])
//! and its date ([`date`]). Out of scope: trailers are checked and dropped (H1-TRL-01), `Upgrade` is ignored
//! (H1-UPG-01), transfer codings other than chunked are refused (H1-FRM-04).
//!
//! The rules are strict: what the grammar does not allow is refused, never repaired (H1-LINE-08), and after a refusal
//! nothing more of the connection is parsed (H1-CON-10).

pub(crate) mod chunked;
pub(crate) mod date;
pub(crate) mod framing;
pub(crate) mod head;
pub(crate) mod heads;
pub(crate) mod host;
pub(crate) mod known;
pub(crate) mod response;
mod scan;

use std::io;

use gateway_spec::Status;

/// Why a request is refused. Each refusal is a whole response, and the end of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reject {
    /// Octets that no HTTP message has (H1-PARSE-08).
    Malformed(&'static str),
    /// No, or no valid, or more than one `Host` (H1-HOST-01 to H1-HOST-03).
    Host(&'static str),
    /// Where the body ends cannot be told, or is told twice (H1-FRM-05 to H1-FRM-12).
    Framing(&'static str),
    /// A transfer coding that is not known (H1-FRM-04).
    UnknownCoding,
    /// CONNECT: no tunnels here (H1-METH-18).
    Connect,
    /// A major version other than 1 (H1-VER-05).
    Version,
    /// An `https` target on a connection without TLS (H1-TGT-13).
    Misdirected,
    /// The request line is over its limit (H1-LINE-04).
    LineTooLong,
    /// The head is over its limit, or has too many fields (H1-FLD-08).
    HeadTooLarge(&'static str),
    /// The body is over its limit (H1-CODE-14).
    BodyTooLarge,
    /// An expectation other than `100-continue` (H1-CONT-01).
    Expectation,
    /// The request did not arrive in time (H1-INC-02).
    Timeout,
    /// The client ended in the middle of its request (H1-INC-01).
    Incomplete,
    /// The server has too much to do (H1-CODE-21).
    Overload,
}

impl Reject {
    /// The status that tells the client.
    pub(crate) const fn status(self) -> Status {
        match self {
            Self::Malformed(_) | Self::Host(_) | Self::Framing(_) | Self::Incomplete => Status::BAD_REQUEST,
            Self::UnknownCoding | Self::Connect => Status::NOT_IMPLEMENTED,
            Self::Version => Status::HTTP_VERSION_NOT_SUPPORTED,
            Self::Misdirected => Status::MISDIRECTED_REQUEST,
            Self::LineTooLong => Status::URI_TOO_LONG,
            Self::HeadTooLarge(_) => Status::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::BodyTooLarge => Status::CONTENT_TOO_LARGE,
            Self::Expectation => Status::EXPECTATION_FAILED,
            Self::Timeout => Status::REQUEST_TIMEOUT,
            Self::Overload => Status::SERVICE_UNAVAILABLE,
        }
    }

    /// The explanation for a person (H1-CODE-02, H1-VER-06).
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Malformed(why) | Self::Host(why) | Self::Framing(why) | Self::HeadTooLarge(why) => why,
            Self::UnknownCoding => "the only transfer coding understood here is chunked",
            Self::Connect => "CONNECT is not offered here",
            Self::Version => "this server speaks HTTP/1.1 and HTTP/1.0",
            Self::Misdirected => "https is not served on this connection",
            Self::LineTooLong => "the request line is too long",
            Self::BodyTooLarge => "the request body is too large",
            Self::Expectation => "the only expectation understood here is 100-continue",
            Self::Timeout => "the request took too long to arrive",
            Self::Incomplete => "the request ended too early",
            Self::Overload => "the server is busy",
        }
    }

    /// The kind of error under which an application meets it when it reads the body (GW-DEF-04).
    pub(crate) const fn kind(self) -> io::ErrorKind {
        match self {
            Self::BodyTooLarge => io::ErrorKind::FileTooLarge,
            Self::Timeout => io::ErrorKind::TimedOut,
            Self::Incomplete => io::ErrorKind::UnexpectedEof,
            _ => io::ErrorKind::InvalidData,
        }
    }
}
