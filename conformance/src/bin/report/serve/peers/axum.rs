use std::io;
use std::sync::LazyLock;
use std::time::Duration;

use ::axum::extract::State;
use ::axum::http::StatusCode;
use ::axum::http::header::{CONTENT_TYPE, SERVER};
use ::axum::response::{Html, IntoResponse};
use ::axum::routing::{get, post};
use ::axum::serve::ListenerExt;
use ::axum::{Json, Router};
use bytes::Bytes;
use conformance::load::{HELLO, Shape};
use tokio::net::TcpListener;
use tokio::task::spawn_blocking;

use super::super::Settings;
use super::guests::Book;
use super::{read_file, shared_download, site, tokio_listener};

static DOWNLOAD: LazyLock<Bytes> = LazyLock::new(shared_download);

pub(super) fn serve(settings: &Settings) -> io::Result<()> {
    site::file()?;
    let (runtime, listener) = tokio_listener(settings)?;
    let mut router = Router::new()
        .route("/plaintext", get(|| async { text() }))
        .route("/json", get(|| async { ([(SERVER, site::SERVER)], Json(site::Message::HELLO)) }))
        .route("/echo", post(|body: Bytes| async { binary(body) }))
        .route("/download", get(|| async { binary(DOWNLOAD.clone()) }))
        .route("/file", get(file))
        .route("/query", get(|| pause(site::QUERY)))
        .route("/slow", get(|| pause(site::SLOW)));
    if settings.scenario.shape == Shape::Book {
        router = router.merge(Router::new().route("/book", get(book)).with_state(Book::new()?));
    }
    runtime.block_on(async {
        let listener = TcpListener::from_std(listener)?.tap_io(|stream| {
            // Fails only on a socket that is broken already.
            let _ = stream.set_nodelay(true);
        });
        ::axum::serve(listener, router).await
    })
}

fn text() -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/plain"), (SERVER, site::SERVER)], HELLO)
}

fn binary(body: impl Into<Bytes>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/octet-stream"), (SERVER, site::SERVER)], body.into())
}

async fn file() -> Result<impl IntoResponse, StatusCode> {
    match spawn_blocking(read_file).await {
        Ok(Ok(bytes)) => Ok(binary(bytes)),
        _ => Err(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

async fn pause(time: Duration) -> Result<impl IntoResponse, StatusCode> {
    match spawn_blocking(move || std::thread::sleep(time)).await {
        Ok(()) => Ok(text()),
        Err(_) => Err(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

async fn book(State(book): State<Book>) -> Result<impl IntoResponse, StatusCode> {
    match spawn_blocking(move || book.page()).await {
        Ok(Ok(page)) => Ok(([(SERVER, site::SERVER)], Html(page))),
        _ => Err(StatusCode::INTERNAL_SERVER_ERROR),
    }
}
