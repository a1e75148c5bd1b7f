//! Where a request leads: mounts, which move the border between `SCRIPT_NAME` and `PATH_INFO`, and URLs.

use std::borrow::Cow;

use super::Environ;
use crate::path::match_prefix;
use crate::{percent_decode, percent_encode_path};

impl Environ<'_> {
    /// If the path below the mount begins with `prefix`, by whole segments (CGI-PATH-08), moves the prefix from
    /// `PATH_INFO` to `SCRIPT_NAME` and says so.
    ///
    /// `prefix` is decoded and begins with `/`, or is empty; a `/` at its end does not matter.
    pub fn mount(&mut self, prefix: &str) -> bool {
        let prefix = prefix.trim_end_matches('/');
        let matched = match_prefix(&self.raw_path_info(), prefix.as_bytes());
        let Some(matched) = matched else { return false };
        if self.changed("SCRIPT_NAME").is_some() || self.changed("PATH_INFO").is_some() {
            let script_name = [self.script_name().as_bytes(), prefix.as_bytes()].concat();
            self.set("SCRIPT_NAME", script_name);
        }
        if self.changed("PATH_INFO").is_none() {
            // Also below a `SCRIPT_NAME` that was set: what is left stays as the client encoded it.
            self.mounted += matched;
        } else {
            let path_info = self.path_info().as_bytes()[prefix.len()..].to_vec();
            self.set("PATH_INFO", path_info);
        }
        true
    }

    /// Moves the first segment of `PATH_INFO` that is not empty to `SCRIPT_NAME` and returns it, decoded; `None` if there
    /// is none left (GW-REF-29).
    ///
    /// Empty segments before it move along, so that `SCRIPT_NAME` and `PATH_INFO` stay the whole path (CGI-PATH-11) and
    /// `SCRIPT_NAME` never ends with the `/` of an empty one (GW-VAL-29, GW-RACK-05); a `/` at the end stays in `PATH_INFO`.
    /// Nothing is normalised: `.` and `..` come out as they are, and are for the caller to refuse.
    pub fn shift_path_info(&mut self) -> Option<String> {
        let raw = self.raw_path_info().into_owned();
        let rest = raw.trim_start_matches('/');
        let slashes = raw.len() - rest.len();
        let segment = rest.split('/').next().filter(|segment| slashes > 0 && !segment.is_empty())?;
        let octets = percent_decode(segment)?.into_owned();
        let text = String::from_utf8_lossy(&octets).into_owned();
        if self.changed("SCRIPT_NAME").is_some() || self.changed("PATH_INFO").is_some() {
            let script_name = [self.script_name().as_bytes(), &raw.as_bytes()[..slashes], &octets].concat();
            self.set("SCRIPT_NAME", script_name);
        }
        if self.changed("PATH_INFO").is_none() {
            self.mounted += slashes + segment.len();
        } else {
            let path_info = self.path_info().as_bytes()[slashes + octets.len()..].to_vec();
            self.set("PATH_INFO", path_info);
        }
        Some(text)
    }

    /// The authority for URLs: `HTTP_HOST`, else the server's name, with its port unless that goes without saying
    /// (GW-URL-02).
    #[must_use]
    pub fn host(&self) -> Cow<'_, str> {
        match self.get("HTTP_HOST") {
            Some(host) if !host.is_empty() => Cow::Owned(host.to_string_lossy().into_owned()),
            _ if self.server_port() == self.url_scheme.default_port() => Cow::Borrowed(self.server_name()),
            _ => Cow::Owned(format!("{}:{}", self.server_name(), self.server_port())),
        }
    }

    /// The URL of the application: scheme, authority and `SCRIPT_NAME` (GW-URL-01).
    #[must_use]
    pub fn application_url(&self) -> String {
        let script_name = self.script_name();
        let path = if script_name.is_empty() { "/".into() } else { percent_encode_path(script_name.as_bytes()) };
        format!("{}://{}{path}", self.url_scheme.as_str(), self.host())
    }

    /// The URL of the request, rebuilt from the variables (GW-URL-01). Not always what the client wrote (GW-URL-04):
    /// `%2F` becomes `/`; see [`request_uri`](Self::request_uri).
    #[must_use]
    pub fn url(&self) -> String {
        let path = [self.script_name().as_bytes(), self.path_info().as_bytes()].concat();
        let mut url = format!("{}://{}{}", self.url_scheme.as_str(), self.host(), percent_encode_path(&path));
        if !self.query_string().is_empty() {
            url.push('?');
            url.push_str(self.query_string());
        }
        url
    }
}
