//! Files as responses: validators, conditions, ranges, siblings, and paths that lead nowhere.

#[path = "../src/testing.rs"]
mod testing;

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use framework_mini::middleware::AccessLog;
use framework_mini::{App, Asset, Error, Event, File, Html, IntoResponse, Path, Site, Sse, Status, Stream};
use gateway_spec::{Environ, StartResponse};
use testing::{TestRequest, TestResponse};

/// A folder of its own for a test, gone with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("files-{name}"));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(path.join("root/sub")).unwrap();
        Self(path.join("root"))
    }

    /// A file that was modified so long ago, in seconds.
    fn file(&self, name: &str, content: &str, age: i64) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, content).unwrap();
        let now = SystemTime::now();
        let ago = Duration::from_secs(age.unsigned_abs());
        let time = if age >= 0 { now - ago } else { now + ago };
        fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
        path
    }

    fn site(&self) -> Site<PathBuf> {
        fn show(
            framework_mini::State(root): framework_mini::State<PathBuf>,
            Path(path): Path<String>,
        ) -> Result<File, Error> {
            Ok(File::within(&*root, &path)?.precompressed())
        }
        App::new(self.0.clone()).get("/{*path}", show).post("/{*path}", show).build().unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(self.0.parent().unwrap());
    }
}

fn get(site: &Site<PathBuf>, headers: &[(&str, &str)]) -> TestResponse {
    let request = TestRequest::get("/ten.txt");
    headers.iter().fold(request, |request, (name, value)| request.header(name, value)).send(site)
}

/// F02: neither the file nor its sibling is one that a link leads to outside of the folder.
#[cfg(unix)]
#[test]
fn a_sibling_does_not_lead_out() {
    let folder = Folder::new("sibling-out");
    folder.file("ten.txt", "0123456789", 100);
    fs::write(folder.0.join("../secret"), "secret").unwrap();
    std::os::unix::fs::symlink("../secret", folder.0.join("ten.txt.gz")).unwrap();
    let answer = get(&folder.site(), &[("Accept-Encoding", "gzip")]);
    assert_eq!((answer.header("Content-Encoding"), answer.text()), (None, "0123456789".into()));
    fs::remove_file(folder.0.join("ten.txt.gz")).unwrap();
    fs::write(folder.0.join("sub/inside"), "inside").unwrap();
    std::os::unix::fs::symlink("sub/inside", folder.0.join("ten.txt.gz")).unwrap();
    let answer = get(&folder.site(), &[("Accept-Encoding", "gzip")]);
    assert_eq!((answer.header("Content-Encoding"), answer.text()), (Some("gzip"), "inside".into()));
}

#[test]
fn a_file_with_all_its_headers() {
    let folder = Folder::new("headers");
    folder.file("ten.txt", "0123456789", 100);
    let site = folder.site();
    let whole = get(&site, &[]);
    assert_eq!((whole.code(), whole.text().as_str()), (200, "0123456789"));
    for (name, value) in [
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Length", "10"),
        ("Accept-Ranges", "bytes"),
        ("Vary", "Accept-Encoding"),
        ("X-Content-Type-Options", "nosniff"),
    ] {
        assert_eq!(whole.header(name), Some(value), "{name}");
    }
    let etag = whole.header("ETag").unwrap();
    assert!(etag.starts_with('"'), "{etag}");
    assert!(httpdate::parse_http_date(whole.header("Last-Modified").unwrap()).is_ok());
    let mut head = TestRequest::get("/ten.txt");
    head.method = "HEAD".into();
    let head = head.header("Range", "bytes=0-1").send(&site);
    assert_eq!((head.code(), &head.headers), (200, &whole.headers));
    // What was posted is answered whole, whatever it asks for (H1-METH-08).
    let post =
        TestRequest::post("/ten.txt", "text/plain", "").header("Range", "bytes=0-1").header("If-None-Match", "*");
    assert_eq!(post.send(&site).code(), 200);
}

