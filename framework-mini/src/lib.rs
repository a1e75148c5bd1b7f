//! Under construction.

mod app;
mod context;
mod cookie;
mod error;
mod error_page;
mod extract;
mod handler;
mod html;
pub mod middleware;
mod negotiate;
mod pattern;
mod redirect;
mod request;
mod response;
pub mod router;
mod site;
#[cfg(test)]
mod testing;

pub use app::{App, BuildErrors};
pub use context::{Url, Urls};
pub use cookie::{Cookie, CookieError, Cookies, SameSite};
pub use error::Error;
#[cfg(feature = "json")]
pub use extract::Json;
pub use extract::{FieldErrors, Fields, FromRequest, Headers, Path, State};
#[cfg(feature = "forms")]
pub use extract::{Form, Query};
pub use handler::{Arguments, Callable, Handler, Needs};
pub use html::escape;
pub use negotiate::prefers;
pub use redirect::Redirect;
pub use request::{BodyReader, Request};
pub use response::{Html, IntoResponse, Response};
pub use site::Site;

pub use gateway_spec::{Body, Bytes, Status};
