//! [`Filter`]: what a middleware does to a response, and [`filter()`], which does the rest.
//!
//! Between the application and the server it is a small server of its own: it holds the head until the first bytes, so
//! that a filter sees the one that counts, whether the application started early, late, or again (GW-MW-09).
//!
//! ```text
//!                start, start again             bytes or end
//!   application ───────────────────► head held ──────────────► Filter::head ──► server
//!               ──── blocks, writes ─────────────────────────► Filter::block ─► server
//! ```

use std::fmt;
use std::io::{self, Write};
use std::mem;
use std::task::Waker;

use gateway_spec::{Application, Blocks, Body, Bytes, Calls, Environ, Error, StartResponse, Status};

use super::{join_lines, merge_vary};
use crate::response::as_pairs;

/// What a middleware does to one response. It is made for each request and dropped when the response is over, however
/// it ends.
pub trait Filter: Send + 'static {
    /// The head is on its way: the last chance to change it, and the place to say what is to be done with the body.
    ///
    /// # Errors
    /// Any: there is no answer then, but that error.
    fn head(&mut self, head: &mut ResponseHead, content: &Content<'_>) -> Result<Interest, Error>;

    /// Changes one block; empty is *nothing yet*. A filter that changes lengths removes or corrects `Content-Length`.
    ///
    /// # Errors
    /// Any: the response is cut.
    fn block(&mut self, block: Bytes) -> Result<Bytes, Error> {
        Ok(block)
    }

    /// The body has ended, or is not asked for more: its length was reached, or nothing of it is sent. What is to be sent
    /// after it.
    ///
    /// # Errors
    /// Any: the response is cut.
    fn end(&mut self) -> Result<Bytes, Error> {
        Ok(Bytes::new())
    }

    /// The application has failed with an error, which goes on to the server.
    fn failed(&mut self, error: &Error) {
        let _ = error;
    }
}

/// What a filter wants with the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Nothing: it goes through as it is, and a file stays a file.
    Head,
    /// To see, and perhaps to change, each block.
    Blocks,
    /// That it is dropped: the response has none.
    Drop,
}

/// What is known of a body when the head goes out.
#[derive(Clone, Copy, Debug)]
pub enum Content<'b> {
    /// All of it. Of `HEAD` it is that of `GET`, or empty if the application made none.
    Whole(&'b Bytes),
    /// It is a file, or a part of one, of this length in bytes.
    File(u64),
    /// It comes in blocks.
    Stream,
}

/// A status and headers on their way.
#[derive(Clone)]
pub struct ResponseHead {
    /// The status.
    pub status: Status,
    /// All names and values, one after the other: two allocations for a head, however many headers it has.
    text: String,
    fields: Vec<Field>,
}

/// A header, as places in the text: name, then value.
#[derive(Clone)]
struct Field {
    start: usize,
    colon: usize,
    end: usize,
}

impl ResponseHead {
    fn new(status: Status, headers: &[(&str, &str)]) -> Self {
        let length: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        // Room for what layers like to add.
        let mut head =
            Self { status, text: String::with_capacity(length + 128), fields: Vec::with_capacity(headers.len() + 4) };
        headers.iter().for_each(|(name, value)| head.add(name, value));
        head
    }

    /// Names and values, in order.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|field| (&self.text[field.start..field.colon], &self.text[field.colon..field.end]))
    }

    /// The first value of a name, in any letter case.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.headers().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Removes all headers of a name.
    pub fn remove(&mut self, name: &str) {
        let Self { text, fields, .. } = self;
        fields.retain(|field| !text[field.start..field.colon].eq_ignore_ascii_case(name));
    }

    /// Sets a header, in place of all of this name.
    pub fn set(&mut self, name: &str, value: impl AsRef<str>) {
        self.remove(name);
        self.add(name, value);
    }

    /// Adds a header; others of this name stay.
    pub fn add(&mut self, name: &str, value: impl AsRef<str>) {
        let start = self.text.len();
        self.text.push_str(name);
        let colon = self.text.len();
        self.text.push_str(value.as_ref());
        self.fields.push(Field { start, colon, end: self.text.len() });
    }

    /// Adds a header unless there is one of this name.
    pub fn add_default(&mut self, name: &str, value: impl AsRef<str>) {
        if self.get(name).is_none() {
            self.add(name, value);
        }
    }

    /// Adds a field name to `Vary`.
    pub fn add_vary(&mut self, field: &str) {
        let vary = merge_vary(Some(&join_lines(self.headers(), "Vary")), field);
        self.set("Vary", vary);
    }
}

impl fmt::Debug for ResponseHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.status)?;
        f.debug_map().entries(self.headers()).finish()
    }
}

