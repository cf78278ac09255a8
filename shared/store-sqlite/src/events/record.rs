//! Storing deliveries: duplicates are found first, so that they cost one look-up and write nothing.

use std::collections::HashSet;
use std::ops::Range;

use serde::Serialize;
use tandem_domain::{JobId, Timestamp};
use tandem_store::{DeliveryOutcome, EventKind, EventState, NewDelivery, NewEvent, StoreError};

use super::{jobs_of, state_of, targets_of};
use crate::jobs::enqueue::{Standing, enqueue};
use crate::tally::Counter;
use crate::writer::Txn;
use crate::{rows, sql};

/// Bodies are handed to SQLite joined, as one value; this is the most that one statement takes.
const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;

#[derive(Serialize)]
struct DeliveryRow<'a> {
    id: String,
    connection: &'a str,
    received_at: i64,
    secret_index: usize,
    traceparent: Option<&'a str>,
    headers: String,
    /// Where the body begins in the joined bodies, counted from one, and how long it is.
    start: usize,
    length: usize,
}

#[derive(Serialize)]
struct EventRow<'a> {
    id: String,
    delivery: String,
    connection: &'a str,
    dedupe_key: &'a str,
    stream: Option<&'a str>,
    record: Option<&'a str>,
    kind: EventKind,
    occurred_at: Option<i64>,
    clock_offset: i64,
    received_at: i64,
    state: EventState,
    problem: Option<&'a str>,
    jobs: Vec<JobId>,
}

/// An event that is new, where it came from, and which of the enqueued jobs are its own.
struct Fresh<'a> {
    place: usize,
    delivery: &'a NewDelivery,
    event: &'a NewEvent,
    jobs: Range<usize>,
}

/// Stores deliveries, events and jobs.
pub(super) async fn record(
    txn: &mut Txn,
    deliveries: &[NewDelivery],
    now: Timestamp,
) -> Result<Vec<DeliveryOutcome>, StoreError> {
    let mut fresh = find_new(txn, deliveries).await?;
    let mut jobs = Vec::new();
    for one in &mut fresh {
        let start = jobs.len();
        jobs.extend(jobs_of(one.event, one.delivery.traceparent.as_deref()));
        one.jobs = start..jobs.len();
    }
    let standing = enqueue(txn, &jobs, now).await?;
    insert_deliveries(txn, &fresh).await?;
    insert_events(txn, &fresh, &standing).await?;
    count(txn, &fresh);
    let outcomes = outcomes(deliveries, &fresh, &standing);
    let duplicates: usize = outcomes.iter().map(|one| one.duplicates).sum();
    txn.tally
        .add("", Counter::DuplicateEvents, sql::limit(duplicates));
    Ok(outcomes)
}

async fn find_new<'a>(
    txn: &mut Txn,
    deliveries: &'a [NewDelivery],
) -> Result<Vec<Fresh<'a>>, StoreError> {
    let keys: Vec<(&str, &str)> = deliveries
        .iter()
        .flat_map(|delivery| delivery.events.iter().map(|event| key_of(delivery, event)))
        .collect();
    let known: HashSet<(String, String)> = txn
        .all(sqlx::query(KNOWN).bind(sql::json("event", &keys)?))
        .await?
        .iter()
        .map(|row| Ok((rows::get(row, "connection")?, rows::get(row, "dedupe_key")?)))
        .collect::<Result<_, StoreError>>()?;
    let mut seen: HashSet<(&str, &str)> = known
        .iter()
        .map(|(connection, key)| (connection.as_str(), key.as_str()))
        .collect();
    let mut fresh = Vec::new();
    for (place, delivery) in deliveries.iter().enumerate() {
        for event in &delivery.events {
            if seen.insert(key_of(delivery, event)) {
                fresh.push(Fresh {
                    place,
                    delivery,
                    event,
                    jobs: 0..0,
                });
            }
        }
    }
    Ok(fresh)
}

fn key_of<'a>(delivery: &'a NewDelivery, event: &'a NewEvent) -> (&'a str, &'a str) {
    (delivery.connection.as_str(), &event.dedupe_key)
}

const KNOWN: &str = "-- known_events
SELECT e.connection, e.dedupe_key FROM json_each(?1) k
JOIN events e ON e.connection = k.value ->> 0 AND e.dedupe_key = k.value ->> 1";

