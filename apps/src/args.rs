//! The command line and the environment: one table of options, from which parsing, variables and `--help` follow.

use std::ffi::OsString;
use std::fmt::Write;

use apps::values::{count, duration, size};
use apps::{Entry, Opt};
use lexopt::{Arg, Parser, ValueExt};

use crate::access_log::Format;
use crate::servers;
use crate::settings::{Proxies, Settings, address, lint, prefix, scheme};

/// What the runner was asked to do.
#[derive(Debug)]
pub(crate) enum Wish {
    Serve(Box<Settings>),
    Print(String),
}

/// One option. `--max-body` may also be given as `GATEWAY_MAX_BODY`.
struct Flag {
    short: Option<char>,
    long: &'static str,
    /// What stands for the value in the help.
    value: &'static str,
    /// What is used when nothing is given; empty if there is nothing to say.
    default: &'static str,
    help: &'static str,
    set: fn(&mut Settings, &str) -> Result<(), String>,
}

#[rustfmt::skip] // one line each, as a table
const FLAGS: &[(&str, &[Flag])] = &[
    ("Options", &[
        Flag { short: Some('s'), long: "server", value: "NAME", default: "mio", help: "the server; --list shows all", set: |s, v| put(&mut s.server, Ok(v.into())) },
        Flag { short: Some('b'), long: "bind", value: "ADDRESS", default: "127.0.0.1:8000", help: "HOST:PORT (0: any free), [IPV6]:PORT, unix:/PATH, stdin", set: |s, v| put(&mut s.bind, address(v)) },
        Flag { short: Some('t'), long: "threads", value: "N", default: "", help: "threads that serve: event loops, or of threaded the most there may be", set: |s, v| put(&mut s.threads, threads(v)) },
        Flag { short: Some('m'), long: "mount", value: "PREFIX", default: "/", help: "the path below which the application is", set: |s, v| put(&mut s.mount, prefix(v)) },
        Flag { short: Some('a'), long: "access-log", value: "FORMAT", default: "none", help: "a line per response to standard output: common, combined, json, none", set: |s, v| { s.access_log = Format::parse(v)?; Ok(()) } },
        Flag { short: None, long: "lint", value: "LEVEL", default: "none", help: "breaches of the contract to stderr: errors, warnings, remarks, none", set: |s, v| { s.lint = lint(v)?; Ok(()) } },
    ]),
    ("What applications and clients are told", &[
        Flag { short: None, long: "server-name", value: "NAME", default: "", help: "SERVER_NAME [the address bound]", set: |s, v| put(&mut s.config.server_name, Ok(v.into())) },
        Flag { short: None, long: "server-port", value: "PORT", default: "", help: "SERVER_PORT [the port bound]", set: |s, v| put(&mut s.config.server_port, count::<u16>(v).map(|port| port.to_string())) },
        Flag { short: None, long: "server-header", value: "TEXT", default: "", help: "the Server header of responses [none]", set: |s, v| put(&mut s.config.server_header, Ok(v.into())) },
        Flag { short: None, long: "url-scheme", value: "SCHEME", default: "http", help: "https, if a proxy in front speaks it", set: |s, v| put(&mut s.config.url_scheme, scheme(v)) },
        Flag { short: None, long: "trusted-proxies", value: "WHO", default: "", help: "whose X-Forwarded-For and -Proto count: how many, or networks [none]", set: |s, v| put(&mut s.trusted_proxies, Proxies::parse(v)) },
        Flag { short: None, long: "app-deadline", value: "TIME", default: "", help: "the time for an answer that applications are told [none]", set: |s, v| put(&mut s.config.app_deadline, duration(v)) },
    ]),
    ("Limits", &[
        Flag { short: None, long: "max-connections", value: "N", default: "", help: "connections at once [threaded: 1024, mio: 10240]", set: |s, v| put(&mut s.config.max_connections, count(v)) },
        Flag { short: None, long: "max-pending", value: "N", default: "128", help: "connections that wait when all are busy, else 503", set: |s, v| put(&mut s.config.max_pending, count(v)) },
        Flag { short: None, long: "max-requests-per-connection", value: "N", default: "", help: "then it is closed [no limit]", set: |s, v| put(&mut s.config.max_requests_per_connection, count(v)) },
        Flag { short: None, long: "max-body", value: "SIZE", default: "16MiB", help: "longest request body, else 413", set: |s, v| put(&mut s.config.max_body, size(v)) },
        Flag { short: None, long: "max-chunk-extensions", value: "SIZE", default: "16KiB", help: "of all chunks of a body together, else 400", set: |s, v| put(&mut s.config.max_chunk_extensions, size(v)) },
        Flag { short: None, long: "max-drain", value: "SIZE", default: "64KiB", help: "that is read of a body that nobody wanted, to keep the connection", set: |s, v| put(&mut s.config.max_drain, size(v)) },
        Flag { short: None, long: "max-linger", value: "SIZE", default: "1MiB", help: "that is read from a client that was refused", set: |s, v| put(&mut s.config.max_linger, size(v)) },
        Flag { short: None, long: "max-head", value: "SIZE", default: "32KiB", help: "longest request head, else 431", set: |s, v| put(&mut s.config.max_head, size(v)) },
        Flag { short: None, long: "max-request-line", value: "SIZE", default: "8KiB", help: "longest request line, else 414", set: |s, v| put(&mut s.config.max_request_line, size(v)) },
        Flag { short: None, long: "max-headers", value: "N", default: "100", help: "most field lines of a request, else 431", set: |s, v| put(&mut s.config.max_headers, count(v)) },
    ]),
    ("Deadlines", &[
        Flag { short: None, long: "pending-timeout", value: "TIME", default: "1s", help: "for a place when all are busy, else 503", set: |s, v| put(&mut s.config.pending_timeout, duration(v)) },
        Flag { short: None, long: "head-timeout", value: "TIME", default: "10s", help: "for a request's head, else 408", set: |s, v| put(&mut s.config.head_timeout, duration(v)) },
        Flag { short: None, long: "keep-alive-timeout", value: "TIME", default: "15s", help: "for the next request", set: |s, v| put(&mut s.config.keep_alive_timeout, duration(v)) },
        Flag { short: None, long: "body-timeout", value: "TIME", default: "30s", help: "without a byte of a body, else 408", set: |s, v| put(&mut s.config.body_timeout, duration(v)) },
        Flag { short: None, long: "write-timeout", value: "TIME", default: "30s", help: "in which a client takes nothing of a response", set: |s, v| put(&mut s.config.write_timeout, duration(v)) },
        Flag { short: None, long: "min-body-rate", value: "SIZE", default: "500B", help: "per second, of bodies both ways, on average", set: |s, v| put(&mut s.config.min_body_rate, size(v)) },
        Flag { short: None, long: "rate-grace", value: "TIME", default: "10s", help: "before that rate applies", set: |s, v| put(&mut s.config.rate_grace, duration(v)) },
        Flag { short: None, long: "linger-timeout", value: "TIME", default: "2s", help: "for a client to read why it was refused", set: |s, v| put(&mut s.config.linger_timeout, duration(v)) },
        Flag { short: None, long: "shutdown-timeout", value: "TIME", default: "30s", help: "for what is in flight after SIGTERM or SIGINT", set: |s, v| put(&mut s.config.shutdown_timeout, duration(v)) },
    ]),
];

