//! Applications around applications: each is an [`Application`](gateway_spec::Application) that holds another one.
//!
//! They know nothing of the framework and serve any application: one of this crate, a plain function, files, another
//! language.
//!
//! ```
//! use framework_mini::App;
//! use framework_mini::middleware::{AccessLog, ConditionalGet, RequestIds, SecurityHeaders};
//!
//! let site = App::new(()).get("/", || "Hello!").build().unwrap();
//! let site = AccessLog::new(RequestIds::new(SecurityHeaders::new(ConditionalGet::new(site))));
//! ```
//!
//! The first to see a request is the outermost. From the outside to the inside this order is right for most: [`ProxyFix`],
//! [`AccessLog`], [`RequestIds`], [`CatchPanic`], [`SecurityHeaders`], [`Cors`], `Gzip`, [`ConditionalGet`],
//! [`BodyLimit`], [`CrossOriginCheck`], [`BasicAuth`], `Sessions`, [`MethodOverride`].
//!
//! Those that change responses are [`Filter`]s: [`filter`](fn@filter) knows late starts, `write`, replaced answers,
//! streams and files, so that a filter need not.

mod access_log;
mod basic_auth;
mod body_limit;
mod catch_panic;
mod conditional_get;
mod cors;
mod cross_origin;
mod filter;
#[cfg(feature = "gzip")]
mod gzip;
mod method_override;
mod proxy_fix;
mod request_id;
mod security_headers;
#[cfg(feature = "sessions")]
mod sessions;
mod text;

pub use self::access_log::AccessLog;
pub use self::basic_auth::{BasicAuth, constant_time_eq};
pub use self::body_limit::BodyLimit;
pub use self::catch_panic::CatchPanic;
pub use self::conditional_get::ConditionalGet;
pub use self::cors::Cors;
pub use self::cross_origin::CrossOriginCheck;
pub use self::filter::{Content, Filter, Interest, ResponseHead, filter};
#[cfg(feature = "gzip")]
pub use self::gzip::Gzip;
pub use self::method_override::MethodOverride;
pub use self::proxy_fix::{ForwardedBy, Network, ProxyFix};
pub use self::request_id::{RequestId, RequestIds};
pub use self::security_headers::SecurityHeaders;
#[cfg(feature = "sessions")]
pub use self::sessions::{Session, SessionError, SessionKey, Sessions};
pub(crate) use self::text::join_lines;
pub use self::text::{merge_vary, printable};
