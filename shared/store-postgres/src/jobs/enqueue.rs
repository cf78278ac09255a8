//! Inserting jobs. Those of one lane are folded into one before they reach the database, and the
//! one merges into a job that waits there already, in the same statement that would insert it: two
//! processes that enqueue for one lane at once give one job.
//!
//! Between looking up the lane of a link and inserting, another process may make the link. The job then
//! waits in the lane of its record; whoever claims it moves it.

use std::collections::{HashMap, HashSet};

use tandem_domain::{JobId, Timestamp};
use tandem_store::{JobKind, Lane, NewJob, StoreError};

use super::row::kind_columns;
use crate::sql::Failed;
use crate::tally::Counter;
use crate::txn::Txn;
use crate::{rows, sql};

/// The job that stands for one that was to be inserted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) job: JobId,
    /// Whether the cause merged into a job that waited, or that came before it in the same call.
    pub(crate) merged: bool,
}

struct Row {
    id: String,
    kind: &'static str,
    sync: String,
    side: Option<&'static str>,
    record: Option<String>,
    lane: String,
    class: i64,
    cause: &'static str,
    /// Causes beyond the first.
    merged: i64,
    run_at: i64,
    edited_a: Option<i64>,
    edited_b: Option<i64>,
    traceparent: Option<String>,
}

/// Inserts jobs or merges them. The answers are in the order of the jobs.
pub(crate) async fn enqueue(
    txn: &mut Txn,
    jobs: &[NewJob],
    now: Timestamp,
) -> Result<Vec<Standing>, Failed> {
    if jobs.is_empty() {
        return Ok(Vec::new());
    }
    let kinds: Vec<&JobKind> = jobs.iter().map(|job| &job.kind).collect();
    let lanes = resolve_lanes(txn, &kinds).await?;
    let standing = upsert(txn, &fold(jobs, &lanes), now).await?;
    let mut seen = HashSet::new();
    let mut answers = Vec::with_capacity(jobs.len());
    for (job, lane) in jobs.iter().zip(&lanes) {
        let id = *standing.get(lane).ok_or_else(|| StoreError::Corrupt {
            what: "job",
            reason: format!("lane {lane} was not stored"),
        })?;
        let merged = id != job.id || !seen.insert(id);
        if merged && let Some(sync) = job.kind.sync() {
            txn.tally.add(sync.as_str(), Counter::Coalesced, 1);
        }
        answers.push(Standing { job: id, merged });
    }
    Ok(answers)
}

/// The lane of each job: that of the active link of its record, or its own.
pub(crate) async fn resolve_lanes(
    txn: &mut Txn,
    kinds: &[&JobKind],
) -> Result<Vec<String>, Failed> {
    let mut lanes: Vec<String> = kinds
        .iter()
        .map(|kind| sql::plain(Lane::of_job(kind).as_str()).into_owned())
        .collect();
    let records: Vec<Place<'_>> = kinds
        .iter()
        .enumerate()
        .filter_map(|(place, kind)| match kind {
            JobKind::Reconcile { sync, side, record } => Some(Place {
                place,
                sync: sync.as_str(),
                side: side.as_str(),
                record: record.as_str(),
            }),
            JobKind::Poll { .. }
            | JobKind::Sweep { .. }
            | JobKind::Backfill { .. }
            | JobKind::Noop { .. } => None,
        })
        .collect();
    if records.is_empty() {
        return Ok(lanes);
    }
    let statement = sqlx::query(LINKS_OF_RECORDS)
        .bind(sql::numbers(&records, |one| Some(sql::limit(one.place))))
        .bind(sql::texts(&records, |one| Some(one.sync)))
        .bind(sql::texts(&records, |one| Some(one.side)))
        .bind(sql::texts(&records, |one| Some(one.record)));
    for row in txn.all(statement).await? {
        let (place, link): (i64, Option<String>) =
            (rows::get(&row, "place")?, rows::get(&row, "link")?);
        let lane = usize::try_from(place)
            .ok()
            .and_then(|place| lanes.get_mut(place));
        if let (Some(lane), Some(link)) = (lane, link) {
            *lane = link;
        }
    }
    Ok(lanes)
}

/// Whose link is looked for, and which job of the call asks.
struct Place<'a> {
    place: usize,
    sync: &'a str,
    side: &'a str,
    record: &'a str,
}

