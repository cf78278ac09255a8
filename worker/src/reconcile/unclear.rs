//! A match that is not one to one waits for a person, unless the policy says to take the first.

use std::time::Duration;

use tandem_domain::{ConflictId, RecordId, Side};
use tandem_engine::Ambiguous;
use tandem_store::{
    Confirmation, ConflictKind, JobOutcome, NAMED_MAX, NewConflict, ShownRecord, Waiting,
};

use super::create::create;
use super::doubled;
use super::link_to::{Answers, link_to};
use super::unlinked::{Here, is_linked};
use crate::executor::Work;
use crate::failure::WorkError;
use crate::jobs::Performed;
use crate::readings::Reading;

/// Those of these records that were never linked.
pub(super) async fn unlinked<'a>(
    work: Work<'_>,
    side: Side,
    records: &'a [RecordId],
) -> Result<Vec<&'a RecordId>, WorkError> {
    let mut unlinked = Vec::new();
    for record in records {
        let pair = work.context.store.pair(&work.sync.name, side, record);
        if pair.await?.link.is_none() {
            unlinked.push(record);
        }
    }
    Ok(unlinked)
}

/// What was read on the way to an unclear match.
#[derive(Clone, Copy)]
pub(super) struct Found<'a> {
    /// Records of the other side.
    pub(super) others: &'a [Reading],
    /// Records of its own side.
    pub(super) rivals: &'a [Reading],
}

impl Found<'_> {
    /// The records that a question is about: the one that waits, its candidates, its rivals.
    fn shown(self, here: &Here, candidates: &[RecordId], rivals: &[RecordId]) -> Vec<ShownRecord> {
        let of = |side: Side, readings: &[Reading], ids: &[RecordId]| -> Vec<ShownRecord> {
            let asked = readings
                .iter()
                .filter(|reading| ids.contains(&reading.record.id));
            asked.map(|reading| reading.shown(side)).collect()
        };
        let mut shown = vec![here.reading.shown(here.side)];
        shown.extend(of(here.side.other(), self.others, candidates));
        shown.extend(of(here.side, self.rivals, rivals));
        shown
    }
}

pub(super) async fn hold(
    work: Work<'_>,
    here: &Here,
    found: Found<'_>,
    key: String,
    candidates: Vec<RecordId>,
    rivals: Vec<RecordId>,
) -> Result<Performed, WorkError> {
    if is_linked(work, here.side, here.id()).await? {
        // A job of the other record, in a lane of its own, was quicker. What looks unclear now is the link itself.
        return Ok(work.again_after(Duration::ZERO, Waiting::Partner));
    }
    if work.sync.policy.ambiguous == Ambiguous::First
        && rivals.iter().all(|rival| here.id() < rival)
    {
        let free = unlinked(work, here.side.other(), &candidates).await?;
        if let Some(partner) = free.first() {
            return link_to(work, here, partner, Answers::default()).await;
        }
        // Where the other side has none, the first is the one that gets a partner; unless a later one was
        // quicker: one partner is enough for all of them.
        let none_is_linked = unlinked(work, here.side, &rivals).await?.len() == rivals.len();
        if candidates.is_empty() && none_is_linked {
            return create(work, here, Vec::new()).await;
        }
    }
    let named = |ids: &[RecordId]| ids[..ids.len().min(NAMED_MAX)].to_vec();
    let shown = found.shown(here, &named(&candidates), &named(&rivals));
    let kind = match doubled::alike(work, here, &key, &rivals).await? {
        Some(doubled) => doubled,
        None => ConflictKind::ambiguous(
            (candidates.iter(), candidates.len()),
            (rivals.iter(), rivals.len()),
            key,
        ),
    };
    let question = NewConflict {
        id: ConflictId::new(work.context.now(), work.context.entropy.as_ref()),
        sync: work.sync.name.clone(),
        link: None,
        side: here.side,
        record: here.id().clone(),
        kind,
        shown,
    };
    let mut seen = vec![(here.side, here.reading.indexed(work.sync))];
    seen.extend(
        found
            .others
            .iter()
            .map(|reading| (here.side.other(), reading.indexed(work.sync))),
    );
    let confirmation = Confirmation {
        seen,
        conflicts: vec![question],
        outcome: Some(JobOutcome::Done {
            note: "held: the match is not clear".to_owned(),
        }),
        ..Confirmation::default()
    };
    work.confirm(confirmation).await
}
