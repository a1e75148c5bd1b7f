//! [`ProxyFix`]: the client as the proxies in front saw it.

use std::net::IpAddr;
use std::str::FromStr;

use gateway_spec::{Application, Body, Environ, Error, Scheme, StartResponse};

/// Takes the client's address, scheme and host from what proxies have added, as far as they are trusted.
///
/// Everything a client sends can look like what a proxy adds. So it has to be said which headers the nearest proxy sets,
/// and whom to believe: a number of proxies, or their networks. What is further away is passed over.
///
/// ```
/// use framework_mini::App;
/// use framework_mini::middleware::{ForwardedBy, ProxyFix};
///
/// let site = App::new(()).get("/", || "Hello!").build().unwrap();
/// // One proxy, such as nginx with X-Forwarded-For and X-Forwarded-Proto:
/// let site = ProxyFix::new(site, ForwardedBy::XForwarded).hops(1);
/// ```
///
/// `REMOTE_ADDR` and the scheme change, and `HTTP_HOST` by the standard header or on request ([`host`](Self::host));
/// [`peer_addr`](Environ::peer_addr) stays. Without [`hops`](Self::hops) or [`networks`](Self::networks) nothing changes.
///
/// The nearest proxy has to set each header that is looked at on every request: one that it lets through is the client's.
#[derive(Clone, Debug)]
pub struct ProxyFix<A> {
    application: A,
    by: ForwardedBy,
    hops: usize,
    networks: Vec<Network>,
    host: bool,
    prefix: bool,
}

/// The headers that the nearest proxy sets. The other kind comes from the client unchanged and is not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ForwardedBy {
    /// `X-Forwarded-For` and `-Proto`, and `-Host` on request.
    XForwarded,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// A network of trusted proxies: `10.0.0.0/8`, `fd00::/8`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u32,
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("{text:?} is not a network such as `10.0.0.0/8`");
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| bad())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(most), |bits| bits.parse().map_err(|_| bad()))?;
        if bits > most { Err(bad()) } else { Ok(Self { address, bits }) }
    }
}

impl Network {
    /// Whether an address is in it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let same = |one: u128, two: u128, width: u32| {
            let shift = width - self.bits;
            shift >= 128 || one >> shift == two >> shift
        };
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => same(own.to_bits().into(), other.to_bits().into(), 32),
            (IpAddr::V6(own), IpAddr::V6(other)) => same(own.to_bits(), other.to_bits(), 128),
            _ => false,
        }
    }
}

impl<A> ProxyFix<A> {
    /// Believes nobody yet.
    pub const fn new(application: A, by: ForwardedBy) -> Self {
        Self { application, by, hops: 0, networks: Vec::new(), host: false, prefix: false }
    }

    /// Believes so many proxies, the nearest first. Every request must really come through them all.
    #[must_use]
    pub const fn hops(mut self, hops: usize) -> Self {
        self.hops = hops;
        self
    }

    /// Believes proxies in these networks, as long as each is named by another one that is believed.
    #[must_use]
    pub fn networks(mut self, networks: impl IntoIterator<Item = Network>) -> Self {
        self.networks.extend(networks);
        self
    }

    /// Takes the host of `X-Forwarded-Host` too. Off unless asked for: proxies that set the other headers often let this one
    /// through, and then a client chooses the host in URLs that the application writes, in mails for example.
    #[must_use]
    pub const fn host(mut self) -> Self {
        self.host = true;
        self
    }

    /// Takes `X-Forwarded-Prefix` of the nearest proxy as the place where the application is mounted.
    #[must_use]
    pub const fn prefix(mut self) -> Self {
        self.prefix = true;
        self
    }

    /// Changes the environ.
    fn fix(&self, environ: &mut Environ<'_>) {
        let peer = environ.peer_addr().map(|peer| peer.ip());
        let elements = elements(environ, self.by);
        let trusts = |address: Option<IpAddr>| {
            // A Unix socket has no address; who can connect to it is a matter of its permissions.
            address.is_none_or(|address| self.networks.iter().any(|network| network.contains(address)))
        };
        let hops = if self.networks.is_empty() {
            self.hops.min(elements.len())
        } else if !trusts(peer) {
            0
        } else {
            // From the nearest on, as long as the one that was named is a proxy too.
            let named =
                elements.iter().rev().take_while(|element| element.client.is_some_and(|client| trusts(Some(client))));
            (named.count() + 1).min(elements.len())
        };
        if hops == 0 || (self.networks.is_empty() && elements.len() < self.hops) {
            return;
        }
        let element = &elements[elements.len() - hops];
        if let Some(client) = element.client {
            environ.set("REMOTE_ADDR", client.to_string());
            environ.remove("REMOTE_PORT");
        }
        if let Some(scheme) = element.scheme {
            environ.set_url_scheme(scheme);
        }
        // In an element of the standard header everything is from who wrote the element.
        let host = element.host.clone().filter(|_| self.host || self.by == ForwardedBy::Forwarded);
        if let Some(host) = host {
            environ.set("HTTP_HOST", host);
        }
        if self.prefix {
            let prefix = environ.header("x-forwarded-prefix").map(|value| value.to_string_lossy().into_owned());
            if let Some(prefix) = prefix.as_deref().map(|prefix| prefix.trim_end_matches('/')).filter(|p| is_prefix(p))
            {
                // The path below stays as the client encoded it, for routers.
                let script_name = [prefix.as_bytes(), environ.script_name().as_bytes()].concat();
                environ.set("SCRIPT_NAME", script_name);
            }
        }
    }
}

