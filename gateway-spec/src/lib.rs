#![doc = include_str!("../SPEC.md")]

mod application;
mod body;
#[cfg(doctest)]
mod by_construction;
mod calls;
mod env_str;
mod environ;
mod error;
mod errors;
mod extensions;
mod header;
mod input;
mod last_head;
mod path;
mod rare;
mod request;
mod start_response;
mod status;
mod text;

pub use application::{Application, app_fn};
pub use body::{Blocks, Body, FileBody};
pub use calls::Calls;
pub use env_str::EnvStr;
pub use environ::{Environ, VERSION};
pub use error::{Error, Misuse};
pub use errors::{ErrorSink, Errors};
pub use extensions::Extensions;
pub use header::{Field, Head, check_header, is_hop_by_hop, trim_blanks};
pub use input::{Input, Source};
pub use last_head::LastHead;
pub use path::{percent_decode, percent_encode_path};
pub use request::{Connection, Peer, Request, Scheme, ServerInfo, Version};
pub use start_response::StartResponse;
pub use status::Status;
pub use text::{digits, is_token, latin1};

pub use bytes::Bytes;
