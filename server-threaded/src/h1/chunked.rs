//! Chunked bodies: sizes, extensions, trailers (RFC 9112 section 7.1).
//!
//! The decoder reads lines and counts data; where bytes come from is its caller's business. Extensions are checked and
//! ignored (H1-CHK-05), trailers are checked and dropped (H1-TRL-01): they never become headers (H1-TRL-03).

/// Most digits of a chunk size: 16 fill a 64-bit number.
const MAX_DIGITS: usize = 16;

/// What is wrong with a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// It does not fit the grammar, or goes past a limit on what is not data.
    Malformed,
    /// The data goes past the limit.
    TooLarge,
}

/// What a body may grow to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) data: u64,
    pub(crate) extensions: usize,
    pub(crate) trailers: usize,
    pub(crate) trailer_fields: usize,
}

/// Where the decoder stands between two steps.
#[derive(Debug)]
pub(crate) struct Decoder {
    state: State,
    /// What is left of each limit.
    room: Limits,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A chunk-size line.
    Size,
    /// This many bytes of data.
    Data(u64),
    /// The line end behind the data.
    DataEnd,
    /// A trailer line, or the empty line that ends the body.
    Trailer,
    Done,
}

/// What the decoder found at the beginning of the bytes it was shown.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// So many bytes are framing and can be thrown away.
    Skip(usize),
    /// Up to so many bytes from here are data; report with [`Decoder::took`].
    Data(u64),
    /// A line is not whole yet.
    More,
    /// The body has ended; what follows is not part of it.
    End,
}

