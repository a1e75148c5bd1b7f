//! The chunked coding, read from any pieces (RFC 9112 section 7.1).
//!
//! ```text
//!  Size ─ CR ─► SizeLf ─ LF, n > 0 ─► Data ─ n bytes ─► DataCr ─► DataLf ─► Size
//!   │             ▲ ▲   └─ LF, n = 0 ─► LineStart ─ CR ─► EndLf ─► Done
//!   └ extension ──┘ │                      ▲ └ Name ─► Value ─► ValueLf ┐
//!     (seven states)┘                      └──────── a trailer ─────────┘
//! ```

use gateway_spec::is_token;

use super::Reject;

/// How far a chunked body was decoded.
#[derive(Clone, Debug)]
pub(crate) struct Decoder {
    state: State,
    /// Of the chunk whose line is read, then what is left of its data.
    size: u64,
    digits: u8,
    /// What may still come in all.
    body_left: u64,
    extensions_left: usize,
    trailers_left: usize,
    trailer_bytes_left: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Size,
    /// A blank after the size or a value: a `;` has to follow (C-H4).
    Blank,
    ExtensionStart,
    Extension,
    /// A blank after the name of an extension.
    AfterExtension,
    ValueStart,
    Token,
    Quoted,
    QuotedPair,
    AfterQuoted,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// The start of a trailer line, or of the empty one.
    LineStart,
    Name,
    Value,
    ValueLf,
    EndLf,
    Done,
}

/// What one call decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step<'i> {
    /// How much of the input is done with.
    pub(crate) consumed: usize,
    /// A piece of the body; empty if the input ended before one.
    pub(crate) data: &'i [u8],
}

impl Decoder {
    /// At the beginning of a body. `body` bounds its length, `extensions` the bytes of all extensions (H1-CHK-06),
    /// `trailers` and `trailer_bytes` the trailer section (H1-TRL-07).
    pub(crate) const fn new(body: u64, extensions: usize, trailers: usize, trailer_bytes: usize) -> Self {
        Self {
            state: State::Size,
            size: 0,
            digits: 0,
            body_left: body,
            extensions_left: extensions,
            trailers_left: trailers,
            trailer_bytes_left: trailer_bytes,
        }
    }

    /// Whether the final empty line was read (H1-CHK-08).
    pub(crate) const fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Decodes up to the end of the next piece of data, at most `room` bytes of it, or the end of body or input.
    ///
    /// # Errors
    /// What the grammar does not have, or is over a limit. Nothing may be decoded after it.
    pub(crate) fn decode<'i>(&mut self, input: &'i [u8], room: usize) -> Result<Step<'i>, Reject> {
        let mut consumed = 0;
        while self.state != State::Done && consumed < input.len() {
            if self.state == State::Data {
                let rest = &input[consumed..];
                let size = usize::try_from(self.size).map_or(rest.len(), |size| size.min(rest.len())).min(room);
                self.size -= size as u64;
                if self.size == 0 {
                    self.state = State::DataCr;
                }
                return Ok(Step { consumed: consumed + size, data: &rest[..size] });
            }
            self.state = self.step(input[consumed])?;
            consumed += 1;
        }
        Ok(Step { consumed, data: b"" })
    }

    /// One byte of what is not data. What is not listed is an error.
    fn step(&mut self, byte: u8) -> Result<State, Reject> {
        use State as S;
        let tchar = || is_token(&[byte]);
        let text = matches!(byte, b'\t' | b' '..=b'~' | 0x80..);
        let next = match (self.state, byte) {
            (S::Size, _) if byte.is_ascii_hexdigit() => return self.digit(byte),
            // At least one digit, and nothing else before the line end.
            (S::Size, b'\r' | b';' | b' ' | b'\t') if self.digits == 0 => return Err(SIZE),
            (S::Size | S::Extension | S::Token | S::AfterQuoted, b'\r') => S::SizeLf,
            (S::Size | S::Blank | S::Extension | S::AfterExtension | S::Token | S::AfterQuoted, b';') => {
                S::ExtensionStart
            }
            (S::Size | S::Blank | S::Token | S::AfterQuoted, b' ' | b'\t') => S::Blank,
            (S::Size, _) => return Err(SIZE),

            (S::ExtensionStart, b' ' | b'\t') => S::ExtensionStart,
            (S::ExtensionStart | S::Extension, _) if tchar() => S::Extension,
            (S::Extension | S::AfterExtension, b'=') => S::ValueStart,
            (S::Extension | S::AfterExtension, b' ' | b'\t') => S::AfterExtension,
            (S::ValueStart, b' ' | b'\t') => S::ValueStart,
            (S::ValueStart, b'"') => S::Quoted,
            (S::ValueStart | S::Token, _) if tchar() => S::Token,
            (S::Quoted, b'"') => S::AfterQuoted,
            (S::Quoted, b'\\') => S::QuotedPair,
            (S::Quoted | S::QuotedPair, _) if text => S::Quoted,

            (S::SizeLf, b'\n') if self.size == 0 => return Ok(S::LineStart),
            (S::SizeLf, b'\n') => return self.begin_data(),
            (S::DataCr, b'\r') => return Ok(S::DataLf),
            (S::DataLf, b'\n') => {
                self.digits = 0;
                return Ok(S::Size);
            }
            (S::DataCr | S::DataLf, _) => return Err(Reject::Malformed("a chunk is longer than its size says")),

            (S::LineStart, b'\r') => return Ok(S::EndLf),
            (S::EndLf, b'\n') => return Ok(S::Done),
            (S::LineStart, _) if tchar() => {
                self.trailers_left = self.trailers_left.checked_sub(1).ok_or(TRAILERS)?;
                S::Name
            }
            (S::Name, _) if tchar() => S::Name,
            (S::Name, b':') => S::Value,
            (S::Value, b'\r') => S::ValueLf,
            (S::Value, _) if text => S::Value,
            (S::ValueLf, b'\n') => S::LineStart,
            (S::LineStart | S::Name | S::Value | S::ValueLf | S::EndLf, _) => {
                return Err(Reject::Malformed("a trailer is malformed"));
            }
            _ => return Err(Reject::Malformed("a chunk extension is malformed")),
        };
        match next {
            S::LineStart | S::Name | S::Value | S::ValueLf => {
                self.trailer_bytes_left = self.trailer_bytes_left.checked_sub(1).ok_or(TRAILERS)?;
            }
            S::SizeLf => {}
            _ => {
                let left = self.extensions_left.checked_sub(1);
                self.extensions_left = left.ok_or(Reject::Malformed("the chunk extensions are too large"))?;
            }
        }
        Ok(next)
    }

    /// At most sixteen digits: so the size cannot overflow (H1-CHK-01), and zeros cannot go on for ever.
    fn digit(&mut self, byte: u8) -> Result<State, Reject> {
        if self.digits == 0 {
            self.size = 0;
        }
        self.digits += 1;
        if self.digits > 16 {
            return Err(SIZE);
        }
        let value = char::from(byte).to_digit(16).unwrap_or_default();
        self.size = self.size << 4 | u64::from(value);
        Ok(State::Size)
    }

    /// Nothing is reserved for a chunk by its size; it is only counted (L10).
    fn begin_data(&mut self) -> Result<State, Reject> {
        self.body_left = self.body_left.checked_sub(self.size).ok_or(Reject::BodyTooLarge)?;
        Ok(State::Data)
    }
}

