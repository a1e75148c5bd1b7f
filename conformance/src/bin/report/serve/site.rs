//! What every server but the bare loops serves: the same paths, the same bytes.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::OnceLock;

use conformance::load::download;
pub(super) use conformance::load::{QUERY, SLOW};
use serde::Serialize;

/// The `Server` field of every server that lets it be chosen.
pub(super) const SERVER: &str = "bench";

/// What `/json` serialises for each request.
#[derive(Serialize)]
pub(super) struct Message {
    message: &'static str,
}

impl Message {
    pub(super) const HELLO: Self = Self { message: "Hello, World!" };
}

/// The path of a file with the bytes of the download. Made before the server starts; nothing of it
/// stays behind, because the file has no name: the path leads through this process's descriptor.
pub(super) fn file() -> io::Result<&'static PathBuf> {
    static FILE: OnceLock<(File, PathBuf)> = OnceLock::new();
    if FILE.get().is_none() {
        let name = std::env::temp_dir().join(format!("gateway-bench-{}", std::process::id()));
        let mut file = File::options().read(true).write(true).create_new(true).open(&name)?;
        std::fs::remove_file(&name)?;
        file.write_all(&download())?;
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
        // Another thread cannot have been faster: servers ask before they start any.
        let _ = FILE.set((file, path.into()));
    }
    FILE.get().map(|(_, path)| path).ok_or_else(|| io::Error::other("no file"))
}
