//! Links between records, the index of what each side holds, and the journal of writes.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tandem_domain::{
    BaseValue, ConflictId, Fields, IntentId, JobId, LinkId, RecordId, Side, SyncName, Timestamp,
    Value,
};

use crate::StoreError;
use crate::changes::{Change, FieldChange};
use crate::conflicts::NewConflict;
use crate::jobs::{JobOutcome, Lease, NewJob};

/// What is known of a link's record on one side.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SideState {
    /// The record; `None` when it is gone from this side.
    pub id: Option<RecordId>,
    /// Its version when last read or written.
    pub version: Option<String>,
    /// The checksum of its mapped fields when last read or written.
    pub checksum: Option<String>,
    /// Its own time of change when last read or written.
    pub updated_at: Option<Timestamp>,
    /// What else is remembered of it.
    #[serde(default, skip_serializing_if = "SideMemory::is_blank")]
    pub memory: SideMemory,
}

/// What a link remembers of a record beyond what it holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SideMemory {
    /// When the record was made, by its system's clock: another time means another record under the same id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_at: Option<Timestamp>,
    /// Since when its system does not show it, or shows an older state of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doubt: Option<Doubt>,
    /// What our own last write did to its time of change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_write: Option<OwnWrite>,
    /// Values that its system took and did not show when it was read back: it may drop them, or lag behind. Should
    /// it show them later they are ours, not an edit.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unseen: BTreeMap<String, Unseen>,
    /// Mapped fields that had a value and of which the system says nothing any more.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub left_out: BTreeMap<String, LeftOut>,
    /// How often we wrote to it lately.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writes: Option<Tally>,
}

/// A field that had a value and is not in the answers any more, while nobody takes it for emptied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Since when.
    pub since: Timestamp,
    /// When that was last looked at.
    pub last: Timestamp,
    /// Whether a person has said that the value stands, for as long as the system does not show the field.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub settled: bool,
}

impl SideMemory {
    /// Whether nothing is remembered.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        *self == Self::default()
    }
}

/// How often something was done since then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Since when it is counted.
    pub since: Timestamp,
    /// How often.
    pub count: u32,
}

/// Something that a system says of a record and that is not believed at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doubt {
    /// When it was first said.
    pub since: Timestamp,
    /// How often it was looked for since.
    pub looks: u32,
    /// When it was last looked for: what was said long before says nothing.
    #[serde(default)]
    pub last: Timestamp,
    /// Whether an older state was shown, and not nothing.
    #[serde(default)]
    pub is_older: bool,
}

/// A value that a system took and did not show.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unseen {
    /// The value.
    pub value: Value,
    /// When it was taken.
    pub since: Timestamp,
    /// Whether it was looked for again in vain, and a person was asked.
    pub asked: bool,
    /// Whether the answer to the write was lost, and nobody knows whether it will land.
    #[serde(default)]
    pub lost: bool,
    /// Of one that is `lost`: it was answered, and written over a moment later. Only a system that carries out later
    /// than it answers can put it back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub answered: bool,
}

/// A write of ours, and what it did to the record's time of change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnWrite {
    /// The record's time of change before it, by its system's clock: that of an edit.
    pub before: Option<Timestamp>,
    /// The record's time of change after it, by its system's clock: ours.
    pub after: Option<Timestamp>,
    /// When the record was read before it, by our clock.
    pub read_at: Timestamp,
    /// The checksum of the mapped fields that it replaced: a reading that shows them may be an old one.
    pub replaced: String,
    /// The mapped fields that it wrote. As long as nobody has changed the record since, what stands there is the
    /// system's form of our value, also where its answer said otherwise.
    #[serde(default)]
    pub fields: Vec<String>,
    /// The mapped fields that it wrote, however it was answered: an earlier sending of it may land yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub wrote: Vec<String>,
    /// Whether a field that it did not write changed with it: somebody's edit came right before it, and still stands.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub others_moved: bool,
}

/// How a link stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkState {
    /// Held equal.
    Active,
    /// One record is gone and the policy is to leave the other alone, or an operator unlinked it.
    Retired,
}

/// A pair of records held equal.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Link {
    /// Its id; also its lane.
    pub id: LinkId,
    /// The sync.
    pub sync: SyncName,
    /// Side a.
    pub a: SideState,
    /// Side b.
    pub b: SideState,
    /// The base, by mapped field.
    pub base: BTreeMap<String, BaseValue>,
    /// How it stands.
    pub state: LinkState,
    /// Rises with each change; a confirmation names the one that it saw.
    pub revision: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// Whether an operator took the two records apart. A retired link of which this is not true revives when
    /// both records are seen alive.
    pub kept_apart: bool,
}

