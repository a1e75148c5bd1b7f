//! What the fuzz targets share: naive models, and input cut into pieces.

mod chunked;
mod head;
mod multipart;
mod reply;

pub use chunked::Decoded;
pub use head::{Accepted, is_token};
pub use multipart::{Form, naive_form};
pub use reply::{Framing, LINES, Written, check_writer};

/// The first octet says how the rest is cut into pieces: 0 for not at all.
pub fn pieces(data: &[u8]) -> Option<(usize, &[u8])> {
    let (&first, rest) = data.split_first()?;
    Some((if first == 0 { usize::MAX } else { usize::from(first % 32) + 1 }, rest))
}
