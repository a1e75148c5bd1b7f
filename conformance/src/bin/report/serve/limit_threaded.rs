//! The bare thread-per-connection loop: one read, one write.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;

use super::fixed::{Counted, Fixed};
use super::{Settings, listen};

pub(super) fn serve(settings: &Settings) -> io::Result<()> {
    let listener = listen(settings)?;
    let fixed = Arc::new(Fixed::new(&settings.scenario));
    loop {
        let (stream, _) = listener.accept()?;
        let fixed = Arc::clone(&fixed);
        // The connection's errors are its own: a client that resets ends its thread.
        thread::Builder::new().stack_size(64 * 1024).spawn(move || connection(stream, &fixed))?;
    }
}

fn connection(mut stream: TcpStream, fixed: &Fixed) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; 16 * 1024];
    let mut filled = 0;
    loop {
        if filled == buffer.len() {
            buffer.resize(filled * 2, 0);
        }
        let count = stream.read(&mut buffer[filled..])?;
        if count == 0 {
            return Ok(());
        }
        filled += count;
        let Counted { requests, consumed } = fixed.count(&buffer[..filled]);
        buffer.copy_within(consumed..filled, 0);
        filled -= consumed;
        let mut owed = fixed.length(requests);
        while owed > 0 {
            let rest = fixed.rest(owed);
            stream.write_all(rest)?;
            owed -= rest.len();
        }
    }
}
