//! Claims jobs for the free slots: woken by the doorbell, by jobs that fall due, by slots and lanes
//! that come free, by breakers that reopen, and at the latest after the poll interval.

use std::sync::Arc;
use std::time::Duration;

use tandem_domain::{JobId, LeaseToken, Timestamp};
use tandem_store::{ClaimRequest, ClaimedJob, JobOutcome, StoreError, Waiting};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tracing::{error, info, warn};

use crate::backoff::Backoff;
use crate::completer::Finished;
use crate::gate::Admission;
use crate::in_flight::Running;
use crate::runner_core::Core;
use crate::shares::Shares;
use crate::telemetry;

/// At most so many jobs are claimed in one transaction.
const CLAIM_JOBS_MAX: usize = 100;
/// Never wait less: timers are no finer, and a clock that lags behind them must not spin.
const REST_MIN: Duration = Duration::from_millis(1);

pub(crate) struct Claimer {
    pub(crate) core: Arc<Core>,
    pub(crate) slots: Arc<Semaphore>,
    pub(crate) claimed: mpsc::Sender<Arc<Running>>,
    pub(crate) finished: mpsc::Sender<Finished>,
}

impl Claimer {
    /// Claims until told to stop. A claim under way is brought to its end, since its jobs are leased.
    pub(crate) async fn run(self) {
        let mut shares = Shares::default();
        let mut backoff = Backoff::default();
        while let Some(slots) = self.free_slots().await {
            let asked = slots.len();
            let now = self.core.parts.clock.now();
            match self.claim(slots, &mut shares, now).await {
                Ok(got) => {
                    if backoff.worked() {
                        info!("jobs are claimed again");
                    }
                    if got.len() < asked {
                        self.rest(now).await;
                    } else if self.slots.available_permits() == 0 {
                        self.core.parts.doorbell.pass_on(&got);
                    }
                }
                Err(error) => {
                    let wait = backoff.failed();
                    warn!(%error, ?wait, "no jobs can be claimed; trying again");
                    self.core
                        .stopping
                        .run_until_cancelled(tokio::time::sleep(wait))
                        .await;
                }
            }
        }
    }

    /// Waits for a free slot and takes it with all others that are free, up to a batch. `None` when
    /// there is nothing more to claim for.
    async fn free_slots(&self) -> Option<Vec<OwnedSemaphorePermit>> {
        let first = Arc::clone(&self.slots).acquire_owned();
        // The semaphore is never closed, so the inner result is always a permit.
        let first = self.core.stopping.run_until_cancelled(first).await?.ok()?;
        if self.core.stopping.is_cancelled() {
            return None;
        }
        let mut slots = vec![first];
        while slots.len() < CLAIM_JOBS_MAX
            && let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned()
        {
            slots.push(slot);
        }
        Some(slots)
    }

    /// Claims once for these slots, and passes on what came. Returns which came.
    async fn claim(
        &self,
        slots: Vec<OwnedSemaphorePermit>,
        shares: &mut Shares,
        now: Timestamp,
    ) -> Result<Vec<JobId>, StoreError> {
        let lease_until = now.plus(self.core.config.lease);
        let tokens = slots
            .iter()
            .map(|_| LeaseToken::new(now, &*self.core.parts.entropy))
            .collect();
        let request = ClaimRequest {
            tokens,
            lease_until,
            blocked_syncs: self.core.parts.gate.blocked_syncs(now),
            shares: shares.divide(slots.len()),
            now,
        };
        let claimed = self.core.parts.store.claim(request).await?;
        let got = claimed.iter().map(|claimed| claimed.job.id).collect();
        for (claimed, slot) in claimed.into_iter().zip(slots) {
            telemetry::claimed(&claimed.job, now);
            let running = self.core.in_flight.add(claimed, now, lease_until, slot);
            self.pass_on(running, now).await;
        }
        Ok(got)
    }

    /// To the worker, or straight back when the gate holds it.
    async fn pass_on(&self, running: Arc<Running>, now: Timestamp) {
        let ClaimedJob { job, lease } = &running.claimed;
        let (id, token) = (job.id, lease.token);
        let passed = match self.core.parts.gate.admit(job, now) {
            Admission::Run => self.claimed.send(running).await.is_ok(),
            Admission::Defer { until } => {
                let outcome = JobOutcome::Snooze {
                    run_at: until,
                    failure: None,
                    reason: Waiting::Gate,
                };
                Finished { running, outcome }.send(&self.finished).await
            }
        };
        if !passed {
            error!(job = %id, lease = %token, "the runner has ended; this job comes back when its lease ends");
        }
    }

    /// Waits until a claim may bring more than the one at `claimed_at` did.
    async fn rest(&self, claimed_at: Timestamp) {
        // If the storage fails here, the next claim will say so.
        let next_due = self.core.parts.store.next_due().await.unwrap_or_default();
        let wake = [next_due, self.core.parts.gate.next_change(claimed_at)]
            .into_iter()
            .flatten()
            // What was due already was not to be had: its lane is taken or its sync blocked.
            .filter(|at| *at > claimed_at)
            .min();
        let poll_interval = self.core.config.poll_interval;
        let now = self.core.parts.clock.now();
        let at_most = wake
            .map_or(poll_interval, |at| at.since(now).min(poll_interval))
            .max(REST_MIN);
        tokio::select! {
            () = self.core.stopping.cancelled() => {}
            () = self.core.freed.notified() => {}
            () = self.core.parts.doorbell.wait(at_most) => {}
        }
    }
}
