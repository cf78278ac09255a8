//! Opening the file: the lock against a second long-running process, the schema, the connections.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, SqlSafeStr, SqliteConnection};
use tandem_store::StoreError;

use crate::generation::Generation;
use crate::log_note::{cut_log, note_length, note_refusal, noted_refusal};
use crate::lost::{lost, mark};
use crate::place::{beside, cannot_open, no_access, open_private_here, prepare, require_files};
use crate::watch::{Readers, Watch};
use crate::writer::{Ending, Writer};
use crate::{SqliteStore, locked, rows, sql};

/// Why the process that runs on a file keeps nothing, if it does not.
pub(crate) fn refusal_of_runner(path: &Path) -> Result<Option<StoreError>, StoreError> {
    Ok(match noted_refusal(path) {
        Some(refused) if is_run_on(path)? => Some(refused),
        _ => None,
    })
}

/// How long a write waits for another process (an operator's command) to finish its own.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections that read.
const READERS_MAX: u32 = 4;
/// Page cache of one connection, in KiB (negative: SQLite's sign for KiB instead of pages).
const CACHE_KIB: &str = "-16384";
/// Nothing is read through a memory map: where a file is cut under one, the process is killed (SIGBUS) in the place of an
/// error that says what to do. It would spare a look-up that misses the page cache some 20 µs.
const MMAP_BYTES: &str = "0";
/// Pages in the write-ahead log before they are moved into the file: 16 MiB.
const CHECKPOINT_PAGES: &str = "4000";
/// More than there are statements, so that each is prepared once a connection.
const STATEMENTS_MAX: usize = 256;

/// Version, name, up, down. `migrations/sqlite` and `migrations/postgres` have the same names.
const MIGRATIONS: &[(i64, &str, &str, &str)] = &[
    (
        1,
        "spine",
        include_str!("../../../migrations/sqlite/0001_spine.up.sql"),
        include_str!("../../../migrations/sqlite/0001_spine.down.sql"),
    ),
    (
        2,
        "fleet",
        include_str!("../../../migrations/sqlite/0002_fleet.up.sql"),
        include_str!("../../../migrations/sqlite/0002_fleet.down.sql"),
    ),
    (
        3,
        "trust",
        include_str!("../../../migrations/sqlite/0003_trust.up.sql"),
        include_str!("../../../migrations/sqlite/0003_trust.down.sql"),
    ),
    (
        4,
        "waits",
        include_str!("../../../migrations/sqlite/0004_waits.up.sql"),
        include_str!("../../../migrations/sqlite/0004_waits.down.sql"),
    ),
    (
        5,
        "index",
        include_str!("../../../migrations/sqlite/0005_index.up.sql"),
        include_str!("../../../migrations/sqlite/0005_index.down.sql"),
    ),
    (
        6,
        "verbs",
        include_str!("../../../migrations/sqlite/0006_verbs.up.sql"),
        include_str!("../../../migrations/sqlite/0006_verbs.down.sql"),
    ),
    (
        7,
        "questions",
        include_str!("../../../migrations/sqlite/0007_questions.up.sql"),
        include_str!("../../../migrations/sqlite/0007_questions.down.sql"),
    ),
    (
        8,
        "left_alone",
        include_str!("../../../migrations/sqlite/0008_left_alone.up.sql"),
        include_str!("../../../migrations/sqlite/0008_left_alone.down.sql"),
    ),
    (
        9,
        "pauses",
        include_str!("../../../migrations/sqlite/0009_pauses.up.sql"),
        include_str!("../../../migrations/sqlite/0009_pauses.down.sql"),
    ),
    (
        10,
        "made",
        include_str!("../../../migrations/sqlite/0010_made.up.sql"),
        include_str!("../../../migrations/sqlite/0010_made.down.sql"),
    ),
    (
        11,
        "seen",
        include_str!("../../../migrations/sqlite/0011_seen.up.sql"),
        include_str!("../../../migrations/sqlite/0011_seen.down.sql"),
    ),
    (
        12,
        "said",
        include_str!("../../../migrations/sqlite/0012_said.up.sql"),
        include_str!("../../../migrations/sqlite/0012_said.down.sql"),
    ),
    (
        13,
        "addresses",
        include_str!("../../../migrations/sqlite/0013_addresses.up.sql"),
        include_str!("../../../migrations/sqlite/0013_addresses.down.sql"),
    ),
    (
        14,
        "held_up",
        include_str!("../../../migrations/sqlite/0014_held_up.up.sql"),
        include_str!("../../../migrations/sqlite/0014_held_up.down.sql"),
    ),
    (
        15,
        "filtered",
        include_str!("../../../migrations/sqlite/0015_filtered.up.sql"),
        include_str!("../../../migrations/sqlite/0015_filtered.down.sql"),
    ),
    (
        16,
        "links_filtered",
        include_str!("../../../migrations/sqlite/0016_links_filtered.up.sql"),
        include_str!("../../../migrations/sqlite/0016_links_filtered.down.sql"),
    ),
    (
        17,
        "clocks",
        include_str!("../../../migrations/sqlite/0017_clocks.up.sql"),
        include_str!("../../../migrations/sqlite/0017_clocks.down.sql"),
    ),
    (
        18,
        "signatures",
        include_str!("../../../migrations/sqlite/0018_signatures.up.sql"),
        include_str!("../../../migrations/sqlite/0018_signatures.down.sql"),
    ),
    (
        19,
        "offsets",
        include_str!("../../../migrations/sqlite/0019_offsets.up.sql"),
        include_str!("../../../migrations/sqlite/0019_offsets.down.sql"),
    ),
    (
        20,
        "discarded",
        include_str!("../../../migrations/sqlite/0020_discarded.up.sql"),
        include_str!("../../../migrations/sqlite/0020_discarded.down.sql"),
    ),
    (
        21,
        "refused",
        include_str!("../../../migrations/sqlite/0021_refused.up.sql"),
        include_str!("../../../migrations/sqlite/0021_refused.down.sql"),
    ),
    (
        22,
        "answered",
        include_str!("../../../migrations/sqlite/0022_answered.up.sql"),
        include_str!("../../../migrations/sqlite/0022_answered.down.sql"),
    ),
];

