//! [`Probe`]: the application behind the cases. It records what it sees, and does what the path asks for.
//!
//! The paths are described in `cases/README.md`.

mod recorder;

use std::fs::File;
use std::io::{self, Write};
use std::panic;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use gateway_spec::{Application, Blocks, Body, Bytes, Environ, Error, Input, StartResponse, Status};

use self::recorder::Call;
pub use self::recorder::{Recorder, Seen, kind_name};

/// The size of the blocks of `/large`.
const BLOCK: usize = 16 * 1024;

/// The application behind the cases.
pub struct Probe {
    recorder: Arc<Recorder>,
    file: File,
}

/// The length of the file of `/file`, in octets.
pub const FILE_LENGTH: u64 = 1_000_000;

impl Probe {
    /// A probe that records into `recorder`.
    ///
    /// # Errors
    /// If the file for `/file` cannot be made in the system's folder for temporary files.
    pub fn new(recorder: Arc<Recorder>) -> io::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("conformance-{}-{number}", std::process::id()));
        let mut file = File::options().read(true).write(true).create_new(true).open(&path)?;
        std::fs::remove_file(&path)?;
        file.write_all(&b"0123456789".repeat(usize::try_from(FILE_LENGTH).unwrap_or_default() / 10))?;
        Ok(Self { recorder, file })
    }
}

const TEXT: (&str, &str) = ("Content-Type", "text/plain");

type Start<'s> = &'s mut dyn StartResponse;

impl Application for Probe {
    fn call(&self, environ: &mut Environ<'_>, start_response: &mut dyn StartResponse) -> Result<Body, Error> {
        let call = self.recorder.begin(environ);
        let path = environ.path_info().to_latin1().into_owned();
        let path = path.strip_prefix('/').unwrap_or_default();
        let (verb, rest) = path.split_once('/').unwrap_or((path, ""));
        let segments = || -> Vec<String> { rest.split('/').map(str::to_owned).collect() };
        match verb {
            "echo" => {
                let octets = call.read_up_to(environ.input(), usize::MAX)?;
                start_response.start(Status::OK, &[TEXT])?;
                Ok(octets.into())
            }
            "pipe" => Ok(Body::from_blocks(Pipe { call, input: environ.take_input(), started: false })),
            "ignore" => text(start_response, Status::OK, "ignored"),
            "status" => {
                let status = Status::from_code(rest.parse()?)?;
                text(start_response, status, &format!("status {rest}"))
            }
            "take" => {
                call.read_up_to(environ.input(), rest.parse()?)?;
                text(start_response, Status::OK, "taken")
            }
            "hide" => {
                // What an application must not do, and what must not deceive the server.
                let _ = call.read_up_to(environ.input(), usize::MAX);
                text(start_response, Status::OK, "hidden")
            }
            "blocks" => {
                start_response.start(Status::OK, &[TEXT])?;
                Ok(Body::blocks(segments().into_iter().map(latin1)))
            }
            "length" | "length-blocks" | "write-length" => declared(verb, rest, start_response),
            "write" | "write-then" => written(verb, &segments(), &[TEXT], start_response),
            "late" => Ok(late(segments())),
            "late-status" => {
                let (code, rest) = rest.split_once('/').unwrap_or((rest, ""));
                let status = Status::from_code(code.parse()?)?;
                let mut blocks =
                    rest.split('/').map(|block| latin1(block.to_owned())).collect::<Vec<Bytes>>().into_iter();
                let mut iteration = 0;
                Ok(Body::late(move |start_response| {
                    iteration += 1;
                    if iteration == 1 {
                        return Some(Ok(Bytes::new()));
                    }
                    if iteration == 2
                        && let Err(error) = start_response.start(status.clone(), &[TEXT, ("X-Late", "1")])
                    {
                        return Some(Err(error));
                    }
                    blocks.next().map(Ok)
                }))
            }
            "empty" => {
                start_response.start(Status::OK, &[TEXT])?;
                Ok(Body::empty())
            }
            "field" => {
                let (name, value) = rest.split_once('/').unwrap_or((rest, ""));
                start_response.start(Status::OK, &[TEXT, (name, value)])?;
                Ok("ok".into())
            }
            "cookies" => {
                start_response.start(Status::OK, &[TEXT, ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])?;
                Ok("ok".into())
            }
            "file" => {
                let (offset, length) = rest.split_once('/').unwrap_or((rest, "0"));
                start_response.start(Status::OK, &[TEXT])?;
                Ok(Body::file(self.file.try_clone()?, offset.parse()?, length.parse()?))
            }
            "hints" => {
                start_response.early_hints(&[("Link", "</a>; rel=preload")])?;
                start_response.early_hints(&[("Link", "</b>; rel=preload")])?;
                text(start_response, Status::OK, "hinted")
            }
            "hints-late" => {
                start_response.start(Status::OK, &[TEXT])?.write_all(b"hinted")?;
                start_response.early_hints(&[("Link", "</a>; rel=preload")])?;
                Ok(Body::empty())
            }
            "hold" => {
                start_response.start(Status::OK, &[TEXT])?;
                let time = Duration::from_millis(rest.parse()?);
                Ok(Body::blocks(std::iter::once_with(move || {
                    thread::sleep(time);
                    "held"
                })))
            }
            "one-then-two" => {
                start_response.start(Status::OK, &[TEXT])?;
                Ok(one_then_two(call, environ.take_input()))
            }
            "write-one-then-two" => {
                start_response.start(Status::OK, &[TEXT])?.write_all(b"one")?;
                call.read_up_to(environ.input(), usize::MAX)?;
                Ok("two".into())
            }
            "large" | "large-length" => large(verb, rest.parse()?, start_response),
            "sleep" => {
                thread::sleep(Duration::from_millis(rest.parse()?));
                text(start_response, Status::OK, "slept")
            }
            "sleep-read" => {
                thread::sleep(Duration::from_millis(rest.parse()?));
                read_and_answer(&call, environ, start_response)
            }
            _ => match failing(verb, rest, start_response) {
                Some(result) => result,
                None => read_and_answer(&call, environ, start_response),
            },
        }
    }
}

