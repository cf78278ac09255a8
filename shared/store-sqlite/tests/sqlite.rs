//! What only a SQLite file has to promise.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sqlx::ConnectOptions as _;
use sqlx::sqlite::SqliteConnectOptions;
use tandem_store::{
    ConfigStore, JobState, JobStore, LeaseStore as _, LinkStanding, LinkStore, Store, StoreError,
};
use tandem_store_sqlite::{SqliteOptions, SqliteStore, upkeep};
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
    assert!(message.contains("Do not remove"), "{message}");
    drop(first);
    open(&path, RUNNING).await;
}

#[tokio::test]
async fn who_finds_the_database_held_by_another_program_is_told_which_file_how_long_and_what_to_do()
{
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("tandem.db");
    let store = open(&path, RUNNING).await;
    let other = SqliteConnectOptions::new().filename(&path);
    let mut other = other.connect().await.expect("another tool opens it");
    let hold = sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut other).await;
    hold.expect("it is held");
    let file = path.display().to_string();
    let told = |error: StoreError, secs: &str| {
        let told = error.to_string();
        for part in [&*file, secs, "`fuser ", "another program"] {
            assert!(told.contains(part), "{part}: {told}");
        }
    };
    // Whoever asks whether anything can be written waits for no other write.
    let write = store.give_up_role("any", "anybody");
    let soon = tokio::time::timeout(Duration::from_secs(8), store.ping());
    let (_, pinged) = tokio::join!(write, soon);
    told(pinged.expect("in seconds").expect_err("held"), "for 4 s");
    let _free = sqlx::raw_sql("ROLLBACK").execute(&mut other).await;
    store.close().await.expect("it is closed");
    drop(store);
    let hold = sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut other).await;
    hold.expect("it is held");
    let refused = SqliteStore::open(&path, RUNNING).await.err();
    told(refused.expect("it is held"), "for 10 s");
}

#[cfg(unix)]
#[tokio::test]
async fn the_lock_is_not_taken_through_a_symbolic_link() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("tandem.db");
    let elsewhere = folder.path().join("elsewhere");
    std::os::unix::fs::symlink(&elsewhere, folder.path().join("tandem.db.lock"))
        .expect("a link is made");
    let refused = SqliteStore::open(&path, RUNNING).await.err();
    let message = refused.expect("it is refused").to_string();
    assert!(
        message.contains("tandem.db.lock") && message.contains("symbolic link"),
        "{message}"
    );
    assert!(!elsewhere.exists(), "nothing was made in its place");
}

#[cfg(unix)]
#[tokio::test]
async fn a_database_that_is_a_pipe_or_a_link_is_refused_at_once_with_what_it_is() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("tandem.db");
    let elsewhere = folder.path().join("elsewhere.db");
    for name in ["tandem.db", "tandem.db-wal"] {
        let there = folder.path().join(name);
        let make_pipe = std::process::Command::new("mkfifo").arg(&there).status();
        assert!(make_pipe.expect("mkfifo").success());
        for options in [RUNNING, COMMAND] {
            refused_as(&path, options, &[name, "a named pipe", "--data"]).await;
        }
        let looked = upkeep::examine(&path).await.expect_err("it is refused");
        assert!(looked.to_string().contains("a named pipe"), "{looked}");
        std::fs::remove_file(&there).expect("it is ours");

        std::os::unix::fs::symlink(&elsewhere, &there).expect("a link is made");
        let parts = [
            name,
            "a symbolic link (to ",
            "elsewhere.db",
            "whole data folder",
        ];
        for options in [RUNNING, COMMAND] {
            refused_as(&path, options, &parts).await;
        }
        assert!(!elsewhere.exists(), "nothing was made where it leads to");
        std::fs::remove_file(&there).expect("it is ours");
    }
    std::fs::create_dir(&path).expect("a folder");
    refused_as(&path, RUNNING, &["tandem.db", "a folder", "--data"]).await;
}

