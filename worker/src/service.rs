//! The parts of a process that do jobs.

use std::sync::Arc;
use std::time::Duration;

use tandem_domain::ConnectionName;
use tandem_queue::{BreakerConfig, Breakers, Gates, Runner, RunnerConfig, RunnerParts, SyncLimits};
use tandem_runtime::config::{Built, WorkerConfig};
use tandem_runtime::process::{Platform, Tasks};
use tandem_runtime::{Configuration, Topology};
use tandem_store::Store;
use tokio_util::sync::CancellationToken;

use crate::{Context, Worker};

/// How often it is looked whether another process paused a connection.
const FOLLOW_EVERY: Duration = Duration::from_secs(1);

/// Starts the parts.
pub fn start(platform: &Platform, configuration: &Configuration, built: &Built, tasks: &mut Tasks) {
    let entropy = Arc::clone(&platform.entropy);
    let breakers = Arc::new(Breakers::new(BreakerConfig::default(), entropy));
    let limits = Arc::new(SyncLimits::default());
    for (name, sync) in &built.topology.syncs {
        breakers.assign(name.clone(), built.topology.connections_of(name));
        limits.set_limit(name, Some(sync.concurrency));
    }
    let following = follow_pauses(
        Arc::clone(&platform.store),
        Arc::clone(&built.topology),
        Arc::clone(&limits),
        platform.shutdown.clone(),
    );
    tasks.spawn_endless("following the pauses", following);
    let context = Context::new(
        Arc::clone(&platform.store),
        Arc::clone(&built.topology),
        Arc::clone(&platform.doorbell),
        Arc::clone(&platform.clock),
        Arc::clone(&platform.entropy),
    );
    let parts = RunnerParts {
        store: Arc::clone(&platform.store) as Arc<dyn tandem_store::JobStore>,
        doorbell: Arc::clone(&platform.doorbell),
        gate: Arc::new(Gates::new(vec![Arc::clone(&breakers) as _, limits as _])),
        handler: Arc::new(Worker::new(Arc::new(context), breakers)),
        clock: Arc::clone(&platform.clock),
        entropy: Arc::clone(&platform.entropy),
    };
    let runner = Runner::new(runner_config(&configuration.worker), parts);
    let shutdown = platform.shutdown.clone();
    tasks.spawn("the job runner", async move {
        let drained = runner.run(shutdown).await?;
        tracing::debug!(abandoned = drained.abandoned, "the job runner has ended");
        Ok::<(), tandem_queue::RunnerError>(())
    });
}

fn runner_config(worker: &WorkerConfig) -> RunnerConfig {
    let seconds = |secs: u32| Duration::from_secs(u64::from(secs));
    RunnerConfig {
        concurrency: worker.concurrency,
        lease: seconds(worker.lease_secs),
        handler_timeout: seconds(worker.job_secs),
        listing_timeout: seconds(worker.listing_secs),
        shutdown_grace: seconds(worker.shutdown_secs),
        ..RunnerConfig::default()
    }
}

/// While a connection is paused, the jobs of its syncs wait; the storage knows only of paused syncs.
async fn follow_pauses(
    store: Arc<dyn Store>,
    topology: Arc<Topology>,
    limits: Arc<SyncLimits>,
    shutdown: CancellationToken,
) {
    let mut ticks = tokio::time::interval(FOLLOW_EVERY);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let Ok(connections) = store.connections().await else {
            continue;
        };
        let paused: Vec<&ConnectionName> = connections
            .iter()
            .filter(|row| row.paused)
            .map(|row| &row.name)
            .collect();
        for sync in topology.syncs.keys() {
            if topology
                .connections_of(sync)
                .iter()
                .any(|name| paused.contains(&name))
            {
                limits.pause(sync);
            } else {
                limits.resume(sync);
            }
        }
    }
}
