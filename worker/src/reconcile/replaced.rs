//! Under the id of a linked record there is another record, or an older state of it, and that lasts; or it is missing
//! while others of its side are out of date. A system was restored from a backup, or emptied and filled anew. Nothing is
//! written over either record, and nothing deleted, until a person has said what it is: of a single pair here, of a whole
//! side in `set_back.rs`.

use tandem_domain::{BaseValue, ConflictId, Fields, RecordId, Side};
use tandem_engine::{Candidate, contradicts, keeps_most, match_keys};
use tandem_store::{
    Confirmation, Conflict, ConflictKind, EventKind, Intent, JobOutcome, Link, LinkState,
    NewConflict, PairContext, Resolution, ShownRecord, Waiting,
};

use super::looks::pause;
use super::out_of_date::{self, REMEMBERED_MAX, Shows, wait_for};
use super::pair::Pair;
use super::set_back::{self, Suspicion};
use crate::executor::Work;
use crate::failure::WorkError;
use crate::jobs::Performed;
use crate::readings::Reading;

/// The word of the question.
pub(super) const REPLACED: &str = "replaced";
/// The note of the job that asks it.
const NOT_THE_ONE: &str = "held: a record is not the one that was linked";

/// What a person said of the records of a link, or what is to be asked.
pub(super) enum Sameness {
    /// They are the ones that were linked.
    Same,
    /// A person said that they are not, or that one that is gone is to be made again: the link is to be dissolved.
    Apart,
    /// A person said that the record of this side is gone: another has its id.
    Gone(Side),
    /// A person said that the record of this side is to get what its partner has.
    Restore(Side),
    /// A person answered about a pair of which a record was merged into another: it ends, and nothing is written or deleted.
    /// That other one may have a partner of its own, and is none of this pair.
    Ended,
    /// It is asked, and the job has ended.
    Asked(Performed),
}

pub(super) async fn check(
    work: Work<'_>,
    link: &Link,
    pair: &Pair,
    context: &PairContext,
) -> Result<Sameness, WorkError> {
    let mut rulings = context.rulings.iter();
    let answer = rulings.find(|ruling| ruling.asked == REPLACED);
    match answer.map(|ruling| &ruling.resolution) {
        Some(Resolution::Reject) => return Ok(Sameness::Apart),
        Some(_) if merged(pair).is_some() => return Ok(Sameness::Ended),
        Some(Resolution::Take { side }) => return Ok(restore(pair, side.other())),
        Some(_) => return Ok(Sameness::Same),
        None => {}
    }
    if let Some((side, into)) = merged(pair) {
        return ask_about_merged(work, link, pair, (side, into), context)
            .await
            .map(Sameness::Asked);
    }
    for side in Side::BOTH {
        if let Some(held) = held_as_overlaid(work, link, side, pair, context).await? {
            return Ok(Sameness::Asked(held));
        }
    }
    for side in Side::BOTH {
        let reading = pair.side(side);
        let shows = out_of_date::still_shows(work.store(), work.sync, link, side, reading).await?;
        let Some(shows) = shows else { continue };
        if let Some(answered) = set_back::answer(work, link, side).await? {
            set_back::forget(work, link, side).await?;
            let sameness = as_answered(work, link, pair, (side, &shows), &answered).await?;
            if !matches!(sameness, Sameness::Same) {
                return Ok(sameness);
            }
            continue;
        }
        let asked = match &shows {
            Shows::Older(reason) | Shows::Other(reason) => {
                Some(older(work, link, pair, (side, &shows), reason, context).await?)
            }
            Shows::Missing if context.replaced.is_some() => Some(held()),
            Shows::Missing => missing(work, link, pair, side).await?,
        };
        if let Some(asked) = asked {
            return Ok(Sameness::Asked(asked));
        }
    }
    Ok(Sameness::Same)
}

/// The first side whose record was merged into another, and that other one.
fn merged(pair: &Pair) -> Option<(Side, &Reading)> {
    let mut sides = Side::BOTH.into_iter();
    sides.find_map(|side| Some((side, pair.merged_into(side)?)))
}

/// Systems follow merges, and some were asked by another id than they keep. A person says what becomes of the partner. It
/// says nothing of the side, however many are merged.
async fn ask_about_merged(
    work: Work<'_>,
    link: &Link,
    pair: &Pair,
    (side, into): (Side, &Reading),
    context: &PairContext,
) -> Result<Performed, WorkError> {
    if context.replaced.is_some() {
        return Ok(held());
    }
    let reason = format!("it answers with record {}", into.record.id);
    ask(work, link, side, pair, into, reason).await
}

