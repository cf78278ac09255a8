//! What keeps the queue whole: renewing, rescuing, replaying, discarding, pruning.

use std::collections::HashSet;

use sqlx::PgPool;
use sqlx::postgres::PgRow;
use tandem_domain::{JobId, SyncName, Timestamp};
use tandem_store::{
    CRASHES_MAX, Edits, JobKind, Lease, PUT_OFF_MAX, SUSPECTS_APART, StoreError,
    Waiting as WaitsFor, crashed,
};

use super::dead;
use super::enqueue::resolve_lanes;
use super::finish::LeaseRow;
use super::row::job;
use super::waiting::{Waiting, put_back};
use crate::sql::{Failed, Statement};
use crate::tally::Counter;
use crate::txn::Txn;
use crate::{alone, rows, sql};

/// Moves the end of leases that are held: one statement, that is a transaction of its own.
pub(super) async fn renew(
    pool: &PgPool,
    leases: &[Lease],
    until: Timestamp,
) -> Result<Vec<bool>, StoreError> {
    if leases.is_empty() {
        return Ok(Vec::new());
    }
    let args = (sql::json("lease", &LeaseRow::all(leases))?, until);
    let held = alone::verb(pool, &args, renewing)
        .await?
        .iter()
        .map(|row| {
            Ok(Lease {
                job: rows::parsed(row, "id")?,
                token: rows::parsed(row, "lease_token")?,
            })
        })
        .collect::<Result<HashSet<Lease>, StoreError>>()?;
    Ok(leases.iter().map(|lease| held.contains(lease)).collect())
}

fn renewing((leases, until): &(String, Timestamp)) -> Statement<'_> {
    sqlx::query(RENEW).bind(leases).bind(until.as_micros())
}

const RENEW: &str = "-- renew_leases
UPDATE jobs SET lease_until = $2
FROM json_to_recordset($1::json) AS l (id text, token text)
WHERE jobs.id = l.id AND jobs.lease_token = l.token
RETURNING jobs.id, jobs.lease_token";

/// Hands back jobs whose lease has ended.
pub(super) async fn rescue(
    txn: &mut Txn,
    now: Timestamp,
    limit: usize,
) -> Result<Vec<JobId>, Failed> {
    let statement = sqlx::query(EXPIRED)
        .bind(now.as_micros())
        .bind(sql::limit(limit));
    let jobs = read_all(&txn.all(statement).await?)?;
    let mut waiting = take_back(txn, jobs, now).await?;
    let forward = sqlx::query(BRING_FORWARD)
        .bind(now.as_micros())
        .bind(now.plus(PUT_OFF_MAX).as_micros())
        .bind(sql::limit(limit));
    for row in &txn.all(forward).await? {
        waiting.push(rows::parsed(row, "id")?);
    }
    Ok(waiting)
}

/// What no job waits so long for was put off by a clock that was ahead. Its wait counts anew.
const BRING_FORWARD: &str = "-- bring_forward_jobs
WITH RECURSIVE waiting_syncs (sync) AS (
    (SELECT j.sync FROM jobs j WHERE j.lease_token IS NULL AND j.ended_at IS NULL
     ORDER BY j.sync LIMIT 1)
    UNION ALL
    SELECT (SELECT j.sync FROM jobs j
            WHERE j.lease_token IS NULL AND j.ended_at IS NULL AND j.sync > s.sync
            ORDER BY j.sync LIMIT 1)
    FROM waiting_syncs s WHERE s.sync IS NOT NULL
),
far AS MATERIALIZED (
    SELECT f.id FROM waiting_syncs s CROSS JOIN generate_series(0, 2) AS c (class)
    CROSS JOIN LATERAL (
        SELECT j.id FROM jobs j
        WHERE j.lease_token IS NULL AND j.ended_at IS NULL AND j.sync = s.sync AND j.class = c.class AND j.run_at > $2
        ORDER BY j.run_at LIMIT $3 FOR NO KEY UPDATE SKIP LOCKED) f
    WHERE s.sync IS NOT NULL
    LIMIT $3
)
UPDATE jobs SET run_at = $1, waits = 0, waits_since = NULL, waits_for = NULL
FROM far WHERE jobs.id = far.id
RETURNING jobs.id";

/// Only a running job has a lease. One that is locked is being finished or renewed, or rescued by another process.
const EXPIRED: &str = "-- expired_jobs
SELECT * FROM jobs WHERE lease_until < $1
ORDER BY lease_until LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED";

/// Hands back all running jobs; the attempt that claiming them had counted is taken back.
pub(super) async fn release_all(txn: &mut Txn, now: Timestamp) -> Result<usize, Failed> {
    let mut jobs = read_all(&txn.all(sqlx::query(RUNNING)).await?)?;
    for job in &mut jobs {
        job.attempt = (job.attempt - 1).max(0);
    }
    let ran = jobs.len();
    take_back(txn, jobs, now).await.map(|_jobs| ran)
}

const RUNNING: &str = "-- running_jobs
SELECT * FROM jobs WHERE state = 'running' ORDER BY id FOR NO KEY UPDATE";

