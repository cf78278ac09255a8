//! An edit that came in the moment between our reading and our write, and that the write went over. The value is
//! lost; that it was there is known from the event, so the change log and a person are told.

use std::time::Duration;

use tandem_domain::{ConflictId, Fields, RecordId, Side, Timestamp};
use tandem_store::{
    Change, ConflictKind, Event, EventKind, IntentOp, IntentState, Link, NewConflict, Operation,
    OwnWrite, ShownRecord, Trigger,
};

use super::pair::Pair;
use crate::executor::Work;
use crate::failure::WorkError;
use crate::readings::hint;

/// Events of a record that are looked at.
const EVENTS_MAX: usize = 20;
/// Only events that came after our reading, or hardly before, can be of an edit that it does not show.
const HEARD_BEFORE: Duration = Duration::from_secs(2);
/// What is known of a clock may have changed from one event to the next: an event this close to the change before may
/// be of that change.
const APART_FROM_BEFORE: Duration = Duration::from_secs(1);
/// Some systems tell of one change in several events, moments apart.
const APART_FROM_ECHO: Duration = Duration::from_millis(5);
/// So long after a write its echo, and what went under, are looked for.
const LOOKED_FOR: Duration = Duration::from_secs(300);

/// An edit that a write of ours went over.
pub(super) struct Overwritten {
    pub(super) side: Side,
    record: RecordId,
    event: Event,
    edited_at: Timestamp,
    written: Fields,
}

/// Looks for edits that our last write to each side went over. Events are only asked for when one has come for a record
/// that we wrote a moment ago.
pub(super) async fn find(
    work: Work<'_>,
    link: &Link,
    pair: &Pair,
) -> Result<Vec<Overwritten>, WorkError> {
    let mut found = Vec::new();
    for side in Side::BOTH {
        let state = link.side(side);
        let changed = pair
            .side(side)
            .and_then(|reading| reading.record.updated_at);
        let (Some(own), Some(record), Some(changed)) =
            (&state.memory.own_write, &state.id, changed)
        else {
            continue;
        };
        let job = &work.claimed.job;
        let is_recent = work.context.now().since(own.read_at) < LOOKED_FOR;
        let is_told = job.trigger == Trigger::Webhook && hint(job.hints, side).is_some();
        if own.after != Some(changed) || !is_recent || !is_told {
            continue;
        }
        if let Some(event) = event_between(work, side, record, own).await? {
            found.push(Overwritten {
                side,
                record: record.clone(),
                edited_at: event.occurred_at.unwrap_or(event.received_at),
                written: last_written(work, side, record).await?,
                event,
            });
        }
    }
    Ok(found)
}

/// The event of an edit between our reading and our write. Events carry times that were corrected by a clock that is
/// known to about a second; but the echo of our write is among them, and it happened when the record says. So the others
/// are placed by their distance from it.
async fn event_between(
    work: Work<'_>,
    side: Side,
    record: &RecordId,
    own: &OwnWrite,
) -> Result<Option<Event>, WorkError> {
    let (Some(before), Some(after)) = (own.before, own.after) else {
        return Ok(None);
    };
    let mut events = work.events_of(side, record, EVENTS_MAX).await?;
    let since = own.read_at.minus(HEARD_BEFORE);
    events.retain(|event| event.kind != EventKind::Deleted && event.received_at >= since);
    let Some(echo) = events.iter().filter_map(exact_time).max() else {
        return Ok(None);
    };
    let offset = after.as_micros() - echo.as_micros();
    let is_between = |event: &Event| {
        exact_time(event).is_some_and(|at| {
            let at = at.shifted(offset);
            at > before.plus(APART_FROM_BEFORE) && at < after.minus(APART_FROM_ECHO)
        })
    };
    Ok(events.into_iter().find(is_between))
}

/// A time in whole seconds is too coarse to say on which side of our write it lies.
fn exact_time(event: &Event) -> Option<Timestamp> {
    event
        .occurred_at
        .filter(|at| at.as_micros() % 1_000_000 != 0)
}

/// What our last confirmed write put there.
async fn last_written(work: Work<'_>, side: Side, record: &RecordId) -> Result<Fields, WorkError> {
    let store = &work.context.store;
    let intents = store.intents_of(&work.sync.name, record).await?;
    let last = intents.into_iter().rev().find(|intent| {
        intent.side == side
            && intent.op == IntentOp::Update
            && intent.state == IntentState::Confirmed
    });
    Ok(last.map(|intent| intent.fields).unwrap_or_default())
}

impl Overwritten {
    pub(super) fn question(
        &self,
        work: Work<'_>,
        link: &Link,
        shown: Vec<ShownRecord>,
    ) -> NewConflict {
        let connection = &work.sync.end(self.side).connection;
        tracing::warn!(sync = %work.sync.name, %connection, record = %self.record, event = %self.event.id, "an edit was overwritten that came while a write was on its way");
        NewConflict {
            id: ConflictId::new(work.context.now(), work.context.entropy.as_ref()),
            sync: work.sync.name.clone(),
            link: Some(link.id),
            side: self.side,
            record: self.record.clone(),
            kind: ConflictKind::Overwritten {
                edited_at: self.edited_at,
                event: self.event.id,
                written: self.written.clone(),
            },
            shown,
        }
    }

    pub(super) fn change(&self, work: Work<'_>, link: &Link) -> Change {
        let change = work.change(Operation::Overwrite, link.a.id.as_ref(), link.b.id.as_ref());
        Change {
            link: Some(link.id),
            error: Some(format!(
                "side {} was edited at {} (event {}), between our reading and our write, which went over it",
                self.side, self.edited_at, self.event.id
            )),
            ..change
        }
    }
}
