//! What only a SQLite file has to promise.

use std::path::Path;
use std::sync::Arc;

use tandem_store::{ConfigStore, JobState, JobStore, Store, StoreError};
use tandem_store_sqlite::{SqliteOptions, SqliteStore};
use tandem_testkit::Make;

const RUNNING: SqliteOptions = SqliteOptions { exclusive: true };
const COMMAND: SqliteOptions = SqliteOptions { exclusive: false };

async fn open(path: &Path, options: SqliteOptions) -> Arc<SqliteStore> {
    SqliteStore::open(path, options).await.expect("it opens")
}

#[tokio::test]
async fn a_second_long_running_process_is_refused_by_name_of_the_file() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("tandem.db");
    let first = open(&path, RUNNING).await;
    let refused = SqliteStore::open(&path, RUNNING)
        .await
        .err()
        .expect("it is refused");
    assert!(matches!(refused, StoreError::Unavailable(_)));
    let message = refused.to_string();
    assert!(
        message.contains("another tandem already runs on"),
        "{message}"
    );
    assert!(message.contains(&path.display().to_string()), "{message}");
    drop(first);
    open(&path, RUNNING).await;
}

#[tokio::test]
async fn a_command_works_beside_the_running_process() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("tandem.db");
    let (running, make) = (open(&path, RUNNING).await, Make::default());
    let command = open(&path, COMMAND).await;
    let job = make.job("a1");
    command
        .enqueue(vec![job.clone()], make.now())
        .await
        .expect("enqueue");
    let claimed = running.claim(make.claim(1)).await.expect("claim");
    assert_eq!(claimed[0].job.id, job.id);
    let seen = command
        .job(job.id)
        .await
        .expect("job")
        .expect("it is there");
    assert_eq!(seen.state, JobState::Running);
}

#[tokio::test]
async fn a_command_makes_the_database_when_there_is_none() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("data/deep/tandem.db");
    let command = open(&path, COMMAND).await;
    command.ping().await.expect("ping");
    open(&path, RUNNING).await.ping().await.expect("ping");
}

#[tokio::test]
async fn reopening_keeps_everything() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("tandem.db");
    let make = Make::default();
    let store = open(&path, RUNNING).await;
    let syncs = vec![(Make::customers(), serde_json::json!({"a": "crm"}))];
    store
        .apply_config(Vec::new(), syncs, Vec::new(), make.now())
        .await
        .expect("apply");
    store
        .enqueue(vec![make.job("a1"), make.job("a2")], make.now())
        .await
        .expect("enqueue");
    let claimed = store.claim(make.claim(1)).await.expect("claim").remove(0);
    drop(store);
    let store = open(&path, RUNNING).await;
    assert_eq!(store.syncs().await.expect("syncs").len(), 1);
    assert_eq!(
        store.job(claimed.job.id).await.expect("job"),
        Some(claimed.job.clone())
    );
    assert_eq!(store.release_all(make.now()).await.expect("release"), 1);
    assert_eq!(store.claim(make.claim(9)).await.expect("claim").len(), 2);
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_with_its_name() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("notes.txt");
    std::fs::write(&path, "these are my notes, not a database, and they are long enough to be read as a header of one").expect("a file");
    let message = SqliteStore::open(&path, RUNNING)
        .await
        .err()
        .expect("it is refused")
        .to_string();
    assert!(message.contains("notes.txt"), "{message}");
}

#[tokio::test]
async fn many_callers_at_once_all_get_their_own_answers() {
    const CALLERS: usize = 200;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = open(&folder.path().join("tandem.db"), RUNNING).await;
    let make = Arc::new(Make::default());
    let callers: Vec<_> = (0..CALLERS)
        .map(|number| {
            let (store, make) = (Arc::clone(&store), Arc::clone(&make));
            tokio::spawn(async move {
                let job = make.job(&format!("a{number}"));
                let answer = store.enqueue(vec![job.clone()], make.now()).await;
                answer.expect("enqueue") == vec![job.id]
            })
        })
        .collect();
    for caller in callers {
        assert!(caller.await.expect("no panic"));
    }
    let counts = store.job_counts(None, make.now()).await.expect("counts");
    assert_eq!(counts.available, 200);
}
