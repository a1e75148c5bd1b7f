//! [`Config`]: where the data is and who may log in, and what is done about it at the start.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use framework_mini::Error;
use framework_mini::middleware::SessionKey;

use crate::Site;
use crate::link::random_text;
use crate::password::check_new;
use crate::store::Store;

/// The name of the login that the first start makes.
const FIRST_LOGIN: &str = "team";
/// In characters.
const MAX_NAME: usize = 40;
/// Groups of 4 characters of 5 bits in a password that is made here: 80 bits.
const GROUPS: usize = 4;

/// Where the data is and who may log in.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Config {
    /// The file of the database; `None` is one in memory, which is lost at the end. The file and its folder are made if there
    /// are none, for this user only.
    pub database: Option<PathBuf>,
    /// A login that is to exist: it is made if there is none, with a password that [`Links::new_login`](crate::Links) tells.
    /// Without, one called `team` is made if there is no login at all.
    pub login: Option<String>,
    /// The password of that login from now on, of at least 10 characters. If it is a new one, all sessions of this login end.
    pub password: Option<String>,
}

impl Config {
    /// With a database in a file.
    pub fn new(database: impl Into<PathBuf>) -> Self {
        Self { database: Some(database.into()), ..Self::default() }
    }

    /// With a database in memory, which is lost at the end: for tests.
    #[must_use]
    pub fn in_memory() -> Self {
        Self::default()
    }

    /// With a login that is to exist, and its password.
    #[must_use]
    pub fn login(mut self, name: Option<String>, password: Option<String>) -> Self {
        (self.login, self.password) = (name, password);
        self
    }

    /// Checks what can be checked before anything is made.
    fn check(&self) -> Result<(), String> {
        if let Some(name) = &self.login {
            if name.trim().is_empty() || name.contains(':') || name.chars().any(char::is_control) {
                return Err("the name of a login is not empty and has no colon".to_owned());
            }
            if name.trim().chars().count() > MAX_NAME {
                return Err(format!("the name of a login has at most {MAX_NAME} characters"));
            }
        }
        let password = self.password.as_deref().map_or(Ok(()), check_new);
        password.map_err(|message| format!("this password cannot be used: {message}"))
    }

    /// The state of the application, and its key.
    pub(crate) fn open(self) -> Result<Opened, StartError> {
        self.check().map_err(StartError::Login)?;
        if let Some(database) = &self.database {
            prepare(database).map_err(|error| StartError::File { path: database.clone(), error })?;
        }
        self.open_prepared().map_err(|error| {
            let path = self.database.clone().unwrap_or_else(|| ":memory:".into());
            let chain = error.chain();
            let error = if chain.is_empty() { error.message().to_owned() } else { chain.join(": ") };
            StartError::Database { path, error }
        })
    }

    fn open_prepared(&self) -> Result<Opened, Error> {
        let site = Site::new(Store::open(self.database.as_deref())?);
        let key = SessionKey::new(&site.store.session_key()?)?;
        let new_login = provide_login(&site, self.login.as_deref().map(str::trim), self.password.clone())?;
        Ok(Opened { site, key, new_login })
    }
}

/// What is there when the database is open.
pub(crate) struct Opened {
    pub(crate) site: Site,
    pub(crate) key: SessionKey,
    pub(crate) new_login: Option<NewLogin>,
}

/// Sees to it that there is a login, and the one that was asked for.
fn provide_login(site: &Site, name: Option<&str>, password: Option<String>) -> Result<Option<NewLogin>, Error> {
    let wanted = name.unwrap_or(FIRST_LOGIN);
    let existing = site.store.login(wanted)?;
    let password = match (password, existing) {
        (Some(password), Some(existing))
            if site.gate.matches("", &password, Some((wanted, &existing.hash))) == Ok(true) =>
        {
            return Ok(None);
        }
        (Some(password), _) => password,
        (None, Some(_)) => return Ok(None),
        (None, None) if name.is_none() && site.store.has_logins()? => return Ok(None),
        (None, None) => {
            let groups: Result<Vec<String>, _> = (0..GROUPS).map(|_| random_text(4)).collect();
            groups?.join("-")
        }
    };
    site.store.set_password(wanted, &site.gate.hash(&password)?)?;
    Ok(Some(NewLogin { name: wanted.to_owned(), password }))
}

