//! Questions about which of two values is right, and the values that they show. Who takes one gives up the other, and has
//! decided about both.

use serde::{Deserialize, Serialize};
use tandem_domain::{Fields, Side, Value};

use crate::conflicts::{Conflict, ConflictKind};

/// An answer that was not carried out, because a value that it was given for has changed since.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Earlier {
    /// The side whose values it took.
    pub took: Side,
    /// What side a had when it was given.
    pub a: Fields,
    /// What side b had.
    pub b: Fields,
}

impl Earlier {
    /// The values of one side.
    #[must_use]
    pub const fn of(&self, side: Side) -> &Fields {
        match side {
            Side::A => &self.a,
            Side::B => &self.b,
        }
    }
}

impl Conflict {
    /// The values that it shows of side a and of side b, by field; `None` where it is not about which of two is right.
    #[must_use]
    pub fn values(&self) -> Option<[Fields; 2]> {
        let one = |field: &String, value: &Value| Fields::from([(field.clone(), value.clone())]);
        match &self.kind {
            ConflictKind::Field { field, a, b, .. } => Some([one(field, a), one(field, b)]),
            ConflictKind::BackAndForth { a, b, .. } => Some([a.clone(), b.clone()]),
            ConflictKind::NotKept {
                field, sent, kept, ..
            } => Some(Side::BOTH.map(|side| {
                let is_kept = side == self.side;
                one(field, if is_kept { kept } else { sent })
            })),
            ConflictKind::Ambiguous { .. }
            | ConflictKind::DeleteHeld { .. }
            | ConflictKind::NotDeleted { .. }
            | ConflictKind::NotMade { .. }
            | ConflictKind::Overwritten { .. }
            | ConflictKind::Emptied { .. }
            | ConflictKind::Replaced { .. }
            | ConflictKind::SetBack { .. }
            | ConflictKind::Doubled { .. } => None,
        }
    }

    /// What is asked when both sides have these values. A value that was not kept, and that is another by now, is a contest.
    #[must_use]
    pub fn asked_anew(
        &self,
        a: &Fields,
        b: &Fields,
        again: Option<Earlier>,
    ) -> Option<ConflictKind> {
        if let ConflictKind::BackAndForth { writes, since, .. } = &self.kind {
            return Some(ConflictKind::BackAndForth {
                a: a.clone(),
                b: b.clone(),
                writes: *writes,
                since: *since,
                again,
            });
        }
        self.values()?;
        let field = self.kind.field()?;
        let value = |fields: &Fields| fields.get(field).cloned().unwrap_or_default();
        Some(ConflictKind::Field {
            field: field.to_owned(),
            a: value(a),
            b: value(b),
            again,
        })
    }
}

impl ConflictKind {
    /// The earlier answer to the same, which was given for other values.
    #[must_use]
    pub const fn again(&self) -> Option<&Earlier> {
        match self {
            Self::Field { again, .. } | Self::BackAndForth { again, .. } => again.as_ref(),
            Self::Ambiguous { .. }
            | Self::NotKept { .. }
            | Self::DeleteHeld { .. }
            | Self::NotDeleted { .. }
            | Self::NotMade { .. }
            | Self::Overwritten { .. }
            | Self::Emptied { .. }
            | Self::Replaced { .. }
            | Self::SetBack { .. }
            | Self::Doubled { .. } => None,
        }
    }
}
