//! Everything in one process over SQLite: ingress, scheduler and workers around an in-process doorbell.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tandem_api::{
    ApiToken, HttpParts, Ingress, IngressLimits, IngressParts, MetricsAccess, RenderMetrics,
    ServerLimits, Surface, follow_connections, router, serve,
};
use tandem_connectors::{manifest, webhook_events};
use tandem_domain::{Clock, ConnectionName, Entropy, StreamName};
use tandem_operator::hooks::{Hook, HookState, HookTable, HookTarget, ReadEvent, Unreadable};
use tandem_operator::{Operator, OperatorParts};
use tandem_queue::{
    BreakerConfig, Breakers, Doorbell, Gates, InProcessDoorbell, Runner, RunnerConfig, RunnerParts,
    SyncLimits,
};
use tandem_runtime::config::{Built, ConnectionSetup, WebhookSetup};
use tandem_runtime::telemetry::init_metrics;
use tandem_runtime::{Configuration, SystemClock, SystemEntropy, Topology};
use tandem_scheduler::{Scheduler, SchedulerSettings};
use tandem_store::{EventKind, Store};
use tandem_store_sqlite::{SqliteOptions, SqliteStore};
use tandem_worker::{Context, Worker};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// The database in the data folder.
pub const DATABASE: &str = "tandem.db";

/// The environment variable that holds the token of the API.
pub const API_TOKEN_VARIABLE: &str = "TANDEM_API_TOKEN";
/// How often it is looked whether another process (a command) paused a connection.
const FOLLOW_EVERY: Duration = Duration::from_secs(1);

/// Reads an environment variable.
pub type Environment = dyn Fn(&str) -> Option<String> + Send + Sync;

/// What differs between `up` and the demo.
pub struct EmbeddedOptions {
    /// The folder that holds the database.
    pub data: PathBuf,
    /// Where secrets and addresses come from.
    pub environment: Box<Environment>,
}

/// The running product.
pub struct Embedded {
    /// Where everything is kept.
    pub store: Arc<dyn Store>,
    /// What is configured.
    pub topology: Arc<Topology>,
    /// Rung for new jobs.
    pub doorbell: Arc<dyn Doorbell>,
    /// Where it listens.
    pub address: SocketAddr,
    shutdown: CancellationToken,
    tasks: JoinSet<anyhow::Result<()>>,
}

/// What the parts share.
struct Parts {
    store: Arc<dyn Store>,
    doorbell: Arc<dyn Doorbell>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    shutdown: CancellationToken,
}

impl Embedded {
    /// Opens the storage, applies the configuration, takes up what a dead process left, and starts.
    pub async fn start(
        configuration: &Configuration,
        options: EmbeddedOptions,
    ) -> anyhow::Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let built = configuration.build(&*options.environment, Arc::clone(&clock))?;
        let database = options.data.join(DATABASE);
        let store: Arc<dyn Store> = SqliteStore::open(&database, SqliteOptions { exclusive: true })
            .await
            .with_context(|| format!("opening {}", database.display()))?;
        let parts = Parts {
            store,
            doorbell: Arc::new(InProcessDoorbell::default()),
            clock,
            entropy: Arc::new(SystemEntropy),
            shutdown: CancellationToken::new(),
        };
        take_up(&parts, &built).await?;
        let mut tasks = JoinSet::new();
        let address = start_server(
            &parts,
            configuration,
            &built,
            &*options.environment,
            &mut tasks,
        )
        .await?;
        start_runner(&parts, configuration, &built, &mut tasks);
        start_scheduler(&parts, configuration, &built, &mut tasks);
        let Parts {
            store,
            doorbell,
            shutdown,
            ..
        } = parts;
        Ok(Self {
            store,
            topology: built.topology,
            doorbell,
            address,
            shutdown,
            tasks,
        })
    }

    /// Resolves when a part has ended by itself, which none should.
    pub async fn failed(&mut self) -> anyhow::Error {
        match self.tasks.join_next().await {
            Some(Ok(Ok(()))) | None => anyhow::anyhow!("a part of the process ended by itself"),
            Some(Ok(Err(error))) => error,
            Some(Err(error)) => anyhow::Error::from(error),
        }
    }

    /// Stops taking, finishes or hands back what is under way, and ends.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.shutdown.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended??;
        }
        Ok(())
    }
}

/// This process is alone on the database: what another left running goes on here.
async fn take_up(parts: &Parts, built: &Built) -> anyhow::Result<()> {
    let now = parts.clock.now();
    let store = &parts.store;
    store
        .apply_config(
            built.documents.connections.clone(),
            built.documents.syncs.clone(),
            built.schedules.clone(),
            now,
        )
        .await?;
    let released = store.release_all(now).await?;
    let orphaned = store
        .fail_orphaned_runs(now, "the process died during this run", now)
        .await?;
    if released + orphaned > 0 {
        tracing::info!(
            jobs = released,
            runs = orphaned,
            "took up what the last process left"
        );
    }
    Ok(())
}

