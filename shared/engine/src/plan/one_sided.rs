//! A record that one side does not have: it is made there, or it is gone from there.

use std::collections::BTreeMap;

use tandem_domain::{BaseValue, Fields, Side};

use super::field::given;
use super::{
    Decision, Gone, LinkFate, NO_VALUE, Plan, PlannedWrite, Presence, Ruled, Snapshot, View,
    WriteOp,
};
use crate::equality::same;
use crate::policy::{DeletePolicy, SyncPolicy};

pub(super) fn create(
    policy: &SyncPolicy,
    ruled: &Ruled,
    side: Side,
    source: &Snapshot,
    reason: &str,
) -> Plan {
    if !policy.creates.on(side) {
        return Plan::nothing(LinkFate::Retire);
    }
    let mut plan = Plan::nothing(LinkFate::Keep);
    let mut fields = Fields::new();
    for rule in policy
        .fields
        .iter()
        .filter(|rule| rule.direction.writes(side))
    {
        let operators = ruled.values.get(&rule.name);
        let own = source.fields.get(&rule.name).unwrap_or(&NO_VALUE);
        let value = operators.unwrap_or(own);
        if value.is_null() {
            continue;
        }
        fields.insert(rule.name.clone(), value.clone());
        if operators.is_some() {
            plan.decisions.push(given(rule, value));
            continue;
        }
        plan.decisions.push(Decision {
            field: rule.name.clone(),
            chosen: value.clone(),
            from: Some(side.other()),
            lost: None,
            reason: reason.to_owned(),
        });
    }
    plan.writes.push(PlannedWrite {
        side,
        op: WriteOp::Create,
        fields,
    });
    plan.writes.extend(put_back(policy, side.other(), source));
    plan
}

/// What a late write of ours went over is put back also where the partner is made again.
fn put_back(policy: &SyncPolicy, side: Side, record: &Snapshot) -> Option<PlannedWrite> {
    let rules = policy.fields.iter();
    let held = rules.filter_map(|rule| {
        let held = record.fields.get(&rule.name).unwrap_or(&NO_VALUE);
        let stands = record.stands(&rule.name)?;
        let is_covered = rule.direction.writes(side) && !same(rule.equality, stands, held);
        is_covered.then(|| (rule.name.clone(), held.clone()))
    });
    let fields: Fields = held.collect();
    (!fields.is_empty()).then_some(PlannedWrite {
        side,
        op: WriteOp::Update,
        fields,
    })
}

/// `gone` is the side whose record is gone; `rest` is the other record.
pub(super) fn one_gone(policy: &SyncPolicy, view: View<'_>, gone: Side, rest: &Snapshot) -> Plan {
    let presence = match gone {
        Side::A => view.a,
        Side::B => view.b,
    };
    let is_deleted = *presence == Presence::Gone(Gone::Deleted);
    // An archived record is still there: making another beside it would double it.
    if let Some(why) = &view.ruled.taken_by_us
        && is_deleted
        && policy.creates.on(gone)
    {
        return create(policy, view.ruled, gone, rest, why);
    }
    match policy.deletes.when_gone(gone) {
        DeletePolicy::Ignore => Plan::nothing(LinkFate::Retire),
        DeletePolicy::Unlink => Plan::nothing(LinkFate::Dissolve),
        DeletePolicy::Propagate => propagate(policy, view, gone, is_deleted, rest),
    }
}

/// A delete is carried over only where the pair is known to have agreed, and the remaining record is as it was then.
fn propagate(
    policy: &SyncPolicy,
    view: View<'_>,
    gone: Side,
    is_deleted: bool,
    rest: &Snapshot,
) -> Plan {
    let delete = |held: Option<String>| Plan {
        writes: vec![PlannedWrite {
            side: gone.other(),
            op: WriteOp::Delete,
            fields: Fields::new(),
        }],
        held,
        ..Plan::nothing(LinkFate::Retire)
    };
    if let Some(why) = &view.ruled.taken_by_us {
        return delete(Some(why.clone()));
    }
    match since_agreed(policy, view.base, gone.other(), rest) {
        Since::Unedited => delete(None),
        Since::NeverAgreed(what) => delete(Some(what)),
        // An archived record is still there: making another beside it would double it.
        Since::Edited(fields) if !is_deleted => delete(Some(format!(
            "the record that is left was edited since both agreed ({})",
            fields.join(", ")
        ))),
        Since::Edited(_) => create(
            policy,
            view.ruled,
            gone,
            rest,
            "deleted on one side, edited on the other: the edit wins",
        ),
    }
}

/// How a record stands against what both sides last agreed on.
enum Since {
    /// As it was.
    Unedited,
    /// These fields have changed.
    Edited(Vec<String>),
    /// It is not known that both ever agreed; in what, in words.
    NeverAgreed(String),
}

fn since_agreed(
    policy: &SyncPolicy,
    base: Option<&BTreeMap<String, BaseValue>>,
    side: Side,
    record: &Snapshot,
) -> Since {
    let Some(base) = base.filter(|base| !base.is_empty()) else {
        return Since::NeverAgreed("the two records were never seen to agree".to_owned());
    };
    let (mut edited, mut unknown) = (Vec::new(), Vec::new());
    for rule in &policy.fields {
        let value = record.fields.get(&rule.name).unwrap_or(&NO_VALUE);
        match base.get(&rule.name) {
            Some(base) if same(rule.equality, base.side(side), value) => {}
            Some(_) => edited.push(rule.name.clone()),
            None if value.is_null() => {}
            None => unknown.push(rule.name.clone()),
        }
    }
    if !edited.is_empty() {
        return Since::Edited(edited);
    }
    if unknown.is_empty() {
        return Since::Unedited;
    }
    Since::NeverAgreed(format!(
        "both sides were never seen to agree in {}",
        unknown.join(", ")
    ))
}
