//! What a comparison tells.

use std::collections::{BTreeMap, BTreeSet};

use tandem_domain::{RecordId, Side, Value};

use crate::open_questions::Question;
use crate::planned::LeftBy;

use super::Standing;

/// One difference between both sides.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Difference {
    /// A mapped field differs.
    Field {
        /// The record on side a.
        a: RecordId,
        /// The record on side b.
        b: RecordId,
        /// The mapped field.
        field: String,
        /// Its value on side a.
        value_a: Value,
        /// Its value on side b.
        value_b: Value,
    },
    /// Both records of a retired link are in use and differ: they are not held equal any more.
    Apart {
        /// The record on side a.
        a: RecordId,
        /// The record on side b.
        b: RecordId,
        /// The mapped fields that differ.
        fields: Vec<String>,
    },
    /// A linked record is not there.
    Missing {
        /// The side on which it is missing.
        side: Side,
        /// The record.
        record: RecordId,
    },
    /// A record has no partner.
    Unlinked {
        /// Its side.
        side: Side,
        /// The record.
        record: RecordId,
    },
    /// A row could not be read.
    Unreadable {
        /// Its side.
        side: Side,
        /// The record, if at least its id could be read.
        record: Option<RecordId>,
        /// Why.
        reason: String,
    },
}

impl Difference {
    /// The records and the field that it is about.
    #[must_use]
    pub fn about(&self) -> About {
        let mut records = [None, None];
        for (side, record) in self.records() {
            records[usize::from(side == Side::B)] = Some(record.clone());
        }
        let field = match self {
            Self::Field { field, .. } => Some(field.clone()),
            Self::Apart { .. }
            | Self::Missing { .. }
            | Self::Unlinked { .. }
            | Self::Unreadable { .. } => None,
        };
        (records, field)
    }

    /// The records that it is about.
    #[must_use]
    pub fn records(&self) -> Vec<(Side, &RecordId)> {
        match self {
            Self::Field { a, b, .. } | Self::Apart { a, b, .. } => {
                vec![(Side::A, a), (Side::B, b)]
            }
            Self::Missing { side, record } | Self::Unlinked { side, record } => {
                vec![(*side, record)]
            }
            Self::Unreadable { side, record, .. } => {
                record.iter().map(|record| (*side, record)).collect()
            }
        }
    }
}

/// The records of both sides and the field that a difference is about.
pub type About = ([Option<RecordId>; 2], Option<String>);

/// The result of a comparison.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct Comparison {
    /// Records read on side a.
    pub records_a: usize,
    /// Records read on side b.
    pub records_b: usize,
    /// Records of side a that its listing shows and the filters leave out.
    pub filtered_a: usize,
    /// The same of side b.
    pub filtered_b: usize,
    /// Linked pairs compared.
    pub pairs: usize,
    /// Linked records that the listing of side a did not show; each was read by its id.
    pub unlisted_a: usize,
    /// The same of side b.
    pub unlisted_b: usize,
    /// Records that a person said to leave alone, as `sync status` counts them.
    pub left_alone: usize,
    /// Records of side a in use that are not held equal with anything, because their partner is gone.
    pub retired_a: usize,
    /// The same of side b.
    pub retired_b: usize,
    /// Linked pairs that rest, because the filters leave a record out.
    pub filtered: usize,
    /// Records without a partner whose like on the other side the filters leave out: nothing is made for them.
    pub beside_left_out: usize,
    /// Open questions which records belong together, or which of two is too many: while there is one, nobody knows whether
    /// both sides agree.
    pub unclear: usize,
    /// What differs.
    pub differences: Vec<Difference>,
    /// Pairs of which a field was not compared, because a listing leaves it out and there are too many to read each
    /// by its id.
    pub in_part: usize,
    /// Those fields, by the side whose listing leaves them out.
    pub left_out: BTreeSet<(Side, String)>,
    /// Differences that were not looked at a second time, because there are so many.
    pub seen_once: usize,
    /// What people call the records that the differences are about, as far as they have names.
    #[serde(skip)]
    pub names: BTreeMap<(Side, RecordId), String>,
    /// The open questions that differences wait for.
    #[serde(skip)]
    pub held: BTreeMap<About, Question>,
    /// The answers by which differences stay as they are: no run writes anything of them.
    #[serde(skip)]
    pub left: BTreeMap<About, LeftBy>,
}

impl Comparison {
    /// What people call a record that a difference is about.
    #[must_use]
    pub fn name(&self, side: Side, record: &RecordId) -> Option<&str> {
        let name = self.names.get(&(side, record.clone()));
        name.map(String::as_str)
    }

    /// The open question that a difference waits for: nothing of it is written before that is answered. `None` also where
    /// there are so many differences that it was not looked at a second time.
    #[must_use]
    pub fn question(&self, difference: &Difference) -> Option<Question> {
        self.held.get(&difference.about()).copied()
    }

    /// The answer by which a difference stays as it is.
    #[must_use]
    pub fn left_by(&self, difference: &Difference) -> Option<&LeftBy> {
        self.left.get(&difference.about())
    }

    /// How many differences there are beside those that a person's answer has left.
    #[must_use]
    pub fn unanswered(&self) -> usize {
        let told = self.differences.iter();
        told.filter(|one| self.left_by(one).is_none()).count()
    }

    /// Records of both sides whose partner is gone.
    #[must_use]
    pub const fn retired(&self) -> usize {
        self.retired_a + self.retired_b
    }

    /// Linked records that the listing of a side did not show.
    #[must_use]
    pub const fn unlisted(&self, side: Side) -> usize {
        match side {
            Side::A => self.unlisted_a,
            Side::B => self.unlisted_b,
        }
    }

    /// Whether a side listed nothing at all, not even what the filters leave out, although it has linked records. Whoever may not see records often gets
    /// an empty list, so nothing is known of that side then, whatever its single records answer.
    #[must_use]
    pub const fn is_blind(&self, side: Side) -> bool {
        let listed = match side {
            Side::A => self.records_a + self.filtered_a,
            Side::B => self.records_b + self.filtered_b,
        };
        listed == 0 && self.unlisted(side) > 0
    }

    /// Whether both sides agree: all could be compared, nothing differs but what a person's answer has left, and no person must
    /// say what belongs together.
    #[must_use]
    pub fn agrees(&self) -> bool {
        self.is_complete() && self.unanswered() == 0 && self.unclear == 0
    }

    /// Whether both sides could be seen, and every field of every pair, so that there is an answer.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        !self.is_blind(Side::A) && !self.is_blind(Side::B) && self.in_part == 0
    }

    pub(super) fn count(&mut self, (a, b): &(Standing<'_>, Standing<'_>)) {
        self.pairs += 1;
        self.unlisted_a += usize::from(matches!(a, Standing::Missing));
        self.unlisted_b += usize::from(matches!(b, Standing::Missing));
    }

    /// Counts a pair of which something is left out.
    pub(super) fn count_left_out(&mut self, (a, b): &(Standing<'_>, Standing<'_>)) {
        let (Standing::Here(a), Standing::Here(b)) = (a, b) else {
            return;
        };
        for (side, reading) in [(Side::A, a), (Side::B, b)] {
            let names = reading.left_out.iter().cloned();
            self.left_out.extend(names.map(|name| (side, name)));
        }
        self.in_part += usize::from(!(a.left_out.is_empty() && b.left_out.is_empty()));
    }

    pub(super) const fn count_retired(&mut self, side: Side) {
        match side {
            Side::A => self.retired_a += 1,
            Side::B => self.retired_b += 1,
        }
    }
}
