//! A record that bears the reference of a create of ours, and is not the one that came of it: the create was sent again
//! after its answer was lost, and both landed; or its system carried it out twice; or somebody copied the record with our
//! reference. It gets no partner; a person is told which of the two is too many, and how often it was sent.

use tandem_domain::{ConflictId, RecordId, Side};
use tandem_store::{
    Confirmation, ConflictKind, ConflictState, Fact, Intent, IntentOp, IntentState, JobOutcome,
    LinkState, NewConflict,
};

use super::moot::give_up;
use super::unlinked::Here;
use crate::executor::Work;
use crate::failure::WorkError;
use crate::jobs::Performed;
use crate::readings::{self, Reading};

/// The word of the question.
pub(super) const DOUBLED: &str = "doubled";

/// Asks about a record that one of our creates made beside another. Once that other is gone, or is nobody's partner, this
/// one may be it, merged or made again: then there is nothing to ask, and an answer would say nothing of it.
pub(super) async fn ask(work: Work<'_>, here: &Here) -> Result<Option<Performed>, WorkError> {
    let pair = &here.pair;
    let answered = |word: &str| {
        let mut rulings = pair.rulings.iter();
        rulings
            .find(|ruling| ruling.asked == word)
            .map(|one| one.conflict)
    };
    // A person is asked about it, or has answered, as one that may be the same as others.
    if pair.held.is_some() || answered("ambiguous").is_some() {
        return Ok(None);
    }
    let asked = answered(DOUBLED);
    let Some((intent, first, standing)) = beside(work, here).await? else {
        let answered = asked.map(|question| (question, ConflictState::Answered));
        let open = pair.doubled.map(|question| (question, ConflictState::Open));
        return match answered.or(open) {
            Some(question) => give_up(work, question, Fact::Alone).await.map(Some),
            None => Ok(None),
        };
    };
    if asked.is_some() {
        return Ok(None);
    }
    let hints = work.claimed.job.hints;
    let mut shown = vec![here.reading.shown(here.side), standing.shown(here.side)];
    if let Some(source) = &intent.source {
        let side = here.side.other();
        let read = readings::read(work.sync, side, source, hints).await?;
        shown.extend(read.map(|reading| reading.shown(side)));
    }
    let (system, record) = (&work.sync.end(here.side).connection, here.id());
    tracing::warn!(sync = %work.sync.name, %system, %record, %first, intent = %intent.id, sent = intent.sends, "two records bear the reference of one create of ours; the second gets no partner until a person has said what it is");
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
            sent: Some(intent.sends),
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

/// The create that made this record, and the one that has the place which this was made for, as it is now.
async fn beside(
    work: Work<'_>,
    here: &Here,
) -> Result<Option<(Intent, RecordId, Reading)>, WorkError> {
    // One that is open is looked for elsewhere.
    let settled = own_create(work, here).await?;
    let Some(intent) = settled.filter(|intent| !intent.state.is_open()) else {
        return Ok(None);
    };
    let Some(first) = first(work, here, &intent).await? else {
        return Ok(None);
    };
    let standing = readings::read(work.sync, here.side, &first, work.claimed.job.hints).await?;
    Ok(standing.map(|standing| (intent, first, standing)))
}

/// The create of ours whose reference the record bears.
pub(super) async fn own_create(work: Work<'_>, here: &Here) -> Result<Option<Intent>, WorkError> {
    create_of(work, here.side, &here.reading).await
}

/// The create of ours whose reference a record of a side bears.
pub(super) async fn create_of(
    work: Work<'_>,
    side: Side,
    reading: &Reading,
) -> Result<Option<Intent>, WorkError> {
    let Some(id) = reading.made_by() else {
        return Ok(None);
    };
    let intent = work.context.store.intent(id).await?;
    Ok(intent.filter(|intent| {
        intent.op == IntentOp::Create && intent.sync == work.sync.name && intent.side == side
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