#[cfg(unix)]
async fn refused_as(path: &Path, options: SqliteOptions, parts: &[&str]) {
    let refused = SqliteStore::open(path, options).await.err();
    let refused = refused.expect("it is refused");
    assert!(matches!(refused, StoreError::Unusable(_)), "{refused:?}");
    let message = refused.to_string();
    for part in parts {
        assert!(message.contains(part), "{part}: {message}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_data_folder_may_be_a_link() {
    let around = tempfile::tempdir().expect("a temporary folder");
    let (folder, link) = (around.path().join("disk"), around.path().join("data"));
    std::fs::create_dir(&folder).expect("a folder");
    std::os::unix::fs::symlink(&folder, &link).expect("a link is made");
    let store = open(&link.join("tandem.db"), RUNNING).await;
    store.ping().await.expect("it answers");
    assert!(folder.join("tandem.db").exists());
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

/// The mode of a file or folder, without its kind.
#[cfg(unix)]
fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    let found = std::fs::metadata(path).expect("it is there");
    found.permissions().mode() & 0o777
}

#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    let rights = std::fs::Permissions::from_mode(mode);
    std::fs::set_permissions(path, rights).expect("it is ours");
}

#[cfg(unix)]
#[tokio::test]
async fn the_folder_and_every_file_in_it_are_the_owners_alone_also_those_that_were_too_open() {
    let around = tempfile::tempdir().expect("a temporary folder");
    let folder = around.path().join("data");
    let path = folder.join("tandem.db");
    let files = |suffixes: &[&str]| -> Vec<std::path::PathBuf> {
        let named = |suffix: &&str| folder.join(format!("tandem.db{suffix}"));
        suffixes.iter().map(named).collect()
    };
    let store = open(&path, RUNNING).await;
    store.ping().await.expect("it answers");
    assert_eq!(mode(&folder), 0o700);
    for file in files(&["", "-wal", "-shm", ".lock"]) {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
    drop(store);
    set_mode(&folder, 0o755);
    set_mode(&path, 0o644);
    set_mode(&folder.join("tandem.db.lock"), 0o644);
    let store = open(&path, RUNNING).await;
    store.ping().await.expect("it answers");
    assert_eq!(mode(&folder), 0o700);
    for file in files(&["", "-wal", "-shm", ".lock"]) {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

/// A file that others may read, of somebody else.
#[cfg(unix)]
fn open_to_all(path: &Path) {
    std::fs::write(path, "").expect("a file");
    set_mode(path, 0o644);
}

#[cfg(unix)]
#[tokio::test]
async fn the_file_that_a_link_in_place_of_the_database_leads_to_keeps_its_mode() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (path, target) = (
        folder.path().join("tandem.db"),
        folder.path().join("elsewhere.db"),
    );
    open_to_all(&target);
    std::os::unix::fs::symlink(&target, &path).expect("a link");
    let refused = SqliteStore::open(&path, RUNNING).await;
    assert!(refused.is_err(), "a link is not followed");
    assert_eq!(mode(&target), 0o644);
}

#[cfg(unix)]
#[tokio::test]
async fn what_a_link_beside_the_database_leads_to_keeps_its_mode() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("tandem.db");
    drop(open(&path, RUNNING).await);
    let target = folder.path().join("letters.txt");
    open_to_all(&target);
    let lock = folder.path().join("tandem.db.lock");
    std::fs::remove_file(&lock).expect("it is there");
    std::os::unix::fs::symlink(&target, lock).expect("a link");
    for options in [COMMAND, RUNNING] {
        let refused = SqliteStore::open(&path, options).await;
        assert!(refused.is_err(), "a link is not followed");
    }
    assert_eq!(mode(&target), 0o644);
}

#[cfg(unix)]
#[tokio::test]
async fn a_folder_that_holds_other_things_too_keeps_its_mode() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("letters.txt"), "of somebody else").expect("a file");
    set_mode(folder.path(), 0o755);
    let path = folder.path().join("tandem.db");
    open(&path, RUNNING).await;
    assert_eq!((mode(folder.path()), mode(&path)), (0o755, 0o600));
}

