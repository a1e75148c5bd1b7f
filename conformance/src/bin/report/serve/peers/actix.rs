use std::io;
use std::sync::LazyLock;
use std::time::Duration;

use actix_web::http::header::{CONTENT_TYPE, SERVER};
use actix_web::web::{self, Bytes};
use actix_web::{App, HttpResponse, HttpServer};
use conformance::load::{HELLO, Shape};

use super::super::{Settings, listen};
use super::guests::Book;
use super::{read_file, shared_download, site};

static DOWNLOAD: LazyLock<Bytes> = LazyLock::new(shared_download);

pub(super) fn serve(settings: &Settings) -> io::Result<()> {
    site::file()?;
    let listener = listen(settings)?;
    let threads = settings.threads;
    let book = (settings.scenario.shape == Shape::Book).then(Book::new).transpose()?;
    actix_web::rt::System::new().block_on(async move {
        HttpServer::new(move || {
            let app = App::new()
                .route("/plaintext", web::get().to(async || text()))
                .route("/json", web::get().to(async || reply().json(site::Message::HELLO)))
                .route("/echo", web::post().to(async |body: Bytes| binary(body)))
                .route("/download", web::get().to(async || binary(DOWNLOAD.clone())))
                .route("/file", web::get().to(file))
                .route("/query", web::get().to(async || pause(site::QUERY).await))
                .route("/slow", web::get().to(async || pause(site::SLOW).await));
            app.configure(|config| {
                if let Some(book) = &book {
                    config.app_data(web::Data::new(book.clone())).route("/book", web::get().to(guests));
                }
            })
        })
        .workers(threads)
        // As all others: a connection may wait for its turn.
        .keep_alive(super::super::IDLE)
        .disable_signals()
        .listen(listener)?
        .run()
        .await
    })
}

fn reply() -> actix_web::HttpResponseBuilder {
    let mut builder = HttpResponse::Ok();
    builder.insert_header((SERVER, site::SERVER));
    builder
}

fn text() -> HttpResponse {
    reply().insert_header((CONTENT_TYPE, "text/plain")).body(HELLO)
}

fn binary(body: impl Into<Bytes>) -> HttpResponse {
    reply().insert_header((CONTENT_TYPE, "application/octet-stream")).body(body.into())
}

async fn file() -> actix_web::Result<HttpResponse> {
    let bytes = web::block(read_file).await??;
    Ok(binary(bytes))
}

async fn pause(time: Duration) -> actix_web::Result<HttpResponse> {
    web::block(move || std::thread::sleep(time)).await?;
    Ok(text())
}

async fn guests(book: web::Data<Book>) -> actix_web::Result<HttpResponse> {
    let page = web::block(move || book.page()).await??;
    Ok(reply().insert_header((CONTENT_TYPE, "text/html; charset=utf-8")).body(page))
}
