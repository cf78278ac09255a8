//! Connections, syncs and schedules.

use serde::{Deserialize, Serialize};
use tandem_domain::{ConnectionName, SyncName, Timestamp};
use tandem_store::{ConnectionHealth, ConnectionRow, SchedulePurpose, StoredSchedule, SyncRow};

use super::{HealthView, PauseView, when_opt};

/// A connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConnectionView {
    /// Its name.
    pub name: ConnectionName,
    /// While paused, its webhooks are kept and its syncs' jobs wait.
    pub paused: bool,
    /// Since when and why it is paused.
    #[serde(default)]
    pub pause: Option<PauseView>,
    /// Rises with each change of the configuration.
    pub version: i64,
    /// When it was removed.
    #[serde(with = "when_opt")]
    pub deleted_at: Option<Timestamp>,
    /// When an operator last had it tried again at once.
    #[serde(with = "when_opt")]
    pub reset_at: Option<Timestamp>,
    /// How its system stands.
    pub health: HealthView,
    /// Its configuration; secrets only as references.
    pub document: serde_json::Value,
}

impl ConnectionView {
    /// A connection, and what is known of its system.
    #[must_use]
    pub fn new(row: ConnectionRow, known: &[ConnectionHealth], now: Timestamp) -> Self {
        let own = known.iter().find(|health| health.connection == row.name);
        Self {
            health: HealthView::new(&row.name, own, now),
            paused: row.pause.is_some(),
            pause: row
                .pause
                .map(|pause| PauseView::of_connection(&row.name, pause)),
            name: row.name,
            version: row.version,
            deleted_at: row.deleted_at,
            reset_at: row.reset_at,
            document: row.document,
        }
    }
}

/// A sync.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SyncView {
    /// Its name.
    pub name: SyncName,
    /// While paused its jobs wait.
    pub paused: bool,
    /// Since when and why it is paused.
    #[serde(default)]
    pub pause: Option<PauseView>,
    /// Rises with each change of the configuration.
    pub version: i64,
    /// When it was removed.
    #[serde(with = "when_opt")]
    pub deleted_at: Option<Timestamp>,
    /// Its configuration.
    pub document: serde_json::Value,
}

impl From<SyncRow> for SyncView {
    fn from(row: SyncRow) -> Self {
        Self {
            paused: row.pause.is_some(),
            pause: row.pause.map(|pause| PauseView::of_sync(&row.name, pause)),
            name: row.name,
            version: row.version,
            deleted_at: row.deleted_at,
            document: row.document,
        }
    }
}

/// A schedule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScheduleView {
    /// The sync.
    pub sync: SyncName,
    /// What it starts.
    pub purpose: SchedulePurpose,
    /// When, in words.
    pub spec: String,
    /// While paused it is never due.
    pub paused: bool,
    /// When it is next due.
    #[serde(with = "when_opt")]
    pub next_at: Option<Timestamp>,
    /// When it last started something.
    #[serde(with = "when_opt")]
    pub last_at: Option<Timestamp>,
}

impl From<StoredSchedule> for ScheduleView {
    fn from(row: StoredSchedule) -> Self {
        Self {
            sync: row.key.sync,
            purpose: row.key.purpose,
            spec: row.spec,
            paused: row.paused,
            next_at: row.next_at,
            last_at: row.last_at,
        }
    }
}
