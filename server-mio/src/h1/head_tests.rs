use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits { request_line: 64, head: 512, fields: 5, body: 1000, https: false };

/// What a head said, or the status of the refusal, or that it has not ended; found whole or in pieces.
#[derive(Debug, PartialEq)]
enum Verdict {
    Head {
        line: String,
        path: String,
        query: String,
        host: Option<String>,
        length: usize,
        keep_alive: bool,
        body: (Framing, bool),
        fields: Vec<(String, Vec<u8>)>,
    },
    Refused(u16),
    Partial,
}

fn verdict(bytes: &[u8]) -> Verdict {
    let mut fields = [Field::EMPTY; 8];
    let mut scratch = [httparse::EMPTY_HEADER; 8];
    let grammar = said(parse(bytes, &mut fields, &mut scratch[..LIMITS.fields], &LIMITS));
    let mut fields = [Field::EMPTY; 8];
    let usual = parse_usual(bytes, &mut fields, &LIMITS, "b");
    if !matches!(usual, Ok(None)) {
        assert_eq!(said(usual), grammar, "{}", bytes.escape_ascii());
    }
    grammar
}

fn said(parsed: Result<Option<Head<'_, '_>>, Reject>) -> Verdict {
    match parsed {
        Ok(Some(head)) => Verdict::Head {
            line: format!("{} {} {}", head.method, head.target, head.version.as_str()),
            path: head.path.into(),
            query: head.query.into(),
            host: head.host.map(Into::into),
            length: head.length,
            keep_alive: head.keep_alive,
            body: (head.framing, head.expect_continue),
            fields: head.fields.iter().map(|field| (field.name.to_owned(), field.value.to_vec())).collect(),
        },
        Ok(None) => Verdict::Partial,
        Err(reject) => Verdict::Refused(reject.status().code()),
    }
}

/// As a connection does it: blank lines, a first try, the search, a last try.
fn in_pieces(bytes: &[u8], cuts: &[usize]) -> (Verdict, usize) {
    let mut scan = Scan::new();
    let mut start = 0;
    for &end in cuts.iter().chain([&bytes.len()]) {
        match scan.skip_blank(&bytes[start..end]) {
            Ok((skipped, begins)) => {
                start += skipped;
                if !begins {
                    continue;
                }
            }
            Err(reject) => return (Verdict::Refused(reject.status().code()), 0),
        }
        let buffer = &bytes[start..end];
        if scan.is_fresh() {
            match verdict(buffer) {
                Verdict::Partial => {}
                Verdict::Refused(status) => return (Verdict::Refused(status), 0),
                verdict => return (verdict, start),
            }
        }
        if scan.find_end(buffer, &LIMITS) {
            return match verdict(buffer) {
                Verdict::Partial => panic!("the search ended too early"),
                Verdict::Refused(status) => (Verdict::Refused(status), 0),
                verdict => (verdict, start),
            };
        }
    }
    (Verdict::Partial, start)
}

fn whole(text: &str) -> Verdict {
    let bytes: Vec<u8> = text.chars().map(|c| c as u8).collect();
    in_pieces(&bytes, &[]).0
}

fn line(text: &str) -> Verdict {
    whole(&format!("{text}\r\nHost: a\r\n\r\n"))
}

fn target(target: &str) -> Result<(String, String, Option<String>), u16> {
    match line(&format!("GET {target} HTTP/1.1")) {
        Verdict::Head { path, query, host, .. } => Ok((path, query, host)),
        Verdict::Refused(status) => Err(status),
        Verdict::Partial => panic!("the head is whole"),
    }
}

#[test]
fn request_lines() {
    for good in ["GET / HTTP/1.1", "get / HTTP/1.0", "M-SEARCH /x HTTP/1.9", "!#$%&'*+-.^_`|~ / HTTP/1.1"] {
        assert!(matches!(line(good), Verdict::Head { .. }), "{good}");
    }
    for bad in [
        "GET\t/ HTTP/1.1",
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        "GET / HTTP/1.1 ",
        " GET / HTTP/1.1",
        "GET /a b HTTP/1.1",
        "GET HTTP/1.1",
        "GET  HTTP/1.1",
        "GET",
        "GET /",
        "",
        "GE(T / HTTP/1.1",
        "G\u{c4}T / HTTP/1.1",
        " / HTTP/1.1",
        "GET / http/1.1",
        "GET / HTTP/1.10",
        "GET / HTTP/01.1",
        "GET / HTTP/1",
        "GET / HTTP/1.",
        "GET / HTTP 1.1",
        "GET / HTTP/1.1x",
        "GET / HTTP/1,1",
        "GET / HTTP/1.a",
        "GET / SPDY/1.1",
        "GET / HTTP/10.1",
        "GET / HTTP/",
        "GET /\r HTTP/1.1",
        "GET\r/ HTTP/1.1",
        "GET / HTTP/1.1\r",
        "\x16\x03\x01",
        "GET /\0 HTTP/1.1",
    ] {
        assert_eq!(line(bad), Verdict::Refused(400), "{bad:?}");
    }
    for other in ["GET / HTTP/0.9", "GET / HTTP/2.0", "PRI * HTTP/2.0", "GET / HTTP/9.9"] {
        assert_eq!(line(other), Verdict::Refused(505), "{other}");
    }
    assert_eq!(line("CONNECT a:443 HTTP/1.1"), Verdict::Refused(501));
    assert_eq!(line("CONNECT a HTTP/1.1"), Verdict::Refused(400));
    assert_eq!(line("CONNECT / HTTP/1.1"), Verdict::Refused(400));
}

