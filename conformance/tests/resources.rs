//! What RFC 9110 asks of resources, held against the framework's files and routes: validators, conditions, ranges, negotiation, methods.
//!
//! The tables are made from the rows of `docs/spec/http-requirements.md`, not from the framework.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use conformance::inprocess::{Client, Response};
use conformance::reply::seconds_of;
use framework_mini::{App, Error, File, Path, Site, State};

/// A folder of its own for a test, gone with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("conformance-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    /// A file that was modified so long ago, in seconds; a negative age is in the future.
    fn file(&self, name: &str, content: &[u8], age: i64) -> &Self {
        let path = self.0.join(name);
        fs::write(&path, content).expect("a file");
        let ago = Duration::from_secs(age.unsigned_abs());
        let time = if age < 0 { SystemTime::now() + ago } else { SystemTime::now() - ago };
        fs::File::options().write(true).open(&path).and_then(|file| file.set_modified(time)).expect("a time");
        self
    }

    fn client(&self) -> Client<Site<PathBuf>> {
        fn show(State(root): State<PathBuf>, Path(path): Path<String>) -> Result<File, Error> {
            Ok(File::within(&*root, &path)?.precompressed())
        }
        let app = App::new(self.0.clone()).get("/{*path}", show).post("/{*path}", show);
        Client::new(app.build().expect("routes"))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn ask(client: &Client<Site<PathBuf>>, method: &str, path: &str, headers: &[(&str, &str)]) -> Response {
    headers.iter().fold(client.request(method, path), |request, (name, value)| request.header(name, *value)).send()
}

/// The date of `seconds` after another in the preferred form.
fn shifted(date: &str, seconds: i64) -> String {
    let then = seconds_of(date.as_bytes()).expect("a date").checked_add_signed(seconds).expect("a time");
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(then))
}

/// H1-VAL-01 to H1-VAL-04, H1-VAL-06, H1-VAL-07, H1-VAL-13: a file has both validators, never from the future, and weak ones while it is young.
/// H1-VAL-02, H1-VAL-03, H1-RNG-34, H1-CODE-25.
#[test]
fn validators() {
    let folder = Folder::new("validators");
    folder.file("old", b"0123456789", 100).file("future", b"x", -3600).file("young", b"x", 0);
    let client = folder.client();
    let old = ask(&client, "GET", "/old", &[]);
    let modified = seconds_of(old.header("Last-Modified").expect("known").as_bytes()).expect("the preferred form");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    assert!(now.abs_diff(modified + 100) <= 5, "{modified} {now}");
    assert!(old.header("ETag").expect("known").starts_with('"'), "a strong tag");
    assert_eq!(old.header("Accept-Ranges"), Some("bytes"));
    let future = ask(&client, "GET", "/future", &[]);
    let modified = seconds_of(future.header("Last-Modified").expect("known").as_bytes()).expect("the preferred form");
    assert!(modified <= SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs());
    assert!(
        ask(&client, "GET", "/young", &[]).header("ETag").expect("known").starts_with("W/\""),
        "it may change again within this second"
    );
}

