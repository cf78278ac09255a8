//! Running statements: the one place where errors of the driver become errors of the storage.

use serde::Serialize;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Executor, Sqlite};
use tandem_store::StoreError;

/// A prepared statement with its values.
pub(crate) type Statement<'q> = Query<'q, Sqlite, SqliteArguments>;

/// SQLite's result code for a table that is not there.
const MISSING_TABLE: &str = "no such table";

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
        other => StoreError::Unavailable(other.to_string()),
    }
}

/// All rows that a statement gives.
pub(crate) async fn all<'c>(
    executor: impl Executor<'c, Database = Sqlite>,
    statement: Statement<'_>,
) -> Result<Vec<SqliteRow>, StoreError> {
    statement.fetch_all(executor).await.map_err(failed)
}

/// The first row, if there is one.
pub(crate) async fn first<'c>(
    executor: impl Executor<'c, Database = Sqlite>,
    statement: Statement<'_>,
) -> Result<Option<SqliteRow>, StoreError> {
    statement.fetch_optional(executor).await.map_err(failed)
}

/// The one row of a statement that always gives one.
pub(crate) async fn one<'c>(
    executor: impl Executor<'c, Database = Sqlite>,
    statement: Statement<'_>,
) -> Result<SqliteRow, StoreError> {
    statement.fetch_one(executor).await.map_err(failed)
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
