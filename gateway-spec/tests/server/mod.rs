//! The smallest server that keeps the contract: no wire, only what would go over it, in order.

use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};

use gateway_spec::{
    Application, Calls, Environ, Error, Field, Input, Misuse, Peer, Request, ServerInfo, StartResponse, Status,
};

/// Calls the application once and returns what went over the wire: the head as one text, then each block, then `cut`
/// if the answer could not be finished.
pub(crate) fn serve(app: &dyn Application) -> Vec<String> {
    serve_body(app, Input::empty())
}

/// [`serve`] with a request body.
pub(crate) fn serve_body(app: &dyn Application, input: Input) -> Vec<String> {
    let server = ServerInfo::new("localhost", "80", "test");
    let peer = Peer::unix();
    let headers = [Field { name: "Cookie", value: b"a=1" }, Field { name: "cookie", value: b"b=2" }];
    let mut request = Request::new(&server, &peer);
    request.target = "/x/y?q=1";
    request.path = "/x/y";
    request.query_string = "q=1";
    request.headers = &headers;
    let mut reply = Reply::default();
    let mut environ = Environ::new(&request, input);
    let finished = catch_unwind(AssertUnwindSafe(|| answer(app, &mut environ, &mut reply)))
        .unwrap_or_else(|_| Err("panic".into()));
    if finished.is_err() {
        let nothing_sent = reply.wire.is_empty();
        reply.wire.push(if nothing_sent { "500 Internal Server Error" } else { "cut" }.to_owned());
    }
    reply.wire
}

fn answer(app: &dyn Application, environ: &mut Environ<'_>, reply: &mut Reply) -> Result<(), Error> {
    let mut body = app.call(environ, reply)?;
    while !reply.calls.is_complete() {
        let Some(block) = body.next(reply) else { break };
        let block = block?;
        let allowed = reply.calls.yielded(block.len())?;
        reply.send(&block[..allowed]);
    }
    reply.calls.end()?;
    reply.send_head();
    Ok(())
}

#[derive(Default)]
struct Reply {
    calls: Calls,
    head: Option<String>,
    wire: Vec<String>,
}

impl Reply {
    fn send_head(&mut self) {
        self.wire.extend(self.head.take());
    }

    fn send(&mut self, block: &[u8]) {
        if !block.is_empty() {
            self.send_head();
            self.wire.push(String::from_utf8_lossy(block).into_owned());
        }
    }
}

impl StartResponse for Reply {
    fn start_response(
        &mut self,
        status: Status,
        headers: &[(&str, &str)],
        exc_info: Option<Error>,
    ) -> Result<&mut dyn Write, Error> {
        let head = self.calls.start(&status, headers, exc_info)?;
        let mut text = head.status().to_string();
        for (name, value) in head.headers() {
            text += &format!("; {name}: {}", value.escape_ascii());
        }
        self.head = Some(text);
        Ok(self)
    }

    fn writer(&mut self) -> &mut dyn Write {
        self
    }
}

impl Write for Reply {
    fn write(&mut self, block: &[u8]) -> io::Result<usize> {
        let refuse = |misuse: Misuse| io::Error::other(misuse);
        self.calls.written(block.len()).map_err(refuse)?;
        self.send(block);
        Ok(block.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
