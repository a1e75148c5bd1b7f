//! A browser for a test: every method waits until it can be done, and fails with what is missing when it never can.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::webdriver::{Failure, Session};

/// How long a page may take for anything. Nothing needs a part of it; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often a browser is started that does not come up.
const ATTEMPTS: u32 = 3;

/// Where programs are looked for when the search path has none.
const FOLDERS: &str = "/usr/bin:/usr/local/bin:/snap/bin";

/// The key under which WebDriver writes down an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// One browser at a time: two at once on a small machine are slower than one after the other.
static TURN: Mutex<()> = Mutex::new(());

/// A headless Chromium. It ends when this is dropped, and so does what it wrote.
pub(crate) struct Browser {
    // Dropped in this order: the browser, its folder, the turn.
    session: Session,
    _profile: Folder,
    _turn: MutexGuard<'static, ()>,
}

/// Runs a test with a browser, if there is one: see the README.
pub(crate) fn with_browser(test: impl FnOnce(&Browser)) {
    if let Some(browser) = Browser::start(true) {
        test(&browser);
    }
}

/// The same with a browser that runs no scripts of pages.
pub(crate) fn without_scripts(test: impl FnOnce(&Browser)) {
    if let Some(browser) = Browser::start(false) {
        test(&browser);
    }
}

impl Browser {
    /// Starts one; `None` after saying so if there is none and it need not be.
    fn start(scripts: bool) -> Option<Self> {
        let wish = std::env::var("GATEWAY_BROWSER").unwrap_or_default();
        let (required, wanted) = (wish == "required", wish != "none");
        let chromium = find(&["chromium", "chromium-browser", "google-chrome"]).filter(|_| wanted);
        let driver = find(&["chromedriver"]);
        let (Some(chromium), Some(driver)) = (chromium, driver) else {
            let missing = "no Chromium and chromedriver (Debian: chromium, chromium-driver)";
            assert!(!required, "{missing}, and GATEWAY_BROWSER=required");
            // Not by a macro: what they print is shown of failed tests only.
            let name = thread::current().name().unwrap_or_default().to_owned();
            let _ = writeln!(std::io::stderr(), "SKIPPED {name}: {missing}");
            return None;
        };
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        for attempt in 1.. {
            // A new one each time: what is left of an attempt may hold the last one.
            let profile = Folder::new("profile");
            match Session::start(&driver, &capabilities(&chromium, &profile, scripts)) {
                Ok(session) => return Some(Self { session, _profile: profile, _turn: turn }),
                Err(failure) => assert!(attempt < ATTEMPTS, "no browser after {attempt} attempts: {failure:?}"),
            }
        }
        None
    }

    /// Opens a page and waits until it is loaded.
    pub(crate) fn open(&self, url: &str) {
        self.do_post("url", &json!({ "url": url }));
    }

    /// Loads the page again.
    pub(crate) fn reload(&self) {
        self.do_post("refresh", &json!({}));
    }

    /// Where it is.
    pub(crate) fn url(&self) -> String {
        text(done(self.session.get("url")))
    }

    pub(crate) fn title(&self) -> String {
        text(done(self.session.get("title")))
    }

    /// What is visible of the text of the first element of a selector.
    pub(crate) fn text(&self, css: &str) -> String {
        text(self.with_element(css, |element| self.session.get(&format!("element/{element}/text"))))
    }

    /// How many elements match now.
    pub(crate) fn count(&self, css: &str) -> usize {
        let found = self.do_post("elements", &json!({ "using": "css selector", "value": css }));
        found.as_array().expect("a list").len()
    }

    /// A property of an element, such as `value` of a field.
    pub(crate) fn property(&self, css: &str, name: &str) -> Value {
        self.with_element(css, |element| self.session.get(&format!("element/{element}/property/{name}")))
    }

    /// Clicks, as a mouse does: what is covered or out of sight cannot be.
    pub(crate) fn click(&self, css: &str) {
        self.with_element(css, |element| self.session.post(&format!("element/{element}/click"), &json!({})));
    }

    /// Types into an element, after what is there. For a file field: the path of a file.
    pub(crate) fn type_into(&self, css: &str, text: &str) {
        self.with_element(css, |element| {
            self.session.post(&format!("element/{element}/value"), &json!({ "text": text }))
        });
    }

