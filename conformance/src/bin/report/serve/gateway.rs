//! The bench application, written on the contract alone.

use std::fs::File;
use std::io::Read;
use std::sync::LazyLock;
use std::thread;

use bytes::Bytes;
use conformance::load::{HELLO, download};
use gateway_spec::{Body, Environ, Error, StartResponse, Status};

use super::site;

const TEXT: &str = "text/plain";
const BINARY: &str = "application/octet-stream";

/// Answers every path of the scenarios.
pub(super) fn app(environ: &mut Environ<'_>, start_response: &mut dyn StartResponse) -> Result<Body, Error> {
    static DOWNLOAD: LazyLock<Bytes> = LazyLock::new(|| Bytes::from_owner(download()));
    let path = environ.path_info();
    let (kind, body): (_, Body) = match path.as_bytes() {
        b"/plaintext" => (TEXT, HELLO.into()),
        b"/json" => ("application/json", serde_json::to_vec(&site::Message::HELLO)?.into()),
        b"/echo" => {
            let mut body = Vec::with_capacity(1024);
            environ.input().read_to_end(&mut body)?;
            (BINARY, body.into())
        }
        b"/download" => (BINARY, DOWNLOAD.clone().into()),
        b"/file" => {
            let file = File::open(site::file()?)?;
            let length = file.metadata()?.len();
            (BINARY, Body::file(file, 0, length))
        }
        b"/query" => {
            thread::sleep(site::QUERY);
            (TEXT, HELLO.into())
        }
        b"/slow" => {
            thread::sleep(site::SLOW);
            (TEXT, HELLO.into())
        }
        _ => {
            start_response.start(Status::NOT_FOUND, &[])?;
            return Ok(Body::empty());
        }
    };
    start_response.start(Status::OK, &[("Content-Type", kind)])?;
    Ok(body)
}
