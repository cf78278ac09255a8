//! What a sync is told to do: its mapping rules and its policies.

use serde::{Deserialize, Serialize};
use tandem_domain::{FieldType, Side, Stays, Value};

/// The policy of one sync.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SyncPolicy {
    /// The mapping, one rule a field.
    pub fields: Vec<FieldRule>,
    /// Match keys, strongest first; each is one or more mapped fields taken together.
    pub match_keys: Vec<Vec<String>>,
    /// Where missing records are created.
    pub creates: Creates,
    /// What happens when both sides changed a field, unless the field says otherwise.
    pub conflict: ConflictPolicy,
    /// Who wins when last-write-wins finds equal or unknown times.
    pub prefer: Side,
    /// What happens when a linked record is gone.
    pub deletes: DeletePolicies,
    /// What happens when a match is not clear.
    pub ambiguous: Ambiguous,
    /// Which records of each side take part.
    pub filters: Vec<Filter>,
}

impl SyncPolicy {
    /// The rule of a mapped field.
    #[must_use]
    pub fn rule(&self, name: &str) -> Option<&FieldRule> {
        self.fields.iter().find(|rule| rule.name == name)
    }

    /// Whose value of a mapped field stays where both sides hold one, and not the same.
    #[must_use]
    pub fn stays(&self, field: &str) -> Stays {
        let rule = self.rule(field);
        match rule.map_or(Direction::Both, |rule| rule.direction) {
            Direction::AToB => Stays::Authority(Side::A),
            Direction::BToA => Stays::Authority(Side::B),
            Direction::Both => {
                let own = rule.and_then(|rule| rule.conflict);
                match own.unwrap_or(self.conflict) {
                    ConflictPolicy::PreferA => Stays::Preferred(Side::A),
                    ConflictPolicy::PreferB => Stays::Preferred(Side::B),
                    ConflictPolicy::LastWriteWins => Stays::Later,
                    ConflictPolicy::Manual => Stays::Asked,
                }
            }
        }
    }
}

/// One mapping rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FieldRule {
    /// The name of the mapped field.
    pub name: String,
    /// The field of side a's stream.
    pub a: String,
    /// The field of side b's stream.
    pub b: String,
    /// The type of its canonical value.
    pub field_type: FieldType,
    /// Which way it flows.
    pub direction: Direction,
    /// When two values count as the same.
    pub equality: Equality,
    /// Overrides [`SyncPolicy::conflict`].
    pub conflict: Option<ConflictPolicy>,
    /// Applied to the values of both sides before anything else.
    pub transforms: Vec<Transform>,
}

impl FieldRule {
    /// The field's name in the stream of `side`.
    #[must_use]
    pub fn stream_field(&self, side: Side) -> &str {
        match side {
            Side::A => &self.a,
            Side::B => &self.b,
        }
    }
}

/// Which way a field flows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Both ways.
    #[default]
    Both,
    /// Side a is the authority; an edit on b is overwritten.
    AToB,
    /// Side b is the authority; an edit on a is overwritten.
    BToA,
}

impl Direction {
    /// Whether values may be written to `side`.
    #[must_use]
    pub const fn writes(self, side: Side) -> bool {
        match (self, side) {
            (Self::Both, _) | (Self::AToB, Side::B) | (Self::BToA, Side::A) => true,
            (Self::AToB, Side::A) | (Self::BToA, Side::B) => false,
        }
    }
}

/// When two canonical values count as the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Equality {
    /// Equal values.
    #[default]
    Exact,
    /// Texts equal but for case and runs of white space.
    Folded,
    /// Numbers equal after rounding (half to even) to this many decimal places.
    Decimals(u32),
}

/// What happens when both sides changed a field to different values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConflictPolicy {
    /// The later edit wins, on times corrected by each system's clock offset.
    #[default]
    LastWriteWins,
    /// Side a wins.
    PreferA,
    /// Side b wins.
    PreferB,
    /// A person decides; until then both sides keep theirs.
    Manual,
}

/// Where missing records are created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Creates {
    /// On both sides.
    #[default]
    Both,
    /// Only on side a.
    A,
    /// Only on side b.
    B,
    /// Nowhere: only records that exist on both sides are linked.
    None,
}

