//! The three-way plan of one pair: what to write where, so that both sides agree and no edit is lost.
//!
//! Each side is compared with the base, never with the other's clock. The truth table, per field
//! (· unchanged against the base, ∆ changed, ✕ record gone):
//!
//! | A | B | plan |
//! | --- | --- | --- |
//! | · | · | nothing |
//! | ∆ | · | write B |
//! | · | ∆ | write A |
//! | ∆ | ∆ equal | agree: move the base |
//! | ∆ | ∆ other | the field's conflict policy |
//! | ✕ | · | the delete policy |
//! | ✕ | ∆ | make A again from B: an edit beats a delete |
//! | ✕ by a late delete of ours | any | make A again from B; where that cannot be, ask before B is deleted |
//! | covered by a late write of ours | any | as what A held before; A is written too, where that stands |

mod field;
mod one_sided;

use std::collections::{BTreeMap, BTreeSet};

use field::{FieldView, Verdict, decide};
use one_sided::{create, one_gone};
use tandem_domain::{BaseValue, Fields, Side, Timestamp, Value};

use crate::equality::same;
use crate::policy::SyncPolicy;

/// A record as just read, in mapped fields.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// Its mapped fields.
    pub fields: Fields,
    /// When it was last edited, corrected to our clock; `None` where the system does not say.
    pub edited_at: Option<Timestamp>,
    /// By field, when the value that it has was there already, where that is known: it was typed no later.
    pub seen_at: BTreeMap<String, Timestamp>,
    /// By field, when another value was there still, where that is known: the one that it has was typed no sooner.
    pub unseen_at: BTreeMap<String, Timestamp>,
    /// By field, where an earlier write of ours landed late over what `fields` says that the record held.
    pub covered: BTreeMap<String, Covered>,
}

/// A value that an earlier write of ours went over when it landed late.
#[derive(Clone, Debug, PartialEq)]
pub struct Covered {
    /// What stands there now, which nobody typed.
    pub stands: Value,
    /// When somebody typed what it went over, where that is known.
    pub edited_at: Option<Timestamp>,
}

impl Snapshot {
    /// When the value of a field was typed, as nearly as that is known.
    fn field_edited_at(&self, field: &str) -> Option<Timestamp> {
        if let Some(covered) = self.covered.get(field) {
            return covered.edited_at;
        }
        let unseen = self.unseen_at.get(field).copied();
        let edited = self.edited_at.max(unseen)?;
        let seen = self.seen_at.get(field);
        Some(seen.map_or(edited, |seen| edited.min(*seen)))
    }

    /// What stands in a field, where that is not what it is taken to hold.
    fn stands(&self, field: &str) -> Option<&Value> {
        self.covered.get(field).map(|covered| &covered.stands)
    }
}

/// What there is on one side.
#[derive(Clone, Debug, PartialEq)]
pub enum Presence {
    /// There was never a record of this pair here.
    Never,
    /// There was one, and the system says for certain that it is gone or archived.
    Gone(Gone),
    /// This record.
    Here(Snapshot),
}

/// How a record is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// It cannot be read any more.
    Deleted,
    /// It is out of use; it cannot be told from a delete by its partner.
    Archived,
}

/// What was decided before.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ruled {
    /// By field, the side whose value is right: a person's answer to a question that an earlier plan asked.
    pub fields: BTreeMap<String, Side>,
    /// Fields of which a person is to say which value is right, whatever the policy says, where a side has changed.
    pub asked: BTreeSet<String>,
    /// By field, a value that a person wants on both sides, whatever they hold.
    pub values: BTreeMap<String, Value>,
    /// By field, who won a contest in a plan that may not have been carried out to its end.
    pub contests: BTreeMap<String, Contest>,
    /// Why a late delete of ours may be what took the record that is gone, in words: then nobody has deleted it.
    pub taken_by_us: Option<String>,
}

/// A contest that an earlier plan has decided. Between the same values it is not decided anew: our own writes may have
/// moved the times since.
#[derive(Clone, Debug, PartialEq)]
pub struct Contest {
    /// The value on side a.
    pub a: Value,
    /// The value on side b.
    pub b: Value,
    /// The side that won.
    pub winner: Side,
    /// Why, in words.
    pub reason: String,
}

/// Everything that a plan looks at.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The base; `None` when the records are not linked.
    pub base: Option<&'a BTreeMap<String, BaseValue>>,
    /// Side a.
    pub a: &'a Presence,
    /// Side b.
    pub b: &'a Presence,
    /// Answers.
    pub ruled: &'a Ruled,
}

/// What a write does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteOp {
    /// Makes the record.
    Create,
    /// Changes fields of it.
    Update,
    /// Deletes or archives it.
    Delete,
}

