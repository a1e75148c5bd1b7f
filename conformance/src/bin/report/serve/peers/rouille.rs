use std::fs::File;
use std::io::{self, Read};
use std::thread;

use ::rouille::{Request, Response, Server};
use conformance::load::{HELLO, Shape, download};

use super::super::{NO_BOOK, Settings, announce};
use super::{other, site};

pub(super) fn serve(settings: &Settings) -> io::Result<()> {
    site::file()?;
    let handler = |request: &Request| {
        answer(request).unwrap_or_else(|error| Response::text(error.to_string()).with_status_code(500))
    };
    // Without `pool_size`: with it, it stops answering under these loads (3.6.2).
    let server = Server::new(settings.address, handler).map_err(other)?;
    announce(server.server_addr())?;
    server.run();
    Ok(())
}

pub(super) fn declines(shape: Shape) -> Option<&'static str> {
    match shape {
        Shape::Download | Shape::File => Some("it sends 1 MiB in chunks, and nothing can tell it not to"),
        Shape::Book => Some(NO_BOOK),
        _ => None,
    }
}

fn answer(request: &Request) -> io::Result<Response> {
    const BINARY: &str = "application/octet-stream";
    let response = match request.raw_url() {
        "/plaintext" => Response::from_data("text/plain", HELLO),
        "/json" => Response::from_data("application/json", serde_json::to_vec(&site::Message::HELLO)?),
        "/echo" => {
            let mut body = Vec::with_capacity(1024);
            request.data().ok_or_else(|| other("no body"))?.read_to_end(&mut body)?;
            Response::from_data(BINARY, body)
        }
        "/download" => Response::from_data(BINARY, download().to_vec()),
        "/file" => Response::from_file(BINARY, File::open(site::file()?)?),
        path @ ("/query" | "/slow") => {
            thread::sleep(if path == "/slow" { site::SLOW } else { site::QUERY });
            Response::from_data("text/plain", HELLO)
        }
        _ => return Err(other("no such path")),
    };
    Ok(response.with_unique_header("Server", site::SERVER))
}
