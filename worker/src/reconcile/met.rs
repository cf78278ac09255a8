//! A create of ours that was answered with a record which stood there: some systems update a record with the same key
//! and answer with it. What it held has gone under our values, and nobody has read it. So a person is told; what it holds
//! beside our values is somebody's, and goes to the other side as when two records are compared for the first time.
//!
//! What a record holds in a field for which we had no value does not say so: it may be a default, also where other records
//! were left without one.

use std::time::Duration;

use tandem_domain::{
    ConflictId, EventId, Fields, IntentId, LinkId, RecordId, Side, Timestamp, Value,
};
use tandem_engine::{Between, NotKept};
use tandem_store::{
    Change, ConflictKind, Event, EventKind, Intent, IntentOp, IntentState, NewConflict, Operation,
    ShownRecord,
};

use super::changed::has_usable_times;
use super::pair::CLOCK_SLACK;
use crate::executor::{Work, shows_field};
use crate::failure::WorkError;
use crate::readings::Reading;

/// An id may be given again. An event from longer ago may be of the record that bore it before.
const HEARD_WITHIN: Duration = Duration::from_secs(3_600);
/// How far a clock may be off of a system that does not say when a record was last changed.
const CLOCK_SLACK_ALONE: Duration = Duration::from_secs(60);
const MINUTE: i64 = 60_000_000;

/// A record that a create of ours met.
#[derive(Clone)]
pub(super) struct Stood {
    /// What says so, in words.
    pub(super) how: String,
    pub(super) event: Option<EventId>,
    /// When it was there at the latest, as far as is known.
    pub(super) at: Option<Timestamp>,
}

/// What says that the record with which a create was answered stood there before. `took` is how long the answer took.
pub(super) async fn look(
    work: Work<'_>,
    intent: &Intent,
    created: &Reading,
    took: Duration,
) -> Result<Option<Stood>, WorkError> {
    let stood = find(work, intent, created, took).await?;
    match stood {
        Some(stood) if may_be_an_earlier_one(work, intent, stood.at).await? => Ok(None),
        stood => Ok(stood),
    }
}

/// Whether a record was there before a create was planned, and has not changed since: the create has not even gone over it.
pub(super) async fn stood_before(
    work: Work<'_>,
    intent: &Intent,
    reading: &Reading,
) -> Result<bool, WorkError> {
    let changed = changed_at(reading).filter(|_| has_usable_times(work, intent.side));
    let at = match changed {
        Some(changed) => {
            let offset = work.sync.end(intent.side).connector.clock_offset_micros();
            let slack = CLOCK_SLACK + CLOCK_SLACK_ALONE + coarseness(changed);
            let is_before = changed.shifted(-offset).plus(slack) < intent.created_at;
            is_before.then(|| changed.shifted(-offset))
        }
        None => {
            let events = work.events_of(intent.side, &reading.record.id).await?;
            heard_before(intent.created_at, &events).map(|event| event.received_at)
        }
    };
    match at {
        Some(at) => Ok(!may_be_an_earlier_one(work, intent, Some(at)).await?),
        None => Ok(false),
    }
}

async fn find(
    work: Work<'_>,
    intent: &Intent,
    created: &Reading,
    took: Duration,
) -> Result<Option<Stood>, WorkError> {
    if let Some(stood) = by_reference(intent, created) {
        return Ok(Some(stood));
    }
    if let Some(stood) = by_times(work, intent, created, took) {
        return Ok(Some(stood));
    }
    let events = work.events_of(intent.side, &created.record.id).await?;
    Ok(heard_before(intent.created_at, &events).map(by_event))
}

/// Whether an earlier create for the same source may have made what stood there `at` some time, and nobody has heard of
/// that: then it is ours.
async fn may_be_an_earlier_one(
    work: Work<'_>,
    intent: &Intent,
    at: Option<Timestamp>,
) -> Result<bool, WorkError> {
    let Some(source) = &intent.source else {
        return Ok(false);
    };
    let store = &work.context.store;
    let intents = store.intents_of(&work.sync.name, source).await?;
    Ok(intents.iter().any(|earlier| {
        earlier.id != intent.id
            && earlier.side == intent.side
            && earlier.op == IntentOp::Create
            && earlier.source == intent.source
            && earlier.sends > 0
            && earlier.state != IntentState::Confirmed
            && at.is_none_or(|at| at.plus(CLOCK_SLACK) >= earlier.created_at)
    }))
}

/// The reference of another create of ours.
fn by_reference(intent: &Intent, created: &Reading) -> Option<Stood> {
    let reference = created.record.reference.as_deref()?;
    let other = reference.parse::<IntentId>().ok()?;
    (other != intent.id).then(|| Stood {
        how: format!("it bears the reference of an earlier create of ours, {other}"),
        event: None,
        at: None,
    })
}

/// A record that was made before we sent anything, by its own times and our clock. Both must say so: clocks are known to
/// about a second, and some not at all.
fn by_times(work: Work<'_>, intent: &Intent, created: &Reading, took: Duration) -> Option<Stood> {
    if !has_usable_times(work, intent.side) {
        return None;
    }
    let made = created.record.created_at?;
    let offset = work.sync.end(intent.side).connector.clock_offset_micros();
    let by_our_clock = made.shifted(-offset);
    let slack = CLOCK_SLACK + coarseness(made);
    let is_before = |slack: Duration| by_our_clock.plus(slack) < intent.created_at;
    let is_old = match changed_at(created) {
        Some(changed) => is_before(slack) && changed.since(made) > took + slack,
        None => is_before(slack + CLOCK_SLACK_ALONE),
    };
    is_old.then(|| Stood {
        how: format!("it was made at {by_our_clock}, by its system"),
        event: None,
        at: Some(by_our_clock),
    })
}

