//! The body of a request, read whole and in constant memory.

use std::fmt::Write;
use std::io::{self, Read};

use gateway_spec::Input;
use sha2::{Digest, Sha256};

/// How much of a body is kept to be shown.
pub(crate) const KEPT: usize = 64 * 1024;

/// What was read of the body.
pub(crate) struct Received {
    /// All its bytes.
    pub(crate) length: u64,
    /// SHA-256 of all its bytes, in hexadecimal.
    pub(crate) sha256: String,
    /// How many reads gave bytes.
    pub(crate) reads: u64,
    /// Its first [`KEPT`] bytes.
    pub(crate) start: Vec<u8>,
}

impl Received {
    /// Reads to the end.
    ///
    /// # Errors
    /// Those of the input: a body that is not whole is none.
    pub(crate) fn read(input: &mut Input) -> io::Result<Self> {
        let (mut length, mut reads, mut start) = (0, 0, Vec::new());
        let mut hash = Sha256::new();
        let mut buffer = Vec::new();
        loop {
            // The first read is short: most requests have no body, and then nothing large is allocated.
            buffer.resize(if reads == 0 { 1024 } else { KEPT }, 0);
            match input.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => {
                    let block = &buffer[..n];
                    (length, reads) = (length + n as u64, reads + 1);
                    hash.update(block);
                    start.extend_from_slice(&block[..n.min(KEPT - start.len())]);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let sha256 = hash.finalize().iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}"); // a String takes everything
            hex
        });
        Ok(Self { length, sha256, reads, start })
    }

    /// The whole body, unless it is longer than what is kept.
    pub(crate) fn whole(&self) -> Option<&[u8]> {
        (self.length == self.start.len() as u64).then_some(&self.start)
    }

    /// For people, in four lines.
    pub(crate) fn summary(&self, content_length: Option<u64>) -> String {
        let Self { length, sha256, reads, .. } = self;
        let declared = content_length.map_or_else(|| "absent".to_owned(), |length| length.to_string());
        format!("CONTENT_LENGTH: {declared}\nbytes: {length}\nreads: {reads}\nSHA-256: {sha256}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: Vec<u8>) -> Received {
        Received::read(&mut Input::from_reader(io::Cursor::new(body))).expect("a whole body")
    }

    #[test]
    fn all_is_counted_and_the_start_is_kept() {
        let empty = read(Vec::new());
        assert_eq!((empty.length, empty.reads, empty.whole()), (0, 0, Some(&b""[..])));
        assert_eq!(empty.sha256, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");

        let million = read(vec![b'a'; 1_000_000]);
        assert_eq!((million.length, million.start.len(), million.whole()), (1_000_000, KEPT, None));
        assert_eq!(million.sha256, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");

        for size in [KEPT - 1, KEPT, KEPT + 1] {
            let body: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
            let received = read(body.clone());
            assert_eq!(received.start, body[..size.min(KEPT)]);
            assert_eq!(received.whole().is_some(), size <= KEPT);
        }
    }
}
