//! A delete that a system answered with success and did not carry out: it ignores deletes, archives them for later, or a
//! permission drops them. Nobody can tell that from a system that is behind, or deletes in its own time: so the record is
//! looked at again, after waits that grow, and only then a person is told, once. It is not sent again by itself, and the
//! record that is gone is not made again for it.

use std::time::Duration;

use tandem_domain::{ConflictId, RecordId, Side};
use tandem_runtime::SyncDefinition;
use tandem_store::{
    Change, Confirmation, ConflictKind, ConflictState, Deleted, EventKind, Fact, IntentOp,
    JobOutcome, Link, LinkState, LinkUpdate, NewConflict, Operation, Outcome, PairContext,
    QuestionKind, Resolution, Ruling, SideState, Waiting,
};

use super::linked::Open;
use super::looks::pause;
use super::moot::{give_up, takes_no_part};
use super::pair::{CLOCK_SLACK, Pair};
use super::questions::shown_as_agreed;
use super::revive::{in_use, is_another};
use super::sending::{Carried, write_to};
use super::unlinked::{is_linked, takes_none};
use crate::executor::{SUPERSEDED_PAUSE, Work};
use crate::failure::WorkError;
use crate::jobs::Performed;
use crate::readings::Reading;

/// A system is given so long to show that a record is gone, before it is looked at the first time.
const FIRST_LOOK: Duration = Duration::from_secs(5);
/// However short a record that is missing is doubted, one that was deleted is looked at twice.
const WATCHED_MIN: Duration = Duration::from_secs(10);
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
struct Watched<'l> {
    side: Side,
    record: &'l RecordId,
    deleted: &'l Deleted,
}

fn watched(link: &Link) -> Option<Watched<'_>> {
    Side::BOTH.into_iter().find_map(|side| {
        let state = link.side(side);
        Some(Watched {
            side,
            record: state.id.as_ref()?,
            deleted: state.memory.deleted.as_ref()?,
        })
    })
}

