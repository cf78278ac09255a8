//! Storing deliveries: duplicates are found first, so that they cost a look-up and write no event.
//!
//! A key that another process stores at the same time is not found. Inserting it then waits for the other
//! one's commit and violates the index of keys, so that the transaction is run again, finds the key, and
//! leaves no event behind, and no job but where it says something else.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use sha2::{Digest as _, Sha256};
use tandem_domain::{JobId, Timestamp};
use tandem_store::{DeliveryOutcome, NewDelivery, NewEvent, NewJob, StoreError};

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
    posted: &'a Posted<'a>,
    digest: &'a [u8],
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

/// What the events of a call are.
#[derive(Default)]
struct Sorted<'a> {
    fresh: Vec<Fresh<'a>>,
    /// Those whose key is known, and of which something else may be told than of the one before: their records are looked at
    /// again.
    again: Vec<Posted<'a>>,
}

/// Stores deliveries, events and jobs.
pub(super) async fn record(
    txn: &mut Txn,
    deliveries: &[NewDelivery],
    now: Timestamp,
) -> Result<Vec<DeliveryOutcome>, Failed> {
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
fn jobs_for(fresh: &mut [Fresh<'_>], again: &[Posted<'_>]) -> Vec<NewJob> {
    let of = |posted: &Posted<'_>| jobs_of(posted.event, posted.delivery.traceparent.as_deref());
    let mut jobs = Vec::new();
    for one in fresh {
        let start = jobs.len();
        jobs.extend(of(&one.posted));
        one.jobs = start..jobs.len();
    }
    jobs.extend(again.iter().flat_map(of));
    jobs
}

async fn sort<'a>(txn: &mut Txn, deliveries: &'a [NewDelivery]) -> Result<Sorted<'a>, Failed> {
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
        .collect();
    let known = find_known(txn, &posted).await?;
    let mut earlier: HashMap<(&str, Cow<'a, str>), &NewEvent> = HashMap::new();
    let mut sorted = Sorted::default();
    for (place, one) in posted.into_iter().enumerate() {
        let key = (one.delivery.connection.as_str(), one.key.clone());
        let is_told_again = match (known.get(&place), earlier.get(&key)) {
            (Some(says_other), _) => *says_other,
            // The job of the first is not run before this is stored.
            (None, Some(first)) => {
                first.record != one.event.record || first.stream != one.event.stream
            }
            (None, None) => {
                earlier.insert(key, one.event);
                sorted.fresh.push(Fresh {
                    posted: one,
                    jobs: 0..0,
                });
                continue;
            }
        };
        if is_told_again {
            sorted.again.push(one);
        }
    }
    Ok(sorted)
}

/// The places of the events that are stored, each with whether it may say something else than the stored one: it names
/// another record, or comes in another body.
async fn find_known(txn: &mut Txn, posted: &[Posted<'_>]) -> Result<HashMap<usize, bool>, Failed> {
    if posted.is_empty() {
        return Ok(HashMap::new());
    }
    let mut digests: HashMap<usize, Vec<u8>> = HashMap::new();
    for one in posted {
        digests
            .entry(one.place)
            .or_insert_with(|| Sha256::digest(&one.delivery.body).to_vec());
    }
    let keys: Vec<KeyRow<'_>> = posted
        .iter()
        .enumerate()
        .map(|(place, posted)| KeyRow {
            place,
            posted,
            digest: &digests[&posted.place],
        })
        .collect();
    let of_delivery = |one: &KeyRow<'_>| one.posted.delivery.id.to_string();
    let deliveries: Vec<String> = keys.iter().map(of_delivery).collect();
    let digests: Vec<&[u8]> = keys.iter().map(|one| one.digest).collect();
    let statement = sqlx::query(KNOWN)
        .bind(sql::numbers(&keys, |one| Some(sql::limit(one.place))))
        .bind(sql::texts(&keys, |one| {
            Some(one.posted.delivery.connection.as_str())
        }))
        .bind(sql::texts(&keys, |one| Some(&*one.posted.key)))
        .bind(sql::texts(&keys, |one| {
            let record = one.posted.event.record.as_ref();
            record.map(tandem_domain::RecordId::as_str)
        }))
        .bind(sql::texts(&keys, |one| {
            let stream = one.posted.event.stream.as_ref();
            stream.map(tandem_domain::StreamName::as_str)
        }))
        .bind(deliveries)
        .bind(digests);
    txn.all(statement)
        .await?
        .iter()
        .map(|row| {
            let place = rows::count(row, "place")?;
            let place = usize::try_from(place).unwrap_or(usize::MAX);
            Ok((place, rows::get(row, "says_other")?))
        })
        .collect()
}

/// A stored body is hashed once, however many of its events come again: it may have a megabyte and thousands of them.
const KNOWN: &str = "-- known_events
WITH known AS MATERIALIZED (
    SELECT k.place, k.delivery, k.digest, e.delivery AS stored,
           e.record IS DISTINCT FROM k.record OR e.stream IS DISTINCT FROM k.stream AS names_other
    FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bytea[])
         AS k (place, connection, dedupe_key, record, stream, delivery, digest)
    JOIN events e ON e.connection = k.connection AND e.dedupe_key = k.dedupe_key),
bodies AS MATERIALIZED (
    SELECT o.stored, (SELECT sha256(d.body) FROM deliveries d WHERE d.id = o.stored) AS digest
    FROM (SELECT DISTINCT stored FROM known WHERE stored <> delivery AND NOT names_other) o)
SELECT n.place,
       n.names_other OR (n.stored <> n.delivery
           AND NOT EXISTS (SELECT 1 FROM bodies b WHERE b.stored = n.stored AND b.digest = n.digest)) AS says_other
FROM known n";

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
    again: &[Posted<'_>],
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
        let outcome = &mut outcomes[one.posted.place];
        outcome.new_events += 1;
        outcome.duplicates -= 1;
        outcome.quarantined += usize::from(one.posted.event.problem.is_some());
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
