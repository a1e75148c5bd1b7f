//! Who asks: what handlers take from a request beside its form.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use framework_mini::{Error, Fields, FromRequest, Request, Session, Status, Urls};
use gateway_spec::Errors;

use crate::Site;
use crate::password::Refused;

/// Under these names the cookie has who has logged in, and the number of that session in the database.
const LOGIN: &str = "login";
const NUMBER: &str = "number";

/// Begins a session, and ends that of before; `false` if the password has another version by now.
pub(crate) fn log_in(session: &Session, site: &Site, name: &str, version: i64) -> Result<bool, Error> {
    log_out(session, site)?;
    let Some(number) = site.store.begin_session(name, version)? else { return Ok(false) };
    session.set(LOGIN, name)?;
    session.set(NUMBER, number)?;
    Ok(true)
}

/// Ends a session, also for whoever has copied its cookie.
pub(crate) fn log_out(session: &Session, site: &Site) -> Result<(), Error> {
    if let Some(number) = session.get(NUMBER) {
        site.store.end_session(number)?;
    }
    session.clear();
    Ok(())
}

/// The login of a session that has not ended.
pub(crate) fn of_session(session: &Session, site: &Site) -> Result<Option<String>, Error> {
    match session.get(NUMBER) {
        Some(number) => site.store.session(number),
        None => Ok(None),
    }
}

/// Somebody who has logged in; everybody else is sent to the login page, and from there back.
#[derive(Clone, Debug)]
pub(crate) struct Member(pub(crate) String);

impl FromRequest<Site> for Member {
    fn from_request(request: &mut Request<Site>) -> Result<Self, Error> {
        let session = Session::from_request(request)?;
        if let Some(name) = of_session(&session, request.state())? {
            return Ok(Self(name));
        }
        let next = match request.method() {
            "GET" | "HEAD" => {
                let environ = request.environ();
                let query = environ.query_string();
                format!("{}{}{query}", environ.raw_path_info(), if query.is_empty() { "" } else { "?" })
            }
            _ => "/".to_owned(),
        };
        Err(log_in_first(&request.urls(), &next))
    }
}

/// The way to the login page and then to `next`, a path of this application.
pub(crate) fn log_in_first(urls: &Urls, next: &str) -> Error {
    // Two encodings make it long, and a server takes only so much: what is too long is left out.
    let next = if next.len() > 2000 { "/" } else { next };
    match urls.url_for("login", &[("next", &next)]) {
        Ok(url) => Error::new(Status::SEE_OTHER, "Please log in.").with_header("Location", url.to_string()),
        Err(error) => error,
    }
}

/// Whether an error is the way to the login page.
pub(crate) fn is_login(error: &Error) -> bool {
    error.status() == &Status::SEE_OTHER
}

/// Somebody who has logged in, or a program that sends name and password each time (RFC 7617).
#[derive(Clone, Debug)]
pub(crate) struct ApiMember(pub(crate) String);

impl FromRequest<Site> for ApiMember {
    fn from_request(request: &mut Request<Site>) -> Result<Self, Error> {
        let unknown = |message| {
            let challenge = "Basic realm=\"links\", charset=\"UTF-8\"";
            Error::new(Status::UNAUTHORIZED, message).with_header("WWW-Authenticate", challenge)
        };
        let Some(header) = request.header("authorization") else {
            let session = Session::from_request(request)?;
            let name = of_session(&session, request.state())?;
            return name.map(Self).ok_or_else(|| unknown("Send a login by Basic authentication."));
        };
        let header = header.to_string_lossy().into_owned();
        let (name, password) = credentials(&header).ok_or_else(|| unknown("This is no Basic authentication."))?;
        let client = request.environ().remote_addr();
        match request.state().authenticate(client, &name, &password)? {
            Ok(Some(_)) => Ok(Self(name)),
            Ok(None) => Err(unknown("Name or password is wrong.")),
            Err(refused) => Err(refused.into()),
        }
    }
}

fn credentials(header: &str) -> Option<(String, String)> {
    let (scheme, encoded) = header.split_once(' ')?;
    let decoded = STANDARD.decode(encoded.trim()).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
    let (name, password) = str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some((name.to_owned(), password.to_owned()))
}

impl Refused {
    /// Whole seconds after which it is worth another try.
    pub(crate) const fn seconds(self) -> u64 {
        match self {
            Self::TooManyFailures(pause) => pause.as_secs() + if pause.subsec_nanos() > 0 { 1 } else { 0 },
            Self::Busy => 1,
        }
    }

    pub(crate) fn message(self) -> String {
        match (self, self.seconds()) {
            (Self::Busy, _) => "Too many are logging in just now. Please try again.".to_owned(),
            (_, 1) => "That was wrong too often. Please wait a second.".to_owned(),
            (_, seconds) => format!("That was wrong too often. Please wait {seconds} seconds."),
        }
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        let status = match refused {
            Refused::TooManyFailures(_) => Status::TOO_MANY_REQUESTS,
            Refused::Busy => Status::SERVICE_UNAVAILABLE,
        };
        Self::new(status, refused.message()).with_header("Retry-After", refused.seconds().to_string())
    }
}

/// What pages show of the request: where it came in, and what it asks for.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// Of the root of this application, without a slash at the end.
    pub(crate) base: String,
    /// The address of the client.
    pub(crate) client: String,
    pub(crate) query: Fields,
    pub(crate) urls: Urls,
    /// For what goes wrong and need not be answered.
    pub(crate) errors: Errors,
}

impl Asked {
    /// The whole address of a link.
    pub(crate) fn short_url(&self, slug: &str) -> String {
        format!("{}/{slug}", self.base)
    }
}

impl FromRequest<Site> for Asked {
    fn from_request(request: &mut Request<Site>) -> Result<Self, Error> {
        let environ = request.environ();
        Ok(Self {
            base: environ.application_url().trim_end_matches('/').to_owned(),
            client: environ.remote_addr().to_owned(),
            query: Fields::of_query(request)?,
            urls: request.urls(),
            errors: environ.errors().clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_credentials() {
        let ada = Some(("ada".to_owned(), "a:b".to_owned()));
        assert_eq!(credentials("Basic YWRhOmE6Yg=="), ada);
        assert_eq!(credentials("bASIC  YWRhOmE6Yg== "), ada);
        for bad in ["", "Basic", "Basic !", "Bearer YWRhOmE6Yg==", "Basic YWRh", "Basic /zo="] {
            assert_eq!(credentials(bad), None, "{bad}");
        }
    }
}
