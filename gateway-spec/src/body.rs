//! [`Body`]: what an application returns.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::mem;
use std::task::Waker;

use bytes::Bytes;

use crate::{Error, StartResponse};

/// The size of the blocks in which files and readers are read.
const BLOCK: usize = 64 * 1024;

/// The body of a response: blocks of bytes that end.
///
/// Dropping it is `close()` (GW-ITER-08): servers drop it exactly once, however the response ends, and promptly after
/// the client has gone.
///
/// ```
/// use gateway_spec::Body;
///
/// let whole: Body = "one block".into();
/// assert_eq!(whole.len(), Some(9));
/// let blocks = Body::blocks(["first ", "second"]);
/// assert_eq!(blocks.len(), None);
/// ```
pub struct Body(Kind);

enum Kind {
    Empty,
    Block(Bytes),
    File(FileBody),
    Blocks(Box<dyn Blocks>),
}

/// A body of your own: blocks, one at a time.
///
/// # Applications
/// Return as soon as there is a block. An empty one means *nothing yet*: it sends nothing, not even the head, and lets
/// the server do something else before it asks again (GW-ITER-12).
///
/// # Servers
/// Send each block without delay (GW-BUF-03) before asking for the next (GW-ITER-02). Never ask again after the end,
/// an error or a drop.
pub trait Blocks: Send {
    /// The next block, or `None` at the end.
    ///
    /// `start_response` is for a body that starts late: it may be called here, at the latest before the first non-empty
    /// block (GW-SR-04).
    ///
    /// # Errors
    /// Any: the response is then cut, or becomes a 500 if nothing of it was sent.
    fn next(&mut self, start_response: &mut dyn StartResponse) -> Option<Result<Bytes, Error>>;

    /// How many bytes are still to come, if that is known for sure (GW-ITER-06).
    fn remaining(&self) -> Option<u64> {
        None
    }

    /// Takes a waker, for a body that said *nothing yet* and will know when there is something.
    ///
    /// Servers may call it after an empty block, and again at any time; the last waker counts. A body that keeps it and
    /// wakes it is asked at once; other bodies are asked again after an interval of the server's.
    fn set_waker(&mut self, waker: &Waker) {
        let _ = waker;
    }
}

impl Body {
    /// No bytes.
    #[must_use]
    pub const fn empty() -> Self {
        Self(Kind::Empty)
    }

    /// Blocks of an iterator.
    pub fn blocks<I>(blocks: I) -> Self
    where
        I: IntoIterator<Item: Into<Bytes>>,
        I::IntoIter: Send + 'static,
    {
        let mut blocks = blocks.into_iter();
        Self::late(move |_| blocks.next().map(|block| Ok(block.into())))
    }

    /// Blocks of an iterator that can fail.
    pub fn try_blocks<I, B, E>(blocks: I) -> Self
    where
        I: IntoIterator<Item = Result<B, E>>,
        I::IntoIter: Send + 'static,
        B: Into<Bytes>,
        E: Into<Error>,
    {
        let mut blocks = blocks.into_iter();
        Self::late(move |_| Some(blocks.next()?.map(Into::into).map_err(Into::into)))
    }

    /// Blocks of a function that is given `start_response`, like a generator that starts late.
    ///
    /// ```
    /// use gateway_spec::{Body, Environ, Error, StartResponse, Status};
    ///
    /// fn app(_environ: &mut Environ, _: &mut dyn StartResponse) -> Result<Body, Error> {
    ///     let mut lines = ["Hello, ", "World!"].into_iter();
    ///     let mut started = false;
    ///     Ok(Body::late(move |start_response| {
    ///         if !started {
    ///             started = true;
    ///             if let Err(error) = start_response.start(Status::CREATED, &[]) {
    ///                 return Some(Err(error));
    ///             }
    ///         }
    ///         lines.next().map(|line| Ok(line.into()))
    ///     }))
    /// }
    /// ```
    pub fn late<F>(next: F) -> Self
    where
        F: FnMut(&mut dyn StartResponse) -> Option<Result<Bytes, Error>> + Send + 'static,
    {
        struct Late<F>(F);
        impl<F: FnMut(&mut dyn StartResponse) -> Option<Result<Bytes, Error>> + Send> Blocks for Late<F> {
            fn next(&mut self, start_response: &mut dyn StartResponse) -> Option<Result<Bytes, Error>> {
                (self.0)(start_response)
            }
        }
        Self::from_blocks(Late(next))
    }

    /// A body of your own type.
    pub fn from_blocks(blocks: impl Blocks + 'static) -> Self {
        Self(Kind::Blocks(Box::new(blocks)))
    }

    /// `length` bytes of a file from `offset`, which a server may send without copying them (GW-FILE-01).
    ///
    /// The position of the file itself is not used. If the file turns out to be shorter, the response is cut: it is
    /// never padded and never looks complete.
    #[must_use]
    pub const fn file(file: File, offset: u64, length: u64) -> Self {
        Self(Kind::File(FileBody { file, offset, remaining: length }))
    }

    /// Everything a reader gives.
    pub fn reader(mut reader: impl Read + Send + 'static) -> Self {
        Self::late(move |_| read_block(BLOCK, |buffer| reader.read(buffer)).map_err(Into::into).transpose())
    }

