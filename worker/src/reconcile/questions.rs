//! What only a person can decide about a pair.

use tandem_domain::{ConflictId, RecordId, Side};
use tandem_engine::{Plan, Settled};
use tandem_store::{ConflictKind, NewConflict, ShownRecord};

use super::linked::Open;
use crate::executor::Work;

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
        shown: Side::BOTH
            .into_iter()
            .filter_map(|side| shown(open, side))
            .collect(),
    }
}

/// A record of the pair as it stands; of one that is gone, what was last agreed on.
fn shown(open: &Open, side: Side) -> Option<ShownRecord> {
    if let Some(reading) = open.pair.side(side) {
        return Some(reading.shown(side));
    }
    let agreed = open
        .base
        .iter()
        .map(|(name, base)| (name.clone(), base.side(side).clone()));
    Some(ShownRecord {
        side,
        id: open.link.side(side).id.clone()?,
        fields: agreed.collect(),
    })
}

pub(super) fn new_questions(open: &Open, planned: &Plan) -> bool {
    planned
        .questions
        .iter()
        .any(|question| !open.context.open_conflict_fields.contains(&question.field))
}

pub(super) fn conflicts(
    work: Work<'_>,
    open: &Open,
    planned: &Plan,
    settled: &Settled,
) -> Vec<NewConflict> {
    let record = |side: Side| open.link.side(side).id.clone();
    let asked = planned.questions.iter().filter_map(|asked| {
        let kind = ConflictKind::Field {
            field: asked.field.clone(),
            a: asked.a.clone(),
            b: asked.b.clone(),
        };
        Some(question(work, open, Side::A, record(Side::A)?, kind))
    });
    let lost = settled.not_kept.iter().filter_map(|lost| {
        let kind = ConflictKind::NotKept {
            field: lost.field.clone(),
            sent: lost.sent.clone(),
            kept: lost.kept.clone(),
        };
        Some(question(work, open, lost.side, record(lost.side)?, kind))
    });
    asked.chain(lost).collect()
}
