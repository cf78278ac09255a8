//! What a runner calls to do a job. The handlers themselves live with the syncs.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use async_trait::async_trait;
use tandem_domain::{RetryPolicy, Timestamp};
use tandem_store::{ClaimedJob, JobKind, JobOutcome, Lease};
use tokio_util::sync::CancellationToken;

/// Does jobs.
#[async_trait]
pub trait JobHandler: Send + Sync {
    /// Does one job. May be dropped at any await: when it takes longer than its timeout, and when
    /// the process has to end. What must not be lost by that is journalled before it is done.
    async fn handle(&self, claimed: ClaimedJob, context: JobContext) -> Handled;

    /// How often and how soon a job of this kind is tried again after a panic or a timeout, which
    /// the handler itself cannot answer.
    fn retry_policy(&self, _kind: &JobKind) -> RetryPolicy {
        RetryPolicy::default()
    }
}

/// How a handler left a job.
#[derive(Debug, PartialEq)]
pub enum Handled {
    /// The runner is to end the job so.
    Outcome(JobOutcome),
    /// The handler already ended the job, in a transaction of its own.
    Settled,
}

/// What a handler may ask about its job while it works.
#[derive(Clone, Debug)]
pub struct JobContext {
    /// The right to end the job.
    pub lease: Lease,
    /// Cancelled when the lease is lost or may be: nothing may be sent or written any more. Look at
    /// it before each effect.
    pub cancelled: CancellationToken,
    /// Until when the lease is held; moves as it is renewed.
    pub until: LeaseEnd,
    /// Cancelled when the process is about to end: a long job should stop at its next safe place and
    /// hand itself back with a snooze.
    pub stopping: CancellationToken,
}

/// Until when a lease is held. Asked right before an effect: a process that was stopped and goes on
/// after its lease has ended has not heard of that yet, but its clock tells.
#[derive(Clone, Debug)]
pub struct LeaseEnd(Arc<AtomicI64>);

impl LeaseEnd {
    /// A lease that ends at this instant.
    #[must_use]
    pub fn at(until: Timestamp) -> Self {
        Self(Arc::new(AtomicI64::new(until.as_micros())))
    }

    /// Whether the lease is held at this instant.
    #[must_use]
    pub fn is_after(&self, now: Timestamp) -> bool {
        self.get() > now
    }

    pub(crate) fn get(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::Acquire))
    }

    pub(crate) fn set(&self, until: Timestamp) {
        self.0.store(until.as_micros(), Ordering::Release);
    }
}
