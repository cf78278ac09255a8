//! Storing deliveries: duplicates are found first, so that they cost one look-up and write nothing.
//!
//! A key that another process stores at the same time is not found. Inserting it then waits for the other
//! one's commit and violates the index of keys, so that the transaction is run again, finds the key, and
//! leaves nothing behind: neither an event nor a job.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;

use serde::Serialize;
use tandem_domain::{JobId, Timestamp};
use tandem_store::{DeliveryOutcome, EventKind, EventState, NewDelivery, NewEvent, StoreError};

use super::{jobs_of, state_of, targets_of};
use crate::jobs::enqueue::{Standing, enqueue};
use crate::rows;
use crate::sql::{self, Failed};
use crate::tally::Counter;
use crate::txn::Txn;

/// The most bytes of bodies that one statement takes.
const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;

#[derive(Serialize)]
struct KeyRow<'a> {
    place: usize,
    connection: &'a str,
    dedupe_key: &'a str,
}

#[derive(Serialize)]
struct DeliveryRow<'a> {
    id: String,
    connection: &'a str,
    received_at: i64,
    secret_index: usize,
    traceparent: Option<&'a str>,
    headers: String,
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
    received_at: i64,
    state: EventState,
    problem: Option<&'a str>,
    jobs: Vec<JobId>,
}

/// An event as it came: which delivery of the call holds it, and its key as stored.
struct Posted<'a> {
    place: usize,
    delivery: &'a NewDelivery,
    event: &'a NewEvent,
    key: Cow<'a, str>,
}

/// An event that is new, and which of the enqueued jobs are its own.
struct Fresh<'a> {
    posted: Posted<'a>,
    jobs: Range<usize>,
}

/// Stores deliveries, events and jobs.
pub(super) async fn record(
    txn: &mut Txn,
    deliveries: &[NewDelivery],
    now: Timestamp,
) -> Result<Vec<DeliveryOutcome>, Failed> {
    let mut jobs = Vec::new();
    let mut fresh = Vec::new();
    for posted in find_new(txn, deliveries).await? {
        let start = jobs.len();
        jobs.extend(jobs_of(
            posted.event,
            posted.delivery.traceparent.as_deref(),
        ));
        fresh.push(Fresh {
            posted,
            jobs: start..jobs.len(),
        });
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

/// The events that are neither stored nor earlier in the call.
async fn find_new<'a>(
    txn: &mut Txn,
    deliveries: &'a [NewDelivery],
) -> Result<Vec<Posted<'a>>, Failed> {
    let mut seen = HashSet::new();
    let posted: Vec<Posted<'a>> = deliveries
        .iter()
        .enumerate()
        .flat_map(|(place, delivery)| {
            delivery
                .events
                .iter()
                .map(move |event| (place, delivery, event))
        })
        .map(|(place, delivery, event)| Posted {
            place,
            delivery,
            event,
            key: sql::key(&event.dedupe_key),
        })
        .filter(|one| seen.insert((one.delivery.connection.as_str(), one.key.clone())))
        .collect();
    let known = find_known(txn, &posted).await?;
    let places = posted.into_iter().enumerate();
    Ok(places
        .filter(|(place, _)| !known.contains(place))
        .map(|(_, one)| one)
        .collect())
}

