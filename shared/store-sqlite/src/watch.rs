//! Whether the files that are open are still those at their paths. A data folder that is removed, moved or
//! replaced under a running process leaves it writing into files that nobody can find again: all would look
//! well, and all would be lost at the end. So every commit looks before and after, which costs a few microseconds.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use sqlx::SqlitePool;
use tandem_store::StoreError;

use crate::generation::Generation;
use crate::locked;
use crate::log_hole;
use crate::lost::bytes;
use crate::open::BUSY_TIMEOUT;
use crate::place::beside;
use crate::sql::DAMAGED_ADVICE;

/// What the system knows a file by, however its name changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    number: u64,
}

/// The files of an open database.
#[derive(Debug)]
pub(crate) struct Watch {
    database: PathBuf,
    files: Vec<(PathBuf, Identity)>,
    /// The lock file that this process holds.
    lock: Option<(PathBuf, Identity)>,
    /// The files that grow while this process runs on them, with the length that each had.
    lengths: Vec<(PathBuf, AtomicU64)>,
    /// What the head of the file is to hold.
    generation: Option<Generation>,
    /// What is wrong with the contents. No trial mends it, so it stays said until a new start.
    damage: OnceLock<String>,
    /// What is to be said of a write-ahead log that was cut, for as long as it is.
    cut_log: Mutex<Option<String>>,
    /// It was said already.
    told: AtomicBool,
}

/// A file that is shorter than it was.
pub(crate) struct Shorter {
    file: PathBuf,
    before: u64,
    now: u64,
}

/// The connections that read. What they find damaged stops the writing too.
pub(crate) struct Readers {
    pub(crate) pool: SqlitePool,
    pub(crate) watch: std::sync::Arc<Watch>,
}

impl std::ops::Deref for Readers {
    type Target = SqlitePool;

    fn deref(&self) -> &SqlitePool {
        &self.pool
    }
}

impl Watch {
    /// Remembers the database, its write-ahead log and the index of that as they are now. Who reads another index than we
    /// write does not see our commits, and writes over them.
    pub(crate) fn of(database: &Path) -> io::Result<Self> {
        let mut files = Vec::new();
        let beside = ["-wal", "-shm"].map(|end| beside(database, end));
        for file in [database.to_owned()].into_iter().chain(beside) {
            if let Some(identity) = identity_of(&file)? {
                files.push((file, identity));
            }
        }
        Ok(Self {
            database: database.to_owned(),
            files,
            lock: None,
            lengths: Vec::new(),
            generation: None,
            damage: OnceLock::new(),
            cut_log: Mutex::new(None),
            told: AtomicBool::new(false),
        })
    }

    /// As [`Self::of`], for the one process that runs on the database: it holds the lock. What makes a file shorter is
    /// SQLite, at the hands of whoever moves the log into the file or tidies it up, or a mistake: see [`Self::shorter`].
    pub(crate) fn alone(database: &Path, generation: Generation) -> io::Result<Self> {
        let mut watch = Self::of(database)?;
        watch.generation = Some(generation);
        let lock = beside(database, ".lock");
        watch.lock = identity_of(&lock)?.map(|identity| (lock, identity));
        let index = beside(database, "-shm");
        for (file, _) in watch.files.iter().filter(|(file, _)| *file != index) {
            let length = std::fs::metadata(file)?.len();
            watch.lengths.push((file.clone(), AtomicU64::new(length)));
        }
        Ok(watch)
    }

    /// The same error; of damage, it is noted.
    pub(crate) fn noted(&self, error: StoreError) -> StoreError {
        if let StoreError::Unusable(said) = &error {
            self.note_damage(said);
        }
        locked::explained(error, &self.database, BUSY_TIMEOUT)
    }

    /// Notes what SQLite said of the file: nothing more is taken. What is written into a damaged file may be lost.
    fn note_damage(&self, said: &str) {
        if self.damage.set(said.to_owned()).is_ok() {
            tracing::error!(database = %self.database.display(), "{said}. Nothing more is taken until then");
        }
    }

    /// Whether everything is in the file itself.
    pub(crate) fn is_log_empty(&self) -> bool {
        !self.has_told() && bytes(&beside(&self.database, "-wal")) == 0
    }