/// What a plan saw of a link, and of what waited in its lane before anything was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkSeen {
    /// The link.
    pub id: LinkId,
    /// Its revision.
    pub revision: i64,
    /// What may wait in its lane; anything else is a cause that came after the reading.
    pub causes: Causes,
}

impl From<(LinkId, i64)> for LinkSeen {
    fn from((id, revision): (LinkId, i64)) -> Self {
        let causes = Causes::Any;
        Self {
            id,
            revision,
            causes,
        }
    }
}

/// What may wait in a lane when a write is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Causes {
    /// Whatever waits.
    Any,
    /// Only what waited before both sides were read.
    Only(Option<WaitingCause>),
}

/// The job that waits in a lane, and how many causes have merged into it: either differs once a newer cause
/// has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingCause {
    /// The job.
    pub job: JobId,
    /// How many causes merged into it.
    pub merged: u32,
}

impl Link {
    /// The state of one side.
    #[must_use]
    pub const fn side(&self, side: Side) -> &SideState {
        match side {
            Side::A => &self.a,
            Side::B => &self.b,
        }
    }
}

/// A link to insert, found by matching or made by a create.
#[derive(Clone, Debug, PartialEq)]
pub struct NewLink {
    /// Made by the caller.
    pub id: LinkId,
    /// The sync.
    pub sync: SyncName,
    /// Side a.
    pub a: SideState,
    /// Side b.
    pub b: SideState,
    /// The base; fields not in it have never agreed.
    pub base: BTreeMap<String, BaseValue>,
}

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

/// A question that an operator has answered, and that no plan has used yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ruling {
    /// The conflict.
    pub conflict: ConflictId,
    /// The word for what was asked, see [`crate::ConflictKind::as_str`].
    pub asked: String,
    /// The field, for a field conflict.
    pub field: Option<String>,
    /// The answer.
    pub resolution: crate::conflicts::Resolution,
}

/// All that a worker needs to know of a record before it reads the two systems.
#[derive(Clone, Debug, Default)]
pub struct PairContext {
    /// The active link that the record belongs to. Retired links are given too: look at the state.
    pub link: Option<Link>,
    /// Open intents of the link, or of creates whose source is the record.
    pub intents: Vec<Intent>,
    /// Answers of operators not used yet.
    pub rulings: Vec<Ruling>,
    /// Fields of the link with an open conflict, so that none is opened twice.
    pub open_conflict_fields: Vec<String>,
    /// The open question what the record matches, if there is one.
    pub held: Option<ConflictId>,
    /// The open question whether the records of the link are still the ones that were linked.
    pub replaced: Option<ConflictId>,
    /// The open question whether the remaining record of the link is to be deleted.
    pub delete_held: Option<ConflictId>,
    /// The open question who changes the pair back after each write.
    pub back_and_forth: Option<ConflictId>,
    /// Whether an operator said to leave this record alone.
    pub ignored: bool,
    /// What waits in the lane of the link. Whatever comes later is newer than what is read after this.
    pub waiting: Option<WaitingCause>,
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

/// What is seen of a record in a listing or reading, for the index.
#[derive(Clone, Debug, PartialEq)]
pub struct IndexedRecord {
    /// The record.
    pub id: RecordId,
    /// Its normalised match keys, strongest first.
    pub keys: Vec<String>,
    /// The checksum of its mapped fields; it begins with `gone:` while the record is out of use.
    pub checksum: String,
    /// Its own time of change.
    pub updated_at: Option<Timestamp>,
    /// Whether it is a listing that leaves out some of its mapped fields, so that they count as empty in the checksum and
    /// are in no key. Then the keys are added to those that are known, and a record that is dated later than when
    /// it was last read is never unchanged: what changed may be what is left out.
    pub in_part: bool,
}

impl IndexedRecord {
    /// Its keys, with those that are known beside what it shows only in part. One that is not true any more goes with the
    /// next reading by its id.
    #[must_use]
    pub fn keys_with(&self, known: Vec<String>) -> Vec<String> {
        let mut keys = self.keys.clone();
        if self.in_part {
            keys.extend(known.into_iter().filter(|key| !self.keys.contains(key)));
        }
        keys
    }

