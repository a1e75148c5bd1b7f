//! The in-process server, asked as the others are.

use std::any::Any;
use std::io;
use std::sync::Arc;

use conformance::inprocess::{self, Client, RequestBuilder};
use gateway_spec::Application;

use super::{Answer, Ask, AskBody, Connection, Framing, Log, Opened, Server, Site};

/// The server that has no sockets.
pub(crate) struct InProcess;

struct Local {
    client: Arc<Client<Arc<dyn Application>>>,
    log: Log,
}

impl Server for InProcess {
    fn start(&self, app: Arc<dyn Application>) -> Box<dyn Site> {
        Box::new(Local { client: Arc::new(Client::new(app)), log: Log::default() })
    }
}

impl Site for Local {
    fn connect(&self) -> Box<dyn Connection> {
        Box::new(Self { client: Arc::clone(&self.client), log: self.log.clone() })
    }

    fn log(&self) -> String {
        self.log.text()
    }

    fn responses(&self) -> Option<String> {
        None
    }
}

impl Local {
    fn request(&self, ask: &Ask) -> RequestBuilder<'_> {
        let mut request = self.client.request(&ask.method, &ask.target);
        for (name, value) in &ask.headers {
            request = request.header(name, value);
        }
        request = match ask.body.clone() {
            AskBody::None => request,
            AskBody::Block(body) => request.body(body),
            AskBody::Chunked(body) => request.reader(io::Cursor::new(body)),
            AskBody::Pieces(body, at) => {
                let (first, second) = (body[..at].to_vec(), body[at..].to_vec());
                request.reader(io::Read::chain(io::Cursor::new(first), io::Cursor::new(second)))
            }
            AskBody::Expect(body) => request.header("Expect", "100-continue").body(body),
            AskBody::Short(mut body, missing) => {
                let there = body.len();
                body.resize(there + missing, b'?');
                request.body(body).breaks_after(there as u64, io::ErrorKind::UnexpectedEof)
            }
        };
        if ask.http10 { request.http10() } else { request }
    }
}

impl Connection for Local {
    fn ask_watched(&mut self, ask: &Ask, watch: &mut (dyn FnMut(&[u8]) + Send)) -> Answer {
        // As over a wire: the client runs beside the application, and sees a block when it was sent.
        let (sender, receiver) = std::sync::mpsc::channel();
        let response = std::thread::scope(|scope| {
            let request = self.request(ask).observe(move |block| drop(sender.send(block.clone())));
            let watching = scope.spawn(move || {
                let mut seen = Vec::new();
                for block in receiver {
                    seen.extend_from_slice(&block);
                    watch(&seen);
                }
            });
            let response = request.send();
            watching.join().unwrap();
            response
        });
        self.log.add(&response.log);
        // Where all the content is there, or there is none, no client can see that something went wrong behind it.
        let has_all = match response.framing {
            inprocess::Framing::Empty => true,
            inprocess::Framing::Length(length) => response.body().len() as u64 == length,
            _ => false,
        };
        Answer {
            status: response.status,
            body: response.body(),
            framing: match response.framing {
                inprocess::Framing::Empty => Framing::Empty,
                inprocess::Framing::Length(_) => Framing::Length,
                inprocess::Framing::Chunked => Framing::Chunked,
                inprocess::Framing::Close => Framing::Close,
            },
            complete: response.cut.is_none() || has_all,
            continued: response.continued,
            headers: response.headers,
        }
    }

    fn hold(self: Box<Self>, ask: &Ask) -> Box<dyn Any> {
        Box::new(self.request(ask).stream())
    }

    fn open(self: Box<Self>, ask: &Ask) -> Box<dyn Opened> {
        Box::new(Pulled { stream: self.request(ask).stream(), seen: Vec::new() })
    }

    fn leave_after(self: Box<Self>, ask: &Ask, text: &str) {
        let mut stream = self.request(ask).stream();
        let mut seen = Vec::new();
        while !String::from_utf8_lossy(&seen).contains(text) {
            seen.extend_from_slice(&stream.next_block().expect("the response ended before the text"));
        }
        stream.leave();
        self.log.add(&stream.finish().log);
    }
}

struct Pulled {
    stream: inprocess::Stream,
    seen: Vec<u8>,
}

impl Opened for Pulled {
    fn seen(&mut self) -> &mut Vec<u8> {
        &mut self.seen
    }

    fn more(&mut self) -> bool {
        let block = self.stream.next_block();
        self.seen.extend_from_slice(block.as_deref().unwrap_or_default());
        block.is_some()
    }

    fn ends(self: Box<Self>) -> bool {
        self.stream.finish().cut.is_none()
    }
}
