//! Questions that only a person can answer.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tandem_domain::{
    ConflictId, EventId, Fields, IntentId, JobId, LinkId, RecordId, Side, SyncName, Timestamp,
    Value,
};

use crate::StoreError;
use crate::brake::emptied_subject;
use crate::question_kind::QuestionKind;
use crate::set_back::set_back_subject;
use crate::values_asked::Earlier;

/// What the question is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ConflictKind {
    /// Both sides changed a field whose policy is to ask.
    Field {
        /// The mapped field.
        field: String,
        /// The value on side a.
        a: Value,
        /// The value on side b.
        b: Value,
        /// The earlier answer, which was given for other values. Such a question stays until it is answered or both sides
        /// agree, whatever the policy of the field says.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        again: Option<Earlier>,
    },
    /// A record could be the same as several on the other side, or others on its own side claim the
    /// same partner.
    Ambiguous {
        /// The records on the other side that match, the first of them.
        candidates: Vec<RecordId>,
        /// How many more match.
        #[serde(default)]
        more_candidates: usize,
        /// Records on its own side with the same match key, the first of them.
        rivals: Vec<RecordId>,
        /// How many more have it.
        #[serde(default)]
        more_rivals: usize,
        /// The match key, as compared.
        key: String,
    },
    /// A system took a write, and did not keep the value.
    NotKept {
        /// The mapped field.
        field: String,
        /// What was written.
        sent: Value,
        /// What the system has.
        kept: Value,
        /// The mapped fields that a create of ours wrote beside this one, for which it had no value: what stands here may be
        /// a default, or be of a record that the create met. Empty for updates.
        #[serde(default, skip_serializing_if = "Fields::is_empty")]
        beside: Fields,
    },
    /// A delete that waits for approval: more than the brake allows, or of a pair of which it is not known
    /// that it ever agreed.
    DeleteHeld {
        /// The side on which the record is gone.
        gone: Side,
        /// Why it waits, in words.
        #[serde(default)]
        reason: String,
    },
    /// A system answered our delete of a record with success, and shows the record still: its pair has ended, and its partner
    /// is gone.
    NotDeleted {
        /// The system, by the name of its connection.
        system: String,
        /// When it said that it had deleted the record.
        answered_at: Timestamp,
        /// When it was looked at last before this was asked.
        seen_at: Timestamp,
        /// Whether its mapped fields have changed since.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        edited: bool,
        /// When it was seen gone, or out of use, if it was: then somebody has taken it back since.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        gone_at: Option<Timestamp>,
    },
    /// A system answered our create with a record, and has never shown it: no reading and no listing has. The record of this
    /// question is the one that it was made for.
    NotMade {
        /// The system, by the name of its connection.
        system: String,
        /// The record that the answer named.
        made: RecordId,
        /// When the record was read that our create carried over.
        sent_at: Timestamp,
        /// When it was missed last before this was asked.
        missed_at: Timestamp,
    },
    /// A write of ours went over an edit that came in the moment between reading and writing, or over a record that its
    /// system answered a create of ours with, and that stood there before.
    Overwritten {
        /// When the record was edited, as its system told us in an event; of a record that a create met, when it was made,
        /// if that is known.
        edited_at: Option<Timestamp>,
        /// The event that told of it; its body may say what the edit was.
        event: Option<EventId>,
        /// The mapped fields that we wrote, with the values that we put there.
        written: Fields,
        /// What says that a create of ours met a record, in words; none where we wrote to one that we knew.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        met: Option<String>,
    },
    /// A field that had a value is not in the answers of a system any more, in many records: one question for all of them.
    Emptied {
        /// The mapped field.
        field: String,
        /// In how many records at least, within an hour.
        records: u64,
        /// The value that stands in the record that is named.
        value: Value,
    },
    /// Under the id of a linked record there is another record now, or an older state of it.
    Replaced {
        /// What says so, in words.
        reason: String,
        /// What the record held when both sides last agreed.
        known: Fields,
        /// What it holds now.
        found: Fields,
        /// Whether a create of ours was answered with it, so that it may hold our values: that says nothing of its system
        /// having been set back.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        overlaid: bool,
        /// Whether its system answers with another record, into which it was merged: `found` is what that one holds. That
        /// says nothing of its system having been set back either.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        merged: bool,
    },
    /// Many linked records of a side show an older state, are other records now, or are not there: its system was restored
    /// from a backup, or emptied and filled anew. One question for the whole side.
    SetBack {
        /// The system, by the name of its connection.
        system: String,
        /// How many show an older state or are other records, as far as is known.
        older: u64,
        /// How many are not there, as far as is known.
        missing: u64,
        /// What says so of the record that is named, in words.
        reason: String,
    },
    /// Both records of a pair are changed back after each write of ours, by an automation of either system.
    BackAndForth {
        /// The fields in which the records differ, with the values of side a.
        a: Fields,
        /// The same fields, with the values of side b.
        b: Fields,
        /// How often we wrote to the pair since.
        writes: usize,
        /// Since when they were counted.
        since: Timestamp,
        /// The earlier answer, which was given for other values.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        again: Option<Earlier>,
    },
    /// A create of ours made two records, or one beside what people had made: this is the one that has no partner.
    Doubled {
        /// The other one, which is linked.
        first: RecordId,
        /// The record that both were made from; of two that are alike, the partner of the other one.
        source: Option<RecordId>,
        /// The write that made it.
        intent: IntentId,
        /// How often it was sent, by the journal; not known of questions from before this was kept.
        #[serde(default)]
        sent: Option<u32>,
        /// What makes them one, where only one of the two is of that create; none where both bear its reference.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        alike: Option<Alike>,
    },
}

