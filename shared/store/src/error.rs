//! Why the storage could not do what was asked.

/// A failure of the storage.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The storage did not answer, or is full, or is locked: the same call may succeed later.
    #[error("the storage is not available: {0}")]
    Unavailable(String),
    /// The storage cannot be used until somebody mends it: it is damaged, or not this user's. The text says
    /// what to do.
    #[error("{0}")]
    Unusable(String),
    /// The lease is no longer held: another worker has the job, and this one must change nothing more.
    #[error("the lease on this job has ended and another worker may have it; nothing was changed")]
    LeaseLost,
    /// What was named is not there.
    #[error("there is no {what} `{id}`")]
    NotFound {
        /// The kind of thing.
        what: &'static str,
        /// Its id or name.
        id: String,
    },
    /// A row holds what this version cannot read.
    #[error(
        "a stored {what} cannot be read: {reason}. Was the database written by a newer version?"
    )]
    Corrupt {
        /// The kind of row.
        what: &'static str,
        /// What does not fit.
        reason: String,
    },
    /// The schema is older or newer than this program needs.
    #[error("the database schema does not fit this program: {0}")]
    Schema(String),
}
