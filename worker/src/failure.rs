//! Why a job could not be done, and what that asks for.

use std::time::Duration;

use tandem_connectors::ConnectorError;
use tandem_domain::{Disposition, ErrorCode, RecordId, SyncName};
use tandem_store::{Failure, StoreError};

/// The storage is asked again after this long.
const STORAGE_PAUSE: Duration = Duration::from_secs(1);

/// A failure of a job.
#[derive(Debug, thiserror::Error)]
pub enum WorkError {
    /// A connected system.
    #[error(transparent)]
    Connector(#[from] ConnectorError),
    /// The storage.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The sync was removed from the configuration while its jobs waited, or this process has not taken it over yet.
    #[error(
        "the sync `{0}` is not in the configuration; its jobs go on when it is applied again, otherwise discard them"
    )]
    UnknownSync(SyncName),
    /// A system gave a new record an id that a linked record has.
    #[error(
        "{system} gave the new record the id {record}, which is that of the partner of {partner}: look at both in {system}; nothing was linked"
    )]
    IdTaken {
        /// The connection.
        system: String,
        /// The id.
        record: RecordId,
        /// The record that is linked with it.
        partner: String,
    },
    /// The same record is made again and again, because it is taken away or replaced each time.
    #[error(
        "{record} of {source_system} was made {times} times in {system} within an hour, and has no partner there again: something, probably an automation, deletes or replaces what is made. No more is made by itself: find out what does that, turn it off, then replay this, which makes one"
    )]
    MadeOverAndOver {
        /// The connection in which it is made.
        system: String,
        /// The connection of the record that it is made from.
        source_system: String,
        /// That record.
        record: RecordId,
        /// How often it, or one with its match key, was made.
        times: u64,
    },
    /// A record that its system does not have under its id, and shows elsewhere.
    #[error(
        "{system} answers that it has no record {record} when it is asked by this id, but {how}: so it does not count as deleted, its partner is left as it is, and nothing is written to the pair. Look at the record in {system}, and whether these credentials may read it one by one; then replay this"
    )]
    ShownElsewhere {
        /// The connection.
        system: String,
        /// The id.
        record: RecordId,
        /// What shows it.
        how: String,
    },
    /// A search shows a part of a record that its system does not have under its id, and that may be the one that is
    /// looked for.
    #[error(
        "a search in {system} finds record {record}, but shows only a part of it, and asked by this id {system} answers that it has none: it may be the partner that is looked for, so nothing was made or linked. Look at the record in {system}, and whether these credentials may read it one by one; then replay this"
    )]
    ShownInPart {
        /// The connection.
        system: String,
        /// The id.
        record: RecordId,
    },
    /// An operator gave a value that cannot be written.
    #[error(
        "the value that was given for `{field}` cannot be written: {reason}; replay this with another, or with none"
    )]
    WrongEdit {
        /// The mapped field that was named.
        field: String,
        /// What is wrong.
        reason: String,
    },
    /// A listing came back empty although many records are linked.
    #[error(
        "{system} lists no record at all, but {links} are linked: nothing was touched. If it was emptied on purpose, remove the sync; otherwise check the connection's permissions"
    )]
    EmptiedSide {
        /// The connection.
        system: String,
        /// How many links the sync has.
        links: u64,
    },
    /// A listing of which no row could be read, although many records are linked.
    #[error(
        "{system} lists {rows} rows, and none of them could be read, but {links} records are linked: nothing was touched. The first could not be read because {first}. Look at what {system} answers; if its rows are right, mend how its manifest reads them"
    )]
    NoRowReadable {
        /// The connection.
        system: String,
        /// How many rows it listed.
        rows: u64,
        /// Why the first could not be read.
        first: String,
        /// How many links the sync has.
        links: u64,
    },
}

impl WorkError {
    /// What happens next.
    #[must_use]
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Connector(error) => error.disposition(),
            Self::Store(
                StoreError::Unavailable(_)
                | StoreError::Unusable(_)
                | StoreError::LeaseLost
                | StoreError::NotFound { .. }
                | StoreError::Schema(_),
            ) => Disposition::RetryAfter(STORAGE_PAUSE),
            // It may have been applied a moment ago. For those that have given up, see `back_again`.
            Self::UnknownSync(_) => Disposition::Retry,
            Self::Store(StoreError::Corrupt { .. })
            | Self::IdTaken { .. }
            | Self::WrongEdit { .. }
            | Self::MadeOverAndOver { .. }
            | Self::ShownElsewhere { .. }
            | Self::ShownInPart { .. }
            | Self::NoRowReadable { .. }
            | Self::EmptiedSide { .. } => Disposition::Park,
        }
    }

    /// The stable word and the chain of messages.
    #[must_use]
    pub fn failure(&self) -> Failure {
        let code = match self {
            Self::Connector(error) => error.code(),
            Self::Store(_) => ErrorCode::Storage,
            Self::ShownElsewhere { .. } | Self::ShownInPart { .. } | Self::NoRowReadable { .. } => {
                ErrorCode::Unreadable
            }
            Self::UnknownSync(_) | Self::EmptiedSide { .. } => ErrorCode::Misconfigured,
            Self::IdTaken { .. } | Self::WrongEdit { .. } | Self::MadeOverAndOver { .. } => {
                ErrorCode::Refused
            }
        };
        let mut chain = vec![self.to_string()];
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            chain.push(error.to_string());
            cause = error.source();
        }
        chain.dedup();
        Failure { code, chain }
    }
}
