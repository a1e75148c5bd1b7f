use std::io;
use std::sync::LazyLock;
use std::time::Duration;

use ::ntex::http::header::{CONTENT_TYPE, SERVER};
use ::ntex::util::Bytes;
use ::ntex::web::{self, App, HttpResponse, HttpServer};
use conformance::load::{HELLO, download};

use super::super::{Settings, listen};
use super::{read_file, site};

static DOWNLOAD: LazyLock<Bytes> = LazyLock::new(|| Bytes::copy_from_slice(&download()));

pub(super) fn serve(settings: &Settings) -> io::Result<()> {
    site::file()?;
    let listener = listen(settings)?;
    let threads = settings.threads;
    ::ntex::rt::System::new("bench", ::ntex::rt::DefaultRuntime).block_on(async move {
        HttpServer::new(async || {
            App::new()
                .route("/plaintext", web::get().to(async || text()))
                .route("/json", web::get().to(async || reply().json(&site::Message::HELLO)))
                .route("/echo", web::post().to(async |body: Bytes| binary(body)))
                .route("/download", web::get().to(async || binary(DOWNLOAD.clone())))
                .route("/file", web::get().to(file))
                .route("/query", web::get().to(async || pause(site::QUERY).await))
                .route("/slow", web::get().to(async || pause(site::SLOW).await))
        })
        .workers(threads)
        .disable_signals()
        .listen(listener)?
        .run()
        .await
    })
}

fn reply() -> web::HttpResponseBuilder {
    let mut builder = HttpResponse::Ok();
    builder.header(SERVER, site::SERVER);
    builder
}

fn text() -> HttpResponse {
    reply().header(CONTENT_TYPE, "text/plain").body(HELLO)
}

fn binary(body: Bytes) -> HttpResponse {
    reply().header(CONTENT_TYPE, "application/octet-stream").body(body)
}

async fn file() -> Result<HttpResponse, web::Error> {
    Ok(binary(web::block(read_file).await?.into()))
}

async fn pause(time: Duration) -> Result<HttpResponse, web::Error> {
    web::block(move || {
        std::thread::sleep(time);
        Ok::<(), io::Error>(())
    })
    .await?;
    Ok(text())
}
