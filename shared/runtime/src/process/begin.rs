//! The start of a process of the fleet.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tandem_domain::{Clock, Entropy};
use tandem_queue::{
    Doorbell, DoorbellRole, InProcessDoorbell, RedisDoorbell, RedisDoorbellError,
    RedisDoorbellOptions,
};
use tandem_rate_limits::{FleetBudgets, FleetSettings, Timings};
use tandem_store::Store;
use tokio_util::sync::CancellationToken;

use super::storage::PostgresUrl;
use super::{Platform, ProcessArgs, StartError, Storage, TaskError, Tasks};
use crate::addresses::note_addresses;
use crate::config::Built;
use crate::reload::{Reloader, Reloading};
use crate::telemetry::{self, MetricsHandle, TelemetryGuard, TelemetryOptions, init_metrics};
use crate::{Configuration, SystemClock, SystemEntropy, shutdown_token};

/// The beginning of all keys in Redis.
const NAMESPACE: &str = "tandem";

/// What a process of the fleet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Takes webhooks and serves operators.
    Api,
    /// Sees to it that what is due happens.
    Scheduler,
    /// Does jobs.
    Worker,
}

impl Role {
    /// The name of the program.
    #[must_use]
    pub const fn program(self) -> &'static str {
        match self {
            Self::Api => "tandem-api",
            Self::Scheduler => "tandem-scheduler",
            Self::Worker => "tandem-worker",
        }
    }

    const fn doorbell(self) -> DoorbellRole {
        match self {
            Self::Api | Self::Scheduler => DoorbellRole::Rings,
            Self::Worker => DoorbellRole::RingsAndHears,
        }
    }
}

/// A process that has all that its parts need.
pub struct Process {
    /// What its parts share.
    pub platform: Platform,
    /// What the configuration file says.
    pub configuration: Configuration,
    /// What was made of it.
    pub built: Built,
    /// Its name among the processes of the fleet.
    pub instance: String,
    /// Where it is told to listen, if it is.
    pub listen: Option<SocketAddr>,
    /// What it has counted.
    pub metrics: MetricsHandle,
    role: Role,
    redis: Option<Redis>,
    telemetry: TelemetryGuard,
}

/// What this process has in Redis.
struct Redis {
    doorbell: Arc<RedisDoorbell>,
    /// Of a process that sends requests to systems.
    budgets: Option<Arc<FleetBudgets>>,
}

impl Process {
    /// Reads the configuration, connects, and checks that the database is ready for it.
    ///
    /// # Errors
    /// [`StartError`], which says what to change.
    pub async fn begin(
        role: Role,
        args: &ProcessArgs,
        environment: &(dyn Fn(&str) -> Option<String> + Send + Sync),
    ) -> Result<Self, StartError> {
        let instance = instance_name(environment, &SystemEntropy);
        let telemetry = telemetry::init(&TelemetryOptions::from_environment(
            args.log_format,
            role.program(),
            &instance,
            &environment,
        )?)?;
        let metrics = init_metrics()?;
        let shutdown = shutdown_token().map_err(StartError::Signals)?;
        tokio::spawn(metrics.clone().keep_up(shutdown.clone()));
        let file = args.config.as_ref().ok_or(StartError::Missing {
            what: "the configuration file",
            flag: "--config",
            variable: "TANDEM_CONFIG",
        })?;
        let database_url = args.database_url.as_ref().ok_or(StartError::Missing {
            what: "the database",
            flag: "--database-url",
            variable: "TANDEM_DATABASE_URL",
        })?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let configuration = Configuration::load_to_build(file, environment, Arc::clone(&clock))?;
        let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
        let redis = match &args.redis_url {
            Some(url) => Some(Redis::connect(url, role, args, &instance, &clock, &entropy).await?),
            None => None,
        };
        let built = match redis.as_ref().and_then(|redis| redis.budgets.as_ref()) {
            Some(budgets) => {
                configuration.build_with(environment, Arc::clone(&clock), &**budgets)?
            }
            None => configuration.build(environment, Arc::clone(&clock))?,
        };
        let storage = Storage::Postgres {
            url: PostgresUrl::new(database_url, args.database_password.as_deref()),
            connections_max: args.database_connections,
        };
        let store = storage.open().await?;
        check_applied(&*store, &built).await?;
        if role == Role::Worker {
            // Before any job of a connection that leads elsewhere can run.
            note_addresses(&*store, &built, clock.now()).await?;
        }
        Ok(Self {
            role,
            platform: platform(store, redis.as_ref(), clock, entropy, shutdown),
            configuration,
            built,
            instance,
            listen: args.listen,
            metrics,
            redis,
            telemetry,
        })
    }

