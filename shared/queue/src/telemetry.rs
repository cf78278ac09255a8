//! The metrics of the queue, each named once.

use std::time::Duration;

use metrics::{counter, gauge, histogram};
use tandem_domain::{ConnectionName, Timestamp};
use tandem_store::{Job, JobKind, JobOutcome};

use crate::breaker::BreakerState;

/// Counts a claimed job, and how long it had been due.
pub(crate) fn claimed(job: &Job, now: Timestamp) {
    counter!("tandem_jobs_claimed_total", "class" => job.class.as_str()).increment(1);
    histogram!("tandem_job_wait_seconds", "class" => job.class.as_str())
        .record(now.since(job.run_at).as_secs_f64());
}

/// Counts an ended job.
pub(crate) fn finished(kind: &JobKind, outcome: &'static str) {
    counter!("tandem_jobs_finished_total", "outcome" => outcome, "kind" => kind.as_str())
        .increment(1);
}

/// Records how long a handler worked.
pub(crate) fn worked(kind: &JobKind, duration: Duration) {
    histogram!("tandem_job_duration_seconds", "kind" => kind.as_str())
        .record(duration.as_secs_f64());
}

/// Shows how many jobs are leased by this process.
pub(crate) fn in_flight(jobs: usize) {
    gauge!("tandem_jobs_in_flight").set(jobs as f64);
}

/// Shows a breaker: 0 closed, 1 half open, 2 open.
pub(crate) fn breaker(connection: &ConnectionName, state: BreakerState) {
    let level = match state {
        BreakerState::Closed => 0.0,
        BreakerState::HalfOpen => 1.0,
        BreakerState::Open { .. } => 2.0,
    };
    gauge!("tandem_breaker_state", "connection" => connection.as_str().to_owned()).set(level);
}

/// The label of an ending whose lease was lost, so that nothing was changed.
pub(crate) const OUTCOME_LEASE_LOST: &str = "lease_lost";
/// The label of a job that its handler ended.
pub(crate) const OUTCOME_SETTLED: &str = "settled";

/// The label of an outcome.
pub(crate) const fn outcome_word(outcome: &JobOutcome) -> &'static str {
    match outcome {
        JobOutcome::Done { .. } => "done",
        JobOutcome::Retry { .. } => "retry",
        JobOutcome::Snooze { .. } => "snooze",
        JobOutcome::Dead { .. } => "dead",
    }
}
