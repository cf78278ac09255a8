//! Jobs and their attempts.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use tandem_domain::{ErrorCode, JobId, RecordId, Side, SyncName, Timestamp};
use tandem_store::{
    Edits, Failure, Job, JobAttempt, JobClass, JobKind, JobState, Trigger, Waiting,
};

use super::{when, when_opt};

/// A job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobView {
    /// Its id.
    pub id: JobId,
    /// `reconcile`, `poll`, `sweep`, `backfill` or `noop`.
    pub kind: Cow<'static, str>,
    /// The sync.
    pub sync: Option<SyncName>,
    /// The side, where the kind has one.
    pub side: Option<Side>,
    /// The record, where the kind has one.
    pub record: Option<RecordId>,
    /// Jobs in one lane never run at the same time.
    pub lane: String,
    /// How urgent.
    pub class: JobClass,
    /// What caused it.
    pub trigger: Trigger,
    /// Where it stands.
    pub state: JobState,
    /// Attempts that count.
    pub attempt: u32,
    /// Further causes that merged into it.
    pub merged: u32,
    /// Not begun before.
    #[serde(with = "when")]
    pub run_at: Timestamp,
    /// When it was inserted.
    #[serde(with = "when")]
    pub created_at: Timestamp,
    /// When it ended.
    #[serde(with = "when_opt")]
    pub ended_at: Option<Timestamp>,
    /// The last failure.
    pub failure: Option<Failure>,
    /// What it did, or why it was discarded.
    pub note: Option<String>,
    /// W3C trace context.
    pub traceparent: Option<String>,
    /// What an operator gave it to write, by mapped field.
    #[serde(default, skip_serializing_if = "Edits::is_empty")]
    pub edits: Edits,
    /// How often it went back to waiting since it last came forward.
    #[serde(default)]
    pub waits: u32,
    /// What it waits for, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<String>,
}

impl From<Job> for JobView {
    fn from(job: Job) -> Self {
        let (side, record) = side_and_record(&job.kind);
        let waits_for = waits_for(&job);
        Self {
            id: job.id,
            kind: job.kind.as_str().into(),
            sync: job.kind.sync().cloned(),
            side,
            record,
            lane: job.lane.as_str().to_owned(),
            class: job.class,
            trigger: job.trigger,
            state: job.state,
            attempt: job.attempt,
            merged: job.merged,
            run_at: job.run_at,
            created_at: job.created_at,
            ended_at: job.ended_at,
            failure: job.failure,
            note: job.note,
            traceparent: job.traceparent,
            edits: job.edits,
            waits: job.waits.count,
            // After a step it is no longer waited for.
            waits_for,
        }
    }
}

/// What it waits for, in words. After a step it is no longer waited for.
fn waits_for(job: &Job) -> Option<String> {
    let failed = job.failure.as_ref().map(|failure| failure.code);
    let reason = job.waits.reason.filter(|_| job.waits.count > 0);
    reason
        .map(|reason| in_words(reason, failed).to_owned())
        .or_else(|| job.waits_for_newer.clone())
}

/// Which of the two it is that keeps a system from us, the last failure says.
const fn in_words(reason: Waiting, failed: Option<ErrorCode>) -> &'static str {
    match (reason, failed) {
        (Waiting::SystemDown, Some(ErrorCode::Unauthorized)) => {
            "a system that answers and refuses the credentials"
        }
        (Waiting::SystemDown, Some(ErrorCode::Unreachable)) => "a system that does not answer",
        (reason, _) => reason.describe(),
    }
}

fn side_and_record(kind: &JobKind) -> (Option<Side>, Option<RecordId>) {
    match kind {
        JobKind::Reconcile { side, record, .. } => (Some(*side), Some(record.clone())),
        JobKind::Poll { side, .. } | JobKind::Sweep { side, .. } => (Some(*side), None),
        JobKind::Backfill { .. } | JobKind::Noop { .. } => (None, None),
    }
}

/// An attempt that failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttemptView {
    /// Its number.
    pub attempt: u32,
    /// When it began.
    #[serde(with = "when")]
    pub started_at: Timestamp,
    /// When it ended.
    #[serde(with = "when")]
    pub ended_at: Timestamp,
    /// The stable word for the failure.
    pub code: ErrorCode,
    /// The message and its causes, outermost first.
    pub chain: Vec<String>,
}

impl From<JobAttempt> for AttemptView {
    fn from(attempt: JobAttempt) -> Self {
        Self {
            attempt: attempt.attempt,
            started_at: attempt.started_at,
            ended_at: attempt.ended_at,
            code: attempt.failure.code,
            chain: attempt.failure.chain,
        }
    }
}

/// A job with its failed attempts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobDetail {
    /// The job.
    #[serde(flatten)]
    pub job: JobView,
    /// Its failed attempts, first to last.
    pub attempts: Vec<AttemptView>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_that_refuses_the_credentials_is_not_said_to_be_silent() {
        let words = |failed| in_words(Waiting::SystemDown, failed);
        assert!(words(Some(ErrorCode::Unauthorized)).contains("refuses the credentials"));
        assert!(words(Some(ErrorCode::Unreachable)).contains("does not answer"));
        assert!(words(None).contains("lets nobody in"));
        let throttled = in_words(Waiting::Throttled, Some(ErrorCode::Unauthorized));
        assert_eq!(throttled, Waiting::Throttled.describe());
    }
}
