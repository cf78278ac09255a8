//! Learns from the storage what other processes have said: which connections are paused or removed, and how far the clocks
//! of the systems are off.

use std::sync::Arc;
use std::time::Duration;

use tandem_operator::hooks::{HookTable, KeptClocks};
use tandem_store::Store;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// Keeps the hooks in step with the stored connections, looking every so often, until `shutdown`.
pub async fn follow_connections(
    hooks: Arc<HookTable>,
    store: Arc<dyn Store>,
    every: Duration,
    shutdown: CancellationToken,
) {
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = ticks.tick() => match store.connections().await {
                Ok(rows) => hooks.follow(&rows),
                Err(error) => tracing::warn!(%error, "whether connections are paused could not be looked up; the last known state holds"),
            },
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
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = ticks.tick() => if let Err(error) = clocks.read(&*store).await {
                tracing::debug!(%error, "how far the clocks of the systems are off could not be looked up; what was known last holds");
            },
        }
    }
}
