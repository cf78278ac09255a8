//! What becomes of a database whose files somebody damages under the running process: nothing more is said to be kept.

use std::path::Path;
use std::sync::Arc;

use tandem_store::{ConfigStore, JobStore, Store, StoreError};
use tandem_store_sqlite::{SqliteOptions, SqliteStore};
use tandem_testkit::Make;

async fn open(path: &Path) -> Arc<SqliteStore> {
    let running = SqliteOptions { exclusive: true };
    SqliteStore::open(path, running).await.expect("it opens")
}

/// A store that runs on a file which was closed in good order before, so that the file holds everything.
async fn running_on(path: &Path) -> Arc<SqliteStore> {
    open(path).await.close().await.expect("it is closed");
    let store = open(path).await;
    store.ping().await.expect("it is whole");
    store
}

async fn enqueue(store: &SqliteStore, make: &Make, record: &str) -> Result<(), StoreError> {
    let jobs = store.enqueue(vec![make.job(record)], make.now()).await;
    jobs.map(|_| ())
}

/// Insists that a write and a probe are refused with these words.
async fn refused_with(store: &SqliteStore, make: &Make, parts: &[&str]) {
    let written = enqueue(store, make, "a9").await;
    for refused in [written, store.ping().await] {
        let refused = refused.expect_err("nothing is taken any more");
        assert!(matches!(refused, StoreError::Unusable(_)), "{refused:?}");
        let said = refused.to_string();
        for part in parts {
            assert!(said.contains(part), "{part}: {said}");
        }
    }
}

fn cut(file: &Path, bytes: u64) {
    let file = std::fs::OpenOptions::new().write(true).open(file);
    let cut = file.expect("it is there").set_len(bytes);
    cut.expect("it is cut");
}

#[cfg(unix)]
#[tokio::test]
async fn nothing_is_said_to_be_kept_once_the_file_or_its_log_was_cut() {
    for (name, bytes) in [("tandem.db", 8_192), ("tandem.db-wal", 64)] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("tandem.db");
        let (store, make) = (running_on(&path).await, Make::default());
        enqueue(&store, &make, "a1").await.expect("it is whole");
        cut(&folder.path().join(name), bytes);
        let now = format!("{name} had");
        refused_with(&store, &make, &["damaged", &now, "tandem db check"]).await;
    }
}

#[cfg(unix)]
#[tokio::test]
async fn once_a_read_found_the_file_damaged_nothing_is_taken_until_a_new_start() {
    use std::os::unix::fs::FileExt as _;

    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("tandem.db");
    let (store, make) = (running_on(&path).await, Make::default());
    let whole = std::fs::read(&path).expect("it is there");
    let file = std::fs::OpenOptions::new().write(true).open(&path);
    let file = file.expect("it is there");
    // All but the first page, which has the head of the file.
    let damaged = vec![0xff; whole.len() - 4_096];
    file.write_all_at(&damaged, 4_096).expect("it is damaged");
    let read = store.syncs().await.expect_err("it cannot be read");
    assert!(matches!(read, StoreError::Unusable(_)), "{read:?}");
    // Writing would do now; but nobody knows what else is wrong.
    file.write_all_at(&whole, 0).expect("it is whole again");
    refused_with(&store, &make, &["damaged", "tandem db check"]).await;
}

#[cfg(unix)]
#[tokio::test]
async fn nothing_is_taken_once_the_lock_file_is_gone_and_another_process_may_run() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("tandem.db");
    let (store, make) = (running_on(&path).await, Make::default());
    let (lock, aside) = (
        folder.path().join("tandem.db.lock"),
        folder.path().join("aside"),
    );
    std::fs::rename(&lock, &aside).expect("it is moved");
    let parts = ["lock file", "tandem.db.lock is not there", "second Tandem"];
    refused_with(&store, &make, &parts).await;
    let second = open(&path).await;
    enqueue(&second, &make, "a1")
        .await
        .expect("it has the lock");
    let parts = ["tandem.db.lock is another file", "Stop every Tandem"];
    refused_with(&store, &make, &parts).await;
    drop(second);
    std::fs::rename(&aside, &lock).expect("it is moved back");
    enqueue(&store, &make, "a2").await.expect("it goes on");
}
