//! The worker as the queue sees it: does a job, and turns every failure into what happens next.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use tandem_domain::{ConnectionName, Disposition, RetryPolicy, Timestamp};
use tandem_queue::{Breakers, Handled, JobContext, JobHandler, SyncLimits, outcome_for};
use tandem_store::{ClaimedJob, JobKind, JobOutcome, StoreError, Waiting};

use crate::context::Context;
use crate::failure::WorkError;
use crate::jobs::{Performed, perform};

/// Does claimed jobs. How the systems answer, the requests themselves tell the breakers: see
/// [`crate::Health`].
pub struct Worker {
    context: RwLock<Arc<Context>>,
    breakers: Arc<Breakers>,
    limits: Option<Arc<SyncLimits>>,
}

/// A job that was claimed just before its sync was paused looks again after this.
const PAUSED_WAIT: Duration = Duration::from_millis(500);

impl Worker {
    /// A worker with these hands.
    #[must_use]
    pub const fn new(context: Arc<Context>, breakers: Arc<Breakers>) -> Self {
        Self {
            context: RwLock::new(context),
            breakers,
            limits: None,
        }
    }

    /// Starts no job of a sync that these say is paused, though it was claimed before that.
    #[must_use]
    pub fn heeding(mut self, limits: Arc<SyncLimits>) -> Self {
        self.limits = Some(limits);
        self
    }

    /// Takes over other hands; jobs under way end with the old ones.
    pub fn replace(&self, context: Arc<Context>) {
        // Nothing panics while it is held.
        *self.context.write().unwrap_or_else(PoisonError::into_inner) = context;
    }

    fn context(&self) -> Arc<Context> {
        Arc::clone(&self.context.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The hands for a job; none while its sync is paused. Both are of one configuration: a pause may be over because
    /// others have taken the place of those that it was for.
    fn hands_for(&self, kind: &JobKind) -> Option<Arc<Context>> {
        loop {
            let hands = self.context();
            let limits = self.limits.as_ref().zip(kind.sync());
            if limits.is_some_and(|(limits, sync)| limits.is_paused(sync)) {
                return None;
            }
            if Arc::ptr_eq(&hands, &self.context()) {
                return Some(hands);
            }
        }
    }

    fn policy(&self, kind: &JobKind) -> RetryPolicy {
        let topology = &self.context().topology;
        let sync = kind.sync().and_then(|name| topology.syncs.get(name));
        sync.map(|sync| sync.retry).unwrap_or_default()
    }

    /// Until when the system that failed is left alone, if its breaker is open.
    fn closed_until(&self, error: &WorkError) -> Option<Timestamp> {
        let WorkError::Connector(error) = error else {
            return None;
        };
        let connection = error.system().parse::<ConnectionName>().ok()?;
        self.breakers
            .open_until(&connection, self.context().clock.now())
    }
}

#[async_trait]
impl JobHandler for Worker {
    async fn handle(&self, claimed: ClaimedJob, context: JobContext) -> Handled {
        let Some(hands) = self.hands_for(&claimed.job.kind) else {
            return Handled::Outcome(JobOutcome::Snooze {
                run_at: self.context().clock.now().plus(PAUSED_WAIT),
                failure: None,
                reason: Waiting::Gate,
            });
        };
        let result = tokio::select! {
            // Whoever may have lost the lease stops at once: nothing more is sent.
            biased;
            () = context.cancelled.cancelled() => Err(StoreError::LeaseLost.into()),
            () = context.stopping.cancelled(), if lists(&claimed.job.kind) => return self.hand_back(),
            result = perform(&hands, &claimed, &context.until) => result,
        };
        match result {
            Ok(Performed::Ends(outcome)) => Handled::Outcome(outcome),
            Ok(Performed::Settled) => Handled::Settled,
            Err(WorkError::Store(StoreError::LeaseLost)) => {
                tracing::info!(job = %claimed.job.id, "the lease was lost; another worker has the job");
                Handled::Settled
            }
            Err(error) => {
                let outcome = self.after(&claimed, &error);
                if !self.is_let_be(&claimed, &outcome).await {
                    report(&claimed, &error, &outcome);
                }
                Handled::Outcome(outcome)
            }
        }
    }

    fn retry_policy(&self, kind: &JobKind) -> RetryPolicy {
        self.policy(kind)
    }
}

/// Whether the job lists a whole side, which may take longer than a process has to end.
const fn lists(kind: &JobKind) -> bool {
    match kind {
        JobKind::Poll { .. } | JobKind::Sweep { .. } | JobKind::Backfill { .. } => true,
        JobKind::Reconcile { .. } | JobKind::Noop { .. } => false,
    }
}

impl Worker {
    /// A listing goes on in the next process.
    fn hand_back(&self) -> Handled {
        Handled::Outcome(JobOutcome::Snooze {
            run_at: self.context().clock.now(),
            failure: None,
            reason: Waiting::Stopping,
        })
    }

    /// Whether the storage makes no other dead letter of a job that has died, because a person has discarded the one before, or
    /// has it before them. Says so. Where it cannot be asked the job counts as one that waits.
    async fn is_let_be(&self, claimed: &ClaimedJob, outcome: &JobOutcome) -> bool {
        let JobKind::Reconcile { sync, side, record } = &claimed.job.kind else {
            return false;
        };
        let is_dead = matches!(outcome, JobOutcome::Dead { .. });
        if !is_dead || !claimed.job.trigger.is_listing() {
            return false;
        }
        let records = std::slice::from_ref(record);
        let let_be = self.context().store.let_be(sync, *side, records).await;
        let is_let_be = let_be.is_ok_and(|records| !records.is_empty());
        if is_let_be {
            tracing::info!(job = %claimed.job.id, %sync, %record, "it failed as before; its dead letter waits or was discarded, and its record has not changed since");
        }
        is_let_be
    }

    fn after(&self, claimed: &ClaimedJob, error: &WorkError) -> JobOutcome {
        let now = self.context().clock.now();
        let chance = self.context().entropy.next_u64();
        let disposition = match (error.disposition(), self.closed_until(error)) {
            (Disposition::RetryAfter(pause), Some(until)) => {
                Disposition::RetryAfter(pause.max(until.since(now)))
            }
            (disposition, _) => disposition,
        };
        let policy = self.policy(&claimed.job.kind);
        outcome_for(
            disposition,
            claimed.job.attempt,
            &policy,
            error.failure(),
            now,
            chance,
        )
    }
}

fn report(claimed: &ClaimedJob, error: &WorkError, outcome: &JobOutcome) {
    let job = claimed.job.id;
    let attempt = claimed.job.attempt;
    match outcome {
        JobOutcome::Dead { failure } => {
            tracing::warn!(%job, attempt, code = %failure.code, %error, "the job waits for an operator");
        }
        JobOutcome::Retry { run_at, failure } => {
            tracing::info!(%job, attempt, code = %failure.code, %run_at, %error, "the job is tried again");
        }
        JobOutcome::Snooze { run_at, .. } => {
            tracing::debug!(%job, attempt, %run_at, %error, "the job waits");
        }
        JobOutcome::Done { note } => tracing::debug!(%job, note, "the job was dropped"),
    }
}
