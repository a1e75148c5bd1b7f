//! Uploads of any size, and downloads that can be resumed.
//!
//! | endpoint | |
//! |---|---|
//! | `GET /` | the page: a form, and what is there |
//! | `POST /upload` | a form with files (`multipart/form-data`) |
//! | `PUT /raw/NAME` | a file as it is, with its length or without (chunked) |
//! | `GET /files/NAME` | a file: whole, by ranges, or not at all if the client has it |
//! | `POST /files/NAME/delete`, `DELETE /files/NAME` | removes it |
//!
//! Whatever is sent is written down while it arrives: some tens of KiB are in memory, whatever its size. It goes into a temporary
//! file, which gets its name when all of the request is there, and is removed if it is cut. No file is ever replaced: the
//! second `a.txt` becomes `a (2).txt`.
//!
//! What strangers have sent is never shown as a page of this site: files are for saving, in a sandbox without scripts.

mod pages;
mod size;
mod store;

use std::path::PathBuf;

use framework_mini::Error;
use framework_mini::middleware::{CrossOriginCheck, SecurityHeaders};
use gateway_spec::Application;

use store::Store;

/// What can be set.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Where the files are. It is made if it is not there.
    pub folder: PathBuf,
    /// Longest request body in bytes, whatever is in it. 10 GiB. The server has a limit of its own.
    pub max_size: u64,
}

impl Config {
    /// Files in this folder, and the defaults.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), max_size: 10 << 30 }
    }
}

/// The application. What was left of uploads that ended with the process is removed, if it is a day old.
///
/// # Errors
/// If the folder cannot be made or written to.
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// let app = upload::app(upload::Config::new(folder.path()))?;
/// // server_mio::Server::bind("127.0.0.1:8000")?.serve(app)
/// # Ok::<(), framework_mini::Error>(())
/// ```
pub fn app(config: Config) -> Result<impl Application + 'static, Error> {
    let store = Store::open(&config.folder)?;
    let site = pages::site(store, config.max_size)?;
    Ok(SecurityHeaders::new(CrossOriginCheck::new(site)).with("Content-Security-Policy", pages::POLICY))
}
