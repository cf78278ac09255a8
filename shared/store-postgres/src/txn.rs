//! Transactions. A verb is a function of the open transaction and its arguments; it may be run more
//! than once, because two transactions can meet (a deadlock, a row inserted meanwhile): then one of
//! them is undone by the database and run again, and sees what the other did.
//!
//! A verb runs in a task of its own, so that a caller who gives up half-way (a job whose lease is
//! lost) does not leave it half-way: it was asked for.

use std::pin::Pin;

use sqlx::postgres::PgRow;
use sqlx::{PgPool, Postgres, Transaction};
use tandem_store::StoreError;

use crate::sql::{self, Failed, Statement};
use crate::tally::Tally;

/// How often a transaction is run again because another one was in the way.
const RACES_MAX: u32 = 20;
/// How many connections may turn out to be dead before the database counts as gone: a restart of the
/// database kills all that the pool holds.
const DEAD_CONNECTIONS_MAX: u32 = 64;

/// SQLSTATE `admin_shutdown`, `crash_shutdown`: what the server says as it closes a connection.
const SHUTDOWN_CODES: [&str; 2] = ["57P01", "57P02"];

/// A future in a box, as a verb returns it.
pub(crate) type Boxed<'t, T> = Pin<Box<dyn Future<Output = T> + Send + 't>>;

/// What a transaction does: a function of it and of its arguments.
pub(crate) type Verb<A, T, X> = for<'t> fn(&'t mut Txn, &'t A) -> Boxed<'t, Result<T, X>>;

/// The open transaction, and what it counts.
pub(crate) struct Txn {
    open: Transaction<'static, Postgres>,
    pub(crate) tally: Tally,
}

impl Txn {
    /// All rows that a statement gives.
    pub(crate) async fn all(&mut self, statement: Statement<'_>) -> Result<Vec<PgRow>, Failed> {
        sql::all(&mut *self.open, statement).await
    }

    /// The first row, if there is one.
    pub(crate) async fn first(
        &mut self,
        statement: Statement<'_>,
    ) -> Result<Option<PgRow>, Failed> {
        sql::first(&mut *self.open, statement).await
    }

    /// The one row of a statement that always gives one.
    pub(crate) async fn one(&mut self, statement: Statement<'_>) -> Result<PgRow, Failed> {
        sql::one(&mut *self.open, statement).await
    }

    /// Runs a statement for its effect. Returns how many rows it changed.
    pub(crate) async fn run(&mut self, statement: Statement<'_>) -> Result<usize, Failed> {
        sql::run(&mut *self.open, statement).await
    }

    async fn commit(mut self) -> Result<(), Failed> {
        self.tally.flush(&mut self.open).await?;
        self.open.commit().await.map_err(sql::failed)
    }
}

/// Why a verb changed nothing: for a reason of its own, which is an answer, or a failure.
#[derive(Debug)]
pub(crate) enum Stop<E> {
    Refused(E),
    Failed(Failed),
}

impl<E> From<Failed> for Stop<E> {
    fn from(failed: Failed) -> Self {
        Self::Failed(failed)
    }
}

impl<E> From<StoreError> for Stop<E> {
    fn from(error: StoreError) -> Self {
        Self::Failed(Failed::Store(error))
    }
}

/// Tells whether running the transaction again may help.
pub(crate) trait MayRace {
    fn raced(&self) -> bool;
}

impl MayRace for Failed {
    fn raced(&self) -> bool {
        matches!(self, Self::Raced(_))
    }
}

impl<E> MayRace for Stop<E> {
    fn raced(&self) -> bool {
        matches!(self, Self::Failed(failed) if failed.raced())
    }
}

/// Runs a verb in a transaction; returns after its commit. An error undoes what it did.
pub(crate) async fn write<A, T>(
    pool: &PgPool,
    args: A,
    verb: Verb<A, T, Failed>,
) -> Result<T, StoreError>
where
    A: Send + Sync + 'static,
    T: Send + 'static,
{
    spawned(pool, args, verb).await?.map_err(StoreError::from)
}

