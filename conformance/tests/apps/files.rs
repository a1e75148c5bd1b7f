//! D.4: a folder as it should be served. Every row of the list of inputs, and what browsers rely on.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::fs::{CWD, FileType, Mode};

use super::support::{Answer, Ask, Framing, Server};
use super::{App, mounted, mounted_with, shared};

/// Writes a file that was modified so many seconds ago.
fn write(path: &Path, content: impl AsRef<[u8]>, age: u64) {
    fs::write(path, content).unwrap();
    let time = SystemTime::now() - Duration::from_secs(age);
    fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

fn get_with(app: &App<'_>, target: &str, headers: &[(&str, &str)]) -> Answer {
    app.ask(&headers.iter().fold(Ask::get(target), |ask, (name, value)| ask.header(name, value)))
}

/// A redirect that a client takes for one to this host.
#[track_caller]
fn stays_here(answer: &Answer) {
    if let Some(location) = answer.header("Location") {
        assert!(location.starts_with('/') && !location[1..].starts_with(['/', '\\']), "{location}");
    }
}

/// Folders, redirects, and paths that lead nowhere. H1-SEC-03, H1-CODE-06, H1-CODE-20, CGI-PATH-06, CGI-PATH-13,
/// CGI-PATH-16, H1-METH-01, H1-METH-02, H1-METH-03, H1-METH-19, H1-ALW-01, H1-COND-01, H1-COND-02, H1-COND-04.
pub(crate) fn paths(server: &dyn Server) {
    let outside = tempfile::tempdir().unwrap();
    write(&outside.path().join("secret"), "secret", 10);
    fs::create_dir(outside.path().join("folder")).unwrap();
    write(&outside.path().join("folder/secret"), "secret", 10);
    mounted(server, "files", |app| {
        let root = app.folder;
        for folder in ["dir/deep", "site", "old", ".git", "evil.example", "no-page/index.html"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        write(&root.join("dir/deep/a.txt"), "deep", 10);
        write(&root.join("site/index.html"), "<h1>Home</h1>", 10);
        write(&root.join("site/index.htm"), "not this", 10);
        write(&root.join("old/index.htm"), "<h1>Old</h1>", 10);
        write(&root.join("plain.txt"), "plain", 10);
        write(&root.join(".hidden"), "secret", 10);
        write(&root.join(".git/config"), "secret", 10);
        write(&root.join("a\\b"), "backslash", 10);
        symlink(outside.path().join("secret"), root.join("out")).unwrap();
        symlink(outside.path().join("folder"), root.join("out-folder")).unwrap();
        symlink("../plain.txt", root.join("dir/inside")).unwrap();
        rustix::fs::mknodat(CWD, root.join("fifo"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let _socket = UnixListener::bind(root.join("socket")).unwrap();
        symlink("fifo", root.join("to-fifo")).unwrap();
        symlink("/dev/zero", root.join("to-device")).unwrap();

        app.get("/site/").is(200, "<h1>Home</h1>");
        app.get("/old/").is(200, "<h1>Old</h1>");
        app.get("/dir/deep/a.txt").is(200, "deep");
        app.get("/dir/inside").is(200, "plain");
        app.get("/a%5Cb").is(200, "backslash");
        assert!(app.get("/no-page/").text().contains("index.html/"), "a folder of that name is no index");

        for (target, location) in [
            ("/dir", "/dir/"),
            ("/dir?x=1", "/dir/?x=1"),
            ("/dir/deep?a=b/../c", "/dir/deep/?a=b/../c"),
            ("/d%69r", "/dir/"),
            ("//dir", "/dir/"),
            ("/dir//deep/", "/dir/deep/"),
            ("//evil.example", "/evil.example/"),
            ("///evil.example//", "/evil.example/"),
            ("//plain.txt", "/plain.txt"),
            ("/dir//inside?q", "/dir/inside?q"),
        ] {
            let answer = app.get(target);
            let expected = format!("{}{location}", app.prefix);
            assert_eq!((answer.status, answer.header("Location")), (301, Some(expected.as_str())), "{target}");
            assert_eq!(shared(&app.head(target)), shared(&answer), "{target}");
            // Not before it is known that there is something (H1-COND-02).
            assert_eq!(get_with(app, target, &[("If-None-Match", "*"), ("Range", "bytes=0-0")]).status, 301);
        }
        if !app.prefix.is_empty() {
            assert_eq!(app.get("?q").header("Location"), Some(format!("{}/?q", app.prefix).as_str()));
        }

        for target in [
            "/nothing",
            "/nothing/",
            "/plain.txt/",
            "/plain.txt/x",
            "/../secret",
            "/..",
            "/.",
            "/dir/../plain.txt",
            "/%2e%2e/secret",
            "/dir/%2E%2E/plain.txt",
            "/dir/..%2f..%2fsecret",
            "/dir%2fdeep/a.txt",
            "/dir%2f",
            "/..%5csecret",
            "/%5c..%5csecret",
            "/....//secret",
            "//evil.example/%2e%2e/dir",
            "//evil.example/..",
            "/%2fevil.example/%2e%2e",
            "//etc/passwd",
            "/%2fetc/passwd",
            "/C:/x",
            "/CON",
            "/%c0%ae%c0%ae/secret",
            "/.hidden",
            "/%2ehidden",
            "/.git/config",
            "/.git/",
            "/.git",
            "/out",
            "/out-folder",
            "/out-folder/",
            "/out-folder/secret",
            "/fifo",
            "/fifo/",
            "/socket",
            "/to-fifo",
            "/to-device",
            &format!("/{}", "x".repeat(300)),
            &format!("/{}", "y/".repeat(2000)),
        ] {
            let answer = app.get(target);
            assert_eq!((answer.status, answer.header("Location")), (404, None), "{target}");
            assert!(!answer.text().contains("secret"), "{target}");
            assert_eq!(get_with(app, target, &[("If-None-Match", "*"), ("If-Match", "\"x\"")]).status, 404, "{target}");
        }
        for target in ["/%00", "/plain.txt%00.png", "/\\evil.example/..", "/\\evil.example/%2e%2e", "/\\evil.example"] {
            let answer = app.get(target);
            assert!((400..500).contains(&answer.status), "{target}: {answer:?}");
            stays_here(&answer);
        }

        for method in ["POST", "PUT", "DELETE", "PATCH"] {
            for target in ["/plain.txt", "/dir/", "/nothing"] {
                let ask = Ask { method: method.to_owned(), ..Ask::post(target, "0123456789") };
                let answer = app.ask(&ask.header("Content-Range", "bytes 0-9/10").header("If-Match", "\"x\""));
                assert_eq!((answer.status, answer.header("Allow")), (405, Some("GET, HEAD, OPTIONS")), "{method}");
            }
        }
        assert_eq!(app.ask(&Ask::new("BREW", "/plain.txt")).status, 501);
        let options = app.ask(&Ask::new("OPTIONS", "/plain.txt").header("If-Match", "\"x\""));
        assert_eq!((options.status, options.header("Allow")), (204, Some("GET, HEAD, OPTIONS")));
        assert_eq!(fs::read(root.join("plain.txt")).unwrap(), b"plain");
    });
}

/// Ranges of a file. H1-RNG-02, H1-RNG-03, H1-RNG-04, H1-RNG-05, H1-RNG-06, H1-RNG-07, H1-RNG-08, H1-RNG-09, H1-RNG-10,
/// H1-RNG-11, H1-RNG-13, H1-RNG-16, H1-RNG-17, H1-RNG-22, H1-RNG-23, H1-RNG-24, H1-RNG-25, H1-RNG-26, H1-RNG-28,
/// H1-RNG-30, H1-RNG-31, H1-RNG-34, H1-SEC-08, H1-REP-04.
pub(crate) fn ranges(server: &dyn Server) {
    mounted(server, "files", |app| {
        write(&app.folder.join("ten.txt"), "0123456789", 100);
        write(&app.folder.join("empty"), "", 100);
        let range = |range: &str| get_with(app, "/ten.txt", &[("Range", range)]);
        let whole = app.get("/ten.txt");
        assert_eq!(whole.is(200, "0123456789").header("Accept-Ranges"), Some("bytes"));

        for (field, content_range, content) in [
            ("bytes=0-0", "bytes 0-0/10", "0"),
            ("bytes=-1", "bytes 9-9/10", "9"),
            ("bytes=5-", "bytes 5-9/10", "56789"),
            ("bytes=0-4", "bytes 0-4/10", "01234"),
            ("bytes=0-", "bytes 0-9/10", "0123456789"),
            ("bytes=-99", "bytes 0-9/10", "0123456789"),
            ("bytes=8-99999999999999999999", "bytes 8-9/10", "89"),
            ("Bytes= 2-3 ,", "bytes 2-3/10", "23"),
            ("bytes=0-1,100-", "bytes 0-1/10", "01"),
        ] {
            let answer = range(field);
            let length = content.len().to_string();
            assert_eq!(answer.is(206, content).header("Content-Range"), Some(content_range), "{field}");
            assert_eq!(answer.header("Content-Length"), Some(length.as_str()), "{field}");
            for name in ["Content-Type", "ETag", "Last-Modified", "Vary", "Cache-Control"] {
                assert_eq!(answer.header(name), whole.header(name), "{field}: {name}");
            }
        }
        for (field, parts) in [
            ("bytes=0-4,8-9", [("bytes 0-4/10", "01234"), ("bytes 8-9/10", "89")]),
            ("bytes=5-6,0-1", [("bytes 5-6/10", "56"), ("bytes 0-1/10", "01")]),
            ("bytes=-1,0-0", [("bytes 9-9/10", "9"), ("bytes 0-0/10", "0")]),
        ] {
            let answer = range(field);
            assert_eq!((answer.status, answer.header("Content-Range"), answer.framing), (206, None, Framing::Length));
            let parts = parts.map(|(range, content)| (range.to_owned(), content.to_owned()));
            assert_eq!(multipart(&answer), parts, "{field}");
        }
        for field in ["bytes=9999-", "bytes=10-", "bytes=-0", "bytes=18446744073709551616-"] {
            let answer = range(field);
            assert_eq!((answer.status, answer.header("Content-Range")), (416, Some("bytes */10")), "{field}");
        }
        let many: String = (0..100).map(|n| format!("{}-{},", n * 2, n * 2)).collect();
        let same = "0-0,".repeat(1000);
        for field in [
            "bytes=abc",
            "bytes=",
            "bytes=-",
            "items=0-1",
            "bytes=4-3",
            "bytes=0-1,x",
            "bytes=0-4,3-8",
            "bytes=0-4,5-9",
            "bytes=0-,0-,0-",
            &format!("bytes={many}"),
            &format!("bytes={same}"),
        ] {
            assert_eq!(range(field).is(200, "0123456789").header("Content-Range"), None, "{field}");
        }
        // Nothing has no last byte, and no first one.
        get_with(app, "/empty", &[("Range", "bytes=-5")]).is(200, "");
        assert_eq!(get_with(app, "/empty", &[("Range", "bytes=0-")]).status, 416);

        let (etag, modified) = (whole.header("ETag").unwrap(), whole.header("Last-Modified").unwrap());
        for (if_range, status) in [
            (etag, 206),
            (modified, 206),
            ("\"other\"", 200),
            (&format!("W/{etag}"), 200),
            ("Sun, 06 Nov 1994 08:49:37 GMT", 200),
            ("nonsense", 200),
        ] {
            let answer = get_with(app, "/ten.txt", &[("Range", "bytes=0-4"), ("If-Range", if_range)]);
            assert_eq!(answer.status, status, "{if_range}");
        }
        get_with(app, "/ten.txt", &[("If-Range", "\"other\"")]).is(200, "0123456789");
        let head = app.ask(&Ask::new("HEAD", "/ten.txt").header("Range", "bytes=0-1"));
        assert_eq!((head.status, head.header("Content-Length")), (200, Some("10")));

        a_file_that_shrinks(app);
    });
}

/// What a client that knows nothing of this implementation reads in a multipart body: range and content of each part.
fn multipart(answer: &Answer) -> Vec<(String, String)> {
    let boundary = answer.header("Content-Type").unwrap().strip_prefix("multipart/byteranges; boundary=").unwrap();
    let text = answer.text();
    let mut parts: Vec<&str> = text.split(&format!("--{boundary}")).collect();
    assert_eq!((parts.remove(0), parts.pop()), ("", Some("--\r\n")));
    let read = |part: &str| {
        let (head, content) = part.split_once("\r\n\r\n").unwrap();
        let mut fields: BTreeMap<&str, &str> =
            head.trim().split("\r\n").map(|line| line.split_once(": ").unwrap()).collect();
        assert_eq!(fields.remove("Content-Type"), Some("text/plain; charset=utf-8"));
        (fields.remove("Content-Range").unwrap().to_owned(), content.strip_suffix("\r\n").unwrap().to_owned())
    };
    parts.into_iter().map(read).collect()
}

/// It is cut, not padded: the client can tell that something is missing.
fn a_file_that_shrinks(app: &App<'_>) {
    if app.site.responses().is_none() {
        return; // In process there is no client that takes its time. The framework's own test has this.
    }
    let path = app.folder.join("large");
    let file = fs::File::create(&path).unwrap();
    file.set_len(200_000_000).unwrap();
    let mut shrunk = false;
    let answer = app.site.connect().ask_watched(&app.at(&Ask::get("/large")), &mut |_| {
        if !std::mem::replace(&mut shrunk, true) {
            file.set_len(1000).unwrap();
        }
    });
    assert_eq!((answer.status, answer.header("Content-Length"), answer.complete), (200, Some("200000000"), false));
    assert!(answer.body.len() < 200_000_000);
}

/// Validators and conditions. H1-VAL-01, H1-VAL-03, H1-VAL-04, H1-VAL-06, H1-VAL-07, H1-CODE-25, H1-COND-05, H1-COND-06,
/// H1-COND-10, H1-COND-11, H1-COND-13, H1-COND-14, H1-COND-15, H1-COND-19, H1-COND-20, H1-COND-21, H1-COND-25,
/// H1-COND-27, H1-COND-28, H1-NOB-04, H1-RNG-06.
pub(crate) fn conditions(server: &dyn Server) {
    mounted_with(server, "files", &[("cache-control", "max-age=60")], |app| {
        write(&app.folder.join("a.txt"), "content", 100);
        let whole = app.get("/a.txt");
        assert_eq!(shared(&app.head("/a.txt")), shared(&whole));
        assert_eq!(whole.header("Cache-Control"), Some("max-age=60"));
        let (etag, modified) = (whole.header("ETag").unwrap(), whole.header("Last-Modified").unwrap());
        assert!(etag.starts_with('"'), "{etag}");
        let weak = format!("W/{etag}");
        let list = format!("W/\"x\", \"y\", {weak}");
        let long_ago = "Sunday, 06-Nov-94 08:49:37 GMT";
        let (none_match, match_) = ("If-None-Match", "If-Match");
        let (modified_since, unmodified_since) = ("If-Modified-Since", "If-Unmodified-Since");
        for (headers, status) in [
            (vec![(none_match, etag)], 304),
            (vec![(none_match, &weak)], 304),
            (vec![(none_match, &list)], 304),
            (vec![(none_match, "*")], 304),
            (vec![(none_match, "W/\"x\", \"y\"")], 200),
            (vec![(none_match, "W/\"x\", \"y\""), (modified_since, modified)], 200),
            (vec![(none_match, etag), (modified_since, long_ago)], 304),
            (vec![(modified_since, modified)], 304),
            (vec![(modified_since, long_ago)], 200),
            (vec![(modified_since, "yesterday")], 200),
            (vec![(match_, etag)], 200),
            (vec![(match_, "*")], 200),
            (vec![(match_, &weak)], 412),
            (vec![(match_, "\"x\"")], 412),
            (vec![(match_, "\"x\""), (none_match, etag)], 412),
            (vec![(match_, etag), (none_match, etag)], 304),
            (vec![(match_, etag), (unmodified_since, long_ago)], 200),
            (vec![(unmodified_since, modified)], 200),
            (vec![(unmodified_since, long_ago)], 412),
            (vec![(unmodified_since, "never")], 200),
            (vec![(unmodified_since, modified), (modified_since, modified)], 304),
            (vec![(none_match, etag), ("Range", "bytes=0-1")], 304),
            (vec![(match_, "\"x\""), ("Range", "bytes=99-")], 412),
        ] {
            for method in ["GET", "HEAD"] {
                let ask = headers.iter().fold(Ask::new(method, "/a.txt"), |ask, (name, value)| ask.header(name, value));
                let answer = app.ask(&ask);
                assert_eq!(answer.status, status, "{method} {headers:?}");
                if status == 304 {
                    assert!(answer.body.is_empty() && answer.complete);
                    for name in ["ETag", "Vary", "Cache-Control"] {
                        assert_eq!(answer.header(name), whole.header(name), "{headers:?}: {name}");
                    }
                    for name in ["Content-Type", "Content-Length", "Content-Range", "Last-Modified"] {
                        assert_eq!(answer.header(name), None, "{headers:?}: {name}");
                    }
                }
            }
        }
        // Written anew, it is another one, at once.
        write(&app.folder.join("a.txt"), "CONTENT", 99);
        assert_ne!(app.get("/a.txt").header("ETag"), Some(etag));
        // From the future: never later than the message, and nothing to build on.
        let future = SystemTime::now() + Duration::from_secs(3600);
        let file = fs::File::options().write(true).open(app.folder.join("a.txt")).unwrap();
        file.set_modified(future).unwrap();
        let answer = app.get("/a.txt");
        assert!(answer.header("ETag").unwrap().starts_with("W/"));
        let date = |name: &str| answer.header(name).map(|date| httpdate::parse_http_date(date).unwrap());
        assert!(date("Last-Modified").unwrap() <= date("Date").unwrap_or_else(SystemTime::now));
    });
}

/// Siblings in other codings. H1-NEG-07, H1-NEG-08, H1-NEG-09, H1-VARY-01, H1-VAL-12, H1-RNG-12, H1-REP-05.
pub(crate) fn siblings(server: &dyn Server) {
    mounted(server, "files", |app| {
        for (name, content) in [
            ("a.js", "plain"),
            ("a.js.gz", "GZIPPED"),
            ("both.css", "plain"),
            ("both.css.gz", "GZIPPED"),
            ("both.css.br", "BROTLI"),
            ("alone.js", "plain"),
            ("LICENSE", "plain"),
            ("LICENSE.gz", "GZIPPED"),
            ("stale.js", "plain"),
        ] {
            write(&app.folder.join(name), content, 50);
        }
        write(&app.folder.join("stale.js.gz"), "GZIPPED", 500);
        fs::create_dir(app.folder.join("alone.js.gz")).unwrap();
        fs::create_dir(app.folder.join("site")).unwrap();
        write(&app.folder.join("site/index.html"), "plain", 50);
        write(&app.folder.join("site/index.html.br"), "BROTLI", 50);
        for (target, accepts, content, coding) in [
            ("/a.js", Some("gzip"), "GZIPPED", Some("gzip")),
            ("/a.js", Some("br, gzip;q=0.1"), "GZIPPED", Some("gzip")),
            ("/a.js", Some("*"), "GZIPPED", Some("gzip")),
            ("/a.js", Some("GZIP"), "GZIPPED", Some("gzip")),
            ("/a.js", Some("gzip;q=0"), "plain", None),
            ("/a.js", Some("*;q=0"), "plain", None),
            ("/a.js", Some("identity;q=0"), "plain", None),
            ("/a.js", Some("br"), "plain", None),
            ("/a.js", Some(""), "plain", None),
            ("/a.js", None, "plain", None),
            ("/both.css", Some("gzip, br"), "BROTLI", Some("br")),
            ("/both.css", Some("gzip, br;q=0.5"), "GZIPPED", Some("gzip")),
            ("/alone.js", Some("gzip"), "plain", None),
            ("/LICENSE", Some("gzip"), "GZIPPED", Some("gzip")),
            ("/stale.js", Some("gzip"), "plain", None),
            ("/a.js.gz", Some("gzip"), "GZIPPED", None),
            ("/site/", Some("br"), "BROTLI", Some("br")),
        ] {
            let headers: Vec<_> = accepts.iter().map(|accepts| ("Accept-Encoding", *accepts)).collect();
            let answer = get_with(app, target, &headers);
            let got = (answer.text(), answer.header("Content-Encoding"));
            assert_eq!(got, (content.to_owned(), coding), "{target} {accepts:?}");
            assert_eq!(answer.header("Vary"), Some("Accept-Encoding"), "{target} {accepts:?}");
            let ask = headers.iter().fold(Ask::new("HEAD", target), |ask, (name, value)| ask.header(name, value));
            assert_eq!(shared(&app.ask(&ask)), shared(&answer), "{target} {accepts:?}");
        }
        let type_of = |target, accepts| {
            let answer = get_with(app, target, &[("Accept-Encoding", accepts)]);
            answer.header("Content-Type").map(str::to_owned)
        };
        assert_eq!(type_of("/a.js", "gzip").as_deref(), Some("text/javascript; charset=utf-8"));
        assert_eq!(type_of("/LICENSE", "gzip").as_deref(), Some("text/plain; charset=utf-8"));
        assert_eq!(type_of("/a.js.gz", "gzip").as_deref(), Some("application/gzip"));

        // Each has a tag of its own, and ranges count in what is sent.
        let gzip = get_with(app, "/a.js", &[("Accept-Encoding", "gzip")]);
        let plain = app.get("/a.js");
        let etag = gzip.header("ETag").unwrap();
        assert_ne!(Some(etag), plain.header("ETag"));
        assert_eq!(get_with(app, "/a.js", &[("If-None-Match", etag)]).status, 200);
        let again = get_with(app, "/a.js", &[("If-None-Match", etag), ("Accept-Encoding", "gzip")]);
        assert_eq!((again.status, again.header("Vary")), (304, Some("Accept-Encoding")));
        let part = get_with(app, "/a.js", &[("Range", "bytes=-3"), ("Accept-Encoding", "gzip")]);
        let told = (part.header("Content-Range"), part.header("Content-Encoding"));
        assert_eq!((part.is(206, "PED").status, told), (206, (Some("bytes 4-6/7"), Some("gzip"))));
    });
}

/// Types. H1-REP-01.
pub(crate) fn types(server: &dyn Server) {
    mounted(server, "files", |app| {
        for (name, content, expected) in [
            ("a.html", &b"<p>"[..], "text/html; charset=utf-8"),
            ("a.CSS", b"p{}", "text/css; charset=utf-8"),
            ("a.png", b"\x89PNG", "image/png"),
            ("a.svg", b"<svg>", "image/svg+xml"),
            ("a.mp4", b"\0\0\0", "video/mp4"),
            ("a.json", b"{}", "application/json"),
            ("a.tar.gz", b"\x1f\x8b", "application/gzip"),
            // What the name does not tell, the content does, and nobody is to guess further.
            ("LICENSE", b"<script>alert(1)</script>", "text/plain; charset=utf-8"),
            ("notes.xyz", "Käse\n".as_bytes(), "text/plain; charset=utf-8"),
            ("binary", b"\x7fELF\x02\0", "application/octet-stream"),
            ("latin1.xyz", b"K\xe4se\n", "application/octet-stream"),
            ("nothing", b"", "application/octet-stream"),
        ] {
            write(&app.folder.join(name), content, 10);
            let answer = app.get(&format!("/{name}"));
            assert_eq!(answer.header("Content-Type"), Some(expected), "{name}");
            assert_eq!(answer.header("X-Content-Type-Options"), Some("nosniff"), "{name}");
            assert_eq!((answer.status, answer.body.as_slice()), (200, content), "{name}");
            assert_eq!(answer.framing, if content.is_empty() { answer.framing } else { Framing::Length }, "{name}");
        }
        // A character that is cut by the end of what is looked at is still one.
        write(&app.folder.join("long"), format!("{}{}", "x".repeat(1023), "ä".repeat(10)), 10);
        assert_eq!(app.get("/long").header("Content-Type"), Some("text/plain; charset=utf-8"));
    });
}

/// The listing: every name opens, whatever it is.
pub(crate) fn listing(server: &dyn Server) {
    mounted(server, "files", |app| {
        let folder = app.folder.join("odd names");
        fs::create_dir_all(folder.join("sub")).unwrap();
        let names: [&[u8]; 20] = [
            b"<i>.txt",
            b"%",
            b"100%25",
            b"a?b",
            b"a#b",
            "菜单.txt".as_bytes(),
            b"\xff\xfe",
            b"line\nend",
            b"\x1b[31mred",
            "txt.\u{202e}gpj".as_bytes(),
            b"a b",
            b"a+b",
            b"a\\b",
            b"&amp;",
            b"\"quoted\" 'twice'",
            b"javascript:alert(1)",
            b"-rf",
            b"~",
            b"name;v=1",
            b"C:",
        ];
        for name in names {
            write(&folder.join(OsStr::from_bytes(name)), name, 100);
        }
        write(&folder.join(".hidden"), "secret", 100);
        symlink("/etc/passwd", folder.join("out")).unwrap();
        symlink("a b", folder.join("link")).unwrap();
        rustix::fs::mknodat(CWD, folder.join("fifo"), FileType::Fifo, Mode::RUSR, 0).unwrap();

        let page = app.get("/odd%20names/");
        let html = page.text();
        assert_eq!((page.status, page.header("Content-Type")), (200, Some("text/html; charset=utf-8")));
        assert!(page.header("Content-Security-Policy").unwrap().starts_with("default-src 'none'"));
        assert_eq!(page.header("X-Content-Type-Options"), Some("nosniff"));
        let links: Vec<&str> = html.split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
        let entries: Vec<&str> =
            links.iter().filter(|l| !l.starts_with(['?', '.']) && **l != "data:,").copied().collect();
        assert_eq!(entries.len(), names.len() + 2, "{entries:?}");
        assert_eq!(entries[0], "sub/", "folders come first");
        let mut opened = Vec::new();
        for href in &entries[1..] {
            let answer = app.get(&format!("/odd%20names/{href}"));
            assert_eq!(answer.status, 200, "{href}");
            opened.push(answer.body);
        }
        opened.sort();
        let mut expected: Vec<Vec<u8>> = names.iter().map(|name| name.to_vec()).collect();
        expected.push(b"a b".to_vec()); // the link
        expected.sort();
        assert_eq!(opened, expected);

        for text in ["<i>", "\x1b", "\u{202e}", "line\nend", ".hidden", "fifo", ">out<", "<script"] {
            assert!(!html.contains(text), "{text:?}");
        }
        for text in ["&lt;i&gt;.txt", "<bdi>菜单.txt</bdi>", "title=\"7 bytes\"", "href=\"../\"", "2 folders"] {
            assert_eq!(html.contains(text), text != "2 folders", "{text}");
        }
        assert!(app.get("/").text().contains("href=\"odd%20names/\""));

        // A reload costs little, and a change is seen.
        let etag = page.header("ETag").unwrap().to_owned();
        let same = |app: &App<'_>| get_with(app, "/odd%20names/", &[("If-None-Match", &etag)]);
        assert_eq!((same(app).status, same(app).header("ETag")), (304, Some(etag.as_str())));
        write(&folder.join("new"), "", 1);
        assert_eq!(same(app).status, 200);
        let sorted = app.get("/odd%20names/?sort=size&order=desc").text();
        assert!(sorted.find("javascript%3A").unwrap() < sorted.find("a%20b").unwrap());
    });
}

/// What the options change.
pub(crate) fn options(server: &dyn Server) {
    mounted_with(
        server,
        "files",
        &[("hidden", "yes"), ("no-precompressed", "yes"), ("cache-control", "none")],
        |app| {
            write(&app.folder.join(".hidden"), "shown", 10);
            write(&app.folder.join(".hidden.gz"), "GZIPPED", 10);
            let answer = get_with(app, "/.hidden", &[("Accept-Encoding", "gzip")]);
            let told = (answer.is(200, "shown").header("Cache-Control"), answer.header("Vary"));
            assert_eq!(told, (None, None));
            assert!(app.get("/").text().contains("href=\".hidden\""));
            assert_eq!(app.get("/../").status, 404);
        },
    );
    mounted_with(server, "files", &[("no-listing", "yes"), ("index", "start.txt")], |app| {
        fs::create_dir(app.folder.join("sub")).unwrap();
        write(&app.folder.join("index.html"), "no longer", 10);
        assert_eq!(app.get("/").status, 404);
        assert_eq!(app.get("/sub").status, 301);
        write(&app.folder.join("start.txt"), "start", 10);
        app.get("/").is(200, "start");
    });
    for (links, inside, outside) in [("never", 404, 404), ("everywhere", 200, 200)] {
        mounted_with(server, "files", &[("links", links)], |app| {
            write(&app.folder.join("a"), "a", 10);
            symlink("a", app.folder.join("inside")).unwrap();
            symlink("/etc/passwd", app.folder.join("outside")).unwrap();
            let listing = app.get("/").text();
            for (name, status) in [("inside", inside), ("outside", outside)] {
                assert_eq!(app.get(&format!("/{name}")).status, status, "{links} {name}");
                assert_eq!(listing.contains(name), status == 200, "{links} {name}");
            }
        });
    }
    let entry = apps::find("files").unwrap();
    for (option, value, why) in [
        ("dir", "/no/such/folder", "No such file"),
        ("dir", "/dev/null", "Not a directory"),
        ("links", "some", "never, inside or everywhere"),
        ("index", "a/b", "cannot be the name"),
        ("cache-control", "a\nb", "GW-HDR-04"),
    ] {
        let error = (entry.make)(&apps::Given::default().with(option, value)).err().expect(option);
        assert!(error.contains(why) && !error.contains('\n'), "{error}");
    }
}