fn read_and_answer(call: &Call, environ: &mut Environ<'_>, start_response: Start<'_>) -> Result<Body, Error> {
    call.read_up_to(environ.input(), usize::MAX)?;
    text(start_response, Status::OK, "ok")
}

fn text(start_response: Start<'_>, status: Status, body: &str) -> Result<Body, Error> {
    start_response.start(status, &[TEXT])?;
    Ok(body.to_owned().into())
}

/// Paths that fail on purpose.
fn failing(verb: &str, rest: &str, start_response: Start<'_>) -> Option<Result<Body, Error>> {
    Some(match verb {
        "error" => Err(failure()),
        // Without the panic hook, which would fill the log of the tests.
        "panic" => panic::resume_unwind(Box::new("the probe panics")),
        "error-late" | "panic-late" => {
            start_response.start(Status::OK, &[TEXT]).map(|_| failing_body(rest, verb == "panic-late"))
        }
        "error-length" => {
            let (length, block) = rest.split_once('/').unwrap_or((rest, ""));
            start_response.start(Status::OK, &[TEXT, ("Content-Length", length)]).map(|_| failing_body(block, false))
        }
        "replace" => start_response
            .start(Status::OK, &[TEXT, ("X-First", "1")])
            .map(drop)
            .and_then(|()| start_response.restart(Status::SERVICE_UNAVAILABLE, &[TEXT], failure()).map(drop))
            .map(|()| "replaced".into()),
        "replace-late" => start_response
            .start(Status::OK, &[TEXT])
            .and_then(|writer| Ok(writer.write_all(&latin1(rest.to_owned()))?))
            .and_then(|()| start_response.restart(Status::SERVICE_UNAVAILABLE, &[TEXT], failure()).map(drop))
            .map(|()| "replaced".into()),
        "twice" => start_response
            .start(Status::OK, &[TEXT])
            .map(drop)
            .and_then(|()| start_response.start(Status::OK, &[TEXT]).map(drop))
            .map(|()| "twice".into()),
        "no-start" => Ok("x".into()),
        _ => return None,
    })
}

