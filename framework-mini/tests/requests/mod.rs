//! An application and its requests without a server, for what is measured and what is counted of them.

use std::hint::black_box;
use std::io::{self, Write};

use framework_mini::{App, Fields, Path, Redirect, Site, State};
use gateway_spec::{
    Application, Bytes, Environ, Error, Field, Input, Peer, Request, ServerInfo, StartResponse, Status,
};

/// A server that takes everything and keeps nothing but the status.
#[derive(Default)]
pub struct Sink {
    pub code: u16,
}

impl StartResponse for Sink {
    fn start_response(
        &mut self,
        status: Status,
        headers: &[(&str, &str)],
        _: Option<Error>,
    ) -> Result<&mut dyn Write, Error> {
        black_box(headers);
        self.code = status.code();
        Ok(self)
    }

    fn writer(&mut self) -> &mut dyn Write {
        self
    }
}

impl Write for Sink {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Who asks whom.
pub struct Ends {
    server: ServerInfo,
    peer: Peer,
}

impl Ends {
    pub fn new() -> Self {
        Self {
            server: ServerInfo::new("localhost", "8000", "test/1"),
            peer: Peer::tcp(([127, 0, 0, 1], 40_000).into()),
        }
    }

    /// One request, as a server would give it, and its status.
    pub fn ask(&self, application: &dyn Application, method: &str, path: &str, body: &'static str) -> u16 {
        let headers = [
            Field { name: "Host", value: b"localhost:8000" },
            Field { name: "User-Agent", value: b"bench/1.0" },
            Field { name: "Accept", value: b"*/*" },
            Field { name: "Content-Type", value: b"application/x-www-form-urlencoded" },
        ];
        let mut request = Request::new(&self.server, &self.peer);
        (request.method, request.target, request.path) = (method, path, path);
        request.headers = &headers;
        let input = match body {
            "" => Input::empty(),
            body => {
                request.content_length = Some(body.len() as u64);
                Input::from(Bytes::from_static(body.as_bytes()))
            }
        };
        let mut environ = Environ::new(&request, input);
        let mut sink = Sink::default();
        let mut content = application.call(&mut environ, &mut sink).expect("an answer");
        while let Some(block) = content.next(&mut sink) {
            black_box(block.expect("a block"));
        }
        sink.code
    }
}

#[cfg(feature = "json")]
#[derive(serde::Serialize)]
struct Message {
    id: u64,
    message: &'static str,
}

#[cfg(feature = "json")]
fn json(Path(id): Path<u64>) -> framework_mini::Json<Message> {
    framework_mini::Json(Message { id, message: "Hello, World!" })
}

/// The application.
pub fn site() -> Site<u64> {
    let app = App::new(1u64)
        .get("/", || "Hello, World!")
        .get("/count", |State(n): State<u64>| n.to_string())
        .get("/users/{id}", |Path(_): Path<u64>| "user")
        .get("/users/{id}/items/{item}", |Path(id): Path<u64>, Path(item): Path<String>, State(n): State<u64>| {
            format!("{id} {item} {n}")
        })
        .post("/notes", |fields: Fields| {
            black_box(fields.get("text"));
            Redirect::to("/")
        });
    #[cfg(feature = "json")]
    let app = app.get("/json/{id}", json);
    app.build().expect("right routes")
}