/// Two records of one side that are the same by their strongest match key, and one of them was made by a create of ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alike {
    /// The match key that both have, as compared.
    pub key: String,
    /// The one that the create made.
    pub made: RecordId,
}

/// A question names so many candidates and rivals one by one; of more it knows how many. Each record of a group asks,
/// so that naming all of them in each would take the square of their number.
pub const NAMED_MAX: usize = 20;

impl ConflictKind {
    /// A record that could be the same as these, of which there are so many, while these others, of which there are so
    /// many, claim the same.
    #[must_use]
    pub fn ambiguous<'r>(
        candidates: (impl Iterator<Item = &'r RecordId>, usize),
        rivals: (impl Iterator<Item = &'r RecordId>, usize),
        key: String,
    ) -> Self {
        let first = |ids: Vec<RecordId>, all: usize| {
            let more = all.saturating_sub(ids.len());
            (ids, more)
        };
        let named = first(
            candidates.0.take(NAMED_MAX).cloned().collect(),
            candidates.1,
        );
        let (candidates, more_candidates) = named;
        let named = first(rivals.0.take(NAMED_MAX).cloned().collect(), rivals.1);
        let (rivals, more_rivals) = named;
        Self::Ambiguous {
            candidates,
            more_candidates,
            rivals,
            more_rivals,
            key,
        }
    }

    /// The words of all kinds, for parsing.
    pub const WORDS: [&str; QuestionKind::ALL.len()] = {
        let mut words = [""; QuestionKind::ALL.len()];
        let mut at = 0;
        while at < words.len() {
            words[at] = QuestionKind::ALL[at].as_str();
            at += 1;
        }
        words
    };

    /// The kind alone.
    #[must_use]
    pub const fn kind(&self) -> QuestionKind {
        match self {
            Self::Field { .. } => QuestionKind::Field,
            Self::Ambiguous { .. } => QuestionKind::Ambiguous,
            Self::NotKept { .. } => QuestionKind::NotKept,
            Self::DeleteHeld { .. } => QuestionKind::DeleteHeld,
            Self::NotDeleted { .. } => QuestionKind::NotDeleted,
            Self::NotMade { .. } => QuestionKind::NotMade,
            Self::Overwritten { .. } => QuestionKind::Overwritten,
            Self::Emptied { .. } => QuestionKind::Emptied,
            Self::Replaced { .. } => QuestionKind::Replaced,
            Self::SetBack { .. } => QuestionKind::SetBack,
            Self::BackAndForth { .. } => QuestionKind::BackAndForth,
            Self::Doubled { .. } => QuestionKind::Doubled,
        }
    }

    /// The word as stored and shown.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        self.kind().as_str()
    }

