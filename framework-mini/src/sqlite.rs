//! [`Sqlite`]: a database in a file, through rusqlite.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gateway_spec::Status;
use rusqlite::{Connection, ErrorCode, OptionalExtension, Transaction, TransactionBehavior};

use crate::pool::after;
use crate::{Error, Pool, Pooled};

/// How long a request waits for the database.
const PATIENCE: Duration = Duration::from_secs(5);

/// A SQLite database: a pool of connections, all set up the same.
///
/// Write-ahead log, so that readers and a writer do not wait for each other; foreign keys checked. Writers of this process
/// wait for their turn and not by trying again, so `database is locked` is not seen.
///
/// Nobody waits for longer than 5 seconds ([`patience`](Self::patience)) in all: for a turn, for a connection and for other
/// programs that hold the database. Then the answer is 503 with `Retry-After`, as it is for every error of SQLite that says
/// that the database is busy.
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
    /// The turn to write: lent to one at a time.
    turn: Pool<()>,
    patience: Duration,
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
            connection.busy_timeout(PATIENCE)?;
            connection
                .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON;")?;
            Ok(connection)
        });
        // The first mistake in the path is one at the start, not at the first request.
        drop(pool.get()?);
        Ok(Self { pool, turn: Pool::new(1, || Ok(())), patience: PATIENCE, _alive: None })
    }

    /// Waits for up to another time; zero is not at all.
    #[must_use]
    pub const fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// A connection by then, which waits for other programs as long.
    fn connection(&self, deadline: Instant) -> Result<Pooled<Connection>, Error> {
        let connection = self.pool.get_by(deadline)?;
        connection.busy_timeout(deadline.saturating_duration_since(Instant::now()))?;
        Ok(connection)
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
    /// Those of `read`; 503 if no connection is free in time.
    pub fn read<T>(&self, read: impl FnOnce(&Connection) -> Result<T, Error>) -> Result<T, Error> {
        read(&*self.connection(after(self.patience))?)
    }

    /// Writes, in a transaction that is there from the beginning (`BEGIN IMMEDIATE`): all is kept if `write` succeeds,
    /// nothing if it fails or panics. Within `write`, use what it is given: another `write` would wait for this one, in vain.
    ///
    /// # Errors
    /// Those of `write`; 503 if others write, here or in another program, until the [patience](Self::patience) ends.
    pub fn write<T>(&self, write: impl FnOnce(&Transaction<'_>) -> Result<T, Error>) -> Result<T, Error> {
        let deadline = after(self.patience);
        // The turn first: writers who wait for theirs do not hold connections that readers could use.
        let _turn = self.turn.get_by(deadline).map_err(|_| busy("other requests have been writing all the time"))?;
        let mut connection = self.connection(deadline)?;
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

/// 503: later it may go well.
pub(crate) fn busy(source: impl Into<gateway_spec::Error>) -> Error {
    let error = Error::new(Status::SERVICE_UNAVAILABLE, "The database is busy. Please try again in a moment.");
    error.with_header("Retry-After", "5").because(source)
}

/// Whether this is SQLite's way to say that others hold the database.
pub(crate) fn is_busy(error: &gateway_spec::Error) -> bool {
    let code = error.downcast_ref().and_then(rusqlite::Error::sqlite_error_code);
    matches!(code, Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

impl fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sqlite").field(&self.pool).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    const SHORT: Duration = Duration::from_millis(50);

    fn is_told(result: Result<(), Error>, why: &str) {
        let error = result.unwrap_err();
        assert_eq!((error.status().code(), error.headers().next()), (503, Some(("Retry-After", "5"))));
        assert!(error.chain().join(": ").contains(why), "{error:?}");
    }

    #[test]
    fn patience_may_be_endless() {
        let db = Sqlite::memory().unwrap().patience(Duration::MAX).migrate(&["CREATE TABLE t (x)"]).unwrap();
        db.write(|db| Ok(db.execute("INSERT INTO t VALUES (1)", []).map(drop)?)).unwrap();
        assert_eq!(db.one("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0)).unwrap(), Some(1));
    }

    /// Who waits for a turn is told before the one who has it is done: nobody else could end this test.
    #[test]
    fn writers_do_not_wait_for_ever() {
        let db = Sqlite::memory().unwrap().patience(SHORT);
        let (started, wait) = mpsc::channel();
        let (end, ended) = mpsc::channel();
        let first = db.clone();
        let first = thread::spawn(move || {
            first.write(|_| {
                started.send(()).unwrap();
                ended.recv().unwrap();
                Ok(())
            })
        });
        wait.recv().unwrap();
        for _ in 0..3 {
            is_told(db.write(|_| panic!("two at a time")), "other requests");
        }
        end.send(()).unwrap();
        first.join().unwrap().unwrap();
        // One that panics gives the turn back too.
        let other = db.clone();
        assert!(thread::spawn(move || other.write::<()>(|_| panic!("while writing"))).join().is_err());
        db.write(|_| Ok(())).unwrap();
    }

    #[test]
    fn another_program_that_holds_the_database_is_told_apart() {
        let path = std::env::temp_dir().join(format!("framework-mini-busy-{}.db", std::process::id()));
        let db = Sqlite::open(&path).unwrap().patience(SHORT).migrate(&["CREATE TABLE t (x UNIQUE)"]).unwrap();
        let other = Connection::open(&path).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        is_told(db.write(|_| Ok(())), "locked");
        // Readers do not wait.
        assert_eq!(db.one("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0)).unwrap(), Some(0));
        other.execute_batch("COMMIT").unwrap();
        let insert = || db.write(|db| Ok(db.execute("INSERT INTO t VALUES (1)", []).map(drop)?));
        insert().unwrap();
        assert_eq!(insert().unwrap_err().status(), &Status::INTERNAL_SERVER_ERROR);
        drop((db, other));
        for suffix in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{suffix}", path.display()));
        }
    }
}
