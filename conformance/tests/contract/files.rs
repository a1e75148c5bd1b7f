//! Files as bodies (GW-FILE).

use super::prelude::*;

/// A file with these bytes that is removed when it is dropped.
struct TempFile(std::path::PathBuf);

impl TempFile {
    fn new(bytes: &[u8]) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let name = format!("gateway-contract-{}-{}", std::process::id(), NUMBER.fetch_add(1, SeqCst));
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, bytes).unwrap();
        Self(path)
    }

    fn body(&self, offset: u64, length: u64) -> Body {
        Body::file(std::fs::File::open(&self.0).unwrap(), offset, length)
    }

    /// How many descriptors of this process are of this file.
    fn open_descriptors(&self) -> usize {
        let links =
            std::fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
        links.filter(|link| *link == self.0).count()
    }

    /// Waits until none is.
    #[track_caller]
    fn is_closed(&self) {
        let deadline = Instant::now() + PATIENCE;
        while self.open_descriptors() > 0 {
            assert!(Instant::now() < deadline, "the file is still open");
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// GW-FILE-01, GW-FILE-03, GW-FILE-04, GW-FILE-07, GW-FILE-11, GW-FILE-12, GW-FILE-13: a part of a file, given to the server as
/// such, iterated by a layer, or read as any reader, is the same answer; and the file is closed.
fn gw_file_04_files_are_bodies(server: &dyn Server) {
    let octets: Vec<u8> = (0..300_000u32).map(|n| (n * 7 % 251) as u8).collect();
    let file = Arc::new(TempFile::new(&octets));
    for (offset, length) in [(0, 300_000), (10, 5), (299_999, 1), (100, 0), (65_536, 131_072)] {
        let part = &octets[offset as usize..(offset + length) as usize];
        let ways: [fn(&TempFile, u64, u64) -> Body; 3] = [
            |file, offset, length| file.body(offset, length),
            |file, offset, length| {
                let mut body = file.body(offset, length);
                Body::late(move |start_response| body.next(start_response))
            },
            |file, offset, length| {
                use std::io::{Read, Seek, SeekFrom};
                let mut opened = std::fs::File::open(&file.0).unwrap();
                opened.seek(SeekFrom::Start(offset)).unwrap();
                Body::reader(opened.take(length))
            },
        ];
        for (number, way) in ways.into_iter().enumerate() {
            let shared = Arc::clone(&file);
            let site = site(
                server,
                app_fn(move |_, start_response| {
                    start_response.start(Status::OK, &[])?;
                    Ok(way(&shared, offset, length))
                }),
            );
            let mut connection = site.connect();
            for _ in 0..2 {
                let answer = connection.ask(&Ask::get("/"));
                assert!(answer.status == 200 && answer.complete && answer.body == part, "{offset} {length} {number}");
                if number == 0 {
                    assert_eq!(answer.header("Content-Length"), Some(length.to_string().as_str()));
                }
            }
            let head = connection.ask(&Ask::new("HEAD", "/"));
            head.is(200, "");
            file.is_closed();
        }
    }
}

/// GW-FILE-05, GW-FILE-07, GW-FILE-09, GW-FILE-10: a file that is not returned is not sent, and closed; so is one whose client
/// leaves, and one behind a declared length.
fn gw_file_07_files_are_closed(server: &dyn Server) {
    let file = Arc::new(TempFile::new(&vec![b'x'; 50_000_000]));
    let shared = Arc::clone(&file);
    let site = site(
        server,
        app_fn(move |environ, start_response| {
            let body = shared.body(0, 50_000_000);
            match environ.path_info().as_bytes() {
                b"/dropped" => {
                    start_response.start(Status::OK, &[])?;
                    Ok("instead".into())
                }
                b"/five" => {
                    start_response.start(Status::OK, &[("Content-Length", "5")])?;
                    Ok(body)
                }
                b"/unstarted" => Ok(body),
                _ => {
                    start_response.start(Status::OK, &[])?;
                    Ok(body)
                }
            }
        }),
    );
    site.ask(&Ask::get("/dropped")).is(200, "instead");
    file.is_closed();
    site.ask(&Ask::get("/five")).is(200, "xxxxx");
    file.is_closed();
    site.ask(&Ask::get("/unstarted")).is_failure(500);
    site.must_log("GW-SR-03");
    file.is_closed();
    site.connect().leave_after(&Ask::get("/"), "xxx");
    file.is_closed();
}

/// GW-FILE-11: a file that is shorter than was said is cut: never padded, never complete.
fn gw_file_11_a_file_that_became_shorter_is_cut(server: &dyn Server) {
    let file = Arc::new(TempFile::new(b"hello"));
    let shared = Arc::clone(&file);
    let site = site(
        server,
        app_fn(move |_, start_response| {
            start_response.start(Status::OK, &[])?;
            Ok(shared.body(0, 10))
        }),
    );
    site.ask(&Ask::get("/")).is_cut(200, "hello");
    site.must_log("shorter");
    file.is_closed();
}

on_every_server! {
    gw_file_04_files_are_bodies
    gw_file_07_files_are_closed
    gw_file_11_a_file_that_became_shorter_is_cut
}