/// Reads the arguments, without the program's name, and the environment variables that `env` finds.
///
/// A flag goes over a variable, a variable over the default.
///
/// # Errors
/// One line for the user.
pub(crate) fn parse(
    args: impl IntoIterator<Item = OsString>,
    env: impl Fn(&str) -> Option<OsString>,
) -> Result<Wish, String> {
    let mut settings = Settings::default();
    let mut app = None;
    let mut given: Vec<(&Flag, String)> = Vec::new();
    let mut help = false;
    let mut parser = Parser::from_args(args);
    while let Some(arg) = parser.next().map_err(|error| hint(error.to_string()))? {
        match arg {
            Arg::Short('h') | Arg::Long("help") => {
                help = true;
                break;
            }
            Arg::Short('l') | Arg::Long("list") => return Ok(Wish::Print(list())),
            Arg::Short('V') | Arg::Long("version") => {
                return Ok(Wish::Print(concat!("apps ", env!("CARGO_PKG_VERSION"), "\n").to_owned()));
            }
            Arg::Value(name) if app.is_none() => app = Some(text("APP", name)?),
            Arg::Value(value) => {
                let alone = options(app.as_deref()).iter().find(|option| option.positional);
                match alone.filter(|option| settings.given.raw(option.name).is_none()) {
                    Some(option) => settings.given.put(option.name, value),
                    None => return Err(hint(format!("one application at a time: what is {value:?}?"))),
                }
            }
            ref option @ (Arg::Short(_) | Arg::Long(_)) => {
                let flag = flags().find(|flag| match *option {
                    Arg::Short(short) => flag.short == Some(short),
                    Arg::Long(long) => flag.long == long,
                    Arg::Value(_) => false,
                });
                if let Some(flag) = flag {
                    let value = parser.value().map_err(|error| hint(error.to_string()))?;
                    given.push((flag, text(flag.long, value)?));
                    continue;
                }
                let own = options(app.as_deref()).iter().find(|own| *option == Arg::Long(own.name));
                let Some(own) = own else { return Err(unexpected(app.as_deref(), arg)) };
                let value = match own.value {
                    "" => parser.optional_value().unwrap_or_else(|| "yes".into()),
                    _ => parser.value().map_err(|error| hint(error.to_string()))?,
                };
                settings.given.put(own.name, value);
            }
        }
    }
    let app = match (app, env("GATEWAY_APP")) {
        (Some(app), _) => Some(app),
        (None, Some(app)) => Some(text("GATEWAY_APP", app)?),
        (None, None) => None,
    };
    if help {
        return Ok(Wish::Print(app.as_deref().and_then(apps::find).map_or_else(self::help, help_of)));
    }
    let app = app.ok_or_else(|| hint("which application?".to_owned()))?;
    if let Some(entry) = apps::find(&app) {
        for (name, value) in entry.defaults {
            let flag = flags().find(|flag| flag.long == *name);
            flag.map_or(Ok(()), |flag| (flag.set)(&mut settings, value))?;
        }
        for option in entry.options {
            if settings.given.raw(option.name).is_none()
                && let Some(value) = env(&own_variable(&app, option))
            {
                settings.given.put(option.name, value);
            }
        }
    }
    for flag in flags().filter(|flag| given.iter().all(|(known, _)| known.long != flag.long)) {
        let variable = variable(flag.long);
        if let Some(value) = env(&variable) {
            (flag.set)(&mut settings, &text(&variable, value)?).map_err(|why| format!("{variable}: {why}"))?;
        }
    }
    for (flag, value) in given {
        (flag.set)(&mut settings, &value).map_err(|why| format!("--{}: {why}", flag.long))?;
    }
    settings.app = app;
    Ok(Wish::Serve(Box::new(settings)))
}