    /// Whether it shows a later state of a record than was read, in whole seconds: some systems tell the time more
    /// exactly in one answer than in another.
    #[must_use]
    pub fn is_later_than(&self, read: Option<Timestamp>) -> bool {
        const SECOND: i64 = 1_000_000;
        let seconds = |at: Timestamp| at.as_micros().div_euclid(SECOND);
        match (self.updated_at, read) {
            (Some(shown), Some(read)) => seconds(shown) > seconds(read),
            (Some(_) | None, None) | (None, Some(_)) => false,
        }
    }
}

/// What the index knew of a record just seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenRecord {
    /// The record.
    pub id: RecordId,
    /// Its active link.
    pub link: Option<LinkId>,
    /// Whether it has no active link, and had one that is retired.
    pub retired: bool,
    /// Whether an operator said to leave it alone.
    pub ignored: bool,
    /// Whether the checksum is the one that its link (or, without a link, the index) had. Never of a record
    /// whose link is retired while both its records are in use, unless an operator said to leave it alone.
    pub unchanged: bool,
    /// The job that stands for it, if one was given and it is new or changed.
    pub job: Option<JobId>,
}

/// A record of the index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KnownRecord {
    /// The record.
    pub id: RecordId,
    /// Its normalised match keys.
    pub keys: Vec<String>,
    /// Its active link.
    pub link: Option<LinkId>,
    /// Whether an operator said to leave it alone.
    pub ignored: bool,
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
}

/// How a link changes.
#[derive(Clone, Debug, PartialEq)]
pub enum LinkUpdate {
    /// Insert it. Its records' waiting jobs move into its lane.
    Insert(NewLink),
    /// Replace what is known of it.
    Update {
        /// The link.
        id: LinkId,
        /// The revision that the plan saw.
        expected_revision: i64,
        /// Side a.
        a: SideState,
        /// Side b.
        b: SideState,
        /// The base, whole.
        base: BTreeMap<String, BaseValue>,
        /// How it stands.
        state: LinkState,
    },
}

/// The end of a job (or of a step of it): what was learned, in one transaction.
#[derive(Clone, Debug, Default)]
pub struct Confirmation {
    /// The intents that are settled.
    pub verdicts: Vec<IntentVerdict>,
    /// The link.
    pub link: Option<LinkUpdate>,
    /// Records seen, for the index.
    pub seen: Vec<(Side, IndexedRecord)>,
    /// Entries for the change log.
    pub changes: Vec<Change>,
    /// Questions for an operator. One that is open already (same link and field, or same record) is kept.
    pub conflicts: Vec<NewConflict>,
    /// Rulings that the plan used: their conflicts close as applied.
    pub used_rulings: Vec<ConflictId>,
    /// Fields of the link whose open conflicts are moot, because the values agree by now. Read only
    /// beside a [`LinkUpdate::Update`], which names the link.
    pub settled_fields: Vec<String>,
    /// How the job ends; `None` keeps the lease for further steps.
    pub outcome: Option<JobOutcome>,
}

/// Links, index and journal.
#[async_trait]
pub trait LinkStore: Send + Sync {
    /// What is known of one record.
    async fn pair(
        &self,
        sync: &SyncName,
        side: Side,
        record: &RecordId,
    ) -> Result<PairContext, StoreError>;

    /// One link.
    async fn link(&self, id: LinkId) -> Result<Option<Link>, StoreError>;

    /// Links of a sync in order of id, after `after`, at most `limit`.
    async fn links(
        &self,
        sync: &SyncName,
        after: Option<LinkId>,
        limit: usize,
    ) -> Result<Vec<Link>, StoreError>;

    /// How many active links a sync has.
    async fn link_count(&self, sync: &SyncName) -> Result<u64, StoreError>;

    /// Moves a claimed job into another lane: it goes back to waiting there, due at once, its
    /// attempt not counted (merging if one waits). Returns false when the lease is lost.
    async fn relane(&self, lease: Lease, link: LinkId, now: Timestamp) -> Result<bool, StoreError>;

    /// Journals writes, the first as sent, the others as planned, if the lease is held and the plan
    /// still fits: `link` is the link that it saw, or `None` when it saw no link for `(side, source)` of the
    /// intents. A job that came into the link's lane since is [`JournalError::NewerCause`].
    ///
    /// An intent journalled already, by its id, is left as it is. A create whose source has another
    /// open create, which the plan cannot have seen, is [`JournalError::Superseded`].
    async fn journal(
        &self,
        lease: Lease,
        link: Option<LinkSeen>,
        intents: Vec<Intent>,
        now: Timestamp,
    ) -> Result<Result<(), JournalError>, StoreError>;

