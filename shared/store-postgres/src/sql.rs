//! Running statements: the one place where errors of the driver become errors of the storage.
//!
//! Rows go into a statement as one JSON text, to be read there by `json_to_recordset`: one bound value
//! whatever the number of columns, so that every statement is prepared once. Where many rows go in all the
//! time, each of their columns goes in as an array ([`texts`], [`numbers`]), which costs the server half.

use std::sync::atomic::{AtomicU32, Ordering};

use std::borrow::Cow;

use serde::Serialize;
use sha2::{Digest as _, Sha256};
use sqlx::Postgres;
use sqlx::error::DatabaseError;
use sqlx::postgres::{PgArguments, PgConnection, PgDatabaseError, PgRow};
use sqlx::query::Query;
use sqlx::{Execute as _, SqlStr};
use tandem_store::StoreError;

/// A prepared statement with its values.
pub(crate) type Statement<'q> = Query<'q, Postgres, PgArguments>;

/// SQLSTATE `undefined_table`, `undefined_column`: the schema is not the one of this program.
const SCHEMA_CODES: [&str; 2] = ["42P01", "42703"];
/// SQLSTATE of what passes when the transaction is run again: `serialization_failure`,
/// `deadlock_detected`.
const TRANSIENT_CODES: [&str; 2] = ["40001", "40P01"];
/// SQLSTATE `feature_not_supported`, with which the server refuses a statement that was prepared before a
/// migration gave a table of it another column, and that lists all columns: it stays refused on its connection
/// until it is prepared anew. Other things have this code too; the place in the server's source tells them
/// apart in every language, and the words do where something in between keeps the place back.
const STALE_CODE: &str = "0A000";
const STALE_ROUTINE: &str = "RevalidateCachedQuery";
const STALE_WORDS: &str = "cached plan must not change result type";
/// SQLSTATE `lock_not_available`. A query that was cancelled, or ran into a `statement_timeout`, says nothing of locks.
const LOCKED_CODE: &str = "55P03";
/// No statement waits longer for a lock; `lock_timeout` of `open.rs`.
const LOCK_SECS: u64 = 5;
/// SQLSTATE `read_only_sql_transaction`.
const READ_ONLY_CODE: &str = "25006";
/// SQLSTATE `unique_violation`.
const UNIQUE_CODE: &str = "23505";
/// Unique indexes that two correct transactions can meet in: run again, the later one sees the row of
/// the earlier one.
const RACED_INDEXES: [&str; 5] = [
    "jobs_waiting_lane",
    "jobs_running_lane",
    "events_dedupe",
    "links_active_a",
    "links_active_b",
];

/// What stands in for NUL, which text of PostgreSQL cannot hold.
const NUL_STAND_IN: &str = "\u{fffd}";
/// The longest key that is stored as it is. A row of an index takes some 2,700 bytes.
const KEY_BYTES_MAX: usize = 512;
/// How much of a longer key is stored before its hash.
const KEY_CHARS_KEPT: usize = 100;

/// Why a statement failed.
#[derive(Debug)]
pub(crate) enum Failed {
    /// Another transaction was in the way; the whole transaction is to be run again.
    Raced(String),
    /// A migration came after the statement was prepared; the connection must forget what it has prepared, and
    /// the whole transaction is to be run again.
    Stale(String),
    /// The storage cannot do it.
    Store(StoreError),
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Failed> for StoreError {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Raced(reason) | Failed::Stale(reason) => Self::Unavailable(reason),
            Failed::Store(error) => error,
        }
    }
}

/// How many connections the pools of this process may hold at most, each.
static CONNECTIONS: AtomicU32 = AtomicU32::new(0);

/// How many idle connections are to be replaced before they are used again. Whether a session may change anything is set when it
/// begins: one that began while the database was read-only stays so for good, whatever the database allows since.
static SUSPECTS: AtomicU32 = AtomicU32::new(0);

/// Has the pools of this process replace so many connections once the database was read-only.
pub(crate) fn replaces(connections: u32) {
    CONNECTIONS.fetch_max(connections, Ordering::Relaxed);
}

/// Whether an idle connection may be used; one that may be read-only for good is replaced.
pub(crate) fn may_be_used() -> bool {
    let less = |left: u32| left.checked_sub(1);
    SUSPECTS
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less)
        .is_err()
}

