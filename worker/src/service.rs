//! The parts of a process that do jobs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tandem_domain::{Clock, ConnectionName, Timestamp};
use tandem_queue::{BreakerConfig, Breakers, Gates, Runner, RunnerConfig, RunnerParts, SyncLimits};
use tandem_runtime::config::{Built, WorkerConfig};
use tandem_runtime::process::{Platform, Tasks};
use tandem_runtime::reload::{LiveTopology, Reloads};
use tandem_runtime::{Configuration, Topology};
use tandem_store::{ConnectionRow, Store, Waiting};
use tokio_util::sync::CancellationToken;

use crate::standing::Standing;
use crate::witness::Witness;
use crate::{Context, Health, Worker, back_again};

/// How often it is looked what operators said of connections in another process.
const FOLLOW_EVERY: Duration = Duration::from_secs(1);

/// Starts the parts. `process` is the name of the process, for people.
pub fn start(
    platform: &Platform,
    configuration: &Configuration,
    built: &Built,
    process: &str,
    tasks: &mut Tasks,
) {
    let entropy = Arc::clone(&platform.entropy);
    let breakers = Arc::new(Breakers::new(BreakerConfig::default(), entropy));
    let limits = Arc::new(SyncLimits::default());
    assign(built, &breakers, &limits);
    let topology = Arc::new(LiveTopology::new(Arc::clone(&built.topology)));
    let standing = Arc::new(Standing::new(
        Arc::clone(&limits),
        Arc::clone(&topology),
        built,
    ));
    let follower = Follower {
        store: Arc::clone(&platform.store),
        topology: Arc::clone(&topology),
        standing: Arc::clone(&standing),
        breakers: Arc::clone(&breakers),
        clock: Arc::clone(&platform.clock),
        resets: None,
        put_to_work: None,
    };
    let following = follower.follow(platform.shutdown.clone());
    tasks.spawn_endless("following the connections", following);
    let worker = Worker::new(hands(platform, built, &breakers), Arc::clone(&breakers));
    let worker = Arc::new(worker.heeding(Arc::clone(&limits)));
    let witness = Witness::new(
        Arc::clone(&platform.store),
        Arc::clone(&platform.clock),
        Arc::clone(&topology),
        Arc::clone(&standing),
        format!("{process} (process {})", std::process::id()),
    );
    tasks.spawn_endless(
        "watching the systems",
        witness.watch(platform.shutdown.clone()),
    );
    platform.reloading.add(Arc::new(Changing {
        platform: platform.clone(),
        standing: Arc::clone(&standing),
        worker: Arc::clone(&worker),
        breakers: Arc::clone(&breakers),
        limits: Arc::clone(&limits),
    }));
    let parts = RunnerParts {
        store: Arc::clone(&platform.store) as Arc<dyn tandem_store::JobStore>,
        doorbell: Arc::clone(&platform.doorbell),
        gate: Arc::new(Gates::new(vec![Arc::clone(&breakers) as _, limits as _])),
        handler: worker,
        clock: Arc::clone(&platform.clock),
        entropy: Arc::clone(&platform.entropy),
    };
    let runner = Runner::new(runner_config(&configuration.worker), parts);
    let shutdown = platform.shutdown.clone();
    tasks.spawn("the job runner", async move {
        // Before it is known what is paused, nothing may run.
        tokio::select! {
            () = standing.known() => {}
            () = shutdown.cancelled() => {}
        }
        let drained = runner.run(shutdown).await?;
        tracing::debug!(abandoned = drained.abandoned, "the job runner has ended");
        Ok::<(), tandem_queue::RunnerError>(())
    });
}

/// The hands of a worker, by a configuration. Its requests tell how the systems are.
fn hands(platform: &Platform, built: &Built, breakers: &Arc<Breakers>) -> Arc<Context> {
    let health = Health {
        breakers: Arc::clone(breakers),
        store: Arc::clone(&platform.store),
        clock: Arc::clone(&platform.clock),
    };
    Arc::new(Context::new(
        Arc::clone(&platform.store),
        Arc::new(health.observe(&built.topology)),
        Arc::clone(&platform.doorbell),
        Arc::clone(&platform.clock),
        Arc::clone(&platform.entropy),
    ))
}