#[test]
fn conditions_and_ranges() {
    let folder = Folder::new("ranges");
    folder.file("ten.txt", "0123456789", 100);
    let site = folder.site();
    let whole = get(&site, &[]);
    let (etag, modified) = (whole.header("ETag").unwrap(), whole.header("Last-Modified").unwrap());
    let weak = format!("W/{etag}");
    for (headers, code, content_range, text) in [
        (vec![("Range", "bytes=0-4")], 206, Some("bytes 0-4/10"), "01234"),
        (vec![("Range", "bytes=-3")], 206, Some("bytes 7-9/10"), "789"),
        (vec![("Range", "bytes=0-4"), ("If-Range", etag)], 206, Some("bytes 0-4/10"), "01234"),
        (vec![("Range", "bytes=0-4"), ("If-Range", modified)], 206, Some("bytes 0-4/10"), "01234"),
        (vec![("Range", "bytes=0-4"), ("If-Range", &weak)], 200, None, "0123456789"),
        (vec![("Range", "bytes=0-4"), ("If-Range", "\"other\"")], 200, None, "0123456789"),
        (
            vec![("Range", "bytes=9999-")],
            416,
            Some("bytes */10"),
            "416 Range Not Satisfiable\nThere is no such part.\n",
        ),
        (vec![("Range", "bytes=4-3")], 200, None, "0123456789"),
        (vec![("Range", "items=0-1")], 200, None, "0123456789"),
        (vec![("If-None-Match", etag), ("Range", "bytes=0-4")], 304, None, ""),
        (vec![("If-None-Match", "W/\"x\", \"y\"")], 200, None, "0123456789"),
        (vec![("If-None-Match", "*")], 304, None, ""),
        (vec![("If-Modified-Since", modified)], 304, None, ""),
        (vec![("If-None-Match", "\"x\""), ("If-Modified-Since", modified)], 200, None, "0123456789"),
        (vec![("If-Match", "\"x\"")], 412, None, "412 Precondition Failed\nIt is not what the request says it is.\n"),
        (vec![("If-Match", etag)], 200, None, "0123456789"),
    ] {
        let response = get(&site, &headers);
        assert_eq!((response.code(), response.text().as_str()), (code, text), "{headers:?}");
        assert_eq!(response.header("Content-Range"), content_range, "{headers:?}");
        let conditional = headers.iter().any(|(name, _)| *name == "If-Range") && code == 206;
        assert_eq!(
            response.header("Last-Modified").is_some(),
            matches!(code, 200 | 206) && !conditional,
            "{headers:?}"
        );
        if matches!(code, 200 | 206 | 304) {
            assert_eq!(response.header("ETag"), Some(etag));
            assert_eq!(response.header("Vary"), Some("Accept-Encoding"));
        }
        if code == 304 {
            assert_eq!((response.header("Content-Type"), response.header("Content-Length")), (None, None));
        }
    }
}

#[test]
fn several_parts() {
    let folder = Folder::new("parts");
    folder.file("ten.txt", "0123456789", 100);
    let response = get(&folder.site(), &[("Range", "bytes=5-6,0-1")]);
    assert_eq!((response.code(), response.header("Content-Range")), (206, None));
    let boundary = response.header("Content-Type").unwrap().strip_prefix("multipart/byteranges; boundary=").unwrap();
    let part = |range: &str, text: &str| {
        format!(
            "--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Range: bytes {range}/10\r\n\r\n{text}\r\n"
        )
    };
    assert_eq!(response.text(), format!("{}{}--{boundary}--\r\n", part("5-6", "56"), part("0-1", "01")));
    assert_eq!(response.header("Content-Length"), Some(response.text().len().to_string().as_str()));
    // All of it was sent, and a layer around knows.
    let request = TestRequest::get("/ten.txt").header("Range", "bytes=5-6,0-1");
    let logged = request.send(&AccessLog::new(folder.site())).errors;
    assert!(logged.contains(" 206 ") && !logged.ends_with("cut\n"), "{logged}");
}

#[test]
fn siblings() {
    let folder = Folder::new("siblings");
    folder.file("a.js", "plain", 100);
    folder.file("a.js.gz", "GZIP", 50);
    folder.file("a.js.br", "BROTLI", 200); // older than the file: not the same content
    let site = folder.site();
    let get = |encoding: &str| TestRequest::get("/a.js").header("Accept-Encoding", encoding).send(&site);
    for (encoding, expected, coding) in [
        ("gzip", "GZIP", Some("gzip")),
        ("br, gzip;q=0.1", "GZIP", Some("gzip")),
        ("br", "plain", None),
        ("", "plain", None),
    ] {
        let response = get(encoding);
        assert_eq!((response.text().as_str(), response.header("Content-Encoding")), (expected, coding), "{encoding}");
        assert_eq!(response.header("Vary"), Some("Accept-Encoding"));
        assert_eq!(response.header("Content-Type"), Some("text/javascript; charset=utf-8"));
    }
    assert_ne!(get("gzip").header("ETag"), get("br").header("ETag"));
}