/// Rows that the thread of a connection may be ahead of their reader.
const ROWS_AHEAD_MAX: usize = 1_024;

/// How to open the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SqliteOptions {
    /// Whether this process is the one that runs on the file: a second one is refused. Commands that
    /// only do one thing beside a running Tandem say false.
    pub exclusive: bool,
}

impl SqliteStore {
    /// Opens the file, makes it (and its folder) if it is not there, and brings its schema up to date.
    /// Must be called within a Tokio runtime, which then runs the writer.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when another process runs on the file or it cannot be opened;
    /// [`StoreError::Schema`] when its schema is newer than this program.
    pub async fn open(path: &Path, options: SqliteOptions) -> Result<Arc<Self>, StoreError> {
        if !options.exclusive
            && let Some(refused) = refusal_of_runner(path)?
            && matches!(refused, StoreError::Unusable(_))
        {
            // SQLite would remove the log of the files that are open, which it does not know from here.
            return Err(refused);
        }
        let opened = Self::open_here(path, options).await;
        opened.map_err(|error| locked::explained(error, path, BUSY_TIMEOUT))
    }

    async fn open_here(path: &Path, options: SqliteOptions) -> Result<Arc<Self>, StoreError> {
        require_files(path)?;
        if let Some(lost) = lost(path).await? {
            return Err(lost.into());
        }
        prepare(path)?;
        let lock = match options.exclusive {
            true => Some(lock_file(path).await?),
            false => None,
        };
        let cut_log = lock.as_ref().and_then(|_| cut_log(path));
        if let Some(cut) = &cut_log {
            tracing::error!("{}. {}", cut.what, cut.advice);
        }
        let connect = connect_options(path);
        let mut conn = connect
            .connect()
            .await
            .map_err(|error| cannot_open(path, &error))?;
        bring_up_to_date(&mut conn, path, lock.as_ref()).await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS_MAX)
            .test_before_acquire(false)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_with(connect.create_if_missing(false).read_only(true))
            .await
            .map_err(|error| cannot_open(path, &error))?;
        let watch = match lock {
            Some(_) => {
                let generation = Generation::begin(path, &mut conn).await?;
                Watch::alone(path, generation)
            }
            None => Watch::of(path),
        };
        let watch = Arc::new(watch.map_err(|error| no_access(path, &error))?);
        if let Some(lock) = &lock {
            note_length(lock, watch.log_bytes())
                .and_then(|()| note_refusal(lock, None))
                .map_err(|error| no_access(&beside(path, ".lock"), &error))?;
        }
        Ok(Arc::new(Self {
            cut_log,
            runs_here: lock.is_some(),
            path: path.to_owned(),
            writer: Writer::start(
                conn,
                Some(Ending {
                    watch: Arc::clone(&watch),
                    readers: readers.clone(),
                    lock,
                }),
            ),
            readers: Readers {
                pool: readers,
                watch,
            },
        }))
    }
}

