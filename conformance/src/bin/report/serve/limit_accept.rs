//! The bare loop of a connection for each request: accept, read, write, close, one connection after the other.

use std::io::{self, Read, Write};
use std::net::TcpStream;

use rustix::net::SendFlags;

use super::fixed::{Counted, Fixed};
use super::{Settings, listen};

pub(super) fn serve(settings: &Settings) -> io::Result<()> {
    let listener = listen(settings)?;
    let fixed = Fixed::new(&settings.scenario);
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let (stream, _) = listener.accept()?;
        // The connection's errors are its own.
        let _ = connection(stream, &fixed, &mut buffer);
    }
}

/// One request and its answer. What follows it is not looked at.
fn connection(mut stream: TcpStream, fixed: &Fixed, buffer: &mut [u8]) -> io::Result<()> {
    let mut filled = 0;
    loop {
        let count = stream.read(&mut buffer[filled..])?;
        if count == 0 {
            return Ok(());
        }
        filled += count;
        let Counted { requests, .. } = fixed.count(&buffer[..filled]);
        if requests > 0 {
            let answer = fixed.rest(fixed.length(1));
            // The end follows at once: one segment for both.
            let sent = rustix::net::send(&stream, answer, SendFlags::MORE | SendFlags::NOSIGNAL)?;
            return stream.write_all(&answer[sent..]);
        }
    }
}
