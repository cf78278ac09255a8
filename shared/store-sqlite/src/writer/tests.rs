//! Group commit from the inside: verbs that hold the writer until the test lets go.

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};
use tokio::sync::oneshot;

use super::*;
use crate::rows;
use std::sync::Arc;

/// A database with one table of words, and a table that refers to it.
struct Words {
    writer: Arc<Writer>,
    reader: SqliteConnection,
    folder: tempfile::TempDir,
}

const ADD: &str = "INSERT INTO words (word) VALUES (?1)";

impl Words {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut conn = Self::connect(&folder).await;
        let schema = "CREATE TABLE words (word TEXT PRIMARY KEY);
            CREATE TABLE counters (sync TEXT, name TEXT, value INTEGER, PRIMARY KEY (sync, name));
            CREATE TABLE sayings (word TEXT REFERENCES words (word) DEFERRABLE INITIALLY DEFERRED)";
        sqlx::raw_sql(schema)
            .execute(&mut conn)
            .await
            .expect("the tables");
        let reader = Self::connect(&folder).await;
        Self {
            writer: Arc::new(Writer::start(conn, None)),
            reader,
            folder,
        }
    }

    async fn connect(folder: &tempfile::TempDir) -> SqliteConnection {
        SqliteConnectOptions::new()
            .filename(folder.path().join("words.db"))
            .create_if_missing(true)
            .journal_mode(sqlx::sqlite::SqliteJournalMode::Wal)
            .foreign_keys(true)
            .connect()
            .await
            .expect("a new database")
    }

    /// Hands in a verb that adds a word; the answer comes over the returned handle.
    fn add(&self, word: &'static str) -> tokio::task::JoinHandle<Result<(), StoreError>> {
        let writer = Arc::clone(&self.writer);
        tokio::spawn(async move {
            writer
                .write(move |txn| {
                    Box::pin(async move { txn.run(sqlx::query(ADD).bind(word)).await.map(|_| ()) })
                })
                .await
        })
    }

    /// Holds the writer in a batch until the sender is used.
    async fn hold(
        &self,
    ) -> (
        oneshot::Sender<()>,
        tokio::task::JoinHandle<Result<(), StoreError>>,
    ) {
        let (release, released) = oneshot::channel();
        let (started, has_started) = oneshot::channel();
        let writer = Arc::clone(&self.writer);
        let handle = tokio::spawn(async move {
            writer
                .write(move |_| {
                    Box::pin(async move {
                        started.send(()).expect("the test waits");
                        released.await.expect("the test lets go");
                        Ok(())
                    })
                })
                .await
        });
        has_started.await.expect("the verb starts");
        (release, handle)
    }

    /// Hands in the verbs while the writer is held, so that they are one batch.
    async fn queued(&self, count: usize) {
        while self.writer.queue.max_capacity() - self.writer.queue.capacity() < count {
            tokio::task::yield_now().await;
        }
    }

    async fn stored(&mut self) -> Vec<String> {
        let found = sql::all(
            &mut self.reader,
            sqlx::query("SELECT word FROM words ORDER BY word"),
        )
        .await;
        let found = found.expect("words");
        found
            .iter()
            .map(|row| rows::get(row, "word").expect("a word"))
            .collect()
    }
}

#[tokio::test]
async fn a_failed_verb_takes_nothing_with_it() {
    let mut words = Words::new().await;
    let (release, held) = words.hold().await;
    let mut handles = Vec::new();
    for (place, word) in ["one", "two", "one", "three"].into_iter().enumerate() {
        handles.push(words.add(word));
        words.queued(place + 1).await;
    }
    release.send(()).expect("the verb waits");
    held.await.expect("no panic").expect("held");
    let mut answers = Vec::new();
    for handle in handles {
        answers.push(handle.await.expect("no panic").is_ok());
    }
    assert_eq!(answers, vec![true, true, false, true]);
    assert_eq!(words.stored().await, vec!["one", "three", "two"]);
}

#[tokio::test]
async fn a_failed_verb_alone_in_its_batch_leaves_nothing() {
    let mut words = Words::new().await;
    let result: Result<(), StoreError> = words
        .writer
        .write(|txn| {
            Box::pin(async move {
                txn.run(sqlx::query(ADD).bind("half")).await?;
                Err(StoreError::LeaseLost)
            })
        })
        .await;
    assert!(matches!(result, Err(StoreError::LeaseLost)));
    assert_eq!(words.stored().await, Vec::<String>::new());
    words
        .add("next")
        .await
        .expect("no panic")
        .expect("the writer goes on");
}

#[tokio::test]
async fn a_refusal_undoes_and_is_no_failure() {
    let mut words = Words::new().await;
    let result: Result<Result<(), &str>, StoreError> = words
        .writer
        .decide(|txn| {
            Box::pin(async move {
                txn.tally.add("s", crate::tally::Counter::Events, 1);
                txn.run(sqlx::query(ADD).bind("half"))
                    .await
                    .map_err(|_| "failed")?;
                Err("refused")
            })
        })
        .await;
    assert!(matches!(result, Ok(Err("refused"))));
    assert_eq!(words.stored().await, Vec::<String>::new());
}

