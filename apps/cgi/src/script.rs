//! [`find`]: from a path to a script.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use framework_mini::Status;
use gateway_spec::percent_decode;
use rustix::fs::Access;

use crate::Config;

/// A program to run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Script {
    /// Where it is.
    pub(crate) file: PathBuf,
    /// Its path in URLs below the mount, decoded.
    pub(crate) name: Vec<u8>,
    /// The rest of the path, decoded: empty, or beginning with `/`.
    pub(crate) path_info: Vec<u8>,
}

/// What a path leads to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Script(Script),
    /// Not to the folder of scripts.
    Elsewhere,
    /// To nothing there.
    Missing,
    /// To something that is not run.
    Refused(Status, &'static str),
}

/// Looks up an encoded path. Cut first, decoded after, so `%2F` and `..` are no way out (CGI-PATH-13, CGI-RUN-09).
pub(crate) fn find(config: &Config, raw: &str) -> Target {
    let mut segments = raw.split('/').skip(1);
    for expected in config.prefix.split('/').skip(1) {
        match segments.next().and_then(percent_decode) {
            Some(segment) if *segment == *expected.as_bytes() => {}
            _ => return Target::Elsewhere,
        }
    }
    let mut file = config.scripts.clone();
    let mut name = config.prefix.clone().into_bytes();
    while let Some(segment) = segments.next() {
        let Some(segment) = percent_decode(segment) else { return Target::Missing };
        if segment.is_empty() && segments.clone().next().is_none() {
            break; // a slash at the end of a folder
        }
        let is_plain = !segment.is_empty() && segment[0] != b'.' && !segment.contains(&b'/') && !segment.contains(&0);
        if !is_plain {
            return Target::Missing;
        }
        file.push(OsString::from_vec(segment.to_vec()));
        name.push(b'/');
        name.extend_from_slice(&segment);
        let Ok(metadata) = fs::metadata(&file) else { return Target::Missing };
        if metadata.is_dir() {
            continue;
        }
        let inside = file.canonicalize().is_ok_and(|real| real.starts_with(&config.scripts));
        if !metadata.is_file() || !inside {
            return Target::Missing;
        }
        if segment.starts_with(b"nph-") {
            return Target::Refused(Status::NOT_IMPLEMENTED, "Scripts that speak HTTP themselves are not run here.");
        }
        if rustix::fs::access(&file, Access::EXEC_OK).is_err() {
            return Target::Refused(Status::FORBIDDEN, "This cannot be run.");
        }
        let mut path_info = Vec::new();
        for rest in segments {
            let Some(rest) = percent_decode(rest) else { return Target::Missing };
            path_info.push(b'/');
            path_info.extend_from_slice(&rest);
        }
        return Target::Script(Script { file, name, path_info });
    }
    Target::Refused(Status::FORBIDDEN, "This is a folder of scripts.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(raw: &str) -> String {
        match find(&Config::new(crate::samples()), raw) {
            Target::Script(script) => {
                let [name, path_info] = [&script.name, &script.path_info].map(|part| String::from_utf8_lossy(part));
                format!("{name} {path_info}")
            }
            Target::Elsewhere => "elsewhere".to_owned(),
            Target::Missing => "missing".to_owned(),
            Target::Refused(status, _) => status.code().to_string(),
        }
    }

    #[test]
    fn paths_lead_to_scripts_and_what_is_behind_them() {
        for (raw, expected) in [
            ("/cgi-bin/hello.sh", "/cgi-bin/hello.sh "),
            ("/cgi-bin/hello.sh/", "/cgi-bin/hello.sh /"),
            ("/cgi-bin/hello.sh/a%20b//c/..", "/cgi-bin/hello.sh /a b//c/.."),
            ("/cgi%2Dbin/%68ello.sh/x", "/cgi-bin/hello.sh /x"),
            ("/cgi-bin", "403"),
            ("/cgi-bin/", "403"),
            ("/cgi-bin/nothing", "missing"),
            ("/cgi-bin//hello.sh", "missing"),
            ("/cgi-bin/../cgi-bin/hello.sh", "missing"),
            ("/cgi-bin/%2e%2e/src/lib.rs", "missing"),
            ("/cgi-bin/..%2fsrc%2flib.rs", "missing"),
            ("/cgi-bin/hello.sh%00", "missing"),
            ("/cgi-binary/hello.sh", "elsewhere"),
            ("/", "elsewhere"),
            ("", "elsewhere"),
            ("/hello.sh", "elsewhere"),
        ] {
            assert_eq!(found(raw), expected, "{raw}");
        }
    }
}
