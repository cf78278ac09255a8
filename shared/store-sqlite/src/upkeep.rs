//! Looking at a file that may be damaged, and copying it while it is in use. Neither changes it: no schema is
//! brought up to date, and no lock is taken.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection as _, SqliteConnection};
use tandem_store::StoreError;

use crate::generation::forget;
pub use crate::log_note::cut_log;
pub use crate::lost::{Lost, is_made, lost};
use crate::open::{has_schema, needed_version, version};
use crate::place::{cannot_open, require_files};
use crate::{rows, sql};

/// How long others are waited for.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Whether a process runs on a file.
///
/// # Errors
/// When its lock cannot be looked at.
pub fn is_run_on(path: &Path) -> Result<bool, StoreError> {
    crate::open::is_run_on(path)
}

/// What was found in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileReport {
    /// What the database says is damaged; empty when nothing is.
    pub damage: Vec<String>,
    /// Rows that refer to what is not there.
    pub dangling: usize,
    /// The version of its schema; `None` when it has none of Tandem's.
    pub version: Option<i64>,
    /// The version that this program needs.
    pub needed: i64,
}

async fn connect(path: &Path) -> Result<SqliteConnection, StoreError> {
    require_files(path)?;
    // SQLite would remove the log beside an empty file, also for one that only reads.
    if let Some(lost) = lost(path).await? {
        return Err(lost.into());
    }
    read_only(path).await
}

async fn read_only(path: &Path) -> Result<SqliteConnection, StoreError> {
    // No setting of the store's own: a copy must not have to be written to before it can be read.
    SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .busy_timeout(BUSY_TIMEOUT)
        .disable_statement_logging()
        .connect()
        .await
        .map_err(|error| cannot_open(path, &error))
}

/// Whether a file has nothing of Tandem's, also when what its log holds is taken in. It is read only, so the log stays
/// as it is.
pub(crate) async fn is_without_tables(path: &Path) -> Result<bool, StoreError> {
    let mut conn = read_only(path).await?;
    let has_schema = has_schema(&mut conn).await?;
    conn.close().await.map_err(sql::failed)?;
    Ok(!has_schema)
}

/// Looks a file through. Others may use it meanwhile.
///
/// # Errors
/// When it cannot be opened, or is no database at all.
pub async fn examine(path: &Path) -> Result<FileReport, StoreError> {
    const INTEGRITY: &str = "-- integrity\nPRAGMA integrity_check";
    const DANGLING: &str = "-- dangling\nPRAGMA foreign_key_check";
    let mut conn = connect(path).await?;
    let mut damage = Vec::new();
    for row in sql::all(&mut conn, sqlx::query(INTEGRITY)).await? {
        let line: String = rows::get(&row, "integrity_check")?;
        if line != "ok" {
            damage.push(line);
        }
    }
    Ok(FileReport {
        damage,
        dangling: sql::all(&mut conn, sqlx::query(DANGLING)).await?.len(),
        version: version(&mut conn).await.ok().flatten(),
        needed: needed_version(),
    })
}

/// Copies a file, as it is at one moment, into another that does not exist yet or is empty. Others may use it
/// meanwhile.
///
/// # Errors
/// When one of them cannot be opened, or the copy cannot be written.
pub async fn copy(path: &Path, into: &Path) -> Result<(), StoreError> {
    const COPY: &str = "-- copy\nVACUUM INTO ?1";
    let mut conn = connect(path).await?;
    let into = into
        .to_str()
        .ok_or_else(|| StoreError::Unavailable("the path of the copy is not UTF-8".to_owned()))?;
    sql::run(&mut conn, sqlx::query(COPY).bind(into.to_owned())).await?;
    forget(Path::new(into)).map_err(|error| StoreError::Unavailable(format!("{into}: {error}")))
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, SeekFrom, Write};

    use super::*;
    use crate::{SqliteOptions, SqliteStore};

    #[tokio::test]
    async fn a_file_in_use_is_whole_and_so_is_its_copy() {
        let folder = tempfile::tempdir().expect("a folder");
        let (file, copied) = (folder.path().join("x.db"), folder.path().join("copy.db"));
        let _store = SqliteStore::open(&file, SqliteOptions { exclusive: true })
            .await
            .expect("it opens");
        let report = examine(&file).await.expect("it is looked through");
        assert_eq!(report.damage, Vec::<String>::new());
        assert_eq!((report.dangling, report.version), (0, Some(report.needed)));
        copy(&file, &copied).await.expect("it is copied");
        assert_eq!(examine(&copied).await.expect("the copy"), report);
        copy(&file, &copied)
            .await
            .expect_err("a file that holds something is kept");
    }

    #[tokio::test]
    async fn damage_is_found_and_what_is_no_database_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("x.db");
        let store = SqliteStore::open(&file, SqliteOptions { exclusive: true })
            .await
            .expect("it opens");
        let whole = folder.path().join("whole.db");
        copy(&file, &whole).await.expect("it is copied");
        drop(store);
        let mut bytes = std::fs::OpenOptions::new()
            .write(true)
            .open(&whole)
            .expect("it is there");
        // The second page on, past the head of the file.
        bytes
            .seek(SeekFrom::Start(4_096))
            .expect("it is long enough");
        bytes.write_all(&[0xff; 20_000]).expect("it is damaged");
        drop(bytes);
        let damaged = examine(&whole).await;
        assert!(damaged.is_err() || damaged.is_ok_and(|report| !report.damage.is_empty()));
        let nonsense = folder.path().join("nonsense.db");
        std::fs::write(
            &nonsense,
            "this is no database at all, and long enough to be read".repeat(99),
        )
        .expect("written");
        examine(&nonsense).await.expect_err("it is none");
    }
}
