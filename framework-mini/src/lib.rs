//! A mini web framework on the Gateway contract: from a request to a function of yours, and from what it returns to a
//! response.
//!
//! ```
//! use framework_mini::{App, Html, Path, Redirect, State, escape};
//! use std::sync::Mutex;
//!
//! type Names = Mutex<Vec<String>>;
//!
//! fn list(State(names): State<Names>) -> Html<String> {
//!     let names = names.lock().unwrap();
//!     Html(names.iter().map(|name| format!("<p>{}", escape(name))).collect())
//! }
//!
//! fn add(Path(name): Path<String>, State(names): State<Names>) -> Redirect {
//!     names.lock().unwrap().push(name);
//!     Redirect::to("/")
//! }
//!
//! let site = App::new(Names::default())
//!     .get("/", list)
//!     .post("/names/{name}", add)
//!     .build()?;
//! // `site` is an `Application`: any Gateway server runs it, any middleware wraps it, any application mounts it.
//! # Ok::<(), framework_mini::BuildErrors>(())
//! ```
//!
//! # Where to read on
//! - [`App`]: routes, mounts, names. [`App::build`] finds every mistake in them.
//! - [`FromRequest`]: what a handler can take. [`IntoResponse`]: what it can return. [`Error`]: what goes wrong.
//! - [`middleware`]: applications around applications, with a log, compression, sessions and more.
//! - [`router`]: the structure behind the routes, which knows nothing of the rest.
//!
//! Handlers are plain functions: they may wait, for a database or a disk, and the server sees to it that others do not.
//!
//! A handler that runs cannot be interrupted. What has an end is what it waits for: the request body (the server's
//! deadlines; reading fails with 408), a client that does not read (the server's), a connection of a [`Pool`] (503 after
//! 5 seconds). Work of unknown length asks the environ for its [deadline](gateway_spec::Environ::deadline), and whether
//! the client [has gone](gateway_spec::Environ::client_gone).
//!
//! # Features
//! | feature | for | by default |
//! |---|---|---|
//! | `forms` | `Query`, `Form`: types of yours by serde | yes |
//! | `json` | `Json` | yes |
//! | `multipart` | `Multipart`: uploads as streams | |
//! | `gzip` | `middleware::Gzip` | |
//! | `sessions` | `middleware::Sessions`, `Session` and flash messages | |
//! | `templates` | `Templates`, `Page`, by minijinja | |
//! | `sqlite` | `Sqlite`: a pool of connections, SQLite compiled in | |
//!
//! # Limits, on by default
//! | what a client can grow | limit | set by |
//! |---|---|---|
//! | a body that is held in memory | 1 MiB | [`App::default_body_limit`], [`App::body_limit`] for a route |
//! | a body that is streamed | 64 MiB | [`App::stream_limit`] |
//! | fields of a query string or form | 1000 | [`App::field_limit`] |
//! | parts of an upload, headers of a part, text of a field | 1000, 16 KiB, 64 KiB | `Multipart` |
//! | ranges of a file | 16 | |
//! | what a line of the access log keeps of a text | 2 KiB | |

#![cfg_attr(
    not(all(feature = "forms", feature = "json")),
    allow(rustdoc::broken_intra_doc_links, reason = "the documentation is that of the default features")
)]

mod answer;
mod app;
mod asset;
mod build_errors;
mod channel;
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

pub use app::App;
pub use asset::Asset;
pub use build_errors::BuildErrors;
pub use channel::{Events, SendError, Sender, channel};
pub use context::{Url, Urls};
pub use cookie::{Cookie, CookieError, Cookies, SameSite};
pub use error::Error;
#[cfg(feature = "json")]
pub use extract::Json;
pub use extract::{FieldErrors, Fields, FromRequest, Headers, Path, PathBytes, State};
#[cfg(feature = "forms")]
pub use extract::{Form, Query};
pub use file::File;
pub use handler::{Arguments, Callable, Handler, Needs};
pub use html::escape;
pub use media_type::of_name as media_type;
#[cfg(feature = "sessions")]
pub use middleware::Session;
#[cfg(feature = "multipart")]
pub use multipart::{Multipart, Part, safe_file_name};
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

#[cfg(all(doctest, feature = "sessions", feature = "sqlite", feature = "templates"))]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(all(doctest, feature = "forms", feature = "json"))]
#[doc = include_str!("../../docs/coming-from.md")]
struct ComingFrom;
