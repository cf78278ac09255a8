//! Renews the leases of the jobs in flight, and tells the handlers whose lease is gone.

use std::sync::Arc;

use tandem_domain::Clock;
use tandem_store::JobStore;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::RunnerConfig;
use crate::in_flight::InFlight;

/// Leases are renewed so often within their length: two renewals may fail before one ends.
const BEATS_PER_LEASE: u32 = 3;

pub(crate) struct Heartbeat {
    pub(crate) store: Arc<dyn JobStore>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) in_flight: Arc<InFlight>,
    pub(crate) config: RunnerConfig,
}

impl Heartbeat {
    /// Beats until `ended`.
    pub(crate) async fn run(self, ended: CancellationToken) {
        let mut beats = tokio::time::interval(self.config.lease / BEATS_PER_LEASE);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while ended.run_until_cancelled(beats.tick()).await.is_some() {
            // Not cut short by the end of the process: a renewal harms nobody.
            self.beat().await;
        }
    }

    async fn beat(&self) {
        let leases = self.in_flight.leases();
        if leases.is_empty() {
            return;
        }
        let until = self.clock.now().plus(self.config.lease);
        match self.store.renew(&leases, until).await {
            Ok(answers) => {
                for (lease, held) in leases.into_iter().zip(answers) {
                    if held {
                        self.in_flight.renewed(lease, until);
                    } else {
                        // A handler that settles its job ends the lease by itself a moment before it
                        // returns. Whether this one is really lost, the completer finds out and logs.
                        debug!(job = %lease.job, lease = %lease.token, "lease not held any more");
                        self.in_flight.lost(lease);
                    }
                }
            }
            Err(error) => {
                warn!(%error, leases = leases.len(), "leases were not renewed; trying again");
                self.in_flight.expire(self.clock.now());
            }
        }
    }
}
