//! Opening what Tandem keeps, beside a Tandem that may be running on it.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use tandem_api::ConfiguredSystems;
use tandem_domain::suggest::full_advice;
use tandem_domain::{SyncName, Timestamp};
use tandem_operator::hooks::{HookRegistry, HookTable};
use tandem_operator::views::nothing_runs;
use tandem_operator::{NoSystems, Operator, OperatorParts, Status, Systems};
use tandem_queue::InProcessDoorbell;
use tandem_runtime::config::Built;
use tandem_runtime::process::Storage;
use tandem_runtime::{Configuration, SyncDefinition, SystemClock, SystemEntropy};
use tandem_store::Store;
use tandem_store_sqlite::upkeep;
use tempfile::TempDir;

use super::desk::Desk;
use super::hooks::HookOptions;
use super::options::StorageOptions;
use crate::embedded::{self, DATABASE};

/// A storage that is gone when the command ends, for looking before anything was ever stored.
pub struct LookedAt {
    pub store: Arc<dyn Store>,
    /// Removed with what is in it when dropped.
    _folder: Option<TempDir>,
}

/// Opens what is kept, which must be there.
pub async fn open(place: &StorageOptions) -> anyhow::Result<Arc<dyn Store>> {
    place.require_here()?;
    if !is_there(place).await? {
        bail!(
            "there is no Tandem database in `{}`: name the folder of your `tandem up` with --data or TANDEM_DATA \
             (or the database of your fleet with --database-url or TANDEM_DATABASE_URL), or make one with \
             `tandem apply` or `tandem up`",
            place.data.display()
        );
    }
    open_or_make(place).await
}

/// A database server is asked when it is opened; a folder can be looked at. That of a database that has lost its
/// contents is left as it is.
async fn is_there(place: &StorageOptions) -> anyhow::Result<bool> {
    match place.storage(false) {
        Storage::Sqlite { file, .. } => Ok(upkeep::is_made(&file).await?),
        Storage::Postgres { .. } => Ok(true),
    }
}

/// Opens what is kept; makes folder and database when it is one and not there.
pub async fn open_or_make(place: &StorageOptions) -> anyhow::Result<Arc<dyn Store>> {
    place.require_here()?;
    embedded::open(&place.storage(false)).await
}

/// Opens what is kept if it is there, and an empty one elsewhere if not: looking makes nothing.
pub async fn open_to_look(place: &StorageOptions) -> anyhow::Result<LookedAt> {
    place.require_here()?;
    if is_there(place).await? {
        return Ok(LookedAt {
            store: open_or_make(place).await?,
            _folder: None,
        });
    }
    let folder = tempfile::tempdir().context("making a temporary folder")?;
    let storage = Storage::Sqlite {
        file: folder.path().join(DATABASE),
        exclusive: false,
    };
    Ok(LookedAt {
        store: embedded::open(&storage).await?,
        _folder: Some(folder),
    })
}

/// Whether a `tandem up` runs on this folder: it holds the lock that is tried here, for a moment. Of a
/// fleet, whose processes come and go, it is taken for granted. What answers through its API runs.
pub async fn somebody_runs(place: &StorageOptions) -> anyhow::Result<bool> {
    if place.remote()?.is_some() {
        return Ok(true);
    }
    match place.storage(false) {
        Storage::Postgres { .. } => Ok(true),
        Storage::Sqlite { file, .. } => upkeep::is_run_on(&file)
            .with_context(|| format!("looking whether a tandem runs on {}", place.data.display())),
    }
}

/// What is said when no process looks after things. Of a data folder its lock tells, at once; of a fleet, and of a
/// Tandem elsewhere, what its processes last told.
pub async fn unattended(place: &StorageOptions, status: &Status) -> anyhow::Result<Option<String>> {
    let is_here =
        place.remote()?.is_none() && matches!(place.storage(false), Storage::Sqlite { .. });
    if !is_here {
        return Ok(status.unattended.clone());
    }
    if somebody_runs(place).await? || status.connections.is_empty() {
        return Ok(None);
    }
    let folder = place.data.display().to_string();
    let seen = status.seen_at.zip(status.seen_by.as_deref());
    Ok(Some(nothing_runs(&folder, seen)))
}

