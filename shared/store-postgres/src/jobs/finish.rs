//! Ending claimed jobs. Each statement names the lease token, so that a worker which lost its lease
//! changes nothing.
//!
//! Jobs are locked in the order of their ids: two batches that share jobs (a renewal and an ending by
//! the same worker) wait for each other and do not deadlock. Rows are handed to a statement in that
//! order where it looks each of them up; where the plan is less certain, the statement sorts.

use std::collections::HashSet;

use serde::Serialize;
use tandem_domain::{JobId, LeaseToken, Timestamp};
use tandem_store::{Failure, JobOutcome, Lease, StoreError, Verdict};

use super::dead;
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
) -> Result<HandedBack, Failed> {
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
pub(super) async fn log_attempts(
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
