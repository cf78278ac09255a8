//! Pairs that an operator makes and takes apart by hand.

use async_trait::async_trait;
use tandem_domain::{ConflictId, JobId, LinkId, RecordId, Side, SyncName, Timestamp};

use crate::StoreError;
use crate::changes::Change;
use crate::jobs::NewJob;
use crate::links::NewLink;
use crate::moot::Fact;

/// A pair made by hand.
#[derive(Clone, Debug)]
pub struct HandLink {
    /// The link; its base is empty, so that the first comparison sees what both hold.
    pub link: NewLink,
    /// What the change log says of it.
    pub change: Change,
    /// The job that compares them, about either record.
    pub job: NewJob,
}

/// What became of a pair to be taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unlinked {
    /// It is taken apart, and both records are left alone from now on.
    Done,
    /// It was not linked any more.
    NotLinked,
    /// A write of the pair is under way: its effect must be known first.
    WriteUnderWay,
}

/// Records that were to be left alone, and take part again.
#[derive(Clone, Debug)]
pub struct TakeUp {
    /// The sync.
    pub sync: SyncName,
    /// The side of `record`.
    pub side: Side,
    /// The record; its partner too, if it has one.
    pub record: RecordId,
    /// The question whose answer is taken back.
    pub question: Option<ConflictId>,
    /// The job that looks at them.
    pub job: NewJob,
}

/// What operators do to pairs and questions by hand.
#[async_trait]
pub trait HandStore: Send + Sync {
    /// Links two records, in one transaction with its entry in the log and the job that compares them. Both take
    /// part again if they were to be left alone, and questions about what they match are closed.
    /// `None`, with nothing changed, when one of them is linked already or a create of one may be under way.
    async fn link_by_hand(
        &self,
        hand: HandLink,
        now: Timestamp,
    ) -> Result<Option<JobId>, StoreError>;

    /// Takes a pair apart: the link is retired, both records are left alone from now on, and the questions that this
    /// ends are closed, in one transaction with its entry in the log.
    async fn unlink_by_hand(
        &self,
        link: LinkId,
        change: Change,
        now: Timestamp,
    ) -> Result<Unlinked, StoreError>;

    /// Has a record take part again that was to be left alone, and its partner with it; the question whose answer is
    /// taken back is open again, unless the same is asked already. `None`, with nothing changed, when neither record
    /// was left alone.
    async fn take_up(&self, taken: TakeUp, now: Timestamp) -> Result<Option<JobId>, StoreError>;

    /// Those of these links that have a record that is to be left alone, and are active or were taken apart by a person.
    async fn left_alone(&self, links: &[LinkId]) -> Result<Vec<LinkId>, StoreError>;

    /// How many records of a sync are to be left alone.
    async fn left_alone_count(&self, sync: &SyncName) -> Result<u64, StoreError>;

    /// Closes questions that nobody has to answer any more by what is stored, see [`Fact`]: the record has a partner, it
    /// or one of its pair is left alone, or the pair is none any more. At most `limit`; returns how many.
    async fn close_moot_conflicts(&self, limit: usize, now: Timestamp)
    -> Result<usize, StoreError>;

    /// Closes the questions about a record without a partner that this ends, and gives up their answers. Returns which.
    async fn close_questions_of(
        &self,
        sync: &SyncName,
        side: Side,
        record: &RecordId,
        fact: Fact,
        now: Timestamp,
    ) -> Result<Vec<ConflictId>, StoreError>;
}
