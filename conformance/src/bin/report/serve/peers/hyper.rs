use std::convert::Infallible;
use std::io;
use std::sync::LazyLock;
use std::time::Duration;

use ::hyper::body::Incoming;
use ::hyper::header::{CONTENT_TYPE, HeaderValue, SERVER};
use ::hyper::server::conn::http1;
use ::hyper::service::service_fn;
use ::hyper::{Request, Response, StatusCode};
use bytes::Bytes;
use conformance::load::HELLO;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::spawn_blocking;

use super::super::Settings;
use super::{other, read_file, shared_download, site, tokio_listener};

static DOWNLOAD: LazyLock<Bytes> = LazyLock::new(shared_download);

pub(super) fn serve(settings: &Settings) -> io::Result<()> {
    site::file()?;
    let (runtime, listener) = tokio_listener(settings)?;
    runtime.block_on(async {
        let listener = TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(
                http1::Builder::new().pipeline_flush(true).serve_connection(TokioIo::new(stream), service_fn(answer)),
            );
        }
    })
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path();
    let result = match path {
        "/plaintext" => Ok(("text/plain", Bytes::from_static(HELLO))),
        "/json" => {
            serde_json::to_vec(&site::Message::HELLO).map(|json| ("application/json", json.into())).map_err(other)
        }
        "/echo" => match request.into_body().collect().await {
            Ok(body) => Ok(("application/octet-stream", body.to_bytes())),
            Err(error) => Err(other(error)),
        },
        "/download" => Ok(("application/octet-stream", DOWNLOAD.clone())),
        "/file" => match spawn_blocking(read_file).await {
            Ok(read) => read.map(|bytes| ("application/octet-stream", bytes.into())),
            Err(error) => Err(other(error)),
        },
        "/query" => pause(site::QUERY).await,
        "/slow" => pause(site::SLOW).await,
        _ => Err(other("no such path")),
    };
    let mut response = Response::new(Full::default());
    match result {
        Ok((kind, body)) => {
            let headers = response.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
            headers.insert(SERVER, HeaderValue::from_static(site::SERVER));
            *response.body_mut() = Full::new(body);
        }
        Err(_) => *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR,
    }
    Ok(response)
}

async fn pause(time: Duration) -> io::Result<(&'static str, Bytes)> {
    spawn_blocking(move || std::thread::sleep(time)).await.map_err(other)?;
    Ok(("text/plain", Bytes::from_static(HELLO)))
}