/// Says what an error of the driver means.
pub(crate) fn failed(error: sqlx::Error) -> Failed {
    match error {
        sqlx::Error::ColumnDecode { index, source } => Failed::Store(StoreError::Corrupt {
            what: "row",
            reason: format!("column {index}: {source}"),
        }),
        sqlx::Error::ColumnNotFound(column) => Failed::Store(StoreError::Schema(format!(
            "column {column} is missing: run `tandem db migrate`"
        ))),
        sqlx::Error::Database(error) => {
            let code = error.code().unwrap_or_default();
            let message = error.message().to_owned();
            let raced = code == UNIQUE_CODE
                && error
                    .constraint()
                    .is_some_and(|index| RACED_INDEXES.contains(&index));
            if raced || TRANSIENT_CODES.contains(&&*code) {
                Failed::Raced(message)
            } else if code == STALE_CODE && is_stale(&*error) {
                Failed::Stale(message)
            } else if code == READ_ONLY_CODE {
                SUSPECTS.store(CONNECTIONS.load(Ordering::Relaxed), Ordering::Relaxed);
                Failed::Store(StoreError::Unavailable(format!(
                    "the database takes no changes ({message}): somebody has set `default_transaction_read_only`, as one does \
                     when its disk is full, or it is a standby. Nothing is kept until it takes changes again; then it goes \
                     on by itself"
                )))
            } else if code == LOCKED_CODE {
                Failed::Store(locked("a statement", &message))
            } else if SCHEMA_CODES.contains(&&*code) {
                Failed::Store(StoreError::Schema(format!(
                    "{message}: run `tandem db migrate`"
                )))
            } else {
                Failed::Store(StoreError::Unavailable(message))
            }
        }
        other => Failed::Store(StoreError::Unavailable(other.to_string())),
    }
}

/// As [`failed`], of a statement that is known: who waited for a lock in vain is told what did.
pub(crate) fn failed_in(statement: &str, error: sqlx::Error) -> Failed {
    match &error {
        sqlx::Error::Database(found) if found.code().as_deref() == Some(LOCKED_CODE) => {
            let name = statement.lines().next().unwrap_or_default();
            let name = format!("`{}`", name.trim_start_matches(['-', ' ']));
            Failed::Store(locked(&name, found.message()))
        }
        _ => failed(error),
    }
}

fn locked(statement: &str, message: &str) -> StoreError {
    StoreError::Unavailable(format!(
        "the database is locked: {statement} has waited {LOCK_SECS} s for a table or a row that another session holds \
         ({message}), such as a migration, a `VACUUM FULL` or a transaction that was left open. `SELECT pid, \
         pg_blocking_pids(pid), state, query FROM pg_stat_activity` names that session: end what it does, or end it with \
         `SELECT pg_terminate_backend(pid)`"
    ))
}

/// A statement, and its text to name it by should it fail.
fn named(mut statement: Statement<'_>) -> Result<(SqlStr, Statement<'static>), Failed> {
    let values = statement.take_arguments();
    let values = values.map_err(|error| failed(sqlx::Error::Encode(error)))?;
    let text = statement.sql();
    let statement = sqlx::query_with(text.clone(), values.unwrap_or_default());
    Ok((text, statement))
}

fn is_stale(error: &dyn DatabaseError) -> bool {
    let routine = error
        .try_downcast_ref::<PgDatabaseError>()
        .and_then(PgDatabaseError::routine);
    routine == Some(STALE_ROUTINE) || error.message() == STALE_WORDS
}

/// All rows that a statement gives.
pub(crate) async fn all(
    conn: &mut PgConnection,
    statement: Statement<'_>,
) -> Result<Vec<PgRow>, Failed> {
    let (text, statement) = named(statement)?;
    let rows = statement.fetch_all(conn).await;
    rows.map_err(|error| failed_in(text.as_str(), error))
}

/// The first row, if there is one.
pub(crate) async fn first(
    conn: &mut PgConnection,
    statement: Statement<'_>,
) -> Result<Option<PgRow>, Failed> {
    let (text, statement) = named(statement)?;
    let row = statement.fetch_optional(conn).await;
    row.map_err(|error| failed_in(text.as_str(), error))
}

/// The one row of a statement that always gives one.
pub(crate) async fn one(
    conn: &mut PgConnection,
    statement: Statement<'_>,
) -> Result<PgRow, Failed> {
    let (text, statement) = named(statement)?;
    let row = statement.fetch_one(conn).await;
    row.map_err(|error| failed_in(text.as_str(), error))
}

