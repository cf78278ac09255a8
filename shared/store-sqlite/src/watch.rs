//! Whether the files that are open are still those at their paths. A data folder that is removed, moved or
//! replaced under a running process leaves it writing into files that nobody can find again: all would look
//! well, and all would be lost at the end. So every commit looks before and after, which costs a few microseconds.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use tandem_store::StoreError;

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
    /// It was said already.
    told: AtomicBool,
}

impl Watch {
    /// Remembers the database and its write-ahead log as they are now.
    pub(crate) fn of(database: &Path) -> io::Result<Self> {
        let mut log = database.as_os_str().to_owned();
        log.push("-wal");
        let mut files = Vec::new();
        for file in [database.to_owned(), PathBuf::from(log)] {
            if let Some(identity) = identity_of(&file)? {
                files.push((file, identity));
            }
        }
        Ok(Self {
            database: database.to_owned(),
            files,
            told: AtomicBool::new(false),
        })
    }

    /// Whether it was said that the files are gone, and they are not back.
    pub(crate) fn has_told(&self) -> bool {
        self.told.load(Ordering::Relaxed)
    }

    /// Says so, once each time, when a file is gone or is another one.
    ///
    /// # Errors
    /// [`StoreError::Unusable`].
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        let moved = self
            .files
            .iter()
            .find_map(|(file, opened)| match identity_of(file) {
                Ok(Some(found)) if found == *opened => None,
                Ok(Some(_)) => Some(format!(
                    "{} is another file than the one that was opened",
                    file.display()
                )),
                Ok(None) => Some(format!("{} is not there any more", file.display())),
                Err(error) => Some(format!("{} cannot be looked at: {error}", file.display())),
            });
        let Some(what) = moved else {
            if self.told.swap(false, Ordering::Relaxed) {
                tracing::info!(database = %self.database.display(), "the database is in its place again");
            }
            return Ok(());
        };
        let error = StoreError::Unusable(format!(
            "the database was removed or replaced while Tandem runs on it: {what}. Nothing more is taken, and what was \
             stored is where the files went. Stop Tandem, put the data folder back (or restore a backup), and start it again"
        ));
        if !self.told.swap(true, Ordering::Relaxed) {
            tracing::error!(database = %self.database.display(), "{error}");
        }
        Err(error)
    }
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
