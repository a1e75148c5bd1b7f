//! [`Input`]: the body of a request.

use std::fmt;
use std::io::{self, BufRead, Read};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// How much [`BufRead`] reads ahead.
const BUFFER: usize = 8 * 1024;

/// The body of a request, as a stream that ends where the body ends (GW-IN-03, GW-DEF-03).
///
/// It is owned and can be moved into the body of the response. Chunked coding and 100-continue are the server's business
/// and are not seen here.
///
/// # Errors
/// A body that cannot be read whole is an error, never a short success (GW-DEF-04), and stays one. Its kind tells why:
///
/// | kind | why | the server answers |
/// |---|---|---|
/// | [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) | the client has gone before the end | 400 |
/// | [`InvalidData`](io::ErrorKind::InvalidData) | the chunked coding is broken | 400 |
/// | [`FileTooLarge`](io::ErrorKind::FileTooLarge) | over the server's limit | 413 |
/// | [`TimedOut`](io::ErrorKind::TimedOut) | too slow | 408 |
///
/// The answer is the server's if the application returns the error, or another one, before its head was sent; an
/// application may as well answer by itself.
#[derive(Default)]
pub struct Input(Kind);

/// Most requests have no body: that kind costs nothing to make, to move and to drop.
#[derive(Default)]
enum Kind {
    #[default]
    Empty,
    /// What is left of a body that was at hand as a whole.
    Block(Bytes),
    Stream(Stream),
}

struct Stream {
    source: Arc<dyn Source>,
    /// For [`BufRead`]: what was read ahead, from `start` on. Allocated when first used.
    buffer: Vec<u8>,
    start: usize,
    failed: Option<io::ErrorKind>,
}

/// Where the bytes of an [`Input`] come from: implemented by servers.
///
/// It is shared, so that a server can keep one for each connection and hand it out without allocating.
pub trait Source: Send + Sync {
    /// Reads up to `buffer.len()` bytes of the body; `Ok(0)` is its end, also when asked again (GW-IN-06).
    ///
    /// # Errors
    /// As listed at [`Input`]. After an error nothing is read any more.
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize>;
}

impl Input {
    /// A body of no bytes.
    #[must_use]
    pub const fn empty() -> Self {
        Self(Kind::Empty)
    }

    /// A body that is read from a server's source.
    #[must_use]
    pub fn new(source: Arc<dyn Source>) -> Self {
        Self(Kind::Stream(Stream { source, buffer: Vec::new(), start: 0, failed: None }))
    }

    /// A body that is read from any reader: for middleware that decodes or limits the input, and for tests.
    pub fn from_reader(reader: impl Read + Send + 'static) -> Self {
        struct Reader<R>(Mutex<R>);
        impl<R: Read + Send> Source for Reader<R> {
            fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
                self.0.lock().unwrap_or_else(PoisonError::into_inner).read(buffer)
            }
        }
        Self::new(Arc::new(Reader(Mutex::new(reader))))
    }

    #[inline]
    pub(crate) const fn needs_drop(&self) -> bool {
        !matches!(self.0, Kind::Empty)
    }

    /// How many bytes are at hand.
    fn at_hand(&self) -> usize {
        match &self.0 {
            Kind::Empty => 0,
            Kind::Block(block) => block.len(),
            Kind::Stream(stream) => stream.buffered().len(),
        }
    }
}

impl Stream {
    fn buffered(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        if !self.buffered().is_empty() {
            let n = self.buffered().read(buffer)?;
            self.start += n;
            return Ok(n);
        }
        // Straight into the caller's buffer: no copy in between.
        Self::read_source(&*self.source, &mut self.failed, buffer)
    }

    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.buffered().is_empty() {
            self.start = 0;
            self.buffer.resize(BUFFER, 0);
            let result = Self::read_source(&*self.source, &mut self.failed, &mut self.buffer);
            self.buffer.truncate(*result.as_ref().unwrap_or(&0));
            result?;
        }
        Ok(self.buffered())
    }

    fn read_source(source: &dyn Source, failed: &mut Option<io::ErrorKind>, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(kind) = *failed {
            return Err(io::Error::new(kind, "the request body could not be read"));
        }
        source.read(buffer).inspect_err(|error| {
            if error.kind() != io::ErrorKind::Interrupted {
                *failed = Some(error.kind());
            }
        })
    }
}