/// The order of preconditions: every combination of absent, true and false (H1-COND-01, H1-COND-05 to H1-COND-08, H1-COND-11, H1-COND-13, H1-COND-14,
/// H1-COND-18, H1-COND-19, H1-COND-20, H1-COND-24, H1-COND-25, H1-COND-06, H1-COND-07, H1-COND-09, H1-COND-12, H1-COND-26).
#[test]
fn order_of_preconditions() {
    let folder = Folder::new("order");
    folder.file("f", b"0123456789", 100);
    let client = folder.client();
    let whole = ask(&client, "GET", "/f", &[]);
    let (tag, date) =
        (whole.header("ETag").expect("a tag").to_owned(), whole.header("Last-Modified").expect("a date").to_owned());
    let (before, after) = (shifted(&date, -10), shifted(&date, 10));
    let weak = format!("W/{tag}");
    // Absent, true, false. True means: the method is performed.
    let if_match = [None, Some((tag.as_str(), true)), Some(("\"x\"", false)), Some((weak.as_str(), false))];
    let if_unmodified =
        [None, Some((after.as_str(), true)), Some((date.as_str(), true)), Some((before.as_str(), false))];
    let if_none_match = [
        None,
        Some(("\"x\", W/\"y\"", true)),
        Some((tag.as_str(), false)),
        Some((weak.as_str(), false)),
        Some(("\"x\", \"y\"", true)),
    ];
    let if_modified =
        [None, Some((before.as_str(), true)), Some((date.as_str(), false)), Some((after.as_str(), false))];
    for matched in if_match {
        for unmodified in if_unmodified {
            for none in if_none_match {
                for modified in if_modified {
                    let fields: Vec<(&str, &str)> = [
                        ("If-Match", matched),
                        ("If-Unmodified-Since", unmodified),
                        ("If-None-Match", none),
                        ("If-Modified-Since", modified),
                    ]
                    .into_iter()
                    .filter_map(|(name, value)| value.map(|(value, _)| (name, value)))
                    .collect();
                    // RFC 9110 section 13.2.2, step by step.
                    let first = matched.or(unmodified).is_none_or(|(_, holds)| holds);
                    let second = none.or(modified).is_none_or(|(_, holds)| holds);
                    let expected = if !first {
                        412
                    } else if !second {
                        304
                    } else {
                        200
                    };
                    for method in ["GET", "HEAD"] {
                        assert_eq!(ask(&client, method, "/f", &fields).status, expected, "{method} {fields:?}");
                    }
                }
            }
        }
    }
}

/// What is not one valid date, or not for this method, is ignored; `*` means any (H1-COND-02, H1-COND-04, H1-COND-10, H1-COND-15, H1-COND-17, H1-COND-21,
/// H1-COND-23, H1-SYN-12, H1-METH-08).
#[test]
fn ignored_preconditions() {
    let folder = Folder::new("ignored");
    folder.file("f", b"0123456789", 100);
    let client = folder.client();
    let whole = ask(&client, "GET", "/f", &[]);
    let date = whole.header("Last-Modified").expect("a date").to_owned();
    let two = format!("{date}, {date}");
    for (fields, status) in [
        (&[("If-Modified-Since", "yesterday")][..], 200),
        (&[("If-Modified-Since", two.as_str())], 200),
        (&[("If-Modified-Since", "0")], 200),
        (&[("If-Unmodified-Since", "yesterday")], 200),
        (&[("If-Unmodified-Since", "-1")], 200),
        (&[("If-Match", "*")], 200),
        (&[("If-None-Match", "*")], 304),
        (&[("If-Modified-Since", "Sunday, 06-Nov-94 08:49:37 GMT")], 200),
        (&[("If-Unmodified-Since", "Sunday, 06-Nov-94 08:49:37 GMT")], 412),
        (&[("If-Unmodified-Since", "Sun Nov  6 08:49:37 1994")], 412),
    ] {
        assert_eq!(ask(&client, "GET", "/f", fields).status, status, "{fields:?}");
    }
    for fields in [[("If-Match", "\"x\"")], [("If-None-Match", "*")], [("If-Modified-Since", date.as_str())]] {
        assert_eq!(ask(&client, "GET", "/missing", &fields).status, 404, "{fields:?}");
        assert_eq!(ask(&client, "DELETE", "/f", &fields).status, 405, "{fields:?}");
        assert!(matches!(ask(&client, "OPTIONS", "/f", &fields).status, 200 | 204), "{fields:?}");
    }
    assert_eq!(
        ask(&client, "POST", "/f", &[("If-Modified-Since", &date)]).status,
        200,
        "POST is never answered with 304"
    );
}

/// What a 304 repeats, and what it leaves out (H1-COND-27, H1-COND-28, H1-VARY-01, H1-NOB-04).
#[test]
fn not_modified() {
    let folder = Folder::new("304");
    folder.file("f.txt", b"0123456789", 100);
    let client = folder.client();
    let whole = ask(&client, "GET", "/f.txt", &[]);
    let tag = whole.header("ETag").expect("a tag").to_owned();
    let not = ask(&client, "GET", "/f.txt", &[("If-None-Match", &tag)]);
    assert_eq!((not.status, not.body().len()), (304, 0));
    for name in ["ETag", "Vary", "Cache-Control", "Expires", "Content-Location"] {
        assert_eq!(not.header(name), whole.header(name), "{name}");
    }
    for name in ["Content-Type", "Content-Encoding", "Content-Range", "Content-Length", "Last-Modified"] {
        assert_eq!(not.header(name), None, "{name}");
    }
}

