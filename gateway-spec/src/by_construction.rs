//! Rules that no program that compiles can break. Each is shown twice: what compiles, and what differs from it in the
//! breach alone and does not compile.
//!
//! # An application takes an environ and a `start_response` (GW-CALL-01, GW-CALL-03, GW-VAL-01, GW-VAL-02)
//! ```
//! # use gateway_spec::{Application, Environ, Error, StartResponse, Status};
//! fn app(_: &mut Environ, start_response: &mut dyn StartResponse) -> Result<&'static str, Error> {
//!     start_response.start(Status::OK, &[])?;
//!     Ok("")
//! }
//! fn serve(_: impl Application) {}
//! serve(app);
//! ```
//! ```compile_fail
//! # use gateway_spec::{Application, Environ, Error, StartResponse, Status};
//! fn app(_: &mut Environ, start_response: &mut dyn StartResponse, _: u8) -> Result<&'static str, Error> {
//!     start_response.start(Status::OK, &[])?;
//!     Ok("")
//! }
//! fn serve(_: impl Application) {}
//! serve(app);
//! ```
//!
//! # It can be called again, by several threads (GW-CALL-05)
//! ```
//! # use gateway_spec::{Application, Error, app_fn};
//! let text = String::from("once");
//! let app = app_fn(move |_, _| Ok(text.clone()));
//! ```
//! ```compile_fail
//! # use gateway_spec::{Application, Error, app_fn};
//! let text = String::from("once");
//! let app = app_fn(move |_, _| Ok(text));
//! ```
//! ```
//! # use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
//! # use gateway_spec::{Application, Body, Error, app_fn};
//! let count = AtomicU8::new(0);
//! let app = app_fn(move |_, _| { count.fetch_add(1, Relaxed); Ok("") });
//! ```
//! ```compile_fail
//! # use std::cell::Cell;
//! # use gateway_spec::{Application, Body, Error, app_fn};
//! let count = Cell::new(0);
//! let app = app_fn(move |_, _| { count.set(1); Ok("") });
//! ```
//!
//! # It returns a body (GW-ITER-01, GW-WR-04, GW-VAL-04, GW-VAL-05, GW-STR-04), and a file is not one by itself (GW-FILE-14)
//! ```
//! # use gateway_spec::Body;
//! let body: Body = Vec::from(*b"octets").into();
//! let body = Body::file(std::fs::File::open("/dev/null").unwrap(), 0, 0);
//! ```
//! ```compile_fail
//! # use gateway_spec::Body;
//! let body: Body = None.into();
//! ```
//! ```compile_fail
//! # use gateway_spec::Body;
//! let body = Body::blocks(["a text"].map(|text| text.chars()));
//! ```
//! ```compile_fail
//! # use gateway_spec::Body;
//! let body: Body = std::fs::File::open("/dev/null").unwrap().into();
//! ```
//!
//! # A closed body gives nothing more (GW-VAL-14, GW-RACK-35)
//! ```
//! # use gateway_spec::{Body, StartResponse};
//! fn serve(mut body: Body, start_response: &mut dyn StartResponse) {
//!     body.next(start_response);
//!     drop(body);
//! }
//! ```
//! ```compile_fail
//! # use gateway_spec::{Body, StartResponse};
//! fn serve(mut body: Body, start_response: &mut dyn StartResponse) {
//!     drop(body);
//!     body.next(start_response);
//! }
//! ```
//!
//! # A status is valid once built (GW-STA-01, GW-RACK-28, GW-RING-06)
//! ```
//! # use gateway_spec::Status;
//! let status = Status::new(200, "OK").unwrap();
//! ```
//! ```compile_fail
//! # use gateway_spec::Status;
//! let status = Status { code: 20, reason: "OK\r\n".into() };
//! ```
//!
//! # A head reaches a server only after the check (GW-HDR-08, GW-SR-19)
//! ```
//! # use gateway_spec::{Calls, Head, Status};
//! let status = Status::OK;
//! let mut calls = Calls::new();
//! let head: Head = calls.start(&status, &[], None).unwrap();
//! ```
//! ```compile_fail
//! # use gateway_spec::{Calls, Head, Status};
//! let status = Status::OK;
//! let head: Head = Head::check(&status, &[]).unwrap();
//! ```
//!
//! # Environ, `start_response` and the writer end with the call (GW-WR-07, GW-WR-08); the input may be kept
//! ```
//! # use std::io::Read;
//! # use gateway_spec::{Body, Environ, Error, StartResponse};
//! fn app(environ: &mut Environ, start_response: &mut dyn StartResponse) -> Result<Body, Error> {
//!     let input = environ.take_input();
//!     Ok(Body::reader(input))
//! }
//! ```
//! ```compile_fail
//! # use std::io::Read;
//! # use gateway_spec::{Body, Environ, Error, StartResponse};
//! fn app(environ: &mut Environ, start_response: &mut dyn StartResponse) -> Result<Body, Error> {
//!     let input = environ.input();
//!     Ok(Body::reader(input))
//! }
//! ```
//! ```
//! # use gateway_spec::{Body, Environ, Error, StartResponse, Status};
//! fn app(_: &mut Environ, start_response: &mut dyn StartResponse) -> Result<Body, Error> {
//!     Ok(Body::late(move |start_response| Some(start_response.start(Status::OK, &[]).map(|_| "".into()))))
//! }
//! ```
//! ```compile_fail
//! # use gateway_spec::{Body, Environ, Error, StartResponse, Status};
//! fn app(_: &mut Environ, start_response: &mut dyn StartResponse) -> Result<Body, Error> {
//!     Ok(Body::late(move |_| Some(start_response.start(Status::OK, &[]).map(|_| "".into()))))
//! }
//! ```
//!
//! # Nobody closes the input or the errors stream (GW-IN-09, GW-IN-10, GW-ERR-04, GW-VAL-10, GW-RACK-19)
//! ```
//! # use gateway_spec::Environ;
//! fn app(environ: &mut Environ) { environ.errors().flush(); drop(environ.take_input()); }
//! ```
//! ```compile_fail
//! # use gateway_spec::Environ;
//! fn app(environ: &mut Environ) { environ.errors().close(); drop(environ.take_input()); }
//! ```
//! ```compile_fail
//! # use gateway_spec::Environ;
//! fn app(environ: &mut Environ) { environ.errors().flush(); environ.input().close(); }
//! ```
//!
//! # Values are octets, and becoming text is said aloud (GW-STR-01, GW-STR-06, GW-RACK-42)
//! ```
//! # use gateway_spec::Environ;
//! fn app(environ: &Environ) -> String { environ.path_info().to_string_lossy().into_owned() }
//! ```
//! ```compile_fail
//! # use gateway_spec::Environ;
//! fn app(environ: &Environ) -> String { environ.path_info().into_owned() }
//! ```
