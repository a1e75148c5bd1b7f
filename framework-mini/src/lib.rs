//! Under construction.

mod app;
mod context;
mod cookie;
mod error;
mod error_page;
mod extract;
mod file;
mod handler;
mod html;
mod media_type;
pub mod middleware;
#[cfg(feature = "multipart")]
mod multipart;
mod negotiate;
mod pattern;
mod pool;
mod range;
mod redirect;
mod request;
mod response;
pub mod router;
mod site;
#[cfg(feature = "sqlite")]
mod sqlite;
mod stream;
#[cfg(feature = "templates")]
mod template;
#[cfg(test)]
mod testing;
mod validator;

pub use app::{App, BuildErrors};
pub use context::{Url, Urls};
pub use cookie::{Cookie, CookieError, Cookies, SameSite};
pub use error::Error;
#[cfg(feature = "json")]
pub use extract::Json;
pub use extract::{FieldErrors, Fields, FromRequest, Headers, Path, State};
#[cfg(feature = "forms")]
pub use extract::{Form, Query};
pub use file::File;
pub use handler::{Arguments, Callable, Handler, Needs};
pub use html::escape;
pub use media_type::of_name as media_type;
#[cfg(feature = "sessions")]
pub use middleware::Session;
#[cfg(feature = "multipart")]
pub use multipart::{Multipart, Part};
pub use negotiate::prefers;
pub use pool::{Pool, Pooled};
pub use redirect::Redirect;
pub use request::{BodyReader, Request};
pub use response::{Html, IntoResponse, Response};
pub use site::Site;
#[cfg(feature = "sqlite")]
pub use sqlite::Sqlite;
pub use stream::{Event, Sse, Stream};
#[cfg(feature = "templates")]
pub use template::{Page, Templates};
pub use validator::{Conditions, ETag, Validators};

pub use gateway_spec::{Body, Bytes, Status};
#[cfg(feature = "templates")]
pub use minijinja::{self, context};
#[cfg(feature = "sqlite")]
pub use rusqlite;