/// Like [`write`], for verbs that can be refused for reasons of their own: a refusal undoes what the
/// verb did, and is no failure of the storage.
pub(crate) async fn decide<A, T, E>(
    pool: &PgPool,
    args: A,
    verb: Verb<A, T, Stop<E>>,
) -> Result<Result<T, E>, StoreError>
where
    A: Send + Sync + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    match spawned(pool, args, verb).await? {
        Ok(result) => Ok(Ok(result)),
        Err(Stop::Refused(refusal)) => Ok(Err(refusal)),
        Err(Stop::Failed(failed)) => Err(failed.into()),
    }
}

/// Runs a verb that is one statement, which is then a transaction of its own and costs one round trip.
///
/// A dead connection is replaced even when it died on the way, and the statement perhaps took effect: what
/// is run so does no harm a second time. Leases that nobody heard of end by themselves; a job that had
/// ended already is reported as held by nobody.
pub(crate) async fn alone<A>(
    pool: &PgPool,
    args: &A,
    statement: for<'a> fn(&'a A) -> Statement<'a>,
) -> Result<Vec<PgRow>, StoreError> {
    let (mut races, mut dead) = (0, 0);
    loop {
        match statement(args).fetch_all(pool).await {
            Ok(rows) => return Ok(rows),
            Err(error) if is_dead(&error) && dead < DEAD_CONNECTIONS_MAX => dead += 1,
            Err(error) => match sql::failed(error) {
                Failed::Raced(_) if races < RACES_MAX => races += 1,
                failed => return Err(failed.into()),
            },
        }
    }
}

async fn spawned<A, T, X>(
    pool: &PgPool,
    args: A,
    verb: Verb<A, T, X>,
) -> Result<Result<T, X>, StoreError>
where
    A: Send + Sync + 'static,
    T: Send + 'static,
    X: MayRace + Send + 'static,
{
    let pool = pool.clone();
    let task = tokio::spawn(async move { repeat(&pool, &args, verb).await });
    task.await
        .map_err(|error| StoreError::Unavailable(format!("a transaction panicked: {error}")))?
}

/// Runs the transaction until no other one is in its way.
async fn repeat<A: Sync, T: Send, X: MayRace + Send>(
    pool: &PgPool,
    args: &A,
    verb: Verb<A, T, X>,
) -> Result<Result<T, X>, StoreError> {
    let mut races = 0;
    loop {
        let mut txn = Txn {
            open: begin(pool).await?,
            tally: Tally::default(),
        };
        match verb(&mut txn, args).await {
            Ok(result) => match txn.commit().await {
                Ok(()) => return Ok(Ok(result)),
                Err(failed) if failed.raced() && races < RACES_MAX => {}
                Err(failed) => return Err(failed.into()),
            },
            Err(error) if error.raced() && races < RACES_MAX => {}
            // Dropping the transaction undoes it.
            Err(error) => return Ok(Err(error)),
        }
        races += 1;
    }
}

/// Opens a transaction. A connection that died while it waited in the pool (the database was
/// restarted) is replaced: nothing was asked of it yet.
async fn begin(pool: &PgPool) -> Result<Transaction<'static, Postgres>, StoreError> {
    let mut dead = 0;
    loop {
        match pool.begin().await {
            Err(error) if is_dead(&error) && dead < DEAD_CONNECTIONS_MAX => dead += 1,
            begun => return begun.map_err(|error| sql::failed(error).into()),
        }
    }
}

/// Whether the connection was closed by the other end before it was asked anything.
fn is_dead(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) => true,
        sqlx::Error::Database(error) => error
            .code()
            .is_some_and(|code| SHUTDOWN_CODES.contains(&&*code)),
        _ => false,
    }
}