impl<A: Application> Application for ProxyFix<A> {
    fn call(&self, environ: &mut Environ<'_>, start_response: &mut dyn StartResponse) -> Result<Body, Error> {
        self.fix(environ);
        self.application.call(environ, start_response)
    }
}

/// What one proxy has said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Element {
    client: Option<IpAddr>,
    scheme: Option<Scheme>,
    host: Option<String>,
}

/// What the proxies have said, the farthest first.
fn elements(environ: &Environ<'_>, by: ForwardedBy) -> Vec<Element> {
    let list = |name: &str| -> Vec<String> {
        let value = environ.header(name).map(|value| value.to_latin1().into_owned()).unwrap_or_default();
        split_quoted(&value, ',').map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
    };
    match by {
        ForwardedBy::XForwarded => {
            let (protos, hosts) = (list("x-forwarded-proto"), list("x-forwarded-host"));
            let clients = list("x-forwarded-for");
            // Some proxies add to the list of schemes, others replace it: counted from the end, and the first there is
            // for those that are farther away.
            let at = |list: &[String], from_end: usize| list.get(list.len().saturating_sub(from_end + 1)).cloned();
            let count = clients.len();
            let element = |(index, client): (usize, &String)| Element {
                client: address(client),
                scheme: at(&protos, count - 1 - index).as_deref().and_then(scheme),
                host: at(&hosts, count - 1 - index).filter(|host| is_host(host)),
            };
            clients.iter().enumerate().map(element).collect()
        }
        ForwardedBy::Forwarded => list("forwarded").iter().map(|element| forwarded(element)).collect(),
    }
}

/// One element of `Forwarded`.
fn forwarded(text: &str) -> Element {
    let mut element = Element::default();
    for pair in split_quoted(text, ';') {
        let Some((name, value)) = pair.split_once('=') else { continue };
        let value = value.trim();
        let value =
            value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value).replace('\\', "");
        match &*name.trim().to_ascii_lowercase() {
            "for" => element.client = address(&value),
            "proto" => element.scheme = scheme(&value),
            "host" => element.host = Some(value).filter(|host| is_host(host)),
            _ => {}
        }
    }
    element
}

/// The parts of a list, where a separator in quotes separates nothing.
///
/// If the quotes do not come in pairs, they mean nothing: a client that opens one and never closes it must not swallow
/// what the proxy adds behind it.
fn split_quoted(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let paired = text.bytes().filter(|b| *b == b'"').count().is_multiple_of(2);
    let mut quoted = false;
    text.split(move |c| {
        quoted ^= c == '"' && paired;
        c == separator && !quoted
    })
}

/// An address, with or without a port; `unknown` and invented names are none.
fn address(text: &str) -> Option<IpAddr> {
    let bare = match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?.0,
        None if text.matches(':').count() == 1 => text.split_once(':')?.0,
        None => text,
    };
    bare.parse::<IpAddr>().ok().map(|ip| ip.to_canonical())
}

fn scheme(text: &str) -> Option<Scheme> {
    match text {
        _ if text.eq_ignore_ascii_case("http") => Some(Scheme::Http),
        _ if text.eq_ignore_ascii_case("https") => Some(Scheme::Https),
        _ => None,
    }
}

fn is_host(host: &str) -> bool {
    !host.is_empty()
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b':' | b'[' | b']'))
}

