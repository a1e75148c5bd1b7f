//! The body of a request, on disk before the script starts.

use std::fs::File;
use std::io::{self, Read, Seek};

use framework_mini::{Error, Status};
use gateway_spec::Environ;

use crate::Failure;

/// Reads the body to its end, into a file that has no name. `None` if the request has no body.
///
/// # Errors
/// 413 if it is longer than `max`, before anything is read if it says so. What breaks on the way is the server's to answer.
pub(crate) fn spool(environ: &mut Environ<'_>, max: u64) -> Result<Option<(File, u64)>, Failure> {
    let too_large = || Error::new(Status::CONTENT_TOO_LARGE, "The request body is too large for a script.");
    let declared = environ.content_length();
    if declared.is_some_and(|length| length > max) {
        return Err(too_large().into());
    }
    if declared.is_none() && environ.header("transfer-encoding").is_none() {
        return Ok(None);
    }
    let disk = |error: io::Error| Error::internal(format!("the request body cannot be spooled: {error}"));
    let mut file = tempfile::tempfile().map_err(disk)?;
    let mut length = 0;
    let mut block = vec![0; 64 * 1024];
    loop {
        let read = match environ.input().read(&mut block) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Failure::Pass(error.into())),
        };
        length += read as u64;
        if length > max {
            return Err(too_large().into());
        }
        io::Write::write_all(&mut file, &block[..read]).map_err(disk)?;
    }
    file.rewind().map_err(disk)?;
    Ok(Some((file, length)))
}