/// Without routes, and of files that came open: an application of one's own has all that a handler's `File` has.
#[test]
fn answers_without_routes() {
    let folder = Folder::new("answers");
    folder.file("a.txt", "0123456789", 100);
    folder.file("other.gz", "GZIP", 50);
    let root = folder.0.clone();
    let app = gateway_spec::app_fn(move |environ: &mut Environ<'_>, start_response: &mut dyn StartResponse| {
        let root = root.clone();
        let open = |name: &str| fs::File::open(root.join(name));
        let response = match environ.path_info() {
            path if path == "/folder" => File::opened(open("sub")?, "sub").into_response(),
            path if path == "/broken" => Error::internal("a secret").into_response(),
            path if path == "/page" => Error::not_found().with_header("Retry-After", "1").into_response(),
            _ => {
                let file = File::opened(open("a.txt")?, "named.html");
                let other = move |extension: &str| fs::File::open(root.join(format!("other.{extension}"))).ok();
                let response = file.map(|file| file.siblings(other)).into_response();
                response.with_header("X-Own", "1").with_header("ETag", "\"v1\"")
            }
        };
        response.answer(environ, start_response, |error, _| Html(format!("<p>{}", error.status())).into_response())
    });
    let whole = TestRequest::get("/").send(&app);
    assert_eq!((whole.code(), whole.text().as_str(), whole.header("X-Own")), (200, "0123456789", Some("1")));
    assert_eq!(whole.header("Content-Type"), Some("text/html; charset=utf-8"));
    let part = TestRequest::get("/").header("Range", "bytes=2-3").send(&app);
    assert_eq!((part.code(), part.text().as_str()), (206, "23"));
    let gzip = TestRequest::get("/").header("Accept-Encoding", "gzip").send(&app);
    assert_eq!((gzip.text().as_str(), gzip.header("Content-Encoding")), ("GZIP", Some("gzip")));
    // H1-VAL-12: a strong tag is that of one sequence of octets. Of either, "not modified" can be told by it.
    assert_eq!((whole.header("ETag"), gzip.header("ETag")), (Some("\"v1\""), Some("W/\"v1\"")));
    let asked = |name: &str, value: &str| TestRequest::get("/").header("Accept-Encoding", "gzip").header(name, value);
    let known = asked("If-None-Match", "\"v1\"").send(&app);
    assert_eq!((known.code(), known.header("ETag")), (304, Some("W/\"v1\"")));
    let rest = asked("If-Range", "\"v1\"").header("Range", "bytes=2-").send(&app);
    assert_eq!((rest.code(), rest.text().as_str()), (200, "GZIP"));
    let beyond = TestRequest::get("/").header("Range", "bytes=99-").send(&app);
    assert_eq!((beyond.code(), beyond.header("Content-Range")), (416, Some("bytes */10")));
    assert!(beyond.text().starts_with("<p>416"));
    assert_eq!(TestRequest::get("/folder").send(&app).code(), 404);
    let page = TestRequest::get("/page").send(&app);
    assert_eq!((page.code(), page.header("Retry-After")), (404, Some("1")));
    let broken = TestRequest::get("/broken").send(&app);
    assert_eq!(broken.code(), 500);
    assert!(broken.errors.contains("a secret") && !broken.text().contains("secret"), "{}", broken.errors);
}

#[test]
fn dates_at_the_edges() {
    let folder = Folder::new("dates");
    folder.file("ten.txt", "0123456789", -3600);
    let future = get(&folder.site(), &[]);
    let modified = httpdate::parse_http_date(future.header("Last-Modified").unwrap()).unwrap();
    assert!(modified <= SystemTime::now());
    assert!(future.header("ETag").unwrap().starts_with("W/"));
    folder.file("ten.txt", "0123456789", 60 * 365 * 86_400);
    let past = get(&folder.site(), &[]);
    assert_eq!((past.code(), past.header("Last-Modified")), (200, None));
    folder.file("ten.txt", "", 100);
    assert_eq!(get(&folder.site(), &[("Range", "bytes=-5")]).header("Content-Length"), Some("0"));
    assert_eq!(get(&folder.site(), &[("Range", "bytes=0-")]).code(), 416);
}

/// F01 and F02: nothing leads out of the folder, and nothing that is no plain file is opened.
#[test]
fn paths_that_lead_nowhere() {
    let folder = Folder::new("paths");
    folder.file("ok.txt", "ok", 10);
    folder.file("sub/ok.txt", "ok", 10);
    folder.file(".hidden", "secret", 10);
    let outside = folder.0.parent().unwrap();
    fs::create_dir_all(outside.join("root_backup")).unwrap();
    fs::write(outside.join("root_backup/secret"), "secret").unwrap();
    fs::write(outside.join("secret"), "secret").unwrap();
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(outside.join("secret"), folder.0.join("link")).unwrap();
        std::os::unix::fs::symlink("ok.txt", folder.0.join("inner-link")).unwrap();
        let fifo = std::process::Command::new("mkfifo").arg(folder.0.join("fifo")).status().unwrap();
        assert!(fifo.success());
        assert_eq!(TestRequest::get("/inner-link").send(&folder.site()).text(), "ok");
    }
    let site = folder.site();
    assert_eq!(TestRequest::get("/sub/ok.txt").send(&site).text(), "ok");
    for path in [
        "/",
        "/sub",
        "/sub/",
        "/nothing",
        "/ok.txt/",
        "/ok.txt/x",
        "/.hidden",
        "/../secret",
        "/%2e%2e/secret",
        "/sub/..%2f..%2fsecret",
        "/..%5csecret",
        "/sub/../../secret",
        "//etc/passwd",
        "/%2fetc/passwd",
        "/C:/x",
        "/C%3a",
        "/....//secret",
        "/%00",
        "/ok.txt%00.png",
        "/../root_backup/secret",
        "/./ok.txt",
        "/link",
        "/fifo",
        &format!("/{}", "x".repeat(5000)),
    ] {
        let response = TestRequest::get(path).send(&site);
        assert_eq!(response.code(), 404, "{path}: {}", response.text());
    }
    for path in ["/%c0%ae%c0%ae/secret", "/%ff"] {
        assert_eq!(TestRequest::get(path).send(&site).code(), 400, "{path}");
    }
}