    /// How long the log is known to have been.
    pub(crate) fn log_bytes(&self) -> u64 {
        let log = beside(&self.database, "-wal");
        let known = self.lengths.iter().find(|(file, _)| *file == log);
        known.map_or(0, |(_, length)| length.load(Ordering::Relaxed))
    }

    /// Whether the contents are known to be wrong.
    pub(crate) fn damaged(&self) -> bool {
        self.damage.get().is_some()
    }

    /// How long the file and its log are.
    pub(crate) fn lengths_now(&self) -> [u64; 2] {
        [
            bytes(&self.database),
            bytes(&beside(&self.database, "-wal")),
        ]
    }

    /// Whether it was said what is wrong, and it still is.
    pub(crate) fn has_told(&self) -> bool {
        self.told.load(Ordering::Relaxed) || self.damage.get().is_some() || self.cut_log().is_some()
    }

    /// Says so, once each time, when a file is gone, is another one, or is damaged.
    ///
    /// # Errors
    /// [`StoreError::Unusable`].
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        self.check_place()?;
        self.check_contents();
        let said = self
            .damage
            .get()
            .cloned()
            .or_else(|| self.cut_log().clone());
        said.map_or(Ok(()), |said| Err(StoreError::Unusable(said)))
    }

    /// Notes it when the file holds something else than SQLite wrote. What SQLite moves into such a file makes it worse.
    pub(crate) fn check_contents(&self) {
        if self.damaged() {
            return;
        }
        let said = self.generation.as_ref().and_then(Generation::contradiction);
        if let Some(said) = said {
            self.note_contradiction(&said);
        }
    }

    fn note_contradiction(&self, said: &str) {
        self.note_damage(&format!(
            "{said}. What was stored since is lost or mixed with it: {DAMAGED_ADVICE}"
        ));
    }

    /// The number that the open transaction is to write into the head of the file, if one is due.
    pub(crate) fn next_number(&self) -> Option<i32> {
        self.generation.as_ref()?.next()
    }

    /// As [`Self::check`], while this process holds the right to write: then nobody but a mistake makes a file shorter.
    ///
    /// # Errors
    /// [`StoreError::Unusable`].
    pub(crate) fn check_whole(&self) -> Result<(), StoreError> {
        self.check()?;
        if let Some(shorter) = self.shorter() {
            self.note_cut(&shorter);
        }
        self.check()
    }

    /// A file that is shorter than it was known to be; of one that is longer, that is known now.
    pub(crate) fn shorter(&self) -> Option<Shorter> {
        self.lengths.iter().find_map(|(file, known)| {
            let now = std::fs::metadata(file).ok()?.len();
            let before = known.fetch_max(now, Ordering::Relaxed);
            (now < before).then(|| Shorter {
                file: file.clone(),
                before,
                now,
            })
        })
    }

    /// After a commit. What became shorter since is judged before the next.
    pub(crate) fn note_growth(&self) {
        let _shorter = self.shorter();
        // What was counted is known from now on.
        let went_back = self.generation.as_ref().and_then(Generation::went_back);
        if let Some(said) = went_back {
            self.note_contradiction(&said);
        }
    }

    /// Whether a file of the database is known to have been cut, or only now became shorter.
    pub(crate) fn is_to_be_judged(&self) -> bool {
        self.shorter().is_some() || self.cut_log().is_some()
    }

    /// Whether it was said that the log was cut, and nobody has put it back yet.
    pub(crate) fn is_known_to_be_cut(&self) -> bool {
        self.cut_log().is_some()
    }

    /// Whether a part of the log was never written: it was cut, and grew again behind the cut. Such a part reads as
    /// nothing, and SQLite would move that into the database.
    pub(crate) fn has_log_hole(&self) -> bool {
        log_hole::is_in(&beside(&self.database, "-wal"))
    }

    /// What became shorter holds all that it should: its lengths are taken as they are.
    pub(crate) fn note_whole(&self) {
        for (file, known) in &self.lengths {
            known.store(bytes(file), Ordering::Relaxed);
        }
        if self.cut_log().take().is_some() {
            tracing::info!(database = %self.database.display(), "the write-ahead log is whole again, and what is written is taken");
        }
    }

    /// What was cut away is lost, and what is written behind the cut cannot be read again. Pages of the database itself
    /// are kept in memory, so only a new start ends that; of the log nothing is.
    pub(crate) fn note_cut(&self, shorter: &Shorter) {
        let Shorter { file, before, now } = shorter;
        let said = format!(
            "the database file is damaged ({} had {before} bytes and has {now} now: something cut it while Tandem runs): \
             {DAMAGED_ADVICE}",
            file.display()
        );
        if *file == self.database {
            return self.note_damage(&said);
        }
        let mut cut_log = self.cut_log();
        if cut_log.is_none() {
            tracing::error!(database = %self.database.display(), "{said}. Nothing more is taken until then, or until the log is whole again");
            *cut_log = Some(said);
        }
    }

    fn cut_log(&self) -> MutexGuard<'_, Option<String>> {
        // Nothing panics while it is held.
        self.cut_log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check_place(&self) -> Result<(), StoreError> {
        let moved = self.files.iter().find_map(moved);
        let unlocked = || self.lock.as_ref().and_then(moved_lock);
        let Some(said) = moved.map(said_of_moved).or_else(unlocked) else {
            if self.told.swap(false, Ordering::Relaxed) {
                tracing::info!(database = %self.database.display(), "the database is in its place again");
            }
            return Ok(());
        };
        let error = StoreError::Unusable(said);
        if !self.told.swap(true, Ordering::Relaxed) {
            tracing::error!(database = %self.database.display(), "{error}");
        }
        Err(error)
    }
}

