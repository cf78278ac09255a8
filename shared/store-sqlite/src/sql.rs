//! Running statements: the one place where errors of the driver become errors of the storage.

use serde::Serialize;
use sqlx::error::DatabaseError;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Executor, Sqlite, SqliteConnection};
use tandem_store::StoreError;

use crate::watch::Readers;

/// A prepared statement with its values.
pub(crate) type Statement<'q> = Query<'q, Sqlite, SqliteArguments>;

/// SQLite's message for a table that is not there.
const MISSING_TABLE: &str = "no such table";
/// SQLite's result codes for a file that is damaged, and for one that is no database.
const CORRUPT: i32 = 11;
const NOT_A_DATABASE: i32 = 26;
/// And for one that ends before what was to be read.
const SHORT_READ: i32 = 522;
/// For one that another connection holds.
const BUSY: i32 = 5;
const LOCKED: i32 = 6;
/// For a disk without room, one that fails, and a file that may only be read.
const FULL: i32 = 13;
const IO_FAILED: i32 = 10;
const READ_ONLY: i32 = 8;
/// The part of a result code that names the kind; the rest says more of it.
const KIND_OF_RESULT: i32 = 0xff;
/// How to go on with a damaged database.
pub(crate) const DAMAGED_ADVICE: &str = "stop Tandem, keep a copy of the whole folder, and look at it with `tandem db check`; then put \
     the last backup in its place (`tandem db backup` makes them) and start again";

/// Says what an error of the driver means to a caller.
pub(crate) fn failed(error: sqlx::Error) -> StoreError {
    match error {
        sqlx::Error::ColumnDecode { index, source } => StoreError::Corrupt {
            what: "row",
            reason: format!("column {index}: {source}"),
        },
        sqlx::Error::ColumnNotFound(column) => {
            StoreError::Schema(format!("column {column} is missing"))
        }
        sqlx::Error::Database(error) if error.message().contains(MISSING_TABLE) => {
            StoreError::Schema(error.message().to_owned())
        }
        // Not noted as damage: whether that lasts is found out before the next write.
        sqlx::Error::Database(error) if code(&*error) == Some(SHORT_READ) => {
            StoreError::Unavailable(format!(
                "the database or its write-ahead log ends too early; did something cut it? ({}): {DAMAGED_ADVICE}",
                error.message()
            ))
        }
        sqlx::Error::Database(error) if is_damage(&*error) => StoreError::Unusable(format!(
            "the database file is damaged ({}): {DAMAGED_ADVICE}",
            error.message()
        )),
        sqlx::Error::Database(error) if is_locked(&*error) => {
            StoreError::Unavailable(crate::locked::LOCKED.to_owned())
        }
        sqlx::Error::Database(error) if let Some(advice) = unwritten(&*error) => {
            StoreError::Unavailable(format!(
                "the database cannot be written ({}): {advice}",
                error.message()
            ))
        }
        other => StoreError::Unavailable(other.to_string()),
    }
}

pub(crate) fn is_locked(error: &(dyn DatabaseError + 'static)) -> bool {
    matches!(
        code(error).map(|code| code & KIND_OF_RESULT),
        Some(BUSY | LOCKED)
    )
}

/// What to do when the file is well and cannot be written.
fn unwritten(error: &(dyn DatabaseError + 'static)) -> Option<&'static str> {
    match code(error)? & KIND_OF_RESULT {
        FULL => Some(
            "the disk of the data folder is full. Make room there; Tandem goes on by itself then, and senders of webhooks \
             that were answered 503 send them again",
        ),
        IO_FAILED => Some(
            "is the disk of the data folder full, at a limit (quota, `ulimit -f`), or broken? Make room or mend it; Tandem \
             goes on by itself then, and senders of webhooks that were answered 503 send them again",
        ),
        READ_ONLY => Some(
            "the data folder, or its disk, may only be read. Give the user of Tandem the right to write there; it goes on by \
             itself then",
        ),
        _ => None,
    }
}

fn code(error: &(dyn DatabaseError + 'static)) -> Option<i32> {
    error.code()?.parse().ok()
}

/// Whether the file itself is wrong: no trial mends it.
pub(crate) fn is_damage(error: &(dyn DatabaseError + 'static)) -> bool {
    matches!(
        code(error).map(|code| code & KIND_OF_RESULT),
        Some(CORRUPT | NOT_A_DATABASE)
    )
}

/// What runs a statement.
pub(crate) enum Source<'c> {
    Readers(&'c Readers),
    Connection(&'c mut SqliteConnection),
}

impl<'c> From<&'c Readers> for Source<'c> {
    fn from(readers: &'c Readers) -> Self {
        Self::Readers(readers)
    }
}

impl<'c> From<&'c mut SqliteConnection> for Source<'c> {
    fn from(connection: &'c mut SqliteConnection) -> Self {
        Self::Connection(connection)
    }
}

/// As [`failed`], of a connection that reads: writing must stop too when SQLite says that the file is damaged.
fn read_failed(readers: &Readers, error: sqlx::Error) -> StoreError {
    readers.watch.noted(failed(error))
}

/// All rows that a statement gives.
pub(crate) async fn all<'c>(
    source: impl Into<Source<'c>>,
    statement: Statement<'_>,
) -> Result<Vec<SqliteRow>, StoreError> {
    match source.into() {
        Source::Readers(readers) => {
            let found = statement.fetch_all(&readers.pool).await;
            found.map_err(|error| read_failed(readers, error))
        }
        Source::Connection(connection) => statement.fetch_all(connection).await.map_err(failed),
    }
}

/// The first row, if there is one.
pub(crate) async fn first<'c>(
    source: impl Into<Source<'c>>,
    statement: Statement<'_>,
) -> Result<Option<SqliteRow>, StoreError> {
    match source.into() {
        Source::Readers(readers) => {
            let found = statement.fetch_optional(&readers.pool).await;
            found.map_err(|error| read_failed(readers, error))
        }
        Source::Connection(connection) => {
            statement.fetch_optional(connection).await.map_err(failed)
        }
    }
}

/// The one row of a statement that always gives one.
pub(crate) async fn one<'c>(
    source: impl Into<Source<'c>>,
    statement: Statement<'_>,
) -> Result<SqliteRow, StoreError> {
    match source.into() {
        Source::Readers(readers) => {
            let found = statement.fetch_one(&readers.pool).await;
            found.map_err(|error| read_failed(readers, error))
        }
        Source::Connection(connection) => statement.fetch_one(connection).await.map_err(failed),
    }
}

/// Runs a statement for its effect. Returns how many rows it changed.
pub(crate) async fn run<'c>(
    executor: impl Executor<'c, Database = Sqlite>,
    statement: Statement<'_>,
) -> Result<usize, StoreError> {
    let result = statement.execute(executor).await.map_err(failed)?;
    Ok(usize::try_from(result.rows_affected()).unwrap_or(usize::MAX))
}

/// Rows as JSON text: how arrays go into a statement, to be read there by `json_each`.
pub(crate) fn json<T: Serialize + ?Sized>(
    what: &'static str,
    value: &T,
) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Corrupt {
        what,
        reason: error.to_string(),
    })
}

/// A row count as SQLite wants it.
pub(crate) fn limit(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

/// The limit of a list that a person or program asked for.
pub(crate) fn page(rows: usize) -> i64 {
    limit(rows.min(tandem_store::PAGE_ROWS_MAX))
}
