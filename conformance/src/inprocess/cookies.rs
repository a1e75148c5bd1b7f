//! Cookies as a browser keeps them for one host (RFC 6265 section 5, without domains).

use std::time::{Duration, SystemTime};

/// What one host has set.
#[derive(Debug, Default)]
pub(super) struct Jar {
    cookies: Vec<Cookie>,
}

#[derive(Debug)]
struct Cookie {
    name: String,
    value: String,
    path: String,
    secure: bool,
    expires: Option<SystemTime>,
}

impl Jar {
    /// Takes a `Set-Cookie` value that came with the answer to a request for `path`.
    pub(super) fn store(&mut self, line: &str, path: &str, now: SystemTime) {
        let mut parts = line.split(';');
        let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else { return };
        let directory = path.rfind('/').map_or("/", |end| &path[..end.max(1)]);
        let mut cookie = Cookie {
            name: name.trim().to_owned(),
            value: value.trim().to_owned(),
            path: directory.to_owned(),
            secure: false,
            expires: None,
        };
        let mut max_age = None;
        for attribute in parts {
            let (key, value) = attribute.split_once('=').unwrap_or((attribute, ""));
            let value = value.trim();
            match key.trim().to_ascii_lowercase().as_str() {
                "path" if value.starts_with('/') => cookie.path = value.to_owned(),
                "secure" => cookie.secure = true,
                "expires" => cookie.expires = httpdate::parse_http_date(value).ok(),
                "max-age" => max_age = value.parse::<i64>().ok(),
                _ => {}
            }
        }
        if let Some(seconds) = max_age {
            let span = Duration::from_secs(seconds.unsigned_abs());
            cookie.expires = if seconds > 0 { now.checked_add(span) } else { Some(now) };
        }
        self.cookies.retain(|old| (&old.name, &old.path) != (&cookie.name, &cookie.path));
        if !cookie.name.is_empty() && cookie.expires.is_none_or(|expires| expires > now) {
            self.cookies.push(cookie);
        }
    }

    /// The `Cookie` value for a request, longest paths first, or `None` without cookies for it.
    pub(super) fn header(&self, path: &str, secure: bool, now: SystemTime) -> Option<String> {
        let mut cookies: Vec<&Cookie> =
            self.cookies.iter().filter(|cookie| cookie.applies(path, secure, now)).collect();
        cookies.sort_by_key(|cookie| std::cmp::Reverse(cookie.path.len()));
        let pairs: Vec<String> = cookies.iter().map(|cookie| format!("{}={}", cookie.name, cookie.value)).collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }

    /// The value of the cookie of this name, wherever it applies.
    pub(super) fn value(&self, name: &str) -> Option<String> {
        self.cookies.iter().find(|cookie| cookie.name == name).map(|cookie| cookie.value.clone())
    }
}

impl Cookie {
    fn applies(&self, path: &str, secure: bool, now: SystemTime) -> bool {
        let below = path.strip_prefix(self.path.as_str());
        let on_path = below.is_some_and(|rest| self.path.ends_with('/') || rest.is_empty() || rest.starts_with('/'));
        on_path && (secure || !self.secure) && self.expires.is_none_or(|expires| expires > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    fn jar(lines: &[&str]) -> Jar {
        let mut jar = Jar::default();
        lines.iter().for_each(|line| jar.store(line, "/shop/cart", NOW));
        jar
    }

    #[test]
    fn paths_decide_which_cookies_are_sent() {
        let jar = jar(&["a=1", "b=2; Path=/", "c=3; Path=/shop/cart", "d=4; path=/sho"]);
        assert_eq!(jar.header("/shop/cart", false, NOW).unwrap(), "c=3; a=1; b=2");
        assert_eq!(jar.header("/shop", false, NOW).unwrap(), "a=1; b=2");
        assert_eq!(jar.header("/shopping", false, NOW).unwrap(), "b=2");
    }

    #[test]
    fn cookies_are_replaced_and_removed() {
        assert_eq!(jar(&["a=1", "a=2"]).header("/shop/", false, NOW).unwrap(), "a=2");
        assert_eq!(jar(&["a=1", "a=; Max-Age=0"]).header("/shop/", false, NOW), None);
        assert_eq!(jar(&["a=1", "a=; Max-Age=-1"]).header("/shop/", false, NOW), None);
        assert_eq!(jar(&["a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT"]).header("/shop/", false, NOW), None);
        let kept = jar(&["a=1; Max-Age=5; Expires=Thu, 01 Jan 1970 00:00:00 GMT"]);
        assert!(kept.header("/shop/", false, NOW).is_some(), "Max-Age has precedence");
        assert_eq!(kept.header("/shop/", false, NOW + Duration::from_secs(5)), None);
        assert!(jar(&["a=1; Max-Age=99999999999999999999"]).header("/shop/", false, NOW).is_some());
    }

    #[test]
    fn secure_cookies_need_https() {
        let jar = jar(&["a=1; Secure; HttpOnly; SameSite=Lax"]);
        assert_eq!(jar.header("/shop/", false, NOW), None);
        assert_eq!(jar.header("/shop/", true, NOW).unwrap(), "a=1");
        assert_eq!(jar.value("a").unwrap(), "1");
    }

    #[test]
    fn what_is_no_cookie_is_ignored() {
        assert!(jar(&["", "novalue", "=x", "; Path=/"]).cookies.is_empty());
    }
}
