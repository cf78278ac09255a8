//! Renews the leases of the jobs in flight, and tells the handlers whose lease is gone.

use std::sync::Arc;
use std::time::Duration;

use tandem_domain::Timestamp;
use tandem_store::{Lease, StoreError};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::runner_core::Core;

/// Leases are renewed so often within their length, so that one renewal may fail.
const BEATS_PER_LEASE: u32 = 3;

/// How long a handler that has settled its job may take to return.
const SETTLING_GRACE: Duration = Duration::from_millis(200);

pub(crate) struct Heartbeat {
    pub(crate) core: Arc<Core>,
}

impl Heartbeat {
    /// Beats until `ended`.
    pub(crate) async fn run(self, ended: CancellationToken) {
        let mut beats = tokio::time::interval(self.between_beats());
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while ended.run_until_cancelled(beats.tick()).await.is_some() {
            // Not cut short by the end of the process: a renewal harms nobody.
            self.beat().await;
        }
    }

    fn between_beats(&self) -> Duration {
        self.core.config.lease / BEATS_PER_LEASE
    }

    async fn beat(&self) {
        let Core {
            config,
            parts,
            in_flight,
            ..
        } = &*self.core;
        let leases = in_flight.leases();
        if leases.is_empty() {
            return;
        }
        let until = parts.clock.now().plus(config.lease);
        match self.renew(&leases, until).await {
            Ok(answers) => {
                let (held, lost): (Vec<_>, Vec<_>) =
                    leases.into_iter().zip(answers).partition(|(_, held)| *held);
                for (lease, _) in held {
                    in_flight.renewed(lease, until);
                }
                self.lose(lost.into_iter().map(|(lease, _)| lease).collect())
                    .await;
            }
            Err(error) => {
                warn!(%error, leases = leases.len(), "leases were not renewed; trying again");
                // A handler must have stopped before its lease ends, and the next beat may be too late.
                in_flight.expire(parts.clock.now().plus(self.between_beats()));
            }
        }
    }

    /// Tells the handlers of these jobs to stop. One that has just settled its job, which ended the
    /// lease, is given the moment that it needs to return; whoever has really lost it is refused by the
    /// store meanwhile, whatever it tries.
    async fn lose(&self, leases: Vec<Lease>) {
        if leases.is_empty() {
            return;
        }
        tokio::time::sleep(SETTLING_GRACE).await;
        for lease in leases {
            debug!(job = %lease.job, lease = %lease.token, "lease not held any more");
            self.core.in_flight.lost(lease);
        }
    }

    /// Renews, and waits no longer than until the next beat.
    async fn renew(&self, leases: &[Lease], until: Timestamp) -> Result<Vec<bool>, StoreError> {
        let renewal = self.core.parts.store.renew(leases, until);
        match tokio::time::timeout(self.between_beats(), renewal).await {
            Ok(answer) => answer,
            Err(_elapsed) => Err(StoreError::Unavailable("no answer in time".to_owned())),
        }
    }
}