    /// What has its parts take over a changed configuration.
    #[must_use]
    pub fn reloader(&self, file: PathBuf) -> Reloader {
        let budgets = self.redis.as_ref().and_then(|redis| redis.budgets.clone());
        let clock = Arc::clone(&self.platform.clock);
        let build = move |configuration: &Configuration| {
            let environment = crate::config::process_environment;
            let clock = Arc::clone(&clock);
            match &budgets {
                Some(budgets) => configuration.build_with(&environment, clock, &**budgets),
                None => configuration.build(&environment, clock),
            }
        };
        Reloader {
            store: Arc::clone(&self.platform.store),
            file,
            build: Arc::new(build),
            stores: false,
            works: self.role == Role::Worker,
            parts: self.platform.reloading.clone(),
            process: self.instance.clone(),
            running: self.configuration.clone(),
        }
    }

    /// Runs its parts until it is asked to end or one of them fails; then lets them end.
    ///
    /// # Errors
    /// [`TaskError`] of a part that failed.
    pub async fn run_to_end(self, mut tasks: Tasks) -> Result<(), TaskError> {
        let shutdown = self.platform.shutdown.clone();
        let failed = tokio::select! {
            // A part that ends because it was told to has not failed.
            biased;
            () = shutdown.cancelled() => None,
            error = tasks.failed() => Some(error),
        };
        if let Some(error) = &failed {
            tracing::error!(%error, "stopping");
            shutdown.cancel();
        }
        let joined = tasks.join().await;
        self.end().await;
        failed.map_or(joined, Err)
    }

    /// Sends what is still to be told to others. All parts have ended.
    async fn end(self) {
        if let Some(redis) = self.redis {
            if let Some(budgets) = redis.budgets {
                budgets.leave().await;
            }
            redis.doorbell.close().await;
        }
        self.telemetry.shutdown().await;
    }
}

fn platform(
    store: Arc<dyn Store>,
    redis: Option<&Redis>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    shutdown: CancellationToken,
) -> Platform {
    let doorbell: Arc<dyn Doorbell> = match redis {
        Some(redis) => Arc::clone(&redis.doorbell) as _,
        None => {
            tracing::warn!(
                "no Redis is named (TANDEM_REDIS_URL): workers look for jobs every second instead of being woken"
            );
            Arc::new(InProcessDoorbell::default())
        }
    };
    Platform {
        store,
        doorbell,
        clock,
        entropy,
        reloading: Reloading::default(),
        shutdown,
    }
}

impl Redis {
    /// What Redis holds can be lost, so one that does not answer now is waited for in the background;
    /// one that refuses this process never will answer.
    async fn connect(
        url: &str,
        role: Role,
        args: &ProcessArgs,
        instance: &str,
        clock: &Arc<dyn Clock>,
        entropy: &Arc<dyn Entropy>,
    ) -> Result<Self, StartError> {
        let refused = |error: RedisDoorbellError| StartError::Redis(error.to_string());
        let options = RedisDoorbellOptions::new(instance, role.doorbell());
        let doorbell = RedisDoorbell::start(url, options, Arc::clone(entropy))
            .await
            .map_err(refused)?;
        let budgets = match role {
            Role::Api | Role::Scheduler => None,
            Role::Worker => {
                let settings = FleetSettings {
                    redis_url: url.to_owned(),
                    namespace: NAMESPACE.to_owned(),
                    process: instance.to_owned(),
                    fleet_size_hint: args.fleet_size,
                    timings: Timings::default(),
                };
                let budgets = FleetBudgets::start(settings, Arc::clone(clock));
                let budgets = budgets.map_err(|error| StartError::Redis(error.to_string()))?;
                Some(Arc::new(budgets))
            }
        };
        Ok(Self { doorbell, budgets })
    }
}

/// The host's name (the container's, the pod's) and a random part, because a process that takes another
/// one's place is another one.
fn instance_name(
    environment: &(dyn Fn(&str) -> Option<String> + Send + Sync),
    entropy: &dyn Entropy,
) -> String {
    let host = environment("HOSTNAME").filter(|name| !name.is_empty());
    let host = host.unwrap_or_else(|| "tandem".to_owned());
    format!("{host}-{:08x}", entropy.next_u64() >> 32)
}

/// Checks that the syncs of the configuration are known to the database: jobs of others would wait for
/// ever, and webhooks cause nothing.
///
/// # Errors
/// [`StartError::NotApplied`], or [`StartError::Storage`].
pub async fn check_applied(store: &dyn Store, built: &Built) -> Result<(), StartError> {
    let stored = store.syncs().await?;
    for (name, document) in &built.documents.syncs {
        match stored
            .iter()
            .find(|row| row.name == *name && row.deleted_at.is_none())
        {
            None => return Err(StartError::NotApplied(name.clone())),
            Some(row) if row.document != *document => tracing::warn!(
                sync = %name,
                "the configuration file says something else than what was applied; run `tandem apply` if the file is right"
            ),
            Some(_) => {}
        }
    }
    Ok(())
}
