//! [`Folder`]: the files below a folder, opened so that no path and no link leads out of it.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::path::{Path, is_hidden};

/// Which symbolic links are followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Links {
    /// None.
    Never,
    /// Those that stay inside the folder: relative ones, that is. The kernel sees to it, at the moment of opening
    /// (`openat2` of Linux 5.6); where it cannot, none is followed.
    #[default]
    Inside,
    /// All. Whoever can make a link in the folder can then have any file served.
    Everywhere,
}

/// A folder that is served.
pub(crate) struct Folder {
    root: PathBuf,
    hidden: bool,
    links: Links,
}

/// What a path leads to, open for reading.
pub(crate) enum Found {
    File(fs::File),
    Folder(OwnedFd),
}

/// A name in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) name: Vec<u8>,
    pub(crate) is_folder: bool,
    /// In bytes; of folders it means nothing.
    pub(crate) size: u64,
    /// `None` if it is not a time that can be told.
    pub(crate) modified: Option<SystemTime>,
}

/// How something is opened: not inherited by children, and not waiting, should it have become a FIFO meanwhile.
const READ: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

impl Folder {
    pub(crate) fn new(root: &std::path::Path, hidden: bool, links: Links) -> io::Result<Self> {
        let explain = |error: io::Error| io::Error::new(error.kind(), format!("cannot serve {root:?}: {error}"));
        let folder = Self { root: std::path::absolute(root).map_err(explain)?, hidden, links };
        // What cannot be listed can hardly be served, and the time to say so is now.
        let opened = folder.open_root().and_then(Dir::read_from).map(drop);
        opened.map_err(|errno| explain(errno.into()))?;
        Ok(folder)
    }

    /// Opens what a path leads to, if that is a file or a folder; nothing else is opened.
    ///
    /// Should somebody put another thing in the place of a file at that very moment, then that is what is open, without
    /// having waited for it: who uses the file looks what it is.
    ///
    /// # Errors
    /// What is no matter of this path: too many open files, a broken disk.
    pub(crate) fn open(&self, path: &Path) -> io::Result<Option<Found>> {
        let relative = path.to_relative();
        absent(self.open_root().and_then(|root| {
            // Looked at before, so that a FIFO or a device is not touched.
            match kind(&self.look(&root, &relative)?) {
                FileType::RegularFile => self.open_at(&root, &relative, READ).map(|file| Found::File(file.into())),
                FileType::Directory => self.open_at(&root, &relative, READ | OFlags::DIRECTORY).map(Found::Folder),
                _ => Err(Errno::NOENT),
            }
        }))
    }

    /// What is in a folder, in no order: the files and folders that would be served, if they can be read.
    pub(crate) fn list(&self, folder: &OwnedFd, path: &Path) -> io::Result<Vec<Entry>> {
        let root = self.open_root()?;
        let mut entries = Vec::new();
        for entry in Dir::read_from(folder)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if matches!(name, b"." | b"..") || (!self.hidden && is_hidden(name)) {
                continue;
            }
            let stat = match rustix::fs::statat(folder, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) if kind(&stat) == FileType::Symlink => self.look(&root, &path.join(name).to_relative()),
                other => other,
            };
            // Gone meanwhile, or a link that leads nowhere or out.
            let Ok(stat) = stat else { continue };
            let is_folder = match kind(&stat) {
                FileType::RegularFile => false,
                FileType::Directory => true,
                _ => continue,
            };
            let size = u64::try_from(stat.st_size).unwrap_or_default();
            entries.push(Entry { name: name.to_vec(), is_folder, size, modified: modified(&stat) });
        }
        Ok(entries)
    }

    fn open_root(&self) -> rustix::io::Result<OwnedFd> {
        rustix::fs::openat(CWD, &self.root, READ | OFlags::DIRECTORY, Mode::empty())
    }

    fn look(&self, root: &OwnedFd, relative: &[u8]) -> rustix::io::Result<Stat> {
        match self.links {
            Links::Everywhere => rustix::fs::statat(root, relative, AtFlags::empty()),
            links => match resolve::look(root, relative, links) {
                Err(Errno::NOSYS | Errno::PERM) => {
                    let (parent, name) = walk(root, relative)?;
                    rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)
                }
                other => other,
            },
        }
    }

    fn open_at(&self, root: &OwnedFd, relative: &[u8], how: OFlags) -> rustix::io::Result<OwnedFd> {
        match self.links {
            Links::Everywhere => rustix::fs::openat(root, relative, how, Mode::empty()),
            links => match resolve::open(root, relative, how, links) {
                Err(Errno::NOSYS | Errno::PERM) => {
                    let (parent, name) = walk(root, relative)?;
                    rustix::fs::openat(parent, name, how | OFlags::NOFOLLOW, Mode::empty())
                }
                other => other,
            },
        }
    }
}

