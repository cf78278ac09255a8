//! A record without a partner: find the one that exists, wait for the one that is being made, or make it.

use std::time::Duration;

use tandem_domain::line::line;
use tandem_domain::{ConflictId, RecordId, Side, Value};
use tandem_engine::{Single, key_texts, stored_as};
use tandem_store::{
    Confirmation, ConflictState, Event, EventKind, Fact, Hints, Intent, JobOutcome, JobState,
    LinkState, Moot, PairContext, QuestionKind, Resolution, Waiting, why_left_out,
};

use super::announced::{announce, announce_effect, has_appeared};
use super::create::{create, plan_create};
use super::created::link_created;
use super::doubled;
use super::doubt::TOLD_AFTER;
use super::link_to::{Answers, link_to};
use super::looks::{pause, pause_of_unseen};
use super::lookup::{LeftOutLike, candidate, known, left_alone_likes, matched, others, standing};
use super::lost_create::{
    ABANDONED_AFTER, lands_within, lost_create, settle_create, settle_forgotten,
};
use super::moot::{give_up, takes_no_part};
use super::set_back::{self, Suspicion};
use super::shown::wait_until_whole;
use super::unclear::{Found, hold};
use crate::asked::{Asked, named};
use crate::context::Cause;
use crate::executor::{KEY_BUSY_PAUSE, Work};
use crate::failure::WorkError;
use crate::first_sync;
use crate::jobs::Performed;
use crate::readings::{self, Answer, Reading};

/// A record waits so long before it asks again whether the first sync has ended.
pub(super) const FIRST_SYNC_PAUSE: Duration = Duration::from_secs(2);

/// A record that no listing and no reading ever showed is looked for no longer than this, unless an event says that it
/// was made.
const UNSEEN_FOR: Duration = Duration::from_secs(10);

