//! An upload goes through in pieces: its size is no matter of memory. Alone in this process, because it looks at all of it.
#![cfg(all(target_os = "linux", feature = "multipart"))]

#[path = "../src/testing.rs"]
mod testing;

use std::io::{self, Read};

use framework_mini::{App, Error, Multipart};
use gateway_spec::{Application, Environ, Input, StartResponse};
use testing::TestRequest;

const MIB: u64 = 1 << 20;

/// The most memory that this process has used so far, in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

fn upload(mut form: Multipart) -> Result<String, Error> {
    let mut lengths = Vec::new();
    while let Some(mut part) = form.next_part()? {
        lengths.push(io::copy(&mut part, &mut io::sink())?);
    }
    Ok(format!("{lengths:?}"))
}

#[test]
fn the_size_of_a_file_is_no_matter_of_memory() {
    let site = App::new(()).post("/", upload).stream_limit(1 << 40).build().unwrap();
    let send = |size: u64| {
        let feed = |environ: &mut Environ<'_>, start: &mut dyn StartResponse| {
            let head = "--x\r\nContent-Disposition: form-data; name=a; filename=b\r\n\r\n".as_bytes();
            let body = head.chain(io::repeat(b'\r').take(size)).chain("\r\n--x--\r\n".as_bytes());
            environ.set_input(Input::from_reader(body));
            site.call(environ, start)
        };
        let request = TestRequest::post("/", "multipart/form-data; boundary=x", "").chunked();
        assert_eq!(request.send(&feed).text(), format!("[{size}]"));
    };
    send(MIB);
    let before = peak();
    send(64 * MIB);
    let grown = peak() - before;
    assert!(grown < 2 * MIB, "64 MiB took {grown} bytes more than 1 MiB");
}