/// The options of an application, if it has any.
fn options(app: Option<&str>) -> &'static [Opt] {
    app.and_then(apps::find).map_or(&[], |entry| entry.options)
}

/// An option that nobody knows, at least not where it stands.
fn unexpected(app: Option<&str>, arg: Arg<'_>) -> String {
    let owner = apps::all().iter().find(|entry| entry.options.iter().any(|own| arg == Arg::Long(own.name)));
    match owner {
        Some(entry) if app.is_none() => hint(format!("options of {} come after its name", entry.name)),
        _ => hint(arg.unexpected().to_string()),
    }
}

fn flags() -> impl Iterator<Item = &'static Flag> {
    FLAGS.iter().flat_map(|(_, flags)| flags.iter())
}

fn put<T>(place: &mut Option<T>, value: Result<T, String>) -> Result<(), String> {
    *place = Some(value?);
    Ok(())
}

fn threads(text: &str) -> Result<usize, String> {
    match count(text)? {
        0 => Err("0 threads would serve nobody".to_owned()),
        threads => Ok(threads),
    }
}

fn text(name: &str, value: OsString) -> Result<String, String> {
    value.string().map_err(|_| format!("{name}: the value is not UTF-8"))
}

fn variable(long: &str) -> String {
    format!("GATEWAY_{}", long.to_ascii_uppercase().replace('-', "_"))
}

