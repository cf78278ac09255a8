//! The story of a record: where it is linked, on which values both sides last agreed, what was changed when
//! and why, which writes were sent, what waits. For `tandem explain`.

mod gather;
mod text;

use serde::{Deserialize, Serialize};
use tandem_domain::{ConflictId, RecordId, Side, SyncName};

use crate::views::{ChangeView, ConflictView, EventView, IntentView, JobView, LinkView};

/// All that is known of a record in a sync.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Story {
    /// The sync.
    pub sync: SyncName,
    /// The side on which the record was found.
    pub side: Side,
    /// The record.
    pub record: RecordId,
    /// The connection and stream of each side, where the configuration tells.
    pub ends: Ends,
    /// Its link.
    pub link: Option<LinkView>,
    /// Whether an operator said to leave it alone.
    pub ignored: bool,
    /// Whether an open question holds it: nothing is written for it until that is answered.
    pub held: bool,
    /// The open questions that hold it or fields of its pair.
    #[serde(default)]
    pub waits_for: Vec<WaitsFor>,
    /// Why the sync's filters leave it out, as its system holds it now. Asked only of a record of which nothing is stored,
    /// because nothing is kept of one that is left out.
    #[serde(default)]
    pub left_out: Option<String>,
    /// Changes, the newest last.
    pub changes: Vec<ChangeView>,
    /// Writes, the newest last.
    pub intents: Vec<IntentView>,
    /// Jobs, the newest last.
    pub jobs: Vec<JobView>,
    /// Events, the newest last.
    pub events: Vec<EventView>,
    /// Questions that wait for an answer, or for the answer to be carried out.
    pub conflicts: Vec<ConflictView>,
}

/// An open question, and what it holds of a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitsFor {
    /// The question.
    pub question: ConflictId,
    /// Its kind.
    pub kind: String,
    /// The mapped field that stays as it is; all of the record, or of its pair, where there is none.
    pub field: Option<String>,
}

/// What the two sides are called.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ends {
    /// Side a.
    pub a: Option<End>,
    /// Side b.
    pub b: Option<End>,
}

/// One side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// The connection.
    pub connection: String,
    /// The record type.
    pub stream: String,
    /// Whether the sync makes records there. Where nothing that is known here says so, it may.
    #[serde(default = "may_make")]
    pub creates: bool,
}

const fn may_make() -> bool {
    true
}

impl Ends {
    /// The side with its connection, to be put after the word: `a (crm)`, or `a` where the configuration does not tell.
    #[must_use]
    pub fn side(&self, side: Side) -> String {
        match self.end(side) {
            Some(end) => format!("{side} ({})", end.connection),
            None => side.to_string(),
        }
    }

    /// Whether the sync makes records on a side, as far as is known.
    #[must_use]
    pub fn creates(&self, side: Side) -> bool {
        self.end(side).is_none_or(|end| end.creates)
    }

    const fn end(&self, side: Side) -> Option<&End> {
        match side {
            Side::A => self.a.as_ref(),
            Side::B => self.b.as_ref(),
        }
    }

    /// What a side is called: its connection, or `side a`.
    #[must_use]
    pub fn name(&self, side: Side) -> String {
        self.end(side)
            .map_or_else(|| format!("side {side}"), |end| end.connection.clone())
    }
}