/// One write to one side.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedWrite {
    /// The side written.
    pub side: Side,
    /// What is done.
    pub op: WriteOp,
    /// The mapped fields to write.
    pub fields: Fields,
}

/// Why a field is written, or not.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The mapped field.
    pub field: String,
    /// The value that both are to have.
    pub chosen: Value,
    /// The side that it comes from; `None` when both had it.
    pub from: Option<Side>,
    /// The value that lost, when both sides had changed.
    pub lost: Option<Value>,
    /// Why, in words.
    pub reason: String,
}

/// A field that a person must decide.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldQuestion {
    /// The mapped field.
    pub field: String,
    /// The value on side a.
    pub a: Value,
    /// The value on side b.
    pub b: Value,
}

/// What becomes of the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkFate {
    /// It stays, or is made.
    Keep,
    /// It is retired: the remaining record is left alone from now on.
    Retire,
    /// It is dissolved: the remaining record is then without a partner.
    Dissolve,
}

/// What to do with a pair.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// At most one write a side.
    pub writes: Vec<PlannedWrite>,
    /// What was decided for fields that are written, agreed or contested; unchanged ones are absent.
    pub decisions: Vec<Decision>,
    /// Fields that a person must decide; neither side is written.
    pub questions: Vec<FieldQuestion>,
    /// Why a person must approve the delete among the writes before it is carried out, in words.
    pub held: Option<String>,
    /// What becomes of the link.
    pub link: LinkFate,
}

impl Plan {
    /// Whether both sides agree, and nothing has to be written, asked, or moved.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
            && self.decisions.is_empty()
            && self.questions.is_empty()
            && self.link == LinkFate::Keep
    }

    /// A plan that leaves everything as it is.
    #[must_use]
    pub const fn keep() -> Self {
        Self::nothing(LinkFate::Keep)
    }

    /// A plan that only says what becomes of the link.
    #[must_use]
    pub const fn nothing(link: LinkFate) -> Self {
        Self {
            writes: Vec::new(),
            decisions: Vec::new(),
            questions: Vec::new(),
            held: None,
            link,
        }
    }

    /// The write to `side`, if there is one.
    #[must_use]
    pub fn write_to(&self, side: Side) -> Option<&PlannedWrite> {
        self.writes.iter().find(|write| write.side == side)
    }
}

/// Plans one pair. Deterministic; a plan made after this one was carried out is empty.
#[must_use]
pub fn plan(policy: &SyncPolicy, view: View<'_>) -> Plan {
    match (view.a, view.b) {
        (Presence::Here(a), Presence::Here(b)) => merge(policy, view, a, b),
        (Presence::Here(a), Presence::Never) => {
            create(policy, view.ruled, Side::B, a, "only on side a")
        }
        (Presence::Never, Presence::Here(b)) => {
            create(policy, view.ruled, Side::A, b, "only on side b")
        }
        (Presence::Here(a), Presence::Gone(_)) => one_gone(policy, view, Side::B, a),
        (Presence::Gone(_), Presence::Here(b)) => one_gone(policy, view, Side::A, b),
        (Presence::Never | Presence::Gone(_), Presence::Never | Presence::Gone(_)) => {
            Plan::nothing(LinkFate::Retire)
        }
    }
}

fn merge(policy: &SyncPolicy, view: View<'_>, a: &Snapshot, b: &Snapshot) -> Plan {
    let mut plan = Plan::nothing(LinkFate::Keep);
    let mut to_a = Fields::new();
    let mut to_b = Fields::new();
    for rule in &policy.fields {
        let field = FieldView::new(rule, view, a, b);
        match decide(policy, &field) {
            Verdict::Unchanged => {}
            Verdict::Ask => plan.questions.push(field.question()),
            Verdict::PutBack(decision, side) => {
                let fields = match side {
                    Side::A => &mut to_a,
                    Side::B => &mut to_b,
                };
                if rule.direction.writes(side) {
                    fields.insert(rule.name.clone(), decision.chosen.clone());
                }
                plan.decisions.push(decision);
            }
            Verdict::Settle(decision) => {
                for (side, snapshot, fields) in [(Side::A, a, &mut to_a), (Side::B, b, &mut to_b)] {
                    let stands = snapshot.stands(&rule.name).unwrap_or(field.value(side));
                    if !same(rule.equality, stands, &decision.chosen) && rule.direction.writes(side)
                    {
                        fields.insert(rule.name.clone(), decision.chosen.clone());
                    }
                }
                plan.decisions.push(decision);
            }
        }
    }
    for (side, fields) in [(Side::A, to_a), (Side::B, to_b)] {
        if !fields.is_empty() {
            plan.writes.push(PlannedWrite {
                side,
                op: WriteOp::Update,
                fields,
            });
        }
    }
    plan
}

static NO_VALUE: Value = Value::Null;
