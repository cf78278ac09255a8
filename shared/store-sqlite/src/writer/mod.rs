//! The one writer. Verbs that wait are run as one transaction and answered after its commit: group
//! commit. There is no delay to gather more of them; while one batch is on its way to the disk, the
//! next gathers by itself.
//!
//! Each verb of a batch has its own savepoint, so that one which fails takes nothing with it.
//! A verb whose caller has gone is run all the same: it was asked for.

use std::pin::Pin;

use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;
use tandem_store::StoreError;
use tokio::sync::{mpsc, oneshot};

use crate::sql::{self, Statement};
use crate::tally::Tally;
use crate::watch::Watch;

/// How many verbs wait for the writer before callers wait to hand theirs in.
const QUEUE_VERBS_MAX: usize = 1_024;
/// How many verbs one transaction takes.
const BATCH_VERBS_MAX: usize = 128;

/// A future in a box, as a verb returns it.
pub(crate) type Boxed<'t, T> = Pin<Box<dyn Future<Output = T> + Send + 't>>;
type Verb = Box<dyn for<'t> FnOnce(&'t mut Txn) -> Boxed<'t, Reply> + Send>;
type Answer = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// What a verb has to say once it is known whether the batch is on the disk.
struct Reply {
    /// Whether its effects stay.
    keep: bool,
    answer: Answer,
}

/// The open transaction, and what it counts.
pub(crate) struct Txn {
    conn: SqliteConnection,
    pub(crate) tally: Tally,
    /// Where the database is, if it is watched.
    watch: Option<Watch>,
}

impl Txn {
    /// All rows that a statement gives.
    pub(crate) async fn all(
        &mut self,
        statement: Statement<'_>,
    ) -> Result<Vec<SqliteRow>, StoreError> {
        sql::all(&mut self.conn, statement).await
    }

    /// The first row, if there is one.
    pub(crate) async fn first(
        &mut self,
        statement: Statement<'_>,
    ) -> Result<Option<SqliteRow>, StoreError> {
        sql::first(&mut self.conn, statement).await
    }

    /// The one row of a statement that always gives one.
    pub(crate) async fn one(&mut self, statement: Statement<'_>) -> Result<SqliteRow, StoreError> {
        sql::one(&mut self.conn, statement).await
    }

    /// Runs a statement for its effect. Returns how many rows it changed.
    pub(crate) async fn run(&mut self, statement: Statement<'_>) -> Result<usize, StoreError> {
        sql::run(&mut self.conn, statement).await
    }

    fn check_place(&self) -> Result<(), StoreError> {
        self.watch.as_ref().map_or(Ok(()), Watch::check)
    }
}

/// The way to the writer task. The task ends, and closes its connection, when this is dropped.
pub(crate) struct Writer {
    queue: mpsc::Sender<Verb>,
}

impl Writer {
    /// Starts the task on the present runtime.
    pub(crate) fn start(conn: SqliteConnection, watch: Option<Watch>) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE_VERBS_MAX);
        let txn = Txn {
            conn,
            tally: Tally::default(),
            watch,
        };
        tokio::spawn(serve(txn, waiting));
        Self { queue }
    }

    /// Runs a verb in a transaction; returns after its commit. An error undoes what it did.
    pub(crate) async fn write<T, V>(&self, verb: V) -> Result<T, StoreError>
    where
        V: for<'t> FnOnce(&'t mut Txn) -> Boxed<'t, Result<T, StoreError>> + Send + 'static,
        T: Send + 'static,
    {
        self.decide(verb).await?
    }

    /// Like [`Self::write`], for verbs that can be refused for reasons of their own: a refusal
    /// undoes what the verb did, and is no failure of the storage.
    pub(crate) async fn decide<T, E, V>(&self, verb: V) -> Result<Result<T, E>, StoreError>
    where
        V: for<'t> FnOnce(&'t mut Txn) -> Boxed<'t, Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let boxed: Verb = Box::new(move |txn| {
            Box::pin(async move {
                let result = verb(txn).await;
                let keep = result.is_ok();
                let answer = Box::new(move |committed: Result<(), StoreError>| {
                    // A caller that has gone needs no answer.
                    let _ = sender.send(committed.map(|()| result));
                });
                Reply { keep, answer }
            })
        });
        self.queue.send(boxed).await.map_err(|_| stopped())?;
        receiver.await.map_err(|_| stopped())?
    }
}

