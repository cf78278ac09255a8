//! A record that bears the reference of a create of ours, and is not the one that came of it: the create was sent again
//! after its answer was lost, and both landed; or its system carried it out twice; or somebody copied the record with our
//! reference. It gets no partner; a person is told which of the two is too many, and how often it was sent.
//!
//! So is one of two that have the same strongest match key, where a create of ours made one of them and the other is linked:
//! people had entered the other, and its system did not show it in time.

use tandem_domain::{ConflictId, RecordId, Side};
use tandem_engine::Single;
use tandem_store::{
    Alike, Confirmation, ConflictKind, ConflictState, Fact, Intent, IntentOp, IntentState,
    JobOutcome, LinkState, NewConflict,
};

use super::lookup::{candidate, known, matched};
use super::moot::give_up;
use super::not_there::look_again;
use super::unlinked::Here;
use crate::executor::Work;
use crate::failure::WorkError;
use crate::jobs::Performed;
use crate::readings::{self, Reading};

/// The word of the question.
pub(super) const DOUBLED: &str = "doubled";

/// How the job of such a record ends.
const HELD: &str = "held: a create of ours made it, or its like, beside another record";

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
            Some(question) => stands_still(work, here, question).await,
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
            alike: None,
        },
        shown,
    };
    let confirmation = Confirmation {
        seen: vec![(here.side, here.reading.indexed(work.sync))],
        conflicts: vec![question],
        outcome: Some(JobOutcome::Done {
            note: HELD.to_owned(),
        }),
        ..Confirmation::default()
    };
    work.confirm(confirmation).await.map(Some)
}

/// Whether it is still one of two that are alike, as it was asked about. Where the other is not there any more there is nothing
/// to ask.
async fn stands_still(
    work: Work<'_>,
    here: &Here,
    (question, was): (ConflictId, ConflictState),
) -> Result<Option<Performed>, WorkError> {
    let own = candidate(work, &here.reading);
    let rivals = known(work, here, here.side, &own).await?;
    if let Single::Unclear {
        key, rivals: ids, ..
    } = matched(work, &own, &[], &rivals.readings)
        && alike(work, here, key.as_str(), &ids).await?.is_some()
    {
        let is_open = was == ConflictState::Open;
        return Ok(is_open.then(|| Performed::done(HELD)));
    }
    if !rivals.missing.is_empty()
        && let Some(again) = look_again(work)
    {
        // It may only be hidden for a moment.
        return Ok(Some(again));
    }
    give_up(work, (question, was), Fact::Alone).await.map(Some)
}

/// What a person is asked where this record and a linked one of its side have the same strongest key, and a create of ours
/// made one of the two: the other had been entered there, and its system did not show it, or not soon enough.
pub(super) async fn alike(
    work: Work<'_>,
    here: &Here,
    key: &str,
    rivals: &[RecordId],
) -> Result<Option<ConflictKind>, WorkError> {
    let own = candidate(work, &here.reading);
    if own
        .keys
        .first()
        .is_none_or(|strongest| strongest.as_str() != key)
    {
        return Ok(None);
    }
    for first in rivals {
        let Some(source) = partner(work, here.side, first).await? else {
            continue;
        };
        for made in [here.id(), first] {
            let Some(intent) = made_by_us(work, here.side, made).await? else {
                continue;
            };
            return Ok(Some(ConflictKind::Doubled {
                first: first.clone(),
                source: Some(source),
                intent: intent.id,
                sent: Some(intent.sends),
                alike: Some(Alike {
                    key: key.to_owned(),
                    made: made.clone(),
                }),
            }));
        }
    }
    Ok(None)
}

/// The create of ours that made a record, by the journal.
async fn made_by_us(
    work: Work<'_>,
    side: Side,
    record: &RecordId,
) -> Result<Option<Intent>, WorkError> {
    let store = &work.context.store;
    let intents = store.intents_of(&work.sync.name, record).await?;
    let made = intents.into_iter().rev().find(|intent| {
        intent.op == IntentOp::Create
            && intent.side == side
            && intent.state == IntentState::Confirmed
            && intent.target.as_ref() == Some(record)
    });
    Ok(made)
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
