//! What becomes of a database whose files somebody damages under the running process: nothing more is said to be kept.

use std::path::Path;
use std::sync::Arc;

use sqlx::{ConnectOptions as _, Connection as _};
use tandem_store::{ConfigStore, JobStore, Store, StoreError};
use tandem_store_sqlite::{SqliteOptions, SqliteStore, upkeep};
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

/// The files of a running database as a kill leaves them, in another folder.
fn as_killed(running: &Path) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, written) in [
        ("tandem.db", 1_000),
        ("tandem.db-wal", 2_000),
        ("tandem.db.lock", 2_000),
    ] {
        let copied = folder.path().join(name);
        std::fs::copy(running.join(name), &copied).expect("it is there");
        let written = std::time::UNIX_EPOCH + std::time::Duration::from_secs(written);
        let file = std::fs::OpenOptions::new().write(true).open(&copied);
        let set = file.expect("it is there").set_modified(written);
        set.expect("it is ours");
    }
    folder
}

#[tokio::test]
async fn after_a_kill_a_log_that_is_gone_or_cut_is_told_of_and_a_whole_one_is_not() {
    let running = tempfile::tempdir().expect("a temporary folder");
    let store = running_on(&running.path().join("tandem.db")).await;
    let make = Make::default();
    enqueue(&store, &make, "a1").await.expect("it is kept");
    enqueue(&store, &make, "a2").await.expect("it is kept");

    let whole = as_killed(running.path());
    let path = whole.path().join("tandem.db");
    assert_eq!(upkeep::cut_log(&path), None);
    assert_eq!(open(&path).await.cut_log(), None);

    let (gone, shorter) = (as_killed(running.path()), as_killed(running.path()));
    std::fs::remove_file(gone.path().join("tandem.db-wal")).expect("it is there");
    cut(&shorter.path().join("tandem.db-wal"), 4_152);
    for (folder, state) in [(gone, "is missing"), (shorter, "has 4152 bytes")] {
        let path = folder.path().join("tandem.db");
        let told = upkeep::cut_log(&path).expect("it is told of");
        for part in ["tandem.db-wal", state, "may be missing"] {
            assert!(told.what.contains(part), "{part}: {}", told.what);
        }
        assert!(told.advice.contains("tandem sync run"), "{}", told.advice);
        let store = open(&path).await;
        assert_eq!(store.cut_log(), Some(&told), "a start tells of it too");
        store.close().await.expect("it is closed");
        assert_eq!(upkeep::cut_log(&path), None, "it began anew");
    }
}

#[tokio::test]
async fn neither_an_orderly_end_nor_a_backup_in_the_place_of_the_file_is_told_of_as_a_loss() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("tandem.db");
    let (store, make) = (open(&path).await, Make::default());
    enqueue(&store, &make, "a1").await.expect("it is kept");
    let killed = as_killed(folder.path());
    store.close().await.expect("it is closed");
    assert!(!folder.path().join("tandem.db-wal").exists());
    assert_eq!(upkeep::cut_log(&path), None);

    std::fs::remove_file(killed.path().join("tandem.db-wal")).expect("it is there");
    let restored = killed.path().join("tandem.db");
    std::fs::copy(&path, &restored).expect("it is put in its place");
    assert_eq!(upkeep::cut_log(&restored), None);
}

/// What another program does to the database, such as one that copies it away all the time.
async fn by_another_program(path: &Path, statement: &'static str) {
    let mut conn = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(path)
        .connect()
        .await
        .expect("it opens");
    let done = sqlx::raw_sql(statement).execute(&mut conn).await;
    done.expect("it is done");
    conn.close().await.expect("it is closed");
}

fn length(path: &Path) -> u64 {
    std::fs::metadata(path).expect("it is there").len()
}

#[tokio::test]
async fn a_log_that_another_program_moved_into_the_file_and_emptied_is_no_damage() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("tandem.db");
    let log = folder.path().join("tandem.db-wal");
    let (store, make) = (running_on(&path).await, Make::default());
    for record in ["a1", "a2", "a3"] {
        enqueue(&store, &make, record).await.expect("it is whole");
        by_another_program(&path, "PRAGMA wal_checkpoint(TRUNCATE)").await;
        assert_eq!(length(&log), 0, "it was emptied");
        store.ping().await.expect("nothing is missing");
    }
    by_another_program(&path, "PRAGMA wal_checkpoint(TRUNCATE)").await;
    let killed = as_killed(folder.path());
    let killed = killed.path().join("tandem.db");
    // The file was written to after the last note, and the times of the copy are made up.
    let later = std::time::UNIX_EPOCH + std::time::Duration::from_secs(3_000);
    let file = std::fs::OpenOptions::new().write(true).open(&killed);
    file.expect("it is there").set_modified(later).expect("set");
    assert_eq!(upkeep::cut_log(&killed), None, "nor is it after a kill");
}

#[tokio::test]
async fn a_file_that_another_program_made_smaller_by_tidying_it_up_is_no_damage() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("tandem.db");
    let (store, make) = (running_on(&path).await, Make::default());
    by_another_program(
        &path,
        "CREATE TABLE filler (text TEXT); INSERT INTO filler VALUES (hex(zeroblob(500000)));
         PRAGMA wal_checkpoint(TRUNCATE)",
    )
    .await;
    enqueue(&store, &make, "a1").await.expect("it is whole");
    let before = length(&path);
    by_another_program(
        &path,
        "DROP TABLE filler; VACUUM; PRAGMA wal_checkpoint(TRUNCATE)",
    )
    .await;
    assert!(length(&path) < before, "it is smaller");
    enqueue(&store, &make, "a2").await.expect("it is whole");
    store.ping().await.expect("nothing is missing");
}

