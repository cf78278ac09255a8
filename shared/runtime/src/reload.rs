//! Taking over a changed configuration while running: on SIGHUP, by reading the file again; and whenever another
//! process has stored another one (`tandem apply`). One that is not right changes nothing: the process goes on with
//! what it has, and says so in its log and in the status.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use tandem_domain::Clock;
use tandem_store::{ConnectionRow, Store, StoreError};
use tokio_util::sync::CancellationToken;

use crate::addresses::note_addresses;
use crate::config::{Built, ConfigError, Configuration};
use crate::ends::{OTHER_END_ADVICE, listed, other_ends};
use crate::process::check_applied;
use crate::{SystemClock, Topology};

/// How often it is looked whether another configuration was stored.
const FOLLOW_EVERY: Duration = Duration::from_secs(1);

/// A part of a process that works by the configuration.
pub trait Reloads: Send + Sync {
    /// Works by this one from now on. What is under way ends by the old one. `connections` are those that are stored,
    /// with their pauses.
    fn reload(&self, built: &Built, connections: &[ConnectionRow]);
}

/// The parts of a process that work by its configuration; each names itself at its start.
#[derive(Clone, Default)]
pub struct Reloading(Arc<Mutex<Vec<Arc<dyn Reloads>>>>);

impl Reloading {
    /// Adds a part.
    pub fn add(&self, part: Arc<dyn Reloads>) {
        // Nothing panics while it is held.
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(part);
    }

    fn all(&self) -> Vec<Arc<dyn Reloads>> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// What is configured, for parts that look it up each time that they need it.
pub struct LiveTopology(RwLock<Arc<Topology>>);

impl LiveTopology {
    /// Begins with this one.
    #[must_use]
    pub const fn new(topology: Arc<Topology>) -> Self {
        Self(RwLock::new(topology))
    }

    /// The one to work by now.
    #[must_use]
    pub fn current(&self) -> Arc<Topology> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes over another, whole.
    pub fn replace(&self, topology: Arc<Topology>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = topology;
    }
}

/// Makes connectors, policies and schedules of a configuration.
pub type Build = Arc<dyn Fn(&Configuration) -> Result<Built, ConfigError> + Send + Sync>;

/// Follows the configuration of a process.
pub struct Reloader {
    /// Where the configuration of all is stored.
    pub store: Arc<dyn Store>,
    /// The file of this process.
    pub file: PathBuf,
    /// See [`Build`].
    pub build: Build,
    /// Whether this process stores what its file says; in a fleet only `tandem apply` does.
    pub stores: bool,
    /// Whether jobs are done here: who does them says where the connections lead.
    pub works: bool,
    /// What works by the configuration.
    pub parts: Reloading,
    /// The name of this process, for what it has to say.
    pub process: String,
    /// What it works by.
    pub running: Configuration,
}

/// Name and version of everything stored.
type Versions = Vec<(String, i64, bool)>;

/// Why a configuration was not taken over.
#[derive(Debug, thiserror::Error)]
enum NotTaken {
    /// With all its mistakes.
    #[error("{}", .0.in_brief())]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{0}")]
    Other(String),
}

impl Reloader {
    /// Follows it until the process ends.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut hangups = Hangups::listen();
        let mut ticks = tokio::time::interval(FOLLOW_EVERY);
        let mut seen = None;
        // What one of the same name had to say before is of the past.
        let _ = self.note(None).await;
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = hangups.next() => {
                    tracing::info!(file = %self.file.display(), "asked to read the configuration again");
                    let taken = self.take_file().await;
                    seen = self.versions().await.ok();
                    self.tell(taken).await;
                }
                _ = ticks.tick() => {
                    let Ok(found) = self.versions().await else { continue };
                    let is_new = seen.as_ref().is_some_and(|seen| *seen != found);
                    seen = Some(found);
                    if is_new {
                        let taken = self.take_stored().await;
                        self.tell(taken).await;
                    }
                }
            }
        }
        // What a process that is gone had to say is of no use to anybody.
        let _ = self.note(None).await;
    }

    async fn versions(&self) -> Result<Versions, StoreError> {
        let connections = self.store.connections().await?.into_iter();
        let connections = connections.map(|row| {
            (
                format!("c {}", row.name),
                row.version,
                row.deleted_at.is_some(),
            )
        });
        let syncs = self.store.syncs().await?.into_iter();
        let syncs = syncs.map(|row| {
            (
                format!("s {}", row.name),
                row.version,
                row.deleted_at.is_some(),
            )
        });
        Ok(connections.chain(syncs).collect())
    }

    async fn take_file(&mut self) -> Result<(), NotTaken> {
        let configuration = Configuration::load_to_build_by(&self.file, |rest| (self.build)(rest))?;
        let built = (self.build)(&configuration);
        let gone = unnamed(&self.running, &configuration);
        if !gone.is_empty() {
            let gone = format!(
                "{} does not name {} any more; if that is to be removed, run `tandem apply --prune`",
                self.file.display(),
                gone.join(", ")
            );
            return Err(NotTaken::Other(match built {
                Ok(_) => gone,
                Err(error) => format!("{gone}\nbesides, {}", error.in_brief()),
            }));
        }
        let built = built?;
        let other = other_ends(&*self.store, &built).await?;
        if !other.is_empty() {
            let other = format!("{}\n{OTHER_END_ADVICE}", listed(&other));
            return Err(NotTaken::Other(other));
        }
        if self.stores {
            let documents = &built.documents;
            let applied = self.store.apply_config(
                documents.connections.clone(),
                documents.syncs.clone(),
                built.schedules.clone(),
                SystemClock.now(),
            );
            applied.await?;
        } else {
            let applied = check_applied(&*self.store, &built).await;
            applied.map_err(|error| NotTaken::Other(error.to_string()))?;
        }
        self.take_over(configuration, &built).await?;
        Ok(())
    }

    /// What is stored says nothing of the process itself.
    async fn take_stored(&mut self) -> Result<(), NotTaken> {
        let (connections, syncs) = (self.store.connections().await?, self.store.syncs().await?);
        let mut configuration = Configuration::from_store(&connections, &syncs)?;
        configuration.server = self.running.server;
        configuration.worker = self.running.worker;
        configuration.scheduler = self.running.scheduler;
        configuration.retention = self.running.retention;
        let built = (self.build)(&configuration)?;
        self.take_over(configuration, &built).await?;
        Ok(())
    }

    async fn take_over(
        &mut self,
        configuration: Configuration,
        built: &Built,
    ) -> Result<(), StoreError> {
        // Before any part works by another address.
        let connections = if self.works {
            note_addresses(&*self.store, built, SystemClock.now()).await?
        } else {
            self.store.connections().await?
        };
        for part in self.parts.all() {
            part.reload(built, &connections);
        }
        let waits = sections_that_wait(&self.running, &configuration);
        tracing::info!(
            syncs = built.topology.syncs.len(),
            connections = built.topology.connectors.len(),
            "works by the changed configuration from now on"
        );
        if !waits.is_empty() {
            tracing::warn!(
                sections = waits.join(", "),
                "these sections of the configuration have changed too, and are heeded after a restart"
            );
        }
        // The sections that wait for a restart stay as they are, so that the next time tells of them again.
        self.running.connections = configuration.connections;
        self.running.syncs = configuration.syncs;
        Ok(())
    }

    /// Says what has become of it, in the log and for the status.
    async fn tell(&self, taken: Result<(), NotTaken>) {
        let note = taken.err().map(|error| {
            tracing::error!(%error, "the changed configuration is not right: the process goes on with the old one");
            format!("the changed configuration is not right, the old one is kept: {error}")
        });
        if let Err(error) = self.note(note.as_deref()).await {
            tracing::warn!(%error, "the status could not be told of it");
        }
    }

    async fn note(&self, text: Option<&str>) -> Result<(), StoreError> {
        self.store
            .put_notice(&self.process, text, SystemClock.now())
            .await
    }
}

