//! What the same SQLite gives without Tandem: plain SQL on a file of the same schema, on the same
//! disk, as durable (`synchronous = FULL`), with the same number of rows in a transaction.
//!
//! Rows come from the file that was just written, so that no time goes into making them.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection as _, SqliteConnection};
use tandem_store_sqlite::{SqliteOptions, SqliteStore};
use tokio::time::Instant;

/// As the product sets them.
const CACHE_KIB: &str = "-16384";
const MMAP_BYTES: &str = "0";
const CHECKPOINT_PAGES: &str = "4000";

/// One connection to a database file.
pub struct Database(SqliteConnection);

impl Database {
    /// Opens a file that is there.
    pub async fn open(path: &Path) -> anyhow::Result<Self> {
        let connection = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .pragma("cache_size", CACHE_KIB)
            .pragma("mmap_size", MMAP_BYTES)
            .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
            .disable_statement_logging()
            .connect()
            .await
            .with_context(|| format!("opening {}", path.display()))?;
        Ok(Self(connection))
    }

    /// Makes an empty file with the product's schema; the tables of `source` are `source.…` in it.
    pub async fn like(source: &Path, path: &Path) -> anyhow::Result<Self> {
        drop(SqliteStore::open(path, SqliteOptions { exclusive: true }).await?);
        let mut database = Self::open(path).await?;
        sqlx::query("ATTACH ?1 AS source")
            .bind(source.display().to_string())
            .execute(&mut database.0)
            .await
            .context("attaching the file with the rows")?;
        Ok(database)
    }

    /// The one number that a query gives.
    pub async fn count(&mut self, query: &'static str) -> anyhow::Result<usize> {
        let count: i64 = sqlx::query_scalar(query).fetch_one(&mut self.0).await?;
        Ok(usize::try_from(count)?)
    }

    /// Runs statements as one durable transaction, each for the rows numbered from `?1` to `?2`.
    pub async fn commit(
        &mut self,
        statements: &[String],
        first: usize,
        last: usize,
    ) -> anyhow::Result<()> {
        let mut transaction = self.0.begin_with("BEGIN IMMEDIATE").await?;
        for statement in statements {
            sqlx::query(AssertSqlSafe(statement.as_str()))
                .bind(i64::try_from(first)?)
                .bind(i64::try_from(last)?)
                .execute(&mut *transaction)
                .await?;
        }
        Ok(transaction.commit().await?)
    }
}

/// Copies rows `1..=rows` of each of these tables into an empty file, `batch` of each a transaction.
pub async fn copy_rows(
    source: &Path,
    path: &Path,
    tables: &[&str],
    rows: usize,
    batch: usize,
) -> anyhow::Result<Duration> {
    let mut database = Database::like(source, path).await?;
    let copy = |table| {
        format!(
            "INSERT INTO main.{table} SELECT * FROM source.{table} WHERE rowid BETWEEN ?1 AND ?2"
        )
    };
    let statements: Vec<String> = tables.iter().map(copy).collect();
    let began = Instant::now();
    for first in (1..=rows).step_by(batch) {
        database
            .commit(&statements, first, first + batch - 1)
            .await?;
    }
    Ok(began.elapsed())
}