#[test]
fn targets() {
    let origin = |path: &str, query: &str| Ok((path.into(), query.into(), Some("a".into())));
    assert_eq!(target("/"), origin("/", ""));
    assert_eq!(target("/p?"), origin("/p", ""));
    assert_eq!(target("/p?a=1?b"), origin("/p", "a=1?b"));
    assert_eq!(target("//a/b"), origin("//a/b", ""));
    assert_eq!(target("/%e2%82%ac?%zz"), origin("/%e2%82%ac", "%zz"));
    assert_eq!(target("/a[1]?b[2]={x|y}"), origin("/a[1]", "b[2]={x|y}"));
    let absolute = |path: &str, query: &str, host: &str| Ok((path.into(), query.into(), Some(host.into())));
    assert_eq!(target("http://good/x?q"), absolute("/x", "q", "good"));
    assert_eq!(target("HTTP://good:8080"), absolute("/", "", "good:8080"));
    assert_eq!(target("http://good?q"), absolute("/", "q", "good"));
    assert_eq!(target("http://[::1]:80/?http://b/"), absolute("/", "http://b/", "[::1]:80"));
    for bad in [
        "a",
        "a/b",
        "*",
        "*/a",
        "a:80",
        "/a#b",
        "#",
        "?a=b",
        "/\u{e9}",
        "/a\x01b",
        "/a\"b",
        "/a<b",
        "\\a",
        "/%",
        "/a%4",
        "/%G1",
        "/%1G",
        "/%4?a",
        "/%+1",
        "/%00",
        "/a%00b",
        "http:///x",
        "http://:80/",
        "http://",
        "http://u@a/",
        "http://a:x/",
        "http://a:65536/",
        "http://[::1/",
        "http:a/",
        "http:/a/",
        "http://a/%zz",
        "http://a/%00",
        "ftp://a/",
    ] {
        assert_eq!(target(bad), Err(400), "{bad:?}");
    }
    assert_eq!(target("https://a/"), Err(421));
    assert!(matches!(line("OPTIONS * HTTP/1.1"), Verdict::Head { path, .. } if path.is_empty()));
    assert!(matches!(line("OPTIONS http://a HTTP/1.1"), Verdict::Head { path, .. } if path.is_empty()));
    assert_eq!(line("options * HTTP/1.1"), Verdict::Refused(400));
}

