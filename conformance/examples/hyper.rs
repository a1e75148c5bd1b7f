//! The suite against a server that is not ours: an adapter from the contract to hyper.
//!
//! ```text
//! cargo run --release -p conformance --example hyper --features third-party [-- --whole] [word …]
//! ```
//!
//! It shows what a third party has to write, and prints a table of the cases that fail. hyper is a library of parts and
//! leaves much to whoever puts them together; what fails here is what its defaults and this adapter leave out.

use std::convert::Infallible;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use conformance::comparison;
use conformance::harness::{Harness, Limits, Running};
use gateway_spec::{
    Application, Calls, Environ, Error, Field, Input, Misuse, Peer, ServerInfo, StartResponse, Status, Version,
};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};

fn main() -> ExitCode {
    comparison::main(&Hyper)
}

struct Hyper;

struct Serving {
    address: SocketAddr,
    // Dropping the runtime stops the server.
    runtime: Option<Runtime>,
}

impl Running for Serving {
    fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Harness for Hyper {
    fn name(&self) -> &'static str {
        "hyper"
    }

    fn start(&self, app: Arc<dyn Application>, limits: &Limits) -> io::Result<Box<dyn Running>> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let address = listener.local_addr()?;
        let mut http = hyper::server::conn::http1::Builder::new();
        http.half_close(true).timer(TokioTimer::new());
        http.header_read_timeout(limits.head_timeout.unwrap_or(std::time::Duration::from_secs(10)));
        http.max_headers(limits.max_headers.unwrap_or(100));
        // The contract's limits that hyper has no setting for stay at its defaults, and their cases fail.
        http.max_buf_size(limits.max_head.unwrap_or(32 * 1024).max(8 * 1024));
        let mut server = ServerInfo::new(address.ip().to_string(), address.port().to_string(), "hyper");
        server.errors = gateway_spec::Errors::new(|_: &str| {});
        let server = Arc::new(server);
        runtime.spawn(async move {
            while let Ok((stream, peer)) = listener.accept().await {
                let (app, server) = (Arc::clone(&app), Arc::clone(&server));
                let service = service_fn(move |request| {
                    let (app, server) = (Arc::clone(&app), Arc::clone(&server));
                    async move { answer(app, server, peer, request).await }
                });
                tokio::spawn(http.serve_connection(TokioIo::new(stream), service));
            }
        });
        Ok(Box::new(Serving { address, runtime: Some(runtime) }))
    }
}

/// What the application's thread sends to the connection: a block, or a failure that has to cut the response.
type Block = Result<Bytes, Error>;

struct Blocks(mpsc::Receiver<Block>, Option<u64>);

impl Body for Blocks {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.0.poll_recv(context).map(|block| block.map(|block| block.map(Frame::data)))
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.1.map(hyper::body::SizeHint::with_exact).unwrap_or_default()
    }
}

/// The head, and how long the body is if it is known.
type Head = (Status, HeaderMap, Option<u64>);

async fn answer(
    app: Arc<dyn Application>,
    server: Arc<ServerInfo>,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> Result<Response<Blocks>, Infallible> {
    let (parts, body) = request.into_parts();
    let (to_app, from_client) = mpsc::channel(1);
    let (ask, asked) = oneshot::channel();
    tokio::spawn(pump(body, to_app, asked));
    let (to_client, blocks) = mpsc::channel(1);
    let (head_to_client, head) = oneshot::channel();
    tokio::task::spawn_blocking(move || {
        let input = Input::from_reader(Reader { ask: Some(ask), from_client, block: Bytes::new() });
        let mut response =
            Responder { calls: Calls::new(), head: None, head_to_client: Some(head_to_client), to_client };
        let result = catch_unwind(AssertUnwindSafe(|| call(&*app, &server, peer, &parts, input, &mut response)));
        response.finish(result.unwrap_or_else(|_| Err("panic".into())));
    });
    let (status, headers, length) = match head.await {
        Ok(head) => head,
        Err(_) => unreachable!("the responder always sends a head"),
    };
    let mut response = Response::new(Blocks(blocks, length));
    *response.status_mut() = hyper::StatusCode::from_u16(status.code()).unwrap_or_default();
    *response.headers_mut() = headers;
    Ok(response)
}

/// Reads the request's body for the application, when it asks for it.
async fn pump(mut body: Incoming, to_app: mpsc::Sender<io::Result<Bytes>>, asked: oneshot::Receiver<()>) {
    if asked.await.is_err() {
        return;
    }
    while let Some(frame) = body.frame().await {
        let block = match frame {
            Ok(frame) => frame.into_data().map_err(|_| ()).ok().map(Ok),
            Err(error) => {
                // hyper keeps the kind in the error's source.
                let source = std::error::Error::source(&error).and_then(|source| source.downcast_ref::<io::Error>());
                let kind = match source.map(io::Error::kind) {
                    Some(io::ErrorKind::UnexpectedEof) => io::ErrorKind::UnexpectedEof,
                    _ => io::ErrorKind::InvalidData,
                };
                Some(Err(io::Error::new(kind, error)))
            }
        };
        if let Some(block) = block
            && to_app.send(block).await.is_err()
        {
            return;
        }
    }
}

struct Reader {
    ask: Option<oneshot::Sender<()>>,
    from_client: mpsc::Receiver<io::Result<Bytes>>,
    block: Bytes,
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(ask) = self.ask.take() {
            let _ = ask.send(());
        }
        while self.block.is_empty() {
            match self.from_client.blocking_recv() {
                Some(block) => self.block = block?,
                None => return Ok(0),
            }
        }
        let n = self.block.len().min(buffer.len());
        buffer[..n].copy_from_slice(&self.block.split_to(n));
        Ok(n)
    }
}

