//! What is asked, and what has to come back.

use std::sync::Arc;

/// What a current desktop browser sends besides `Host`, with a session cookie: with it twelve
/// fields, about 700 bytes.
const BROWSER_FIELDS: &str = concat!(
    "Connection: keep-alive\r\n",
    "Cache-Control: max-age=0\r\n",
    "sec-ch-ua: \"Chromium\";v=\"142\", \"Not_A Brand\";v=\"99\"\r\n",
    "sec-ch-ua-mobile: ?0\r\n",
    "sec-ch-ua-platform: \"Linux\"\r\n",
    "Upgrade-Insecure-Requests: 1\r\n",
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) ",
    "Chrome/142.0.0.0 Safari/537.36\r\n",
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n",
    "Accept-Encoding: gzip, deflate, br, zstd\r\n",
    "Accept-Language: en-GB,en;q=0.9,de;q=0.8\r\n",
    "Cookie: session=8f14e45fceea167a5a36dedd4bea2543; csrf=c9f0f895fb98ab9159f51fd0297e236d; ",
    "visits=12; last=2026-11-23T10:00:00Z; theme=dark; consent=necessary\r\n",
);

/// One request as bytes, and the body its answer must carry.
///
/// The answer must be a `200` framed by `Content-Length`; anything else ends the measurement with
/// an error, because a figure for wrong answers is worth nothing.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// Head and body as they go onto the wire.
    pub request: Vec<u8>,
    /// The whole expected response body.
    pub expected: Arc<[u8]>,
}

impl Exchange {
    /// A `GET` with nothing but `Host`, as load generators send it.
    pub fn get(path: &str, expected: impl Into<Arc<[u8]>>) -> Self {
        Self::new(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"), b"", expected)
    }

    /// A `GET` with a head of the size that a browser sends: twelve fields, about 700 bytes.
    pub fn browser(path: &str, expected: impl Into<Arc<[u8]>>) -> Self {
        let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{BROWSER_FIELDS}\r\n");
        Self::new(head, b"", expected)
    }

    /// What a browser sends on its way through a site: as [`browser`](Self::browser), but the page before, the time in a
    /// cookie and with them the length of the head are others each time.
    pub fn browsing(path: &str, expected: impl Into<Arc<[u8]>>) -> Vec<Self> {
        let expected = expected.into();
        let page = |n: usize| {
            let referer = format!("Referer: http://localhost/articles/{}/comments?page={n}\r\n", n * n * 37);
            let fields = BROWSER_FIELDS.replace("visits=12", &format!("visits={}", 9 + n));
            let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{referer}{fields}\r\n");
            Self::new(head, b"", Arc::clone(&expected))
        };
        (0..8).map(page).collect()
    }

    /// A `GET` after which the connection is to be closed.
    pub fn closing(path: &str, expected: impl Into<Arc<[u8]>>) -> Self {
        let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        Self::new(head, b"", expected)
    }

    /// A `POST` of `body`, framed by `Content-Length`.
    pub fn post(path: &str, body: &[u8], expected: impl Into<Arc<[u8]>>) -> Self {
        let length = body.len();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/octet-stream\r\n\
             Content-Length: {length}\r\n\r\n"
        );
        Self::new(head, body, expected)
    }

    fn new(head: String, body: &[u8], expected: impl Into<Arc<[u8]>>) -> Self {
        let mut request = head.into_bytes();
        request.extend_from_slice(body);
        Self { request, expected: expected.into() }
    }

    /// The request `depth` times over: what a pipelining client writes at once.
    pub(super) fn batch(&self, depth: usize) -> Vec<u8> {
        self.request.repeat(depth)
    }
}

#[cfg(test)]
mod tests {
    use super::Exchange;

    #[test]
    fn a_browser_head_is_of_the_stated_size() {
        let request = Exchange::browser("/plaintext", *b"x").request;
        let fields = request.windows(2).filter(|pair| pair == b"\r\n").count() - 2;
        assert_eq!(fields, 12);
        assert!((650..=750).contains(&request.len()), "{} bytes", request.len());
    }

    #[test]
    fn a_post_states_its_length_and_a_batch_repeats_it() {
        let exchange = Exchange::post("/echo", b"abc", *b"abc");
        let text = String::from_utf8(exchange.request.clone()).expect("ASCII");
        assert!(text.ends_with("\r\nContent-Length: 3\r\n\r\nabc"), "{text}");
        assert_eq!(exchange.batch(2), [exchange.request.clone(), exchange.request].concat());
    }
}