#[test]
fn fields() {
    let with = |fields: &str| whole(&format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
    for good in ["", "X-A:b\r\n", "X-A: \t b \t\r\n", "X: \u{80}\u{ff}\r\n", "Host_: b\r\n", "X:\r\nY:\r\n"] {
        assert!(matches!(with(good), Verdict::Head { .. }), "{good:?}");
    }
    for bad in [
        ": x\r\n",
        "X Y: x\r\n",
        "X : x\r\n",
        "X\t: x\r\n",
        "X(A): x\r\n",
        "X\u{80}: x\r\n",
        "X: a\0b\r\n",
        "X: \x0ba\r\n",
        "X: a\x7f\r\n",
        "X: a\r\n b\r\n",
        "X: a\r\n\tb\r\n",
        " X: a\r\n",
        "no-colon\r\n",
        "X: a\nY: b\r\n",
        "X: a\rY: b\r\n",
        "X: a\r\r\n",
        "X: b\n",
        "host: b\r\n",
        "Host: a\r\n",
        "Content-Length: x\r\n",
    ] {
        assert_eq!(with(bad), Verdict::Refused(400), "{bad:?}");
    }
    assert_eq!(whole("GET / HTTP/1.1\r\n Host: b\r\nHost: a\r\n\r\n"), Verdict::Refused(400));
    assert_eq!(whole("GET / HTTP/1.1\r\n\r\n"), Verdict::Refused(400));
    assert_eq!(whole("GET / HTTP/1.1\r\nHost:\r\n\r\n"), Verdict::Refused(400));
    assert!(matches!(whole("GET / HTTP/1.0\r\n\r\n"), Verdict::Head { host: None, .. }));
    for lone in [
        "GET / HTTP/1.1\nHost: a\n\n",
        "GET / HTTP/1.1\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\n",
        "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "\rGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.0\r\n\n",
    ] {
        assert_eq!(whole(lone), Verdict::Refused(400), "{lone:?}");
    }
}

#[test]
fn limits() {
    let of_line = |n: usize| line(&format!("GET /{} HTTP/1.1", "a".repeat(n - 14)));
    assert!(matches!(of_line(64), Verdict::Head { .. }));
    assert_eq!(of_line(65), Verdict::Refused(414));
    assert_eq!(whole(&"a".repeat(66)), Verdict::Refused(414));
    assert_eq!(whole(&"a".repeat(65)), Verdict::Partial);
    let of_head = |n: usize| whole(&format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "a".repeat(n - 32)));
    assert!(matches!(of_head(512), Verdict::Head { length: 512, .. }));
    assert_eq!(of_head(513), Verdict::Refused(431));
    assert_eq!(whole(&format!("GET / HTTP/1.1\r\nX: {}", "a".repeat(600))), Verdict::Refused(431));
    let of_fields = |n: usize| whole(&format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X:\r\n".repeat(n - 1)));
    assert!(matches!(of_fields(5), Verdict::Head { .. }));
    assert_eq!(of_fields(6), Verdict::Refused(431));
    let blanks = |n: usize| whole(&format!("{}GET / HTTP/1.0\r\n\r\n", "\r\n".repeat(n)));
    assert!(matches!(blanks(4), Verdict::Head { .. }));
    assert_eq!(blanks(5), Verdict::Refused(400));
}

#[test]
fn few_places_for_fields_are_no_verdict() {
    let bytes = b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n";
    assert!(parse_usual(bytes, &mut [Field::EMPTY; 1], &LIMITS, "").unwrap().is_none());
    assert!(parse_usual(bytes, &mut [Field::EMPTY; 2], &LIMITS, "").unwrap().is_some());
}

proptest! {
    /// What the scan reads the grammar reads, too, and finds the same ([`verdict`] compares them).
    #[test]
    fn the_usual_head_is_no_other(
        line in "(GET|POST|PUT|G\u{e9}T|) ?[/a-c?%#:.*h\u{e9}]{0,12}( )?(HTTP/1.[019])?(\r\n|\n)?|POST /[a-c?]{0,3} HTTP/1.[01]\r\n",
        lines in proptest::collection::vec("([Hh]ost|Accept|Te|x|X-Y|Content-Length|\u{e9})?( )?(:)?[ \t]{0,2}[a-c1\u{7f}\u{1}\u{e9}]{0,18}[ \t]{0,2}(\r\n|\n|\r)|(Host: [ab]|Content-Length: 1{0,5}|Transfer-Encoding: (a|chunked)|Expect: (a|100-continue)|Connection: (close|keep-alive))\r\n", 0..4),
        end in "(\r\n|\n|\r| )?",
    ) {
        let bytes: Vec<u8> = format!("{line}{}{end}tail", lines.concat()).chars().map(|c| c as u8).collect();
        verdict(&bytes);
    }

    #[test]
    fn the_usual_head_is_usual(lines in proptest::collection::vec("[A-Za-z-]{1,30}: ([!-~]([ -~]{0,20}[!-~])?)?\r\n", 0..4)) {
        let bytes = format!("GET /a?b HTTP/1.1\r\nHost: a\r\n{}\r\nbody", lines.concat()).into_bytes();
        let mut fields = [Field::EMPTY; 8];
        prop_assert!(!matches!(parse_usual(&bytes, &mut fields, &LIMITS, ""), Ok(None)));
        verdict(&bytes);
    }

    /// Every split of a head, good or bad, comes to the verdict of the whole.
    #[test]
    fn pieces_do_not_matter(
        parts in proptest::collection::vec(prop_oneof![
            4 => Just("GET / HTTP/1.1\r\n"),
            4 => Just("Host: a\r\n"),
            4 => Just("\r\n"),
            1 => Just("X: y\r\n"),
            1 => Just("\n"),
            1 => Just("\r"),
            1 => Just(" "),
            1 => Just("X"),
            1 => Just("GET http://b/ HTTP/1.0\r\n"),
            1 => Just("Connection: close\r\n"),
        ], 1..8),
        cuts in proptest::collection::vec(0usize..120, 0..5),
    ) {
        // A head that is refused in its middle may be refused before its end has come: so it has to have an end.
        let input = format!("{}\r\n\r\n", parts.concat()).into_bytes();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(input.len())).collect();
        cuts.sort_unstable();
        prop_assert_eq!(in_pieces(&input, &cuts), in_pieces(&input, &[]));
        let bytes: Vec<usize> = (0..input.len()).collect();
        prop_assert_eq!(in_pieces(&input, &bytes), in_pieces(&input, &[]));
    }

    /// Any bytes at all end in a verdict, never in a panic.
    #[test]
    fn any_bytes_have_a_verdict(bytes in proptest::collection::vec(any::<u8>(), 0..200), cut in 0usize..200) {
        in_pieces(&bytes, &[cut.min(bytes.len())]);
    }
}
