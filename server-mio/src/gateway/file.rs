//! Bodies that are files: sent by the kernel, or read in blocks.

use std::io;

use gateway_spec::{Body, Bytes, Error, FileBody, StartResponse};

use super::{Progress, Responder};

/// Files up to this size are read into a block behind the head; larger ones are sent by the kernel.
pub(super) const SMALL_FILE: u64 = 16 * 1024;
/// How much of a file is sent before other connections have their turn.
const FILE_TURN: u64 = 1 << 20;

impl Responder<'_> {
    pub(super) fn send_file(&mut self, file: &mut FileBody) -> Progress {
        if self.exchange.delimiter.is_none() {
            // Not chunked: its length is known, and nothing was sent before it.
            let total = file.remaining();
            let length = usize::try_from(total).unwrap_or(usize::MAX);
            match self.exchange.calls.yielded(length) {
                Ok(allowed) => self.exchange.content = allowed as u64,
                Err(misuse) => return self.fail(&misuse.into()),
            }
            self.commit(Some(total), true);
            if self.exchange.content < total {
                // Sent up to the declared length (GW-CL-01): a part of the part.
                self.note_excess(total - self.exchange.content);
                return match part(file, self.exchange.content) {
                    Ok(shorter) => {
                        *file = shorter;
                        self.send_file(file)
                    }
                    Err(error) => self.fail(&error.into()),
                };
            }
        }
        match self.out.flush(&self.socket.stream) {
            Ok((_, true)) => {}
            Ok((_, false)) => return Progress::Blocked,
            Err(error) => return self.abort(error),
        }
        let mut turn = FILE_TURN;
        while file.remaining() > 0 {
            if turn == 0 {
                return Progress::Yield;
            }
            let mut offset = file.offset();
            let size = usize::try_from(file.remaining().min(turn)).unwrap_or(usize::MAX);
            match rustix::fs::sendfile(&self.socket.stream, file.file(), Some(&mut offset), size) {
                Ok(0) => {
                    let error = io::Error::new(io::ErrorKind::UnexpectedEof, "the file has become shorter");
                    return self.fail(&error.into());
                }
                Ok(n) => {
                    file.advance(n as u64);
                    self.out.total += n as u64;
                    turn = turn.saturating_sub(n as u64);
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => return Progress::Blocked,
                // What cannot be sent by the kernel (a pipe, some file systems) is read.
                Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => match file.next_block() {
                    Ok(Some(block)) => {
                        turn = turn.saturating_sub(block.len() as u64);
                        self.out.block(block, false, false);
                        match self.out.flush(&self.socket.stream) {
                            Ok((_, true)) => {}
                            Ok((_, false)) => return Progress::Blocked,
                            Err(error) => return self.abort(error),
                        }
                    }
                    Ok(None) => break,
                    Err(error) => return self.fail(&error.into()),
                },
                // Nobody can tell whether the file has failed or the connection, but by what it is.
                Err(rustix::io::Errno::IO) => return self.fail(&io::Error::from(rustix::io::Errno::IO).into()),
                Err(errno) => return self.abort(errno.into()),
            }
        }
        self.finish()
    }
}

/// A part of a file body: its first `length` bytes.
fn part(file: &FileBody, length: u64) -> io::Result<FileBody> {
    let file = Body::file(file.file().try_clone()?, file.offset(), length);
    file.into_file().map_err(|_| io::Error::other("a file body is a file"))
}

/// A small file as blocks that know how much is left.
pub(super) struct Small(pub(super) FileBody);

impl gateway_spec::Blocks for Small {
    fn next(&mut self, _: &mut dyn StartResponse) -> Option<Result<Bytes, Error>> {
        self.0.next_block().map_err(Into::into).transpose()
    }

    fn remaining(&self) -> Option<u64> {
        Some(self.0.remaining())
    }
}
