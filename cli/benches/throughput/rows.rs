//! What the same PostgreSQL gives without Tandem: the rows that it has stored, put by plain SQL into an
//! empty database of the same schema, as many in a transaction.
//!
//! The rows are in memory before the time runs, and go over the wire as arrays, one statement a table:
//! there is no faster way to insert so few at a time.

use std::ops::Range;
use std::time::Duration;

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Postgres, Row as _};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::servers::Database;

/// A table, and what its rows are sorted by: those that a row refers to must be there before it.
pub type Table = (&'static str, &'static str);

/// The values of one column.
enum Values {
    Text(Vec<Option<String>>),
    Bigint(Vec<Option<i64>>),
    Bytes(Vec<Option<Vec<u8>>>),
}

impl Values {
    fn read(kind: &str, name: &str, rows: &[PgRow]) -> anyhow::Result<Self> {
        fn all<'r, T>(name: &str, rows: &'r [PgRow]) -> anyhow::Result<Vec<T>>
        where
            T: sqlx::Decode<'r, Postgres> + sqlx::Type<Postgres>,
        {
            Ok(rows
                .iter()
                .map(|row| row.try_get(name))
                .collect::<Result<_, _>>()?)
        }
        Ok(match kind {
            "text" => Self::Text(all(name, rows)?),
            "bigint" => Self::Bigint(all(name, rows)?),
            "bytea" => Self::Bytes(all(name, rows)?),
            other => anyhow::bail!("the column {name} is of type {other}, which is new here"),
        })
    }

    fn bind<'q>(
        &'q self,
        query: Query<'q, Postgres, PgArguments>,
        range: Range<usize>,
    ) -> Query<'q, Postgres, PgArguments> {
        match self {
            Self::Text(values) => query.bind(&values[range]),
            Self::Bigint(values) => query.bind(&values[range]),
            Self::Bytes(values) => query.bind(&values[range]),
        }
    }
}

/// The rows of a table, and the statement that inserts some of them.
struct Rows {
    insert: String,
    columns: Vec<Values>,
    count: usize,
}

impl Rows {
    async fn read(connection: &mut PgConnection, (table, order): Table) -> anyhow::Result<Self> {
        let names: Vec<(String, String)> = sqlx::query_as(
            "SELECT column_name::text, data_type::text FROM information_schema.columns
             WHERE table_schema = 'public' AND table_name = $1 ORDER BY ordinal_position",
        )
        .bind(table)
        .fetch_all(&mut *connection)
        .await?;
        let select = format!("SELECT * FROM {table} ORDER BY {order}");
        let rows = sqlx::query(AssertSqlSafe(select))
            .fetch_all(&mut *connection)
            .await?;
        let columns = names
            .iter()
            .map(|(name, kind)| Values::read(kind, name, &rows))
            .collect::<anyhow::Result<_>>()?;
        Ok(Self {
            insert: insert(table, &names),
            columns,
            count: rows.len(),
        })
    }

    async fn put(&self, connection: &mut PgConnection, range: Range<usize>) -> anyhow::Result<()> {
        let range = range.start.min(self.count)..range.end.min(self.count);
        let mut query = sqlx::query(AssertSqlSafe(self.insert.as_str()));
        for column in &self.columns {
            query = column.bind(query, range.clone());
        }
        query.execute(connection).await?;
        Ok(())
    }
}

fn insert(table: &str, names: &[(String, String)]) -> String {
    let columns: Vec<&str> = names.iter().map(|(name, _)| name.as_str()).collect();
    let arrays: Vec<String> = names
        .iter()
        .enumerate()
        .map(|(place, (_, kind))| format!("${}::{kind}[]", place + 1))
        .collect();
    format!(
        "INSERT INTO {table} ({}) SELECT * FROM unnest({})",
        columns.join(", "),
        arrays.join(", ")
    )
}

/// Copies all rows of these tables into an empty database, `batch` of each a transaction, over so many
/// connections at once. Returns how long the inserting took.
pub async fn copy(
    source: &Database,
    target: &Database,
    tables: &[Table],
    batch: usize,
    connections: usize,
) -> anyhow::Result<Duration> {
    let mut reading = source.connect().await?;
    let mut all = Vec::with_capacity(tables.len());
    for table in tables {
        all.push(Rows::read(&mut reading, *table).await?);
    }
    let longest = all.iter().map(|rows| rows.count).max().unwrap_or_default();
    let all = std::sync::Arc::new(all);
    let mut open = Vec::with_capacity(connections);
    for _ in 0..connections {
        open.push(target.connect().await?);
    }
    let began = Instant::now();
    let mut writers = JoinSet::new();
    for (place, mut connection) in open.into_iter().enumerate() {
        let all = std::sync::Arc::clone(&all);
        let firsts = (place * batch..longest).step_by(batch * connections);
        writers.spawn(async move {
            for first in firsts {
                let mut transaction = connection.begin().await?;
                for rows in all.iter() {
                    rows.put(&mut transaction, first..first + batch).await?;
                }
                transaction.commit().await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(written) = writers.join_next().await {
        written??;
    }
    Ok(began.elapsed())
}
