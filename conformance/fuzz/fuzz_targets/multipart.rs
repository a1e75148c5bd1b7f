//! The reader of multipart forms of framework-mini: the same parts for every way the octets may arrive and the application
//! may read, those of a naive reader, and names of files that are safe.
#![no_main]

use std::io::{Cursor, Read};
use std::path::Path;
use std::sync::{LazyLock, Mutex};

use conformance::inprocess::Client;
use conformance_fuzz::{Form, naive_form, pieces};
use framework_mini::{App, Error, Multipart, Site};
use libfuzzer_sys::fuzz_target;

/// What the application saw of a part.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    name: String,
    file_name: Option<String>,
    content_type: Option<String>,
    content: Vec<u8>,
}

/// The parts of the form that was read last.
static SEEN: Mutex<Vec<Seen>> = Mutex::new(Vec::new());
/// How much of each part the application reads.
static MOST: Mutex<u64> = Mutex::new(u64::MAX);

fn read(mut form: Multipart) -> Result<String, Error> {
    let most = *MOST.lock().unwrap();
    SEEN.lock().unwrap().clear();
    while let Some(mut part) = form.next_part()? {
        if let Some(safe) = part.safe_file_name() {
            assert!(!safe.is_empty() && safe.len() <= 201 && !safe.starts_with('.') && !safe.contains(['/', '\\', ':', '\0']));
            assert_eq!(Path::new(&safe).components().count(), 1, "{safe:?}");
        }
        let (name, file_name) = (part.name().to_owned(), part.file_name().map(str::to_owned));
        let content_type = part.content_type().map(str::to_owned);
        let mut content = Vec::new();
        (&mut part).take(most).read_to_end(&mut content)?;
        SEEN.lock().unwrap().push(Seen { name, file_name, content_type, content });
    }
    assert!(form.next_part()?.is_none(), "the end stays the end");
    Ok(String::new())
}

static CLIENT: LazyLock<Client<Site<()>>> =
    LazyLock::new(|| Client::new(App::new(()).post("/", read).build().expect("one route")));

/// A reader that gives its octets in pieces of a size.
struct Pieces(Cursor<Vec<u8>>, usize);

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let size = buffer.len().min(self.1);
        self.0.read(&mut buffer[..size])
    }
}

/// The status, and the parts up to the first mistake.
fn run(content_type: &str, body: &[u8], size: usize, most: u64) -> (u16, Vec<Seen>) {
    *MOST.lock().unwrap() = most;
    SEEN.lock().unwrap().clear();
    let reader = Pieces(Cursor::new(body.to_vec()), size);
    let response = CLIENT.post("/").header("Content-Type", content_type).reader(reader).send();
    (response.status, SEEN.lock().unwrap().clone())
}

fuzz_target!(|data: &[u8]| {
    let Some((size, octets)) = pieces(data) else { return };
    // A line with the parameters of the media type, then the body.
    let Some(end) = octets.iter().position(|&b| b == b'\n') else { return };
    let (Ok(parameters), body) = (str::from_utf8(&octets[..end]), &octets[end + 1..]) else { return };
    // The limits have tests of their own; here they would hide what a naive reader sees.
    if !parameters.starts_with(';') || parameters.contains(['\r', '\0']) || body.len() > 8000 {
        return;
    }
    let content_type = format!("multipart/form-data{parameters}");
    let (status, parts) = run(&content_type, body, usize::MAX, u64::MAX);
    assert!([200, 400, 413].contains(&status), "{status}");
    assert_eq!(run(&content_type, body, size, u64::MAX), (status, parts.clone()), "in pieces of {size}");
    let names = |parts: &[Seen]| parts.iter().map(|part| part.name.clone()).collect::<Vec<_>>();
    let (skipped_status, skipped) = run(&content_type, body, size, 3);
    assert_eq!(skipped_status, status, "parts that are not read to their ends");
    if status == 200 {
        assert_eq!(names(&skipped), names(&parts));
    }

    let Some(boundary) = parameters.strip_prefix("; boundary=") else { return };
    if !(1..=70).contains(&boundary.len()) || !boundary.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return;
    }
    // What stands in the heads of parts is another matter; these are right for sure.
    let is_plain = |head: &[u8]| {
        let name = head.strip_prefix(b"Content-Disposition: form-data; name=");
        name.is_some_and(|name| !name.is_empty() && name.iter().all(u8::is_ascii_alphanumeric))
    };
    match naive_form(body, boundary) {
        Form::Parts(expected) => {
            assert!(status == 200 || expected.iter().any(|(head, _)| !is_plain(head)), "a form is not accepted");
            if status == 200 {
                let contents = parts.into_iter().map(|part| part.content).collect::<Vec<_>>();
                assert_eq!(contents, expected.into_iter().map(|(_, content)| content).collect::<Vec<_>>());
            }
        }
        Form::Broken => assert_eq!(status, 400, "a broken form is accepted"),
    }
});
