//! [`Gzip`]: smaller responses for clients that can unpack them.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use gateway_spec::{Application, Body, Bytes, Environ, Error, StartResponse, Status};

use super::{Content, Filter, Interest, ResponseHead, filter, join_lines};
use crate::negotiate::coding;
use crate::validator::ETag;

/// Compresses responses with gzip, where the client likes it and it is of use.
///
/// Text, JSON, JavaScript, XML and SVG of at least 1 KiB, in status 200 and the like; not what is encoded already, a
/// part (206), or marked `no-transform` (H1-NEG-10). A strong `ETag` becomes weak, since the octets are others
/// (H1-VAL-12), and `Vary` says that there are two variants, of both (H1-VARY-01).
///
/// A stream is sent on block by block, so that events arrive when they happen.
///
/// Where a page has both a secret and text of an attacker's choice, sizes give the secret away (BREACH): do not compress
/// such pages.
///
/// ```
/// use framework_mini::App;
/// use framework_mini::middleware::Gzip;
///
/// let site = App::new(()).get("/", || "a long page ".repeat(1000)).build().unwrap();
/// let site = Gzip::new(site).level(4);
/// ```
#[derive(Clone, Debug)]
pub struct Gzip<A> {
    application: A,
    min_size: u64,
    level: u32,
}

impl<A> Gzip<A> {
    /// From 1 KiB on, at level 6.
    pub const fn new(application: A) -> Self {
        Self { application, min_size: 1024, level: 6 }
    }

    /// From another size in bytes on.
    #[must_use]
    pub const fn min_size(mut self, bytes: u64) -> Self {
        self.min_size = bytes;
        self
    }

    /// At another level, from 1 (fast) to 9 (small).
    #[must_use]
    pub fn level(mut self, level: u32) -> Self {
        self.level = level.clamp(1, 9);
        self
    }
}

impl<A: Application> Application for Gzip<A> {
    fn call(&self, environ: &mut Environ<'_>, start_response: &mut dyn StartResponse) -> Result<Body, Error> {
        let encode = Encode {
            wanted: coding(environ, &["gzip"]).is_some(),
            head_only: environ.method() == "HEAD",
            min_size: self.min_size,
            level: self.level,
            encoder: None,
            whole: None,
        };
        filter(&self.application, environ, start_response, encode)
    }
}

struct Encode {
    wanted: bool,
    head_only: bool,
    min_size: u64,
    level: u32,
    /// Made for the first block, since its tables are large: most responses need none.
    encoder: Option<GzEncoder<Vec<u8>>>,
    /// A body that was at hand, compressed to see whether it gets smaller.
    whole: Option<Bytes>,
}

impl Encode {
    fn encoder(&mut self) -> &mut GzEncoder<Vec<u8>> {
        let level = self.level;
        self.encoder.get_or_insert_with(|| GzEncoder::new(Vec::new(), Compression::new(level)))
    }

    /// Whether a response could be compressed for some client.
    fn applies(&self, head: &ResponseHead, content: &Content<'_>) -> bool {
        let declared = || head.get("Content-Length").and_then(|length| gateway_spec::digits(length.as_bytes()));
        let length = match content {
            // Of HEAD there may be none, but what GET would have.
            Content::Whole(block) if self.head_only && block.is_empty() => declared(),
            Content::Whole(block) => Some(block.len() as u64),
            Content::File(length) => Some(*length),
            Content::Stream => declared(),
        };
        let plain = head.get("Content-Encoding").is_none() && head.get("Content-Range").is_none();
        let cache_control = join_lines(head.headers(), "Cache-Control");
        let no_transform = cache_control.to_ascii_lowercase().contains("no-transform");
        let partial = head.status == Status::PARTIAL_CONTENT || head.status.forbids_content();
        plain
            && !no_transform
            && !partial
            && length.is_none_or(|length| length >= self.min_size)
            && head.get("Content-Type").is_some_and(is_text)
    }
}

/// Whether content of a media type gets smaller.
fn is_text(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let (kind, sub) = essence.split_once('/').unwrap_or_default();
    kind == "text"
        || (kind == "application" && (sub.ends_with("json") || sub.ends_with("xml")))
        || matches!(
            &*essence,
            "application/javascript" | "application/wasm" | "image/svg+xml" | "image/x-icon" | "font/ttf"
        )
}

fn weaken(head: &mut ResponseHead) {
    if let Some(tag) = head.get("ETag").and_then(ETag::parse) {
        head.set("ETag", tag.into_weak().to_string());
    }
}

impl Filter for Encode {
    fn head(&mut self, head: &mut ResponseHead, content: &Content<'_>) -> Result<Interest, Error> {
        if head.status == Status::NOT_MODIFIED {
            // The 200 would have said so; its tag would be weak if it was compressed.
            head.add_vary("Accept-Encoding");
            if self.wanted {
                weaken(head);
            }
            return Ok(Interest::Head);
        }
        if !self.applies(head, content) {
            return Ok(Interest::Head);
        }
        head.add_vary("Accept-Encoding");
        if !self.wanted {
            return Ok(Interest::Head);
        }
        if let Content::Whole(block) = content
            && !(self.head_only && block.is_empty())
        {
            let encoder = self.encoder();
            encoder.write_all(block)?;
            encoder.try_finish()?;
            let encoded = std::mem::take(encoder.get_mut());
            if encoded.len() >= block.len() {
                return Ok(Interest::Head);
            }
            head.set("Content-Length", encoded.len().to_string());
            self.whole = Some(encoded.into());
        } else {
            head.remove("Content-Length");
        }
        // Ranges would be of the octets that are not sent.
        head.remove("Accept-Ranges");
        head.set("Content-Encoding", "gzip");
        weaken(head);
        Ok(if self.head_only && self.whole.is_none() { Interest::Drop } else { Interest::Blocks })
    }

    fn block(&mut self, block: Bytes) -> Result<Bytes, Error> {
        if let Some(whole) = self.whole.take() {
            return Ok(whole);
        }
        let encoder = self.encoder();
        encoder.write_all(&block)?;
        // Out with it: the next block may be a long time coming (GW-BUF-03).
        encoder.flush()?;
        Ok(std::mem::take(encoder.get_mut()).into())
    }

    fn end(&mut self) -> Result<Bytes, Error> {
        let encoder = self.encoder();
        encoder.try_finish()?;
        Ok(std::mem::take(encoder.get_mut()).into())
    }
}