impl Creates {
    /// Whether a record may be created on `side`.
    #[must_use]
    pub const fn on(self, side: Side) -> bool {
        match (self, side) {
            (Self::Both, _) | (Self::A, Side::A) | (Self::B, Side::B) => true,
            (Self::A, Side::B) | (Self::B, Side::A) | (Self::None, _) => false,
        }
    }
}

/// What happens to the other record when one is gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeletePolicy {
    /// Nothing; the link is retired and the other record is left alone from now on.
    #[default]
    Ignore,
    /// The other record is deleted or archived, as its connector does it.
    Propagate,
    /// The link is dissolved; the other record is then like any record without a partner.
    Unlink,
}

/// The delete policy by the side on which the record is gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeletePolicies {
    /// When side a's record is gone.
    pub a_gone: DeletePolicy,
    /// When side b's record is gone.
    pub b_gone: DeletePolicy,
}

impl DeletePolicies {
    /// The policy for a record gone from `side`.
    #[must_use]
    pub const fn when_gone(self, side: Side) -> DeletePolicy {
        match side {
            Side::A => self.a_gone,
            Side::B => self.b_gone,
        }
    }
}

/// What happens when a match is not clear.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ambiguous {
    /// A person decides; until then nothing is written for these records.
    #[default]
    Hold,
    /// The record with the smallest id on each side is linked; the others are left alone.
    First,
}

/// A record takes part only if this field has one of these values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// The side it looks at.
    pub side: Side,
    /// The field of that side's stream.
    pub field: String,
    /// The values that take part.
    pub any_of: Vec<Value>,
}

/// A change to a value before it is compared or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transform {
    /// Lower case.
    Lower,
    /// Upper case.
    Upper,
    /// Runs of white space become one space.
    CollapseSpaces,
    /// Only the digits, and a leading `+`.
    Phone,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tandem_domain::Timestamp;

    use super::*;
    use crate::{Presence, Ruled, Snapshot, View, plan};

    fn policy(direction: Direction, conflict: ConflictPolicy) -> SyncPolicy {
        SyncPolicy {
            fields: vec![FieldRule {
                name: "name".to_owned(),
                a: "name".to_owned(),
                b: "name".to_owned(),
                field_type: FieldType::Text,
                direction,
                equality: Equality::Exact,
                conflict: Some(conflict),
                transforms: Vec::new(),
            }],
            match_keys: Vec::new(),
            creates: Creates::Both,
            conflict: ConflictPolicy::Manual,
            prefer: Side::A,
            deletes: DeletePolicies::default(),
            ambiguous: Ambiguous::Hold,
            filters: Vec::new(),
        }
    }

    fn record(name: &str, secs: i64) -> Presence {
        Presence::Here(Snapshot {
            fields: BTreeMap::from([("name".to_owned(), Value::Text(name.to_owned()))]),
            edited_at: Some(Timestamp::from_secs(secs)),
            seen_at: BTreeMap::new(),
            unseen_at: BTreeMap::new(),
            covered: BTreeMap::new(),
        })
    }

    #[test]
    fn the_first_comparison_of_two_records_keeps_the_value_of_which_that_is_said() {
        use ConflictPolicy::{LastWriteWins, Manual, PreferA, PreferB};
        for (direction, conflict, stays, written) in [
            (
                Direction::AToB,
                PreferB,
                Stays::Authority(Side::A),
                Some(Side::B),
            ),
            (
                Direction::BToA,
                Manual,
                Stays::Authority(Side::B),
                Some(Side::A),
            ),
            (
                Direction::Both,
                PreferA,
                Stays::Preferred(Side::A),
                Some(Side::B),
            ),
            (
                Direction::Both,
                PreferB,
                Stays::Preferred(Side::B),
                Some(Side::A),
            ),
            (Direction::Both, LastWriteWins, Stays::Later, Some(Side::A)),
            (Direction::Both, Manual, Stays::Asked, None),
        ] {
            let policy = policy(direction, conflict);
            assert_eq!(policy.stays("name"), stays);
            let view = View {
                base: Some(&BTreeMap::new()),
                a: &record("Ann", 1),
                b: &record("Bob", 2),
                ruled: &Ruled::default(),
            };
            let sides: Vec<Side> = plan(&policy, view)
                .writes
                .iter()
                .map(|write| write.side)
                .collect();
            assert_eq!(sides, Vec::from_iter(written), "{direction:?} {conflict:?}");
        }
    }
}