    /// Types into an element, in place of what is there.
    pub(crate) fn fill(&self, css: &str, text: &str) {
        self.with_element(css, |element| self.session.post(&format!("element/{element}/clear"), &json!({})));
        self.type_into(css, text);
    }

    /// Presses a key wherever the focus is: a character, or one of [`keys`].
    pub(crate) fn press(&self, key: &str) {
        let stroke = [json!({ "type": "keyDown", "value": key }), json!({ "type": "keyUp", "value": key })];
        self.do_post("actions", &json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": stroke }] }));
    }

    /// Runs the body of a function in the page and gives what it returns.
    pub(crate) fn script(&self, body: &str) -> Value {
        self.do_post("execute/sync", &json!({ "script": body, "args": [] }))
    }

    /// Waits until the text of an element has these words.
    pub(crate) fn wait_for(&self, css: &str, words: &str) {
        self.wait(&format!("{words:?} in {css}"), || self.text(css).contains(words));
    }

    /// Waits until something holds; `what` says what was missing if it never does.
    pub(crate) fn wait(&self, what: &str, holds: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds() {
            assert!(Instant::now() < deadline, "{what}: never came. {}", self.situation());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// The tab that commands go to.
    pub(crate) fn tab(&self) -> Value {
        done(self.session.get("window"))
    }

    /// Opens another tab and goes there.
    pub(crate) fn new_tab(&self) -> Value {
        let made = self.do_post("window/new", &json!({ "type": "tab" }));
        self.go_to(&made["handle"]);
        made["handle"].clone()
    }

    /// Goes to a tab.
    pub(crate) fn go_to(&self, tab: &Value) {
        self.do_post("window", &json!({ "handle": tab }));
    }

    /// What the console has got since it was asked last: errors of scripts, what a policy has blocked, what did not load.
    pub(crate) fn console(&self) -> Vec<String> {
        let entries = self.do_post("se/log", &json!({ "type": "browser" }));
        let entries = entries.as_array().expect("a list").iter();
        entries.map(|entry| format!("{}: {}", entry["level"], entry["message"])).collect()
    }

    /// Chromium's own commands (the DevTools protocol).
    pub(crate) fn devtools(&self, command: &str, parameters: &Value) -> Value {
        self.do_post("goog/cdp/execute", &json!({ "cmd": command, "params": parameters }))
    }

    /// Looks at the page through a window of this size in pixels, in light or in dark.
    pub(crate) fn look(&self, width: u32, height: u32, dark: bool) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.devtools("Emulation.setDeviceMetricsOverride", &size);
        let scheme = if dark { "dark" } else { "light" };
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.devtools("Emulation.setEmulatedMedia", &features);
    }

    /// Checks that a page fits a phone, and takes pictures of it if somebody wants to see them: `name`, light and dark,
    /// wide and narrow, in the folder that `GATEWAY_PICTURES` names.
    pub(crate) fn pictures(&self, name: &str) {
        for (width, height, size) in [(1200, 800, "wide"), (390, 844, "narrow")] {
            for dark in [false, true] {
                self.look(width, height, dark);
                let too_wide = "return document.documentElement.scrollWidth - document.documentElement.clientWidth";
                assert_eq!(self.script(too_wide), 0, "{name} has to be scrolled sideways at {width} pixels");
                if let Some(folder) = std::env::var_os("GATEWAY_PICTURES") {
                    let color = if dark { "dark" } else { "light" };
                    self.picture(&Path::new(&folder).join(format!("{name}-{size}-{color}.png")));
                }
            }
        }
        self.devtools("Emulation.clearDeviceMetricsOverride", &json!({}));
        self.devtools("Emulation.setEmulatedMedia", &json!({ "features": [] }));
    }

    /// A picture of what the window shows.
    fn picture(&self, path: &Path) {
        let encoded = text(done(self.session.get("screenshot")));
        std::fs::write(path, base64(&encoded)).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    fn do_post(&self, command: &str, parameters: &Value) -> Value {
        self.session.post(command, parameters).unwrap_or_else(|failure| panic!("{command}: {failure:?}"))
    }

    /// Does something with the first element of a selector, as soon as it is there and lets it be done.
    fn with_element<T>(&self, css: &str, act: impl Fn(&str) -> Result<T, Failure>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = self.session.post("element", &json!({ "using": "css selector", "value": css }));
            let done = found.and_then(|element| act(element[ELEMENT].as_str().expect("an element")));
            let failure = match done {
                Ok(done) => return done,
                Err(failure) => failure,
            };
            let passes = matches!(
                &*failure.code,
                "no such element"
                    | "stale element reference"
                    | "element not interactable"
                    | "element click intercepted"
                    | "invalid element state"
            );
            assert!(passes && Instant::now() < deadline, "{css}: {failure:?}. {}", self.situation());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// What a person would see, for the message of a test that failed.
    fn situation(&self) -> String {
        let body = self.session.post("element", &json!({ "using": "css selector", "value": "body" }));
        let text =
            body.and_then(|body| self.session.get(&format!("element/{}/text", body[ELEMENT].as_str().unwrap_or(""))));
        format!("At {:?}: {}; console: {:?}", self.session.get("url"), text.unwrap_or_default(), self.console())
    }
}

/// How the browser is started.
fn capabilities(chromium: &str, profile: &Folder, scripts: bool) -> Value {
    let allowed = if scripts { 1 } else { 2 };
    let patience = PATIENCE.as_millis() as u64;
    json!({
        "goog:chromeOptions": {
            "binary": chromium,
            "args": [
                // As root, in containers, and on a machine without a network.
                "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic",
                "--no-first-run", "--disable-background-networking", "--disable-component-update",
                "--disable-sync", "--no-proxy-server", "--window-size=1200,900",
                format!("--user-data-dir={}", profile.0.display()),
            ],
            "prefs": { "profile.managed_default_content_settings.javascript": allowed },
        },
        "goog:loggingPrefs": { "browser": "ALL" },
        "timeouts": { "pageLoad": patience, "script": patience },
    })
}

/// Keys that are no characters (WebDriver, section 17.4.2).
pub(crate) mod keys {
    #![allow(dead_code, reason = "each test uses its own")]
    pub(crate) const ENTER: &str = "\u{e007}";
    pub(crate) const TAB: &str = "\u{e004}";
    pub(crate) const SPACE: &str = " ";
    /// Held down in a text that is typed, until it comes again.
    pub(crate) const SHIFT: &str = "\u{e008}";
}

fn done(result: Result<Value, Failure>) -> Value {
    result.unwrap_or_else(|failure| panic!("{failure:?}"))
}

fn text(value: Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value}")).to_owned()
}

/// The path of the first of these programs that is installed.
fn find(names: &[&str]) -> Option<String> {
    let path = std::env::var("PATH").unwrap_or_default();
    let folders: Vec<&str> = path.split(':').chain(FOLDERS.split(':')).collect();
    let mut candidates = names.iter().flat_map(|name| folders.iter().map(move |folder| Path::new(folder).join(name)));
    candidates.find(|path| path.is_file())?.to_str().map(str::to_owned)
}

/// The octets of base64, of which the sender is trusted to know the form.
fn base64(text: &str) -> Vec<u8> {
    let digit = |c: u8| match c {
        b'A'..=b'Z' => Some(c - b'A'),
        b'a'..=b'z' => Some(c - b'a' + 26),
        b'0'..=b'9' => Some(c - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let digits: Vec<u8> = text.bytes().filter_map(digit).collect();
    let groups = digits.chunks(4).flat_map(|group| {
        let bits = group.iter().enumerate().fold(0u32, |bits, (i, &digit)| bits | u32::from(digit) << (26 - 6 * i));
        bits.to_be_bytes().into_iter().take(group.len() * 6 / 8)
    });
    groups.collect()
}

/// A folder for a test, removed when dropped.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let (id, number) = (std::process::id(), NEXT.fetch_add(1, Relaxed));
        let path = std::env::temp_dir().join(format!("apps-browser-{id}-{number}-{name}"));
        std::fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A browser that ends may write one more file meanwhile.
        for _ in 0..50 {
            match std::fs::remove_dir_all(&self.0) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => thread::sleep(Duration::from_millis(20)),
                _ => return,
            }
        }
    }
}

#[test]
fn base64_is_read() {
    for (text, octets) in [("", &b""[..]), ("AA==", b"\0"), ("aGVsbG8=", b"hello"), ("+/+/", b"\xfb\xff\xbf")] {
        assert_eq!(base64(text), octets);
    }
}