fn own_variable(app: &str, option: &Opt) -> String {
    variable(&format!("{app}-{}", option.name))
}

fn hint(error: String) -> String {
    format!("{error} (--help tells how, --list what there is)")
}

fn help() -> String {
    let mut help = "Serves an application of this workspace on one of its servers.\n\n\
        Usage: apps [OPTIONS] APP\n       apps --list | --help | --version\n"
        .to_owned();
    for (title, flags) in FLAGS {
        let _ = write!(help, "\n{title}:\n"); // a String takes everything
        for Flag { short, long, value, default, help: text, .. } in *flags {
            let short = short.map_or_else(|| "    ".to_owned(), |short| format!("-{short}, "));
            line(&mut help, &format!("{short}--{long} {value}"), text, default);
        }
    }
    help.push_str(
        "\nIn brackets is the default. Each option can be given as a variable too: --max-body as\n\
         GATEWAY_MAX_BODY, APP as GATEWAY_APP; the option goes over the variable.\n\
         Sizes: 1000, 64KiB, 16M. Times: 30s, 500ms, 2m.\n\
         Applications have options of their own: apps APP --help.\n\
         With --bind stdin, standard input is a socket that listens already, as systemd can hand it over.\n\
         SIGTERM and SIGINT finish what is in flight; a second one stops now.\n",
    );
    help
}

/// One option in a help.
fn line(help: &mut String, flag: &str, text: &str, default: &str) {
    let default = if default.is_empty() { String::new() } else { format!(" [{default}]") };
    let gap = if flag.len() > 30 { format!("\n{:32}", "") } else { String::new() };
    let _ = writeln!(help, "  {flag:30}{gap} {text}{default}");
}

/// The help of one application.
fn help_of(entry: &Entry) -> String {
    let Entry { name, summary, options, defaults, .. } = entry;
    let alone = options.iter().find(|option| option.positional).map_or(String::new(), |o| format!(" [{}]", o.value));
    let mut help = format!("{name}: {summary}.\n\nUsage: apps {name} [OPTIONS]{alone}\n");
    if !options.is_empty() {
        help.push_str("\nOptions of its own:\n");
        for Opt { name, value, default, help: text, positional } in *options {
            let flag = format!("    --{name} {value}");
            line(&mut help, flag.trim_end(), text, default);
            if *positional {
                let _ = writeln!(help, "{:33}{value} alone does too, without --{name}", "");
            }
        }
        let _ = writeln!(
            help,
            "\nIn brackets is the default. Each can be given as a variable too: --{} as {}.",
            options[0].name,
            own_variable(name, &options[0]),
        );
    }
    if !defaults.is_empty() {
        let defaults: Vec<_> = defaults.iter().map(|(name, value)| format!("--{name} {value}")).collect();
        let _ = writeln!(help, "\nUnless told otherwise, it runs with {}.", defaults.join(" "));
    }
    let _ = writeln!(help, "\nWhere it listens, what server it runs on, limits and logs: apps --help.");
    help
}