#[tokio::test]
async fn a_damaged_file_is_named_with_what_to_do_and_not_said_to_be_tried_again() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("tandem.db");
    std::fs::write(
        &path,
        "this was a database once, and it is none now ".repeat(100),
    )
    .expect("a file");
    let refused = SqliteStore::open(&path, RUNNING).await;
    let error = refused.err().expect("it is refused");
    assert!(matches!(error, StoreError::Unusable(_)), "{error:?}");
    let message = error.to_string();
    for part in ["tandem db check", "backup", &path.display().to_string()] {
        assert!(message.contains(part), "{message}");
    }
    assert!(!message.contains("tried again"), "{message}");
}

#[tokio::test]
async fn a_place_that_cannot_be_used_is_named_with_what_to_do() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("a-file");
    std::fs::write(&file, "not a folder").expect("a file");
    let refused = SqliteStore::open(&file.join("tandem.db"), RUNNING).await;
    let message = refused.err().expect("it is refused").to_string();
    assert!(message.contains("--data"), "{message}");
}

#[tokio::test]
async fn nothing_is_said_to_be_kept_once_the_folder_was_removed_or_replaced() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (data, aside) = (folder.path().join("data"), folder.path().join("aside"));
    let path = data.join("tandem.db");
    let (store, make) = (open(&path, RUNNING).await, Make::default());
    store.ping().await.expect("it is there");

    std::fs::rename(&data, &aside).expect("it is moved");
    let refused = store.enqueue(vec![make.job("a1")], make.now()).await;
    let refused = refused.expect_err("what is written goes nowhere");
    assert!(matches!(refused, StoreError::Unusable(_)), "{refused}");
    let said = refused.to_string();
    assert!(said.contains("tandem.db is not there any more"), "{said}");
    let pinged = store.ping().await.expect_err("it is not there");
    assert!(matches!(pinged, StoreError::Unusable(_)), "{pinged}");

    let another = open(&path, RUNNING).await;
    another.ping().await.expect("it is another one");
    let pinged = store.ping().await.expect_err("it is not the one");
    assert!(pinged.to_string().contains("is another file"), "{pinged}");
    drop(another);

    std::fs::remove_dir_all(&data).expect("it is removed");
    std::fs::rename(&aside, &data).expect("it is moved back");
    store.ping().await.expect("it is back");
    let jobs = store.enqueue(vec![make.job("a2")], make.now()).await;
    assert_eq!(jobs.expect("it goes on").len(), 1);
}

/// The names in a folder with what each file holds, so that nothing that changed goes unseen.
fn held(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(folder).expect("the folder is there");
    let mut held: Vec<_> = entries
        .map(|entry| {
            let entry = entry.expect("it is listed");
            let bytes = std::fs::read(entry.path()).expect("it is read");
            (entry.file_name().to_string_lossy().into_owned(), bytes)
        })
        .collect();
    held.sort();
    held
}

/// Insists that neither a start nor a look touches a database that has lost its contents.
async fn refused_as_lost(path: &Path, named: &[&str]) {
    let folder = path.parent().expect("a folder");
    let before = held(folder);
    for options in [RUNNING, COMMAND] {
        let refused = SqliteStore::open(path, options).await.err();
        let refused = refused.expect("it is refused");
        assert!(matches!(refused, StoreError::Unusable(_)), "{refused:?}");
        let message = refused.to_string();
        let folder = folder.display().to_string();
        let always = [
            "has lost its contents",
            "Nothing was changed",
            "backup",
            folder.as_str(),
        ];
        for part in always.iter().chain(named) {
            assert!(message.contains(part), "{part}: {message}");
        }
    }
    let looked = upkeep::examine(path).await.err();
    if path.exists() {
        let looked = looked.expect("it is refused").to_string();
        assert!(looked.contains("has lost its contents"), "{looked}");
    }
    assert!(upkeep::is_made(path).await.is_err());
    assert!(upkeep::lost(path).await.expect("it is looked at").is_some());
    assert!(before == held(folder), "nothing was touched");
}

