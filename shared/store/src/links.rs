//! Links between records, the index of what each side holds, and the journal of writes.

mod index;
mod intents;
mod memory;

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tandem_domain::{
    BaseValue, ConflictId, IntentId, JobId, LinkId, RecordId, Side, SyncName, Timestamp,
};

pub use index::{FILTERED_MARK, IndexedRecord, KnownRecord, SeenRecord, Sight, says_filtered};
pub use intents::{Intent, IntentOp, IntentState, IntentVerdict, JournalError};
pub use memory::{
    Deleted, Doubt, Filtered, HeldAs, LeftOut, MayLand, OwnWrite, ShownUnder, SideMemory,
    SideState, Tally, Touched, Unseen, why_left_out,
};

use crate::StoreError;
use crate::changes::Change;
use crate::conflicts::NewConflict;
use crate::jobs::{JobOutcome, Lease, NewJob};
use crate::moot::Moot;
use crate::question_kind::QuestionKind;
use crate::values_asked::Earlier;

/// How a link stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkState {
    /// Held equal.
    Active,
    /// One record is gone and the policy is to leave the other alone, or an operator unlinked it.
    Retired,
}

/// How a pair stands, as people ask for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LinkStanding {
    /// Held equal.
    Active,
    /// Linked, and a filter of the sync leaves a record of it out.
    Filtered,
    /// A person said to leave its records alone.
    LeftAlone,
    /// A record is gone.
    Retired,
}

impl LinkStanding {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Active, Self::Filtered, Self::LeftAlone, Self::Retired];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Filtered => "filtered",
            Self::LeftAlone => "left-alone",
            Self::Retired => "retired",
        }
    }
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

impl Link {
    /// The state of one side.
    #[must_use]
    pub const fn side(&self, side: Side) -> &SideState {
        match side {
            Side::A => &self.a,
            Side::B => &self.b,
        }
    }

    /// Whether a filter of its sync leaves a record of it out.
    #[must_use]
    pub const fn is_filtered(&self) -> bool {
        self.a.memory.filtered.is_some() || self.b.memory.filtered.is_some()
    }

    /// The records that it has, by side.
    pub fn records(&self) -> impl Iterator<Item = (Side, &RecordId)> {
        let named = |side: Side| Some((side, self.side(side).id.as_ref()?));
        Side::BOTH.into_iter().filter_map(named)
    }

    /// The update after which this is known of its sides, and all else stays.
    #[must_use]
    pub fn with_sides(&self, a: SideState, b: SideState) -> LinkUpdate {
        LinkUpdate::Update {
            id: self.id,
            expected_revision: self.revision,
            a,
            b,
            base: self.base.clone(),
            state: self.state,
        }
    }

    /// The update after which one side remembers something else, and all else stays.
    #[must_use]
    pub fn remembering(&self, side: Side, change: impl FnOnce(&mut SideMemory)) -> LinkUpdate {
        let (mut a, mut b) = (self.a.clone(), self.b.clone());
        change(match side {
            Side::A => &mut a.memory,
            Side::B => &mut b.memory,
        });
        self.with_sides(a, b)
    }
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

/// An open question about a field of a link.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenField {
    /// The question.
    pub question: ConflictId,
    /// What it asks.
    pub kind: QuestionKind,
    /// The mapped field.
    pub field: String,
    /// The earlier answer that was not carried out, if there was one.
    pub again: Option<Earlier>,
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
    /// The open questions about fields of the link, so that none is opened twice.
    pub open_fields: Vec<OpenField>,
    /// The open question what the record matches, if there is one.
    pub held: Option<ConflictId>,
    /// The open question whether the record is one that we made twice, if there is one.
    pub doubled: Option<ConflictId>,
    /// The open question whether the records of the link are still the ones that were linked.
    pub replaced: Option<ConflictId>,
    /// The open question whether the remaining record of the link is to be deleted.
    pub delete_held: Option<ConflictId>,
    /// The open question what becomes of a record that its system did not delete, though it said so.
    pub not_deleted: Option<ConflictId>,
    /// The open question what becomes of the record of the link whose partner, made by us, was never shown.
    pub not_made: Option<ConflictId>,
    /// The open question who changes the pair back after each write.
    pub back_and_forth: Option<ConflictId>,
    /// Whether an operator said to leave this record alone.
    pub ignored: bool,
    /// What waits in the lane of the link. Whatever comes later is newer than what is read after this.
    pub waiting: Option<WaitingCause>,
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
    /// Questions for an operator. One that is open already (same link and field, or same record) is kept. What a record
    /// matches is not asked when it has a partner by now.
    pub conflicts: Vec<NewConflict>,
    /// Rulings that the plan used: their conflicts close as applied.
    pub used_rulings: Vec<ConflictId>,
    /// Questions that nobody has to answer any more, and answers that cannot be carried out.
    pub moot: Vec<Moot>,
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

    /// Links of a sync that stand so, in order of id, after `after`, at most `limit`.
    async fn links_standing(
        &self,
        sync: &SyncName,
        standing: LinkStanding,
        after: Option<LinkId>,
        limit: usize,
    ) -> Result<Vec<Link>, StoreError>;

    /// How many active links a sync has.
    async fn link_count(&self, sync: &SyncName) -> Result<u64, StoreError>;

    /// How many records of a side are there as far as is known, and are held equal with nothing because their pair was
    /// retired. Those that a person said to leave alone are not among them.
    async fn partnerless_count(&self, sync: &SyncName, side: Side) -> Result<u64, StoreError>;

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

    /// Those of these records whose dead letter a person has discarded, or for which something was refused and whose dead letter
    /// still waits for a person, and that were last seen as they were then: that a listing shows them is no reason to try again
    /// what was refused.
    async fn let_be(
        &self,
        sync: &SyncName,
        side: Side,
        records: &[RecordId],
    ) -> Result<Vec<RecordId>, StoreError>;

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

    /// When the listing began that last showed a record in use, or, if a reading showed it later, the newest one that had
    /// begun by then. `None` also where only the answer to a create has shown it.
    async fn listed_at(
        &self,
        sync: &SyncName,
        side: Side,
        record: &RecordId,
    ) -> Result<Option<Timestamp>, StoreError>;

    /// The checksum of a record as only the answer to our last write to it has shown it; `None` once a listing or a reading has
    /// shown the same.
    async fn answered_only(
        &self,
        sync: &SyncName,
        side: Side,
        record: &RecordId,
    ) -> Result<Option<String>, StoreError>;

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
