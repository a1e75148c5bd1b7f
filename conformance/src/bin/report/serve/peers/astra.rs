use std::io::{self, Read};
use std::sync::LazyLock;
use std::thread;

use ::astra::{Body, Request, Response, ResponseBuilder, Server};
use bytes::Bytes;
use conformance::load::HELLO;

use super::super::{Settings, announce};
use super::{other, read_file, shared_download, site};

static DOWNLOAD: LazyLock<Bytes> = LazyLock::new(shared_download);

pub(super) fn serve(settings: &Settings) -> io::Result<()> {
    site::file()?;
    // A worker keeps its connection: with fewer workers than connections (15 for each processor, if nothing is said) the
    // others are never served.
    let server = Server::bind(settings.address).http1_pipeline_flush(true).max_workers(20_000);
    announce(server.local_addr()?)?;
    server.serve(|mut request: Request, _| {
        let response = answer(&mut request);
        response.unwrap_or_else(|error| {
            let mut response = Response::new(Body::new(error.to_string()));
            *response.status_mut() = hyper::StatusCode::INTERNAL_SERVER_ERROR;
            response
        })
    })
}

fn answer(request: &mut Request) -> io::Result<Response> {
    const BINARY: &str = "application/octet-stream";
    let (kind, body) = match request.uri().path() {
        "/plaintext" => ("text/plain", Bytes::from_static(HELLO)),
        "/json" => ("application/json", serde_json::to_vec(&site::Message::HELLO)?.into()),
        "/echo" => {
            let mut body = Vec::with_capacity(1024);
            request.body_mut().reader().read_to_end(&mut body)?;
            (BINARY, body.into())
        }
        "/download" => (BINARY, DOWNLOAD.clone()),
        "/file" => (BINARY, read_file()?.into()),
        path @ ("/query" | "/slow") => {
            thread::sleep(if path == "/slow" { site::SLOW } else { site::QUERY });
            ("text/plain", Bytes::from_static(HELLO))
        }
        _ => return Err(other("no such path")),
    };
    let head = ResponseBuilder::new().header("Content-Type", kind).header("Server", site::SERVER);
    // Its bodies do not know their length, so it would use chunked coding.
    head.header("Content-Length", body.len()).body(Body::new(body)).map_err(other)
}
