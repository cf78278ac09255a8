//! Statements outside of a transaction of several: each is a transaction of its own, on a connection of the pool,
//! and costs one round trip.

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::{Connection as _, Execute as _, PgConnection, PgPool, Postgres, SqlStr};
use tandem_store::StoreError;

use crate::sql::{self, Failed, Statement};
use crate::txn::{DEAD_CONNECTIONS_MAX, RACES_MAX, is_dead};

/// Migrations that may come, one after the other, while one verb is tried.
const MIGRATIONS_MAX: u32 = 8;

/// All rows that a statement gives.
pub(crate) async fn all(pool: &PgPool, statement: Statement<'_>) -> Result<Vec<PgRow>, Failed> {
    let statement = Again::of(statement)?;
    let mut tries = Tries::of(pool);
    loop {
        let mut conn = acquire(pool).await?;
        match sql::all(&mut conn, statement.once()).await {
            Err(Failed::Stale(_)) if tries.may_forget(&mut conn).await => {}
            done => return done,
        }
    }
}

/// The first row, if there is one.
pub(crate) async fn first(
    pool: &PgPool,
    statement: Statement<'_>,
) -> Result<Option<PgRow>, Failed> {
    Ok(all(pool, statement).await?.into_iter().next())
}

/// The one row of a statement that always gives one.
pub(crate) async fn one(pool: &PgPool, statement: Statement<'_>) -> Result<PgRow, Failed> {
    let row = first(pool, statement).await?;
    row.ok_or_else(|| sql::failed(sqlx::Error::RowNotFound))
}

/// Runs a statement for its effect. Returns how many rows it changed.
pub(crate) async fn run(pool: &PgPool, statement: Statement<'_>) -> Result<usize, Failed> {
    let statement = Again::of(statement)?;
    let mut tries = Tries::of(pool);
    loop {
        let mut conn = acquire(pool).await?;
        match sql::run(&mut conn, statement.once()).await {
            Err(Failed::Stale(_)) if tries.may_forget(&mut conn).await => {}
            done => return done,
        }
    }
}

/// Runs a verb that is one statement.
///
/// A dead connection is replaced even when it died on the way, and the statement perhaps took effect: what
/// is run so does no harm a second time. Leases that nobody heard of end by themselves; a job that had
/// ended already is reported as held by nobody.
pub(crate) async fn verb<A>(
    pool: &PgPool,
    args: &A,
    statement: for<'a> fn(&'a A) -> Statement<'a>,
) -> Result<Vec<PgRow>, StoreError> {
    let (mut races, mut dead, mut tries) = (0, 0, Tries::of(pool));
    loop {
        let mut conn = acquire(pool).await?;
        match statement(args).fetch_all(&mut *conn).await {
            Ok(rows) => return Ok(rows),
            Err(error) if is_dead(&error) && dead < DEAD_CONNECTIONS_MAX => dead += 1,
            Err(error) => match sql::failed_in(statement(args).sql().as_str(), error) {
                Failed::Raced(_) if races < RACES_MAX => races += 1,
                Failed::Stale(_) if tries.may_forget(&mut conn).await => {}
                failed => return Err(failed.into()),
            },
        }
    }
}

/// A connection of the pool. One that breaks while it is made (the database starts again) is made anew: nothing was
/// asked of it yet.
pub(crate) async fn acquire(pool: &PgPool) -> Result<PoolConnection<Postgres>, Failed> {
    let mut dead = 0;
    loop {
        match pool.acquire().await {
            Err(error) if is_dead(&error) && dead < DEAD_CONNECTIONS_MAX => dead += 1,
            acquired => return acquired.map_err(sql::failed),
        }
    }
}

/// A statement that can be run more than once.
struct Again {
    text: SqlStr,
    values: PgArguments,
}

impl Again {
    fn of(mut statement: Statement<'_>) -> Result<Self, Failed> {
        let values = statement.take_arguments();
        let values = values.map_err(|error| sql::failed(sqlx::Error::Encode(error)))?;
        Ok(Self {
            values: values.unwrap_or_default(),
            text: statement.sql(),
        })
    }

    fn once(&self) -> Statement<'static> {
        sqlx::query_with(self.text.clone(), self.values.clone())
    }
}

/// How many more connections may turn out to have prepared their statements before a migration. Each of the pool
/// does, and the next try gets any of them.
pub(crate) struct Tries(u32);

impl Tries {
    pub(crate) fn of(pool: &PgPool) -> Self {
        let connections = pool.options().get_max_connections();
        Self(connections.saturating_mul(MIGRATIONS_MAX))
    }

    /// Has a connection forget what it has prepared. Says whether it is to be tried again.
    pub(crate) async fn may_forget(&mut self, conn: &mut PgConnection) -> bool {
        let Some(left) = self.0.checked_sub(1) else {
            return false;
        };
        self.0 = left;
        if let Err(error) = conn.clear_cached_statements().await {
            // It is broken, then, and the pool finds out.
            tracing::debug!(%error, "a connection did not forget its statements");
        }
        true
    }
}