async fn start_server(
    parts: &Parts,
    configuration: &Configuration,
    built: &Built,
    environment: &Environment,
    tasks: &mut JoinSet<anyhow::Result<()>>,
) -> anyhow::Result<SocketAddr> {
    let listen = configuration.server.listen;
    let listener = tokio::net::TcpListener::bind(listen)
        .await
        .with_context(|| format!("listening on {listen}"))?;
    let address = listener
        .local_addr()
        .context("reading the address that is listened on")?;
    let hooks = Arc::new(HookTable::new(hooks(built, &format!("http://{address}"))));
    hooks.follow(&parts.store.connections().await?);
    let ingress_parts = IngressParts {
        store: Arc::clone(&parts.store) as Arc<dyn tandem_store::EventStore>,
        doorbell: Arc::clone(&parts.doorbell),
        hooks: Arc::clone(&hooks) as _,
        clock: Arc::clone(&parts.clock),
        entropy: Arc::clone(&parts.entropy),
    };
    let (ingress, committer) = Ingress::start(ingress_parts, ingress_limits(configuration));
    let router = router(HttpParts {
        operator: Operator::new(OperatorParts {
            store: Arc::clone(&parts.store),
            hooks: Arc::clone(&hooks) as _,
            doorbell: Arc::clone(&parts.doorbell),
            clock: Arc::clone(&parts.clock),
            entropy: Arc::clone(&parts.entropy),
        }),
        render_metrics: render_metrics()?,
        token: api_token(environment)?,
        metrics: MetricsAccess::Operators,
    });
    let surface = Arc::new(Surface {
        ingress: Some(ingress),
        router,
    });
    let (shutdown, limits) = (parts.shutdown.clone(), server_limits(configuration));
    tasks.spawn(async move {
        serve(listener, surface, limits, shutdown).await;
        committer.await.context("the committer of webhooks")
    });
    let (store, shutdown) = (Arc::clone(&parts.store), parts.shutdown.clone());
    tasks.spawn(async move {
        follow_connections(hooks, store, FOLLOW_EVERY, shutdown).await;
        Ok(())
    });
    Ok(address)
}

/// The metrics of this process. A second product in one process (only tests do that) shares them.
fn render_metrics() -> anyhow::Result<RenderMetrics> {
    let handle = init_metrics()?;
    Ok(Arc::new(move || handle.render()))
}

/// With a token the API asks for it; without, only programs on this machine may use the API.
fn api_token(environment: &Environment) -> anyhow::Result<Option<ApiToken>> {
    let token = environment(API_TOKEN_VARIABLE).filter(|token| !token.is_empty());
    token
        .map(|token| ApiToken::new(&token))
        .transpose()
        .context(API_TOKEN_VARIABLE)
}

fn ingress_limits(configuration: &Configuration) -> IngressLimits {
    let server = &configuration.server;
    IngressLimits {
        body_timeout: Duration::from_secs(u64::from(server.body_secs)),
        queued_deliveries_max: server.deliveries_max,
        body_memory_bytes: server.body_bytes_total_max,
        trusted_proxies: server.trusted_proxies,
        ..IngressLimits::default()
    }
}

fn server_limits(configuration: &Configuration) -> ServerLimits {
    let server = &configuration.server;
    ServerLimits {
        connections_max: server.connections_max,
        head_timeout: Duration::from_secs(u64::from(server.header_secs)),
        drain_timeout: Duration::from_secs(u64::from(server.shutdown_secs)),
        ..ServerLimits::default()
    }
}

/// The webhook address of each connection that has one; `address` is Tandem as its senders know it, where
/// the configuration does not say.
pub fn hooks(built: &Built, address: &str) -> BTreeMap<ConnectionName, HookState> {
    let with_webhook = built.connections.iter().filter_map(|(name, setup)| {
        let webhook = setup.webhook.as_ref()?;
        Some((
            name.clone(),
            HookState::Active(Arc::new(hook(built, address, name, setup, webhook))),
        ))
    });
    with_webhook.collect()
}

