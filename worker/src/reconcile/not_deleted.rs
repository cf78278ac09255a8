//! A delete that a system answered with success and did not carry out: it ignores deletes, archives them for later, or a
//! permission drops them. Nobody can tell that from a system that is behind, or deletes in its own time: so the record is
//! looked at again, after waits that grow, and only then a person is told, once. It is not sent again by itself, and the
//! record that is gone is not made again for it.

use std::time::Duration;

use tandem_domain::{RecordId, Side, Timestamp, checksum};
use tandem_runtime::SyncDefinition;
use tandem_store::{
    Change, Confirmation, ConflictKind, Deleted, EventKind, Fact, IndexedRecord, IntentOp, Link,
    Operation, Outcome, PairContext, QuestionKind, Resolution, Ruling, Waiting,
};

use super::deleted_late;
use super::linked::Open;
use super::looks::pause;
use super::moot::takes_no_part;
use super::not_deleted_told::{ask, left_alone, send_again};
use super::pair::{CLOCK_SLACK, Pair};
use super::recover::LANDS_WITHIN;
use super::revive::{in_use, is_another};
use super::sending::{Carried, write_to};
use super::set_back;
use super::unlinked::{is_linked, takes_none};
use crate::executor::Work;
use crate::failure::WorkError;
use crate::jobs::Performed;
use crate::readings::Reading;

/// A system is given so long to show that a record is gone, before it is looked at the first time.
const FIRST_LOOK: Duration = Duration::from_secs(5);
/// However short a record that is missing is doubted, one that was deleted is looked at twice.
const WATCHED_MIN: Duration = Duration::from_secs(10);
/// What a person has said to leave is looked at so often while a late delete may take it.
const LATE_LOOK: Duration = Duration::from_secs(300);
/// However long that is, a person is told after this.
const WATCHED_MAX: Duration = Duration::from_secs(60);

/// What is remembered of a delete that was answered with success.
pub(super) fn remembered(
    work: Work<'_>,
    open: &Open,
    carried: &[Carried],
    side: Side,
) -> Option<Deleted> {
    write_to(carried, side).filter(|one| one.intent.op == IntentOp::Delete)?;
    Some(Deleted {
        at: work.context.now(),
        checksum: open.pair.side(side).map(Reading::checksum)?,
        told: false,
        gone_at: None,
        edited: None,
        left: false,
        outlived: false,
    })
}

/// After how long a record is looked at that was deleted now.
pub(super) fn first_look(carried: &[Carried]) -> Option<Duration> {
    let mut carried = carried.iter();
    let is_any = carried.any(|one| one.intent.op == IntentOp::Delete);
    is_any.then_some(FIRST_LOOK)
}

/// Whether a person has said that the delete of this pair is to be sent once more.
pub(super) fn is_to_be_sent_again(context: &PairContext) -> bool {
    answer(context).is_some_and(|ruling| ruling.resolution == Resolution::Approve)
}

fn answer(context: &PairContext) -> Option<&Ruling> {
    let mut rulings = context.rulings.iter();
    rulings.find(|ruling| ruling.asked == QuestionKind::NotDeleted.as_str())
}

/// A record of a pair that has ended, which we have deleted, and which may be there still.
pub(super) struct Watched<'l> {
    pub(super) side: Side,
    pub(super) record: &'l RecordId,
    pub(super) deleted: Deleted,
}

/// A question that another version has asked, or whose pair another version has written to since, stands without what the
/// pair remembers: then the question itself says what is watched.
async fn watched<'l>(
    work: Work<'_>,
    link: &'l Link,
    context: &PairContext,
) -> Result<Option<Watched<'l>>, WorkError> {
    let remembered = link.records().find_map(|(side, record)| {
        let deleted = link.side(side).memory.deleted.clone()?;
        Some(Watched {
            side,
            record,
            deleted,
        })
    });
    let asked = context
        .not_deleted
        .or_else(|| answer(context).map(|ruling| ruling.conflict));
    let (None, Some(asked)) = (&remembered, asked) else {
        return Ok(remembered);
    };
    let asked = work.context.store.conflict(asked).await?;
    Ok(asked.and_then(|asked| {
        let ConflictKind::NotDeleted { answered_at, .. } = asked.kind else {
            return None;
        };
        let record = link.side(asked.side).id.as_ref();
        let shown = asked.shown.iter().find(|shown| shown.id == asked.record);
        Some(Watched {
            side: asked.side,
            record: record.filter(|record| **record == asked.record)?,
            deleted: Deleted {
                at: answered_at,
                checksum: shown.map_or_else(String::new, |shown| checksum(&shown.fields)),
                told: true,
                gone_at: None,
                edited: None,
                left: false,
                outlived: false,
            },
        })
    }))
}

