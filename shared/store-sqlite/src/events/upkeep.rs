//! Replaying, discarding and pruning events.

use serde::Serialize;
use tandem_domain::{EventId, JobId, Timestamp};
use tandem_store::{EventKind, EventState, NewEvent, StoreError};

use super::{jobs_of, state_of, targets_of};
use crate::jobs::enqueue::enqueue;
use crate::tally::Counter;
use crate::writer::Txn;
use crate::{rows, sql};

#[derive(Serialize)]
struct Reading<'a> {
    stream: Option<&'a str>,
    record: Option<&'a str>,
    kind: EventKind,
    occurred_at: Option<i64>,
    clock_offset: i64,
    state: EventState,
    problem: Option<&'a str>,
    jobs: &'a [JobId],
}

/// Stores a new reading of an event, and enqueues its jobs.
pub(super) async fn replay(
    txn: &mut Txn,
    event: &NewEvent,
    now: Timestamp,
) -> Result<Vec<JobId>, StoreError> {
    let found = txn
        .first(sqlx::query(STORED).bind(event.id.to_string()))
        .await?;
    let Some(stored) = found else {
        return Err(StoreError::NotFound {
            what: "event",
            id: event.id.to_string(),
        });
    };
    let traceparent: Option<String> = rows::get(&stored, "traceparent")?;
    let standing = enqueue(txn, &jobs_of(event, traceparent.as_deref()), now).await?;
    let mut jobs: Vec<JobId> = rows::document(&stored, "jobs")?;
    jobs.extend(standing.iter().map(|job| job.job));
    let was: EventState = rows::word(&stored, "state")?;
    if was != EventState::Accepted {
        for target in targets_of(event) {
            txn.tally.add(target.sync.as_str(), Counter::Events, 1);
        }
    }
    store_reading(txn, event, &jobs).await?;
    Ok(standing.into_iter().map(|job| job.job).collect())
}

const STORED: &str = "-- stored_event
SELECT e.state, e.jobs, d.traceparent FROM events e JOIN deliveries d ON d.id = e.delivery
WHERE e.id = ?1";

async fn store_reading(txn: &mut Txn, event: &NewEvent, jobs: &[JobId]) -> Result<(), StoreError> {
    let reading = Reading {
        stream: event.stream.as_ref().map(tandem_domain::StreamName::as_str),
        record: event.record.as_ref().map(tandem_domain::RecordId::as_str),
        kind: event.kind,
        occurred_at: event.occurred_at.map(Timestamp::as_micros),
        clock_offset: event.clock_offset,
        state: state_of(event),
        problem: event.problem.as_deref(),
        jobs,
    };
    let statement = sqlx::query(STORE_READING)
        .bind(event.id.to_string())
        .bind(sql::json("event", &reading)?);
    txn.run(statement).await.map(|_| ())
}

const STORE_READING: &str = "-- store_reading
UPDATE events SET stream = ?2 ->> 'stream', record = ?2 ->> 'record', kind = ?2 ->> 'kind',
                  occurred_at = ?2 ->> 'occurred_at', clock_offset = ?2 ->> 'clock_offset',
                  state = ?2 ->> 'state',
                  problem = ?2 ->> 'problem', jobs = ?2 ->> 'jobs'
WHERE id = ?1";

/// Marks quarantined events as discarded.
pub(super) async fn discard(
    txn: &mut Txn,
    ids: &[EventId],
    because: Option<String>,
) -> Result<usize, StoreError> {
    let statement = sqlx::query(DISCARD)
        .bind(sql::json("event", ids)?)
        .bind(because);
    txn.run(statement).await
}

const DISCARD: &str = "-- discard_events
UPDATE events SET state = 'discarded', discarded_because = ?2
WHERE state = 'quarantined' AND id IN (SELECT value FROM json_each(?1))";

/// Removes old deliveries, and by the foreign key their events.
pub(super) async fn prune(
    txn: &mut Txn,
    before: Timestamp,
    limit: usize,
) -> Result<usize, StoreError> {
    let statement = sqlx::query(PRUNE)
        .bind(before.as_micros())
        .bind(sql::limit(limit));
    txn.run(statement).await
}

const PRUNE: &str = "-- prune_events
DELETE FROM deliveries WHERE rowid IN (
    SELECT d.rowid FROM deliveries d
    WHERE d.received_at < ?1
      AND NOT EXISTS (
          SELECT 1 FROM events e
          WHERE e.delivery = d.id
            AND (e.state = 'quarantined' OR EXISTS (
                SELECT 1 FROM json_each(e.jobs) c JOIN jobs j ON j.id = c.value
                WHERE j.state IN ('available', 'running'))))
    ORDER BY d.received_at LIMIT ?2)";