/// Opening by `openat2`, in one step and without a race.
#[cfg(target_os = "linux")]
mod resolve {
    use super::*;
    use rustix::fs::ResolveFlags;

    /// How often a path is looked up. Not for ever: a file with a write lease (`F_SETLEASE`) gives the same error, until
    /// who has the lease has let go of it.
    const TRIES: usize = 64;

    pub(super) fn look(root: &OwnedFd, relative: &[u8], links: Links) -> rustix::io::Result<Stat> {
        // `O_PATH` opens nothing: it only finds.
        rustix::fs::fstat(open(root, relative, OFlags::PATH | OFlags::CLOEXEC, links)?)
    }

    pub(super) fn open(root: &OwnedFd, relative: &[u8], how: OFlags, links: Links) -> rustix::io::Result<OwnedFd> {
        let links = if links == Links::Never { ResolveFlags::NO_SYMLINKS } else { ResolveFlags::NO_MAGICLINKS };
        let resolve = ResolveFlags::BENEATH | links;
        again(|| rustix::fs::openat2(root, relative, how, Mode::empty(), resolve))
    }

    /// Once more, should something have been renamed while a link with `..` was followed.
    pub(super) fn again<T>(mut open: impl FnMut() -> rustix::io::Result<T>) -> rustix::io::Result<T> {
        for _ in 1..TRIES {
            match open() {
                Err(Errno::AGAIN) => {}
                other => return other,
            }
        }
        open()
    }
}

#[cfg(not(target_os = "linux"))]
mod resolve {
    use super::*;

    pub(super) fn look(_: &OwnedFd, _: &[u8], _: Links) -> rustix::io::Result<Stat> {
        Err(Errno::NOSYS)
    }

    pub(super) fn open(_: &OwnedFd, _: &[u8], _: OFlags, _: Links) -> rustix::io::Result<OwnedFd> {
        Err(Errno::NOSYS)
    }
}

/// The folder that has the last name of a path, opened one by one from the root, following no link.
fn walk<'p>(root: &OwnedFd, relative: &'p [u8]) -> rustix::io::Result<(OwnedFd, &'p [u8])> {
    let mut parent = rustix::io::fcntl_dupfd_cloexec(root.as_fd(), 0)?;
    let mut names = relative.split(|&b| b == b'/');
    let last = names.next_back().unwrap_or(b".");
    for name in names {
        let flags = READ | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        parent = rustix::fs::openat(&parent, name, flags, Mode::empty())?;
    }
    Ok((parent, last))
}

fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

fn modified(stat: &Stat) -> Option<SystemTime> {
    let (seconds, nanoseconds) = (u64::try_from(stat.st_mtime).ok()?, u32::try_from(stat.st_mtime_nsec).ok()?);
    UNIX_EPOCH.checked_add(Duration::new(seconds, nanoseconds))
}

