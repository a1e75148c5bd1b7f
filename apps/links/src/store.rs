//! The database: links, logins and the key of sessions.

use std::path::Path;

use framework_mini::rusqlite::{self, OptionalExtension, Row, params_from_iter};
use framework_mini::{Error, Sqlite};

use crate::link::{Draft, Link};
use crate::visits::Counts;

/// How the tables came to be. A step that was published never changes.
const STEPS: &[&str] = &[
    "
    CREATE TABLE link (
        id INTEGER PRIMARY KEY,
        slug TEXT NOT NULL UNIQUE COLLATE NOCASE,
        target TEXT NOT NULL,
        title TEXT NOT NULL,
        visits INTEGER NOT NULL DEFAULT 0,
        created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now')),
        created_by TEXT NOT NULL,
        changed_at TEXT,
        changed_by TEXT,
        visited_at TEXT,
        revision INTEGER NOT NULL DEFAULT 1
    );
    CREATE INDEX link_by_visits ON link (visits);
    -- Each new password is a new version: sessions of an older one have ended.
    CREATE TABLE login (
        name TEXT PRIMARY KEY,
        hash TEXT NOT NULL,
        version INTEGER NOT NULL DEFAULT 1
    );
    CREATE TABLE setting (name TEXT PRIMARY KEY, value BLOB NOT NULL);
",
    "
    -- Who is logged in, in which browser. A number is never given twice: a cookie that is signed outlives its session.
    CREATE TABLE session (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        login TEXT NOT NULL,
        version INTEGER NOT NULL,
        begun_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now'))
    );
",
];

/// A session that has not ended: neither too old nor of a login that is gone or has another password by now.
const LIVES: &str = "session.begun_at > strftime('%Y-%m-%dT%H:%M:%SZ', 'now', '-14 days')
    AND EXISTS (SELECT 1 FROM login WHERE login.name = session.login AND login.version = session.version)";

const COLUMNS: &str =
    "id, slug, target, title, visits, created_at, created_by, changed_at, changed_by, visited_at, revision";

/// Words of a search that count; more of them only cost time.
const MAX_WORDS: usize = 8;

/// Links, logins and the key of sessions, in a SQLite database.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    db: Sqlite,
}

/// In which order links are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Order {
    #[default]
    Newest,
    Visits,
    Name,
}

impl Order {
    pub(crate) fn of_name(name: Option<&str>) -> Self {
        match name {
            Some("visits") => Self::Visits,
            Some("name") => Self::Name,
            _ => Self::Newest,
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Newest => "newest",
            Self::Visits => "visits",
            Self::Name => "name",
        }
    }

    const fn sql(self) -> &'static str {
        match self {
            Self::Newest => "id DESC",
            Self::Visits => "visits DESC, id DESC",
            Self::Name => "slug",
        }
    }
}

/// What a change came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Done,
    /// Another link has the name.
    Taken,
    /// Somebody else has changed it since the form was made.
    Stale,
    /// There is no such link any more.
    Gone,
}

/// A login as it is stored.
#[derive(Clone, Debug)]
pub(crate) struct Login {
    pub(crate) hash: String,
    pub(crate) version: i64,
}

impl Store {
    /// Opens the database of a file, or one in memory, and brings its tables up to date.
    pub(crate) fn open(path: Option<&Path>) -> Result<Self, Error> {
        let db = match path {
            Some(path) => Sqlite::open(path)?,
            None => Sqlite::memory()?,
        };
        Ok(Self { db: db.migrate(STEPS)? })
    }

    /// How many links match, and those of one page, counted from 1.
    pub(crate) fn list(
        &self,
        search: &str,
        order: Order,
        page: usize,
        per_page: usize,
    ) -> Result<(usize, Vec<Link>), Error> {
        let words: Vec<String> = search.split_whitespace().take(MAX_WORDS).map(pattern).collect();
        let condition = words.iter().map(|_| " AND slug || ' ' || title || ' ' || target LIKE ? ESCAPE '\\'");
        let condition: String = condition.collect();
        // SQLite counts in 63 bits; there is nothing so far away.
        let offset = page.saturating_sub(1).saturating_mul(per_page).min(1 << 40);
        let order = order.sql();
        let select = format!(
            "SELECT {COLUMNS} FROM link WHERE true{condition} ORDER BY {order} LIMIT {per_page} OFFSET {offset}"
        );
        let count = format!("SELECT count(*) FROM link WHERE true{condition}");
        let total: i64 = self.db.one(&count, params_from_iter(&words), |row| row.get(0))?.unwrap_or_default();
        Ok((usize::try_from(total)?, self.db.all(&select, params_from_iter(&words), link)?))
    }

