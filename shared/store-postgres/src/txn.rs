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

use crate::alone::Tries;
use crate::sql::{self, Failed, Statement};
use crate::tally::Tally;

/// How often a transaction is run again because another one was in the way.
pub(crate) const RACES_MAX: u32 = 20;
/// How many connections may turn out to be dead before the database counts as gone: a restart of the
/// database kills all that the pool holds.
pub(crate) const DEAD_CONNECTIONS_MAX: u32 = 64;

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
        sql::all(&mut self.open, statement).await
    }

    /// The first row, if there is one.
    pub(crate) async fn first(
        &mut self,
        statement: Statement<'_>,
    ) -> Result<Option<PgRow>, Failed> {
        sql::first(&mut self.open, statement).await
    }

    /// The one row of a statement that always gives one.
    pub(crate) async fn one(&mut self, statement: Statement<'_>) -> Result<PgRow, Failed> {
        sql::one(&mut self.open, statement).await
    }

    /// Runs a statement for its effect. Returns how many rows it changed.
    pub(crate) async fn run(&mut self, statement: Statement<'_>) -> Result<usize, Failed> {
        sql::run(&mut self.open, statement).await
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

/// Tells what of the storage made a verb fail, and so whether running the transaction again may help.
pub(crate) trait Fails {
    fn failed(&self) -> Option<&Failed>;
}

impl Fails for Failed {
    fn failed(&self) -> Option<&Failed> {
        Some(self)
    }
}

impl<E> Fails for Stop<E> {
    fn failed(&self) -> Option<&Failed> {
        match self {
            Self::Failed(failed) => Some(failed),
            Self::Refused(_) => None,
        }
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

async fn spawned<A, T, X>(
    pool: &PgPool,
    args: A,
    verb: Verb<A, T, X>,
) -> Result<Result<T, X>, StoreError>
where
    A: Send + Sync + 'static,
    T: Send + 'static,
    X: Fails + From<Failed> + Send + 'static,
{
    let pool = pool.clone();
    let task = tokio::spawn(async move { repeat(&pool, &args, verb).await });
    task.await
        .map_err(|error| StoreError::Unavailable(format!("a transaction panicked: {error}")))?
}

/// Runs the transaction until no other one is in its way.
async fn repeat<A: Sync, T: Send, X: Fails + From<Failed> + Send>(
    pool: &PgPool,
    args: &A,
    verb: Verb<A, T, X>,
) -> Result<Result<T, X>, StoreError> {
    let (mut races, mut tries) = (0, Tries::of(pool));
    loop {
        let mut txn = Txn {
            open: begin(pool).await?,
            tally: Tally::default(),
        };
        // Dropping the transaction undoes it.
        let error = match to_the_end(&mut txn, args, verb).await {
            Ok(result) => match txn.open.commit().await {
                Ok(()) => return Ok(Ok(result)),
                Err(error) => X::from(sql::failed(error)),
            },
            Err(error) => {
                if matches!(error.failed(), Some(Failed::Stale(_)))
                    && tries.may_forget(&mut txn.open).await
                {
                    continue;
                }
                error
            }
        };
        if !matches!(error.failed(), Some(Failed::Raced(_))) || races >= RACES_MAX {
            return Ok(Err(error));
        }
        races += 1;
    }
}

/// All that a verb does, but for the commit.
async fn to_the_end<A, T, X: From<Failed>>(
    txn: &mut Txn,
    args: &A,
    verb: Verb<A, T, X>,
) -> Result<T, X> {
    let result = verb(txn, args).await?;
    txn.tally.flush(&mut txn.open).await?;
    Ok(result)
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
pub(crate) fn is_dead(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) => true,
        sqlx::Error::Database(error) => error
            .code()
            .is_some_and(|code| SHUTDOWN_CODES.contains(&&*code)),
        _ => false,
    }
}