/// The operator's desk, here or elsewhere. Events are not read again with this one.
pub async fn operator(data: &StorageOptions) -> anyhow::Result<Desk> {
    if let Some(remote) = data.remote()? {
        return Ok(Desk::Remote(Arc::new(remote)));
    }
    let (hooks, systems) = (HookTable::default(), NoSystems::default());
    let operator = operator_over(open(data).await?, Arc::new(hooks), Arc::new(systems));
    Ok(Desk::Local(Box::new(operator)))
}

/// The operator's desk, for verbs that look at records where they live: here by the configuration, elsewhere by
/// its own.
pub async fn operator_with_systems(
    data: &StorageOptions,
    config: &HookOptions,
) -> anyhow::Result<Desk> {
    if let Some(remote) = data.remote()? {
        return Ok(Desk::Remote(Arc::new(remote)));
    }
    let store = open(data).await?;
    let systems: Arc<dyn Systems> = match config.built(store.as_ref()).await {
        Ok(built) => Arc::new(ConfiguredSystems::new(built.topology)),
        // Not every verb needs them; one that does says so, with this reason.
        Err(error) => Arc::new(NoSystems {
            reason: format!("{error:#}"),
        }),
    };
    let operator = operator_over(store, Arc::new(HookTable::default()), systems);
    Ok(Desk::Local(Box::new(operator)))
}

/// The operator's desk, by which events are read again: here by the configuration, elsewhere by its own.
pub async fn operator_with_hooks(
    data: &StorageOptions,
    hooks: &HookOptions,
) -> anyhow::Result<Desk> {
    if let Some(remote) = data.remote()? {
        return Ok(Desk::Remote(Arc::new(remote)));
    }
    let store = open(data).await?;
    let hooks = hooks.load(store.as_ref()).await?;
    let systems = Arc::new(NoSystems::default());
    Ok(Desk::Local(Box::new(operator_over(store, hooks, systems))))
}

/// The operator's use cases over what is kept here. A Tandem that runs on the same folder looks for new jobs every second;
/// the bell of this process rings for nobody.
fn operator_over(
    store: Arc<dyn Store>,
    hooks: Arc<dyn HookRegistry>,
    systems: Arc<dyn Systems>,
) -> Operator {
    Operator::new(OperatorParts {
        store,
        hooks,
        systems,
        doorbell: Arc::new(InProcessDoorbell::default()),
        clock: Arc::new(SystemClock),
        entropy: Arc::new(SystemEntropy),
    })
}

/// The time.
pub fn now() -> Timestamp {
    use tandem_domain::Clock as _;
    SystemClock.now()
}

/// What a configuration file makes, with the secrets of the environment.
pub fn build(file: &Path) -> anyhow::Result<Built> {
    Ok(build_of(&load(file)?)?)
}

/// A configuration file that is to be built, with all its mistakes reported at once.
pub fn load(file: &Path) -> Result<Configuration, tandem_runtime::ConfigError> {
    let environment = tandem_runtime::config::process_environment;
    Configuration::load_to_build(file, &environment, Arc::new(SystemClock))
}

/// What a configuration makes, with the secrets of the environment.
pub fn build_of(configuration: &Configuration) -> Result<Built, tandem_runtime::ConfigError> {
    configuration.build(
        &tandem_runtime::config::process_environment,
        Arc::new(SystemClock),
    )
}

/// The sync of this name in what a configuration has made.
pub fn sync_of(built: &Built, name: &SyncName) -> anyhow::Result<Arc<SyncDefinition>> {
    let syncs = &built.topology.syncs;
    let found = syncs.get(name).map(Arc::clone);
    found.with_context(|| {
        unknown_sync(
            name,
            syncs.keys().map(SyncName::as_str),
            "the configuration has none",
        )
    })
}

/// Refuses a sync that was not applied, and says which were.
pub async fn require_sync(operator: &Desk, name: &SyncName) -> anyhow::Result<()> {
    let syncs = operator.syncs().await?;
    if syncs.iter().any(|sync| sync.name == *name) {
        return Ok(());
    }
    let known = syncs.iter().map(|sync| sync.name.as_str());
    bail!(unknown_sync(
        name,
        known,
        "none was applied yet; see `tandem apply --help`"
    ))
}

fn unknown_sync<'a>(name: &SyncName, known: impl Iterator<Item = &'a str>, none: &str) -> String {
    let known: Vec<&str> = known.collect();
    if known.is_empty() {
        return format!("there is no sync `{name}`: {none}");
    }
    let advice = full_advice(name.as_str(), known);
    format!("there is no sync `{name}`{advice}")
}
