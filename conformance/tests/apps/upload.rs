//! D.8: large bodies.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use serde_json::Value;

use crate::support::{Answer, Ask, AskBody, Server};
use crate::{App, eventually, mounted, mounted_with};

fn folder(app: &App<'_>) -> PathBuf {
    app.folder.join("uploads")
}

/// The names in a folder, sorted, without what is hidden.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = entries.filter(|name| !name.starts_with('.')).collect();
    names.sort();
    names
}

/// How many files are still arriving.
fn arriving(app: &App<'_>) -> usize {
    fs::read_dir(folder(app).join(".incoming")).unwrap().count()
}

/// A form with files, each a name and a content.
fn form(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, content) in files {
        let head = format!("--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\n");
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--B--\r\n");
    body
}

fn multipart(ask: Ask) -> Ask {
    ask.header("Content-Type", "multipart/form-data; boundary=B")
}

fn put(target: &str, content: &str) -> Ask {
    Ask { method: "PUT".to_owned(), ..Ask::post(target, content) }
}

/// What was stored, as the answer tells it.
#[track_caller]
fn stored(answer: &Answer) -> Vec<String> {
    assert!(answer.status == 201 && answer.complete, "{answer:?}");
    let stored: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(answer.header("Location"), stored[0]["url"].as_str());
    stored.as_array().unwrap().iter().map(|file| file["name"].as_str().unwrap().to_owned()).collect()
}

#[track_caller]
fn problem(answer: &Answer, status: u16, words: &str) {
    assert!(answer.status == status && answer.complete && answer.text().contains(words), "{answer:?}");
}

/// Forms and bodies, with a length and without; files come back as they were; none is replaced.
pub(crate) fn there_and_back(server: &dyn Server) {
    mounted(server, "upload", |app| {
        assert!(app.get("/").text().contains("There is nothing yet."));
        let octets: Vec<u8> = (0..1_000_000u32).map(|n| (n * 7 % 251) as u8).collect();
        let body = form(&[("a.bin", &octets), ("empty", b""), ("crlf", b"\r\n--A\r--\r\n")]);
        assert_eq!(stored(&app.ask(&multipart(Ask::post("/upload", body.clone())))), ["a.bin", "empty", "crlf"]);
        assert_eq!(stored(&app.ask(&multipart(Ask::chunked("/upload", body)))), ["a (2).bin", "empty (2)", "crlf (2)"]);
        assert_eq!(stored(&app.ask(&put("/raw/a.bin", "put"))), ["a (3).bin"]);
        let chunked = Ask { method: "PUT".to_owned(), ..Ask::chunked("/raw/new", octets.clone()) };
        assert_eq!(stored(&app.ask(&chunked)), ["new"]);

        assert_eq!(app.get("/files/a.bin").body, octets);
        assert_eq!(app.get("/files/new").body, octets);
        assert_eq!(app.get("/files/crlf").body, b"\r\n--A\r--\r\n");
        assert_eq!(app.get("/files/empty").is(200, "").header("Content-Length"), Some("0"));
        app.get("/files/a%20(3).bin").is(200, "put");
        assert_eq!(arriving(app), 0);
        let page = app.get("/").text();
        for name in names(&folder(app)) {
            assert!(page.contains(&format!(">{name}</a>")), "{name}: {page}");
        }

        assert_eq!(app.ask(&Ask::post("/files/empty/delete", "")).status, 204);
        assert_eq!(app.ask(&Ask::new("DELETE", "/files/crlf")).status, 204);
        assert_eq!(app.get("/files/empty").status, 404);
        assert_eq!(app.ask(&Ask::post("/files/empty/delete", "")).status, 404);
        assert_eq!(names(&folder(app)), ["a (2).bin", "a (3).bin", "a.bin", "crlf (2)", "empty (2)", "new"]);

        // A time for which HTTP has no date is left out, and the page is there all the same.
        let old = fs::File::options().write(true).open(folder(app).join("new")).unwrap();
        old.set_modified(UNIX_EPOCH - Duration::from_secs(1)).unwrap();
        assert!(app.get("/").text().contains(">new</a>"));
        assert_eq!(app.get("/files/new").body, octets);

        // A browser without scripts is shown the page again; another site's form is refused.
        let html = |ask: Ask| ask.header("Accept", "text/html");
        let sent = app.ask(&html(multipart(Ask::post("/upload", form(&[("x", b"x")])))));
        assert_eq!((sent.status, sent.header("Location")), (303, Some(&*format!("{}/?added=1", app.prefix))));
        assert!(app.get("/?added=1").text().contains("The file is here."));
        let gone = app.ask(&html(Ask::post("/files/x/delete", "")));
        assert_eq!((gone.status, gone.header("Location")), (303, Some(&*format!("{}/?deleted=1", app.prefix))));
        let foreign = multipart(Ask::post("/upload", form(&[("y", b"y")]))).header("Origin", "https://evil.example");
        problem(&app.ask(&foreign), 403, "another site");
        assert!(!folder(app).join("y").exists());
        assert_eq!(app.get("/?added=%3Cb%3E").status, 400);
    });
}

