//! The pages about links.

use framework_mini::{
    Error, FieldErrors, Fields, IntoResponse, Page, Path, Redirect, Request, Response, Session, State, Status, Urls,
};
use serde::Serialize;
use serde_json::json;

use crate::access::{Asked, Member, is_login, log_in_first, of_session};
use crate::link::{Link, Proposal, slug};
use crate::store::{Change, Order};
use crate::{Site, api};

/// Links on a page of the list.
const PER_PAGE: usize = 20;

/// In characters: how much of a name that is none is repeated.
const MAX_SHOWN: usize = 80;

/// What the list was asked for.
#[derive(Clone, Debug)]
struct Search {
    text: String,
    order: Order,
    page: usize,
}

impl Search {
    fn of(query: &Fields) -> Self {
        let text = query.get("q").unwrap_or_default().trim().to_owned();
        // Nobody has typed the rest, so what makes no sense is the beginning.
        let page = query.get("page").and_then(|page| page.parse().ok()).unwrap_or(1).max(1);
        Self { text, order: Order::of_name(query.get("order")), page }
    }

    /// The address of the same list, in another order or at another page; only with what is not the default.
    fn url(&self, urls: &Urls, order: Order, page: usize) -> Result<String, Error> {
        let mut values: Vec<(&str, &dyn std::fmt::Display)> = Vec::new();
        if !self.text.is_empty() {
            values.push(("q", &self.text));
        }
        let name = order.name();
        if order != Order::default() {
            values.push(("order", &name));
        }
        if page > 1 {
            values.push(("page", &page));
        }
        Ok(urls.url_for("home", &values)?.to_string())
    }
}

/// An entry of a list of ways to go.
#[derive(Debug, Serialize)]
struct Way {
    label: String,
    /// `None` for a gap.
    url: Option<String>,
    current: bool,
}

/// The pages to choose from: the first, the last, and those around the current one.
fn pager(search: &Search, urls: &Urls, pages: usize) -> Result<Vec<Way>, Error> {
    let mut ways = Vec::new();
    let near = |page: usize| page == 1 || page == pages || page.abs_diff(search.page) <= 1;
    let mut gap = false;
    for page in 1..=pages {
        if near(page) {
            let url = Some(search.url(urls, search.order, page)?);
            ways.push(Way { label: page.to_string(), url, current: page == search.page });
        } else if !gap {
            ways.push(Way { label: "…".to_owned(), url: None, current: false });
        }
        gap = !near(page);
    }
    Ok(ways)
}

/// The list, with the form for a new link.
pub(crate) fn home(State(site): State<Site>, member: Member, asked: Asked) -> Result<Page, Error> {
    let proposal = Proposal::of_fields(&asked.query);
    list(&site, &member, &asked, &proposal, &FieldErrors::new())
}

fn list(
    site: &Site,
    Member(member): &Member,
    asked: &Asked,
    proposal: &Proposal,
    errors: &FieldErrors,
) -> Result<Page, Error> {
    let urls = &asked.urls;
    let mut search = Search::of(&asked.query);
    let (total, mut links) = site.store.list(&search.text, search.order, search.page, PER_PAGE)?;
    let pages = total.div_ceil(PER_PAGE).max(1);
    if search.page > pages {
        search.page = pages;
        links = site.store.list(&search.text, search.order, pages, PER_PAGE)?.1;
    }
    let orders = [(Order::Newest, "Newest"), (Order::Visits, "Most visited"), (Order::Name, "By name")];
    let orders = orders.into_iter().map(|(order, label)| {
        Ok(Way { label: label.to_owned(), url: Some(search.url(urls, order, 1)?), current: order == search.order })
    });
    let orders = orders.collect::<Result<Vec<_>, Error>>()?;
    let suggestion = slug(&search.text).ok().filter(|_| total == 0);
    Ok(Page::new(
        "home.html",
        json!({
            "member": member,
            "links": links,
            "total": total,
            "errors": errors,
            "suggestion": suggestion,
            "base": asked.base,
            "fields": proposal,
            "q": search.text,
            "order": search.order.name(),
            "orders": orders,
            "page": search.page,
            "pages": pages,
            "previous": (search.page > 1).then(|| search.url(urls, search.order, search.page - 1)).transpose()?,
            "next": (search.page < pages).then(|| search.url(urls, search.order, search.page + 1)).transpose()?,
            "pager": pager(&search, urls, pages)?,
        }),
    ))
}

