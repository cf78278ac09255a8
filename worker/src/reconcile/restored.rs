//! A pair one of whose records is out of date because its system was set back, and of which a person said that the partner
//! counts: the record gets the values of its partner.

use std::collections::{BTreeMap, BTreeSet};

use tandem_domain::{BaseValue, Side, Timestamp};
use tandem_engine::{Direction, FieldRule, Gone, Presence, Snapshot, SyncPolicy};
use tandem_store::{ConflictState, Link, PairContext, QuestionKind, Resolution};

use super::changed::changed;
use super::pair::Pair;
use super::set_back;
use crate::executor::Work;
use crate::failure::WorkError;
use crate::readings::Reading;

/// What is said of fields before they are planned.
#[derive(Default)]
pub(super) struct Chosen {
    /// The side whose value is right.
    pub(super) fields: BTreeMap<String, Side>,
    /// A person is to say which is.
    pub(super) asked: BTreeSet<String>,
    /// Why a late delete of ours may be what took the record that is gone, in words.
    pub(super) taken_by_us: Option<String>,
}

impl Chosen {
    /// The partner of a record that was set back has the value. Where that cannot be written to the record, the one of before
    /// is neither written over the partner's nor taken for agreed.
    fn choose_partner(&mut self, rule: &FieldRule, side: Side) {
        if rule.direction.writes(side) {
            self.fields.insert(rule.name.clone(), side.other());
        } else {
            self.asked.insert(rule.name.clone());
        }
    }

    /// As a person has said of a system that was set back, for records that were linked after that, by their keys: what they
    /// hold was never agreed on, and the import that made one of them is later than any edit of the other. What the partner
    /// lacks is not emptied, and what people typed since it was asked was not set back.
    pub(super) async fn at_first_sight(
        &mut self,
        work: Work<'_>,
        link: &Link,
        pair: &Pair,
    ) -> Result<(), WorkError> {
        let rules = work.sync.policy.fields.iter();
        let new: Vec<&FieldRule> = rules
            .filter(|rule| !link.base.contains_key(&rule.name))
            .collect();
        if new.is_empty() {
            return Ok(());
        }
        for side in Side::BOTH {
            let asked = set_back::asked(work.store(), work.sync, side).await?;
            let is_taken = asked.is_some_and(|asked| {
                let takes = matches!(asked.resolution, Some(Resolution::Take { .. }));
                takes
                    && asked.state == ConflictState::Answered
                    && link.id.made_at() >= asked.created_at
                    && !is_typed_since(work, pair, side, asked.created_at)
            });
            let Some(partner) = pair.side(side.other()).filter(|_| is_taken) else {
                continue;
            };
            let has_value = |rule: &&&FieldRule| {
                let value = partner.fields.get(&rule.name);
                value.is_some_and(|value| !value.is_null())
            };
            for rule in new.iter().filter(has_value) {
                self.choose_partner(rule, side);
            }
        }
        Ok(())
    }

    /// What is asked about a field that flows one way stays asked: the plan alone would write the older value. So does what
    /// a person has answered for other values.
    pub(super) fn ask_still(&mut self, work: Work<'_>, context: &PairContext) {
        let fields = context.open_fields.iter();
        let fields = fields.filter(|open| open.kind == QuestionKind::Field);
        let policy = &work.sync.policy;
        let stays = fields.filter(|open| stays_asked(policy, &open.field, open.again.is_some()));
        self.asked.extend(stays.map(|open| open.field.clone()));
    }
}

/// Whether an open question about a field stays open whatever a plan says without it.
pub fn stays_asked(policy: &SyncPolicy, field: &str, was_answered: bool) -> bool {
    let rule = policy.rule(field);
    was_answered || rule.is_some_and(|rule| rule.direction != Direction::Both)
}

/// Whether somebody changed the record of a side after it was asked whether the side was set back.
fn is_typed_since(work: Work<'_>, pair: &Pair, side: Side, asked_at: Timestamp) -> bool {
    let changed = changed(work, side, pair.side(side));
    changed.is_some_and(|changed| changed.latest > asked_at)
}

/// The values of the partner, in every field that can be written.
pub(super) fn chosen(work: Work<'_>, side: Side) -> Chosen {
    let mut chosen = Chosen::default();
    for rule in &work.sync.policy.fields {
        chosen.choose_partner(rule, side);
    }
    chosen
}

/// Whether the record of `side` is there and out of use, while its partner is in use.
pub(super) fn is_out_of_use(pair: &Pair, side: Side) -> bool {
    let gone = |side: Side| pair.side(side).map(|reading| reading.counts_as_gone);
    gone(side) == Some(true) && gone(side.other()) == Some(false)
}

/// Both sides as the engine is to look at them, where the record of `side` is the one that was set back.
pub(super) fn presences(link: &Link, pair: &Pair, side: Side) -> [Presence; 2] {
    Side::BOTH.map(|one| {
        if one == side {
            set_back(link, pair, side)
        } else {
            let partner = pair.side(one);
            partner.map_or(Presence::Gone(Gone::Deleted), Reading::presence)
        }
    })
}

fn set_back(link: &Link, pair: &Pair, side: Side) -> Presence {
    let is_partner_here = pair
        .side(side.other())
        .is_some_and(|partner| !partner.counts_as_gone);
    let Some(reading) = pair.side(side) else {
        return Presence::Gone(Gone::Deleted);
    };
    if is_partner_here || reading.counts_as_gone {
        return reading.presence();
    }
    // Its partner was deleted: what it shows beside what both agreed on is no edit.
    let mut fields = reading.fields.clone();
    fields.extend(BaseValue::all_of(&link.base, side));
    Presence::Here(Snapshot {
        fields,
        edited_at: None,
        unseen_at: BTreeMap::new(),
        seen_at: BTreeMap::new(),
        covered: BTreeMap::new(),
    })
}
