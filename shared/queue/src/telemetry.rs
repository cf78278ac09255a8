//! The metrics of the queue, each named once, and the spans of a job.

use std::time::Duration;

use metrics::{counter, gauge, histogram};
use tandem_domain::{ConnectionName, Timestamp};
use tandem_store::{Failure, Job, JobKind, JobOutcome, Trigger};
use tandem_trace::{TARGET, TraceContext};
use tracing::field::{Empty, display};
use tracing::{Span, info_span};

use crate::breaker::BreakerState;
use crate::handler::Handled;

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

/// The two spans of a job.
pub(crate) struct JobSpans {
    /// The step of the trace that the job is; nothing where no traces are exported.
    pub(crate) traced: Span,
    /// Names the job and its trace in all that is logged under it.
    pub(crate) logged: Span,
}

impl JobSpans {
    pub(crate) fn of(job: &Job) -> Self {
        let stored = job.traceparent.as_deref();
        let stored = stored.and_then(|text| text.parse::<TraceContext>().ok());
        let traced = traced(job);
        if let Some(stored) = stored {
            follow(&traced, job.trigger, stored);
        }
        let context = tandem_trace::context_of(&traced).or(stored);
        let logged = info_span!(
            "job",
            job = %job.id,
            kind = job.kind.as_str(),
            sync = job.kind.sync().map(display),
            record = record_of(&job.kind),
            attempt = job.attempt,
            trace_id = context.map(|context| context.trace_hex()),
        );
        Self { traced, logged }
    }
}

fn traced(job: &Job) -> Span {
    info_span!(
        target: TARGET,
        parent: None,
        "job",
        otel.name = %format_args!("job {}", job.kind.as_str()),
        otel.kind = "consumer",
        otel.status_code = Empty,
        error.type = Empty,
        tandem.job = %job.id,
        tandem.kind = job.kind.as_str(),
        tandem.sync = job.kind.sync().map(display),
        tandem.record = record_of(&job.kind),
        tandem.trigger = job.trigger.as_str(),
        tandem.attempt = job.attempt,
        tandem.merged = job.merged,
        tandem.outcome = Empty,
    )
}

/// What a poll or a first sync finds begins a trace of its own that names its origin: one trace of
/// a hundred thousand records could be read by nobody.
fn follow(span: &Span, trigger: Trigger, stored: TraceContext) {
    match trigger {
        Trigger::Webhook | Trigger::Manual | Trigger::Schedule => {
            tandem_trace::continue_trace(span, stored);
        }
        Trigger::Poll | Trigger::Backfill => tandem_trace::link(span, stored),
    }
}

/// Says in the trace how the job ended.
pub(crate) fn traced_end(span: &Span, handled: &Handled) {
    let failed = |failure: &Failure| {
        span.record("otel.status_code", "ERROR");
        span.record("error.type", display(&failure.code));
    };
    let outcome = match handled {
        Handled::Settled => OUTCOME_SETTLED,
        Handled::Outcome(outcome) => {
            match outcome {
                JobOutcome::Retry { failure, .. } | JobOutcome::Dead { failure } => failed(failure),
                JobOutcome::Done { .. } | JobOutcome::Snooze { .. } => {}
            }
            outcome_word(outcome)
        }
    };
    span.record("tandem.outcome", outcome);
}

fn record_of(kind: &JobKind) -> Option<&str> {
    match kind {
        JobKind::Reconcile { record, .. } => Some(record.as_str()),
        JobKind::Poll { .. }
        | JobKind::Sweep { .. }
        | JobKind::Backfill { .. }
        | JobKind::Noop { .. } => None,
    }
}
