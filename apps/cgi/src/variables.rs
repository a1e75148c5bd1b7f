//! The environment of a script: built from nothing, of the request (RFC 3875 section 4.1) and what was configured.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use framework_mini::Error;
use gateway_spec::{Environ, Scheme};

use crate::Config;
use crate::script::Script;

/// Never passed on: credentials, which are the server's business (CGI-HDR-09), and what programs take for the address of
/// a proxy (CGI-HDR-13).
const NEVER: [&str; 3] = ["HTTP_AUTHORIZATION", "HTTP_PROXY_AUTHORIZATION", "HTTP_PROXY"];

/// The search path of a script if the server has none.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Whether the system can hand this over.
pub(crate) fn is_sound(name: &str, value: &[u8]) -> bool {
    !name.is_empty() && !name.contains(['=', '\0']) && !value.contains(&0)
}

/// All variables. `length` is that of the request's body, if it has one.
///
/// # Errors
/// 400 for a NUL, which no variable can have (CGI-GEN-06).
pub(crate) fn of(
    environ: &Environ<'_>,
    config: &Config,
    script: &Script,
    length: Option<u64>,
) -> Result<BTreeMap<OsString, OsString>, Error> {
    let mut variables: BTreeMap<OsString, OsString> = BTreeMap::new();
    variables.insert("PATH".into(), DEFAULT_PATH.into());
    for name in &config.inherit {
        if let Some(value) = std::env::var_os(name) {
            variables.insert(name.into(), value);
        }
    }
    variables.extend(config.env.iter().map(|(name, value)| (name.into(), value.into())));

    let mut put = |name: &str, value: &[u8]| match is_sound(name, value) {
        true => {
            variables.insert(name.into(), OsStr::from_bytes(value).to_owned());
            Ok(())
        }
        false => Err(Error::bad_request("The request has a NUL where none can be.")),
    };
    for (name, value) in environ.vars() {
        if !NEVER.contains(&&*name) && name != "CONTENT_LENGTH" {
            put(&name, value.as_bytes())?;
        }
    }
    if let Some(length) = length {
        put("CONTENT_LENGTH", length.to_string().as_bytes())?;
    }
    put("SCRIPT_NAME", &[environ.script_name().as_bytes(), &script.name].concat())?;
    put("PATH_INFO", &script.path_info)?;
    put("SCRIPT_FILENAME", script.file.as_os_str().as_bytes())?;
    // What PHP wants to see before it believes that it was started by a server.
    put("REDIRECT_STATUS", b"200")?;
    put("REQUEST_SCHEME", environ.url_scheme().as_str().as_bytes())?;
    if environ.url_scheme() == Scheme::Https {
        put("HTTPS", b"on")?;
    }
    if let Some(root) = &config.document_root {
        put("DOCUMENT_ROOT", root.as_os_str().as_bytes())?;
        // CGI-VAR-18, CGI-VAR-19. No script gets a path out of the root from here (CGI-PATH-13).
        let leads_out = script.path_info.split(|&b| b == b'/').any(|segment| segment == b"..");
        if !script.path_info.is_empty() && !leads_out {
            let mut path = root.clone().into_os_string().into_vec();
            path.extend_from_slice(&script.path_info);
            put("PATH_TRANSLATED", &path)?;
        }
    }
    Ok(variables)
}
