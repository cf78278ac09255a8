//! Whether the database file still holds what was written through SQLite. Who copies an older file over the one that is
//! open (`cp old.db tandem.db`, which keeps the file and changes its contents) leaves a mix of both without a word from
//! SQLite, because it looks at its log alone to learn what changed. So the one process that runs on the database writes
//! a number into the head of the file, another one after each time that the log was moved into it. Whatever else is in
//! the place of that number was not written by SQLite.
//!
//! Where the log and its index are written over as well, the head may bear the same number. Then the index tells: SQLite
//! counts in it each transaction of whatever process, and that count only rises while somebody has the database open.
//!
//! Nothing here goes by the time of day: a clock that is put back changes the times of files, and those say only that it is
//! to be looked. Not noticed: a copy that holds the same state as the file, which does no harm.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use sqlx::{AssertSqlSafe, SqliteConnection};
use tandem_store::StoreError;

use crate::open::empty_log;
use crate::place::beside;
use crate::{rows, sql};

/// Where the head of the file has a number for whoever uses SQLite (`PRAGMA user_version`), in big-endian.
pub(crate) const NUMBER_AT: u64 = 60;
const NUMBER_BYTES: usize = 4;
/// Where the head of the log's index has the count of transactions, in the order of bytes of the machine.
#[cfg(unix)]
const COUNT_AT: u64 = 8;
/// The numbers of a process begin anywhere up to here, so that those of an earlier one are others.
const FIRST_MAX: i32 = 1_000_000_000;

/// The number in the head of a file, and what it may be.
#[derive(Debug)]
pub(crate) struct Generation {
    database: PathBuf,
    /// Held open for as long as SQLite uses the file: to close it would free the locks of SQLite.
    #[cfg(unix)]
    file: std::fs::File,
    /// The index of the log, held open for the same reason. None where SQLite has none.
    #[cfg(unix)]
    index: Option<std::fs::File>,
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
    /// How many transactions the index counted when it was last looked at.
    counted: u32,
}

impl Known {
    /// Takes the count that the index holds now. Returns whether it can be: it only rises, and begins anew after its last.
    const fn take_count(&mut self, count: u32) -> bool {
        let ahead = count.wrapping_sub(self.counted);
        if ahead > u32::MAX / 2 {
            return false;
        }
        self.counted = count;
        true
    }

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
        let index = std::fs::File::open(beside(path, "-shm")).ok();
        let counted = index.as_ref().and_then(count_in).unwrap_or(0);
        Ok(Self {
            database: path.to_owned(),
            file,
            index,
            known: Mutex::new(Known {
                changed,
                number,
                written: first..=first,
                is_due: false,
                counted,
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
                counted: 0,
            }),
        })
    }

    /// What is wrong, if the file holds something else than SQLite wrote. It is read only when it was changed.
    #[cfg(unix)]
    pub(crate) fn contradiction(&self) -> Option<String> {
        if let Some(went_back) = self.went_back() {
            return Some(went_back);
        }
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

    /// What is wrong, if the index of the log counts fewer transactions than it did. It is looked at after each commit too, so
    /// that one which is put back afterwards is known.
    #[cfg(unix)]
    pub(crate) fn went_back(&self) -> Option<String> {
        let mut known = self.known();
        // Under the lock, so that an earlier look of another thread is not taken for an older state.
        let count = self.index.as_ref().and_then(count_in)?;
        (!known.take_count(count)).then(|| {
            format!(
                "{0} and its log hold an older state than Tandem has seen: something wrote older copies of {0}-wal and \
                 {0}-shm into the files while Tandem runs on them",
                self.database.display()
            )
        })
    }

    /// Elsewhere a file that SQLite has open cannot be written to by a copy.
    #[cfg(not(unix))]
    pub(crate) fn went_back(&self) -> Option<String> {
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

/// How many transactions the index of a log counts.
#[cfg(unix)]
fn count_in(index: &std::fs::File) -> Option<u32> {
    use std::os::unix::fs::FileExt as _;
    let mut count = [0; NUMBER_BYTES];
    index.read_exact_at(&mut count, COUNT_AT).ok()?;
    Some(u32::from_ne_bytes(count))
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
            counted: 0,
        };
        assert!(known.take(7), "nothing was moved yet");
        assert!(!known.take(8), "of another process");
        assert!(known.take(101));
        assert!(!known.take(7), "it was another");
        assert!(!known.take(100), "an older copy");
        assert!(!known.take(104), "never written");
        assert!(known.take(103));
    }

    #[test]
    fn the_count_of_transactions_only_rises_also_past_its_last() {
        let mut known = Known {
            changed: None,
            number: 0,
            written: 0..=0,
            is_due: false,
            counted: u32::MAX - 1,
        };
        assert!(known.take_count(u32::MAX - 1), "nothing was written");
        assert!(known.take_count(u32::MAX));
        assert!(known.take_count(3), "it begins anew");
        assert!(!known.take_count(u32::MAX), "an older copy");
        assert!(!known.take_count(2), "an older copy");
        assert!(known.take_count(4));
    }
}