/// What a person's answer about a whole side says of one pair.
async fn as_answered(
    work: Work<'_>,
    link: &Link,
    pair: &Pair,
    (side, shows): (Side, &Shows),
    answered: &Conflict,
) -> Result<Sameness, WorkError> {
    // Then the one that was linked is gone, and somebody else has its id.
    let is_another = match (shows, pair.side(side)) {
        (Shows::Other(_), Some(reading)) => !is_like(work, link, pair, side, reading),
        _ => false,
    };
    let is_taken = matches!(answered.resolution, Some(Resolution::Take { .. }));
    match (is_taken, is_another) {
        (true, true) => return Ok(Sameness::Apart),
        (false, true) => return Ok(Sameness::Gone(side)),
        (false, false) => return Ok(Sameness::Same),
        (true, false) => {}
    }
    let is_missing = matches!(shows, Shows::Missing);
    if is_missing && is_deleted_since(work, link, side, answered).await? {
        return Ok(Sameness::Same);
    }
    Ok(restore(pair, side))
}

/// The record of a side is to hold what its partner does. One that is gone is made again as the partner of a record that
/// has none: a system that was set back may have given its id to another since.
fn restore(pair: &Pair, side: Side) -> Sameness {
    let is_partner_here = pair.side(side.other()).is_some();
    if pair.side(side).is_none() && is_partner_here {
        Sameness::Apart
    } else {
        Sameness::Restore(side)
    }
}

/// Whether the newest event about a record says that it was deleted, after a person has answered.
async fn is_deleted_since(
    work: Work<'_>,
    link: &Link,
    side: Side,
    answered: &Conflict,
) -> Result<bool, WorkError> {
    let (Some(record), Some(at)) = (&link.side(side).id, answered.answered_at) else {
        return Ok(false);
    };
    let events = work.events_of(side, record).await?;
    let newest = events.first();
    Ok(newest.is_some_and(|event| event.kind == EventKind::Deleted && event.received_at > at))
}

/// Whether a record is the one that was linked, or the same as its partner, by the match keys. Two records have a city in
/// common: only where there are no keys to compare does what else it holds count.
fn is_like(work: Work<'_>, link: &Link, pair: &Pair, side: Side, reading: &Reading) -> bool {
    let policy = &work.sync.policy;
    let record = &reading.record.id;
    let keyed = |fields: &Fields| Candidate {
        id: record.clone(),
        keys: match_keys(policy, fields),
    };
    let agreed = BaseValue::all_of(&link.base, side);
    let partner = pair.side(side.other());
    let mut known = vec![keyed(&agreed)];
    known.extend(partner.map(|partner| keyed(&partner.fields)));
    known.retain(|one| !one.keys.is_empty());
    let own = keyed(&reading.fields);
    if own.keys.is_empty() || known.is_empty() {
        return keeps_most(policy, &link.base, side, &reading.fields);
    }
    known.iter().any(|one| {
        let shares = own.keys.iter().any(|key| one.keys.contains(key));
        shares && !contradicts(&own, one)
    })
}

/// A record is out of date: it is asked about it, or about its whole side.
async fn older(
    work: Work<'_>,
    link: &Link,
    pair: &Pair,
    (side, shows): (Side, &Shows),
    reason: &str,
    context: &PairContext,
) -> Result<Performed, WorkError> {
    if context.replaced.is_some() {
        // It was counted when it was asked about: it says no more about its side a day later.
        return Ok(held());
    }
    if let Some(held) = set_back::gather(work, link, (side, shows), pair).await? {
        return Ok(held);
    }
    match pair.side(side) {
        Some(reading) => ask(work, link, side, pair, reading, reason.to_owned()).await,
        None => Ok(held()),
    }
}

/// A record is gone. Nobody knows whether somebody deleted it while others of its side are out of date.
async fn missing(
    work: Work<'_>,
    link: &Link,
    pair: &Pair,
    side: Side,
) -> Result<Option<Performed>, WorkError> {
    match set_back::suspicion(work, side).await? {
        Suspicion::None => Ok(None),
        Suspicion::Perhaps => {
            let since = link.side(side).memory.doubt.map(|doubt| doubt.since);
            let waited = since.map(|since| work.context.now().since(since));
            let waited = waited.filter(|waited| *waited < set_back::patience(work.sync));
            Ok(waited.map(|waited| work.again_after(pause(waited), Waiting::Elsewhere)))
        }
        Suspicion::Asked => {
            let shows = (side, &Shows::Missing);
            let asked = set_back::gather(work, link, shows, pair).await?;
            Ok(Some(
                asked.unwrap_or_else(|| set_back::held_with_others(work, side)),
            ))
        }
    }
}

fn held() -> Performed {
    Performed::done("held: a person must say whether it is still the same record")
}

