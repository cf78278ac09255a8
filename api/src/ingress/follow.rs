//! Learns from the storage what other processes have said: which connections are paused or removed, and how far the clocks
//! of the systems are off.

use std::sync::Arc;
use std::time::Duration;

use tandem_operator::hooks::{HookTable, KeptClocks};
use tandem_store::Store;
use tokio::time::{Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

/// Keeps the hooks in step with the stored connections, looking every so often, until `shutdown`.
pub async fn follow_connections(
    hooks: Arc<HookTable>,
    store: Arc<dyn Store>,
    every: Duration,
    shutdown: CancellationToken,
) {
    let mut looks = Looks::every(every, shutdown);
    while looks.next().await {
        match store.connections().await {
            Ok(rows) => hooks.follow(&rows),
            Err(error) => {
                tracing::warn!(%error, "whether connections are paused could not be looked up; the last known state holds");
            }
        }
    }
}

/// Keeps what is known of the systems' clocks in step with the storage, looking every so often, until `shutdown`.
pub async fn follow_clocks(
    clocks: Arc<KeptClocks>,
    store: Arc<dyn Store>,
    every: Duration,
    shutdown: CancellationToken,
) {
    let mut looks = Looks::every(every, shutdown);
    while looks.next().await {
        if let Err(error) = clocks.read(&*store).await {
            tracing::debug!(%error, "how far the clocks of the systems are off could not be looked up; what was known last holds");
        }
    }
}

/// Looks at what is stored, every so often, until the process ends.
struct Looks {
    ticks: Interval,
    shutdown: CancellationToken,
}

impl Looks {
    fn every(every: Duration, shutdown: CancellationToken) -> Self {
        let mut ticks = tokio::time::interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { ticks, shutdown }
    }

    /// Waits for the next look; `false` when there is to be none.
    async fn next(&mut self) -> bool {
        tokio::select! {
            () = self.shutdown.cancelled() => false,
            _ = self.ticks.tick() => true,
        }
    }
}
