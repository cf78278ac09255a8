//! A file of the database became shorter under the running process. That may be as it should: whoever moves the whole
//! log into the file may cut it to nothing (Litestream does so, and `PRAGMA wal_checkpoint(TRUNCATE)` by hand), and a
//! `VACUUM` makes the file itself shorter. Or something cut what is needed. SQLite knows which: it says how much of the
//! log it needs, and how many pages the file has.

use std::time::Duration;

use sqlx::SqliteConnection;
use tandem_store::StoreError;

use crate::log_hole::{FRAME_HEAD_BYTES, LOG_HEAD_BYTES};
use crate::watch::Watch;
use crate::{rows, sql};

/// A checkpoint of another process is waited for so often …
const BUSY_TRIES: u32 = 50;
/// … and so long each time.
const BUSY_PAUSE: Duration = Duration::from_millis(20);

/// What SQLite needs of the files, in bytes.
struct Needed {
    database: i64,
    log: i64,
}

/// Tells a file that was cut from one that SQLite made shorter. Outside of a transaction.
///
/// # Errors
/// [`StoreError`] when SQLite cannot be asked just now.
pub(super) async fn judge(conn: &mut SqliteConnection, watch: &Watch) -> Result<(), StoreError> {
    if watch.damaged() || !watch.is_to_be_judged() {
        return Ok(());
    }
    if watch.is_known_to_be_cut() && watch.shorter().is_some() {
        return Ok(());
    }
    // Not even asked then: it would move the hole into the database.
    let found = match watch.has_log_hole() {
        true => Ok(None),
        false => needed(conn).await.map(Some),
    };
    let is_whole = match found {
        Ok(None) => false,
        Ok(Some(Some(needed))) => {
            let [database, log] = watch.lengths_now();
            let is_there =
                |needed, length| u64::try_from(needed).is_ok_and(|bytes| bytes <= length);
            is_there(needed.database, database) && is_there(needed.log, log)
        }
        Ok(Some(None)) => {
            return Err(StoreError::Unavailable(
                "another process is moving the write-ahead log into the database; it is waited for"
                    .to_owned(),
            ));
        }
        Err(error) if watch.shorter().is_none() => return Err(error),
        // It cannot even read what it needs.
        Err(_) => false,
    };
    if is_whole {
        watch.note_whole();
    } else if let Some(shorter) = watch.shorter() {
        watch.note_cut(&shorter);
    }
    Ok(())
}

/// `None` while another process moves the log, for all of a second.
async fn needed(conn: &mut SqliteConnection) -> Result<Option<Needed>, StoreError> {
    const MOVE: &str = "-- move_log
PRAGMA wal_checkpoint(PASSIVE)";
    const PAGES: &str = "-- pages
SELECT page_count, page_size FROM pragma_page_count, pragma_page_size";
    for _ in 0..BUSY_TRIES {
        let moved = sql::one(&mut *conn, sqlx::query(MOVE)).await?;
        let (busy, frames, done): (i64, i64, i64) = (
            rows::get(&moved, "busy")?,
            rows::get(&moved, "log")?,
            rows::get(&moved, "checkpointed")?,
        );
        if busy != 0 || frames < 0 {
            tokio::time::sleep(BUSY_PAUSE).await;
            continue;
        }
        let row = sql::one(&mut *conn, sqlx::query(PAGES)).await?;
        let (pages, page): (i64, i64) = (
            rows::get(&row, "page_count")?,
            rows::get(&row, "page_size")?,
        );
        let is_moved = frames == done;
        return Ok(Some(Needed {
            // What is in the log alone need not be in the file yet.
            database: if is_moved { pages * page } else { 0 },
            log: match is_moved {
                true => 0,
                false => i64::from(LOG_HEAD_BYTES) + frames * (i64::from(FRAME_HEAD_BYTES) + page),
            },
        }));
    }
    Ok(None)
}
