//! Replaying, discarding and pruning events.

use serde::Serialize;
use tandem_domain::{EventId, JobId, Timestamp};
use tandem_store::{EventKind, EventState, NewEvent, StoreError};

use super::{jobs_of, state_of, targets_of};
use crate::jobs::enqueue::enqueue;
use crate::rows;
use crate::sql::{self, Failed};
use crate::tally::Counter;
use crate::txn::Txn;

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
) -> Result<Vec<JobId>, Failed> {
    let stored = sqlx::query(STORED_TRACE).bind(event.id.to_string());
    let Some(stored) = txn.first(stored).await? else {
        return Err(unknown(event));
    };
    let traceparent: Option<String> = rows::get(&stored, "traceparent")?;
    let standing = enqueue(txn, &jobs_of(event, traceparent.as_deref()), now).await?;
    let jobs: Vec<JobId> = standing.into_iter().map(|job| job.job).collect();
    if store_reading(txn, event, &jobs).await? != EventState::Accepted {
        for target in targets_of(event) {
            txn.tally.add(target.sync.as_str(), Counter::Events, 1);
        }
    }
    Ok(jobs)
}

fn unknown(event: &NewEvent) -> Failed {
    Failed::Store(StoreError::NotFound {
        what: "event",
        id: event.id.to_string(),
    })
}

const STORED_TRACE: &str = "-- trace_of_event
SELECT d.traceparent FROM events e JOIN deliveries d ON d.id = e.delivery WHERE e.id = $1";

/// Returns the state in which the event was.
async fn store_reading(
    txn: &mut Txn,
    event: &NewEvent,
    jobs: &[JobId],
) -> Result<EventState, Failed> {
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
    let Some(row) = txn.first(statement).await? else {
        return Err(unknown(event));
    };
    Ok(rows::word(&row, "was")?)
}

/// The event is locked first, so that of two replays at once each adds its jobs to those of the other.
const STORE_READING: &str = "-- store_reading
WITH stored AS MATERIALIZED (
    SELECT id, state, jobs FROM events WHERE id = $1 FOR NO KEY UPDATE
)
UPDATE events SET stream = r.stream, record = r.record, kind = r.kind, occurred_at = r.occurred_at,
                  clock_offset = r.clock_offset, state = r.state, problem = r.problem,
                  jobs = (stored.jobs::jsonb || r.jobs::jsonb)::text
FROM stored, json_to_record($2::json) AS r (
    stream text, record text, kind text, occurred_at bigint, clock_offset bigint, state text, problem text, jobs text)
WHERE events.id = stored.id
RETURNING stored.state AS was";

/// Marks quarantined events as discarded.
pub(super) async fn discard(
    txn: &mut Txn,
    ids: &[EventId],
    because: Option<&str>,
) -> Result<usize, Failed> {
    let statement = sqlx::query(DISCARD)
        .bind(sql::json("event", ids)?)
        .bind(because);
    txn.run(statement).await
}

const DISCARD: &str = "-- discard_events
WITH quarantined AS MATERIALIZED (
    SELECT id FROM events
    WHERE state = 'quarantined' AND id = ANY (ARRAY(SELECT json_array_elements_text($1::json)))
    ORDER BY id FOR NO KEY UPDATE
)
UPDATE events SET state = 'discarded', discarded_because = $2 FROM quarantined q WHERE events.id = q.id";

/// Removes old deliveries, and by the foreign key their events.
pub(super) async fn prune(txn: &mut Txn, before: Timestamp, limit: usize) -> Result<usize, Failed> {
    let statement = sqlx::query(PRUNE)
        .bind(before.as_micros())
        .bind(sql::limit(limit));
    txn.run(statement).await
}

/// Two processes that prune at once remove different deliveries.
const PRUNE: &str = "-- prune_events
WITH old AS MATERIALIZED (
    SELECT d.id FROM deliveries d
    WHERE d.received_at < $1
      AND NOT EXISTS (
          SELECT 1 FROM events e
          WHERE e.delivery = d.id
            AND (e.state = 'quarantined' OR EXISTS (
                SELECT 1 FROM json_array_elements_text(e.jobs::json) AS c (job)
                WHERE (SELECT j.state FROM jobs j WHERE j.id = c.job) IN ('available', 'running'))))
    ORDER BY d.received_at LIMIT $2 FOR UPDATE OF d SKIP LOCKED
)
DELETE FROM deliveries USING old WHERE deliveries.id = old.id";
