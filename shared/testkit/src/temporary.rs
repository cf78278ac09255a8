//! A storage in a folder that goes away.

use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;

use tandem_store::Store;
use tandem_store_sqlite::{SqliteOptions, SqliteStore};

/// A SQLite storage in a temporary folder, which is removed when this is dropped.
pub struct TemporaryStore {
    store: Arc<dyn Store>,
    folder: tempfile::TempDir,
}

impl TemporaryStore {
    /// Opens a new, empty storage.
    ///
    /// # Panics
    /// When the temporary folder cannot be made or written: a test cannot go on without.
    pub async fn open() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let options = SqliteOptions { exclusive: true };
        let store = SqliteStore::open(&folder.path().join("tandem.db"), options)
            .await
            .expect("a new database opens");
        Self { store, folder }
    }

    /// The storage, to hand on. The folder lives as long as `self`.
    #[must_use]
    pub fn shared(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store)
    }

    /// The database file.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("tandem.db")
    }
}

impl Deref for TemporaryStore {
    type Target = dyn Store;
    fn deref(&self) -> &Self::Target {
        &*self.store
    }
}