    /// The length in bytes of what is left, if it is known.
    #[must_use]
    pub fn len(&self) -> Option<u64> {
        match &self.0 {
            Kind::Empty => Some(0),
            Kind::Block(block) => Some(block.len() as u64),
            Kind::File(file) => Some(file.remaining),
            Kind::Blocks(blocks) => blocks.remaining(),
        }
    }

    /// Whether it is known that nothing is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == Some(0)
    }

    /// The next block, or `None` at the end; see [`Blocks::next`].
    ///
    /// # Errors
    /// As [`Blocks::next`], and [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) for a file that is too short.
    pub fn next(&mut self, start_response: &mut dyn StartResponse) -> Option<Result<Bytes, Error>> {
        match &mut self.0 {
            Kind::Empty => None,
            Kind::Block(_) => match mem::replace(&mut self.0, Kind::Empty) {
                Kind::Block(block) => Some(Ok(block)),
                _ => None,
            },
            Kind::File(file) => file.next_block().map_err(Into::into).transpose(),
            Kind::Blocks(blocks) => blocks.next(start_response),
        }
    }

    /// Hands a waker to the body; see [`Blocks::set_waker`].
    pub fn set_waker(&mut self, waker: &Waker) {
        if let Kind::Blocks(blocks) = &mut self.0 {
            blocks.set_waker(waker);
        }
    }

    /// The whole body, if it is at hand as one block: for servers that put it behind the head, and for middleware that
    /// would rather not iterate (GW-RACK-39).
    ///
    /// # Errors
    /// The body itself, if it is anything else.
    #[inline]
    pub fn into_block(self) -> Result<Bytes, Self> {
        match self.0 {
            Kind::Empty => Ok(Bytes::new()),
            Kind::Block(block) => Ok(block),
            other => Err(Self(other)),
        }
    }

    /// The file, if this is one: for servers that can send files without copying.
    ///
    /// # Errors
    /// The body itself, if it is anything else.
    pub fn into_file(self) -> Result<FileBody, Self> {
        match self.0 {
            Kind::File(file) => Ok(file),
            other => Err(Self(other)),
        }
    }
}

/// A part of a file: the body made by [`Body::file`].
#[derive(Debug)]
pub struct FileBody {
    file: File,
    offset: u64,
    remaining: u64,
}

impl FileBody {
    /// The file.
    #[must_use]
    pub const fn file(&self) -> &File {
        &self.file
    }

    /// Where in the file the next byte is.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// How many bytes are left.
    #[must_use]
    pub const fn remaining(&self) -> u64 {
        self.remaining
    }

    /// Notes that `bytes` were sent by other means than [`next_block`](Self::next_block).
    pub const fn advance(&mut self, bytes: u64) {
        self.offset += bytes;
        self.remaining = self.remaining.saturating_sub(bytes);
    }

    /// The next block of at most 64 KiB, or `None` at the end.
    ///
    /// # Errors
    /// Those of reading, and [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) if the file is too short.
    pub fn next_block(&mut self) -> io::Result<Option<Bytes>> {
        if self.remaining == 0 {
            return Ok(None);
        }
        let size = usize::try_from(self.remaining).map_or(BLOCK, |remaining| remaining.min(BLOCK));
        let block = read_block(size, |buffer| read_at(&self.file, buffer, self.offset))?;
        let block = block.ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, "the file has become shorter"))?;
        self.advance(block.len() as u64);
        Ok(Some(block))
    }
}

/// One successful read as a block, or `None` at the end.
fn read_block(size: usize, mut read: impl FnMut(&mut [u8]) -> io::Result<usize>) -> io::Result<Option<Bytes>> {
    let mut buffer = vec![0; size];
    loop {
        match read(&mut buffer) {
            Ok(0) => return Ok(None),
            Ok(n) => {
                buffer.truncate(n);
                return Ok(Some(buffer.into()));
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(unix)]
fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buffer, offset)
}

#[cfg(not(unix))]
fn read_at(mut file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    io::Seek::seek(&mut file, io::SeekFrom::Start(offset))?;
    file.read(buffer)
}

impl Default for Body {
    fn default() -> Self {
        Self::empty()
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.0 {
            Kind::Empty => "Empty",
            Kind::Block(_) => "Block",
            Kind::File(_) => "File",
            Kind::Blocks(_) => "Blocks",
        };
        f.debug_struct("Body").field("kind", &kind).field("len", &self.len()).finish()
    }
}

impl From<()> for Body {
    fn from((): ()) -> Self {
        Self::empty()
    }
}

impl From<FileBody> for Body {
    /// The part of a file again: for middleware that only looked whether it is one.
    fn from(file: FileBody) -> Self {
        Self(Kind::File(file))
    }
}

macro_rules! one_block {
    ($($type:ty),*) => {
        $(impl From<$type> for Body {
            /// One block (GW-BUF-01); none at all if it is empty.
            fn from(block: $type) -> Self {
                let block = Bytes::from(block);
                if block.is_empty() { Self::empty() } else { Self(Kind::Block(block)) }
            }
        })*
    };
}

one_block!(&'static str, &'static [u8], String, Vec<u8>, Box<[u8]>, Bytes);

impl<const N: usize> From<&'static [u8; N]> for Body {
    fn from(block: &'static [u8; N]) -> Self {
        block.as_slice().into()
    }
}
