//! The inbox.

pub(crate) mod read;
mod record;
mod upkeep;

use async_trait::async_trait;
use tandem_domain::{EventId, JobId, Timestamp};
use tandem_store::{
    DeliveryOutcome, Event, EventFilter, EventState, EventStore, Hints, JobClass, JobKind,
    NewDelivery, NewEvent, NewJob, StoreError, Trigger,
};

use crate::singly::OfRecord;
use crate::{PostgresStore, txn};

#[async_trait]
impl EventStore for PostgresStore {
    async fn record_deliveries(
        &self,
        deliveries: Vec<NewDelivery>,
        now: Timestamp,
    ) -> Result<Vec<DeliveryOutcome>, StoreError> {
        txn::write(&self.pool, (deliveries, now), |txn, (deliveries, now)| {
            Box::pin(record::record(txn, deliveries, *now))
        })
        .await
    }

    async fn events(&self, filter: &EventFilter) -> Result<Vec<Event>, StoreError> {
        if let Some(asked) = OfRecord::of(filter)
            && let Some(events) = self.events.call(asked).await?
        {
            return Ok(events);
        }
        read::events(&self.pool, filter).await
    }

    async fn event(&self, id: EventId) -> Result<Option<Event>, StoreError> {
        read::event(&self.pool, id).await
    }

    async fn replay_event(
        &self,
        event: NewEvent,
        now: Timestamp,
    ) -> Result<Vec<JobId>, StoreError> {
        txn::write(&self.pool, (event, now), |txn, (event, now)| {
            Box::pin(upkeep::replay(txn, event, *now))
        })
        .await
    }

    async fn discard_events(
        &self,
        ids: &[EventId],
        because: Option<&str>,
        _now: Timestamp,
    ) -> Result<usize, StoreError> {
        let because = because.map(|text| crate::sql::plain(text).into_owned());
        txn::write(
            &self.pool,
            (ids.to_vec(), because),
            |txn, (ids, because)| Box::pin(upkeep::discard(txn, ids, because.as_deref())),
        )
        .await
    }

    async fn prune_events(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        txn::write(&self.pool, (before, limit), |txn, (before, limit)| {
            Box::pin(upkeep::prune(txn, *before, *limit))
        })
        .await
    }
}

/// Where an event stands by what it says.
fn state_of(event: &NewEvent) -> EventState {
    if event.problem.is_some() {
        EventState::Quarantined
    } else if targets_of(event).is_empty() {
        EventState::Ignored
    } else {
        EventState::Accepted
    }
}

/// The syncs that an event wakes: none while it cannot be understood, or names no record.
fn targets_of(event: &NewEvent) -> &[tandem_store::JobTarget] {
    if event.problem.is_some() || event.record.is_none() {
        &[]
    } else {
        &event.targets
    }
}

/// The jobs that an event causes, one a target.
fn jobs_of(event: &NewEvent, traceparent: Option<&str>) -> Vec<NewJob> {
    let Some(record) = &event.record else {
        return Vec::new();
    };
    targets_of(event)
        .iter()
        .map(|target| NewJob {
            id: target.job,
            kind: JobKind::Reconcile {
                sync: target.sync.clone(),
                side: target.side,
                record: record.clone(),
            },
            class: JobClass::Interactive,
            trigger: Trigger::Webhook,
            run_at: target.run_at,
            hints: hints_of(event, target.side),
            traceparent: traceparent.map(ToOwned::to_owned),
        })
        .collect()
}

fn hints_of(event: &NewEvent, side: tandem_domain::Side) -> Hints {
    match side {
        tandem_domain::Side::A => Hints {
            edited_a: event.occurred_at,
            edited_b: None,
        },
        tandem_domain::Side::B => Hints {
            edited_a: None,
            edited_b: event.occurred_at,
        },
    }
}