impl Decoder {
    pub(crate) const fn new(limits: Limits) -> Self {
        Self { state: State::Size, room: limits }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Looks at the bytes that come next.
    pub(crate) fn step(&mut self, bytes: &[u8]) -> Result<Step, Broken> {
        match self.state {
            State::Done => Ok(Step::End),
            State::Data(left) => Ok(Step::Data(left)),
            State::DataEnd => match bytes {
                [b'\r', b'\n', ..] => {
                    self.state = State::Size;
                    Ok(Step::Skip(2))
                }
                [] | [b'\r'] => Ok(Step::More),
                _ => Err(Broken::Malformed),
            },
            State::Size => {
                let Some(line) = line(bytes, self.room.extensions.saturating_add(MAX_DIGITS))? else {
                    return Ok(Step::More);
                };
                let digits = line.iter().take_while(|b| b.is_ascii_hexdigit()).count();
                if digits == 0 || digits > MAX_DIGITS {
                    return Err(Broken::Malformed);
                }
                let size = line[..digits]
                    .iter()
                    .fold(0u64, |size, &b| size << 4 | u64::from(char::from(b).to_digit(16).unwrap_or_default()));
                let extensions = &line[digits..];
                self.room.extensions = self.room.extensions.checked_sub(extensions.len()).ok_or(Broken::Malformed)?;
                if !are_extensions(extensions) {
                    return Err(Broken::Malformed);
                }
                self.room.data = self.room.data.checked_sub(size).ok_or(Broken::TooLarge)?;
                self.state = if size == 0 { State::Trailer } else { State::Data(size) };
                Ok(Step::Skip(line.len() + 2))
            }
            State::Trailer => {
                let Some(line) = line(bytes, self.room.trailers)? else { return Ok(Step::More) };
                let length = line.len() + 2;
                if line.is_empty() {
                    self.state = State::Done;
                } else {
                    self.room.trailers = self.room.trailers.checked_sub(length).ok_or(Broken::Malformed)?;
                    self.room.trailer_fields = self.room.trailer_fields.checked_sub(1).ok_or(Broken::Malformed)?;
                    if !is_field_line(line) {
                        return Err(Broken::Malformed);
                    }
                }
                Ok(Step::Skip(length))
            }
        }
    }

    /// So many bytes of data were taken.
    pub(crate) fn took(&mut self, bytes: u64) {
        if let State::Data(left) = self.state {
            self.state = if bytes >= left { State::DataEnd } else { State::Data(left - bytes) };
        }
    }
}

/// The line at the beginning, without its CR LF; `None` if it is not whole yet.
fn line(bytes: &[u8], limit: usize) -> Result<Option<&[u8]>, Broken> {
    match bytes.iter().position(|&b| b == b'\n') {
        Some(end) => match bytes[..end].strip_suffix(b"\r") {
            Some(line) if line.len() <= limit => Ok(Some(line)),
            _ => Err(Broken::Malformed),
        },
        None if bytes.len() > limit.saturating_add(1) => Err(Broken::Malformed),
        None => Ok(None),
    }
}

/// `*( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] )` (H1-CHK-07, H1-SYN-08).
fn are_extensions(mut text: &[u8]) -> bool {
    while !text.is_empty() {
        let Some(rest) = skip_blanks(text).strip_prefix(b";") else { return false };
        let Some(rest) = skip_token(skip_blanks(rest)) else { return false };
        text = rest;
        if let Some(value) = skip_blanks(rest).strip_prefix(b"=") {
            let value = skip_blanks(value);
            let after = if value.first() == Some(&b'"') { skip_quoted(&value[1..]) } else { skip_token(value) };
            let Some(after) = after else { return false };
            text = after;
        }
    }
    true
}

fn skip_blanks(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = text {
        text = rest;
    }
    text
}

fn skip_token(text: &[u8]) -> Option<&[u8]> {
    let length = text.iter().take_while(|&&b| gateway_spec::is_token(&[b])).count();
    (length > 0).then(|| &text[length..])
}

/// What follows a quoted string whose opening quote is skipped already.
fn skip_quoted(mut text: &[u8]) -> Option<&[u8]> {
    loop {
        match text {
            [b'"', rest @ ..] => return Some(rest),
            [b'\\', escaped, rest @ ..] if is_text(*escaped) => text = rest,
            [b, rest @ ..] if is_text(*b) && *b != b'\\' => text = rest,
            _ => return None,
        }
    }
}

/// HTAB, SP, visible characters and obs-text.
const fn is_text(b: u8) -> bool {
    matches!(b, b'\t' | b' '..=b'~' | 0x80..)
}

/// A field line of a trailer section, by the same grammar as in a head (H1-TRL-07).
fn is_field_line(line: &[u8]) -> bool {
    match line.iter().position(|&b| b == b':') {
        Some(colon) => gateway_spec::is_token(&line[..colon]) && line[colon..].iter().all(|&b| is_text(b)),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: Limits = Limits { data: 1000, extensions: 64, trailers: 64, trailer_fields: 3 };

    /// The data, and what came behind the body; `None` if the end is missing.
    type Decoded = Option<(Vec<u8>, Vec<u8>)>;

    /// Decodes what arrives in pieces.
    fn decode<'p>(pieces: impl IntoIterator<Item = &'p [u8]>) -> Result<Decoded, Broken> {
        let (mut decoder, mut data, mut bytes) = (Decoder::new(LIMITS), vec![], vec![]);
        for piece in pieces {
            bytes.extend_from_slice(piece);
            loop {
                match decoder.step(&bytes)? {
                    Step::Skip(n) => drop(bytes.drain(..n)),
                    Step::Data(left) => {
                        let n = usize::try_from(left).unwrap().min(bytes.len());
                        if n == 0 {
                            break;
                        }
                        data.extend(bytes.drain(..n));
                        decoder.took(n as u64);
                    }
                    Step::More | Step::End => break,
                }
            }
        }
        Ok(decoder.is_done().then_some((data, bytes)))
    }

    fn whole(body: &[u8]) -> Result<Decoded, Broken> {
        decode([body])
    }

    #[test]
    fn bodies() {
        let good = |body: &[u8], data: &[u8]| assert_eq!(whole(body), Ok(Some((data.to_vec(), b"GET".to_vec()))));
        good(b"5\r\nhello\r\n0\r\n\r\nGET", b"hello");
        good(b"05;a=b;c=\"d;e\\\"\" ; f\r\nhello\r\n000\r\nX: y\r\n\r\nGET", b"hello");
        good(b"0\r\n\r\nGET", b"");
    }

    #[test]
    fn what_is_refused() {
        for (body, why) in [
            (&b"+5\r\n"[..], Broken::Malformed),
            (b"0x5\r\n", Broken::Malformed),
            (b" 5\r\n", Broken::Malformed),
            (b"5 \r\n", Broken::Malformed),
            (b"\r\n", Broken::Malformed),
            (b"5\nhello", Broken::Malformed),
            (b"4\r\nhello\r\n", Broken::Malformed),
            (b"5\r\nhelloX", Broken::Malformed),
            (b"5;\r\n", Broken::Malformed),
            (b"5;a\nb\r\n", Broken::Malformed),
            (b"5;\0\r\n", Broken::Malformed),
            (b"00000000000000005\r\n", Broken::Malformed),
            (b"FFFFFFFFFFFFFFFF\r\n", Broken::TooLarge),
            (b"3e9\r\n", Broken::TooLarge),
            (b"0\r\nbad line\r\n", Broken::Malformed),
            (b"0\r\n x: y\r\n", Broken::Malformed),
            (b"0\r\na: 1\r\nb: 2\r\nc: 3\r\nd: 4\r\n\r\n", Broken::Malformed),
            (b"0\r\nx: \x01\r\n", Broken::Malformed),
        ] {
            assert_eq!(whole(body), Err(why), "{}", body.escape_ascii());
        }
        let long = [b"5;a=", &[b'b'; 70][..]].concat();
        assert_eq!(whole(&long), Ok(None), "may still be within the line's limit");
        assert_eq!(whole(&[b"5;a=", &[b'b'; 100][..]].concat()), Err(Broken::Malformed));
        let drip: Vec<u8> = (0..10).flat_map(|_| b"1;abcdefgh\r\nx\r\n".to_vec()).collect();
        assert_eq!(whole(&drip), Err(Broken::Malformed), "the limit is for the whole body");
    }

    proptest! {
        /// However it is cut, a body decodes to the same, or fails the same way.
        #[test]
        fn every_split_is_the_same(
            chunks in proptest::collection::vec(("[a-z\r\n]{1,20}", "(;[a-z]{1,3}(=\"[ -!#-\\[\\]-~]{0,3}\")?)?"), 0..4),
            end in "(0|00)\r\n(X: y\r\n)?(\r\n|\n|x)",
            sizes in proptest::collection::vec(1usize..7, 1..200),
        ) {
            let mut body = vec![];
            for (data, extension) in &chunks {
                body.extend(format!("{:x}{extension}\r\n{data}\r\n", data.len()).bytes());
            }
            body.extend(end.bytes());
            body.extend(b"NEXT");
            let expected = whole(&body);
            if let Ok(Some((data, rest))) = &expected {
                prop_assert_eq!(data, &chunks.iter().map(|(data, _)| data.as_str()).collect::<String>().into_bytes());
                prop_assert_eq!(rest, b"NEXT");
            }
            let mut pieces = vec![];
            let mut left = &body[..];
            for size in sizes.iter().cycle() {
                if left.is_empty() { break }
                let (piece, rest) = left.split_at((*size).min(left.len()));
                pieces.push(piece);
                left = rest;
            }
            prop_assert_eq!(decode(pieces), expected);
        }

        #[test]
        fn garbage_is_answered(body in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = whole(&body);
        }
    }
}