/// Downloads go on where they were cut, and never act as a page of this site.
pub(crate) fn downloads(server: &dyn Server) {
    mounted(server, "upload", |app| {
        app.ask(&put("/raw/page.html", "<script>alert(1)</script>"));
        let whole = app.get("/files/page.html");
        let header = |name: &str| whole.header(name).unwrap_or_else(|| panic!("{name}: {whole:?}"));
        assert_eq!(header("Accept-Ranges"), "bytes");
        assert_eq!(header("X-Content-Type-Options"), "nosniff");
        assert!(header("Content-Disposition").starts_with("attachment;"));
        assert!(header("Content-Security-Policy").starts_with("sandbox"));
        let modified = header("Last-Modified").to_owned();

        let rest = app.ask(&Ask::get("/files/page.html").header("Range", "bytes=8-"));
        assert_eq!(rest.is(206, "alert(1)</script>").header("Content-Range"), Some("bytes 8-24/25"));
        let other = Ask::get("/files/page.html").header("Range", "bytes=8-").header("If-Range", "\"other\"");
        assert_eq!(app.ask(&other).status, 200, "it is not the file any more of which the client has the beginning");
        assert_eq!(app.ask(&Ask::get("/files/page.html").header("Range", "bytes=99-")).status, 416);
        assert_eq!(app.ask(&Ask::get("/files/page.html").header("If-Modified-Since", &modified)).status, 304);
        assert_eq!(app.head("/files/page.html").is(200, "").header("Content-Length"), Some("25"));
        for target in [
            "/files/",
            "/files/no",
            "/files/.incoming",
            "/files/..%2fuploads%2fpage.html",
            "/files/%2fetc%2fpasswd",
            "/files/a%00",
        ] {
            let answer = app.get(target);
            assert!(matches!(answer.status, 400 | 404), "{target}: {answer:?}");
        }
    });
}

/// Names that mean something to a file system.
pub(crate) fn names_are_made_safe(server: &dyn Server) {
    mounted(server, "upload", |app| {
        let long = format!("{}.jpeg", "x".repeat(300));
        let shortened = format!("{}.jpeg", "x".repeat(195));
        let cases = [
            ("../../x", "x"),
            ("C:\\x", "x (2)"),
            ("/etc/passwd", "passwd"),
            ("..", "file"),
            (".hidden", "hidden"),
            ("a\u{1}b<c>.txt", "abc.txt"),
            ("con", "_con"),
            (&*long, &*shortened),
            ("K\u{e4}se.txt", "K\u{e4}se.txt"),
        ];
        for (name, expected) in cases {
            let answer = app.ask(&multipart(Ask::post("/upload", form(&[(name, b"1")]))));
            assert_eq!(stored(&answer), [expected], "{name:?}");
        }
        let mut body = form(&[("N", b"1")]);
        let at = body.iter().position(|&b| b == b'N').unwrap();
        body.splice(at..=at, *b"\xff\xfe");
        assert_eq!(stored(&app.ask(&multipart(Ask::post("/upload", body)))), ["file (2)"], "not UTF-8");
        // No file was chosen, and a field that is no file.
        for body in [form(&[("", b"")]), b"--B\r\nContent-Disposition: form-data; name=a\r\n\r\nx\r\n--B--".to_vec()] {
            problem(&app.ask(&multipart(Ask::post("/upload", body))), 422, "no file");
        }
        for (target, expected) in [
            ("/raw/", "file (3)"),
            ("/raw/%2e%2e%2f%2e%2e%2fy", "y"),
            ("/raw/C:%5Cz", "z"),
            ("/raw/a/b/c", "c"),
            ("/raw/%ff", "file (4)"),
            ("/raw/a%ffb%C3%A9.txt", "ab\u{e9}.txt"),
        ] {
            assert_eq!(stored(&app.ask(&put(target, "1"))), [expected], "{target}");
        }
        problem(&app.ask(&Ask::get("/files/%ff")), 400, "UTF-8");
        let outside = names(app.folder);
        assert_eq!(outside, ["uploads"], "nothing beside the folder");
        assert_eq!(arriving(app), 0);
    });
}