/// What became of a file, if it is not where it was.
fn moved((file, opened): &(PathBuf, Identity)) -> Option<String> {
    match identity_of(file) {
        Ok(Some(found)) if found == *opened => None,
        Ok(Some(_)) => Some(format!(
            "{} is another file than the one that was opened",
            file.display()
        )),
        Ok(None) => Some(format!("{} is not there any more", file.display())),
        Err(error) => Some(format!("{} cannot be looked at: {error}", file.display())),
    }
}

fn said_of_moved(what: String) -> String {
    format!(
        "the database was removed or replaced while Tandem runs on it: {what}. Nothing more is taken, and what was stored \
         is where the files went. Stop Tandem, put the data folder back (or restore a backup), and start it again"
    )
}

/// Without its lock file nothing keeps a second process from running on the same database.
fn moved_lock(lock: &(PathBuf, Identity)) -> Option<String> {
    let what = moved(lock)?;
    Some(format!(
        "the lock file was removed or replaced while Tandem runs: {what}. A second Tandem may run on this data folder now, \
         so this one takes nothing more; what was stored is kept. Stop every Tandem that runs on the folder, start one \
         again, and leave its lock file where it is"
    ))
}

#[cfg(unix)]
fn identity_of(file: &Path) -> io::Result<Option<Identity>> {
    use std::os::unix::fs::MetadataExt as _;
    match std::fs::metadata(file) {
        Ok(found) => Ok(Some(Identity {
            device: found.dev(),
            number: found.ino(),
        })),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Elsewhere an open file cannot be removed.
#[cfg(not(unix))]
fn identity_of(_file: &Path) -> io::Result<Option<Identity>> {
    Ok(None)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_removed_replaced_or_moved_is_noticed_and_one_that_is_back_too() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("x.db");
        let aside = folder.path().join("aside.db");
        std::fs::write(&file, "one").expect("it is written");
        let place = Watch::of(&file).expect("it is there");
        assert!(place.check().is_ok());
        std::fs::rename(&file, &aside).expect("it is moved");
        let gone = place.check().expect_err("it is gone").to_string();
        assert!(gone.contains("x.db is not there any more"), "{gone}");
        std::fs::write(&file, "two").expect("another is written");
        let another = place.check().expect_err("it is another").to_string();
        assert!(another.contains("x.db is another file"), "{another}");
        std::fs::rename(&aside, &file).expect("it is moved back");
        assert!(place.check().is_ok());
    }

    #[test]
    fn a_write_ahead_log_that_was_removed_is_noticed() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (file, log) = (folder.path().join("x.db"), folder.path().join("x.db-wal"));
        for one in [&file, &log] {
            std::fs::write(one, "").expect("it is written");
        }
        let place = Watch::of(&file).expect("it is there");
        std::fs::remove_file(&log).expect("it is removed");
        assert!(place.check().is_err());
    }
}