/// Looks whether what we deleted is gone, and ends the job where it is not, and its partner is.
pub(super) async fn look(
    work: Work<'_>,
    link: &Link,
    pair: &Pair,
    context: &PairContext,
) -> Result<Option<Performed>, WorkError> {
    let Some(watched) = watched(work, link, context).await? else {
        return Ok(None);
    };
    let the_one = |side: Side| {
        let reading = in_use(pair, side);
        reading.filter(|reading| !is_another(work, link, side, reading))
    };
    if the_one(watched.side.other()).is_some() {
        // The partner is back: what becomes of the two is not a matter of our delete.
        if watched.deleted.told {
            takes_no_part(work, watched.side, watched.record, Fact::Whole).await?;
        }
        return Ok(None);
    }
    let (side, record) = (watched.side, watched.record);
    let is_taken = is_linked(work, side, record).await?;
    let Some(stands) = the_one(side) else {
        let left_out = pair.side(side).and_then(takes_none);
        let fact = left_out.map_or(Fact::Gone, |(fact, _)| fact);
        if watched.deleted.gone_at.is_some() && !watched.deleted.told {
            return Ok(None);
        }
        return over(work, link, &watched, (pair.side(side), fact)).await;
    };
    if is_taken {
        return over(work, link, &watched, (Some(stands), Fact::Linked)).await;
    }
    match answer(context) {
        Some(ruling) if ruling.resolution == Resolution::Approve => {
            return send_again(work, link, ruling).await.map(Some);
        }
        Some(ruling) => {
            return left_alone(work, link, &watched, ruling.conflict)
                .await
                .map(Some);
        }
        None => {}
    }
    let edit = || deleted_late::remember_edit(work, link, (side, &watched.deleted), stands);
    if watched.deleted.left {
        edit().await?;
        return Ok(wait_for_late(work, &watched.deleted));
    }
    if watched.deleted.told {
        edit().await?;
        let note = "held: a person must say what becomes of a record that was not deleted";
        return Ok(context.not_deleted.map(|_| Performed::done(note)));
    }
    if watched.deleted.gone_at.is_some() {
        return match set_back::returned(work, link, side).await? {
            Some(held) => Ok(Some(held)),
            None => ask(work, link, &watched, stands).await.map(Some),
        };
    }
    match wait(work, &watched.deleted) {
        Some(wait) => {
            edit().await?;
            Ok(Some(work.again_after(wait, Waiting::Elsewhere)))
        }
        None => {
            // Its system told of the delete: somebody has taken it out of the bin since.
            let gone_at = told_gone(work, &watched).await?;
            let deleted = Deleted {
                gone_at,
                ..watched.deleted.clone()
            };
            let watched = Watched { deleted, ..watched };
            ask(work, link, &watched, stands).await.map(Some)
        }
    }
}

/// When an event was heard since which says that the record was deleted.
async fn told_gone(work: Work<'_>, watched: &Watched<'_>) -> Result<Option<Timestamp>, WorkError> {
    let events = work.events_of(watched.side, watched.record).await?;
    let since = watched.deleted.at.minus(CLOCK_SLACK);
    let ends = events.iter().filter(|it| it.kind == EventKind::Deleted);
    let heard = ends.map(|event| event.received_at);
    Ok(heard.filter(|at| *at >= since).max())
}

/// After how long to look at a record again that a person has said to leave, while a late delete may take it yet. Nobody else
/// would: of a pair that has ended a listing does not miss it.
pub(super) fn late_for(work: Work<'_>, deleted: &Deleted) -> Option<Duration> {
    let since = work.context.now().since(deleted.at);
    let left = LANDS_WITHIN.checked_sub(since)?;
    (!left.is_zero()).then(|| left.min(LATE_LOOK))
}

fn wait_for_late(work: Work<'_>, deleted: &Deleted) -> Option<Performed> {
    let wait = late_for(work, deleted)?;
    Some(work.again_after(wait, Waiting::Elsewhere))
}

/// How long a record that was deleted is watched.
fn watched_for(sync: &SyncDefinition) -> Duration {
    sync.confirm_gone.clamp(WATCHED_MIN, WATCHED_MAX)
}