/// The path of a form that is filled in already: what somebody wrote is not lost when they have to log in.
fn filled(urls: &Urls, name: &str, slug_of: Option<&str>, proposal: &Proposal) -> Result<String, Error> {
    let slug_of = slug_of.unwrap_or_default();
    let mut values: Vec<(&str, &dyn std::fmt::Display)> = Vec::new();
    if name == "edit" {
        values.push(("slug", &slug_of));
        values.push(("name", &proposal.slug));
    } else {
        values.push(("slug", &proposal.slug));
    }
    values.extend([("target", &proposal.target as &dyn std::fmt::Display), ("title", &proposal.title)]);
    let mount = urls.path("/").to_string();
    let url = urls.url_for(name, &values)?.to_string();
    Ok(url.strip_prefix(mount.trim_end_matches('/')).unwrap_or("/").to_owned())
}

/// Makes a link.
pub(crate) fn create(
    State(site): State<Site>,
    member: Result<Member, Error>,
    fields: Fields,
    session: Session,
    asked: Asked,
) -> Result<Response, Error> {
    let proposal = Proposal::of_fields(&fields);
    let member = match member {
        Err(error) if is_login(&error) => {
            return Err(log_in_first(&asked.urls, &filled(&asked.urls, "home", None, &proposal)?));
        }
        member => member?,
    };
    let again =
        |status, errors: &FieldErrors| Ok((status, list(&site, &member, &asked, &proposal, errors)?).into_response());
    let draft = match proposal.check() {
        Ok(draft) => draft,
        Err(errors) => return again(Status::UNPROCESSABLE_CONTENT, &errors),
    };
    match site.store.create(&draft, &member.0)? {
        Change::Done => {
            session.flash(format!("Created: {}", asked.short_url(&draft.slug)))?;
            Ok(Redirect::route("home", &[]).into_response())
        }
        _ => again(Status::CONFLICT, &taken(&draft.slug)),
    }
}

fn taken(slug: &str) -> FieldErrors {
    let mut errors = FieldErrors::new();
    errors.add("slug", format!("“{slug}” is taken. Please choose another name."));
    errors
}

/// A link and what is known of it.
pub(crate) fn show(
    State(site): State<Site>,
    Member(member): Member,
    Path(slug): Path<String>,
    asked: Asked,
) -> Result<Response, Error> {
    match site.store.find(&slug)? {
        Some(link) => {
            Ok(Page::new("link.html", json!({ "member": member, "link": link, "base": asked.base })).into_response())
        }
        None => Ok(missing(Some(&member), &slug, &asked, &Proposal::default())),
    }
}

/// The form to change a link.
pub(crate) fn edit(
    State(site): State<Site>,
    Member(member): Member,
    Path(slug): Path<String>,
    asked: Asked,
) -> Result<Response, Error> {
    let Some(link) = site.store.find(&slug)? else {
        return Ok(missing(Some(&member), &slug, &asked, &Proposal::default()));
    };
    let filled = asked.query.get("target").map(|_| Proposal {
        slug: asked.query.get("name").unwrap_or_default().to_owned(),
        ..Proposal::of_fields(&asked.query)
    });
    let proposal = filled.unwrap_or_else(|| Proposal::of_link(&link));
    Ok(edit_page(&member, &link, &asked, &proposal, &FieldErrors::new()).into_response())
}

fn edit_page(member: &str, link: &Link, asked: &Asked, proposal: &Proposal, errors: &FieldErrors) -> Page {
    let revision = link.revision;
    Page::new(
        "edit.html",
        json!({ "member": member, "link": link, "revision": revision, "errors": errors, "base": asked.base, "fields": proposal }),
    )
}

/// Changes a link.
pub(crate) fn update(
    State(site): State<Site>,
    member: Result<Member, Error>,
    Path(old): Path<String>,
    fields: Fields,
    session: Session,
    asked: Asked,
) -> Result<Response, Error> {
    let proposal = Proposal::of_fields(&fields);
    let Member(member) = match member {
        Err(error) if is_login(&error) => {
            return Err(log_in_first(&asked.urls, &filled(&asked.urls, "edit", Some(&old), &proposal)?));
        }
        member => member?,
    };
    let Some(link) = site.store.find(&old)? else {
        return Ok(missing(Some(&member), &old, &asked, &proposal));
    };
    let again = |status, errors: &FieldErrors| {
        Ok((status, edit_page(&member, &link, &asked, &proposal, errors)).into_response())
    };
    // An emptied name is the old one; a random one would be a surprise.
    let named = Proposal {
        slug: if proposal.slug.trim().is_empty() { old.clone() } else { proposal.slug.clone() },
        ..proposal.clone()
    };
    let draft = match named.check() {
        Ok(draft) => draft,
        Err(errors) => return again(Status::UNPROCESSABLE_CONTENT, &errors),
    };
    // Without the field it is whatever there is: a program that does not care.
    let revision = fields.get("revision").and_then(|text| text.parse().ok()).unwrap_or(link.revision);
    match site.store.update(&old, revision, &draft, &member)? {
        Change::Done => {
            session.flash(format!("Saved: {}", asked.short_url(&draft.slug)))?;
            Ok(Redirect::route("link", &[("slug", &draft.slug)]).into_response())
        }
        Change::Taken => again(Status::CONFLICT, &taken(&draft.slug)),
        Change::Gone => Ok(missing(Some(&member), &old, &asked, &proposal)),
        Change::Stale => {
            let mut errors = FieldErrors::new();
            let by = link.changed_by.as_deref().unwrap_or("Somebody else");
            errors.add("form", format!("{by} has changed this link meanwhile. Save again to replace that by yours."));
            again(Status::CONFLICT, &errors)
        }
    }
}

