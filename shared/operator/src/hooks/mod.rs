//! The webhook addresses that are configured, and how a body that came to one becomes events.
//!
//! Verified bodies are read here and nowhere else, so that a replay sees what the ingress would see.
//! Not here: HTTP, and the storage.

mod clocks;
mod reading;

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use tandem_connectors::webhook::{Secret, Verifier};
use tandem_domain::{ConnectionName, RecordId, Side, StreamName, SyncName, Timestamp};
use tandem_store::{ConnectionRow, EventKind};

pub use clocks::KeptClocks;
pub(crate) use reading::is_same;
pub use reading::{Arrival, new_events};

/// Takes a verified body apart.
pub type ReadBody = Arc<dyn Fn(&[u8]) -> Result<Vec<ReadEvent>, Unreadable> + Send + Sync>;
/// Names the syncs that a stream of the connection feeds.
pub type FindTargets = Arc<dyn Fn(&StreamName) -> Vec<HookTarget> + Send + Sync>;
/// The system's clock minus ours, in microseconds; zero while it is not known.
pub type ClockOffset = Arc<dyn Fn() -> i64 + Send + Sync>;

/// One event as it stands in a body.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadEvent {
    /// Unique within the connection; made from signed data only.
    pub dedupe_key: String,
    /// The record type that it speaks of, if it could be told.
    pub stream: Option<StreamName>,
    /// The record that it speaks of, if it could be told.
    pub record: Option<RecordId>,
    /// What it says has happened.
    pub kind: EventKind,
    /// When it says it happened, by the sender's clock.
    pub occurred_at: Option<Timestamp>,
    /// The same once more, where it is a local time that comes twice and does not say which it is.
    pub occurred_again: Option<Timestamp>,
    /// Why it cannot be understood.
    pub problem: Option<String>,
}

/// Why a body cannot be taken apart at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body cannot be read: {0}")]
pub struct Unreadable(pub String);

/// A sync that the events of a stream wake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookTarget {
    /// The sync.
    pub sync: SyncName,
    /// The side of it that the connection is.
    pub side: Side,
    /// How long its job waits, so that a burst of edits is one job.
    pub quiet: Duration,
}

/// One webhook address, ready for use.
#[derive(Clone)]
pub struct Hook {
    /// Who sends to it.
    pub connection: ConnectionName,
    /// Checks the signature.
    pub verifier: Verifier,
    /// All active secrets, the newest first.
    pub secrets: Vec<Secret>,
    /// The address of Tandem as the sender knows it, such as `https://sync.example.com`. The path and
    /// query that arrived are put behind it; some schemes sign the whole.
    pub public_url: String,
    /// The longest body accepted, in bytes.
    pub body_bytes_max: usize,
    /// See [`ReadBody`].
    pub read: ReadBody,
    /// See [`FindTargets`].
    pub targets: FindTargets,
    /// See [`ClockOffset`].
    pub clock_offset_micros: ClockOffset,
}

/// How a webhook address stands.
#[derive(Clone)]
pub enum HookState {
    /// Takes events.
    Active(Arc<Hook>),
    /// Takes events and keeps them; their jobs wait until it is resumed.
    Paused(Arc<Hook>),
    /// Cannot verify anybody: the reason is for the operator, the sender is asked to come back.
    Misconfigured(Arc<str>),
    /// The connection was removed.
    Deleted,
}

/// Finds webhook addresses by the name of the connection.
pub trait HookRegistry: Send + Sync {
    /// The address of this connection; `None` when none is configured.
    fn lookup(&self, connection: &str) -> Option<HookState>;

    /// Takes over what an operator just said; other processes learn it from the storage.
    fn set_paused(&self, connection: &str, paused: bool);
}

/// The registry that a process keeps in memory.
#[derive(Default)]
pub struct HookTable {
    hooks: RwLock<BTreeMap<ConnectionName, HookState>>,
}

impl HookTable {
    /// A registry of these addresses.
    #[must_use]
    pub fn new(hooks: BTreeMap<ConnectionName, HookState>) -> Self {
        Self {
            hooks: RwLock::new(hooks),
        }
    }

    /// Takes over a changed configuration, whole.
    pub fn replace(&self, hooks: BTreeMap<ConnectionName, HookState>) {
        *self.write() = hooks;
    }

    /// Takes over which connections are paused or removed, as stored. A connection that is back after
    /// it was removed needs [`HookTable::replace`], because its secrets may be others.
    pub fn follow(&self, rows: &[ConnectionRow]) {
        let mut hooks = self.write();
        for row in rows {
            if row.deleted_at.is_some() {
                hooks.insert(row.name.clone(), HookState::Deleted);
            } else if let Some(state) = hooks.get_mut(&row.name) {
                *state = state.with_pause(row.pause.is_some());
            }
        }
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, BTreeMap<ConnectionName, HookState>> {
        self.hooks
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl HookState {
    fn with_pause(&self, paused: bool) -> Self {
        match (self, paused) {
            (Self::Active(hook) | Self::Paused(hook), true) => Self::Paused(Arc::clone(hook)),
            (Self::Active(hook) | Self::Paused(hook), false) => Self::Active(Arc::clone(hook)),
            (Self::Misconfigured(_) | Self::Deleted, _) => self.clone(),
        }
    }

    /// The hook, unless there is none to use.
    #[must_use]
    pub const fn hook(&self) -> Option<&Arc<Hook>> {
        match self {
            Self::Active(hook) | Self::Paused(hook) => Some(hook),
            Self::Misconfigured(_) | Self::Deleted => None,
        }
    }
}

impl HookRegistry for HookTable {
    fn lookup(&self, connection: &str) -> Option<HookState> {
        self.hooks
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .get(connection)
            .cloned()
    }

    fn set_paused(&self, connection: &str, paused: bool) {
        if let Some(state) = self.write().get_mut(connection) {
            *state = state.with_pause(paused);
        }
    }
}