/// `None` if there is nothing to be had by this path, whatever the reason.
fn absent<T>(result: rustix::io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(
            Errno::NOENT
            | Errno::NOTDIR
            | Errno::ACCESS
            | Errno::PERM
            | Errno::LOOP
            | Errno::XDEV
            | Errno::NAMETOOLONG
            | Errno::INVAL
            | Errno::NXIO
            | Errno::ILSEQ,
        ) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;
    use std::os::unix::fs::symlink;

    use super::*;

    /// A folder with a file, a link inside, a link out and a folder; outside there is a secret.
    fn tree(name: &str) -> PathBuf {
        let outside = std::env::temp_dir().join(format!("files-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&outside);
        let root = outside.join("root");
        fs::create_dir_all(root.join("sub")).unwrap();
        fs::write(outside.join("secret"), "secret").unwrap();
        fs::write(root.join("plain"), "plain").unwrap();
        fs::write(root.join("sub/deep"), "deep").unwrap();
        symlink("../plain", root.join("sub/inside")).unwrap();
        symlink("sub", root.join("linked-sub")).unwrap();
        symlink("../secret", root.join("out")).unwrap();
        symlink(root.join("plain"), root.join("absolute")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        root
    }

    fn content(folder: &Folder, path: &str) -> Option<String> {
        match folder.open(&Path::parse(&format!("/{path}"), true).unwrap()).unwrap()? {
            Found::File(file) => Some(io::read_to_string(file).unwrap()),
            Found::Folder(_) => Some("(folder)".to_owned()),
        }
    }

    #[test]
    fn links_are_followed_as_far_as_allowed() {
        let root = tree("links");
        for (path, never, inside, everywhere) in [
            ("plain", "plain", "plain", "plain"),
            ("sub/deep", "deep", "deep", "deep"),
            ("sub", "(folder)", "(folder)", "(folder)"),
            ("sub/inside", "", "plain", "plain"),
            ("linked-sub/deep", "", "deep", "deep"),
            ("out", "", "", "secret"),
            ("absolute", "", "", "plain"),
            ("loop", "", "", ""),
            ("nothing", "", "", ""),
            ("plain/x", "", "", ""),
        ] {
            for (links, expected) in [(Links::Never, never), (Links::Inside, inside), (Links::Everywhere, everywhere)] {
                let folder = Folder::new(&root, false, links).unwrap();
                assert_eq!(content(&folder, path).unwrap_or_default(), expected, "{path} {links:?}");
            }
            // Where there is no `openat2`, no link is followed.
            let open = fs::File::open(&root).unwrap().into();
            let walked = walk(&open, path.as_bytes())
                .and_then(|(parent, name)| rustix::fs::openat(parent, name, READ | OFlags::NOFOLLOW, Mode::empty()));
            assert_eq!(walked.is_ok(), !never.is_empty(), "{path}");
        }
        let _ = fs::remove_dir_all(root.parent().unwrap());
    }

    #[test]
    fn what_is_listed_can_be_opened() {
        let root = tree("list");
        fs::write(root.join(".hidden"), "").unwrap();
        for links in [Links::Never, Links::Inside, Links::Everywhere] {
            let folder = Folder::new(&root, false, links).unwrap();
            let top = Path::parse("/", false).unwrap();
            let Some(Found::Folder(opened)) = folder.open(&top).unwrap() else { panic!("no folder") };
            let mut listed: Vec<Vec<u8>> =
                folder.list(&opened, &top).unwrap().into_iter().map(|entry| entry.name).collect();
            listed.sort();
            let mut served: Vec<Vec<u8>> = (fs::read_dir(&root).unwrap())
                .map(|entry| entry.unwrap().file_name().into_vec())
                .filter(|name| !is_hidden(name) && content(&folder, str::from_utf8(name).unwrap()).is_some())
                .collect();
            served.sort();
            assert_eq!(listed, served, "{links:?}");
        }
        let _ = fs::remove_dir_all(root.parent().unwrap());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn what_always_is_to_be_tried_again_is_not() {
        let mut tries = 0;
        let never = resolve::again(|| {
            tries += 1;
            Err::<(), _>(Errno::AGAIN)
        });
        assert!(never == Err(Errno::AGAIN) && tries < 100, "{tries}");
        let mut results = [Err(Errno::AGAIN), Ok(1), Ok(2)].into_iter();
        assert_eq!(resolve::again(|| results.next().unwrap()), Ok(1));
    }

    #[test]
    fn a_root_that_is_none_is_told() {
        let root = tree("root");
        for (path, why) in [("nowhere", "No such file"), ("plain", "Not a directory")] {
            let error = Folder::new(&root.join(path), false, Links::Inside).err().expect("an error").to_string();
            assert!(error.contains(path) && error.contains(why), "{error}");
        }
        let _ = fs::remove_dir_all(root.parent().unwrap());
    }
}