const LINKS_OF_RECORDS: &str = "-- links_of_records
SELECT r.place, CASE r.side
    WHEN 'a' THEN (SELECT l.id FROM links l
                   WHERE l.state = 'active' AND l.sync = r.sync AND l.a_id = r.record)
    ELSE (SELECT l.id FROM links l
          WHERE l.state = 'active' AND l.sync = r.sync AND l.b_id = r.record) END AS link
FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[]) AS r (place, sync, side, record)";

/// One row a lane: the first job of the lane, with what the others of the call add to it.
fn fold(jobs: &[NewJob], lanes: &[String]) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::with_capacity(jobs.len());
    let mut place_of: HashMap<&str, usize> = HashMap::with_capacity(jobs.len());
    for (job, lane) in jobs.iter().zip(lanes) {
        if let Some(place) = place_of.get(lane.as_str()) {
            merge(&mut rows[*place], job);
        } else {
            place_of.insert(lane, rows.len());
            rows.push(new_row(job, lane));
        }
    }
    rows
}

fn new_row(job: &NewJob, lane: &str) -> Row {
    let columns = kind_columns(&job.kind);
    Row {
        id: job.id.to_string(),
        kind: job.kind.as_str(),
        sync: columns.sync,
        side: columns.side,
        record: columns.record,
        lane: lane.to_owned(),
        class: job.class.rank(),
        cause: job.trigger.as_str(),
        merged: 0,
        run_at: job.run_at.as_micros(),
        edited_a: job.hints.edited_a.map(Timestamp::as_micros),
        edited_b: job.hints.edited_b.map(Timestamp::as_micros),
        traceparent: job.traceparent.clone(),
    }
}

fn merge(row: &mut Row, job: &NewJob) {
    row.class = row.class.min(job.class.rank());
    row.run_at = row.run_at.min(job.run_at.as_micros());
    // `None` is less than any instant.
    row.edited_a = row
        .edited_a
        .max(job.hints.edited_a.map(Timestamp::as_micros));
    row.edited_b = row
        .edited_b
        .max(job.hints.edited_b.map(Timestamp::as_micros));
    row.merged += 1;
}

async fn upsert(
    txn: &mut Txn,
    rows: &[Row],
    now: Timestamp,
) -> Result<HashMap<String, JobId>, Failed> {
    let statement = sqlx::query(ENQUEUE)
        .bind(now.as_micros())
        .bind(sql::texts(rows, |row| Some(&row.id)))
        .bind(sql::texts(rows, |row| Some(row.kind)))
        .bind(sql::texts(rows, |row| Some(&row.sync)))
        .bind(sql::texts(rows, |row| row.side))
        .bind(sql::texts(rows, |row| row.record.as_deref()))
        .bind(sql::texts(rows, |row| Some(&row.lane)))
        .bind(sql::numbers(rows, |row| Some(row.class)))
        .bind(sql::texts(rows, |row| Some(row.cause)))
        .bind(sql::numbers(rows, |row| Some(row.merged)))
        .bind(sql::numbers(rows, |row| Some(row.run_at)))
        .bind(sql::numbers(rows, |row| row.edited_a))
        .bind(sql::numbers(rows, |row| row.edited_b))
        .bind(sql::texts(rows, |row| row.traceparent.as_deref()));
    txn.all(statement)
        .await?
        .iter()
        .map(|row| Ok((rows::get(row, "lane")?, rows::parsed(row, "id")?)))
        .collect::<Result<_, StoreError>>()
        .map_err(Failed::from)
}

/// In the order of the lanes, so that two calls which name the same lanes wait for each other and do not
/// deadlock. `least` and `greatest` pass over NULL.
const ENQUEUE: &str = "-- enqueue
INSERT INTO jobs (id, kind, sync, side, record, lane, class, cause, state, merged, run_at,
                  created_at, edited_a, edited_b, traceparent)
SELECT n.id, n.kind, n.sync, n.side, n.record, n.lane, n.class, n.cause, 'available', n.merged,
       n.run_at, $1, n.edited_a, n.edited_b, n.traceparent
FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bigint[], $9::text[],
            $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::text[]) AS n (
    id, kind, sync, side, record, lane, class, cause, merged, run_at, edited_a, edited_b, traceparent)
ORDER BY n.lane COLLATE \"C\"
ON CONFLICT (lane) WHERE state = 'available' DO UPDATE SET
    class = least(jobs.class, excluded.class),
    run_at = least(jobs.run_at, excluded.run_at),
    merged = jobs.merged + excluded.merged + 1,
    edited_a = greatest(jobs.edited_a, excluded.edited_a),
    edited_b = greatest(jobs.edited_b, excluded.edited_b)
RETURNING id, lane";