impl From<Bytes> for Input {
    /// A body that is at hand as a whole.
    fn from(block: Bytes) -> Self {
        Self(Kind::Block(block))
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.0 {
            Kind::Empty => Ok(0),
            Kind::Block(block) => {
                let n = block.as_ref().read(buffer)?;
                bytes::Buf::advance(block, n);
                Ok(n)
            }
            Kind::Stream(stream) => stream.read(buffer),
        }
    }
}

impl BufRead for Input {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        match &mut self.0 {
            Kind::Empty => Ok(&[]),
            Kind::Block(block) => Ok(block),
            Kind::Stream(stream) => stream.fill_buf(),
        }
    }

    fn consume(&mut self, amount: usize) {
        match &mut self.0 {
            Kind::Empty => {}
            Kind::Block(block) => bytes::Buf::advance(block, amount.min(block.len())),
            Kind::Stream(stream) => stream.start = stream.start.saturating_add(amount).min(stream.buffer.len()),
        }
    }
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Input").field("at_hand", &self.at_hand()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_empty_input_stays_empty() {
        let mut input = Input::empty();
        for _ in 0..3 {
            assert_eq!(input.read(&mut [0; 8]).unwrap(), 0);
            assert!(input.fill_buf().unwrap().is_empty());
        }
    }

    #[test]
    fn more_than_there_is_can_be_consumed() {
        for mut input in [Input::from(Bytes::from_static(b"abc")), Input::from_reader(io::Cursor::new("abc"))] {
            assert_eq!(input.fill_buf().unwrap(), b"abc");
            input.consume(1);
            input.consume(usize::MAX);
            assert_eq!(input.read(&mut [0; 8]).unwrap(), 0);
        }
    }

    #[test]
    fn an_error_stays_an_error() {
        struct Cut;
        impl Read for Cut {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::ErrorKind::UnexpectedEof.into())
            }
        }
        let mut input = Input::from_reader(io::Cursor::new("half").chain(Cut));
        let mut text = String::new();
        for _ in 0..2 {
            assert_eq!(input.read_to_string(&mut text).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
            assert_eq!(input.fill_buf().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        }
    }

    #[test]
    fn lines_can_be_limited() {
        let mut input = Input::from(Bytes::from_static(b"0123456789\nrest"));
        let mut piece = Vec::new();
        (&mut input).take(4).read_until(b'\n', &mut piece).unwrap();
        assert_eq!(piece, b"0123");
        assert_eq!(input.lines().map(Result::unwrap).collect::<Vec<_>>(), ["456789", "rest"]);
    }

    proptest! {
        /// GW-IN-02: any mixture of operations gives what it would give on the bytes in memory.
        #[test]
        fn reads_as_memory_does(
            body in proptest::collection::vec(any::<u8>(), 0..40_000),
            steps in proptest::collection::vec((any::<bool>(), 0usize..20_000), 0..12),
            streamed in any::<bool>(),
        ) {
            let mut input = if streamed {
                Input::from_reader(io::Cursor::new(body.clone()))
            } else {
                Input::from(Bytes::from(body.clone()))
            };
            let mut read = Vec::new();
            for (buffered, n) in steps {
                if buffered {
                    let at_hand = input.fill_buf().unwrap();
                    let n = n.min(at_hand.len());
                    read.extend_from_slice(&at_hand[..n]);
                    input.consume(n);
                } else {
                    let mut buffer = vec![0; n];
                    let n = input.read(&mut buffer).unwrap();
                    read.extend_from_slice(&buffer[..n]);
                }
            }
            input.read_to_end(&mut read).unwrap();
            prop_assert_eq!(read, body);
        }
    }
}