    /// The mapped field that the question is about, if one.
    #[must_use]
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::Field { field, .. }
            | Self::NotKept { field, .. }
            | Self::Emptied { field, .. } => Some(field),
            Self::Ambiguous { .. }
            | Self::DeleteHeld { .. }
            | Self::NotDeleted { .. }
            | Self::NotMade { .. }
            | Self::Overwritten { .. }
            | Self::Replaced { .. }
            | Self::SetBack { .. }
            | Self::BackAndForth { .. }
            | Self::Doubled { .. } => None,
        }
    }
}

/// A person's answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Resolution {
    /// Take the value of this side (field), or propagate from it.
    Take {
        /// The side that is right.
        side: Side,
    },
    /// The record is the same as this one on the other side.
    LinkTo {
        /// The record on the other side.
        record: RecordId,
    },
    /// The record is none of them: make a new one.
    CreateNew,
    /// Leave this record alone from now on.
    Ignore,
    /// Carry out the held delete; the field was emptied.
    Approve,
    /// Do not carry out the held delete: make the record anew, or unlink it by the policy; the values stand.
    Reject,
    /// Leave everything as it is; only the question closes.
    Dismiss,
}

impl Resolution {
    /// The word as stored and shown.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Take { .. } => "take",
            Self::LinkTo { .. } => "link_to",
            Self::CreateNew => "create_new",
            Self::Ignore => "ignore",
            Self::Approve => "approve",
            Self::Reject => "reject",
            Self::Dismiss => "dismiss",
        }
    }
}

/// Where a question stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConflictState {
    /// Nobody has answered.
    Open,
    /// Answered, not carried out yet.
    Answered,
    /// Carried out, or moot.
    Closed,
}

impl ConflictState {
    /// The word as stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Answered => "answered",
            Self::Closed => "closed",
        }
    }
}

/// A record as it was read when a question was asked: what a person needs to see to answer it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShownRecord {
    /// Its side.
    pub side: Side,
    /// Its id.
    pub id: RecordId,
    /// Its mapped fields; of one that is gone, what both sides last agreed on.
    pub fields: Fields,
}

/// What the question whether a linked record is still the same is about, as text.
#[must_use]
pub fn replaced_subject(sync: &SyncName, side: Side, record: &RecordId) -> String {
    format!("{sync}/{side}/{record}#replaced")
}

/// A question to insert.
#[derive(Clone, Debug, PartialEq)]
pub struct NewConflict {
    /// Made by the caller.
    pub id: ConflictId,
    /// The sync.
    pub sync: SyncName,
    /// The link, if there is one.
    pub link: Option<LinkId>,
    /// The side of `record`.
    pub side: Side,
    /// The record that it is about (for a field: the record on side a).
    pub record: RecordId,
    /// The question.
    pub kind: ConflictKind,
    /// The records that it is about, as they were read: of a link both, otherwise the record, those that it
    /// may be the same as, and its rivals.
    pub shown: Vec<ShownRecord>,
}

