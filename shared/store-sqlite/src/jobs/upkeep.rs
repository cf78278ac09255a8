//! What keeps the queue whole: renewing, rescuing, replaying, discarding, pruning.

use std::collections::HashSet;

use tandem_domain::{JobId, Timestamp};
use tandem_store::{Edits, JobKind, Lease, StoreError};

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
    put_back(txn, jobs, now).await
}

const EXPIRED: &str = "-- expired_jobs
SELECT * FROM jobs WHERE state = 'running' AND lease_until < ?1 ORDER BY lease_until LIMIT ?2";

/// Hands back all running jobs; the attempt that claiming them had counted is taken back.
pub(super) async fn release_all(txn: &mut Txn, now: Timestamp) -> Result<usize, StoreError> {
    let mut jobs = read_all(txn.all(sqlx::query(RUNNING)).await?)?;
    for job in &mut jobs {
        job.attempt = (job.attempt - 1).max(0);
    }
    put_back(txn, jobs, now).await.map(|jobs| jobs.len())
}

const RUNNING: &str = "-- running_jobs
SELECT * FROM jobs WHERE state = 'running'";

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
        job.attempt = 0;
        job.run_at = now.as_micros();
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

/// Discards dead jobs.
pub(super) async fn discard(
    txn: &mut Txn,
    ids: &[JobId],
    reason: &str,
    now: Timestamp,
) -> Result<usize, StoreError> {
    let statement = sqlx::query(DISCARD)
        .bind(sql::json("job", ids)?)
        .bind(reason.to_owned())
        .bind(now.as_micros());
    txn.run(statement).await
}

const DISCARD: &str = "-- discard_jobs
UPDATE jobs SET state = 'discarded', note = ?2, ended_at = ?3
WHERE state = 'dead' AND id IN (SELECT value FROM json_each(?1))";

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
