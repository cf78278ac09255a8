//! Storing deliveries: duplicates are found first, so that they cost one look-up and write nothing.
//!
//! A key that another process stores at the same time is not found. Inserting it then waits for the other
//! one's commit and violates the index of keys, so that the transaction is run again, finds the key, and
//! leaves nothing behind: neither an event nor a job.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;

use tandem_domain::{JobId, Timestamp};
use tandem_store::{DeliveryOutcome, NewDelivery, NewEvent, StoreError};

use super::{jobs_of, state_of, targets_of};
use crate::jobs::enqueue::{Standing, enqueue};
use crate::rows;
use crate::sql::{self, Failed};
use crate::tally::Counter;
use crate::txn::Txn;

/// The most bytes of bodies that one statement takes.
const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;

struct KeyRow<'a> {
    place: usize,
    connection: &'a str,
    dedupe_key: &'a str,
}

struct DeliveryRow<'a> {
    id: String,
    connection: &'a str,
    received_at: i64,
    secret_index: usize,
    traceparent: Option<&'a str>,
    headers: String,
}

struct EventRow<'a> {
    id: String,
    delivery: String,
    connection: &'a str,
    dedupe_key: &'a str,
    stream: Option<&'a str>,
    record: Option<&'a str>,
    kind: String,
    occurred_at: Option<i64>,
    clock_offset: i64,
    received_at: i64,
    state: String,
    problem: Option<&'a str>,
    jobs: String,
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
    let statement = sqlx::query(KNOWN)
        .bind(sql::numbers(&keys, |one| Some(sql::limit(one.place))))
        .bind(sql::texts(&keys, |one| Some(one.connection)))
        .bind(sql::texts(&keys, |one| Some(one.dedupe_key)));
    txn.all(statement)
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
FROM unnest($1::bigint[], $2::text[], $3::text[]) AS k (place, connection, dedupe_key)
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
        .bind(sql::texts(&rows, |row| Some(&row.id)))
        .bind(sql::texts(&rows, |row| Some(row.connection)))
        .bind(sql::numbers(&rows, |row| Some(row.received_at)))
        .bind(sql::numbers(&rows, |row| {
            Some(sql::limit(row.secret_index))
        }))
        .bind(sql::texts(&rows, |row| row.traceparent))
        .bind(sql::texts(&rows, |row| Some(&row.headers)))
        .bind(bodies);
    txn.run(statement).await.map(|_| ())
}

/// A delivery whose events come in parts is there already at the second.
const INSERT_DELIVERIES: &str = "-- insert_deliveries
INSERT INTO deliveries (id, connection, received_at, secret_index, traceparent, headers, body)
SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::text[], $6::text[], $7::bytea[])
ON CONFLICT (id) DO NOTHING";

async fn insert_events(
    txn: &mut Txn,
    fresh: &[Fresh<'_>],
    standing: &[Standing],
) -> Result<(), Failed> {
    if fresh.is_empty() {
        return Ok(());
    }
    let rows = fresh
        .iter()
        .map(|one| event_row(one, standing))
        .collect::<Result<Vec<_>, _>>()?;
    let statement = sqlx::query(INSERT_EVENTS)
        .bind(sql::texts(&rows, |row| Some(&row.id)))
        .bind(sql::texts(&rows, |row| Some(&row.delivery)))
        .bind(sql::texts(&rows, |row| Some(row.connection)))
        .bind(sql::texts(&rows, |row| Some(row.dedupe_key)))
        .bind(sql::texts(&rows, |row| row.stream))
        .bind(sql::texts(&rows, |row| row.record))
        .bind(sql::texts(&rows, |row| Some(&row.kind)))
        .bind(sql::numbers(&rows, |row| row.occurred_at))
        .bind(sql::numbers(&rows, |row| Some(row.clock_offset)))
        .bind(sql::numbers(&rows, |row| Some(row.received_at)))
        .bind(sql::texts(&rows, |row| Some(&row.state)))
        .bind(sql::texts(&rows, |row| row.problem))
        .bind(sql::texts(&rows, |row| Some(&row.jobs)));
    txn.run(statement).await.map(|_| ())
}

fn event_row<'a>(one: &'a Fresh<'_>, standing: &[Standing]) -> Result<EventRow<'a>, StoreError> {
    let (delivery, event) = (one.posted.delivery, one.posted.event);
    let jobs: Vec<JobId> = standing[one.jobs.clone()]
        .iter()
        .map(|job| job.job)
        .collect();
    Ok(EventRow {
        id: event.id.to_string(),
        delivery: delivery.id.to_string(),
        connection: delivery.connection.as_str(),
        dedupe_key: &one.posted.key,
        stream: event.stream.as_ref().map(tandem_domain::StreamName::as_str),
        record: event.record.as_ref().map(tandem_domain::RecordId::as_str),
        kind: sql::word("event", &event.kind)?,
        occurred_at: event.occurred_at.map(Timestamp::as_micros),
        clock_offset: event.clock_offset,
        received_at: delivery.received_at.as_micros(),
        state: sql::word("event", &state_of(event))?,
        problem: event.problem.as_deref(),
        jobs: sql::json("event", &jobs)?,
    })
}

/// In the order of the keys, so that two calls with the same events wait for each other and do not
/// deadlock.
const INSERT_EVENTS: &str = "-- insert_events
INSERT INTO events (id, delivery, connection, dedupe_key, stream, record, kind, occurred_at,
                    clock_offset, received_at, state, problem, jobs)
SELECT e.*
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bigint[],
            $9::bigint[], $10::bigint[], $11::text[], $12::text[], $13::text[]) AS e (
    id, delivery, connection, dedupe_key, stream, record, kind, occurred_at, clock_offset, received_at, state, problem, jobs)
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