#[cfg(unix)]
#[tokio::test]
async fn a_log_that_is_put_back_whole_ends_the_refusal_without_a_new_start() {
    use std::os::unix::fs::FileExt as _;

    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("tandem.db");
    let log = folder.path().join("tandem.db-wal");
    let (store, make) = (running_on(&path).await, Make::default());
    enqueue(&store, &make, "a1").await.expect("it is whole");
    let whole = std::fs::read(&log).expect("it is there");
    cut(&log, 64);
    refused_with(&store, &make, &["damaged", "tandem.db-wal had"]).await;
    let file = std::fs::OpenOptions::new().write(true).open(&log);
    let file = file.expect("it is there");
    file.write_all_at(&whole, 0).expect("it is put back");
    enqueue(&store, &make, "a2").await.expect("it goes on");
    store.ping().await.expect("it is whole");
    store.close().await.expect("it is closed");
    let report = upkeep::examine(&path).await.expect("it is looked at");
    assert_eq!(report.damage, Vec::<String>::new());
}

#[cfg(unix)]
#[tokio::test]
async fn a_log_that_was_cut_and_grew_again_behind_the_cut_is_not_called_whole() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("tandem.db");
    let log = folder.path().join("tandem.db-wal");
    let (store, make) = (running_on(&path).await, Make::default());
    for record in ["a1", "a2", "a3"] {
        enqueue(&store, &make, record).await.expect("it is whole");
    }
    let before = length(&log);
    cut(&log, 4_152);
    refused_with(&store, &make, &["damaged", "tandem.db-wal had"]).await;
    // As long as it was, and nothing is in the greater part of it.
    cut(&log, before);
    refused_with(&store, &make, &["damaged", "tandem.db-wal had"]).await;
}

#[cfg(unix)]
#[tokio::test]
async fn an_older_copy_that_is_written_into_the_open_file_is_noticed_before_anything_more_is_said_to_be_kept()
 {
    for made in ["copied", "backed up"] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("tandem.db");
        let old = folder.path().join("old.db");
        let (store, make) = (running_on(&path).await, Make::default());
        enqueue(&store, &make, "a1").await.expect("it is whole");
        if made == "copied" {
            std::fs::copy(&path, &old).expect("it is copied");
        } else {
            upkeep::copy(&path, &old).await.expect("it is backed up");
        }
        // What was stored since is moved into the file, as happens every so often.
        enqueue(&store, &make, "a2").await.expect("it is whole");
        by_another_program(&path, "PRAGMA wal_checkpoint(TRUNCATE)").await;
        enqueue(&store, &make, "a3").await.expect("it is whole");
        let older = std::fs::read(&old).expect("it is there");
        let file = std::fs::OpenOptions::new().write(true).open(&path);
        std::os::unix::fs::FileExt::write_all_at(&file.expect("it is there"), &older, 0)
            .expect("it is written over");
        let parts = ["an older copy", "tandem.db", "tandem db check"];
        refused_with(&store, &make, &parts).await;
    }
}

#[cfg(unix)]
#[tokio::test]
async fn older_copies_of_all_three_files_are_noticed_before_anything_more_is_said_to_be_kept() {
    use std::os::unix::fs::FileExt as _;

    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("tandem.db");
    let files =
        ["tandem.db", "tandem.db-wal", "tandem.db-shm"].map(|name| folder.path().join(name));
    let (store, make) = (running_on(&path).await, Make::default());
    enqueue(&store, &make, "a1").await.expect("it is whole");
    let older = files
        .each_ref()
        .map(|file| std::fs::read(file).expect("it is there"));
    for record in ["a2", "a3"] {
        enqueue(&store, &make, record).await.expect("it is whole");
    }
    for (file, older) in files.iter().zip(&older) {
        let file = std::fs::OpenOptions::new().write(true).open(file);
        let file = file.expect("it is there");
        file.write_all_at(older, 0).expect("it is written over");
    }
    // The head of the file is as it was: nothing was moved into it in between.
    let parts = ["an older state", "tandem.db-shm", "tandem db check"];
    refused_with(&store, &make, &parts).await;
}

#[cfg(unix)]
#[tokio::test]
async fn what_other_programs_write_and_move_is_no_older_state() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("tandem.db");
    let (store, make) = (running_on(&path).await, Make::default());
    for record in ["a1", "a2", "a3"] {
        enqueue(&store, &make, record).await.expect("it is whole");
        let other = "CREATE TABLE other (n); DROP TABLE other; PRAGMA wal_checkpoint(TRUNCATE)";
        by_another_program(&path, other).await;
        store.ping().await.expect("nothing is older");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_command_beside_a_process_that_keeps_nothing_learns_why() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("tandem.db");
    let (store, make) = (running_on(&path).await, Make::default());
    let older = folder.path().join("older.db");
    upkeep::copy(&path, &older).await.expect("it is backed up");
    std::fs::rename(&path, folder.path().join("aside")).expect("it is moved");
    std::fs::rename(&older, &path).expect("it is put in its place");
    let refused = enqueue(&store, &make, "a1").await;
    refused.expect_err("it is another file");
    let beside = async || {
        let store = SqliteStore::open(&path, SqliteOptions { exclusive: false }).await?;
        store.ping().await
    };
    let said = beside().await.expect_err("nothing is kept").to_string();
    for part in ["removed or replaced while Tandem runs", "Stop Tandem"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    std::fs::rename(folder.path().join("aside"), &path).expect("it is put back");
    enqueue(&store, &make, "a1").await.expect("it goes on");
    store.ping().await.expect("it is kept");
    beside().await.expect("and that is learnt too");
}
