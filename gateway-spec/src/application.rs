//! [`Application`]: what answers requests.

use std::sync::Arc;

use crate::{Body, Environ, Error, StartResponse};

/// Answers requests. A function, a closure, a struct of yours, an `Arc<dyn Application>`.
///
/// ```
/// use std::sync::Arc;
/// use gateway_spec::{Application, Body, Environ, Error, StartResponse, Status, app_fn};
///
/// fn function(_environ: &mut Environ, start_response: &mut dyn StartResponse) -> Result<&'static str, Error> {
///     start_response.start(Status::OK, &[("Content-Type", "text/plain")])?;
///     Ok("Hello, World!")
/// }
///
/// struct Greeter { name: String }
///
/// impl Application for Greeter {
///     fn call(&self, _: &mut Environ<'_>, start_response: &mut dyn StartResponse) -> Result<Body, Error> {
///         start_response.start(Status::OK, &[("Content-Type", "text/plain")])?;
///         Ok(format!("Hello, {}!", self.name).into())
///     }
/// }
///
/// let greeting = String::from("Hello from a closure!");
/// let closure = app_fn(move |_environ, start_response| {
///     start_response.start(Status::OK, &[("Content-Type", "text/plain")])?;
///     Ok(greeting.clone())
/// });
///
/// let applications: [Arc<dyn Application>; 3] =
///     [Arc::new(function), Arc::new(Greeter { name: "Ada".into() }), Arc::new(closure)];
/// ```
///
/// An application that calls another one takes it as `&dyn Application` or as a type parameter. On a function itself the compiler warns of
/// `function.call(…)`, because a method of that name is planned for functions.
///
/// # Applications
/// Expect to be called again, and by several threads at once (GW-CALL-05): `&self` and `Sync` say so. Return the body,
/// an empty one too (GW-ITER-01). A body that is dropped early must release what it holds: servers drop it when the
/// client has gone (GW-ITER-10).
///
/// # Servers
/// Call it once for each request that is whole enough to be understood, and for no other (GW-CALL-06). Do not ask what
/// kind of application it is (GW-CALL-04). Send nothing until there is something to send (GW-SR-06). A panic or an
/// error of it is a 500, or a cut connection if the head was sent; it never ends a thread (GW-ERH-05).
///
/// # Middleware
/// An application that holds another, and is a server to it (GW-CALL-08). It returns its own body as soon as the inner
/// one returned (GW-MW-05), one block or more for each inner block, empty if there is nothing to say yet (GW-MW-03,
/// GW-MW-04), and owns the inner body so that dropping one drops both (GW-MW-08).
pub trait Application: Send + Sync {
    /// Answers one request.
    ///
    /// # Errors
    /// Any error: the server logs it and answers 500, or what the failure of the input asks for if the input failed
    /// (400, 408, 413).
    fn call(&self, environ: &mut Environ<'_>, start_response: &mut dyn StartResponse) -> Result<Body, Error>;
}

impl<F, B> Application for F
where
    F: Fn(&mut Environ<'_>, &mut dyn StartResponse) -> Result<B, Error> + Send + Sync,
    B: Into<Body>,
{
    fn call(&self, environ: &mut Environ<'_>, start_response: &mut dyn StartResponse) -> Result<Body, Error> {
        self(environ, start_response).map(Into::into)
    }
}

impl<A: Application + ?Sized> Application for Arc<A> {
    #[deny(unconditional_recursion)]
    fn call(&self, environ: &mut Environ<'_>, start_response: &mut dyn StartResponse) -> Result<Body, Error> {
        (**self).call(environ, start_response)
    }
}

/// Takes a closure as an application without having to write its argument types; see [`Application`].
pub const fn app_fn<F, B>(function: F) -> F
where
    F: Fn(&mut Environ<'_>, &mut dyn StartResponse) -> Result<B, Error> + Send + Sync,
    B: Into<Body>,
{
    function
}
