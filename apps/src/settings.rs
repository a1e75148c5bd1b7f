//! What the runner can be told, and how words become values.

use std::time::Duration;

use apps::Given;
use conformance::lint::Severity;
use gateway_spec::Scheme;

use crate::access_log::Format;

/// Everything that can be set; `None` leaves the choice to the server.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    pub(crate) app: String,
    /// The application's own options.
    pub(crate) given: Given,
    pub(crate) server: Option<String>,
    pub(crate) bind: Option<String>,
    pub(crate) mount: Option<String>,
    pub(crate) access_log: Option<Format>,
    pub(crate) threads: Option<usize>,
    pub(crate) lint: Option<Severity>,
    pub(crate) config: Config,
}

/// The settings that every server has under the same name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Config {
    pub(crate) server_name: Option<String>,
    pub(crate) server_port: Option<String>,
    pub(crate) server_header: Option<String>,
    pub(crate) url_scheme: Option<Scheme>,
    pub(crate) max_request_line: Option<usize>,
    pub(crate) max_head: Option<usize>,
    pub(crate) max_headers: Option<usize>,
    pub(crate) max_body: Option<u64>,
    pub(crate) max_chunk_extensions: Option<usize>,
    pub(crate) max_drain: Option<u64>,
    pub(crate) max_requests_per_connection: Option<u64>,
    pub(crate) max_connections: Option<usize>,
    pub(crate) max_pending: Option<usize>,
    pub(crate) pending_timeout: Option<Duration>,
    pub(crate) head_timeout: Option<Duration>,
    pub(crate) keep_alive_timeout: Option<Duration>,
    pub(crate) body_timeout: Option<Duration>,
    pub(crate) min_body_rate: Option<u64>,
    pub(crate) rate_grace: Option<Duration>,
    pub(crate) write_timeout: Option<Duration>,
    pub(crate) linger_timeout: Option<Duration>,
    pub(crate) max_linger: Option<u64>,
    pub(crate) shutdown_timeout: Option<Duration>,
    pub(crate) app_deadline: Option<Duration>,
}

/// How much [`Lint`](conformance::lint::Lint) reports; `None` for no lint at all.
pub(crate) fn lint(text: &str) -> Result<Option<Severity>, String> {
    match text {
        "none" => Ok(None),
        "errors" => Ok(Some(Severity::Error)),
        "warnings" => Ok(Some(Severity::Warning)),
        "remarks" => Ok(Some(Severity::Remark)),
        _ => Err(format!("{text:?} is not errors, warnings, remarks or none")),
    }
}

/// A path to mount at: `/prefix`, or `/` for none.
pub(crate) fn prefix(text: &str) -> Result<String, String> {
    match text {
        "" => Ok(String::new()),
        _ if text.starts_with('/') => Ok(text.trim_end_matches('/').to_owned()),
        _ => Err(format!("{text:?} does not begin with /")),
    }
}

/// `http` or `https`.
pub(crate) fn scheme(text: &str) -> Result<Scheme, String> {
    match text {
        "http" => Ok(Scheme::Http),
        "https" => Ok(Scheme::Https),
        _ => Err(format!("{text:?} is neither http nor https")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_begin_with_a_slash_and_do_not_end_with_one() {
        for (text, stored) in [("", ""), ("/", ""), ("/x", "/x"), ("/x/y/", "/x/y")] {
            assert_eq!(prefix(text).as_deref(), Ok(stored));
        }
        assert!(prefix("x").is_err());
    }
}