/// After how long to look again, if a person is not to be told yet.
fn wait(work: Work<'_>, deleted: &Deleted) -> Option<Duration> {
    let since = work.context.now().since(deleted.at);
    let left = watched_for(work.sync).checked_sub(since)?;
    let next = FIRST_LOOK
        .checked_sub(since)
        .unwrap_or_else(|| pause(since));
    (!left.is_zero()).then(|| next.min(left))
}

/// Nobody has to be told any more. It is not there, or takes no part: then it was deleted, but one that a system hides for
/// a moment after each write does not say that yet. Or it is there and has another partner: then it was not.
async fn over(
    work: Work<'_>,
    link: &Link,
    watched: &Watched<'_>,
    (shown, fact): (Option<&Reading>, Fact),
) -> Result<Option<Performed>, WorkError> {
    let since = work.context.now().since(watched.deleted.at);
    if let Some(left) = FIRST_LOOK.checked_sub(since).filter(|left| !left.is_zero()) {
        // Another cause came first, and this job has taken the place of the one that was to look.
        return Ok(Some(work.again_after(left, Waiting::Elsewhere)));
    }
    let (side, record) = (watched.side, watched.record);
    let (mut changes, conflicts) =
        deleted_late::told(work, link, (side, record), &watched.deleted, fact);
    if watched.deleted.told {
        takes_no_part(work, side, record, fact).await?;
    } else if fact == Fact::Linked && watched.deleted.gone_at.is_none() {
        changes.extend(taken_back(
            work,
            link,
            watched,
            "it has another partner by now",
        ));
    }
    // Should it be there again, somebody has taken it back.
    let gone = Deleted {
        told: false,
        gone_at: Some(work.context.now()),
        edited: None,
        left: false,
        ..watched.deleted.clone()
    };
    let is_gone = matches!(fact, Fact::Gone | Fact::OutOfUse);
    let is_told = !conflicts.is_empty();
    // A listing that shows it as it was before our delete shows that it has changed.
    let seen = shown.map_or_else(
        || IndexedRecord::gone(record.clone()),
        |reading| reading.indexed(work.sync),
    );
    let confirmation = Confirmation {
        seen: vec![(side, seen)],
        changes,
        conflicts,
        link: Some(link.remembering(side, |memory| {
            memory.deleted = Some(gone).filter(|_| is_gone);
            // It is not told again when the event of the edit comes.
            memory.own_write.take_if(|_| is_told);
        })),
        ..Confirmation::default()
    };
    work.learn(confirmation).await.map(|()| None)
}

/// What the log says of a delete that was none, and of why the pair has ended then.
pub(super) fn taken_back(
    work: Work<'_>,
    link: &Link,
    watched: &Watched<'_>,
    now: &str,
) -> [Change; 2] {
    let (side, record) = (watched.side, watched.record);
    let connection = &work.sync.end(side).connection;
    let change = |operation: Operation, why: String| Change {
        link: Some(link.id),
        error: Some(why),
        ..work.change(operation, link.a.id.as_ref(), link.b.id.as_ref())
    };
    let none = format!(
        "{connection} answered our delete of record {record} with success at {}, and still shows it: it was not deleted; {now}",
        watched.deleted.at
    );
    let other = &work.sync.end(side.other()).connection;
    let partner = link.side(side.other()).id.as_ref();
    let partner = partner.map_or_else(String::new, |id| format!(" {id}"));
    let ended = format!(
        "record{partner} of {other} is gone; record {record} of {connection} was to be deleted too: {connection} said that it had deleted it, and still showed it at {}; {now}",
        work.context.now()
    );
    [
        Change {
            written: Some(side),
            outcome: Outcome::NotKept,
            ..change(Operation::Delete, none)
        },
        change(Operation::Unlink, ended),
    ]
}

/// What the log says of a record that was gone after our delete, and that somebody has taken back.
pub(super) fn there_again(
    work: Work<'_>,
    link: &Link,
    watched: &Watched<'_>,
    gone_at: Timestamp,
    now: &str,
) -> Change {
    let (side, record) = (watched.side, watched.record);
    let connection = &work.sync.end(side).connection;
    let other = &work.sync.end(side.other()).connection;
    let why = format!(
        "the partner in {other} is gone; record {record} of {connection} is there again: our delete of it was answered at {}, it was gone or out of use at {gone_at}, and somebody has taken it back; {now}",
        watched.deleted.at
    );
    Change {
        link: Some(link.id),
        error: Some(why),
        ..work.change(Operation::Unlink, link.a.id.as_ref(), link.b.id.as_ref())
    }
}
