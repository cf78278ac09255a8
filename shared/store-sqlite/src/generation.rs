//! Whether the database file still holds what was written through SQLite. Who copies an older file over the one that is
//! open (`cp old.db tandem.db`, which keeps the file and changes its contents) leaves a mix of both without a word from
//! SQLite, because it looks at its log alone to learn what changed. So the one process that runs on the database writes
//! a number into the head of the file, another one after each time that the log was moved into it. Whatever else is in
//! the place of that number was not written by SQLite.
//!
//! Not noticed: a copy that holds the same state as the file, which does no harm, and a write-ahead log that is
//! written over.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use sqlx::{AssertSqlSafe, SqliteConnection};
use tandem_store::StoreError;

use crate::open::empty_log;
use crate::{rows, sql};

/// Where the head of the file has a number for whoever uses SQLite (`PRAGMA user_version`), in big-endian.
pub(crate) const NUMBER_AT: u64 = 60;
const NUMBER_BYTES: usize = 4;
/// The numbers of a process begin anywhere up to here, so that those of an earlier one are others.
const FIRST_MAX: i32 = 1_000_000_000;

/// The number in the head of a file, and what it may be.
#[derive(Debug)]
pub(crate) struct Generation {
    database: PathBuf,
    /// Held open for as long as SQLite uses the file: to close it would free the locks of SQLite.
    #[cfg(unix)]
    file: std::fs::File,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    /// When the file was last changed, as the system says.
    changed: Option<(i64, i64)>,
    /// What its head held then.
    number: i32,
    /// What was written since, and may be in the log only.
    written: RangeInclusive<i32>,
    /// Whether the log was moved since the last number.
    is_due: bool,
}

impl Known {
    /// Takes what the head holds now. Returns whether it can be.
    fn take(&mut self, number: i32) -> bool {
        if number == self.number {
            return true;
        }
        let is_next = self.written.contains(&number)
            && (!self.written.contains(&self.number) || number > self.number);
        if is_next {
            self.number = number;
        }
        is_next
    }
}

impl Generation {
    /// Writes the first number of this process. No other may run on the database.
    pub(crate) async fn begin(
        path: &Path,
        conn: &mut SqliteConnection,
    ) -> Result<Self, StoreError> {
        const FIRST: &str = "-- first_number
SELECT abs(random() % ?1) + 1 AS number";
        let row = sql::one(&mut *conn, sqlx::query(FIRST).bind(FIRST_MAX)).await?;
        let first: i32 = rows::get(&row, "number")?;
        write(conn, first).await?;
        let failed = |error| StoreError::Unavailable(format!("{}: {error}", path.display()));
        let generation = Self::of(path, first).map_err(failed)?;
        if generation.known().number == 0 {
            // New, or a copy that was put here: what is moved into it tells it from other copies.
            empty_log(conn).await?;
            let _nothing_else_can_be_in_it = generation.contradiction();
        }
        Ok(generation)
    }

    #[cfg(unix)]
    fn of(path: &Path, first: i32) -> std::io::Result<Self> {
        let file = std::fs::File::open(path)?;
        let changed = changed_at(path);
        // One without a head is new.
        let number = number_in(&file).unwrap_or(0);
        Ok(Self {
            database: path.to_owned(),
            file,
            known: Mutex::new(Known {
                changed,
                number,
                written: first..=first,
                is_due: false,
            }),
        })
    }

    #[cfg(not(unix))]
    fn of(path: &Path, first: i32) -> std::io::Result<Self> {
        Ok(Self {
            database: path.to_owned(),
            known: Mutex::new(Known {
                changed: None,
                number: 0,
                written: first..=first,
                is_due: false,
            }),
        })
    }

    /// What is wrong, if the file holds something else than SQLite wrote. It is read only when it was changed.
    #[cfg(unix)]
    pub(crate) fn contradiction(&self) -> Option<String> {
        let changed = changed_at(&self.database)?;
        let mut known = self.known();
        if known.changed == Some(changed) {
            return None;
        }
        let found = number_in(&self.file);
        if found.is_none_or(|number| !known.take(number)) {
            return Some(format!(
                "the contents of {} are not those that this Tandem wrote: something wrote an older copy, or another \
                 database, into the file while Tandem runs on it",
                self.database.display()
            ));
        }
        known.changed = Some(changed);
        known.is_due = true;
        None
    }

    /// Elsewhere a file that SQLite has open cannot be written to by a copy.
    #[cfg(not(unix))]
    pub(crate) fn contradiction(&self) -> Option<String> {
        None
    }

    /// The number that the open transaction is to write, if one is due.
    pub(crate) fn next(&self) -> Option<i32> {
        let mut known = self.known();
        if !known.is_due {
            return None;
        }
        known.is_due = false;
        let next = known.written.end().checked_add(1)?;
        known.written = *known.written.start()..=next;
        Some(next)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Nothing panics while it is held.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes a number into the head of the database, as a part of the open transaction if there is one.
pub(crate) async fn write(conn: &mut SqliteConnection, number: i32) -> Result<(), StoreError> {
    // A pragma takes no values.
    let statement = AssertSqlSafe(format!("PRAGMA user_version = {number}"));
    let statement = sqlx::query(statement).persistent(false);
    sql::run(&mut *conn, statement).await.map(|_| ())
}

#[cfg(unix)]
fn changed_at(path: &Path) -> Option<(i64, i64)> {
    use std::os::unix::fs::MetadataExt as _;
    // One that cannot be looked at is told of as such.
    let found = std::fs::metadata(path).ok()?;
    Some((found.ctime(), found.ctime_nsec()))
}

#[cfg(unix)]
fn number_in(file: &std::fs::File) -> Option<i32> {
    use std::os::unix::fs::FileExt as _;
    let mut number = [0; NUMBER_BYTES];
    file.read_exact_at(&mut number, NUMBER_AT).ok()?;
    Some(i32::from_be_bytes(number))
}

/// Makes a copy of a database one that no process takes for its own file.
pub(crate) fn forget(copy: &Path) -> std::io::Result<()> {
    use std::io::{Seek as _, SeekFrom, Write as _};
    let mut file = std::fs::OpenOptions::new().write(true).open(copy)?;
    file.seek(SeekFrom::Start(NUMBER_AT))?;
    file.write_all(&[0; NUMBER_BYTES])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_in_the_file_only_goes_on_to_what_was_written() {
        let mut known = Known {
            changed: None,
            number: 7,
            written: 100..=103,
            is_due: false,
        };
        assert!(known.take(7), "nothing was moved yet");
        assert!(!known.take(8), "of another process");
        assert!(known.take(101));
        assert!(!known.take(7), "it was another");
        assert!(!known.take(100), "an older copy");
        assert!(!known.take(104), "never written");
        assert!(known.take(103));
    }
}
