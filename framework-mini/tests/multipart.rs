//! Multipart forms through an application: fields, files, limits.
#![cfg(feature = "multipart")]

#[path = "../src/testing.rs"]
mod testing;

use std::fmt::Write as _;
use std::io::{self, Read};

use framework_mini::{App, Error, Multipart, Site};
use testing::TestRequest;

fn list(mut form: Multipart) -> Result<String, Error> {
    let mut lines = String::new();
    while let Some(mut part) = form.next_part()? {
        let (name, file, kind) =
            (part.name().to_owned(), part.safe_file_name(), part.content_type().map(str::to_owned));
        match file {
            Some(file) => {
                let length = io::copy(&mut part, &mut io::sink())?;
                let _ = writeln!(lines, "{name} {file} {} {length}", kind.unwrap_or_default());
            }
            None => drop(writeln!(lines, "{name}={}", part.text()?)),
        }
    }
    Ok(lines)
}

fn site() -> Site<()> {
    App::new(())
        .post("/", list)
        .post("/few", |form: Multipart| list(form.max_parts(2).max_text(4)))
        .post("/skip", |mut form: Multipart| -> Result<String, Error> {
            let mut names = Vec::new();
            while let Some(mut part) = form.next_part()? {
                // Not read, or not to its end.
                let _ = part.read(&mut [0; 3])?;
                names.push(part.name().to_owned());
            }
            Ok(names.join(" "))
        })
        .stream_limit(1 << 20)
        .build()
        .unwrap()
}

fn part(head: &str, content: &str) -> String {
    format!("--x\r\nContent-Disposition: form-data; {head}\r\n\r\n{content}\r\n")
}

fn send(path: &str, content_type: &str, body: &str) -> (u16, String) {
    let whole = TestRequest::post(path, content_type, body).send(&site());
    let chunked = TestRequest::post(path, content_type, body).chunked().send(&site());
    assert_eq!((whole.code(), whole.text()), (chunked.code(), chunked.text()));
    (whole.code(), whole.text())
}

#[test]
fn forms() {
    const TYPE: &str = "multipart/form-data; boundary=x";
    let long = "y".repeat(70_000);
    let many: String = (0..1001).map(|_| part("name=a", "")).collect();
    let head = format!("name=a\r\nX-Long: {}", "h".repeat(17 << 10));
    for (path, kind, body, code, expected) in [
        (
            "/",
            TYPE,
            part("name=a", "1") + &part("name=b; filename=\"../c.txt\"\r\nContent-Type: text/plain", "12345"),
            200,
            "a=1\nb c.txt text/plain 5\n",
        ),
        ("/", TYPE, part("name=a; filename=big", &long), 200, "a big  70000\n"),
        ("/", TYPE, part("name=a; filename=\"\"", ""), 200, "a=\n"),
        ("/", TYPE, String::new(), 200, ""),
        ("/", TYPE, part("name=a", &long), 413, "The field `a` is larger than the 65536 bytes allowed."),
        ("/", TYPE, many.clone(), 413, "more than the 1000 parts allowed"),
        ("/", TYPE, part(&head, ""), 413, "the head of a part"),
        ("/few", TYPE, part("name=a", "1234") + &part("name=b", "12345"), 413, "larger than the 4 bytes"),
        ("/few", TYPE, part("name=a", "1").repeat(3), 413, "more than the 2 parts"),
        ("/skip", TYPE, part("name=a", &long) + &part("name=b", "") + &part("name=c", "12"), 200, "a b c"),
        ("/", "multipart/form-data", part("name=a", "1"), 400, "no valid boundary"),
        ("/", "multipart/mixed; boundary=x", part("name=a", "1"), 415, "Send a form"),
        ("/", TYPE, part("filename=a", "1"), 400, "a part has no name"),
        ("/", TYPE, format!("{}--y", part("name=a", "1")), 400, "ended too early"),
        ("/", "multipart/form-data; boundary=y", part("name=a", "1"), 400, "ended too early"),
    ] {
        let (got, text) = send(path, kind, &format!("{body}--x--\r\n"));
        assert_eq!(got, code, "{text}");
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn the_limit_of_streams() {
    let huge = part("name=a; filename=b", &"z".repeat(2 << 20)) + "--x--";
    let kind = "multipart/form-data; boundary=x";
    let told = TestRequest::post("/", kind, huge.clone()).send(&site());
    assert!(told.code() == 413 && told.text().contains("stream_limit"), "{}", told.text());
    assert_eq!(TestRequest::post("/", kind, huge).chunked().send(&site()).code(), 413);
}