/// Deliveries with something new, in chunks of bounded size.
async fn insert_deliveries(txn: &mut Txn, fresh: &[Fresh<'_>]) -> Result<(), StoreError> {
    let mut deliveries: Vec<&NewDelivery> = fresh.iter().map(|one| one.delivery).collect();
    deliveries.dedup_by_key(|delivery| delivery.id);
    let mut rest = deliveries.as_slice();
    while !rest.is_empty() {
        let (chunk, later) = rest.split_at(chunk_len(rest));
        insert_chunk(txn, chunk).await?;
        rest = later;
    }
    Ok(())
}

/// As many as fit, and at least one.
fn chunk_len(deliveries: &[&NewDelivery]) -> usize {
    let mut bytes = 0;
    let fitting = deliveries
        .iter()
        .take_while(|delivery| {
            bytes += delivery.body.len();
            bytes <= BODY_BYTES_MAX
        })
        .count();
    fitting.max(1)
}

async fn insert_chunk(txn: &mut Txn, chunk: &[&NewDelivery]) -> Result<(), StoreError> {
    let mut bodies = Vec::with_capacity(chunk.iter().map(|delivery| delivery.body.len()).sum());
    let mut rows = Vec::with_capacity(chunk.len());
    for delivery in chunk {
        rows.push(DeliveryRow {
            id: delivery.id.to_string(),
            connection: delivery.connection.as_str(),
            received_at: delivery.received_at.as_micros(),
            secret_index: delivery.secret_index,
            traceparent: delivery.traceparent.as_deref(),
            headers: sql::json("headers", &delivery.headers)?,
            start: bodies.len() + 1,
            length: delivery.body.len(),
        });
        bodies.extend_from_slice(&delivery.body);
    }
    let statement = sqlx::query(INSERT_DELIVERIES)
        .bind(sql::json("delivery", &rows)?)
        .bind(bodies);
    txn.run(statement).await.map(|_| ())
}

/// The joined bodies are a blob, of which `substr` takes bytes. A delivery whose events come in parts is there already
/// at the second.
const INSERT_DELIVERIES: &str = "-- insert_deliveries
INSERT INTO deliveries (id, connection, received_at, secret_index, traceparent, headers, body)
SELECT value ->> 'id', value ->> 'connection', value ->> 'received_at', value ->> 'secret_index',
       value ->> 'traceparent', value ->> 'headers',
       coalesce(substr(?2, value ->> 'start', value ->> 'length'), x'')
FROM json_each(?1) WHERE true
ON CONFLICT (id) DO NOTHING";

async fn insert_events(
    txn: &mut Txn,
    fresh: &[Fresh<'_>],
    standing: &[Standing],
) -> Result<(), StoreError> {
    if fresh.is_empty() {
        return Ok(());
    }
    let rows: Vec<EventRow<'_>> = fresh.iter().map(|one| event_row(one, standing)).collect();
    let statement = sqlx::query(INSERT_EVENTS).bind(sql::json("event", &rows)?);
    txn.run(statement).await.map(|_| ())
}

fn event_row<'a>(one: &Fresh<'a>, standing: &[Standing]) -> EventRow<'a> {
    let (delivery, event) = (one.delivery, one.event);
    EventRow {
        id: event.id.to_string(),
        delivery: delivery.id.to_string(),
        connection: delivery.connection.as_str(),
        dedupe_key: &event.dedupe_key,
        stream: event.stream.as_ref().map(tandem_domain::StreamName::as_str),
        record: event.record.as_ref().map(tandem_domain::RecordId::as_str),
        kind: event.kind,
        occurred_at: event.occurred_at.map(Timestamp::as_micros),
        clock_offset: event.clock_offset,
        received_at: delivery.received_at.as_micros(),
        state: state_of(event),
        problem: event.problem.as_deref(),
        jobs: standing[one.jobs.clone()]
            .iter()
            .map(|job| job.job)
            .collect(),
    }
}

const INSERT_EVENTS: &str = "-- insert_events
INSERT INTO events (id, delivery, connection, dedupe_key, stream, record, kind, occurred_at,
                    clock_offset, received_at, state, problem, jobs)
SELECT value ->> 'id', value ->> 'delivery', value ->> 'connection', value ->> 'dedupe_key',
       value ->> 'stream', value ->> 'record', value ->> 'kind', value ->> 'occurred_at',
       value ->> 'clock_offset', value ->> 'received_at', value ->> 'state', value ->> 'problem', value ->> 'jobs'
FROM json_each(?1)";

fn count(txn: &mut Txn, fresh: &[Fresh<'_>]) {
    for target in fresh.iter().flat_map(|one| targets_of(one.event)) {
        txn.tally.add(target.sync.as_str(), Counter::Events, 1);
    }
}

fn outcomes(
    deliveries: &[NewDelivery],
    fresh: &[Fresh<'_>],
    standing: &[Standing],
) -> Vec<DeliveryOutcome> {
    let mut outcomes: Vec<DeliveryOutcome> = deliveries
        .iter()
        .map(|delivery| DeliveryOutcome {
            duplicates: delivery.events.len(),
            ..DeliveryOutcome::default()
        })
        .collect();
    for one in fresh {
        let outcome = &mut outcomes[one.place];
        let jobs = &standing[one.jobs.clone()];
        outcome.new_events += 1;
        outcome.duplicates -= 1;
        outcome.quarantined += usize::from(one.event.problem.is_some());
        outcome.jobs.extend(jobs.iter().map(|job| job.job));
        outcome.coalesced += jobs.iter().filter(|job| job.merged).count();
    }
    outcomes
}