/// Calls an application and passes its response through a filter.
///
/// ```
/// use framework_mini::middleware::{Content, Filter, Interest, ResponseHead, filter};
/// use gateway_spec::{Application, Body, Environ, Error, StartResponse};
///
/// /// Adds a header to every response of an application.
/// struct Powered<A>(A);
///
/// impl<A: Application> Application for Powered<A> {
///     fn call(&self, environ: &mut Environ<'_>, start_response: &mut dyn StartResponse) -> Result<Body, Error> {
///         filter(&self.0, environ, start_response, PoweredBy)
///     }
/// }
///
/// struct PoweredBy;
///
/// impl Filter for PoweredBy {
///     fn head(&mut self, head: &mut ResponseHead, _: &Content<'_>) -> Result<Interest, Error> {
///         head.add("X-Powered-By", "steam");
///         Ok(Interest::Head)
///     }
/// }
/// ```
///
/// # Errors
/// Those of the application and of the filter.
pub fn filter<F: Filter>(
    application: &(impl Application + ?Sized),
    environ: &mut Environ<'_>,
    start_response: &mut dyn StartResponse,
    filter: F,
) -> Result<Body, Error> {
    let head_only = environ.method() == "HEAD";
    let mut state = State { filter, calls: Calls::new(), phase: Phase::Open(None), head_only, no_content: head_only };
    let called = application.call(environ, &mut Inner { outer: start_response, state: &mut state });
    let body = called.inspect_err(|error| state.filter.failed(error))?;
    if state.is_over() {
        drop(body);
        return Ok(state.finish(start_response)?.into());
    }
    let inner = match state.phase {
        // A body that is at hand cannot start again: the head can go out now, and no wrapper is needed.
        Phase::Open(Some(_)) => match state.at_hand(body, start_response)? {
            Ok(body) => return Ok(body),
            Err(inner) => inner,
        },
        _ => body,
    };
    Ok(Body::from_blocks(Filtered { inner: Some(inner), rest: Some(0), state }))
}

/// One response on its way through a filter.
struct State<F> {
    filter: F,
    /// The order of calls and the lengths, of the application's side.
    calls: Calls,
    phase: Phase,
    head_only: bool,
    /// What there is of content will not be sent: by the method, or by the status of the head that is held (GW-DEF-09).
    no_content: bool,
}

enum Phase {
    /// Nothing went out. The head and the `exc_info` of the last call are held.
    Open(Option<(ResponseHead, Option<Error>)>),
    /// The head went out, and this is done with the body.
    Committed(Interest),
}

impl<F: Filter> State<F> {
    /// A body that is at hand as the one to return, or else the body as it came.
    fn at_hand(&mut self, body: Body, outer: &mut dyn StartResponse) -> Result<Result<Body, Body>, Error> {
        let body = match body.into_block() {
            Ok(block) => {
                // Before the filter sees it: what breaks the contract is no answer, and beyond its length it is not sent.
                let block = self.checked(block)?;
                self.end()?;
                return Ok(Ok(match self.commit(outer, &Content::Whole(&block))? {
                    Interest::Head => block.into(),
                    Interest::Blocks => join(self.filter.block(block)?, self.filter.end()?).into(),
                    Interest::Drop => Body::empty(),
                }));
            }
            Err(body) => body,
        };
        let file = match body.into_file() {
            Ok(file) => file,
            Err(body) => return Ok(Err(body)),
        };
        Ok(match self.commit(outer, &Content::File(file.remaining()))? {
            Interest::Head => Ok(file.into()),
            Interest::Drop => Ok(Body::empty()),
            Interest::Blocks => Err(file.into()),
        })
    }

    /// Lets the filter see the head and sends it on, if that was not done.
    fn commit(&mut self, outer: &mut dyn StartResponse, content: &Content<'_>) -> Result<Interest, Error> {
        let (mut head, exc_info) = match &mut self.phase {
            Phase::Committed(interest) => return Ok(*interest),
            Phase::Open(held) => held.take().ok_or(gateway_spec::Misuse::NotStarted)?,
        };
        let interest = self.filter.head(&mut head, content)?;
        self.phase = Phase::Committed(interest);
        let status = head.status.clone();
        as_pairs(head.headers(), |headers| outer.start_response(status, headers, exc_info).map(drop))?;
        Ok(interest)
    }

    /// A block as far as the length that the application has declared goes.
    fn checked(&mut self, mut block: Bytes) -> Result<Bytes, Error> {
        let length = self.calls.yielded(block.len())?;
        block.truncate(length);
        Ok(block)
    }

    /// The end of the application's body: it must not be shorter than declared. The server cannot tell, if the filter
    /// changes lengths.
    fn end(&mut self) -> Result<(), Error> {
        if self.no_content {
            self.calls.ignore_length();
        }
        Ok(self.calls.end()?)
    }

    /// Whether a server would not ask the application's body for more: all that it has declared is there (GW-CL-02), or
    /// there were bytes and none is sent (GW-DEF-09). It will not ask for the end then either.
    fn is_over(&self) -> bool {
        self.calls.is_complete() || (self.no_content && self.calls.has_sent())
    }