fn stopped() -> StoreError {
    StoreError::Unavailable("the writer of the database has stopped; restart Tandem".to_owned())
}

async fn serve(mut txn: Txn, mut waiting: mpsc::Receiver<Verb>) {
    let mut batch = Vec::with_capacity(BATCH_VERBS_MAX);
    while waiting.recv_many(&mut batch, BATCH_VERBS_MAX).await > 0 {
        let mut replies = Vec::with_capacity(batch.len());
        let result = run_batch(&mut txn, &mut batch, &mut replies).await;
        batch.clear();
        let failure = result.err();
        if let Some(error) = &failure {
            // That the files are gone was said when it was noticed.
            if !txn.watch.as_ref().is_some_and(Watch::has_told) {
                tracing::warn!(%error, "a batch of writes was not committed");
            }
            roll_back(&mut txn).await;
        }
        for answer in replies {
            answer(match &failure {
                None => Ok(()),
                Some(error) => Err(of_all(error)),
            });
        }
    }
}

/// What each verb of a batch is told when the batch was not committed.
fn of_all(failure: &StoreError) -> StoreError {
    match failure {
        StoreError::Unusable(reason) => StoreError::Unusable(reason.clone()),
        StoreError::Unavailable(reason) => StoreError::Unavailable(reason.clone()),
        other => StoreError::Unavailable(other.to_string()),
    }
}

/// Runs the verbs as one transaction. Answers are put into `replies`, also when it fails; a verb
/// that was not reached is dropped, which tells its caller that nothing was done.
async fn run_batch(
    txn: &mut Txn,
    batch: &mut Vec<Verb>,
    replies: &mut Vec<Answer>,
) -> Result<(), StoreError> {
    txn.tally = Tally::default();
    txn.run(sqlx::query("-- begin\nBEGIN IMMEDIATE")).await?;
    if batch.len() == 1 {
        let alone = batch.remove(0);
        let reply = alone(txn).await;
        replies.push(reply.answer);
        if !reply.keep {
            roll_back(txn).await;
            return Ok(());
        }
    } else {
        run_with_savepoints(txn, batch, replies).await?;
    }
    let mut tally = std::mem::take(&mut txn.tally);
    tally.flush(&mut txn.conn).await?;
    txn.check_place()?;
    txn.run(sqlx::query("-- commit\nCOMMIT")).await?;
    // Removed in the meantime: what was committed is nowhere, so nobody is told that it is kept.
    txn.check_place()
}

/// Each verb ends with the savepoint of the next: a call of the driver is a hop to another thread.
async fn run_with_savepoints(
    txn: &mut Txn,
    batch: &mut Vec<Verb>,
    replies: &mut Vec<Answer>,
) -> Result<(), StoreError> {
    let mut total = Tally::default();
    txn.run(sqlx::query("-- savepoint\nSAVEPOINT verb")).await?;
    for verb in batch.drain(..) {
        let reply = verb(txn).await;
        replies.push(reply.answer);
        let counted = std::mem::take(&mut txn.tally);
        if reply.keep {
            total.absorb(counted);
            txn.run(sqlx::query(NEXT)).await?;
        } else {
            txn.run(sqlx::query("-- undo\nROLLBACK TO verb")).await?;
        }
    }
    txn.tally = total;
    Ok(())
}

/// Keeps what the verb did, and begins anew. The last savepoint is released by the commit.
const NEXT: &str = "-- next_verb
RELEASE verb; SAVEPOINT verb";

/// Ends the transaction without effect. SQLite may have done so itself (disk full, I/O error), and
/// then refuses: that is as well.
async fn roll_back(txn: &mut Txn) {
    if let Err(error) = txn.run(sqlx::query("-- roll_back\nROLLBACK")).await {
        tracing::debug!(%error, "nothing to roll back");
    }
}

#[cfg(test)]
mod tests;