/// When a record was last changed, by its system's clock. A local time that comes twice may be read as one from before the
/// record was made: then it is the second of both.
fn changed_at(reading: &Reading) -> Option<Timestamp> {
    let record = &reading.record;
    let is_possible = |at: &Timestamp| record.created_at.is_none_or(|made| *at >= made);
    let times = [record.updated_at, record.updated_again];
    let mut possible = times.into_iter().flatten().filter(is_possible);
    possible.next().or(record.updated_at)
}

/// Whether a create whose answer was lost has gone over a record: it was made before and changed since, and shows all that
/// we sent. Systems that keep our reference with what they make do not give it to what stands there.
pub(super) fn went_over(work: Work<'_>, intent: &Intent, found: &Reading) -> bool {
    let offset = work.sync.end(intent.side).connector.clock_offset_micros();
    let changed = changed_at(found).map(|at| at.shifted(-offset));
    let is_since = changed.is_some_and(|at| at.plus(CLOCK_SLACK) >= intent.created_at);
    let mut sent = intent.fields.iter();
    is_since
        && by_times(work, intent, found, Duration::ZERO).is_some()
        && sent.all(|(field, value)| shows_field(work.sync, field, value, &found.fields))
}

/// How much later than it says a record may have been made: some systems keep the minute or the day alone.
const fn coarseness(made: Timestamp) -> Duration {
    let micros = made.as_micros();
    if micros % (15 * MINUTE) == 0 {
        // A day begins at a quarter of an hour, wherever it begins.
        Duration::from_secs(86_400)
    } else if micros % MINUTE == 0 {
        Duration::from_secs(60)
    } else {
        Duration::ZERO
    }
}

/// An event of the record that was heard before anything was sent.
pub(super) fn heard_before(sent: Timestamp, events: &[Event]) -> Option<&Event> {
    let mut of_this_one = events
        .iter()
        .take_while(|event| event.kind != EventKind::Deleted);
    of_this_one
        .find(|event| event.received_at < sent && sent.since(event.received_at) < HEARD_WITHIN)
}

pub(super) fn by_event(event: &Event) -> Stood {
    Stood {
        how: format!("the event {} told of it before", event.id),
        event: Some(event.id),
        at: Some(event.occurred_at.unwrap_or(event.received_at)),
    }
}

fn has_value(fields: &Fields, field: &str) -> bool {
    fields.get(field).is_some_and(|value| !value.is_null())
}

/// A question that a field of a new record raises, with what else went to the record: where we had no value for the
/// field, what stands there may be of a record that the create met.
pub(super) fn beside(intent: &Intent, lost: &NotKept) -> Fields {
    let is_of_create = intent.op == IntentOp::Create && intent.side == lost.side;
    let is_unsent = !has_value(&intent.fields, &lost.field);
    if is_of_create && is_unsent && !lost.kept.is_null() {
        intent.fields.clone()
    } else {
        Fields::new()
    }
}

impl Stood {
    /// The fields that our values went to: where the answer held the record, those in which they stand. Later somebody may
    /// have edited them.
    fn written(work: Work<'_>, intent: &Intent, (created, between): (&Reading, Between)) -> Fields {
        let stands = |(field, value): &(&String, &Value)| {
            between != Between::Nobody || shows_field(work.sync, field, value, &created.fields)
        };
        let ours = intent.fields.iter().filter(stands);
        ours.map(|(field, value)| (field.clone(), value.clone()))
            .collect()
    }

    /// What happened, in words.
    pub(super) fn over(&self, side: Side, record: &RecordId, written: &Fields) -> String {
        let fields: Vec<&str> = written.keys().map(String::as_str).collect();
        format!(
            "our create on side {side} was answered with {record}, which stood there before: {}; what it held in {} is not known",
            self.how,
            fields.join(", ")
        )
    }

    /// What a person is asked, and what the log says.
    pub(super) fn told(
        &self,
        work: Work<'_>,
        link: LinkId,
        intent: &Intent,
        (created, between, shown): (&Reading, Between, Vec<ShownRecord>),
        pair: (Option<&RecordId>, Option<&RecordId>),
    ) -> Option<(NewConflict, Change)> {
        let written = Self::written(work, intent, (created, between));
        if written.is_empty() {
            return None;
        }
        let (side, record) = (intent.side, &created.record.id);
        let connection = &work.sync.end(side).connection;
        tracing::warn!(sync = %work.sync.name, %connection, %record, how = self.how, "a create of ours was answered with a record that stood there, and went over it");
        let change = Change {
            link: Some(link),
            error: Some(self.over(side, record, &written)),
            ..work.change(Operation::Overwrite, pair.0, pair.1)
        };
        let question = NewConflict {
            id: ConflictId::new(work.context.now(), work.context.entropy.as_ref()),
            sync: work.sync.name.clone(),
            link: Some(link),
            side,
            record: record.clone(),
            kind: ConflictKind::Overwritten {
                edited_at: self.at,
                event: self.event,
                written,
                met: Some(self.how.clone()),
            },
            shown,
        };
        Some((question, change))
    }
}