fn hook(
    built: &Built,
    address: &str,
    name: &ConnectionName,
    setup: &ConnectionSetup,
    webhook: &WebhookSetup,
) -> Hook {
    let manifest = Arc::clone(&setup.manifest);
    let read = move |body: &[u8]| match &manifest.webhook {
        Some(webhook) => webhook_events::split(webhook, body)
            .map(|events| events.into_iter().map(read_event).collect())
            .map_err(|error| Unreadable(error.reason)),
        None => Err(Unreadable(
            "the manifest does not say what its webhooks mean".to_owned(),
        )),
    };
    let (topology, connection) = (Arc::clone(&built.topology), name.clone());
    let targets = move |stream: &StreamName| {
        let ends = topology.ends_of(&connection, stream);
        ends.map(|(sync, side)| HookTarget {
            sync: sync.name.clone(),
            side,
            quiet: sync.quiet,
        })
        .collect()
    };
    let connector = built.topology.connectors.get(name).cloned();
    Hook {
        connection: name.clone(),
        verifier: webhook.verifier.clone(),
        secrets: webhook.secrets.clone(),
        public_url: webhook
            .public_url
            .clone()
            .unwrap_or_else(|| address.to_owned()),
        body_bytes_max: webhook.body_bytes_max,
        read: Arc::new(read),
        targets: Arc::new(targets),
        clock_offset_micros: Arc::new(move || {
            connector
                .as_ref()
                .map_or(0, |one| one.clock_offset_micros())
        }),
    }
}

fn read_event(event: webhook_events::ParsedEvent) -> ReadEvent {
    ReadEvent {
        dedupe_key: event.dedupe_key,
        stream: event.stream,
        record: event.record,
        kind: match event.kind {
            Some(manifest::EventKind::Created) => EventKind::Created,
            Some(manifest::EventKind::Updated) => EventKind::Updated,
            Some(manifest::EventKind::Deleted) => EventKind::Deleted,
            None => EventKind::Other,
        },
        occurred_at: event.occurred_at,
        problem: event.problem,
    }
}

fn start_runner(
    parts: &Parts,
    configuration: &Configuration,
    built: &Built,
    tasks: &mut JoinSet<anyhow::Result<()>>,
) {
    let breakers = Arc::new(Breakers::new(
        BreakerConfig::default(),
        Arc::clone(&parts.entropy),
    ));
    let limits = Arc::new(SyncLimits::default());
    for (name, sync) in &built.topology.syncs {
        breakers.assign(name.clone(), built.topology.connections_of(name));
        limits.set_limit(name, Some(sync.concurrency));
    }
    let (store, topology, shutdown) = (
        Arc::clone(&parts.store),
        Arc::clone(&built.topology),
        parts.shutdown.clone(),
    );
    let paused = Arc::clone(&limits);
    tasks.spawn(async move {
        follow_pauses(store.as_ref(), &topology, &paused, shutdown).await;
        Ok(())
    });
    let context = Context::new(
        Arc::clone(&parts.store),
        Arc::clone(&built.topology),
        Arc::clone(&parts.doorbell),
        Arc::clone(&parts.clock),
        Arc::clone(&parts.entropy),
    );
    let runner_parts = RunnerParts {
        store: Arc::clone(&parts.store) as Arc<dyn tandem_store::JobStore>,
        doorbell: Arc::clone(&parts.doorbell),
        gate: Arc::new(Gates::new(vec![Arc::clone(&breakers) as _, limits as _])),
        handler: Arc::new(Worker::new(Arc::new(context), breakers)),
        clock: Arc::clone(&parts.clock),
        entropy: Arc::clone(&parts.entropy),
    };
    let worker = &configuration.worker;
    let seconds = |secs: u32| Duration::from_secs(u64::from(secs));
    let config = RunnerConfig {
        concurrency: worker.concurrency,
        lease: seconds(worker.lease_secs),
        handler_timeout: seconds(worker.job_secs),
        listing_timeout: seconds(worker.listing_secs),
        shutdown_grace: seconds(worker.shutdown_secs),
        ..RunnerConfig::default()
    };
    let shutdown = parts.shutdown.clone();
    tasks.spawn(async move {
        let drained = Runner::new(config, runner_parts).run(shutdown).await?;
        tracing::debug!(abandoned = drained.abandoned, "the job runner has ended");
        Ok(())
    });
}

fn start_scheduler(
    parts: &Parts,
    configuration: &Configuration,
    built: &Built,
    tasks: &mut JoinSet<anyhow::Result<()>>,
) {
    let settings = SchedulerSettings::new(built, configuration.scheduler, configuration.retention);
    let scheduler = Scheduler::new(
        Arc::clone(&parts.store),
        Arc::clone(&parts.doorbell),
        Arc::clone(&parts.clock),
        Arc::clone(&parts.entropy),
        &settings,
    );
    let shutdown = parts.shutdown.clone();
    tasks.spawn(async move {
        scheduler.run(shutdown).await;
        Ok(())
    });
}

/// While a connection is paused, the jobs of its syncs wait; the storage knows only of paused syncs.
async fn follow_pauses(
    store: &dyn Store,
    topology: &Topology,
    limits: &SyncLimits,
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
