//! Writes down how jobs ended, as many at once as are waiting.

use std::sync::Arc;

use tandem_domain::JobId;
use tandem_store::{JobOutcome, Lease, StoreError};
use tokio::sync::mpsc;
use tracing::{error, info, warn};

use crate::backoff::Backoff;
use crate::in_flight::Running;
use crate::runner_core::Core;
use crate::telemetry;

/// At most so many jobs are ended in one transaction.
const FINISH_JOBS_MAX: usize = 500;

/// A job whose handler is done with it.
pub(crate) struct Finished {
    pub(crate) running: Arc<Running>,
    pub(crate) outcome: JobOutcome,
}

impl Finished {
    /// Passes it to the completer, and only then makes room for another job: when the ends of jobs
    /// cannot be written down, no more are begun. Returns whether there is a completer.
    pub(crate) async fn send(self, completer: &mpsc::Sender<Self>) -> bool {
        let running = Arc::clone(&self.running);
        let sent = completer.send(self).await.is_ok();
        running.free_slot();
        sent
    }
}

pub(crate) struct Completer {
    pub(crate) core: Arc<Core>,
}

impl Completer {
    /// Runs until all senders are gone and all they sent is written down.
    pub(crate) async fn run(self, mut finished: mpsc::Receiver<Finished>) {
        let mut batch = Vec::with_capacity(FINISH_JOBS_MAX);
        while finished.recv_many(&mut batch, FINISH_JOBS_MAX).await > 0 {
            self.finish(&batch).await;
            self.ring_for_handed_back(&batch);
            self.core
                .in_flight
                .remove(batch.iter().map(|one| one.running.claimed.lease));
            batch.clear();
            self.core.freed.notify_one();
        }
    }

    /// What goes back at once may be for another process, when this one is about to end.
    fn ring_for_handed_back(&self, batch: &[Finished]) {
        let now = self.core.parts.clock.now();
        let due: Vec<JobId> = batch
            .iter()
            .filter(|one| matches!(one.outcome, JobOutcome::Snooze { run_at, .. } if run_at <= now))
            .map(|one| one.running.claimed.job.id)
            .collect();
        self.core.parts.doorbell.ring(&due);
    }

    /// Ends these jobs, however long the storage takes.
    async fn finish(&self, batch: &[Finished]) {
        let parts = &self.core.parts;
        let mut backoff = Backoff::default();
        loop {
            let now = parts.clock.now();
            match parts.store.finish(endings(batch), now).await {
                Ok(held) => {
                    if backoff.worked() {
                        info!(
                            jobs = batch.len(),
                            "the ends of jobs are written down again"
                        );
                    }
                    report(batch, &held);
                    return;
                }
                Err(error) if may_pass(&error) => {
                    let wait = backoff.failed();
                    warn!(%error, jobs = batch.len(), ?wait, "the ends of jobs are not written down yet");
                    tokio::time::sleep(wait).await;
                }
                Err(error) => return self.finish_singly(batch, &error).await,
            }
        }
    }

    /// One job of the batch cannot be ended: it must not hold up the others. What still fails is left
    /// to its lease, whose end gives the job back to the queue.
    async fn finish_singly(&self, batch: &[Finished], why: &StoreError) {
        if let [one] = batch {
            let Lease { job, token } = one.running.claimed.lease;
            error!(error = %why, %job, lease = %token, "this job cannot be ended; it comes back when its lease ends");
            return;
        }
        for one in batch.chunks(1) {
            Box::pin(self.finish(one)).await;
        }
    }
}

fn endings(batch: &[Finished]) -> Vec<(Lease, JobOutcome)> {
    batch
        .iter()
        .map(|one| (one.running.claimed.lease, one.outcome.clone()))
        .collect()
}

/// Whether the same call may succeed later.
const fn may_pass(error: &StoreError) -> bool {
    match error {
        StoreError::Unavailable(_) | StoreError::Unusable(_) | StoreError::Schema(_) => true,
        StoreError::LeaseLost | StoreError::NotFound { .. } | StoreError::Corrupt { .. } => false,
    }
}

fn report(batch: &[Finished], held: &[bool]) {
    for (one, held) in batch.iter().zip(held) {
        let job = &one.running.claimed.job;
        if *held {
            telemetry::finished(&job.kind, telemetry::outcome_word(&one.outcome));
        } else {
            telemetry::finished(&job.kind, telemetry::OUTCOME_LEASE_LOST);
            let lease = one.running.claimed.lease.token;
            warn!(job = %job.id, %lease, "the lease ended before the job did; another worker may have it, and its outcome here was dropped");
        }
    }
}
