//! Links a record that a create of ours made with the record that it was made from.

use std::collections::BTreeMap;

use tandem_domain::{BaseValue, ConflictId, Fields, LinkId, Side, checksum};
use tandem_store::{
    Confirmation, Intent, IntentState, IntentVerdict, JobOutcome, Link, LinkUpdate, NewLink,
    Operation, SideState, Waiting,
};

use super::change_log::created_fields;
use crate::executor::{Work, both};
use crate::failure::WorkError;
use crate::jobs::Performed;
use crate::readings::Reading;

/// The record that a create carried over, when it was just read.
pub(super) struct Source<'a> {
    pub(super) reading: &'a Reading,
    pub(super) used_rulings: Vec<ConflictId>,
    pub(super) millis: u64,
}

/// Links a created record with its source. The base is what was sent: what either side holds beyond
/// that is an edit, which the next plan, in the link's own lane, sees as one.
pub(super) async fn link_created(
    work: Work<'_>,
    intent: &Intent,
    created: &Reading,
    source: Option<Source<'_>>,
) -> Result<Performed, WorkError> {
    let now = work.context.now();
    let fresh = source.as_ref().map(|source| source.reading);
    let (source_known, target_known) = known(work, intent, created, fresh);
    // What an operator gave is still to be written to the source.
    let is_edited = !work.claimed.job.edits.is_empty();
    let settled =
        fresh.is_some() && !is_edited && checksum(&created.fields) == checksum(&target_known);
    let (here, there) = (intent.source.as_ref(), Some(&created.record.id));
    let (a, b) = both(intent.side.other(), here, there);
    let source_state = match fresh {
        Some(reading) => reading.side_state(&source_known),
        None => SideState {
            id: intent.source.clone(),
            ..SideState::default()
        },
    };
    let target_state = created.side_state(&target_known);
    let (state_a, state_b) = match intent.side {
        Side::A => (target_state, source_state),
        Side::B => (source_state, target_state),
    };
    let link = NewLink {
        id: LinkId::new(now, work.context.entropy.as_ref()),
        sync: work.sync.name.clone(),
        a: state_a,
        b: state_b,
        base: base(intent.side, &source_known, &target_known),
    };
    let mut change = work.change(Operation::Create, a, b);
    change.link = Some(link.id);
    change.written = Some(intent.side);
    change.intent = Some(intent.id);
    change.fields = created_fields(intent, fresh.is_some());
    change.duration_ms = source.as_ref().map_or(0, |source| source.millis);
    let mut seen = vec![(intent.side, created.indexed(work.sync))];
    seen.extend(fresh.map(|reading| (intent.side.other(), reading.indexed(work.sync))));
    let confirmation = Confirmation {
        verdicts: vec![confirmed(intent, created)],
        link: Some(LinkUpdate::Insert(link)),
        seen,
        changes: vec![change],
        used_rulings: source.map(|source| source.used_rulings).unwrap_or_default(),
        outcome: Some(if settled {
            JobOutcome::Done {
                note: format!("created {}", intent.side),
            }
        } else {
            JobOutcome::Snooze {
                run_at: now,
                failure: None,
                reason: Waiting::Progress,
            }
        }),
        ..Confirmation::default()
    };
    work.confirm(confirmation).await
}

pub(super) fn confirmed(intent: &Intent, created: &Reading) -> IntentVerdict {
    IntentVerdict {
        intent: intent.id,
        state: IntentState::Confirmed,
        target: Some(created.record.id.clone()),
        error: None,
    }
}

/// What source and created record are known to hold. When the source was read just before the send
/// that made the record, all its fields are known; otherwise only those that were sent.
pub(super) fn known(
    work: Work<'_>,
    intent: &Intent,
    created: &Reading,
    fresh: Option<&Reading>,
) -> (Fields, Fields) {
    let source = fresh.map_or_else(|| intent.fields.clone(), |reading| reading.fields.clone());
    let target = work
        .sync
        .policy
        .fields
        .iter()
        .map(|rule| {
            let sent = intent.fields.get(&rule.name).cloned().unwrap_or_default();
            let stored = created.fields.get(&rule.name).cloned().unwrap_or_default();
            let kept = tandem_engine::same(rule.equality, &sent, &stored);
            (rule.name.clone(), if kept { stored } else { sent })
        })
        .collect();
    (source, target)
}

pub(super) fn base(
    target_side: Side,
    source: &Fields,
    target: &Fields,
) -> BTreeMap<String, BaseValue> {
    target
        .iter()
        .map(|(name, value)| {
            let source = source.get(name).cloned().unwrap_or_default();
            let base = match target_side {
                Side::A => BaseValue {
                    a: value.clone(),
                    b: source,
                },
                Side::B => BaseValue {
                    a: source,
                    b: value.clone(),
                },
            };
            (name.clone(), base)
        })
        .collect()
}

/// The effect of making again, for an existing link, a record that was deleted.
pub(super) async fn relink(
    work: Work<'_>,
    intent: &Intent,
    created: &Reading,
    link: &Link,
) -> Result<Performed, WorkError> {
    let (_, target_known) = known(work, intent, created, None);
    let state = created.side_state(&target_known);
    let (a, b) = match intent.side {
        Side::A => (state, link.b.clone()),
        Side::B => (link.a.clone(), state),
    };
    let mut change = work.change(Operation::Create, a.id.as_ref(), b.id.as_ref());
    change.link = Some(link.id);
    change.written = Some(intent.side);
    change.intent = Some(intent.id);
    change.fields = created_fields(intent, false);
    let confirmation = Confirmation {
        verdicts: vec![confirmed(intent, created)],
        link: Some(LinkUpdate::Update {
            id: link.id,
            expected_revision: link.revision,
            a,
            b,
            base: base(intent.side, &intent.fields, &target_known),
            state: link.state,
        }),
        seen: vec![(intent.side, created.indexed(work.sync))],
        changes: vec![change],
        outcome: Some(JobOutcome::Snooze {
            run_at: work.context.now(),
            failure: None,
            reason: Waiting::Progress,
        }),
        ..Confirmation::default()
    };
    work.confirm(confirmation).await
}
