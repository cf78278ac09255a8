//! A record that bears the reference of a create of ours, and is not the one that came of it: the create was sent again
//! after its answer was lost, and both landed. It gets no partner; a person is told which of the two is too many.

use tandem_domain::{ConflictId, IntentId, RecordId, Side};
use tandem_store::{
    Confirmation, ConflictKind, Intent, IntentOp, IntentState, JobOutcome, LinkState, NewConflict,
};

use super::unlinked::Here;
use crate::executor::Work;
use crate::failure::WorkError;
use crate::jobs::Performed;
use crate::readings;

/// The word of the question.
pub(super) const DOUBLED: &str = "doubled";

/// Asks about a record that one of our creates made beside another.
pub(super) async fn ask(work: Work<'_>, here: &Here) -> Result<Option<Performed>, WorkError> {
    // A person is asked about it, or has answered, as one that may be the same as others.
    let mut rulings = here.pair.rulings.iter();
    let is_answered = rulings.any(|ruling| ["ambiguous", DOUBLED].contains(&&*ruling.asked));
    if here.pair.held.is_some() || is_answered {
        return Ok(None);
    }
    let Some(intent) = own_create(work, here).await? else {
        return Ok(None);
    };
    let Some(first) = first(work, here, &intent).await? else {
        return Ok(None);
    };
    let hints = work.claimed.job.hints;
    let Some(standing) = readings::read(work.sync, here.side, &first, hints).await? else {
        // It is gone, and this one may be it by now: merged, or made again.
        return Ok(None);
    };
    let mut shown = vec![here.reading.shown(here.side), standing.shown(here.side)];
    if let Some(source) = &intent.source {
        let side = here.side.other();
        let read = readings::read(work.sync, side, source, hints).await?;
        shown.extend(read.map(|reading| reading.shown(side)));
    }
    let (system, record) = (&work.sync.end(here.side).connection, here.id());
    tracing::warn!(sync = %work.sync.name, %system, %record, %first, intent = %intent.id, "a create of ours was sent again and landed twice; the second record gets no partner");
    let question = NewConflict {
        id: ConflictId::new(work.context.now(), work.context.entropy.as_ref()),
        sync: work.sync.name.clone(),
        link: None,
        side: here.side,
        record: record.clone(),
        kind: ConflictKind::Doubled {
            first,
            source: intent.source,
            intent: intent.id,
        },
        shown,
    };
    let confirmation = Confirmation {
        seen: vec![(here.side, here.reading.indexed(work.sync))],
        conflicts: vec![question],
        outcome: Some(JobOutcome::Done {
            note: "held: a create of ours made it beside another record".to_owned(),
        }),
        ..Confirmation::default()
    };
    work.confirm(confirmation).await.map(Some)
}

/// The settled create of ours whose reference the record bears. One that is open is looked for elsewhere.
async fn own_create(work: Work<'_>, here: &Here) -> Result<Option<Intent>, WorkError> {
    let reference = here.reading.record.reference.as_deref();
    let Some(id) = reference.and_then(|text| text.parse::<IntentId>().ok()) else {
        return Ok(None);
    };
    let intent = work.context.store.intent(id).await?;
    Ok(intent.filter(|intent| {
        intent.op == IntentOp::Create
            && intent.sync == work.sync.name
            && intent.side == here.side
            && !intent.state.is_open()
    }))
}

/// The record that has the place which this one was made for.
async fn first(
    work: Work<'_>,
    here: &Here,
    intent: &Intent,
) -> Result<Option<RecordId>, WorkError> {
    let other = |record: &&RecordId| *record != here.id();
    if intent.state == IntentState::Confirmed {
        let Some(made) = intent.target.as_ref().filter(other) else {
            return Ok(None);
        };
        let is_linked = partner(work, here.side, made).await?.is_some();
        return Ok(is_linked.then(|| made.clone()));
    }
    // It was given up, and another create made the partner of its source.
    let Some(source) = &intent.source else {
        return Ok(None);
    };
    let partner = partner(work, here.side.other(), source).await?;
    Ok(partner.filter(|partner| other(&partner)))
}

async fn partner(
    work: Work<'_>,
    side: Side,
    record: &RecordId,
) -> Result<Option<RecordId>, WorkError> {
    let store = &work.context.store;
    let link = store.pair(&work.sync.name, side, record).await?.link;
    let link = link.filter(|link| link.state == LinkState::Active);
    Ok(link.and_then(|link| link.side(side.other()).id.clone()))
}