async fn ask(
    work: Work<'_>,
    link: &Link,
    side: Side,
    pair: &Pair,
    reading: &Reading,
    reason: String,
) -> Result<Performed, WorkError> {
    let connection = &work.sync.end(side).connection;
    let record = &reading.record.id;
    tracing::warn!(sync = %work.sync.name, %connection, %record, reason, "a linked record is not the one that was linked; nothing is written until a person has said what it is");
    let there = |side: Side| pair.side(side).or_else(|| pair.merged_into(side));
    let shown = Side::BOTH
        .into_iter()
        .filter_map(|side| Some(there(side)?.shown(side)))
        .collect();
    let asked = Asked {
        reason,
        shown,
        overlaid: false,
        merged: pair.merged_into(side).is_some(),
    };
    let question = question(work, link, side, reading, asked);
    let (id, now) = (question.id, work.context.now());
    let confirmation = Confirmation {
        conflicts: vec![question],
        // Who edits it before it is answered edits what stands there now.
        link: Some(link.remembering(side, |memory| wait_for(memory, id, now))),
        outcome: Some(JobOutcome::Done {
            note: NOT_THE_ONE.to_owned(),
        }),
        ..Confirmation::default()
    };
    work.confirm(confirmation).await
}

/// A create of ours was answered with the linked record of another, and may have gone over it. What it holds now is no
/// edit of anybody: the pair waits until a person has said which values count.
pub(super) async fn overlaid(
    work: Work<'_>,
    intent: &Intent,
    made: &Reading,
) -> Result<(), WorkError> {
    let side = intent.side;
    let store = &work.context.store;
    // A job of that link may be under way, and the event of this very write comes soon.
    for _ in 0..REMEMBERED_MAX {
        let pair = store.pair(&work.sync.name, side, &made.record.id).await?;
        let Some(link) = pair.link.filter(|link| link.state == LinkState::Active) else {
            return Ok(());
        };
        let asked = question(
            work,
            &link,
            side,
            made,
            as_overlaid(side, made, intent.source.as_ref()),
        );
        let confirmation = Confirmation {
            conflicts: vec![asked],
            link: Some(link.remembering(side, |memory| memory.overlaid = Some(intent.id))),
            ..Confirmation::default()
        };
        if work.learned(confirmation).await? {
            return Ok(());
        }
    }
    let (sync, connection) = (&work.sync.name, &work.sync.end(side).connection);
    let record = &made.record.id;
    tracing::error!(%sync, %connection, %record, "a create of ours was answered with this linked record and may have written over it; its pair changes without pause, so that could not be noted: compare it with its partner");
    Ok(())
}

/// Such a pair waits, and is asked about again where its question was closed for another reason.
async fn held_as_overlaid(
    work: Work<'_>,
    link: &Link,
    side: Side,
    pair: &Pair,
    context: &PairContext,
) -> Result<Option<Performed>, WorkError> {
    let is_here = pair.side(side).filter(|reading| !reading.counts_as_gone);
    let (Some(_), Some(reading)) = (link.side(side).memory.overlaid, is_here) else {
        return Ok(None);
    };
    if context.replaced.is_some() {
        return Ok(Some(held()));
    }
    let confirmation = Confirmation {
        conflicts: vec![question(
            work,
            link,
            side,
            reading,
            as_overlaid(side, reading, None),
        )],
        outcome: Some(JobOutcome::Done {
            note: NOT_THE_ONE.to_owned(),
        }),
        ..Confirmation::default()
    };
    work.confirm(confirmation).await.map(Some)
}

/// What is asked of a record that a create went over.
fn as_overlaid(side: Side, made: &Reading, source: Option<&RecordId>) -> Asked {
    let source = source.map_or("another", RecordId::as_str);
    Asked {
        reason: format!(
            "the system answered with it when we created the partner of {source}, and may have written over it"
        ),
        shown: vec![made.shown(side)],
        overlaid: true,
        merged: false,
    }
}

/// Why it is asked, and what is shown.
struct Asked {
    reason: String,
    shown: Vec<ShownRecord>,
    overlaid: bool,
    merged: bool,
}

fn question(
    work: Work<'_>,
    link: &Link,
    side: Side,
    reading: &Reading,
    asked: Asked,
) -> NewConflict {
    NewConflict {
        id: ConflictId::new(work.context.now(), work.context.entropy.as_ref()),
        sync: work.sync.name.clone(),
        link: Some(link.id),
        side,
        // One that was merged answers with another id.
        record: link
            .side(side)
            .id
            .as_ref()
            .unwrap_or(&reading.record.id)
            .clone(),
        kind: ConflictKind::Replaced {
            reason: asked.reason,
            known: BaseValue::all_of(&link.base, side),
            found: reading.fields.clone(),
            overlaid: asked.overlaid,
            merged: asked.merged,
        },
        shown: asked.shown,
    }
}
