use std::io::{self, Read};
use std::net::TcpListener;

use bytes::BufMut;
use conformance::load::download;
use may_minihttp::{HttpService, HttpServiceFactory, Request, Response};

use super::super::{Settings, announce};
use super::{other, read_file, site};

pub(super) fn serve(settings: &Settings) -> io::Result<()> {
    site::file()?;
    ::may::config().set_workers(settings.threads);
    // It takes an address only; the port was free a moment ago.
    let address = TcpListener::bind(settings.address)?.local_addr()?;
    let server = Factory.start(address)?;
    announce(address)?;
    server.join().map_err(|_| other("the accepting coroutine panicked"))
}

struct Factory;

impl HttpServiceFactory for Factory {
    type Service = Service;

    fn new_service(&self, _: usize) -> Service {
        Service
    }
}

struct Service;

impl HttpService for Service {
    fn call(&mut self, request: Request, response: &mut Response) -> io::Result<()> {
        const BINARY: &str = "Content-Type: application/octet-stream";
        match request.path() {
            "/plaintext" => {
                response.header("Content-Type: text/plain").body("Hello, World!");
            }
            "/json" => {
                response.header("Content-Type: application/json");
                serde_json::to_writer(response.body_mut().writer(), &site::Message::HELLO)?;
            }
            "/echo" => {
                let mut body = Vec::with_capacity(1024);
                request.body().read_to_end(&mut body)?;
                response.header(BINARY).body_vec(body);
            }
            "/download" => {
                response.header(BINARY).body_mut().extend_from_slice(&download());
            }
            "/file" => {
                response.header(BINARY).body_vec(read_file()?);
            }
            path @ ("/query" | "/slow") => {
                ::may::coroutine::sleep(if path == "/slow" { site::SLOW } else { site::QUERY });
                response.header("Content-Type: text/plain").body("Hello, World!");
            }
            _ => return Err(other("no such path")),
        }
        Ok(())
    }
}
