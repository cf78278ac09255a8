//! What a link knows of its record on each side, and what it remembers of it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tandem_domain::line::line;
use tandem_domain::{ConflictId, Fields, IntentId, RecordId, Timestamp, Value};

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
    /// Values of writes that had no answer when they were sent first, or of answered ones that were written over a moment later.
    /// Whatever holds such a request back may carry it out after the same was written in another way, and over what
    /// somebody typed since; and a system may carry out later than it answers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub may_land: Vec<MayLand>,
    /// Values that somebody typed there, and that a write of ours without an answer may still go over, or has gone over,
    /// before they were decided upon; by mapped field.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub shown_under: BTreeMap<String, ShownUnder>,
    /// Mapped fields that had a value and of which the system says nothing any more.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub left_out: BTreeMap<String, LeftOut>,
    /// How often we wrote to it lately.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writes: Option<Tally>,
    /// Looks at it that found nothing but a new time of change, each made right after the look before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub touched: Option<Touched>,
    /// A create of ours for another record that its system answered with this one, so that it may hold our values for that:
    /// a person is asked before anything of it is taken for an edit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlaid: Option<IntentId>,
    /// Since when it waits, because its system was set back: whoever edits it then edits an old state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_back: Option<Timestamp>,
    /// The question that it waits for then; earlier versions did not note it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_back_asked: Option<ConflictId>,
    /// How it was when it was last found that its pair waits for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<HeldAs>,
    /// The filter of the sync that leaves it out, so that nothing of the pair is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filtered: Option<Filtered>,
    /// A delete of ours that its system answered with success, until it is seen that the record is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted: Option<Deleted>,
}

/// How a record was when its pair was looked at, and waited for a person. While that question is open and listings show the
/// record like this, there is nothing to look at again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldAs {
    /// The question.
    pub question: ConflictId,
    /// How the record was, see [`IndexedRecord::state`](crate::IndexedRecord::state).
    pub state: String,
}

/// A delete that a system says it has carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deleted {
    /// When it said so.
    pub at: Timestamp,
    /// The checksum of the mapped fields that the record had.
    pub checksum: String,
    /// Whether a person was told that the record is there still.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub told: bool,
    /// When it was first seen gone, or out of use: if it is there again, somebody has taken it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gone_at: Option<Timestamp>,
    /// What it held when it was last seen, where somebody had edited it since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edited: Option<Fields>,
    /// Whether a person has said to leave it as it is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub left: bool,
    /// Whether it was seen when the delete could be carried out no more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub outlived: bool,
}

/// A record that a filter of its sync leaves out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filtered {
    /// The field that the filter looks at.
    pub field: String,
    /// What the record holds there.
    pub value: Value,
    /// Since when.
    pub since: Timestamp,
}

impl Filtered {
    /// Why it is left out, in words.
    #[must_use]
    pub fn words(&self) -> String {
        why_left_out(&self.field, &self.value)
    }
}

/// Why a filter leaves a record out, in words: what the record holds in the field that the filter looks at.
#[must_use]
pub fn why_left_out(field: &str, value: &Value) -> String {
    let field = line(field);
    match value.to_string() {
        empty if empty.is_empty() => format!("its `{field}` is empty"),
        value => format!("its `{field}` is `{}`", line(&value)),
    }
}

/// A field that had a value and is not in the answers any more, while nobody takes it for emptied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Since when.
    pub since: Timestamp,
    /// When that was last looked at.
    pub last: Timestamp,
    /// Since when it was missed first, where it was not looked at for so long that `since` counts anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<Timestamp>,
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

/// A record that changes as often as it is looked at, and never in what is mapped: its system counts a reading as a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Touched {
    /// How often in a row.
    pub times: u32,
    /// When it was last read.
    pub read_at: Timestamp,
}

impl Touched {
    /// So many such looks may be chance: somebody works on what is not mapped.
    pub const CHANCE: u32 = 20;
    /// It is looked at at least so often.
    const PAUSE_MAX: Duration = Duration::from_secs(60);

    /// How long it is not looked at after the last reading; zero for as long as that may be chance.
    #[must_use]
    pub fn pause(&self) -> Duration {
        let Some(doublings) = self.times.checked_sub(Self::CHANCE) else {
            return Duration::ZERO;
        };
        let pause = Duration::from_secs(1).saturating_mul(2_u32.saturating_pow(doublings));
        pause.min(Self::PAUSE_MAX)
    }
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
}

/// A value of ours that may land once more, long after it was sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MayLand {
    /// The mapped field.
    pub field: String,
    /// What was sent.
    pub sent: Value,
    /// What its system made of it when it landed first.
    pub kept: Value,
    /// When the sending without an answer was sent.
    pub since: Timestamp,
    /// How often it may land yet.
    pub times: u32,
    /// Whether it was answered: then it lands soon.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub answered: bool,
    /// Whether no answer and no reading has ever shown it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub never_shown: bool,
}

/// A value that a record showed while a write of ours to it had no answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownUnder {
    /// The value.
    pub value: Value,
    /// When somebody typed it, by our clock, where that is known.
    pub edited_at: Option<Timestamp>,
    /// What our write put in its place, where it has landed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub covered_by: Option<Value>,
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
    /// Whether it was a create of which nothing said that it met a record which stood there. An event that is heard later
    /// may say so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub made: bool,
    /// Whether only the answer to that create has shown the record, and no reading of it yet: a system may say that it has made
    /// a record, and keep nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unread: bool,
    /// The checksum of the mapped fields that the record showed with it. Empty where it is not known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub left: String,
}