/// Ranges of ten octets (H1-RNG-02, H1-RNG-03, H1-RNG-04, H1-RNG-07 to H1-RNG-11, H1-RNG-08, H1-RNG-10, H1-RNG-21, H1-RNG-22, H1-RNG-28, H1-RNG-31, H1-METH-08).
#[test]
fn ranges() {
    let folder = Folder::new("ranges");
    folder.file("f.txt", b"0123456789", 100);
    let client = folder.client();
    let whole = ask(&client, "GET", "/f.txt", &[]);
    for (range, expected) in [
        ("bytes=0-4", Some(("bytes 0-4/10", "01234"))),
        ("bytes=5-", Some(("bytes 5-9/10", "56789"))),
        ("bytes=-3", Some(("bytes 7-9/10", "789"))),
        ("bytes=0-999", Some(("bytes 0-9/10", "0123456789"))),
        ("bytes=9-9", Some(("bytes 9-9/10", "9"))),
        ("bytes=-99", Some(("bytes 0-9/10", "0123456789"))),
        ("BYTES=0-1", Some(("bytes 0-1/10", "01"))),
        ("bytes=0-99999999999999999999", Some(("bytes 0-9/10", "0123456789"))),
        ("bytes=10-", None),
        ("bytes=-0", None),
        ("bytes=18446744073709551616-", None),
        ("bytes=100-200", None),
    ] {
        let part = ask(&client, "GET", "/f.txt", &[("Range", range)]);
        let (status, content_range) = expected.map_or((416, "bytes */10"), |(content_range, _)| (206, content_range));
        assert_eq!((part.status, part.header("Content-Range")), (status, Some(content_range)), "{range}");
        if let Some((_, text)) = expected {
            assert_eq!(part.text(), text, "{range}");
            assert_eq!(part.header("Content-Length"), Some(text.len().to_string().as_str()), "{range}");
            for name in ["Content-Type", "ETag", "Last-Modified", "Vary"] {
                assert_eq!(part.header(name), whole.header(name), "{range} {name}");
            }
        }
    }
    for ignored in
        ["lines=1-2", "bytes=5-2", "bytes=a-b", "bytes=", "bytes=-", "bytes", "bytes=0", "bytes=0-1-2", "bytes=+1-2"]
    {
        let answer = ask(&client, "GET", "/f.txt", &[("Range", ignored)]);
        assert_eq!((answer.status, answer.text().as_str()), (200, "0123456789"), "{ignored}");
    }
    for method in ["HEAD", "POST"] {
        let answer = ask(&client, method, "/f.txt", &[("Range", "bytes=0-1")]);
        assert_eq!((answer.status, answer.header("Content-Range")), (200, None), "{method}");
    }
}

/// If-Range: strong comparison, exact dates (H1-RNG-06, H1-RNG-13, H1-RNG-15 to H1-RNG-20, H1-RNG-16, H1-RNG-17, H1-RNG-18, H1-RNG-19).
#[test]
fn if_range() {
    let folder = Folder::new("if-range");
    folder.file("f", b"0123456789", 100);
    let client = folder.client();
    let whole = ask(&client, "GET", "/f", &[]);
    let (tag, date) =
        (whole.header("ETag").expect("a tag").to_owned(), whole.header("Last-Modified").expect("a date").to_owned());
    for (value, holds) in [
        (tag.clone(), true),
        (date.clone(), true),
        (format!("W/{tag}"), false),
        ("\"other\"".to_owned(), false),
        (shifted(&date, -1), false),
        (shifted(&date, 1), false),
        ("soon".to_owned(), false),
    ] {
        let part = ask(&client, "GET", "/f", &[("Range", "bytes=0-4"), ("If-Range", &value)]);
        assert_eq!(part.status, if holds { 206 } else { 200 }, "{value}");
        if holds {
            assert_eq!(part.header("ETag"), whole.header("ETag"));
            assert_eq!(part.header("Last-Modified"), None, "the client has it");
        }
        assert_eq!(ask(&client, "GET", "/f", &[("If-Range", &value)]).status, 200, "without Range it says nothing");
    }
    assert_eq!(ask(&client, "GET", "/f", &[("Range", "bytes=0-4"), ("If-None-Match", &tag)]).status, 304);
    assert_eq!(ask(&client, "GET", "/missing", &[("Range", "bytes=0-4")]).status, 404);
}