fn connect_options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        // The promise of a webhook's 200 is that the event survives a power cut.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .statement_cache_capacity(STATEMENTS_MAX)
        .row_buffer_size(ROWS_AHEAD_MAX)
        .pragma("cache_size", CACHE_KIB)
        .pragma("mmap_size", MMAP_BYTES)
        .pragma("temp_store", "MEMORY")
        .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
        .disable_statement_logging()
}

/// Whether a process runs on a file. The lock is tried for a moment, and nothing is made.
pub(crate) fn is_run_on(path: &Path) -> Result<bool, StoreError> {
    let lock_path = beside(path, ".lock");
    let no_access = |error: &std::io::Error| no_access(&lock_path, error);
    let file = match File::open(&lock_path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(no_access(&error)),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(no_access(&error)),
    }
}

/// Whoever looks whether a process runs holds the lock for a moment: so long it is waited for, again and again.
const LOOKED_AT: Duration = Duration::from_millis(20);
/// So often.
const LOCK_TRIES: u32 = 10;

/// Takes the lock file beside the database. The file stays; only the lock on it counts.
async fn lock_file(path: &Path) -> Result<File, StoreError> {
    let lock_path = beside(path, ".lock");
    let file = open_private_here(&lock_path).map_err(|error| no_access(&lock_path, &error))?;
    let mut tried = 1;
    while matches!(file.try_lock(), Err(TryLockError::WouldBlock)) && tried < LOCK_TRIES {
        tokio::time::sleep(LOOKED_AT).await;
        tried += 1;
    }
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Unavailable(format!(
            "another tandem already runs on {} (it holds {lock}); stop it first, or give this one another data folder. Do not \
             remove {lock}: two that run on one folder would do everything twice",
            path.display(),
            lock = lock_path.display()
        ))),
        Err(TryLockError::Error(error)) => Err(no_access(&lock_path, &error)),
    }
}

/// The schema of this program, both ways.
pub(crate) fn migrator() -> Migrator {
    let both = |(version, name, up, down): (i64, &'static str, &'static str, &'static str)| {
        [
            (MigrationType::ReversibleUp, up),
            (MigrationType::ReversibleDown, down),
        ]
        .map(|(direction, text)| {
            Migration::new(version, name.into(), direction, text.into_sql_str(), false)
        })
    };
    Migrator::with_migrations(MIGRATIONS.iter().copied().flat_map(both).collect())
}

/// Applies what is missing. Without the lock that needs it for a moment: a schema must not change
/// under a process that runs on it.
async fn bring_up_to_date(
    conn: &mut SqliteConnection,
    path: &Path,
    held: Option<&File>,
) -> Result<(), StoreError> {
    let is_current = is_current(conn).await?;
    let own = if held.is_some() || is_current {
        None
    } else {
        Some(lock_file(path).await?)
    };
    let ran = migrator().run(&mut *conn).await;
    ran.map_err(|error| match error {
        MigrateError::Execute(error) => sql::failed(error),
        other => schema(other),
    })?;
    if !is_current {
        // Whoever copies the file alone has at least the schema, and one that lost its contents can be told.
        empty_log(conn).await?;
    }
    held.or(own.as_ref()).map_or(Ok(()), |lock| {
        mark(lock).map_err(|error| no_access(&beside(path, ".lock"), &error))
    })
}

/// Moves what the write-ahead log holds into the file. Others who read or write are waited for a while; then what
/// they still need stays there.
pub(crate) async fn empty_log(conn: &mut SqliteConnection) -> Result<(), StoreError> {
    const EMPTY: &str = "-- empty_log\nPRAGMA wal_checkpoint(TRUNCATE)";
    sql::all(conn, sqlx::query(EMPTY)).await.map(|_moved| ())
}

/// Whether there is a list of versions, which is the first that is made.
pub(crate) async fn has_schema(conn: &mut SqliteConnection) -> Result<bool, StoreError> {
    const EXISTS: &str = "-- has_schema
SELECT count(*) AS tables FROM sqlite_schema WHERE name = '_sqlx_migrations'";
    let row = sql::one(&mut *conn, sqlx::query(EXISTS)).await?;
    Ok(rows::count(&row, "tables")? > 0)
}

async fn is_current(conn: &mut SqliteConnection) -> Result<bool, StoreError> {
    if !has_schema(conn).await? {
        return Ok(false);
    }
    Ok(version(conn).await? == Some(MIGRATIONS[MIGRATIONS.len() - 1].0))
}