#[test]
fn a_file_that_shrinks_is_cut_not_padded() {
    let folder = Folder::new("shrinks");
    let path = folder.file("a.bin", &"x".repeat(200_000), 10);
    let site = App::new(())
        .get("/", move || {
            let file = File::open(&path).unwrap();
            fs::File::options().write(true).open(&path).unwrap().set_len(100_000).unwrap();
            file
        })
        .build()
        .unwrap();
    let error = TestRequest::get("/").try_send(&site).unwrap_err();
    assert!(error.to_string().contains("shorter"), "{error}");
}

#[test]
fn downloads_and_what_the_handler_sets() {
    let folder = Folder::new("download");
    let path = folder.file("a.txt", "x", 10);
    let site = App::new(())
        .get("/", move || {
            File::open(&path).map(|file| {
                (Status::OK, [("Cache-Control", "max-age=60"), ("ETag", "\"own\"")], file.download("Käse; 1\".txt"))
            })
        })
        .build()
        .unwrap();
    let response = TestRequest::get("/").send(&site);
    assert_eq!(
        response.header("Content-Disposition"),
        Some("attachment; filename=\"K_se; 1_.txt\"; filename*=UTF-8''K%C3%A4se%3B%201%22.txt")
    );
    assert_eq!((response.header("Cache-Control"), response.all("ETag")), (Some("max-age=60"), vec!["\"own\""]));
}

#[test]
fn assets_are_sent_again_when_they_have_changed() {
    let site = |content| App::new(()).get("/", move || Asset::new("site.css", content)).build().unwrap();
    let (old, new) = (site(b"a {}"), site(b"b {}"));
    let get = TestRequest::get("/").send(&old);
    assert_eq!(
        (get.code(), get.text(), get.header("Content-Type")),
        (200, "a {}".into(), Some("text/css; charset=utf-8"))
    );
    assert_eq!(get.header("Cache-Control"), Some("no-cache"));
    let tag = get.header("ETag").unwrap();
    assert!(!tag.starts_with("W/"), "{tag}");
    let again = |site, name| TestRequest::get("/").header(name, tag).send(site).code();
    assert_eq!((again(&old, "If-None-Match"), again(&new, "If-None-Match")), (304, 200));
    assert_eq!((again(&old, "If-Match"), again(&new, "If-Match")), (200, 412));
    assert_eq!(TestRequest::new("HEAD", "/").send(&old).header("ETag"), Some(tag));
}

#[test]
fn streams() {
    let site = App::new(())
        .get("/stream", || Stream(["a", "", "b"]))
        .get("/sse", || Sse([Event::data("1"), Event::default(), Event::data("2")]))
        .get("/text", || Stream(["x"]).into_response().with_header("Content-Type", "text/csv"))
        .build()
        .unwrap();
    let stream = TestRequest::get("/stream").send(&site);
    assert_eq!((stream.text().as_str(), stream.blocks.len(), stream.header("Content-Length")), ("ab", 2, None));
    let sse = TestRequest::get("/sse").send(&site);
    assert_eq!((sse.blocks.len(), sse.text().as_str()), (2, "data: 1\n\ndata: 2\n\n"));
    assert_eq!(sse.header("Content-Type"), Some("text/event-stream"));
    assert_eq!(TestRequest::get("/text").send(&site).header("Content-Type"), Some("text/csv"));
    // Of HEAD nothing is asked for; the iterator is dropped all the same.
    let alive = std::sync::Arc::new(());
    let held = alive.clone();
    let endless = move || {
        let held = held.clone();
        Stream(std::iter::repeat_with(move || -> &'static str { panic!("asked for {held:?}") }))
    };
    let site = App::new(()).get("/", endless).build().unwrap();
    let before = std::sync::Arc::strong_count(&alive);
    assert_eq!(TestRequest::new("HEAD", "/").send(&site).code(), 200);
    assert_eq!(std::sync::Arc::strong_count(&alive), before);
}
