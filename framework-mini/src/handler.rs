//! [`Handler`]: how a plain function becomes the end of a route.
//!
//! The bounds are split on purpose. [`Callable`] says only "a function of these arguments": choosing it always succeeds
//! and fixes what the arguments are. Only then [`Handler`] asks for each argument to be a [`FromRequest`] and for the
//! result to be an [`IntoResponse`], so that the compiler walks to the one that is wrong and names it.

use crate::{Error, FromRequest, IntoResponse, Request, Response};

/// What an argument takes from a route, known when the program starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// How many parameters of the pattern.
    pub params: usize,
    /// How many times the body of the request: once is all there is.
    pub bodies: usize,
    /// Whether it takes a path that is not UTF-8; any other handler is not called for one.
    pub octets: bool,
}

impl Needs {
    /// Nothing that could be missing.
    pub const NOTHING: Self = Self { params: 0, bodies: 0, octets: false };
    /// One parameter of the path.
    pub const PARAM: Self = Self { params: 1, ..Self::NOTHING };
    /// One parameter of the path, which may be something else than UTF-8.
    pub const OCTETS: Self = Self { octets: true, ..Self::PARAM };
    /// The body of the request.
    pub const BODY: Self = Self { bodies: 1, ..Self::NOTHING };

    const fn and(self, other: Self) -> Self {
        Self {
            params: self.params + other.params,
            bodies: self.bodies + other.bodies,
            octets: self.octets || other.octets,
        }
    }
}

/// A function or closure of zero to six arguments.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be used as a handler",
    label = "not a handler",
    note = "a handler is a function, or a closure that only reads what it captures (`Fn`), of 0 to 6 arguments: `fn show(Path(id): Path<u64>, State(db): State<Db>) -> impl IntoResponse`",
    note = "every thread of the server calls it: keep data that changes in the state, in a `Mutex` or an atomic"
)]
pub trait Callable<Args> {
    /// What it returns.
    type Output;

    /// Calls it.
    fn call_with(&self, args: Args) -> Self::Output;
}

/// The arguments of a handler, as a tuple.
pub trait Arguments<S>: Sized {
    /// What they need together.
    const NEEDS: Needs;

    /// Takes them from the request, from first to last.
    ///
    /// # Errors
    /// That of the first argument that cannot be had; it becomes the response.
    fn extract(request: &mut Request<S>) -> Result<Self, Error>;
}

/// A function whose arguments come from a request and whose result becomes the response.
///
/// Nobody implements it by hand: every [`Callable`] with [`FromRequest`] arguments and an [`IntoResponse`] result is one.
pub trait Handler<S, Args>: Send + Sync + 'static {
    /// What its arguments need.
    const NEEDS: Needs;

    /// Answers a request.
    fn handle(&self, request: &mut Request<S>) -> Response;
}

impl<S, F, Args> Handler<S, Args> for F
where
    F: Callable<Args> + Send + Sync + 'static,
    Args: Arguments<S>,
    F::Output: IntoResponse,
{
    const NEEDS: Needs = Args::NEEDS;

    fn handle(&self, request: &mut Request<S>) -> Response {
        match Args::extract(request) {
            Ok(args) => self.call_with(args).into_response(),
            Err(error) => error.into_response(),
        }
    }
}

impl<F: Fn() -> R, R> Callable<()> for F {
    type Output = R;

    fn call_with(&self, (): ()) -> R {
        self()
    }
}

impl<S> Arguments<S> for () {
    const NEEDS: Needs = Needs::NOTHING;

    fn extract(_: &mut Request<S>) -> Result<Self, Error> {
        Ok(())
    }
}

macro_rules! arity {
    ($($arg:ident)+) => {
        // No bound on the arguments: see the head of this file.
        impl<F: Fn($($arg),+) -> R, R, $($arg),+> Callable<($($arg,)+)> for F {
            type Output = R;

            #[allow(non_snake_case, reason = "the names of the types serve as names of the values")]
            fn call_with(&self, ($($arg,)+): ($($arg,)+)) -> R {
                self($($arg),+)
            }
        }

        impl<S, $($arg: FromRequest<S>),+> Arguments<S> for ($($arg,)+) {
            const NEEDS: Needs = Needs::NOTHING$(.and($arg::NEEDS))+;

            fn extract(request: &mut Request<S>) -> Result<Self, Error> {
                Ok(($($arg::from_request(request)?,)+))
            }
        }
    };
}

arity!(A);
arity!(A B);
arity!(A B C);
arity!(A B C D);
arity!(A B C D E);
arity!(A B C D E G);