/// Several parts, read by a parser of its own (H1-RNG-23 to H1-RNG-27, H1-RNG-24, H1-RNG-25, H1-RNG-26, H1-RNG-29, H1-RNG-30, H1-REP-04).
#[test]
fn multipart() {
    let folder = Folder::new("multipart");
    folder.file("f.txt", b"0123456789", 100);
    let client = folder.client();
    let kind = ask(&client, "GET", "/f.txt", &[]).header("Content-Type").expect("a type").to_owned();
    let answer = ask(&client, "GET", "/f.txt", &[("Range", "bytes=5-6, 0-1 ,, -1")]);
    assert_eq!((answer.status, answer.header("Content-Range")), (206, None));
    let boundary = answer
        .header("Content-Type")
        .and_then(|t| t.strip_prefix("multipart/byteranges; boundary="))
        .expect("a boundary")
        .to_owned();
    let text = answer.text();
    let inner = text.strip_suffix(&format!("--{boundary}--\r\n")).expect("an end");
    let parts: Vec<(String, String)> = inner
        .split(&format!("--{boundary}\r\n"))
        .skip(1)
        .map(|part| {
            let (head, content) = part.split_once("\r\n\r\n").expect("a head");
            assert!(head.contains(&format!("Content-Type: {kind}")), "{head}");
            let range = head.lines().find_map(|line| line.strip_prefix("Content-Range: bytes ")).expect("a range");
            (range.to_owned(), content.strip_suffix("\r\n").expect("a line end").to_owned())
        })
        .collect();
    let expected = [("5-6/10", "56"), ("0-1/10", "01"), ("9-9/10", "9")]
        .map(|(range, content)| (range.to_owned(), content.to_owned()));
    assert_eq!(parts, expected);
    let one = ask(&client, "GET", "/f.txt", &[("Range", "bytes=0-1,100-")]);
    assert_eq!(one.status, 206);
}

/// A flood of ranges costs nothing (H1-SEC-08, H1-RNG-04), and an empty file has no part (H1-RNG-05).
#[test]
fn ranges_at_the_edges() {
    let folder = Folder::new("edges");
    folder.file("f", &vec![b'x'; 100_000], 100).file("empty", b"", 100);
    let client = folder.client();
    let flood = format!("bytes={}", vec!["0-"; 1000].join(","));
    let answer = ask(&client, "GET", "/f", &[("Range", &flood)]);
    assert!(matches!(answer.status, 200 | 206 | 416), "{}", answer.status);
    assert!(answer.body().len() <= 200_000, "{}", answer.body().len());
    let empty = ask(&client, "GET", "/empty", &[("Range", "bytes=-5")]);
    assert_eq!((empty.status, empty.header("Content-Length")), (200, Some("0")));
    assert_eq!(ask(&client, "GET", "/empty", &[("Range", "bytes=0-")]).status, 416);
}