const SIZE: Reject = Reject::Malformed("a chunk has no valid size");
const TRAILERS: Reject = Reject::Malformed("the trailers are too large");

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The body, the bytes behind it, or the status.
    type Verdict = Result<(Vec<u8>, Vec<u8>), u16>;

    fn decode(pieces: &[&[u8]], room: usize) -> Verdict {
        let mut decoder = Decoder::new(1000, 64, 3, 64);
        let (mut body, mut rest) = (Vec::new(), Vec::new());
        for piece in pieces {
            let mut piece = *piece;
            while !piece.is_empty() {
                if decoder.is_done() {
                    rest.extend_from_slice(piece);
                    break;
                }
                let step = decoder.decode(piece, room).map_err(|reject| reject.status().code())?;
                body.extend_from_slice(step.data);
                piece = &piece[step.consumed..];
            }
        }
        if decoder.is_done() { Ok((body, rest)) } else { Err(0) }
    }

    fn whole(input: &str) -> Verdict {
        let bytes: Vec<u8> = input.chars().map(|c| c as u8).collect();
        decode(&[&bytes], usize::MAX)
    }

    fn body(text: &str) -> Verdict {
        Ok((text.into(), Vec::new()))
    }

    #[test]
    fn bodies() {
        assert_eq!(whole("0\r\n\r\n"), body(""));
        assert_eq!(whole("5\r\nhello\r\n0\r\n\r\n"), body("hello"));
        assert_eq!(whole("05\r\nhello\r\n6\r\n world\r\n000\r\n\r\n"), body("hello world"));
        assert_eq!(whole("A\r\n0123456789\r\n0\r\nX: y\r\nZ:\r\n\r\n"), body("0123456789"));
        assert_eq!(whole("0\r\n\r\nGET"), Ok((Vec::new(), b"GET".into())));
        for extension in [
            ";a",
            ";a=b",
            ";a=\"b\"",
            ";c=\"d;e\"",
            ";c=\"d\\\"e\"",
            ";c=\"\"",
            " ; a = b",
            "\t;\ta",
            ";c=\"\u{e9}\"",
            ";a ;b",
        ] {
            assert_eq!(whole(&format!("5{extension}\r\nhello\r\n0{extension}\r\n\r\n")), body("hello"), "{extension}");
        }
    }

    #[test]
    fn what_is_malformed() {
        for size in [
            "",
            "+5",
            "-5",
            "0x5",
            " 5",
            "\t5",
            "5 ",
            "5\t",
            "5_0",
            "_5",
            "G",
            "5.0",
            "5,",
            "5\0",
            "\"5\"",
            "5;",
            "5; ",
            "5;=b",
            "5;a=",
            "5;\0",
            "5;a\x01",
            "5;a=\"\x01\"",
            "5;a\x7f",
            "5;a\r",
            "5;a\nb",
            "5;a=\"\n\"",
            "5;a=\"b",
            "5;a=\"b\"c",
            "5;a(b)",
            "5 a",
            "5;;a",
            "5;a=b ",
            "5;\u{e9}",
            "5\n",
            "5\r",
            "5\r\r",
            "00000000000000005",
            "10000000000000005",
        ] {
            assert_eq!(whole(&format!("{size}\r\nhello\r\n0\r\n\r\n")), Err(400), "{size:?}");
        }
        for chunks in [
            "4\r\nhello\r\n0\r\n\r\n",
            "6\r\nhello\r\n0\r\n\r\n",
            "5\r\nhello0\r\n\r\n",
            "5\r\nhello\n0\r\n\r\n",
            "5\r\nhello\r0\r\n\r\n",
            "5\nhello\r\n0\r\n\r\n",
            "0\n\r\n",
            "0\r\n\n",
            "0\r\n\r\r\n",
            "0\r\nbad line\r\n\r\n",
            "0\r\nX : y\r\n\r\n",
            "0\r\n: y\r\n\r\n",
            "0\r\nX: \x01\r\n\r\n",
            "0\r\nX: a\r\n b\r\n\r\n",
            "0\r\nX: a\rb\r\n\r\n",
            "0\r\nX: a\n\r\n",
        ] {
            assert_eq!(whole(chunks), Err(400), "{chunks:?}");
        }
    }

    #[test]
    fn limits() {
        let repeated = |text: &str, n: usize| text.repeat(n);
        assert_eq!(whole(&format!("3e8\r\n{}\r\n0\r\n\r\n", repeated("x", 1000))), body(&repeated("x", 1000)));
        assert_eq!(
            whole(&format!("{}0\r\n\r\n", repeated("64\r\n", 1) + &repeated("x", 100) + "\r\n")),
            body(&repeated("x", 100))
        );
        for large in ["3e9\r\n", "ffffffffffffffff\r\n", "8000000000000000\r\n"] {
            assert_eq!(whole(large), Err(413), "{large}");
        }
        assert_eq!(whole(&format!("0;{}\r\n\r\n", repeated("a", 63))), body(""));
        assert_eq!(whole(&format!("0;{}\r\n\r\n", repeated("a", 64))), Err(400));
        assert_eq!(whole(&repeated("1;aaaaaaaaa\r\nx\r\n", 7)), Err(400), "their sum counts");
        assert_eq!(whole(&format!("0\r\n{}\r\n", repeated("X:\r\n", 3))), body(""));
        assert_eq!(whole(&format!("0\r\n{}\r\n", repeated("X:\r\n", 4))), Err(400));
        assert_eq!(whole(&format!("0\r\nX:{}\r\n\r\n", repeated("x", 100))), Err(400));
    }

    #[test]
    fn a_body_that_stops_is_not_done() {
        let input = "5;a=\"b\"\r\nhello\r\n0\r\nX: y\r\n\r\n";
        for end in 0..input.len() {
            assert_eq!(whole(&input[..end]), Err(0), "{end}");
        }
    }

    proptest! {
        /// Whatever the pieces and the room, the verdict is that of the whole.
        #[test]
        fn pieces_do_not_matter(
            parts in proptest::collection::vec(prop_oneof![
                Just("5\r\nhello\r\n"), Just("1;a=\"b\"\r\nx\r\n"), Just("0\r\n"), Just("\r\n"), Just("A: b\r\n"),
                Just("a"), Just("\n"), Just("; "), Just("0\r\n\r\n"),
            ], 0..8),
            cuts in proptest::collection::vec(0usize..80, 0..6),
            room in 1usize..7,
        ) {
            let input = parts.concat().into_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(input.len())).collect();
            cuts.extend([0, input.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &input[pair[0]..pair[1]]).collect();
            prop_assert_eq!(decode(&pieces, room), decode(&[&input], usize::MAX));
        }

        /// What an encoder writes comes back.
        #[test]
        fn what_is_encoded_comes_back(blocks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..40), 0..9)) {
            let mut input = Vec::new();
            for block in &blocks {
                super::super::response::chunk_size(&mut input, block.len());
                input.extend_from_slice(block);
                input.extend_from_slice(b"\r\n");
            }
            input.extend_from_slice(b"0\r\n\r\nnext");
            prop_assert_eq!(decode(&[&input], usize::MAX), Ok((blocks.concat(), b"next".to_vec())));
        }
    }
}
