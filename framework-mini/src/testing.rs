//! Requests in this process, for the tests of this crate.
#![allow(dead_code, unreachable_pub, missing_docs, reason = "not every test needs all of it")]

use std::io::Write;
use std::sync::{Arc, Mutex};

use gateway_spec::{
    Application, Body, Bytes, Calls, Environ, Error, Errors, Field, Input, Peer, Request, ServerInfo, StartResponse,
    Status,
};

/// A request to be sent to an application, or looked at.
pub struct TestRequest {
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
    pub peer: Peer,
    pub length: bool,
}

/// What came of it.
#[derive(Debug)]
pub struct TestResponse {
    pub status: Status,
    pub headers: Vec<(String, String)>,
    pub blocks: Vec<Bytes>,
    /// What the application wrote to the errors stream.
    pub errors: String,
}

impl TestRequest {
    pub fn new(method: &str, target: &str) -> Self {
        Self {
            method: method.into(),
            target: target.into(),
            headers: vec![("Host".into(), b"localhost:8000".to_vec())],
            body: Vec::new(),
            peer: Peer::tcp(([127, 0, 0, 1], 40_000).into()),
            length: true,
        }
    }

    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    pub fn post(target: &str, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), ..Self::new("POST", target) }.header("Content-Type", content_type)
    }

    pub fn form(target: &str, body: &str) -> Self {
        Self::post(target, "application/x-www-form-urlencoded", body)
    }

    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.retain(|(known, _)| !(name.eq_ignore_ascii_case("host") && known == "Host"));
        self.headers.push((name.into(), value.as_ref().to_vec()));
        self
    }

    #[must_use]
    pub fn peer(mut self, ip: [u8; 4]) -> Self {
        self.peer = Peer::tcp((ip, 40_000).into());
        self
    }

    #[must_use]
    pub fn chunked(mut self) -> Self {
        self.length = false;
        self
    }

    /// Shows the environ of this request.
    pub fn with<T>(self, look: impl FnOnce(&mut Environ<'_>) -> T) -> T {
        self.with_errors(Errors::stderr(), look)
    }

    fn with_errors<T>(self, errors: Errors, look: impl FnOnce(&mut Environ<'_>) -> T) -> T {
        let mut server = ServerInfo::new("localhost", "8000", "test/1");
        server.errors = errors;
        let (path, query) = self.target.split_once('?').unwrap_or((&self.target, ""));
        let headers: Vec<Field<'_>> =
            self.headers.iter().map(|(name, value)| Field { name, value: value.as_slice() }).collect();
        let mut request = Request::new(&server, &self.peer);
        request.method = &self.method;
        request.target = &self.target;
        request.path = if path == "*" { "" } else { path };
        request.query_string = query;
        request.headers = &headers;
        request.host = headers.iter().find(|f| f.name == "Host").and_then(|f| std::str::from_utf8(f.value).ok());
        let sends = !self.body.is_empty() || self.method == "POST";
        request.content_length = (self.length && sends).then_some(self.body.len() as u64);
        // As a reader, so that it is read in pieces as from a socket.
        let input = Input::from_reader(std::io::Cursor::new(self.body));
        look(&mut Environ::new(&request, input))
    }

    /// Sends it, mounted at the root.
    pub fn send(self, application: &impl Application) -> TestResponse {
        self.try_send(application).expect("the application answers")
    }

    /// Sends it; an error is what a server would have to answer by itself.
    pub fn try_send(self, application: &impl Application) -> Result<TestResponse, Error> {
        let log = Arc::new(Mutex::new(String::new()));
        let sink = Arc::clone(&log);
        let errors = Errors::new(move |text: &str| sink.lock().unwrap().push_str(text));
        let head_only = self.method == "HEAD";
        let mut start = Start::default();
        let mut blocks = Vec::new();
        let mut body = self.with_errors(errors, |environ| application.call(environ, &mut start))?;
        // As a server does, which asks neither beyond the length nor for what it would not send (GW-CL-02, GW-DEF-09).
        while !(start.calls.is_complete() || head_only && start.calls.has_sent()) {
            let Some(block) = body.next(&mut start) else { break };
            let block = block?;
            if !block.is_empty() {
                start.bytes(block.len(), head_only)?;
                blocks.push(block);
            }
        }
        drop(body);
        let (status, headers) = start.head.take().ok_or("no head")?;
        if head_only {
            // A server sends none of it, whatever there is (GW-DEF-09).
            blocks.clear();
            start.written.clear();
        }
        if head_only || status.forbids_content() {
            start.calls.ignore_length();
            assert!(blocks.is_empty() && start.written.is_empty(), "content where none is allowed");
        }
        start.calls.end()?;
        let mut all = start.written;
        all.extend(blocks);
        let errors = log.lock().unwrap().clone();
        Ok(TestResponse { status, headers, blocks: all, errors })
    }
}

impl TestResponse {
    pub fn code(&self) -> u16 {
        self.status.code()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub fn all(&self, name: &str) -> Vec<&str> {
        let named = self.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str()).collect()
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.blocks.concat()
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.bytes()).unwrap()
    }
}

/// A server's side, by the table of the contract.
#[derive(Default)]
struct Start {
    calls: Calls,
    head: Option<(Status, Vec<(String, String)>)>,
    written: Vec<Bytes>,
}

impl Start {
    fn bytes(&mut self, length: usize, head_only: bool) -> Result<(), Error> {
        if head_only {
            self.calls.ignore_length();
        }
        let allowed = self.calls.yielded(length)?;
        assert_eq!(allowed, length, "more than Content-Length");
        Ok(())
    }
}

impl StartResponse for Start {
    fn start_response(
        &mut self,
        status: Status,
        headers: &[(&str, &str)],
        exc_info: Option<Error>,
    ) -> Result<&mut dyn Write, Error> {
        self.calls.start(&status, headers, exc_info)?;
        let headers = headers.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        self.head = Some((status, headers));
        Ok(self)
    }

    fn writer(&mut self) -> &mut dyn Write {
        self
    }
}

impl Write for Start {
    fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
        self.calls.written(buffer.len()).map_err(std::io::Error::other)?;
        self.written.push(Bytes::copy_from_slice(buffer));
        Ok(buffer.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// `body` once, for applications made in tests.
pub fn block(body: &'static str) -> Body {
    body.into()
}