/// Siblings that are compressed already: weights, the star, nothing acceptable (H1-NEG-07, H1-NEG-08, H1-NEG-09, H1-NEG-11, H1-SYN-03, H1-VARY-01, H1-VAL-12,
/// H1-RNG-12, H1-REP-05, H1-REP-06).
#[test]
fn codings() {
    let folder = Folder::new("codings");
    folder.file("f.js", b"plain", 100).file("f.js.gz", b"GZIPPED", 50).file("f.js.br", b"BROTLI", 50);
    let client = folder.client();
    let mut tags = std::collections::BTreeMap::new();
    for (accept, coding) in [
        (Some("gzip"), Some("gzip")),
        (Some("GZIP"), Some("gzip")),
        (Some("gzip ,, br;q=0 ,"), Some("gzip")),
        (Some("br;q=0.1, gzip;q=0.5"), Some("gzip")),
        (Some("gzip;q=0.1, br;q=0.5"), Some("br")),
        (Some("gzip;q=0"), None),
        (Some("gzip;q=0.000"), None),
        (Some("identity"), None),
        (Some("zstd"), None),
        (Some(""), None),
        (None, None),
    ] {
        let fields: Vec<(&str, &str)> = accept.map(|accept| ("Accept-Encoding", accept)).into_iter().collect();
        let answer = ask(&client, "GET", "/f.js", &fields);
        assert_eq!((answer.status, answer.header("Content-Encoding")), (200, coding), "{accept:?}");
        assert_eq!(answer.header("Vary"), Some("Accept-Encoding"), "{accept:?}");
        tags.insert(coding, answer.header("ETag").expect("a tag").to_owned());
    }
    let tags: std::collections::BTreeSet<&String> = tags.values().collect();
    assert_eq!(tags.len(), 3, "a tag for each coding: {tags:?}");
    let part = ask(&client, "GET", "/f.js", &[("Accept-Encoding", "gzip"), ("Range", "bytes=0-3")]);
    assert_eq!((part.status, part.text().as_str(), part.header("Content-Range")), (206, "GZIP", Some("bytes 0-3/7")));
}

/// Routes: HEAD goes with GET, what is known and not here is 405 with Allow, what nobody knows 501, OPTIONS tells (H1-METH-01, H1-METH-02, H1-METH-03,
/// H1-METH-19, H1-ALW-01, H1-ALW-02, H1-CODE-22, H1-NOB-02, H1-METH-04).
#[test]
fn methods() {
    let folder = Folder::new("methods");
    folder.file("f", b"0123456789", 100);
    let client = folder.client();
    let (get, head) = (ask(&client, "GET", "/f", &[]), ask(&client, "HEAD", "/f", &[]));
    assert_eq!((head.status, head.body().len()), (200, 0));
    for name in ["Content-Type", "Content-Length", "ETag", "Last-Modified", "Vary", "Accept-Ranges"] {
        assert_eq!(head.header(name), get.header(name), "{name}");
    }
    let not_allowed = ask(&client, "DELETE", "/f", &[]);
    let allow = not_allowed.header("Allow").expect("Allow").to_owned();
    assert_eq!(not_allowed.status, 405);
    for method in ["GET", "HEAD", "POST"] {
        assert!(allow.split(", ").any(|allowed| allowed == method), "{allow}");
    }
    assert_eq!(ask(&client, "FROB", "/f", &[]).status, 501);
    let options = ask(&client, "OPTIONS", "/f", &[]);
    assert!(matches!(options.status, 200 | 204), "{}", options.status);
    assert_eq!(options.header("Allow"), Some(allow.as_str()));
    for (name, value) in [("X-HTTP-Method-Override", "DELETE"), ("X-Method-Override", "DELETE")] {
        assert_eq!(ask(&client, "GET", "/f?_method=DELETE", &[(name, value)]).status, 200, "{name}");
    }
}

/// Nothing leads out of the folder (H1-SEC-03, H1-CODE-20).
#[test]
fn paths() {
    let folder = Folder::new("paths");
    folder.file("f", b"inside", 100).file(".hidden", b"hidden", 100);
    let client = folder.client();
    for path in [
        "/../f",
        "/..%2ff",
        "/%2e%2e/f",
        "/a/../../f",
        "//etc/passwd",
        "/%2fetc%2fpasswd",
        "/f%00.txt",
        "/..%5cf",
        "/C:%5cx",
        "/.hidden",
        "/f/",
        "/",
    ] {
        let answer = ask(&client, "GET", path, &[]);
        assert!(matches!(answer.status, 400 | 404), "{path}: {}", answer.status);
    }
    assert_eq!(ask(&client, "GET", "/f", &[]).text(), "inside");
}