/// The places of the events that are stored.
async fn find_known(txn: &mut Txn, posted: &[Posted<'_>]) -> Result<HashSet<usize>, Failed> {
    if posted.is_empty() {
        return Ok(HashSet::new());
    }
    let keys: Vec<KeyRow<'_>> = posted
        .iter()
        .enumerate()
        .map(|(place, one)| KeyRow {
            place,
            connection: one.delivery.connection.as_str(),
            dedupe_key: &one.key,
        })
        .collect();
    txn.all(sqlx::query(KNOWN).bind(sql::json("event", &keys)?))
        .await?
        .iter()
        .map(|row| {
            let place = rows::count(row, "place")?;
            Ok(usize::try_from(place).unwrap_or(usize::MAX))
        })
        .collect()
}

const KNOWN: &str = "-- known_events
SELECT k.place
FROM json_to_recordset($1::json) AS k (place bigint, connection text, dedupe_key text)
JOIN events e ON e.connection = k.connection AND e.dedupe_key = k.dedupe_key";

/// Deliveries with something new, in chunks of bounded size.
async fn insert_deliveries(txn: &mut Txn, fresh: &[Fresh<'_>]) -> Result<(), Failed> {
    let mut deliveries: Vec<&NewDelivery> = fresh.iter().map(|one| one.posted.delivery).collect();
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

async fn insert_chunk(txn: &mut Txn, chunk: &[&NewDelivery]) -> Result<(), Failed> {
    let bodies: Vec<&[u8]> = chunk.iter().map(|delivery| &*delivery.body).collect();
    let rows = chunk
        .iter()
        .map(|delivery| {
            Ok(DeliveryRow {
                id: delivery.id.to_string(),
                connection: delivery.connection.as_str(),
                received_at: delivery.received_at.as_micros(),
                secret_index: delivery.secret_index,
                traceparent: delivery.traceparent.as_deref(),
                headers: sql::json("headers", &delivery.headers)?,
            })
        })
        .collect::<Result<Vec<_>, StoreError>>()?;
    let statement = sqlx::query(INSERT_DELIVERIES)
        .bind(sql::json("delivery", &rows)?)
        .bind(bodies);
    txn.run(statement).await.map(|_| ())
}

const INSERT_DELIVERIES: &str = "-- insert_deliveries
INSERT INTO deliveries (id, connection, received_at, secret_index, traceparent, headers, body)
SELECT * FROM ROWS FROM (
    json_to_recordset($1::json) AS (
        id text, connection text, received_at bigint, secret_index bigint, traceparent text,
        headers text),
    unnest($2::bytea[]))";

async fn insert_events(
    txn: &mut Txn,
    fresh: &[Fresh<'_>],
    standing: &[Standing],
) -> Result<(), Failed> {
    if fresh.is_empty() {
        return Ok(());
    }
    let rows: Vec<EventRow<'_>> = fresh.iter().map(|one| event_row(one, standing)).collect();
    let statement = sqlx::query(INSERT_EVENTS).bind(sql::json("event", &rows)?);
    txn.run(statement).await.map(|_| ())
}

fn event_row<'a>(one: &'a Fresh<'_>, standing: &[Standing]) -> EventRow<'a> {
    let (delivery, event) = (one.posted.delivery, one.posted.event);
    EventRow {
        id: event.id.to_string(),
        delivery: delivery.id.to_string(),
        connection: delivery.connection.as_str(),
        dedupe_key: &one.posted.key,
        stream: event.stream.as_ref().map(tandem_domain::StreamName::as_str),
        record: event.record.as_ref().map(tandem_domain::RecordId::as_str),
        kind: event.kind,
        occurred_at: event.occurred_at.map(Timestamp::as_micros),
        received_at: delivery.received_at.as_micros(),
        state: state_of(event),
        problem: event.problem.as_deref(),
        jobs: standing[one.jobs.clone()]
            .iter()
            .map(|job| job.job)
            .collect(),
    }
}

/// In the order of the keys, so that two calls with the same events wait for each other and do not
/// deadlock.
const INSERT_EVENTS: &str = "-- insert_events
INSERT INTO events (id, delivery, connection, dedupe_key, stream, record, kind, occurred_at,
                    received_at, state, problem, jobs)
SELECT e.id, e.delivery, e.connection, e.dedupe_key, e.stream, e.record, e.kind, e.occurred_at,
       e.received_at, e.state, e.problem, e.jobs
FROM json_to_recordset($1::json) AS e (
    id text, delivery text, connection text, dedupe_key text, stream text, record text, kind text,
    occurred_at bigint, received_at bigint, state text, problem text, jobs text)
ORDER BY e.connection COLLATE \"C\", e.dedupe_key COLLATE \"C\"";

fn count(txn: &mut Txn, fresh: &[Fresh<'_>]) {
    for target in fresh.iter().flat_map(|one| targets_of(one.posted.event)) {
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
        let outcome = &mut outcomes[one.posted.place];
        let jobs = &standing[one.jobs.clone()];
        outcome.new_events += 1;
        outcome.duplicates -= 1;
        outcome.quarantined += usize::from(one.posted.event.problem.is_some());
        outcome.jobs.extend(jobs.iter().map(|job| job.job));
        outcome.coalesced += jobs.iter().filter(|job| job.merged).count();
    }
    outcomes
}