    /// The link of a name.
    pub(crate) fn find(&self, slug: &str) -> Result<Option<Link>, Error> {
        self.db.one(&format!("SELECT {COLUMNS} FROM link WHERE slug = ?"), [slug], link)
    }

    /// The links that were made after another one, oldest first: all of them, piece by piece.
    pub(crate) fn after(&self, id: i64, most: usize) -> Result<Vec<Link>, Error> {
        let most = i64::try_from(most)?;
        self.db.all(&format!("SELECT {COLUMNS} FROM link WHERE id > ? ORDER BY id LIMIT ?"), [id, most], link)
    }

    pub(crate) fn create(&self, draft: &Draft, by: &str) -> Result<Change, Error> {
        self.db.write(|db| {
            let sql = "INSERT INTO link (slug, target, title, created_by) VALUES (?, ?, ?, ?)";
            changed(db.execute(sql, (&draft.slug, &draft.target, &draft.title, by)), Change::Gone)
        })
    }

    /// Changes the link of a name if its revision is still this one.
    pub(crate) fn update(&self, slug: &str, revision: i64, draft: &Draft, by: &str) -> Result<Change, Error> {
        self.db.write(|db| {
            let sql = "UPDATE link SET slug = ?, target = ?, title = ?, changed_by = ?, revision = revision + 1,
                       changed_at = strftime('%Y-%m-%dT%H:%M:%SZ', 'now') WHERE slug = ? AND revision = ?";
            let there = db.query_row("SELECT 1 FROM link WHERE slug = ?", [slug], |_| Ok(())).optional()?;
            let none = if there.is_some() { Change::Stale } else { Change::Gone };
            changed(db.execute(sql, (&draft.slug, &draft.target, &draft.title, by, slug, revision)), none)
        })
    }

    pub(crate) fn delete(&self, slug: &str) -> Result<bool, Error> {
        self.db.write(|db| Ok(db.execute("DELETE FROM link WHERE slug = ?", [slug])? == 1))
    }

    pub(crate) fn count_visits(&self, counts: &Counts) -> Result<(), Error> {
        let sql = "UPDATE link SET visits = visits + ?, visited_at = strftime('%Y-%m-%dT%H:%M:%SZ', 'now')
                   WHERE id = ?";
        self.db.write(|db| {
            let mut update = db.prepare_cached(sql)?;
            for (id, count) in counts {
                update.execute((i64::try_from(*count)?, id))?;
            }
            Ok(())
        })
    }

    pub(crate) fn login(&self, name: &str) -> Result<Option<Login>, Error> {
        let login = |row: &Row<'_>| Ok(Login { hash: row.get(0)?, version: row.get(1)? });
        self.db.one("SELECT hash, version FROM login WHERE name = ?", [name], login)
    }

    pub(crate) fn has_logins(&self) -> Result<bool, Error> {
        Ok(self.db.one("SELECT 1 FROM login LIMIT 1", [], |_| Ok(()))?.is_some())
    }

    /// Begins a session of a login, unless its password has another version by now; its number.
    pub(crate) fn begin_session(&self, name: &str, version: i64) -> Result<Option<i64>, Error> {
        self.db.write(|db| {
            db.execute(&format!("DELETE FROM session WHERE NOT ({LIVES})"), [])?;
            let sql = "INSERT INTO session (login, version)
                       SELECT name, version FROM login WHERE name = ? AND version = ? RETURNING id";
            Ok(db.query_row(sql, (name, version), |row| row.get(0)).optional()?)
        })
    }

    /// The login of a session that has not ended.
    pub(crate) fn session(&self, id: i64) -> Result<Option<String>, Error> {
        self.db.one(&format!("SELECT login FROM session WHERE id = ? AND {LIVES}"), [id], |row| row.get(0))
    }