/// A database with a job in it, which was closed in good order.
async fn closed(path: &Path) {
    let (store, make) = (open(path, RUNNING).await, Make::default());
    let jobs = store.enqueue(vec![make.job("a1")], make.now()).await;
    jobs.expect("it is kept");
    store.close().await.expect("it is closed");
}

#[tokio::test]
async fn after_an_orderly_end_the_file_alone_holds_everything() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("tandem.db");
    let store = open(&path, RUNNING).await;
    let make = Make::default();
    let jobs = store.enqueue(vec![make.job("a1")], make.now()).await;
    jobs.expect("it is kept");
    // A command that looks on meanwhile does not keep it from being whole.
    let beside = open(&path, COMMAND).await;
    store.close().await.expect("it is closed");
    let refused = store.enqueue(vec![make.job("a2")], make.now()).await;
    refused.expect_err("nothing is taken any more");
    let alone = folder.path().join("alone.db");
    std::fs::copy(&path, &alone).expect("it is copied");
    drop(beside);
    let copied = open(&alone, RUNNING).await;
    let counts = copied.job_counts(None, make.now()).await.expect("counts");
    assert_eq!(counts.available, 1);
}

#[tokio::test]
async fn a_command_that_ends_last_leaves_everything_in_the_file() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("tandem.db");
    let (store, make) = (open(&path, COMMAND).await, Make::default());
    let jobs = store.enqueue(vec![make.job("a1")], make.now()).await;
    jobs.expect("it is kept");
    store.close().await.expect("it is closed");
    assert!(!folder.path().join("tandem.db-wal").exists());
}

#[tokio::test]
async fn a_new_database_has_its_schema_in_the_file_itself() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("tandem.db");
    let _store = open(&path, RUNNING).await;
    let alone = folder.path().join("alone.db");
    std::fs::copy(&path, &alone).expect("it is copied");
    let report = upkeep::examine(&alone).await.expect("it is looked through");
    assert_eq!(report.version, Some(report.needed));
}

#[tokio::test]
async fn an_empty_or_missing_file_beside_a_log_is_neither_opened_nor_begun_anew() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("tandem.db");
    std::fs::write(folder.path().join("tandem.db-wal"), "x".repeat(9_000)).expect("a log");
    refused_as_lost(&path, &["is not there", "tandem.db-wal (9000 bytes)"]).await;
    std::fs::write(&path, "").expect("an empty file");
    refused_as_lost(&path, &["is empty (0 bytes)", "tandem.db-wal (9000 bytes)"]).await;
}

#[tokio::test]
async fn a_file_that_is_gone_or_emptied_is_not_begun_anew_where_an_earlier_start_left_its_mark() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("tandem.db");
    closed(&path).await;
    std::fs::write(&path, "").expect("it is emptied");
    refused_as_lost(&path, &["tandem.db.lock", "is empty"]).await;
    std::fs::remove_file(&path).expect("it is there");
    refused_as_lost(&path, &["tandem.db.lock", "is not there"]).await;
    std::fs::write(folder.path().join("api-token"), "secret\n").expect("a token");
    std::fs::remove_file(folder.path().join("tandem.db.lock")).expect("it is there");
    refused_as_lost(&path, &["api-token", "is not there"]).await;
    // What the message says is what it takes.
    std::fs::remove_file(folder.path().join("api-token")).expect("it is there");
    open(&path, RUNNING).await.ping().await.expect("it is new");
}

