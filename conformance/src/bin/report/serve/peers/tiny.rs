use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;
use std::thread;

use conformance::load::{HELLO, Shape, download};
use tiny_http::{Header, Request, Response, ResponseBox, Server, StatusCode};

use super::super::{Settings, listen};
use super::{other, site};

pub(super) fn serve(settings: &Settings) -> io::Result<()> {
    site::file()?;
    let server = Arc::new(Server::from_listener(listen(settings)?, None).map_err(other)?);
    // Where some block, as many as there are clients: fewer is no way to run it.
    let threads = match settings.scenario.shape {
        Shape::Query | Shape::Mix => settings.scenario.connections,
        _ => settings.threads,
    };
    let threads: Vec<_> = (0..threads)
        .map(|_| {
            let server = Arc::clone(&server);
            thread::spawn(move || {
                for mut request in server.incoming_requests() {
                    let response = answer(&mut request).unwrap_or_else(|error| {
                        Response::from_string(error.to_string()).with_status_code(StatusCode(500)).boxed()
                    });
                    // A client that went away is no reason to stop.
                    let _ = request.respond(response);
                }
            })
        })
        .collect();
    threads.into_iter().try_for_each(|thread| thread.join()).map_err(|_| other("a thread panicked"))
}

fn answer(request: &mut Request) -> io::Result<ResponseBox> {
    // It would use chunked coding for what is longer than 32 KiB otherwise.
    fn whole<R: Read + Send + 'static>(response: Response<R>, kind: &str) -> io::Result<ResponseBox> {
        let header = |name: &str, value: &str| Header::from_bytes(name, value).map_err(|()| other("header"));
        let response = response.with_chunked_threshold(usize::MAX);
        let response = response.with_header(header("Content-Type", kind)?);
        Ok(response.with_header(header("Server", site::SERVER)?).boxed())
    }
    const BINARY: &str = "application/octet-stream";
    match request.url() {
        "/plaintext" => whole(Response::from_data(HELLO), "text/plain"),
        "/json" => whole(Response::from_data(serde_json::to_vec(&site::Message::HELLO)?), "application/json"),
        "/echo" => {
            let mut body = Vec::with_capacity(1024);
            request.as_reader().read_to_end(&mut body)?;
            whole(Response::from_data(body), BINARY)
        }
        "/download" => {
            let bytes = download();
            let length = bytes.len();
            let cursor = io::Cursor::new(bytes);
            whole(Response::new(StatusCode(200), Vec::new(), cursor, Some(length), None), BINARY)
        }
        "/file" => whole(Response::from_file(File::open(site::file()?)?), BINARY),
        path @ ("/query" | "/slow") => {
            thread::sleep(if path == "/slow" { site::SLOW } else { site::QUERY });
            whole(Response::from_data(HELLO), "text/plain")
        }
        _ => Err(other("no such path")),
    }
}