    /// Ends a session, if it has not ended.
    pub(crate) fn end_session(&self, id: i64) -> Result<(), Error> {
        self.db.write(|db| Ok(db.execute("DELETE FROM session WHERE id = ?", [id]).map(drop)?))
    }

    /// Sets the password of a login, which is made if there is none, and says its new version. All its sessions end.
    pub(crate) fn set_password(&self, name: &str, hash: &str) -> Result<i64, Error> {
        self.db.write(|db| {
            // A login that was deleted and is made anew has the versions of the old one again.
            db.execute("DELETE FROM session WHERE login = ?", [name])?;
            let sql = "INSERT INTO login (name, hash) VALUES (?, ?)
                       ON CONFLICT (name) DO UPDATE SET hash = excluded.hash, version = version + 1
                       RETURNING version";
            Ok(db.query_row(sql, [name, hash], |row| row.get(0))?)
        })
    }

    /// The key that sessions are signed with, made once: sessions outlive a restart.
    pub(crate) fn session_key(&self) -> Result<Vec<u8>, Error> {
        let mut new = [0; 32];
        getrandom::fill(&mut new)?;
        self.db.write(|db| {
            db.execute(
                "INSERT INTO setting (name, value) VALUES ('session_key', ?) ON CONFLICT DO NOTHING",
                [&new[..]],
            )?;
            Ok(db.query_row("SELECT value FROM setting WHERE name = 'session_key'", [], |row| row.get(0))?)
        })
    }
}

fn link(row: &Row<'_>) -> rusqlite::Result<Link> {
    Ok(Link {
        id: row.get(0)?,
        slug: row.get(1)?,
        target: row.get(2)?,
        title: row.get(3)?,
        visits: row.get(4)?,
        created_at: row.get(5)?,
        created_by: row.get(6)?,
        changed_at: row.get(7)?,
        changed_by: row.get(8)?,
        visited_at: row.get(9)?,
        revision: row.get(10)?,
    })
}

/// What came of a statement that changes one row, or `none` if it has changed none.
fn changed(result: rusqlite::Result<usize>, none: Change) -> Result<Change, Error> {
    match result {
        Ok(0) => Ok(none),
        Ok(_) => Ok(Change::Done),
        Err(error) if is_taken(&error) => Ok(Change::Taken),
        Err(error) => Err(error.into()),
    }
}

/// Whether a name is there already; other constraints are not the client's business.
fn is_taken(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error().map(|error| error.extended_code);
    code == Some(rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE)
}

