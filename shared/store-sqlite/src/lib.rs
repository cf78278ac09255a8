//! The embedded storage: one SQLite file, for one machine, with nothing to install.
//!
//! All writing goes through one task that owns the one writing connection and commits whatever
//! waits as one transaction (module `writer`); so a `COMMIT`, which costs an fsync, is shared, and
//! nobody ever waits for a lock inside the process. Reading goes through a small pool, and never
//! waits for the writer (write-ahead log).
//!
//! A call returns after its transaction is on the disk, never before. This crate never reads a
//! clock, never draws a random number, and has no opinion on what to do: it keeps rows.

mod brake;
mod changes;
mod config;
mod conflicts;
mod events;
mod generation;
mod health;
mod jobs;
mod leases;
mod links;
mod listings;
mod locked;
mod log_hole;
mod log_note;
mod lost;
mod open;
mod place;
#[cfg(test)]
mod plans;
mod rows;
mod runs;
mod set_back;
mod sql;
mod tally;
#[cfg(test)]
mod upgrade;
pub mod upkeep;
mod watch;
mod writer;

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use tandem_store::{Store, StoreError};

pub use lost::Lost;
pub use open::SqliteOptions;
use watch::Readers;
use writer::Writer;

/// Whether something can be written. A write, because reading goes on when the disk is full; and of something new,
/// because what is there already is not written again.
const PROBE: &str = "-- probe
INSERT INTO leases (name, holder, held_until) VALUES ('storage-probe', '', 0)
ON CONFLICT (name) DO UPDATE SET held_until = leases.held_until + 1";

/// Who asks is told by then that nothing could be written, however many writes still wait for a database that is locked.
const PROBE_MAX: Duration = Duration::from_secs(4);

/// A SQLite file as a [`Store`].
pub struct SqliteStore {
    writer: Writer,
    readers: Readers,
    path: PathBuf,
    /// Whether this is the one process that runs on the file.
    runs_here: bool,
    /// What was wrong with the log when it was opened.
    cut_log: Option<Lost>,
}

impl SqliteStore {
    /// What the log of the process before had lost when this one began.
    #[must_use]
    pub const fn cut_log(&self) -> Option<&Lost> {
        self.cut_log.as_ref()
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn ping(&self) -> Result<(), StoreError> {
        // The files may look well from here, where another process has others open, or less room.
        if !self.runs_here
            && let Some(refused) = open::refusal_of_runner(&self.path)?
        {
            return Err(refused);
        }
        let probe = self.change_one(sqlx::query(PROBE));
        match tokio::time::timeout(PROBE_MAX, probe).await {
            Ok(done) => done?,
            Err(_) => return Err(locked::not_answered(&self.path, PROBE_MAX)),
        };
        open::check_version(&self.readers).await
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.writer.end().await;
        Ok(())
    }
}
