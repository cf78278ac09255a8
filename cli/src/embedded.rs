//! Everything in one process: ingress, scheduler and workers around a doorbell of their own; over a
//! SQLite file that is this process' alone, or over a PostgreSQL database that others may work on too.

use std::net::SocketAddr;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use tandem_api::ApiToken;
use tandem_api::service::{self as http, ServiceOptions};
use tandem_domain::{Clock, Entropy};
use tandem_queue::{Doorbell, InProcessDoorbell};
use tandem_runtime::addresses::note_addresses;
use tandem_runtime::config::Built;
use tandem_runtime::process::{
    API_TOKEN_FILE, API_TOKEN_VARIABLE, Platform, Storage, TaskError, Tasks, keep_api_token,
};
use tandem_runtime::reload::{Reloader, Reloading};
use tandem_runtime::telemetry::init_metrics;
use tandem_runtime::{Configuration, SystemClock, SystemEntropy, Topology};
use tandem_store::Store;
use tandem_worker::service as worker;
use tokio_util::sync::CancellationToken;

use crate::removal::{listed, removals, require_same_ends};

/// The database in the data folder.
pub const DATABASE: &str = "tandem.db";

/// Reads an environment variable.
pub type Environment = dyn Fn(&str) -> Option<String> + Send + Sync;

/// What differs between `up` and the demo.
pub struct EmbeddedOptions {
    /// Where everything is kept.
    pub storage: Storage,
    /// Where to listen, instead of where the configuration says.
    pub listen: Option<SocketAddr>,
    /// Whether what is stored and not configured any more is removed; otherwise it refuses the start.
    pub prune: bool,
    /// Where secrets and addresses come from.
    pub environment: Box<Environment>,
    /// The file to read again when asked to.
    pub file: Option<PathBuf>,
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
    tasks: Tasks,
}

impl Embedded {
    /// Opens the storage, applies the configuration, takes up what a dead process left, and starts.
    pub async fn start(
        configuration: &Configuration,
        options: EmbeddedOptions,
    ) -> anyhow::Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let built = configuration.build(&*options.environment, Arc::clone(&clock))?;
        let store = open(&options.storage).await?;
        let platform = Platform {
            store,
            doorbell: Arc::new(InProcessDoorbell::default()),
            clock,
            entropy: Arc::new(SystemEntropy),
            reloading: Reloading::default(),
            shutdown: CancellationToken::new(),
        };
        require_same_ends(&*platform.store, &built).await?;
        if !options.prune {
            require_all_named(&platform, &built).await?;
        }
        apply(&platform, &built).await?;
        // Before any job of a connection that leads elsewhere can run.
        note_addresses(&*platform.store, &built, platform.clock.now()).await?;
        if matches!(options.storage, Storage::Sqlite { .. }) {
            take_up(&platform).await?;
        }
        let mut tasks = Tasks::default();
        // A second product in one process (only tests do that) shares them.
        let metrics = init_metrics()?;
        tasks.spawn_endless(
            "the upkeep of metrics",
            metrics.clone().keep_up(platform.shutdown.clone()),
        );
        let http_options = ServiceOptions {
            listen: options.listen,
            token: api_token(&*options.environment)?,
            file_token: file_token(&options.storage, &*platform.entropy)?,
            metrics,
        };
        let address =
            http::start(&platform, configuration, &built, http_options, &mut tasks).await?;
        worker::start(&platform, configuration, &built, "tandem up", &mut tasks);
        let instance = format!("up-{:016x}", platform.entropy.next_u64());
        tandem_scheduler::service::start(&platform, configuration, &built, &instance, &mut tasks);
        if let Some(file) = options.file {
            let (environment, clock) = (options.environment, Arc::clone(&platform.clock));
            let build = move |configuration: &Configuration| {
                configuration.build(&*environment, Arc::clone(&clock))
            };
            let reloader = Reloader {
                store: Arc::clone(&platform.store),
                file,
                build: Arc::new(build),
                stores: true,
                works: true,
                parts: platform.reloading.clone(),
                process: "up".to_owned(),
                running: configuration.clone(),
            };
            let following = reloader.run(platform.shutdown.clone());
            tasks.spawn_endless("following the configuration", following);
        }
        Ok(Self {
            store: platform.store,
            topology: built.topology,
            doorbell: platform.doorbell,
            address,
            shutdown: platform.shutdown,
            tasks,
        })
    }

    /// Resolves when a part has ended by itself, which none should.
    pub async fn failed(&mut self) -> TaskError {
        self.tasks.failed().await
    }

    /// Stops taking, finishes or hands back what is under way, and ends.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.shutdown.cancel();
        let ended = self.tasks.join().await;
        self.store.close().await?;
        Ok(ended?)
    }
}

/// Opens a storage, and says which could not be opened.
pub async fn open(storage: &Storage) -> anyhow::Result<Arc<dyn Store>> {
    storage.open().await.with_context(|| match storage {
        Storage::Sqlite { file, .. } => format!("opening {}", file.display()),
        Storage::Postgres { .. } => "opening the database of TANDEM_DATABASE_URL".to_owned(),
    })
}

/// Refuses a configuration that would end a sync by not naming it.
async fn require_all_named(platform: &Platform, built: &Built) -> anyhow::Result<()> {
    let (store, now) = (&*platform.store, platform.clock.now());
    let found = removals(store, &built.documents, now).await?;
    if found.is_empty() {
        return Ok(());
    }
    bail!(
        "the database has what this configuration does not name any more:\n{}\nNothing was changed. Is it the right file \
         (--config) and the right folder (--data)? If this is to be removed, start with --prune once, or run \
         `tandem apply --prune`",
        listed(&found)
    )
}

async fn apply(platform: &Platform, built: &Built) -> anyhow::Result<()> {
    let documents = &built.documents;
    let applied = platform.store.apply_config(
        documents.connections.clone(),
        documents.syncs.clone(),
        built.schedules.clone(),
        platform.clock.now(),
    );
    Ok(applied.await?)
}

/// This process is alone on the database: what another left running goes on here.
async fn take_up(platform: &Platform) -> anyhow::Result<()> {
    let (store, now) = (&platform.store, platform.clock.now());
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

/// With a token the API asks for it; without, only programs on this machine may use the API.
fn api_token(environment: &Environment) -> anyhow::Result<Option<ApiToken>> {
    let token = environment(API_TOKEN_VARIABLE).filter(|token| !token.is_empty());
    token
        .map(|token| ApiToken::new(&token))
        .transpose()
        .context(API_TOKEN_VARIABLE)
}

/// The token in the data folder, which the command line reads by itself.
fn file_token(storage: &Storage, entropy: &dyn Entropy) -> anyhow::Result<Option<ApiToken>> {
    let Storage::Sqlite { file, .. } = storage else {
        return Ok(None);
    };
    let folder = file.parent().unwrap_or(Path::new("."));
    let token = keep_api_token(folder, entropy)?;
    let token = ApiToken::new(&token).with_context(|| {
        format!(
            "{}; remove the file, and one is made",
            folder.join(API_TOKEN_FILE).display()
        )
    })?;
    Ok(Some(token))
}