/// A word as a pattern of `LIKE`: somewhere within, and itself only.
fn pattern(word: &str) -> String {
    format!("%{}%", word.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(slug: &str, title: &str) -> Draft {
        Draft { slug: slug.into(), target: format!("https://{slug}.example/"), title: title.into() }
    }

    fn slugs(store: &Store, search: &str, order: Order) -> Vec<String> {
        store.list(search, order, 1, 10).unwrap().1.into_iter().map(|link| link.slug).collect()
    }

    #[test]
    fn changes() {
        let store = Store::open(None).unwrap();
        let (a, b) = (draft("a", "A"), draft("b", "B"));
        assert_eq!(store.create(&a, "ada").unwrap(), Change::Done);
        assert_eq!(store.create(&draft("A", ""), "bob").unwrap(), Change::Taken);
        assert_eq!(store.find("A").unwrap(), store.find("a").unwrap());
        assert_eq!(store.update("a", 1, &b, "bob").unwrap(), Change::Done);
        assert_eq!(store.update("a", 1, &b, "bob").unwrap(), Change::Gone);
        assert_eq!(store.update("b", 1, &a, "ada").unwrap(), Change::Stale);
        assert_eq!(store.create(&a, "ada").unwrap(), Change::Done);
        assert_eq!(store.update("b", 2, &a, "ada").unwrap(), Change::Taken);
        let kept = store.find("b").unwrap().unwrap();
        assert_eq!((kept.title.as_str(), kept.revision, kept.changed_by.as_deref()), ("B", 2, Some("bob")));
        assert!(store.delete("b").unwrap() && !store.delete("b").unwrap());
        assert_eq!(store.find("b").unwrap(), None);
    }

    #[test]
    fn a_new_password_is_a_new_version_and_the_key_stays() {
        let store = Store::open(None).unwrap();
        assert!(!store.has_logins().unwrap() && store.login("ada").unwrap().is_none());
        assert_eq!((store.set_password("ada", "x").unwrap(), store.set_password("ada", "y").unwrap()), (1, 2));
        let login = store.login("ada").unwrap().unwrap();
        assert_eq!((login.hash.as_str(), login.version), ("y", 2));
        let key = store.session_key().unwrap();
        assert_eq!((key.len(), &key), (32, &store.session_key().unwrap()));
    }

    #[test]
    fn sessions_end() {
        let store = Store::open(None).unwrap();
        let version = store.set_password("ada", "x").unwrap();
        let begin = |version| store.begin_session("ada", version).unwrap();
        let (one, two) = (begin(version).unwrap(), begin(version).unwrap());
        assert_eq!((begin(version + 1), store.begin_session("bob", version).unwrap()), (None, None));
        let lives = |id| store.session(id).unwrap().as_deref() == Some("ada");
        assert!(lives(one) && lives(two));
        store.end_session(two).unwrap();
        store.end_session(two).unwrap();
        assert!(lives(one) && !lives(two));
        // No number comes again.
        let three = begin(version).unwrap();
        assert!(three > two && lives(three) && !lives(two));
        // Fourteen days after it has begun.
        let age = |id: i64, days: i64| {
            let sql = "UPDATE session SET begun_at = strftime('%Y-%m-%dT%H:%M:%SZ', 'now', ? || ' days') WHERE id = ?";
            store.db.write(|db| Ok(db.execute(sql, (-days, id))?)).unwrap();
        };
        age(one, 13);
        assert!(lives(one));
        age(one, 14);
        assert!(!lives(one) && lives(three));
        // With a new password, also one of a login that was deleted meanwhile.
        assert_eq!(store.set_password("ada", "y").unwrap(), version + 1);
        assert!(!lives(three));
        let four = begin(version + 1).unwrap();
        store.db.write(|db| Ok(db.execute("DELETE FROM login", [])?)).unwrap();
        assert!(!lives(four));
        for hash in ["x", "y"] {
            store.set_password("ada", hash).unwrap();
            assert!(!lives(four));
        }
        begin(version + 1).unwrap();
        let count = store.db.one("SELECT count(*) FROM session", [], |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!(count, Some(1), "those that have ended are not kept");
    }

    #[test]
    fn searching_and_sorting() {
        let store = Store::open(None).unwrap();
        for (slug, title) in [("wiki", "Our Wiki"), ("docs", "100% docs"), ("wi_fi", "Guests \\ Wi-Fi")] {
            store.create(&draft(slug, title), "ada").unwrap();
        }
        store.count_visits(&Counts::from([(store.find("docs").unwrap().unwrap().id, 2)])).unwrap();
        assert_eq!(store.find("docs").unwrap().unwrap().visits, 2);
        assert_eq!(slugs(&store, "", Order::Newest), ["wi_fi", "docs", "wiki"]);
        assert_eq!(slugs(&store, "", Order::Visits), ["docs", "wi_fi", "wiki"]);
        assert_eq!(slugs(&store, "", Order::Name), ["docs", "wi_fi", "wiki"]);
        for (search, found) in [
            ("WIKI", &["wiki"][..]),
            ("our example", &["wiki"]),
            ("0%", &["docs"]),
            ("i_f", &["wi_fi"]),
            ("\\", &["wi_fi"]),
            ("wi", &["wi_fi", "wiki"]),
            ("' OR 1=1 --", &[]),
        ] {
            assert_eq!(slugs(&store, search, Order::Newest), found, "{search}");
        }
        let (total, second) = store.list("", Order::Name, 2, 2).unwrap();
        assert_eq!((total, second.len(), second[0].slug.as_str()), (3, 1, "wiki"));
        assert_eq!(store.list("", Order::Name, usize::MAX, 20).unwrap().1, []);
    }
}