fn call(
    app: &dyn Application,
    server: &ServerInfo,
    peer: SocketAddr,
    parts: &hyper::http::request::Parts,
    input: Input,
    response: &mut Responder,
) -> Result<(), Error> {
    let peer = Peer::tcp(peer);
    let target = parts.uri.to_string();
    let headers: Vec<Field<'_>> =
        parts.headers.iter().map(|(name, value)| Field { name: name.as_str(), value: value.as_bytes() }).collect();
    let host = parts.headers.get("host").and_then(|host| host.to_str().ok());
    let mut request = gateway_spec::Request::new(server, &peer);
    request.method = parts.method.as_str();
    request.target = &target;
    request.path = if target == "*" { "" } else { parts.uri.path() };
    request.query_string = parts.uri.query().unwrap_or_default();
    request.version = if parts.version == hyper::Version::HTTP_10 { Version::Http10 } else { Version::Http11 };
    request.headers = &headers;
    request.host = parts.uri.authority().map(|authority| authority.as_str()).or(host);
    request.content_length =
        parts.headers.get("content-length").and_then(|length| gateway_spec::digits(length.as_bytes()));
    let mut environ = Environ::new(&request, input);
    let mut body = app.call(&mut environ, response)?;
    response.set_length(body.len());
    while !response.calls.is_complete()
        && let Some(block) = body.next(response)
    {
        let block = block?;
        let allowed = response.calls.yielded(block.len())?;
        response.send(block.slice(..allowed))?;
    }
    Ok(())
}

/// The response as it grows.
struct Responder {
    calls: Calls,
    head: Option<Head>,
    head_to_client: Option<oneshot::Sender<Head>>,
    to_client: mpsc::Sender<Block>,
}

impl StartResponse for Responder {
    fn start_response(
        &mut self,
        status: Status,
        headers: &[(&str, &str)],
        exc_info: Option<Error>,
    ) -> Result<&mut dyn Write, Error> {
        let head = self.calls.start(&status, headers, exc_info)?;
        let mut map = HeaderMap::new();
        for (name, value) in head.headers() {
            map.append(
                hyper::header::HeaderName::from_bytes(name.as_bytes())?,
                hyper::header::HeaderValue::from_bytes(&value)?,
            );
        }
        let length = head.content_length();
        self.head = Some((status, map, length));
        Ok(self)
    }

    fn writer(&mut self) -> &mut dyn Write {
        self
    }
}

impl Write for Responder {
    fn write(&mut self, block: &[u8]) -> io::Result<usize> {
        self.calls.written(block.len()).map_err(io::Error::other)?;
        self.send(Bytes::copy_from_slice(block)).map_err(io::Error::other)?;
        Ok(block.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Responder {
    fn set_length(&mut self, length: Option<u64>) {
        if let Some((.., known @ None)) = &mut self.head {
            *known = length;
        }
    }

    fn send(&mut self, block: Bytes) -> Result<(), Error> {
        if block.is_empty() {
            return Ok(());
        }
        self.send_head();
        self.to_client.blocking_send(Ok(block)).map_err(|_| "the client has gone".into())
    }

    fn send_head(&mut self) {
        if let (Some(sender), Some(head)) = (self.head_to_client.take(), self.head.take()) {
            let _ = sender.send(head);
        }
    }

    fn finish(mut self, result: Result<(), Error>) {
        let end = self.calls.end().map_err(|misuse: Misuse| misuse.into());
        let Err(error) = result.and(end) else {
            return self.send_head();
        };
        let Some(sender) = self.head_to_client.take() else {
            let _ = self.to_client.blocking_send(Err(error));
            return;
        };
        let status = match error.downcast_ref::<io::Error>().map(io::Error::kind) {
            Some(io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData) => Status::BAD_REQUEST,
            _ => Status::INTERNAL_SERVER_ERROR,
        };
        let mut headers = HeaderMap::new();
        headers.insert("content-type", hyper::header::HeaderValue::from_static("text/plain"));
        let text = Bytes::from(format!("{status}\n"));
        let _ = sender.send((status, headers, Some(text.len() as u64)));
        let _ = self.to_client.blocking_send(Ok(text));
    }
}
