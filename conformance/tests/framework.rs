//! The test client of this crate and an application of the framework: what a user writes to test their own.

use conformance::inprocess::Client;
use framework_mini::middleware::{SessionKey, Sessions};
use framework_mini::{App, Error, Fields, Path, Redirect, Session, Status};

#[test]
fn three_lines() {
    let site = App::new(()).get("/hello/{name}", |Path(name): Path<String>| format!("Hello, {name}!")).build().unwrap();

    let client = Client::new(site);
    let response = client.get("/hello/Ada").send();
    assert_eq!((response.status, response.text().as_str()), (200, "Hello, Ada!"));
}

/// A form, a redirect, a session: followed as a browser would, wherever the application is mounted.
#[test]
fn a_visit() {
    let greet = |session: Session| match session.get::<String>("name") {
        Some(name) => Ok(format!("Hello, {name}!")),
        None => Err(Error::new(Status::UNAUTHORIZED, "Who are you?").with_header("WWW-Authenticate", "Form")),
    };
    let enter = |session: Session, form: Fields| -> Result<Redirect, Error> {
        session.set("name", form.get("name"))?;
        Ok(Redirect::to("/"))
    };
    for prefix in ["", "/x/y"] {
        let site = App::new(()).get("/", greet).post("/enter", enter).build().unwrap();
        let site = Sessions::new(site, SessionKey::new(&[7; 32]).unwrap());
        let client = Client::new(site).mounted(prefix).cookies().redirects(3);
        assert_eq!(client.get("/").send().status, 401);
        let response = client.post("/enter").form(&[("name", "Ada & Bob")]).send();
        assert_eq!((response.status, response.text().as_str()), (200, "Hello, Ada & Bob!"), "{prefix}");
        // Kept for the next request, and for this application only.
        assert_eq!(client.get("/").send().text(), "Hello, Ada & Bob!");
        assert!(client.cookie("session").is_some());
    }
}
