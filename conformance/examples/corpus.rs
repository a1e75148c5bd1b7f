//! Seeds for the fuzz targets, made from the wire cases.
//!
//! ```text
//! cargo run -p conformance --example corpus --no-default-features -- conformance/fuzz/corpus
//! ```

use std::path::Path;

use conformance::case::{self, Action};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let Some(folder) = std::env::args().nth(1) else {
        return Err("where? corpus FOLDER".into());
    };
    let folder = Path::new(&folder);
    let mut written = 0;
    for case in case::read_folder(&case::folder())?.iter().filter(|case| case.length() < 4000) {
        let sent = case
            .steps
            .iter()
            .flat_map(|step| if let Action::Send(octets) = &step.action { octets.as_slice() } else { &[] });
        let octets: Vec<u8> = sent.copied().collect();
        // The chunked targets begin behind the head.
        let body = octets.windows(4).position(|window| window == b"\r\n\r\n").map_or(&[][..], |end| &octets[end + 4..]);
        let name = case.id.replace('/', "-");
        for (target, seed) in [
            ("threaded_head", octets.clone()),
            ("mio_head", octets.clone()),
            ("agreement", [b"\x10", octets.as_slice()].concat()),
            ("threaded_chunked", [b"\x03", body].concat()),
            ("mio_chunked", [b"\x03", body].concat()),
        ] {
            if seed.len() > 1 {
                std::fs::create_dir_all(folder.join(target))?;
                std::fs::write(folder.join(target).join(&name), seed)?;
                written += 1;
            }
        }
    }
    // The forms of the framework's own tests in small, with the size of pieces and the parameters of the type before them.
    let part = "--B\r\nContent-Disposition: form-data; name=a\r\n\r\n";
    let file = "--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"../C:\\x.txt\"\r\nContent-Type: text/plain\r\n\r\n";
    let forms: Vec<Vec<u8>> = [
        format!("\x03; boundary=B\n{part}one\r\n--B--\r\n"),
        format!("\x01; boundary=B\npreamble\r\n--B \t\r\n{}\r\n{file}\r\n\r\n--\rB\r\n--B--epilogue", &part[5..]),
        format!("\x00;charset=utf-8;BOUNDARY=\"B\" \n{file}12345\r\n{part}--B--"),
        "\x02; boundary=B\n--B--".to_owned(),
        format!("\x07; boundary=B\n{part}cut\r\n--B-"),
        "\x04; boundary=B\n--B\r\n\r\ncontent\r\n--B--".to_owned(),
        format!("\x05; boundary=\"a b:c\"\n{}x\r\n--a b:c--", part.replace("--B", "--a b:c")),
    ]
    .map(String::into_bytes)
    .into();
    let forms: Vec<&[u8]> = forms.iter().map(Vec::as_slice).collect();
    let response = b"\x00\x00\xc8OK\xfeContent-Type:text/plain\xfeX-A:b\xffhello|world".as_slice();
    let contract: [&[u8]; 6] =
        [b"\x00/a%20b", b"\x01200 OK", b"\x02005", b"\x03X-A:b", b"\x04/app /app/x%2Fy", b"\x05X-A:1\nX_A:2\nProxy:3"];
    for (target, seeds) in [
        ("threaded_response", &[response][..]),
        ("mio_response", &[response]),
        ("contract", &contract),
        ("multipart", &forms),
    ] {
        std::fs::create_dir_all(folder.join(target))?;
        for (number, seed) in seeds.iter().enumerate() {
            std::fs::write(folder.join(target).join(number.to_string()), seed)?;
            written += 1;
        }
    }
    println!("{written} seeds in {}", folder.display());
    Ok(())
}