    /// The application's body is over: what the filter sends after it.
    fn finish(&mut self, outer: &mut dyn StartResponse) -> Result<Bytes, Error> {
        self.end()?;
        match self.commit(outer, &Content::Whole(&Bytes::new()))? {
            Interest::Blocks => self.filter.end(),
            Interest::Head | Interest::Drop => Ok(Bytes::new()),
        }
    }

    /// A block, from wherever it came, through the filter.
    fn pass(&mut self, block: Bytes) -> Result<Bytes, Error> {
        match self.phase {
            Phase::Committed(Interest::Head) => Ok(block),
            Phase::Committed(Interest::Blocks) => self.filter.block(block),
            Phase::Committed(Interest::Drop) | Phase::Open(_) => Ok(Bytes::new()),
        }
    }
}

/// The server's side, as the application sees it.
struct Inner<'a, F> {
    outer: &'a mut dyn StartResponse,
    state: &'a mut State<F>,
}

impl<F: Filter> StartResponse for Inner<'_, F> {
    fn start_response(
        &mut self,
        status: Status,
        headers: &[(&str, &str)],
        exc_info: Option<Error>,
    ) -> Result<&mut dyn Write, Error> {
        match &mut self.state.phase {
            Phase::Open(held) => {
                // A stand-in for the table, so that the error itself can be passed on with the head.
                self.state.calls.start(&status, headers, exc_info.as_ref().map(|_| "exc_info".into()))?;
                if status.forbids_content() {
                    self.state.calls.ignore_length();
                }
                self.state.no_content =
                    self.state.head_only || status.forbids_content() || status == Status::RESET_CONTENT;
                *held = Some((ResponseHead::new(status, headers), exc_info));
            }
            // Too late: the server has to know, and gives the error back.
            Phase::Committed(_) => {
                self.state.calls.start(&status, headers, exc_info.as_ref().map(|_| "exc_info".into())).err();
                self.outer.start_response(status, headers, exc_info)?;
            }
        }
        Ok(self)
    }

    fn writer(&mut self) -> &mut dyn Write {
        self
    }

    fn early_hints(&mut self, headers: &[(&str, &str)]) -> Result<(), Error> {
        self.outer.early_hints(headers)
    }
}

impl<F: Filter> Write for Inner<'_, F> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let Self { outer, state } = self;
        state.calls.written(buffer.len()).map_err(io::Error::other)?;
        state.commit(*outer, &Content::Stream).map_err(io::Error::other)?;
        let block = state.pass(Bytes::copy_from_slice(buffer)).map_err(io::Error::other)?;
        outer.writer().write_all(&block)?;
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.outer.writer().flush()
    }
}

/// A body on its way through a filter. It owns the application's body, so that dropping one drops both (GW-MW-08).
struct Filtered<F> {
    inner: Option<Body>,
    /// How much there would have been behind it, of a body that was not asked to its end.
    rest: Option<u64>,
    state: State<F>,
}

impl<F: Filter> Filtered<F> {
    fn step(&mut self, start_response: &mut dyn StartResponse) -> Result<Option<Bytes>, Error> {
        let Some(inner) = &mut self.inner else { return Ok(None) };
        let state = &mut self.state;
        let next = inner.next(&mut Inner { outer: start_response, state });
        let Some(block) = next.transpose().inspect_err(|error| state.filter.failed(error))? else {
            self.inner = None;
            return Ok(Some(state.finish(start_response)?).filter(|last| !last.is_empty()));
        };
        let mut passed = Bytes::new();
        if !block.is_empty() {
            let block = state.checked(block)?;
            if state.commit(start_response, &Content::Stream)? == Interest::Drop {
                self.inner = None;
                return Ok(Some(Bytes::new())); // for the block from behind (GW-MW-04)
            }
            passed = state.pass(block)?;
        }
        if state.is_over() {
            if !state.calls.is_complete() {
                // Nobody asks for more; but the head may tell how much a GET would have got.
                self.rest = inner.len();
            }
            self.inner = None;
            passed = join(passed, state.finish(start_response)?);
        }
        // If empty, then nothing yet: passed on too, so that the server can see to others.
        Ok(Some(passed))
    }
}

impl<F: Filter> Blocks for Filtered<F> {
    fn next(&mut self, start_response: &mut dyn StartResponse) -> Option<Result<Bytes, Error>> {
        self.step(start_response).inspect_err(|_| self.inner = None).transpose()
    }

    fn remaining(&self) -> Option<u64> {
        match (&self.state.phase, &self.inner) {
            (Phase::Committed(Interest::Head), Some(inner)) => inner.len(),
            (Phase::Committed(Interest::Head), None) => self.rest,
            _ => None,
        }
    }

    fn set_waker(&mut self, waker: &Waker) {
        if let Some(inner) = &mut self.inner {
            inner.set_waker(waker);
        }
    }
}

/// Two blocks as one.
fn join(mut first: Bytes, second: Bytes) -> Bytes {
    if second.is_empty() {
        return first;
    }
    if first.is_empty() {
        return second;
    }
    [mem::take(&mut first), second].concat().into()
}
