//! What the unit tests of the applications call them with: no socket, and the contract's own rules by
//! [`Calls`]. Included by each application's tests; `conformance` has the complete in-process server.

use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use gateway_spec::{
    Application, Bytes, Calls, Connection, Environ, Error, Field, Input, Peer, Request, ServerInfo, StartResponse,
    Status,
};

/// A request to be sent; everything has a default.
#[derive(Clone, Default)]
pub(crate) struct Ask<'a> {
    pub(crate) method: &'a str,
    pub(crate) mount: &'a str,
    pub(crate) headers: &'a [(&'a str, &'a [u8])],
    pub(crate) body: Option<&'a [u8]>,
    /// Where the body breaks, with which error, after its bytes.
    pub(crate) cut: Option<io::ErrorKind>,
    /// The client does not wait for the answer.
    pub(crate) gone: bool,
}

/// What came of it: an answer, and why it is not a whole one.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    /// Of the head that was sent or would have been; 0 if there was none.
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// The length that a server could tell beforehand.
    pub(crate) length: Option<u64>,
    /// The misuse, error or panic after which a server answers 500, or cuts if `body` is not empty.
    pub(crate) failed: Option<String>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        assert_eq!(self.failed, None);
        String::from_utf8(self.body.clone()).expect("UTF-8")
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        Some(value)
    }
}

/// Sends a GET for a target.
pub(crate) fn get(app: &dyn Application, target: &str) -> Answer {
    ask(app, target, &Ask::default())
}

/// Sends a request, takes the whole body and drops it.
pub(crate) fn ask(app: &dyn Application, target: &str, ask: &Ask<'_>) -> Answer {
    let server = ServerInfo::new("localhost", "8000", "testing/1");
    let peer = Peer::tcp(([127, 0, 0, 1], 40000).into());
    let headers: Vec<_> = ask.headers.iter().map(|&(name, value)| Field { name, value }).collect();
    let mut request = Request::new(&server, &peer);
    request.target = target;
    (request.path, request.query_string) = target.split_once('?').unwrap_or((target, ""));
    request.method = if ask.method.is_empty() { "GET" } else { ask.method };
    request.headers = &headers;
    request.host = Some("localhost:8000");
    let connection: Arc<dyn Connection> = Arc::new(Line { gone: ask.gone });
    request.connection = Some(&connection);
    request.content_length = ask.body.map(|body| body.len() as u64);
    let input = match ask.cut {
        Some(kind) => Input::from_reader(io::Read::chain(io::Cursor::new(ask.body.unwrap_or(b"").to_vec()), Cut(kind))),
        None => Input::from(Bytes::copy_from_slice(ask.body.unwrap_or(b""))),
    };
    let mut environ = Environ::new(&request, input);
    assert!(environ.mount(ask.mount));

    let mut answering = Answering::default();
    let outcome = catch_unwind(AssertUnwindSafe(|| answering.run(app, &mut environ)));
    answering.answer.failed = match outcome {
        Ok(result) => result.err().map(|error| error.to_string()),
        Err(_) => Some("panic".to_owned()),
    };
    answering.answer
}

#[derive(Default)]
struct Answering {
    calls: Calls,
    answer: Answer,
}

impl Answering {
    fn run(&mut self, app: &dyn Application, environ: &mut Environ<'_>) -> Result<(), Error> {
        let mut body = app.call(environ, self)?;
        self.answer.length = body.len();
        while !self.calls.is_complete() {
            let Some(block) = body.next(self) else { break };
            let block = block?;
            let allowed = self.calls.yielded(block.len())?;
            self.answer.body.extend_from_slice(&block[..allowed]);
        }
        Ok(self.calls.end()?)
    }
}

impl StartResponse for Answering {
    fn start_response(
        &mut self,
        status: Status,
        headers: &[(&str, &str)],
        exc_info: Option<Error>,
    ) -> Result<&mut dyn Write, Error> {
        let head = self.calls.start(&status, headers, exc_info)?;
        self.answer.status = head.status().code();
        self.answer.headers = headers.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        Ok(self)
    }

    fn writer(&mut self) -> &mut dyn Write {
        self
    }
}

impl Write for Answering {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.calls.written(bytes.len()).map_err(io::Error::other)?;
        self.answer.body.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Line {
    gone: bool,
}

impl Connection for Line {
    fn client_gone(&self) -> bool {
        self.gone
    }
}

struct Cut(io::ErrorKind);

impl io::Read for Cut {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(self.0.into())
    }
}
