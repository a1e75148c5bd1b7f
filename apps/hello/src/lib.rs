//! The contract in three forms: an application is a function, a closure or a struct; its body is a block, an iterator
//! or a type of your own.
//!
//! [`app`] is the smallest one, the function: any server serves it as it is.
//!
//! ```
//! # struct Server;
//! # impl Server {
//! #     fn bind(_: &str) -> std::io::Result<Self> { Ok(Self) }
//! #     fn serve(&self, _: impl gateway_spec::Application + 'static) -> std::io::Result<()> { Ok(()) }
//! # }
//! fn main() -> std::io::Result<()> {
//!     Server::bind("127.0.0.1:8000")?.serve(hello::app) // of server_threaded, server_mio, …
//! }
//! ```
//!
//! [`forms`] has all three behind paths of their own:
//!
//! | path | the application | its body |
//! |---|---|---|
//! | `/` | the function [`app`] | one block that is always there |
//! | `/closure` | a closure that owns a counter | a `Vec<u8>` |
//! | `/struct?name=Ada` | a struct with state | a type of its own, [`Blocks`] |
//! | `/iterator` | a function | an iterator of unknown length |

use std::sync::atomic::{AtomicU64, Ordering};

use gateway_spec::{Application, Blocks, Body, Bytes, Environ, Error, StartResponse, Status, app_fn, percent_decode};

const TEXT: &[(&str, &str)] = &[("Content-Type", "text/plain; charset=utf-8")];

/// A function as an application: the first one everybody writes. Says hello, whatever was asked.
///
/// # Errors
/// None of its own; those of `start_response`.
pub fn app(_environ: &mut Environ<'_>, start_response: &mut dyn StartResponse) -> Result<&'static str, Error> {
    start_response.start(Status::OK, TEXT)?;
    Ok("Hello, world!")
}

/// All forms of the [table](crate) in one application, each new one with a counter of its own.
#[must_use]
pub fn forms() -> impl Application + 'static {
    let closure = visitors();
    let greeter = Greeter { greeting: "Hello".to_owned() };
    app_fn(move |environ, start_response| {
        let form: &dyn Application = match environ.path_info().as_bytes() {
            b"" | b"/" => &app,
            b"/closure" => &closure,
            b"/struct" => &greeter,
            b"/iterator" => &iterator,
            _ => &not_found,
        };
        form.call(environ, start_response)
    })
}

/// A closure as an application: it owns its counter. Many threads call it at once, hence an atomic one.
fn visitors() -> impl Application {
    let visitors = AtomicU64::new(0);
    app_fn(move |_environ, start_response| {
        let visitor = visitors.fetch_add(1, Ordering::Relaxed) + 1;
        start_response.start(Status::OK, TEXT)?;
        Ok(format!("You are visitor {visitor}").into_bytes())
    })
}

/// A struct as an application: its fields are its configuration.
struct Greeter {
    greeting: String,
}

impl Application for Greeter {
    fn call(&self, environ: &mut Environ<'_>, start_response: &mut dyn StartResponse) -> Result<Body, Error> {
        let name = parameter(environ.query_string(), "name").unwrap_or_else(|| "stranger".to_owned());
        start_response.start(Status::OK, TEXT)?;
        Ok(Body::from_blocks(Greeting { first: Some(format!("{}, ", self.greeting)), second: Some(name) }))
    }
}

/// A type of its own as a body: two blocks, of which the length is known, so that the response has a `Content-Length`.
struct Greeting {
    first: Option<String>,
    second: Option<String>,
}

impl Blocks for Greeting {
    fn next(&mut self, _: &mut dyn StartResponse) -> Option<Result<Bytes, Error>> {
        let block = self.first.take().or_else(|| self.second.take())?;
        Some(Ok(block.into()))
    }

    fn remaining(&self) -> Option<u64> {
        let length = |block: &Option<String>| block.as_ref().map_or(0, String::len) as u64;
        Some(length(&self.first) + length(&self.second))
    }
}