/// Makes the folder and the file, for nobody but this user: the key of sessions is in it.
fn prepare(database: &Path) -> io::Result<()> {
    if let Some(folder) = database.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(folder)?;
    }
    let mut options = fs::OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(database).map(|_| ())
}

/// Where the database is when nothing is said: `gateway-links/links.db` in `$XDG_DATA_HOME`, or in `~/.local/share` without.
///
/// `None` if neither `XDG_DATA_HOME` nor `HOME` says where that is.
#[must_use]
pub fn default_database() -> Option<PathBuf> {
    data_folder(|name| std::env::var_os(name).map(PathBuf::from)).map(|folder| folder.join("gateway-links/links.db"))
}

/// As the XDG base directory specification has it: what is not absolute does not count.
fn data_folder(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    let absolute = |name| variable(name).filter(|path| path.is_absolute());
    absolute("XDG_DATA_HOME").or_else(|| Some(absolute("HOME")?.join(".local/share")))
}

/// A login that was made or changed just now.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NewLogin {
    /// The name.
    pub name: String,
    /// The password, which is stored as a hash only.
    pub password: String,
}

impl fmt::Debug for NewLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewLogin").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Why the application cannot start.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// The file of the database or its folder cannot be made or opened.
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The database cannot be used.
    Database {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        error: String,
    },
    /// The login that was asked for cannot be one.
    Login(String),
    /// A mistake in the program: a template or a route.
    Program(String),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, .. } => write!(f, "the database {} cannot be opened or made", path.display()),
            Self::Database { path, error } => write!(f, "the database {} cannot be used: {error}", path.display()),
            Self::Login(message) | Self::Program(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File { error, .. } => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_of_data() {
        let of = |xdg: Option<&str>, home: Option<&str>| {
            data_folder(|name| if name == "HOME" { home } else { xdg }.map(PathBuf::from))
        };
        assert_eq!(of(Some("/data"), Some("/home/ada")), Some("/data".into()));
        assert_eq!(of(None, Some("/home/ada")), Some("/home/ada/.local/share".into()));
        assert_eq!(of(Some("data"), Some("/home/ada")), Some("/home/ada/.local/share".into()));
        assert_eq!(of(Some(""), Some("")), None);
        assert_eq!(of(None, None), None);
    }

    #[test]
    fn logins() {
        let site = Site::new(Store::open(None).unwrap());
        let provide = |name: Option<&str>, password: Option<&str>| {
            provide_login(&site, name, password.map(str::to_owned)).unwrap()
        };
        let logs_in =
            |login: &NewLogin| site.authenticate("", &login.name, &login.password).unwrap().unwrap().is_some();
        let first = provide(None, None).unwrap();
        assert_eq!((first.name.as_str(), first.password.len()), ("team", 19));
        assert!(logs_in(&first) && !format!("{first:?}").contains(&first.password));
        assert_eq!(provide(None, None), None, "there is one");
        let ada = provide(Some("ada"), None).unwrap();
        assert!(ada.name == "ada" && ada.password != first.password && logs_in(&ada) && logs_in(&first));
        assert_eq!(provide(Some("ada"), None), None, "her password stays");
        assert!(logs_in(&provide(None, Some("a new password")).unwrap()) && !logs_in(&first) && logs_in(&ada));
        assert_eq!(provide(None, Some("a new password")), None, "it is not new, and sessions go on");
        assert_eq!(site.store.login("team").unwrap().unwrap().version, 2);
    }

    #[test]
    fn what_cannot_be_used_is_said() {
        let refused = |config: Config| config.open().err().unwrap().to_string();
        let login =
            |name: &str, password: &str| Config::in_memory().login(Some(name.to_owned()), Some(password.to_owned()));
        assert!(refused(login("a:b", "long enough")).contains("no colon"));
        assert!(refused(login(" ", "long enough")).contains("not empty"));
        assert!(refused(login(&"n".repeat(41), "long enough")).contains("at most 40"));
        assert!(refused(login("ada", "short")).contains("at least 10"));
        assert!(refused(Config::new("/dev/null/links.db")).contains("/dev/null/links.db"));
    }
}
