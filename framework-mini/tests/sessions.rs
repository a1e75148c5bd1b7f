//! Sessions: kept, refused when forged, renewed, too large; and flash messages.
#![cfg(feature = "sessions")]

#[path = "../src/testing.rs"]
mod testing;

use framework_mini::middleware::{SessionError, SessionKey, Sessions};
use framework_mini::{App, Error, Redirect, Session, Site};
use testing::{TestRequest, TestResponse};

fn key(octet: u8) -> SessionKey {
    SessionKey::new(&[octet; 32]).unwrap()
}

fn site() -> Site<()> {
    App::new(())
        .get("/", |session: Session| format!("{:?} {:?}", session.get::<u64>("user"), session.take_flashes()))
        .get("/plain", || "no session")
        .post("/login", |session: Session| -> Result<Redirect, Error> {
            session.clear();
            session.set("user", 7)?;
            session.flash("Hello!")?;
            session.flash("Twice.")?;
            Ok(Redirect::to("/"))
        })
        .post("/logout", |session: Session| session.clear())
        .post("/big", |session: Session| -> Result<(), Error> {
            session.set("user", 8)?;
            session.set("big", "x".repeat(4000))?;
            Ok(())
        })
        .post("/caught", |session: Session| match session.set("big", "x".repeat(4000)) {
            Err(SessionError::TooLarge { size }) => format!("{size} {:?}", session.get::<String>("big")),
            _ => "fits".to_owned(),
        })
        .build()
        .unwrap()
}

/// The cookie that a response sets, as a client sends it back.
fn cookie(response: &TestResponse) -> String {
    response.header("Set-Cookie").unwrap().split(';').next().unwrap().to_owned()
}

fn get(site: &Sessions<Site<()>>, path: &str, cookie: &str) -> TestResponse {
    TestRequest::get(path).header("Cookie", cookie).send(site)
}

fn post(site: &Sessions<Site<()>>, path: &str, cookie: &str) -> TestResponse {
    TestRequest::post(path, "text/plain", "").header("Cookie", cookie).send(site)
}

#[test]
fn logging_in_and_out() {
    let site = Sessions::new(site(), key(1));
    let new = get(&site, "/", "");
    assert_eq!((new.text().as_str(), new.header("Set-Cookie"), new.header("Vary")), ("None []", None, Some("Cookie")));
    assert_eq!(get(&site, "/plain", "").header("Vary"), None);

    let login = post(&site, "/login", "");
    let set = login.header("Set-Cookie").unwrap();
    assert!(set.starts_with("session=") && set.ends_with("; Path=/; Max-Age=1209600; SameSite=Lax; HttpOnly"), "{set}");
    assert_eq!(login.header("Cache-Control"), Some("no-store"));
    let first = get(&site, "/", &cookie(&login));
    assert_eq!(first.text(), "Some(7) [\"Hello!\", \"Twice.\"]");
    // The messages are gone from the next cookie; without a change there is no cookie.
    let second = get(&site, "/", &cookie(&first));
    assert_eq!((second.text().as_str(), second.header("Set-Cookie")), ("Some(7) []", None));
    let logout = post(&site, "/logout", &cookie(&first));
    assert!(logout.header("Set-Cookie").unwrap().starts_with("session=; Path=/; Max-Age=0"));
}

/// F08: whatever is not exactly what was signed is no session, and no error either.
#[test]
fn forged_cookies_are_no_session() {
    let signed = Sessions::new(site(), key(1));
    let good = cookie(&post(&signed, "/login", ""));
    assert!(get(&signed, "/", &good).text().starts_with("Some(7)"));
    let (payload, signature) = good.rsplit_once('.').unwrap();
    let mut forged = vec![
        payload.to_owned(),
        format!("{payload}."),
        format!("{payload}.{}", &signature[..20]),
        format!("session=.{signature}"),
        format!("{payload}x.{signature}"),
        "session=".to_owned(),
        "session=..".to_owned(),
        "session=é.é".to_owned(),
        // The same signature under another name.
        good.replace("session=", "other="),
    ];
    for index in "session=".len()..good.len() {
        let mut octets = good.clone().into_bytes();
        octets[index] = if octets[index] == b'A' { b'B' } else { b'A' };
        forged.push(String::from_utf8(octets).unwrap());
    }
    for cookie in forged {
        let response = get(&signed, "/", &cookie);
        assert_eq!((response.code(), response.text().as_str()), (200, "None []"), "{cookie}");
    }
    // Of another application, another name, or after its time.
    assert_eq!(get(&Sessions::new(site(), key(2)), "/", &good).text(), "None []");
    let renamed = Sessions::new(site(), key(1)).cookie_name("other");
    assert_eq!(get(&renamed, "/", &good.replace("session=", "other=")).text(), "None []");
    let short = Sessions::new(site(), key(1)).max_age(std::time::Duration::ZERO);
    assert_eq!(get(&short, "/", &good).text(), "None []");
}

#[test]
fn keys_can_be_changed() {
    let old = cookie(&post(&Sessions::new(site(), key(1)), "/login", ""));
    let both = Sessions::new(site(), key(2)).old_key(key(1));
    let response = get(&both, "/", &old);
    assert!(response.text().starts_with("Some(7)"));
    // What is set now is signed with the new key.
    assert!(get(&Sessions::new(site(), key(2)), "/", &cookie(&response)).text().starts_with("Some(7)"));
    assert!(matches!(SessionKey::new(&[0; 31]), Err(SessionError::ShortKey { octets: 31 })));
    assert_eq!(format!("{:?}", key(1)), "SessionKey(…)");
}

#[test]
fn what_does_not_fit_is_an_error_and_nothing_is_lost() {
    let site = Sessions::new(site(), key(1));
    let response = post(&site, "/big", "");
    assert_eq!(response.code(), 500);
    assert!(response.errors.contains("browsers keep no more than 4093"), "{}", response.errors);
    let caught = post(&site, "/caught", "");
    assert!(caught.text().ends_with(" None") && caught.header("Set-Cookie").is_none(), "{}", caught.text());
}

#[test]
fn without_the_middleware_it_says_so() {
    let response = TestRequest::get("/").send(&site());
    assert_eq!(response.code(), 500);
    assert!(response.errors.contains("put middleware::Sessions around the application"));
}
