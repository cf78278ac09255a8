//! Ending claimed jobs. Each statement names the lease token, so that a worker which lost its lease
//! changes nothing.

use std::collections::HashSet;

use serde::Serialize;
use tandem_domain::{JobId, Timestamp};
use tandem_store::{Failure, JobOutcome, Lease, StoreError, Verdict, notes};

use super::dead;
use super::waiting::{Waiting, put_back};
use crate::tally::Counter;
use crate::writer::Txn;
use crate::{rows, sql};

#[derive(Serialize)]
struct Done<'a> {
    id: JobId,
    token: String,
    note: &'a str,
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
    let mut dead: Vec<(Lease, Failure)> = finished
        .iter()
        .filter_map(|(lease, outcome)| match outcome {
            JobOutcome::Dead { failure } => Some((*lease, failure.clone())),
            JobOutcome::Done { .. } | JobOutcome::Retry { .. } | JobOutcome::Snooze { .. } => None,
        })
        .collect();
    let back = hand_back(txn, finished, now).await?;
    held.extend(back.held);
    dead.extend(back.in_vain);
    held.extend(dead::park(txn, &dead, now).await?);
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
    let mut settled = Vec::new();
    for row in txn.all(statement).await? {
        let (sync, note): (String, String) = (rows::get(&row, "sync")?, rows::get(&row, "note")?);
        txn.tally.add(&sync, Counter::JobsDone, 1);
        txn.tally.add(&sync, Counter::DoneRows, 1);
        txn.tally
            .add(&sync, Counter::Echoes, i64::from(notes::is_echo(&note)));
        held.insert(rows::parsed(&row, "id")?);
        if notes::settles(&note) {
            settled.push(dead::Settled::read(&row)?);
        }
    }
    dead::heal(txn, &settled, now).await?;
    Ok(held)
}

const END_WELL: &str = "-- end_jobs_well
UPDATE jobs SET state = 'done', note = f.value ->> 'note', ended_at = ?2,
                lease_token = NULL, lease_until = NULL
FROM json_each(?1) f
WHERE jobs.id = f.value ->> 'id' AND jobs.lease_token = f.value ->> 'token'
RETURNING id, sync, lane, note";

/// What became of jobs that were to go back to waiting.
#[derive(Default)]
struct HandedBack {
    /// Those that did.
    held: HashSet<JobId>,
    /// Those that have waited in vain.
    in_vain: Vec<(Lease, Failure)>,
}

async fn hand_back(
    txn: &mut Txn,
    finished: &[(Lease, JobOutcome)],
    now: Timestamp,
) -> Result<HandedBack, StoreError> {
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
    let mut back = HandedBack::default();
    if leases.is_empty() {
        return Ok(back);
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
    let mut waiting = Vec::with_capacity(held.len());
    for mut job in held {
        let outcome = finished
            .iter()
            .find(|(lease, _)| lease.job.to_string() == job.id);
        let Some((lease, outcome)) = outcome else {
            continue;
        };
        match apply(txn, &mut job, outcome, now)? {
            None => {
                back.held.insert(lease.job);
                waiting.push(job);
            }
            Some(failure) => back.in_vain.push((*lease, failure)),
        }
    }
    put_back(txn, waiting, now).await?;
    Ok(back)
}

/// Lets a job wait as its outcome says; `Some` is why it is dead instead.
fn apply(
    txn: &mut Txn,
    job: &mut Waiting,
    outcome: &JobOutcome,
    now: Timestamp,
) -> Result<Option<Failure>, StoreError> {
    // It came to an end by itself, whatever end that was.
    job.crashes = 0;
    match outcome {
        JobOutcome::Retry { run_at, failure } => {
            txn.tally.add(&job.sync, Counter::Retries, 1);
            job.run_at = run_at.as_micros();
            job.fail(failure)?;
        }
        JobOutcome::Snooze {
            run_at,
            failure,
            reason,
        } => {
            let verdict = job
                .waits()
                .again(*reason, *run_at, failure.as_ref(), job.turn(now));
            let (run_at, waits) = match verdict {
                Verdict::Wait { run_at, waits } => (run_at, waits),
                Verdict::TooLong { failure } => return Ok(Some(failure)),
            };
            job.wait(run_at, waits);
            job.class = job.class.max(reason.most_urgent().rank());
            job.attempt = (job.attempt - 1).max(0);
            if let Some(failure) = failure {
                job.fail(failure)?;
            }
        }
        JobOutcome::Done { .. } | JobOutcome::Dead { .. } => {}
    }
    Ok(None)
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
pub(super) async fn log_attempts(
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
