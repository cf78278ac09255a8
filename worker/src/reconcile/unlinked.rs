//! A record without a partner: find the one that exists, wait for the one that is being made, or make it.

use std::time::Duration;

use tandem_domain::line::line;
use tandem_domain::{RecordId, Side, Value};
use tandem_engine::Single;
use tandem_store::{
    Confirmation, ConflictState, Fact, Hints, JobOutcome, LinkState, PairContext, Resolution,
    Waiting, why_left_out,
};

use super::announced::{announce, has_appeared};
use super::awaited::{await_partner, own_echo};
use super::create::{create, plan_create};
use super::doubled;
use super::link_to::{Answers, link_to};
use super::looks::pause;
use super::lookup::{LeftOutLike, candidate, known, left_alone_likes, matched, others, standing};
use super::lost_create::{lost_create, settle_create};
use super::moot::{give_up, takes_no_part};
use super::not_there::{look_again, look_at_those_that_name, match_again, not_there};
use super::set_back::{self, Suspicion};
use super::shown::wait_until_whole;
use super::unclear::{Found, hold};
use crate::context::Cause;
use crate::executor::{KEY_BUSY_PAUSE, Work};
use crate::failure::WorkError;
use crate::first_sync;
use crate::jobs::Performed;
use crate::readings::{self, Answer, Reading};

/// A record waits so long before it asks again whether the first sync has ended.
pub(super) const FIRST_SYNC_PAUSE: Duration = Duration::from_secs(2);

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
