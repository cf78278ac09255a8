//! A record of which something told, and that is not there when it is read: it is looked for before it counts as gone.

use std::time::Duration;

use tandem_domain::{ConflictId, RecordId, Side};
use tandem_engine::Single;
use tandem_store::{
    ConflictState, Event, EventKind, Fact, Hints, Moot, PairContext, QuestionKind, Waiting,
};

use super::doubt::TOLD_AFTER;
use super::link_to::{Answers, link_to};
use super::looks::{pause, pause_of_unseen};
use super::lookup::{candidate, known, matched, others};
use super::moot::takes_no_part;
use super::unlinked::{Here, is_linked};
use crate::asked::{Asked, named};
use crate::context::Cause;
use crate::executor::Work;
use crate::failure::WorkError;
use crate::jobs::Performed;

/// A record that no listing and no reading ever showed is looked for no longer than this, unless an event says that it
/// was made.
const UNSEEN_FOR: Duration = Duration::from_secs(10);

/// A record of which an event or a listing told, and that cannot be read: a replica may lag behind, so it is looked
/// for again, after waits that grow, before it counts as gone.
pub(super) async fn not_there(
    work: Work<'_>,
    side: Side,
    record: &RecordId,
    pair: &PairContext,
) -> Result<Performed, WorkError> {
    let again = if was_seen(work, side, record, pair).await? {
        look_again(work)
    } else {
        look_for_unseen(work, side, record).await?
    };
    if let Some(again) = again {
        return Ok(again);
    }
    takes_no_part(work, side, record, Fact::Gone).await?;
    look_at_those_that_name(work, side, record).await?;
    Ok(Performed::done(
        "gone: the record was deleted before it had a partner",
    ))
}

/// Whether anything but events ever showed the record.
pub(super) async fn was_seen(
    work: Work<'_>,
    side: Side,
    record: &RecordId,
    pair: &PairContext,
) -> Result<bool, WorkError> {
    let is_asked = pair.held.is_some() || pair.doubled.is_some() || !pair.rulings.is_empty();
    let store = &work.context.store;
    Ok(is_asked
        || !pair.intents.is_empty()
        || store
            .listed_at(&work.sync.name, side, record)
            .await?
            .is_some())
}

/// Looks again for a record that was never seen: it may not exist, or be hidden from us for good, and there may be
/// thousands of these. What counts is the time since the first look, however late the others came.
pub(super) async fn look_for_unseen(
    work: Work<'_>,
    side: Side,
    record: &RecordId,
) -> Result<Option<Performed>, WorkError> {
    if let Some(begin) = begin_to_look(work) {
        return Ok(Some(begin));
    }
    let events = work.events_of(side, record).await?;
    let patience = work.sync.confirm_gone.min(unseen_for(events.first()));
    let since = work.claimed.job.waits.since;
    let waited = since.map_or(Duration::ZERO, |since| work.context.now().since(since));
    let is_over = waited >= patience;
    let pause = pause_of_unseen(waited, patience);
    Ok((!is_over).then(|| work.again_after(pause, Waiting::Missing)))
}

/// How long a record that was never seen is looked for at most, by the newest event about it. One that was made a moment
/// ago is what replicas are behind with.
pub(super) fn unseen_for(newest: Option<&Event>) -> Duration {
    match newest.map(|event| event.kind) {
        Some(EventKind::Created) => Duration::MAX,
        Some(EventKind::Deleted) => TOLD_AFTER,
        Some(EventKind::Updated | EventKind::Other) | None => UNSEEN_FOR,
    }
}

/// Questions of other records that name one that is gone may have answered themselves.
pub(super) async fn look_at_those_that_name(
    work: Work<'_>,
    side: Side,
    record: &RecordId,
) -> Result<(), WorkError> {
    let mut pages = Asked::open(&work.sync.name, QuestionKind::Ambiguous);
    while let Some(page) = pages.next(work.context.store.as_ref()).await? {
        let about_it = page
            .into_iter()
            .filter(|question| named(question).contains(&(side, record)));
        let jobs = about_it.map(|question| {
            let cause = Cause {
                sync: &work.sync.name,
                side: question.side,
                class: work.claimed.job.class,
                trigger: work.claimed.job.trigger,
            };
            let hints = Hints::default();
            work.context.reconcile_job(cause, question.record, hints)
        });
        work.context.enqueue(jobs.collect()).await?;
    }
    Ok(())
}

/// A record about which a person was asked is matched again: what made it unclear may be gone. It is linked if just one
/// is left that it can be; nothing is made for it, because what it matched may only be hard to find for a moment.
pub(super) async fn match_again(
    work: Work<'_>,
    here: &Here,
    question: ConflictId,
) -> Result<Performed, WorkError> {
    let own = candidate(work, &here.reading);
    let rivals = known(work, here, here.side, &own).await?;
    let others = others(work, here, &own).await?;
    let is_any_in_part = !others.in_part.is_empty();
    let is_any_missing =
        is_any_in_part || !(rivals.missing.is_empty() && others.missing.is_empty());
    if is_any_missing && let Some(again) = look_again(work) {
        // What made it unclear may only be hidden for a moment.
        return Ok(again);
    }
    let (rivals, others) = (rivals.readings, others.readings);
    if !is_any_in_part
        && let Single::Partner(partner) = matched(work, &own, &others, &rivals)
        && !is_linked(work, here.side.other(), &partner).await?
    {
        let moot = Moot {
            question,
            was: ConflictState::Open,
            fact: Fact::Linked,
        };
        return link_to(work, here, &partner, Answers::moot(moot)).await;
    }
    Ok(Performed::done(
        "held: an operator must say what this record matches",
    ))
}

/// Something that should be there cannot be read: it is looked for again until that has lasted.
pub(super) fn look_again(work: Work<'_>) -> Option<Performed> {
    look_for(work, work.sync.confirm_gone)
}

/// Looks again until so long has been waited for it.
pub(super) fn look_for(work: Work<'_>, at_most: Duration) -> Option<Performed> {
    if let Some(begin) = begin_to_look(work) {
        return Some(begin);
    }
    let waited = work.looked_for();
    let is_over = waited >= at_most;
    (!is_over).then(|| work.again_after(pause(waited), Waiting::Missing))
}

/// Begins to count anew, where the job has waited for something else: that says nothing about this.
pub(super) fn begin_to_look(work: Work<'_>) -> Option<Performed> {
    let waits = &work.claimed.job.waits;
    let is_looking = matches!(waits.reason, Some(Waiting::Elsewhere | Waiting::Missing));
    (waits.count > 0 && !is_looking).then(|| work.again_after(Duration::ZERO, Waiting::Progress))
}
