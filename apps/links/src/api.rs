//! The interface for programs: JSON, and errors as problem details (RFC 9457).

use framework_mini::{Error, FieldErrors, IntoResponse, Json, Path, Response, State, Status};
use serde::Serialize;

use crate::Site;
use crate::access::{ApiMember, Asked};
use crate::link::{Amendment, Link, Proposal, in_one_line};
use crate::store::{Change, Order};

/// Links in an answer, unless it is asked for another number up to the most.
const PER_PAGE: usize = 50;
const MAX_PER_PAGE: usize = 200;

/// A link, and the address that leads to it.
#[derive(Debug, Serialize)]
pub(crate) struct Shown {
    url: String,
    #[serde(flatten)]
    link: Link,
}

impl Shown {
    fn new(link: Link, asked: &Asked) -> Self {
        Self { url: asked.short_url(&link.slug), link }
    }
}

#[derive(Debug, Serialize)]
struct List {
    links: Vec<Shown>,
    /// How many there are in all.
    total: usize,
    page: usize,
    per_page: usize,
}

/// Problem details.
#[derive(Debug, Serialize)]
struct Problem<'p> {
    title: &'p str,
    status: u16,
    detail: &'p str,
    /// By field, what is wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    errors: Option<&'p FieldErrors>,
}

/// An answer that says what went wrong.
pub(crate) fn problem(status: &Status, detail: &str, errors: Option<&FieldErrors>) -> Response {
    let problem = Problem { title: status.reason(), status: status.code(), detail, errors };
    Json(problem).into_response().with_header("Content-Type", "application/problem+json").with_status(status.clone())
}

/// `?q=`, `?order=newest|visits|name`, `?page=`, `?per_page=`.
pub(crate) fn list(State(site): State<Site>, _member: ApiMember, asked: Asked) -> Result<Response, Error> {
    let mut errors = FieldErrors::new();
    let mut number = |name: &str, default: usize, most: usize| {
        let number = asked.query.parse::<usize>(name, &mut errors).unwrap_or(default);
        if !(1..=most).contains(&number) {
            errors.add(name, format!("is not from 1 to {most}"));
        }
        number
    };
    let (page, per_page) = (number("page", 1, 1_000_000_000), number("per_page", PER_PAGE, MAX_PER_PAGE));
    if !errors.is_empty() {
        return Ok(problem(&Status::BAD_REQUEST, &in_one_line(&errors), Some(&errors)));
    }
    let order = Order::of_name(asked.query.get("order"));
    let (total, links) = site.store.list(asked.query.get("q").unwrap_or_default(), order, page, per_page)?;
    let links = links.into_iter().map(|link| Shown::new(link, &asked)).collect();
    Ok(Json(List { links, total, page, per_page }).into_response())
}

/// Makes a link of `{"target": …, "slug": …, "title": …}`; the last two may be left out.
pub(crate) fn create(
    State(site): State<Site>,
    ApiMember(member): ApiMember,
    Json(proposal): Json<Proposal>,
    asked: Asked,
) -> Result<Response, Error> {
    let draft = match proposal.check() {
        Ok(draft) => draft,
        Err(errors) => return Ok(problem(&Status::UNPROCESSABLE_CONTENT, &in_one_line(&errors), Some(&errors))),
    };
    if site.store.create(&draft, &member)? != Change::Done {
        return Err(taken(&draft.slug));
    }
    let link = site.store.find(&draft.slug)?.ok_or_else(Error::not_found)?;
    let location = asked.urls.url_for("api-link", &[("slug", &draft.slug)])?;
    Ok(Response::created(location.to_string(), Json(Shown::new(link, &asked))))
}

fn taken(slug: &str) -> Error {
    Error::conflict(format!("There is a link {slug} already."))
}

/// Changes what is named of a link: `{"target": …, "slug": …, "title": …}`.
pub(crate) fn update(
    State(site): State<Site>,
    ApiMember(member): ApiMember,
    Path(old): Path<String>,
    Json(amendment): Json<Amendment>,
    asked: Asked,
) -> Result<Response, Error> {
    let link = site.store.find(&old)?.ok_or_else(Error::not_found)?;
    let draft = match amendment.of(&link).check() {
        Ok(draft) => draft,
        Err(errors) => return Ok(problem(&Status::UNPROCESSABLE_CONTENT, &in_one_line(&errors), Some(&errors))),
    };
    match site.store.update(&old, link.revision, &draft, &member)? {
        Change::Done => {
            let link = site.store.find(&draft.slug)?.ok_or_else(Error::not_found)?;
            Ok(Json(Shown::new(link, &asked)).into_response())
        }
        Change::Taken => Err(taken(&draft.slug)),
        Change::Stale => Err(Error::conflict("Somebody else has changed this link in this moment. Please try again.")),
        Change::Gone => Err(Error::not_found()),
    }
}

/// One link.
pub(crate) fn show(
    State(site): State<Site>,
    _member: ApiMember,
    Path(slug): Path<String>,
    asked: Asked,
) -> Result<Json<Shown>, Error> {
    site.store.find(&slug)?.map(|link| Json(Shown::new(link, &asked))).ok_or_else(Error::not_found)
}

/// Deletes a link.
pub(crate) fn delete(State(site): State<Site>, _member: ApiMember, Path(slug): Path<String>) -> Result<Status, Error> {
    if site.store.delete(&slug)? { Ok(Status::NO_CONTENT) } else { Err(Error::not_found()) }
}
