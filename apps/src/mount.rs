//! [`Mount`]: an application below a path.

use gateway_spec::{Application, Body, Environ, Error, StartResponse, Status};

/// An application below a path; whatever is not below it is 404. Made by [`mounted`].
#[derive(Clone, Debug)]
pub struct Mount<A> {
    prefix: String,
    application: A,
}

/// Puts an application below `prefix`, which becomes its `SCRIPT_NAME` (CGI-PATH-08).
///
/// The prefix is decoded and begins with `/`; one at its end does not matter, and an empty one changes nothing.
///
/// ```
/// # use gateway_spec::{Environ, Error, StartResponse, Status};
/// fn hello(environ: &mut Environ, start_response: &mut dyn StartResponse) -> Result<String, Error> {
///     start_response.start(Status::OK, &[])?;
///     Ok(format!("{:?} {:?}", environ.script_name(), environ.path_info()))
/// }
/// let blog = apps::mounted("/blog", hello); // GET /blog/2026 answers "/blog" "/2026"
/// ```
pub fn mounted<A: Application>(prefix: &str, application: A) -> Mount<A> {
    Mount { prefix: prefix.trim_end_matches('/').to_owned(), application }
}

impl<A: Application> Application for Mount<A> {
    fn call(&self, environ: &mut Environ<'_>, start_response: &mut dyn StartResponse) -> Result<Body, Error> {
        if environ.mount(&self.prefix) {
            return self.application.call(environ, start_response);
        }
        start_response.start(Status::NOT_FOUND, &[("Content-Type", "text/plain; charset=utf-8")])?;
        Ok(format!("Not found. The application is at {}/.\n", self.prefix).into())
    }
}

#[cfg(test)]
#[path = "../testing.rs"]
mod testing;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::testing::{Ask, ask, get};
    use super::*;

    fn places(environ: &mut Environ<'_>, start_response: &mut dyn StartResponse) -> Result<String, Error> {
        start_response.start(Status::OK, &[])?;
        Ok(format!("{}|{}", environ.script_name().to_string_lossy(), environ.path_info().to_string_lossy()))
    }

    #[test]
    fn paths_below_are_the_applications_and_all_others_are_not_found() {
        for prefix in ["/x/y", "/x/y/"] {
            let app = mounted(prefix, places);
            for (target, expected) in [
                ("/x/y", Some("/x/y|")),
                ("/x/y/", Some("/x/y|/")),
                ("/x/y/z?q", Some("/x/y|/z")),
                ("/%78/y/z", Some("/x/y|/z")),
                ("/x/yz", None),
                ("/x%2Fy/", None),
                ("/", None),
            ] {
                let answer = get(&app, target);
                assert_eq!(answer.status, if expected.is_some() { 200 } else { 404 }, "{target}");
                assert_eq!(answer.header("content-type").is_some(), expected.is_none(), "{target}");
                assert_eq!(answer.text(), expected.unwrap_or("Not found. The application is at /x/y/.\n"));
            }
        }
    }

    #[test]
    fn no_prefix_changes_nothing_and_mounts_nest() {
        assert_eq!(get(&mounted("", places), "/a").text(), "|/a");
        assert_eq!(get(&mounted("/", places), "/a").text(), "|/a");
        let nested = mounted("/a", Arc::new(mounted("/b", places)) as Arc<dyn Application>);
        assert_eq!(get(&nested, "/a/b/c").text(), "/a/b|/c");
        let below = Ask { mount: "/m", method: "POST", ..Ask::default() };
        assert_eq!(ask(&nested, "/m/a/b/c", &below).text(), "/m/a/b|/c");
    }
}
