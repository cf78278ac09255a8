//! The journal of writes.

use serde::{Deserialize, Serialize};
use tandem_domain::{Fields, IntentId, JobId, LinkId, RecordId, Side, SyncName, Timestamp};

use crate::changes::FieldChange;

/// What a write does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IntentOp {
    /// Makes a record.
    Create,
    /// Changes fields of a record.
    Update,
    /// Deletes or archives a record.
    Delete,
}

/// Where a journalled write stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IntentState {
    /// Decided, not sent.
    Planned,
    /// Sent, or about to be: the effect may have happened.
    Sent,
    /// Sent, and the answer was lost.
    Unknown,
    /// Seen in the system.
    Confirmed,
    /// For certain without effect.
    Failed,
}

impl IntentState {
    /// Whether the journal still has to settle it.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Planned | Self::Sent | Self::Unknown)
    }
}

/// A journalled write.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Intent {
    /// The transaction id, sent as idempotency key and external reference.
    pub id: IntentId,
    /// The sync.
    pub sync: SyncName,
    /// The link, if there is one already.
    pub link: Option<LinkId>,
    /// The side that is written.
    pub side: Side,
    /// What is done.
    pub op: IntentOp,
    /// The record on the other side that this write carries over.
    pub source: Option<RecordId>,
    /// The record written; `None` until a create has answered.
    pub target: Option<RecordId>,
    /// The mapped fields to write, by mapping name.
    pub fields: Fields,
    /// For a create: the normalised match key. No two open creates of a sync and side share one.
    pub match_key: Option<String>,
    /// The version that the target had when this was planned.
    pub expected_version: Option<String>,
    /// Where it stands.
    pub state: IntentState,
    /// How often it was sent.
    pub sends: u32,
    /// The job that planned it.
    pub job: Option<JobId>,
    /// When it was planned.
    pub created_at: Timestamp,
    /// When it was last sent.
    pub sent_at: Option<Timestamp>,
    /// What went wrong last.
    pub error: Option<String>,
    /// What was decided for the fields that it writes; empty for writes from before this was kept.
    pub decided: Vec<FieldChange>,
}

/// How one intent ended.
#[derive(Clone, Debug, PartialEq)]
pub struct IntentVerdict {
    /// The intent.
    pub intent: IntentId,
    /// Its new state.
    pub state: IntentState,
    /// The record written, once known.
    pub target: Option<RecordId>,
    /// What went wrong.
    pub error: Option<String>,
    /// How often it had been sent when that was found out, by a job that did not send it: one that was sent again since is
    /// not settled by it. `None` for whoever sends it, because nobody else does meanwhile.
    pub sends: Option<u32>,
}

/// Why nothing was journalled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JournalError {
    /// The lease is lost.
    LeaseLost,
    /// A link or an open create for one of the records has appeared, or the link's revision moved:
    /// plan again.
    Superseded,
    /// Another open create of the same sync and side has the same match key: wait for it.
    KeyBusy,
    /// Since both sides were read, a newer cause has come into the link's lane: one of them may have been
    /// edited. Read again.
    NewerCause,
}