/// The file as SQLite makes it before anything is in it.
async fn without_tables(path: &Path) {
    let options = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(sqlx::sqlite::SqliteJournalMode::Wal);
    let conn = sqlx::ConnectOptions::connect(&options).await.expect("made");
    sqlx::Connection::close(conn).await.expect("closed");
}

#[tokio::test]
async fn a_file_without_tables_is_begun_anew_only_where_nothing_tells_of_an_earlier_one() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("tandem.db");
    without_tables(&path).await;
    assert_eq!(std::fs::metadata(&path).expect("it is there").len(), 4_096);
    std::fs::write(folder.path().join("api-token"), "secret\n").expect("a token");
    refused_as_lost(&path, &["holds no tables (4096 bytes)", "api-token"]).await;
    std::fs::remove_file(folder.path().join("api-token")).expect("it is there");
    open(&path, RUNNING).await.ping().await.expect("it is new");
}

#[tokio::test]
async fn a_first_start_that_was_killed_half_way_goes_on() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("tandem.db");
    // Killed after the lock was taken, after the file was made, and after SQLite began to write into its log.
    std::fs::write(folder.path().join("tandem.db.lock"), "").expect("a lock");
    std::fs::write(&path, "").expect("an empty file");
    assert!(!upkeep::is_made(&path).await.expect("it is looked at"));
    without_tables(&path).await;
    std::fs::write(folder.path().join("tandem.db-wal"), [0; 5_000]).expect("a log");
    assert!(!upkeep::is_made(&path).await.expect("it is looked at"));
    open(&path, RUNNING).await.ping().await.expect("it goes on");
}

#[tokio::test]
async fn a_young_database_whose_process_was_killed_is_taken_for_what_its_log_holds() {
    let (running, folder) = (
        tempfile::tempdir().expect("a temporary folder"),
        tempfile::tempdir().expect("another folder"),
    );
    // As an earlier version left it: the list of tables in the log, nothing in the file.
    let options = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(running.path().join("tandem.db"))
        .create_if_missing(true)
        .journal_mode(sqlx::sqlite::SqliteJournalMode::Wal);
    let mut conn = sqlx::ConnectOptions::connect(&options).await.expect("made");
    let table = "CREATE TABLE _sqlx_migrations (version BIGINT PRIMARY KEY)";
    let made = sqlx::Executor::execute(&mut conn, sqlx::query(table)).await;
    made.expect("it is in the log");
    for name in ["tandem.db", "tandem.db-wal"] {
        let copied = std::fs::copy(running.path().join(name), folder.path().join(name));
        copied.expect("it is there");
    }
    std::fs::write(folder.path().join("api-token"), "secret\n").expect("a token");
    let path = folder.path().join("tandem.db");
    assert_eq!(std::fs::metadata(&path).expect("it is there").len(), 4_096);
    assert!(upkeep::is_made(&path).await.expect("it is looked at"));
    assert_eq!(upkeep::lost(&path).await.expect("it is looked at"), None);
}

#[tokio::test]
async fn a_link_whose_memory_an_older_worker_wrote_is_not_taken_for_filtered_by_its_column() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("tandem.db");
    let store = open(&path, RUNNING).await;
    let make = Make::default();
    let link = make.link("a1", "b1");
    let inserted = store.insert_links(vec![link.clone()], make.now()).await;
    assert_eq!(inserted.expect("insert_links"), 1);
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path);
    let mut conn = sqlx::ConnectOptions::connect(&options).await.expect("open");
    // It let the pair go on, and knew nothing of the column.
    let left = sqlx::query("UPDATE links SET filtered = 1");
    let left = sqlx::Executor::execute(&mut conn, left).await;
    left.expect("it is written");
    let standing = async |standing| {
        let found = store.links_standing(&link.sync, standing, None, 9).await;
        found.expect("links_standing").len()
    };
    assert_eq!(standing(LinkStanding::Filtered).await, 0);
    assert_eq!(standing(LinkStanding::Active).await, 1);
}
