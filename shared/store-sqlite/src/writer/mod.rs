//! The one writer. Verbs that wait are run as one transaction and answered after its commit: group
//! commit. There is no delay to gather more of them; while one batch is on its way to the disk, the
//! next gathers by itself.
//!
//! Each verb of a batch has its own savepoint, so that one which fails takes nothing with it.
//! A verb whose caller has gone is run all the same: it was asked for.

use std::fs::File;
use std::pin::Pin;
use std::sync::Arc;

use sqlx::sqlite::SqliteRow;
use sqlx::{Connection as _, SqliteConnection, SqlitePool};
use tandem_store::StoreError;
use tokio::sync::{Mutex, Notify, mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::PROBE;
use crate::generation;
use crate::log_note::{note_closed, note_length, note_refusal};
use crate::open::empty_log;
use crate::sql::{self, Statement};
use crate::tally::Tally;
use crate::watch::Watch;

mod shortening;

/// How many verbs wait for the writer before callers wait to hand theirs in.
const QUEUE_VERBS_MAX: usize = 1_024;
/// How many verbs one transaction takes.
const BATCH_VERBS_MAX: usize = 128;

const BEGIN: &str = "-- begin
BEGIN IMMEDIATE";
/// So often a checkpoint of another process may come between looking at the files and the right to write.
const BEGIN_TRIES: u32 = 5;

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
    /// Whether a statement failed since the last look.
    has_failed: bool,
    /// Why nothing is kept, as it was noted last.
    refusal: Option<String>,
    /// Why the verbs of a batch are not carried out, while those that it did not come to are told.
    unreached: Option<StoreError>,
    ending: Option<Ending>,
}

impl Txn {
    /// All rows that a statement gives.
    pub(crate) async fn all(
        &mut self,
        statement: Statement<'_>,
    ) -> Result<Vec<SqliteRow>, StoreError> {
        let result = sql::all(&mut self.conn, statement).await;
        self.noted(result)
    }

    /// The first row, if there is one.
    pub(crate) async fn first(
        &mut self,
        statement: Statement<'_>,
    ) -> Result<Option<SqliteRow>, StoreError> {
        let result = sql::first(&mut self.conn, statement).await;
        self.noted(result)
    }

    /// The one row of a statement that always gives one.
    pub(crate) async fn one(&mut self, statement: Statement<'_>) -> Result<SqliteRow, StoreError> {
        let result = sql::one(&mut self.conn, statement).await;
        self.noted(result)
    }

    /// Runs a statement for its effect. Returns how many rows it changed.
    pub(crate) async fn run(&mut self, statement: Statement<'_>) -> Result<usize, StoreError> {
        let result = sql::run(&mut self.conn, statement).await;
        self.noted(result)
    }

    /// Damage that a statement met is noted.
    fn noted<T>(&mut self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        result.map_err(|error| {
            self.has_failed = true;
            match &self.ending {
                Some(ending) => ending.watch.noted(error),
                None => error,
            }
        })
    }

    /// After a batch in which something failed, and from then on until something can be kept again: tries it, and notes
    /// for other processes what comes of it.
    async fn look_again(&mut self) {
        let is_alone = self.ending.as_ref().and_then(Ending::alone).is_some();
        if !is_alone || !(std::mem::take(&mut self.has_failed) || self.refusal.is_some()) {
            return;
        }
        let refused = self.probe().await.err();
        let probed = refused.as_ref().map(ToString::to_string);
        if refused.is_some() {
            roll_back(self).await;
        }
        self.has_failed = false;
        if probed != self.refusal
            && let Some((lock, _)) = self.ending.as_ref().and_then(Ending::alone)
        {
            match (&probed, &self.refusal) {
                // That the files are wrong was said when it was noticed.
                (Some(said), None) if !self.has_told() => {
                    tracing::error!("nothing can be kept: {said}. It is tried again all the time");
                }
                (None, Some(_)) => tracing::info!("what is written is kept again"),
                _ => {}
            }
            if let Err(error) = note_refusal(lock, refused.as_ref()) {
                tracing::debug!(%error, "other processes cannot be told whether something is kept");
            }
            self.refusal = probed;
        }
    }

