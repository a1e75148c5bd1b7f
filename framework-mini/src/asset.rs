//! [`Asset`]: a file of a page that is in the program.

use std::hash::{DefaultHasher, Hash, Hasher};

use gateway_spec::Status;

use crate::{Conditions, ETag, Error, IntoResponse, Response, Validators, media_type};

/// A style, script or picture that is compiled into the program, as a response: with its type by its name, and a tag of its
/// content, so that clients ask each time and get it again when it has changed.
///
/// ```
/// use framework_mini::{App, Asset};
///
/// const STYLE: Asset = Asset::new("site.css", b"body { color: green }"); // include_bytes!, in earnest
/// let site = App::new(()).get("/site.css", || STYLE).build().unwrap();
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Asset {
    name: &'static str,
    content: &'static [u8],
}

impl Asset {
    /// A file by its name and content.
    #[must_use]
    pub const fn new(name: &'static str, content: &'static [u8]) -> Self {
        Self { name, content }
    }

    /// Two hashes, so that it has 128 bits.
    fn tag(&self) -> ETag {
        let hash = |salt: u8| {
            let mut hasher = DefaultHasher::new();
            (salt, self.content).hash(&mut hasher);
            hasher.finish()
        };
        ETag::strong(&format!("{:016x}{:016x}", hash(0), hash(1)))
    }
}

impl IntoResponse for Asset {
    fn into_response(self) -> Response {
        Response::deferred(move |response, context| {
            let tag = self.tag();
            let response =
                response.with_default_header("Cache-Control", "no-cache").with_header("ETag", tag.to_string());
            match (Validators { etag: Some(tag), last_modified: None }).evaluate(context.environ) {
                Conditions::Hold => {
                    let content_type = media_type::of_name(self.name);
                    let response = response.with_default_header("X-Content-Type-Options", "nosniff");
                    response.with_default_header("Content-Type", content_type).with_body(self.content)
                }
                Conditions::NotModified => response.with_status(Status::NOT_MODIFIED),
                Conditions::Failed => {
                    Error::new(Status::PRECONDITION_FAILED, "It is not what the request says it is.").into_response()
                }
            }
        })
    }
}
