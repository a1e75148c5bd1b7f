//! The request as JSON. Octets become characters one to one, as in the native strings of PEP 3333, so that nothing is
//! lost and every value can be compared.

use gateway_spec::{EnvStr, Environ};
use serde::{Serialize, Serializer};

use crate::received::Received;

/// What `/environ.json` says; field by field as the environ has it.
#[derive(Serialize)]
pub(crate) struct Report<'e> {
    method: &'e str,
    script_name: Text<'e>,
    path_info: Text<'e>,
    raw_path: &'e str,
    query_string: &'e str,
    protocol: &'static str,
    scheme: &'static str,
    server_name: &'e str,
    server_port: &'e str,
    remote_addr: &'e str,
    /// In the order received.
    headers: Vec<(&'e str, Text<'e>)>,
    #[serde(serialize_with = "as_object")]
    environ: Vec<(String, Text<'e>)>,
    content_type: Option<Text<'e>>,
    content_length: Option<u64>,
    body_length: u64,
    body_sha256: &'e str,
    /// Null if it is too long to be shown.
    body: Option<Text<'e>>,
}

impl<'e> Report<'e> {
    pub(crate) fn new(environ: &'e Environ<'_>, received: &'e Received) -> Self {
        Self {
            method: environ.method(),
            script_name: Text(environ.script_name()),
            path_info: Text(environ.path_info()),
            raw_path: environ.raw_path(),
            query_string: environ.query_string(),
            protocol: environ.version().as_str(),
            scheme: environ.url_scheme().as_str(),
            server_name: environ.server_name(),
            server_port: environ.server_port(),
            remote_addr: environ.remote_addr(),
            headers: environ.headers().map(|(name, value)| (name, Text(value.into()))).collect(),
            environ: environ.vars().into_iter().map(|(name, value)| (name.into_owned(), Text(value))).collect(),
            content_type: environ.content_type().map(Text),
            content_length: environ.content_length(),
            body_length: received.length,
            body_sha256: &received.sha256,
            body: received.whole().map(|body| Text(body.into())),
        }
    }
}

/// Octets, written as a character each.
struct Text<'e>(EnvStr<'e>);

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.to_latin1())
    }
}

fn as_object<S: Serializer>(pairs: &[(String, Text<'_>)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(pairs.iter().map(|(name, value)| (name, value)))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::app;
    use crate::testing::{Ask, ask};

    fn report(target: &str, request: &Ask<'_>) -> Value {
        serde_json::from_slice(&ask(&app(), target, request).body).expect("JSON")
    }

    #[test]
    fn it_has_every_field_and_nothing_is_lost() {
        let headers: &[(&str, &[u8])] =
            &[("Accept", b"application/json"), ("X-Octets", b"caf\xe9 \"\\ <script>"), ("x-octets", b"2")];
        let put = Ask { method: "PUT", mount: "/m", headers, body: Some(b"\x00\xff\n"), ..Ask::default() };
        let report = report("/m/a%2Fb/%E2%82%AC%00?q=%31", &put);
        let environ = &report["environ"];
        assert_eq!(environ["HTTP_X_OCTETS"], "caf\u{e9} \"\\ <script>, 2");
        assert_eq!(environ["PATH_INFO"], report["path_info"]);
        assert_eq!(
            report,
            json!({
                "method": "PUT",
                "script_name": "/m",
                "path_info": "/a/b/\u{e2}\u{82}\u{ac}\0",
                "raw_path": "/m/a%2Fb/%E2%82%AC%00",
                "query_string": "q=%31",
                "protocol": "HTTP/1.1",
                "scheme": "http",
                "server_name": "localhost",
                "server_port": "8000",
                "remote_addr": "127.0.0.1",
                "headers": [
                    ["Accept", "application/json"],
                    ["X-Octets", "caf\u{e9} \"\\ <script>"],
                    ["x-octets", "2"],
                ],
                "environ": environ,
                "content_type": null,
                "content_length": 3,
                "body_length": 3,
                "body_sha256": "712450d3c4a79eea9509e75dc1dacdeff58034df538536cfae2da882bd8a0c50",
                "body": "\0\u{ff}\n",
            })
        );
    }

    #[test]
    fn the_environ_has_what_pep_3333_requires_and_no_more_than_it_may() {
        let headers: &[(&str, &[u8])] = &[
            ("Proxy", b"http://evil"),
            ("X_Under", b"1"),
            ("Cookie", b"a=1"),
            ("cookie", b"b=2"),
            ("Accept", b"a"),
            ("Accept", b"b"),
            ("Content-Type", b"text/x"),
        ];
        let report = report("/environ.json", &Ask { headers, ..Ask::default() });
        let environ = report["environ"].as_object().expect("an object");
        for name in [
            "REQUEST_METHOD",
            "SCRIPT_NAME",
            "PATH_INFO",
            "QUERY_STRING",
            "SERVER_NAME",
            "SERVER_PORT",
            "SERVER_PROTOCOL",
        ] {
            assert!(environ[name].is_string(), "{name}");
        }
        assert_eq!(environ["HTTP_COOKIE"], "a=1; b=2");
        assert_eq!(environ["HTTP_ACCEPT"], "a, b");
        assert_eq!((&environ["CONTENT_TYPE"], &report["content_type"]), (&json!("text/x"), &json!("text/x")));
        let from_headers: Vec<_> = environ.keys().filter(|name| name.starts_with("HTTP_")).collect();
        assert_eq!(from_headers, ["HTTP_ACCEPT", "HTTP_COOKIE", "HTTP_HOST"]);
        assert_eq!(report["headers"].as_array().map(Vec::len), Some(7), "as received, all of them");
        assert_eq!((&report["content_length"], &report["body"]), (&Value::Null, &json!("")));
    }

    #[test]
    fn a_long_body_is_told_but_not_shown() {
        for (size, shown) in [(64 * 1024, true), (64 * 1024 + 1, false)] {
            let body = vec![b'x'; size];
            let report = report("/?json", &Ask { method: "POST", body: Some(&body), ..Ask::default() });
            assert_eq!(report["body_length"], size);
            assert_eq!(report["body"].is_string(), shown);
        }
    }
}
