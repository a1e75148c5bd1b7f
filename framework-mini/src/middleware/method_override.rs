//! [`MethodOverride`]: `PUT`, `PATCH` and `DELETE` for forms, which can only `POST`.

use std::io::{self, Read};

use gateway_spec::{Application, Body, Bytes, Environ, Error, Input, StartResponse};

/// The largest form in which the field is looked for, in bytes.
const LARGEST: u64 = 64 * 1024;

/// Gives a `POST` the method that its header `X-HTTP-Method-Override` or its form field `_method` names.
///
/// Only `PUT`, `PATCH` and `DELETE`, and only from `POST` (H1-METH-04, F12). The field is looked for in forms of up to
/// 64 KiB that tell their length; the application can read them all the same.
///
/// ```
/// use framework_mini::App;
/// use framework_mini::middleware::MethodOverride;
///
/// // <form method=post action="/notes/7"><input type=hidden name=_method value=DELETE> …
/// let site = App::new(()).delete("/notes/{id}", || "gone").build().unwrap();
/// let site = MethodOverride::new(site);
/// ```
#[derive(Clone, Debug)]
pub struct MethodOverride<A>(A);

impl<A> MethodOverride<A> {
    /// Around an application.
    pub const fn new(application: A) -> Self {
        Self(application)
    }
}

impl<A: Application> Application for MethodOverride<A> {
    fn call(&self, environ: &mut Environ<'_>, start_response: &mut dyn StartResponse) -> Result<Body, Error> {
        if environ.method() == "POST"
            && let Some(method) = wanted(environ)
        {
            environ.set("REQUEST_METHOD", method);
        }
        self.0.call(environ, start_response)
    }
}

fn allowed(method: &[u8]) -> Option<&'static str> {
    ["PUT", "PATCH", "DELETE"].into_iter().find(|known| method.eq_ignore_ascii_case(known.as_bytes()))
}

/// The method that is asked for, if it is one that may be.
fn wanted(environ: &mut Environ<'_>) -> Option<&'static str> {
    if let Some(header) = environ.header("x-http-method-override") {
        return allowed(header.as_bytes());
    }
    let is_form = environ.content_type().is_some_and(|value| {
        let value = value.to_string_lossy();
        let essence = value.split(';').next().unwrap_or_default().trim();
        essence.eq_ignore_ascii_case("application/x-www-form-urlencoded")
    });
    if !is_form || environ.content_length().is_none_or(|length| length > LARGEST) {
        return None;
    }
    let mut form = Vec::new();
    if let Err(error) = environ.input().read_to_end(&mut form) {
        // The application reads what there is and then the error, as without this layer: it knows what to answer.
        environ.set_input(Input::from_reader(io::Cursor::new(form).chain(Fails(error.kind()))));
        return None;
    }
    let field = form.split(|&b| b == b'&').find_map(|pair| pair.strip_prefix(b"_method="));
    let method = field.and_then(allowed);
    environ.set_input(Input::from(Bytes::from(form)));
    method
}

/// A reader that fails.
struct Fails(io::ErrorKind);

impl Read for Fails {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(self.0.into())
    }
}
