//! The smallest program on each server: what `report build` builds.

/// A program and what it depends on.
pub(crate) struct Hello {
    /// The server of `report` that it stands for.
    pub(crate) server: &'static str,
    /// Crates, by the names in the manifest of this package or in this workspace.
    pub(crate) dependencies: &'static [&'static str],
    /// The program.
    pub(crate) source: &'static str,
}

/// All of them.
pub(crate) const HELLOS: &[Hello] = &[
    Hello {
        server: "server-mio",
        dependencies: &["gateway-spec", "server-mio"],
        source: r#"
use gateway_spec::{Environ, Error, StartResponse, Status};

fn hello(_: &mut Environ, start: &mut dyn StartResponse) -> Result<&'static str, Error> {
    start.start(Status::OK, &[("Content-Type", "text/plain")])?;
    Ok("Hello, World!")
}

fn main() -> std::io::Result<()> {
    server_mio::Server::bind("127.0.0.1:8000")?.serve(hello)
}
"#,
    },
    Hello {
        server: "server-threaded",
        dependencies: &["gateway-spec", "server-threaded"],
        source: r#"
use gateway_spec::{Environ, Error, StartResponse, Status};

fn hello(_: &mut Environ, start: &mut dyn StartResponse) -> Result<&'static str, Error> {
    start.start(Status::OK, &[("Content-Type", "text/plain")])?;
    Ok("Hello, World!")
}

fn main() -> std::io::Result<()> {
    server_threaded::Server::bind("127.0.0.1:8000")?.serve(hello)
}
"#,
    },
    Hello {
        server: "framework-mio",
        dependencies: &["framework-mini", "server-mio"],
        source: r#"
use framework_mini::App;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let site = App::new(()).get("/", || "Hello, World!").build()?;
    Ok(server_mio::Server::bind("127.0.0.1:8000")?.serve(site)?)
}
"#,
    },
    Hello {
        server: "hyper",
        dependencies: &["bytes", "http-body-util", "hyper", "hyper-util", "tokio"],
        source: r#"
use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;

async fn hello(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::new(Bytes::from_static(b"Hello, World!"))))
}

fn main() -> std::io::Result<()> {
    tokio::runtime::Runtime::new()?.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:8000").await?;
        loop {
            let (stream, _) = listener.accept().await?;
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(hello)));
        }
    })
}
"#,
    },
    Hello {
        server: "axum",
        dependencies: &["axum", "tokio"],
        source: r#"
fn main() -> std::io::Result<()> {
    tokio::runtime::Runtime::new()?.block_on(async {
        let router = axum::Router::new().route("/", axum::routing::get(|| async { "Hello, World!" }));
        axum::serve(tokio::net::TcpListener::bind("127.0.0.1:8000").await?, router).await
    })
}
"#,
    },
    Hello {
        server: "actix-web",
        dependencies: &["actix-web"],
        source: r#"
use actix_web::{App, HttpServer, web};

fn main() -> std::io::Result<()> {
    actix_web::rt::System::new().block_on(async {
        HttpServer::new(|| App::new().route("/", web::get().to(async || "Hello, World!")))
            .bind("127.0.0.1:8000")?
            .run()
            .await
    })
}
"#,
    },
    Hello {
        server: "ntex",
        dependencies: &["ntex"],
        source: r#"
use ntex::web::{self, App, HttpServer};

fn main() -> std::io::Result<()> {
    ntex::rt::System::new("hello", ntex::rt::DefaultRuntime).block_on(async {
        HttpServer::new(async || App::new().route("/", web::get().to(async || "Hello, World!")))
            .bind("127.0.0.1:8000")?
            .run()
            .await
    })
}
"#,
    },
    Hello {
        server: "may",
        dependencies: &["may_minihttp"],
        source: r#"
use may_minihttp::{HttpServer, HttpService, Request, Response};

#[derive(Clone)]
struct Hello;

impl HttpService for Hello {
    fn call(&mut self, _: Request, response: &mut Response) -> std::io::Result<()> {
        response.body("Hello, World!");
        Ok(())
    }
}

fn main() -> std::io::Result<()> {
    HttpServer(Hello).start("127.0.0.1:8000")?.join().map_err(|_| std::io::Error::other("panicked"))
}
"#,
    },
    Hello {
        server: "tiny_http",
        dependencies: &["tiny_http"],
        source: r#"
fn main() {
    let server = tiny_http::Server::http("127.0.0.1:8000").expect("a free port");
    for request in server.incoming_requests() {
        let _ = request.respond(tiny_http::Response::from_string("Hello, World!"));
    }
}
"#,
    },
    Hello {
        server: "rouille",
        dependencies: &["rouille"],
        source: r#"
fn main() {
    rouille::start_server("127.0.0.1:8000", |_| rouille::Response::text("Hello, World!"));
}
"#,
    },
    Hello {
        server: "astra",
        dependencies: &["astra"],
        source: r#"
fn main() -> std::io::Result<()> {
    astra::Server::bind("127.0.0.1:8000").serve(|_, _| astra::Response::new(astra::Body::new("Hello, World!")))
}
"#,
    },
];