/// Takes jobs from processes that went away. One that was there too often is dead; those that were there twice
/// are run apart from each other, to find out which it is.
async fn take_back(
    txn: &mut Txn,
    mut jobs: Vec<Waiting>,
    now: Timestamp,
) -> Result<Vec<JobId>, Failed> {
    let mut suspects = 0;
    for job in &mut jobs {
        job.crashes += 1;
        if job.crashes + 1 == i64::from(CRASHES_MAX) {
            let apart = SUSPECTS_APART.saturating_mul(suspects);
            job.run_at = job.run_at.max(now.plus(apart).as_micros());
            suspects += 1;
        }
    }
    let (dead, others): (Vec<Waiting>, Vec<Waiting>) = jobs
        .into_iter()
        .partition(|job| job.crashes >= i64::from(CRASHES_MAX));
    dead::bury(txn, dead, &crashed(), now).await?;
    put_back(txn, others, now).await
}

fn read_all(rows: &[PgRow]) -> Result<Vec<Waiting>, StoreError> {
    rows.iter().map(Waiting::read).collect()
}

/// Replays a dead job with what it is to write in place of what it would.
pub(super) async fn replay_edited(
    txn: &mut Txn,
    id: JobId,
    edits: &Edits,
    now: Timestamp,
) -> Result<Option<JobId>, Failed> {
    let statement = sqlx::query(EDIT)
        .bind(id.to_string())
        .bind(sql::json("edit", edits)?);
    if txn.run(statement).await? == 0 {
        return Ok(None);
    }
    Ok(replay(txn, &[id], now).await?.into_iter().next())
}

const EDIT: &str = "-- edit_dead_job
UPDATE jobs SET edits = $2 WHERE id = $1 AND state = 'dead'";

/// Puts dead jobs back to waiting, in the lane that their record has by now.
pub(super) async fn replay(
    txn: &mut Txn,
    ids: &[JobId],
    now: Timestamp,
) -> Result<Vec<JobId>, Failed> {
    let dead = txn
        .all(sqlx::query(DEAD).bind(sql::json("job", ids)?))
        .await?;
    let kinds = dead
        .iter()
        .map(|row| job(row).map(|job| job.kind))
        .collect::<Result<Vec<JobKind>, _>>()?;
    let lanes = resolve_lanes(txn, &kinds.iter().collect::<Vec<_>>()).await?;
    let mut jobs = read_all(&dead)?;
    for (job, lane) in jobs.iter_mut().zip(lanes) {
        job.lane = lane;
        job.begin_anew(now);
    }
    put_back(txn, jobs, now).await
}

const DEAD: &str = "-- dead_jobs
SELECT * FROM jobs
WHERE state = 'dead' AND id = ANY (ARRAY(SELECT json_array_elements_text($1::json)))
ORDER BY id FOR NO KEY UPDATE";

/// Makes due what waits for this.
pub(crate) async fn release_waiting(
    txn: &mut Txn,
    sync: &SyncName,
    reason: WaitsFor,
    now: Timestamp,
) -> Result<usize, Failed> {
    let statement = sqlx::query(RELEASE_WAITING)
        .bind(sync.as_str().to_owned())
        .bind(reason.as_str())
        .bind(now.as_micros());
    txn.run(statement).await
}

/// One that is being claimed runs already.
const RELEASE_WAITING: &str = "-- release_waiting
WITH waiting AS MATERIALIZED (
    SELECT id FROM jobs
    WHERE state = 'available' AND waits_for IS NOT NULL AND sync = $1 AND waits_for = $2
    ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE jobs SET run_at = least(run_at, $3), waits = 0, waits_since = NULL, waits_for = NULL
FROM waiting WHERE jobs.id = waiting.id";

/// Removes old jobs that are done or discarded.
pub(super) async fn prune(txn: &mut Txn, before: Timestamp, limit: usize) -> Result<usize, Failed> {
    let statement = sqlx::query(PRUNE)
        .bind(before.as_micros())
        .bind(sql::limit(limit));
    let mut removed = 0;
    for row in txn.all(statement).await? {
        let (sync, done): (String, i64) = (rows::get(&row, "sync")?, rows::get(&row, "done")?);
        txn.tally.add(&sync, Counter::DoneRows, -done);
        removed += rows::count(&row, "removed")?;
    }
    Ok(usize::try_from(removed).unwrap_or(usize::MAX))
}

/// Two processes that prune at once remove different jobs.
const PRUNE: &str = "-- prune_jobs
WITH old AS MATERIALIZED (
    SELECT id FROM jobs WHERE state IN ('done', 'discarded') AND ended_at < $1
    ORDER BY ended_at LIMIT $2 FOR UPDATE SKIP LOCKED
),
removed AS (
    DELETE FROM jobs USING old WHERE jobs.id = old.id RETURNING jobs.sync, jobs.state
)
SELECT sync, count(*) AS removed, count(*) FILTER (WHERE state = 'done') AS done
FROM removed GROUP BY sync";
