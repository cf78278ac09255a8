//! The change log: what was done, why, and what it replaced.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tandem_domain::{
    ChangeId, IntentId, JobId, LinkId, RecordId, RunId, Side, SyncName, Timestamp, Value,
};

use crate::StoreError;
use crate::jobs::Trigger;
use crate::links::IntentOp;

/// What a change was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// A record was made.
    Create,
    /// Fields were changed.
    Update,
    /// A record was deleted or archived.
    Delete,
    /// Two records were linked.
    Link,
    /// A link was retired.
    Unlink,
    /// A retired link is held again, because both records were seen alive.
    Revive,
    /// Both sides had come to the same values by themselves; the base moved.
    Agree,
    /// A conflict was settled or set aside.
    Conflict,
    /// A write of ours went over an edit that nobody could see in time.
    Overwrite,
}

impl From<IntentOp> for Operation {
    fn from(op: IntentOp) -> Self {
        match op {
            IntentOp::Create => Self::Create,
            IntentOp::Update => Self::Update,
            IntentOp::Delete => Self::Delete,
        }
    }
}

impl Operation {
    /// All of them, for parsing.
    pub const ALL: [Self; 9] = [
        Self::Create,
        Self::Update,
        Self::Delete,
        Self::Link,
        Self::Unlink,
        Self::Revive,
        Self::Agree,
        Self::Conflict,
        Self::Overwrite,
    ];

    /// The word as stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Link => "link",
            Self::Unlink => "unlink",
            Self::Revive => "revive",
            Self::Agree => "agree",
            Self::Conflict => "conflict",
            Self::Overwrite => "overwrite",
        }
    }
}

/// How a change ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// As intended, and seen.
    Applied,
    /// The system took the write, and did not keep (all of) it.
    NotKept,
    /// It failed for certain.
    Failed,
}

impl Outcome {
    /// All of them, for parsing.
    pub const ALL: [Self; 3] = [Self::Applied, Self::NotKept, Self::Failed];

    /// The word as stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::NotKept => "not_kept",
            Self::Failed => "failed",
        }
    }
}

/// One field of a change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FieldChange {
    /// The mapped field.
    pub field: String,
    /// The value on side a before.
    pub a: Value,
    /// The value on side b before.
    pub b: Value,
    /// The base before, on side a and on side b; `None` when there was none.
    pub base: Option<(Value, Value)>,
    /// The value that both are to have.
    pub chosen: Value,
    /// The side whose value won; `None` when both had the same.
    pub from: Option<Side>,
    /// The value that lost a conflict.
    pub lost: Option<Value>,
    /// When what stood on side a had been typed at the latest, by our clock. The journal keeps it of a planned write, where it
    /// is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub a_until: Option<Timestamp>,
    /// The same of side b.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub b_until: Option<Timestamp>,
    /// Why, in words: `only crm changed`, `later edit wins (crm 12:01:03, books 12:00:59)`.
    pub reason: String,
}

/// One entry of the change log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Made by the caller.
    pub id: ChangeId,
    /// The sync.
    pub sync: SyncName,
    /// The link, if any.
    pub link: Option<LinkId>,
    /// The record on side a, if any.
    pub a: Option<RecordId>,
    /// The record on side b, if any.
    pub b: Option<RecordId>,
    /// What was done.
    pub operation: Operation,
    /// The side that was written, if one was.
    pub written: Option<Side>,
    /// The transaction id of the write.
    pub intent: Option<IntentId>,
    /// What caused the job.
    pub trigger: Trigger,
    /// The job.
    pub job: Option<JobId>,
    /// The run, if it belongs to one.
    pub run: Option<RunId>,
    /// The fields.
    pub fields: Vec<FieldChange>,
    /// How it ended.
    pub outcome: Outcome,
    /// The error with its chain, if it failed; of a pair that ended, why it did.
    pub error: Option<String>,
    /// How long the write took, in milliseconds.
    pub duration_ms: u64,
    /// When it was confirmed.
    pub at: Timestamp,
}

/// Which changes to list, newest first.
#[derive(Clone, Debug, Default)]
pub struct ChangeFilter {
    /// Only of this sync.
    pub sync: Option<SyncName>,
    /// Only about this record, on either side.
    pub record: Option<RecordId>,
    /// Only of this link.
    pub link: Option<LinkId>,
    /// Only of this kind.
    pub operation: Option<Operation>,
    /// Only older than this change (cursor paging).
    pub before: Option<ChangeId>,
    /// At most so many, and never more than [`crate::PAGE_ROWS_MAX`].
    pub limit: usize,
}

/// Totals of a sync since its start, for the summary and the status; counted as it goes, so that
/// pruning does not change them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncTotals {
    /// Events accepted for it.
    pub events: u64,
    /// Jobs ended well.
    pub jobs_done: u64,
    /// Causes that merged into a waiting job.
    pub coalesced: u64,
    /// Jobs that found our own write, or nothing new.
    pub echoes: u64,
    /// Writes confirmed on side a.
    pub writes_a: u64,
    /// Writes confirmed on side b.
    pub writes_b: u64,
    /// Field conflicts settled or opened.
    pub conflicts: u64,
    /// Attempts that failed and were tried again.
    pub retries: u64,
    /// Jobs parked as dead letters, replayed ones included.
    pub dead: u64,
    /// Dead letters that closed by themselves, because their records have synced since.
    pub healed: u64,
}

/// The change log.
#[async_trait]
pub trait ChangeStore: Send + Sync {
    /// Lists changes.
    async fn changes(&self, filter: &ChangeFilter) -> Result<Vec<Change>, StoreError>;

    /// The newest `unlink` of each of these links, in any order: how a pair ended. None of one that never ended, or whose
    /// end is pruned.
    async fn ends_of(&self, links: &[LinkId]) -> Result<Vec<Change>, StoreError>;

    /// Totals of one sync, or of all.
    async fn totals(&self, sync: Option<&SyncName>) -> Result<SyncTotals, StoreError>;

    /// How many duplicate events were dropped since the start.
    async fn duplicate_events(&self) -> Result<u64, StoreError>;

    /// Removes changes older than `before`, at most `limit`. Returns how many.
    async fn prune_changes(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError>;
}
