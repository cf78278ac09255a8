//! An edit that our delete went over, where the system compares no versions: it came in the moment between our last
//! reading and our delete, or while that was under way. The record is gone; that somebody edited it is known from the
//! event, so the change log and a person are told.

use tandem_domain::{ConflictId, Fields, RecordId, Side, Timestamp};
use tandem_store::{
    Change, Confirmation, ConflictKind, Event, EventKind, Intent, IntentOp, JobOutcome, Link,
    NewConflict, Operation, OwnWrite,
};

use super::changed::has_usable_times;
use super::events_around::{APART_FROM_BEFORE, APART_FROM_ECHO, HEARD_BEFORE, exact_time};
use super::linked::Open;
use super::overwritten::LOOKED_FOR;
use super::pair::{CLOCK_SLACK, Pair};
use super::questions::shown_as_agreed;
use super::sending::{Carried, write_to};
use crate::executor::Work;
use crate::failure::WorkError;
use crate::jobs::Performed;

/// What is remembered of a delete of ours, so that an edit which it went over is known when its event comes.
pub(super) fn remembered(open: &Open, carried: &[Carried], side: Side) -> Option<OwnWrite> {
    let deletes = |intent: &&Intent| intent.side == side && intent.op == IntentOp::Delete;
    let carried = write_to(carried, side).map(|one| &one.intent);
    let delete = carried
        .filter(deletes)
        .or_else(|| open.late_intents().find(deletes))?;
    let reading = open.pair.side(side);
    let last_known = open.link.side(side).updated_at;
    Some(OwnWrite {
        before: reading.map_or(last_known, |reading| reading.record.updated_at),
        after: None,
        read_at: delete.created_at,
        replaced: String::new(),
        fields: Vec::new(),
        wrote: Vec::new(),
        others_moved: false,
        made: false,
        unread: false,
        left: String::new(),
    })
}

/// Tells of an edit that our delete of this record went over, once.
pub(super) async fn tell(
    work: Work<'_>,
    link: &Link,
    side: Side,
    record: &RecordId,
    pair: &Pair,
) -> Result<Option<Performed>, WorkError> {
    let own = link.side(side).memory.own_write.as_ref();
    let Some(own) = own.filter(|own| own.after.is_none()) else {
        return Ok(None);
    };
    let is_recent = work.context.now().since(own.read_at) < LOOKED_FOR;
    if !is_recent {
        return Ok(None);
    }
    let Some(event) = edit_before(work, side, record, own, pair).await? else {
        return Ok(None);
    };
    let sent = delete_sent(work, side, record).await?;
    let confirmation = told(work, link, side, record, (&event, sent));
    work.confirm(confirmation).await.map(Some)
}

/// The event of an edit that came after the last change that we had seen, and before our delete.
async fn edit_before(
    work: Work<'_>,
    side: Side,
    record: &RecordId,
    own: &OwnWrite,
    pair: &Pair,
) -> Result<Option<Event>, WorkError> {
    let Some(before) = own.before else {
        return Ok(None);
    };
    let offset = work.sync.end(side).connector.clock_offset_micros();
    let from = before.plus(APART_FROM_BEFORE);
    let since = own.read_at.minus(HEARD_BEFORE);
    let mut events = work.events_of(side, record).await?;
    events.retain(|event| event.received_at >= since);
    let until = ours(&events, pair, side);
    let is_edit = |event: &Event| {
        let received = event.received_at.shifted(offset);
        let heard = has_usable_times(work, side).then_some(received);
        let is_between = |at| at > from && until.is_none_or(|until| at < until);
        event.kind != EventKind::Deleted && event.said_at().or(heard).is_some_and(is_between)
    };
    Ok(events.into_iter().find(is_edit))
}

/// When we deleted it, by the events: some systems tell of a delete as such, and where it is out of use and still there,
/// the last event is of that.
fn ours(events: &[Event], pair: &Pair, side: Side) -> Option<Timestamp> {
    let deleted = events
        .iter()
        .filter(|event| event.kind == EventKind::Deleted)
        .filter_map(Event::said_at)
        .max();
    let is_out_of_use = pair.side(side).is_some();
    let last = || events.iter().filter_map(exact_time).max();
    let echo = deleted.or_else(|| is_out_of_use.then(last).flatten());
    echo.map(|echo| echo.minus(APART_FROM_ECHO))
}

/// When our last delete of a record went out.
async fn delete_sent(
    work: Work<'_>,
    side: Side,
    record: &RecordId,
) -> Result<Option<Timestamp>, WorkError> {
    let store = &work.context.store;
    let intents = store.intents_of(&work.sync.name, record).await?;
    let ours = |intent: &&Intent| intent.side == side && intent.op == IntentOp::Delete;
    let deletes = intents.iter().filter(ours);
    Ok(deletes.filter_map(|intent| intent.sent_at).max())
}

/// Where the edit lies beside our delete, as far as the clocks say.
fn beside(work: Work<'_>, side: Side, event: &Event, sent: Option<Timestamp>) -> String {
    let offset = work.sync.end(side).connector.clock_offset_micros();
    let said = event.said_at().map(|at| at.shifted(-offset));
    let said = said.filter(|_| has_usable_times(work, side));
    match (said, sent) {
        (Some(edited), Some(sent)) if edited > sent.plus(CLOCK_SLACK) => {
            format!("after our delete had gone out at {sent}, and before it took effect")
        }
        (Some(edited), Some(sent)) if edited.plus(CLOCK_SLACK) < sent => {
            "between our last reading and our delete".to_owned()
        }
        _ => {
            "at about the time at which our delete went out, and after our last reading".to_owned()
        }
    }
}

fn told(
    work: Work<'_>,
    link: &Link,
    side: Side,
    record: &RecordId,
    (event, sent): (&Event, Option<Timestamp>),
) -> Confirmation {
    let edited_at = event.occurred_at.unwrap_or(event.received_at);
    let connection = &work.sync.end(side).connection;
    tracing::warn!(sync = %work.sync.name, %connection, %record, event = %event.id, "our delete of a record went over an edit of it");
    let question = NewConflict {
        id: ConflictId::new(work.context.now(), work.context.entropy.as_ref()),
        sync: work.sync.name.clone(),
        link: Some(link.id),
        side,
        record: record.clone(),
        kind: ConflictKind::Overwritten {
            edited_at: Some(edited_at),
            event: Some(event.id),
            written: Fields::new(),
            met: None,
        },
        shown: vec![shown_as_agreed(record.clone(), side, &link.base)],
    };
    let change = Change {
        link: Some(link.id),
        error: Some(format!(
            "side {side} was edited at {edited_at} (event {}), {}; the edit is gone with the record",
            event.id,
            beside(work, side, event, sent)
        )),
        ..work.change(Operation::Overwrite, link.a.id.as_ref(), link.b.id.as_ref())
    };
    Confirmation {
        conflicts: vec![question],
        changes: vec![change],
        link: Some(link.remembering(side, |memory| memory.own_write = None)),
        outcome: Some(JobOutcome::Done {
            note: "retired: its partner was deleted, and so was an edit of it".to_owned(),
        }),
        ..Confirmation::default()
    }
}