/// A record of which an event or a listing told, and that cannot be read: a replica may lag behind, so it is looked
/// for again, after waits that grow, before it counts as gone.
async fn not_there(
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
async fn was_seen(
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
async fn look_for_unseen(
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
fn unseen_for(newest: Option<&Event>) -> Duration {
    match newest.map(|event| event.kind) {
        Some(EventKind::Created) => Duration::MAX,
        Some(EventKind::Deleted) => TOLD_AFTER,
        Some(EventKind::Updated | EventKind::Other) | None => UNSEEN_FOR,
    }
}

/// Questions of other records that name one that is gone may have answered themselves.
async fn look_at_those_that_name(
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
async fn match_again(
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
fn begin_to_look(work: Work<'_>) -> Option<Performed> {
    let waits = &work.claimed.job.waits;
    let is_looking = matches!(waits.reason, Some(Waiting::Elsewhere | Waiting::Missing));
    (waits.count > 0 && !is_looking).then(|| work.again_after(Duration::ZERO, Waiting::Progress))
}

/// The record that the job is about.
pub(super) struct Here {
    pub(super) side: Side,
    pub(super) reading: Reading,
    pub(super) pair: PairContext,
}

impl Here {
    pub(super) fn id(&self) -> &RecordId {
        &self.reading.record.id
    }
}

pub(super) async fn run(
    work: Work<'_>,
    side: Side,
    record: &RecordId,
    pair: PairContext,
) -> Result<Performed, WorkError> {
    if let Some(intent) = lost_create(&pair.intents) {
        return settle_create(work, intent, None).await;
    }
    if !first_sync::has_ended(work.context, &work.sync.name).await? {
        return Ok(work.again_after(FIRST_SYNC_PAUSE, Waiting::FirstSync));
    }
    let hints = work.claimed.job.hints;
    let reading = match readings::ask(work.sync, side, record, hints).await? {
        Answer::Here(reading) => *reading,
        Answer::Merged { into } => return merged(work, side, record, &into.record.id).await,
        Answer::Missing => return not_there(work, side, record, &pair).await,
    };
    if let Some((fact, note)) = takes_none(&reading) {
        takes_no_part(work, side, record, fact).await?;
        return Ok(Performed::done(note));
    }
    let here = Here {
        side,
        reading,
        pair,
    };
    if let Some(asked) = doubled::ask(work, &here).await? {
        return Ok(asked);
    }
    if let Some(ended) = ruled(work, &here).await? {
        return Ok(ended);
    }
    if let Some(question) = here.pair.held {
        return match_again(work, &here, question).await;
    }
    if let Some(intent) = own_echo(work, &here).await? {
        return await_partner(work, &here, intent).await;
    }
    if is_linked(work, here.side, here.id()).await? {
        // It is the effect of a create of ours, which was confirmed while the record was being read.
        return Ok(work.again_after(Duration::ZERO, Waiting::Partner));
    }
    match_or_create(work, &here).await
}

/// The system answers with another record: this one was merged into that, which is looked at by itself.
async fn merged(
    work: Work<'_>,
    side: Side,
    record: &RecordId,
    winner: &RecordId,
) -> Result<Performed, WorkError> {
    if let Some(again) = look_again(work) {
        // One word is not believed.
        return Ok(again);
    }
    takes_no_part(work, side, record, Fact::Gone).await?;
    look_at_those_that_name(work, side, record).await?;
    let cause = Cause {
        sync: &work.sync.name,
        side,
        class: work.claimed.job.class,
        trigger: work.claimed.job.trigger,
    };
    let job = work
        .context
        .reconcile_job(cause, winner.clone(), Hints::default());
    work.context.enqueue(vec![job]).await?;
    Ok(Performed::done(format!(
        "gone: the record was merged into {}, with which its system answers",
        line(winner.as_str())
    )))
}

/// Why a record as it is now gets no partner.
pub(super) fn takes_none(reading: &Reading) -> Option<(Fact, String)> {
    if reading.record.archived {
        let note = "archived: a record out of use gets no partner".to_owned();
        return Some((Fact::OutOfUse, note));
    }
    let by = reading.filtered()?;
    Some((
        Fact::Filtered,
        format!(
            "filtered: the sync's filters leave this record out, because {}",
            why_left_out(&by.field, &by.value)
        ),
    ))
}

/// Carries out an operator's answer about this record.
pub(super) async fn ruled(work: Work<'_>, here: &Here) -> Result<Option<Performed>, WorkError> {
    let Some(ruling) = here
        .pair
        .rulings
        .iter()
        .find(|ruling| ["ambiguous", doubled::DOUBLED].contains(&&*ruling.asked))
    else {
        return Ok(None);
    };
    match &ruling.resolution {
        Resolution::LinkTo { record } => {
            if let Some(fact) = is_out(work, here.side.other(), record).await? {
                return give_up(work, (ruling.conflict, ConflictState::Answered), fact)
                    .await
                    .map(Some);
            }
            link_to(work, here, record, Answers::used(vec![ruling.conflict]))
                .await
                .map(Some)
        }
        Resolution::CreateNew => {
            if let Some(fact) = makes_none(work, here)? {
                return give_up(work, (ruling.conflict, ConflictState::Answered), fact)
                    .await
                    .map(Some);
            }
            create(work, here, vec![ruling.conflict]).await.map(Some)
        }
        Resolution::Ignore
        | Resolution::Take { .. }
        | Resolution::Approve
        | Resolution::Reject
        | Resolution::Dismiss => Ok(None),
    }
}

/// Why the record that a person chose can be nobody's partner. One that is not there is none: the pair would be one half,
/// and the other taken for deleted.
async fn is_out(work: Work<'_>, side: Side, record: &RecordId) -> Result<Option<Fact>, WorkError> {
    if !standing(work, side, record).await?.is_free() {
        return Ok(Some(Fact::ChoiceTaken));
    }
    let chosen = readings::read(work.sync, side, record, work.claimed.job.hints).await?;
    let is_there = chosen.is_some_and(|chosen| !chosen.counts_as_gone);
    Ok((!is_there).then_some(Fact::ChoiceGone))
}

/// Why a record cannot be made as the partner of this one.
fn makes_none(work: Work<'_>, here: &Here) -> Result<Option<Fact>, WorkError> {
    let planned = plan_create(work, here)?;
    let Some(write) = planned.writes.first() else {
        return Ok(Some(Fact::NoneMade));
    };
    // Some systems show a new record before they show what is in it.
    let is_new = look_again(work).is_some();
    let is_empty = write.fields.values().all(Value::is_null);
    Ok((is_empty && !is_new).then_some(Fact::Empty))
}

/// An open create of ours that this record is, or may be, the effect of.
pub(super) async fn own_echo(work: Work<'_>, here: &Here) -> Result<Option<Intent>, WorkError> {
    // Its reference says so also where somebody has changed at once what it matches by.
    let own = doubled::own_create(work, here).await?;
    if let Some(intent) = own.filter(|intent| intent.state.is_open()) {
        return Ok(Some(intent));
    }
    let keys = stored_as(&key_texts(&work.sync.policy, &here.reading.fields));
    let open = work
        .context
        .store
        .open_creates(&work.sync.name, here.side, &keys)
        .await?;
    let same_key = |intent: &Intent| {
        intent
            .match_key
            .as_ref()
            .is_some_and(|key| keys.contains(key))
    };
    Ok(open.into_iter().find(same_key))
}

/// The job that made the record links it; only if that job is long gone does this one do it. Nothing is waited for longer
/// than the create can take to land.
pub(super) async fn await_partner(
    work: Work<'_>,
    here: &Here,
    intent: Intent,
) -> Result<Performed, WorkError> {
    let ours = here.reading.record.reference.as_deref() == Some(&*intent.id.to_string());
    let since = intent.sent_at.unwrap_or(intent.created_at);
    let since = work.context.now().since(since);
    if ours && since > ABANDONED_AFTER {
        return link_created(work, &intent, &here.reading, None).await;
    }
    let is_over = since > lands_within(work, &intent).max(ABANDONED_AFTER);
    if !ours && is_over && is_forgotten(work, &intent).await? {
        return settle_forgotten(work, &intent, &here.reading).await;
    }
    announce_effect(work, here).await?;
    Ok(work.again_after(KEY_BUSY_PAUSE, Waiting::Partner))
}

/// Whether nobody works on a write any more: the job that sent it has ended, or waits for a person as a dead letter.
async fn is_forgotten(work: Work<'_>, intent: &Intent) -> Result<bool, WorkError> {
    let Some(job) = intent.job else {
        return Ok(true);
    };
    let job = work.context.store.job(job).await?;
    Ok(match job.map(|job| job.state) {
        None | Some(JobState::Done | JobState::Dead | JobState::Discarded) => true,
        Some(JobState::Available | JobState::Running) => false,
    })
}

pub(super) async fn match_or_create(work: Work<'_>, here: &Here) -> Result<Performed, WorkError> {
    let own = candidate(work, &here.reading);
    let rivals = known(work, here, here.side, &own).await?;
    announce(work, here, &own, &rivals.indexed).await?;
    let others = others(work, here, &own).await?;
    if let Some(record) = others.in_part.first() {
        return wait_until_whole(work, here.side.other(), record);
    }
    if !others.missing.is_empty()
        && let Some(again) = look_again(work)
    {
        // What the index names may only be hidden for a moment: a second one would double it.
        return Ok(again);
    }
    let left_out = others.left_out;
    let indexed = others.indexed;
    let (rivals, others) = (rivals.readings, others.readings);
    let found = Found {
        others: &others,
        rivals: &rivals,
    };
    match matched(work, &own, &others, &rivals) {
        Single::Partner(partner) if is_linked(work, here.side.other(), &partner).await? => {
            if partner_is_missing(work, here, &partner).await? {
                // It may be this one, made again: whether the other is gone is being found out.
                return wait_for_its_end(work, here).await;
            }
            let is_still_linked = is_linked(work, here.side.other(), &partner).await?;
            if !is_still_linked || is_taken_up(work, here).await? {
                // Its pair has ended meanwhile, or it is what another job has just made for this one.
                return Ok(work.again_after(KEY_BUSY_PAUSE, Waiting::Partner));
            }
            let theirs = others.iter().find(|one| one.record.id == partner);
            let theirs = theirs.map(|theirs| candidate(work, theirs));
            let shared = own.keys.iter().find(|key| {
                theirs
                    .as_ref()
                    .is_some_and(|theirs| theirs.keys.contains(key))
            });
            let key = shared.map_or_else(String::new, ToString::to_string);
            hold(work, here, found, key, vec![partner], Vec::new()).await
        }
        Single::Partner(partner) => link_to(work, here, &partner, Answers::default()).await,
        Single::NoMatch if !left_out.is_empty() => rest_beside(work, here, &left_out[0]).await,
        Single::NoMatch => {
            let likes = left_alone_likes(work, here, &own).await?;
            let Some(key) = own.keys.first().filter(|_| !likes.is_empty()) else {
                if has_appeared(work, here, &own, &indexed).await? {
                    return Ok(work.again_after(Duration::ZERO, Waiting::Partner));
                }
                return create(work, here, Vec::new()).await;
            };
            // A person has set its like aside: one more would be a double.
            let ids = likes.iter().map(|like| like.record.id.clone()).collect();
            let found = Found {
                others: &likes,
                rivals: &rivals,
            };
            hold(work, here, found, key.to_string(), ids, Vec::new()).await
        }
        Single::Unclear {
            key,
            candidates,
            rivals,
        } => hold(work, here, found, key.into(), candidates, rivals).await,
    }
}

/// The record stays without a partner beside its like that the sync's filters leave out. When that one is let in, it finds this
/// one.
async fn rest_beside(
    work: Work<'_>,
    here: &Here,
    like: &LeftOutLike,
) -> Result<Performed, WorkError> {
    let confirmation = Confirmation {
        seen: vec![(here.side, here.reading.indexed(work.sync))],
        outcome: Some(JobOutcome::Done {
            note: format!(
                "filtered: its like on side {}, record {}, is left out by the sync's filters, because {}; nothing is made beside it",
                here.side.other(),
                line(like.id.as_str()),
                like.because
            ),
        }),
        ..Confirmation::default()
    };
    work.confirm(confirmation).await
}

/// The record waits until it is known whether the one whose partner it may be is gone. It is in the index from now on, so
/// that whoever finds that out knows of it.
async fn wait_for_its_end(work: Work<'_>, here: &Here) -> Result<Performed, WorkError> {
    let outcome = if set_back::suspicion(work, here.side).await? == Suspicion::Asked {
        // A person says what became of it, and then whoever looks at that pair finds this one.
        JobOutcome::Done {
            note: "held: it may be the partner of a record whose own is missing, and a person must say why".to_owned(),
        }
    } else {
        work.snooze(pause(work.waited_for(Waiting::Partner)), Waiting::Partner)
    };
    let confirmation = Confirmation {
        seen: vec![(here.side, here.reading.indexed(work.sync))],
        outcome: Some(outcome),
        ..Confirmation::default()
    };
    work.confirm(confirmation).await
}

/// Whether another job has linked the record meanwhile, or makes its partner: of a pair that was dissolved a moment ago two
/// lanes can have one.
async fn is_taken_up(work: Work<'_>, here: &Here) -> Result<bool, WorkError> {
    let store = &work.context.store;
    let pair = store.pair(&work.sync.name, here.side, here.id()).await?;
    let is_linked = pair
        .link
        .is_some_and(|link| link.state == LinkState::Active);
    Ok(is_linked || !pair.intents.is_empty())
}

/// Whether the record with which `other` is linked cannot be read, or is out of use: somebody may have made it again as this
/// one. Then somebody is to look at that pair.
async fn partner_is_missing(
    work: Work<'_>,
    here: &Here,
    other: &RecordId,
) -> Result<bool, WorkError> {
    let store = &work.context.store;
    let pair = store
        .pair(&work.sync.name, here.side.other(), other)
        .await?;
    let is_apart = pair.ignored || pair.link.as_ref().is_some_and(|link| link.kept_apart);
    if is_apart || pair.delete_held.is_some() || pair.replaced.is_some() {
        // A person has decided about that pair, or is asked: this record is not to wait for that unseen.
        return Ok(false);
    }
    let linked = pair.link.and_then(|link| link.side(here.side).id.clone());
    let Some(linked) = linked.filter(|linked| linked != here.id()) else {
        return Ok(false);
    };
    let hints = work.claimed.job.hints;
    let reading = readings::read(work.sync, here.side, &linked, hints).await?;
    // A pair of which the filters leave a record out rests: nobody finds out anything about it.
    let is_there = |reading: &Reading| !(reading.counts_as_gone && reading.takes_part());
    if reading.as_ref().is_some_and(is_there) {
        return Ok(false);
    }
    let cause = Cause {
        sync: &work.sync.name,
        side: here.side,
        class: work.claimed.job.class,
        trigger: work.claimed.job.trigger,
    };
    let job = work.context.reconcile_job(cause, linked, Hints::default());
    work.context.enqueue(vec![job]).await?;
    Ok(true)
}

pub(super) async fn is_linked(
    work: Work<'_>,
    side: Side,
    record: &RecordId,
) -> Result<bool, WorkError> {
    Ok(standing(work, side, record).await?.is_linked)
}