fn is_prefix(prefix: &str) -> bool {
    prefix.starts_with('/')
        && prefix.split('/').skip(1).all(|segment| {
            !matches!(segment, "" | "." | "..")
                && segment.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b))
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestRequest;

    fn fixed(fix: &ProxyFix<()>, headers: &[(&str, &str)]) -> String {
        let request = headers.iter().fold(TestRequest::get("/a"), |request, (name, value)| request.header(name, value));
        request.peer([10, 0, 0, 1]).with(|environ| {
            fix.fix(environ);
            assert_eq!(environ.raw_path_info(), "/a");
            format!("{} {}", environ.remote_addr(), environ.url())
        })
    }

    const UNCHANGED: &str = "10.0.0.1 http://localhost:8000/a";

    #[test]
    fn a_number_of_hops() {
        let fix = |hops: usize| ProxyFix::new((), ForwardedBy::XForwarded).hops(hops).host();
        let three = ("X-Forwarded-For", "6.6.6.6, 1.1.1.1, 2.2.2.2");
        for (hops, headers, expected) in [
            (0, vec![three], UNCHANGED),
            (1, vec![], UNCHANGED),
            (1, vec![three], "2.2.2.2 http://localhost:8000/a"),
            (2, vec![three], "1.1.1.1 http://localhost:8000/a"),
            (4, vec![three], UNCHANGED),
            (1, vec![three, ("X-Forwarded-Proto", "https")], "2.2.2.2 https://localhost:8000/a"),
            (2, vec![three, ("X-Forwarded-Proto", "http, https, http")], "1.1.1.1 https://localhost:8000/a"),
            (2, vec![three, ("X-Forwarded-Host", "a.example")], "1.1.1.1 http://a.example/a"),
            (1, vec![three, ("X-Forwarded-Host", "evil/..")], "2.2.2.2 http://localhost:8000/a"),
            (1, vec![three, ("X-Forwarded-Proto", "javascript")], "2.2.2.2 http://localhost:8000/a"),
            (1, vec![("X-Forwarded-For", "unknown")], UNCHANGED),
            (1, vec![("X-Forwarded-For", "[2001:db8::1]:7")], "2001:db8::1 http://localhost:8000/a"),
            (1, vec![("Forwarded", "for=3.3.3.3")], UNCHANGED),
        ] {
            assert_eq!(fixed(&fix(hops), &headers), expected, "{hops} {headers:?}");
        }
        // A proxy that sets the others may let the client's host through.
        let headers = [three, ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "evil.example")];
        let without = ProxyFix::new((), ForwardedBy::XForwarded).hops(1);
        assert_eq!(fixed(&without, &headers), "2.2.2.2 https://localhost:8000/a");
    }

    #[test]
    fn networks_of_proxies() {
        let fix = |networks: &[&str]| {
            ProxyFix::new((), ForwardedBy::XForwarded).networks(networks.iter().map(|network| network.parse().unwrap()))
        };
        let list = ("X-Forwarded-For", "6.6.6.6, 1.1.1.1, 10.2.2.2");
        for (networks, headers, expected) in [
            (vec!["10.0.0.0/8"], vec![list], "1.1.1.1 http://localhost:8000/a"),
            (vec!["10.0.0.1"], vec![list], "10.2.2.2 http://localhost:8000/a"),
            (vec!["192.168.0.0/16"], vec![list], UNCHANGED),
            (vec!["0.0.0.0/0"], vec![list], "6.6.6.6 http://localhost:8000/a"),
        ] {
            assert_eq!(fixed(&fix(&networks), &headers), expected, "{networks:?}");
        }
        for bad in ["10.0.0.0/33", "x", "10.0.0.0/", "::/129", ""] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
        let six: Network = "fd00::/8".parse().unwrap();
        assert!(six.contains("fd12::1".parse().unwrap()) && !six.contains("fe80::1".parse().unwrap()));
    }

    #[test]
    fn the_standard_header() {
        let fix = ProxyFix::new((), ForwardedBy::Forwarded).hops(1);
        for (value, expected) in [
            ("for=1.1.1.1;proto=https;host=a.example", "1.1.1.1 https://a.example/a"),
            ("for=6.6.6.6, FOR=\"[2001:db8::1]:80\"; Proto=HTTPS", "2001:db8::1 https://localhost:8000/a"),
            ("for=\"_hidden, for=6.6.6.6\"", UNCHANGED),
            // A client that opens a quote hides nothing of what the proxy says.
            ("for=\"x, for=1.1.1.1", "1.1.1.1 http://localhost:8000/a"),
            ("for=\"6.6.6.6, for=\"[2001:db8::1]\"", "2001:db8::1 http://localhost:8000/a"),
            ("for=\"\\\", for=1.1.1.1", "1.1.1.1 http://localhost:8000/a"),
            ("for=unknown;proto=https", "10.0.0.1 https://localhost:8000/a"),
            (";;=,", UNCHANGED),
        ] {
            assert_eq!(fixed(&fix, &[("Forwarded", value), ("X-Forwarded-For", "9.9.9.9")]), expected, "{value}");
        }
    }

    #[test]
    fn prefixes() {
        let fix = ProxyFix::new((), ForwardedBy::XForwarded).hops(1).prefix();
        for (prefix, expected) in
            [("/app/", "/app/a"), ("/x/y", "/x/y/a"), ("//evil", "/a"), ("/../x", "/a"), ("app", "/a"), ("/a\"b", "/a")]
        {
            let headers = [("X-Forwarded-For", "1.1.1.1"), ("X-Forwarded-Prefix", prefix)];
            assert_eq!(fixed(&fix, &headers), format!("1.1.1.1 http://localhost:8000{expected}"), "{prefix}");
        }
        // A mount within sees the path as the client has encoded it.
        let request = TestRequest::get("/mnt/a%2Fb").header("X-Forwarded-For", "1.1.1.1");
        request.header("X-Forwarded-Prefix", "/app").with(|environ| {
            fix.fix(environ);
            assert!(environ.mount("/mnt"));
            assert_eq!((environ.script_name(), environ.raw_path_info()), ("/app/mnt".into(), "/a%2Fb".into()));
        });
    }
}
