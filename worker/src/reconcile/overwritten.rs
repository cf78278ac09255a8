//! An edit that came in the moment between our reading and our write, and that the write went over. The value is
//! lost; that it was there is known from the event, so the change log and a person are told.

use tandem_domain::{ConflictId, Fields, RecordId, Side, Timestamp};
use tandem_store::{
    Change, ConflictKind, Event, EventFilter, EventKind, IntentOp, IntentState, Link, NewConflict,
    Operation, OwnWrite, ShownRecord,
};

use super::pair::Pair;
use crate::executor::Work;
use crate::failure::WorkError;
use crate::readings::hint;

/// Events of a record that are looked at.
const EVENTS_MAX: usize = 20;
/// An event this close to our own change may be its echo, told with another clock.
const ECHO_MICROS: i64 = 2_000;

/// An edit that a write of ours went over.
pub(super) struct Overwritten {
    pub(super) side: Side,
    record: RecordId,
    event: Event,
    edited_at: Timestamp,
    written: Fields,
}

/// Looks for edits that our last write to each side went over. Events are only asked for when there is a reason: more
/// than one cause came for the pair, or the cause was earlier than our write.
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
        let is_hinted = job.merged > 0 || hint(job.hints, side).is_some_and(|told| told < changed);
        if own.after != Some(changed) || !is_hinted {
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

async fn event_between(
    work: Work<'_>,
    side: Side,
    record: &RecordId,
    own: &OwnWrite,
) -> Result<Option<Event>, WorkError> {
    let (Some(before), Some(after)) = (own.before, own.after) else {
        return Ok(None);
    };
    let filter = EventFilter {
        connection: Some(work.sync.end(side).connection.clone()),
        record: Some(record.clone()),
        limit: EVENTS_MAX,
        ..EventFilter::default()
    };
    let latest = Timestamp::from_micros(after.as_micros() - ECHO_MICROS);
    let is_between = |event: &Event| {
        event.kind != EventKind::Deleted
            && event.occurred_at.is_some_and(|at| {
                // A time in whole seconds is too coarse to say on which side of our write it lies.
                at > before && at < latest && at.as_micros() % 1_000_000 != 0
            })
    };
    let events = work.context.store.events(&filter).await?;
    Ok(events.into_iter().find(is_between))
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
