//! `links`: the first start, from outside.

use std::net::TcpListener;

use crate::on_every_server;
use crate::process::{Runner, run};

#[test]
fn the_first_start_makes_a_database_and_says_how_to_log_in() {
    on_every_server(|server| {
        let folder = std::env::temp_dir().join(format!("apps-runner-{}-links-{server}", std::process::id()));
        let home = [("HOME", "/nowhere"), ("XDG_DATA_HOME", folder.to_str().expect("UTF-8"))];
        let database = folder.join("gateway-links/links.db");

        // What is said once is said even if it cannot be served then.
        let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = taken.local_addr().expect("an address").to_string();
        let first = Runner::start_with(&["links", "--server", server, "--bind", &address], &home);
        assert_eq!(first.greeting, format!("apps: database: {}", database.display()));
        let line = first.wait_for("log in as team with the password ");
        let password = line.split("the password ").nth(1).and_then(|rest| rest.split(' ').next()).expect("a password");
        first.wait_for("in use");
        assert_eq!(first.end().code, Some(2));

        let again =
            Runner::start_with(&["links", "--server", server, "--bind", "127.0.0.1:0", "--mount", "/go"], &home);
        again.wait_for(&format!("database: {}", database.display()));
        let log_in = |password: &str| {
            let form = format!("name=team&password={password}");
            let length = form.len();
            let head = format!(
                "POST /go/login HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {length}\r\n\
                 Content-Type: application/x-www-form-urlencoded\r\n\r\n{form}"
            );
            again.ask(head.as_bytes())
        };
        assert!(log_in("a wrong guess").starts_with("HTTP/1.1 422 "));
        let answer = log_in(password);
        assert!(answer.starts_with("HTTP/1.1 303 ") && answer.contains("\r\nLocation: /go/\r\n"), "{answer}");
        drop(again);

        // Another login is made when it is asked for; its password may come as a variable, and is not printed then.
        let variables = [&home[..], &[("GATEWAY_LINKS_PASSWORD", "not to be printed")]].concat();
        let other = Runner::start_with(&["links", "--bind", "127.0.0.1:0", "--login", "ada"], &variables);
        assert!(other.wait_for("log in as ada").ends_with("with the password given"));
        drop(other);
        std::fs::remove_dir_all(&folder).expect("the folder is there");
    });
}

#[test]
fn what_links_cannot_do_is_one_clear_line_and_code_2() {
    let never = std::env::temp_dir().join(format!("apps-runner-{}-never.db", std::process::id()));
    let never = never.to_str().expect("UTF-8");
    for (args, words) in [
        (&["links"][..], "--database"),
        (&["links", "--database", "/dev/null/links.db"], "/dev/null/links.db"),
        (&["links", "--database", "/"], "the database / "),
        (&["links", "--database", concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")], "README.md cannot be used: "),
        (&["links", "--database", never, "--password", "short"], "at least 10 characters"),
        (&["links", "--database", never, "--login", "a:b"], "no colon"),
    ] {
        let output = run(args);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), error.lines().count()), (Some(2), 1), "{args:?}: {error}");
        assert!(error.contains(words), "{args:?}: {error}");
    }
    assert!(!std::path::Path::new(never).exists(), "nothing is made by a command that is wrong");
}