    /// Marks a planned (or unknown) intent as sent, counting the send, if the lease is held.
    /// Call it just before each send: a worker that lost its lease must not write. False also when
    /// the intent is settled.
    async fn mark_sent(
        &self,
        lease: Lease,
        intent: IntentId,
        now: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Settles intents, moves the base, logs, and ends the job, all in one transaction. Answers
    /// [`JournalError::LeaseLost`], with nothing changed, when the lease is lost. A link whose
    /// revision has moved, or whose records are linked elsewhere, is [`JournalError::Superseded`]
    /// with nothing changed. So is a new link of a record that is the source of an open create into
    /// the other side, unless a verdict of this confirmation settles it: the create may have been
    /// sent, and another partner for its source would leave its effect as a duplicate.
    ///
    /// A job that inserts a link goes on in the link's lane. A record that is gone (its side of the
    /// link has no id any more, or its delete is confirmed) leaves the index. What was seen counts as
    /// seen by the newest run.
    async fn confirm(
        &self,
        sync: &SyncName,
        lease: Lease,
        confirmation: Confirmation,
        now: Timestamp,
    ) -> Result<Result<(), JournalError>, StoreError>;

    /// Inserts links found by matching, set-based, with no job involved. A link whose records are
    /// linked already, or are the source of an open create into the other side, is left out. Returns
    /// how many were inserted.
    async fn insert_links(&self, links: Vec<NewLink>, now: Timestamp) -> Result<usize, StoreError>;

    /// Records what a listing showed, set-based a page, under a generation (the run's number), and says
    /// what was known before.
    ///
    /// `jobs` holds a job for each record, in their order, or nothing. Those of records that are new or
    /// changed are enqueued in the same transaction: once the index knows a record, no later listing
    /// finds it changed, so its job must not be lost between the two.
    async fn index_records(
        &self,
        sync: &SyncName,
        side: Side,
        records: Vec<IndexedRecord>,
        jobs: Vec<NewJob>,
        generation: i64,
        now: Timestamp,
    ) -> Result<Vec<SeenRecord>, StoreError>;

    /// Records of the index that have any of the keys.
    async fn records_by_keys(
        &self,
        sync: &SyncName,
        side: Side,
        keys: &[String],
    ) -> Result<Vec<KnownRecord>, StoreError>;

    /// Actively linked records of a side that were last seen before `generation`, at most `limit`,
    /// after `after` in order of id. One that was never indexed counts as seen when its link was last
    /// written.
    async fn unseen_records(
        &self,
        sync: &SyncName,
        side: Side,
        generation: i64,
        after: Option<&RecordId>,
        limit: usize,
    ) -> Result<Vec<RecordId>, StoreError>;

    /// Open creates into a side whose match key is one of `keys`, or whose key is not known.
    async fn open_creates(
        &self,
        sync: &SyncName,
        side: Side,
        keys: &[String],
    ) -> Result<Vec<Intent>, StoreError>;

    /// Intents of a link or about a record, oldest first, for `explain`.
    async fn intents_of(
        &self,
        sync: &SyncName,
        record: &RecordId,
    ) -> Result<Vec<Intent>, StoreError>;

    /// The newest writes to the records of a link that were planned since then and may have had an effect, oldest
    /// first, at most `limit`.
    async fn writes_of(
        &self,
        link: LinkId,
        since: Timestamp,
        limit: usize,
    ) -> Result<Vec<Intent>, StoreError>;

    /// One entry of the journal.
    async fn intent(&self, id: IntentId) -> Result<Option<Intent>, StoreError>;

    /// When the listing began that last showed a record in use.
    async fn listed_at(
        &self,
        sync: &SyncName,
        side: Side,
        record: &RecordId,
    ) -> Result<Option<Timestamp>, StoreError>;

    /// How many creates into a side that were planned since then made a record, for this source or with this match key.
    async fn creates_of(
        &self,
        sync: &SyncName,
        side: Side,
        source: &RecordId,
        match_key: Option<&str>,
        since: Timestamp,
    ) -> Result<u64, StoreError>;

    /// Open intents older than `before`, oldest first, for the pass that looks for forgotten ones; only those
    /// that come after `after`, which the last of the page before was.
    async fn stale_intents(
        &self,
        before: Timestamp,
        after: Option<(Timestamp, IntentId)>,
        limit: usize,
    ) -> Result<Vec<Intent>, StoreError>;
}
