//! What keeps the queue whole: renewing, rescuing, replaying, discarding, pruning.

use std::collections::HashSet;

use tandem_domain::{JobId, SyncName, Timestamp};
use tandem_store::{
    CRASHES_MAX, Edits, JobKind, Lease, PUT_OFF_MAX, SUSPECTS_APART, StoreError,
    Waiting as WaitsFor, crashed,
};

use super::dead;
use super::enqueue::resolve_lanes;
use super::row::job;
use super::waiting::{Waiting, put_back};
use crate::tally::Counter;
use crate::writer::Txn;
use crate::{rows, sql};

/// Moves the end of leases that are held.
pub(super) async fn renew(
    txn: &mut Txn,
    leases: &[Lease],
    until: Timestamp,
) -> Result<Vec<bool>, StoreError> {
    let pairs: Vec<_> = leases
        .iter()
        .map(|lease| (lease.job, lease.token))
        .collect();
    let statement = sqlx::query(RENEW)
        .bind(sql::json("lease", &pairs)?)
        .bind(until.as_micros());
    let held = txn
        .all(statement)
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

const RENEW: &str = "-- renew_leases
UPDATE jobs SET lease_until = ?2
FROM json_each(?1) l
WHERE jobs.id = l.value ->> 0 AND jobs.lease_token = l.value ->> 1
RETURNING id, lease_token";

/// Hands back jobs whose lease has ended.
pub(super) async fn rescue(
    txn: &mut Txn,
    now: Timestamp,
    limit: usize,
) -> Result<Vec<JobId>, StoreError> {
    let statement = sqlx::query(EXPIRED)
        .bind(now.as_micros())
        .bind(sql::limit(limit));
    let jobs = read_all(txn.all(statement).await?)?;
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
    SELECT min(sync) FROM jobs WHERE state = 'available'
    UNION ALL
    SELECT (SELECT min(j.sync) FROM jobs j WHERE j.state = 'available' AND j.sync > s.sync)
    FROM waiting_syncs s WHERE s.sync IS NOT NULL
)
UPDATE jobs SET run_at = ?1, waits = 0, waits_since = NULL, waits_for = NULL
WHERE rowid IN (
    SELECT j.rowid FROM waiting_syncs s CROSS JOIN json_each('[0,1,2]') c CROSS JOIN jobs j
    WHERE s.sync IS NOT NULL AND j.state = 'available' AND j.sync = s.sync AND j.class = c.value AND j.run_at > ?2
    LIMIT ?3)
RETURNING id";

const EXPIRED: &str = "-- expired_jobs
SELECT * FROM jobs WHERE state = 'running' AND lease_until < ?1 ORDER BY lease_until LIMIT ?2";

/// Hands back all running jobs; the attempt that claiming them had counted is taken back.
pub(super) async fn release_all(txn: &mut Txn, now: Timestamp) -> Result<usize, StoreError> {
    let mut jobs = read_all(txn.all(sqlx::query(RUNNING)).await?)?;
    for job in &mut jobs {
        job.attempt = (job.attempt - 1).max(0);
    }
    let ran = jobs.len();
    take_back(txn, jobs, now).await.map(|_jobs| ran)
}

const RUNNING: &str = "-- running_jobs
SELECT * FROM jobs WHERE state = 'running' ORDER BY id";

/// Takes jobs from processes that went away. One that was there too often is dead; those that were there twice
/// are run apart from each other, to find out which it is.
async fn take_back(
    txn: &mut Txn,
    mut jobs: Vec<Waiting>,
    now: Timestamp,
) -> Result<Vec<JobId>, StoreError> {
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

fn read_all(rows: Vec<sqlx::sqlite::SqliteRow>) -> Result<Vec<Waiting>, StoreError> {
    rows.iter().map(Waiting::read).collect()
}

/// Puts dead jobs back to waiting, in the lane that their record has by now.
pub(super) async fn replay(
    txn: &mut Txn,
    ids: &[JobId],
    now: Timestamp,
) -> Result<Vec<JobId>, StoreError> {
    let dead = txn
        .all(sqlx::query(DEAD).bind(sql::json("job", ids)?))
        .await?;
    let kinds = dead
        .iter()
        .map(|row| job(row).map(|job| job.kind))
        .collect::<Result<Vec<JobKind>, _>>()?;
    let lanes = resolve_lanes(txn, &kinds.iter().collect::<Vec<_>>()).await?;
    let mut jobs = read_all(dead)?;
    for (job, lane) in jobs.iter_mut().zip(lanes) {
        job.lane = lane;
        job.begin_anew(now);
    }
    put_back(txn, jobs, now).await
}

const DEAD: &str = "-- dead_jobs
SELECT * FROM jobs WHERE state = 'dead' AND id IN (SELECT value FROM json_each(?1)) ORDER BY id";

/// Replays a dead job with what it is to write in place of what it would.
pub(super) async fn replay_edited(
    txn: &mut Txn,
    id: JobId,
    edits: &Edits,
    now: Timestamp,
) -> Result<Option<JobId>, StoreError> {
    let statement = sqlx::query(EDIT)
        .bind(id.to_string())
        .bind(sql::json("edit", edits)?);
    if txn.run(statement).await? == 0 {
        return Ok(None);
    }
    Ok(replay(txn, &[id], now).await?.into_iter().next())
}

const EDIT: &str = "-- edit_dead_job
UPDATE jobs SET edits = ?2 WHERE id = ?1 AND state = 'dead'";

/// Makes due what waits for this.
pub(crate) async fn release_waiting(
    txn: &mut Txn,
    sync: &SyncName,
    reason: WaitsFor,
    now: Timestamp,
) -> Result<usize, StoreError> {
    let statement = sqlx::query(RELEASE_WAITING)
        .bind(sync.as_str().to_owned())
        .bind(reason.as_str())
        .bind(now.as_micros());
    txn.run(statement).await
}

const RELEASE_WAITING: &str = "-- release_waiting
UPDATE jobs SET run_at = min(run_at, ?3), waits = 0, waits_since = NULL, waits_for = NULL
WHERE state = 'available' AND waits_for IS NOT NULL AND sync = ?1 AND waits_for = ?2";

/// Removes old jobs that are done or discarded.
pub(super) async fn prune(
    txn: &mut Txn,
    before: Timestamp,
    limit: usize,
) -> Result<usize, StoreError> {
    let statement = sqlx::query(PRUNE)
        .bind(before.as_micros())
        .bind(sql::limit(limit));
    let removed = txn.all(statement).await?;
    for row in &removed {
        if rows::get::<&str>(row, "state")? == "done" {
            let sync: String = rows::get(row, "sync")?;
            txn.tally.add(&sync, Counter::DoneRows, -1);
        }
    }
    Ok(removed.len())
}

const PRUNE: &str = "-- prune_jobs
DELETE FROM jobs WHERE rowid IN (
    SELECT rowid FROM jobs WHERE state IN ('done', 'discarded') AND ended_at < ?1
    ORDER BY ended_at LIMIT ?2)
RETURNING sync, state";
