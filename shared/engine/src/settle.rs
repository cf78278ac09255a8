//! What both sides are known to hold once a plan was carried out: the new base.
//!
//! The base may only move to values that were seen *and decided upon*. A person can edit a record
//! between our reading and our reading back; if the base took over what was read back, that edit
//! would never be seen as one. So fields that were not written keep the value of the first reading,
//! and a written field that reads back as something else counts as an edit, unless the answer to the
//! write itself said that this is how it is stored.

use std::collections::BTreeMap;

use tandem_domain::{BaseValue, Fields, Side, Value};

use crate::equality::same;
use crate::plan::Plan;
use crate::policy::{FieldRule, SyncPolicy};

/// What happened on one side.
#[derive(Clone, Copy, Debug, Default)]
pub struct SideResult<'a> {
    /// The mapped fields at the first reading; `None` when there was no record.
    pub before: Option<&'a Fields>,
    /// The mapped fields that were written; `None` when nothing was.
    pub sent: Option<&'a Fields>,
    /// The mapped fields as read back.
    pub after: Option<&'a Fields>,
    /// Whether `after` came with the answer to the write, so that nobody can have edited in between.
    pub atomic: bool,
}

/// A value that a system took and did not keep.
#[derive(Clone, Debug, PartialEq)]
pub struct NotKept {
    /// The side.
    pub side: Side,
    /// The mapped field.
    pub field: String,
    /// What was written.
    pub sent: Value,
    /// What the system has.
    pub kept: Value,
}

/// The state after a plan.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settled {
    /// The new base.
    pub base: BTreeMap<String, BaseValue>,
    /// What side a is known to hold; its checksum tells an echo from an edit.
    pub known_a: Fields,
    /// What side b is known to hold.
    pub known_b: Fields,
    /// Values that were not kept.
    pub not_kept: Vec<NotKept>,
    /// Whether something read back differs from what is known: plan again.
    pub moved: bool,
}

/// Works out the new base.
#[must_use]
pub fn settle(
    policy: &SyncPolicy,
    old: Option<&BTreeMap<String, BaseValue>>,
    plan: &Plan,
    a: SideResult<'_>,
    b: SideResult<'_>,
) -> Settled {
    let mut settled = Settled::default();
    for rule in &policy.fields {
        let name = &rule.name;
        let known_a = known(rule, Side::A, a, &mut settled);
        let known_b = known(rule, Side::B, b, &mut settled);
        if plan
            .questions
            .iter()
            .any(|question| question.field == *name)
        {
            if let Some(base) = old.and_then(|old| old.get(name)) {
                settled.base.insert(name.clone(), base.clone());
            }
        } else {
            settled.base.insert(
                name.clone(),
                BaseValue {
                    a: known_a.clone(),
                    b: known_b.clone(),
                },
            );
        }
        settled.known_a.insert(name.clone(), known_a);
        settled.known_b.insert(name.clone(), known_b);
    }
    settled
}

/// The value that a side is known to have in one field.
fn known(rule: &FieldRule, side: Side, result: SideResult<'_>, settled: &mut Settled) -> Value {
    let value_in = |fields: Option<&Fields>| -> Value {
        fields
            .and_then(|fields| fields.get(&rule.name))
            .cloned()
            .unwrap_or_default()
    };
    let before = value_in(result.before);
    let Some(after) = result.after.map(|after| value_in(Some(after))) else {
        return before;
    };
    let Some(sent) = result.sent.and_then(|sent| sent.get(&rule.name)).cloned() else {
        settled.moved |= !same(rule.equality, &after, &before);
        return before;
    };
    if same(rule.equality, &after, &sent) {
        return after;
    }
    if same(rule.equality, &after, &before) {
        settled.not_kept.push(NotKept {
            side,
            field: rule.name.clone(),
            sent,
            kept: after.clone(),
        });
        return after;
    }
    if result.atomic {
        return after;
    }
    settled.moved = true;
    sent
}
