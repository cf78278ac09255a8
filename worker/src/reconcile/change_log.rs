//! What the change log says of a plan that was carried out.

use tandem_domain::{Fields, Side, Value};
use tandem_engine::{Decision, LinkFate, Plan, Settled};
use tandem_store::{Change, FieldChange, Intent, IntentState, Operation, Outcome};

use super::answered;
use super::ending;
use super::linked::Open;
use super::questions::new_questions;
use super::sending::Carried;
use crate::executor::Work;

pub(super) fn changes(
    work: Work<'_>,
    open: &Open,
    planned: &Plan,
    carried: &[Carried],
    settled: &Settled,
) -> Vec<Change> {
    let mut changes: Vec<Change> = carried
        .iter()
        .map(|one| written(work, open, planned, one, settled))
        .collect();
    changes.extend(
        open.late_intents()
            .map(|intent| seen_late(work, open, intent)),
    );
    changes.extend(
        open.unseen_intents()
            .map(|intent| never_seen(work, open, intent)),
    );
    changes.extend(
        open.overwritten
            .iter()
            .map(|edit| edit.change(work, &open.link)),
    );
    let agreed: Vec<&Decision> = planned
        .decisions
        .iter()
        .filter(|decision| decision.from.is_none())
        .collect();
    if !agreed.is_empty() && carried.is_empty() {
        let fields = agreed
            .into_iter()
            .map(|decision| field_change(open, decision))
            .collect();
        changes.push(Change {
            fields,
            ..blank(work, open, Operation::Agree)
        });
    }
    if planned.link != LinkFate::Keep {
        changes.push(Change {
            error: Some(ending::why(work, open, planned, carried)),
            ..blank(work, open, Operation::Unlink)
        });
    }
    changes.extend(answered::changes(work, open));
    if new_questions(open, planned) {
        changes.push(blank(work, open, Operation::Conflict));
    }
    changes
}

pub(super) fn blank(work: Work<'_>, open: &Open, operation: Operation) -> Change {
    let change = work.change(operation, open.link.a.id.as_ref(), open.link.b.id.as_ref());
    Change {
        link: Some(open.link.id),
        ..change
    }
}

pub(super) fn written(
    work: Work<'_>,
    open: &Open,
    planned: &Plan,
    one: &Carried,
    settled: &Settled,
) -> Change {
    let kept = !settled
        .not_kept
        .iter()
        .any(|lost| lost.side == one.intent.side);
    Change {
        written: Some(one.intent.side),
        intent: Some(one.intent.id),
        fields: decided(open, planned, &one.intent.fields),
        outcome: if kept {
            Outcome::Applied
        } else {
            Outcome::NotKept
        },
        duration_ms: one.millis,
        ..blank(work, open, one.intent.op.into())
    }
}

/// What was decided for the fields of a write.
pub(super) fn decided(open: &Open, planned: &Plan, fields: &Fields) -> Vec<FieldChange> {
    planned
        .decisions
        .iter()
        .filter(|decision| fields.contains_key(&decision.field))
        .map(|decision| field_change(open, decision))
        .collect()
}

/// Why the end of a write was not known until now.
fn why_open(intent: &Intent) -> String {
    match (intent.state, &intent.error) {
        (IntentState::Sent, Some(why)) => why.clone(),
        (IntentState::Sent, None) => {
            "the job ended before the answer to this write was taken down".to_owned()
        }
        _ => "the answer to this write was lost".to_owned(),
    }
}

pub(super) fn seen_late(work: Work<'_>, open: &Open, intent: &Intent) -> Change {
    let late = format!("{}; it was seen when read back", why_open(intent));
    let known = intent.decided.iter().map(|decided| FieldChange {
        reason: format!("{}; {late}", decided.reason),
        ..decided.clone()
    });
    let unknown = intent.fields.iter().map(|(name, value)| FieldChange {
        field: name.clone(),
        a: Value::Null,
        b: Value::Null,
        base: None,
        chosen: value.clone(),
        from: Some(intent.side.other()),
        lost: None,
        a_until: None,
        b_until: None,
        reason: late.clone(),
    });
    Change {
        written: Some(intent.side),
        intent: Some(intent.id),
        fields: if intent.decided.is_empty() {
            unknown.collect()
        } else {
            known.collect()
        },
        ..blank(work, open, intent.op.into())
    }
}

/// A write that may have stood there until somebody edited the record: what it won over is not lost from the log.
fn never_seen(work: Work<'_>, open: &Open, intent: &Intent) -> Change {
    let gone = format!("{}; it was not seen when read back", why_open(intent));
    Change {
        outcome: Outcome::Failed,
        fields: intent
            .decided
            .iter()
            .map(|decided| FieldChange {
                reason: format!("{}; {gone}", decided.reason),
                ..decided.clone()
            })
            .collect(),
        written: None,
        ..seen_late(work, open, intent)
    }
}

pub(super) fn field_change(open: &Open, decision: &Decision) -> FieldChange {
    let value = |side: Side| -> Value {
        let reading = open.pair.side(side);
        reading
            .and_then(|reading| reading.fields.get(&decision.field))
            .cloned()
            .unwrap_or_default()
    };
    FieldChange {
        field: decision.field.clone(),
        a: value(Side::A),
        b: value(Side::B),
        base: open
            .base
            .get(&decision.field)
            .map(|base| (base.a.clone(), base.b.clone())),
        chosen: decision.chosen.clone(),
        from: decision.from,
        lost: decision.lost.clone(),
        a_until: None,
        b_until: None,
        reason: why(open, decision),
    }
}

/// Why a value was chosen, and whether it puts right what an earlier write of ours has done late.
fn why(open: &Open, decision: &Decision) -> String {
    let over = open.shown.why_covered(&decision.field);
    let reason = &decision.reason;
    over.map_or_else(|| reason.clone(), |over| format!("{reason}; {over}"))
}

pub(super) fn created_fields(intent: &Intent, direct: bool) -> Vec<FieldChange> {
    let reason = if direct {
        format!("only on side {}", intent.side.other())
    } else {
        format!("{}; its effect was found and linked", why_open(intent))
    };
    let change = |(name, value): (&String, &Value)| FieldChange {
        field: name.clone(),
        a: if intent.side == Side::B {
            value.clone()
        } else {
            Value::Null
        },
        b: if intent.side == Side::A {
            value.clone()
        } else {
            Value::Null
        },
        base: None,
        chosen: value.clone(),
        from: Some(intent.side.other()),
        lost: None,
        a_until: None,
        b_until: None,
        reason: reason.clone(),
    };
    intent.fields.iter().map(change).collect()
}
