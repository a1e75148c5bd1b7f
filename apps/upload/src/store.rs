//! [`Store`]: a folder of files, and of files that are still arriving.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

/// The folder within the folder for what is not complete. Its name begins with a dot, so nobody can ask for it.
const INCOMING: &str = ".incoming";

/// How old what was left behind has to be, so that no other process is at it any more.
const OLD: Duration = Duration::from_secs(24 * 60 * 60);

/// How often a name is looked for that others do not take meanwhile.
const TRIES: usize = 1000;

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct Store {
    folder: PathBuf,
    next: AtomicU64,
}

/// A file as the list shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) size: u64,
    pub(crate) modified: SystemTime,
}

impl Store {
    /// Opens a folder, which is made if it is not there, and removes what was left behind in it.
    ///
    /// # Errors
    /// With the name of the folder, if it cannot be made or written to.
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", folder.display()));
        let incoming = folder.join(INCOMING);
        fs::create_dir_all(&incoming).map_err(named)?;
        let store = Self { folder: folder.canonicalize().map_err(named)?, next: AtomicU64::new(0) };
        for entry in fs::read_dir(&incoming).map_err(named)? {
            let entry = entry.map_err(named)?;
            let modified = entry.metadata().and_then(|metadata| metadata.modified());
            if modified.is_ok_and(|modified| modified.elapsed().is_ok_and(|age| age > OLD)) {
                // Whoever removed it before us is welcome.
                let _ = fs::remove_file(entry.path());
            }
        }
        // Whether it can be written to is better known now than at the first upload.
        store.receive().map_err(named)?;
        Ok(store)
    }

    /// The folder itself.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Begins a file that is to arrive.
    pub(crate) fn receive(&self) -> io::Result<Incoming> {
        loop {
            let number = self.next.fetch_add(1, Relaxed);
            let path = self.folder.join(INCOMING).join(format!("{}-{number}.part", std::process::id()));
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => return Ok(Incoming { file, arrived: Arrived { path, size: 0 } }),
                // Left behind by a process that had our number.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Gives a file that is complete its name, or the next that is free: `name (2)`. Gives the name.
    pub(crate) fn keep(&self, arrived: Arrived, name: &str) -> io::Result<String> {
        for _ in 0..TRIES {
            let name = numbered(name, self.free_number(name));
            let path = self.folder.join(&name);
            // A link fails if the name is taken, where a rename would replace the file.
            let placed = fs::hard_link(&arrived.path, &path).or_else(|error| match error.kind() {
                ErrorKind::AlreadyExists => Err(error),
                // A file system without links: take the name first, then move the file there.
                _ => File::create_new(&path)
                    .and_then(|_| fs::rename(&arrived.path, &path).inspect_err(|_| drop(fs::remove_file(&path)))),
            });
            match placed {
                Ok(()) => return Ok(name),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::other(format!("no name is left for {name}")))
    }

    /// A number with which a name is free at the moment: the first, unless somebody has removed some in between.
    ///
    /// In steps that double, and then between the last two: of a thousand files of one name the last must not take a
    /// thousand questions.
    fn free_number(&self, name: &str) -> u32 {
        let taken = |number| fs::symlink_metadata(self.folder.join(numbered(name, number))).is_ok();
        let mut free: u32 = 1;
        while taken(free) {
            free = free.saturating_mul(2);
        }
        let mut low = free / 2;
        while low + 1 < free {
            let middle = low + (free - low) / 2;
            if taken(middle) {
                low = middle;
            } else {
                free = middle;
            }
        }
        free
    }

    /// The files, the newest first.
    pub(crate) fn list(&self) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            // Names that this application would not give are not offered either.
            let Some(name) = entry.file_name().to_str().filter(|name| is_plain(name)).map(str::to_owned) else {
                continue;
            };
            // One that was removed meanwhile is none.
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_file() {
                let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                entries.push(Entry { name, size: metadata.len(), modified });
            }
        }
        entries.sort_by(|a, b| b.modified.cmp(&a.modified).then_with(|| a.name.cmp(&b.name)));
        Ok(entries)
    }

    /// Removes a file.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) for what is not in the list.
    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        let path = self.folder.join(name);
        if !is_plain(name) || !fs::symlink_metadata(&path)?.is_file() {
            return Err(ErrorKind::NotFound.into());
        }
        fs::remove_file(path)
    }
}

/// Whether a name is that of a file in a folder, on every system, and of one that is not hidden.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', ':', '\0'])
}

/// The name of the nth file of a name: the number goes before the extension.
fn numbered(name: &str, number: u32) -> String {
    if number == 1 {
        return name.to_owned();
    }
    match name.rfind('.').filter(|&dot| dot > 0) {
        Some(dot) => format!("{} ({number}){}", &name[..dot], &name[dot..]),
        None => format!("{name} ({number})"),
    }
}

