//! Ending claimed jobs. Each statement names the lease token, so that a worker which lost its lease
//! changes nothing.

use std::collections::HashSet;

use serde::Serialize;
use tandem_domain::{JobId, Timestamp};
use tandem_store::{Failure, JobOutcome, Lease, StoreError};

use super::waiting::{Waiting, put_back};
use crate::tally::Counter;
use crate::writer::Txn;
use crate::{rows, sql};

/// Notes that begin so say that the job found our own write, or nothing new.
const ECHO_NOTES: [&str; 3] = ["echo", "agreed", "nothing"];

#[derive(Serialize)]
struct Done<'a> {
    id: JobId,
    token: String,
    note: &'a str,
}

#[derive(Serialize)]
struct Dead<'a> {
    id: JobId,
    token: String,
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
    counted: i64,
    started_at: Option<i64>,
    code: &'static str,
    chain: &'a [String],
}

/// Ends or hands back jobs. Each answer says whether the lease was held.
pub(crate) async fn finish(
    txn: &mut Txn,
    finished: &[(Lease, JobOutcome)],
    now: Timestamp,
) -> Result<Vec<bool>, StoreError> {
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
) -> Result<Vec<bool>, StoreError> {
    let mut held = end_well(txn, finished, now).await?;
    held.extend(park(txn, finished, now).await?);
    held.extend(hand_back(txn, finished, now).await?);
    Ok(finished
        .iter()
        .map(|(lease, _)| held.contains(&lease.job))
        .collect())
}

async fn end_well(
    txn: &mut Txn,
    finished: &[(Lease, JobOutcome)],
    now: Timestamp,
) -> Result<HashSet<JobId>, StoreError> {
    let done: Vec<Done<'_>> = finished
        .iter()
        .filter_map(|(lease, outcome)| match outcome {
            JobOutcome::Done { note } => Some(Done {
                id: lease.job,
                token: lease.token.to_string(),
                note,
            }),
            JobOutcome::Retry { .. } | JobOutcome::Snooze { .. } | JobOutcome::Dead { .. } => None,
        })
        .collect();
    if done.is_empty() {
        return Ok(HashSet::new());
    }
    let statement = sqlx::query(END_WELL)
        .bind(sql::json("job", &done)?)
        .bind(now.as_micros());
    let mut held = HashSet::new();
    for row in txn.all(statement).await? {
        let (sync, note): (String, String) = (rows::get(&row, "sync")?, rows::get(&row, "note")?);
        let echo = ECHO_NOTES.iter().any(|word| note.starts_with(word));
        txn.tally.add(&sync, Counter::JobsDone, 1);
        txn.tally.add(&sync, Counter::DoneRows, 1);
        txn.tally.add(&sync, Counter::Echoes, i64::from(echo));
        held.insert(rows::parsed(&row, "id")?);
    }
    Ok(held)
}

const END_WELL: &str = "-- end_jobs_well
UPDATE jobs SET state = 'done', note = f.value ->> 'note', ended_at = ?2,
                lease_token = NULL, lease_until = NULL
FROM json_each(?1) f
WHERE jobs.id = f.value ->> 'id' AND jobs.lease_token = f.value ->> 'token'
RETURNING id, sync, note";

async fn park(
    txn: &mut Txn,
    finished: &[(Lease, JobOutcome)],
    now: Timestamp,
) -> Result<HashSet<JobId>, StoreError> {
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
            token: lease.token.to_string(),
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
async fn replace_older(
    txn: &mut Txn,
    parked: &[Waiting],
    now: Timestamp,
) -> Result<(), StoreError> {
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
UPDATE jobs SET state = 'discarded', note = 'replaced by ' || (n.value ->> 'id'), ended_at = ?2
FROM json_each(?1) n
WHERE jobs.state = 'dead' AND jobs.lane = n.value ->> 'lane' AND jobs.id <> n.value ->> 'id'";

const PARK: &str = "-- park_jobs
UPDATE jobs SET state = 'dead', ended_at = ?2, failure_code = f.value ->> 'code',
                failure_chain = f.value ->> 'chain', lease_token = NULL, lease_until = NULL
FROM json_each(?1) f
WHERE jobs.id = f.value ->> 'id' AND jobs.lease_token = f.value ->> 'token'
RETURNING *";

async fn hand_back(
    txn: &mut Txn,
    finished: &[(Lease, JobOutcome)],
    now: Timestamp,
) -> Result<HashSet<JobId>, StoreError> {
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

/// The jobs whose lease is held.
pub(crate) async fn held_jobs(
    txn: &mut Txn,
    leases: &[&Lease],
) -> Result<Vec<Waiting>, StoreError> {
    let pairs: Vec<_> = leases
        .iter()
        .map(|lease| (lease.job, lease.token))
        .collect();
    txn.all(sqlx::query(HELD).bind(sql::json("lease", &pairs)?))
        .await?
        .iter()
        .map(Waiting::read)
        .collect()
}

const HELD: &str = "-- held_jobs
SELECT j.* FROM json_each(?1) l
JOIN jobs j ON j.id = l.value ->> 0 AND j.lease_token = l.value ->> 1";

/// Writes the failures of jobs that are held. Returns which jobs these are.
async fn log_attempts(
    txn: &mut Txn,
    held: &[Waiting],
    failures: &[(JobId, &Failure, bool)],
    now: Timestamp,
) -> Result<HashSet<JobId>, StoreError> {
    let mut answers = HashSet::new();
    let mut rows = Vec::with_capacity(held.len());
    for (id, failure, counted) in failures {
        let text = id.to_string();
        if let Some(job) = held.iter().find(|job| job.id == text) {
            answers.insert(*id);
            rows.push(Attempt {
                job: &job.id,
                attempt: job.attempt,
                counted: i64::from(*counted),
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
SELECT value ->> 'job', value ->> 'attempt', value ->> 'counted', coalesce(value ->> 'started_at', ?2),
       ?2, value ->> 'code', value ->> 'chain'
FROM json_each(?1) WHERE true
ON CONFLICT (job, attempt) WHERE counted = 0 DO UPDATE SET
    started_at = excluded.started_at, ended_at = excluded.ended_at,
    code = excluded.code, chain = excluded.chain";