/// An iterator as a body: nobody knows how long it will be, so HTTP/1.1 sends it in chunks.
fn iterator(_: &mut Environ<'_>, start_response: &mut dyn StartResponse) -> Result<Body, Error> {
    start_response.start(Status::OK, TEXT)?;
    Ok(Body::blocks(["Hello", ", ", "world", "!"]))
}

fn not_found(_: &mut Environ<'_>, start_response: &mut dyn StartResponse) -> Result<&'static str, Error> {
    start_response.start(Status::NOT_FOUND, TEXT)?;
    Ok("Not found. There are /, /closure, /struct?name=Ada and /iterator.\n")
}

/// The first parameter of this name in a query, decoded as forms encode it; what is not UTF-8 becomes U+FFFD.
fn parameter(query: &str, name: &str) -> Option<String> {
    let decode = |text: &str| {
        let text = text.replace('+', " ");
        percent_decode(&text).map(|octets| String::from_utf8_lossy(&octets).into_owned()).unwrap_or(text)
    };
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(key) == name).then(|| decode(value))
    })
}

#[cfg(test)]
#[path = "../../testing.rs"]
mod testing;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;
    use std::thread;

    use super::testing::{Ask, ask, get};
    use super::*;

    #[test]
    fn the_function_is_an_application() {
        let answer = get(&app, "/whatever");
        assert_eq!((answer.status, answer.text().as_str()), (200, "Hello, world!"));
        assert_eq!(answer.length, Some(13), "HEAD can tell the length");
    }

    #[test]
    fn each_form_answers_at_its_path() {
        let forms = forms();
        for (target, text, length) in [
            ("/", "Hello, world!", Some(13)),
            ("/closure", "You are visitor 1", Some(17)),
            ("/closure", "You are visitor 2", Some(17)),
            ("/struct", "Hello, stranger", Some(15)),
            ("/struct?name=Ada", "Hello, Ada", Some(10)),
            ("/iterator", "Hello, world!", None),
        ] {
            let answer = get(&forms, target);
            assert_eq!((answer.status, answer.text().as_str()), (200, text), "{target}");
            assert_eq!(answer.length, length, "{target}");
            assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
        }
        for target in ["/no", "/closure/", "//", "/Struct"] {
            assert_eq!(get(&forms, target).status, 404, "{target}");
        }
    }

    #[test]
    fn mounted_it_answers_the_same() {
        let mounted = Ask { mount: "/x/y", ..Ask::default() };
        let forms = forms();
        for target in ["/x/y", "/x/y/"] {
            assert_eq!(ask(&forms, target, &mounted).text(), "Hello, world!");
        }
        assert_eq!(ask(&forms, "/x/y/struct?name=Bo", &mounted).text(), "Hello, Bo");
    }

    #[test]
    fn names_are_text_whatever_they_are() {
        for (query, name) in [
            ("name=%ff", "\u{fffd}"),
            ("name=<b>", "<b>"),
            ("name=Ada+Lovelace&name=second", "Ada Lovelace"),
            ("other=1&name=G%C3%B6del", "Gödel"),
            ("n%61me=x", "x"),
            ("name=100%", "100%"),
            ("name=a=b", "a=b"),
            ("name", ""),
            ("", "stranger"),
            ("&&=&surname=x", "stranger"),
        ] {
            assert_eq!(get(&forms(), &format!("/struct?{query}")).text(), format!("Hello, {name}"), "{query}");
        }
    }

    #[test]
    fn fifty_visitors_at_once_are_counted_once_each() {
        let forms = Arc::new(forms());
        let threads: Vec<_> = (0..50)
            .map(|_| {
                let forms = Arc::clone(&forms);
                thread::spawn(move || get(&forms, "/closure").text())
            })
            .collect();
        let said: BTreeSet<_> = threads.into_iter().map(|thread| thread.join().expect("no panic")).collect();
        let expected: BTreeSet<_> = (1..=50).map(|visitor| format!("You are visitor {visitor}")).collect();
        assert_eq!(said, expected);
    }
}