/// Says which connections the jobs of each sync use, and how many of them run at once.
fn assign(built: &Built, breakers: &Breakers, limits: &SyncLimits) {
    for (name, sync) in &built.topology.syncs {
        breakers.assign(name.clone(), built.topology.connections_of(name));
        limits.set_limit(name, Some(sync.concurrency));
    }
}

/// What works by the configuration here.
struct Changing {
    platform: Platform,
    standing: Arc<Standing>,
    worker: Arc<Worker>,
    breakers: Arc<Breakers>,
    limits: Arc<SyncLimits>,
}

impl Reloads for Changing {
    fn reload(&self, built: &Built, connections: &[ConnectionRow]) {
        assign(built, &self.breakers, &self.limits);
        let hands = hands(&self.platform, built, &self.breakers);
        self.standing
            .take_over(built, connections, || self.worker.replace(hands));
    }
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

/// Does in this process what operators said of connections anywhere.
struct Follower {
    store: Arc<dyn Store>,
    topology: Arc<LiveTopology>,
    standing: Arc<Standing>,
    breakers: Arc<Breakers>,
    clock: Arc<dyn Clock>,
    /// When each connection was last reset, as seen the time before; nothing before the first look.
    resets: Option<Resets>,
    /// The topology whose syncs had their jobs put back to work.
    put_to_work: Option<Arc<Topology>>,
}

type Resets = BTreeMap<ConnectionName, Timestamp>;

impl Follower {
    /// Looks again and again.
    async fn follow(mut self, shutdown: CancellationToken) {
        let mut ticks = tokio::time::interval(FOLLOW_EVERY);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = ticks.tick() => {}
            }
            self.put_to_work().await;
            let seen = self.standing.seen();
            if let Ok(connections) = self.store.connections().await {
                self.reset(&connections).await;
                self.standing.follow(seen, &connections);
            }
        }
    }

    /// Once for each configuration that is taken over; a storage that fails is asked again at the next look.
    async fn put_to_work(&mut self) {
        let topology = self.topology.current();
        let is_done = self.put_to_work.as_ref();
        if is_done.is_some_and(|done| Arc::ptr_eq(done, &topology)) {
            return;
        }
        let (syncs, now) = (topology.syncs.keys(), self.clock.now());
        match back_again::put_to_work(self.store.as_ref(), syncs, now).await {
            Ok(_) => self.put_to_work = Some(Arc::clone(&topology)),
            Err(error) => {
                tracing::debug!(%error, "jobs that had given up were not looked for; it is tried again");
            }
        }
    }

    /// A reset that is newer than the last look closes the breaker, and ends what the system asked to wait for.
    async fn reset(&mut self, connections: &[ConnectionRow]) {
        let now_known: Resets = connections
            .iter()
            .filter_map(|row| Some((row.name.clone(), row.reset_at?)))
            .collect();
        if let Some(before) = &self.resets {
            for (name, at) in &now_known {
                if before.get(name) != Some(at) {
                    self.breakers.reset(name, self.clock.now());
                    self.try_again(name).await;
                }
            }
        }
        self.resets = Some(now_known);
    }

    /// What waits for the system goes on with it.
    async fn try_again(&self, connection: &ConnectionName) {
        let topology = self.topology.current();
        if let Some(connector) = topology.connectors.get(connection) {
            connector.try_again().await;
        }
        let syncs = topology.syncs.keys();
        for sync in syncs.filter(|sync| topology.connections_of(sync).contains(connection)) {
            for reason in [Waiting::Throttled, Waiting::SystemDown] {
                let released = self.store.release_waiting(sync, reason, self.clock.now());
                // They come due by themselves.
                if let Err(error) = released.await {
                    tracing::debug!(%connection, %sync, %error, "what waited for the system was not released");
                }
            }
        }
    }
}
