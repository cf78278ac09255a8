//! Ending claimed jobs. Each statement names the lease token, so that a worker which lost its lease
//! changes nothing.
//!
//! Jobs are locked in the order of their ids: two batches that share jobs (a renewal and an ending by
//! the same worker) wait for each other and do not deadlock. Rows are handed to a statement in that
//! order where it looks each of them up; where the plan is less certain, the statement sorts.

use std::collections::HashSet;

use serde::Serialize;
use tandem_domain::{JobId, LeaseToken, Timestamp};
use tandem_store::{Failure, JobOutcome, Lease, StoreError};

use super::done::end_well;
use super::waiting::{Waiting, put_back};
use crate::sql::{self, Failed};
use crate::tally::Counter;
use crate::txn::Txn;

/// A lease as a statement takes it.
#[derive(Serialize)]
pub(super) struct LeaseRow {
    id: JobId,
    token: LeaseToken,
}

impl LeaseRow {
    /// In the order in which their jobs are locked.
    pub(super) fn all<'a>(leases: impl IntoIterator<Item = &'a Lease>) -> Vec<Self> {
        let mut rows: Vec<Self> = leases
            .into_iter()
            .map(|lease| Self {
                id: lease.job,
                token: lease.token,
            })
            .collect();
        rows.sort_by_key(|row| row.id);
        rows
    }
}

#[derive(Serialize)]
struct Dead<'a> {
    id: JobId,
    token: LeaseToken,
    code: &'static str,
    chain: &'a [String],
}

/// The newest dead letter of its lane.
#[derive(Serialize)]
struct Newest<'a> {
    id: &'a str,
    lane: &'a str,
}

#[derive(Serialize)]
struct Attempt<'a> {
    job: &'a str,
    attempt: i64,
    counted: bool,
    started_at: Option<i64>,
    code: &'static str,
    chain: &'a [String],
}

/// Ends or hands back jobs. Each answer says whether the lease was held.
pub(crate) async fn finish(
    txn: &mut Txn,
    finished: &[(Lease, JobOutcome)],
    now: Timestamp,
) -> Result<Vec<bool>, Failed> {
    let distinct: HashSet<JobId> = finished.iter().map(|(lease, _)| lease.job).collect();
    if distinct.len() == finished.len() {
        return finish_distinct(txn, finished, now).await;
    }
    // A late finisher and the present one of the same job: each gets its own answer.
    let mut answers = Vec::with_capacity(finished.len());
    for one in finished {
        answers.extend(finish_distinct(txn, std::slice::from_ref(one), now).await?);
    }
    Ok(answers)
}

async fn finish_distinct(
    txn: &mut Txn,
    finished: &[(Lease, JobOutcome)],
    now: Timestamp,
) -> Result<Vec<bool>, Failed> {
    if finished.len() > 1 {
        // What follows goes by the outcomes, which is not the order of the ids.
        let leases: Vec<&Lease> = finished.iter().map(|(lease, _)| lease).collect();
        held_jobs(txn, &leases).await?;
    }
    finish_held(txn, finished, now).await
}

/// Like [`finish`], for jobs that are locked already, each named once.
pub(crate) async fn finish_held(
    txn: &mut Txn,
    finished: &[(Lease, JobOutcome)],
    now: Timestamp,
) -> Result<Vec<bool>, Failed> {
    let mut held = end_well(txn, finished, now).await?;
    held.extend(park(txn, finished, now).await?);
    held.extend(hand_back(txn, finished, now).await?);
    Ok(finished
        .iter()
        .map(|(lease, _)| held.contains(&lease.job))
        .collect())
}

async fn park(
    txn: &mut Txn,
    finished: &[(Lease, JobOutcome)],
    now: Timestamp,
) -> Result<HashSet<JobId>, Failed> {
    let dead: Vec<(&Lease, &Failure)> = finished
        .iter()
        .filter_map(|(lease, outcome)| match outcome {
            JobOutcome::Dead { failure } => Some((lease, failure)),
            JobOutcome::Done { .. } | JobOutcome::Retry { .. } | JobOutcome::Snooze { .. } => None,
        })
        .collect();
    if dead.is_empty() {
        return Ok(HashSet::new());
    }
    let rows: Vec<Dead<'_>> = dead
        .iter()
        .map(|(lease, failure)| Dead {
            id: lease.job,
            token: lease.token,
            code: failure.code.as_str(),
            chain: &failure.chain,
        })
        .collect();
    let statement = sqlx::query(PARK)
        .bind(sql::json("job", &rows)?)
        .bind(now.as_micros());
    let parked: Vec<Waiting> = txn
        .all(statement)
        .await?
        .iter()
        .map(Waiting::read)
        .collect::<Result<_, _>>()?;
    for job in &parked {
        txn.tally.add(&job.sync, Counter::Dead, 1);
    }
    let failures: Vec<_> = dead
        .iter()
        .map(|(lease, failure)| (lease.job, *failure, true))
        .collect();
    replace_older(txn, &parked, now).await?;
    log_attempts(txn, &parked, &failures, now).await
}

/// What is refused is refused again by the next poll: of the dead letters of a lane the newest says all
/// that there is to say.
async fn replace_older(txn: &mut Txn, parked: &[Waiting], now: Timestamp) -> Result<(), Failed> {
    let newest: Vec<Newest<'_>> = parked
        .iter()
        .map(|job| Newest {
            id: &job.id,
            lane: &job.lane,
        })
        .collect();
    let statement = sqlx::query(REPLACE_OLDER)
        .bind(sql::json("job", &newest)?)
        .bind(now.as_micros());
    txn.run(statement).await.map(|_| ())
}