/// Looks whether what we deleted is gone, and ends the job where it is not, and its partner is.
pub(super) async fn look(
    work: Work<'_>,
    link: &Link,
    pair: &Pair,
    context: &PairContext,
) -> Result<Option<Performed>, WorkError> {
    let Some(watched) = watched(link) else {
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
        return over(work, link, &watched, fact).await;
    };
    if is_taken {
        return over(work, link, &watched, Fact::Linked).await;
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
    if watched.deleted.told {
        let note = "held: a person must say what becomes of a record that was not deleted";
        return Ok(context.not_deleted.map(|_| Performed::done(note)));
    }
    match wait(work, watched.deleted) {
        Some(wait) => Ok(Some(work.again_after(wait, Waiting::Elsewhere))),
        // Its system told of the delete: somebody has taken it out of the bin since.
        None if was_told_of(work, &watched).await? => over(work, link, &watched, Fact::Gone).await,
        None => ask(work, link, &watched, stands).await.map(Some),
    }
}

/// Whether an event has said since that the record was deleted.
async fn was_told_of(work: Work<'_>, watched: &Watched<'_>) -> Result<bool, WorkError> {
    let events = work.events_of(watched.side, watched.record).await?;
    let since = watched.deleted.at.minus(CLOCK_SLACK);
    let mut ends = events.iter().filter(|it| it.kind == EventKind::Deleted);
    Ok(ends.any(|event| event.received_at >= since))
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
    fact: Fact,
) -> Result<Option<Performed>, WorkError> {
    let since = work.context.now().since(watched.deleted.at);
    if let Some(left) = FIRST_LOOK.checked_sub(since).filter(|left| !left.is_zero()) {
        // Another cause came first, and this job has taken the place of the one that was to look.
        return Ok(Some(work.again_after(left, Waiting::Elsewhere)));
    }
    let mut changes = Vec::new();
    if watched.deleted.told {
        takes_no_part(work, watched.side, watched.record, fact).await?;
    } else if fact == Fact::Linked {
        changes.extend(taken_back(
            work,
            link,
            watched,
            "it has another partner by now",
        ));
    }
    let confirmation = Confirmation {
        changes,
        link: Some(link.remembering(watched.side, |memory| memory.deleted = None)),
        ..Confirmation::default()
    };
    work.learn(confirmation).await.map(|()| None)
}

/// What the log says of a delete that was none, and of why the pair has ended then.
fn taken_back(work: Work<'_>, link: &Link, watched: &Watched<'_>, now: &str) -> [Change; 2] {
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

/// Tells a person, and has the log say so.
async fn ask(
    work: Work<'_>,
    link: &Link,
    watched: &Watched<'_>,
    stands: &Reading,
) -> Result<Performed, WorkError> {
    let (side, record, deleted) = (watched.side, watched.record, watched.deleted);
    let now = work.context.now();
    let connection = &work.sync.end(side).connection;
    let mut shown = vec![stands.shown(side)];
    let partner = link.side(side.other()).id.clone();
    shown.extend(partner.map(|partner| shown_as_agreed(partner, side.other(), &link.base)));
    let edited = stands.checksum() != deleted.checksum;
    let question = NewConflict {
        id: ConflictId::new(now, work.context.entropy.as_ref()),
        sync: work.sync.name.clone(),
        // The pair has ended: it is about the record alone.
        link: None,
        side,
        record: record.clone(),
        kind: ConflictKind::NotDeleted {
            system: connection.to_string(),
            answered_at: deleted.at,
            seen_at: now,
            edited,
        },
        shown,
    };
    let left = if edited {
        "it was edited since, and is left alone unless a person says otherwise"
    } else {
        "it is left alone unless a person says otherwise"
    };
    let confirmation = Confirmation {
        conflicts: vec![question],
        changes: taken_back(work, link, watched, left).into(),
        link: Some(link.remembering(side, |memory| {
            memory.own_write = None;
            memory.deleted = Some(Deleted {
                told: true,
                ..deleted.clone()
            });
        })),
        outcome: Some(JobOutcome::Done {
            note: format!("held: {connection} did not delete record {record}, though it said so"),
        }),
        ..Confirmation::default()
    };
    // It is no write that was carried over: what measures those does not count it.
    if work.learned(confirmation).await? {
        tracing::warn!(sync = %work.sync.name, %connection, %record, answered_at = %deleted.at, "a system answered our delete with success and shows the record still; it is not sent again until a person says so");
        Ok(Performed::Settled)
    } else {
        Ok(work.again_after(SUPERSEDED_PAUSE, Waiting::Superseded))
    }
}

/// A person has said to leave the record as it is.
async fn left_alone(
    work: Work<'_>,
    link: &Link,
    watched: &Watched<'_>,
    question: ConflictId,
) -> Result<Performed, WorkError> {
    let connection = &work.sync.end(watched.side).connection;
    let confirmation = Confirmation {
        link: Some(link.remembering(watched.side, |memory| memory.deleted = None)),
        used_rulings: vec![question],
        outcome: Some(JobOutcome::Done {
            note: format!(
                "retired: a person said to leave record {} of {connection} as it is",
                watched.record
            ),
        }),
        ..Confirmation::default()
    };
    work.confirm(confirmation).await
}

/// The pair is one again, and the next step carries the delete over as any: where the partner is there after all, or the
/// record was edited, it ends as it does for others.
async fn send_again(work: Work<'_>, link: &Link, ruling: &Ruling) -> Result<Performed, WorkError> {
    for (side, record) in link.records() {
        if is_linked(work, side, record).await? {
            let answered = (ruling.conflict, ConflictState::Answered);
            return give_up(work, answered, Fact::PairEnded).await;
        }
    }
    let state = |side: Side| {
        let mut state: SideState = link.side(side).clone();
        state.memory.deleted = None;
        state.memory.own_write = None;
        state
    };
    let confirmation = Confirmation {
        link: Some(LinkUpdate::Update {
            id: link.id,
            expected_revision: link.revision,
            a: state(Side::A),
            b: state(Side::B),
            base: link.base.clone(),
            state: LinkState::Active,
        }),
        outcome: Some(work.next_step()),
        ..Confirmation::default()
    };
    work.confirm(confirmation).await
}
