//! Storing deliveries: duplicates are found first, so that they cost a look-up and write no event.

use std::collections::HashMap;
use std::ops::Range;

use serde::Serialize;
use tandem_domain::{DeliveryId, JobId, Timestamp};
use tandem_store::{
    DeliveryOutcome, EventKind, EventState, NewDelivery, NewEvent, NewJob, StoreError,
};

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

/// An event whose key is known, of which something else may be told than of the one before: its record is looked at again.
struct Again<'a> {
    place: usize,
    delivery: &'a NewDelivery,
    event: &'a NewEvent,
}

/// What the events of a call are.
#[derive(Default)]
struct Sorted<'a> {
    fresh: Vec<Fresh<'a>>,
    again: Vec<Again<'a>>,
}

/// A stored event.
struct Known {
    delivery: DeliveryId,
    stream: Option<String>,
    record: Option<String>,
}

/// The keys of events, by connection.
type ByKey<'a, T> = HashMap<(&'a str, &'a str), T>;

/// Stores deliveries, events and jobs.
pub(super) async fn record(
    txn: &mut Txn,
    deliveries: &[NewDelivery],
    now: Timestamp,
) -> Result<Vec<DeliveryOutcome>, StoreError> {
    let Sorted { mut fresh, again } = sort(txn, deliveries).await?;
    let jobs = jobs_for(&mut fresh, &again);
    let standing = enqueue(txn, &jobs, now).await?;
    insert_deliveries(txn, &fresh).await?;
    insert_events(txn, &fresh, &standing).await?;
    count(txn, &fresh);
    let outcomes = outcomes(deliveries, &fresh, &again, &standing);
    let duplicates: usize = outcomes.iter().map(|one| one.duplicates).sum();
    txn.tally
        .add("", Counter::DuplicateEvents, sql::limit(duplicates));
    Ok(outcomes)
}

/// The jobs of what is new, and after them those of records to look at again.
fn jobs_for(fresh: &mut [Fresh<'_>], again: &[Again<'_>]) -> Vec<NewJob> {
    let mut jobs = Vec::new();
    for one in fresh {
        let start = jobs.len();
        jobs.extend(jobs_of(one.event, one.delivery.traceparent.as_deref()));
        one.jobs = start..jobs.len();
    }
    jobs.extend(
        again
            .iter()
            .flat_map(|one| jobs_of(one.event, one.delivery.traceparent.as_deref())),
    );
    jobs
}

async fn sort<'a>(txn: &mut Txn, deliveries: &'a [NewDelivery]) -> Result<Sorted<'a>, StoreError> {
    let known = find_known(txn, deliveries).await?;
    let mut same_bodies = HashMap::new();
    let mut earlier: ByKey<'_, &NewEvent> = HashMap::new();
    let mut sorted = Sorted::default();
    for (place, delivery) in deliveries.iter().enumerate() {
        for event in &delivery.events {
            let key = key_of(delivery, event);
            let is_told_again = match (known.get(&key), earlier.get(&key)) {
                (Some(known), _) => {
                    says_other(known, event)
                        || !is_same_body(txn, &mut same_bodies, known.delivery, delivery).await?
                }
                // The job of the first is not run before this is stored.
                (None, Some(first)) => first.record != event.record || first.stream != event.stream,
                (None, None) => {
                    earlier.insert(key, event);
                    sorted.fresh.push(Fresh {
                        place,
                        delivery,
                        event,
                        jobs: 0..0,
                    });
                    continue;
                }
            };
            if is_told_again {
                sorted.again.push(Again {
                    place,
                    delivery,
                    event,
                });
            }
        }
    }
    Ok(sorted)
}

fn says_other(known: &Known, event: &NewEvent) -> bool {
    let record = event.record.as_ref().map(tandem_domain::RecordId::as_str);
    let stream = event.stream.as_ref().map(tandem_domain::StreamName::as_str);
    known.record.as_deref() != record || known.stream.as_deref() != stream
}

async fn find_known<'a>(
    txn: &mut Txn,
    deliveries: &'a [NewDelivery],
) -> Result<ByKey<'a, Known>, StoreError> {
    let keys: Vec<(&str, &str)> = deliveries
        .iter()
        .flat_map(|delivery| delivery.events.iter().map(|event| key_of(delivery, event)))
        .collect();
    let rows = txn
        .all(sqlx::query(KNOWN).bind(sql::json("event", &keys)?))
        .await?;
    let known = rows.iter().map(|row| {
        let place: usize = rows::get::<i64>(row, "place")?
            .try_into()
            .unwrap_or(usize::MAX);
        let known = Known {
            delivery: rows::parsed(row, "delivery")?,
            stream: rows::get(row, "stream")?,
            record: rows::get(row, "record")?,
        };
        Ok((place, known))
    });
    let known = known.collect::<Result<Vec<_>, StoreError>>()?;
    let by_key = known
        .into_iter()
        .filter_map(|(place, known)| Some((*keys.get(place)?, known)));
    Ok(by_key.collect())
}

fn key_of<'a>(delivery: &'a NewDelivery, event: &'a NewEvent) -> (&'a str, &'a str) {
    (delivery.connection.as_str(), &event.dedupe_key)
}

const KNOWN: &str = "-- known_events
SELECT k.key AS place, e.delivery, e.stream, e.record FROM json_each(?1) k
JOIN events e ON e.connection = k.value ->> 0 AND e.dedupe_key = k.value ->> 1";

/// Whether a delivery is the very body that is stored, sent again.
async fn is_same_body(
    txn: &mut Txn,
    same: &mut HashMap<(DeliveryId, DeliveryId), bool>,
    stored: DeliveryId,
    delivery: &NewDelivery,
) -> Result<bool, StoreError> {
    if let Some(same) = same.get(&(stored, delivery.id)) {
        return Ok(*same);
    }
    let found = if stored == delivery.id {
        true
    } else {
        let statement = sqlx::query(SAME_BODY)
            .bind(stored.to_string())
            .bind(delivery.body.to_vec());
        txn.first(statement).await?.is_some()
    };
    same.insert((stored, delivery.id), found);
    Ok(found)
}

const SAME_BODY: &str = "-- same_body
SELECT 1 FROM deliveries WHERE id = ?1 AND body = ?2";

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
    again: &[Again<'_>],
    standing: &[Standing],
) -> Vec<DeliveryOutcome> {
    let mut outcomes: Vec<DeliveryOutcome> = deliveries
        .iter()
        .map(|delivery| DeliveryOutcome {
            duplicates: delivery.events.len(),
            ..DeliveryOutcome::default()
        })
        .collect();
    let mut rest = standing.iter();
    for one in fresh {
        let outcome = &mut outcomes[one.place];
        outcome.new_events += 1;
        outcome.duplicates -= 1;
        outcome.quarantined += usize::from(one.event.problem.is_some());
        caused(outcome, rest.by_ref().take(one.jobs.len()));
    }
    for one in again {
        let jobs = rest.by_ref().take(targets_of(one.event).len());
        caused(&mut outcomes[one.place], jobs);
    }
    outcomes
}

fn caused<'a>(outcome: &mut DeliveryOutcome, jobs: impl Iterator<Item = &'a Standing>) {
    for job in jobs {
        outcome.jobs.push(job.job);
        outcome.coalesced += usize::from(job.merged);
    }
}