const REPLACE_OLDER: &str = "-- replace_older_dead_jobs
UPDATE jobs SET state = 'discarded', note = 'replaced by ' || n.id, ended_at = $2
FROM json_to_recordset($1::json) AS n (id text, lane text)
WHERE jobs.state = 'dead' AND jobs.lane = n.lane AND jobs.id <> n.id";

const PARK: &str = "-- park_jobs
UPDATE jobs SET state = 'dead', ended_at = $2, failure_code = f.code, failure_chain = f.chain,
                lease_token = NULL, lease_until = NULL
FROM json_to_recordset($1::json) AS f (id text, token text, code text, chain text)
WHERE jobs.id = f.id AND jobs.lease_token = f.token
RETURNING jobs.*";

async fn hand_back(
    txn: &mut Txn,
    finished: &[(Lease, JobOutcome)],
    now: Timestamp,
) -> Result<HashSet<JobId>, Failed> {
    let leases: Vec<&Lease> = finished
        .iter()
        .filter(|(_, outcome)| {
            matches!(
                outcome,
                JobOutcome::Retry { .. } | JobOutcome::Snooze { .. }
            )
        })
        .map(|(lease, _)| lease)
        .collect();
    if leases.is_empty() {
        return Ok(HashSet::new());
    }
    let held = held_jobs(txn, &leases).await?;
    let failures: Vec<_> = finished
        .iter()
        .filter_map(|(lease, outcome)| match outcome {
            JobOutcome::Retry { failure, .. } => Some((lease.job, failure, true)),
            JobOutcome::Snooze { failure, .. } => {
                failure.as_ref().map(|failure| (lease.job, failure, false))
            }
            JobOutcome::Done { .. } | JobOutcome::Dead { .. } => None,
        })
        .collect();
    log_attempts(txn, &held, &failures, now).await?;
    let mut answers = HashSet::new();
    let mut waiting = Vec::with_capacity(held.len());
    for mut job in held {
        let outcome = finished
            .iter()
            .find(|(lease, _)| lease.job.to_string() == job.id);
        if let Some((lease, outcome)) = outcome {
            answers.insert(lease.job);
            apply(txn, &mut job, outcome)?;
            waiting.push(job);
        }
    }
    put_back(txn, waiting, now).await?;
    Ok(answers)
}

fn apply(txn: &mut Txn, job: &mut Waiting, outcome: &JobOutcome) -> Result<(), StoreError> {
    match outcome {
        JobOutcome::Retry { run_at, failure } => {
            txn.tally.add(&job.sync, Counter::Retries, 1);
            job.run_at = run_at.as_micros();
            job.fail(failure)
        }
        JobOutcome::Snooze { run_at, failure } => {
            job.run_at = run_at.as_micros();
            job.attempt = (job.attempt - 1).max(0);
            failure.as_ref().map_or(Ok(()), |failure| job.fail(failure))
        }
        JobOutcome::Done { .. } | JobOutcome::Dead { .. } => Ok(()),
    }
}

/// The jobs whose lease is held, locked: nobody takes them away before this transaction ends.
pub(crate) async fn held_jobs(txn: &mut Txn, leases: &[&Lease]) -> Result<Vec<Waiting>, Failed> {
    let rows = LeaseRow::all(leases.iter().copied());
    txn.all(sqlx::query(HELD).bind(sql::json("lease", &rows)?))
        .await?
        .iter()
        .map(|row| Waiting::read(row).map_err(Failed::from))
        .collect()
}

const HELD: &str = "-- held_jobs
SELECT j.* FROM json_to_recordset($1::json) AS l (id text, token text)
JOIN jobs j ON j.id = l.id AND j.lease_token = l.token
ORDER BY j.id FOR NO KEY UPDATE OF j";

/// Writes the failures of jobs that are held. Returns which jobs these are.
async fn log_attempts(
    txn: &mut Txn,
    held: &[Waiting],
    failures: &[(JobId, &Failure, bool)],
    now: Timestamp,
) -> Result<HashSet<JobId>, Failed> {
    let mut answers = HashSet::new();
    let mut rows = Vec::with_capacity(held.len());
    for (id, failure, counted) in failures {
        let text = id.to_string();
        if let Some(job) = held.iter().find(|job| job.id == text) {
            answers.insert(*id);
            rows.push(Attempt {
                job: &job.id,
                attempt: job.attempt,
                counted: *counted,
                started_at: job.claimed_at,
                code: failure.code.as_str(),
                chain: &failure.chain,
            });
        }
    }
    if !rows.is_empty() {
        let statement = sqlx::query(LOG_ATTEMPTS)
            .bind(sql::json("attempt", &rows)?)
            .bind(now.as_micros());
        txn.run(statement).await?;
    }
    Ok(answers)
}

const LOG_ATTEMPTS: &str = "-- log_attempts
INSERT INTO job_attempts (job, attempt, counted, started_at, ended_at, code, chain)
SELECT a.job, a.attempt, a.counted, coalesce(a.started_at, $2), $2, a.code, a.chain
FROM json_to_recordset($1::json) AS a (
    job text, attempt bigint, counted boolean, started_at bigint, code text, chain text)
ON CONFLICT (job, attempt) WHERE NOT counted DO UPDATE SET
    started_at = excluded.started_at, ended_at = excluded.ended_at,
    code = excluded.code, chain = excluded.chain";