fn failure() -> Error {
    "the probe fails as it was asked to, in probe.rs".into()
}

fn failing_body(block: &str, panics: bool) -> Body {
    let mut block = Some(latin1(block.to_owned()));
    Body::late(move |_| match block.take() {
        Some(block) => Some(Ok(block)),
        None if panics => panic::resume_unwind(Box::new("the probe panics")),
        None => Some(Err(failure())),
    })
}

fn declared(verb: &str, rest: &str, start_response: Start<'_>) -> Result<Body, Error> {
    let (length, rest) = rest.split_once('/').map_or((rest, None), |(length, rest)| (length, Some(rest)));
    let head = [TEXT, ("Content-Length", length)];
    let segments: Vec<String> = rest.iter().flat_map(|rest| rest.split('/')).map(str::to_owned).collect();
    if verb == "write-length" {
        return written(verb, &segments, &head, start_response);
    }
    start_response.start(Status::OK, &head)?;
    Ok(match verb {
        "length" => latin1(segments.concat()).into(),
        _ => Body::blocks(segments.into_iter().map(latin1)),
    })
}

fn written(verb: &str, segments: &[String], head: &[(&str, &str)], start_response: Start<'_>) -> Result<Body, Error> {
    let writer = start_response.start(Status::OK, head)?;
    let (write, give) = if verb == "write-then" { segments.split_at(1) } else { (segments, [].as_slice()) };
    for segment in write {
        writer.write_all(&latin1(segment.clone()))?;
    }
    Ok(Body::blocks(give.iter().cloned().map(latin1).collect::<Vec<Bytes>>()))
}

fn late(segments: Vec<String>) -> Body {
    let mut segments = segments.into_iter();
    let mut started = false;
    Body::late(move |start_response| {
        if !started {
            started = true;
            if let Err(error) = start_response.start(Status::OK, &[TEXT]) {
                return Some(Err(error));
            }
        }
        segments.next().map(|segment| Ok(latin1(segment)))
    })
}

fn large(verb: &str, length: usize, start_response: Start<'_>) -> Result<Body, Error> {
    let text = length.to_string();
    match verb {
        "large-length" => start_response.start(Status::OK, &[TEXT, ("Content-Length", &text)])?,
        _ => start_response.start(Status::OK, &[TEXT])?,
    };
    let block = Bytes::from(vec![b'x'; BLOCK]);
    let mut missing = length;
    Ok(Body::blocks(std::iter::from_fn(move || {
        let n = missing.min(BLOCK);
        missing -= n;
        (n > 0).then(|| block.slice(..n))
    })))
}

/// Yields the second block only after it has read the request's body.
fn one_then_two(call: Call, mut input: Input) -> Body {
    let mut blocks = 0;
    Body::late(move |_| {
        blocks += 1;
        match blocks {
            1 => Some(Ok("one".into())),
            2 => Some(call.read_up_to(&mut input, usize::MAX).map(|_| "two".into()).map_err(Into::into)),
            _ => None,
        }
    })
}

/// A character for each octet, back into octets.
fn latin1(text: String) -> Bytes {
    text.chars().map(|c| u8::try_from(c).unwrap_or(b'?')).collect::<Vec<u8>>().into()
}

/// Answers with what it reads, as it comes.
struct Pipe {
    call: Call,
    input: Input,
    started: bool,
}

impl Blocks for Pipe {
    fn next(&mut self, start_response: &mut dyn StartResponse) -> Option<Result<Bytes, Error>> {
        let mut buffer = vec![0; 4096];
        let read = self.call.read(&mut self.input, &mut buffer);
        if read.is_ok() && !self.started {
            self.started = true;
            if let Err(error) = start_response.start(Status::OK, &[TEXT]) {
                return Some(Err(error));
            }
        }
        match read {
            Ok(0) => None,
            Ok(n) => {
                buffer.truncate(n);
                Some(Ok(buffer.into()))
            }
            Err(error) => Some(Err(error.into())),
        }
    }
}