#[tokio::test]
async fn nobody_is_answered_before_the_commit() {
    let mut words = Words::new().await;
    let (release_first, first) = words.hold().await;
    // These two are one batch: the second holds it open after the first has run.
    let added = words.add("early");
    words.queued(1).await;
    let (release, released) = oneshot::channel();
    let (started, has_started) = oneshot::channel();
    let writer = Arc::clone(&words.writer);
    let last = tokio::spawn(async move {
        writer
            .write(move |_| {
                Box::pin(async move {
                    started.send(()).expect("the test waits");
                    released.await.expect("the test lets go");
                    Ok(())
                })
            })
            .await
    });
    words.queued(2).await;
    release_first.send(()).expect("the verb waits");
    first.await.expect("no panic").expect("held");
    has_started.await.expect("the last verb of the batch runs");
    assert!(!added.is_finished());
    assert_eq!(words.stored().await, Vec::<String>::new());
    release.send(()).expect("the verb waits");
    added.await.expect("no panic").expect("added");
    last.await.expect("no panic").expect("ended");
    assert_eq!(words.stored().await, vec!["early"]);
}

#[tokio::test]
async fn a_failed_commit_answers_all_with_unavailable() {
    let mut words = Words::new().await;
    let (release, held) = words.hold().await;
    let good = words.add("good");
    words.queued(1).await;
    let writer = Arc::clone(&words.writer);
    let bad = tokio::spawn(async move {
        writer
            .write(|txn| {
                Box::pin(async move {
                    // The foreign key is looked at only by the commit.
                    let orphan = "INSERT INTO sayings (word) VALUES ('nobody')";
                    txn.run(sqlx::query(orphan)).await.map(|_| ())
                })
            })
            .await
    });
    words.queued(2).await;
    release.send(()).expect("the verb waits");
    held.await.expect("no panic").expect("held");
    for handle in [good, bad] {
        let answer = handle.await.expect("no panic");
        assert!(
            matches!(answer, Err(StoreError::Unavailable(_))),
            "{answer:?}"
        );
    }
    assert_eq!(words.stored().await, Vec::<String>::new());
    words
        .add("next")
        .await
        .expect("no panic")
        .expect("the writer goes on");
    assert_eq!(words.stored().await, vec!["next"]);
}

#[tokio::test]
async fn a_caller_that_goes_away_disturbs_nobody() {
    let mut words = Words::new().await;
    let (release, held) = words.hold().await;
    let gone = words.add("gone");
    words.queued(1).await;
    let stays = words.add("stays");
    words.queued(2).await;
    gone.abort();
    held.abort();
    release.send(()).expect("the verb waits");
    stays.await.expect("no panic").expect("added");
    assert_eq!(words.stored().await, vec!["gone", "stays"]);
}

#[test]
fn what_was_under_way_when_the_process_died_leaves_nothing() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let folder = runtime.block_on(async {
        let words = Words::new().await;
        words.add("before").await.expect("no panic").expect("added");
        let (started, has_started) = oneshot::channel();
        let writer = Arc::clone(&words.writer);
        tokio::spawn(async move {
            writer
                .write::<(), _>(move |txn| {
                    Box::pin(async move {
                        txn.run(sqlx::query(ADD).bind("half")).await?;
                        started.send(()).expect("the test waits");
                        std::future::pending().await
                    })
                })
                .await
        });
        has_started.await.expect("the verb is in its middle");
        words.folder
    });
    // Ends every task where it stands, as a killed process does.
    drop(runtime);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let mut conn = Words::connect(&folder).await;
        let found = sql::all(&mut conn, sqlx::query("SELECT word FROM words"))
            .await
            .expect("words");
        assert_eq!(found.len(), 1);
        conn.close().await.expect("closed");
    });
}

#[tokio::test]
async fn who_cannot_write_because_the_database_is_locked_is_told_that_and_not_that_the_writer_has_stopped()
 {
    let words = Words::new().await;
    let mut other = Words::connect(&words.folder).await;
    let shorter = sqlx::raw_sql("PRAGMA busy_timeout = 50");
    let set = words
        .writer
        .write(move |txn| {
            Box::pin(async move {
                let set = shorter.execute(&mut txn.conn).await;
                set.map(|_| ()).map_err(sql::failed)
            })
        })
        .await;
    set.expect("it is set");
    sqlx::raw_sql("BEGIN IMMEDIATE")
        .execute(&mut other)
        .await
        .expect("it is locked");
    for word in ["one", "two"] {
        let refused = words.add(word).await.expect("no panic");
        let refused = refused.expect_err("it is locked").to_string();
        assert!(refused.contains("is locked"), "{refused}");
    }
    sqlx::raw_sql("ROLLBACK")
        .execute(&mut other)
        .await
        .expect("it is free");
    let kept = words.add("three").await.expect("no panic");
    kept.expect("the writer goes on");
}
