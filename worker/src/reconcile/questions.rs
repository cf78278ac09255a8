//! What only a person can decide about a pair.

use std::collections::BTreeMap;

use tandem_domain::{BaseValue, ConflictId, Fields, LinkId, RecordId, Side};
use tandem_engine::{LinkFate, NotKept, Plan};
use tandem_store::{ConflictKind, NewConflict, QuestionKind, ShownRecord};

use super::answered::{self, Outdated};
use super::linked::Open;
use crate::executor::{Work, shows_field};

pub(super) fn question(
    work: Work<'_>,
    open: &Open,
    side: Side,
    record: RecordId,
    kind: ConflictKind,
) -> NewConflict {
    NewConflict {
        id: ConflictId::new(work.context.now(), work.context.entropy.as_ref()),
        sync: work.sync.name.clone(),
        link: Some(open.link.id),
        side,
        record,
        kind,
        shown: both_shown(open),
    }
}

fn both_shown(open: &Open) -> Vec<ShownRecord> {
    Side::BOTH
        .into_iter()
        .filter_map(|side| shown(open, side))
        .collect()
}

/// A record of the pair as it stands; of one that is gone, what was last agreed on.
fn shown(open: &Open, side: Side) -> Option<ShownRecord> {
    if let Some(reading) = open.pair.side(side) {
        return Some(reading.shown(side));
    }
    let id = open.link.side(side).id.clone()?;
    Some(shown_as_agreed(id, side, &open.base))
}

/// A record that is gone, with what both sides last agreed on.
pub(super) fn shown_as_agreed(
    id: RecordId,
    side: Side,
    base: &BTreeMap<String, BaseValue>,
) -> ShownRecord {
    ShownRecord {
        side,
        id,
        fields: BaseValue::all_of(base, side),
    }
}

pub(super) fn new_questions(open: &Open, planned: &Plan) -> bool {
    let is_asked = |field: &String| {
        let mut fields = open.context.open_fields.iter();
        let is_open =
            fields.any(|asked| asked.kind == QuestionKind::Field && asked.field == *field);
        let mut anew = open.outdated.iter().flat_map(Outdated::fields);
        is_open || anew.any(|asked| asked == field)
    };
    let mut questions = planned.questions.iter();
    questions.any(|question| !is_asked(&question.field))
}

pub(super) fn conflicts(
    work: Work<'_>,
    open: &Open,
    planned: &Plan,
    not_kept: &[NotKept],
) -> Vec<NewConflict> {
    let record = |side: Side| open.link.side(side).id.clone();
    let again = |field: &str| {
        let mut open = open.context.open_fields.iter();
        open.find(|open| open.field == *field)
            .and_then(|open| open.again.clone())
    };
    // Those that are asked anew come last: they say why.
    let asked = planned.questions.iter().filter_map(|asked| {
        let kind = ConflictKind::Field {
            field: asked.field.clone(),
            a: asked.a.clone(),
            b: asked.b.clone(),
            again: again(&asked.field),
        };
        Some(question(work, open, Side::A, record(Side::A)?, kind))
    });
    let not_kept = not_kept
        .iter()
        .chain(&open.not_kept)
        .cloned()
        .chain(late(work, open));
    // What a record of a pair that is dissolved keeps of our values is asked about when it has its new partner.
    let is_held = planned.link != LinkFate::Dissolve;
    let not_kept = not_kept.filter(|_| is_held).filter_map(|lost| {
        let record = record(lost.side)?;
        let shown = both_shown(open);
        let question = not_kept_question(work, open.link.id, record, (lost, Fields::new()), shown);
        Some(question)
    });
    let overwritten = open
        .overwritten
        .iter()
        .map(|edit| edit.question(work, &open.link, both_shown(open)));
    let anew = answered::questions(work, open);
    let anew = anew.into_iter().filter(|_| is_held);
    asked
        .chain(not_kept)
        .chain(overwritten)
        .chain(anew)
        .collect()
}

/// A value that a system took and did not keep is asked about once, and counted.
pub(super) fn not_kept_question(
    work: Work<'_>,
    link: LinkId,
    record: RecordId,
    (lost, beside): (NotKept, Fields),
    shown: Vec<ShownRecord>,
) -> NewConflict {
    let labels = [
        ("sync", work.sync.name.to_string()),
        ("field", lost.field.clone()),
    ];
    metrics::counter!("tandem_values_not_kept_total", &labels).increment(1);
    NewConflict {
        id: ConflictId::new(work.context.now(), work.context.entropy.as_ref()),
        sync: work.sync.name.clone(),
        link: Some(link),
        side: lost.side,
        record,
        kind: ConflictKind::NotKept {
            field: lost.field,
            sent: lost.sent,
            kept: lost.kept,
            beside,
        },
        shown,
    }
}

/// Values that a system did not keep of writes of which only now is known that they took effect.
fn late(work: Work<'_>, open: &Open) -> Vec<NotKept> {
    let mut lost = Vec::new();
    for intent in open.late_intents() {
        let Some(reading) = open.pair.side(intent.side) else {
            continue;
        };
        for (field, sent) in &intent.fields {
            // What does not stand there because of the write is planned anew, or is somebody's edit.
            let base = open.base.get(field).filter(|base| {
                let was_known = open.link.base.get(field) == Some(*base);
                !was_known && base.side(intent.side.other()) == sent
            });
            let is_ours = base.is_some();
            if is_ours && !shows_field(work.sync, field, sent, &reading.fields) {
                lost.push(NotKept {
                    side: intent.side,
                    field: field.clone(),
                    sent: sent.clone(),
                    kept: reading.fields.get(field).cloned().unwrap_or_default(),
                });
            }
        }
    }
    lost
}