impl NewConflict {
    /// What is asked about, as text: one question about it is never open twice. It is a field of a link, or a
    /// record; beside other questions about a record stand those whether an edit was overwritten, whether it is to be
    /// deleted, why it was not, why its partner does not show, whether it is still the same record, and who changes it back. One about a field that vanished, or about a
    /// system that was set back, is about a side of a sync.
    #[must_use]
    pub fn subject(&self) -> String {
        let record = format!("{}/{}/{}", self.sync, self.side, self.record);
        match (self.link, &self.kind) {
            (_, ConflictKind::Emptied { field, .. }) => {
                emptied_subject(&self.sync, self.side, field)
            }
            (_, ConflictKind::SetBack { .. }) => set_back_subject(&self.sync, self.side),
            (_, ConflictKind::Replaced { .. }) => {
                replaced_subject(&self.sync, self.side, &self.record)
            }
            (Some(link), kind) if kind.field().is_some() => {
                format!("{link}/{}", kind.field().unwrap_or_default())
            }
            (
                _,
                ConflictKind::Overwritten { .. }
                | ConflictKind::DeleteHeld { .. }
                | ConflictKind::NotDeleted { .. }
                | ConflictKind::NotMade { .. }
                | ConflictKind::BackAndForth { .. },
            ) => format!("{record}#{}", self.kind.as_str()),
            (_, kind) => match kind.field() {
                Some(field) => format!("{record}/{field}"),
                None => record,
            },
        }
    }
}

/// A stored question.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Conflict {
    /// Its id.
    pub id: ConflictId,
    /// The sync.
    pub sync: SyncName,
    /// The link, if there is one.
    pub link: Option<LinkId>,
    /// The side of `record`.
    pub side: Side,
    /// The record that it is about.
    pub record: RecordId,
    /// The question.
    #[serde(flatten)]
    pub kind: ConflictKind,
    /// See [`NewConflict::shown`]; empty for questions from before this was kept.
    pub shown: Vec<ShownRecord>,
    /// Where it stands.
    pub state: ConflictState,
    /// The answer.
    pub resolution: Option<Resolution>,
    /// When it was opened.
    pub created_at: Timestamp,
    /// When it was answered.
    pub answered_at: Option<Timestamp>,
    /// Why it was closed without anybody's answer having been carried out.
    pub closed_because: Option<String>,
}

/// Which questions to list, newest first.
#[derive(Clone, Debug, Default)]
pub struct ConflictFilter {
    /// Only of this sync.
    pub sync: Option<SyncName>,
    /// Only in this state.
    pub state: Option<ConflictState>,
    /// Only of this kind, by its word.
    pub kind: Option<String>,
    /// Only older than this one (cursor paging).
    pub before: Option<ConflictId>,
    /// At most so many, and never more than [`crate::PAGE_ROWS_MAX`].
    pub limit: usize,
}

/// The questions.
#[async_trait]
pub trait ConflictStore: Send + Sync {
    /// Opens questions outside a job (first sync). One that is open or answered already for the same
    /// link and field, or the same record, is kept; an open one about a field, a pair that goes back and forth, or a whole
    /// side takes over the values of now, one about a field of a side the record that has its value, and one whether a value was kept gives way to one that the field is contested. One
    /// about what a record matches is not opened when the record has a partner by now. Returns how many are new or have
    /// other values.
    async fn open_conflicts(
        &self,
        conflicts: Vec<NewConflict>,
        now: Timestamp,
    ) -> Result<usize, StoreError>;

    /// Lists questions.
    async fn conflicts(&self, filter: &ConflictFilter) -> Result<Vec<Conflict>, StoreError>;

    /// One question.
    async fn conflict(&self, id: ConflictId) -> Result<Option<Conflict>, StoreError>;

    /// The question about this subject ([`NewConflict::subject`]) that is open, or answered and not closed.
    async fn question_about(&self, subject: &str) -> Result<Option<Conflict>, StoreError>;

    /// Closes a question if it is in this state; of one that was never answered, `why` says why. Says whether it did.
    async fn close_question(
        &self,
        id: ConflictId,
        state: ConflictState,
        why: Option<&'static str>,
        now: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Answers an open question, or gives one that is not carried out yet another answer, and enqueues, with the
    /// given id, the reconcile job that carries it out, in one transaction. `Ignore` also marks the record as ignored and closes the question.
    /// Returns the job to ring; `None` when the question is closed, or its answer is being carried out.
    async fn resolve_conflict(
        &self,
        id: ConflictId,
        resolution: Resolution,
        job: JobId,
        now: Timestamp,
    ) -> Result<Option<JobId>, StoreError>;
}