/// The version that this program needs.
pub(crate) const fn needed_version() -> i64 {
    MIGRATIONS[MIGRATIONS.len() - 1].0
}

pub(crate) async fn version<'c>(
    source: impl Into<sql::Source<'c>>,
) -> Result<Option<i64>, StoreError> {
    const VERSION: &str = "-- schema_version
SELECT max(version) AS version FROM _sqlx_migrations WHERE success";
    let row = sql::one(source, sqlx::query(VERSION)).await?;
    rows::get(&row, "version")
}

/// Checks that the schema is still the one of this program.
pub(crate) async fn check_version(readers: &Readers) -> Result<(), StoreError> {
    let needed = MIGRATIONS[MIGRATIONS.len() - 1].0;
    match version(readers).await? {
        Some(found) if found == needed => Ok(()),
        found => Err(StoreError::Schema(format!(
            "it is at version {}, this program needs {needed}",
            found.unwrap_or(0)
        ))),
    }
}

fn schema(error: MigrateError) -> StoreError {
    match error {
        MigrateError::VersionMissing(version) => StoreError::Schema(format!(
            "it is at version {version}, and this program knows only up to {}: a newer Tandem has used this database; run that one",
            MIGRATIONS[MIGRATIONS.len() - 1].0
        )),
        MigrateError::VersionMismatch(version) => StoreError::Schema(format!(
            "version {version} was made by another build of Tandem"
        )),
        other => StoreError::Schema(other.to_string()),
    }
}

/// Opens the file as it is.
#[cfg(test)]
pub(crate) async fn connect(path: &Path) -> SqliteConnection {
    connect_options(path)
        .connect()
        .await
        .expect("the file opens")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn going_down_removes_all_and_going_up_again_works() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut conn = connect(&folder.path().join("x.db")).await;
        migrator().run(&mut conn).await.expect("up");
        migrator().undo(&mut conn, 0).await.expect("down");
        let left = sql::all(
            &mut conn,
            sqlx::query(
                "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE '%sql%'",
            ),
        )
        .await
        .expect("tables");
        assert_eq!(left.len(), 0);
        migrator().run(&mut conn).await.expect("up again");
    }

    /// Under a memory map the whole process would be killed by the second reading, this test with it.
    #[tokio::test]
    async fn a_file_that_is_cut_while_it_is_read_is_an_error_and_not_the_end_of_the_process() {
        const FILL: &str = "CREATE TABLE long (text TEXT);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200)
INSERT INTO long SELECT hex(zeroblob(20000)) FROM n";
        const READ: &str = "SELECT sum(length(text)) AS bytes, max(text) AS longest FROM long";
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("x.db");
        let mut first = connect(&path).await;
        let filled = sqlx::raw_sql(FILL).execute(&mut first).await;
        filled.expect("filled");
        empty_log(&mut first).await.expect("all is in the file");
        let mut conn = connect(&path).await;
        sql::run(&mut conn, sqlx::query("BEGIN"))
            .await
            .expect("begun");
        let some = "SELECT text FROM long LIMIT 1";
        sql::all(&mut conn, sqlx::query(some)).await.expect("read");
        let file = std::fs::OpenOptions::new().write(true).open(&path);
        let cut = file.expect("it is there").set_len(16_384);
        cut.expect("it is cut");
        let read = sql::all(&mut conn, sqlx::query(READ)).await;
        let Err(error) = read else {
            panic!("it cannot be read");
        };
        let said = error.to_string();
        assert!(
            said.contains("cut it") && said.contains("tandem db check"),
            "{said}"
        );
    }

    #[tokio::test]
    async fn a_schema_of_a_newer_program_is_refused() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("x.db");
        let mut conn = connect(&path).await;
        migrator().run(&mut conn).await.expect("up");
        sql::run(
            &mut conn,
            sqlx::query("INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (999, 'later', 1, x'00', 0)"),
        )
        .await
        .expect("a later version");
        let refused = SqliteStore::open(&path, SqliteOptions { exclusive: true }).await;
        let error = refused.err().expect("it is refused").to_string();
        assert!(error.contains("version 999"), "{error}");
        assert!(error.contains("newer Tandem"), "{error}");
    }

    #[test]
    fn every_migration_of_the_folder_is_built_in() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations/sqlite");
        let files = std::fs::read_dir(folder)
            .expect("the folder is there")
            .count();
        assert_eq!(files, MIGRATIONS.len() * 2);
    }
}
