//! The guest book for asynchronous peers: a pool of connections, to be used where blocking is allowed.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use minijinja::{Environment, context};
use r2d2::{ManageConnection, Pool};
use rusqlite::Connection;

use super::super::book;
use super::other;

/// Cheap to clone; every worker has one.
#[derive(Clone)]
pub(super) struct Book {
    pool: Pool<Sqlite>,
    templates: Arc<Environment<'static>>,
}

/// What `r2d2_sqlite` does, which follows another version of `rusqlite`.
struct Sqlite(PathBuf);

impl ManageConnection for Sqlite {
    type Connection = Connection;
    type Error = rusqlite::Error;

    fn connect(&self) -> rusqlite::Result<Connection> {
        let connection = Connection::open(&self.0)?;
        connection
            .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON;")?;
        Ok(connection)
    }

    fn is_valid(&self, connection: &mut Connection) -> rusqlite::Result<()> {
        connection.execute_batch("")
    }

    fn has_broken(&self, _: &mut Connection) -> bool {
        false
    }
}

impl Book {
    /// With a new database.
    pub(super) fn new() -> io::Result<Self> {
        // As framework-mini does: a connection on a local file needs no question whether it is alive.
        let pool = Pool::builder().max_size(book::CONNECTIONS).test_on_check_out(false);
        let pool = pool.build(Sqlite(book::database_file()?)).map_err(other)?;
        let mut templates = Environment::new();
        templates.add_template(book::NAME, book::TEMPLATE).map_err(other)?;
        Ok(Self { pool, templates: Arc::new(templates) })
    }

    /// The page. Blocks.
    pub(super) fn page(&self) -> io::Result<String> {
        let entries = self.entries().map_err(other)?;
        let template = self.templates.get_template(book::NAME).map_err(other)?;
        template.render(context! { entries }).map_err(other)
    }

    fn entries(&self) -> Result<Vec<(String, String)>, Box<dyn std::error::Error + Send + Sync>> {
        let connection = self.pool.get()?;
        let mut newest = connection.prepare_cached(book::NEWEST)?;
        let rows = newest.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