/// What is cut, broken or too much leaves nothing.
pub(crate) fn refusals(server: &dyn Server) {
    // So many parts: fields, and a file at the end.
    let parts = |count: usize| {
        let field = b"--B\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n";
        [field.repeat(count - 1), form(&[("a", b"1")])].concat()
    };
    let head = |length: usize| {
        let padding = "x".repeat(length);
        format!("--B\r\nContent-Disposition: form-data; name=a; filename=b\r\nX: {padding}\r\n\r\n1\r\n--B--")
            .into_bytes()
    };
    mounted(server, "upload", |app| {
        let typed =
            |content_type: &str| Ask::post("/upload", form(&[("a", b"1")])).header("Content-Type", content_type);
        problem(&app.ask(&typed("multipart/form-data")), 400, "boundary");
        problem(&app.ask(&typed(&format!("multipart/form-data; boundary={}", "B".repeat(71)))), 400, "boundary");
        problem(&app.ask(&typed("application/x-www-form-urlencoded")), 415, "multipart/form-data");
        problem(&app.ask(&multipart(Ask::post("/upload", parts(1001)))), 413, "1000 parts");
        problem(&app.ask(&multipart(Ask::post("/upload", head(17 << 10)))), 413, "head of a part");
        let whole = form(&[("a", &[b'x'; 100_000]), ("b", b"second")]);
        for length in [10, 60, 50_000, whole.len() - 12, whole.len() - 5] {
            problem(&app.ask(&multipart(Ask::post("/upload", &whole[..length]))), 400, "");
            let missing = whole.len() - length;
            let cut = app.ask(&multipart(Ask::short("/upload", &whole[..length], missing)));
            assert!(cut.status == 400 || cut.status == 0, "{cut:?}");
        }
        let short = Ask { method: "PUT".to_owned(), ..Ask::short("/raw/cut", vec![b'x'; 200_000], 10) };
        let cut = app.ask(&short);
        assert!(cut.status == 400 || cut.status == 0, "{cut:?}");
        let partial = put("/raw/part", "x").header("Content-Range", "bytes 0-0/9");
        problem(&app.ask(&partial), 400, "part");
        assert_eq!(app.ask(&Ask::post("/files/..%2f..%2fetc%2fpasswd/delete", "")).status, 404);
        eventually("nothing that is arriving", || arriving(app) == 0);
        assert_eq!(names(&folder(app)), [""; 0]);
        assert_eq!(stored(&app.ask(&multipart(Ask::post("/upload", parts(1000))))), ["a"]);
    });
    mounted_with(server, "upload", &[("max-size", "100K")], |app| {
        for ask in [
            multipart(Ask::post("/upload", form(&[("a", &[b'x'; 200_000])]))),
            multipart(Ask::chunked("/upload", form(&[("a", &[b'x'; 200_000])]))),
            put("/raw/a", &"x".repeat(200_000)),
            Ask { method: "PUT".to_owned(), ..Ask::chunked("/raw/a", vec![b'x'; 200_000]) },
        ] {
            problem(&app.ask(&ask), 413, "At most 100 KiB");
            let page = app.ask(&ask.header("Accept", "text/html"));
            problem(&page, 413, "<h2>That is too large</h2>");
            let back = format!("href=\"{}/\"", app.prefix).replace('/', "&#x2f;");
            assert!(page.text().contains(&back), "{}", page.text());
        }
        assert_eq!(stored(&app.ask(&put("/raw/fits", &"x".repeat(100 << 10)))), ["fits"]);
        eventually("nothing that is arriving", || arriving(app) == 0);
        assert_eq!(names(&folder(app)), ["fits"]);
    });
}

/// Who asks first is told before anything is sent: no 100 comes before the 413.
pub(crate) fn expectations(server: &dyn Server) {
    mounted_with(server, "upload", &[("max-size", "1000")], |app| {
        for (target, kind) in [("/raw/a", "application/octet-stream"), ("/upload", "multipart/form-data; boundary=B")] {
            let ask = Ask {
                method: if target == "/upload" { "POST" } else { "PUT" }.to_owned(),
                body: AskBody::Expect(vec![b'x'; 1001]),
                ..Ask::get(target)
            };
            let answer = app.ask(&ask.header("Content-Type", kind));
            problem(&answer, 413, "At most 1000 B");
            assert!(!answer.continued, "{target}");
        }
        let ask = Ask { method: "PUT".to_owned(), body: AskBody::Expect(vec![b'x'; 1000]), ..Ask::get("/raw/a") };
        let answer = app.ask(&ask);
        assert_eq!((stored(&answer), answer.continued), (vec!["a".to_owned()], true));
        assert_eq!(names(&folder(app)), ["a"]);
    });
}

/// A boundary wherever the body is cut into pieces.
pub(crate) fn every_split(server: &dyn Server) {
    mounted(server, "upload", |app| {
        let body = form(&[("a", b"\r\n--A-\r\n-"), ("b", b"")]);
        for at in 1..body.len() {
            let ask = Ask { body: AskBody::Pieces(body.clone(), at), ..multipart(Ask::post("/upload", "")) };
            assert_eq!(stored(&app.ask(&ask)).len(), 2, "cut at {at}");
        }
        let folder = folder(app);
        assert!(names(&folder).iter().all(|name| {
            let content = fs::read(folder.join(name)).unwrap();
            content == if name.starts_with('a') { &b"\r\n--A-\r\n-"[..] } else { b"" }
        }));
        assert_eq!(names(&folder).len(), 2 * (body.len() - 1));
    });
}
