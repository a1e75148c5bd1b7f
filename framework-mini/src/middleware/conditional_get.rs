//! [`ConditionalGet`]: 304 for what the client has, for applications that do not look.

use std::hash::{DefaultHasher, Hash, Hasher};

use gateway_spec::{Application, Body, Bytes, Environ, Error, StartResponse, Status};

use super::{Content, Filter, Interest, ResponseHead, filter};
use crate::validator::{Conditions, ETag, Validators};

/// Answers conditional `GET` and `HEAD` by the `ETag` and `Last-Modified` of a 200 (RFC 9110 section 13.2.2).
///
/// A response in one block that has neither is given a weak tag, made of its content: the application does its work all
/// the same, but what the client has is not sent again.
///
/// ```
/// use framework_mini::App;
/// use framework_mini::middleware::ConditionalGet;
///
/// let site = App::new(()).get("/", || "the same page again and again").build().unwrap();
/// let site = ConditionalGet::new(site); // with an ETag, and 304 for who has the page
/// ```
#[derive(Clone, Debug)]
pub struct ConditionalGet<A> {
    application: A,
    limit: usize,
}

impl<A> ConditionalGet<A> {
    /// Makes tags of content of up to 1 MiB.
    pub const fn new(application: A) -> Self {
        Self { application, limit: 1 << 20 }
    }

    /// Makes tags of content of up to so many bytes; 0 is never.
    #[must_use]
    pub const fn tag_limit(mut self, bytes: usize) -> Self {
        self.limit = bytes;
        self
    }
}

impl<A: Application> Application for ConditionalGet<A> {
    fn call(&self, environ: &mut Environ<'_>, start_response: &mut dyn StartResponse) -> Result<Body, Error> {
        if !matches!(environ.method(), "GET" | "HEAD") {
            return self.application.call(environ, start_response);
        }
        let names = ["if-match", "if-none-match", "if-modified-since", "if-unmodified-since"];
        let fields = names.into_iter().filter_map(|name| Some((name, environ.header(name)?.to_latin1().into_owned())));
        let conditions = Evaluate { fields: fields.collect(), limit: self.limit };
        filter(&self.application, environ, start_response, conditions)
    }
}

struct Evaluate {
    /// The conditions of the request.
    fields: Vec<(&'static str, String)>,
    limit: usize,
}

impl Filter for Evaluate {
    fn head(&mut self, head: &mut ResponseHead, content: &Content<'_>) -> Result<Interest, Error> {
        if head.status != Status::OK {
            return Ok(Interest::Head); // H1-COND-02
        }
        if head.get("ETag").is_none()
            && head.get("Last-Modified").is_none()
            && let Content::Whole(block) = content
            && (1..=self.limit).contains(&block.len())
        {
            head.add("ETag", content_tag(block).to_string());
        }
        if self.fields.is_empty() {
            return Ok(Interest::Head);
        }
        let validators = Validators {
            etag: head.get("ETag").and_then(ETag::parse),
            last_modified: head.get("Last-Modified").and_then(|date| httpdate::parse_http_date(date).ok()),
        };
        let (status, gone): (_, &[&str]) = match validators.evaluate_by("GET", |name| {
            self.fields.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone())
        }) {
            Conditions::Hold => return Ok(Interest::Head),
            // H1-COND-28: what describes the content that is not there.
            Conditions::NotModified if validators.etag.is_some() => {
                (Status::NOT_MODIFIED, &["Content-Type", "Content-Length", "Content-Encoding", "Last-Modified"])
            }
            Conditions::NotModified => (Status::NOT_MODIFIED, &["Content-Type", "Content-Length", "Content-Encoding"]),
            Conditions::Failed => {
                (Status::PRECONDITION_FAILED, &["Content-Type", "Content-Length", "Content-Encoding"])
            }
        };
        head.status = status;
        gone.iter().for_each(|name| head.remove(name));
        Ok(Interest::Drop)
    }
}

/// A weak tag of the content: two hashes, so that it has 128 bits.
fn content_tag(block: &Bytes) -> ETag {
    let hash = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        (salt, block).hash(&mut hasher);
        hasher.finish()
    };
    ETag::weak(&format!("{:016x}{:016x}", hash(0), hash(1)))
}