    async fn probe(&mut self) -> Result<(), StoreError> {
        self.begin().await?;
        self.check_whole()?;
        self.run(sqlx::query(PROBE)).await?;
        self.commit().await
    }

    fn check_place(&self) -> Result<(), StoreError> {
        self.ending
            .as_ref()
            .map_or(Ok(()), |ending| ending.watch.check())
    }

    /// As [`Self::check_place`], within a transaction.
    fn check_whole(&self) -> Result<(), StoreError> {
        self.ending
            .as_ref()
            .map_or(Ok(()), |ending| ending.watch.check_whole())
    }

    /// Begins the transaction. Another process may have made the files shorter until then, by a checkpoint; once this
    /// one may write, none does.
    async fn begin(&mut self) -> Result<(), StoreError> {
        let Some(watch) = self.ending.as_ref().map(|ending| Arc::clone(&ending.watch)) else {
            return self.run(sqlx::query(BEGIN)).await.map(|_| ());
        };
        watch.check_contents();
        for _ in 0..BEGIN_TRIES {
            shortening::judge(&mut self.conn, &watch).await?;
            self.run(sqlx::query(BEGIN)).await?;
            if watch.shorter().is_none() {
                return Ok(());
            }
            roll_back(self).await;
        }
        // Whatever makes it shorter again and again is no checkpoint.
        self.run(sqlx::query(BEGIN)).await.map(|_| ())
    }

    /// Ends the transaction so that all of it is on the disk, in the files that are at their paths.
    async fn commit(&mut self) -> Result<(), StoreError> {
        if let Some(number) = self.ending.as_ref().and_then(|end| end.watch.next_number()) {
            let written = generation::write(&mut self.conn, number).await;
            self.noted(written)?;
        }
        self.check_whole()?;
        self.run(sqlx::query("-- commit\nCOMMIT")).await?;
        // Removed in the meantime: what was committed is nowhere, so nobody is told that it is kept.
        self.check_place()?;
        self.note_log();
        Ok(())
    }

    /// So that a start after a kill knows how much there is to be.
    fn note_log(&self) {
        if let Some((lock, watch)) = self.ending.as_ref().and_then(Ending::alone) {
            watch.note_growth();
            warn_of(note_length(lock, watch.log_bytes()));
        }
    }

    /// That the files are gone was said when it was noticed.
    fn has_told(&self) -> bool {
        self.ending
            .as_ref()
            .is_some_and(|ending| ending.watch.has_told())
    }

    /// Closes the connection, and leaves as much as can be in the database itself.
    async fn close(mut self) {
        if let Some(ending) = &self.ending
            // SQLite removes the log by its name, which may be another database's now.
            && ending.watch.check().is_ok()
        {
            ending.readers.close().await;
            if ending.lock.is_some()
                && let Err(error) = empty_log(&mut self.conn).await
            {
                tracing::warn!(%error, "the write-ahead log was not moved into the database; the next start does it");
            }
        }
        if let Err(error) = self.conn.close().await {
            tracing::warn!(%error, "the database was not closed in good order; the next start sees to it");
            return;
        }
        if let Some((lock, watch)) = self.ending.as_ref().and_then(Ending::alone)
            && watch.is_log_empty()
        {
            warn_of(note_closed(lock));
        }
    }
}

/// What the end of the writer needs to know.
pub(crate) struct Ending {
    /// Where the database is.
    pub(crate) watch: Arc<Watch>,
    /// Closed before the writer's connection: SQLite moves the log into the file, and removes it, only when a
    /// connection that may write is the last.
    pub(crate) readers: SqlitePool,
    /// Of the one process that runs on the file. Held until the connection is closed: whoever comes next finds the log
    /// as it stays. The operating system frees it however the process ends.
    pub(crate) lock: Option<File>,
}

impl Ending {
    fn alone(&self) -> Option<(&File, &Watch)> {
        Some((self.lock.as_ref()?, &*self.watch))
    }
}