fn list() -> String {
    let mut list = "Applications:\n".to_owned();
    for entry in apps::all() {
        let _ = writeln!(list, "  {:10} {}", entry.name, entry.summary);
    }
    list.push_str("\nServers:\n");
    for server in servers::ALL {
        let _ = writeln!(list, "  {:10} {}", server.name, server.summary);
    }
    list
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn read(line: &str, env: &[(&str, &str)]) -> Result<Settings, String> {
        let env = |name: &str| env.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into());
        match parse(line.split_whitespace().map(OsString::from), env)? {
            Wish::Serve(settings) => Ok(*settings),
            Wish::Print(text) => Err(text),
        }
    }

    #[test]
    fn a_flag_goes_over_a_variable_over_the_default() {
        let env = [("GATEWAY_BIND", "[::1]:1"), ("GATEWAY_MAX_BODY", "1K"), ("GATEWAY_APP", "stream")];
        let settings = read("--bind unix:/x", &env).unwrap();
        assert_eq!((settings.app.as_str(), settings.bind.as_deref()), ("stream", Some("unix:/x")));
        assert_eq!((settings.config.max_body, settings.config.max_head), (Some(1024), None));
        assert_eq!(read("hello", &env).unwrap().app, "hello");
        let overridden = read("hello --max-body 2K", &[("GATEWAY_MAX_BODY", "nonsense")]);
        assert_eq!(overridden.unwrap().config.max_body, Some(2048));
    }

    #[test]
    fn options_are_taken_in_every_usual_form() {
        let settings = read("-s mio -t4 --mount=/x/ hello --access-log json --head-timeout 1.5s", &[]).unwrap();
        assert_eq!((settings.app.as_str(), settings.server.as_deref()), ("hello", Some("mio")));
        assert_eq!((settings.threads, settings.mount.as_deref()), (Some(4), Some("/x")));
        assert_eq!(settings.config.head_timeout, Some(Duration::from_millis(1500)));
    }

    #[test]
    fn what_is_wrong_is_named_in_one_line() {
        for (line, words) in [
            ("", "which application?"),
            ("hello stream", "one application at a time"),
            ("hello --nonsense", "invalid option '--nonsense'"),
            ("hello -x", "invalid option '-x'"),
            ("hello --bind", "missing argument"),
            ("hello --bind 8000", "--bind: \"8000\" is no address; write 127.0.0.1:8000, [::1]:8000, unix:/PATH"),
            ("hello --max-body lots", "--max-body: \"lots\" is not a size"),
            ("hello --threads 0", "--threads: 0 threads"),
            ("hello --trusted-proxies nginx", "--trusted-proxies: \"nginx\" is not a network such as `10.0.0.0/8`"),
            ("hello --mount x", "--mount: \"x\" does not begin with /"),
            ("hello --access-log xml", "--access-log: \"xml\""),
            ("hello --head-timeout soon", "--head-timeout: \"soon\" is not a time"),
            ("hello --server-port 65536", "--server-port: \"65536\""),
        ] {
            let error = read(line, &[]).unwrap_err();
            assert!(error.contains(words) && !error.contains('\n'), "{line}: {error}");
        }
        let error = read("hello", &[("GATEWAY_RATE_GRACE", "x")]).unwrap_err();
        assert!(error.starts_with("GATEWAY_RATE_GRACE: \"x\" is not a time"), "{error}");
    }

    #[test]
    fn help_names_every_option_in_lines_that_fit() {
        let help = read("--help", &[("GATEWAY_BIND", "")]).unwrap_err();
        for flag in flags() {
            assert!(help.contains(&format!("--{} {}", flag.long, flag.value)), "{}", flag.long);
        }
        assert!(help.lines().all(|line| line.len() <= 110), "{help}");
    }

    #[test]
    fn each_application_has_a_help_of_its_own() {
        for entry in apps::all() {
            let help = read(&format!("{} -b x --help", entry.name), &[]).unwrap_err();
            assert!(help.starts_with(&format!("{}: {}.\n", entry.name, entry.summary)), "{help}");
            assert_eq!(read("-h", &[("GATEWAY_APP", entry.name)]).unwrap_err(), help);
            for option in entry.options {
                assert!(help.contains(&format!("--{} {}", option.name, option.value)), "{help}");
                assert!(flags().all(|flag| flag.long != option.name), "--{} is the runner's", option.name);
            }
            for (name, value) in entry.defaults {
                let flag = flags().find(|flag| flag.long == *name).unwrap_or_else(|| panic!("--{name} is no option"));
                (flag.set)(&mut Settings::default(), value).unwrap();
            }
            assert!(help.lines().all(|line| line.len() <= 110), "{help}");
        }
    }

    #[test]
    fn list_names_everything() {
        let list = read("-l", &[]).unwrap_err();
        for name in apps::all().iter().map(|app| app.name).chain(servers::ALL.iter().map(|server| server.name)) {
            assert!(list.lines().any(|line| line.starts_with(&format!("  {name} "))), "{name}");
        }
    }

    /// What the help says is what the servers do.
    #[test]
    fn the_defaults_in_the_help_are_those_of_the_servers() {
        let mut settings = Settings::default();
        for flag in flags().filter(|flag| !flag.default.is_empty()) {
            (flag.set)(&mut settings, flag.default).unwrap();
        }
        for server in servers::ALL {
            assert_eq!((server.changed)(&settings), [""; 0], "{}", server.name);
        }
    }
}
