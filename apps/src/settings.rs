//! What the runner can be told, and how words become values.

use std::time::Duration;

use apps::Given;
use conformance::lint::Severity;
use framework_mini::middleware::{ForwardedBy, Network, ProxyFix};
use gateway_spec::{Application, Scheme};

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
    pub(crate) trusted_proxies: Option<Proxies>,
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

/// Whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Proxies {
    /// So many, through which every request comes.
    Count(usize),
    /// Those in these networks.
    In(Vec<Network>),
}

impl Proxies {
    /// `1`, or `127.0.0.1,10.0.0.0/8`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if let Ok(count) = apps::values::count(text) {
            return Ok(Self::Count(count));
        }
        text.split(',').map(|network| network.trim().parse()).collect::<Result<_, _>>().map(Self::In)
    }

    /// An application that is told of the client what they say.
    pub(crate) fn around<A: Application>(self, application: A) -> ProxyFix<A> {
        let fix = ProxyFix::new(application, ForwardedBy::XForwarded);
        match self {
            Self::Count(count) => fix.hops(count),
            Self::In(networks) => fix.networks(networks),
        }
    }
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

/// What can be listened on, as far as its form tells.
pub(crate) fn address(text: &str) -> Result<String, String> {
    if text == crate::inherited::NAME || text.contains(':') {
        return Ok(text.to_owned());
    }
    Err(format!("{text:?} is no address; write 127.0.0.1:8000, [::1]:8000, unix:/PATH or {}", crate::inherited::NAME))
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

    #[test]
    fn proxies_are_a_number_or_networks() {
        let networks = |list: &[&str]| Proxies::In(list.iter().map(|network| network.parse().unwrap()).collect());
        assert_eq!(Proxies::parse("2"), Ok(Proxies::Count(2)));
        assert_eq!(Proxies::parse("::1"), Ok(networks(&["::1"])));
        assert_eq!(Proxies::parse("127.0.0.1, 10.0.0.0/8"), Ok(networks(&["127.0.0.1", "10.0.0.0/8"])));
        for bad in ["", "nginx", "10.0.0.0/33", "127.0.0.1,", "-1"] {
            assert!(Proxies::parse(bad).is_err_and(|error| error.contains("not a network")), "{bad}");
        }
    }
}