fn warn_of(noted: std::io::Result<()>) {
    if let Err(error) = noted {
        tracing::warn!(%error, "the lock file could not be written to; a start after a kill may warn of the write-ahead log");
    }
}

/// The way to the writer task. The task ends, and closes its connection, when this is dropped or told to.
pub(crate) struct Writer {
    queue: mpsc::Sender<Verb>,
    stop: Arc<Notify>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    /// Starts the task on the present runtime.
    pub(crate) fn start(conn: SqliteConnection, ending: Option<Ending>) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE_VERBS_MAX);
        let txn = Txn {
            conn,
            tally: Tally::default(),
            has_failed: false,
            refusal: None,
            unreached: None,
            ending,
        };
        let stop = Arc::new(Notify::new());
        let task = tokio::spawn(serve(txn, waiting, Arc::clone(&stop)));
        Self {
            queue,
            stop,
            task: Mutex::new(Some(task)),
        }
    }

    /// Takes nothing more, runs what waits, and returns when the connection is closed.
    pub(crate) async fn end(&self) {
        self.stop.notify_one();
        if let Some(task) = self.task.lock().await.take()
            && let Err(error) = task.await
        {
            tracing::warn!(%error, "the writer of the database ended early");
        }
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
                // Not even read: of a file that was cut, what is not there reads as nothing.
                let whole = txn.check_whole();
                let refused = txn.unreached.as_ref().map(of_all).or(whole.err());
                if let Some(refused) = refused {
                    txn.has_failed = true;
                    return Reply {
                        keep: false,
                        answer: Box::new(move |_| {
                            let _ = sender.send(Err(refused));
                        }),
                    };
                }
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

/// What waits, up to a batch; once it is told to stop, no more than what waits already.
async fn next(waiting: &mut mpsc::Receiver<Verb>, batch: &mut Vec<Verb>, stop: &Notify) -> usize {
    tokio::select! {
        biased;
        taken = waiting.recv_many(batch, BATCH_VERBS_MAX) => return taken,
        () = stop.notified() => waiting.close(),
    }
    waiting.recv_many(batch, BATCH_VERBS_MAX).await
}

async fn serve(mut txn: Txn, mut waiting: mpsc::Receiver<Verb>, stop: Arc<Notify>) {
    let mut batch = Vec::with_capacity(BATCH_VERBS_MAX);
    while next(&mut waiting, &mut batch, &stop).await > 0 {
        let mut replies = Vec::with_capacity(batch.len());
        let result = run_batch(&mut txn, &mut batch, &mut replies).await;
        let failure = result.err();
        if let Some(error) = &failure {
            if !txn.has_told() {
                tracing::warn!(%error, "a batch of writes was not committed");
            }
            roll_back(&mut txn).await;
            // Dropped, they would pass for lost with the writer.
            txn.unreached = Some(of_all(error));
            for unreached in batch.drain(..) {
                replies.push(unreached(&mut txn).await.answer);
            }
            txn.unreached = None;
        }
        batch.clear();
        // Before anybody is answered, so that whoever is refused can see why in the status.
        txn.has_failed |= failure.is_some();
        txn.look_again().await;
        for answer in replies {
            answer(match &failure {
                None => Ok(()),
                Some(error) => Err(of_all(error)),
            });
        }
    }
    txn.close().await;
}

/// What each verb of a batch is told when the batch was not committed.
fn of_all(failure: &StoreError) -> StoreError {
    match failure {
        StoreError::Unusable(reason) => StoreError::Unusable(reason.clone()),
        StoreError::Unavailable(reason) => StoreError::Unavailable(reason.clone()),
        other => StoreError::Unavailable(other.to_string()),
    }
}

/// Runs the verbs as one transaction. Answers are put into `replies`, also when it fails; verbs that were not reached stay in
/// the batch.
async fn run_batch(
    txn: &mut Txn,
    batch: &mut Vec<Verb>,
    replies: &mut Vec<Answer>,
) -> Result<(), StoreError> {
    txn.tally = Tally::default();
    txn.begin().await?;
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
    let flushed = tally.flush(&mut txn.conn).await;
    txn.noted(flushed)?;
    txn.commit().await
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
