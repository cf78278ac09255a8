//! Ending jobs that went well, which nearly all do: the counters move in the statement that ends the
//! jobs, so that a batch costs one round trip to the server.

use std::collections::HashSet;

use serde::Serialize;
use sqlx::PgPool;
use tandem_domain::{JobId, LeaseToken, Timestamp};
use tandem_store::{JobOutcome, Lease, StoreError, notes};

use super::dead;
use crate::sql::{Failed, Statement};
use crate::tally::Counter;
use crate::txn::Txn;
use crate::{alone, rows, sql};

/// A job that went well.
#[derive(Serialize)]
struct Done<'a> {
    id: JobId,
    token: LeaseToken,
    note: &'a str,
    echo: bool,
    settles: bool,
}

impl<'a> Done<'a> {
    /// Those of the jobs that went well, in the order in which they are locked.
    fn of(finished: &'a [(Lease, JobOutcome)]) -> Vec<Self> {
        let mut done: Vec<Self> = finished
            .iter()
            .filter_map(|(lease, outcome)| match outcome {
                JobOutcome::Done { note } => Some(Self {
                    id: lease.job,
                    token: lease.token,
                    note,
                    echo: notes::is_echo(note),
                    settles: notes::settles(note),
                }),
                JobOutcome::Retry { .. } | JobOutcome::Snooze { .. } | JobOutcome::Dead { .. } => {
                    None
                }
            })
            .collect();
        done.sort_by_key(|one| one.id);
        done
    }
}

/// Ends those of the jobs that went well. Returns which were held.
pub(super) async fn end_well(
    txn: &mut Txn,
    finished: &[(Lease, JobOutcome)],
    now: Timestamp,
) -> Result<HashSet<JobId>, Failed> {
    let done = Done::of(finished);
    if done.is_empty() {
        return Ok(HashSet::new());
    }
    let statement = sqlx::query(END_WELL)
        .bind(sql::json("job", &done)?)
        .bind(now.as_micros());
    let mut held = HashSet::new();
    let mut settled = Vec::new();
    for row in txn.all(statement).await? {
        let (sync, echo): (String, bool) = (rows::get(&row, "sync")?, rows::get(&row, "echo")?);
        txn.tally.add(&sync, Counter::JobsDone, 1);
        txn.tally.add(&sync, Counter::DoneRows, 1);
        txn.tally.add(&sync, Counter::Echoes, i64::from(echo));
        held.insert(rows::parsed(&row, "id")?);
        if rows::get(&row, "settles")? {
            settled.push(dead::Settled::read(&row)?);
        }
    }
    dead::heal(txn, &settled, now).await?;
    Ok(held)
}

const END_WELL: &str = "-- end_jobs_well
UPDATE jobs SET state = 'done', note = f.note, ended_at = $2, lease_token = NULL, lease_until = NULL
FROM json_to_recordset($1::json) AS f (id text, token text, note text, echo boolean, settles boolean)
WHERE jobs.id = f.id AND jobs.lease_token = f.token
RETURNING jobs.id, jobs.sync, jobs.lane, f.echo, f.settles";

/// Whether all of the jobs went well, and none is named twice: then [`end_all_well`] can end them.
pub(super) fn all_went_well(finished: &[(Lease, JobOutcome)]) -> bool {
    let mut seen = HashSet::with_capacity(finished.len());
    finished.iter().all(|(lease, outcome)| {
        matches!(outcome, JobOutcome::Done { .. }) && seen.insert(lease.job)
    })
}

/// Ends jobs that all went well, in one statement that is a transaction of its own.
pub(super) async fn end_all_well(
    pool: &PgPool,
    finished: &[(Lease, JobOutcome)],
    now: Timestamp,
) -> Result<Vec<bool>, StoreError> {
    if finished.is_empty() {
        return Ok(Vec::new());
    }
    let args = (sql::json("job", &Done::of(finished))?, now);
    let held: HashSet<JobId> = alone::verb(pool, &args, end_and_count)
        .await?
        .iter()
        .map(|row| rows::parsed(row, "id"))
        .collect::<Result<_, _>>()?;
    Ok(finished
        .iter()
        .map(|(lease, _)| held.contains(&lease.job))
        .collect())
}

fn end_and_count((done, now): &(String, Timestamp)) -> Statement<'_> {
    sqlx::query(END_AND_COUNT)
        .bind(done)
        .bind(now.as_micros())
        .bind(Counter::JobsDone.as_str())
        .bind(Counter::DoneRows.as_str())
        .bind(Counter::Echoes.as_str())
        .bind(Counter::Healed.as_str())
}

/// The dead letters of records that have synced with these jobs close in it too: see [`dead::heal`].
const END_AND_COUNT: &str = "-- end_jobs_and_count
WITH ended AS (
    UPDATE jobs SET state = 'done', note = f.note, ended_at = $2,
                    lease_token = NULL, lease_until = NULL
    FROM json_to_recordset($1::json) AS f (id text, token text, note text, echo boolean, settles boolean)
    WHERE jobs.id = f.id AND jobs.lease_token = f.token
    RETURNING jobs.id, jobs.sync, jobs.lane, f.echo, f.settles
),
dead AS MATERIALIZED (
    SELECT d.id, max(e.id) AS healer
    FROM ended e
    CROSS JOIN LATERAL (
        SELECT e.lane
        UNION ALL SELECT l.sync || '/a/' || l.a_id FROM links l WHERE l.id = e.lane
        UNION ALL SELECT l.sync || '/b/' || l.b_id FROM links l WHERE l.id = e.lane) w (lane)
    CROSS JOIN LATERAL (
        SELECT j.id FROM jobs j
        WHERE j.state = 'dead' AND j.lane = w.lane AND j.edits IS NULL OFFSET 0) d
    WHERE e.settles AND (SELECT true FROM jobs j WHERE j.state = 'dead' LIMIT 1)
    GROUP BY d.id
),
healed AS (
    UPDATE jobs SET state = 'done', ended_at = $2,
                    note = 'healed: its record has synced since, by ' || d.healer
    FROM dead d WHERE jobs.id = d.id AND jobs.state || '' = 'dead'
    RETURNING jobs.sync
),
counted AS (
    INSERT INTO counters (sync, name, slot, value)
    SELECT c.sync, c.name, pg_backend_pid() % 64, sum(c.by)::bigint
    FROM (
        SELECT e.sync, n.name, n.by
        FROM (SELECT sync, count(*) AS jobs, count(*) FILTER (WHERE echo) AS echoes
              FROM ended GROUP BY sync) e
        CROSS JOIN LATERAL (VALUES ($3, e.jobs), ($4, e.jobs), ($5, e.echoes)) AS n (name, by)
        UNION ALL
        SELECT h.sync, n.name, h.jobs
        FROM (SELECT sync, count(*) AS jobs FROM healed GROUP BY sync) h
        CROSS JOIN LATERAL (VALUES ($4), ($6)) AS n (name)
    ) c
    WHERE c.by > 0
    GROUP BY c.sync, c.name
    ORDER BY c.sync, c.name
    ON CONFLICT (sync, name, slot) DO UPDATE SET value = counters.value + excluded.value
)
SELECT id FROM ended";