/// Runs a statement for its effect. Returns how many rows it changed.
pub(crate) async fn run(
    conn: &mut PgConnection,
    statement: Statement<'_>,
) -> Result<usize, Failed> {
    let (text, statement) = named(statement)?;
    let result = statement.execute(conn).await;
    let result = result.map_err(|error| failed_in(text.as_str(), error))?;
    Ok(usize::try_from(result.rows_affected()).unwrap_or(usize::MAX))
}

/// Rows as JSON text: how arrays go into a statement.
pub(crate) fn json<T: Serialize + ?Sized>(
    what: &'static str,
    value: &T,
) -> Result<String, StoreError> {
    let text = serde_json::to_string(value).map_err(|error| StoreError::Corrupt {
        what,
        reason: error.to_string(),
    })?;
    Ok(without_nul(text))
}

/// A kind or state as it is stored: the word that it is in JSON.
pub(crate) fn word<T: Serialize>(what: &'static str, value: &T) -> Result<String, StoreError> {
    let text = json(what, value)?;
    Ok(text.trim_matches('"').to_owned())
}

/// JSON writes NUL as an escape of its own, which PostgreSQL refuses. Nothing that Tandem compares can
/// tell the two apart, since both sides of a comparison pass here.
fn without_nul(text: String) -> String {
    const ESCAPED_NUL: &str = "\\u0000";
    if !text.contains(ESCAPED_NUL) {
        return text;
    }
    let mut clean = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        clean.push_str(before);
        // An escape is two bytes, or six when it names a code; both are ASCII.
        let length = if escape.starts_with("\\u") { 6 } else { 2 };
        let (this, after) = escape.split_at(length.min(escape.len()));
        clean.push_str(if this == ESCAPED_NUL {
            NUL_STAND_IN
        } else {
            this
        });
        rest = after;
    }
    clean.push_str(rest);
    clean
}

/// Text as PostgreSQL can hold it.
pub(crate) fn plain(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        Cow::Owned(text.replace('\0', NUL_STAND_IN))
    } else {
        Cow::Borrowed(text)
    }
}

/// Text that is only compared, at a length that an index takes: a long one is replaced by its beginning
/// and its hash.
pub(crate) fn key(text: &str) -> Cow<'_, str> {
    let text = plain(text);
    if text.len() <= KEY_BYTES_MAX {
        return text;
    }
    let beginning: String = text.chars().take(KEY_CHARS_KEPT).collect();
    let hash = hex::encode(Sha256::digest(text.as_bytes()));
    Cow::Owned(format!("{beginning}#{hash}"))
}

/// A column of text, as an array goes into a statement.
pub(crate) fn texts<'r, R>(
    rows: &'r [R],
    column: impl Fn(&'r R) -> Option<&'r str>,
) -> Vec<Option<Cow<'r, str>>> {
    rows.iter().map(|row| column(row).map(plain)).collect()
}

/// A column of numbers, as an array goes into a statement.
pub(crate) fn numbers<'r, R>(
    rows: &'r [R],
    column: impl Fn(&'r R) -> Option<i64>,
) -> Vec<Option<i64>> {
    rows.iter().map(column).collect()
}

/// A row count as PostgreSQL wants it.
pub(crate) fn limit(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

/// The limit of a list that a person or program asked for.
pub(crate) fn page(rows: usize) -> i64 {
    limit(rows.min(tandem_store::PAGE_ROWS_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nul_is_replaced_and_nothing_that_only_looks_like_one() {
        let text = json("test", &["a\0b", "\\u0000", "plain \\ \n \u{1}"]).expect("it is JSON");
        let back: Vec<String> = serde_json::from_str(&text).expect("it is JSON still");
        assert_eq!(back, ["a\u{fffd}b", "\\u0000", "plain \\ \n \u{1}"]);
    }

    #[test]
    fn only_a_long_key_is_shortened_and_two_long_ones_stay_two() {
        let longest = "k".repeat(KEY_BYTES_MAX);
        assert_eq!(key(&longest), longest);
        let (one, other) = ("ü".repeat(9_000), "ü".repeat(9_001));
        assert_ne!(key(&one), key(&other));
        assert_eq!(key(&one), key(&one.clone()));
        assert!(key(&one).len() <= KEY_BYTES_MAX);
        assert!(key(&one).starts_with("üü"));
    }

    #[test]
    fn text_has_no_nul() {
        assert_eq!(plain("a\0b"), "a\u{fffd}b");
        assert_eq!(plain("ab"), "ab");
    }
}