/// What works now and is not named any more.
fn unnamed(old: &Configuration, new: &Configuration) -> Vec<String> {
    let syncs = old
        .syncs
        .keys()
        .filter(|name| !new.syncs.contains_key(*name));
    let syncs = syncs.map(|name| format!("the sync {name}"));
    let connections = old.connections.keys();
    let connections = connections.filter(|name| !new.connections.contains_key(*name));
    syncs
        .chain(connections.map(|name| format!("the connection {name}")))
        .collect()
}

/// The sections of which a process reads the values at its start alone.
fn sections_that_wait(old: &Configuration, new: &Configuration) -> Vec<&'static str> {
    [
        ("server", old.server != new.server),
        ("worker", old.worker != new.worker),
        ("scheduler", old.scheduler != new.scheduler),
        ("retention", old.retention != new.retention),
    ]
    .into_iter()
    .filter_map(|(name, differs)| differs.then_some(name))
    .collect()
}

/// SIGHUP, where there is one.
struct Hangups {
    #[cfg(unix)]
    signal: Option<tokio::signal::unix::Signal>,
}

impl Hangups {
    #[cfg(unix)]
    fn listen() -> Self {
        use tokio::signal::unix::{SignalKind, signal};
        let signal = signal(SignalKind::hangup());
        if let Err(error) = &signal {
            tracing::warn!(%error, "SIGHUP cannot be heard; `tandem apply` is");
        }
        Self {
            signal: signal.ok(),
        }
    }

    #[cfg(unix)]
    async fn next(&mut self) {
        match &mut self.signal {
            Some(signal) => {
                signal.recv().await;
            }
            None => std::future::pending().await,
        }
    }

    #[cfg(not(unix))]
    fn listen() -> Self {
        Self {}
    }

    #[cfg(not(unix))]
    async fn next(&mut self) {
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_for_a_restart_is_named() {
        let old = Configuration::default();
        let mut new = old.clone();
        assert_eq!(sections_that_wait(&old, &new), Vec::<&str>::new());
        new.worker.concurrency += 1;
        new.server.connections_max += 1;
        assert_eq!(sections_that_wait(&old, &new), ["server", "worker"]);
    }
}
