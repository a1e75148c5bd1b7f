//! [`Sqlite`]: a database in a file, through rusqlite.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};

use crate::{Error, Pool};

/// How long a connection waits for a lock of another process.
const BUSY: Duration = Duration::from_secs(5);

/// A SQLite database: a pool of connections, all set up the same.
///
/// Write-ahead log, so that readers and a writer do not wait for each other; foreign keys checked; 5 seconds of patience
/// with other processes. Writers of this process wait for each other in a queue and not by trying again, so `database is
/// locked` is not seen.
///
/// ```
/// use framework_mini::{App, Error, Path, Sqlite, State};
///
/// fn visit(Path(page): Path<String>, State(db): State<Sqlite>) -> Result<String, Error> {
///     let visits: i64 = db.write(|db| {
///         db.execute("INSERT INTO visit (page) VALUES (?)", [&page])?;
///         Ok(db.query_row("SELECT count(*) FROM visit WHERE page = ?", [&page], |row| row.get(0))?)
///     })?;
///     Ok(format!("visit {visits}"))
/// }
///
/// let db = Sqlite::memory()?.migrate(&["CREATE TABLE visit (page TEXT NOT NULL)"])?;
/// let site = App::new(db).get("/{page}", visit).build()?;
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone)]
pub struct Sqlite {
    pool: Pool<Connection>,
    writer: Arc<Mutex<()>>,
    /// A database in memory lives as long as a connection to it, and a pool may throw its connections away.
    _alive: Option<Arc<Mutex<Connection>>>,
}

impl Sqlite {
    /// A database in a file, which is made if there is none, with up to 8 connections.
    ///
    /// # Errors
    /// 500 with what SQLite says.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let path = path.into();
        Self::of(8, move || Connection::open(&path))
    }

    /// A database in memory, with one connection: for tests.
    ///
    /// # Errors
    /// 500 with what SQLite says.
    pub fn memory() -> Result<Self, Error> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("file:framework-mini-{number}?mode=memory&cache=shared");
        let alive = Connection::open(&name)?;
        let sqlite = Self::of(1, move || Connection::open(&name))?;
        Ok(Self { _alive: Some(Arc::new(Mutex::new(alive))), ..sqlite })
    }

    fn of(size: usize, open: impl Fn() -> rusqlite::Result<Connection> + Send + Sync + 'static) -> Result<Self, Error> {
        let pool = Pool::new(size, move || {
            let connection = open()?;
            connection.busy_timeout(BUSY)?;
            connection
                .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON;")?;
            Ok(connection)
        });
        // The first mistake in the path is one at the start, not at the first request.
        drop(pool.get()?);
        Ok(Self { pool, writer: Arc::default(), _alive: None })
    }

    /// Brings the tables up to date: of these steps, those that this database has not seen, in order, all or none.
    ///
    /// A step that was published never changes; what is to change is a new step. How many there were is kept in
    /// `user_version`.
    ///
    /// # Errors
    /// 500 with what SQLite says, or if the database has seen more steps than there are: a newer program has used it.
    pub fn migrate(self, steps: &[&str]) -> Result<Self, Error> {
        self.write(|db| {
            let seen: i64 = db.query_row("PRAGMA user_version", [], |row| row.get(0))?;
            let new = usize::try_from(seen).ok().and_then(|seen| steps.get(seen..));
            let new = new.ok_or_else(|| {
                let message = format!("the database has seen {seen} steps and the program knows {}", steps.len());
                Error::internal(message)
            })?;
            for step in new {
                db.execute_batch(step)?;
            }
            db.pragma_update(None, "user_version", i64::try_from(steps.len())?)?;
            Ok(())
        })?;
        Ok(self)
    }

    /// Reads.
    ///
    /// # Errors
    /// Those of `read`; 503 if no connection is free for 5 seconds.
    pub fn read<T>(&self, read: impl FnOnce(&Connection) -> Result<T, Error>) -> Result<T, Error> {
        read(&*self.pool.get()?)
    }

    /// Writes, in a transaction that is there from the beginning (`BEGIN IMMEDIATE`): all is kept if `write` succeeds,
    /// nothing if it fails or panics. Within `write`, use what it is given: another `write` would wait for this one.
    ///
    /// # Errors
    /// Those of `write`; 503 if no connection is free for 5 seconds.
    pub fn write<T>(&self, write: impl FnOnce(&Transaction<'_>) -> Result<T, Error>) -> Result<T, Error> {
        // The turn first: writers who wait for theirs do not hold connections that readers could use.
        let _turn = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut connection = self.pool.get()?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let result = write(&transaction)?;
        transaction.commit()?;
        Ok(result)
    }

    /// Reads one row, or `None`: short for the most frequent question.
    ///
    /// # Errors
    /// 500 with what SQLite says.
    pub fn one<T, P: rusqlite::Params>(
        &self,
        sql: &str,
        params: P,
        row: impl FnOnce(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, Error> {
        self.read(|db| Ok(db.prepare_cached(sql)?.query_row(params, row).optional()?))
    }

    /// Reads all rows: short for the second most frequent one. Put a `LIMIT` into the question.
    ///
    /// # Errors
    /// 500 with what SQLite says.
    pub fn all<T, P: rusqlite::Params>(
        &self,
        sql: &str,
        params: P,
        row: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, Error> {
        self.read(|db| Ok(db.prepare_cached(sql)?.query_map(params, row)?.collect::<Result<_, _>>()?))
    }
}

impl fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sqlite").field(&self.pool).finish()
    }
}
