//! What the registry knows of an application: its name, the options of its own, and how to make one.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gateway_spec::Application;

/// An application by its name.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// The name, also of its crate and folder.
    pub name: &'static str,
    /// What it is, in one line.
    pub summary: &'static str,
    /// What it can be told, beside what every application can. Their names are not the runner's.
    pub options: &'static [Opt],
    /// Options of the runner that have another default for this application: the name without dashes, and the value.
    pub defaults: &'static [(&'static str, &'static str)],
    /// A new one, with state of its own; or one line that says what is wrong with the options.
    pub make: fn(&Given) -> Result<Made, String>,
    /// Options with which all that it reads and keeps is in this folder, which exists: for tests.
    pub within: fn(&Path) -> Given,
}

/// An option of an application. For `links`, `database` may be given as `--database FILE` after the application's name, or
/// as the variable `GATEWAY_LINKS_DATABASE`.
#[derive(Clone, Copy, Debug)]
pub struct Opt {
    /// The long name, without dashes.
    pub name: &'static str,
    /// What stands for the value in the help; empty for a switch, which has none.
    pub value: &'static str,
    /// What is used when nothing is given; empty if there is nothing to say.
    pub default: &'static str,
    /// What it does, in one line.
    pub help: &'static str,
    /// Whether it may stand alone, without its name: `apps files DIR`.
    pub positional: bool,
}

/// An application, and what its user should be told.
pub struct Made {
    /// The application.
    pub app: Arc<dyn Application>,
    /// Lines to be printed once it is served: where its data is, how to log in.
    pub notes: Vec<String>,
    /// What ends those of its responses that would never end by themselves, called when the server begins to stop.
    pub on_stop: Option<Box<dyn FnOnce() + Send>>,
}

impl Made {
    /// An application about which there is nothing to say.
    ///
    /// ```
    /// assert!(apps::Made::new(hello::forms()).notes.is_empty());
    /// ```
    pub fn new(app: impl Application + 'static) -> Self {
        Self { app: Arc::new(app), notes: Vec::new(), on_stop: None }
    }

    /// Adds a line for the user.
    #[must_use]
    pub fn note(mut self, line: impl Into<String>) -> Self {
        self.notes.push(line.into());
        self
    }

    /// With what is to be called when the server begins to stop, so that it need not wait for streams without an end.
    #[must_use]
    pub fn on_stop(mut self, stop: impl FnOnce() + Send + 'static) -> Self {
        self.on_stop = Some(Box::new(stop));
        self
    }
}

/// The options that were given to an application.
///
/// ```
/// use apps::{Given, values};
///
/// let given = Given::default().with("database", "/tmp/links.sqlite").with("max-title", "2k");
/// assert_eq!(given.path("database").unwrap(), std::path::Path::new("/tmp/links.sqlite"));
/// assert_eq!(given.value("max-title", values::size::<usize>), Ok(Some(2048)));
/// assert_eq!(given.value("max-links", values::count::<usize>), Ok(None));
/// assert_eq!(
///     Given::default().with("max-title", "lots").value("max-title", values::count::<usize>),
///     Err("--max-title: \"lots\" is not a number".to_owned()),
/// );
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Given(BTreeMap<&'static str, OsString>);

impl Given {
    /// Adds an option, or replaces it.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.put(name, value.into());
        self
    }

    /// Adds an option, or replaces it.
    pub fn put(&mut self, name: &'static str, value: OsString) {
        self.0.insert(name, value);
    }

    /// The value as it was given.
    #[must_use]
    pub fn raw(&self, name: &str) -> Option<&OsStr> {
        self.0.get(name).map(OsString::as_os_str)
    }

    /// A path, which need not be UTF-8.
    #[must_use]
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.raw(name).map(PathBuf::from)
    }

    /// A value as `read` understands it; the functions in [`values`](crate::values) do for most.
    ///
    /// # Errors
    /// One line with the option's name, if it is not UTF-8 or `read` refuses it.
    pub fn value<T>(&self, name: &str, read: impl FnOnce(&str) -> Result<T, String>) -> Result<Option<T>, String> {
        let Some(value) = self.raw(name) else { return Ok(None) };
        let text = value.to_str().ok_or_else(|| format!("--{name}: the value is not UTF-8"))?;
        read(text).map(Some).map_err(|why| format!("--{name}: {why}"))
    }

    /// Text.
    ///
    /// # Errors
    /// As [`value`](Self::value).
    pub fn text(&self, name: &str) -> Result<Option<String>, String> {
        self.value(name, |text| Ok(text.to_owned()))
    }

    /// Whether a switch is on: given on the command line, or as a variable that says so.
    ///
    /// # Errors
    /// As [`value`](Self::value).
    pub fn switch(&self, name: &str) -> Result<bool, String> {
        Ok(self.value(name, crate::values::switch)?.unwrap_or(false))
    }
}