/// Deletes a link.
pub(crate) fn delete(
    State(site): State<Site>,
    _member: Member,
    Path(slug): Path<String>,
    session: Session,
    asked: Asked,
) -> Result<Redirect, Error> {
    let short = asked.short_url(&slug);
    session.flash(match site.store.delete(&slug)? {
        true => format!("Deleted: {short}"),
        false => format!("There was no link {short} any more."),
    })?;
    Ok(Redirect::route("home", &[]))
}

/// Follows a link and counts it.
pub(crate) fn follow(
    State(site): State<Site>,
    Path(name): Path<String>,
    session: Session,
    asked: Asked,
) -> Result<Response, Error> {
    let found = find(&site, &name)?;
    if let Some(link) = &found
        && let Err(error) = site.visits.count(link.id, |counts| site.store.count_visits(counts))
    {
        // It is counted with the next one. That is no reason to keep somebody from where they want to go.
        asked.errors.write(&format!("links: a visit of {name:?} is not counted yet: {error:?}\n"));
    }
    answer(&site, found, &name, &session, &asked)
}

/// The same for those who only look (HEAD), and are not counted: previews and link checkers.
pub(crate) fn peek(
    State(site): State<Site>,
    Path(name): Path<String>,
    session: Session,
    asked: Asked,
) -> Result<Response, Error> {
    answer(&site, find(&site, &name)?, &name, &session, &asked)
}

fn find(site: &Site, name: &str) -> Result<Option<Link>, Error> {
    match slug(name) {
        Ok(slug) => site.store.find(&slug),
        Err(_) => Ok(None),
    }
}

fn answer(site: &Site, link: Option<Link>, name: &str, session: &Session, asked: &Asked) -> Result<Response, Error> {
    match link {
        Some(link) => {
            let response = Redirect::external(link.target).into_response().with_status(Status::FOUND);
            // Else the next visit would not come here, and where it leads could not be changed.
            Ok(response.with_header("Cache-Control", "no-store"))
        }
        None => {
            let member = of_session(session, site)?;
            Ok(missing(member.as_deref(), name, asked, &Proposal::default()))
        }
    }
}

/// 404 with the offer to make the link.
fn missing(member: Option<&str>, name: &str, asked: &Asked, proposal: &Proposal) -> Response {
    let suggestion = slug(name).ok();
    // Nobody reads the rest of what a broken link has for a name.
    let name = match name.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    };
    let values =
        json!({ "member": member, "name": name, "suggestion": suggestion, "base": asked.base, "fields": proposal });
    (Status::NOT_FOUND, Page::new("missing.html", values)).into_response()
}

/// Any other error, as a page, or as problem details for programs.
pub(crate) fn error(request: &mut Request<Site>, error: &Error) -> Response {
    if is_login(error) {
        return Status::SEE_OTHER.into_response(); // to the login page: the header comes from the error
    }
    if request.path().starts_with("/api/") {
        return api::problem(error.status(), error.message(), None);
    }
    if request.prefers(&["text/html", "text/plain"]) != Some("text/html") {
        return format!("{}\n{}\n", error.status(), error.message())
            .into_response()
            .with_status(error.status().clone());
    }
    // The name in the session is not looked up: if the database is what fails, the page still comes.
    let session = request.environ().extensions().get::<Session>();
    let member: Option<String> = session.and_then(|session| session.get("login"));
    let values = json!({ "member": member, "code": error.status().code(), "reason": error.status().reason(), "message": error.message() });
    Page::new("error.html", values).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_search_of_a_query() {
        let of = |query: &str| Search::of(&Fields::parse_text(query));
        let search = of("q=+wiki+&order=visits&page=3");
        assert_eq!((search.text.as_str(), search.order, search.page), ("wiki", Order::Visits, 3));
        for nonsense in ["", "page=0&order=x", "page=-1", "page=x", "page=99999999999999999999"] {
            assert_eq!((of(nonsense).order, of(nonsense).page), (Order::Newest, 1), "{nonsense}");
        }
    }
}