/// A file that is still arriving.
#[derive(Debug)]
pub(crate) struct Incoming {
    file: File,
    arrived: Arrived,
}

impl Incoming {
    /// All of it is there: closes the file.
    pub(crate) fn complete(self) -> Arrived {
        self.arrived
    }
}

impl Write for Incoming {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.arrived.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// A file that has arrived, and has no name yet. Unless it is [kept](Store::keep), it is removed when dropped.
///
/// It is not open: a form may have a thousand files, which all wait for the last.
#[derive(Debug)]
pub(crate) struct Arrived {
    path: PathBuf,
    size: u64,
}

impl Arrived {
    /// Its length in bytes.
    pub(crate) const fn size(&self) -> u64 {
        self.size
    }
}

impl Drop for Arrived {
    fn drop(&mut self) {
        // A file that was kept has another name now, or this one no more.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(store: &Store, name: &str, content: &str) -> String {
        let mut incoming = store.receive().unwrap();
        incoming.write_all(content.as_bytes()).unwrap();
        let arrived = incoming.complete();
        assert_eq!(arrived.size(), content.len() as u64);
        store.keep(arrived, name).unwrap()
    }

    fn names(store: &Store) -> Vec<String> {
        let mut names: Vec<String> = store.list().unwrap().into_iter().map(|entry| entry.name).collect();
        names.sort();
        names
    }

    fn incoming(store: &Store) -> usize {
        fs::read_dir(store.folder().join(INCOMING)).unwrap().count()
    }

    #[test]
    fn no_file_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("new/folder")).unwrap();
        assert_eq!(put(&store, "a.txt", "1"), "a.txt");
        assert_eq!(put(&store, "a.txt", "2"), "a (2).txt");
        assert_eq!(put(&store, "a.txt", "3"), "a (3).txt");
        assert_eq!(put(&store, "README", ""), "README");
        assert_eq!(put(&store, "README", ""), "README (2)");
        assert_eq!(put(&store, "x.tar.gz", ""), "x.tar.gz");
        assert_eq!(put(&store, "x.tar.gz", ""), "x.tar (2).gz");
        assert_eq!(fs::read_to_string(store.folder().join("a.txt")).unwrap(), "1");
        assert_eq!(fs::read_to_string(store.folder().join("a (3).txt")).unwrap(), "3");
        assert_eq!(incoming(&store), 0);
    }

    /// Many at once, all of one name.
    #[test]
    fn names_are_given_once() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..10).for_each(|n| drop(put(&store, "same", &n.to_string()))));
            }
        });
        assert_eq!((names(&store).len(), incoming(&store)), (80, 0));
    }

    #[test]
    fn what_is_not_kept_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let mut part = store.receive().unwrap();
        part.write_all(b"half").unwrap();
        assert_eq!((incoming(&store), names(&store)), (1, vec![]));
        drop(part);
        assert_eq!(incoming(&store), 0);
    }

    /// How many files in a folder this process has open.
    fn open_in(folder: &Path) -> usize {
        let links =
            fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
        links.filter(|link| link.starts_with(folder)).count()
    }

    #[test]
    fn what_has_arrived_is_not_open() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let arriving = store.receive().unwrap();
        let arrived: Vec<Arrived> = (0..100).map(|_| store.receive().unwrap().complete()).collect();
        assert_eq!((open_in(store.folder()), incoming(&store)), (1, 101));
        drop((arriving, arrived));
        assert_eq!((open_in(store.folder()), incoming(&store)), (0, 0));
    }

    #[test]
    fn what_was_left_behind_long_ago_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let (old, new) = (store.receive().unwrap(), store.receive().unwrap());
        old.file.set_modified(SystemTime::now() - 2 * OLD).unwrap();
        let (old, new) = (std::mem::ManuallyDrop::new(old), std::mem::ManuallyDrop::new(new));
        let again = Store::open(folder.path()).unwrap();
        assert!(!old.arrived.path.exists() && new.arrived.path.exists());
        assert!(again.receive().is_ok(), "a name that is taken is passed over");
    }

    #[test]
    fn only_plain_files_are_listed_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        fs::create_dir(folder.path().join("folder")).unwrap();
        for name in [".hidden", "a:b", "back\\slash"] {
            fs::write(folder.path().join(name), "x").unwrap();
        }
        std::os::unix::fs::symlink("/etc/hostname", folder.path().join("link")).unwrap();
        put(&store, "good", "x");
        assert_eq!(names(&store), ["good"]);
        for name in ["", ".", "..", ".hidden", "a:b", "back\\slash", "link", "folder", "../good", "good/", "no", "a\0"]
        {
            assert_eq!(store.remove(name).unwrap_err().kind(), ErrorKind::NotFound, "{name:?}");
        }
        store.remove("good").unwrap();
        assert_eq!(names(&store), [""; 0]);
    }

    #[test]
    fn a_folder_that_cannot_be_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let error = Store::open(&file).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{}: ", file.display())), "{error}");
    }
}
