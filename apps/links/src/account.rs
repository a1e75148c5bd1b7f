//! Logging in and out, and changing one's password.

use framework_mini::{Error, FieldErrors, Fields, IntoResponse, Page, Redirect, Response, Session, State, Status};
use serde_json::json;

use crate::Site;
use crate::access::{self, Asked, Member, log_in, of_session};
use crate::password::check_new;

/// The form to log in; those who are logged in go on.
pub(crate) fn login_page(State(site): State<Site>, session: Session, asked: Asked) -> Result<Response, Error> {
    let next = asked.query.get("next").unwrap_or("/");
    match of_session(&session, &site)? {
        Some(_) => Ok(Redirect::to(next).into_response()),
        None => Ok(form("", next, "").into_response()),
    }
}

fn form(name: &str, next: &str, error: &str) -> Page {
    Page::new("login.html", json!({ "member": null, "name": name, "next": next, "error": error }))
}

/// Logs in.
pub(crate) fn submit(
    State(site): State<Site>,
    fields: Fields,
    session: Session,
    asked: Asked,
) -> Result<Response, Error> {
    let field = |name| fields.get(name).unwrap_or_default();
    let (name, next) = (field("name").trim(), field("next"));
    match site.authenticate(&asked.client, name, field("password"))? {
        // A path of this application, whatever the field says.
        Ok(Some(version)) if log_in(&session, &site, name, version)? => Ok(Redirect::to(next).into_response()),
        Ok(_) => {
            let again = form(name, next, "Name or password is wrong.");
            Ok((Status::UNPROCESSABLE_CONTENT, again).into_response())
        }
        Err(refused) => {
            let again = form(name, next, &refused.message()).into_response();
            let status = Error::from(refused).status().clone();
            Ok(again.with_status(status).with_header("Retry-After", refused.seconds().to_string()))
        }
    }
}

/// Logs out.
pub(crate) fn log_out(State(site): State<Site>, session: Session) -> Result<Redirect, Error> {
    access::log_out(&session, &site)?;
    session.flash("You are logged out.")?;
    Ok(Redirect::route("login", &[]))
}

/// The form to change one's password.
pub(crate) fn page(Member(member): Member, asked: Asked) -> Page {
    account(&member, &asked, &FieldErrors::new())
}

fn account(member: &str, asked: &Asked, errors: &FieldErrors) -> Page {
    Page::new("account.html", json!({ "member": member, "errors": errors, "base": asked.base }))
}

/// Changes one's password, which ends all other sessions of this login.
pub(crate) fn change_password(
    State(site): State<Site>,
    Member(member): Member,
    fields: Fields,
    session: Session,
    asked: Asked,
) -> Result<Response, Error> {
    let (current, new) = (fields.get("current").unwrap_or_default(), fields.get("new").unwrap_or_default());
    let mut errors = FieldErrors::new();
    let mut status = Status::UNPROCESSABLE_CONTENT;
    if let Err(message) = check_new(new) {
        errors.add("new", message);
    } else {
        match site.authenticate(&asked.client, &member, current)? {
            Ok(Some(_)) => {}
            Ok(None) => errors.add("current", "This is not your password."),
            Err(refused) => {
                status = Error::from(refused).status().clone();
                errors.add("current", refused.message());
            }
        }
    }
    if !errors.is_empty() {
        return Ok((status, account(&member, &asked, &errors)).into_response());
    }
    let version = site.store.set_password(&member, &site.gate.hash(new)?)?;
    // If it was changed once more in this moment, everybody has to log in, and this browser too.
    log_in(&session, &site, &member, version)?;
    session.flash("Your password is changed. Other browsers have to log in again.")?;
    Ok(Redirect::route("account", &[]).into_response())
}
