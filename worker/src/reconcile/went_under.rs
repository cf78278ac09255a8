//! What is said of edits that a write of ours without an answer went over, and that nothing puts back.

use std::collections::BTreeMap;

use tandem_domain::{BaseValue, ConflictId, Fields, RecordId, Side, Value};
use tandem_engine::{LinkFate, Plan};
use tandem_store::{
    Change, ConflictKind, IntentOp, NewConflict, Operation, ShownRecord, ShownUnder,
};

use super::change_log::{blank, field_change};
use super::linked::Open;
use super::sending::Carried;
use crate::executor::Work;

/// The lines of the change log about what a write went over, and that lost: nothing has to be written for it.
pub(super) fn lost(
    work: Work<'_>,
    open: &Open,
    planned: &Plan,
    carried: &[Carried],
) -> Vec<Change> {
    let is_written = |side: Side, field: &String| {
        let mut written = carried.iter().map(|one| &one.intent);
        written.any(|intent| intent.side == side && intent.fields.contains_key(field))
    };
    if planned.link != LinkFate::Keep {
        return Vec::new();
    }
    let told = open.shown.covered().filter_map(|(side, field, shown, _)| {
        let mut decisions = planned.decisions.iter();
        let decision = decisions.find(|one| one.field == *field);
        let loses = match decision {
            // The line of the write tells it.
            Some(decision) if decision.lost.as_ref() == Some(&shown.value) => {
                !is_written(side, field)
            }
            // A person has said that the partner counts, without having seen what our write went over.
            Some(decision) => decision.chosen != shown.value,
            None => {
                let partner = open.pair.side(side.other());
                let value = partner.and_then(|partner| partner.fields.get(field));
                let is_asked = planned.questions.iter().any(|one| one.field == *field);
                !is_asked && value.unwrap_or(&Value::Null) != &shown.value
            }
        };
        let fields = decision.map(|decision| field_change(open, decision));
        loses.then(|| Change {
            written: Some(side),
            fields: fields.into_iter().collect(),
            error: Some(format!(
                "side {side} showed `{}` in `{field}` while a write of ours to it had no answer; it is gone, and was not put back",
                shown.value
            )),
            ..blank(work, open, Operation::Overwrite)
        })
    });
    told.collect()
}

/// What is said of edits that nothing can put back, because their pair ends: a delete of ours without an answer landed on a
/// record that somebody had edited meanwhile, or a write did, and its partner is gone.
pub(super) fn ended(work: Work<'_>, open: &Open, planned: &Plan) -> Vec<(NewConflict, Change)> {
    let told = Side::BOTH.into_iter().filter_map(|side| {
        let mut late = open.late_intents();
        let is_deleted = late.any(|intent| intent.side == side && intent.op == IntentOp::Delete);
        let is_over = is_deleted || planned.link != LinkFate::Keep;
        let shown = open.shown.of_side(side).iter();
        let lost = shown.filter(|(_, one)| is_deleted || one.covered_by.is_some());
        let lost: BTreeMap<&String, &ShownUnder> = lost.filter(|_| is_over).collect();
        let record = open.link.side(side).id.clone()?;
        (!lost.is_empty()).then(|| went(work, open, (side, record), &lost, is_deleted))
    });
    told.collect()
}

/// What is said of such edits of one record.
pub(super) fn went(
    work: Work<'_>,
    open: &Open,
    (side, record): (Side, RecordId),
    lost: &BTreeMap<&String, &ShownUnder>,
    is_deleted: bool,
) -> (NewConflict, Change) {
    let connection = &work.sync.end(side).connection;
    tracing::warn!(sync = %work.sync.name, %connection, %record, "a write of ours that had no answer went over an edit of a record whose pair has ended");
    let mut fields = BaseValue::all_of(&open.link.base, side);
    let mut written = Fields::new();
    for (field, one) in lost {
        fields.insert((*field).clone(), one.value.clone());
        let ours = one.covered_by.clone().filter(|_| !is_deleted);
        written.extend(ours.map(|ours| ((*field).clone(), ours)));
    }
    let question = NewConflict {
        id: ConflictId::new(work.context.now(), work.context.entropy.as_ref()),
        sync: work.sync.name.clone(),
        link: Some(open.link.id),
        side,
        record: record.clone(),
        kind: ConflictKind::Overwritten {
            edited_at: lost.values().filter_map(|one| one.edited_at).max(),
            event: None,
            written,
            met: None,
        },
        shown: vec![ShownRecord {
            side,
            id: record,
            fields,
        }],
    };
    let values: Vec<String> = lost
        .iter()
        .map(|(field, one)| format!("{field}: `{}`", one.value))
        .collect();
    let values = values.join(", ");
    let why = if is_deleted {
        format!(
            "side {side} was edited ({values}) after our delete had gone out, and before it landed; the edit is gone with the record"
        )
    } else {
        format!(
            "side {side} was edited ({values}) while a write of ours to it had no answer, which went over it when it landed; the pair has ended, so it was not put back"
        )
    };
    let change = Change {
        error: Some(why),
        ..blank(work, open, Operation::Overwrite)
    };
    (question, change)
}
